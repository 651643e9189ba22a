//! The end of a server: clients move to the next one, and it exits in time whatever they do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rand::Rng;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::MACHINE;
use testkit::http::get;
use testkit::in_process::here;
use testkit::polling::Polling;
use testkit::process::{Server, wait_for_stats};
use testkit::wait::within;
use testkit::websocket::{Got, Ws, connect_packet};

const CLIENTS: usize = 5000;

/// A client with the semantics of `socket.io-client`: it reconnects by itself after a transport
/// close, with a jittered delay that doubles, and not after a DISCONNECT.
async fn live(service: watch::Receiver<SocketAddr>, number: usize, reconnected: Arc<AtomicUsize>) {
    let mut delay = Duration::from_millis(100);
    let mut lives = 0;
    loop {
        let address = *service.borrow();
        if let Some(mut ws) = connect(address, number).await {
            delay = Duration::from_millis(100);
            lives += 1;
            if lives == 2 {
                reconnected.fetch_add(1, Ordering::Relaxed);
            }
            loop {
                match ws.read_slowly().await {
                    Got::Text(text) if text == "2" => {
                        let _ = ws.try_send(0x81, b"3").await;
                    }
                    Got::Text(text) if text.starts_with("41") => panic!("told to stay away"),
                    Got::Close(code, _) => {
                        assert_eq!(code, 1001);
                        let _ = ws.try_send(0x88, &code.to_be_bytes()).await;
                        break;
                    }
                    Got::End => break,
                    _ => {}
                }
            }
        }
        let jitter = rand::rng().random_range(0.5..1.5);
        tokio::time::sleep(delay.mul_f64(jitter)).await;
        delay = (delay * 2).min(Duration::from_secs(5));
    }
}

async fn connect(address: SocketAddr, number: usize) -> Option<Ws> {
    let path = "/ws/?EIO=4&transport=websocket";
    let mut ws = Ws::try_upgrade(address, path, "").await.ok()?.ok()?;
    let packet = connect_packet(&format!("org_{}", number % 50), &format!("user_{number}"));
    ws.try_send(0x81, packet.as_bytes()).await.ok()?;
    loop {
        match ws.read_slowly().await {
            Got::Text(text) if text.starts_with("42[\"authenticated\"") => return Some(ws),
            Got::Text(text) if text.starts_with("44") => return None,
            Got::Text(_) => {}
            _ => return None,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_clients_move_to_the_next_server() {
    let _machine = MACHINE.lock().await;
    let flags = [
        ("max-connections-total", "0"),
        ("max-connections-per-org", "0"),
        ("shutdown-timeout-ms", "20000"),
        ("drain-delay-ms", "300"),
        ("connect-timeout-ms", "30000"),
    ];
    let mut old = Server::start_with(&flags).await;
    let new = Server::start_with(&flags).await;
    let (service, address) = watch::channel(old.address);
    let reconnected = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(live(address.clone(), number, Arc::clone(&reconnected)));
        if number % 100 == 99 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    wait_for_stats(old.address, "everybody", |stats| {
        stats["connections_by_org"].as_object().is_some_and(|all| {
            all.values()
                .filter_map(serde_json::Value::as_u64)
                .sum::<u64>()
                == CLIENTS as u64
        })
    })
    .await;
    let before = Instant::now();
    old.send_signal("TERM");
    let unready = async {
        while get(old.address, "/readyz").await.status != 503 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end of readiness", unready).await;
    service.send_replace(new.address);
    let status = old.exit(Duration::from_secs(20)).await;
    let exited = before.elapsed();
    assert_eq!(status.code(), Some(0));
    let moved = async {
        while reconnected.load(Ordering::Relaxed) < CLIENTS {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within("all clients on the new server", moved).await;
    let all = before.elapsed();
    println!("{CLIENTS} clients: exit after {exited:?}, all reconnected after {all:?}");
    assert_eq!(new.stats().await["active_connections"], CLIENTS);
    clients.shutdown().await;
}

#[tokio::test]
async fn who_does_not_move_does_not_hold_up_the_end() {
    let flags = [
        ("shutdown-timeout-ms", "1500"),
        ("write-timeout-ms", "3600000"),
    ];
    let mut server = Server::start_with(&flags).await;
    let address = server.address;
    let _silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut members = Vec::new();
    for _ in 0..5 {
        // None of them answers the close frame.
        members.push(Ws::member(address, "a", "u").await);
        members.push(Ws::socket_io(address, "a", "u").await);
    }
    let polling = Polling::open(address).await.unwrap();
    polling.post(&[&connect_packet("a", "p")]).await;
    polling.until("42[\"authenticated\"").await;
    // What waits for this one can't be written, and it would have an hour for it.
    let _stalled = super::slow_readers::stall(address).await;
    super::slow_readers::fill(address).await;
    server.send_signal("INT");
    let status = server.exit(Duration::from_mins(1)).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn who_takes_nothing_is_not_waited_for_until_the_shutdown_timeout() {
    let server = here(|config| {
        config.shutdown_timeout_ms = 3_600_000;
        config.write_timeout_ms = 1000;
    })
    .await;
    let address = server.address;
    // Neither of them takes anything any more.
    let polling = Polling::open(address).await.unwrap();
    polling.post(&[&connect_packet("a", "p")]).await;
    polling.until("42[\"authenticated\"").await;
    let _stalled = super::slow_readers::stall(address).await;
    super::slow_readers::fill(address).await;
    within("the end of the server", server.stop()).await;
}

#[tokio::test]
async fn what_waits_for_a_polling_client_goes_with_its_next_requests() {
    // More than one request fetches.
    const EVENTS: u64 = 150;
    let mut server = Server::start_with(&[]).await;
    let address = server.address;
    let polling = Polling::open(address).await.unwrap();
    polling.post(&[&connect_packet("a", "p")]).await;
    polling.until("42[\"authenticated\"").await;
    let target = serde_json::json!({ "user_id": "p", "organization_id": "a" });
    for number in 0..EVENTS {
        let event =
            serde_json::json!({ "event": "notification", "data": number, "target": target });
        assert_eq!(testkit::http::broadcast(address, &event).await.status, 200);
    }
    server.send_signal("TERM");
    wait_for_stats(address, "the order to go", |stats| {
        stats["closed_by_reason"]["going_away"] == 1
    })
    .await;
    let mut numbers = Vec::<u64>::new();
    // Behind the last of them the session is unknown: after that, unlike after a close packet, clients
    // in every language come back.
    let end = loop {
        let packets = match polling.poll().await {
            Ok(packets) => packets,
            Err(end) => break end,
        };
        let events = packets
            .iter()
            .filter_map(|packet| packet.strip_prefix("42[\"notification\","));
        numbers
            .extend(events.map(|event| event.split(',').next().unwrap().parse::<u64>().unwrap()));
        assert!(!packets.iter().any(|packet| packet == "1" || packet == "41"));
    };
    assert_eq!((end.status, end.json()["code"].as_u64()), (400, Some(1)));
    assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>());
    let status = server.exit(Duration::from_mins(1)).await;
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_server_at_once() {
    let flags = [
        ("drain-delay-ms", "3600000"),
        ("shutdown-timeout-ms", "7200000"),
    ];
    let mut server = Server::start_with(&flags).await;
    let mut member = Ws::member(server.address, "a", "u").await;
    server.send_signal("TERM");
    let unready = async { while get(server.address, "/readyz").await.status != 503 {} };
    within("the end of readiness", unready).await;
    // During the delay clients are still served.
    Ws::member(server.address, "a", "v").await;
    server.send_signal("TERM");
    let status = server.exit(Duration::from_mins(1)).await;
    assert_eq!(status.code(), Some(1));
    assert_eq!(member.close().await, Got::End);
}

#[tokio::test]
async fn clients_are_closed_in_batches_with_pauses_between_them() {
    const INTERVAL: Duration = Duration::from_secs(1);
    let server = here(|config| {
        config.drain_batch_size = 2;
        config.drain_interval_ms = 1000;
        config.shutdown_timeout_ms = 3_600_000;
    })
    .await;
    let mut members = JoinSet::new();
    for number in 0..8 {
        let mut member = Ws::member(server.address, "a", &format!("u{number}")).await;
        members.spawn(async move {
            let end = member.close().await;
            assert_eq!(end, Got::Close(1001, "Server going away".into()));
            Instant::now()
        });
    }
    let stopped = tokio::spawn(server.stop());
    let mut ends = Vec::new();
    while let Some(end) = members.join_next().await {
        ends.push(end.unwrap());
    }
    // Four batches, and three pauses of which each is at least half an interval: there is as much to
    // spare for a machine that is slow to notice the first.
    ends.sort();
    let spread = ends[7].duration_since(ends[0]);
    assert!(spread >= INTERVAL / 2, "{spread:?}");
    within("the end of the server", stopped).await.unwrap();
}

#[tokio::test]
async fn everybody_is_told_to_come_back_and_gets_what_was_queued_before() {
    let server = here(|config| config.drain_batch_size = 1).await;
    let address = server.address;
    let mut plain = Ws::member(address, "a", "u").await;
    let mut engine = Ws::socket_io(address, "a", "v").await;
    let polling = Polling::open(address).await.unwrap();
    polling.post(&[&connect_packet("a", "p")]).await;
    polling.until("42[\"authenticated\"").await;
    let event = serde_json::json!({
        "event": "notification",
        "data": "x".repeat(300_000),
        "target": { "user_ids": ["u", "v"], "organization_id": "a" },
    });
    assert_eq!(testkit::http::broadcast(address, &event).await.status, 200);
    let polled = tokio::spawn(async move { polling.poll().await });
    let stopped = tokio::spawn(server.stop());
    for (client, name) in [(&mut plain, "plain"), (&mut engine, "engine")] {
        assert!(client.text().await.len() > 300_000, "{name}");
        assert_eq!(
            client.close().await,
            Got::Close(1001, "Server going away".into())
        );
        client
            .try_send(0x88, &1001_u16.to_be_bytes())
            .await
            .unwrap();
    }
    within("the end of the server", stopped).await.unwrap();
    // The request that waits is answered; the session is over.
    let polled = within("the answer to a poll", polled).await.unwrap();
    let polled = polled.unwrap_err();
    assert_eq!(
        (polled.status, polled.json()["code"].as_u64()),
        (400, Some(1))
    );
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
