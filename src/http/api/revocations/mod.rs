//! Revoking users and tokens (`POST /api/ws/revoke`, `GET` and `DELETE /api/ws/revocations`).

mod request;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use self::request::{RevocationsQuery, RevokeRequest, SubjectQuery};
use super::page;
use crate::auth::revocation::{Listed, Reach, Subject};
use crate::domain::error::ClientError;
use crate::domain::grants::TokenId;
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::time::UnixMillis;
use crate::http::extract::api_key::{Admin, ApiKey};
use crate::http::extract::body::{self, Body};
use crate::http::extract::query::{NoQuery, Query};
use crate::http::response::{ErrorResponse, not_found};
use crate::http::state::App;
use crate::hub::lists::not_a_cursor;
use crate::node::revoke::RevokeError;

/// Longest body in bytes: it names one user or token.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Who is meant, and where.
fn subject(
    key: &ApiKey<Admin>,
    organization: Option<OrganizationId>,
    user: Option<UserId>,
    token: Option<TokenId>,
) -> Result<(Reach, Subject), ClientError> {
    let organization = key.within(organization)?;
    match (user, token) {
        (Some(user), None) if organization.is_some() => Ok((organization, Subject::User(user))),
        (Some(_), None) => Err(ClientError::invalid(
            "`organization_id` is missing beside the user",
        )),
        (None, Some(token)) => Ok((organization, Subject::Token(token))),
        _ => Err(ClientError::invalid(
            "name a `user_id` with its `organization_id`, or a `jti`",
        )),
    }
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct RevokedBody {
    success: bool,
    closed_connections: usize,
    /// `null` for as long as the server runs.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    refused_until: Option<UnixMillis>,
    #[schema(value_type = String, format = DateTime)]
    timestamp: UnixMillis,
}

/// Closes every connection of a user or of a token, and refuses it until `expires_at`.
#[utoipa::path(
    post,
    path = "/api/ws/revoke",
    tag = "admin",
    request_body = RevokeRequest,
    responses((status = 200, description = "It is revoked", body = RevokedBody)),
)]
pub(in crate::http) async fn revoke(
    key: ApiKey<Admin>,
    State(app): State<App>,
    _: Query<NoQuery>,
    body: Body,
) -> Result<Json<RevokedBody>, ErrorResponse> {
    let bytes = body::bytes(body, MAX_BODY_BYTES)?;
    let now = app.hub.now();
    let request = RevokeRequest::read(&bytes, now)?;
    let until = request.expires_at;
    let (reach, subject) = subject(&key, request.organization_id, request.user_id, request.jti)?;
    let revoked = app.node.revoke(&reach, &subject, until).await;
    let closed = revoked.map_err(|error| {
        let text = error.to_string();
        match error {
            RevokeError::Failed(error) => error,
            RevokeError::NotKept { cause, .. } => ClientError {
                message: format!(
                    "{text}; take some back with DELETE /api/ws/revocations, and name an \
                     `expires_at` with each"
                )
                .into(),
                ..cause
            },
        }
    })?;
    Ok(Json(RevokedBody {
        success: true,
        closed_connections: closed.connections,
        refused_until: until,
        timestamp: now,
    }))
}

#[derive(Serialize, ToSchema)]
struct RevocationsBody {
    success: bool,
    revocations: Vec<RevocationBody>,
    /// How many there are on all pages.
    total_count: usize,
    limit: usize,
    /// Where the next page begins; `null` on the last.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// What is revoked: users and tokens.
#[utoipa::path(
    get,
    path = "/api/ws/revocations",
    tag = "admin",
    params(RevocationsQuery),
    responses((status = 200, description = "A page of what is revoked", body = RevocationsBody)),
)]
pub(in crate::http) async fn revocations(
    key: ApiKey<Admin>,
    State(app): State<App>,
    Query(query): Query<RevocationsQuery>,
) -> Result<Response, ErrorResponse> {
    let organization = key.within(query.organization_id)?;
    let after = match &query.cursor {
        None => None,
        Some(cursor) => Some(
            read_cursor(cursor)
                .filter(|(reach, _)| organization.is_none() || *reach == organization)
                .ok_or_else(not_a_cursor)?,
        ),
    };
    let after = after.as_ref().map(|(reach, subject)| (reach, subject));
    let own = organization.as_ref();
    let limit = query.limit;
    let mut found = app.node.revoked(own, after, limit + 1);
    let has_next = found.len() > limit;
    found.truncate(limit);
    let body = RevocationsBody {
        success: true,
        next_cursor: found.last().filter(|_| has_next).map(write_cursor),
        revocations: Vec::new(),
        total_count: app.node.revocation_count(own),
        limit,
    };
    page::answer::<RevocationBody>(&body, "revocations", found).await
}

/// A user or a token that is refused.
#[derive(Serialize, ToSchema)]
struct RevocationBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    user_id: Option<UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    jti: Option<TokenId>,
    #[schema(value_type = Option<String>, required)]
    organization_id: Option<OrganizationId>,
    #[schema(value_type = String, format = DateTime)]
    revoked_at: UnixMillis,
    /// `null` for as long as the server runs.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    refused_until: Option<UnixMillis>,
}

impl From<Listed> for RevocationBody {
    fn from(listed: Listed) -> Self {
        let (user_id, jti) = match listed.subject {
            Subject::User(id) => (Some(id), None),
            Subject::Token(id) => (None, Some(id)),
        };
        Self {
            user_id,
            jti,
            organization_id: listed.reach,
            revoked_at: listed.revocation.at,
            refused_until: listed.revocation.until,
        }
    }
}

type CursorText = (Option<String>, Option<String>, Option<String>);

/// Organization, user, token.
fn write_cursor(last: &Listed) -> String {
    let (user, token) = match &last.subject {
        Subject::User(id) => (Some(id), None),
        Subject::Token(id) => (None, Some(id)),
    };
    URL_SAFE_NO_PAD.encode(json!([last.reach, user, token]).to_string())
}

fn read_cursor(cursor: &str) -> Option<(Reach, Subject)> {
    let text = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (reach, user, token): CursorText = serde_json::from_slice(&text).ok()?;
    let reach = match reach {
        None => None,
        Some(id) => Some(OrganizationId::new(&id).ok()?),
    };
    let subject = match (user, token) {
        (Some(id), None) => Subject::User(UserId::new(&id).ok()?),
        (None, Some(id)) => Subject::Token(id.into()),
        _ => return None,
    };
    Some((reach, subject))
}

#[derive(Serialize, ToSchema)]
pub(in crate::http) struct TakenBackBody {
    success: bool,
    #[schema(value_type = String, format = DateTime)]
    timestamp: UnixMillis,
}

/// Accepts a user or a token again.
#[utoipa::path(
    delete,
    path = "/api/ws/revocations",
    tag = "admin",
    params(SubjectQuery),
    responses(
        (status = 200, description = "It is accepted again", body = TakenBackBody),
        (status = 404, description = "It is not revoked here", body = crate::http::response::ErrorBody),
    ),
)]
pub(in crate::http) async fn take_back(
    key: ApiKey<Admin>,
    State(app): State<App>,
    Query(query): Query<SubjectQuery>,
) -> Result<Response, ErrorResponse> {
    let (reach, subject) = subject(&key, query.organization_id, query.user_id, query.jti)?;
    if !app.node.take_back(&reach, &subject) {
        return Ok(not_found("this user or token is not revoked here"));
    }
    let body = TakenBackBody {
        success: true,
        timestamp: app.hub.now(),
    };
    Ok(Json(body).into_response())
}
