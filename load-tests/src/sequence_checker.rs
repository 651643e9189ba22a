//! What one receiver must hear: every message of its streams, once, in order.

use crate::stamp::Stamp;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    InOrder,
    /// So many messages of the stream did not come, or will come too late.
    Missed(u32),
    /// It came before, or too late.
    Repeated,
    /// The receiver has nothing to do with that stream.
    Foreign,
}

#[derive(Debug, Clone, Copy)]
struct Expected {
    stream: u16,
    /// `None` until the first message, for one who comes late.
    next: Option<u32>,
}

#[derive(Debug, Clone, Default)]
pub struct SequenceChecker {
    /// Sorted by stream.
    streams: Vec<Expected>,
    is_late: bool,
}

impl SequenceChecker {
    /// Hears these streams from their first message on.
    pub fn new(streams: impl IntoIterator<Item = u16>) -> Self {
        let mut streams: Vec<Expected> = streams
            .into_iter()
            .map(|stream| Expected {
                stream,
                next: Some(0),
            })
            .collect();
        streams.sort_by_key(|expected| expected.stream);
        streams.dedup_by_key(|expected| expected.stream);
        Self {
            streams,
            is_late: false,
        }
    }

    /// Joins while they run: whatever it hears first of a stream, everything after it must follow.
    pub fn late(streams: impl IntoIterator<Item = u16>) -> Self {
        let mut checker = Self::new(streams);
        checker.is_late = true;
        for expected in &mut checker.streams {
            expected.next = None;
        }
        checker
    }

    /// Those who come late are not waited for.
    pub fn is_late(&self) -> bool {
        self.is_late
    }

    pub fn streams(&self) -> impl Iterator<Item = u16> {
        self.streams.iter().map(|expected| expected.stream)
    }

    pub fn hear(&mut self, stamp: Stamp) -> Verdict {
        let found = match &mut self.streams[..] {
            [only] if only.stream == stamp.stream => Some(only),
            streams => streams
                .binary_search_by_key(&stamp.stream, |expected| expected.stream)
                .ok()
                .map(|at| &mut streams[at]),
        };
        let Some(Expected { next, .. }) = found else {
            return Verdict::Foreign;
        };
        let due = next.unwrap_or(stamp.sequence);
        if stamp.sequence < due {
            return Verdict::Repeated;
        }
        *next = Some(stamp.sequence + 1);
        match stamp.sequence - due {
            0 => Verdict::InOrder,
            missed => Verdict::Missed(missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(stream: u16, sequence: u32) -> Stamp {
        Stamp {
            stream,
            sequence,
            sent_at: 0,
        }
    }

    #[test]
    fn loss_repetition_and_strangers_are_told_apart() {
        let mut checker = SequenceChecker::new([7, 3]);
        for (heard, verdict) in [
            (stamp(3, 0), Verdict::InOrder),
            (stamp(7, 0), Verdict::InOrder),
            (stamp(3, 1), Verdict::InOrder),
            (stamp(3, 1), Verdict::Repeated),
            (stamp(3, 4), Verdict::Missed(2)),
            (stamp(3, 3), Verdict::Repeated),
            (stamp(3, 5), Verdict::InOrder),
            (stamp(7, 2), Verdict::Missed(1)),
            (stamp(4, 0), Verdict::Foreign),
        ] {
            assert_eq!(checker.hear(heard), verdict, "{heard:?}");
        }
    }

    #[test]
    fn who_comes_late_misses_only_what_follows_the_first() {
        let mut checker = SequenceChecker::late([1]);
        assert_eq!(checker.hear(stamp(1, 40)), Verdict::InOrder);
        assert_eq!(checker.hear(stamp(1, 41)), Verdict::InOrder);
        assert_eq!(checker.hear(stamp(1, 43)), Verdict::Missed(1));
    }
}
