//! A bar chart as SVG, and the targets beneath it.

use std::fmt::Write as _;

use super::targets::{Reached, Target};
use super::{Better, Comparison, Entry};
use crate::report::number;
use crate::server_under_test::Kind;

const WIDTH: f64 = 760.0;
const MARGIN: f64 = 12.0;
/// Where bars begin, and how long the longest is, in pixels: a number fits behind it, and a ratio
/// behind that.
const LEFT: f64 = 110.0;
const LENGTH: f64 = 450.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;
const TITLE: f64 = 34.0;

const OURS: &str = "#0b7285";
const THEIRS: &str = "#ced4da";
const FAINT: &str = "#6c757d";

const LEGEND: &str = "bars: medians, lines: from the least to the most of the runs; at the right: \
                      orgcast's median divided by it";

/// Where the columns of the targets begin, or end where they hold numbers.
const BESIDE: f64 = 290.0;
const NUMBERS: [f64; 3] = [480.0, 560.0, 640.0];
const REACHED: f64 = 665.0;

/// Draws every comparison as a group of bars, and then the targets.
pub(super) fn draw(comparisons: &[Comparison], targets: &[Target]) -> String {
    let mut chart = Chart {
        body: String::new(),
        y: MARGIN,
    };
    chart.y += 12.0;
    chart.text(MARGIN, "start", FAINT, LEGEND);
    // One bar alone compares nothing.
    for comparison in comparisons.iter().filter(|some| some.entries.len() > 1) {
        chart.group(comparison);
    }
    if targets
        .iter()
        .any(|target| target.reached != Reached::NotMeasured)
    {
        chart.targets(targets);
    }
    let Chart { body, y } = chart;
    let height = y + MARGIN;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

struct Chart {
    body: String,
    /// The base line of the text that comes next.
    y: f64,
}

impl Chart {
    fn text(&mut self, x: f64, anchor: &str, color: &str, text: &str) {
        let y = self.y;
        self.put(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{color}\">{text}</text>"
        ));
    }

    fn title(&mut self, text: &str) {
        self.y += TITLE;
        let y = self.y;
        self.put(&format!(
            "<text x=\"{MARGIN}\" y=\"{y:.1}\" font-weight=\"bold\">{text}</text>"
        ));
    }

    fn put(&mut self, line: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(self.body, "{line}");
    }

    fn group(&mut self, comparison: &Comparison) {
        let better = match comparison.better {
            Better::Higher => "more is better",
            Better::Lower => "less is better",
        };
        let figure = words(&comparison.figure);
        self.title(&format!("{}: {figure} ({better})", comparison.case));
        self.y += 8.0 + BAR;
        let most = comparison.entries.iter().map(|entry| entry.max);
        let most = most.fold(0.0, f64::max);
        let scale = if most > 0.0 { LENGTH / most } else { 0.0 };
        for entry in &comparison.entries {
            self.bar(entry, scale);
        }
        self.y -= BAR + GAP;
    }

    fn bar(&mut self, entry: &Entry, scale: f64) {
        let is_ours = entry.subject == Kind::Orgcast.name();
        let color = if is_ours { OURS } else { THEIRS };
        let length = (entry.median * scale).max(0.0);
        let top = self.y - BAR + 5.0;
        self.text(LEFT - 8.0, "end", "#000", &entry.subject);
        self.put(&format!(
            "<rect x=\"{LEFT}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>"
        ));
        let (from, to) = (
            LEFT + entry.min.max(0.0) * scale,
            LEFT + entry.max.max(0.0) * scale,
        );
        if to - from > 1.0 {
            let (upper, middle, lower) = (top + 5.0, top + BAR / 2.0, top + BAR - 5.0);
            self.put(&format!(
                "<path d=\"M{from:.1} {upper:.1}V{lower:.1}M{from:.1} {middle:.1}H{to:.1}M{to:.1} \
                 {upper:.1}V{lower:.1}\" stroke=\"#212529\" fill=\"none\"/>"
            ));
        }
        self.text(to + 6.0, "start", "#000", &number(entry.median));
        if let Some(ratio) = entry.orgcast_ratio.filter(|_| !is_ours) {
            self.text(WIDTH - MARGIN, "end", FAINT, &format!("× {ratio:.2}"));
        }
        self.y += BAR + GAP;
    }

    fn targets(&mut self, targets: &[Target]) {
        self.title("targets");
        self.text(BESIDE, "start", FAINT, "orgcast / it");
        for (x, name) in NUMBERS.into_iter().zip(["measured", "must", "aim"]) {
            self.text(x, "end", FAINT, name);
        }
        self.text(REACHED, "start", FAINT, "reached");
        for target in targets {
            self.y += BAR;
            self.text(MARGIN, "start", "#000", &target.figure);
            self.text(
                BESIDE,
                "start",
                "#000",
                target.against.as_deref().unwrap_or(""),
            );
            let measured = target.measured.map_or_else(String::new, number);
            let numbers = [measured, number(target.must), number(target.aim)];
            for (x, text) in NUMBERS.into_iter().zip(numbers) {
                self.text(x, "end", "#000", &text);
            }
            let color = match target.reached {
                Reached::Aim | Reached::Must => OURS,
                Reached::No => "#c92a2a",
                Reached::NotMeasured => FAINT,
            };
            self.text(REACHED, "start", color, target.reached.name());
        }
    }
}

/// A figure's name for people.
fn words(figure: &str) -> String {
    let words = figure.replace('_', " ").replace("cpu", "CPU");
    words.replace(" us", " µs")
}
