//! Servers to test: inside the test, or as a process of their own.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use orgcast::app::config::Config;
use orgcast::app::options::Options;
use orgcast::app::server::{Running, start};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::client::{get, within};

/// A server in this process, on any free port, without limits that the test does not set.
pub async fn here(change: impl FnOnce(&mut Config)) -> Running {
    let mut config = Config {
        port: 0,
        max_connections_total: 0,
        max_connections_per_org: 0,
        rate_limit_messages_per_second: 0,
        rate_limit_requests_per_second: 0,
        connect_timeout_ms: 1000,
        ..Config::default()
    };
    change(&mut config);
    config.validate().unwrap();
    start(Options::of(&config).unwrap()).await.unwrap()
}

/// A server in a process of its own; killed when dropped.
pub struct Process {
    pub address: SocketAddr,
    child: Child,
}

impl Process {
    /// `descriptors` limits how many files the process may have open.
    pub async fn start(flags: &[(&str, &str)], descriptors: Option<u32>) -> Self {
        let binary = std::env::var("ORGCAST_BIN")
            .unwrap_or_else(|_| env!("CARGO_BIN_EXE_orgcast").to_owned());
        let mut script = "exec \"$0\" \"$@\"".to_owned();
        if let Some(descriptors) = descriptors {
            script = format!("ulimit -n {descriptors}; {script}");
        }
        let mut command = Command::new("sh");
        command
            .args(["-c", &script, &binary, "serve", "--port=0", "--log=warn"])
            .args(flags.iter().map(|(key, value)| format!("--{key}={value}")))
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        // What is said to the tests is no configuration of the server.
        let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("ORGCAST_");
        for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = within("the server's first line", lines.next_line()).await;
        let first = first.unwrap().expect("the server says where it listens");
        let (_, rest) = first.split_once("://").unwrap();
        let address = rest.split('/').next().unwrap().parse().unwrap();
        // The pipe stays open until the server has said the rest.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { address, child }
    }

    fn pid(&self) -> u32 {
        self.child.id().expect("the server still runs")
    }

    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let done = std::process::Command::new("kill")
            .args(["-s", name, &pid])
            .status();
        assert!(done.unwrap().success());
    }

    pub async fn exit(&mut self, time: Duration) -> ExitStatus {
        let exit = tokio::time::timeout(time, self.child.wait()).await;
        exit.expect("the server ends in time").unwrap()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// How many files the process has open.
    pub fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.pid()));
        open.map_or(0, Iterator::count)
    }

    pub async fn stats(&self) -> Value {
        stats(self.address).await
    }
}

pub async fn stats(address: SocketAddr) -> Value {
    let answer = get(address, "/api/ws/stats").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()["stats"].clone()
}

/// Whether nothing is left of any client.
pub fn is_empty(stats: &Value) -> bool {
    let none = |key: &str| stats[key] == 0;
    none("active_connections")
        && none("active_rooms")
        && none("places_taken")
        && none("remote_addresses")
        && stats["connections_by_org"] == serde_json::json!({})
}

/// Looks at the server's counters until they are as wanted.
pub async fn wait_for_stats(
    address: SocketAddr,
    what: &str,
    is_wanted: impl Fn(&Value) -> bool,
) -> Value {
    let mut last = Value::Null;
    for _ in 0..400 {
        last = stats(address).await;
        if is_wanted(&last) {
            return last;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come: {last:#}");
}
