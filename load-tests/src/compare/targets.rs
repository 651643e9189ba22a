//! What the comparison is to show: each figure with what it must be and what it aims at.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use super::goals::{Beside, GOALS, Goal};
use super::{Better, Comparison, Entry};
use crate::report::number;
use crate::server_under_test::Kind;

/// How far a target is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Serialize, Deserialize)]
pub struct Target {
    pub figure: String,
    /// The peer, or the case, that it is a ratio to.
    pub against: Option<String>,
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
        let against = self.beside.name();
        Target {
            figure: self.text.to_owned(),
            against: against.map(str::to_owned),
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
            "  {:<44} {:<13} {:>9} {:>9} {:>9}  reached",
            "", "beside", "measured", "must", "aim"
        )?;
        for target in self.0 {
            let measured = target.measured.map_or_else(|| "-".to_owned(), number);
            writeln!(
                out,
                "  {:<44} {:<13} {measured:>9} {:>9} {:>9}  {}",
                target.figure,
                target.against.as_deref().unwrap_or(""),
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
    use super::super::cases::{CPU, DELIVERIES, IDLE, Plan};
    use super::*;

    /// The goal of this figure beside that, or beside nothing.
    fn goal(case: &str, figure: &str, beside: &str) -> &'static Goal {
        let is_it = |goal: &&Goal| {
            let name = goal.beside.name().unwrap_or_default();
            goal.case == case && goal.figure == figure && name == beside
        };
        GOALS.iter().find(is_it).unwrap()
    }

    fn comparison(goal: &Goal, better: Better, medians: &[(Kind, f64)]) -> Comparison {
        let entries = medians
            .iter()
            .map(|(kind, median)| Entry::of(kind.name(), vec![*median]).unwrap())
            .collect();
        Comparison {
            case: goal.case.to_owned(),
            figure: goal.figure.to_owned(),
            better,
            entries,
        }
    }

    fn reached(goal: &Goal, better: Better, medians: &[(Kind, f64)]) -> Reached {
        goal.judge(&[comparison(goal, better, medians)]).reached
    }

    #[test]
    fn a_target_is_reached_from_its_own_side() {
        let faster = goal("fanout-socketio-200B", DELIVERIES, "node");
        let cheaper = goal("fanout-socketio-200B", CPU, "socketioxide");
        let leaner = goal("idle-socketio", IDLE, "");
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
            reached(leaner, Better::Lower, &[(ours, 4_000.0)]),
            Reached::Aim
        );
        assert_eq!(
            reached(faster, Better::Higher, &[(ours, 9_000.0)]),
            Reached::NotMeasured
        );
    }

    #[test]
    fn a_case_is_put_beside_another() {
        let rooms = goal("rooms-10000", "server_cpu_us_per_broadcast", "rooms-100");
        let few = Comparison {
            case: "rooms-100".to_owned(),
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
                let figures = case.figures();
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
