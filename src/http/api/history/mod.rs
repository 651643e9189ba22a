//! What streams keep: the history of an organization, and its latest values.

mod query;

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use self::query::{HistoryQuery, LatestQuery, RangeQuery};
use super::page;
use crate::domain::error::NotRecovered;
use crate::domain::event::{Event, Priority};
use crate::domain::identity::{DepartmentId, OrganizationId, QueueName};
use crate::domain::position::Position;
use crate::domain::room::Channel;
use crate::domain::target::Target;
use crate::domain::time::UnixMillis;
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query::Query;
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::node::ports::Kept;
use crate::node::reading::History;

#[derive(Serialize, ToSchema)]
struct HistoryBody {
    success: bool,
    events: Vec<KeptBody>,
    /// With which `since` (or, newest first, `before`) it goes on; `null` on the last page.
    #[schema(value_type = Option<String>, required)]
    next: Option<Position>,
    /// The offset of the last event of all; `null` if there was none.
    #[schema(value_type = Option<String>, required)]
    top: Option<Position>,
    /// Whether all behind the offset is there that there ever was.
    complete: bool,
    /// Why it is not: `epoch` or `trimmed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
struct LatestBody {
    success: bool,
    /// In the order in which they were published.
    events: Vec<KeptBody>,
    /// The offset of the last event of all; `null` if there was none.
    #[schema(value_type = Option<String>, required)]
    top: Option<Position>,
}

/// An event that was published.
#[derive(Serialize, ToSchema)]
struct KeptBody {
    id: String,
    event: String,
    #[schema(value_type = Option<String>, required)]
    channel: Option<Channel>,
    #[schema(value_type = serde_json::Value)]
    data: Box<RawValue>,
    #[schema(value_type = String)]
    timestamp: UnixMillis,
    #[schema(value_type = String, example = "medium")]
    priority: Priority,
    #[schema(value_type = String)]
    offset: Position,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    department_id: Option<DepartmentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    queue_name: Option<QueueName>,
}

/// An event, and the organization in whose stream it is.
struct Listed(Arc<Kept>, OrganizationId);

impl From<Listed> for KeptBody {
    fn from(Listed(kept, organization_id): Listed) -> Self {
        let Event {
            id,
            name,
            channel,
            priority,
            payload,
            timestamp,
            ..
        } = &*kept.published.event;
        let place = match &kept.published.target {
            Target::Place(place) => Some(place),
            _ => None,
        };
        Self {
            id: id.to_string(),
            event: name.to_string(),
            channel: channel.clone(),
            data: payload.clone(),
            timestamp: *timestamp,
            priority: *priority,
            offset: kept.position,
            organization_id,
            department_id: place.and_then(|place| place.department.clone()),
            queue_name: place.and_then(|place| place.queue.clone()),
        }
    }
}

async fn answer(
    body: &impl Serialize,
    events: Vec<Arc<Kept>>,
    organization: &OrganizationId,
) -> Result<Response, ErrorResponse> {
    let listed = |kept| Listed(kept, organization.clone());
    let events: Vec<Listed> = events.into_iter().map(listed).collect();
    page::answer::<KeptBody>(body, "events", events).await
}

/// The events of an organization that are kept, the oldest or the newest first. What was for single users or
/// connections is not among them.
#[utoipa::path(
    get,
    path = "/api/ws/history",
    tag = "read",
    params(LatestQuery, RangeQuery),
    responses((status = 200, description = "A page of events", body = HistoryBody)),
)]
pub(in crate::http) async fn history(
    key: ApiKey<Read>,
    State(app): State<App>,
    Query(HistoryQuery(selection, range)): Query<HistoryQuery>,
) -> Result<Response, ErrorResponse> {
    let selection = selection.selection(&app, &key)?;
    let History {
        events,
        next,
        top,
        incomplete,
        ..
    } = app
        .node
        .history(&selection, range.range()?, range.limit)
        .await;
    let body = HistoryBody {
        success: true,
        events: Vec::new(),
        next,
        top,
        complete: incomplete.is_none(),
        reason: incomplete.map(NotRecovered::label),
    };
    answer(&body, events, &selection.place.organization).await
}

/// Of each event that is a value, the latest at each place.
#[utoipa::path(
    get,
    path = "/api/ws/latest",
    tag = "read",
    params(LatestQuery),
    responses((status = 200, description = "The latest values", body = LatestBody)),
)]
pub(in crate::http) async fn latest(
    key: ApiKey<Read>,
    State(app): State<App>,
    Query(selection): Query<LatestQuery>,
) -> Result<Response, ErrorResponse> {
    let selection = selection.selection(&app, &key)?;
    let History { events, top, .. } = app.node.latest(&selection);
    let body = LatestBody {
        success: true,
        events: Vec::new(),
        top,
    };
    answer(&body, events, &selection.place.organization).await
}
