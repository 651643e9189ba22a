//! What it costs to check a token: an HS256 token has to take less than 50 microseconds.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use orgcast::auth::key::{Algorithm, VerifyKey};
use orgcast::auth::sign::SigningKey;
use orgcast::auth::token_authenticator::{TokenAuthenticator, TokenAuthenticatorOptions};
use orgcast::domain::time::UnixMillis;
use serde_json::{Map, Value, json};

const SECRET: &str = "the secret of the benchmark, of a sufficient length";

fn claims() -> Map<String, Value> {
    let claims = json!({
        "sub": "user_123", "organization_id": "org_123", "exp": 4_000_000_000_u64,
        "iat": 1_700_000_000, "jti": "0190b5c2", "iss": "https://id.example", "aud": "orgcast",
        "grants": {"channels": ["kpi", "alerts"], "departments": ["dept_456"]},
    });
    claims.as_object().cloned().unwrap_or_default()
}

fn check(criterion: &mut Criterion, name: &str, key: VerifyKey, token: &str) {
    let options = TokenAuthenticatorOptions {
        keys: vec![key],
        ..TokenAuthenticatorOptions::default()
    };
    let authenticator = TokenAuthenticator::new(options, None, Arc::default());
    criterion.bench_function(name, |bencher| {
        bencher.iter(|| {
            authenticator
                .verify_token(black_box(token), UnixMillis(1))
                .is_ok()
        });
    });
}

#[expect(clippy::unwrap_used, reason = "the keys are fixed and good")]
fn tokens(criterion: &mut Criterion) {
    let secret = SigningKey::from_secret(SECRET).unwrap();
    let token = secret.sign(Algorithm::HS256, None, &claims()).unwrap();
    let key = VerifyKey::from_secret(SECRET).unwrap();
    check(criterion, "check a token, HS256", key, &token);
    for (algorithm, private, public) in [
        (
            Algorithm::RS256,
            include_str!("../tests/auth/keys/rsa.private.pem"),
            include_str!("../tests/auth/keys/rsa.public.pem"),
        ),
        (
            Algorithm::ES256,
            include_str!("../tests/auth/keys/p256.private.pem"),
            include_str!("../tests/auth/keys/p256.public.pem"),
        ),
        (
            Algorithm::EdDSA,
            include_str!("../tests/auth/keys/ed25519.private.pem"),
            include_str!("../tests/auth/keys/ed25519.public.pem"),
        ),
    ] {
        let signing = SigningKey::from_pem(private, algorithm).unwrap();
        let token = signing.sign(algorithm, None, &claims()).unwrap();
        let name = format!("check a token, {}", algorithm.name());
        check(
            criterion,
            &name,
            VerifyKey::from_pem(public).unwrap(),
            &token,
        );
    }
}

criterion_group!(benches, tokens);
criterion_main!(benches);
