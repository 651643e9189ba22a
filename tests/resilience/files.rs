//! Files that never answer: a pipe that nobody writes to stands where a key or a certificate was.

use std::path::Path;
use std::process::{Command, Stdio};

use orgcast::auth::key::Algorithm;
use serde_json::json;

use testkit::plain::Plain;
use testkit::process::{Server, orgcast};
use testkit::tokens::{SECRET, claims, sign_pem, token};
use testkit::wait::soon;

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

const ED_PRIVATE: &str = include_str!("../auth/keys/ed25519.private.pem");

/// Tokens of unknown keys make the server read its JWK set again and again; other clients don't notice.
#[tokio::test]
async fn a_jwk_set_that_has_become_a_pipe_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (set, secret) = (folder.path().join("set.json"), folder.path().join("secret"));
    std::fs::write(&set, json!({ "keys": [] }).to_string()).unwrap();
    std::fs::write(&secret, SECRET).unwrap();
    let flags = [
        "--auth.jwks",
        set.to_str().unwrap(),
        "--auth.jwks-min-refresh-ms",
        "1",
        "--auth.jwt-secret-file",
        secret.to_str().unwrap(),
    ];
    let mut server = Server::start(&flags).await;
    std::fs::remove_file(&set).unwrap();
    make_pipe(&set);
    let claims = claims("u", "o", json!({}));
    let unknown = sign_pem(ED_PRIVATE, Algorithm::EdDSA, Some("unknown"), &claims);
    let mut waiting = Vec::new();
    for _ in 0..8 {
        let query = format!("?token={unknown}");
        waiting.push(Plain::connect(&server, &query).await);
    }
    let mut healthy = Plain::connect(&server, &format!("?token={}", token("v", "o"))).await;
    assert_eq!(healthy.next().await["event"], "authenticated");
    for n in 0..100 {
        let pong = healthy.ask("client:ping", json!({ "n": n })).await;
        assert_eq!(pong["data"]["data"]["n"], n);
    }
    for client in &mut waiting {
        assert_eq!(client.next().await["data"]["error"]["code"], "AUTH_FAILED");
    }
    let (code, close) = tokio::join!(server.signal("TERM"), healthy.close_code());
    assert_eq!((code, close), (Some(0), 1001));
}

#[tokio::test]
async fn a_certificate_that_is_a_pipe_ends_the_start_with_a_reason() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("cert.pem");
    make_pipe(&pipe);
    let pipe = pipe.to_str().unwrap();
    let mut serve = orgcast(&[
        "serve",
        "--port",
        "0",
        "--tls.cert-file",
        pipe,
        "--tls.key-file",
        pipe,
    ]);
    let output = serve.stdout(Stdio::null()).stderr(Stdio::piped()).output();
    let output = soon("the program", output).await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("not a regular file"), "{said}");
}
