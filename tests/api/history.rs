//! What streams keep, as backends read it.

use serde_json::{Value, json};
use testkit::process::Server;

async fn publish(server: &Server, event: &str, organization: &str, queue: Option<&str>, n: u64) {
    let mut target = json!({ "organization_id": organization });
    if let Some(queue) = queue {
        target["queue_name"] = queue.into();
    }
    let body = json!({ "event": event, "target": target, "data": { "n": n } });
    let (status, answer) = server
        .send("POST", "/api/ws/broadcast", &body.to_string())
        .await;
    assert_eq!(status, 200, "{answer}");
}

fn numbers(answer: &Value) -> Vec<u64> {
    let events = answer["events"].as_array().unwrap().iter();
    events
        .map(|event| event["data"]["n"].as_u64().unwrap())
        .collect()
}

async fn with_events() -> Server {
    let server = Server::start(&[]).await;
    for n in 1..=9 {
        let queue = match n % 3 {
            0 => "a",
            1 => "b",
            _ => "c",
        };
        publish(&server, "kpi:update", "acme", Some(queue), n).await;
    }
    publish(&server, "alert:triggered", "acme", None, 10).await;
    publish(&server, "kpi:update", "other", None, 11).await;
    let to_one = json!({
        "event": "notification",
        "target": { "organization_id": "acme", "user_ids": ["u"] },
        "data": { "n": 12 },
    });
    let (status, _) = server
        .send("POST", "/api/ws/broadcast", &to_one.to_string())
        .await;
    assert_eq!(status, 200);
    server
}

#[tokio::test]
async fn a_history_is_read_from_both_ends_page_by_page() {
    let server = with_events().await;
    let all: Vec<u64> = (1..=10).collect();
    for (order, name, expected) in [
        ("asc", "since", all.clone()),
        ("desc", "before", all.iter().rev().copied().collect()),
    ] {
        let (mut found, mut position) = (Vec::new(), String::new());
        loop {
            let path =
                format!("/api/ws/history?organization_id=acme&order={order}&limit=4{position}");
            let answer = server.get(&path).await;
            assert_eq!(
                (&answer["complete"], &answer["reason"]),
                (&json!(true), &Value::Null)
            );
            found.extend(numbers(&answer));
            let Some(next) = answer["next"].as_str() else {
                break;
            };
            position = format!("&{name}={next}");
        }
        // What was for one user is nobody else's to read.
        assert_eq!(found, expected, "{order}");
    }
}

#[tokio::test]
async fn a_history_is_of_what_a_subscription_there_hears() {
    let server = with_events().await;
    for (filter, expected) in [
        ("&queue_name=a", vec![3, 6, 9]),
        ("&channel=alerts", vec![10]),
        ("&channel=all&queue=b", vec![1, 4, 7]),
        ("&event=alert:triggered", vec![10]),
        ("&event=unheard:of", vec![]),
        ("&limit=1", vec![1]),
        ("&limit=1&order=desc", vec![10]),
    ] {
        let path = format!("/api/ws/history?organization_id=acme{filter}");
        assert_eq!(numbers(&server.get(&path).await), expected, "{filter}");
    }
    let path = "/api/ws/latest?organization_id=acme";
    let latest = server.get(path).await;
    assert_eq!(numbers(&latest), [7, 8, 9]);
    let third = &latest["events"][2];
    let place = (&third["department_id"], &third["queue_name"]);
    assert_eq!(place, (&Value::Null, &json!("a")));
    assert_eq!(
        numbers(&server.get(&format!("{path}&queue_name=b")).await),
        [7]
    );
    assert_eq!(
        numbers(&server.get("/api/ws/latest?organization_id=other").await),
        [11]
    );
}

#[tokio::test]
async fn what_is_not_there_any_more_is_said() {
    let server = Server::start(&["--history-size", "3"]).await;
    for n in 1..=5 {
        publish(&server, "kpi:update", "acme", None, n).await;
    }
    let path = "/api/ws/history?organization_id=acme";
    let all = server.get(path).await;
    assert_eq!(
        (numbers(&all), &all["complete"]),
        (vec![3, 4, 5], &json!(true))
    );
    let top = all["top"].as_str().unwrap();
    let (epoch, _) = top.split_once('-').unwrap();
    for (offset, expected, reason) in [
        (format!("{epoch}-2"), vec![3, 4, 5], None),
        (format!("{epoch}-4"), vec![5], None),
        (format!("{epoch}-1"), vec![3, 4, 5], Some("trimmed")),
        (format!("{epoch}-6"), vec![3, 4, 5], Some("epoch")),
        ("000000000000-4".to_owned(), vec![3, 4, 5], Some("epoch")),
    ] {
        let answer = server.get(&format!("{path}&since={offset}")).await;
        assert_eq!(numbers(&answer), expected, "{offset}");
        assert_eq!(answer["reason"].as_str(), reason, "{offset}");
        assert_eq!(answer["complete"], reason.is_none(), "{offset}");
    }
    let nobody = server.get("/api/ws/history?organization_id=nobody").await;
    assert_eq!((numbers(&nobody), &nobody["top"]), (vec![], &Value::Null));
}

#[tokio::test]
async fn what_a_query_gets_wrong_is_named() {
    let server = Server::start(&[]).await;
    for (query, message) in [
        ("", "name the `organization_id` whose events are meant"),
        (
            "?organization_id=a&order=up",
            "`order` is `up`; asc and desc are allowed",
        ),
        (
            "?organization_id=a&before=000000000000-4",
            "`before` goes with `order=desc`",
        ),
        (
            "?organization_id=a&since=000000000000-4&order=desc",
            "`since` goes with `order=asc`",
        ),
        (
            "?organization_id=a&since=4",
            "`since`: a position is the `offset` of an event as it came, like `0f3a9c21b7de-42`, not `4`",
        ),
        (
            "?organization_id=a&limit=0",
            "`limit` is `0`; whole numbers from 1 to 10000 are allowed",
        ),
    ] {
        let (status, answer) = server
            .send("GET", &format!("/api/ws/history{query}"), "")
            .await;
        assert_eq!(status, 400, "{query}");
        assert_eq!(answer["error"]["message"], message, "{query}");
    }
}

#[tokio::test]
async fn an_older_version_of_a_value_is_not_published() {
    let server = Server::start(&[]).await;
    let post = async |path: &str, body: Value| {
        let (status, answer) = server.send("POST", path, &body.to_string()).await;
        (status, answer)
    };
    let of = |queue: &str, version: u64| {
        json!({
            "event": "kpi:update",
            "target": { "organization_id": "acme", "queue_name": queue },
            "data": { "n": version },
            "version": version,
        })
    };
    let path = "/api/ws/broadcast";
    for (body, is_stale) in [
        (of("a", 5), false),
        (of("a", 5), true),
        (of("a", 4), true),
        (of("b", 4), false),
        (of("a", 6), false),
    ] {
        let (status, answer) = post(path, body.clone()).await;
        assert_eq!((status, &answer["success"]), (200, &json!(true)), "{body}");
        assert_eq!(
            answer["stale"].as_bool().unwrap_or(false),
            is_stale,
            "{body}"
        );
        assert_eq!(answer["offset"].is_null(), is_stale, "{body}");
    }
    let kpi = json!({ "organization_id": "acme", "queue_name": "a", "n": 7 });
    let (_, answer) = post("/api/ws/broadcast/kpi?version=6", kpi.clone()).await;
    assert_eq!(answer["stale"], true);
    let (_, answer) = post("/api/ws/broadcast/kpi?version=7", kpi.clone()).await;
    assert_eq!(answer["stale"], Value::Null);
    // Without one it is the latest, as ever.
    post("/api/ws/broadcast/kpi", kpi).await;
    let history = server.get("/api/ws/history?organization_id=acme").await;
    assert_eq!(numbers(&history), [5, 4, 6, 7, 7]);
    for (event, target, version, message) in [
        (
            "alert:triggered",
            json!({ "organization_id": "acme" }),
            json!(1),
            "a `version` is for a value at a place of one organization; values are: ",
        ),
        (
            "kpi:update",
            json!({ "organization_id": "acme", "user_ids": ["u"] }),
            json!(1),
            "a `version` is for a value at a place of one organization; values are: ",
        ),
        (
            "kpi:update",
            json!({ "organization_id": "acme" }),
            json!(-1),
            "`version` must be a whole number from 0 on, not a number",
        ),
    ] {
        let body = json!({ "event": event, "target": target, "version": version });
        let (status, answer) = post(path, body).await;
        assert_eq!(status, 400);
        let found = answer["error"]["message"].as_str().unwrap();
        assert!(found.starts_with(message), "{found}");
    }
}
