//! What the operating system says of this process, where it says it (Linux).

use std::fs;

/// One look at the process. What the system does not say is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Process {
    pub resident_bytes: Option<u64>,
    pub open_descriptors: Option<u64>,
}

impl Process {
    /// Reads two small files; blocks for some microseconds.
    pub fn now() -> Self {
        Self {
            resident_bytes: resident_bytes(),
            open_descriptors: open_descriptors(),
        }
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Kernels since 6.2 say it as the size of the folder; older ones say 0, and to count them would be work
/// for each of them.
fn open_descriptors() -> Option<u64> {
    let count = fs::metadata("/proc/self/fd").ok()?.len();
    (count > 0).then_some(count)
}
