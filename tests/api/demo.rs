//! `orgcast demo`: what it publishes, and what it says when it can't.

use std::process::{Output, Stdio};

use serde_json::json;
use tokio::net::TcpSocket;

use testkit::plain::Plain;
use testkit::process::{Server, orgcast};
use testkit::wait::soon;

async fn demo(arguments: &[&str]) -> Output {
    let arguments = [&["demo", "--rounds", "1"], arguments].concat();
    let mut command = orgcast(&arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    soon("the demo", command.output()).await.unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn a_round_reaches_who_watches_the_organization() {
    let server = Server::start(&[]).await;
    let mut client = Plain::connect(&server, "?userId=u&companyId=org_7").await;
    client.next().await;
    let channels = json!({ "channels": ["kpi", "backlog", "attendance"] });
    assert_eq!(
        client.ask("subscribe", channels).await["data"]["success"],
        true
    );
    let url = format!("http://{}/", server.address);
    let output = demo(&["--url", &url, "--organization-id", "org_7"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("/?organization_id=org_7"));
    let mut seen = Vec::new();
    // Four queues, of which each has three things to say.
    for _ in 0..12 {
        let message = client.next().await;
        assert_eq!(message["data"]["organization_id"], "org_7", "{message}");
        assert!(message["data"]["queue_name"].is_string(), "{message}");
        seen.push(message["event"].as_str().unwrap().to_owned());
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, ["attendance:update", "backlog:update", "kpi:update"]);
}

#[tokio::test]
async fn what_stops_it_is_said_in_one_line() {
    // Bound, so that nobody else takes it, and not listened on.
    let taken = TcpSocket::new_v4().unwrap();
    taken.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", taken.local_addr().unwrap());
    let locked = Server::start(&["--auth.jwt-secret", "a secret of at least 32 bytes, here"]).await;
    let locked = format!("http://{}", locked.address);
    for (arguments, expected) in [
        (["--url", &nobody], "does the server run there?"),
        (["--url", &locked], "--api-key"),
        (["--url", "127.0.0.1:5000"], "http://127.0.0.1:5000"),
        (["--organization-id", ""], "--organization-id"),
    ] {
        let output = demo(&arguments).await;
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(error.contains(expected), "{arguments:?}: {error}");
        assert_eq!(error.trim().lines().count(), 1, "{error}");
    }
}

#[tokio::test]
async fn a_key_lets_it_publish() {
    let key = "ock_0123456789";
    let hash = "sha256:5df72dd643c7570e907b17a4b23db2319e4e62e930b7002f3d5ce5e57166bd26";
    let keys = format!(
        "{{ demo = {{ hash = \"{hash}\", organization = \"org_7\", scopes = [\"broadcast\"] }} }}"
    );
    let server = Server::start(&["--api-keys", &keys]).await;
    let url = format!("http://{}", server.address);
    let with = ["--url", &url, "--organization-id", "org_7", "--api-key"];
    let output = demo(&[&with[..], &[key]].concat()).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = demo(&[&with[..], &["ock_other"]].concat()).await;
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        !error.contains("ock_other") && error.contains("not known"),
        "{error}"
    );
    // One that was given is not asked for.
    assert!(!error.contains("give one"), "{error}");
    let output = demo(&[
        "--url",
        &url,
        "--organization-id",
        "org_8",
        "--api-key",
        key,
    ])
    .await;
    assert_eq!(output.status.code(), Some(1));
    let error = text(&output.stderr);
    assert!(
        error.contains("`org_7` only") && error.contains("`org_8`, see --organization-id"),
        "{error}"
    );
    assert!(!error.contains("give one"), "{error}");
}
