//! Connection limits at every door, and that places come back.

use std::collections::BTreeMap;

use orgcast::config::OrgLimits;

use testkit::in_process::here;
use testkit::polling::Polling;
use testkit::process::{is_empty, wait_for_stats};
use testkit::websocket::{Got, Ws, connect_packet};

#[tokio::test]
async fn sessions_that_never_connect_take_places_and_give_them_back() {
    let server = here(|config| config.max_connections_total = 3).await;
    let address = server.address;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(Polling::open(address).await.unwrap());
    }
    let third = Ws::engine(address).await;
    let refused = Polling::open(address).await.err().unwrap();
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (503, "CONNECTION_LIMIT")
    );
    assert_eq!(refused.header("retry-after"), Some("1"));
    let stats = wait_for_stats(address, "three places", |stats| stats["places_taken"] == 3).await;
    assert_eq!(stats["active_connections"], 0);
    assert_eq!(stats["refused_by_reason"]["server_full"], 1);
    drop(third);
    // Nobody connects in the time for it.
    wait_for_stats(address, "the end of all sessions", is_empty).await;
    assert!(Polling::open(address).await.is_ok());
}

#[tokio::test]
async fn over_the_limit_each_protocol_says_so_in_its_own_way() {
    let server = here(|config| config.max_connections_total = 1).await;
    let address = server.address;
    let first = Ws::member(address, "a", "u").await;

    let mut plain = Ws::plain(address, "organization_id=a&user_id=v").await;
    let error = plain.text().await;
    assert!(error.contains("CONNECTION_LIMIT"), "{error}");
    assert_eq!(
        plain.next().await,
        Got::Close(1013, "Connection limit reached".into())
    );

    // After an error of its CONNECT a stock client would stay away for good.
    let engine = Ws::upgrade(address, "/ws/?EIO=4&transport=websocket", "").await;
    let polling = Polling::open(address).await;
    for refused in [engine.err().unwrap(), polling.err().unwrap()] {
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (503, "CONNECTION_LIMIT")
        );
        assert_eq!(refused.header("retry-after"), Some("1"));
    }

    drop((first, plain));
    wait_for_stats(address, "an empty server", is_empty).await;
    Ws::member(address, "a", "v").await;
}

#[tokio::test]
async fn who_was_refused_does_not_stay() {
    let server = here(|_| {}).await;
    let mut engine = Ws::engine(server.address).await;
    engine.send("40{\"user_id\":7.5}").await;
    engine.until("44").await;
    // It keeps its place for a while, to connect as somebody else; then the server ends it.
    engine.close().await;
    wait_for_stats(server.address, "an empty server", is_empty).await;
}

#[tokio::test]
async fn an_organization_is_full_for_itself_alone_unless_it_has_a_limit_of_its_own() {
    let server = here(|config| {
        config.max_connections_per_org = 1;
        let own = |max_connections| OrgLimits {
            max_connections: Some(max_connections),
            ..OrgLimits::default()
        };
        config.org_limits = BTreeMap::from([("big".into(), own(3)), ("endless".into(), own(0))]);
    })
    .await;
    let address = server.address;
    let mut inside = Vec::new();
    for (organization, places) in [("small", 1), ("big", 3), ("other", 1)] {
        for _ in 0..places {
            inside.push(Ws::member(address, organization, "u").await);
        }
        let mut plain = Ws::plain(address, &format!("orgId={organization}&userId=v")).await;
        assert!(
            plain.text().await.contains("CONNECTION_LIMIT"),
            "{organization}"
        );
        assert!(matches!(plain.close().await, Got::Close(1013, _)));

        let mut engine = Ws::engine(address).await;
        engine.send(&connect_packet(organization, "v")).await;
        // After an error of its CONNECT a stock client would stay away for good.
        let full = Got::Close(1013, "Connection limit reached".into());
        assert_eq!(engine.close().await, full);

        // The same after the error of an event, which nobody may have read.
        engine = Ws::engine(address).await;
        engine.send("40").await;
        engine.until("40{").await;
        let authenticate = |organization| {
            format!(
                "425[\"authenticate\",{{\"organization_id\":\"{organization}\",\"user_id\":\"v\"}}]"
            )
        };
        engine.send(&authenticate(organization)).await;
        assert!(engine.until("435").await.contains("CONNECTION_LIMIT"));
        assert_eq!(engine.close().await, full);
        engine = Ws::engine(address).await;
        engine.send("40").await;
        engine.until("40{").await;
        engine.send(&authenticate("endless")).await;
        assert!(engine.until("435").await.contains("\"success\":true"));
        inside.push(engine);
    }
    drop(inside);
    wait_for_stats(address, "an empty server", is_empty).await;
}
