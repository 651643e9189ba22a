//! What must be done again and again: timeouts are held, what is over is forgotten, and what was
//! refused is logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::MissedTickBehavior;

use crate::node::Node;

/// How often connections that have yet to authenticate, and ends of tokens, are looked at.
const DEADLINE_TICK: Duration = Duration::from_millis(100);
/// How often it is logged what was refused.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often every connection is looked at; more often if pings are.
const CONNECTION_TICK: Duration = Duration::from_secs(1);
/// How often revocations that are over are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// Something to be done at an interval.
struct Duty {
    interval: Duration,
    due: Instant,
}

impl Duty {
    fn every(interval: Duration, now: Instant) -> Self {
        Self { interval, due: now }
    }

    fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due <= now;
        if is_due {
            self.due = now + self.interval;
        }
        is_due
    }
}

/// Goes on for as long as it is polled. Whoever reads the hub's pulse knows whether it does.
pub(super) async fn keep_house(node: Arc<Node>, ping_interval: Duration) {
    let hub = &node.hub;
    let connection_tick = CONNECTION_TICK.min(ping_interval / 4).max(DEADLINE_TICK);
    let now = Instant::now();
    let mut connections = Duty::every(connection_tick, now);
    let mut reports = Duty::every(REPORT_INTERVAL, now);
    let mut sweeps = Duty::every(SWEEP_INTERVAL, now);
    let mut ticks = tokio::time::interval(DEADLINE_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        let now = Instant::now();
        hub.close_unauthenticated(now).await;
        hub.end_expired(hub.now()).await;
        if connections.is_due(now) {
            node.tick(now).await;
        }
        if reports.is_due(now) {
            hub.report();
        }
        if sweeps.is_due(now) {
            node.sweep().await;
        }
        // Only behind all of it: what panics each time must not look alive.
        hub.pulse.beat(Instant::now());
    }
}
