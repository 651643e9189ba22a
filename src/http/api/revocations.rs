//! Revoking users and tokens (`POST /api/ws/revoke`, `GET` and `DELETE /api/ws/revocations`).

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::page::{self, CURSOR, LIMIT, MAX_PAGE, PAGE};
use crate::auth::revocation::{Listed, Reach, Subject};
use crate::domain::fault::Fault;
use crate::domain::grants::TokenId;
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::spelling;
use crate::domain::time::UnixMillis;
use crate::domain::words::{self, ORGANIZATION, USER, Word};
use crate::http::extract::api_key::{Admin, ApiKey};
use crate::http::extract::body::{self, Body};
use crate::http::extract::query;
use crate::http::response::{Refusal, not_found};
use crate::http::state::App;
use crate::hub::lists::not_a_cursor;
use crate::node::revoke::RevokeError;

const TOKEN_ID: Word = Word(&["jti", "token_id", "tokenId"]);
const EXPIRES_AT: Word = Word(&["expires_at", "expiresAt", "exp"]);

/// Longest `jti` in bytes.
const MAX_TOKEN_ID_BYTES: usize = 256;

/// Longest body in bytes: it names one user or token.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Who is to be revoked or accepted again, and where.
fn named(object: &Map<String, Value>, key: &ApiKey<Admin>) -> Result<(Reach, Subject), Fault> {
    let organization = key.within(words::organization(object)?)?;
    match (words::user(object)?, token_id(object)?) {
        (Some(user), None) if organization.is_some() => Ok((organization, Subject::User(user))),
        (Some(_), None) => Err(Fault::invalid(
            "`organization_id` is missing beside the user",
        )),
        (None, Some(token_id)) => Ok((organization, Subject::Token(token_id))),
        _ => Err(Fault::invalid(
            "name a `user_id` with its `organization_id`, or a `jti`",
        )),
    }
}

/// Closes every connection of a user (`{user_id, organization_id}`) or of a token (`{jti}`), and
/// refuses it until `expires_at`.
pub(in crate::http) async fn revoke(
    key: ApiKey<Admin>,
    State(app): State<App>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let bytes = body::bytes(body, MAX_BODY_BYTES)?;
    let members = body::members(&bytes)?;
    let known = [USER, ORGANIZATION, TOKEN_ID, EXPIRES_AT];
    spelling::check_all(members.names(), "the body", &known)?;
    let object = members.values(|_| true)?;
    let now = app.hub.now();
    let until = expires_at(&object, now)?;
    let (reach, subject) = named(&object, &key)?;
    let revoked = app.node.revoke(&reach, &subject, until).await;
    let closed = revoked.map_err(|error| {
        let text = error.to_string();
        match error {
            RevokeError::Failed(fault) => fault,
            RevokeError::NotKept { cause, .. } => Fault {
                message: format!(
                    "{text}; take some back with DELETE /api/ws/revocations, and name an \
                     `expires_at` with each"
                )
                .into(),
                ..cause
            },
        }
    })?;
    Ok(Json(json!({
        "success": true,
        "closed_connections": closed.connections,
        "refused_until": until,
        "timestamp": now,
    })))
}

/// What is revoked.
pub(in crate::http) async fn revocations(
    key: ApiKey<Admin>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response, Refusal> {
    let parameters = query::parameters(query.as_deref(), &[ORGANIZATION, LIMIT, CURSOR])?;
    let organization = key.within(words::organization(&parameters)?)?;
    let limit = query::number(&parameters, LIMIT.name(), 1..=MAX_PAGE)?.unwrap_or(PAGE);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let after = match query::text(&parameters, CURSOR.name()) {
        None => None,
        Some(cursor) => Some(
            read_cursor(cursor)
                .filter(|(reach, _)| organization.is_none() || *reach == organization)
                .ok_or_else(not_a_cursor)?,
        ),
    };
    let after = after.as_ref().map(|(reach, subject)| (reach, subject));
    let own = organization.as_ref();
    let mut found = app.node.revoked(own, after, limit + 1);
    let has_next = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| has_next).map(write_cursor);
    let items: Vec<Item<'_>> = found.iter().map(Item::of).collect();
    let rest = json!({
        "total_count": app.node.revocation_count(own),
        "limit": limit,
        "next_cursor": next,
    });
    page::answer("revocations", &items, &rest).await
}

#[derive(Serialize)]
struct Item<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a UserId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jti: Option<&'a TokenId>,
    organization_id: Option<&'a OrganizationId>,
    revoked_at: UnixMillis,
    refused_until: Option<UnixMillis>,
}

impl<'a> Item<'a> {
    fn of(listed: &'a Listed) -> Self {
        let (user_id, jti) = match &listed.subject {
            Subject::User(id) => (Some(id), None),
            Subject::Token(id) => (None, Some(id)),
        };
        Self {
            user_id,
            jti,
            organization_id: listed.reach.as_ref(),
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

/// Accepts a user or a token again.
pub(in crate::http) async fn take_back(
    key: ApiKey<Admin>,
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Result<Json<Value>, Response>, Refusal> {
    let parameters = query::parameters(query.as_deref(), &[USER, ORGANIZATION, TOKEN_ID])?;
    let (reach, subject) = named(&parameters, &key)?;
    if !app.node.take_back(&reach, &subject) {
        return Ok(Err(not_found("this user or token is not revoked here")));
    }
    Ok(Ok(Json(
        json!({ "success": true, "timestamp": app.hub.now() }),
    )))
}

fn token_id(object: &Map<String, Value>) -> Result<Option<TokenId>, Fault> {
    match TOKEN_ID.find(object)? {
        None => Ok(None),
        Some((_, Value::String(id))) if (1..=MAX_TOKEN_ID_BYTES).contains(&id.len()) => {
            Ok(Some(id.as_str().into()))
        }
        Some((_, Value::Number(id))) => Ok(Some(id.to_string().into())),
        Some((name, _)) => Err(Fault::invalid(format!(
            "`{name}` is no token's id; a string of 1 to {MAX_TOKEN_ID_BYTES} bytes is"
        ))),
    }
}

/// Seconds since the epoch, as in `exp`, or ISO 8601. A time that is over would revoke nothing, and
/// the caller would believe that it did.
fn expires_at(object: &Map<String, Value>, now: UnixMillis) -> Result<Option<UnixMillis>, Fault> {
    let Some((name, value)) = EXPIRES_AT.find(object)? else {
        return Ok(None);
    };
    let millis = match value {
        Value::Number(number) => number.as_u64().map(|seconds| seconds.saturating_mul(1000)),
        Value::String(text) => text
            .parse::<jiff::Timestamp>()
            .ok()
            .and_then(|time| u64::try_from(time.as_millisecond()).ok()),
        _ => None,
    };
    let until = millis.map(UnixMillis).ok_or_else(|| {
        Fault::invalid(format!(
            "`{name}` is no time; seconds since 1970 or ISO 8601 are"
        ))
    })?;
    if until <= now {
        return Err(Fault::invalid(format!(
            "`{name}` is {until}, which is not after now ({now}), so nothing would be revoked; \
             name a later time, or none to revoke for as long as the server runs"
        )));
    }
    Ok(Some(until))
}
