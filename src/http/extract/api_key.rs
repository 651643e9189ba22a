//! Who may call the API. A handler takes an [`ApiKey`] of the scope that it needs; without one it
//! can't be called, and what it may see is asked of the key.

use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::auth::api_key::{ApiKeys, Caller, Reach, Scope};
use crate::domain::error::{ClientError, Code};
use crate::domain::identity::OrganizationId;
use crate::http::options::ApiAccess;
use crate::http::response::ErrorResponse;
use crate::http::state::App;
use crate::metrics::rejections::Rejection;

const HEADER: &str = "x-api-key";

/// The scope of a route, by type.
pub(in crate::http) trait Needs: Send {
    const SCOPE: Scope;
}

pub(in crate::http) struct Broadcast;
pub(in crate::http) struct Read;
pub(in crate::http) struct Admin;

impl Needs for Broadcast {
    const SCOPE: Scope = Scope::Broadcast;
}

impl Needs for Read {
    const SCOPE: Scope = Scope::Read;
}

impl Needs for Admin {
    const SCOPE: Scope = Scope::Admin;
}

/// The key of a caller who was let in for this scope.
pub(in crate::http) struct ApiKey<N> {
    /// `None` where the API is open.
    caller: Option<Arc<Caller>>,
    _scope: PhantomData<N>,
}

impl<N> ApiKey<N> {
    /// The organization beyond which the caller sees and reaches nothing; `None` for an operator.
    pub fn organization(&self) -> Option<&OrganizationId> {
        match &self.caller.as_ref()?.reach {
            Reach::Operator => None,
            Reach::Organization(organization) => Some(organization),
        }
    }

    /// The organization that a request is about, given the one that it names. `UNAUTHORIZED` if it
    /// names another than the caller's.
    pub fn within(
        &self,
        named: Option<OrganizationId>,
    ) -> Result<Option<OrganizationId>, ClientError> {
        match (self.organization(), named) {
            (None, named) => Ok(named),
            (Some(own), None) => Ok(Some(own.clone())),
            (Some(own), Some(named)) if *own == named => Ok(Some(named)),
            (Some(own), Some(_)) => Err(ClientError::unauthorized(format!(
                "this API key acts in organization `{own}` only"
            ))),
        }
    }

    /// Fails for every caller but an operator.
    pub fn operator(&self, what: &'static str) -> Result<(), ClientError> {
        match self.organization() {
            None => Ok(()),
            Some(_) => Err(ClientError::unauthorized(format!(
                "{what} needs an operator's key"
            ))),
        }
    }
}

/// Why a caller was not let in.
pub(in crate::http) struct KeyRejection(ClientError);

impl IntoResponse for KeyRejection {
    fn into_response(self) -> Response {
        let mut response = ErrorResponse(self.0).into_response();
        if response.status() == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"orgcast\""),
            );
        }
        response
    }
}

impl<N: Needs> FromRequestParts<App> for ApiKey<N> {
    type Rejection = KeyRejection;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, KeyRejection> {
        let caller = match &app.access {
            ApiAccess::Open => None,
            ApiAccess::Keys(keys) => {
                let checked = check(keys, &parts.headers, N::SCOPE);
                let checked = checked.inspect_err(|error| count_refused(app, parts, error));
                Some(checked.map_err(KeyRejection)?)
            }
        };
        Ok(Self {
            caller,
            _scope: PhantomData,
        })
    }
}

fn count_refused(app: &App, parts: &Parts, error: &ClientError) {
    let remote = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    let remote = remote.map_or(String::new(), |remote| format!("{}: ", remote.0.ip()));
    let refused = &app.hub.metrics.rejections;
    refused.count(Rejection::ApiKey, format_args!("{remote}{}", error.message));
}

fn check(keys: &ApiKeys, headers: &HeaderMap, scope: Scope) -> Result<Arc<Caller>, ClientError> {
    let key = presented(headers)?;
    let caller = keys
        .find(&key)
        .ok_or_else(|| ClientError::new(Code::AuthFailed, "the API key is not known"))?;
    if !caller.scopes.contains(&scope) {
        return Err(ClientError::unauthorized(format!(
            "this API key does not have the scope `{}`",
            scope.name()
        )));
    }
    tracing::debug!(key = caller.name, scope = scope.name(), "API call");
    Ok(caller)
}

/// The key in `X-API-Key` or behind `Authorization: Bearer`. Two that differ are refused.
fn presented(headers: &HeaderMap) -> Result<String, ClientError> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).trim().to_owned();
    let mut found: Option<String> = None;
    let bearers = headers
        .get_all(header::AUTHORIZATION)
        .iter()
        .filter_map(|value| {
            let value = text(value);
            let (scheme, key) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| key.trim().to_owned())
        });
    for key in headers.get_all(HEADER).iter().map(text).chain(bearers) {
        match &found {
            Some(earlier) if *earlier != key => {
                return Err(ClientError::new(
                    Code::AuthFailed,
                    "the request has two API keys that differ",
                ));
            }
            _ => found = Some(key),
        }
    }
    found.ok_or_else(|| {
        ClientError::new(
            Code::AuthFailed,
            "an API key is needed, as `X-API-Key` or `Authorization: Bearer`; \
             `orgcast gen-key` makes one",
        )
    })
}
