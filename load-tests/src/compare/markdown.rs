//! What a comparison found as tables for documents.

use std::fmt::Write as _;

use super::cases::{CONNECTIONS, CPU, CPU_OF_CONNECTION, DELIVERIES, IDLE, P50, P99};
use super::targets::{Reached, Target};
use super::{Comparison, Outcome};
use crate::report::number;
use crate::server_under_test::Kind;

/// The names of all tables.
pub(super) const BLOCKS: [&str; 5] = ["headline", "cpu", "speed", "latency", "targets"];

/// A line of a table: a figure of a case, for all servers.
struct Row {
    text: &'static str,
    case: &'static str,
    figure: &'static str,
}

const fn row(text: &'static str, case: &'static str, figure: &'static str) -> Row {
    Row { text, case, figure }
}

/// A column, as it is headed.
type Column = (Kind, &'static str);

const ONE: &str = "one-publisher-socketio-200B";
const LONE: &str = "one-under-way-socketio-200B";
const FOUR: &str = "fanout-socketio-200B";

const HEADLINE_COLUMNS: [Column; 4] = [
    (Kind::Orgcast, "orgcast"),
    (Kind::Socketioxide, "bare socketioxide"),
    (Kind::Bun, "Bun"),
    (Kind::Node, "Node"),
];

const HEADLINE: [Row; 6] = [
    row(
        "one publisher, 16 under way: deliveries a second",
        ONE,
        DELIVERIES,
    ),
    row("the same: server CPU a delivery", ONE, CPU),
    row(
        "one publisher, one under way: half of the room has it after",
        LONE,
        P50,
    ),
    row("the same: 99 % have it after", LONE, P99),
    row(
        "four publishers, 16 under way: deliveries a second",
        FOUR,
        DELIVERIES,
    ),
    row("the same: server CPU a delivery", FOUR, CPU),
];

const ALL: [Column; 7] = [
    (Kind::Orgcast, "orgcast"),
    (Kind::Node, "Node"),
    (Kind::Bun, "Bun"),
    (Kind::Socketioxide, "bare socketioxide"),
    (Kind::BunNative, "Bun, plain"),
    (Kind::Nchan, "nchan"),
    (Kind::Floor, "floor"),
];

const CPU_ROWS: [Row; 12] = [
    row("one publisher, Socket.IO, 1000 × 200 B", ONE, CPU),
    row("four publishers, Socket.IO, 1000 × 200 B", FOUR, CPU),
    row("the same, 2 KB", "fanout-socketio-2KB", CPU),
    row("the same, 200 B over TLS", "tls-socketio-200B", CPU),
    row(
        "ten broadcasts a second, Socket.IO",
        "paced-socketio-200B",
        CPU,
    ),
    row("the same, polling", "polling-paced-200B", CPU),
    row(
        "four publishers, plain, 1000 × 200 B",
        "fanout-plain-200B",
        CPU,
    ),
    row("ten broadcasts a second, plain", "paced-plain-200B", CPU),
    row(
        "ten a second of 4 KB, compressed, Socket.IO",
        "deflated-socketio-4KB",
        CPU,
    ),
    row("the same, plain", "deflated-plain-4KB", CPU),
    row(
        "connect, authenticate, subscribe, Socket.IO",
        "storm-socketio",
        CPU_OF_CONNECTION,
    ),
    row("the same, plain", "storm-plain", CPU_OF_CONNECTION),
];

const SPEED_ROWS: [Row; 7] = [
    row(
        "deliveries a second, one publisher, Socket.IO, 200 B",
        ONE,
        DELIVERIES,
    ),
    row(
        "deliveries a second, four publishers, Socket.IO, 200 B",
        FOUR,
        DELIVERIES,
    ),
    row("the same over TLS", "tls-socketio-200B", DELIVERIES),
    row(
        "deliveries a second, four publishers, plain, 200 B",
        "fanout-plain-200B",
        DELIVERIES,
    ),
    row(
        "connections a second, Socket.IO",
        "storm-socketio",
        CONNECTIONS,
    ),
    row("bytes an idle Socket.IO connection", "idle-socketio", IDLE),
    row("bytes an idle plain connection", "idle-plain", IDLE),
];

const LATENCY_ROWS: [Row; 5] = [
    row("one publisher, one under way, Socket.IO, p50", LONE, P50),
    row("the same, p99", LONE, P99),
    row(
        "ten broadcasts a second, Socket.IO, p99",
        "paced-socketio-200B",
        P99,
    ),
    row(
        "ten broadcasts a second, polling, p50",
        "polling-paced-200B",
        P50,
    ),
    row("the same, p99", "polling-paced-200B", P99),
];

/// A table by its name. An error says what the comparison has not measured.
pub(super) fn render(
    name: &str,
    outcome: &Outcome,
    picture: Option<&str>,
) -> Result<String, String> {
    match name {
        "headline" => {
            let mut text = sentence(outcome)?;
            text.push_str(&table(
                "1,000 clients in a room, 200 bytes, Socket.IO",
                &HEADLINE_COLUMNS,
                &HEADLINE,
                outcome,
            )?);
            if let Some(picture) = picture {
                put(&mut text, &format!("\n![The same as bars]({picture})"));
            }
            Ok(text)
        }
        "cpu" => table(
            "server CPU a delivery or connection",
            &ALL,
            &CPU_ROWS,
            outcome,
        ),
        "speed" => table("", &ALL, &SPEED_ROWS, outcome),
        "latency" => table("latency", &ALL, &LATENCY_ROWS, outcome),
        "targets" => Ok(targets(&outcome.targets)),
        other => Err(format!(
            "there is no table `{other}`; there are {}",
            BLOCKS.join(", ")
        )),
    }
}

/// The comparisons that the headline shows.
pub(super) fn headline(outcome: &Outcome) -> Vec<Comparison> {
    HEADLINE
        .iter()
        .filter_map(|row| row.find(outcome).cloned())
        .collect()
}

impl Row {
    fn find<'a>(&self, outcome: &'a Outcome) -> Option<&'a Comparison> {
        outcome
            .comparisons
            .iter()
            .find(|found| found.case == self.case && found.figure == self.figure)
    }

    fn value(&self, outcome: &Outcome, kind: Kind) -> Option<f64> {
        let entries = &self.find(outcome)?.entries;
        let entry = entries.iter().find(|entry| entry.subject == kind.name())?;
        Some(entry.median)
    }

    /// orgcast's, without which there is nothing to say.
    fn ours(&self, outcome: &Outcome) -> Result<f64, String> {
        self.value(outcome, Kind::Orgcast).ok_or_else(|| {
            format!(
                "orgcast's `{}` of the case `{}` was not measured",
                self.figure, self.case
            )
        })
    }

    fn cell(&self, value: f64) -> String {
        if self.figure.starts_with("latency") {
            format!("{} ms", rounded(value / 1000.0))
        } else if self.figure.contains("_us_") {
            format!("{} µs", rounded(value))
        } else {
            rounded(value)
        }
    }
}

fn put(text: &mut String, line: &str) {
    // Writing to a text does not fail.
    let _ = writeln!(text, "{line}");
}

fn sentence(outcome: &Outcome) -> Result<String, String> {
    let [deliveries, cpu, half, _, four, four_cpu] = &HEADLINE;
    let cell = |row: &Row| Ok::<_, String>(row.cell(row.ours(outcome)?));
    let beside = |row: &Row, kind, name: &str| {
        let other = row.value(outcome, kind)?;
        let ratio = rounded(row.ours(outcome).ok()? / other);
        Some(format!("{ratio} times {name}"))
    };
    let ratios: Vec<String> = [
        (Kind::Socketioxide, "a bare socketioxide server"),
        (Kind::Bun, "Socket.IO on Bun"),
        (Kind::Node, "Socket.IO on Node"),
    ]
    .into_iter()
    .filter_map(|(kind, name)| beside(deliveries, kind, name))
    .collect();
    let mut text = String::new();
    put(
        &mut text,
        &format!(
            "One backend that posts one broadcast after the other to a room of 1,000: **{} deliveries a \
             second, at {} of server CPU each**; {}.",
            cell(deliveries)?,
            cell(cpu)?,
            ratios.join(", ")
        ),
    );
    put(
        &mut text,
        &format!(
            "With four such backends it is {} at {}. An event that comes alone has reached half of the room \
             after {}.",
            cell(four)?,
            cell(four_cpu)?,
            cell(half)?
        ),
    );
    put(
        &mut text,
        &format!(
            "Medians of {} interleaved runs of `make bench`; servers and generator shared {} cores.\n",
            outcome.rounds, outcome.processors
        ),
    );
    Ok(text)
}

/// Columns in which nothing was measured are left out.
fn table(
    corner: &str,
    columns: &[Column],
    rows: &[Row],
    outcome: &Outcome,
) -> Result<String, String> {
    let columns: Vec<&Column> = columns
        .iter()
        .filter(|(kind, _)| rows.iter().any(|row| row.value(outcome, *kind).is_some()))
        .collect();
    let mut text = String::new();
    let line = |first: &str, cells: &[String]| format!("| {first} | {} |", cells.join(" | "));
    let names: Vec<String> = columns.iter().map(|(_, name)| (*name).to_owned()).collect();
    put(&mut text, &line(corner, &names));
    put(&mut text, &format!("|{}", "---|".repeat(columns.len() + 1)));
    for row in rows {
        row.ours(outcome)?;
        let cells: Vec<String> = columns
            .iter()
            .map(|(kind, _)| row.value(outcome, *kind))
            .map(|value| value.map_or_else(String::new, |value| row.cell(value)))
            .collect();
        put(&mut text, &line(row.text, &cells));
    }
    Ok(text)
}

fn targets(targets: &[Target]) -> String {
    let mut text = String::new();
    put(
        &mut text,
        "| figure | beside | measured | must | aim | reached |",
    );
    put(&mut text, "|---|---|---|---|---|---|");
    for target in targets {
        let beside = target.against.as_deref().unwrap_or("");
        let shown = |value: f64| match target.against {
            Some(_) => ratio(value),
            None => rounded(value),
        };
        let measured = target.measured.map_or_else(String::new, shown);
        let reached = match target.reached {
            Reached::No => "**no**",
            other => other.name(),
        };
        put(
            &mut text,
            &format!(
                "| {} | {beside} | {measured} | {} | {} | {reached} |",
                target.figure,
                shown(target.must),
                shown(target.aim)
            ),
        );
    }
    text
}

/// A ratio of which half or less is a fraction.
fn ratio(value: f64) -> String {
    if value > 0.5 {
        return rounded(value);
    }
    format!("1/{}", rounded(1.0 / value))
}

/// Three digits are as many as such figures have.
fn rounded(value: f64) -> String {
    let mut unit = 1.0;
    while value.abs() / unit >= 1000.0 {
        unit *= 10.0;
    }
    if value.abs() >= 999.5 {
        return number((value / unit).round() * unit);
    }
    let decimals = match value.abs() {
        hundreds if hundreds >= 99.95 => 0,
        tens if tens >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole.to_owned(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        for (value, text) in [
            (573_412.0, "573,000"),
            (1_170_400.0, "1,170,000"),
            (999.6, "1,000"),
            (123.4, "123"),
            (12.84, "12.8"),
            (1.357, "1.36"),
            (7.0, "7"),
            (0.056, "0.06"),
        ] {
            assert_eq!(rounded(value), text);
        }
        for (value, text) in [
            (2.0, "2"),
            (0.7, "0.70"),
            (0.5, "1/2"),
            (0.25, "1/4"),
            (1.0 / 18.2, "1/18.2"),
        ] {
            assert_eq!(ratio(value), text);
        }
    }

    #[test]
    fn the_headline_is_the_one_publisher_with_the_four_beside_it() {
        let text = render("headline", &outcome(), Some("docs/figures.svg")).unwrap();
        let first = text.lines().next().unwrap();
        assert!(
            first.contains("**573,000 deliveries a second, at 1.90 µs"),
            "{text}"
        );
        assert!(first.contains("5.73 times Socket.IO on Node"), "{text}");
        assert!(text.contains("| orgcast | Node |"), "{text}");
        assert!(
            text.contains(
                "| one publisher, 16 under way: deliveries a second | 573,000 | 100,000 |"
            ),
            "{text}"
        );
        assert!(text.contains("](docs/figures.svg)"), "{text}");
    }

    #[test]
    fn what_was_not_measured_is_an_error_and_no_hole() {
        let mut partial = outcome();
        partial.comparisons.retain(|found| found.case != FOUR);
        let problem = render("headline", &partial, None).unwrap_err();
        assert!(problem.contains(FOUR), "{problem}");
    }
}
