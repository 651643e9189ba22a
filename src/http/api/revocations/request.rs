//! What queries and bodies about revocations ask.

use serde_json::{Map, Value};
use utoipa::openapi::schema::{KnownFormat, OneOfBuilder, Schema, SchemaFormat, Type};
use utoipa::openapi::{Object, ObjectBuilder};
use utoipa::{IntoParams, ToSchema};

use crate::domain::error::ClientError;
use crate::domain::fields::{self, Field, ORGANIZATION, USER};
use crate::domain::grants::TokenId;
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::suggest;
use crate::domain::time::UnixMillis;
use crate::http::api::page::{self, CURSOR, LIMIT};
use crate::http::extract::body;
use crate::http::extract::query::{self, FromQuery};

const TOKEN_ID: Field = Field(&["jti", "token_id", "tokenId"]);
const EXPIRES_AT: Field = Field(&["expires_at", "expiresAt", "exp"]);

/// Longest `jti` in bytes.
const MAX_TOKEN_ID_BYTES: usize = 256;

/// Who is to be accepted again: a user in an organization, or a token.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct SubjectQuery {
    #[param(value_type = Option<String>)]
    pub user_id: Option<UserId>,
    /// Where; that of an organization's key if there is none.
    #[param(value_type = Option<String>)]
    pub organization_id: Option<OrganizationId>,
    /// The id of a token.
    #[param(value_type = Option<String>)]
    pub jti: Option<TokenId>,
}

impl FromQuery for SubjectQuery {
    const KNOWN: &'static [Field] = &[USER, ORGANIZATION, TOKEN_ID];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        Ok(Self {
            organization_id: fields::organization(parameters)?,
            user_id: fields::user(parameters)?,
            jti: token_id(parameters)?,
        })
    }
}

/// Who is to be revoked: a user in an organization, or a token.
#[derive(ToSchema)]
pub(super) struct RevokeRequest {
    #[schema(value_type = Option<String>)]
    pub user_id: Option<UserId>,
    /// Where; that of an organization's key if there is none.
    #[schema(value_type = Option<String>)]
    pub organization_id: Option<OrganizationId>,
    /// The id of a token.
    #[schema(value_type = Option<String>)]
    pub jti: Option<TokenId>,
    /// Until when: seconds since 1970, or ISO 8601. Without it, as long as the server runs.
    #[schema(schema_with = time_schema, required = false)]
    pub expires_at: Option<UnixMillis>,
}

fn time_schema() -> Schema {
    let seconds = Object::with_type(Type::Integer);
    let text = ObjectBuilder::new()
        .schema_type(Type::String)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)));
    OneOfBuilder::new().item(seconds).item(text).into()
}

impl RevokeRequest {
    pub fn read(body: &[u8], now: UnixMillis) -> Result<Self, ClientError> {
        let members = body::members(body)?;
        let known = [USER, ORGANIZATION, TOKEN_ID, EXPIRES_AT];
        suggest::check_all(members.names(), "the body", &known)?;
        let object = members.values(|_| true)?;
        Ok(Self {
            expires_at: expires_at(&object, now)?,
            organization_id: fields::organization(&object)?,
            user_id: fields::user(&object)?,
            jti: token_id(&object)?,
        })
    }
}

/// Which page of what is revoked is asked for.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct RevocationsQuery {
    /// The organization that is meant; that of an organization's key if there is none.
    #[param(value_type = Option<String>)]
    pub organization_id: Option<OrganizationId>,
    /// Most items of the page.
    #[param(value_type = Option<usize>, minimum = 1, maximum = 10_000, default = 1000)]
    pub limit: usize,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

impl FromQuery for RevocationsQuery {
    const KNOWN: &'static [Field] = &[ORGANIZATION, LIMIT, CURSOR];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        Ok(Self {
            organization_id: fields::organization(parameters)?,
            limit: page::limit(parameters)?,
            cursor: query::text(parameters, CURSOR.name()).map(str::to_owned),
        })
    }
}

fn token_id(object: &Map<String, Value>) -> Result<Option<TokenId>, ClientError> {
    match TOKEN_ID.find(object)? {
        None => Ok(None),
        Some((_, Value::String(id))) if (1..=MAX_TOKEN_ID_BYTES).contains(&id.len()) => {
            Ok(Some(id.as_str().into()))
        }
        Some((_, Value::Number(id))) => Ok(Some(id.to_string().into())),
        Some((name, _)) => Err(ClientError::invalid(format!(
            "`{name}` is no token's id; a string of 1 to {MAX_TOKEN_ID_BYTES} bytes is"
        ))),
    }
}

/// Seconds since the epoch, as in `exp`, or ISO 8601. A time that is over would revoke nothing, and
/// the caller would believe that it did.
fn expires_at(
    object: &Map<String, Value>,
    now: UnixMillis,
) -> Result<Option<UnixMillis>, ClientError> {
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
        ClientError::invalid(format!(
            "`{name}` is no time; seconds since 1970 or ISO 8601 are"
        ))
    })?;
    if until <= now {
        return Err(ClientError::invalid(format!(
            "`{name}` is {until}, which is not after now ({now}), so nothing would be revoked; \
             name a later time, or none to revoke for as long as the server runs"
        )));
    }
    Ok(Some(until))
}
