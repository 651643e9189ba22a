//! Tokens again and again on one connection: each is work, and the work of one is bounded.

use serde_json::json;

use orgcast::auth::api_key::{KeyHash, key_of};
use orgcast::auth::key::Algorithm;
use testkit::plain::Plain;
use testkit::process::Server;
use testkit::tokens::{SECRET, claims, now_seconds, sign, sign_with, token_with};

/// A server that checks tokens, and the header of an operator.
async fn checking() -> (Server, String, tempfile::TempDir) {
    let key = key_of([9; 32]);
    let hash = KeyHash::of(&key);
    let text = format!(
        "[auth]\njwt_secret = \"{SECRET}\"\n\n[api_keys.o]\nhash = \"{hash}\"\noperator = true\n\
         scopes = [\"read\", \"admin\"]\n"
    );
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("orgcast.toml");
    std::fs::write(&file, text).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]).await;
    (server, format!("x-api-key: {key}\r\n"), folder)
}

#[tokio::test]
async fn who_is_refused_again_and_again_is_closed() {
    let (server, operator, _folder) = checking().await;
    let mut client = Plain::connect(&server, "").await;
    let other_secret = "x".repeat(40);
    for n in 0..30 {
        let claims = claims("u", "o", json!({ "n": n }));
        let bad = sign_with(&other_secret, Algorithm::HS256, &claims);
        let message = json!({"event": "authenticate", "data": {"token": bad}, "id": n});
        client.send(&message.to_string()).await;
    }
    assert_eq!(client.close_code().await, 1008);
    let (status, answer) = server
        .send_with(&operator, "GET", "/api/ws/stats", "")
        .await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["stats"]["refused_by_reason"]["identity"], 10);
    assert_eq!(
        answer["stats"]["closed_by_reason"],
        json!({"unauthorized": 1})
    );
}

#[tokio::test]
async fn good_tokens_are_not_checked_as_fast_as_they_come_either() {
    let (server, _, _folder) = checking().await;
    let token = |n: u32| token_with("u", "o", json!({ "n": n }));
    let mut client = Plain::connect(&server, &format!("?token={}", token(0))).await;
    client.next().await;
    let (mut accepted, mut late) = (0, 0);
    for n in 1..=40 {
        let answer = client.ask("authenticate", json!({"token": token(n)})).await;
        if answer["data"]["success"] == true {
            accepted += 1;
        } else {
            let error = &answer["data"]["error"];
            assert_eq!(error["code"], "RATE_LIMIT_EXCEEDED", "{error}");
            assert!(error["retry_after_ms"].as_u64().unwrap() <= 1000, "{error}");
            late += 1;
        }
    }
    assert!(
        accepted >= 9 && late > 0,
        "{accepted} accepted, {late} late"
    );
    let pong = client.ask("client:ping", json!({})).await;
    assert_eq!(
        pong["event"], "client:pong",
        "it goes on with the token that it has"
    );
}

#[tokio::test]
async fn a_token_of_an_issuer_whose_clock_is_ahead_does_not_outlive_its_user_s_revocation() {
    let (server, operator, _folder) = checking().await;
    // Within the leeway, so it is good; an hour ahead, it is not.
    let ahead = sign(&claims("u", "o", json!({"iat": now_seconds() + 4.0})));
    let far = sign(&claims("u", "o", json!({"iat": now_seconds() + 3600.0})));
    let mut client = Plain::connect(&server, &format!("?token={ahead}")).await;
    assert_eq!(client.next().await["event"], "authenticated");
    let mut refused = Plain::connect(&server, &format!("?token={far}")).await;
    let reason = refused.next().await["data"]["error"]["reason"].clone();
    assert_eq!(reason, "token_not_yet_valid");

    let body = json!({"user_id": "u", "organization_id": "o"}).to_string();
    let (status, answer) = server
        .send_with(&operator, "POST", "/api/ws/revoke", &body)
        .await;
    assert_eq!((status, &answer["closed_connections"]), (200, &json!(1)));
    assert_eq!(client.close_code().await, 1008);
    let mut again = Plain::connect(&server, &format!("?token={ahead}")).await;
    let reason = again.next().await["data"]["error"]["reason"].clone();
    assert_eq!(reason, "token_revoked");
}
