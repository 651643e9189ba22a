//! Clients that lose their connections at random and come back, against a list of what each should hear.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use orgcast::auth::credentials::Credentials;
use orgcast::domain::error::{CloseReason, NotRecovered};
use orgcast::domain::identity::ConnectionId;
use orgcast::domain::position::Position;
use orgcast::hub::audience::Target;
use orgcast::hub::connection::NewConnection;
use orgcast::hub::outbound::Outbound;
use orgcast::hub::ports::{Deliver, Delivery, Given};
use orgcast::node::Node;
use orgcast::node::client::Client;
use orgcast::node::publish::Publication;
use orgcast::node::recovery::Comeback;
use orgcast::node::sessions::SessionKey;
use proptest::prelude::*;
use serde_json::json;

use crate::hub::{Spot, hears, hub, newcomer, node, options, place, publication, spot};

/// What a server wrote for one client, of which the end may never arrive.
#[derive(Default)]
pub struct Wire {
    written: Mutex<Vec<(Position, u64)>>,
    given: Mutex<Given>,
}

impl Deliver for Wire {
    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        let position = outbound.position.unwrap();
        let number = outbound.event.payload.get().parse().unwrap();
        self.given.lock().unwrap().note(position.seq);
        self.written.lock().unwrap().push((position, number));
        Delivery::Written
    }

    fn close(&self, _reason: CloseReason) {}

    fn tick(&self, _now: Instant) -> Option<CloseReason> {
        None
    }

    fn waiting(&self) -> usize {
        0
    }

    fn given(&self) -> Given {
        *self.given.lock().unwrap()
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }
}

/// A user of the organization `a`.
pub fn credentials(user: &str) -> Credentials {
    let identity = json!({ "user_id": user, "organization_id": "a" });
    let credentials = Credentials::from_object(identity.as_object().unwrap());
    credentials.unwrap().unwrap()
}

/// A client as a page is one: it has what arrived, and knows the offset of the last of it.
pub struct Page {
    pub key: SessionKey,
    id: ConnectionId,
    pub client: Option<Client>,
    wire: Arc<Wire>,
    pub arrived: Vec<(Position, u64)>,
    /// What it should have, in the end.
    expected: Vec<u64>,
    pub subscriptions: Vec<(&'static str, Spot)>,
}

impl Page {
    pub async fn open(node: &Arc<Node>, number: usize) -> Self {
        let key = SessionKey::of(&number.to_string());
        let wire = Arc::new(Wire::default());
        let mut client = Client::connect(node, newcomer(&node.hub, Arc::clone(&wire) as _));
        let own = credentials(&format!("u{number}"));
        let authenticated = client.authenticate(own, Some(key), || {}).await;
        authenticated.unwrap();
        Self {
            key,
            id: client.connection().id,
            client: Some(client),
            wire,
            arrived: Vec::new(),
            expected: Vec::new(),
            subscriptions: Vec::new(),
        }
    }

    /// Its connection is lost, and with it the last `lost` events that were written; the server notices now or later.
    pub fn lose(&mut self, lost: usize, notices: bool) {
        let mut written = std::mem::take(&mut *self.wire.written.lock().unwrap());
        written.truncate(written.len().saturating_sub(lost));
        self.arrived.extend(written);
        if notices {
            self.client = None;
        }
    }

    pub async fn come_back(&mut self, node: &Arc<Node>) {
        let wire = Arc::new(Wire::default());
        let offset = self
            .arrived
            .last()
            .map(|(position, _)| position.to_string());
        let comeback = Comeback {
            key: self.key,
            offset: offset.as_deref(),
            principal: None,
        };
        let new = |id| NewConnection {
            id: Some(id),
            ..newcomer(&node.hub, Arc::clone(&wire) as _)
        };
        let recovered = Client::recover(node, comeback, new, |_| {}).await;
        let recovered = recovered.unwrap_or_else(|reason| panic!("{reason:?}"));
        let again = recovered.subscriptions.len();
        assert_eq!(again, self.subscriptions.len());
        let client = recovered.deliver(node);
        assert_eq!(client.connection().id, self.id);
        // The old one goes only now, as its transport's task would.
        self.client = Some(client);
        self.wire = wire;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish(&'static str, Spot, bool),
    Subscribe(usize, &'static str, Spot),
    Unsubscribe(usize, prop::sample::Index),
    /// Loses so many events; whether the server notices before it is back; what is published meanwhile.
    Lose(usize, usize, bool, Vec<(&'static str, Spot)>),
}

const PAGES: usize = 4;

fn channel() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("kpi"), Just("alerts"), Just("all")]
}

fn in_a() -> impl Strategy<Value = Spot> {
    spot().prop_map(|(_, dept, queue)| ("a", dept, queue))
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![Just("kpi"), Just("alerts")];
    let missed = proptest::collection::vec((event.clone(), in_a()), 0..6);
    prop_oneof![
        5 => (event, in_a(), any::<bool>()).prop_map(|(channel, at, cascade)| Step::Publish(channel, at, cascade)),
        2 => (0..PAGES, channel(), in_a()).prop_map(|(page, channel, at)| Step::Subscribe(page, channel, at)),
        1 => (0..PAGES, any::<prop::sample::Index>()).prop_map(|(page, which)| Step::Unsubscribe(page, which)),
        3 => (0..PAGES, 0_usize..5, any::<bool>(), missed)
            .prop_map(|(page, lost, notices, missed)| Step::Lose(page, lost, notices, missed)),
    ]
}

struct World {
    node: Arc<Node>,
    pages: Vec<Page>,
    number: u64,
}

impl World {
    async fn publish(&mut self, channel: &'static str, at: Spot, cascade: bool) {
        self.number += 1;
        let (org, dept, queue) = at;
        let target = Target::Place(place(org, dept, queue));
        let published = self.node.publish(Publication {
            channel: Some(channel.to_owned()),
            cascade,
            ..publication("kpi:update", &self.number.to_string(), target)
        });
        published.await.unwrap();
        for page in &mut self.pages {
            let mut subscriptions = page.subscriptions.iter();
            if subscriptions.any(|subscription| hears(subscription, &(channel, at), cascade)) {
                page.expected.push(self.number);
            }
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Publish(channel, at, cascade) => self.publish(channel, at, cascade).await,
            Step::Subscribe(page, channel, at) => {
                let page = &mut self.pages[page];
                let (org, dept, queue) = at;
                let client = page.client.as_ref().unwrap();
                let channels = [channel.to_owned()];
                let subscribed = client.subscribe(&channels, &place(org, dept, queue)).await;
                subscribed.unwrap();
                if !page.subscriptions.contains(&(channel, at)) {
                    page.subscriptions.push((channel, at));
                }
            }
            Step::Unsubscribe(page, which) => {
                let page = &mut self.pages[page];
                // What it has not got of a subscription that it ends, nobody brings it.
                page.lose(0, false);
                if page.subscriptions.is_empty() {
                    return;
                }
                let at = which.index(page.subscriptions.len());
                let (channel, (org, dept, queue)) = page.subscriptions.swap_remove(at);
                let client = page.client.as_ref().unwrap();
                let left = client.unsubscribe(&[channel.to_owned()], &place(org, dept, queue));
                left.unwrap();
            }
            Step::Lose(page, lost, notices, missed) => {
                self.pages[page].lose(lost, notices);
                for (channel, at) in missed {
                    self.publish(channel, at, false).await;
                }
                self.pages[page].come_back(&self.node).await;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn whoever_comes_back_has_everything_once_and_in_order(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let hub = hub(options());
            let node = node(&hub);
            let mut pages = Vec::new();
            for number in 0..PAGES {
                pages.push(Page::open(&node, number).await);
            }
            let mut world = World { node, pages, number: 0 };
            for step in steps {
                world.step(step).await;
            }
            assert_eq!(hub.connection_count(), PAGES);
            for page in &mut world.pages {
                // It is still found under its id.
                let target = Target::Connections(None, vec![page.id]);
                let found = world.node.publish(publication("kpi:update", "0", target)).await;
                assert_eq!(found.unwrap().recipients, 1);
                page.expected.push(0);
                page.lose(0, false);
                let arrived: Vec<u64> = page.arrived.iter().map(|(_, number)| *number).collect();
                assert_eq!(arrived, page.expected);
                assert!(page.arrived.is_sorted_by_key(|(position, _)| position.seq));
            }
        });
    }
}

#[tokio::test]
async fn whoever_can_not_come_back_is_told_why_and_nothing_is_changed() {
    let hub = hub(options());
    let node = node(&hub);
    let page = Page::open(&node, 1).await;
    let back = async |key: &str, offset: Option<&str>| {
        let comeback = Comeback {
            key: SessionKey::of(key),
            offset,
            principal: None,
        };
        let new = |_| unreachable!("nobody comes back");
        let recovered = Client::recover(&node, comeback, new, |_| {}).await;
        recovered.err()
    };
    assert_eq!(back("2", None).await, Some(NotRecovered::Unknown));
    assert_eq!(
        back("1", Some("nonsense")).await,
        Some(NotRecovered::Unknown)
    );
    let elsewhere = "000000000000-1";
    assert_eq!(back("1", Some(elsewhere)).await, Some(NotRecovered::Epoch));
    assert_eq!(hub.connection_count(), 1);
    assert!(page.client.unwrap().connection().is_authenticated());
    let counted = hub.metrics.recoveries();
    assert!(
        counted.contains(&("unknown", 2)) && counted.contains(&("epoch", 1)),
        "{counted:?}"
    );
}
