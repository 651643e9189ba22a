//! A bar chart as SVG.

use std::fmt::Write as _;

use super::{Better, Comparison};
use crate::report::number;
use crate::subject::Kind;

const WIDTH: f64 = 760.0;
/// Where bars begin, and how long the longest is, in pixels.
const LEFT: f64 = 130.0;
const LENGTH: f64 = 470.0;
const BAR: f64 = 18.0;
const GAP: f64 = 6.0;
const TITLE: f64 = 34.0;

/// Draws every comparison as a group of bars; a thin line spans the least and the most of the runs.
pub(super) fn draw(comparisons: &[Comparison]) -> String {
    let mut body = String::new();
    let mut y = 10.0;
    for comparison in comparisons
        .iter()
        .filter(|comparison| !comparison.entries.is_empty())
    {
        y = group(&mut body, comparison, y);
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         viewBox=\"0 0 {WIDTH} {y}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
    )
}

/// Returns where the next group begins.
fn group(out: &mut String, comparison: &Comparison, top: f64) -> f64 {
    let better = match comparison.better {
        Better::Higher => "more is better",
        Better::Lower => "less is better",
    };
    let title = format!("{}: {} ({better})", comparison.case, comparison.figure);
    let mut y = top + TITLE;
    // Writing to a text does not fail.
    let _ = writeln!(
        out,
        "<text x=\"10\" y=\"{}\" font-weight=\"bold\">{title}</text>",
        y - 10.0
    );
    let most = comparison
        .entries
        .iter()
        .map(|entry| entry.max)
        .fold(0.0, f64::max);
    let scale = if most > 0.0 { LENGTH / most } else { 0.0 };
    for entry in &comparison.entries {
        let is_ours = entry.subject == Kind::Orgcast.name();
        let color = if is_ours { "#0b7285" } else { "#adb5bd" };
        let length = (entry.median * scale).max(0.0);
        let (middle, base) = (y + BAR / 2.0, y + BAR - 5.0);
        let (from, to) = (LEFT + entry.min.max(0.0) * scale, LEFT + entry.max * scale);
        let ratio = match entry.orgcast_ratio {
            Some(ratio) if !is_ours => format!(" (orgcast is {ratio:.2} of it)"),
            _ => String::new(),
        };
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\n\
             <rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.1}\" height=\"{BAR}\" fill=\"{color}\"/>\n\
             <line x1=\"{from:.1}\" y1=\"{middle}\" x2=\"{to:.1}\" y2=\"{middle}\" stroke=\"#212529\"/>\n\
             <text x=\"{:.1}\" y=\"{base}\">{}{ratio}</text>\n",
            LEFT - 8.0,
            entry.subject,
            to.max(LEFT + length) + 6.0,
            number(entry.median)
        );
        y += BAR + GAP;
    }
    y + 8.0
}
