//! How many there were a second, of late.

/// How many seconds `messages_per_second` looks back.
const WINDOW_SECONDS: usize = 10;

/// Counts by second over the last [`WINDOW_SECONDS`].
#[derive(Debug, Default)]
pub(super) struct RateWindow {
    /// For each slot the second it stands for, and the count in it.
    slots: [(u64, u64); WINDOW_SECONDS],
}

impl RateWindow {
    #[expect(clippy::cast_possible_truncation, reason = "seconds of uptime fit")]
    pub fn add(&mut self, second: u64) {
        let slot = &mut self.slots[second as usize % WINDOW_SECONDS];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += 1;
    }

    /// Messages a second over the window, or over the time since the start if that is shorter.
    #[expect(clippy::cast_precision_loss, reason = "counts of ten seconds")]
    pub fn rate(&self, second: u64) -> f64 {
        let first = second.saturating_sub(WINDOW_SECONDS as u64 - 1);
        let sum: u64 = self
            .slots
            .iter()
            .filter(|slot| (first..=second).contains(&slot.0))
            .map(|slot| slot.1)
            .sum();
        let rate = sum as f64 / (second - first + 1) as f64;
        (rate * 1000.0).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are exact")]
    fn the_rate_is_that_of_the_last_ten_seconds() {
        let mut window = RateWindow::default();
        for second in 0..5 {
            window.add(second);
            window.add(second);
        }
        assert_eq!(window.rate(4), 2.0, "five seconds after the start");
        assert_eq!(window.rate(9), 1.0);
        assert_eq!(
            window.rate(12),
            0.4,
            "two of the five seconds are still in the window"
        );
        assert_eq!(window.rate(100), 0.0);
    }
}
