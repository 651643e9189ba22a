//! API keys: which scope each route asks for, and what an organization's key is shown.

use serde_json::{Value, json};

use super::server::{Server, keys};
use testkit::client::Client;
use testkit::http::Http;
use testkit::tokens::token;

/// Every route of the API with the scope that it needs.
fn routes() -> Vec<(&'static str, &'static str, Value)> {
    let event = json!({"event": "kpi:update", "target": {"organization_id": "evil"}});
    let place = json!({"organization_id": "evil"});
    let user = json!({"user_id": "nobody", "organization_id": "evil"});
    vec![
        ("POST /api/ws/broadcast", "broadcast", event),
        ("POST /api/ws/broadcast/kpi", "broadcast", place.clone()),
        ("POST /api/ws/broadcast/backlog", "broadcast", place.clone()),
        (
            "POST /api/ws/broadcast/attendance",
            "broadcast",
            place.clone(),
        ),
        ("POST /api/ws/broadcast/alert", "broadcast", place),
        ("GET /api/ws/stats", "read", json!(null)),
        ("GET /api/ws/connections", "read", json!(null)),
        ("GET /api/ws/rooms", "read", json!(null)),
        ("POST /api/ws/revoke", "admin", user),
    ]
}

#[tokio::test]
async fn the_metrics_of_all_organizations_are_for_operators() {
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let keys = &server.keys;
    for (key, expected) in [
        (keys.operator.as_str(), 200),
        (&keys.read_only, 200),
        (&keys.evil, 403),
        (&keys.evil_reader, 403),
        ("", 401),
    ] {
        let headers = [("x-api-key", key)];
        let headers = if key.is_empty() { &[][..] } else { &headers };
        let answer = http.send("GET", "/metrics", headers, "").await;
        assert_eq!(answer.status, expected, "{}", answer.body);
    }
}

#[tokio::test]
async fn each_route_asks_for_its_scope() {
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let keys = &server.keys;
    for (route, scope, body) in routes() {
        let (method, path) = route.split_once(' ').unwrap();
        let body = body.to_string();
        for (key, scopes) in [
            (&keys.operator, "broadcast read admin"),
            (&keys.evil, "broadcast read admin"),
            (&keys.evil_reader, "read"),
            (&keys.evil_sender, "broadcast"),
        ] {
            let headers = [("x-api-key", key.as_str())];
            let answer = http.send(method, path, &headers, &body).await;
            let expected = if scopes.contains(scope) { 200 } else { 403 };
            assert_eq!(
                answer.status, expected,
                "{route} with {scopes}: {}",
                answer.body
            );
        }
        let answer = http.send(method, path, &[], &body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (401, "AUTH_FAILED"),
            "{route}"
        );
        assert!(answer.header("www-authenticate").is_some());
        let differ = [
            ("x-api-key", keys.operator.as_str()),
            ("authorization", &format!("Bearer {}", keys.evil)),
        ];
        let answer = http.send(method, path, &differ, &body).await;
        assert_eq!(answer.status, 401, "{route}");
    }
    for path in ["/healthz", "/readyz", "/api/ws/health"] {
        assert_eq!(http.send("GET", path, &[], "").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_organizations_key_is_shown_its_own_and_nothing_else() {
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let mut mine = Client::with_token(server.address, &token("mallory", "evil"), true).await;
    let mut other = Client::with_token(server.address, &token("alice", "victim"), false).await;
    let kpi = json!({"channels": ["kpi"]});
    mine.call("subscribe", &kpi, "client:subscribe").await;
    other.call("subscribe", &kpi, "client:subscribe").await;
    let key = &server.keys.evil;
    let stats = http.get("/api/ws/stats", key).await.json();
    assert_eq!(stats["totalConnections"], 1);
    assert_eq!(stats["stats"]["active_connections"], 1);
    assert_eq!(stats["stats"]["connections_by_org"], json!({"evil": 1}));
    assert_eq!(stats["stats"]["active_rooms"], 3);
    let all = http
        .get("/api/ws/stats", &server.keys.operator)
        .await
        .json();
    assert_eq!(all["totalConnections"], 2);
    let connections = http.get("/api/ws/connections", key).await.json();
    assert_eq!(connections["total_count"], 1);
    let id = connections["connections"][0]["socket_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let rooms = http
        .get("/api/ws/rooms?organization_id=evil", key)
        .await
        .json();
    assert_eq!(rooms["total_count"], 3);
    let path = format!("/api/ws/connections/{id}");
    assert_eq!(http.get(&path, key).await.status, 200);
    assert_eq!(http.get(&path, &server.keys.victim).await.status, 404);
    // The organization of a key is the default of a shortcut and of a list of connections.
    let answer = http
        .post("/api/ws/broadcast/kpi", key, &json!({"score": 7}))
        .await;
    assert_eq!(answer.json()["recipients"], 1, "{}", answer.body);
    let target = json!({"socket_ids": [id]});
    let body = json!({"event": "kpi:alert", "target": target});
    assert_eq!(http.broadcast(key, &body).await, 1);
    // A notification without a target is for everyone whom the key reaches.
    let notification = json!({"title": "t", "body": "b"});
    assert_eq!(http.broadcast(key, &notification).await, 1);
    assert_eq!(
        http.broadcast(&server.keys.operator, &notification).await,
        2
    );
    assert_eq!(other.heard_so_far().await.len(), 1);
    assert_eq!(mine.heard_so_far().await.len(), 4);
}

#[tokio::test]
async fn without_any_key_the_api_is_open_and_with_a_token_key_it_is_not() {
    let open = Server::start_with("", keys()).await;
    let http = Http(open.address);
    assert_eq!(http.send("GET", "/api/ws/stats", &[], "").await.status, 200);
    let mut client = Client::plain(open.address, "?userId=u&companyId=o", &[])
        .await
        .unwrap();
    client.until("authenticated").await;
    let closed = Server::start_with(
        "[auth]\njwt_secret = \"a secret that is more than 32 bytes long\"\n",
        keys(),
    )
    .await;
    let http = Http(closed.address);
    assert_eq!(http.send("GET", "/api/ws/stats", &[], "").await.status, 401);
    let mut client = Client::plain(closed.address, "?userId=u&companyId=o", &[])
        .await
        .unwrap();
    assert_eq!(client.hear().await.reason(), "token_required");
}

#[tokio::test]
async fn asserted_identities_beside_tokens_and_a_required_origin_are_options() {
    let server = Server::start("require_origin = true\n", "allow_asserted = true\n").await;
    let origin = [("origin", "http://localhost:3000")];
    let query = "?userId=u&companyId=o";
    assert_eq!(
        Client::plain(server.address, query, &[]).await.err(),
        Some(403)
    );
    let mut client = Client::plain(server.address, query, &origin).await.unwrap();
    client.until("authenticated").await;
    let query = format!("?token={}", token("u", "o"));
    let mut client = Client::plain(server.address, &query, &origin)
        .await
        .unwrap();
    client.until("authenticated").await;
    let http = Http(server.address);
    assert_eq!(
        http.get("/api/ws/stats", &server.keys.operator)
            .await
            .status,
        200
    );
}
