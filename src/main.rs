use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// It costs half of what the system's allocator does where requests are short, and gives back what a
/// crowd leaves behind.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    orgcast::cli::main()
}
