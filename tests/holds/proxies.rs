//! Limits per remote address, and whose word on it counts.

use super::client::{Polling, Ws, request};
use super::server::{here, is_empty, wait_for_stats};

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
    let stats = super::server::stats(address).await;
    assert_eq!(stats["remote_addresses"], 4);
    assert_eq!(stats["refused_by_reason"]["address_full"], 4);
}

#[tokio::test]
async fn handshakes_have_a_rate_in_all_and_per_address() {
    let server = here(|config| {
        config.handshakes_per_second = 6;
        config.handshakes_per_second_per_address = 2;
        config.trusted_proxies = vec!["127.0.0.1".into()];
    })
    .await;
    let address = server.address;
    let mut inside = Vec::new();
    for _ in 0..2 {
        inside.push(status(address, "1.1.1.1").await.unwrap());
    }
    assert_eq!(status(address, "1.1.1.1").await.err(), Some(429));
    let forwarded = "X-Forwarded-For: 1.1.1.1\r\n";
    let polling = "/ws/?EIO=4&transport=polling";
    let refused = request(address, "GET", polling, forwarded, "").await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (429, "RATE_LIMIT_EXCEEDED")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let engine = "/ws/?EIO=4&transport=websocket";
    let refused = Ws::upgrade(address, engine, forwarded).await.err().unwrap();
    assert_eq!(refused.status, 429);

    // Six in all: what else comes in this second has to wait, wherever it is from.
    let mut others = 0;
    for other in 1..20 {
        others += usize::from(status(address, &format!("2.2.2.{other}")).await.is_ok());
    }
    assert!((4..=8).contains(&others), "{others}");
    assert!(Polling::open(address).await.is_err());
}
