//! TCP connections: counted, bounded for each address, and given up when there is no room.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use testkit::http::get;
use testkit::in_process::here;
use testkit::process::Server;
use testkit::raw::Raw;
use testkit::wait::within;
use testkit::websocket::Ws;

/// A plain client from another address of this machine's; `None` if there is no room.
async fn member_from(from: [u8; 4], server: SocketAddr) -> Option<Ws> {
    let raw = Raw::connect_from(from, server).await;
    let path = "/ws?organization_id=a&user_id=u";
    let upgrade = Ws::try_upgrade_over(raw.tcp, path, "");
    let mut ws = within("the upgrade or the end", upgrade).await.ok()?.ok()?;
    let hello = ws.text().await;
    assert!(hello.contains("\"authenticated\""), "{hello}");
    Some(ws)
}

/// Who is still answered on its connection.
async fn is_served(raw: &mut Raw) -> bool {
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let sent = tokio::io::AsyncWriteExt::write_all(&mut raw.tcp, request).await;
    let answer = within("an answer or the end", raw.read_answer()).await;
    sent.is_ok() && answer.is_ok_and(|answer| answer.status == 200)
}

#[tokio::test]
async fn connections_are_counted_until_they_are_web_sockets_or_gone() {
    let server = here(|_| {}).await;
    let counted =
        async || get(server.address, "/api/ws/health").await.json()["tcp_connections"].clone();
    // The one that asks is one.
    assert_eq!(counted().await, 1);
    let mut idle = Raw::connect(server.address).await;
    assert!(is_served(&mut idle).await);
    let silent = Raw::connect(server.address).await;
    let mut other = Raw::connect(server.address).await;
    assert!(is_served(&mut other).await);
    assert_eq!(counted().await, 4);
    let member = Ws::member(server.address, "a", "u").await;
    assert_eq!(counted().await, 4);
    let stats = get(server.address, "/api/ws/stats").await.json();
    assert_eq!(stats["tcpConnections"], 4);
    drop((idle, silent, other));
    let gone = async {
        while counted().await != 1 {
            tokio::task::yield_now().await;
        }
    };
    within("the end of all", gone).await;
    drop(member);
}

#[tokio::test]
async fn an_address_holds_no_more_than_its_connections_and_a_new_one_takes_the_place_of_the_idle() {
    // Six for each client, or what is said.
    for (own, most) in [(0, 12), (5, 5)] {
        let server = here(|config| {
            config.max_connections_per_address = 2;
            config.max_tcp_connections_per_address = own;
            config.keep_alive_timeout_ms = 600_000;
            config.header_timeout_ms = 600_000;
        })
        .await;
        let mut held = Vec::new();
        for _ in 0..3 * most {
            let mut raw = Raw::connect(server.address).await;
            assert!(is_served(&mut raw).await);
            held.push(raw);
        }
        // Those that are left were the last.
        for (at, raw) in held.iter_mut().enumerate().rev() {
            let is_last = at >= 2 * most;
            assert_eq!(is_served(raw).await, is_last, "{at} of {most}");
        }
        let refused = server.hub.metrics.rejections.counts();
        assert_eq!(refused.get("given_up"), Some(&(2 * most as u64)));
        // Another address is not meant.
        let mut other = Raw::connect_from([127, 0, 0, 2], server.address).await;
        assert!(is_served(&mut other).await);
        // WebSockets have a limit of their own.
        let first = Ws::member(server.address, "a", "u").await;
        let second = Ws::member(server.address, "a", "v").await;
        assert!(is_served(&mut other).await);
        drop((first, second));
    }
}

#[tokio::test]
async fn an_address_whose_connections_are_all_at_work_gets_no_more_until_one_is_done() {
    let server = here(|config| {
        config.max_tcp_connections_per_address = 2;
        config.trusted_proxies = vec!["127.0.0.3".into()];
    })
    .await;
    let _silent = member_from([127, 0, 0, 2], server.address).await.unwrap();
    // Each waits for an acknowledgement that does not come.
    let body = json!({ "event": "system:maintenance", "target": { "organization_id": "a" } });
    let body = body.to_string();
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut raw = Raw::connect(server.address).await;
        raw.send(format!(
            "POST /api/ws/broadcast?requires_ack=true&wait_ms=30000 HTTP/1.1\r\n\
             Host: localhost\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
        .await;
        waiting.push(raw);
    }
    // What this one sends comes behind what they sent.
    let mut proxy = Raw::connect_from([127, 0, 0, 3], server.address).await;
    assert!(is_served(&mut proxy).await);
    let mut refused = Raw::connect(server.address).await;
    let answer = within("a refusal", refused.read_answer()).await;
    // It may be reset before it reads why.
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 503));
    let counted = server.hub.metrics.rejections.counts();
    assert_eq!(counted.get("tcp_address_full"), Some(&1), "{counted:?}");
    // A proxy has the connections of many.
    let mut proxies = vec![proxy];
    for _ in 0..3 {
        proxies.push(Raw::connect_from([127, 0, 0, 3], server.address).await);
    }
    for proxy in &mut proxies {
        assert!(is_served(proxy).await);
    }
}

const DESCRIPTORS: u32 = 160;
/// A sixteenth of them.
const RESERVED: usize = 10;

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_only_wait_go_when_descriptors_get_scarce() {
    let flags = [
        ("keep-alive-timeout-ms", "600000"),
        ("header-timeout-ms", "600000"),
        ("body-timeout-ms", "600000"),
        ("operator-networks", "127.0.0.1"),
    ];
    let server = Server::start_with_descriptors(DESCRIPTORS, &flags).await;
    let silence = "";
    let headers = "GET /healthz HTTP/1.1\r\nX: ";
    let idle = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let body = "POST /api/ws/broadcast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
    for begun in [silence, headers, idle, body] {
        let mut attackers = Vec::new();
        for _ in 0..2 * DESCRIPTORS {
            let mut raw = Raw::connect_from([127, 0, 0, 2], server.address).await;
            // It may be refused before.
            let _ = tokio::io::AsyncWriteExt::write_all(&mut raw.tcp, begun.as_bytes()).await;
            attackers.push(raw);
        }
        // A stranger like them comes in, and stays.
        let stranger = member_from([127, 0, 0, 3], server.address).await;
        let mut member = stranger.unwrap_or_else(|| panic!("no room after {begun}"));
        member.send("{\"event\":\"ping\",\"data\":{}}").await;
        assert!(member.text().await.contains("pong"), "{begun}");
        let stats = server.stats().await;
        let refused = &stats["refused_by_reason"];
        assert_eq!(
            refused["accept_error"],
            serde_json::Value::Null,
            "{refused}"
        );
        drop(attackers);
    }
    let stats = server.stats().await;
    assert!(stats["refused_by_reason"]["given_up"].as_u64() > Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_descriptors_are_for_operators() {
    let flags = [
        ("operator-networks", "127.0.0.1"),
        ("max-connections-total", "0"),
        ("max-connections-per-org", "0"),
        ("auth-required", "false"),
    ];
    let server = Server::start_with_descriptors(DESCRIPTORS, &flags).await;
    let address = server.address;
    // WebSockets are not given up.
    let mut members = Vec::new();
    let full = async {
        while let Some(member) = member_from([127, 0, 0, 2], address).await {
            members.push(member);
        }
    };
    within("the end of the descriptors", full).await;
    assert!(
        members.len() > DESCRIPTORS as usize / 2,
        "{}",
        members.len()
    );
    for path in ["/healthz", "/readyz", "/api/ws/health", "/api/ws/stats"] {
        // Each gives its descriptor back at once.
        for _ in 0..3 * RESERVED {
            let mut raw = Raw::connect(address).await;
            raw.get(path, "").await;
            let answer = raw.answer().await;
            assert_eq!(
                (answer.status, answer.header("connection")),
                (200, Some("close"))
            );
        }
    }
    let body = "{\"organization_id\":\"a\"}";
    let answer = testkit::http::post(address, "/api/ws/broadcast/kpi", body).await;
    assert_eq!(answer.json()["recipients"], 0);
    // An operator's address has no more of anything else than others have.
    let answer = get(address, "/ws/?EIO=4&transport=polling").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "CONNECTION_LIMIT")
    );
    let stats = server.stats().await;
    assert!(stats["refused_by_reason"]["descriptors"].as_u64() > Some(0));
    // Whoever leaves makes room for others.
    members.truncate(members.len() / 2);
    let comes = async {
        while member_from([127, 0, 0, 2], address).await.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("a client after the others", comes).await;
}
