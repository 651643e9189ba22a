//! What is compared, with whom.

use super::Better;
use crate::client::Protocol;
use crate::scenario::{fanout, idle, rooms, storm};
use crate::server_under_test::Kind;

pub(super) const DELIVERIES: &str = "deliveries_per_second";
pub(super) const CPU: &str = "server_cpu_us_per_delivery";
pub(super) const P50: &str = "latency_p50_us";
pub(super) const P99: &str = "latency_p99_us";
pub(super) const IDLE: &str = "bytes_per_connection";
pub(super) const CONNECTIONS: &str = "connections_per_second";
pub(super) const CPU_OF_CONNECTION: &str = "server_cpu_us_per_connection";

/// A scenario with its options.
#[derive(Debug, Clone)]
pub(super) enum What {
    Fanout(fanout::Options),
    Storm(storm::Options),
    Idle(idle::Options),
    Rooms(rooms::Options),
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub name: &'static str,
    pub protocol: Protocol,
    pub deflate: bool,
    pub tls: bool,
    pub what: What,
    pub subjects: Vec<Kind>,
    /// It hardly differs from run to run: one is enough.
    pub is_steady: bool,
}

impl Case {
    fn deflated(mut self) -> Self {
        self.deflate = true;
        self
    }

    fn encrypted(mut self) -> Self {
        self.tls = true;
        self
    }

    fn steady(mut self) -> Self {
        self.is_steady = true;
        self
    }

    /// The figures that are compared.
    pub fn figures(&self) -> &'static [(&'static str, Better)] {
        match &self.what {
            What::Fanout(_) if self.protocol == Protocol::Polling => &[
                (CPU, Better::Lower),
                (P50, Better::Lower),
                (P99, Better::Lower),
            ],
            What::Fanout(options) if options.paced.is_some() => {
                &[(CPU, Better::Lower), (P99, Better::Lower)]
            }
            What::Fanout(options) if options.window == 1 => &[
                (P50, Better::Lower),
                (P99, Better::Lower),
                (CPU, Better::Lower),
            ],
            What::Fanout(options) if options.publishers == 1 => &[
                (DELIVERIES, Better::Higher),
                (CPU, Better::Lower),
                (P50, Better::Lower),
                (P99, Better::Lower),
            ],
            What::Fanout(_) => &[
                (DELIVERIES, Better::Higher),
                (CPU, Better::Lower),
                ("server_resident_bytes", Better::Lower),
            ],
            What::Storm(_) => &[
                (CONNECTIONS, Better::Higher),
                (CPU_OF_CONNECTION, Better::Lower),
            ],
            What::Idle(_) => &[(IDLE, Better::Lower)],
            What::Rooms(_) => &[("server_cpu_us_per_broadcast", Better::Lower)],
        }
    }

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
/// Those who must not become slower from one build to the next stand beside the one before.
const BUILDS: [Kind; 6] = [
    Kind::Orgcast,
    Kind::Earlier,
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
        tls: false,
        what,
        subjects: subjects.to_vec(),
        is_steady: false,
    }
}

/// One backend that posts one broadcast after the other, of which so many may be under way.
fn alone(window: u64, seconds: f64) -> What {
    What::Fanout(fanout::Options {
        seconds,
        publishers: 1,
        window,
        ..fanout::Options::default()
    })
}

/// Four backends.
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

    /// Ten to twelve minutes.
    fn full() -> Self {
        use Protocol::{Plain, Polling, Socketio};
        const SECONDS: f64 = 3.0;
        let connections = [1000, 5000, 15_000];
        let (with_node, with_bun) = (&SOCKET_IO[..2], &[Kind::Orgcast, Kind::BunNative]);
        let cases = vec![
            case(
                "one-publisher-socketio-200B",
                Socketio,
                &SOCKET_IO[..4],
                alone(16, SECONDS),
            ),
            case(
                "one-under-way-socketio-200B",
                Socketio,
                &SOCKET_IO[..4],
                alone(1, SECONDS),
            ),
            case(
                "fanout-socketio-200B",
                Socketio,
                &BUILDS,
                flood(200, SECONDS),
            ),
            case(
                "fanout-socketio-2KB",
                Socketio,
                with_node,
                flood(2048, SECONDS),
            ),
            case(
                "paced-socketio-200B",
                Socketio,
                &SOCKET_IO,
                paced(200, SECONDS),
            ),
            case(
                "polling-paced-200B",
                Polling,
                with_node,
                paced(200, SECONDS),
            ),
            case("fanout-plain-200B", Plain, &PLAIN, flood(200, SECONDS)),
            case("paced-plain-200B", Plain, &PLAIN, paced(200, SECONDS)),
            case(
                "tls-socketio-200B",
                Socketio,
                with_node,
                flood(200, SECONDS),
            )
            .encrypted(),
            case(
                "deflated-socketio-4KB",
                Socketio,
                with_node,
                paced(4096, SECONDS),
            )
            .deflated(),
            case("deflated-plain-4KB", Plain, with_bun, paced(4096, SECONDS)).deflated(),
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
            case(
                "idle-socketio",
                Socketio,
                &SOCKET_IO[..4],
                idle(&connections, 3.0),
            )
            .steady(),
            case("idle-plain", Plain, &PLAIN[..3], idle(&connections, 3.0)).steady(),
        ];
        Self { cases, rounds: 3 }
    }

    /// One to two minutes.
    fn quick() -> Self {
        use Protocol::{Plain, Polling, Socketio};
        const SECONDS: f64 = 1.0;
        let few = [Kind::Orgcast, Kind::Node, Kind::Socketioxide, Kind::Floor];
        let (with_node, with_bun) = (&few[..2], &[Kind::Orgcast, Kind::Bun]);
        let connections = [500, 2500];
        let cases = vec![
            case(
                "one-publisher-socketio-200B",
                Socketio,
                &few[..3],
                alone(16, SECONDS),
            ),
            case(
                "one-under-way-socketio-200B",
                Socketio,
                with_bun,
                alone(1, SECONDS),
            ),
            case(
                "fanout-socketio-200B",
                Socketio,
                &[Kind::Orgcast, Kind::Earlier, Kind::Node, Kind::Socketioxide],
                flood(200, SECONDS),
            ),
            case("paced-socketio-200B", Socketio, &few, paced(200, SECONDS)),
            case(
                "polling-paced-200B",
                Polling,
                with_node,
                paced(200, SECONDS),
            ),
            case("fanout-plain-200B", Plain, &PLAIN[..3], flood(200, SECONDS)),
            case("paced-plain-200B", Plain, &PLAIN, paced(200, SECONDS)),
            case(
                "tls-socketio-200B",
                Socketio,
                with_node,
                flood(200, SECONDS),
            )
            .encrypted(),
            case(
                "deflated-socketio-4KB",
                Socketio,
                with_node,
                paced(4096, SECONDS),
            )
            .deflated(),
            case("rooms-100", Socketio, &few[..1], rooms(100, SECONDS)),
            case("rooms-10000", Socketio, &few[..1], rooms(10_000, SECONDS)),
            case("storm-socketio", Socketio, with_bun, storm(2000)),
            case(
                "idle-socketio",
                Socketio,
                with_node,
                idle(&connections, 1.0),
            ),
            case("idle-plain", Plain, &PLAIN[..3], idle(&connections, 1.0)),
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
                let is_able = kind.speaks(case.protocol) && (kind.has_tls() || !case.tls);
                assert!(is_able, "{} {}", case.name, kind.name());
            }
            assert_eq!(case.subjects[0], Kind::Orgcast);
        }
    }
}
