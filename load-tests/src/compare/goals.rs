//! What the comparison is to show.

use super::cases::{CONNECTIONS, CPU, CPU_OF_CONNECTION, DELIVERIES, IDLE, P50};
use crate::server_under_test::Kind;

/// Beside what a figure of orgcast's is put.
#[derive(Debug, Clone, Copy)]
pub(super) enum Beside {
    /// The same figure of a peer.
    Peer(Kind),
    /// The same figure of orgcast's in another case.
    Case(&'static str),
    /// Nothing: the figure itself counts.
    Nothing,
}

/// A target as it is set.
#[derive(Debug)]
pub(super) struct Goal {
    pub text: &'static str,
    pub case: &'static str,
    pub figure: &'static str,
    pub beside: Beside,
    pub must: f64,
    pub aim: f64,
}

impl Beside {
    /// Of the peer or the case.
    pub fn name(self) -> Option<&'static str> {
        match self {
            Self::Peer(kind) => Some(kind.name()),
            Self::Case(case) => Some(case),
            Self::Nothing => None,
        }
    }
}

pub(super) const GOALS: [Goal; 18] = [
    Goal {
        text: "bytes per idle Socket.IO connection",
        case: "idle-socketio",
        figure: IDLE,
        beside: Beside::Nothing,
        must: 5_000.0,
        aim: 4_000.0,
    },
    Goal {
        text: "bytes per idle plain connection",
        case: "idle-plain",
        figure: IDLE,
        beside: Beside::Nothing,
        must: 3_000.0,
        aim: 2_000.0,
    },
    Goal {
        text: "one publisher, 1000 × 200 B, deliveries/s",
        case: "one-publisher-socketio-200B",
        figure: DELIVERIES,
        beside: Beside::Peer(Kind::Socketioxide),
        must: 2.0,
        aim: 3.0,
    },
    Goal {
        text: "one publisher, 1000 × 200 B, deliveries/s",
        case: "one-publisher-socketio-200B",
        figure: DELIVERIES,
        beside: Beside::Peer(Kind::Node),
        must: 7.0,
        aim: 12.0,
    },
    Goal {
        text: "one publisher, one under way, p50",
        case: "one-under-way-socketio-200B",
        figure: P50,
        beside: Beside::Peer(Kind::Bun),
        must: 1.0,
        aim: 0.7,
    },
    Goal {
        text: "four publishers, 1000 × 200 B, deliveries/s",
        case: "fanout-socketio-200B",
        figure: DELIVERIES,
        beside: Beside::Peer(Kind::Earlier),
        must: 1.0,
        aim: 1.2,
    },
    Goal {
        text: "four publishers, 1000 × 200 B, deliveries/s",
        case: "fanout-socketio-200B",
        figure: DELIVERIES,
        beside: Beside::Peer(Kind::Node),
        must: 4.5,
        aim: 6.0,
    },
    Goal {
        text: "four publishers, 1000 × 200 B, CPU/delivery",
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
        text: "plain paced 10/s × 1000, CPU/delivery",
        case: "paced-plain-200B",
        figure: CPU,
        beside: Beside::Peer(Kind::Floor),
        must: 1.15,
        aim: 1.0,
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
        text: "plain four publishers, deliveries/s",
        case: "fanout-plain-200B",
        figure: DELIVERIES,
        beside: Beside::Peer(Kind::BunNative),
        must: 1.0,
        aim: 1.5,
    },
    Goal {
        text: "connect storm, connections/s",
        case: "storm-socketio",
        figure: CONNECTIONS,
        beside: Beside::Peer(Kind::Bun),
        must: 1.5,
        aim: 2.0,
    },
    Goal {
        text: "connect storm, CPU µs/connection",
        case: "storm-socketio",
        figure: CPU_OF_CONNECTION,
        beside: Beside::Nothing,
        must: 100.0,
        aim: 70.0,
    },
    Goal {
        text: "polling paced 10/s × 1000, CPU/delivery",
        case: "polling-paced-200B",
        figure: CPU,
        beside: Beside::Peer(Kind::Node),
        must: 0.5,
        aim: 0.25,
    },
    Goal {
        text: "TLS, four publishers, CPU/delivery",
        case: "tls-socketio-200B",
        figure: CPU,
        beside: Beside::Peer(Kind::Node),
        must: 0.5,
        aim: 0.25,
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
        text: "broadcast to 10, 10,000 rooms, CPU",
        case: "rooms-10000",
        figure: "server_cpu_us_per_broadcast",
        beside: Beside::Case("rooms-100"),
        must: 1.1,
        aim: 1.0,
    },
];
