//! The front door: connections are accepted, and each is served until it ends or becomes a
//! WebSocket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, watch};
use tower::ServiceExt;

use super::tls::TlsFiles;
use crate::hub::Hub;
use crate::hub::refused::Refused;
use crate::wire::http_stream::{HttpStream, HttpTimeouts, Phase, TimedOut};
use crate::wire::tls::TlsStream;
use crate::wire::transport::Transport;

/// What the system keeps of unsent bytes for one connection; Linux takes twice as much. Without a
/// bound it grows to megabytes, and a client that reads slowly but steadily would not be seen to
/// take anything for longer than the write timeout.
const SEND_BUFFER_BYTES: usize = 128 * 1024;

/// Connections that the system may hold until they are accepted.
const BACKLOG: u32 = 4096;
/// Bytes of a connection's buffer, and so of a request's headers.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// Headers of a request.
const MAX_HEADERS: usize = 64;
/// How long to wait when the system gives no connection, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What every connection is served with.
#[derive(Clone)]
pub(super) struct Door {
    pub service: Router,
    pub hub: Arc<Hub>,
    pub timeouts: HttpTimeouts,
    pub tls: Option<Arc<TlsFiles>>,
    /// Turns true when nobody is let in any more.
    pub stopping: watch::Receiver<bool>,
    /// Held by every connection that is served: when all are gone, its receiver ends.
    pub alive: mpsc::Sender<()>,
}

pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restarted server must not wait for the connections of the one before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Accepts until it is told to stop; then the address is free again.
pub(super) async fn accept(listener: TcpListener, mut door: Door) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = door.stopping.changed() => return,
        };
        match accepted {
            Ok((tcp, remote)) => {
                pause = SHORTEST_PAUSE;
                tokio::spawn(serve(tcp, remote, door.clone()));
            }
            // The peer changed its mind.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                door.hub.gate.refused.count(Refused::AcceptError, error);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    _ = door.stopping.changed() => return,
                }
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// Sends small frames at once, and finds out about peers that are gone without a word.
fn prepare(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    SockRef::from(tcp).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_mins(1))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

fn transport(tcp: TcpStream, tls: Option<&TlsFiles>) -> io::Result<Transport> {
    prepare(&tcp)?;
    Ok(match tls {
        None => Transport::Tcp(tcp),
        Some(files) => Transport::Tls(Box::new(TlsStream::new(tcp, files.config())?)),
    })
}

/// One connection, until it is closed or becomes a WebSocket.
async fn serve(tcp: TcpStream, remote: SocketAddr, door: Door) {
    let Door {
        service,
        hub,
        timeouts,
        tls,
        mut stopping,
        alive: _alive,
    } = door;
    let transport = match transport(tcp, tls.as_deref()) {
        Ok(transport) => transport,
        Err(error) => {
            tracing::debug!(%error, %remote, "connection lost before its first request");
            return;
        }
    };
    let phase = Arc::new(Phase::default());
    let stream = HttpStream::new(transport, timeouts, Arc::clone(&phase));
    let of_handler = Arc::clone(&phase);
    let handler = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
        let serving = of_handler.serve();
        let mut request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(remote));
        let response = service.clone().oneshot(request);
        async move {
            let response = response.await;
            drop(serving);
            response
        }
    });
    let connection = http1::Builder::new()
        // The stream holds the time for headers, and that between requests.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match phase.timed_out() {
        Some(TimedOut::Header) => hub.gate.refused.count(Refused::HeaderTimeout, remote),
        Some(TimedOut::Write) => hub.gate.refused.count(Refused::ResponseTimeout, remote),
        Some(TimedOut::KeepAlive) | None => {}
    }
    if let Err(error) = outcome {
        tracing::debug!(%error, %remote, "connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_accepted_connection_sends_at_once_and_notices_a_peer_that_is_gone() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (tcp, _) = accepted.unwrap();
        let transport = transport(tcp, None).unwrap();
        let Transport::Tcp(tcp) = &transport else {
            panic!("no TLS was asked for")
        };
        assert!(tcp.nodelay().unwrap());
        let socket = SockRef::from(tcp);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_mins(1));
        assert_eq!(
            socket.tcp_keepalive_interval().unwrap(),
            Duration::from_secs(15)
        );
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), 4);
        // Linux says twice of what was asked for.
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_BUFFER_BYTES);
    }
}
