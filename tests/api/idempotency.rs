//! Broadcasts that are sent again.

use serde_json::{Value, json};
use testkit::http::request;
use testkit::process::Server;

async fn post(server: &Server, path: &str, key: &str, body: &Value) -> (u16, Value) {
    let headers = format!("content-type: application/json\r\nidempotency-key: {key}\r\n");
    let answer = request(server.address, "POST", path, &headers, &body.to_string()).await;
    (answer.status, answer.json())
}

async fn count(server: &Server) -> usize {
    let path = "/api/ws/history?organization_id=acme";
    server.get(path).await["events"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_broadcast_with_a_key_is_published_once() {
    let server = Server::start(&[]).await;
    let body = json!({ "organization_id": "acme", "n": 1 });
    let kpi = "/api/ws/broadcast/kpi";
    let first = post(&server, kpi, "k1", &body).await;
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(post(&server, kpi, "k1", &body).await, first);
    assert_eq!(count(&server).await, 1);
    // Another request under the same key.
    let (status, refused) = post(&server, kpi, "k1", &json!({ "organization_id": "acme" })).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (409, &json!("CONFLICT"))
    );
    let path = "/api/ws/broadcast/kpi?cascade=true";
    assert_eq!(post(&server, path, "k1", &body).await.0, 409);
    assert_eq!(count(&server).await, 1);
    // The key is of this route and this organization.
    let other = json!({ "organization_id": "other", "n": 1 });
    assert_ne!(
        post(&server, kpi, "k1", &other).await.1["message_id"],
        first.1["message_id"]
    );
    assert_eq!(
        post(&server, "/api/ws/broadcast/alert", "k1", &body)
            .await
            .0,
        200
    );
    assert_eq!(post(&server, kpi, "k2", &body).await.0, 200);
    assert_eq!(count(&server).await, 3);
}

#[tokio::test]
async fn those_who_ask_at_once_get_one_receipt() {
    let server = Server::start(&[]).await;
    let body = json!({
        "event": "kpi:update",
        "data": null,
        "target": { "organization_id": "acme" },
        "idempotency_key": "of the body",
    });
    let ask = || post(&server, "/api/ws/broadcast", "of the body", &body);
    let answers = futures_util::future::join_all((0..20).map(|_| ask())).await;
    assert_eq!(answers[0].0, 200, "{}", answers[0].1);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    assert_eq!(count(&server).await, 1);
}

#[tokio::test]
async fn what_was_refused_is_not_kept_and_a_bad_key_is_named() {
    let server = Server::start(&[]).await;
    let path = "/api/ws/broadcast";
    let unknown = json!({ "event": "unheard:of", "target": { "organization_id": "acme" } });
    assert_eq!(post(&server, path, "k", &unknown).await.0, 400);
    let known = json!({ "event": "kpi:update", "target": { "organization_id": "acme" } });
    assert_eq!(post(&server, path, "k", &known).await.0, 200);
    let long = "k".repeat(129);
    let mut other = known.clone();
    other["idempotency_key"] = "another".into();
    for (key, body, message) in [
        (
            &*long,
            &known,
            "an idempotency key has 1 to 128 bytes, not 129",
        ),
        ("", &known, "an idempotency key has 1 to 128 bytes, not 0"),
        (
            "one",
            &other,
            "`Idempotency-Key` and `idempotency_key` differ",
        ),
        (
            "\u{e4}",
            &known,
            "`Idempotency-Key` must be visible ASCII characters",
        ),
    ] {
        let (status, refused) = post(&server, path, key, body).await;
        assert_eq!(status, 400, "{key}");
        assert_eq!(refused["error"]["message"], message);
    }
    assert_eq!(count(&server).await, 1);
}
