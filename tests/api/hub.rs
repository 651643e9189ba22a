//! Who hears what, against the definition written naively; and that nothing is left behind.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orgcast::auth::revocation::Revocations;
use orgcast::auth::token_authenticator::{TokenAuthenticator, TokenAuthenticatorOptions};
use orgcast::domain::error::{CloseReason, Code};
use orgcast::domain::event::{Catalogue, Priority};
use orgcast::domain::grants::Principal;
use orgcast::domain::identity::{
    ConnectionId, DepartmentId, Identity, OrganizationId, QueueName, UserId,
};
use orgcast::domain::room::{Channel, Place};
use orgcast::domain::target::Target;
use orgcast::hub::admission::AdmissionOptions;
use orgcast::hub::connection::{NewConnection, Protocol};
use orgcast::hub::lists::Begin;
use orgcast::hub::outbound::Outbound;
use orgcast::hub::ports::{Deliver, Delivery};
use orgcast::hub::{AuthenticatedConnection, Hub, HubOptions};
use orgcast::node::publish::Publication;
use orgcast::node::sessions::RecoveryOptions;
use orgcast::node::{Node, NodeOptions};
use orgcast::server::clock::SystemClock;
use orgcast::store::streams::{MemoryBroker, StreamOptions};
use proptest::prelude::*;
use serde_json::value::RawValue;

/// A client that notes what it gets.
#[derive(Clone, Default)]
struct Recorder {
    got: Arc<Mutex<Vec<String>>>,
    closed: Arc<Mutex<Option<CloseReason>>>,
    /// After so many events its queue is full.
    room: Option<Arc<AtomicUsize>>,
}

impl Deliver for Recorder {
    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        if let Some(room) = &self.room
            && room
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                    left.checked_sub(1)
                })
                .is_err()
        {
            return Delivery::Overflow;
        }
        self.got
            .lock()
            .unwrap()
            .push(outbound.event.payload.get().to_owned());
        Delivery::Written
    }

    fn close(&self, reason: CloseReason) {
        *self.closed.lock().unwrap() = Some(reason);
    }

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

pub fn options() -> HubOptions {
    HubOptions {
        admission: AdmissionOptions::default(),
        max_subscriptions_per_connection: 0,
        room_max_size: 0,
        auth_required: true,
        auth_timeout: Duration::from_secs(10),
        expiry_warning: Duration::ZERO,
    }
}

pub fn hub(options: HubOptions) -> Arc<Hub> {
    Hub::new(
        options,
        Catalogue::new([], []).unwrap(),
        Arc::new(SystemClock),
    )
}

/// A node over the hub, as a server has it.
pub fn node(hub: &Arc<Hub>) -> Arc<Node> {
    let options = NodeOptions {
        ack_timeout: Duration::from_secs(30),
        recovery: RecoveryOptions {
            window: Duration::from_mins(2),
            max_sessions: 100,
            max_events: 20_000,
        },
    };
    let revocations: Arc<Revocations> = Arc::default();
    let authenticator = TokenAuthenticator::new(
        TokenAuthenticatorOptions {
            allow_asserted: true,
            ..TokenAuthenticatorOptions::default()
        },
        None,
        Arc::clone(&revocations),
    );
    Node::new(
        Arc::clone(hub),
        options,
        Arc::new(authenticator),
        revocations,
        Arc::new(MemoryBroker::new(StreamOptions::default())),
    )
}

fn organization(id: &str) -> OrganizationId {
    OrganizationId::new(id).unwrap()
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

pub fn newcomer(hub: &Hub, deliver: Arc<dyn Deliver>) -> NewConnection {
    NewConnection {
        id: None,
        permit: hub.admission.admit(HERE).unwrap(),
        protocol: Protocol::Websocket,
        remote_address: HERE,
        deliver,
    }
}

fn join(hub: &Arc<Hub>, recorder: &Recorder, user: &str, org: &str) -> AuthenticatedConnection {
    join_with(hub, Arc::new(recorder.clone()), user, org)
}

/// A user who hears by these means.
pub fn join_with(
    hub: &Arc<Hub>,
    deliver: Arc<dyn Deliver>,
    user: &str,
    org: &str,
) -> AuthenticatedConnection {
    let guard = hub.connect(newcomer(hub, deliver));
    let identity = Identity {
        user: UserId::new(user).unwrap(),
        organization: organization(org),
    };
    guard
        .authenticate(Principal::unlimited(identity), || {})
        .map_err(|(_, error)| error)
        .unwrap()
}

pub fn place(org: &str, dept: Option<&str>, queue: Option<&str>) -> Place {
    Place {
        organization: organization(org),
        department: dept.map(|id| DepartmentId::new(id).unwrap()),
        queue: queue.map(|id| QueueName::new(id).unwrap()),
    }
}

pub fn publication(event: &str, payload: &str, target: Target) -> Publication {
    Publication {
        event: event.to_owned(),
        payload: RawValue::from_string(payload.to_owned()).unwrap(),
        target,
        channel: None,
        priority: Priority::Medium,
        requires_ack: false,
        attachments: Vec::new(),
        cascade: false,
        version: None,
    }
}

pub type Spot = (&'static str, Option<&'static str>, Option<&'static str>);

pub fn spot() -> impl Strategy<Value = Spot> {
    (
        prop_oneof![Just("a"), Just("b")],
        prop_oneof![Just(None), Just(Some("x")), Just(Some("y"))],
        prop_oneof![Just(None), Just(Some("p")), Just(Some("q"))],
    )
}

fn channel() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("kpi"), Just("alerts"), Just("all")]
}

/// The definition of section 2, as it is written there.
pub fn hears(
    subscription: &(&'static str, Spot),
    event: &(&'static str, Spot),
    cascade: bool,
) -> bool {
    let (channel, (org, dept, queue)) = *subscription;
    let (event_channel, (target_org, target_dept, target_queue)) = *event;
    let in_channel = channel == event_channel || channel == "all";
    let equal = org == target_org
        && (dept.is_none() || dept == target_dept)
        && (queue.is_none() || queue == target_queue);
    let beneath = org == target_org
        && (target_dept.is_none() || dept == target_dept)
        && (target_queue.is_none() || queue == target_queue);
    in_channel && (equal || (cascade && beneath))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_connection_that_hears_an_event_gets_it_once_and_nobody_else_does(
        subscriptions in proptest::collection::vec((0_usize..8, channel(), spot()), 0..40),
        left in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        gone in proptest::collection::hash_set(0_usize..8, 0..3),
        events in proptest::collection::vec((channel(), spot(), any::<bool>()), 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let hub = hub(options());
    let node = node(&hub);
            let recorders: Vec<Recorder> = (0..8).map(|_| Recorder::default()).collect();
            // Even ones are in `a`, odd ones in `b`.
            let home = |at: usize| if at.is_multiple_of(2) { "a" } else { "b" };
            let mut members: Vec<Option<AuthenticatedConnection>> = recorders
                .iter()
                .enumerate()
                .map(|(at, recorder)| Some(join(&hub, recorder, &format!("u{at}"), home(at))))
                .collect();
            let mut active: Vec<(usize, &str, Spot)> = Vec::new();
            for (at, channel, (_, dept, queue)) in subscriptions {
                let spot = (home(at), dept, queue);
                let member = members[at].as_ref().unwrap();
                let channels = [Channel::new(channel).unwrap()];
                member.subscribe(&channels, &place(spot.0, dept, queue), 0).unwrap();
                if !active.contains(&(at, channel, spot)) {
                    active.push((at, channel, spot));
                }
            }
            for index in left {
                if active.is_empty() { break }
                let (at, channel, (org, dept, queue)) = active.swap_remove(index.index(active.len()));
                let channels = [Channel::new(channel).unwrap()];
                members[at].as_ref().unwrap().unsubscribe(&channels, &place(org, dept, queue)).unwrap();
            }
            for at in gone {
                members[at] = None;
                active.retain(|subscription| subscription.0 != at);
            }
            for (number, (channel, (org, dept, queue), cascade)) in events.into_iter().enumerate() {
                for recorder in &recorders {
                    recorder.got.lock().unwrap().clear();
                }
                let payload = number.to_string();
                let receipt = node
                    .publish(Publication {
                        channel: Some(channel.to_owned()),
                        cascade,
                        ..publication("kpi:update", &payload, Target::Place(place(org, dept, queue)))
                    })
                    .await
                    .unwrap();
                let mut expected = 0;
                for (at, recorder) in recorders.iter().enumerate() {
                    let should = active.iter().any(|(who, subscribed, spot)| {
                        *who == at && hears(&(*subscribed, *spot), &(channel, (org, dept, queue)), cascade)
                    });
                    let wanted = if should { vec![payload.clone()] } else { Vec::new() };
                    expected += usize::from(should);
                    assert_eq!(*recorder.got.lock().unwrap(), wanted, "connection {at}");
                }
                assert_eq!(receipt.recipients, expected);
            }
            drop(members);
            assert_nothing_is_left(&hub).await;
        });
    }
}

async fn assert_nothing_is_left(hub: &Hub) {
    let stats = hub.stats_snapshot(Instant::now()).await;
    assert_eq!(stats.active_connections, 0);
    assert_eq!(stats.active_rooms, 0);
    assert!(
        stats.connections_by_org.is_empty(),
        "{:?}",
        stats.connections_by_org
    );
    let all = Begin::Offset(0);
    assert_eq!(hub.connections_page(None, &all, 1).await.unwrap().total, 0);
    assert_eq!(hub.rooms_page(None, &all, 1).await.unwrap().total, 0);
    assert_eq!((hub.room_count(), hub.user_count()), (0, 0));
}

#[tokio::test]
async fn users_and_connections_are_reached_inside_their_organization_only() {
    let hub = hub(options());
    let node = node(&hub);
    let [first, second, stranger] = [(); 3].map(|()| Recorder::default());
    let tabs = [join(&hub, &first, "u", "a"), join(&hub, &second, "u", "a")];
    let other = join(&hub, &stranger, "u", "b");
    let user = Target::Users(organization("a"), vec![UserId::new("u").unwrap()]);
    let receipt = node
        .publish(publication("kpi:update", "1", user))
        .await
        .unwrap();
    assert_eq!(
        receipt.recipients, 2,
        "both tabs, and not the other organization's user"
    );

    let ids = vec![tabs[0].connection().id, other.connection().id];
    let own = Target::Connections(Some(organization("a")), ids.clone());
    let receipt = node
        .publish(publication("kpi:update", "2", own))
        .await
        .unwrap();
    assert_eq!(receipt.recipients, 1);
    let any = Target::Connections(
        None,
        [ids.clone(), ids, vec![ConnectionId::from_random(1)]].concat(),
    );
    let receipt = node
        .publish(publication("kpi:update", "3", any))
        .await
        .unwrap();
    assert_eq!(
        receipt.recipients, 2,
        "each once, and an unknown id is nobody"
    );
    assert_eq!(*stranger.got.lock().unwrap(), ["3"]);

    let except = HashSet::from([UserId::new("u").unwrap()]);
    let receipt = node
        .publish(publication(
            "notification",
            "4",
            Target::Everyone {
                within: None,
                except: Arc::new(except),
            },
        ))
        .await
        .unwrap();
    assert_eq!(receipt.recipients, 0);
}

#[tokio::test]
async fn an_event_without_a_channel_goes_to_the_whole_organization_or_needs_one() {
    let hub = hub(options());
    let node = node(&hub);
    let recorder = Recorder::default();
    let _member = join(&hub, &recorder, "u", "a");
    let all = Target::Place(place("a", None, None));
    let receipt = node
        .publish(publication("system:notification", "1", all))
        .await
        .unwrap();
    assert_eq!(receipt.recipients, 1);
    let narrow = Target::Place(place("a", None, Some("q")));
    let error = node
        .publish(publication("system:notification", "2", narrow))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::InvalidMessage);
    let unknown = Target::Place(place("a", None, None));
    let error = node
        .publish(publication("kpi:updat", "3", unknown))
        .await
        .unwrap_err();
    assert_eq!(
        error.message,
        "event `kpi:updat` is not in the catalogue; did you mean `kpi:update`?"
    );
}

#[tokio::test]
async fn limits_refuse_with_their_code_and_come_back() {
    let hub = hub(HubOptions {
        admission: AdmissionOptions {
            max_connections_total: 3,
            max_connections_per_org: 2,
            ..AdmissionOptions::default()
        },
        room_max_size: 1,
        max_subscriptions_per_connection: 2,
        ..options()
    });
    let recorder = Recorder::default();
    let members = [
        join(&hub, &recorder, "u", "a"),
        join(&hub, &recorder, "v", "a"),
    ];
    let third = hub.connect(newcomer(&hub, Arc::new(recorder.clone())));
    let principal = Principal::unlimited(Identity {
        user: UserId::new("w").unwrap(),
        organization: organization("a"),
    });
    let (third, error) = third.authenticate(principal.clone(), || {}).err().unwrap();
    assert_eq!(
        error.code,
        Code::ConnectionLimit,
        "the organization is full"
    );
    assert_eq!(
        hub.admission.admit(HERE).err().unwrap().code,
        Code::ConnectionLimit
    );

    let [kpi, alerts, backlog] =
        ["kpi", "alerts", "backlog"].map(|name| Channel::new(name).unwrap());
    let here = place("a", None, None);
    members[0]
        .subscribe(std::slice::from_ref(&kpi), &here, 0)
        .unwrap();
    let error = members[1]
        .subscribe(&[alerts.clone(), kpi.clone()], &here, 0)
        .unwrap_err();
    assert_eq!(error.code, Code::RoomFull);
    let rooms: Vec<String> = hub
        .rooms_page(None, &Begin::Offset(0), 100)
        .await
        .unwrap()
        .items
        .iter()
        .map(|room| room.room.to_string())
        .collect();
    assert!(
        !rooms.contains(&"alerts:org:a".to_owned()),
        "all or nothing: {rooms:?}"
    );
    let error = members[0]
        .subscribe(&[alerts, backlog], &place("a", None, Some("q")), 0)
        .unwrap_err();
    assert_eq!(error.code, Code::SubscriptionFailed);
    let error = members[0]
        .subscribe(&[kpi], &place("b", None, None), 0)
        .unwrap_err();
    assert_eq!(error.code, Code::Unauthorized);

    let [first, second] = members;
    drop(first);
    let third = third
        .authenticate(principal, || {})
        .map_err(|(_, error)| error)
        .unwrap();
    drop((second, third));
    assert_nothing_is_left(&hub).await;
}

#[tokio::test]
async fn a_connection_whose_queue_is_full_leaves_every_room_at_once() {
    let hub = hub(options());
    let node = node(&hub);
    let slow = Recorder {
        room: Some(Arc::new(AtomicUsize::new(1))),
        ..Recorder::default()
    };
    let healthy = Recorder::default();
    let members = [join(&hub, &slow, "u", "a"), join(&hub, &healthy, "v", "a")];
    let target = || Target::Place(place("a", None, None));
    let mut recipients = Vec::new();
    for _ in 0..3 {
        let receipt = node
            .publish(publication("system:broadcast", "1", target()))
            .await
            .unwrap();
        recipients.push(receipt.recipients);
    }
    assert_eq!(recipients, [2, 1, 1]);
    assert_eq!(
        hub.metrics.closes(CloseReason::TooSlow),
        1,
        "once, since it was gone after that"
    );
    assert_eq!(hub.connection_count(), 1);
    drop(members);
    assert_nothing_is_left(&hub).await;
}

#[tokio::test]
async fn only_those_who_did_not_authenticate_in_time_are_closed() {
    let hub = hub(options());
    let [member, anonymous] = [Recorder::default(), Recorder::default()];
    let _attachment = hub.connect(newcomer(&hub, Arc::new(anonymous.clone())));
    let _member = join(&hub, &member, "u", "a");
    let start = Instant::now();
    hub.close_unauthenticated(start + Duration::from_secs(9))
        .await;
    assert_eq!(*anonymous.closed.lock().unwrap(), None);
    hub.close_unauthenticated(start + Duration::from_secs(11))
        .await;
    assert_eq!(
        *anonymous.closed.lock().unwrap(),
        Some(CloseReason::AuthTimeout)
    );
    assert_eq!(*member.closed.lock().unwrap(), None);
}

/// Joins, leaves and disconnects from many threads while others publish.
#[test]
fn a_storm_leaves_nothing_behind() {
    let hub = hub(HubOptions {
        admission: AdmissionOptions {
            max_connections_per_org: 50,
            ..AdmissionOptions::default()
        },
        room_max_size: 20,
        ..options()
    });
    let node = node(&hub);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let hub = Arc::clone(&hub);
            let node = Arc::clone(&node);
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .unwrap();
                let kpi = [Channel::new("kpi").unwrap()];
                for round in 0..500 {
                    let org = if round % 2 == 0 { "a" } else { "b" };
                    let recorder = Recorder::default();
                    let member = join(&hub, &recorder, &format!("u{thread}"), org);
                    let here = place(org, None, (round % 3 == 0).then_some("q"));
                    let _ = member.subscribe(&kpi, &here, 0);
                    if round % 5 == 0 {
                        let _ = member.unsubscribe(&kpi, &here);
                    }
                    let target = Target::Place(place(org, None, None));
                    runtime
                        .block_on(node.publish(publication("kpi:update", "1", target)))
                        .unwrap();
                    if round % 7 == 0 {
                        let panicking =
                            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                                let _held = member;
                                std::panic::resume_unwind(Box::new("a handler panics"));
                            }));
                        assert!(panicking.is_err());
                    }
                }
            });
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(assert_nothing_is_left(&hub));
}
