//! What is refused, and that its answer says which part was wrong, and what is allowed.

use serde_json::{Value, json};

use testkit::plain::Plain;
use testkit::process::Server;

/// Asks and asserts that the answer is the contract's error with all of `said` in its message.
async fn assert_refused(server: &Server, method: &str, path: &str, body: &str, said: &[&str]) {
    let (status, answer) = server.send(method, path, body).await;
    let request = format!("{method} {path} {body}: {answer}");
    assert_eq!(status, 400, "{request}");
    assert_eq!(answer["success"], false, "{request}");
    assert_eq!(answer["error"]["code"], "INVALID_MESSAGE", "{request}");
    let message = answer["error"]["message"].as_str().unwrap();
    for words in said {
        assert!(message.contains(words), "{request}: no {words}");
    }
    for foreign in [
        "deserialize",
        "expected value",
        "invalid type",
        "missing field",
        "EOF",
    ] {
        assert!(!message.contains(foreign), "{request}");
    }
}

#[tokio::test]
async fn a_bad_parameter_is_named_with_what_is_allowed() {
    let server = Server::start(&[]).await;
    for list in ["/api/ws/connections", "/api/ws/rooms"] {
        for (query, said) in [
            ("limit=many", &["`limit` is `many`", "1 to 10000"][..]),
            ("limit=0", &["`limit` is `0`", "1 to 10000"]),
            ("limit=10001", &["`limit` is `10001`", "1 to 10000"]),
            ("limit=", &["`limit` is ``"]),
            ("offset=-1", &["`offset` is `-1`", "from 0 on"]),
            ("offset=1&offset=2", &["`offset` twice"]),
            ("limit=99999999999999999999", &["`limit`"]),
            ("organization_id=", &["`organization_id` is not an id"]),
            (
                "org_id=%00",
                &["`org_id` is not an id", "control character"],
            ),
            ("org_id=a&orgId=b", &["`org_id`", "`orgId`", "differ"]),
            (
                "organisation_id=org_1",
                &[
                    "`organisation_id`",
                    "did you mean `organization_id`?",
                    "limit",
                    "offset",
                ],
            ),
            (
                "page=2",
                &["`page`", "known are organization_id, limit, offset"],
            ),
        ] {
            assert_refused(&server, "GET", &format!("{list}?{query}"), "", said).await;
        }
    }
    for (path, said) in [
        (
            "/api/ws/stats?organisation=a",
            "did you mean `organization_id`?",
        ),
        (
            "/api/ws/connections/u1?org_id=a",
            "unknown `org_id`; it takes none",
        ),
        ("/api/ws/connections/%ff", "not UTF-8"),
        ("/api/ws/connections/%01", "control character"),
    ] {
        assert_refused(&server, "GET", path, "", &[said]).await;
    }
    let long = format!("/api/ws/connections/{}", "x".repeat(129));
    assert_refused(&server, "GET", &long, "", &["129 bytes"]).await;
}

#[tokio::test]
async fn the_numbers_of_one_organization_can_be_asked_for() {
    let server = Server::start(&[]).await;
    let mut clients = Vec::new();
    for query in [
        "?userId=u&orgId=a",
        "?userId=v&orgId=a",
        "?userId=u&orgId=b",
    ] {
        let mut client = Plain::connect(&server, query).await;
        client.next().await;
        clients.push(client);
    }
    let one = server.get("/api/ws/stats?organization_id=a").await;
    assert_eq!(one["stats"]["connections_by_org"], json!({ "a": 2 }));
    assert_eq!(one["totalConnections"], 2);
    let all = server.get("/api/ws/stats").await;
    assert_eq!(all["totalConnections"], 3);
}

#[tokio::test]
async fn a_bad_body_is_refused_in_words_that_name_the_member() {
    let server = Server::start(&[]).await;
    let target = r#""target": {"organization_id": "a"}"#;
    let with = |members: &str| format!(r#"{{"event": "kpi:update", {target}, {members}}}"#);
    for (body, said) in [
        (String::new(), &["the body is empty"][..]),
        (
            "{\"event\": ".to_owned(),
            &["not JSON", "line 1, column 10"],
        ),
        ("[]".to_owned(), &["must be a JSON object, not an array"]),
        (
            r#"{"event": 7}"#.to_owned(),
            &["`event` must be a string, not a number"],
        ),
        (
            r#"{"event": "a", "target": "org_1"}"#.to_owned(),
            &["`target` must be an object, not a string"],
        ),
        (
            with(r#""cascade": "yes""#),
            &["`cascade` must be true or false, not a string"],
        ),
        (
            with(r#""requiresAck": 1"#),
            &["`requiresAck` must be true or false, not a number"],
        ),
        (
            with(r#""priority": "highest""#),
            &["`priority` is `highest`", "low, medium, high"],
        ),
        (with(r#""priority": 1"#), &["`priority` must be a string"]),
        (
            with(r#""chanel": "kpi""#),
            &[
                "unknown `chanel`",
                "did you mean `channel`?",
                "known are event, data",
            ],
        ),
        (with(r#""event": "kpi:alert""#), &["`event` twice"]),
        (
            r#"{"title": "t", "body": "b", "excludeUserIds": [1]}"#.to_owned(),
            &["`excludeUserIds` must be a list of strings, and has a number in it"],
        ),
        (
            r#"{"title": "t", "body": {}}"#.to_owned(),
            &["`body` must be a string, not an object"],
        ),
        (
            r#"{"event": "kpi:update", "target": {"organisation_id": "a"}}"#.to_owned(),
            &[
                "`target`",
                "`organisation_id`",
                "did you mean `organization_id`?",
            ],
        ),
    ] {
        assert_refused(&server, "POST", "/api/ws/broadcast", &body, said).await;
    }
    for (path, body, said) in [
        ("/api/ws/broadcast/kpi", "", "the body is empty"),
        (
            "/api/ws/broadcast/kpi",
            "7",
            "must be a JSON object, not a number",
        ),
        (
            "/api/ws/broadcast/kpi?wait_ms=soon&requires_ack=true",
            "{}",
            "`wait_ms` is `soon`",
        ),
        (
            "/api/ws/broadcast/kpi?cascade=1",
            "{}",
            "`cascade` is `1`; true and false are allowed",
        ),
        (
            "/api/ws/broadcast/kpi?requiresack=true",
            "{}",
            "did you mean `requires_ack`?",
        ),
        ("/api/ws/revoke", "x", "the body is not JSON"),
        (
            "/api/ws/revoke",
            r#"{"userid": "u"}"#,
            "did you mean `user_id`?",
        ),
        (
            "/api/ws/revoke",
            r#"{"jti": ["a"]}"#,
            "a string of 1 to 256 bytes",
        ),
    ] {
        assert_refused(&server, "POST", path, body, &[said]).await;
    }
}

#[tokio::test]
async fn acknowledgements_are_counted_only_for_who_waits() {
    let server = Server::start(&[]).await;
    let body: Value = json!({"organization_id": "nobody", "health_score": 1});
    let kpi = "/api/ws/broadcast/kpi";
    let receipt = server
        .post(&format!("{kpi}?requires_ack=true"), &body)
        .await;
    assert_eq!(receipt.get("acks"), None, "{receipt}");
    let waited = format!("{kpi}?requires_ack=true&wait_ms=10");
    assert_eq!(server.post(&waited, &body).await["acks"], 0);
}

#[tokio::test]
async fn a_slip_in_a_filter_is_told_on_the_wire() {
    let server = Server::start(&[]).await;
    let mut client = Plain::connect(&server, "?userId=u&orgId=a").await;
    client.next().await;
    let filter = json!({"channels": ["kpi"], "dept": "d"});
    for command in ["subscribe", "client:subscribe", "unsubscribe"] {
        let answer = client.ask(command, filter.clone()).await;
        assert_eq!(answer["event"], "error", "{answer}");
        assert_eq!(answer["data"]["error"]["code"], "INVALID_MESSAGE");
        let message = answer["data"]["error"]["message"].as_str().unwrap();
        assert!(
            message.contains("did you mean `department_id`?"),
            "{message}"
        );
    }
    let answer = client
        .ask("subscribe", json!({"channels": ["kpi"], "deptId": "d"}))
        .await;
    assert_eq!(answer["data"]["subscriptions"], json!(["kpi:org:a:dept:d"]));
}
