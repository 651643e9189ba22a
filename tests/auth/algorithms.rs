//! Every algorithm, each with its own key and with every other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use orgcast::auth::jwt::{Parts, TokenRules, verify};
use orgcast::auth::key::{Algorithm, KeyError, VerifyKey};
use orgcast::domain::error::reason;
use orgcast::domain::time::UnixMillis;
use p521::ecdsa::signature::Signer;
use p521::pkcs8::DecodePrivateKey;
use serde_json::json;

use testkit::tokens::{RSA_PRIVATE, RSA_PUBLIC, SECRET, claims, sign_pem, sign_with};

const P521_PRIVATE: &str = include_str!("keys/p521.private.pem");

fn es512(text_claims: &serde_json::Map<String, serde_json::Value>) -> String {
    let key = p521::SecretKey::from_pkcs8_pem(P521_PRIVATE).unwrap();
    let key = p521::ecdsa::SigningKey::from_bytes(&key.to_bytes()).unwrap();
    let part = |text: String| URL_SAFE_NO_PAD.encode(text);
    let header = json!({"alg": "ES512"}).to_string();
    let claims = serde_json::to_string(text_claims).unwrap();
    let message = format!("{}.{}", part(header), part(claims));
    let signature: p521::ecdsa::Signature = key.sign(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn keys() -> Vec<(&'static str, VerifyKey)> {
    let pem = |text| VerifyKey::from_pem(text).unwrap();
    vec![
        ("HS", VerifyKey::from_secret(SECRET).unwrap()),
        ("RSA", pem(RSA_PUBLIC)),
        ("ES256", pem(include_str!("keys/p256.public.pem"))),
        ("ES384", pem(include_str!("keys/p384.public.pem"))),
        ("ES512", pem(include_str!("keys/p521.public.pem"))),
        ("EdDSA", pem(include_str!("keys/ed25519.public.pem"))),
    ]
}

#[test]
fn every_algorithm_is_accepted_by_its_own_kind_of_key_and_by_no_other() {
    let claims = claims("u", "o", json!({}));
    let now = UnixMillis(1);
    for (name, algorithm) in Algorithm::ALL {
        let (owner, token) = match &name[..2] {
            "HS" => ("HS", sign_with(SECRET, algorithm, &claims)),
            "RS" | "PS" => ("RSA", sign_pem(RSA_PRIVATE, algorithm, None, &claims)),
            _ => {
                let pem = match algorithm {
                    Algorithm::ES256 => include_str!("keys/p256.private.pem"),
                    Algorithm::ES384 => include_str!("keys/p384.private.pem"),
                    _ => include_str!("keys/ed25519.private.pem"),
                };
                let token = if algorithm == Algorithm::ES512 {
                    es512(&claims)
                } else {
                    sign_pem(pem, algorithm, None, &claims)
                };
                (name, token)
            }
        };
        for (kind, key) in keys() {
            let parts = Parts::of(&token).unwrap();
            let outcome = verify(&parts, &[&key], &TokenRules::default(), now);
            if kind == owner {
                assert!(outcome.is_ok(), "{name} with its key: {outcome:?}");
            } else {
                let error = outcome.unwrap_err();
                assert_eq!(
                    error.reason,
                    Some(reason::ALGORITHM_REFUSED),
                    "{name}, {kind}"
                );
            }
        }
        let all = keys();
        let all: Vec<&VerifyKey> = all.iter().map(|(_, key)| key).collect();
        let parts = Parts::of(&token).unwrap();
        assert!(verify(&parts, &all, &TokenRules::default(), now).is_ok());
    }
}

#[test]
fn a_public_key_as_hmac_secret_signs_nothing() {
    use jsonwebtoken::{EncodingKey, crypto};
    let header = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256"}).to_string());
    let text_claims = serde_json::to_string(&claims("u", "o", json!({}))).unwrap();
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(text_claims));
    let key = EncodingKey::from_secret(RSA_PUBLIC.as_bytes());
    let signature = crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
    let token = format!("{message}.{signature}");
    let parts = Parts::of(&token).unwrap();
    let key = VerifyKey::from_pem(RSA_PUBLIC).unwrap();
    let rules = TokenRules::default();
    let error = verify(&parts, &[&key], &rules, UnixMillis(1)).unwrap_err();
    assert_eq!(error.reason, Some(reason::ALGORITHM_REFUSED));
    assert_eq!(
        VerifyKey::from_secret(RSA_PUBLIC).unwrap_err(),
        KeyError::SecretIsPem
    );
}

#[test]
fn keys_that_are_short_or_private_are_refused() {
    let short = VerifyKey::from_pem(include_str!("keys/rsa1024.public.pem"));
    assert_eq!(short.unwrap_err(), KeyError::ShortRsa(1024));
    for private in [RSA_PRIVATE, P521_PRIVATE] {
        let key = VerifyKey::from_pem(private);
        assert_eq!(key.unwrap_err(), KeyError::Private);
    }
    assert_eq!(VerifyKey::from_pem("").unwrap_err(), KeyError::Pem);
}
