//! When a session pings or is pinged, and when it has been silent for too long.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant;

use engineioxide_core::{Packet, ProtocolVersion};

use super::carriers::NOOP_INTERVAL;
use super::{Application, Carrier, CloseReason, Session, Socket};
use crate::protocol::engine_io::EngineOptions;
use crate::protocol::engine_io::wheel::Scheduled;

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Heartbeat {
    /// v4: the server pings when this time has come.
    Due(Instant),
    /// v4: it has, and waits for the pong.
    Pinged(Instant),
    /// v3: the client pings, and did so then.
    Heard(Instant),
}

/// What there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    /// Nothing until then.
    Wait(Instant),
    /// To ping, and to look again then.
    Ping(Instant),
    /// The client was silent for too long.
    Lost,
}

impl Heartbeat {
    pub fn begin(version: ProtocolVersion, options: &EngineOptions, now: Instant) -> Self {
        match version {
            ProtocolVersion::V3 => Self::Heard(now),
            ProtocolVersion::V4 => Self::Due(now + options.ping_interval),
        }
    }

    pub fn beat(&mut self, options: &EngineOptions, now: Instant) -> Beat {
        let end = match *self {
            Self::Due(at) if now >= at => {
                *self = Self::Pinged(now);
                return Beat::Ping(now + options.ping_timeout);
            }
            Self::Due(at) => return Beat::Wait(at),
            Self::Pinged(at) => at + options.ping_timeout,
            Self::Heard(at) => at + options.ping_interval + options.ping_timeout,
        };
        if now >= end {
            Beat::Lost
        } else {
            Beat::Wait(end)
        }
    }
}

impl<A: Application> Session<A> {
    /// The client's ping (v3), which is answered.
    pub(in crate::protocol::engine_io) fn pinged(&self) {
        self.state.lock().heartbeat = Heartbeat::Heard(Instant::now());
        self.send(Packet::Pong);
    }

    /// The client's pong (v4).
    pub(in crate::protocol::engine_io) fn ponged(&self) {
        let now = Instant::now();
        let next = now + self.shared.options.ping_interval;
        let before = {
            let mut state = self.state.lock();
            std::mem::replace(&mut state.heartbeat, Heartbeat::Due(next))
        };
        if let Heartbeat::Pinged(at) = before {
            let time = now.saturating_duration_since(at);
            self.shared.application.round_trip(time);
        }
        self.look_again(next);
    }

    /// A deadline holds for whoever comes late, however late the clock is.
    pub(super) fn check_due(&self) {
        let now = Instant::now();
        if !self.shared.wheel.is_due(self, now) {
            return;
        }
        let me = self.me.upgrade();
        if let Some(next) = me.and_then(|me| me.check(now)) {
            self.look_again(next);
        }
    }
}

impl<A: Application> Scheduled for Session<A> {
    fn due(&self) -> &AtomicU32 {
        &self.due
    }

    fn check(self: &Arc<Self>, now: Instant) -> Option<Instant> {
        let (beat, release) = {
            let mut state = self.state.lock();
            if let Carrier::Closed(_) = state.carrier {
                return None;
            }
            if let Some(closing) = state.closing {
                // On a WebSocket the link has its own deadline for this.
                let end = closing.since + self.shared.queues.options.write_timeout;
                if state.carrier == Carrier::WebSocket {
                    return None;
                }
                if now < end {
                    return Some(end);
                }
                (Beat::Lost, None)
            } else {
                let beat = state.heartbeat.beat(&self.shared.options, now);
                let release = match state.probe {
                    Some(probe) if probe.is_answered && state.is_polled => {
                        probe.released_at.map(|at| at + NOOP_INTERVAL)
                    }
                    _ => None,
                };
                (beat, release)
            }
        };
        let next = match beat {
            Beat::Lost => {
                self.end(Some(CloseReason::PingTimeout), Socket::Told);
                return None;
            }
            Beat::Ping(next) => {
                self.send(Packet::Ping);
                next
            }
            Beat::Wait(next) => next,
        };
        if release.is_some_and(|at| now >= at) {
            // The poll looks for itself whether it is to be released.
            self.link.wake_reader();
        }
        let of_application = self.shared.application.check(self, now);
        let release = release.filter(|at| *at > now);
        let earlier = [release, of_application].into_iter().flatten();
        Some(earlier.fold(next, Instant::min))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const OPTIONS: EngineOptions = EngineOptions {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        upgrade_timeout: Duration::from_secs(10),
        max_payload: 1000,
        max_answer: 1000,
    };

    #[test]
    fn a_session_of_v4_is_pinged_after_the_interval_and_lost_after_the_timeout() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut heartbeat = Heartbeat::begin(ProtocolVersion::V4, &OPTIONS, start);
        assert_eq!(heartbeat.beat(&OPTIONS, at(0)), Beat::Wait(at(300)));
        assert_eq!(heartbeat.beat(&OPTIONS, at(299)), Beat::Wait(at(300)));
        assert_eq!(heartbeat.beat(&OPTIONS, at(310)), Beat::Ping(at(510)));
        assert_eq!(heartbeat.beat(&OPTIONS, at(400)), Beat::Wait(at(510)));
        assert_eq!(heartbeat.beat(&OPTIONS, at(510)), Beat::Lost);
    }

    #[test]
    fn a_client_of_v3_pings_itself() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut heartbeat = Heartbeat::begin(ProtocolVersion::V3, &OPTIONS, start);
        assert_eq!(heartbeat.beat(&OPTIONS, at(499)), Beat::Wait(at(500)));
        assert_eq!(heartbeat.beat(&OPTIONS, at(500)), Beat::Lost);
        heartbeat = Heartbeat::Heard(at(400));
        assert_eq!(heartbeat.beat(&OPTIONS, at(500)), Beat::Wait(at(900)));
    }
}
