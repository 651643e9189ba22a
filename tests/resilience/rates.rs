//! Message rates on every transport, and request rates.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use orgcast::config::{Config, OrgLimits};
use orgcast::hub::lists::Begin;
use orgcast::server::Running;
use serde_json::{Value, json};

use testkit::http::{broadcast, get, post};
use testkit::in_process::here;
use testkit::polling::Polling;
use testkit::process::wait_for_stats;
use testkit::wait::{came_back, within};
use testkit::websocket::{Got, Ws, connect_packet};

/// So slow a rate that nothing comes back during the test.
fn five_a_minute(config: &mut Config) {
    config.rate_limit_messages_per_minute = 5;
    config.rate_limit_close_after_ms = 0;
}

async fn has_no_subscription(server: &Running) -> bool {
    let rooms = server.hub.rooms_page(None, &Begin::Offset(0), 100).await;
    let rooms = rooms.unwrap().items;
    rooms.iter().all(|room| room.channel.is_none())
}

#[tokio::test]
async fn a_plain_message_over_the_rate_is_not_processed() {
    let server = here(five_a_minute).await;
    let mut ws = Ws::member(server.address, "a", "u").await;
    // Pings of WebSocket and unreadable messages count as well.
    ws.try_send(0x89, b"x").await.unwrap();
    assert_eq!(ws.next().await, Got::Pong);
    ws.send("{").await;
    assert!(ws.text().await.contains("INVALID_MESSAGE"));
    for id in 0..3 {
        ws.send(&format!(r#"{{"event":"ping","id":{id}}}"#)).await;
        assert!(ws.text().await.contains("pong"));
    }
    ws.send(r#"{"event":"unsubscribe","data":{"channels":["kpi"]},"id":"late"}"#)
        .await;
    let error: Value = serde_json::from_str(&ws.text().await).unwrap();
    assert_eq!(error["event"], "error");
    assert_eq!(error["id"], "late");
    assert_eq!(error["data"]["error"]["code"], "RATE_LIMIT_EXCEEDED");
    let wait = error["data"]["error"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=12_000).contains(&wait), "{wait}");
    assert!(has_no_subscription(&server).await);
    let stats = testkit::process::stats(server.address).await;
    assert_eq!(stats["refused_by_reason"]["message_rate"], 1);
    // What a connection is of no use without has a reserve.
    ws.send(r#"{"event":"subscribe","data":{"channels":["kpi"]},"id":"needed"}"#)
        .await;
    let answer = ws.text().await;
    assert!(
        answer.contains("\"success\":true") && answer.contains("needed"),
        "{answer}"
    );
}

#[tokio::test]
async fn connect_and_heartbeats_and_acks_count_on_web_socket() {
    let server = here(five_a_minute).await;
    let mut ws = Ws::engine(server.address).await;
    ws.send(&connect_packet("a", "u")).await;
    ws.until("42[\"authenticated\"").await;
    for packet in ["3", "437[\"an ack nobody waits for\"]", "3", "3"] {
        ws.send(packet).await;
    }
    ws.send(r#"4211["unsubscribe",{"channels":["kpi"]}]"#).await;
    let ack = ws.text().await;
    assert!(
        ack.starts_with("4311[") && ack.contains("RATE_LIMIT_EXCEEDED"),
        "{ack}"
    );
    assert!(ack.contains("retry_after_ms"), "{ack}");
    assert!(ws.text().await.starts_with("42[\"error\",{"));
    assert!(has_no_subscription(&server).await);
}

#[tokio::test]
async fn the_same_holds_on_polling() {
    let server = here(five_a_minute).await;
    let polling = Polling::open(server.address).await.unwrap();
    polling.post(&[&connect_packet("a", "u")]).await;
    polling.until("40{").await;
    let ping = r#"421["client:ping"]"#;
    polling
        .post(&[
            ping,
            "3",
            "3",
            ping,
            r#"429["unsubscribe",{"channels":["kpi"]}]"#,
        ])
        .await;
    let ack = polling.until("439[").await;
    assert!(
        ack.contains("RATE_LIMIT_EXCEEDED") && ack.contains("retry_after_ms"),
        "{ack}"
    );
    assert!(has_no_subscription(&server).await);
}

#[tokio::test]
async fn a_connect_over_the_rate_has_a_reserve_and_is_to_be_tried_again() {
    let server = here(|config| {
        five_a_minute(config);
        config.rate_limit_messages_per_second = 1;
        config.rate_limit_burst = 5;
    })
    .await;
    let mut ws = Ws::engine(server.address).await;
    for _ in 0..5 {
        ws.send("3").await;
    }
    // Refused for another reason, so that it may be tried again.
    for _ in 0..5 {
        ws.send("40{\"user_id\":7.5}").await;
        assert!(ws.text().await.starts_with("44{"));
    }
    ws.send(&connect_packet("a", "u")).await;
    // After an error of its CONNECT a stock client would stay away for good.
    assert_eq!(
        ws.close().await,
        Got::Close(1013, "Rate limit exceeded: try again later".into())
    );
}

/// Sends about a thousand messages a second until the server closes.
async fn flood(mut ws: Ws, first: u8, payload: &str) -> Got {
    let (mut reader, mut writer) = halves(&mut ws);
    let flood = async {
        while writer.try_send(first, payload.as_bytes()).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        end = within("the end of a flood", reader.close()) => end,
        () = flood => unreachable!(),
    }
}

#[tokio::test]
async fn who_keeps_on_over_the_rate_is_closed() {
    let server = here(|config| {
        config.rate_limit_messages_per_second = 10;
        config.rate_limit_close_after_ms = 300;
    })
    .await;
    let address = server.address;
    let expected = Got::Close(1008, "Rate limit exceeded".into());
    for (first, payload) in [
        (0x81, r#"{"event":"ping"}"#),
        (0x89, "beat"),
        (0x8a, "beat"),
    ] {
        let end = flood(Ws::member(address, "a", "u").await, first, payload).await;
        assert_eq!(end, expected, "{first:x}");
    }
    for (first, payload) in [(0x81, r#"42["client:ping"]"#), (0x81, "3"), (0x89, "beat")] {
        let end = flood(Ws::socket_io(address, "a", "u").await, first, payload).await;
        assert_eq!(end, expected, "{first:x} {payload}");
    }
    let polling = Polling::open(address).await.unwrap();
    polling.post(&[&connect_packet("a", "u")]).await;
    polling.until("40{").await;
    let flooding = async {
        while polling.post(&["3"; 20]).await.status == 200 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let until_closed = within("the end of the session", polling.until("41"));
    tokio::select! {
        goodbye = until_closed => assert_eq!(goodbye, "41"),
        () = flooding => panic!("the session ended without a word"),
    }
    let stats = wait_for_stats(address, "the end of all", |stats| {
        stats["active_connections"] == 0
    })
    .await;
    assert_eq!(stats["closed_by_reason"]["rate_limited"], 7);
}

/// Two ends of one connection, to send and receive at once.
fn halves(ws: &mut Ws) -> (Ws, Ws) {
    let copy = |ws: &Ws| {
        let socket = socket2::SockRef::from(&ws.tcp).try_clone().unwrap();
        Ws::over(tokio::net::TcpStream::from_std(socket.into()).unwrap())
    };
    (copy(ws), copy(ws))
}

#[tokio::test]
async fn an_organizations_connections_may_have_a_rate_of_their_own() {
    let server = here(|config| {
        config.rate_limit_messages_per_second = 1;
        config.rate_limit_close_after_ms = 0;
        let own = OrgLimits {
            messages_per_second: Some(1000),
            ..OrgLimits::default()
        };
        config.org_limits = BTreeMap::from([("big".into(), own)]);
    })
    .await;
    for (organization, rate) in [("big", 1000), ("small", 1)] {
        let mut ws = Ws::member(server.address, organization, "u").await;
        let start = Instant::now();
        for _ in 0..50 {
            ws.send(r#"{"event":"ping"}"#).await;
        }
        let mut answered = 0;
        for _ in 0..50 {
            answered += usize::from(ws.text().await.contains("pong"));
        }
        let most = 50.min(rate + came_back(rate, start));
        assert!(
            (rate.min(50)..=most).contains(&answered),
            "{organization}: {answered} of at most {most}"
        );
    }
}

#[tokio::test]
async fn requests_have_a_rate_per_organization() {
    let server = here(|config| {
        config.rate_limit_requests_per_second = 3;
        let own = OrgLimits {
            requests_per_second: Some(0),
            ..OrgLimits::default()
        };
        config.org_limits = BTreeMap::from([("big".into(), own)]);
    })
    .await;
    let address = server.address;
    let body = |organization: &str| json!({ "event": "kpi:update", "data": {}, "target": { "organization_id": organization } });
    let start = Instant::now();
    let small = body("small");
    let answers = (0..30).map(|_| broadcast(address, &small));
    let (accepted, refused): (Vec<_>, Vec<_>) = futures_util::future::join_all(answers)
        .await
        .into_iter()
        .partition(|answer| answer.status == 200);
    let most = 3 + came_back(3, start);
    assert!((3..=most).contains(&accepted.len()), "{}", accepted.len());
    let refused = refused.first().expect("not all of them in time");
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "RATE_LIMIT_EXCEEDED")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let wait = refused.json()["error"]["retry_after_ms"].as_u64().unwrap();
    assert!((1..=334).contains(&wait), "{wait}");

    assert_eq!(broadcast(address, &body("other")).await.status, 200);
    for _ in 0..10 {
        assert_eq!(broadcast(address, &body("big")).await.status, 200);
    }
    // What is about no organization counts for its address, readable or not.
    for (body, readable) in [("{", 400), ("", 200)] {
        let requests = (0..15).map(|_| async move {
            match body {
                "" => get(address, "/api/ws/rooms").await.status,
                body => post(address, "/api/ws/broadcast/kpi", body).await.status,
            }
        });
        let statuses = futures_util::future::join_all(requests).await;
        assert!(statuses.contains(&429), "{statuses:?}");
        let expected = |status: &u16| [readable, 429].contains(status);
        assert!(statuses.iter().all(expected), "{statuses:?}");
    }
    for _ in 0..10 {
        assert_eq!(
            get(address, "/healthz").await.status,
            200,
            "probes have no rate"
        );
    }
}
