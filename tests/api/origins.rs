//! Which pages and apps may come, and by which names.

use std::net::SocketAddr;

use testkit::in_process::here;
use testkit::raw::{Raw, ask};
use testkit::websocket::UPGRADE;

const WEB_SOCKET: &str = "/ws?organization_id=a&user_id=u";

/// The status of a WebSocket handshake with these lines.
async fn handshake(server: SocketAddr, lines: &str) -> u16 {
    let mut raw = Raw::connect(server).await;
    raw.send(format!("GET {WEB_SOCKET} HTTP/1.1\r\n{UPGRADE}{lines}\r\n"))
        .await;
    raw.head().await.status
}

#[tokio::test]
async fn apps_that_name_the_web_socket_itself_as_their_origin_come_in() {
    let server = here(|_| {}).await;
    let port = server.address.port();
    for (origin, host, status) in [
        (
            format!("ws://localhost:{port}"),
            format!("localhost:{port}"),
            101,
        ),
        (
            format!("http://localhost:{port}"),
            format!("localhost:{port}"),
            101,
        ),
        ("ws://localhost:80".to_owned(), "localhost".to_owned(), 101),
        (
            "http://localhost".to_owned(),
            "localhost:80".to_owned(),
            101,
        ),
        (
            format!("wss://localhost:{port}"),
            format!("localhost:{port}"),
            403,
        ),
        (
            "ws://evil.example".to_owned(),
            format!("localhost:{port}"),
            403,
        ),
        (
            "ws://localhost".to_owned(),
            format!("localhost:{port}"),
            403,
        ),
    ] {
        let lines = format!("Host: {host}\r\nOrigin: {origin}\r\n");
        assert_eq!(handshake(server.address, &lines).await, status, "{lines}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_that_ends_tls_origins_are_those_of_https() {
    for (trusted, is_believed) in [("127.0.0.1", true), ("10.0.0.0/8", false)] {
        let server = here(|config| {
            config.trusted_proxies = vec![trusted.into()];
            config.allowed_hosts = vec!["rt.example".into()];
        })
        .await;
        let ask = async |origin: &str, protocol: &str| {
            let lines = format!(
                "Host: rt.example\r\nOrigin: {origin}\r\nX-Forwarded-Proto: {protocol}\r\n"
            );
            handshake(server.address, &lines).await == 101
        };
        for origin in [
            "https://rt.example",
            "wss://rt.example",
            "https://rt.example:443",
        ] {
            assert_eq!(ask(origin, "https").await, is_believed, "{origin}");
            assert!(!ask(origin, "http").await, "{origin}");
        }
        assert_eq!(ask("http://rt.example", "https").await, !is_believed);
        assert!(ask("http://rt.example", "http").await);
        assert!(!ask("https://evil.example", "https").await);
    }
}

#[tokio::test]
async fn the_default_port_may_be_written_and_subdomains_may_be_meant() {
    let server = here(|config| {
        config.cors_origins = vec![
            "https://app.example:443".into(),
            "https://*.example.com".into(),
        ];
    })
    .await;
    let address = server.address;
    for (origin, status) in [
        ("https://app.example", 101),
        ("https://app.example:443", 101),
        ("https://a.example.com", 101),
        ("https://a.b.example.com:443", 101),
        ("https://example.com", 403),
        ("https://evil-example.com", 403),
        ("https://a.example.com.evil.example", 403),
        ("http://a.example.com", 403),
        ("https://a.example.com:8443", 403),
    ] {
        let lines = format!("Host: localhost\r\nOrigin: {origin}\r\n");
        assert_eq!(handshake(address, &lines).await, status, "{origin}");
        let mut raw = Raw::connect(address).await;
        raw.get("/api/ws/stats", &format!("Origin: {origin}\r\n"))
            .await;
        let shared = raw.answer().await;
        let shared = shared.header("access-control-allow-origin");
        assert_eq!(shared, (status == 101).then_some(origin));
    }
}

#[tokio::test]
async fn with_allowed_hosts_the_server_is_called_by_these_and_not_by_others() {
    let server = here(|config| config.allowed_hosts = vec!["rt.example".into()]).await;
    let stats = async |host: &str| {
        let request = format!("GET /api/ws/stats HTTP/1.1\r\nHost: {host}\r\n\r\n");
        ask(server.address, request).await
    };
    for host in [
        "rt.example",
        "rt.example:8443",
        "localhost:5000",
        "127.0.0.1",
    ] {
        assert_eq!(stats(host).await.status, 200, "{host}");
    }
    let foreign = stats("evil.example").await;
    assert_eq!(foreign.status, 403);
    assert!(foreign.body.contains("allowed_hosts"), "{}", foreign.body);
    let lines = "Host: rt.example\r\nOrigin: http://rt.example\r\n";
    assert_eq!(handshake(server.address, lines).await, 101);
}

#[tokio::test]
async fn a_foreign_page_takes_no_places_without_saying_who_it_is() {
    let server = here(|config| config.max_connections_total = 2).await;
    let poll = async |headers: &str| {
        let mut raw = Raw::connect(server.address).await;
        raw.get("/ws/?EIO=4&transport=polling", headers).await;
        raw.answer().await.status
    };
    for site in ["cross-site", "same-site"] {
        for how in ["no-cors", "navigate"] {
            for _ in 0..3 {
                let said = format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: {how}\r\n");
                assert_eq!(poll(&said).await, 403);
            }
        }
    }
    assert_eq!(server.hub.admission.taken(), 0);
    let refused = server.hub.metrics.rejections.counts();
    assert_eq!(refused.get("origin"), Some(&12));
    // A script of JSONP in a page that may come, and whoever is no page at all.
    let listed = "Sec-Fetch-Site: same-site\r\nReferer: http://localhost:3000/app\r\n";
    assert_eq!(poll(listed).await, 200);
    assert_eq!(poll("").await, 200);

    let mut raw = Raw::connect(server.address).await;
    let link = "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\
                Sec-Fetch-Dest: document\r\n";
    raw.get("/", link).await;
    assert_eq!(raw.answer().await.status, 200, "a link to the page");
    raw.get("/api/ws/stats", "Sec-Fetch-Site: cross-site\r\n")
        .await;
    assert_eq!(raw.answer().await.status, 403);
}
