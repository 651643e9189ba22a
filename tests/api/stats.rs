//! The statistics of a scripted run equal what the script did.

use serde_json::{Value, json};

use testkit::plain::Plain;
use testkit::process::Server;

#[tokio::test]
async fn the_stats_of_a_scripted_run_equal_what_the_script_did() {
    let server = Server::start(&["--ping-interval-ms", "200"]).await;

    // Three connections: two tabs of one user in org_1, and one user in org_2.
    let mut first = Plain::connect(&server, "?userId=u1&companyId=org_1").await;
    let mut second = Plain::connect(&server, "").await;
    let mut third = Plain::connect(&server, "").await;
    assert_eq!(first.next().await["event"], "authenticated");
    second
        .ask(
            "authenticate",
            json!({"user_id": "u1", "organization_id": "org_1"}),
        )
        .await;
    third
        .ask(
            "authenticate",
            json!({"user_id": "u3", "organization_id": "org_2"}),
        )
        .await;
    let subscriptions = [
        (&mut first, json!({"channels": ["kpi", "alerts"]})),
        (
            &mut second,
            json!({"channels": ["kpi"], "department_id": "d", "queue_name": "q"}),
        ),
        (
            &mut third,
            json!({"channels": ["all"], "department_id": "d"}),
        ),
    ];
    for (client, subscription) in subscriptions {
        let reply = client.ask("subscribe", subscription).await;
        assert_eq!(reply["data"]["success"], true, "{reply}");
    }
    second.ask("client:ping", Value::Null).await;
    second.ask("client:ping", json!({"n": 1})).await;

    // Three errors: an unknown event, no JSON, another organization.
    second.ask("nonsense", json!({})).await;
    second.send("{").await;
    assert_eq!(second.next().await["event"], "error");
    second
        .ask(
            "subscribe",
            json!({"channels": ["kpi"], "organization_id": "org_2"}),
        )
        .await;

    // Four broadcasts with 2, 1, 1 and 0 recipients, and one that is refused.
    let place =
        json!({"organization_id": "org_1", "department_id": "d", "queue_name": "q", "n": 1});
    assert_eq!(
        server.post("/api/ws/broadcast/kpi", &place).await["recipients"],
        2
    );
    let alert = json!({"organization_id": "org_1", "n": 2});
    assert_eq!(
        server.post("/api/ws/broadcast/alert", &alert).await["recipients"],
        1
    );
    let other = json!({"organization_id": "org_2", "department_id": "d", "n": 3});
    assert_eq!(
        server.post("/api/ws/broadcast/kpi", &other).await["recipients"],
        1
    );
    let nobody = json!({"organization_id": "org_3", "n": 4});
    assert_eq!(
        server.post("/api/ws/broadcast/kpi", &nobody).await["recipients"],
        0
    );
    let bad = json!({"event": "nonsense", "data": {}, "target": {"all": true}});
    assert_eq!(
        server
            .request("POST", "/api/ws/broadcast", Some(&bad))
            .await
            .0,
        400
    );
    assert_eq!(first.next().await["data"]["n"], 1);
    assert_eq!(first.next().await["data"]["n"], 2);
    assert_eq!(second.next().await["data"]["n"], 1);
    assert_eq!(third.next().await["data"]["n"], 3);

    let answer = stats_after_pongs(&server, [&mut first, &mut second, &mut third]).await;
    assert_stats(&answer);
    assert_lists(&server).await;

    // And all of it goes with the clients.
    drop((first, second, third));
    let empty =
        async { while server.get("/api/ws/stats").await["stats"]["active_connections"] != 0 {} };
    testkit::wait::soon("the connections to be gone", empty).await;
    let stats = server.get("/api/ws/stats").await;
    assert_eq!(stats["stats"]["active_rooms"], 0);
    assert_eq!(stats["stats"]["connections_by_org"], json!({}));
}

/// The statistics once each connection has answered a ping, which reading does.
async fn stats_after_pongs(server: &Server, clients: [&mut Plain; 3]) -> Value {
    let pongs = async {
        loop {
            let stats = server.get("/api/ws/stats").await;
            if stats["stats"]["latency"]["ping_round_trip"]["count"].as_u64() >= Some(3) {
                return stats;
            }
        }
    };
    let [first, second, third] = clients;
    let reading = async { tokio::join!(first.next(), second.next(), third.next()) };
    let answered = async {
        tokio::select! {
            answer = pongs => answer,
            unexpected = reading => panic!("nothing more was published: {unexpected:?}"),
        }
    };
    testkit::wait::soon("the pongs", answered).await
}

fn assert_stats(answer: &Value) {
    let stats = &answer["stats"];
    assert_eq!(answer["success"], true);
    assert_eq!(stats["active_connections"], 3);
    assert_eq!(stats["connections_by_org"], json!({"org_1": 2, "org_2": 1}));
    assert_eq!(stats["active_rooms"], 8);
    assert_eq!(
        stats["rooms_by_type"],
        json!({"org": 4, "dept": 1, "queue": 1, "user": 2})
    );
    assert_eq!(
        stats["messages_by_event"],
        json!({
            "authenticate": 2, "client:subscribe": 4, "client:ping": 2, "unknown": 2,
            "kpi:update": 3, "alert:triggered": 1,
        })
    );
    assert_eq!(stats["total_messages"], 14);
    assert_eq!(stats["error_count"], 3);
    assert_eq!(stats["deliveries"], 4);
    assert_eq!(stats["dropped_messages"], 0);
    assert_eq!(stats["connections_opened"], 3);
    assert_eq!(
        stats["latency"]["publish_to_socket"]["count"], 4,
        "each delivery was timed"
    );
    let average = stats["average_latency_ms"].as_f64().unwrap();
    let longest = stats["max_latency_ms"].as_f64().unwrap();
    assert!(
        0.0 < average && average <= longest && longest < 1000.0,
        "{average} {longest}"
    );
    let round_trip = stats["latency"]["ping_round_trip"]["max_ms"]
        .as_f64()
        .unwrap();
    assert!(0.0 < round_trip && round_trip < 5000.0, "{round_trip}");
    assert!(stats["messages_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(answer["totalConnections"], 3);
    assert_eq!(answer["uniqueUsers"], 2);
    assert_eq!(
        answer["queueStats"],
        json!({"pendingMessages": 0, "deliveredMessages": 4, "expiredMessages": 0})
    );
}

async fn assert_lists(server: &Server) {
    let connections = server
        .get("/api/ws/connections?organization_id=org_1")
        .await;
    assert_eq!(connections["total_count"], 2);
    // Two that came in the same millisecond are listed in any order.
    let narrow = json!(["kpi:org:org_1:dept:d:queue:q"]);
    let mut listed = connections["connections"].as_array().unwrap().iter();
    let found = listed.find(|connection| connection["subscriptions"] == narrow);
    let id = found.unwrap()["socket_id"].as_str().unwrap();
    let one = server.get(&format!("/api/ws/connections/{id}")).await;
    assert_eq!(
        one["connection"]["subscriptions"],
        json!(["kpi:org:org_1:dept:d:queue:q"]),
        "{one}"
    );
    let user = server.get("/api/ws/connections/u1").await;
    assert_eq!(user["connections"].as_array().unwrap().len(), 2);
    let rooms = server.get("/api/ws/rooms?organization_id=org_2").await;
    assert_eq!(rooms["total_count"], 3);
}
