//! Text that was cut inside a character (`"\ud83d"`, what JavaScript's `slice` leaves): it is JSON, so
//! payloads have it as it was written, and names and ids say what is wrong with it.

use futures_util::StreamExt;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use testkit::plain::Plain;
use testkit::process::Server;
use testkit::tokens::{SECRET, token_with};
use testkit::wait::soon;
use testkit::websocket::Ws;

const CUT: &str = r#"{"note": "cut \ud83d", "n\udE00me" : [1.0e0, 1e999 ,{"x":"\ud83d\u0061"}]}"#;

/// The next message as it came.
async fn text(client: &mut Plain) -> String {
    loop {
        match soon("a message", client.0.next()).await.unwrap().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

/// With the ids that a shortcut is aimed by.
fn aimed() -> String {
    CUT.replacen('{', r#"{"organization_id":"o", "#, 1)
}

#[tokio::test]
async fn a_payload_goes_out_byte_for_byte_by_every_route() {
    let server = Server::start(&[]).await;
    let mut client = Plain::connect(&server, "?userId=u&orgId=o").await;
    client.next().await;
    client.ask("subscribe", json!({"channels": ["all"]})).await;
    for route in ["kpi", "backlog", "attendance", "alert"] {
        let path = format!("/api/ws/broadcast/{route}");
        let (status, answer) = server.send("POST", &path, &aimed()).await;
        assert_eq!(status, 200, "{route}: {answer}");
        let heard = text(&mut client).await;
        assert!(heard.contains(&aimed()), "{route}: {heard}");
    }
    let body =
        format!(r#"{{"event":"kpi:update","target":{{"organization_id":"o"}},"data": {CUT} }}"#);
    let (status, answer) = server.send("POST", "/api/ws/broadcast", &body).await;
    assert_eq!(status, 200, "{answer}");
    let heard = text(&mut client).await;
    assert!(heard.contains(CUT), "{heard}");
    let body = r#"{"title":"\ud83d","body":"\u0061\uDE00", "requires_ack": false}"#;
    let (status, answer) = server.send("POST", "/api/ws/broadcast", body).await;
    assert_eq!(status, 200, "{answer}");
    let heard = text(&mut client).await;
    assert!(
        heard.contains(r#"{"title":"\ud83d","body":"\u0061\uDE00"}"#),
        "{heard}"
    );
}

#[tokio::test]
async fn a_client_s_own_data_goes_out_byte_for_byte() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let flags = ["--auth.jwt-secret-file", secret.to_str().unwrap()];
    let server = Server::start(&flags).await;
    let grants = json!({"grants": {"events": ["kpi:update"]}});
    let token = token_with("u", "o", grants);
    let mut client = Plain::connect(&server, &format!("?token={token}")).await;
    client.next().await;
    client
        .send(r#"{"event":"subscribe","data":{"channels":["kpi"],"page":"\ud83d"}}"#)
        .await;
    assert_eq!(client.next().await["data"]["success"], true);
    let publish =
        format!(r#"{{"event":"publish","data":{{"event":"kpi:update","data": {CUT} }}}}"#);
    client.send(&publish).await;
    let (event, receipt) = (text(&mut client).await, text(&mut client).await);
    assert!(event.contains(CUT), "{event}");
    assert!(receipt.contains(r#""recipients":1"#), "{receipt}");
    client
        .send(&format!(r#"{{"event":"client:ping","data": {CUT}}}"#))
        .await;
    let pong = text(&mut client).await;
    assert!(pong.contains(&format!(r#""data":{CUT}"#)), "{pong}");
    client
        .send(r#"{"type":"heartbeat","clientTime":"\ud83d"}"#)
        .await;
    let answer = text(&mut client).await;
    assert!(answer.contains(r#""clientTime":"\ud83d""#), "{answer}");
}

#[tokio::test]
async fn names_and_ids_say_that_half_a_character_is_none() {
    let server = Server::start(&[]).await;
    let half = "half of a character";
    for (path, body, said) in [
        (
            "kpi",
            r#"{"organization_id":"\ud83d"}"#,
            "`organization_id`",
        ),
        ("kpi", r#"{"org_id":"o","queue":"a\udE00"}"#, "`queue`"),
        ("", r#"{"event":"\ud83d","target":{"all":true}}"#, "`event`"),
        (
            "",
            r#"{"event":"kpi:update","target":{"org_id":"\ud83d"}}"#,
            "`target`",
        ),
        (
            "",
            r#"{"event":"kpi:update","channel":"\ud83d","target":{"all":true}}"#,
            "`channel`",
        ),
        (
            "",
            r#"{"title":"a","body":"b","excludeUserIds":["\ud83d"]}"#,
            "`excludeUserIds`",
        ),
    ] {
        let path = format!("/api/ws/broadcast/{path}");
        let (status, answer) = server.send("POST", path.trim_end_matches('/'), body).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(
            message.contains(half) && message.contains(said),
            "{body}: {answer}"
        );
    }
    let unknown = r#"{"event":"kpi:update","\ud83d":1,"target":{"all":true}}"#;
    let (status, answer) = server.send("POST", "/api/ws/broadcast", unknown).await;
    assert_eq!(status, 400, "{answer}");

    let mut client = Plain::connect(&server, "?userId=u&orgId=o").await;
    client.next().await;
    for message in [
        r#"{"event":"\ud83d"}"#,
        r#"{"event":"ping","id":"\ud83d"}"#,
        r#"{"event":"subscribe","data":{"channels":["\ud83d"]}}"#,
        r#"{"event":"subscribe","data":{"channels":["kpi"],"queue_name":"\ud83d"}}"#,
        r#"{"event":"authenticate","data":{"user_id":"\ud83d","organization_id":"o"}}"#,
        r#"{"event":"ack","data":{"id":"\ud83d"}}"#,
    ] {
        client.send(message).await;
        let error = client.next().await["data"]["error"].clone();
        assert_eq!(error["code"], "INVALID_MESSAGE", "{message}: {error}");
        let said = error["message"].as_str().unwrap();
        assert!(said.contains(half), "{message}: {error}");
    }
}

#[tokio::test]
async fn socket_io_passes_it_both_ways() {
    let server = Server::start(&[]).await;
    let address = server.address;
    let mut client = Ws::engine(address).await;
    client
        .send(r#"40{"organization_id":"o","user_id":"u","page":"\ud83d"}"#)
        .await;
    client.until("40{").await;
    client.until("42[\"authenticated\"").await;
    client
        .send(r#"421["subscribe",{"channels":["kpi"],"page":"\ud83d"}]"#)
        .await;
    let ack = client.until("431[").await;
    assert!(ack.contains("\"success\":true"), "{ack}");
    client.send(&format!(r#"422["client:ping",{CUT}]"#)).await;
    let ack = client.until("432[").await;
    assert!(ack.contains(&format!("\"data\":{CUT}")), "{ack}");
    server.send("POST", "/api/ws/broadcast/kpi", &aimed()).await;
    let event = client.until("42[\"kpi:update\"").await;
    assert!(event.contains(&aimed()), "{event}");
    let refused = r#"423["subscribe",{"channels":["kpi"],"queue":"\ud83d"}]"#;
    client.send(refused).await;
    let ack = client.until("433[").await;
    assert!(ack.contains("half of a character"), "{ack}");
}
