//! What one receiver must hear: every message of its streams, once, in order.

use crate::mark::Mark;

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
pub struct Ear {
    /// Sorted by stream.
    streams: Vec<Expected>,
    is_late: bool,
}

impl Ear {
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
        let mut ear = Self::new(streams);
        ear.is_late = true;
        for expected in &mut ear.streams {
            expected.next = None;
        }
        ear
    }

    /// Those who come late are not waited for.
    pub fn is_late(&self) -> bool {
        self.is_late
    }

    pub fn streams(&self) -> impl Iterator<Item = u16> {
        self.streams.iter().map(|expected| expected.stream)
    }

    pub fn hear(&mut self, mark: Mark) -> Verdict {
        let found = match &mut self.streams[..] {
            [only] if only.stream == mark.stream => Some(only),
            streams => streams
                .binary_search_by_key(&mark.stream, |expected| expected.stream)
                .ok()
                .map(|at| &mut streams[at]),
        };
        let Some(Expected { next, .. }) = found else {
            return Verdict::Foreign;
        };
        let due = next.unwrap_or(mark.sequence);
        if mark.sequence < due {
            return Verdict::Repeated;
        }
        *next = Some(mark.sequence + 1);
        match mark.sequence - due {
            0 => Verdict::InOrder,
            missed => Verdict::Missed(missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(stream: u16, sequence: u32) -> Mark {
        Mark {
            stream,
            sequence,
            sent_at: 0,
        }
    }

    #[test]
    fn loss_repetition_and_strangers_are_told_apart() {
        let mut ear = Ear::new([7, 3]);
        for (heard, verdict) in [
            (mark(3, 0), Verdict::InOrder),
            (mark(7, 0), Verdict::InOrder),
            (mark(3, 1), Verdict::InOrder),
            (mark(3, 1), Verdict::Repeated),
            (mark(3, 4), Verdict::Missed(2)),
            (mark(3, 3), Verdict::Repeated),
            (mark(3, 5), Verdict::InOrder),
            (mark(7, 2), Verdict::Missed(1)),
            (mark(4, 0), Verdict::Foreign),
        ] {
            assert_eq!(ear.hear(heard), verdict, "{heard:?}");
        }
    }

    #[test]
    fn who_comes_late_misses_only_what_follows_the_first() {
        let mut ear = Ear::late([1]);
        assert_eq!(ear.hear(mark(1, 40)), Verdict::InOrder);
        assert_eq!(ear.hear(mark(1, 41)), Verdict::InOrder);
        assert_eq!(ear.hear(mark(1, 43)), Verdict::Missed(1));
    }
}
