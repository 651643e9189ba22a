//! What is in no log, at whatever level: whatever proves who somebody is, and what people say.

use std::io::Write;
use std::net::SocketAddr;

use orgcast::auth::api_key::{KeyHash, key_of};
use orgcast::auth::key::Algorithm;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use testkit::http::{Answer, request};
use testkit::polling::Polling;
use testkit::process::Logged;
use testkit::tokens::sign_with;
use testkit::wait::within;
use testkit::websocket::Ws;

const SECRET: &str = "the-mark-of-the-secret-0123456789abcdef";
const COOKIE: &str = "session";
/// Part of everything that must not be found, besides keys and tokens.
const MARK: &str = "mark-of-contents";

fn token(user: &str) -> String {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let claims = json!({
        "sub": user, "organization_id": "a", "exp": now.as_secs() + 600,
        "grants": { "events": ["kpi:update"] },
    });
    let Value::Object(claims) = claims else {
        panic!("it is an object")
    };
    sign_with(SECRET, Algorithm::HS256, &claims)
}

/// A good token and bad ones.
struct Tokens {
    good: String,
    bad: Vec<String>,
}

impl Tokens {
    fn new() -> Self {
        let good = token("u");
        let (signed, _) = good.rsplit_once('.').unwrap();
        Self {
            bad: vec![
                format!("{signed}.c2lnbmF0dXJlLW9mLW5vYm9keQ"),
                format!("{MARK}.not-a-token"),
                "Zm9yZ2VkLXRva2Vu.Zm9yZ2VkLXRva2Vu.Zm9yZ2VkLXRva2Vu".to_owned(),
            ],
            good,
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.good)
            .chain(&self.bad)
            .map(String::as_str)
    }

    /// What must not be found of them: what comes behind their headers.
    fn parts(&self) -> impl Iterator<Item = &str> {
        self.all().flat_map(|token| token.split('.').skip(1))
    }
}

/// Every way in with every token, on both protocols.
async fn knock(server: SocketAddr, tokens: &Tokens) {
    for token in tokens.all() {
        for (query, headers) in [
            (format!("&token={token}"), String::new()),
            (String::new(), format!("Authorization: Bearer {token}\r\n")),
            (String::new(), format!("Cookie: {COOKIE}={token}\r\n")),
        ] {
            for path in [
                format!("/ws?x={MARK}{query}"),
                format!("/ws/?EIO=4&transport=websocket{query}"),
            ] {
                if let Ok(mut ws) = Ws::upgrade(server, &path, &headers).await {
                    let first = ws.text().await;
                    if first.starts_with('0') {
                        ws.send("40").await;
                        ws.until("4").await;
                    }
                }
            }
            let polling = format!("/ws/?EIO=4&transport=polling{query}");
            request(server, "GET", &polling, &headers, "").await;
        }
        let authenticate = json!({ "event": "authenticate", "data": { "token": token } });
        let mut plain = Ws::plain(server, "").await;
        plain.send(&authenticate.to_string()).await;
        plain.text().await;
        let mut engine = Ws::engine(server).await;
        engine
            .send(&format!("40{}", json!({ "token": token })))
            .await;
        engine.until("4").await;
        let mut engine = Ws::engine(server).await;
        engine.send("40").await;
        engine.until("40").await;
        let event = json!(["authenticate", { "token": token }]);
        engine.send(&format!("421{event}")).await;
        engine.until("431").await;
        let polling = Polling::open(server).await.unwrap();
        polling
            .post(&[&format!("40{}", json!({ "token": token }))])
            .await;
        polling.until("4").await;
    }
}

/// What clients say, well and badly.
async fn talk(server: SocketAddr, token: &str, keys: &[String]) {
    let mut plain = Ws::plain(server, &format!("token={token}")).await;
    plain.text().await;
    let mut engine = Ws::engine(server).await;
    engine
        .send(&format!("40{}", json!({ "token": token })))
        .await;
    engine.until("42").await;
    let data = json!({ "text": MARK });
    for (event, data) in [
        ("publish", json!({ "event": "kpi:update", "data": data })),
        ("client:ping", data.clone()),
        ("subscribe", json!({ "channels": [MARK] })),
        (MARK, data.clone()),
        ("publish", json!({ MARK: 1 })),
    ] {
        plain
            .send(&json!({ "event": event, "data": data }).to_string())
            .await;
        plain.text().await;
        engine.send(&format!("427{}", json!([event, data]))).await;
        engine.until("43").await;
    }
    plain.send(&format!("{{{MARK}")).await;
    plain.text().await;
    plain.try_send(0x82, MARK.as_bytes()).await.unwrap();

    let subscribe = json!({ "event": "subscribe", "data": { "channels": ["kpi"] } });
    let mut plain = Ws::plain(server, &format!("token={token}")).await;
    plain.text().await;
    plain.send(&subscribe.to_string()).await;
    plain.text().await;
    engine
        .send(r#"428["subscribe",{"channels":["kpi"]}]"#)
        .await;
    engine.until("438").await;
    for key in keys {
        for headers in [
            format!("X-API-Key: {key}\r\n"),
            format!("Authorization: Bearer {key}\r\n"),
        ] {
            post(server, key, &headers).await;
        }
    }
    // What was broadcast has arrived.
    assert!(plain.until("{").await.contains(MARK));
    assert!(engine.until("42").await.contains(MARK));
}

async fn post(server: SocketAddr, key: &str, headers: &str) -> Vec<Answer> {
    let target = json!({ "organization_id": "a" });
    let good = json!({ "event": "kpi:update", "data": { "text": MARK }, "target": target });
    let mut answers = Vec::new();
    for (path, body) in [
        ("/api/ws/broadcast", good.to_string()),
        (
            "/api/ws/broadcast/kpi",
            json!({ "organization_id": "a", "x": MARK }).to_string(),
        ),
        ("/api/ws/broadcast", json!({ MARK: 1 }).to_string()),
        ("/api/ws/broadcast", format!("{{{MARK}")),
        (
            "/api/ws/revoke",
            json!({ "jti": MARK, "expires_at": "2999-01-01T00:00:00Z" }).to_string(),
        ),
        (
            "/api/ws/broadcast?priority=mark-of-contents",
            good.to_string(),
        ),
        ("/nowhere?key=mark-of-contents", MARK.to_owned()),
    ] {
        answers.push(request(server, "POST", path, headers, &body).await);
    }
    let read = format!("/api/ws/connections/{MARK}?x={key}");
    answers.push(request(server, "GET", &read, headers, "").await);
    answers
}

/// A source of keys that has none, at a URL that says who asks.
async fn key_source() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            let mut scrap = [0; 4096];
            let _ = tcp.read(&mut scrap).await;
            let answer =
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 11\r\n\r\n{\"keys\":[]}";
            let _ = tcp.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/keys?secret={MARK}")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_has_a_token_a_key_or_what_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let key = key_of([7; 32]);
    let mut file = std::fs::File::create(folder.path().join("orgcast.toml")).unwrap();
    let hash = KeyHash::of(&key);
    writeln!(
        file,
        "[api_keys.all]\nhash = \"{hash}\"\noperator = true\nscopes = [\"broadcast\", \"read\", \"admin\"]"
    )
    .unwrap();
    let configuration = folder.path().join("orgcast.toml");
    let source = key_source().await;
    for format in ["text", "json"] {
        let server = Logged::start(
            &[
                "--config",
                configuration.to_str().unwrap(),
                "--log-format",
                format,
                "--auth.token-cookie",
                COOKIE,
                // For so long the end waits for polls that do not come.
                "--write-timeout-ms",
                "500",
            ],
            &[
                ("ORGCAST_LOG", "trace"),
                ("ORGCAST_AUTH__JWT_SECRET", SECRET),
                ("ORGCAST_AUTH__JWKS", &source),
            ],
        )
        .await;
        let tokens = Tokens::new();
        let keys = [key.clone(), format!("ock_{MARK}")];
        knock(server.address, &tokens).await;
        within("the talk", talk(server.address, &tokens.good, &keys)).await;
        let (exit, log) = server.end().await;
        assert_eq!(exit.code(), Some(0));
        // It is the log of all that.
        for word in [
            "connected",
            "authenticated",
            "API call",
            "api_key",
            "identity",
        ] {
            assert!(log.contains(word), "{word} is not in {log}");
        }
        let key_part = key.rsplit('_').next().unwrap();
        let secrets = tokens.parts().chain([SECRET, MARK, key_part]);
        for secret in secrets {
            let found = log.lines().find(|line| line.contains(secret));
            assert_eq!(found, None, "it has {secret}");
        }
    }
}
