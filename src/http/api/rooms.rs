//! Rooms that have members.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use super::page::{self, PageQuery};
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::room::{Level, RoomName};
use crate::http::extract::api_key::{ApiKey, Read};
use crate::http::extract::query::Query;
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::hub::snapshot::RoomSnapshot;

#[derive(Serialize, ToSchema)]
struct RoomsBody {
    success: bool,
    rooms: Vec<RoomBody>,
    /// How many there are on all pages.
    total_count: usize,
    limit: usize,
    /// Where the page begins, unless it begins behind a cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<usize>,
    /// Where the next page begins; `null` on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// One room and its place in the tree.
#[derive(Serialize, ToSchema)]
struct RoomBody {
    #[schema(value_type = String)]
    room: RoomName,
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "dept")]
    level: Level,
    #[schema(required)]
    channel: Option<String>,
    #[schema(value_type = String)]
    organization_id: OrganizationId,
    #[schema(required)]
    department_id: Option<String>,
    #[schema(required)]
    queue_name: Option<String>,
    #[schema(value_type = Option<String>, required)]
    user_id: Option<UserId>,
    /// The organization's own room; `null` for that one.
    #[schema(value_type = Option<String>, required)]
    parent: Option<RoomName>,
    member_count: usize,
}

impl From<RoomSnapshot> for RoomBody {
    fn from(room: RoomSnapshot) -> Self {
        Self {
            room: room.room,
            level: room.level,
            channel: room.channel,
            organization_id: room.organization_id,
            department_id: room.department_id,
            queue_name: room.queue_name,
            user_id: room.user_id,
            parent: room.parent,
            member_count: room.member_count,
        }
    }
}

/// Rooms with their member counts and their place in the tree, by organization and name.
#[utoipa::path(
    get,
    path = "/api/ws/rooms",
    tag = "read",
    params(PageQuery),
    responses((status = 200, description = "A page of rooms", body = RoomsBody)),
)]
pub(in crate::http) async fn rooms(
    key: ApiKey<Read>,
    State(app): State<App>,
    Query(query): Query<PageQuery>,
) -> Result<Response, ErrorResponse> {
    let organization = key.within(query.organization_id.clone())?;
    let page = app
        .hub
        .rooms_page(organization.as_ref(), &query.begin(), query.limit)
        .await?;
    let body = RoomsBody {
        success: true,
        rooms: Vec::new(),
        total_count: page.total,
        limit: query.limit,
        offset: query.offset(),
        next_cursor: page.next,
    };
    page::answer::<RoomBody>(&body, "rooms", page.items).await
}
