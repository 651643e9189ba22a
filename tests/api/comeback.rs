//! Who may come back to a session, and what becomes of it where that fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orgcast::domain::error::{ClientError, CloseReason, NotRecovered};
use orgcast::domain::grants::{Grants, Principal};
use orgcast::domain::identity::{Identity, OrganizationId, UserId};
use orgcast::domain::room::Channel;
use orgcast::domain::target::Target;
use orgcast::domain::time::UnixMillis;
use orgcast::hub::HubOptions;
use orgcast::hub::admission::AdmissionOptions;
use orgcast::hub::connection::NewConnection;
use orgcast::node::Node;
use orgcast::node::client::Client;
use orgcast::node::opening::Wanted;
use orgcast::node::publish::Publication;
use orgcast::node::recovery::{Comeback, Recovered};
use orgcast::node::sessions::SessionKey;

use crate::hub::{hub, newcomer, node, options, place, publication};
use crate::recovery::{Page, Wire, credentials};

async fn back(
    node: &Arc<Node>,
    page: &Page,
    principal: Option<Principal>,
) -> Result<Recovered, NotRecovered> {
    let comeback = Comeback {
        key: page.key,
        offset: None,
        principal,
    };
    let new = |id| NewConnection {
        id: Some(id),
        ..newcomer(&node.hub, Arc::new(Wire::default()))
    };
    Client::recover(node, comeback, new, |_| {}).await
}

fn who(user: &str, organization: &str) -> Principal {
    Principal::unlimited(Identity {
        user: UserId::new(user).unwrap(),
        organization: OrganizationId::new(organization).unwrap(),
    })
}

async fn publish(node: &Arc<Node>, number: u64) {
    let target = Target::Place(place("a", None, None));
    let published = node.publish(publication("kpi:update", &number.to_string(), target));
    published.await.unwrap();
}

#[tokio::test]
async fn another_person_and_who_is_over_come_back_to_nothing_and_the_session_stays() {
    let hub = hub(options());
    let node = node(&hub);
    let page = Page::open(&node, 1).await;
    let connection = Arc::clone(page.client.as_ref().unwrap().connection());
    for other in [who("u2", "a"), who("u1", "b")] {
        let refused = back(&node, &page, Some(other)).await.err();
        assert_eq!(refused, Some(NotRecovered::Identity));
    }
    let over = Principal {
        expires_at: Some(UnixMillis(1)),
        ..who("u1", "a")
    };
    let refused = back(&node, &page, Some(over)).await.err();
    assert_eq!(refused, Some(NotRecovered::Expired));
    assert!(connection.is_authenticated());
    assert_eq!(node.sessions.count(), 1);
    assert!(back(&node, &page, Some(who("u1", "a"))).await.is_ok());
}

#[tokio::test]
async fn who_was_closed_for_what_it_did_does_not_come_back() {
    for reason in [
        CloseReason::Revoked,
        CloseReason::TokenExpired,
        CloseReason::Unauthorized,
        CloseReason::RateLimited,
    ] {
        let hub = hub(options());
        let node = node(&hub);
        let page = Page::open(&node, 1).await;
        hub.close_now(page.client.as_ref().unwrap().connection(), reason);
        assert_eq!(node.sessions.count(), 0, "{reason:?}");
        let refused = back(&node, &page, None).await.err();
        assert_eq!(refused, Some(NotRecovered::Unknown), "{reason:?}");
    }
    let hub = hub(options());
    let node = node(&hub);
    let page = Page::open(&node, 1).await;
    hub.close_now(
        page.client.as_ref().unwrap().connection(),
        CloseReason::TooSlow,
    );
    assert!(back(&node, &page, None).await.is_ok());
}

#[tokio::test]
async fn what_is_not_granted_any_more_is_not_subscribed_to_again() {
    let hub = hub(options());
    let node = node(&hub);
    let mut page = Page::open(&node, 1).await;
    let client = page.client.as_mut().unwrap();
    for channel in ["kpi", "alerts"] {
        let channels = [channel.to_owned()];
        let subscribed = client
            .subscribe(&channels, &place("a", None, None), Wanted::default())
            .await;
        subscribed.unwrap();
    }
    let fewer = Principal {
        grants: Grants {
            channels: Some([Channel::new("alerts").unwrap()].into()),
            ..Grants::default()
        },
        ..who("u1", "a")
    };
    let recovered = back(&node, &page, Some(fewer)).await.unwrap();
    let rooms: Vec<String> = recovered
        .subscriptions
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(rooms, ["alerts:org:a"]);
}

#[tokio::test]
async fn a_connection_that_is_gone_before_it_authenticates_leaves_no_session() {
    let hub = hub(options());
    let node = node(&hub);
    let deliver = Arc::new(Wire::default());
    let mut client = Client::connect(&node, newcomer(&hub, deliver));
    hub.remove(client.connection());
    let welcomed = AtomicUsize::new(0);
    let refused: Result<_, ClientError> = client
        .authenticate(credentials("u1"), Some(SessionKey::of("1")), || {
            welcomed.fetch_add(1, Ordering::Relaxed);
        })
        .await;
    assert!(refused.is_err());
    assert_eq!(welcomed.into_inner(), 0);
    assert_eq!(node.sessions.count(), 0);
}

fn full_at(limit: usize) -> HubOptions {
    HubOptions {
        admission: AdmissionOptions {
            max_connections_per_org: limit,
            ..AdmissionOptions::default()
        },
        ..options()
    }
}

#[tokio::test]
async fn a_session_outlasts_that_its_organization_is_full() {
    let hub = hub(full_at(1));
    let node = node(&hub);
    let mut page = Page::open(&node, 1).await;
    let client = page.client.as_mut().unwrap();
    let subscribed = client
        .subscribe(
            &["kpi".to_owned()],
            &place("a", None, None),
            Wanted::default(),
        )
        .await;
    subscribed.unwrap();
    page.subscriptions.push(("kpi", ("a", None, None)));
    publish(&node, 1).await;
    page.lose(0, true);
    let other = Page::open(&node, 2).await;
    publish(&node, 2).await;
    for _ in 0..2 {
        let refused = back(&node, &page, None).await.err();
        assert_eq!(refused, Some(NotRecovered::Unknown));
    }
    assert_eq!(hub.connection_count(), 1, "nothing is left of the attempts");
    drop(other);
    page.come_back(&node).await;
    page.lose(0, true);
    let arrived: Vec<u64> = page.arrived.iter().map(|event| event.number).collect();
    assert_eq!(arrived, [1, 2]);
}

/// Two tabs with one secret, say, or a client that tries a second time before it was answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_those_who_come_back_at_once_one_has_the_session_at_each_moment() {
    for _ in 0..50 {
        let hub = hub(options());
        let node = node(&hub);
        let page = Arc::new(Page::open(&node, 1).await);
        let mut tries = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (node, page) = (Arc::clone(&node), Arc::clone(&page));
            tries.spawn(async move {
                let recovered = back(&node, &page, None).await.unwrap();
                recovered.deliver()
            });
        }
        let mut clients = Vec::new();
        while let Some(client) = tries.join_next().await {
            clients.push(client.unwrap());
        }
        assert_eq!(hub.connection_count(), 1);
        assert_eq!(node.sessions.count(), 1);
        drop(clients);
        assert_eq!(hub.connection_count(), 0);
        assert!(back(&node, &page, None).await.is_ok());
    }
}

/// The session brings what its subscription hears, and a new one opens with the rest while that is still coming.
#[tokio::test(start_paused = true)]
async fn a_subscription_beside_a_recovery_brings_nothing_twice() {
    const COUNT: u64 = 300;
    let hub = hub(options());
    let node = node(&hub);
    let mut page = Page::open(&node, 1).await;
    let here = place("a", None, None);
    let client = page.client.as_mut().unwrap();
    let kpi = ["kpi".to_owned()];
    let subscribed = client.subscribe(&kpi, &here, Wanted::default()).await;
    subscribed.unwrap();
    page.subscriptions.push(("kpi", ("a", None, None)));
    publish(&node, 1).await;
    page.lose(0, true);
    let since = page.arrived.last().map(|event| event.position);
    for number in 2..=COUNT {
        let target = Target::Place(here.clone());
        let channel = if number % 2 == 0 { "kpi" } else { "alerts" };
        let published = node.publish(Publication {
            channel: Some(channel.to_owned()),
            ..publication("kpi:update", &number.to_string(), target)
        });
        published.await.unwrap();
    }
    page.come_back(&node).await;
    let connection = Arc::clone(page.client.as_ref().unwrap().connection());
    while connection.last_given() == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(node.catch_ups.behind(), 1, "it is not all given at once");
    let wanted = Wanted {
        since,
        ..Wanted::default()
    };
    let client = page.client.as_mut().unwrap();
    let all = client.subscribe(&["all".to_owned()], &here, wanted).await;
    all.unwrap().catch_up.unwrap().deliver();
    while node.catch_ups.behind() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    page.lose(0, false);
    let mut arrived: Vec<u64> = page.arrived.iter().map(|event| event.number).collect();
    arrived.sort_unstable();
    assert_eq!(arrived, (1..=COUNT).collect::<Vec<u64>>());
}
