//! Tokens in the form of RFC 7519, signed as in RFC 7515, and the principal that is in them.
//!
//! `now` is an argument, and so are the keys: nothing here reads a clock or waits.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::grants;
use super::key::{Algorithm, VerifyKey};
use crate::domain::error::{ClientError, Code, reason};
use crate::domain::fields::{self, Field, ORGANIZATION, Tenant, USER};
use crate::domain::grants::{Principal, TokenId};
use crate::domain::identity::{Identity, OrganizationId, UserId};
use crate::domain::time::UnixMillis;

/// Longest token in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Longest `jti` in bytes.
const MAX_TOKEN_ID_BYTES: usize = 256;
/// Keys that are tried at most for one token.
const MAX_CANDIDATES: usize = 16;

/// What a token must meet beside its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRules {
    /// Allowed algorithms; empty is every one that suits a key.
    pub algorithms: Vec<Algorithm>,
    /// Allowed `iss`; empty is any, or none.
    pub issuers: Vec<String>,
    /// Of which `aud` must name one; empty is any, or none.
    pub audiences: Vec<String>,
    /// How far clocks may be apart.
    pub leeway_ms: u64,
    /// Whether a token without `exp` is refused.
    pub require_exp: bool,
    /// Claims of which the first that is there names the user; empty is every alias of the contract.
    pub user_claims: Vec<String>,
    /// The same for the organization.
    pub organization_claims: Vec<String>,
    /// The claim with the grants.
    pub grants_claim: String,
}

impl Default for TokenRules {
    fn default() -> Self {
        Self {
            algorithms: Vec::new(),
            issuers: Vec::new(),
            audiences: Vec::new(),
            leeway_ms: 5000,
            require_exp: true,
            user_claims: Vec::new(),
            organization_claims: Vec::new(),
            grants_claim: "grants".to_owned(),
        }
    }
}

fn refused(
    reason: &'static str,
    message: impl Into<std::borrow::Cow<'static, str>>,
) -> ClientError {
    ClientError::new(Code::AuthFailed, message).because(reason)
}

fn malformed(message: &'static str) -> ClientError {
    refused(reason::TOKEN_MALFORMED, message)
}

/// Header, claims and signature, for the people who pasted something else.
const NOT_A_TOKEN: &str = "this is no token: one has three parts with dots between them";

/// A token that was taken apart, with nothing in it believed yet.
pub struct Parts<'a> {
    /// What is signed.
    message: &'a str,
    signature: &'a str,
    claims: &'a str,
    algorithm: Algorithm,
    /// The key that it says it was signed with.
    pub key_id: Option<String>,
}

impl<'a> Parts<'a> {
    /// Fails on what is no signed token, and on an algorithm that is none.
    pub fn of(token: &'a str) -> Result<Self, ClientError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(malformed("the token is longer than 16 KiB"));
        }
        let Some((message, signature)) = token.rsplit_once('.') else {
            return Err(malformed(NOT_A_TOKEN));
        };
        let Some((header, claims)) = message.split_once('.') else {
            return Err(malformed(NOT_A_TOKEN));
        };
        if claims.contains('.') {
            return Err(malformed(NOT_A_TOKEN));
        }
        let header = object(header).ok_or_else(|| malformed("the token's header is not JSON"))?;
        // RFC 7515, section 4.1.11: what is critical and not understood makes the token invalid.
        if header.contains_key("crit") {
            return Err(malformed("the token's header has critical extensions"));
        }
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::parse)
            .ok_or_else(|| {
                refused(
                    reason::ALGORITHM_REFUSED,
                    "the token's algorithm is not accepted",
                )
            })?;
        let key_id = match header.get("kid") {
            None | Some(Value::Null) => None,
            Some(Value::String(id)) => Some(id.clone()),
            Some(_) => return Err(malformed("the token's `kid` is not a string")),
        };
        Ok(Self {
            message,
            signature,
            claims,
            algorithm,
            key_id,
        })
    }
}

/// The object in one part of a token.
fn object(part: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(part).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// Checks the signature and every claim. Fails with `AUTH_FAILED` and the reason.
pub fn verify(
    parts: &Parts<'_>,
    keys: &[&VerifyKey],
    rules: &TokenRules,
    now: UnixMillis,
) -> Result<Principal, ClientError> {
    check_signature(parts, keys, rules)?;
    let claims =
        object(parts.claims).ok_or_else(|| malformed("the token's claims are not an object"))?;
    read_claims(&claims, rules, now)
}

fn check_signature(
    parts: &Parts<'_>,
    keys: &[&VerifyKey],
    rules: &TokenRules,
) -> Result<(), ClientError> {
    let algorithm = parts.algorithm;
    let allowed = rules.algorithms.is_empty() || rules.algorithms.contains(&algorithm);
    if !allowed || !keys.iter().any(|key| key.suits(algorithm)) {
        return Err(refused(
            reason::ALGORITHM_REFUSED,
            format!("no key here accepts {} tokens", algorithm.name()),
        ));
    }
    let is_named = |key: &VerifyKey| match (&parts.key_id, &key.id) {
        (Some(wanted), Some(id)) => wanted == id,
        _ => true,
    };
    let mut candidates: Vec<&VerifyKey> = keys
        .iter()
        .copied()
        .filter(|key| key.suits(algorithm) && is_named(key))
        .collect();
    if candidates.is_empty() {
        return Err(refused(
            reason::KEY_UNKNOWN,
            "the token's key (`kid`) is not known",
        ));
    }
    // The key of that name first.
    candidates.sort_by_key(|key| key.id.is_none());
    let message = parts.message.as_bytes();
    if candidates
        .iter()
        .take(MAX_CANDIDATES)
        .any(|key| key.verifies(algorithm, message, parts.signature))
    {
        Ok(())
    } else {
        Err(refused(
            reason::SIGNATURE_INVALID,
            "the token's signature is not valid",
        ))
    }
}

fn read_claims(
    claims: &Map<String, Value>,
    rules: &TokenRules,
    now: UnixMillis,
) -> Result<Principal, ClientError> {
    // To whole milliseconds: a token neither ends too early nor begins, or was issued, too late.
    let expires_at = match time(claims, "exp", f64::ceil)? {
        None if rules.require_exp => return Err(invalid("the token has no `exp`")),
        // A client's clock may be ahead; whoever is admitted late is so until the leeway is over.
        Some(end) if end <= now => Some(UnixMillis(end.0.saturating_add(rules.leeway_ms))),
        end => end,
    };
    if expires_at.is_some_and(|end| end <= now) {
        return Err(refused(reason::TOKEN_EXPIRED, "the token has expired"));
    }
    let issued_at = time(claims, "iat", f64::floor)?;
    let soonest = now.0.saturating_add(rules.leeway_ms);
    // Before it was issued a token is not valid either: it would outlive a revocation in between.
    let starts = time(claims, "nbf", f64::floor)?.max(issued_at);
    if starts.is_some_and(|start| start.0 > soonest) {
        return Err(refused(
            reason::TOKEN_NOT_YET_VALID,
            "the token is not valid yet",
        ));
    }
    check_issuer(claims, &rules.issuers)?;
    check_audience(claims, &rules.audiences)?;
    let organization = id(
        claims,
        &rules.organization_claims,
        ORGANIZATION,
        OrganizationId::new,
    )?;
    let user = id(claims, &rules.user_claims, USER, UserId::new)?;
    Ok(Principal {
        identity: Identity { user, organization },
        grants: grants::read(find(claims, &rules.grants_claim))?,
        expires_at,
        issued_at,
        token_id: token_id(claims)?,
        tenant: tenant(claims, &rules.organization_claims),
    })
}

/// How the token spells the organization; of a path, its last part.
fn tenant(claims: &Map<String, Value>, names: &[String]) -> Tenant {
    if names.is_empty() {
        return Tenant::of_names(claims.keys().map(String::as_str));
    }
    let first = names.iter().find(|name| find(claims, name).is_some());
    let last = first.and_then(|name| name.rsplit('.').next());
    last.map_or(Tenant::Other, Tenant::of_alias)
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> ClientError {
    refused(reason::CLAIM_INVALID, message)
}

/// Seconds since the epoch, with or without a fraction (RFC 7519, section 2, `NumericDate`).
fn time(
    claims: &Map<String, Value>,
    name: &str,
    round: fn(f64) -> f64,
) -> Result<Option<UnixMillis>, ClientError> {
    let bad = || invalid(format!("the token's `{name}` is not a time"));
    match claims.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => {
            if let Some(seconds) = number.as_u64() {
                return Ok(Some(UnixMillis(seconds.saturating_mul(1000))));
            }
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "such a cast saturates, and what is beyond is far in the future"
            )]
            match number.as_f64() {
                Some(seconds) if seconds >= 0.0 => {
                    Ok(Some(UnixMillis(round(seconds * 1000.0) as u64)))
                }
                _ => Err(bad()),
            }
        }
        Some(_) => Err(bad()),
    }
}

fn check_issuer(claims: &Map<String, Value>, allowed: &[String]) -> Result<(), ClientError> {
    let issuer = claims.get("iss").and_then(Value::as_str);
    if allowed.is_empty() || issuer.is_some_and(|issuer| allowed.iter().any(|a| a == issuer)) {
        return Ok(());
    }
    Err(refused(
        reason::ISSUER_REFUSED,
        "the token's issuer (`iss`) is not accepted",
    ))
}

fn check_audience(claims: &Map<String, Value>, allowed: &[String]) -> Result<(), ClientError> {
    let is_allowed = |value: &Value| {
        value
            .as_str()
            .is_some_and(|audience| allowed.iter().any(|a| a == audience))
    };
    let named = match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(is_allowed),
        Some(audience) => is_allowed(audience),
        None => false,
    };
    if allowed.is_empty() || named {
        return Ok(());
    }
    Err(refused(
        reason::AUDIENCE_REFUSED,
        "the token's audience (`aud`) is not accepted",
    ))
}

/// The claim of this name, or the one to which its dots lead.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value).filter(|value| !value.is_null());
    }
    let (outer, inner) = name.split_once('.')?;
    find(claims.get(outer)?.as_object()?, inner)
}

fn id<T>(
    claims: &Map<String, Value>,
    names: &[String],
    field: Field,
    make: impl Fn(&str) -> Result<T, crate::domain::identity::IdError>,
) -> Result<T, ClientError> {
    let id = if names.is_empty() {
        field.id(claims, make)
    } else {
        names
            .iter()
            .find_map(|name| find(claims, name).map(|value| (name, value)))
            .map(|(name, value)| fields::id_from(name, value, make))
            .transpose()
    };
    let id = id.map_err(|error| invalid(format!("the token: {}", error.message)))?;
    id.ok_or_else(|| {
        let names = if names.is_empty() {
            field.0.join("`, `")
        } else {
            names.join("`, `")
        };
        invalid(format!("the token has none of the claims `{names}`"))
    })
}

fn token_id(claims: &Map<String, Value>) -> Result<Option<TokenId>, ClientError> {
    match claims.get("jti") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if (1..=MAX_TOKEN_ID_BYTES).contains(&id.len()) => {
            Ok(Some(id.as_str().into()))
        }
        Some(Value::Number(id)) => Ok(Some(id.to_string().into())),
        Some(_) => Err(invalid("the token's `jti` is not an id")),
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
mod tests;
