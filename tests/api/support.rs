//! The server as a child process, and small clients for it.

use std::process::Stdio;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("waited {PATIENCE:?} for {what}"))
}

/// A command for the binary, without variables that would configure it.
pub fn orgcast(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_orgcast"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ORGCAST_"))
    {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .kill_on_drop(true)
        .stdin(Stdio::null());
    command
}

/// A running server; dropping it kills it.
pub struct Server {
    pub child: Child,
    pub address: String,
}

impl Server {
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_logging("warn", Stdio::inherit(), flags).await
    }

    pub async fn start_logging(log: &str, to: Stdio, flags: &[&str]) -> Self {
        let arguments = [&["serve", "--port", "0", "--log", log], flags].concat();
        let mut command = orgcast(&arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(to).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = soon("the server", lines.next_line())
            .await
            .unwrap()
            .unwrap();
        let (_, rest) = line
            .split_once("http://")
            .unwrap_or_else(|| panic!("{line}"));
        let address = rest.split('/').next().unwrap().to_owned();
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
        let mut tcp = TcpStream::connect(&self.address).await.unwrap();
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

    /// Sends a signal and waits for the exit code.
    pub async fn signal(&mut self, signal: &str) -> Option<i32> {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("kill")
            .args([signal, &id])
            .status()
            .await
            .unwrap();
        assert!(sent.success());
        soon("the exit", self.child.wait()).await.unwrap().code()
    }
}

/// A plain WebSocket client.
pub struct Plain(pub WebSocketStream<TcpStream>);

impl Plain {
    pub async fn connect(server: &Server, query: &str) -> Self {
        let tcp = TcpStream::connect(&server.address).await.unwrap();
        let url = format!("ws://{}/ws{query}", server.address);
        Self(tokio_tungstenite::client_async(url, tcp).await.unwrap().0)
    }

    pub async fn send(&mut self, text: &str) {
        self.0.send(Message::text(text)).await.unwrap();
    }

    /// The next message that is JSON.
    pub async fn next(&mut self) -> Value {
        loop {
            match soon("a message", self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Close(frame) => panic!("closed: {frame:?}"),
                _ => {}
            }
        }
    }

    pub async fn ask(&mut self, event: &str, data: Value) -> Value {
        self.send(&json!({ "event": event, "data": data }).to_string())
            .await;
        self.next().await
    }

    /// Reads until the close frame; its code.
    pub async fn close_code(&mut self) -> u16 {
        loop {
            match soon("the close", self.0.next()).await {
                Some(Ok(Message::Close(Some(frame)))) => return frame.code.into(),
                Some(Ok(_)) => {}
                other => panic!("no close frame: {other:?}"),
            }
        }
    }
}
