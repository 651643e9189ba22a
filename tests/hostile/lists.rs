//! Lists and counters: each entry once, however a list is read, and nobody waits for those who read.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::{Plain, Server};

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
    crate::support::soon("the connections to be gone", gone).await;
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
