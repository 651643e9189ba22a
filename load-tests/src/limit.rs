//! File descriptors: a pool takes one for each connection, and so does the server that it loads.

use rlimit::Resource;

use crate::error::LoadError;

/// What a process needs beside its connections.
const OTHERS: u64 = 100;

/// Makes sure that so many connections can be opened.
pub fn connections(count: usize) -> Result<(), LoadError> {
    descriptors(count as u64 + OTHERS)
}

/// Makes sure that this process, and the servers that it starts, may open so many files.
pub fn descriptors(needed: u64) -> Result<(), LoadError> {
    let (soft, hard) = Resource::NOFILE
        .get()
        .map_err(|error| LoadError::Measure("the limit of open files", error))?;
    if soft >= needed || Resource::NOFILE.set(needed.min(hard), hard).is_ok() && hard >= needed {
        return Ok(());
    }
    Err(LoadError::Usage(format!(
        "{needed} open files are needed and {soft} are allowed; allow them with \
         `ulimit -n {needed}` (as root with `ulimit -Hn {needed}` before it)"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_any_limit_is_refused_with_the_command_to_raise_it() {
        descriptors(1).unwrap();
        let error = descriptors(u64::MAX).unwrap_err().to_string();
        assert!(
            error.contains("`ulimit -n 18446744073709551615`"),
            "{error}"
        );
    }
}
