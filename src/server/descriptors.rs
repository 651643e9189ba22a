//! The last file descriptors of the process: they are held, so that there are some to go on with when
//! the system gives no more.

use std::fs::File;
use std::io;

use rustix::process::{Resource, getrlimit};

/// Of all descriptors, the part that is held, within these bounds.
const HELD_PART: u64 = 16;
const LEAST_HELD: usize = 4;
const MOST_HELD: usize = 64;

/// Descriptors that are held for those who need them most.
#[derive(Debug)]
pub(super) struct Reserve {
    size: usize,
    held: Vec<File>,
}

impl Reserve {
    /// A part of what this process may have.
    pub fn of_this_process() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let part = usize::try_from(limit / HELD_PART).unwrap_or(usize::MAX);
        let mut reserve = Self {
            size: part.clamp(LEAST_HELD, MOST_HELD),
            held: Vec::new(),
        };
        reserve.refill();
        reserve
    }

    /// Gives one back to the system; `false` if none is left.
    pub fn release(&mut self) -> bool {
        self.held.pop().is_some()
    }

    pub fn is_whole(&self) -> bool {
        self.held.len() == self.size
    }

    /// Takes as many as are missing. Whether it is whole again.
    pub fn refill(&mut self) -> bool {
        while !self.is_whole() {
            let Ok(one) = self.one_more() else {
                return false;
            };
            self.held.push(one);
        }
        true
    }

    fn one_more(&self) -> io::Result<File> {
        match self.held.first() {
            Some(other) => other.try_clone(),
            None => File::open("/dev/null"),
        }
    }
}

/// Whether the system gave nothing for want of descriptors.
pub(super) fn are_used_up(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE]
        .iter()
        .any(|none_left| code == Some(none_left.raw_os_error()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_back_can_be_taken_again() {
        let mut reserve = Reserve::of_this_process();
        assert!(reserve.is_whole());
        assert!((LEAST_HELD..=MOST_HELD).contains(&reserve.size));
        let mut released = 0;
        while reserve.release() {
            assert!(!reserve.is_whole());
            released += 1;
        }
        assert_eq!(released, reserve.size);
        assert!(reserve.refill() && reserve.is_whole());
    }

    #[test]
    fn a_want_of_descriptors_is_told_from_other_errors() {
        let used_up = io::Error::from(rustix::io::Errno::MFILE);
        assert!(are_used_up(&used_up));
        assert!(!are_used_up(&io::ErrorKind::ConnectionAborted.into()));
    }
}
