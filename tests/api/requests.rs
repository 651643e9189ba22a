//! The heads of requests.

use serde_json::json;

use super::until_refused;
use testkit::in_process::here;
use testkit::raw::{Raw, ask};

#[tokio::test]
async fn a_request_says_once_and_clearly_which_host_it_is_for() {
    let server = here(|_| {}).await;
    let address = server.address;
    for host in [
        "",
        "Host: localhost\r\nHost: localhost\r\n",
        "Host: a b\r\n",
    ] {
        let mut raw = Raw::connect(address).await;
        raw.send(format!("GET /healthz HTTP/1.1\r\n{host}\r\n"))
            .await;
        let answer = raw.answer().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "INVALID_MESSAGE")
        );
        assert!(answer.body.contains("Host"), "{}", answer.body);
        raw.end().await.unwrap();
    }
    // A health check of HTTP/1.0 has none.
    let old = ask(address, "GET /readyz HTTP/1.0\r\n\r\n").await;
    assert_eq!(old.status, 200);
    let refused = server.hub.metrics.rejections.counts();
    assert_eq!(refused.get("malformed_request"), Some(&3));
}

#[tokio::test]
async fn a_target_that_is_a_whole_url_counts_as_the_host() {
    let server = here(|_| {}).await;
    let get = async |target: &str, host: &str| {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask(server.address, request).await.status
    };
    assert_eq!(
        get("http://localhost/api/ws/stats", "evil.example").await,
        200
    );
    assert_eq!(
        get("http://evil.example/api/ws/stats", "localhost").await,
        403
    );
    assert_eq!(get("http://user@localhost/healthz", "localhost").await, 400);
}

#[tokio::test]
async fn later_versions_of_http_1_are_understood_and_others_are_not() {
    let server = here(|_| {}).await;
    let mut raw = Raw::connect(server.address).await;
    for version in ["1.1", "1.2", "1.9", "1.1"] {
        raw.send(format!(
            "GET /healthz HTTP/{version}\r\nHost: localhost\r\n\r\n"
        ))
        .await;
        assert_eq!(raw.answer().await.status, 200, "{version}");
    }
    for version in ["0.9", "1.10", "2.0", "3"] {
        let request = format!("GET /healthz HTTP/{version}\r\nHost: localhost\r\n\r\n");
        assert_eq!(ask(server.address, request).await.status, 400, "{version}");
    }
    until_refused(&server, "malformed_request", 4).await;
}

#[tokio::test]
async fn a_body_is_chunked_once_and_in_no_other_coding() {
    let server = here(|_| {}).await;
    let body = json!({ "event": "kpi:update", "target": { "organization_id": "a" } }).to_string();
    let post = async |coding: &str| {
        let mut raw = Raw::connect(server.address).await;
        raw.send(format!(
            "POST /api/ws/broadcast HTTP/1.1\r\nHost: localhost\r\n{coding}\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ))
        .await;
        let status = raw.answer().await.status;
        if status != 200 {
            raw.end().await.unwrap();
        }
        status
    };
    assert_eq!(post("Transfer-Encoding: chunked\r\n").await, 200);
    assert_eq!(post("Transfer-Encoding: Chunked\r\n").await, 200);
    assert_eq!(post("Transfer-Encoding: chunked, chunked\r\n").await, 400);
    let twice = "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n";
    assert_eq!(post(twice).await, 400);
    assert_eq!(post("Transfer-Encoding: gzip, chunked\r\n").await, 501);
}

#[tokio::test]
async fn so_many_header_lines_are_taken_and_what_is_more_is_refused_and_counted() {
    for (change, most) in [(None, 100), (Some(12), 12)] {
        let server = here(|config| {
            config.max_headers = change.unwrap_or(config.max_headers);
        })
        .await;
        let get = async |lines: usize| {
            // One is the host.
            let lines = "X: a\r\n".repeat(lines - 1);
            let mut raw = Raw::connect(server.address).await;
            raw.get("/healthz", &lines).await;
            raw.answer().await.status
        };
        assert_eq!(get(most).await, 200);
        let counted = || {
            server
                .hub
                .metrics
                .rejections
                .counts()
                .get("headers_too_large")
                .copied()
        };
        assert_eq!(counted(), None);
        assert_eq!(get(most + 1).await, 431);
        let mut raw = Raw::connect(server.address).await;
        raw.get("/healthz", &format!("X: {}\r\n", "a".repeat(20_000)))
            .await;
        assert_eq!(raw.answer().await.status, 431);
        raw.end().await.unwrap();
        until_refused(&server, "headers_too_large", 2).await;
        let report = server.hub.metrics.rejections.since_last_report();
        assert!(
            report
                .iter()
                .all(|refusal| refusal.reason.is_worth_a_warning())
        );
    }
}

#[tokio::test]
async fn a_slash_behind_an_api_route_means_nothing() {
    let server = here(|_| {}).await;
    for path in [
        "/api/ws/stats",
        "/api/ws/connections?limit=1",
        "/api/ws/rooms",
        "/api/ws/health",
        "/healthz",
        "/readyz",
    ] {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        for slash in ["", "/"] {
            let mut raw = Raw::connect(server.address).await;
            raw.get(&format!("{path}{slash}?{query}"), "").await;
            assert_eq!(raw.answer().await.status, 200, "{path}{slash}");
        }
    }
    let body = r#"{"organization_id":"a"}"#;
    let post = format!(
        "POST /api/ws/broadcast/kpi/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(ask(server.address, post).await.status, 200);
    let mut raw = Raw::connect(server.address).await;
    raw.get("/api/ws/nothing/", "").await;
    assert_eq!(raw.answer().await.status, 404);
    raw.get("/api/ws/connections/nobody/", "").await;
    let answer = raw.answer().await;
    assert!(
        answer.body.contains("`nobody` is no connection's id"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn what_is_not_allowed_where_clients_connect_says_what_is() {
    let server = here(|_| {}).await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n";
    for (method, query, headers) in [
        ("PUT", "", ""),
        ("DELETE", "?EIO=4&transport=polling", ""),
        ("HEAD", "?EIO=4&transport=polling", ""),
        ("POST", "", upgrade),
    ] {
        for path in ["/ws", "/ws/"] {
            let request =
                format!("{method} {path}{query} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
            let mut raw = Raw::connect(server.address).await;
            raw.send(request).await;
            let answer = raw.head().await;
            assert_eq!(answer.status, 405, "{method}");
            // What an answer's head says is in lower case here.
            assert_eq!(answer.header("allow"), Some("get, post"), "{method}");
        }
    }
    assert_eq!(server.hub.admission.taken(), 0);
    let mut raw = Raw::connect(server.address).await;
    raw.send("PUT /api/ws/stats HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await;
    assert_eq!(raw.answer().await.header("allow"), Some("get,head"));
}
