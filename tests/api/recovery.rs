//! Clients that lose their connections at random and come back, against a list of what each should hear.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orgcast::auth::credentials::Credentials;
use orgcast::domain::error::{CloseReason, NotRecovered};
use orgcast::domain::identity::{ConnectionId, OrganizationId, UserId};
use orgcast::domain::position::Position;
use orgcast::domain::target::Target;
use orgcast::hub::connection::NewConnection;
use orgcast::hub::outbound::Outbound;
use orgcast::hub::ports::{Deliver, Delivery, Given};
use orgcast::node::Node;
use orgcast::node::client::Client;
use orgcast::node::opening::Wanted;
use orgcast::node::publish::Publication;
use orgcast::node::recovery::Comeback;
use orgcast::node::sessions::SessionKey;
use proptest::prelude::*;
use serde_json::json;

use crate::hub::{Spot, hears, hub, newcomer, node, options, place, publication, spot};

/// What a server wrote for one client, of which the end may never arrive.
#[derive(Default)]
pub struct Wire {
    written: Mutex<Vec<Arrived>>,
    given: Mutex<Given>,
    asked: AtomicUsize,
}

/// An event as a client has it.
#[derive(Debug, Clone, Copy)]
pub struct Arrived {
    pub position: Position,
    pub number: u64,
    /// It came outside the order of the stream.
    pub is_replayed: bool,
}

impl Deliver for Wire {
    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        let position = outbound.position.unwrap();
        let number = outbound.event.payload.get().parse().unwrap();
        let is_replayed = outbound.is_replayed;
        if !is_replayed {
            self.given.lock().unwrap().note(position.seq);
        }
        self.written.lock().unwrap().push(Arrived {
            position,
            number,
            is_replayed,
        });
        Delivery::Written
    }

    /// Now and then it takes nothing.
    fn is_congested(&self) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed) % 37 == 36
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
    user: usize,
    id: ConnectionId,
    pub client: Option<Client>,
    wire: Arc<Wire>,
    pub arrived: Vec<Arrived>,
    /// With which offset it came here from elsewhere.
    moved_at: Option<u64>,
    /// What it should have, in the end.
    expected: Vec<u64>,
    pub subscriptions: Vec<(&'static str, Spot)>,
}

impl Page {
    pub async fn open(node: &Arc<Node>, number: usize) -> Self {
        static OPENED: AtomicUsize = AtomicUsize::new(0);
        let key = SessionKey::of(&OPENED.fetch_add(1, Ordering::Relaxed).to_string());
        let wire = Arc::new(Wire::default());
        let mut client = Client::connect(node, newcomer(&node.hub, Arc::clone(&wire) as _));
        let own = credentials(&format!("u{number}"));
        let authenticated = client.authenticate(own, Some(key), || {}).await;
        authenticated.unwrap();
        Self {
            key,
            user: number,
            id: client.connection().id,
            client: Some(client),
            wire,
            arrived: Vec::new(),
            moved_at: None,
            expected: Vec::new(),
            subscriptions: Vec::new(),
        }
    }

    /// Whether something came outside the order, of which no offset says whether it arrived: only a session knows.
    fn has_replays(&self) -> bool {
        let written = self.wire.written.lock().unwrap();
        written.iter().any(|event| event.is_replayed)
    }

    /// With what its subscriptions open: since when it had them elsewhere nobody knows.
    fn expect_what_opens(&mut self, published: &[(&'static str, Spot, bool)]) {
        let Some(offset) = self.moved_at else { return };
        for (number, (channel, at, cascade)) in (1..).zip(published) {
            let mut subscriptions = self.subscriptions.iter();
            let is_new = number > offset && !self.expected.contains(&number);
            if is_new && subscriptions.any(|own| hears(own, &(*channel, *at), *cascade)) {
                self.expected.push(number);
            }
        }
    }

    /// It has what it should have, and in order; only what came outside the order may have come again.
    fn check(&self) {
        let arrived: BTreeSet<u64> = self.arrived.iter().map(|event| event.number).collect();
        let expected: BTreeSet<u64> = self.expected.iter().copied().collect();
        assert_eq!(arrived, expected);
        let in_order = self.arrived.iter().filter(|event| !event.is_replayed);
        let numbers: Vec<u64> = in_order.map(|event| event.position.seq).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
        if self.arrived.iter().all(|event| !event.is_replayed) {
            let arrived: Vec<u64> = self.arrived.iter().map(|event| event.number).collect();
            assert_eq!(arrived, self.expected);
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

    /// The offset of the last event that came in the order of the stream.
    fn offset(&self) -> Option<Position> {
        let mut in_order = self.arrived.iter().filter(|event| !event.is_replayed);
        in_order.next_back().map(|event| event.position)
    }

    /// Goes on elsewhere, where its session is not known: it authenticates and subscribes anew.
    async fn move_on(&mut self, node: &Arc<Node>) {
        node.sessions.end_of(self.id);
        let offset = self.offset();
        let mut moved = Self::open(node, self.user).await;
        let client = moved.client.as_mut().unwrap();
        if let Some(offset) = offset {
            client.go_on_behind(offset);
        }
        for (channel, (org, dept, queue)) in &self.subscriptions {
            let channels = [(*channel).to_owned()];
            let place = place(org, *dept, *queue);
            let subscribed = client.subscribe(&channels, &place, Wanted::default()).await;
            let subscription = subscribed.unwrap();
            let is_recovered = offset.is_some();
            assert_eq!(
                subscription.missed.is_some_and(|missed| missed.is_ok()),
                is_recovered
            );
            subscription.catch_up.unwrap().deliver();
        }
        self.client = moved.client.take();
        self.key = moved.key;
        self.id = moved.id;
        self.wire = moved.wire;
    }

    pub async fn come_back(&mut self, node: &Arc<Node>) {
        let wire = Arc::new(Wire::default());
        let offset = self.offset().map(|offset| offset.to_string());
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
        let client = recovered.deliver();
        assert_eq!(client.connection().id, self.id);
        // The old one goes only now, as its transport's task would.
        self.client = Some(client);
        self.wire = wire;
    }
}

#[derive(Debug, Clone)]
enum Step {
    Publish(&'static str, Spot, bool),
    /// Something for one user.
    Tell(usize),
    Subscribe(usize, &'static str, Spot),
    Unsubscribe(usize, prop::sample::Index),
    /// Loses so many events; whether the server notices before it is back; what is published meanwhile.
    Lose(usize, usize, bool, Vec<(&'static str, Spot)>),
    /// The same, and the server does not know it any more.
    Move(usize, usize, Vec<(&'static str, Spot)>),
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
    let count = prop_oneof![9 => 0_usize..6, 1 => 60_usize..200];
    let missed = count.prop_flat_map({
        let event = event.clone();
        move |count| proptest::collection::vec((event.clone(), in_a()), count)
    });
    prop_oneof![
        5 => (event, in_a(), any::<bool>()).prop_map(|(channel, at, cascade)| Step::Publish(channel, at, cascade)),
        1 => (0..PAGES).prop_map(Step::Tell),
        2 => (0..PAGES, channel(), in_a()).prop_map(|(page, channel, at)| Step::Subscribe(page, channel, at)),
        1 => (0..PAGES, any::<prop::sample::Index>()).prop_map(|(page, which)| Step::Unsubscribe(page, which)),
        1 => (0..PAGES, 0_usize..5, missed.clone()).prop_map(|(page, lost, missed)| Step::Move(page, lost, missed)),
        3 => (0..PAGES, 0_usize..5, any::<bool>(), missed)
            .prop_map(|(page, lost, notices, missed)| Step::Lose(page, lost, notices, missed)),
    ]
}

struct World {
    node: Arc<Node>,
    pages: Vec<Page>,
    number: u64,
    /// What was published, by number.
    published: Vec<(&'static str, Spot, bool)>,
}

impl World {
    /// Waits until nobody is behind.
    async fn settle(&self) {
        while self.node.catch_ups.behind() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn publish(&mut self, channel: &'static str, at: Spot, cascade: bool) {
        self.number += 1;
        self.published.push((channel, at, cascade));
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
            Step::Tell(page) => {
                self.number += 1;
                // No subscription hears it.
                self.published.push(("kpi", ("b", None, None), false));
                let page = &mut self.pages[page];
                let organization = OrganizationId::new("a").unwrap();
                let user = UserId::new(&format!("u{}", page.user)).unwrap();
                let target = Target::Users(organization, vec![user]);
                let told = publication("kpi:update", &self.number.to_string(), target);
                self.node.publish(told).await.unwrap();
                page.expected.push(self.number);
            }
            Step::Subscribe(page, channel, at) => {
                let page = &mut self.pages[page];
                let (org, dept, queue) = at;
                let client = page.client.as_mut().unwrap();
                let channels = [channel.to_owned()];
                let subscribed = client
                    .subscribe(&channels, &place(org, dept, queue), Wanted::default())
                    .await;
                subscribed.unwrap().catch_up.unwrap().deliver();
                if !page.subscriptions.contains(&(channel, at)) {
                    page.subscriptions.push((channel, at));
                    page.expect_what_opens(&self.published);
                }
            }
            Step::Unsubscribe(page, which) => {
                self.settle().await;
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
            Step::Move(page, lost, missed) => {
                // Without an offset there is nothing to go on from, and without a subscription nothing opens.
                if self.pages[page].offset().is_none() || self.pages[page].subscriptions.is_empty()
                {
                    return;
                }
                // What a later subscription still had to bring, only its session knows.
                self.settle().await;
                let has_replays = self.pages[page].has_replays();
                self.pages[page].lose(if has_replays { 0 } else { lost }, true);
                if self.pages[page].offset().is_none() {
                    self.pages[page].come_back(&self.node).await;
                    return;
                }
                for (channel, at) in missed {
                    self.publish(channel, at, false).await;
                }
                let page = &mut self.pages[page];
                page.moved_at = page.offset().map(|offset| offset.seq);
                page.move_on(&self.node).await;
                page.expect_what_opens(&self.published);
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let hub = hub(options());
            let node = node(&hub);
            let mut pages = Vec::new();
            for number in 0..PAGES {
                pages.push(Page::open(&node, number).await);
            }
            let mut world = World { node, pages, number: 0, published: Vec::new() };
            for step in steps {
                world.step(step).await;
            }
            world.settle().await;
            assert_eq!(hub.connection_count(), PAGES);
            for page in &mut world.pages {
                // It is still found under its id.
                let target = Target::Connections(None, vec![page.id]);
                let found = world.node.publish(publication("kpi:update", "0", target)).await;
                assert_eq!(found.unwrap().recipients, 1);
                page.expected.push(0);
                page.lose(0, false);
                page.check();
            }
        });
    }
}

#[tokio::test]
async fn whoever_can_not_come_back_is_told_why_and_nothing_is_changed() {
    let hub = hub(options());
    let node = node(&hub);
    let page = Page::open(&node, 1).await;
    let back = async |key: SessionKey, offset: Option<&str>| {
        let comeback = Comeback {
            key,
            offset,
            principal: None,
        };
        let new = |_| unreachable!("nobody comes back");
        let recovered = Client::recover(&node, comeback, new, |_| {}).await;
        recovered.err()
    };
    let (own, other) = (page.key, SessionKey::of("another"));
    assert_eq!(back(other, None).await, Some(NotRecovered::Unknown));
    let nonsense = back(own, Some("nonsense")).await;
    assert_eq!(nonsense, Some(NotRecovered::Unknown));
    let elsewhere = back(own, Some("000000000000-1")).await;
    assert_eq!(elsewhere, Some(NotRecovered::Epoch));
    assert_eq!(hub.connection_count(), 1);
    assert!(page.client.unwrap().connection().is_authenticated());
    let counted = hub.metrics.recoveries();
    assert!(
        counted.contains(&("unknown", 2)) && counted.contains(&("epoch", 1)),
        "{counted:?}"
    );
}
