//! What a scenario found, for people and for programs.

use std::fmt::{self, Display};
use std::fs;
use std::path::Path;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::error::LoadError;

/// One number. Its unit is the end of its name where it has one (`_us`, `_per_second`, `_bytes`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
}

/// One run of one scenario against one server.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Report {
    pub scenario: String,
    pub subject: String,
    pub protocol: String,
    pub figures: Vec<Figure>,
    /// Why the run failed; empty if it did not.
    pub faults: Vec<String>,
}

impl Report {
    pub fn new(scenario: &str, subject: &str, protocol: &str) -> Self {
        Self {
            scenario: scenario.to_owned(),
            subject: subject.to_owned(),
            protocol: protocol.to_owned(),
            ..Self::default()
        }
    }

    pub fn add(&mut self, name: impl Into<String>, value: f64) {
        let name = name.into();
        self.figures.push(Figure { name, value });
    }

    /// A count; those of a run are far below 2^52.
    #[expect(clippy::cast_precision_loss, reason = "counts of a run are small")]
    pub fn count(&mut self, name: impl Into<String>, value: u64) {
        self.add(name, value as f64);
    }

    /// Percentiles of latencies in nanoseconds, as microseconds.
    pub fn latencies(&mut self, prefix: &str, latencies: &Histogram<u64>) {
        for (name, quantile) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)] {
            let micros = latencies.value_at_quantile(quantile) / 1000;
            self.count(format!("{prefix}_{name}_us"), micros);
        }
        self.count(format!("{prefix}_max_us"), latencies.max() / 1000);
    }

    pub fn figure(&self, name: &str) -> Option<f64> {
        let found = self.figures.iter().find(|figure| figure.name == name)?;
        Some(found.value)
    }

    pub fn is_failed(&self) -> bool {
        !self.faults.is_empty()
    }
}

impl Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{}  {}  {}",
            self.scenario, self.subject, self.protocol
        )?;
        for Figure { name, value } in &self.figures {
            writeln!(out, "  {name:<36} {:>16}", number(*value))?;
        }
        for fault in &self.faults {
            writeln!(out, "  FAILED: {fault}")?;
        }
        Ok(())
    }
}

/// A number with digits in groups of three, and decimals only where they matter.
pub fn number(value: f64) -> String {
    let decimals = match value.abs() {
        size if size.fract() < f64::EPSILON || size >= 10_000.0 => 0,
        size if size >= 100.0 => 1,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits = whole.trim_start_matches('-');
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    let sign = if whole.starts_with('-') { "-" } else { "" };
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{out}{point}{fraction}")
}

/// Writes something as JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), LoadError> {
    let failed = |error| LoadError::Write(path.to_owned(), error);
    let mut text = serde_json::to_string_pretty(value).map_err(|error| failed(error.into()))?;
    text.push('\n');
    fs::write(path, text).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        for (value, text) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (1234.0, "1,234"),
            (1234.56, "1,234.6"),
            (123_456.7, "123,457"),
            (-1_234_567.0, "-1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
