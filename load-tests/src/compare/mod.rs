//! orgcast beside what one would use instead: the same scenarios, on one machine, in one run.
//!
//! Runs are interleaved, and every second round goes backwards (A B C, C B A), so that whatever else
//! the machine does, and whatever one run leaves behind for the next, falls on everybody; of several
//! runs the median counts, and the least and the most are shown with it.

mod cases;
mod chart;
pub mod figures;
mod goals;
mod markdown;
mod targets;

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::path::PathBuf;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::client::Dial;
use crate::error::{ClientError, LoadError};
use crate::options::{Common, Run};
use crate::report::{Report, number};
use crate::scenario::{fanout, idle, rooms, storm};
use crate::server_under_test::Kind;
use cases::{Case, Plan, What};
use targets::Target;

#[derive(Debug, Clone, Args)]
pub struct Options {
    /// One to two minutes, with fewer and shorter runs
    #[arg(long)]
    pub quick: bool,
    /// Runs of each server in each case; their median counts
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Only these servers
    #[arg(long, value_enum, value_delimiter = ',')]
    pub only: Vec<Kind>,
    /// Only cases whose name contains one of these
    #[arg(long, value_delimiter = ',')]
    pub cases: Vec<String>,
    /// Also draw the figures into this file
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    Higher,
    Lower,
}

/// One figure of one server: the median of its runs, and what they were.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    pub subject: String,
    pub median: f64,
    pub min: f64,
    pub max: f64,
    /// orgcast's median divided by this one.
    pub orgcast_ratio: Option<f64>,
    pub runs: Vec<f64>,
}

/// One figure of a case, for all servers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Comparison {
    pub case: String,
    pub figure: String,
    pub better: Better,
    pub entries: Vec<Entry>,
}

/// Everything that was compared.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Whether runs were few and short.
    pub quick: bool,
    /// Runs of each server in each case.
    pub rounds: usize,
    /// Processors, which servers and generator share.
    pub processors: usize,
    pub comparisons: Vec<Comparison>,
    pub targets: Vec<Target>,
    /// Runs that could not be made, or failed; each once.
    pub faults: BTreeSet<String>,
    /// Whether one of the faults is orgcast's.
    pub orgcast_failed: bool,
}

/// Runs the comparison. What a peer can't do is noted and left out.
pub async fn run(common: &Common, options: &Options) -> Result<Outcome, LoadError> {
    let plan = Plan::new(options.quick);
    let rounds = options.rounds.unwrap_or(plan.rounds).max(1);
    let mut outcome = Outcome {
        quick: options.quick,
        rounds,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        ..Outcome::default()
    };
    let is_asked_for = |kind: &Kind| options.only.is_empty() || options.only.contains(kind);
    let mut cases = plan.cases;
    cases.retain(|case| {
        options.cases.is_empty() || options.cases.iter().any(|part| case.name.contains(part))
    });
    for case in &mut cases {
        case.subjects.retain(is_asked_for);
        case.subjects
            .retain(|kind| match common.server_under_test(*kind).missing() {
                Some(why) => {
                    outcome.faults.insert(format!("{}: {why}", kind.name()));
                    false
                }
                None => true,
            });
    }
    for beside in cases.chunk_by(Case::is_beside) {
        outcome.measure(common, beside, rounds).await;
    }
    outcome.targets = targets::judge(&outcome.comparisons);
    print!("{}", targets::Table(&outcome.targets));
    for fault in &outcome.faults {
        println!("not compared: {fault}");
    }
    if let Some(path) = &options.svg {
        std::fs::write(path, chart::draw(&outcome.comparisons, &outcome.targets))
            .map_err(|error| LoadError::Write(path.clone(), error))?;
    }
    Ok(outcome)
}

/// The order of a round: every second one is reversed.
fn in_turn<T>(subjects: &mut [T], round: usize) -> impl Iterator<Item = &mut T> {
    let mut left = subjects.iter_mut();
    std::iter::from_fn(move || {
        if round.is_multiple_of(2) {
            left.next_back()
        } else {
            left.next()
        }
    })
}

async fn once(common: &Common, case: &Case, kind: Kind) -> Result<Report, LoadError> {
    let run = Run {
        server_under_test: common.server_under_test(kind),
        url: None,
        dial: Dial {
            deflate: case.deflate,
            tls: case.tls,
            ..Dial::new(case.protocol)
        },
        threads: common.threads.into(),
    };
    match &case.what {
        What::Fanout(options) => fanout::run(&run, options).await,
        What::Storm(options) => storm::run(&run, options).await,
        What::Idle(options) => idle::run(&run, options).await,
        What::Rooms(options) => rooms::run(&run, options).await,
    }
}

impl Outcome {
    /// Measures cases that are to be compared with each other, all in each round.
    async fn measure(&mut self, common: &Common, cases: &[Case], rounds: usize) {
        let mut reports: Vec<Vec<(Kind, Vec<Report>)>> = cases
            .iter()
            .map(|case| {
                case.subjects
                    .iter()
                    .map(|kind| (*kind, Vec::new()))
                    .collect()
            })
            .collect();
        for round in 1..=rounds {
            for (case, reports) in cases.iter().zip(&mut reports) {
                if case.is_steady && round > 1 {
                    continue;
                }
                let rounds = if case.is_steady { 1 } else { rounds };
                for (kind, reports) in in_turn(reports, round) {
                    eprintln!("{}: {} ({round} of {rounds})", case.name, kind.name());
                    match once(common, case, *kind).await {
                        Ok(report) if !report.is_failed() => reports.push(report),
                        Ok(report) => self.blame(case, *kind, &report.faults.join("; ")),
                        // Not to offer it is a choice.
                        Err(LoadError::Joining {
                            first: first @ ClientError::NoDeflate,
                            ..
                        }) => self.note(case, *kind, &first.to_string()),
                        Err(error) => self.blame(case, *kind, &error.to_string()),
                    }
                }
            }
        }
        for (case, reports) in cases.iter().zip(&reports) {
            for (figure, better) in case.figures() {
                let comparison = Comparison::of(case.name, figure, *better, reports);
                print!("{comparison}");
                self.comparisons.push(comparison);
            }
        }
    }

    fn blame(&mut self, case: &Case, kind: Kind, problem: &str) {
        self.orgcast_failed |= kind == Kind::Orgcast;
        self.note(case, kind, problem);
    }

    fn note(&mut self, case: &Case, kind: Kind, problem: &str) {
        let fault = format!("{}, {}: {problem}", case.name, kind.name());
        self.faults.insert(fault);
    }
}

impl Comparison {
    fn of(case: &str, figure: &str, better: Better, reports: &[(Kind, Vec<Report>)]) -> Self {
        let mut entries: Vec<Entry> = reports
            .iter()
            .filter_map(|(kind, reports)| {
                let runs: Vec<f64> = reports
                    .iter()
                    .filter_map(|report| report.figure(figure))
                    .collect();
                Entry::of(kind.name(), runs)
            })
            .collect();
        let ours = entries
            .iter()
            .find(|entry| entry.subject == Kind::Orgcast.name())
            .map(|entry| entry.median);
        for entry in &mut entries {
            entry.orgcast_ratio = ours.map(|ours| ours / entry.median);
        }
        Self {
            case: case.to_owned(),
            figure: figure.to_owned(),
            better,
            entries,
        }
    }
}

impl Entry {
    fn of(subject: &str, runs: Vec<f64>) -> Option<Self> {
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = match sorted.len() {
            0 => return None,
            odd if odd % 2 == 1 => sorted[middle],
            _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
        };
        Some(Self {
            subject: subject.to_owned(),
            median,
            min: sorted[0],
            max: sorted[sorted.len() - 1],
            orgcast_ratio: None,
            runs,
        })
    }
}

impl Display for Comparison {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let better = match self.better {
            Better::Higher => "more is better",
            Better::Lower => "less is better",
        };
        writeln!(out, "{}: {} ({better})", self.case, self.figure)?;
        let (name, columns) = ("", ["median", "min", "max", "orgcast / it"]);
        writeln!(
            out,
            "  {name:<14} {:>12} {:>12} {:>12} {:>14}",
            columns[0], columns[1], columns[2], columns[3]
        )?;
        for entry in &self.entries {
            let ratio = entry
                .orgcast_ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.3}"));
            writeln!(
                out,
                "  {:<14} {:>12} {:>12} {:>12} {ratio:>14}",
                entry.subject,
                number(entry.median),
                number(entry.min),
                number(entry.max)
            )?;
        }
        writeln!(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every figure of the plan, for orgcast and Node.
    pub(super) fn outcome() -> Outcome {
        let measured = |figure: &str| match figure {
            cases::DELIVERIES => [573_000.0, 100_000.0],
            _ => [1.9, 3.8],
        };
        let of_case = |case: &Case| {
            let of_figure = |(figure, better): &(&'static str, Better)| {
                let entry = |kind: Kind, value| (kind, vec![report(figure, value)]);
                let [ours, node] = measured(figure);
                let reports = [entry(Kind::Orgcast, ours), entry(Kind::Node, node)];
                Comparison::of(case.name, figure, *better, &reports)
            };
            case.figures().iter().map(of_figure).collect()
        };
        let plan = Plan::new(false);
        let comparisons: Vec<Comparison> =
            plan.cases.iter().flat_map::<Vec<_>, _>(of_case).collect();
        Outcome {
            rounds: plan.rounds,
            processors: 2,
            targets: targets::judge(&comparisons),
            comparisons,
            ..Outcome::default()
        }
    }

    fn report(figure: &str, value: f64) -> Report {
        let mut report = Report::default();
        report.add(figure, value);
        report
    }

    #[test]
    fn every_second_round_goes_backwards() {
        let mut subjects = ['a', 'b', 'c'];
        let mut order = |round| in_turn(&mut subjects, round).map(|one| *one).collect();
        let orders: [String; 3] = [order(1), order(2), order(3)];
        assert_eq!(orders, ["abc", "cba", "abc"]);
    }

    #[test]
    fn the_median_counts_and_the_ratio_is_ours_to_theirs() {
        let runs = |values: &[f64]| {
            let reports = values.iter().map(|value| report("speed", *value));
            reports.collect()
        };
        let reports = [
            (Kind::Orgcast, runs(&[9.0, 30.0, 10.0])),
            (Kind::Node, runs(&[4.0, 6.0])),
            (Kind::Bun, Vec::new()),
        ];
        let comparison = Comparison::of("case", "speed", Better::Higher, &reports);
        let [ours, node] = &comparison.entries[..] else {
            panic!("{comparison}");
        };
        assert_eq!((ours.median, ours.min, ours.max), (10.0, 9.0, 30.0));
        assert_eq!((node.median, node.orgcast_ratio), (5.0, Some(2.0)));
        assert!(comparison.to_string().contains("2.00"), "{comparison}");
        let targets = targets::judge(&[]);
        let chart = chart::draw(&[comparison], &targets);
        assert!(
            chart.contains(">orgcast<") && chart.contains(">× 2.00<"),
            "{chart}"
        );
        assert!(!chart.contains(">targets<"), "none was measured: {chart}");
    }
}
