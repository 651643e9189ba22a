//! Revoking users and tokens (`POST /api/ws/revoke`).

use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};

use super::body::{self, Body};
use super::guard::{Admin, Permit};
use super::reply::Refusal;
use super::router::App;
use crate::domain::fault::Fault;
use crate::domain::grants::TokenId;
use crate::domain::identity::Identity;
use crate::domain::spelling;
use crate::domain::time::UnixMillis;
use crate::domain::words::{self, Word};

const TOKEN_ID: Word = Word(&["jti", "token_id", "tokenId"]);
const EXPIRES_AT: Word = Word(&["expires_at", "expiresAt", "exp"]);

/// Longest `jti` in bytes.
const MAX_TOKEN_ID_BYTES: usize = 256;

/// Closes every connection of a user (`{user_id, organization_id}`) or of a token (`{jti}`), and
/// refuses it until `expires_at`.
pub(super) async fn revoke(
    permit: Permit<Admin>,
    State(app): State<App>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    let object = body::object(&body::bytes(body, app.max_message_size)?)?;
    let known = [words::USER, words::ORGANIZATION, TOKEN_ID, EXPIRES_AT];
    spelling::check_all(object.keys(), "the body", &known)?;
    let now = UnixMillis::from_system(SystemTime::now());
    let until = expires_at(&object, now)?;
    let organization = permit.within(words::organization(&object)?)?;
    let closed = match (words::user(&object)?, token_id(&object)?) {
        (Some(user), None) => {
            let organization = organization
                .ok_or_else(|| Fault::invalid("`organization_id` is missing beside the user"))?;
            let identity = Identity { user, organization };
            // First the refusal, then the close: whoever comes between the two is refused.
            app.revocations.revoke_user(identity.clone(), now, until)?;
            app.hub.close_user(&identity.organization, &identity.user)
        }
        (None, Some(token_id)) => {
            app.revocations.revoke_token(
                organization.clone(),
                Arc::clone(&token_id),
                now,
                until,
            )?;
            app.hub.close_token(organization.as_ref(), &token_id)
        }
        _ => {
            return Err(Fault::invalid(
                "the body needs a `user_id` with its `organization_id`, or a `jti`",
            )
            .into());
        }
    };
    Ok(Json(json!({
        "success": true,
        "closed_connections": closed,
        "refused_until": until,
        "timestamp": now,
    })))
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
