//! Twenty organizations at random: an oracle says who may hear what, and what each client heard is
//! exactly that, in order. No leak, no loss.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use super::server::Server;
use testkit::client::Client;
use testkit::http::Http;
use testkit::tokens::token_with;

const ORGANIZATIONS: usize = 20;
const CLIENTS: usize = 12;
const DELIVERIES: usize = 100_000;

/// The same ids everywhere, so that only the organization tells them apart.
const DEPARTMENTS: [&str; 2] = ["d1", "d2"];
const QUEUES: [&str; 2] = ["q1", "q2"];
const EVENTS: [(&str, &str); 3] = [
    ("kpi:update", "kpi"),
    ("backlog:update", "backlog"),
    ("alert:triggered", "alerts"),
];

/// A filter or a target inside an organization.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    department: Option<&'static str>,
    queue: Option<&'static str>,
}

impl Spot {
    fn any(random: &mut StdRng) -> Self {
        let mut maybe = |ids: &[&'static str; 2]| {
            random
                .random_bool(0.5)
                .then(|| ids[random.random_range(0..2)])
        };
        Self {
            department: maybe(&DEPARTMENTS),
            queue: maybe(&QUEUES),
        }
    }

    fn hears(&self, target: &Self) -> bool {
        (self.department.is_none() || self.department == target.department)
            && (self.queue.is_none() || self.queue == target.queue)
    }

    fn put_into(&self, object: &mut Value) {
        if let Some(department) = self.department {
            object["department_id"] = json!(department);
        }
        if let Some(queue) = self.queue {
            object["queue_name"] = json!(queue);
        }
    }
}

/// What a token grants: channels, and departments; `None` is everything.
#[derive(Debug, Clone, Default)]
struct Rights {
    channels: Option<Vec<&'static str>>,
    departments: Option<Vec<&'static str>>,
}

impl Rights {
    fn any(random: &mut StdRng) -> Self {
        let channels = random.random_bool(0.3).then(|| {
            let all = ["kpi", "backlog", "alerts", "all"];
            all.iter()
                .copied()
                .filter(|_| random.random_bool(0.6))
                .collect()
        });
        let departments = random
            .random_bool(0.3)
            .then(|| vec![DEPARTMENTS[random.random_range(0..2)]]);
        Self {
            channels,
            departments,
        }
    }

    fn allow(&self, channel: &str, spot: &Spot) -> bool {
        self.channels
            .as_ref()
            .is_none_or(|channels| channels.contains(&channel) || channels.contains(&"all"))
            && self.departments.as_ref().is_none_or(|departments| {
                spot.department
                    .is_some_and(|department| departments.contains(&department))
            })
    }

    fn claim(&self) -> Value {
        let mut claim = json!({});
        if let Some(channels) = &self.channels {
            claim["channels"] = json!(channels);
        }
        if let Some(departments) = &self.departments {
            claim["departments"] = json!(departments);
        }
        claim
    }
}

/// A client with what it should be subscribed to and should have heard.
struct Member {
    client: Client,
    organization: usize,
    user: String,
    rights: Rights,
    subscriptions: BTreeSet<(&'static str, Spot)>,
    expected: Vec<u64>,
}

fn name(organization: usize) -> String {
    // Names that are prefixes of each other, and hold the separators of room names.
    format!("org{}", ":1%3A".repeat(organization))
}

impl Member {
    async fn join(server: &Server, organization: usize, random: &mut StdRng) -> Self {
        let user = format!("u{}", random.random_range(0..3));
        let rights = Rights::any(random);
        let token = token(organization, &user, &rights);
        let client = Client::with_token(server.address, &token, random.random_bool(0.5)).await;
        Self {
            client,
            organization,
            user,
            rights,
            subscriptions: BTreeSet::new(),
            expected: Vec::new(),
        }
    }

    /// Checks what it heard since the last time.
    async fn settle(&mut self) -> usize {
        let heard = self.client.heard_so_far().await;
        let heard: Vec<u64> = heard
            .iter()
            .map(|heard| heard.data()["n"].as_u64().expect("an event of this test"))
            .collect();
        assert_eq!(
            heard,
            self.expected,
            "{} in {}",
            self.user,
            name(self.organization)
        );
        self.expected.clear();
        heard.len()
    }

    async fn subscribe(&mut self, random: &mut StdRng) {
        let channel = *["kpi", "backlog", "alerts", "all"].choose(random).unwrap();
        let spot = Spot::any(random);
        let mut data = json!({"channels": [channel]});
        spot.put_into(&mut data);
        if random.random_bool(0.2) {
            // Somebody else's, which must change nothing.
            data["organization_id"] = json!(name((self.organization + 1) % ORGANIZATIONS));
            let heard = self
                .client
                .call("subscribe", &data, "client:subscribe")
                .await;
            assert_eq!(heard.error_code(), "UNAUTHORIZED");
            return;
        }
        let leave = random.random_bool(0.3);
        let (verb, reply) = if leave {
            ("unsubscribe", "client:unsubscribe")
        } else {
            ("subscribe", "client:subscribe")
        };
        let heard = self.client.call(verb, &data, reply).await;
        let is_there = self.subscriptions.contains(&(channel, spot));
        if leave {
            assert_eq!(heard.is(reply), is_there, "{heard:?}");
            self.subscriptions.remove(&(channel, spot));
        } else if self.rights.allow(channel, &spot) {
            assert!(heard.is(reply), "{heard:?}");
            self.subscriptions.insert((channel, spot));
        } else {
            assert_eq!(heard.error_code(), "UNAUTHORIZED");
        }
    }

    async fn renew(&mut self, random: &mut StdRng) {
        self.rights = Rights::any(random);
        let token = token(self.organization, &self.user, &self.rights);
        let data = json!({ "token": token });
        let heard = self
            .client
            .call("authenticate", &data, "authenticated")
            .await;
        assert!(heard.is("authenticated"), "{heard:?}");
        let rights = &self.rights;
        self.subscriptions
            .retain(|(channel, spot)| rights.allow(channel, spot));
    }

    fn hears(&self, channel: &str, target: &Spot, cascade: bool) -> bool {
        self.subscriptions.iter().any(|(subscribed, spot)| {
            (*subscribed == channel || *subscribed == "all")
                && (spot.hears(target) || (cascade && target.hears(spot)))
        })
    }
}

fn token(organization: usize, user: &str, rights: &Rights) -> String {
    token_with(user, &name(organization), json!({"grants": rights.claim()}))
}

/// One organization with its clients, which lives at the same time as the others.
struct Organization {
    number: usize,
    members: Vec<Member>,
    random: StdRng,
    broadcasts: u64,
}

impl Organization {
    async fn found(server: &Server, number: usize, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed.wrapping_add(number as u64));
        let mut members = Vec::new();
        for _ in 0..CLIENTS {
            let mut member = Member::join(server, number, &mut random).await;
            for _ in 0..6 {
                member.subscribe(&mut random).await;
            }
            members.push(member);
        }
        Self {
            number,
            members,
            random,
            broadcasts: 0,
        }
    }

    /// Changes one after the other, then broadcasts, then everybody is looked at. Answers how much
    /// was heard.
    async fn round(&mut self, server: &Server, http: &Http) -> usize {
        let random = &mut self.random;
        for member in &mut self.members {
            match random.random_range(0..12) {
                0 => *member = Member::join(server, self.number, random).await,
                1 | 2 => member.renew(random).await,
                3..=8 => member.subscribe(random).await,
                _ => {}
            }
        }
        for _ in 0..60 {
            self.broadcast(http, &server.keys.operator).await;
        }
        let mut heard = 0;
        for member in &mut self.members {
            heard += member.settle().await;
        }
        heard
    }

    async fn broadcast(&mut self, http: &Http, key: &str) {
        let random = &mut self.random;
        self.broadcasts += 1;
        // No two organizations use the same number.
        let number = self.broadcasts * ORGANIZATIONS as u64 + self.number as u64;
        let (event, channel) = EVENTS[random.random_range(0..EVENTS.len())];
        let mut target = json!({"organization_id": name(self.number)});
        let mut expected = 0;
        let mut expect = |member: &mut Member, hears: bool| {
            if hears {
                member.expected.push(number);
                expected += 1;
            }
        };
        let cascade = random.random_bool(0.3);
        if random.random_bool(0.2) {
            let user = format!("u{}", random.random_range(0..3));
            target["user_ids"] = json!([user]);
            for member in &mut self.members {
                let hears = member.user == user;
                expect(member, hears);
            }
        } else {
            let spot = Spot::any(random);
            spot.put_into(&mut target);
            for member in &mut self.members {
                let hears = member.hears(channel, &spot, cascade);
                expect(member, hears);
            }
        }
        let body = json!({
            "event": event, "data": {"n": number}, "target": target, "cascade": cascade,
        });
        let recipients = http.broadcast(key, &body).await;
        // A client that has just left may still be counted, and nothing is heard of it.
        assert!(
            recipients >= expected,
            "{body}: {recipients}, not {expected}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_event_leaks_and_none_is_lost_among_twenty_organizations() {
    let seed = rand::random();
    println!("seed {seed}");
    let server = Server::start("", "").await;
    let http = Http(server.address);
    let mut organizations =
        join_all((0..ORGANIZATIONS).map(|number| Organization::found(&server, number, seed))).await;
    let mut deliveries = 0;
    while deliveries < DELIVERIES {
        let rounds = organizations
            .iter_mut()
            .map(|organization| organization.round(&server, &http));
        deliveries += join_all(rounds).await.iter().sum::<usize>();
    }
    let broadcasts: u64 = organizations
        .iter()
        .map(|organization| organization.broadcasts)
        .sum();
    println!("{broadcasts} broadcasts, {deliveries} deliveries");
}
