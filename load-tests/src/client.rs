//! How clients reach a server, whatever they speak.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpSocket;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::error::ClientError;
use crate::stream::Stream;

/// How long one step of joining may take.
pub const STEP: Duration = Duration::from_secs(30);

/// Clients of a pool come from so many loopback addresses, so that ports don't run out.
const SOURCES: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Protocol {
    /// Socket.IO over WebSocket
    Socketio,
    /// JSON envelopes over WebSocket
    Plain,
    /// Socket.IO over HTTP polling
    Polling,
}

impl Protocol {
    pub fn name(self) -> &'static str {
        match self {
            Self::Socketio => "socketio",
            Self::Plain => "plain",
            Self::Polling => "polling",
        }
    }
}

/// How to reach the server.
#[derive(Debug, Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// The path of both protocols, without a slash at its end.
    pub path: String,
    pub rooms: Rooms,
    /// Whom to trust, if the server speaks TLS.
    pub trust: Option<Arc<ClientConfig>>,
}

/// How rooms are named to a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rooms {
    /// In commands: clients authenticate and subscribe, and a broadcast names its place.
    Commands,
    /// In the path, one for each connection, which is all that the server needs.
    Path,
}

/// How a client connects.
#[derive(Debug, Clone, Copy)]
pub struct Dial {
    pub protocol: Protocol,
    /// Offer permessage-deflate without context takeover.
    pub deflate: bool,
    /// Over TLS.
    pub tls: bool,
    /// The receive buffer, in bytes; `None` leaves it to the system.
    pub receive_buffer: Option<u32>,
}

impl Dial {
    pub fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            deflate: false,
            tls: false,
            receive_buffer: None,
        }
    }
}

/// Opens a connection from the `index`th loopback address. Only loopback is ever loaded.
pub async fn dial(
    target: &Target,
    index: usize,
    receive_buffer: Option<u32>,
) -> Result<Stream, ClientError> {
    let connect = async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        if let Some(size) = receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        let host = u8::try_from(index % SOURCES).unwrap_or(0) + 2;
        socket.bind((Ipv4Addr::new(127, 0, 0, host), 0).into())?;
        let tcp = socket.connect(target.address).await?;
        tcp.set_nodelay(true)?;
        let Some(trust) = &target.trust else {
            return Ok(Stream::Tcp(tcp));
        };
        let server = ServerName::IpAddress(target.address.ip().into());
        let tls = TlsConnector::from(Arc::clone(trust));
        Ok(Stream::Tls(Box::new(tls.connect(server, tcp).await?)))
    };
    match timeout(STEP, connect).await {
        Ok(outcome) => outcome.map_err(|error| ClientError::Io("connect", error)),
        Err(_) => Err(ClientError::TimedOut("connect", STEP.as_secs())),
    }
}

/// Whether a listener goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    More,
    Enough,
}
