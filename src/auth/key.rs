//! Keys that tokens are checked with, from a secret, a PEM text or a JWK (RFC 7517, RFC 7518).
//!
//! A key knows what it is, so a token's header can never decide how a key is used: an RSA public key
//! is not an HMAC secret, and a P-256 key checks ES256 and nothing else.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm as Library, DecodingKey, crypto};
use p521::ecdsa::signature::Verifier;
use p521::pkcs8::DecodePublicKey;
use rsa::{BigUint, RsaPublicKey};
use serde_json::{Map, Value};
use thiserror::Error;

/// Shortest HMAC secret in bytes: RFC 7518, section 3.2, asks for the size of the hash.
pub const MIN_SECRET_BYTES: usize = 32;
/// Shortest RSA modulus in bits (RFC 7518, section 3.3).
const MIN_RSA_BITS: usize = 2048;

/// The signature algorithms of RFC 7518 and RFC 8037. `none` is not one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
}

impl Algorithm {
    pub const ALL: [(&'static str, Self); 13] = [
        ("HS256", Self::HS256),
        ("HS384", Self::HS384),
        ("HS512", Self::HS512),
        ("RS256", Self::RS256),
        ("RS384", Self::RS384),
        ("RS512", Self::RS512),
        ("PS256", Self::PS256),
        ("PS384", Self::PS384),
        ("PS512", Self::PS512),
        ("ES256", Self::ES256),
        ("ES384", Self::ES384),
        ("ES512", Self::ES512),
        ("EdDSA", Self::EdDSA),
    ];

    /// Reads the name as it stands in a header; the case counts.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, algorithm)| *algorithm)
    }

    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, algorithm)| *algorithm == self)
            .map_or("", |(name, _)| name)
    }

    /// The kind of key that it needs, and the library's name for it, if the library knows it.
    fn row(self) -> (Kind, Option<Library>) {
        match self {
            Self::HS256 => (Kind::Secret, Some(Library::HS256)),
            Self::HS384 => (Kind::Secret, Some(Library::HS384)),
            Self::HS512 => (Kind::Secret, Some(Library::HS512)),
            Self::RS256 => (Kind::Rsa, Some(Library::RS256)),
            Self::RS384 => (Kind::Rsa, Some(Library::RS384)),
            Self::RS512 => (Kind::Rsa, Some(Library::RS512)),
            Self::PS256 => (Kind::Rsa, Some(Library::PS256)),
            Self::PS384 => (Kind::Rsa, Some(Library::PS384)),
            Self::PS512 => (Kind::Rsa, Some(Library::PS512)),
            Self::ES256 => (Kind::P256, Some(Library::ES256)),
            Self::ES384 => (Kind::P384, Some(Library::ES384)),
            Self::ES512 => (Kind::P521, None),
            Self::EdDSA => (Kind::Ed25519, Some(Library::EdDSA)),
        }
    }

    /// The algorithm in the terms of the library that signs; none for ES512.
    pub fn library(self) -> Option<Library> {
        self.row().1
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Secret,
    Rsa,
    P256,
    P384,
    P521,
    Ed25519,
}

/// Why something is not a key. The text never holds the key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    #[error("the secret has {0} bytes; at least {MIN_SECRET_BYTES} are needed")]
    ShortSecret(usize),
    #[error("what follows `base64:` is not base64")]
    NotBase64,
    #[error("a PEM text is no HMAC secret: give it as a public key")]
    SecretIsPem,
    #[error("this is a private key: give its public key")]
    Private,
    #[error("an RSA key has at least {MIN_RSA_BITS} bits, and this one {0}")]
    ShortRsa(usize),
    #[error("an RSA key of more than 4096 bits is not supported")]
    LongRsa,
    #[error("its RSA exponent is not an odd number from 3 to 2^33")]
    RsaExponent,
    #[error("it is not the PEM text of an RSA, P-256, P-384, P-521 or Ed25519 public key")]
    Pem,
    #[error("`{0}` is missing or not what it should be")]
    Member(&'static str),
    #[error("its type is not supported")]
    Unsupported,
    #[error("it is not meant for signatures")]
    OtherUse,
}

#[derive(Clone)]
enum Material {
    Library(Box<DecodingKey>),
    P521(Box<p521::ecdsa::VerifyingKey>),
}

/// One key that tokens may be signed with.
#[derive(Clone)]
pub struct VerifyKey {
    /// The `kid` that tokens name it by.
    pub id: Option<String>,
    /// The only algorithm that its owner allows.
    only: Option<Algorithm>,
    kind: Kind,
    material: Material,
}

/// The key itself is never printed.
impl fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyKey")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// The bytes of a configured secret: the text itself, or what `base64:` stands before.
pub fn secret_bytes(text: &str) -> Result<Vec<u8>, KeyError> {
    if text.contains("-----BEGIN") {
        return Err(KeyError::SecretIsPem);
    }
    let bytes = match text.strip_prefix("base64:") {
        Some(encoded) => STANDARD
            .decode(encoded)
            .or_else(|_| URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')))
            .map_err(|_| KeyError::NotBase64)?,
        None => text.as_bytes().to_vec(),
    };
    if bytes.len() < MIN_SECRET_BYTES {
        return Err(KeyError::ShortSecret(bytes.len()));
    }
    Ok(bytes)
}

impl VerifyKey {
    fn of(kind: Kind, key: DecodingKey) -> Self {
        Self {
            id: None,
            only: None,
            kind,
            material: Material::Library(Box::new(key)),
        }
    }

    /// An HMAC secret in the form of [`secret_bytes`].
    pub fn from_secret(text: &str) -> Result<Self, KeyError> {
        let bytes = secret_bytes(text)?;
        Ok(Self::of(Kind::Secret, DecodingKey::from_secret(&bytes)))
    }

    /// A public key in PEM.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private);
        }
        let pem = text.trim().as_bytes();
        if let Ok(key) = DecodingKey::from_rsa_pem(pem) {
            let der = key.try_get_as_bytes().map_err(|_| KeyError::Pem)?;
            let public = rsa::pkcs1::RsaPublicKey::try_from(der).map_err(|_| KeyError::Pem)?;
            check_rsa(public.modulus.as_bytes(), public.public_exponent.as_bytes())?;
            return Ok(Self::of(Kind::Rsa, key));
        }
        if let Ok(key) = p521::PublicKey::from_public_key_pem(text.trim()) {
            return p521::ecdsa::VerifyingKey::from_affine(*key.as_affine())
                .map(Self::of_p521)
                .map_err(|_| KeyError::Pem);
        }
        if let Ok(key) = DecodingKey::from_ec_pem(pem) {
            // An uncompressed point: a byte and two coordinates.
            let kind = match key.try_get_as_bytes().map(<[u8]>::len) {
                Ok(65) => Kind::P256,
                Ok(97) => Kind::P384,
                _ => return Err(KeyError::Pem),
            };
            return Ok(Self::of(kind, key));
        }
        DecodingKey::from_ed_pem(pem)
            .map(|key| Self::of(Kind::Ed25519, key))
            .map_err(|_| KeyError::Pem)
    }

    fn of_p521(key: p521::ecdsa::VerifyingKey) -> Self {
        Self {
            id: None,
            only: None,
            kind: Kind::P521,
            material: Material::P521(Box::new(key)),
        }
    }

    /// One key of a JWK set (RFC 7517, section 4).
    pub fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, KeyError> {
        let text = |name: &'static str| {
            jwk.get(name)
                .and_then(Value::as_str)
                .ok_or(KeyError::Member(name))
        };
        if jwk.get("use").is_some_and(|purpose| purpose != "sig") {
            return Err(KeyError::OtherUse);
        }
        if let Some(Value::Array(operations)) = jwk.get("key_ops")
            && !operations.iter().any(|operation| operation == "verify")
        {
            return Err(KeyError::OtherUse);
        }
        let mut key = match (text("kty")?, jwk.get("crv").and_then(Value::as_str)) {
            ("RSA", _) => {
                let modulus = bytes(text("n")?, "n")?;
                let exponent = bytes(text("e")?, "e")?;
                check_rsa(&modulus, &exponent)?;
                let key = DecodingKey::from_rsa_raw_components(&modulus, &exponent);
                Self::of(Kind::Rsa, key)
            }
            ("EC", Some(curve @ ("P-256" | "P-384" | "P-521"))) => {
                let point = point(curve, text("x")?, text("y")?)?;
                match curve {
                    "P-256" => Self::of(Kind::P256, DecodingKey::from_ec_der(&point)),
                    "P-384" => Self::of(Kind::P384, DecodingKey::from_ec_der(&point)),
                    _ => Self::of_p521(
                        p521::ecdsa::VerifyingKey::from_sec1_bytes(&point)
                            .map_err(|_| KeyError::Member("x"))?,
                    ),
                }
            }
            ("OKP", Some("Ed25519")) => {
                let public = bytes(text("x")?, "x")?;
                if public.len() != 32 {
                    return Err(KeyError::Member("x"));
                }
                Self::of(Kind::Ed25519, DecodingKey::from_ed_der(&public))
            }
            ("oct", _) => {
                let secret = bytes(text("k")?, "k")?;
                if secret.len() < MIN_SECRET_BYTES {
                    return Err(KeyError::ShortSecret(secret.len()));
                }
                Self::of(Kind::Secret, DecodingKey::from_secret(&secret))
            }
            _ => return Err(KeyError::Unsupported),
        };
        key.id = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
        if let Some(algorithm) = jwk.get("alg").and_then(Value::as_str) {
            let algorithm = Algorithm::parse(algorithm).ok_or(KeyError::Unsupported)?;
            if algorithm.row().0 != key.kind {
                return Err(KeyError::Member("alg"));
            }
            key.only = Some(algorithm);
        }
        Ok(key)
    }

    /// Whether it is a secret that both sides hold.
    pub fn is_secret(&self) -> bool {
        self.kind == Kind::Secret
    }

    /// Whether it can check signatures of this algorithm.
    pub fn suits(&self, algorithm: Algorithm) -> bool {
        algorithm.row().0 == self.kind && self.only.is_none_or(|only| only == algorithm)
    }

    /// Whether the signature (in base64url) is this key's. HMACs are compared in constant time.
    pub fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &str) -> bool {
        if !self.suits(algorithm) {
            return false;
        }
        match (&self.material, algorithm.library()) {
            (Material::Library(key), Some(library)) => {
                crypto::verify(signature, message, key, library).unwrap_or(false)
            }
            (Material::P521(key), None) => URL_SAFE_NO_PAD
                .decode(signature)
                .ok()
                .and_then(|bytes| p521::ecdsa::Signature::from_slice(&bytes).ok())
                .is_some_and(|signature| key.verify(message, &signature).is_ok()),
            _ => false,
        }
    }
}

/// Whether signatures of this key are worth something, and can be checked.
fn check_rsa(modulus: &[u8], exponent: &[u8]) -> Result<(), KeyError> {
    let (modulus, exponent) = (
        BigUint::from_bytes_be(modulus),
        BigUint::from_bytes_be(exponent),
    );
    if modulus.bits() < MIN_RSA_BITS {
        return Err(KeyError::ShortRsa(modulus.bits()));
    }
    let is_odd = exponent
        .to_bytes_le()
        .first()
        .is_some_and(|byte| byte % 2 == 1);
    match RsaPublicKey::new(modulus, exponent) {
        Ok(_) if is_odd => Ok(()),
        Err(rsa::Error::ModulusTooLarge) => Err(KeyError::LongRsa),
        _ => Err(KeyError::RsaExponent),
    }
}

fn bytes(text: &str, name: &'static str) -> Result<Vec<u8>, KeyError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| KeyError::Member(name))
}

/// The uncompressed point of two coordinates, each of the curve's full length.
fn point(curve: &str, x: &str, y: &str) -> Result<Vec<u8>, KeyError> {
    let length = match curve {
        "P-256" => 32,
        "P-384" => 48,
        _ => 66,
    };
    let (x, y) = (bytes(x, "x")?, bytes(y, "y")?);
    if x.len() != length {
        return Err(KeyError::Member("x"));
    }
    if y.len() != length {
        return Err(KeyError::Member("y"));
    }
    let mut point = vec![4];
    point.extend(x);
    point.extend(y);
    Ok(point)
}

/// The keys of a JWK set, and how many of its members are none that tokens can be checked with.
/// Without a `keys` array it is no set.
pub fn from_jwk_set(text: &str) -> Result<(Vec<VerifyKey>, usize), KeyError> {
    let set: Map<String, Value> =
        serde_json::from_str(text).map_err(|_| KeyError::Member("keys"))?;
    let Some(Value::Array(members)) = set.get("keys") else {
        return Err(KeyError::Member("keys"));
    };
    let keys: Vec<VerifyKey> = members
        .iter()
        .filter_map(Value::as_object)
        .filter_map(|jwk| VerifyKey::from_jwk(jwk).ok())
        .collect();
    let others = members.len() - keys.len();
    Ok((keys, others))
}

#[cfg(test)]
mod tests {
    use rsa::pkcs1::EncodeRsaPublicKey;
    use rsa::pkcs8::EncodePublicKey;
    use rsa::traits::PublicKeyParts;
    use serde_json::json;

    use super::*;

    fn jwk(value: Value) -> Result<VerifyKey, KeyError> {
        match value {
            Value::Object(jwk) => VerifyKey::from_jwk(&jwk),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_secret_has_at_least_32_bytes_and_is_no_public_key() {
        assert!(VerifyKey::from_secret(&"s".repeat(32)).is_ok());
        assert_eq!(
            VerifyKey::from_secret("short").unwrap_err(),
            KeyError::ShortSecret(5)
        );
        let encoded = format!("base64:{}", STANDARD.encode([7; 32]));
        assert_eq!(secret_bytes(&encoded).unwrap(), [7; 32]);
        assert_eq!(secret_bytes("base64:!"), Err(KeyError::NotBase64));
        let pem = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----";
        assert_eq!(secret_bytes(pem), Err(KeyError::SecretIsPem));
    }

    #[test]
    fn a_key_is_not_printed() {
        let key = VerifyKey::from_secret(&"topsecret".repeat(4)).unwrap();
        assert!(!format!("{key:?}").contains("topsecret"));
    }

    #[test]
    fn a_jwk_checks_what_its_type_and_owner_allow() {
        let k = URL_SAFE_NO_PAD.encode([1; 32]);
        let key = jwk(json!({"kty": "oct", "k": k, "alg": "HS384", "kid": "a"})).unwrap();
        assert_eq!(key.id.as_deref(), Some("a"));
        assert!(key.suits(Algorithm::HS384) && !key.suits(Algorithm::HS256));
        for bad in [
            json!({"kty": "oct", "k": "AAAA"}),
            json!({"kty": "oct", "k": k, "use": "enc"}),
            json!({"kty": "oct", "k": k, "key_ops": ["encrypt"]}),
            json!({"kty": "oct", "k": k, "alg": "RS256"}),
            json!({"kty": "oct", "k": k, "alg": "none"}),
            json!({"kty": "RSA", "n": URL_SAFE_NO_PAD.encode([1; 128]), "e": "AQAB"}),
            json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
            json!({"kty": "EC", "crv": "secp256k1", "x": "AAAA", "y": "AAAA"}),
            json!({"kty": "OKP", "crv": "Ed448", "x": "AAAA"}),
            json!({}),
        ] {
            assert!(jwk(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn one_odd_member_does_not_spoil_a_set() {
        let k = URL_SAFE_NO_PAD.encode([1; 32]);
        let text = json!({"keys": [{"kty": "oct", "k": k}, {"kty": "future"}, 7]}).to_string();
        let (keys, others) = from_jwk_set(&text).unwrap();
        assert_eq!((keys.len(), others), (1, 2));
        assert!(from_jwk_set("[]").is_err());
        assert!(from_jwk_set("<html>").is_err());
    }

    #[test]
    fn an_rsa_key_has_from_2048_to_4096_bits_and_an_exponent_that_is_one() {
        let pem = |bits: usize, exponent: u32| {
            let modulus = (BigUint::from(1_u8) << (bits - 1)) + BigUint::from(1_u8);
            let key = RsaPublicKey::new_unchecked(modulus, exponent.into());
            let pkcs8 = key.to_public_key_pem(rsa::pkcs8::LineEnding::LF).unwrap();
            let pkcs1 = key.to_pkcs1_pem(rsa::pkcs8::LineEnding::LF).unwrap();
            let by_pkcs1 = VerifyKey::from_pem(&pkcs1).map(drop);
            assert_eq!(by_pkcs1, VerifyKey::from_pem(&pkcs8).map(drop));
            let encode = |number: &BigUint| URL_SAFE_NO_PAD.encode(number.to_bytes_be());
            let (n, e) = (encode(key.n()), encode(key.e()));
            let by_jwk = jwk(json!({"kty": "RSA", "n": n, "e": e})).map(drop);
            assert_eq!(by_jwk, by_pkcs1);
            by_jwk
        };
        for bits in [1024, 1952, 2041, 2047] {
            assert_eq!(pem(bits, 65_537), Err(KeyError::ShortRsa(bits)));
        }
        for bits in [2048, 3072, 4096] {
            assert_eq!(pem(bits, 3), Ok(()));
        }
        assert_eq!(pem(4097, 65_537), Err(KeyError::LongRsa));
        for exponent in [1, 2, 65_536] {
            assert_eq!(pem(2048, exponent), Err(KeyError::RsaExponent));
        }
    }
}
