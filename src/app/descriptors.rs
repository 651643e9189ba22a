//! How many file descriptors are left, and for whom the last ones are.

use std::os::fd::AsRawFd;

use rustix::process::{Resource, getrlimit};

/// Of all descriptors, the part that only operators get, within these bounds.
const RESERVED_PART: u64 = 16;
const LEAST_RESERVED: u64 = 4;
const MOST_RESERVED: u64 = 64;

/// What there is for a new connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    Plenty,
    /// Connections that only wait should go.
    Scarce,
    /// What is left is for operators.
    Reserved,
}

/// The descriptors that this process may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptors {
    limit: u64,
}

impl Descriptors {
    pub fn of_this_process() -> Self {
        let soft_limit = getrlimit(Resource::Nofile).current;
        Self {
            limit: soft_limit.unwrap_or(u64::MAX),
        }
    }

    fn reserved(self) -> u64 {
        (self.limit / RESERVED_PART).clamp(LEAST_RESERVED, MOST_RESERVED)
    }

    /// What is left besides this one, which must be the newest: the system gives the lowest number
    /// that is free (POSIX), so all numbers below it are taken.
    pub fn besides(self, newest: &impl AsRawFd) -> Supply {
        let taken = u64::try_from(newest.as_raw_fd()).map_or(0, |number| number + 1);
        let left = self.limit.saturating_sub(taken);
        if left < self.reserved() {
            Supply::Reserved
        } else if left < 2 * self.reserved() {
            Supply::Scarce
        } else {
            Supply::Plenty
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Number(i32);

    impl AsRawFd for Number {
        fn as_raw_fd(&self) -> i32 {
            self.0
        }
    }

    #[test]
    fn the_last_descriptors_are_scarce_and_the_very_last_reserved() {
        let supply = |limit, newest| Descriptors { limit }.besides(&Number(newest));
        for (limit, first_scarce, first_reserved) in [
            (1024, 1024 - 2 * 64, 1024 - 64),
            (100_000, 100_000 - 2 * 64, 100_000 - 64),
            (160, 160 - 20, 160 - 10),
            (20, 12, 16),
        ] {
            assert_eq!(supply(limit, first_scarce - 1), Supply::Plenty, "{limit}");
            assert_eq!(supply(limit, first_scarce), Supply::Scarce, "{limit}");
            let last = first_reserved - 1;
            assert_eq!(supply(limit, last), Supply::Scarce, "{limit}");
            assert_eq!(supply(limit, first_reserved), Supply::Reserved, "{limit}");
        }
        assert_eq!(supply(u64::MAX, i32::MAX), Supply::Plenty);
    }

    #[test]
    fn the_limit_is_that_of_the_process() {
        assert!(Descriptors::of_this_process().limit > 3);
    }
}
