//! Clients: plain WebSocket, and Socket.IO over WebSocket, written out by hand.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::{HeaderName, HeaderValue};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TcpStream>;

async fn open(address: SocketAddr, query: &str, headers: &[(&str, &str)]) -> Result<Socket, u16> {
    let tcp = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/ws{query}");
    let mut request = url.into_client_request().unwrap();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().append(name, value);
    }
    match client_async(request, tcp).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => Err(response.status().as_u16()),
        Err(error) => panic!("{error}"),
    }
}

/// What came.
#[derive(Debug, Clone, PartialEq)]
pub enum Heard {
    Event(String, Value),
    /// The connection ended, with the close code if there was one.
    Closed(Option<u16>),
}

impl Heard {
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Event(event, _) if event == wanted)
    }

    pub fn data(&self) -> &Value {
        match self {
            Self::Event(_, data) => data,
            Self::Closed(code) => panic!("closed with {code:?}"),
        }
    }

    pub fn error_code(&self) -> &str {
        self.data()["error"]["code"].as_str().unwrap_or_default()
    }

    pub fn reason(&self) -> &str {
        self.data()["error"]["reason"].as_str().unwrap_or_default()
    }
}

/// A client of either protocol.
pub struct Client {
    socket: Socket,
    is_socket_io: bool,
}

impl Client {
    /// A plain WebSocket; the status if the handshake is refused.
    pub async fn plain(
        address: SocketAddr,
        query: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self, u16> {
        let socket = open(address, query, headers).await?;
        Ok(Self {
            socket,
            is_socket_io: false,
        })
    }

    /// A Socket.IO client that has sent its CONNECT with this `auth`; what it is answered is heard as
    /// `connect` or `connect_error`.
    pub async fn socket_io(address: SocketAddr, query: &str, auth: &Value) -> Self {
        let query = format!("/?EIO=4&transport=websocket{query}");
        let mut socket = open(address, &query, &[]).await.unwrap();
        let auth = if auth.is_null() {
            String::new()
        } else {
            auth.to_string()
        };
        socket
            .send(Message::text(format!("40{auth}")))
            .await
            .unwrap();
        Self {
            socket,
            is_socket_io: true,
        }
    }

    /// A client with this token, authenticated; of either protocol.
    pub async fn with_token(address: SocketAddr, token: &str, is_socket_io: bool) -> Self {
        let mut client = if is_socket_io {
            Self::socket_io(address, "", &json!({ "token": token })).await
        } else {
            let query = format!("?token={token}");
            Self::plain(address, &query, &[]).await.unwrap()
        };
        let heard = client.until("authenticated").await;
        assert_eq!(heard.data()["success"], true);
        client
    }

    pub async fn send(&mut self, event: &str, data: &Value) {
        let text = if self.is_socket_io {
            format!("42{}", json!([event, data]))
        } else {
            json!({ "event": event, "data": data }).to_string()
        };
        // A server that has closed the connection is heard of by `hear`.
        let _ = self.socket.send(Message::text(text)).await;
    }

    /// Sends, and waits for `reply` or an error, skipping events in between.
    pub async fn call(&mut self, event: &str, data: &Value, reply: &str) -> Heard {
        self.send(event, data).await;
        loop {
            let heard = self.hear().await;
            if heard.is(reply) || heard.is("error") || matches!(heard, Heard::Closed(_)) {
                return heard;
            }
        }
    }

    /// The next message.
    pub async fn hear(&mut self) -> Heard {
        tokio::time::timeout(PATIENCE, self.next())
            .await
            .expect("something comes within 20 seconds")
    }

    async fn next(&mut self) -> Heard {
        loop {
            let text = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => text.to_string(),
                Some(Ok(Message::Close(frame))) => {
                    return Heard::Closed(frame.map(|frame| frame.code.into()));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Heard::Closed(None),
            };
            if !self.is_socket_io {
                let message: Value = serde_json::from_str(&text).unwrap();
                let event = message["event"].as_str().unwrap().to_owned();
                return Heard::Event(event, message["data"].clone());
            }
            if text == "2" {
                self.socket.send(Message::text("3")).await.unwrap();
            } else if let Some(event) = text.strip_prefix("42") {
                let mut arguments: Vec<Value> = serde_json::from_str(event).unwrap();
                let data = arguments.get_mut(1).map(Value::take).unwrap_or_default();
                return Heard::Event(arguments[0].as_str().unwrap().to_owned(), data);
            } else if let Some(error) = text.strip_prefix("44") {
                let error = serde_json::from_str(error).unwrap();
                return Heard::Event("connect_error".into(), error);
            } else if text.starts_with("40") {
                return Heard::Event("connect".into(), Value::Null);
            } else if text == "41" {
                return Heard::Event("disconnect".into(), Value::Null);
            }
        }
    }

    /// Skips to the event; panics if the connection ends first.
    pub async fn until(&mut self, event: &str) -> Heard {
        loop {
            let heard = self.hear().await;
            if heard.is(event) {
                return heard;
            }
            assert!(
                !matches!(heard, Heard::Closed(_)) && !heard.is("connect_error"),
                "waiting for {event}: {heard:?}"
            );
        }
    }

    /// Everything that came before the answer to a ping sent now.
    pub async fn heard_so_far(&mut self) -> Vec<Heard> {
        self.send("client:ping", &json!({})).await;
        let mut all = Vec::new();
        loop {
            let heard = self.hear().await;
            if heard.is("client:pong") {
                return all;
            }
            let closed = matches!(heard, Heard::Closed(_));
            all.push(heard);
            if closed {
                return all;
            }
        }
    }
}
