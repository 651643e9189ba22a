//! The query of a request. What is overlooked in it answers another question than was asked: an
//! operator's `organisation_id` would list everybody. So whatever is not known is refused.

use std::ops::RangeInclusive;

use axum::extract::FromRequestParts;
use http::request::Parts;
use serde_json::{Map, Value};
use utoipa::IntoParams;

use crate::domain::error::ClientError;
use crate::domain::fields::{self, Field, ORGANIZATION, shown};
use crate::domain::identity::OrganizationId;
use crate::domain::suggest;
use crate::http::response::ErrorResponse;

/// The query as its route reads it. Refuses with a message that names what is not known, and what is.
pub(in crate::http) struct Query<T>(pub T);

/// What a route asks of its query.
pub(in crate::http) trait FromQuery: Sized {
    /// Every parameter that the route knows.
    const KNOWN: &'static [Field];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError>;
}

impl<S: Sync, T: FromQuery> FromRequestParts<S> for Query<T> {
    type Rejection = ErrorResponse;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ErrorResponse> {
        let parameters = parameters(parts.uri.query(), T::KNOWN)?;
        Ok(Self(T::read(&parameters)?))
    }
}

/// The query of a route that has none.
pub(in crate::http) struct NoQuery;

impl FromQuery for NoQuery {
    const KNOWN: &'static [Field] = &[];

    fn read(_: &Map<String, Value>) -> Result<Self, ClientError> {
        Ok(Self)
    }
}

/// The query of a route that may be about one organization.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct OrganizationQuery {
    /// The organization that is meant; that of an organization's key if there is none.
    #[param(value_type = Option<String>)]
    pub organization_id: Option<OrganizationId>,
}

impl FromQuery for OrganizationQuery {
    const KNOWN: &'static [Field] = &[ORGANIZATION];

    fn read(parameters: &Map<String, Value>) -> Result<Self, ClientError> {
        Ok(Self {
            organization_id: fields::organization(parameters)?,
        })
    }
}

/// The parameters, decoded, all of them among `known`.
fn parameters(query: Option<&str>, known: &[Field]) -> Result<Map<String, Value>, ClientError> {
    let mut found = Map::new();
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if found.get(&*name).is_some_and(|earlier| *earlier != *value) {
            let name = shown(&name);
            return Err(ClientError::invalid(format!(
                "the query gives `{name}` twice, with different values"
            )));
        }
        found.insert(name.into_owned(), Value::String(value.into_owned()));
    }
    suggest::check_all(found.keys(), "the query", known)?;
    Ok(found)
}

/// The text of a parameter.
pub(in crate::http) fn text<'a>(parameters: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    parameters.get(name).and_then(Value::as_str)
}

/// A whole number out of `allowed`.
pub(in crate::http) fn number(
    parameters: &Map<String, Value>,
    name: &str,
    allowed: RangeInclusive<u64>,
) -> Result<Option<u64>, ClientError> {
    let Some(text) = text(parameters, name) else {
        return Ok(None);
    };
    match text.parse() {
        Ok(number) if allowed.contains(&number) => Ok(Some(number)),
        _ => {
            let allowed = match (allowed.start(), allowed.end()) {
                (least, &u64::MAX) => format!("whole numbers from {least} on are allowed"),
                (least, most) => format!("whole numbers from {least} to {most} are allowed"),
            };
            let text = shown(text);
            Err(ClientError::invalid(format!(
                "`{name}` is `{text}`; {allowed}"
            )))
        }
    }
}

/// `true` or `false`.
pub(in crate::http) fn flag(
    parameters: &Map<String, Value>,
    name: &str,
) -> Result<Option<bool>, ClientError> {
    match text(parameters, name) {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => {
            let other = shown(other);
            Err(ClientError::invalid(format!(
                "`{name}` is `{other}`; true and false are allowed"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::fields::ORGANIZATION;

    const KNOWN: [Field; 3] = [ORGANIZATION, Field(&["limit"]), Field(&["all"])];

    fn read(query: &str) -> Result<Map<String, Value>, ClientError> {
        parameters(Some(query), &KNOWN)
    }

    #[test]
    fn parameters_are_decoded() {
        let found = read("&org%5Fid=a+b%2Fc&limit=7&limit=7&all=true").unwrap();
        assert_eq!(text(&found, "org_id"), Some("a b/c"));
        assert_eq!(number(&found, "limit", 1..=10), Ok(Some(7)));
        assert_eq!(flag(&found, "all"), Ok(Some(true)));
        assert_eq!(flag(&found, "none"), Ok(None));
        assert!(parameters(None, &KNOWN).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_allowed() {
        for (query, problem) in [
            (
                "organisation_id=a",
                "the query has an unknown `organisation_id`; did you mean `organization_id`? \
                 known are organization_id, limit, all",
            ),
            (
                "_=1",
                "the query has an unknown `_`; known are organization_id, limit, all",
            ),
            (
                "limit=1&limit=2",
                "the query gives `limit` twice, with different values",
            ),
            (
                "limit=0",
                "`limit` is `0`; whole numbers from 1 to 10 are allowed",
            ),
            (
                "limit=-1",
                "`limit` is `-1`; whole numbers from 1 to 10 are allowed",
            ),
            (
                "limit=1e9",
                "`limit` is `1e9`; whole numbers from 1 to 10 are allowed",
            ),
            (
                "limit=%0a",
                "`limit` is `\\n`; whole numbers from 1 to 10 are allowed",
            ),
            (
                "limit",
                "`limit` is ``; whole numbers from 1 to 10 are allowed",
            ),
            ("all=yes", "`all` is `yes`; true and false are allowed"),
        ] {
            let error = read(query)
                .and_then(|found| {
                    number(&found, "limit", 1..=10)?;
                    flag(&found, "all")
                })
                .unwrap_err();
            assert_eq!(error.message, problem, "{query}");
        }
    }
}
