//! What an operator reads in the log.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::ChildStderr;
use tokio_tungstenite::client_async;

use testkit::plain::Plain;
use testkit::process::Server;
use testkit::wait::soon;

/// A server's log, read line by line.
struct Log(Lines<BufReader<ChildStderr>>);

impl Log {
    async fn of(level: &str, flags: &[&str]) -> (Server, Self) {
        let flags = [&["--log-format", "json"], flags].concat();
        let mut server = Server::start_logging(level, Stdio::piped(), &flags).await;
        let lines = BufReader::new(server.child.stderr.take().unwrap()).lines();
        (server, Self(lines))
    }

    /// The next line, as level and fields; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let line = soon("a log line", self.0.next_line()).await.unwrap()?;
        let line: Value = serde_json::from_str(&line).unwrap();
        let level = line["level"].as_str().unwrap().to_owned();
        Some((level, line["fields"].clone()))
    }

    /// The next line with this message, whatever comes before it.
    async fn find(&mut self, message: &str) -> (String, Value) {
        loop {
            let line = self.next().await;
            let (level, fields) = line.unwrap_or_else(|| panic!("no line `{message}`"));
            if fields["message"] == message {
                return (level, fields);
            }
        }
    }
}

#[tokio::test]
async fn the_start_is_one_line_with_the_address_the_mode_and_the_limits() {
    let (server, mut log) = Log::of("info", &["--max-connections-total", "77"]).await;
    let (level, fields) = log.next().await.unwrap();
    assert_eq!(level, "INFO");
    assert_eq!(fields["message"], "listening");
    for (field, value) in [
        ("address", json!(server.address)),
        ("path", json!("/ws")),
        ("tls", json!(false)),
        ("identities", json!("asserted")),
        ("api", json!("open")),
        ("max_connections_total", json!(77)),
        ("max_connections_per_org", json!(100)),
        ("messages_per_second", json!(100)),
        ("max_message_size_bytes", json!(1_048_576)),
    ] {
        assert_eq!(fields[field], value, "{field}: {fields}");
    }
}

#[tokio::test]
async fn a_shutdown_is_followed_from_its_begin_to_its_end_and_clients_are_no_lines() {
    // Longer than it takes until the first word on how far it is.
    let (mut server, mut log) = Log::of("info", &["--drain-delay-ms", "3000"]).await;
    let mut clients = Vec::new();
    for user in 0..20 {
        let query = format!("?userId=u{user}&companyId=c");
        let mut client = Plain::connect(&server, &query).await;
        client.next().await;
        clients.push(client);
    }
    assert_eq!(server.signal("TERM").await, Some(0));
    let mut lines = Vec::new();
    while let Some((level, fields)) = log.next().await {
        assert_eq!(level, "INFO", "{fields}");
        let message = fields["message"].as_str().unwrap().to_owned();
        lines.push((message, fields["connections"].as_u64()));
    }
    let progress = "still shutting down";
    assert!(lines.iter().any(|line| line.0 == progress), "{lines:?}");
    lines.retain(|line| line.0 != progress);
    let expected = [
        ("listening", None),
        ("shutting down: not ready any more", Some(20)),
        (
            "letting nobody in any more, and sending the clients away",
            Some(20),
        ),
        ("shut down", Some(0)),
    ];
    let expected = expected.map(|(message, connections)| (message.to_owned(), connections));
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn what_is_refused_is_warned_of_with_a_count_and_not_each_time() {
    let (server, mut log) = Log::of("info", &["--max-connections-total", "1"]).await;
    log.find("listening").await;
    let mut first = Plain::connect(&server, "?userId=u&companyId=c").await;
    first.next().await;
    let (mut counted, mut lines) = (0, 0);
    for _ in 0..50 {
        let mut refused = Plain::connect(&server, "?userId=u&companyId=c").await;
        assert_eq!(refused.close_code().await, 1013);
    }
    while counted < 50 {
        let (level, fields) = log.find("refused").await;
        assert_eq!(
            (level.as_str(), &fields["reason"]),
            ("WARN", &json!("server_full"))
        );
        assert_eq!(fields["example"], "127.0.0.1");
        counted += fields["count"].as_u64().unwrap();
        lines += 1;
    }
    assert_eq!(counted, 50);
    assert!(lines < 50, "a line for each of them");

    let request = format!(
        "GET /healthz HTTP/1.1\r\nhost: {}\r\norigin: http://evil.example\r\nconnection: close\r\n\r\n",
        server.address
    );
    let mut tcp = TcpStream::connect(&server.address).await.unwrap();
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon("the answer", tcp.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let (level, fields) = log.find("refused").await;
    assert_eq!(
        (level.as_str(), &fields["reason"]),
        ("WARN", &json!("origin"))
    );
    assert!(
        fields["example"]
            .as_str()
            .unwrap()
            .contains("http://evil.example")
    );
}

#[tokio::test]
async fn refused_tokens_and_api_keys_are_warned_of_without_the_secret() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "0123456789abcdef0123456789abcdef").unwrap();
    let flags = ["--auth.jwt-secret-file", secret.to_str().unwrap()];
    let (server, mut log) = Log::of("debug", &flags).await;
    let token = "eyJhbGciOiJIUzI1NiJ9.c2VjcmV0LXBheWxvYWQ.c2VjcmV0LXNpZ25hdHVyZQ";
    let tcp = TcpStream::connect(&server.address).await.unwrap();
    let url = format!("ws://{}/ws?token={token}", server.address);
    let mut client = Plain(client_async(url, tcp).await.unwrap().0);
    assert_eq!(client.close_code().await, 1008);
    let (status, _) = server.send("GET", "/api/ws/stats", "").await;
    assert_eq!(status, 401);
    let mut reasons = Vec::new();
    while reasons.len() < 2 {
        let (level, fields) = log.next().await.unwrap();
        assert!(!fields.to_string().contains(&token[..20]), "{fields}");
        if level == "WARN" && fields["message"] == "refused" {
            reasons.push(fields["reason"].as_str().unwrap().to_owned());
        }
    }
    reasons.sort();
    assert_eq!(reasons, ["api_key", "identity"]);
}

#[tokio::test]
async fn at_debug_a_connection_is_followed_from_its_begin_to_its_end() {
    let (mut server, mut log) = Log::of("orgcast=debug", &[]).await;
    let mut left = Plain::connect(&server, "?userId=u&companyId=c").await;
    let id = left.next().await["data"]["connection_id"].clone();
    let (level, fields) = log.find("connected").await;
    assert_eq!((level.as_str(), &fields["connection"]), ("DEBUG", &id));
    let (_, fields) = log.find("authenticated").await;
    assert_eq!(
        (&fields["connection"], &fields["organization"]),
        (&id, &json!("c"))
    );
    drop(left);
    let (_, fields) = log.find("disconnected").await;
    assert_eq!(
        (&fields["connection"], &fields["reason"]),
        (&id, &json!("left"))
    );

    let mut stays = Plain::connect(&server, "?userId=u&companyId=c").await;
    let id = stays.next().await["data"]["connection_id"].clone();
    let (code, close) = tokio::join!(server.signal("TERM"), stays.close_code());
    assert_eq!((code, close), (Some(0), 1001));
    let (_, fields) = log.find("disconnected").await;
    assert_eq!(
        (&fields["connection"], &fields["reason"]),
        (&id, &json!("going_away"))
    );
}

#[tokio::test]
async fn a_log_that_no_person_watches_has_no_colours() {
    let mut server = Server::start_logging("info", Stdio::piped(), &[]).await;
    let mut stderr = server.child.stderr.take().unwrap();
    assert_eq!(server.signal("TERM").await, Some(0));
    let mut log = String::new();
    soon("the log", stderr.read_to_string(&mut log))
        .await
        .unwrap();
    assert!(
        log.contains("listening") && !log.contains('\u{1b}'),
        "{log:?}"
    );
}
