//! Broadcasts from backends (protocol, section 5).

mod idempotency;
mod query;
mod request;
mod shortcut;
mod target;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Request, State};
use serde::Serialize;
use utoipa::ToSchema;

use self::idempotency::IdempotencyHeader;
use self::query::BroadcastQuery;
use self::request::BroadcastRequest;
use self::shortcut::ShortcutRequest;
use crate::domain::error::ClientError;
use crate::domain::event::MessageId;
use crate::domain::position::Position;
use crate::domain::target::Target;
use crate::domain::time::UnixMillis;
use crate::http::extract::api_key::{ApiKey, Broadcast};
use crate::http::extract::body::{self, Body};
use crate::http::extract::query::Query;
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::node::idempotency::IdempotencyKey;
use crate::node::publish::Publication;

/// So many bytes of a body count as one request.
const BYTES_OF_A_REQUEST: usize = 16 * 1024;

/// What became of a broadcast.
#[derive(Serialize, ToSchema)]
pub(in crate::http) struct ReceiptBody {
    success: bool,
    message: String,
    #[schema(value_type = String)]
    message_id: MessageId,
    #[schema(value_type = String, format = DateTime)]
    timestamp: UnixMillis,
    /// Where it stands in the stream of its organization; left out for what went to several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, required = false)]
    offset: Option<Position>,
    /// Connections that it was queued for.
    recipients: usize,
    /// Connections that were behind and did not get it, its priority being low; left out if there were
    /// none.
    #[serde(skip_serializing_if = "is_zero")]
    #[schema(required = false)]
    dropped: usize,
    /// It was not sent: there is a value of its version already, or of a later one. Left out if it was sent.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    stale: bool,
    /// Connections that have acknowledged it, if `wait_ms` said how long to wait for them. Of those that
    /// nobody waited for there is nothing to say: 0 would read as none.
    #[serde(skip_serializing_if = "Option::is_none")]
    acks: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// A request as it came. What of it can't be read counts as a request too.
pub(in crate::http) struct Asked {
    remote: SocketAddr,
    query: Result<Query<BroadcastQuery>, ErrorResponse>,
    raw_query: Option<String>,
    idempotency_key: Result<Option<String>, ClientError>,
    body: Body,
}

impl FromRequest<App> for Asked {
    type Rejection = Infallible;

    async fn from_request(request: Request, app: &App) -> Result<Self, Infallible> {
        let (mut parts, body) = request.into_parts();
        let remote = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok(Self {
            remote: remote.map_or(unspecified, |ConnectInfo(remote)| *remote),
            query: Query::from_request_parts(&mut parts, app).await,
            raw_query: parts.uri.query().map(str::to_owned),
            idempotency_key: idempotency::of_headers(&parts.headers),
            body: Bytes::from_request(Request::from_parts(parts, body), app).await,
        })
    }
}

type Answer = Result<Json<ReceiptBody>, ErrorResponse>;

/// Sends an event to a place, users, connections or everyone.
///
/// With a `title` and a `body` it is a notification for everyone.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast",
    tag = "broadcast",
    params(BroadcastQuery, IdempotencyHeader),
    request_body = BroadcastRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn broadcast(
    key: ApiKey<Broadcast>,
    State(app): State<App>,
    asked: Asked,
) -> Answer {
    let read = |body: &[u8]| {
        let mut request = BroadcastRequest::read(body)?;
        let idempotency_key = request.idempotency_key.take();
        Ok((request.publication(key.organization())?, idempotency_key))
    };
    publish(&app, &key, "/api/ws/broadcast", asked, read).await
}

/// Sends `kpi:update` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/kpi",
    tag = "broadcast",
    params(BroadcastQuery, IdempotencyHeader),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn kpi(
    key: ApiKey<Broadcast>,
    state: State<App>,
    asked: Asked,
) -> Answer {
    shortcut("kpi:update", &key, state, asked).await
}

/// Sends `backlog:update` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/backlog",
    tag = "broadcast",
    params(BroadcastQuery, IdempotencyHeader),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn backlog(
    key: ApiKey<Broadcast>,
    state: State<App>,
    asked: Asked,
) -> Answer {
    shortcut("backlog:update", &key, state, asked).await
}

/// Sends `attendance:update` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/attendance",
    tag = "broadcast",
    params(BroadcastQuery, IdempotencyHeader),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn attendance(
    key: ApiKey<Broadcast>,
    state: State<App>,
    asked: Asked,
) -> Answer {
    shortcut("attendance:update", &key, state, asked).await
}

/// Sends `alert:triggered` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/alert",
    tag = "broadcast",
    params(BroadcastQuery, IdempotencyHeader),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn alert(
    key: ApiKey<Broadcast>,
    state: State<App>,
    asked: Asked,
) -> Answer {
    shortcut("alert:triggered", &key, state, asked).await
}

async fn shortcut(
    event: &'static str,
    key: &ApiKey<Broadcast>,
    State(app): State<App>,
    asked: Asked,
) -> Answer {
    let read = |body: &[u8]| {
        let request = ShortcutRequest::read(body, key.organization())?;
        Ok((request.publication(event), None))
    };
    publish(&app, key, event, asked, read).await
}

/// The target as far as the caller reaches: an organization's key is refused every other
/// organization, and of the connections that it names only its own are meant.
fn within_reach(target: Target, key: &ApiKey<Broadcast>) -> Result<Target, ClientError> {
    match &target {
        Target::Place(place) => key.within(Some(place.organization.clone())).map(drop)?,
        Target::Users(organization, _) => key.within(Some(organization.clone())).map(drop)?,
        Target::Everyone { within: None, .. } => key.operator("`all`")?,
        Target::Connections(..) | Target::Everyone { .. } => {}
    }
    Ok(match target {
        Target::Connections(named, ids) => Target::Connections(key.within(named)?, ids),
        Target::Everyone { within, except } => Target::Everyone {
            within: key.within(within)?,
            except,
        },
        other => other,
    })
}

/// What is published once, however often it is asked for.
struct Once {
    key: IdempotencyKey,
    /// All that was asked.
    asked: Vec<u8>,
}

/// Publishes what `read` makes of the body, unless there were too many requests. They are counted
/// before it is read, and one that can't be read counts as well.
async fn publish(
    app: &App,
    key: &ApiKey<Broadcast>,
    route: &'static str,
    asked: Asked,
    read: impl FnOnce(&[u8]) -> Result<(Publication, Option<String>), ClientError>,
) -> Answer {
    let (admission, address, own) = (&app.hub.admission, asked.remote.ip(), key.organization());
    let inputs = asked
        .query
        .map_err(|ErrorResponse(error)| error)
        .and_then(|Query(query)| Ok((query, body::bytes(asked.body, app.max_message_size)?)));
    let length = inputs.as_ref().map_or(0, |(_, body)| body.len());
    let cost = u32::try_from(length.div_ceil(BYTES_OF_A_REQUEST)).unwrap_or(u32::MAX);
    // Which organization an operator's request is about is known once it was read.
    let known_before = if own.is_some() {
        cost.max(1)
    } else {
        cost.saturating_sub(1)
    };
    admission.requests(own, address, known_before)?;
    let read = inputs.and_then(|(query, body)| {
        let (mut publication, named) = read(&body)?;
        publication.target = within_reach(publication.target, key)?;
        let once = idempotency::key(asked.idempotency_key?, named)?.map(|key| Once {
            key: IdempotencyKey {
                organization: publication.target.organization().cloned(),
                route,
                key,
            },
            asked: [asked.raw_query.unwrap_or_default().as_bytes(), b"\n", &body].concat(),
        });
        let (publication, wait_ms) = query.apply(publication)?;
        Ok((publication, wait_ms, once))
    });
    if own.is_none() {
        let publication = read.as_ref().ok().map(|(publication, ..)| publication);
        let organization = publication.and_then(|publication| publication.target.organization());
        admission.requests(organization, address, 1)?;
    }
    let (publication, wait_ms, once) = read?;
    let event = publication.event.clone();
    let receipt = match once {
        None => app.node.publish(publication).await?,
        Some(Once { key, asked }) => app.node.publish_once(key, &asked, publication).await?,
    };
    let plural = if receipt.recipients == 1 { "" } else { "s" };
    let acks = match wait_ms.map(Duration::from_millis) {
        Some(time) => Some(app.node.wait_for_acks(&receipt, time).await),
        None => None,
    };
    Ok(Json(ReceiptBody {
        success: true,
        message: if receipt.is_stale {
            format!("{event} was not sent: this version, or a later one, is there already")
        } else {
            let count = receipt.recipients;
            format!("{event} was sent to {count} connection{plural}")
        },
        message_id: receipt.message_id,
        timestamp: receipt.timestamp,
        offset: receipt.offset,
        recipients: receipt.recipients,
        dropped: receipt.dropped,
        stale: receipt.is_stale,
        acks,
    }))
}
