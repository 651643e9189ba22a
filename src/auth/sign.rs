//! Making tokens: for trying a server out, and for tests.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, crypto};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::key::{Algorithm, KeyError, secret_bytes};

/// A key that tokens are signed with.
pub struct SigningKey(EncodingKey);

/// Why a token was not made. The text never holds the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("it is not the PEM text of a private key for {0}")]
    Pem(&'static str),
    #[error("tokens with {0} are checked here, not made")]
    Unsupported(&'static str),
    #[error("the key can't sign with {0}")]
    Failed(&'static str),
}

impl SigningKey {
    /// The configured form of an HMAC secret.
    pub fn from_secret(text: &str) -> Result<Self, SignError> {
        Ok(Self(EncodingKey::from_secret(&secret_bytes(text)?)))
    }

    /// A private key in PEM: PKCS #8, or PKCS #1 for RSA.
    pub fn from_pem(text: &str, algorithm: Algorithm) -> Result<Self, SignError> {
        let pem = text.as_bytes();
        let key = match algorithm {
            Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_pem(pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(pem),
            Algorithm::ES512 => return Err(SignError::Unsupported(algorithm.name())),
            _ => EncodingKey::from_rsa_pem(pem),
        };
        key.map(Self).map_err(|_| SignError::Pem(algorithm.name()))
    }

    /// A token with these claims; `key_id` becomes its `kid`.
    pub fn sign(
        &self,
        algorithm: Algorithm,
        key_id: Option<&str>,
        claims: &Map<String, Value>,
    ) -> Result<String, SignError> {
        let library = algorithm
            .library()
            .ok_or(SignError::Unsupported(algorithm.name()))?;
        let mut header = json!({ "alg": algorithm.name(), "typ": "JWT" });
        if let Some(key_id) = key_id {
            header["kid"] = key_id.into();
        }
        let claims = Value::Object(claims.clone());
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = crypto::sign(message.as_bytes(), &self.0, library)
            .map_err(|_| SignError::Failed(algorithm.name()))?;
        Ok(format!("{message}.{signature}"))
    }
}
