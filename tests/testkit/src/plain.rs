//! A plain WebSocket client that does what clients should.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::process::Server;
use crate::wait::soon;

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
