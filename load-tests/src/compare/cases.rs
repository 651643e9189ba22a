//! What is compared, with whom.

use super::Better;
use crate::client::Protocol;
use crate::scenario::{fanout, idle, rooms, storm};
use crate::subject::Kind;

/// A scenario with its options.
#[derive(Debug, Clone)]
pub(super) enum What {
    Fanout(fanout::Options),
    Storm(storm::Options),
    Idle(idle::Options),
    Rooms(rooms::Options),
}

impl What {
    /// The figures that are compared.
    pub fn figures(&self) -> &'static [(&'static str, Better)] {
        match self {
            Self::Fanout(options) if options.paced.is_some() => &[
                ("server_cpu_us_per_delivery", Better::Lower),
                ("latency_p99_us", Better::Lower),
            ],
            Self::Fanout(_) => &[
                ("deliveries_per_second", Better::Higher),
                ("server_cpu_us_per_delivery", Better::Lower),
                ("server_resident_bytes", Better::Lower),
            ],
            Self::Storm(_) => &[
                ("connections_per_second", Better::Higher),
                ("server_cpu_us_per_connection", Better::Lower),
            ],
            Self::Idle(_) => &[("bytes_per_connection", Better::Lower)],
            Self::Rooms(_) => &[("server_cpu_us_per_broadcast", Better::Lower)],
        }
    }
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub name: &'static str,
    pub protocol: Protocol,
    pub deflate: bool,
    pub what: What,
    pub subjects: Vec<Kind>,
    /// It hardly differs from run to run: one is enough.
    pub is_steady: bool,
}

impl Case {
    /// Whether the two are compared with each other, so that their runs are interleaved, too.
    pub fn is_beside(&self, other: &Self) -> bool {
        matches!((&self.what, &other.what), (What::Rooms(_), What::Rooms(_)))
    }
}

#[derive(Debug)]
pub(super) struct Plan {
    pub cases: Vec<Case>,
    pub rounds: usize,
}

const SOCKET_IO: [Kind; 5] = [
    Kind::Orgcast,
    Kind::Node,
    Kind::Bun,
    Kind::Socketioxide,
    Kind::Floor,
];
const PLAIN: [Kind; 4] = [Kind::Orgcast, Kind::BunNative, Kind::Nchan, Kind::Floor];

fn case(name: &'static str, protocol: Protocol, subjects: &[Kind], what: What) -> Case {
    Case {
        name,
        protocol,
        deflate: false,
        what,
        subjects: subjects.to_vec(),
        is_steady: false,
    }
}

fn flood(size: usize, seconds: f64) -> What {
    What::Fanout(fanout::Options {
        size,
        seconds,
        ..fanout::Options::default()
    })
}

fn paced(size: usize, seconds: f64) -> What {
    What::Fanout(fanout::Options {
        size,
        seconds,
        paced: Some(10.0),
        ..fanout::Options::default()
    })
}

fn storm(connections: usize) -> What {
    What::Storm(storm::Options {
        connections,
        room: 100,
    })
}

fn idle(connections: &[usize], settle: f64) -> What {
    What::Idle(idle::Options {
        connections: connections.to_vec(),
        settle,
        room: 100,
    })
}

fn rooms(rooms: usize, seconds: f64) -> What {
    What::Rooms(rooms::Options {
        rooms,
        seconds,
        members: 10,
        connections: 1000,
        size: 200,
        publishers: 4,
        window: 16,
    })
}

impl Plan {
    pub fn new(quick: bool) -> Self {
        if quick { Self::quick() } else { Self::full() }
    }

    /// About ten minutes.
    fn full() -> Self {
        use Protocol::{Plain, Socketio};
        const SECONDS: f64 = 4.0;
        let connections = [1000, 5000, 15_000];
        let deflated = |name, protocol, subjects: &[Kind]| Case {
            deflate: true,
            ..case(name, protocol, subjects, paced(4096, SECONDS))
        };
        let steady = |case| Case {
            is_steady: true,
            ..case
        };
        let cases = vec![
            case(
                "fanout-socketio-200B",
                Socketio,
                &SOCKET_IO,
                flood(200, SECONDS),
            ),
            case(
                "fanout-socketio-2KB",
                Socketio,
                &[Kind::Orgcast, Kind::Node],
                flood(2048, SECONDS),
            ),
            case(
                "paced-socketio-200B",
                Socketio,
                &SOCKET_IO,
                paced(200, SECONDS),
            ),
            case("fanout-plain-200B", Plain, &PLAIN, flood(200, SECONDS)),
            case("paced-plain-200B", Plain, &PLAIN, paced(200, SECONDS)),
            deflated(
                "deflated-socketio-4KB",
                Socketio,
                &[Kind::Orgcast, Kind::Node],
            ),
            deflated(
                "deflated-plain-4KB",
                Plain,
                &[Kind::Orgcast, Kind::BunNative],
            ),
            case("storm-socketio", Socketio, &SOCKET_IO, storm(5000)),
            // To nchan nobody has to say who they are.
            case(
                "storm-plain",
                Plain,
                &[Kind::Orgcast, Kind::BunNative, Kind::Floor],
                storm(5000),
            ),
            case("rooms-100", Socketio, &[Kind::Orgcast], rooms(100, SECONDS)),
            case(
                "rooms-10000",
                Socketio,
                &[Kind::Orgcast],
                rooms(10_000, SECONDS),
            ),
            steady(case(
                "idle-socketio",
                Socketio,
                &SOCKET_IO[..4],
                idle(&connections, 3.0),
            )),
            steady(case(
                "idle-plain",
                Plain,
                &PLAIN[..3],
                idle(&connections, 3.0),
            )),
        ];
        Self { cases, rounds: 3 }
    }

    /// About a minute.
    fn quick() -> Self {
        use Protocol::{Plain, Socketio};
        const SECONDS: f64 = 1.0;
        let one = [Kind::Orgcast, Kind::Node, Kind::Socketioxide, Kind::Floor];
        let two = &PLAIN[..3];
        let cases = vec![
            case("fanout-socketio-200B", Socketio, &one, flood(200, SECONDS)),
            case("paced-socketio-200B", Socketio, &one, paced(200, SECONDS)),
            case("fanout-plain-200B", Plain, two, flood(200, SECONDS)),
            case("paced-plain-200B", Plain, two, paced(200, SECONDS)),
            Case {
                deflate: true,
                ..case(
                    "deflated-socketio-4KB",
                    Socketio,
                    &one[..2],
                    paced(4096, SECONDS),
                )
            },
            case("rooms-100", Socketio, &one[..1], rooms(100, SECONDS)),
            case("rooms-10000", Socketio, &one[..1], rooms(10_000, SECONDS)),
            case(
                "storm-socketio",
                Socketio,
                &[Kind::Orgcast, Kind::Bun],
                storm(2000),
            ),
            case(
                "idle-socketio",
                Socketio,
                &one[..2],
                idle(&[500, 2500], 1.0),
            ),
            case("idle-plain", Plain, two, idle(&[500, 2500], 1.0)),
        ];
        Self { cases, rounds: 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_asked_for_a_protocol_that_they_do_not_speak() {
        for case in Plan::full().cases.iter().chain(&Plan::quick().cases) {
            for kind in &case.subjects {
                assert!(kind.speaks(case.protocol), "{} {}", case.name, kind.name());
            }
            assert_eq!(case.subjects[0], Kind::Orgcast);
        }
    }
}
