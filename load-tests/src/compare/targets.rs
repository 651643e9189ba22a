//! What the comparison is to show: each figure with what it must be and what it aims at.

use std::fmt::{self, Display};

use serde::Serialize;

use super::{Better, Comparison, Entry};
use crate::report::number;
use crate::subject::Kind;

/// Beside what a figure of orgcast's is put.
#[derive(Debug, Clone, Copy)]
enum Beside {
    /// The same figure of a peer.
    Peer(Kind),
    /// The same figure of orgcast's in another case.
    Case(&'static str),
    /// Nothing: the figure itself counts.
    Nothing,
}

/// A target as it is set.
#[derive(Debug)]
struct Goal {
    text: &'static str,
    case: &'static str,
    figure: &'static str,
    beside: Beside,
    must: f64,
    aim: f64,
}

const DELIVERIES: &str = "deliveries_per_second";
const CPU: &str = "server_cpu_us_per_delivery";
const IDLE: &str = "bytes_per_connection";

const GOALS: [Goal; 10] = [
    Goal {
        text: "fan-out 1000 × 200 B, deliveries/s",
        case: "fanout-socketio-200B",
        figure: DELIVERIES,
        beside: Beside::Peer(Kind::Node),
        must: 4.5,
        aim: 6.0,
    },
    Goal {
        text: "fan-out 1000 × 200 B, CPU/delivery",
        case: "fanout-socketio-200B",
        figure: CPU,
        beside: Beside::Peer(Kind::Socketioxide),
        must: 0.85,
        aim: 0.6,
    },
    Goal {
        text: "paced 10/s × 1000, CPU/delivery",
        case: "paced-socketio-200B",
        figure: CPU,
        beside: Beside::Peer(Kind::Floor),
        must: 1.15,
        aim: 1.0,
    },
    Goal {
        text: "plain fan-out 1000 × 200 B, deliveries/s",
        case: "fanout-plain-200B",
        figure: DELIVERIES,
        beside: Beside::Peer(Kind::BunNative),
        must: 1.0,
        aim: 1.5,
    },
    Goal {
        text: "plain paced 10/s × 1000, CPU/delivery",
        case: "paced-plain-200B",
        figure: CPU,
        beside: Beside::Peer(Kind::BunNative),
        must: 1.2,
        aim: 1.0,
    },
    Goal {
        text: "compressed 4 KB × 1000, CPU/delivery",
        case: "deflated-socketio-4KB",
        figure: CPU,
        beside: Beside::Peer(Kind::Node),
        must: 1.0 / 12.0,
        aim: 1.0 / 25.0,
    },
    Goal {
        text: "bytes per idle Socket.IO connection",
        case: "idle-socketio",
        figure: IDLE,
        beside: Beside::Nothing,
        must: 15_000.0,
        aim: 9_700.0,
    },
    Goal {
        text: "bytes per idle plain connection",
        case: "idle-plain",
        figure: IDLE,
        beside: Beside::Nothing,
        must: 4_000.0,
        aim: 1_200.0,
    },
    Goal {
        text: "connect storm, connections/s",
        case: "storm-socketio",
        figure: "connections_per_second",
        beside: Beside::Peer(Kind::Bun),
        must: 1.0,
        aim: 1.5,
    },
    Goal {
        text: "broadcast to 10, 10,000 rooms, CPU",
        case: "rooms-10000",
        figure: "server_cpu_us_per_broadcast",
        beside: Beside::Case("rooms-100"),
        must: 1.1,
        aim: 1.0,
    },
];

/// How far a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reached {
    Aim,
    Must,
    No,
    NotMeasured,
}

impl Reached {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Aim => "aim",
            Self::Must => "must",
            Self::No => "no",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A target and what was measured.
#[derive(Debug, Serialize)]
pub struct Target {
    pub figure: &'static str,
    /// The peer, or the case, that it is a ratio to.
    pub against: Option<&'static str>,
    pub better: Option<Better>,
    pub measured: Option<f64>,
    pub must: f64,
    pub aim: f64,
    pub reached: Reached,
}

/// All targets, with what these comparisons say to them.
pub(super) fn judge(comparisons: &[Comparison]) -> Vec<Target> {
    GOALS.iter().map(|goal| goal.judge(comparisons)).collect()
}

impl Goal {
    fn judge(&self, comparisons: &[Comparison]) -> Target {
        let find = |case| {
            comparisons
                .iter()
                .find(|comparison| comparison.case == case && comparison.figure == self.figure)
        };
        let median = |comparison: Option<&Comparison>, kind: Kind| -> Option<f64> {
            let is_it = |entry: &&Entry| entry.subject == kind.name();
            Some(comparison?.entries.iter().find(is_it)?.median)
        };
        let here = find(self.case);
        let base = match self.beside {
            Beside::Peer(kind) => median(here, kind),
            Beside::Case(case) => median(find(case), Kind::Orgcast),
            Beside::Nothing => Some(1.0),
        };
        let ours = median(here, Kind::Orgcast);
        let measured = ours.zip(base).map(|(ours, base)| ours / base);
        let better = here.map(|comparison| comparison.better);
        let holds = |measured: f64, wanted: f64| match better {
            Some(Better::Higher) => measured >= wanted,
            _ => measured <= wanted,
        };
        let reached = match measured {
            None => Reached::NotMeasured,
            Some(measured) if holds(measured, self.aim) => Reached::Aim,
            Some(measured) if holds(measured, self.must) => Reached::Must,
            Some(_) => Reached::No,
        };
        Target {
            figure: self.text,
            against: match self.beside {
                Beside::Peer(kind) => Some(kind.name()),
                Beside::Case(case) => Some(case),
                Beside::Nothing => None,
            },
            better,
            measured,
            must: self.must,
            aim: self.aim,
            reached,
        }
    }
}

/// For people.
pub(super) struct Table<'a>(pub &'a [Target]);

impl Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "targets (orgcast / it, or orgcast's own figure)")?;
        writeln!(
            out,
            "  {:<42} {:<13} {:>9} {:>9} {:>9}  reached",
            "", "beside", "measured", "must", "aim"
        )?;
        for target in self.0 {
            let measured = target.measured.map_or_else(|| "-".to_owned(), number);
            writeln!(
                out,
                "  {:<42} {:<13} {measured:>9} {:>9} {:>9}  {}",
                target.figure,
                target.against.unwrap_or(""),
                number(target.must),
                number(target.aim),
                target.reached.name()
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cases::Plan;
    use super::*;

    fn comparison(goal: &Goal, better: Better, medians: &[(Kind, f64)]) -> Comparison {
        let entries = medians
            .iter()
            .map(|(kind, median)| Entry::of(kind.name(), vec![*median]).unwrap())
            .collect();
        Comparison {
            case: goal.case,
            figure: goal.figure,
            better,
            entries,
        }
    }

    fn reached(goal: &Goal, better: Better, medians: &[(Kind, f64)]) -> Reached {
        goal.judge(&[comparison(goal, better, medians)]).reached
    }

    #[test]
    fn a_target_is_reached_from_its_own_side() {
        let (faster, cheaper, leaner) = (&GOALS[0], &GOALS[1], &GOALS[6]);
        let (ours, node, oxide) = (Kind::Orgcast, Kind::Node, Kind::Socketioxide);
        for (ratio, wanted) in [
            (6.0, Reached::Aim),
            (4.5, Reached::Must),
            (4.4, Reached::No),
        ] {
            let medians = [(ours, ratio * 100.0), (node, 100.0)];
            assert_eq!(reached(faster, Better::Higher, &medians), wanted);
        }
        for (ratio, wanted) in [
            (0.6, Reached::Aim),
            (0.85, Reached::Must),
            (0.9, Reached::No),
        ] {
            let medians = [(ours, ratio), (oxide, 1.0)];
            assert_eq!(reached(cheaper, Better::Lower, &medians), wanted);
        }
        assert_eq!(
            reached(leaner, Better::Lower, &[(ours, 9_000.0)]),
            Reached::Aim
        );
        assert_eq!(
            reached(faster, Better::Higher, &[(ours, 9_000.0)]),
            Reached::NotMeasured
        );
    }

    #[test]
    fn a_case_is_put_beside_another() {
        let rooms = &GOALS[9];
        let few = Comparison {
            case: "rooms-100",
            ..comparison(rooms, Better::Lower, &[(Kind::Orgcast, 10.0)])
        };
        let many = comparison(rooms, Better::Lower, &[(Kind::Orgcast, 10.5)]);
        let target = rooms.judge(&[few, many]);
        assert_eq!(target.reached, Reached::Must);
        assert!(Table(&[target]).to_string().contains("1.050"));
    }

    #[test]
    fn both_plans_measure_every_target() {
        for plan in [Plan::new(false), Plan::new(true)] {
            for goal in &GOALS {
                let case_of = |name: &str| plan.cases.iter().find(|case| case.name == name);
                let case = case_of(goal.case).unwrap();
                let figures = case.what.figures();
                assert!(figures.iter().any(|(figure, _)| *figure == goal.figure));
                match goal.beside {
                    Beside::Peer(kind) => assert!(case.subjects.contains(&kind), "{}", goal.text),
                    Beside::Case(other) => assert!(case_of(other).is_some()),
                    Beside::Nothing => {}
                }
            }
        }
    }
}
