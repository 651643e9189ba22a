//! Targets and bodies that are made of work.

use std::fmt::Write as _;

use orgcast::auth::api_key::{KeyHash, key_of};
use serde_json::json;

use testkit::plain::Plain;
use testkit::process::Server;

/// Most memory that the server has had, in KiB.
fn peak(server: &Server) -> u64 {
    let id = server.child.id().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let number = line.unwrap().split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// A list of the same text again and again, of nearly 1 MB.
fn again_and_again(id: &str, count: usize) -> String {
    vec![format!("\"{id}\""); count].join(",")
}

#[tokio::test]
async fn one_user_again_and_again_is_one_user_and_too_many_ids_are_refused() {
    const TABS: u64 = 600;
    let server = Server::start(&["--max-connections-per-org", "0"]).await;
    let mut tabs = Vec::new();
    for _ in 0..TABS {
        let mut tab = Plain::connect(&server, "?userId=u&orgId=o").await;
        tab.next().await;
        tabs.push(tab);
    }
    let id = server.get("/api/ws/connections?limit=1").await["connections"][0]["socket_id"].clone();
    let before = peak(&server);
    for (target, count, recipients) in [
        (
            format!(
                r#""organization_id":"o","user_ids":[{}]"#,
                again_and_again("u", 10_000)
            ),
            10_000,
            TABS,
        ),
        (
            format!(
                r#""socket_ids":[{}]"#,
                again_and_again(id.as_str().unwrap(), 10_000)
            ),
            10_000,
            1,
        ),
        (
            format!(
                r#""organization_id":"o","user_ids":[{}]"#,
                again_and_again("u", 250_000)
            ),
            250_000,
            0,
        ),
        (
            format!(r#""socket_ids":[{}]"#, again_and_again("x", 25_000)),
            25_000,
            0,
        ),
    ] {
        let body = format!(r#"{{"event":"kpi:update","data":1,"target":{{{target}}}}}"#);
        let (status, answer) = server.send("POST", "/api/ws/broadcast", &body).await;
        if recipients > 0 {
            assert_eq!(
                (status, &answer["recipients"]),
                (200, &json!(recipients)),
                "{answer}"
            );
        } else {
            let message = answer["error"]["message"].as_str().unwrap();
            let said = format!("has {count} ids; 10000 are allowed");
            assert!(status == 400 && message.contains(&said), "{answer}");
        }
    }
    let except = again_and_again("u", 10_001);
    let body = format!(r#"{{"title":"a","body":"b","excludeUserIds":[{except}]}}"#);
    let (status, answer) = server.send("POST", "/api/ws/broadcast", &body).await;
    assert_eq!(status, 400, "{answer}");
    let grown = peak(&server) - before;
    assert!(grown < 100 * 1024, "{grown} KiB for bodies of 1 MB");
}

/// A server with a key of the organization `o`, which may ask so often.
async fn with_key(requests_per_second: u32) -> (Server, String, tempfile::TempDir) {
    let key = key_of([7; 32]);
    let folder = tempfile::tempdir().unwrap();
    let mut text = format!("rate_limit_requests_per_second = {requests_per_second}\n");
    write!(
        text,
        "[api_keys.o]\nhash = \"{}\"\norganization = \"o\"\nscopes = [\"broadcast\"]\n",
        KeyHash::of(&key)
    )
    .unwrap();
    let file = folder.path().join("orgcast.toml");
    std::fs::write(&file, text).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]).await;
    (server, format!("x-api-key: {key}\r\n"), folder)
}

#[tokio::test]
async fn a_body_over_the_rate_is_not_read_and_a_large_one_counts_for_several() {
    // One that can't be read has been counted like every other, so the next one is over the rate,
    // unless a second passes between the two.
    let (server, key, _folder) = with_key(1).await;
    let good = json!({"event": "kpi:update", "target": {"org_id": "o"}}).to_string();
    let mut answers = Vec::new();
    for _ in 0..5 {
        for body in ["{", &good] {
            let (status, _) = server
                .send_with(&key, "POST", "/api/ws/broadcast", body)
                .await;
            answers.push(status);
        }
    }
    assert!(
        answers.chunks(2).any(|pair| pair == [400, 429]),
        "{answers:?}"
    );

    let (server, key, _folder) = with_key(100).await;
    let body =
        json!({"event": "kpi:update", "data": "x".repeat(900_000), "target": {"org_id": "o"}});
    let body = body.to_string();
    let mut answers = Vec::new();
    for _ in 0..4 {
        let (status, _) = server
            .send_with(&key, "POST", "/api/ws/broadcast", &body)
            .await;
        answers.push(status);
    }
    // 55 of 100 each; some come back meanwhile.
    assert_eq!(answers[0], 200);
    assert!(answers.contains(&429), "{answers:?}");
}
