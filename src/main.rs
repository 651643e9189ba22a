use std::process::ExitCode;

fn main() -> ExitCode {
    orgcast::app::run()
}
