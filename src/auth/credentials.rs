//! What a client says about itself, from wherever it says it.

use std::fmt;

use http::{HeaderMap, header};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::domain::error::{ClientError, Code};
use crate::domain::fields::{self, ORGANIZATION, USER};
use crate::domain::identity::{Identity, OrganizationId, UserId};

/// What is yet to be verified.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// "I am this user of this organization."
    Asserted(Identity),
    /// A token that says who it is.
    Token(TokenCredentials),
}

/// A token, and what was said beside it, which must not contradict it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenCredentials {
    pub token: String,
    pub user: Option<UserId>,
    pub organization: Option<OrganizationId>,
}

impl TokenCredentials {
    /// `UNAUTHORIZED` if the ids beside the token are not the ones in it.
    pub fn check_beside(&self, identity: &Identity) -> Result<(), ClientError> {
        let user = self.user.as_ref().unwrap_or(&identity.user);
        let organization = self.organization.as_ref().unwrap_or(&identity.organization);
        if *user == identity.user && *organization == identity.organization {
            return Ok(());
        }
        Err(ClientError::unauthorized(
            "the user or organization beside the token is not the one in it",
        ))
    }
}

/// Tokens are secrets: they are never printed.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asserted(identity) => f.debug_tuple("Asserted").field(identity).finish(),
            Self::Token(credentials) => credentials.fmt(f),
        }
    }
}

impl fmt::Debug for TokenCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

impl Credentials {
    /// The credentials in the object of an `authenticate` message or of a handshake's `auth`; `None` if
    /// it shows none at all. A token may stand behind `Bearer`.
    pub fn from_object(object: &Map<String, Value>) -> Result<Option<Self>, ClientError> {
        let (user, organization) = (fields::user(object)?, fields::organization(object)?);
        match object.get("token") {
            None | Some(Value::Null) => {}
            Some(Value::String(token)) if is_no_token(token) => {}
            Some(Value::String(token)) => {
                return Ok(Some(Self::Token(TokenCredentials {
                    token: bearer(token).unwrap_or(token).trim().to_owned(),
                    user,
                    organization,
                })));
            }
            Some(other) => {
                let kind = fields::kind_of(other);
                return Err(ClientError::invalid(format!(
                    "`token` must be a string, not {kind}"
                )));
            }
        }
        match (user, organization) {
            (Some(user), Some(organization)) => {
                Ok(Some(Self::Asserted(Identity { user, organization })))
            }
            (None, None) => Ok(None),
            (user, _) => {
                let missing = if user.is_none() { USER } else { ORGANIZATION };
                Err(ClientError::new(
                    Code::AuthFailed,
                    format!("`{}` is missing", missing.name()),
                ))
            }
        }
    }

    /// The credentials in a handshake: the token in its query (`?token=`), in `Authorization: Bearer` or
    /// in the cookie of this name, whichever comes first, or the ids in its query (`?userId=` and
    /// `?companyId=` and their aliases).
    pub fn from_handshake(
        query: &str,
        headers: &HeaderMap,
        cookie: Option<&str>,
    ) -> Result<Option<Self>, ClientError> {
        let mut object = query_object(query, |name| {
            name == "token" || USER.0.contains(&name) || ORGANIZATION.0.contains(&name)
        });
        if !object.contains_key("token") {
            let token = from_authorization(headers)
                .or_else(|| cookie.and_then(|name| from_cookie(headers, name)));
            if let Some(token) = token {
                object.insert("token".to_owned(), Value::String(token));
            }
        }
        Self::from_object(&object)
    }
}

/// What stands in the place of a token where a page has none.
fn is_no_token(token: &str) -> bool {
    matches!(token.trim(), "" | "undefined" | "null")
}

fn bearer(text: &str) -> Option<&str> {
    let (scheme, token) = text.trim_start().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn from_authorization(headers: &HeaderMap) -> Option<String> {
    let header = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    bearer(header).map(|token| token.trim().to_owned())
}

/// The cookie's value (RFC 6265, section 4.2); the first of the name counts.
fn from_cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value.trim_matches('"').to_owned())
}

/// The wanted parameters of a query, decoded; the first of a name counts.
pub fn query_object(query: &str, wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
    let mut object = Map::new();
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if wanted(name) {
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy().into_owned();
            object.entry(name).or_insert(Value::String(value));
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(
        query: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Option<Credentials>, ClientError> {
        let headers = headers
            .iter()
            .map(|(name, value)| {
                let name = http::HeaderName::from_static(name);
                (name, http::HeaderValue::from_str(value).unwrap())
            })
            .collect();
        Credentials::from_handshake(query, &headers, Some("session"))
    }

    #[test]
    fn what_a_page_sends_that_has_no_token_is_no_token() {
        for query in [
            "token=",
            "token",
            "token=undefined",
            "token=null",
            "token=%20",
        ] {
            assert_eq!(handshake(query, &[]), Ok(None), "{query}");
            let asserted = handshake(&format!("{query}&user_id=u&organization_id=o"), &[]);
            assert!(
                matches!(asserted, Ok(Some(Credentials::Asserted(_)))),
                "{query}"
            );
        }
    }

    fn token(credentials: Result<Option<Credentials>, ClientError>) -> String {
        match credentials {
            Ok(Some(Credentials::Token(credentials))) => credentials.token,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_query_names_user_and_organization_by_any_alias() {
        let expected = Credentials::Asserted(Identity {
            user: UserId::new("u 1").unwrap(),
            organization: OrganizationId::new("a:b").unwrap(),
        });
        for query in [
            "EIO=4&userId=u%201&companyId=a%3Ab",
            "user_id=u+1&organization_id=a:b",
            "sub=u%201&tenant_id=a:b&transport=websocket",
        ] {
            assert_eq!(handshake(query, &[]), Ok(Some(expected.clone())), "{query}");
        }
        assert_eq!(handshake("EIO=4&transport=polling", &[]), Ok(None));
    }

    #[test]
    fn half_a_claim_is_refused() {
        let error = handshake("userId=u", &[]).unwrap_err();
        assert_eq!(error.code, Code::AuthFailed);
        assert_eq!(error.message, "`organization_id` is missing");
    }

    #[test]
    fn a_token_is_found_in_query_header_and_cookie_in_this_order() {
        let header = ("authorization", "bearer header");
        let cookie = ("cookie", "a=b; session=cookie; session=second");
        assert_eq!(token(handshake("token=query", &[header, cookie])), "query");
        assert_eq!(token(handshake("userId=u", &[header, cookie])), "header");
        assert_eq!(token(handshake("", &[cookie])), "cookie");
        for none in [("authorization", "Basic abc"), ("cookie", "other=x")] {
            assert_eq!(handshake("", &[none]), Ok(None));
        }
        let unnamed = Credentials::from_handshake("", &HeaderMap::new(), None);
        assert_eq!(unnamed, Ok(None));
    }

    #[test]
    fn a_token_may_stand_behind_bearer_and_is_not_printed() {
        let credentials = handshake("token=Bearer%20s3cret&userId=u", &[]);
        assert!(!format!("{credentials:?}").contains("s3cret"));
        assert_eq!(token(credentials), "s3cret");
    }

    #[test]
    fn ids_beside_a_token_must_be_those_in_it() {
        let identity = Identity {
            user: UserId::new("u").unwrap(),
            organization: OrganizationId::new("a").unwrap(),
        };
        for (query, agrees) in [
            ("token=t", true),
            ("token=t&userId=u&companyId=a", true),
            ("token=t&companyId=b", false),
            ("token=t&sub=v", false),
        ] {
            let Ok(Some(Credentials::Token(credentials))) = handshake(query, &[]) else {
                panic!("{query}")
            };
            assert_eq!(
                credentials.check_beside(&identity).is_ok(),
                agrees,
                "{query}"
            );
        }
        assert!(handshake("token=t&companyId=a&orgId=b", &[]).is_err());
    }
}
