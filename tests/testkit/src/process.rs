//! The program as a child process.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;

use crate::http::get;
use crate::wait::{soon, within};

/// Where the program is: what `ORGCAST_BIN` says, or else what was built beside this test.
fn binary() -> String {
    let variable = |name: &str| std::env::var(name).ok();
    variable("ORGCAST_BIN")
        .or_else(|| variable("CARGO_BIN_EXE_orgcast"))
        .expect("cargo says where it built the program")
}

/// Takes from a command the variables that would configure the program: what is said to the tests is
/// no configuration of the server.
fn without_configuration(command: &mut Command) {
    let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("ORGCAST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
}

/// A command for the program, without variables that would configure it; killed when dropped.
pub fn orgcast(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    without_configuration(&mut command);
    command
        .args(arguments)
        .kill_on_drop(true)
        .stdin(Stdio::null());
    command
}

fn pairs(flags: &[(&str, &str)]) -> Vec<String> {
    let pair = |(key, value): &(&str, &str)| format!("--{key}={value}");
    flags.iter().map(pair).collect()
}

/// A running server on any free port; dropping it kills it.
pub struct Server {
    pub child: Child,
    pub address: SocketAddr,
}

impl Server {
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_logging("warn", Stdio::inherit(), flags).await
    }

    pub async fn start_logging(log: &str, to: Stdio, flags: &[&str]) -> Self {
        let arguments = [&["serve", "--port", "0", "--log", log], flags].concat();
        let mut command = orgcast(&arguments);
        command.stderr(to);
        Self::spawn(command).await
    }

    /// As [`Self::start`], with the flags as keys and values.
    pub async fn start_with(flags: &[(&str, &str)]) -> Self {
        let flags = pairs(flags);
        Self::start(&flags.iter().map(String::as_str).collect::<Vec<_>>()).await
    }

    /// A server that may have so many files open.
    pub async fn start_with_descriptors(descriptors: u32, flags: &[(&str, &str)]) -> Self {
        let script = format!("ulimit -n {descriptors}; exec \"$0\" \"$@\"");
        let mut command = Command::new("sh");
        without_configuration(&mut command);
        command
            .args(["-c", &script, &binary()])
            .args(["serve", "--port=0", "--log=warn"])
            .args(pairs(flags))
            .kill_on_drop(true);
        Self::spawn(command).await
    }

    /// Starts what says on its first line where it listens.
    async fn spawn(mut command: Command) -> Self {
        command
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = soon("the server's first line", lines.next_line()).await;
        let first = first.unwrap().expect("the server says where it listens");
        let (_, rest) = first.split_once("://").unwrap_or_else(|| panic!("{first}"));
        let address = rest.split('/').next().unwrap().parse().unwrap();
        // Keeps the pipe open: a closed one is not what a terminal is.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address }
    }

    pub async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string).unwrap_or_default();
        self.send(method, path, &body).await
    }

    pub async fn send(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        self.send_with("", method, path, body).await
    }

    /// As [`Self::send`], with more headers, which are whole lines.
    pub async fn send_with(
        &self,
        headers: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> (u16, Value) {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{headers}\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let mut tcp = TcpStream::connect(self.address).await.unwrap();
        tcp.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        soon("an answer", tcp.read_to_string(&mut answer))
            .await
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (
            status,
            serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}")),
        )
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.request("GET", path, None).await;
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    pub async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.request("POST", path, Some(body)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    fn id(&self) -> u32 {
        self.child.id().expect("the server still runs")
    }

    /// Sends a signal, as `kill` names it.
    pub fn send_signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = std::process::Command::new("kill")
            .args(["-s", name, &id])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Sends a signal and waits for the exit code.
    pub async fn signal(&mut self, name: &str) -> Option<i32> {
        self.send_signal(name);
        soon("the exit", self.child.wait()).await.unwrap().code()
    }

    pub async fn exit(&mut self, time: Duration) -> ExitStatus {
        let exit = tokio::time::timeout(time, self.child.wait()).await;
        exit.expect("the server ends in time").unwrap()
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:"));
        let number = line.unwrap().split_whitespace().nth(1).unwrap();
        number.parse().unwrap()
    }

    /// How many files the process has open.
    pub fn descriptors(&self) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.id()));
        open.map_or(0, Iterator::count)
    }

    pub async fn stats(&self) -> Value {
        stats(self.address).await
    }
}

/// A server of whose log every byte is kept.
pub struct Logged {
    pub address: SocketAddr,
    server: Server,
    log: JoinHandle<String>,
}

impl Logged {
    pub async fn start(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = orgcast(&["serve", "--port=0"]);
        command
            .args(flags)
            .envs(variables.iter().copied())
            .stderr(Stdio::piped());
        let mut server = Server::spawn(command).await;
        let log = tokio::spawn(whole(server.child.stderr.take().unwrap()));
        Self {
            address: server.address,
            server,
            log,
        }
    }

    pub fn send_signal(&self, name: &str) {
        self.server.send_signal(name);
    }

    /// Ends the server; how it ended, and its whole log.
    pub async fn end(self) -> (ExitStatus, String) {
        self.send_signal("TERM");
        self.ended().await
    }

    /// As [`Self::end`], with another signal behind the one that ends it.
    pub async fn end_with(self, name: &str) -> (ExitStatus, String) {
        self.send_signal("TERM");
        self.send_signal(name);
        self.ended().await
    }

    async fn ended(mut self) -> (ExitStatus, String) {
        let exit = within("the exit", self.server.child.wait()).await.unwrap();
        let log = within("the end of the log", self.log).await.unwrap();
        (exit, log)
    }
}

async fn whole(mut log: ChildStderr) -> String {
    let mut text = Vec::new();
    log.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
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
