//! What a broadcast costs apart from sockets: finding who hears it, writing its envelope, and its
//! compression, for the first recipient and for every other.

#![expect(clippy::unwrap_used, reason = "what is measured is fixed and good")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use orgcast::auth::revocation::Revocations;
use orgcast::auth::token_authenticator::{TokenAuthenticator, TokenAuthenticatorOptions};
use orgcast::domain::error::CloseReason;
use orgcast::domain::event::{Catalogue, Event, MessageId, Priority};
use orgcast::domain::grants::Principal;
use orgcast::domain::identity::{DepartmentId, Identity, OrganizationId, QueueName, UserId};
use orgcast::domain::room::{Channel, Place, audience};
use orgcast::domain::target::Target;
use orgcast::domain::time::UnixMillis;
use orgcast::hub::admission::AdmissionOptions;
use orgcast::hub::connection::{NewConnection, Protocol};
use orgcast::hub::outbound::{Encoding, Outbound};
use orgcast::hub::ports::{Deliver, Delivery};
use orgcast::hub::{AuthenticatedConnection, Hub, HubOptions};
use orgcast::node::publish::Publication;
use orgcast::node::sessions::RecoveryOptions;
use orgcast::node::{Node, NodeOptions};
use orgcast::protocol::envelope::{StreamPlace, event_frame};
use orgcast::server::clock::SystemClock;
use orgcast::store::streams::{MemoryBroker, StreamOptions};
use orgcast::wire::websocket::deflate::compress_frame;
use serde_json::value::RawValue;

/// Connections, and members of each room: the same whatever the number of rooms.
const CONNECTIONS: usize = 1000;
const MEMBERS: usize = 10;

const ENCODINGS: [Encoding; 6] = [
    Encoding::SocketIo,
    Encoding::Event,
    Encoding::TypeData,
    Encoding::TypeDataStore,
    Encoding::TypePayload,
    Encoding::TypePayloadTenant,
];

/// A client that takes everything at once, so that what is left is finding it.
struct Taker;

impl Deliver for Taker {
    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        black_box(outbound);
        Delivery::Queued
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

fn place(department: Option<usize>, queue: Option<usize>) -> Place {
    Place {
        organization: OrganizationId::new("org_123").unwrap(),
        department: department.map(|id| DepartmentId::new(&format!("dept_{id}")).unwrap()),
        queue: queue.map(|id| QueueName::new(&format!("queue_{id}")).unwrap()),
    }
}

fn join(hub: &Arc<Hub>, user: usize) -> AuthenticatedConnection {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let guard = hub.connect(NewConnection {
        id: None,
        permit: hub.admission.admit(here).unwrap(),
        protocol: Protocol::Websocket,
        remote_address: here,
        deliver: Arc::new(Taker),
    });
    let identity = Identity {
        user: UserId::new(&format!("user_{user}")).unwrap(),
        organization: OrganizationId::new("org_123").unwrap(),
    };
    guard
        .authenticate(Principal::unlimited(identity), || {})
        .map_err(|(_, error)| error)
        .unwrap()
}

/// A queue has two rooms, with its department named and without, and every member is in both: each
/// hears an event once all the same.
fn crowded(rooms: usize) -> (Arc<Hub>, Vec<AuthenticatedConnection>) {
    let options = HubOptions {
        admission: AdmissionOptions::default(),
        max_subscriptions_per_connection: 0,
        room_max_size: 0,
        auth_required: false,
        auth_timeout: Duration::from_secs(10),
        expiry_warning: Duration::ZERO,
    };
    let hub = Hub::new(
        options,
        Catalogue::new([], []).unwrap(),
        Arc::new(SystemClock),
    );
    let kpi = [Channel::new("kpi").unwrap()];
    let members: Vec<AuthenticatedConnection> =
        (0..CONNECTIONS).map(|user| join(&hub, user)).collect();
    for room in 0..rooms {
        for seat in 0..MEMBERS {
            let member = &members[(room * MEMBERS + seat) % CONNECTIONS];
            for department in [None, Some(room % 10)] {
                member
                    .subscribe(&kpi, &place(department, Some(room)), 0)
                    .unwrap();
            }
        }
    }
    (hub, members)
}

/// A node over the hub, as a server has it.
fn node(hub: &Arc<Hub>) -> Arc<Node> {
    let options = NodeOptions {
        ack_timeout: Duration::from_secs(30),
        recovery: RecoveryOptions {
            window: Duration::from_mins(2),
            max_sessions: 100,
            max_events: 500,
        },
    };
    let revocations: Arc<Revocations> = Arc::default();
    let authenticator = TokenAuthenticator::new(
        TokenAuthenticatorOptions::default(),
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

fn payload(bytes: usize) -> Box<RawValue> {
    let mut text = r#"{"organization_id":"org_123","values":[0"#.to_owned();
    let mut value: u32 = 1;
    while text.len() + 12 < bytes {
        // Figures that differ from one another compress as figures do.
        value = value.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        write!(text, ",{:.2}", f64::from(value >> 12) / 100.0).unwrap();
    }
    text.push_str("]}");
    RawValue::from_string(text).unwrap()
}

fn event(bytes: usize) -> Event {
    let catalogue = Catalogue::new([], []).unwrap();
    let entry = catalogue.event("kpi:update").unwrap();
    Event {
        id: MessageId::now_v7(),
        name: entry.name.clone(),
        channel: entry.channel.clone(),
        priority: Priority::Medium,
        ack_id: None,
        attachments: Vec::new(),
        organization: Some(OrganizationId::new("org_123").unwrap()),
        payload: payload(bytes),
        timestamp: UnixMillis(1_750_000_000_000),
    }
}

fn rooms(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rooms");
    let (channel, narrow) = (Channel::new("kpi").unwrap(), place(Some(5), Some(5)));
    group.bench_function("names of the rooms that hear a queue", |bencher| {
        bencher.iter(|| audience(black_box(&channel), black_box(&narrow)));
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    for count in [100, 10_000] {
        let (hub, members) = crowded(count);
        let node = node(&hub);
        let target = Target::Place(place(Some(5), Some(5)));
        let publication = || Publication {
            event: "kpi:update".to_owned(),
            payload: payload(200),
            target: target.clone(),
            channel: None,
            priority: Priority::Medium,
            requires_ack: false,
            attachments: Vec::new(),
            cascade: false,
            version: None,
        };
        let heard = runtime.block_on(node.publish(publication())).unwrap();
        assert_eq!(heard.recipients, MEMBERS);
        let id = BenchmarkId::new("publish to 10 of 1000, rooms", count);
        group.bench_function(id, |bencher| {
            bencher.iter_batched(
                publication,
                |publication| runtime.block_on(node.publish(publication)).is_ok(),
                criterion::BatchSize::SmallInput,
            );
        });
        drop(members);
    }
    group.finish();
}

fn envelopes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("envelope, 200 B");
    let event = event(200);
    for encoding in ENCODINGS {
        group.bench_function(format!("{encoding:?}"), |bencher| {
            bencher.iter(|| event_frame(encoding, black_box(&event), StreamPlace::default()));
        });
    }
    group.finish();
}

fn deflate(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("deflate, 4 KB");
    let event = event(4096);
    let frame = event_frame(Encoding::SocketIo, &event, StreamPlace::default());
    let threshold = 64;
    assert!(compress_frame(&frame, threshold).is_some());
    group.bench_function("miss: the first recipient", |bencher| {
        bencher.iter(|| compress_frame(black_box(&frame), threshold));
    });
    let outbound = Outbound::new(Arc::new(event), None, Instant::now());
    let encode = |outbound: &Outbound| {
        event_frame(Encoding::SocketIo, &outbound.event, StreamPlace::default())
    };
    group.bench_function("hit: every other", |bencher| {
        bencher.iter(|| {
            black_box(&outbound)
                .compressed(Encoding::SocketIo, encode, |frame| {
                    compress_frame(frame, threshold)
                })
                .clone()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(30);
    targets = rooms, envelopes, deflate
}
criterion_main!(benches);
