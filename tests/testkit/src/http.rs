//! One request on a connection of its own, and what is answered.

use std::io;
use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    pub fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).unwrap_or_default();
        Self {
            status: status.parse().unwrap_or(0),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            (found == name).then(|| value.trim())
        })
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub fn code(&self) -> String {
        self.json()["error"]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

/// One request on a connection of its own. `headers` are whole lines.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> Answer {
    let text = format!(
        "{method} {path} HTTP/1.1\r\nHost: orgcast\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let answer = within(path, async {
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        tcp.read_to_end(&mut answer).await?;
        io::Result::Ok(answer)
    });
    let answer = answer
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    Answer::parse(&String::from_utf8_lossy(&answer))
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "", "").await
}

pub async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    request(
        address,
        "POST",
        path,
        "Content-Type: application/json\r\n",
        body,
    )
    .await
}

pub async fn broadcast(address: SocketAddr, body: &Value) -> Answer {
    post(address, "/api/ws/broadcast", &body.to_string()).await
}

/// A caller of the API with keys.
#[derive(Debug, Clone, Copy)]
pub struct Http(pub SocketAddr);

impl Http {
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let line = |(name, value): &(&str, &str)| format!("{name}: {value}\r\n");
        let headers: String = headers.iter().map(line).collect();
        request(self.0, method, path, &headers, body).await
    }

    pub async fn get(&self, path: &str, key: &str) -> Answer {
        self.send("GET", path, &[("x-api-key", key)], "").await
    }

    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Answer {
        let body = body.to_string();
        self.send("POST", path, &[("x-api-key", key)], &body).await
    }

    /// Broadcasts and answers the number of recipients.
    pub async fn broadcast(&self, key: &str, body: &Value) -> u64 {
        let answer = self.post("/api/ws/broadcast", key, body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        answer.json()["recipients"].as_u64().unwrap()
    }
}
