//! A JWK set at a URL: rotation, an unknown key, and a source that is away.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::StatusCode;
use orgcast::auth::Authenticator;
use orgcast::auth::credentials::{Credentials, TokenCredentials};
use orgcast::auth::jwks::{Jwks, JwksOptions, Location};
use orgcast::auth::key::Algorithm;
use orgcast::auth::token_authenticator::{TokenAuthenticator, TokenAuthenticatorOptions};
use orgcast::domain::error::{ClientError, reason};
use orgcast::domain::grants::Principal;
use orgcast::domain::time::UnixMillis;
use parking_lot::Mutex;
use serde_json::{Value, json};

use testkit::tokens::{SECRET, claims, sign, sign_pem};

const ED_PRIVATE: &str = include_str!("keys/ed25519.private.pem");
const ED_PUBLIC: &str = include_str!("keys/ed25519.public.pem");
const P256_PRIVATE: &str = include_str!("keys/p256.private.pem");
const P256_PUBLIC: &str = include_str!("keys/p256.public.pem");

/// The last bytes of a public key's DER are its point.
fn tail(pem: &str, length: usize) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with("--")).collect();
    let der = base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap();
    der[der.len() - length..].to_vec()
}

fn ed(kid: &str) -> Value {
    let x = URL_SAFE_NO_PAD.encode(tail(ED_PUBLIC, 32));
    json!({"kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid, "use": "sig", "alg": "EdDSA"})
}

fn p256(kid: &str) -> Value {
    let point = tail(P256_PUBLIC, 64);
    let (x, y) = point.split_at(32);
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    json!({"kty": "EC", "crv": "P-256", "x": encode(x), "y": encode(y), "kid": kid})
}

#[derive(Default)]
struct Source {
    answer: Mutex<Option<String>>,
    asked: Mutex<usize>,
}

impl Source {
    fn publish(&self, keys: &Value) {
        *self.answer.lock() = Some(json!({ "keys": keys }).to_string());
    }
}

async fn answer(State(source): State<Arc<Source>>) -> Result<String, StatusCode> {
    *source.asked.lock() += 1;
    let answer = source.answer.lock().clone();
    answer.ok_or(StatusCode::BAD_GATEWAY)
}

async fn serve() -> (Arc<Source>, Arc<Jwks>, TokenAuthenticator) {
    let source = Arc::new(Source::default());
    let service = Router::new()
        .route("/keys", get(answer))
        .with_state(Arc::clone(&source));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}/keys", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            let service = hyper_util::service::TowerToHyperService::new(service.clone());
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(hyper_util::rt::TokioIo::new(tcp), service),
            );
        }
    });
    let options = JwksOptions {
        refresh_interval: Duration::from_mins(10),
        min_interval: Duration::from_secs(10),
    };
    let jwks = Jwks::new(Location::Url(uri.parse().unwrap()), options).unwrap();
    let revocations = Arc::default();
    let authenticator = TokenAuthenticator::new(
        TokenAuthenticatorOptions::default(),
        Some(Arc::clone(&jwks)),
        revocations,
    );
    (source, jwks, authenticator)
}

/// As a handshake does it.
async fn admit(
    authenticator: &TokenAuthenticator,
    token: String,
) -> Result<Principal, ClientError> {
    let credentials = Credentials::Token(TokenCredentials {
        token,
        user: None,
        organization: None,
    });
    authenticator.prepare(&credentials).await;
    authenticator.verify(credentials, UnixMillis(1))
}

fn ed_token(kid: &str) -> String {
    sign_pem(
        ED_PRIVATE,
        Algorithm::EdDSA,
        Some(kid),
        &claims("u", "o", json!({})),
    )
}

fn p256_token(kid: &str) -> String {
    sign_pem(
        P256_PRIVATE,
        Algorithm::ES256,
        Some(kid),
        &claims("u", "o", json!({})),
    )
}

/// Time passes at once as far as the set's intervals go; sockets take real time.
async fn pass_ten_seconds() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(10)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn an_unknown_key_is_fetched_and_the_next_ones_wait_their_time() {
    let (source, _, authenticator) = serve().await;
    source.publish(&json!([ed("one")]));
    assert!(admit(&authenticator, ed_token("one")).await.is_ok());
    assert_eq!(*source.asked.lock(), 1);
    for _ in 0..50 {
        let error = admit(&authenticator, ed_token("two")).await.unwrap_err();
        assert_eq!(error.reason, Some(reason::KEY_UNKNOWN));
        assert!(error.retry_after.is_some());
    }
    assert_eq!(*source.asked.lock(), 1, "the interval holds");
    source.publish(&json!([ed("one"), p256("two")]));
    pass_ten_seconds().await;
    assert!(
        admit(&authenticator, p256_token("two")).await.is_ok(),
        "rotated"
    );
    assert!(
        admit(&authenticator, ed_token("one")).await.is_ok(),
        "both are valid"
    );
    assert_eq!(*source.asked.lock(), 2);
    source.publish(&json!([p256("two")]));
    pass_ten_seconds().await;
    assert!(admit(&authenticator, ed_token("three")).await.is_err());
    assert!(
        admit(&authenticator, ed_token("one")).await.is_err(),
        "taken back"
    );
}

#[tokio::test]
async fn while_the_source_is_away_the_keys_of_before_stay() {
    let (source, jwks, authenticator) = serve().await;
    let error = admit(&authenticator, ed_token("one")).await.unwrap_err();
    assert_eq!(
        error.reason,
        Some(reason::KEY_UNKNOWN),
        "away from the beginning"
    );
    source.publish(&json!([ed("one")]));
    pass_ten_seconds().await;
    assert!(
        admit(&authenticator, ed_token("one")).await.is_ok(),
        "it came"
    );
    for broken in [None, Some("<html>".to_owned()), Some("x".repeat(2 << 20))] {
        *source.answer.lock() = broken;
        assert!(jwks.fetch_now().await.is_err());
        assert!(admit(&authenticator, ed_token("one")).await.is_ok());
    }
}

#[tokio::test]
async fn a_published_secret_and_a_key_of_another_type_check_nothing() {
    let (source, jwks, authenticator) = serve().await;
    let k = URL_SAFE_NO_PAD.encode(SECRET);
    source.publish(&json!([{"kty": "oct", "k": k}, p256("one")]));
    assert_eq!(jwks.fetch_now().await.unwrap(), 1);
    let hmac = sign(&claims("u", "o", json!({})));
    assert!(admit(&authenticator, hmac).await.is_err());
    assert!(admit(&authenticator, ed_token("one")).await.is_err());
    assert!(admit(&authenticator, p256_token("one")).await.is_ok());
}
