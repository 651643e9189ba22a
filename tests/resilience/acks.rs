//! Acknowledgements by whoever was not asked.

use serde_json::json;

use testkit::http::post;
use testkit::in_process::here;
use testkit::wait::within;
use testkit::websocket::Ws;

#[tokio::test]
async fn an_acknowledgement_counts_once_and_only_of_a_connection_that_got_the_event() {
    let server = here(|_| ()).await;
    let address = server.address;
    let mut hears = Ws::socket_io(address, "a", "hears").await;
    hears.send(r#"420["subscribe",{"channels":["kpi"]}]"#).await;
    hears.until("430[").await;
    let mut others = vec![
        Ws::socket_io(address, "a", "of_the_same_organization").await,
        Ws::socket_io(address, "b", "of_another").await,
    ];
    // An identity of its own would make its acknowledgement one of a second connection.
    others.push(Ws::socket_io(address, "a", "hears").await);

    let body = json!({"organization_id": "a", "health_score": 1}).to_string();
    let path = "/api/ws/broadcast/kpi?requires_ack=true&wait_ms=10000";
    let asked = tokio::spawn(async move { post(address, path, &body).await });
    let event = hears.until("42").await;
    let digits = event[2..].chars().take_while(char::is_ascii_digit);
    let id: u64 = digits.collect::<String>().parse().expect(&event);
    for other in &mut others {
        for guess in id.saturating_sub(5)..id + 5 {
            other.send(&format!("43{guess}[]")).await;
        }
        // They were handled when this is answered.
        other.send(r#"421["client:ping"]"#).await;
        other.until("431[").await;
    }
    assert!(!asked.is_finished());
    for _ in 0..3 {
        hears.send(&format!("43{id}[]")).await;
    }
    let receipt = within("the receipt", asked).await.unwrap().json();
    assert_eq!(
        (&receipt["recipients"], &receipt["acks"]),
        (&json!(1), &json!(1)),
        "{receipt}"
    );
}
