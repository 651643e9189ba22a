//! Lists and counters: each entry once, however a list is read, and nobody waits for those who read.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};

use testkit::http::{get, post};
use testkit::plain::Plain;
use testkit::process::Server;
use testkit::websocket::Ws;

/// All items of a list, read by its cursors.
async fn by_cursor(server: &Server, list: &str, query: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.get(&format!("/api/ws/{list}?{query}{cursor}")).await;
        let some = page[list].as_array().unwrap();
        items.extend(some.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('%', "%25")),
            None => return items,
        }
        assert!(!some.is_empty(), "{page}");
    }
}

async fn by_offset(server: &Server, list: &str, query: &str) -> Vec<Value> {
    let mut items = Vec::new();
    loop {
        let offset = items.len();
        let page = server
            .get(&format!("/api/ws/{list}?{query}&offset={offset}"))
            .await;
        assert_eq!(page["offset"], offset);
        let some = page[list].as_array().unwrap();
        if some.is_empty() {
            assert_eq!(page["next_cursor"], Value::Null);
            return items;
        }
        items.extend(some.iter().cloned());
    }
}

#[tokio::test]
async fn a_list_has_each_entry_once_and_in_one_order_by_cursor_and_by_offset() {
    let server = Server::start(&["--max-connections-per-org", "0"]).await;
    let mut clients = Vec::new();
    for (at, organization) in ["b", "a", "c%3A", "a", "b", "a", "d"].iter().enumerate() {
        let query = format!("?userId=u{at}&orgId={organization}");
        let mut client = Plain::connect(&server, &query).await;
        client.next().await;
        for queue in ["q", "r", "s"] {
            client
                .ask(
                    "subscribe",
                    json!({"channels": ["kpi", "all"], "queue": queue}),
                )
                .await;
        }
        clients.push(client);
    }
    let mut newcomer = Plain::connect(&server, "").await;
    newcomer.ask("client:ping", Value::Null).await;
    for (list, key, all, of_a) in [
        ("rooms", "room", 35, 10),
        ("connections", "socket_id", 8, 3),
    ] {
        for (query, count) in [("", all), ("&organization_id=a", of_a)] {
            let whole = by_cursor(&server, list, &format!("limit=10000{query}")).await;
            let names: BTreeSet<_> = whole.iter().map(|item| item[key].as_str()).collect();
            assert_eq!((whole.len(), names.len()), (count, count), "{list}{query}");
            for limit in [1, 2, 3, 7] {
                let query = format!("limit={limit}{query}");
                assert_eq!(
                    by_cursor(&server, list, &query).await,
                    whole,
                    "{list} {query}"
                );
                assert_eq!(
                    by_offset(&server, list, &query).await,
                    whole,
                    "{list} {query}"
                );
            }
        }
        let total = server.get(&format!("/api/ws/{list}?limit=1")).await;
        assert_eq!(total["total_count"], all);
    }
    // Those that a page stopped at go, and the next page is where it was.
    let first = server.get("/api/ws/connections?limit=3").await;
    let cursor = first["next_cursor"].as_str().unwrap().to_owned();
    let rest = by_cursor(&server, "connections", &format!("cursor={cursor}&limit=10")).await;
    clients.drain(1..3);
    let gone = async { while server.get("/api/ws/health").await["active_connections"] != 6 {} };
    testkit::wait::soon("the connections to be gone", gone).await;
    let page = server
        .get(&format!("/api/ws/connections?cursor={cursor}&limit=10"))
        .await;
    assert_eq!(page["connections"], json!(rest));

    for (list, query) in [
        ("connections", "cursor=x"),
        ("connections", "cursor=00000000-1"),
        ("connections", "cursor=kpi:org:a"),
        ("rooms", "cursor=x"),
        ("rooms", "cursor=kpi:org:b&organization_id=a"),
        ("rooms", "cursor=kpi:org:a&offset=1"),
    ] {
        let (status, answer) = server
            .send("GET", &format!("/api/ws/{list}?{query}"), "")
            .await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(
            status == 400 && message.contains("`cursor`"),
            "{query}: {answer}"
        );
    }
}

/// How many connections operators look at; `HOSTILE_CONNECTIONS` is another number.
const CONNECTIONS: usize = 2000;
/// How many ask at once, each 50 times a second if it is answered so fast.
const CALLERS: usize = 16;
const PAUSE: Duration = Duration::from_millis(20);
/// How long it is measured.
const SPAN: Duration = Duration::from_secs(2);

/// Members of one organization, each in a room of its own.
async fn crowd(address: SocketAddr) -> Vec<Ws> {
    let count = std::env::var("HOSTILE_CONNECTIONS").ok();
    let count = count.map_or(CONNECTIONS, |count| count.parse().unwrap());
    let join = async |at: usize| {
        let mut client = Ws::member(address, "crowd", &format!("u{at}")).await;
        let data = format!("{{\"channels\":[\"kpi\"],\"queue\":\"q{at}\"}}");
        client
            .send(&format!("{{\"event\":\"subscribe\",\"data\":{data}}}"))
            .await;
        client.until("{\"event\":\"client:subscribe\"").await;
        client
    };
    let joined = futures_util::stream::iter(0..count).map(join);
    joined.buffer_unordered(64).collect().await
}

/// The 99th percentile from a broadcast to its arrival, while all callers ask for this.
async fn delivery_time(address: SocketAddr, path: Option<&str>) -> Duration {
    let mut listener = Ws::member(address, "watched", "u").await;
    listener
        .send(r#"{"event":"subscribe","data":{"channels":["kpi"]}}"#)
        .await;
    listener.until("{\"event\":\"client:subscribe\"").await;
    let until = Instant::now() + SPAN;
    let call = async || {
        let Some(path) = path else { return };
        while Instant::now() < until {
            let answer = get(address, path).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.body);
            tokio::time::sleep(PAUSE).await;
        }
    };
    let callers = join_all((0..CALLERS).map(|_| call()));
    let measure = async {
        let mut times = Vec::new();
        while Instant::now() < until {
            let begin = Instant::now();
            let body = json!({"organization_id": "watched", "n": times.len()});
            let body = body.to_string();
            let publish = post(address, "/api/ws/broadcast/kpi", &body);
            let (answer, heard) = tokio::join!(publish, listener.until("{\"id\""));
            assert_eq!(answer.status, 200, "{}", answer.body);
            assert!(heard.contains("\"watched\""), "{heard}");
            times.push(begin.elapsed());
            tokio::time::sleep(PAUSE / 4).await;
        }
        times.sort_unstable();
        times[times.len() * 99 / 100]
    };
    let (_, time) = tokio::join!(callers, measure);
    time
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_who_ask_all_the_time_hold_up_nobody() {
    let _machine = crate::MACHINE.lock().await;
    let flags = [
        ("max-connections-total", "0"),
        ("max-connections-per-org", "0"),
    ];
    let server = Server::start_with(&flags).await;
    let _crowd = crowd(server.address).await;
    let quiet = delivery_time(server.address, None).await;
    println!("nobody asks: {quiet:.1?}");
    for path in [
        // What the callers themselves cost.
        "/healthz",
        "/api/ws/health",
        "/api/ws/stats",
        "/api/ws/rooms?limit=1",
        "/api/ws/connections?limit=1",
    ] {
        let mut times = Vec::new();
        // Others use the machine as well; what holds up everybody does so each time.
        let most = (3 * quiet).max(Duration::from_millis(100));
        while times.len() < 3 && times.last().is_none_or(|time| *time > most) {
            times.push(delivery_time(server.address, Some(path)).await);
        }
        println!("{CALLERS} ask for {path}: {times:.1?}");
        assert!(
            times.last() <= Some(&most),
            "{path}: {times:?}, not {most:?}"
        );
    }
}
