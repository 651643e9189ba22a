//! Broadcasts from backends (protocol, section 5).

mod query;
mod request;
mod shortcut;
mod target;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Json;
use axum::extract::{ConnectInfo, State};
use serde::Serialize;
use utoipa::ToSchema;

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
    /// Connections that have acknowledged it, if `wait_ms` said how long to wait for them. Of those that
    /// nobody waited for there is nothing to say: 0 would read as none.
    #[serde(skip_serializing_if = "Option::is_none")]
    acks: Option<usize>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks like this")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

type Remote = ConnectInfo<SocketAddr>;
/// Read with the body, since what can't be read counts as a request too.
type BroadcastQueryRead = Result<Query<BroadcastQuery>, ErrorResponse>;
type Answer = Result<Json<ReceiptBody>, ErrorResponse>;

/// Sends an event to a place, users, connections or everyone.
///
/// With a `title` and a `body` it is a notification for everyone.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast",
    tag = "broadcast",
    params(BroadcastQuery),
    request_body = BroadcastRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn broadcast(
    key: ApiKey<Broadcast>,
    State(app): State<App>,
    remote: Remote,
    query: BroadcastQueryRead,
    body: Body,
) -> Answer {
    let read = |body: &[u8]| BroadcastRequest::read(body)?.publication(key.organization());
    publish(&app, &key, remote, query, body, read).await
}

/// Sends `kpi:update` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/kpi",
    tag = "broadcast",
    params(BroadcastQuery),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn kpi(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: BroadcastQueryRead,
    body: Body,
) -> Answer {
    shortcut("kpi:update", &key, state, remote, query, body).await
}

/// Sends `backlog:update` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/backlog",
    tag = "broadcast",
    params(BroadcastQuery),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn backlog(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: BroadcastQueryRead,
    body: Body,
) -> Answer {
    shortcut("backlog:update", &key, state, remote, query, body).await
}

/// Sends `attendance:update` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/attendance",
    tag = "broadcast",
    params(BroadcastQuery),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn attendance(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: BroadcastQueryRead,
    body: Body,
) -> Answer {
    shortcut("attendance:update", &key, state, remote, query, body).await
}

/// Sends `alert:triggered` to the place that the payload names.
#[utoipa::path(
    post,
    path = "/api/ws/broadcast/alert",
    tag = "broadcast",
    params(BroadcastQuery),
    request_body = ShortcutRequest,
    responses((status = 200, description = "It was sent", body = ReceiptBody)),
)]
pub(in crate::http) async fn alert(
    key: ApiKey<Broadcast>,
    state: State<App>,
    remote: Remote,
    query: BroadcastQueryRead,
    body: Body,
) -> Answer {
    shortcut("alert:triggered", &key, state, remote, query, body).await
}

async fn shortcut(
    event: &str,
    key: &ApiKey<Broadcast>,
    State(app): State<App>,
    remote: Remote,
    query: BroadcastQueryRead,
    body: Body,
) -> Answer {
    let read = |body: &[u8]| {
        let request = ShortcutRequest::read(body, key.organization())?;
        Ok(request.publication(event))
    };
    publish(&app, key, remote, query, body, read).await
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

/// Publishes what `read` makes of the body, unless there were too many requests. They are counted
/// before it is read, and one that can't be read counts as well.
async fn publish(
    app: &App,
    key: &ApiKey<Broadcast>,
    ConnectInfo(remote): Remote,
    query: BroadcastQueryRead,
    body: Body,
    read: impl FnOnce(&[u8]) -> Result<Publication, ClientError>,
) -> Answer {
    let (admission, address, own) = (&app.hub.admission, remote.ip(), key.organization());
    let inputs = query
        .map_err(|ErrorResponse(error)| error)
        .and_then(|Query(query)| Ok((query, body::bytes(body, app.max_message_size)?)));
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
        let mut publication = read(&body)?;
        publication.target = within_reach(publication.target, key)?;
        query.apply(publication)
    });
    if own.is_none() {
        let publication = read.as_ref().ok().map(|(publication, _)| publication);
        let organization = publication.and_then(|publication| publication.target.organization());
        admission.requests(organization, address, 1)?;
    }
    let (publication, wait_ms) = read?;
    let event = publication.event.clone();
    let receipt = app.node.publish(publication).await?;
    let plural = if receipt.recipients == 1 { "" } else { "s" };
    let acks = match wait_ms.map(Duration::from_millis) {
        Some(time) => Some(app.node.wait_for_acks(&receipt, time).await),
        None => None,
    };
    Ok(Json(ReceiptBody {
        success: true,
        message: format!(
            "{event} was sent to {} connection{plural}",
            receipt.recipients
        ),
        message_id: receipt.message_id,
        timestamp: receipt.timestamp,
        offset: receipt.offset,
        recipients: receipt.recipients,
        dropped: receipt.dropped,
        acks,
    }))
}
