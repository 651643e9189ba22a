//! Tokens, and the keys that they are signed with.

use std::time::{SystemTime, UNIX_EPOCH};

use orgcast::auth::key::Algorithm;
use orgcast::auth::sign::SigningKey;
use serde_json::{Map, Value, json};

pub const SECRET: &str = "the secret of the tests, of a sufficient length";
pub const RSA_PRIVATE: &str = include_str!("../../auth/keys/rsa.private.pem");
pub const RSA_PUBLIC: &str = include_str!("../../auth/keys/rsa.public.pem");

pub fn now_seconds() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs_f64()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        other => panic!("{other}"),
    }
}

/// The claims of a user for ten minutes, with `extra` over them.
pub fn claims(user: &str, organization: &str, extra: Value) -> Map<String, Value> {
    let mut claims = object(json!({
        "sub": user,
        "organization_id": organization,
        "exp": now_seconds() + 600.0,
    }));
    for (name, value) in object(extra) {
        if value.is_null() {
            claims.remove(&name);
        } else {
            claims.insert(name, value);
        }
    }
    claims
}

pub fn sign(claims: &Map<String, Value>) -> String {
    sign_with(SECRET, Algorithm::HS256, claims)
}

pub fn sign_with(secret: &str, algorithm: Algorithm, claims: &Map<String, Value>) -> String {
    let key = SigningKey::from_secret(secret).unwrap();
    key.sign(algorithm, None, claims).unwrap()
}

pub fn sign_pem(
    pem: &str,
    algorithm: Algorithm,
    kid: Option<&str>,
    claims: &Map<String, Value>,
) -> String {
    let key = SigningKey::from_pem(pem, algorithm).unwrap();
    key.sign(algorithm, kid, claims).unwrap()
}

/// A good token.
pub fn token(user: &str, organization: &str) -> String {
    sign(&claims(user, organization, json!({})))
}

/// A good token with more claims.
pub fn token_with(user: &str, organization: &str, extra: Value) -> String {
    sign(&claims(user, organization, extra))
}
