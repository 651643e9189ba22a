//! The order of a stream: whoever publishes, and however many hear it, all get it alike.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use orgcast::domain::error::CloseReason;
use orgcast::domain::position::Position;
use orgcast::domain::room::Channel;
use orgcast::domain::target::Target;
use orgcast::hub::AuthenticatedConnection;
use orgcast::hub::outbound::Outbound;
use orgcast::hub::ports::{Deliver, Delivery};
use orgcast::node::Node;
use orgcast::node::follow::follow_hub;

use crate::hub::{hub, join_with, node, options, place, publication};

/// A client that notes which event it got, and under which number.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<(u64, String)>>>);

impl Deliver for Notes {
    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        let seq = outbound.position.map_or(0, |position| position.seq);
        let payload = outbound.event.payload.get().to_owned();
        self.0.lock().unwrap().push((seq, payload));
        Delivery::Written
    }

    fn close(&self, _reason: CloseReason) {}

    fn tick(&self, _now: Instant) -> Option<CloseReason> {
        None
    }

    fn waiting(&self) -> usize {
        0
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }
}

fn kpi() -> Channel {
    Channel::new("kpi").unwrap()
}

async fn publish(node: &Arc<Node>, payload: &str) -> (Position, usize) {
    let target = Target::Place(place("a", None, None));
    let receipt = node
        .publish(publication("kpi:update", payload, target))
        .await
        .unwrap();
    (receipt.offset.unwrap(), receipt.recipients)
}

/// Publishers that all publish at once, to a room that is served in several parts.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn all_connections_get_what_many_publish_in_one_order_that_of_the_receipts() {
    const MEMBERS: usize = 1500;
    const PUBLISHERS: usize = 8;
    const EACH: usize = 12;
    let hub = hub(options());
    let node = node(&hub);
    let mut members: Vec<(Notes, AuthenticatedConnection)> = Vec::new();
    for member in 0..MEMBERS {
        let notes = Notes::default();
        let joined = join_with(&hub, Arc::new(notes.clone()), &member.to_string(), "a");
        joined
            .subscribe(&[kpi()], &place("a", None, None), 0)
            .unwrap();
        members.push((notes, joined));
    }
    let mut publishers = tokio::task::JoinSet::new();
    for publisher in 0..PUBLISHERS {
        let node = Arc::clone(&node);
        publishers.spawn(async move {
            let mut receipts = Vec::new();
            for number in 0..EACH {
                let payload = format!("[{publisher},{number}]");
                let (offset, recipients) = publish(&node, &payload).await;
                assert_eq!(recipients, MEMBERS);
                receipts.push((offset.seq, payload));
            }
            receipts
        });
    }
    let mut receipts = Vec::new();
    while let Some(published) = publishers.join_next().await {
        let published = published.unwrap();
        assert!(
            published.is_sorted(),
            "each publisher's own are in its order"
        );
        receipts.extend(published);
    }
    receipts.sort();
    let numbers: Vec<u64> = receipts.iter().map(|(seq, _)| *seq).collect();
    let expected: Vec<u64> = (1..=(PUBLISHERS * EACH) as u64).collect();
    assert_eq!(numbers, expected, "each number is given once");
    for (notes, _) in &members {
        assert_eq!(*notes.0.lock().unwrap(), receipts);
    }
}

/// A caller that hangs up while others wait behind it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn publishers_that_hang_up_stop_neither_their_own_event_nor_those_of_others() {
    const MEMBERS: usize = 3000;
    let hub = hub(options());
    let node = node(&hub);
    let mut members = Vec::new();
    for member in 0..MEMBERS {
        let notes = Notes::default();
        let joined = join_with(&hub, Arc::new(notes.clone()), &member.to_string(), "a");
        joined
            .subscribe(&[kpi()], &place("a", None, None), 0)
            .unwrap();
        members.push((notes, joined));
    }
    let mut hasty = Vec::new();
    for number in 0..20 {
        let node = Arc::clone(&node);
        hasty.push(tokio::spawn(async move {
            let payload = number.to_string();
            let publication = publish(&node, &payload);
            // Polled once, then given up.
            tokio::select! {
                biased;
                _ = publication => {}
                () = std::future::ready(()) => {}
            }
        }));
    }
    for publisher in hasty {
        publisher.await.unwrap();
    }
    let (last, recipients) = publish(&node, "null").await;
    assert_eq!((last.seq, recipients), (21, MEMBERS));
    let first = members[0].0.0.lock().unwrap().clone();
    assert_eq!(first.len(), 21);
    assert!(first.is_sorted_by_key(|(seq, _)| *seq));
    for (notes, _) in &members {
        assert_eq!(*notes.0.lock().unwrap(), first);
    }
}

#[tokio::test]
async fn each_organization_counts_for_itself_and_what_is_for_all_is_in_each_stream() {
    let hub = hub(options());
    let node = node(&hub);
    let [in_a, in_b] = [Notes::default(), Notes::default()];
    let a = join_with(&hub, Arc::new(in_a.clone()), "u", "a");
    let _b = join_with(&hub, Arc::new(in_b.clone()), "u", "b");
    a.subscribe(&[kpi()], &place("a", None, None), 0).unwrap();
    publish(&node, "1").await;
    publish(&node, "2").await;
    let everyone = Target::Everyone {
        within: None,
        except: Arc::default(),
    };
    let receipt = node
        .publish(publication("system:broadcast", "3", everyone))
        .await
        .unwrap();
    assert_eq!((receipt.recipients, receipt.offset), (2, None));
    let of = |notes: &Notes| notes.0.lock().unwrap().clone();
    let heard = |seq: u64, payload: &str| (seq, payload.to_owned());
    assert_eq!(of(&in_a), [heard(1, "1"), heard(2, "2"), heard(3, "3")]);
    assert_eq!(of(&in_b), [heard(1, "3")]);
}

/// Connections that come and go at random, and one who follows: in the end it knows who is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn streams_are_held_for_as_long_as_their_organization_has_connections() {
    let hub = hub(options());
    let node = node(&hub);
    let following = tokio::spawn(follow_hub(Arc::clone(&node)));
    let mut comers = tokio::task::JoinSet::new();
    for comer in 0..8_u64 {
        let hub = Arc::clone(&hub);
        comers.spawn(async move {
            let mut left = Vec::new();
            for round in 0..300_u64 {
                let id = (comer * 7 + round * 13) % 5;
                let notes = Arc::new(Notes::default());
                let joined = join_with(&hub, notes, &comer.to_string(), &id.to_string());
                if (comer + round).is_multiple_of(97) {
                    left.push(joined);
                }
                tokio::task::yield_now().await;
            }
            left
        });
    }
    let mut there = Vec::new();
    while let Some(left) = comers.join_next().await {
        there.extend(left.unwrap());
    }
    let _last = join_with(&hub, Arc::new(Notes::default()), "u", "last");
    let occupied = hub.organizations().await;
    // Behind all that came before it.
    let told = async {
        while !node.streams.held().contains(occupied.last().unwrap()) {
            tokio::task::yield_now().await;
        }
    };
    testkit::wait::within("the last one", told).await;
    let mut held = node.streams.held();
    held.sort();
    assert_eq!(held, occupied);
    following.abort();
}
