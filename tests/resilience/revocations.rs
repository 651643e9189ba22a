//! Revocations: nobody uses them up for the others, and nobody is locked out by mistake for good.

use serde_json::{Value, json};

use testkit::plain::Plain;
use testkit::process::Server;

async fn member(server: &Server, organization: &str, user: &str) -> Plain {
    let query = format!("?userId={user}&orgId={organization}");
    let mut client = Plain::connect(server, &query).await;
    assert_eq!(client.next().await["event"], "authenticated");
    client
}

#[tokio::test]
async fn a_user_is_sent_away_and_may_come_back() {
    let server = Server::start(&[]).await;
    let mut tabs = [
        member(&server, "a", "u").await,
        member(&server, "a", "u").await,
    ];
    let mut elsewhere = member(&server, "b", "u").await;
    let mut other = member(&server, "a", "v").await;
    let answer = server
        .post("/api/ws/disconnect/u?organization_id=a", &Value::Null)
        .await;
    assert_eq!(
        (&answer["closed_connections"], &answer["userId"]),
        (&json!(2), &json!("u"))
    );
    for tab in &mut tabs {
        assert_eq!(tab.close_code().await, 1008);
    }
    let mut again = member(&server, "a", "u").await;
    for client in [&mut elsewhere, &mut other, &mut again] {
        let pong = client.ask("client:ping", Value::Null).await;
        assert_eq!(pong["event"], "client:pong");
    }
    // An operator, who names no organization, means every one.
    let answer = server.post("/api/ws/disconnect/u", &Value::Null).await;
    assert_eq!(answer["closed_connections"], 2);
    assert_eq!(elsewhere.close_code().await, 1008);
    assert_eq!(again.close_code().await, 1008);
    let answer = server.post("/api/ws/disconnect/nobody", &Value::Null).await;
    assert_eq!(answer["closed_connections"], 0);
    let counted = server.get("/api/ws/stats").await;
    assert_eq!(
        counted["stats"]["closed_by_reason"],
        json!({ "disconnected": 4 })
    );
    for bad in ["/api/ws/disconnect/%01", "/api/ws/disconnect/u?org=a"] {
        let (status, answer) = server.send("POST", bad, "").await;
        assert_eq!(status, 400, "{bad}: {answer}");
    }
}

#[tokio::test]
async fn what_was_revoked_is_listed_and_can_be_taken_back() {
    let server = Server::start(&[]).await;
    for body in [
        json!({"user_id": "u", "organization_id": "a"}),
        json!({"user_id": "v", "organization_id": "a", "expires_at": "2999-01-01T00:00:00Z"}),
        json!({"jti": "t:%", "organization_id": "b"}),
        json!({"jti": 7}),
    ] {
        server.post("/api/ws/revoke", &body).await;
    }
    let mut listed = Vec::new();
    let mut path = "/api/ws/revocations?limit=1".to_owned();
    for _ in 0..4 {
        let page = server.get(&path).await;
        assert_eq!(
            (&page["total_count"], &page["limit"]),
            (&json!(4), &json!(1))
        );
        let [item] = page["revocations"].as_array().unwrap().as_slice() else {
            panic!("{page}")
        };
        assert!(item["revoked_at"].is_string());
        let who = item.get("user_id").or_else(|| item.get("jti")).unwrap();
        listed.push((
            item["organization_id"].clone(),
            who.clone(),
            item["refused_until"].clone(),
        ));
        path = match page["next_cursor"].as_str() {
            Some(cursor) => format!("/api/ws/revocations?limit=1&cursor={cursor}"),
            None => String::new(),
        };
    }
    assert_eq!(path, "", "the last page says so");
    let until = json!("2999-01-01T00:00:00.000Z");
    assert_eq!(
        listed,
        [
            (Value::Null, json!("7"), Value::Null),
            (json!("a"), json!("u"), Value::Null),
            (json!("a"), json!("v"), until),
            (json!("b"), json!("t:%"), Value::Null),
        ]
    );
    let own = server.get("/api/ws/revocations?organization_id=b").await;
    assert_eq!(own["revocations"][0]["jti"], "t:%");
    assert_eq!(
        (&own["total_count"], &own["next_cursor"]),
        (&json!(1), &Value::Null)
    );

    let mut refused = Plain::connect(&server, "?userId=u&orgId=a").await;
    assert_eq!(
        refused.next().await["data"]["error"]["reason"],
        "token_revoked"
    );
    let path = "/api/ws/revocations?user_id=u&organization_id=a";
    let (status, answer) = server.send("DELETE", path, "").await;
    assert_eq!(
        (status, &answer["success"]),
        (200, &json!(true)),
        "{answer}"
    );
    member(&server, "a", "u").await;
    let (status, answer) = server.send("DELETE", path, "").await;
    assert_eq!(
        (status, answer["error"]["code"].as_str()),
        (404, Some("NOT_FOUND"))
    );
    for bad in ["", "?user_id=u", "?jti=7&user_id=u&org_id=a", "?jit=7"] {
        let (status, answer) = server
            .send("DELETE", &format!("/api/ws/revocations{bad}"), "")
            .await;
        assert_eq!(status, 400, "{bad}: {answer}");
    }
    let (status, _) = server.send("DELETE", "/api/ws/revocations?jti=7", "").await;
    assert_eq!(status, 200);
    let (status, answer) = server.send("GET", "/api/ws/revocations?cursor=x", "").await;
    assert_eq!(status, 400, "{answer}");
    assert!(
        answer["error"]["message"]
            .as_str()
            .unwrap()
            .contains("`cursor`")
    );
}
