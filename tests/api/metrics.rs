//! What Prometheus scrapes: that it is what was done, that it can be read, and that it stays short.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testkit::http::{Answer, get, request};
use testkit::plain::Plain;
use testkit::process::Server;
use testkit::wait::soon;

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const OPEN_METRICS: &str =
    "Accept: application/openmetrics-text; version=1.0.0,text/plain;q=0.5\r\n";

/// The samples of a scrape, by name and labels as they are written.
#[derive(Debug)]
struct Scrape {
    samples: BTreeMap<String, f64>,
    /// Each family's type.
    types: BTreeMap<String, String>,
}

impl Scrape {
    async fn of(server: &Server) -> Self {
        let answer = request(server.address, "GET", "/metrics", OPEN_METRICS, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(answer.header("content-type"), Some(kind));
        let text = answer
            .body
            .strip_suffix("# EOF\n")
            .unwrap_or_else(|| panic!("no end: {answer:?}"));
        Self::read(text)
    }

    /// Reads families one by one, each with its type in front, and nothing twice.
    fn read(text: &str) -> Self {
        let mut scrape = Self {
            samples: BTreeMap::new(),
            types: BTreeMap::new(),
        };
        let mut family = "";
        for line in text.lines() {
            if let Some(comment) = line.strip_prefix("# ") {
                let mut words = comment.splitn(3, ' ');
                let (kind, name) = (words.next().unwrap(), words.next().unwrap());
                let rest = words.next().unwrap();
                match kind {
                    "HELP" => assert!(!rest.is_empty(), "{line}"),
                    "UNIT" => assert!(name.ends_with(&format!("_{rest}")), "{line}"),
                    "TYPE" => {
                        family = name;
                        let before = scrape.types.insert(name.to_owned(), rest.to_owned());
                        assert_eq!(before, None, "{name} comes twice");
                    }
                    _ => panic!("{line}"),
                }
                continue;
            }
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            let suffix = name
                .strip_prefix(family)
                .unwrap_or_else(|| panic!("{line} in {family}"));
            let allowed: &[&str] = match scrape.types[family].as_str() {
                "gauge" => &[""],
                "counter" => &["_total"],
                "histogram" => &["_bucket", "_sum", "_count"],
                "info" => &["_info"],
                other => panic!("{other}"),
            };
            assert!(allowed.contains(&suffix), "{line}");
            let before = scrape
                .samples
                .insert(sample.to_owned(), value.parse().unwrap());
            assert_eq!(before, None, "{sample} comes twice");
        }
        scrape
    }

    fn get(&self, sample: &str) -> f64 {
        *self
            .samples
            .get(sample)
            .unwrap_or_else(|| panic!("no {sample}"))
    }

    /// What of `after` is not as it was, by how much.
    fn until(&self, after: &Self) -> BTreeMap<String, f64> {
        let mut changes = BTreeMap::new();
        for (sample, value) in &after.samples {
            let change = value - self.get(sample);
            if change != 0.0 {
                changes.insert(sample.clone(), change);
            }
        }
        changes
    }
}

#[tokio::test]
async fn a_scrape_tells_what_was_done() {
    let server = Server::start(&[]).await;
    let before = Scrape::of(&server).await;
    let mut first = Plain::connect(&server, "?userId=u1&companyId=org_1").await;
    assert_eq!(first.next().await["event"], "authenticated");
    let mut second = Plain::connect(&server, "").await;
    let subscription = json!({"channels": ["kpi"], "department_id": "d"});
    assert_eq!(
        first.ask("subscribe", subscription).await["data"]["success"],
        true
    );
    assert_eq!(second.ask("nonsense", json!({})).await["event"], "error");
    for _ in 0..3 {
        let kpi = json!({"organization_id": "org_1", "department_id": "d", "n": 1});
        assert_eq!(
            server.post("/api/ws/broadcast/kpi", &kpi).await["recipients"],
            1
        );
        first.next().await;
    }
    let closed = server.post("/api/ws/disconnect/u1", &Value::Null).await;
    assert_eq!(closed["closed_connections"], 1);

    let expected = [
        ("orgcast_connections{protocol=\"websocket\"}", 1.0),
        ("orgcast_connections_opened_total", 2.0),
        (
            "orgcast_connections_closed_total{reason=\"disconnected\"}",
            1.0,
        ),
        (
            "orgcast_messages_received_total{event=\"client:subscribe\"}",
            1.0,
        ),
        ("orgcast_messages_received_total{event=\"unknown\"}", 1.0),
        ("orgcast_events_published_total{event=\"kpi:update\"}", 3.0),
        ("orgcast_deliveries_total", 3.0),
        ("orgcast_errors_total", 1.0),
        ("orgcast_publish_to_socket_seconds_count", 3.0),
        ("orgcast_publish_to_socket_seconds_bucket{le=\"+Inf\"}", 3.0),
    ];
    let expected: BTreeMap<String, f64> = expected
        .into_iter()
        .map(|(sample, change)| (sample.to_owned(), change))
        .collect();
    // What the machine has its say in.
    let is_ours = |sample: &str| {
        ![
            "resident", "open_fds", "tcp_", "buffered", "history", "slots", "_sum", "ping_",
        ]
        .iter()
        .any(|part| sample.contains(part))
            && (!sample.contains("_bucket") || sample.contains("+Inf"))
    };
    // A place is free when the connection's task has ended.
    let told = async {
        loop {
            let mut changes = before.until(&Scrape::of(&server).await);
            changes.retain(|sample, _| is_ours(sample));
            if changes == expected {
                return;
            }
        }
    };
    soon("the counters to be what was done", told).await;
}

#[tokio::test]
async fn buckets_add_up_to_their_count() {
    let server = Server::start(&[]).await;
    let scrape = Scrape::of(&server).await;
    let histograms = scrape.types.iter().filter(|(_, kind)| *kind == "histogram");
    let mut found = 0;
    for (name, _) in histograms {
        found += 1;
        let prefix = format!("{name}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = scrape
            .samples
            .iter()
            .filter_map(|(sample, count)| {
                let bound = sample.strip_prefix(&prefix)?.strip_suffix("\"}")?;
                let bound = if bound == "+Inf" { "inf" } else { bound };
                Some((bound.parse().unwrap(), *count))
            })
            .collect();
        buckets.sort_by(|one, two| one.0.total_cmp(&two.0));
        assert!(buckets.is_sorted_by_key(|(_, count)| *count), "{name}");
        let (bound, count) = *buckets.last().unwrap();
        assert!(bound.is_infinite(), "{name}");
        assert!(
            (count - scrape.get(&format!("{name}_count"))).abs() < 0.5,
            "{name}"
        );
    }
    assert_eq!(found, 2);
}

#[tokio::test]
async fn who_does_not_know_openmetrics_gets_the_older_text() {
    let server = Server::start(&[]).await;
    let Answer { status, body, .. } = get(server.address, "/metrics").await;
    assert_eq!(status, 200);
    assert!(!body.contains("# EOF"));
    assert!(
        body.contains("\n# TYPE orgcast_deliveries_total counter\norgcast_deliveries_total 0\n")
    );
    let answer = get(server.address, "/metrics").await;
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
}

#[tokio::test]
async fn organizations_users_and_rooms_add_no_line() {
    let server = Server::start(&[]).await;
    let before = Scrape::of(&server).await;
    let mut clients = Vec::new();
    for at in 0..50 {
        let mut client =
            Plain::connect(&server, &format!("?userId=u{at}&companyId=org_{at}")).await;
        assert_eq!(client.next().await["event"], "authenticated");
        let subscription = json!({"channels": ["kpi"], "queue_name": format!("q{at}")});
        client.ask("subscribe", subscription).await;
        client.ask(&format!("event_{at}"), json!({})).await;
        let alert = json!({"organization_id": format!("org_{at}"), "n": 1});
        server.post("/api/ws/broadcast/alert", &alert).await;
        clients.push(client);
    }
    let after = Scrape::of(&server).await;
    assert!((after.get("orgcast_organizations") - 50.0).abs() < 0.5);
    let names = |scrape: &Scrape| scrape.samples.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&before), names(&after));
}

#[tokio::test]
async fn the_documentation_lists_the_metrics_and_no_others() {
    let server = Server::start(&[]).await;
    let scrape = Scrape::of(&server).await;
    let (_, table) = OPERATIONS.split_once("\n## Metrics\n").unwrap();
    let (table, _) = table.split_once("\n## ").unwrap();
    let mut listed: BTreeMap<&str, &str> = table
        .lines()
        .filter_map(|line| {
            let (name, rest) = line.strip_prefix("| `orgcast_")?.split_once("` | ")?;
            Some((name, rest.split(" |").next()?))
        })
        .collect();
    // An older kernel does not say how many there are.
    if !scrape.types.contains_key("orgcast_open_fds") {
        listed.remove("open_fds");
    }
    let written: BTreeMap<String, &str> = scrape
        .types
        .iter()
        .map(|(name, kind)| {
            let name = name.strip_prefix("orgcast_").unwrap();
            let suffix = match kind.as_str() {
                "counter" => "_total",
                "info" => "_info",
                _ => "",
            };
            (format!("{name}{suffix}"), kind.as_str())
        })
        .collect();
    let listed: BTreeMap<String, &str> = listed
        .into_iter()
        .map(|(name, kind)| (name.to_owned(), kind))
        .collect();
    assert_eq!(listed, written);
}
