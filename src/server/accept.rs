//! The front door: connections are accepted, and each is served until it ends or becomes a
//! WebSocket.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::descriptors::{self, Reserve};
use super::tls::TlsFiles;
use super::unread::{self, Rest};
use crate::config::options::FrontOptions;
use crate::http::realtime::Site;
use crate::http::router::{for_operators_only, is_for_operators};
use crate::hub::Hub;
use crate::hub::limits::AddressKey;
use crate::metrics::rejections::Rejection;
use crate::wire::connections::TcpSlot;
use crate::wire::http_stream::{Ended, HttpStream, Phase};
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
/// Connections that are given up for each new one for which there is no descriptor: more than one, so
/// that the next has one.
const GIVEN_UP_AT_ONCE: usize = 2;
/// How long to wait when the system gives no connection, at first and at most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What whoever finds no room is answered without being read.
const NO_ROOM: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
                         Connection: close\r\nContent-Length: 0\r\n\r\n";

/// What every connection is served with.
#[derive(Clone)]
pub(super) struct ServeContext {
    pub service: Arc<Site>,
    pub hub: Arc<Hub>,
    pub front: FrontOptions,
    pub tls: Option<Arc<TlsFiles>>,
    /// Cancelled when nobody is let in any more.
    pub stopping: CancellationToken,
    /// The connections that are served.
    pub served: TaskTracker,
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
pub(super) async fn accept(listener: TcpListener, context: ServeContext) {
    let mut reserve = Reserve::of_this_process();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = context.stopping.cancelled() => return,
        };
        match accepted {
            Ok((tcp, remote)) => {
                pause = SHORTEST_PAUSE;
                let is_reserved = !context.make_room(&mut reserve).await;
                if let Some(slot) = context.admit(&tcp, remote, is_reserved) {
                    let serving = serve(tcp, remote, slot, is_reserved, context.clone());
                    context.served.spawn(serving);
                }
            }
            // The peer changed its mind.
            Err(error) if is_of_one_connection(&error) => {}
            Err(error)
                if descriptors::are_used_up(&error) && context.find_one(&mut reserve).await => {}
            Err(error) => {
                context
                    .hub
                    .metrics
                    .rejections
                    .count(Rejection::AcceptError, error);
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = context.stopping.cancelled() => return,
                }
                pause = LONGEST_PAUSE.min(pause * 2);
            }
        }
    }
}

impl ServeContext {
    /// Makes the reserve of descriptors whole again if it is not, for which connections that wait are
    /// given up; `false` if that can't be done, so that a new connection has one of the reserve.
    async fn make_room(&self, reserve: &mut Reserve) -> bool {
        if reserve.is_whole() {
            return true;
        }
        self.front.connections.make_room(GIVEN_UP_AT_ONCE).await;
        reserve.refill()
    }

    /// Whether there is a descriptor to accept with, if all that the system gives are taken.
    async fn find_one(&self, reserve: &mut Reserve) -> bool {
        reserve.release() || self.make_room(reserve).await
    }

    /// A slot for a new connection; `None` if there is none.
    fn admit(&self, tcp: &TcpStream, remote: SocketAddr, is_reserved: bool) -> Option<TcpSlot> {
        let FrontOptions {
            connections,
            trusted_proxies,
            operators,
            ..
        } = &self.front;
        let address = remote.ip();
        let refused = if is_reserved && !operators.contain(address) {
            Rejection::Descriptors
        } else {
            let is_exempt = trusted_proxies.contain(address);
            let slot = connections.open(AddressKey::from(address).into(), is_exempt);
            if slot.is_some() {
                return slot;
            }
            Rejection::TcpAddressFull
        };
        self.hub.metrics.rejections.count(refused, address);
        if self.tls.is_none() {
            // Whoever takes nothing of it is refused all the same.
            let _ = tcp.try_write(NO_ROOM);
        }
        None
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
async fn serve(
    tcp: TcpStream,
    remote: SocketAddr,
    slot: TcpSlot,
    is_reserved: bool,
    context: ServeContext,
) {
    let ServeContext {
        service,
        hub,
        front,
        tls,
        stopping,
        served: _,
    } = context;
    let transport = match transport(tcp, tls.as_deref()) {
        Ok(transport) => transport,
        Err(error) => {
            tracing::debug!(%error, %remote, "connection lost before its first request");
            return;
        }
    };
    let phase = Arc::new(Phase::new(slot));
    let stream = HttpStream::new(transport, front.timeouts, Arc::clone(&phase));
    let of_handler = Arc::clone(&phase);
    let handler = service_fn(move |request: Request<Incoming>| {
        // Before the body is read from, so that the stream knows what it reads.
        let serving = of_handler.serve(unread::length(&request));
        let (request, rest) = unread::watch(request, &of_handler);
        let service = Arc::clone(&service);
        async move {
            let response = if is_reserved && !is_for_operators(request.uri().path()) {
                for_operators_only()
            } else {
                service.serve(remote, request).await
            };
            let response = finished(response, rest, is_reserved);
            drop(serving);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = http1::Builder::new()
        // The stream holds the time for headers, and that between requests.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADER_BYTES)
        .max_headers(front.max_headers)
        .writev(false)
        .serve_connection(TokioIo::new(stream), handler)
        .with_upgrades();
    tokio::pin!(connection);
    let outcome = {
        // Asked once, as it is the same task that waits for it all the time, and asking takes a lock
        // that all connections share.
        let mut stop = pin!(stopping.cancelled());
        let (mut is_asked, mut is_over) = (false, false);
        poll_fn(|cx| {
            let is_due = !is_asked || stopping.is_cancelled();
            if is_due && !is_over {
                is_asked = true;
                is_over = stop.as_mut().poll(cx).is_ready();
                if is_over {
                    connection.as_mut().graceful_shutdown();
                }
            }
            connection.as_mut().poll(cx)
        })
        .await
    };
    let refused = match (phase.ended(), &outcome) {
        (Some(Ended::Header), _) => Some(Rejection::HeaderTimeout),
        (Some(Ended::Write), _) => Some(Rejection::ResponseTimeout),
        (Some(Ended::GivenUp), _) => Some(Rejection::GivenUp),
        (None, Err(error)) if error.is_parse_too_large() => Some(Rejection::HeadersTooLarge),
        (None, Err(error)) if error.is_parse() => Some(Rejection::MalformedRequest),
        (Some(Ended::KeepAlive) | None, _) => None,
    };
    if let Some(refused) = refused {
        hub.metrics.rejections.count(refused, remote);
    }
    if let Err(error) = outcome {
        tracing::debug!(%error, %remote, "connection ended with an error");
    }
}

/// The answer as it is sent. On a descriptor that is reserved only operators are answered, and each
/// once, so that the descriptor is free again.
fn finished(mut response: Response<Body>, rest: Option<Rest>, is_reserved: bool) -> Response<Body> {
    if response.status() == StatusCode::NOT_MODIFIED {
        // It would be the length of what was not sent (RFC 9110 section 8.6).
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    if is_reserved {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
    }
    if let Some(rest) = rest {
        rest.settle(&mut response);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use tower::ServiceExt;

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

    #[tokio::test]
    async fn an_answer_that_nothing_changed_has_no_length() {
        let unchanged = async || (StatusCode::NOT_MODIFIED, [(header::ETAG, "\"1\"")]);
        let service = Router::new().route("/", axum::routing::get(unchanged));
        for method in ["GET", "HEAD"] {
            let request = Request::builder().method(method);
            let request = request.body(Body::empty()).unwrap();
            let answered = service.clone().oneshot(request).await.unwrap();
            let response = finished(answered, None, false);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED);
            assert_eq!(
                response.headers().get(header::CONTENT_LENGTH),
                None,
                "{method}"
            );
            assert_eq!(response.headers()[header::ETAG], "\"1\"");
        }
    }
}
