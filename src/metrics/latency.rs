//! How long something took, as a histogram.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets in microseconds; the last bucket has none.
const BOUNDS: [u64; 16] = [
    100, 250, 500, 1000, 2500, 5000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations that one thread gathers, to add them to a [`Latency`] in one go.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    buckets: [u32; BUCKETS],
    sum_micros: u64,
    max_micros: u64,
}

impl Samples {
    pub fn add(&mut self, time: Duration) {
        let time = micros(time);
        self.buckets[bucket(time)] += 1;
        self.sum_micros += time;
        self.max_micros = self.max_micros.max(time);
    }
}

/// Sum, maximum and distribution of some durations.
#[derive(Debug, Default)]
pub struct Latency {
    buckets: [AtomicU64; BUCKETS],
    sum_micros: AtomicU64,
    max_micros: AtomicU64,
}

/// A [`Latency`] at one moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct LatencySummary {
    pub average_ms: f64,
    pub max_ms: f64,
    pub count: u64,
}

/// The distribution of a [`Latency`] at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Histogram {
    pub sum_seconds: f64,
    pub count: u64,
    /// Upper bounds in seconds, the last one infinite, each with how many are in its bucket alone.
    pub buckets: Vec<(f64, u64)>,
}

impl Latency {
    pub fn record(&self, time: Duration) {
        let time = micros(time);
        self.buckets[bucket(time)].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(time, Ordering::Relaxed);
        self.max_micros.fetch_max(time, Ordering::Relaxed);
    }

    pub fn record_all(&self, samples: &Samples) {
        for (total, count) in self.buckets.iter().zip(samples.buckets) {
            if count > 0 {
                total.fetch_add(count.into(), Ordering::Relaxed);
            }
        }
        self.sum_micros
            .fetch_add(samples.sum_micros, Ordering::Relaxed);
        self.max_micros
            .fetch_max(samples.max_micros, Ordering::Relaxed);
    }

    fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|at| self.buckets[at].load(Ordering::Relaxed))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of microseconds below 2^52 are exact"
    )]
    pub fn summary(&self) -> LatencySummary {
        let count = self.counts().iter().sum();
        let sum = self.sum_micros.load(Ordering::Relaxed);
        LatencySummary {
            average_ms: if count == 0 {
                0.0
            } else {
                round(sum as f64 / count as f64 / 1000.0)
            },
            max_ms: round(self.max_micros.load(Ordering::Relaxed) as f64 / 1000.0),
            count,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "sums of microseconds below 2^52 are exact"
    )]
    pub fn histogram(&self) -> Histogram {
        let counts = self.counts();
        let bounds = BOUNDS.iter().map(|bound| *bound as f64 / 1e6);
        Histogram {
            sum_seconds: self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6,
            count: counts.iter().sum(),
            buckets: bounds.chain([f64::INFINITY]).zip(counts).collect(),
        }
    }
}

fn bucket(micros: u64) -> usize {
    BOUNDS.partition_point(|bound| *bound < micros)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn round(millis: f64) -> f64 {
    (millis * 1000.0).round() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "the values are exact")]
    fn latency_is_averaged_over_its_samples() {
        let latency = Latency::default();
        assert_eq!(latency.summary().average_ms, 0.0);
        latency.record(Duration::from_millis(2));
        let mut samples = Samples::default();
        samples.add(Duration::from_millis(3));
        samples.add(Duration::from_millis(7));
        latency.record_all(&samples);
        let summary = latency.summary();
        assert_eq!(
            (summary.average_ms, summary.max_ms, summary.count),
            (4.0, 7.0, 3)
        );
    }

    #[test]
    fn each_duration_is_in_the_first_bucket_that_it_fits() {
        let latency = Latency::default();
        for micros in [0, 100, 101, 1000, 10_000_000, 10_000_001, u64::MAX / 2] {
            latency.record(Duration::from_micros(micros));
        }
        let histogram = latency.histogram();
        let filled: Vec<_> = histogram
            .buckets
            .iter()
            .filter(|(_, count)| *count > 0)
            .copied()
            .collect();
        let expected = [
            (0.0001, 2),
            (0.000_25, 1),
            (0.001, 1),
            (10.0, 1),
            (f64::INFINITY, 2),
        ];
        assert_eq!(filled, expected);
        assert_eq!(histogram.count, 7);
    }
}
