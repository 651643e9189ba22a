//! A server in a process of its own, of whose log every byte is kept.

use std::net::SocketAddr;
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use super::client::within;

pub struct Logged {
    pub address: SocketAddr,
    child: Child,
    log: JoinHandle<String>,
}

/// The program, without variables that would configure it.
pub fn orgcast() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgcast"));
    let ours = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("ORGCAST_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.kill_on_drop(true).stdin(Stdio::null());
    command
}

impl Logged {
    pub async fn start(flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = orgcast();
        command
            .args(["serve", "--port=0"])
            .args(flags)
            .envs(variables.iter().copied())
            .current_dir(std::env::temp_dir())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stderr = child.stderr.take().unwrap();
        let log = tokio::spawn(async move {
            let mut log = Vec::new();
            stderr.read_to_end(&mut log).await.unwrap();
            String::from_utf8(log).unwrap()
        });
        let first = within("the server's first line", lines.next_line()).await;
        let first = first.unwrap().expect("the server says where it listens");
        let (_, rest) = first.split_once("://").unwrap();
        let address = rest.split('/').next().unwrap().parse().unwrap();
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self {
            address,
            child,
            log,
        }
    }

    pub async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("the server still runs").to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.await.unwrap().success());
    }

    /// Ends the server; how it ended, and its whole log.
    pub async fn end(self) -> (ExitStatus, String) {
        self.signal("TERM").await;
        self.ended().await
    }

    /// As [`Self::end`], with another signal behind the one that ends it.
    pub async fn end_with(self, name: &str) -> (ExitStatus, String) {
        self.signal("TERM").await;
        self.signal(name).await;
        self.ended().await
    }

    async fn ended(mut self) -> (ExitStatus, String) {
        let exit = within("the exit", self.child.wait()).await.unwrap();
        let log = within("the end of the log", self.log).await.unwrap();
        (exit, log)
    }
}
