//! Signals that are no reason to end.

use testkit::process::Logged;
use testkit::websocket::{Got, Ws};

#[tokio::test]
async fn what_reloads_other_servers_ends_nothing_and_is_said_in_the_log() {
    let server = Logged::start(&[], &[]).await;
    let mut member = Ws::member(server.address, "a", "u").await;
    for (sent, signal) in [("HUP", "SIGHUP"), ("USR1", "SIGUSR1"), ("USR2", "SIGUSR2")] {
        server.send_signal(sent);
        member.send(r#"{"event":"ping","data":{}}"#).await;
        assert!(member.text().await.contains("pong"), "after {signal}");
    }
    let new = Ws::member(server.address, "a", "v").await;
    drop(new);
    // While it drains, too.
    let (ended, closed) = tokio::join!(server.end_with("HUP"), member.close());
    assert!(matches!(closed, Got::Close(1001, _)), "{closed:?}");
    let (exit, log) = ended;
    assert_eq!(exit.code(), Some(0));
    for signal in ["SIGHUP", "SIGUSR1", "SIGUSR2"] {
        let line = log.lines().find(|line| line.contains(signal));
        let line = line.unwrap_or_else(|| panic!("{signal} is not in {log}"));
        assert!(
            line.contains("ignored") && line.contains("certificates"),
            "{line}"
        );
    }
}
