//! What an attacker tries: each attempt gets its documented code, and neither sees nor sends a byte
//! of another organization.

use serde_json::json;

use super::attempts::{ORIGINS, TREASURE, bad_calls, bad_messages, bad_tokens, good};
use super::server::Server;
use testkit::client::{Client, Heard};
use testkit::http::Http;
use testkit::tokens::{sign, token_with};

const CONFIG: &str = r#"
issuers = ["https://id.example"]
audiences = ["orgcast"]
leeway_ms = 1000
"#;

struct Table {
    server: Server,
    http: Http,
    victim: Client,
    attempts: usize,
    failures: Vec<String>,
}

impl Table {
    fn expect(&mut self, what: &str, expected: &str, found: &str) {
        self.attempts += 1;
        if expected != found {
            self.failures
                .push(format!("{what}: {found}, not {expected}"));
        }
    }

    /// Broadcasts inside `victim` and looks for it in what the attacker hears.
    async fn check_deaf(&mut self, what: &str, attacker: &mut Client) {
        let body = json!({
            "event": "kpi:update", "data": TREASURE, "target": {"organization_id": "victim"},
        });
        let recipients = self.http.broadcast(&self.server.keys.victim, &body).await;
        if recipients != 1 {
            self.failures
                .push(format!("{what}: {recipients} recipients"));
        }
        self.victim.until("kpi:update").await;
        for heard in attacker.heard_so_far().await {
            if format!("{heard:?}").contains(TREASURE) {
                self.failures.push(format!("{what}: heard {heard:?}"));
            }
        }
    }

    async fn tokens(&mut self) {
        for (what, token, reason) in bad_tokens() {
            let mut client =
                Client::socket_io(self.server.address, "", &json!({"token": token})).await;
            let heard = client.hear().await;
            let message = heard.data()["message"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            let code = message.split(':').next().unwrap_or_default();
            self.expect(&format!("Socket.IO, {what}"), "AUTH_FAILED", code);

            let headers = [("authorization", format!("Bearer {token}"))];
            let headers = headers
                .each_ref()
                .map(|(name, value)| (*name, value.as_str()));
            // A header is too short for the longest one.
            let Ok(mut client) = Client::plain(self.server.address, "", &headers).await else {
                continue;
            };
            if token.is_empty() {
                continue;
            }
            let heard = client.hear().await;
            self.expect(&format!("plain, {what}"), reason, heard.reason());
            let closed = client.hear().await;
            self.expect(what, "Closed(Some(1008))", &format!("{closed:?}"));
        }
    }

    async fn messages(&mut self) {
        for is_socket_io in [true, false] {
            for (what, event, data, code) in bad_messages() {
                let token = sign(&good(json!({})));
                let mut client =
                    Client::with_token(self.server.address, &token, is_socket_io).await;
                let heard = client.call(event, &data, "success").await;
                self.expect(what, code, heard.error_code());
                self.check_deaf(what, &mut client).await;
            }
        }
    }

    /// What a member of `evil` may do is still its own: nothing of it crosses the wall either.
    async fn own_things(&mut self) {
        let extra = json!({"grants": {"events": ["kpi:update"], "channels": ["all"]}});
        let token = sign(&good(extra));
        let mut client = Client::with_token(self.server.address, &token, true).await;
        let all = json!({"channels": ["all", "kpi"], "organization_id": "evil"});
        let heard = client.call("subscribe", &all, "client:subscribe").await;
        self.expect(
            "subscribes at home",
            "true",
            &heard.data()["success"].to_string(),
        );
        let event = json!({"event": "kpi:update", "data": 1});
        let heard = client.call("publish", &event, "client:publish").await;
        self.expect(
            "publishes at home",
            "1",
            &heard.data()["recipients"].to_string(),
        );
        self.check_deaf("at home", &mut client).await;
        for id in [
            "victim:dept:d",
            "a%3Aorg%3Avictim",
            "*",
            "#",
            "../victim",
            "victim\u{ad}",
        ] {
            let place = json!({"channels": ["kpi"], "department_id": id, "queue_name": id});
            let heard = client.call("subscribe", &place, "client:subscribe").await;
            self.expect(id, "true", &heard.data()["success"].to_string());
            self.check_deaf(id, &mut client).await;
        }
    }

    async fn calls(&mut self, victim: &str) {
        for (what, route, key, body, status) in bad_calls(&self.server, victim) {
            let (method, path) = route.split_once(' ').unwrap();
            let body = if body.is_null() {
                String::new()
            } else {
                body.to_string()
            };
            for headers in [
                vec![("x-api-key", key.clone())],
                vec![("authorization", format!("Bearer {key}"))],
            ] {
                let headers: Vec<(&str, &str)> = headers
                    .iter()
                    .map(|(name, value)| (*name, value.as_str()))
                    .collect();
                let answer = self.http.send(method, path, &headers, &body).await;
                self.expect(what, &status.to_string(), &answer.status.to_string());
                let code = match status {
                    401 => "AUTH_FAILED",
                    403 => "UNAUTHORIZED",
                    _ => "NOT_FOUND",
                };
                self.expect(what, code, &answer.code());
                // A path that names the id is told back.
                let leaks = !path.contains(victim) && answer.body.contains(victim);
                self.expect(what, "false", &leaks.to_string());
            }
        }
    }

    /// Answers to a good key of `evil` hold nothing of the victim.
    async fn answers(&mut self, victim: &str) {
        let key = self.server.keys.evil.clone();
        for path in ["stats", "connections", "rooms"] {
            let answer = self.http.get(&format!("/api/ws/{path}"), &key).await;
            self.expect(path, "200", &answer.status.to_string());
            let leaks = ["victim", "alice", victim]
                .iter()
                .any(|word| answer.body.contains(word));
            self.expect(path, "false", &leaks.to_string());
        }
        let target = json!({"socket_ids": [victim]});
        let body = json!({"event": "kpi:update", "data": "from evil", "target": target});
        let recipients = self.http.broadcast(&key, &body).await;
        self.expect("a connection elsewhere", "0", &recipients.to_string());
        let body = json!({"title": "from evil", "body": "to whom?"});
        let recipients = self.http.broadcast(&key, &body).await;
        self.expect("a notification", "0", &recipients.to_string());
        let body = json!({"jti": "alices"});
        let answer = self.http.post("/api/ws/revoke", &key, &body).await;
        let closed = answer.json()["closed_connections"].to_string();
        self.expect("another's jti", "0", &closed);
    }

    async fn origins(&mut self) {
        for origin in ORIGINS {
            let headers = [("origin", origin)];
            let token = sign(&good(json!({})));
            let query = format!("?token={token}");
            let refused = Client::plain(self.server.address, &query, &headers)
                .await
                .err();
            self.expect(origin, "Some(403)", &format!("{refused:?}"));
            let path = "/ws/?EIO=4&transport=polling";
            let answer = self.http.send("GET", path, &headers, "").await;
            self.expect(origin, "403", &answer.status.to_string());
            let allowed = answer.header("access-control-allow-origin");
            self.expect(origin, "None", &format!("{allowed:?}"));
            let key = self.server.keys.victim.clone();
            let with_key = [("origin", origin), ("x-api-key", key.as_str())];
            let answer = self.http.send("GET", "/api/ws/stats", &with_key, "").await;
            self.expect(origin, "403", &answer.status.to_string());
        }
        let headers = [
            ("origin", "http://localhost:3000"),
            ("origin", "http://evil.example"),
        ];
        let refused = Client::plain(self.server.address, "", &headers).await.err();
        self.expect("two origins", "Some(403)", &format!("{refused:?}"));
        let preflight = [
            ("origin", "http://localhost:3000"),
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-api-key"),
        ];
        let answer = self
            .http
            .send("OPTIONS", "/api/ws/broadcast", &preflight, "")
            .await;
        let header = |name: &str| answer.header(name);
        self.expect("a preflight", "200", &answer.status.to_string());
        let allowed = header("access-control-allow-origin").unwrap_or_default();
        self.expect("a preflight", "http://localhost:3000", allowed);
        let credentials = header("access-control-allow-credentials").unwrap_or_default();
        self.expect("a preflight", "true", credentials);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_hostile_attempt_gets_its_code_and_nothing_of_another_organization() {
    let server = Server::start("", CONFIG).await;
    let victims = token_with(
        "alice",
        "victim",
        json!({"iss": "https://id.example", "aud": "orgcast", "jti": "alices"}),
    );
    let mut victim = Client::plain(server.address, &format!("?token={victims}"), &[])
        .await
        .unwrap();
    let heard = victim.until("authenticated").await;
    let id = heard.data()["connection_id"].as_str().unwrap().to_owned();
    let all = json!({"channels": ["all"]});
    victim.call("subscribe", &all, "client:subscribe").await;
    let mut table = Table {
        http: Http(server.address),
        server,
        victim,
        attempts: 0,
        failures: Vec::new(),
    };
    table.tokens().await;
    table.messages().await;
    table.own_things().await;
    table.calls(&id).await;
    table.answers(&id).await;
    table.origins().await;
    let uninvited: Vec<Heard> = table.victim.heard_so_far().await;
    assert_eq!(uninvited, [], "the victim heard something of the attacker");
    assert!(
        table.failures.is_empty(),
        "{} of {} failed:\n{}",
        table.failures.len(),
        table.attempts,
        table.failures.join("\n")
    );
    assert!(table.attempts >= 300, "{} attempts", table.attempts);
}
