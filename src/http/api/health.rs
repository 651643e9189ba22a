//! How the server is, for those who watch it: out of counters alone, so that asking costs nothing.

use std::time::{Duration, Instant};

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::time::UnixMillis;
use crate::http::state::App;
use crate::hub::Hub;

/// After so long without housekeeping no new clients should come: timeouts are not held.
const STALLED: Duration = Duration::from_secs(5);
/// After so long it should be started anew.
const DEAD: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Healthy,
    /// It shuts down.
    Draining,
    /// It serves, and does not look after its connections.
    Stalled,
}

impl Condition {
    fn of(hub: &Hub, now: Instant) -> Self {
        if hub.is_draining() {
            Self::Draining
        } else if hub.pulse.silence(now) >= STALLED {
            Self::Stalled
        } else {
            Self::Healthy
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Draining => "draining",
            Self::Stalled => "stalled",
        }
    }

    /// 503 unless it is healthy.
    fn answer(self, body: impl Serialize) -> Response {
        match self {
            Self::Healthy => Json(body).into_response(),
            Self::Draining | Self::Stalled => unavailable(body),
        }
    }
}

fn unavailable(body: impl Serialize) -> Response {
    let retry = [(header::RETRY_AFTER, "1")];
    (StatusCode::SERVICE_UNAVAILABLE, retry, Json(body)).into_response()
}

#[derive(Serialize, ToSchema)]
struct HealthBody {
    /// Whether it is healthy.
    success: bool,
    /// `healthy`, `draining` (it shuts down) or `stalled` (it does not look after its connections).
    #[schema(example = "healthy")]
    status: &'static str,
    healthy: bool,
    active_connections: usize,
    active_rooms: usize,
    tcp_connections: usize,
    uptime_seconds: u64,
    version: &'static str,
    #[schema(value_type = String, format = DateTime)]
    timestamp: UnixMillis,
}

#[derive(Serialize, ToSchema)]
struct ProbeBody {
    /// `ok` or `ready`, or what is wrong: `draining` or `stalled`.
    #[schema(example = "ok")]
    status: &'static str,
}

/// How the server is, in a few numbers.
#[utoipa::path(
    get,
    path = "/api/ws/health",
    tag = "health",
    responses(
        (status = 200, description = "It is healthy", body = HealthBody),
        (status = 503, description = "It shuts down, or does not look after its connections", body = HealthBody),
    ),
    security(()),
)]
pub(in crate::http) async fn health(State(app): State<App>) -> Response {
    let (hub, now) = (&app.hub, Instant::now());
    let condition = Condition::of(hub, now);
    let is_healthy = condition == Condition::Healthy;
    condition.answer(HealthBody {
        success: is_healthy,
        status: condition.name(),
        healthy: is_healthy,
        active_connections: hub.connection_count(),
        active_rooms: hub.room_count(),
        tcp_connections: app.connections.count(),
        uptime_seconds: hub.uptime_seconds(now),
        version: env!("CARGO_PKG_VERSION"),
        timestamp: hub.now(),
    })
}

/// Whether the process runs.
#[utoipa::path(
    get,
    path = "/healthz",
    tag = "health",
    responses(
        (status = 200, description = "It runs", body = ProbeBody),
        (status = 503, description = "It should be started anew", body = ProbeBody),
    ),
    security(()),
)]
pub(in crate::http) async fn healthz(State(app): State<App>) -> Response {
    alive(app.hub.pulse.silence(Instant::now()))
}

fn alive(silence: Duration) -> Response {
    if silence >= DEAD {
        return unavailable(ProbeBody { status: "stalled" });
    }
    Json(ProbeBody { status: "ok" }).into_response()
}

/// Whether the process takes new clients.
#[utoipa::path(
    get,
    path = "/readyz",
    tag = "health",
    responses(
        (status = 200, description = "It takes clients", body = ProbeBody),
        (status = 503, description = "It shuts down, or does not look after its connections", body = ProbeBody),
    ),
    security(()),
)]
pub(in crate::http) async fn readyz(State(app): State<App>) -> Response {
    let condition = Condition::of(&app.hub, Instant::now());
    let status = match condition {
        Condition::Healthy => "ready",
        other => other.name(),
    };
    condition.answer(ProbeBody { status })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::event::Catalogue;
    use crate::domain::time::testing::StoppedClock;
    use crate::hub::HubOptions;
    use crate::hub::admission::AdmissionOptions;

    #[test]
    fn a_server_whose_housekeeping_has_stopped_is_not_healthy_and_later_not_alive() {
        let options = HubOptions {
            admission: AdmissionOptions::default(),
            max_subscriptions_per_connection: 0,
            room_max_size: 0,
            auth_required: true,
            auth_timeout: Duration::from_secs(10),
            expiry_warning: Duration::ZERO,
        };
        let hub = Hub::new(
            options,
            Catalogue::new([], []).unwrap(),
            Arc::new(StoppedClock),
        );
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(Condition::of(&hub, at(4)), Condition::Healthy);
        assert_eq!(Condition::of(&hub, at(6)), Condition::Stalled);
        hub.pulse.beat(at(6));
        assert_eq!(Condition::of(&hub, at(10)), Condition::Healthy);
        assert_eq!(Condition::of(&hub, at(12)), Condition::Stalled);
        hub.begin_drain();
        assert_eq!(Condition::of(&hub, at(12)), Condition::Draining);

        let status = |condition: Condition| condition.answer(()).status();
        assert_eq!(status(Condition::Healthy), StatusCode::OK);
        assert_eq!(status(Condition::Stalled), StatusCode::SERVICE_UNAVAILABLE);
        let alive = |seconds| alive(hub.pulse.silence(at(seconds))).status();
        assert_eq!(alive(35), StatusCode::OK);
        assert_eq!(alive(37), StatusCode::SERVICE_UNAVAILABLE);
    }
}
