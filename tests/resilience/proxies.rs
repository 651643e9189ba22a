//! Limits per remote address, and whose word on it counts.

use std::time::Instant;

use testkit::http::request;
use testkit::in_process::here;
use testkit::process::{is_empty, wait_for_stats};
use testkit::wait::came_back;
use testkit::websocket::Ws;

const PATH: &str = "/ws?organization_id=a&user_id=u";

async fn status(address: std::net::SocketAddr, forwarded: &str) -> Result<Ws, u16> {
    let headers = match forwarded {
        "" => String::new(),
        forwarded => format!("X-Forwarded-For: {forwarded}\r\n"),
    };
    let mut ws = Ws::upgrade(address, PATH, &headers)
        .await
        .map_err(|answer| answer.status)?;
    let first = ws.text().await;
    if first.contains("CONNECTION_LIMIT") {
        return Err(1013);
    }
    assert!(first.contains("authenticated"), "{first}");
    Ok(ws)
}

#[tokio::test]
async fn a_made_up_address_helps_nobody() {
    let server = here(|config| config.max_connections_per_address = 1).await;
    let first = status(server.address, "1.1.1.1").await.unwrap();
    for forwarded in ["", "2.2.2.2", "127.0.0.2", "nonsense"] {
        assert_eq!(
            status(server.address, forwarded).await.err(),
            Some(1013),
            "{forwarded}"
        );
    }
    drop(first);
    wait_for_stats(server.address, "an empty server", is_empty).await;
    assert!(status(server.address, "").await.is_ok());
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_has_its_own_places() {
    let server = here(|config| {
        config.max_connections_per_address = 1;
        config.trusted_proxies = vec!["127.0.0.0/8".into(), "10.0.0.0/8".into()];
    })
    .await;
    let address = server.address;
    let mut inside = vec![status(address, "1.1.1.1").await.unwrap()];
    for trick in [
        "1.1.1.1",
        "9.9.9.9, 1.1.1.1",
        "10.0.0.3, 1.1.1.1, 10.0.0.9",
        "1.1.1.1:99",
    ] {
        assert_eq!(status(address, trick).await.err(), Some(1013), "{trick}");
    }
    for other in ["2.2.2.2", "1.1.1.1, 3.3.3.3", "[2001:db8::1]:7"] {
        inside.push(
            status(address, other)
                .await
                .unwrap_or_else(|_| panic!("{other}")),
        );
    }
    let stats = testkit::process::stats(address).await;
    assert_eq!(stats["remote_addresses"], 4);
    assert_eq!(stats["refused_by_reason"]["address_full"], 4);
}

/// The answers to so many handshakes at once, by their status; 101 are those that were let in.
async fn at_once(
    address: std::net::SocketAddr,
    count: usize,
    forwarded: impl Fn(usize) -> String,
) -> (usize, Vec<u16>) {
    let handshakes = (0..count).map(|number| {
        let forwarded = forwarded(number);
        async move { status(address, &forwarded).await.err() }
    });
    let answers = futures_util::future::join_all(handshakes).await;
    let refused: Vec<_> = answers.iter().flatten().copied().collect();
    (count - refused.len(), refused)
}

#[tokio::test]
async fn handshakes_have_a_rate_per_address() {
    let server = here(|config| {
        config.handshakes_per_second_per_address = 2;
        config.trusted_proxies = vec!["127.0.0.1".into()];
    })
    .await;
    let address = server.address;
    let start = Instant::now();
    let (inside, refused) = at_once(address, 30, |_| "1.1.1.1".into()).await;
    let most = 2 + came_back(2, start);
    assert!((2..=most).contains(&inside), "{inside} of at most {most}");
    assert!(refused.iter().all(|status| *status == 429), "{refused:?}");
    assert!(!refused.is_empty());
    // Another address is not meant.
    assert!(status(address, "1.1.1.2").await.is_ok());
    let stats = testkit::process::stats(address).await;
    assert_eq!(stats["refused_by_reason"]["handshake_rate"], refused.len());
}

#[tokio::test]
async fn handshakes_have_a_rate_in_all_at_every_door() {
    let server = here(|config| {
        config.handshakes_per_second = 6;
        config.trusted_proxies = vec!["127.0.0.1".into()];
    })
    .await;
    let address = server.address;
    // Wherever they are from.
    let start = Instant::now();
    let (inside, refused) = at_once(address, 40, |number| format!("2.2.2.{number}")).await;
    let most = 6 + came_back(6, start);
    assert!((6..=most).contains(&inside), "{inside} of at most {most}");
    assert!(!refused.is_empty());
    let polling = "/ws/?EIO=4&transport=polling";
    let polled = (0..40).map(|_| request(address, "GET", polling, "", ""));
    let polled = futures_util::future::join_all(polled).await;
    let refused = polled.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "RATE_LIMIT_EXCEEDED")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let engine = "/ws/?EIO=4&transport=websocket";
    let engines = (0..40).map(|_| Ws::upgrade(address, engine, ""));
    let engines = futures_util::future::join_all(engines).await;
    let refused = engines.into_iter().find_map(Result::err).unwrap();
    assert_eq!(refused.status, 429);
}
