//! The life of a token: warning, end, refresh, revocation, and grants that change with it.

use serde_json::{Value, json};

use super::server::Server;
use testkit::client::{Client, Heard};
use testkit::http::Http;
use testkit::tokens::{now_seconds, token_with};

/// Far more than `auth.expiry_warning_ms`, so that no warning comes between what a test hears.
const HOUR: f64 = 3600.0;

fn ends_in(seconds: f64, extra: &Value) -> String {
    let mut all = json!({"exp": now_seconds() + seconds});
    for (name, value) in extra.as_object().unwrap() {
        all[name] = value.clone();
    }
    token_with("u", "o", all)
}

async fn see_a_token_end(server: &Server, is_socket_io: bool) {
    let end = now_seconds() + 6.0;
    let token = token_with("u", "o", json!({ "exp": end }));
    let mut client = Client::with_token(server.address, &token, is_socket_io).await;
    let heard = client.until("auth:expiring").await;
    let left = heard.data()["expires_in_ms"].as_u64().unwrap();
    assert!((1..=4000).contains(&left), "{left}");
    assert!(now_seconds() >= end - 4.0, "warned too early");
    let heard = client.hear().await;
    assert_eq!(heard.error_code(), "AUTH_FAILED");
    assert_eq!(heard.reason(), "token_expired");
    let late = now_seconds() - end;
    assert!((0.0..4.0).contains(&late), "closed {late} s after the end");
    let mut heard = client.hear().await;
    if is_socket_io {
        assert!(heard.is("disconnect"), "{heard:?}");
        heard = client.hear().await;
    }
    assert_eq!(heard, Heard::Closed(Some(1008)));
}

#[tokio::test]
async fn a_client_is_warned_and_then_closed_at_the_end_of_its_token() {
    let server = Server::start("", "expiry_warning_ms = 4000\n").await;
    tokio::join!(
        see_a_token_end(&server, true),
        see_a_token_end(&server, false)
    );
    let http = Http(server.address);
    let stats = http.get("/api/ws/stats", &server.keys.operator).await;
    let closed = &stats.json()["stats"]["closed_by_reason"]["token_expired"];
    assert_eq!(closed, 2);
}

/// Publishes and listens past the end of the first token, and renews it at each warning.
async fn renew_a_token(server: &Server, is_socket_io: bool) {
    const LIFE: f64 = 6.0;
    let http = Http(server.address);
    let mut client =
        Client::with_token(server.address, &ends_in(LIFE, &json!({})), is_socket_io).await;
    let all = json!({"channels": ["kpi"]});
    client.call("subscribe", &all, "client:subscribe").await;
    let until = now_seconds() + LIFE + 1.0;
    let (mut sent, mut got, mut renewed) = (0, Vec::new(), 0);
    while now_seconds() < until {
        let body = json!({"event": "kpi:update", "data": sent, "target": {"org_id": "o"}});
        http.broadcast(&server.keys.operator, &body).await;
        sent += 1;
        loop {
            let heard = client.hear().await;
            if heard.is("auth:expiring") {
                let longer = LIFE + f64::from(renewed) * 10.0;
                let fresh = json!({"token": ends_in(longer, &json!({}))});
                client.send("authenticate", &fresh).await;
                renewed += 1;
            } else if heard.is("authenticated") {
                assert_eq!(heard.data()["success"], true);
            } else {
                assert!(heard.is("kpi:update"), "{heard:?}");
                let number = heard.data().as_u64().unwrap();
                got.push(number);
                if number + 1 == sent {
                    break;
                }
            }
        }
    }
    assert_eq!(got, (0..sent).collect::<Vec<u64>>());
    assert!(renewed >= 2, "{renewed}");
}

#[tokio::test]
async fn a_fresh_token_extends_the_connection_and_no_event_is_lost() {
    let top = "rate_limit_requests_per_second = 0\n";
    let server = Server::start(top, "expiry_warning_ms = 5000\n").await;
    renew_a_token(&server, true).await;
    renew_a_token(&server, false).await;
}

#[tokio::test]
async fn a_token_that_was_refused_extends_nothing() {
    let server = Server::start("", "").await;
    let mut client = Client::with_token(server.address, &ends_in(6.0, &json!({})), true).await;
    let expired = json!({"token": ends_in(-60.0, &json!({}))});
    let heard = client.call("authenticate", &expired, "authenticated").await;
    assert_eq!(heard.reason(), "token_expired");
    let other = json!({"token": token_with("v", "o", json!({}))});
    let heard = client.call("authenticate", &other, "authenticated").await;
    assert_eq!(heard.error_code(), "UNAUTHORIZED");
    // The warning comes at once, since it is due already.
    loop {
        let heard = client.hear().await;
        if heard.is("error") {
            assert_eq!(heard.reason(), "token_expired");
            break;
        }
        assert!(heard.is("auth:expiring"), "{heard:?}");
    }
}

#[tokio::test]
async fn grants_that_a_fresh_token_no_longer_has_end_their_subscriptions() {
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let wide = json!({"grants": {"channels": ["kpi", "alerts"], "departments": ["d", "e"]}});
    let mut client = Client::with_token(server.address, &ends_in(HOUR, &wide), false).await;
    for (channel, place, allowed) in [
        ("kpi", json!({"department_id": "d"}), true),
        (
            "kpi",
            json!({"department_id": "e", "queue_name": "q"}),
            true,
        ),
        ("alerts", json!({"department_id": "d"}), true),
        ("kpi", json!({}), false),
        ("kpi", json!({"department_id": "f"}), false),
        ("kpi", json!({"queue_name": "q"}), false),
        ("backlog", json!({"department_id": "d"}), false),
        ("all", json!({"department_id": "d"}), false),
    ] {
        let mut subscription = place.clone();
        subscription["channels"] = json!([channel]);
        let heard = client
            .call("subscribe", &subscription, "client:subscribe")
            .await;
        assert_eq!(heard.is("client:subscribe"), allowed, "{channel} {place}");
        if !allowed {
            assert_eq!(heard.error_code(), "UNAUTHORIZED");
        }
    }
    let narrow = json!({"grants": {"channels": ["kpi"], "departments": ["d"]}});
    let fresh = json!({"token": ends_in(HOUR, &narrow)});
    let heard = client.call("authenticate", &fresh, "authenticated").await;
    let ended = heard.data()["ended_subscriptions"]
        .as_array()
        .unwrap()
        .len();
    assert_eq!(ended, 2);
    let event = |event: &str, department: &str| json!({"event": event, "data": department, "target": {"org_id": "o", "dept_id": department}});
    let key = &server.keys.operator;
    assert_eq!(http.broadcast(key, &event("kpi:update", "d")).await, 1);
    assert_eq!(http.broadcast(key, &event("alert:triggered", "d")).await, 0);
    let mut deep = event("kpi:update", "e");
    deep["target"]["queue_name"] = json!("q");
    assert_eq!(http.broadcast(key, &deep).await, 0);
}

#[tokio::test]
async fn a_client_publishes_only_what_its_token_grants_and_only_there() {
    let server = Server::start("", "").await;
    let grants = json!({"grants": {"events": ["kpi:update", "nonsense"], "departments": ["d"]}});
    let mut client = Client::with_token(server.address, &ends_in(HOUR, &grants), true).await;
    let mut listener = Client::with_token(server.address, &ends_in(HOUR, &json!({})), false).await;
    let all = json!({"channels": ["all"]});
    listener.call("subscribe", &all, "client:subscribe").await;
    for (event, target, outcome) in [
        ("kpi:update", json!({"department_id": "d"}), ""),
        (
            "kpi:update",
            json!({"department_id": "d", "queue_name": "q"}),
            "",
        ),
        ("kpi:update", json!({"department_id": "e"}), "UNAUTHORIZED"),
        ("kpi:update", json!(null), "UNAUTHORIZED"),
        (
            "kpi:update",
            json!({"org_id": "p", "dept_id": "d"}),
            "UNAUTHORIZED",
        ),
        ("kpi:alert", json!({"department_id": "d"}), "UNAUTHORIZED"),
        ("nonsense", json!({"department_id": "d"}), "INVALID_MESSAGE"),
    ] {
        let body = json!({"event": event, "data": {"n": 1}, "target": target});
        let heard = client.call("publish", &body, "client:publish").await;
        if outcome.is_empty() {
            assert_eq!(heard.data()["recipients"], 1, "{heard:?}");
            let heard = listener.until(event).await;
            assert_eq!(heard.data(), &json!({"n": 1}));
        } else {
            assert_eq!(heard.error_code(), outcome, "{event} {target}");
        }
    }
    assert_eq!(listener.heard_so_far().await, []);
}

#[tokio::test]
async fn a_revoked_user_is_closed_and_comes_back_only_with_a_newer_token() {
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let old = ends_in(HOUR, &json!({"iat": now_seconds() - 5.0}));
    let mut first = Client::with_token(server.address, &old, true).await;
    let mut second = Client::with_token(server.address, &old, false).await;
    let other = token_with("v", "o", json!({}));
    let mut bystander = Client::with_token(server.address, &other, false).await;
    let body = json!({"user_id": "u", "organization_id": "o"});
    let answer = http
        .post("/api/ws/revoke", &server.keys.operator, &body)
        .await;
    assert_eq!(answer.json()["closed_connections"], 2, "{}", answer.body);
    for client in [&mut first, &mut second] {
        let heard = client.hear().await;
        assert_eq!(heard.reason(), "token_revoked", "{heard:?}");
    }
    assert_eq!(second.hear().await, Heard::Closed(Some(1008)));
    let mut refused = Client::socket_io(server.address, "", &json!({"token": old})).await;
    let heard = refused.hear().await;
    assert!(
        heard.data()["message"]
            .as_str()
            .unwrap()
            .starts_with("AUTH_FAILED")
    );
    let newer = ends_in(HOUR, &json!({"iat": now_seconds() + 1.0}));
    Client::with_token(server.address, &newer, false).await;
    assert_eq!(bystander.heard_so_far().await, []);
}

#[tokio::test]
async fn a_revoked_token_is_closed_and_refused_until_its_end() {
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let stolen = ends_in(HOUR, &json!({"jti": "stolen"}));
    let kept = ends_in(HOUR, &json!({"jti": "kept"}));
    let mut thief = Client::with_token(server.address, &stolen, false).await;
    let mut owner = Client::with_token(server.address, &kept, false).await;
    let body = json!({"jti": "stolen"});
    let answer = http
        .post("/api/ws/revoke", &server.keys.operator, &body)
        .await;
    assert_eq!(answer.json()["closed_connections"], 1, "{}", answer.body);
    assert_eq!(thief.hear().await.reason(), "token_revoked");
    let query = format!("?token={stolen}");
    let mut refused = Client::plain(server.address, &query, &[]).await.unwrap();
    assert_eq!(refused.hear().await.reason(), "token_revoked");
    assert_eq!(owner.heard_so_far().await, []);
    for bad in [
        json!({}),
        json!({"user_id": "u"}),
        json!({"user_id": "u", "organization_id": "o", "jti": "x"}),
        json!({"jti": ""}),
        json!({"jti": "x", "expires_at": "tomorrow"}),
        json!({"jti": "kept", "expires_at": 1_000_000_000}),
        json!({"jti": "kept", "expires_at": "2001-09-09T01:46:40Z"}),
        json!({"user_id": "u", "organization_id": "o", "exp": 1}),
        json!({"jti": "x", "until": 1}),
        json!([]),
    ] {
        let answer = http
            .post("/api/ws/revoke", &server.keys.operator, &bad)
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (400, "INVALID_MESSAGE"),
            "{bad}"
        );
    }
    // What was refused has closed nothing.
    assert_eq!(owner.heard_so_far().await, []);
}

#[tokio::test]
async fn a_revocation_lasts_to_the_end_that_its_call_names() {
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let query = format!("?token={}", ends_in(HOUR, &json!({"jti": "paused"})));
    // Late enough to be still ahead when a slow machine makes the call.
    let end = now_seconds() + 10.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a time of now"
    )]
    let body = json!({"jti": "paused", "expires_at": end.ceil() as u64});
    let answer = http
        .post("/api/ws/revoke", &server.keys.operator, &body)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    loop {
        let mut client = Client::plain(server.address, &query, &[]).await.unwrap();
        if client.hear().await.is("authenticated") {
            break;
        }
        assert!(now_seconds() < end + 10.0, "still refused");
    }
    assert!(now_seconds() >= end);
}

#[tokio::test]
async fn a_token_comes_by_query_header_cookie_auth_or_message() {
    let server = Server::start("", "token_cookie = \"session\"\n").await;
    let token = ends_in(HOUR, &json!({}));
    let bearer = format!("Bearer {token}");
    let cookie = format!("a=b; session={token}");
    for headers in [("authorization", &bearer), ("cookie", &cookie)] {
        let headers = [(headers.0, headers.1.as_str())];
        let mut client = Client::plain(server.address, "", &headers).await.unwrap();
        client.until("authenticated").await;
    }
    for (query, auth) in [
        (format!("&token={token}"), Value::Null),
        (String::new(), json!({ "token": token })),
        (String::new(), json!({ "token": bearer })),
    ] {
        let mut client = Client::socket_io(server.address, &query, &auth).await;
        client.until("authenticated").await;
    }
    let mut client = Client::socket_io(server.address, "", &Value::Null).await;
    assert!(client.hear().await.is("connect"));
    let message = json!({ "token": token });
    let heard = client.call("authenticate", &message, "authenticated").await;
    assert_eq!(heard.data()["user_id"], "u");
    assert!(heard.data()["expires_at"].is_string());
}
