//! TLS over TCP, read and written without waiting.
//!
//! There is no handshake of its own: it runs with the first reads, so that whatever limits the time
//! for a request's headers limits it too.

use std::io::{self, Read, Write};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection};
use tokio::net::TcpStream;

/// Encrypted bytes that may wait for the operating system.
const BUFFER_LIMIT: usize = 32 * 1024;

/// The server's end of a TLS connection.
pub struct TlsStream {
    tcp: TcpStream,
    session: Mutex<ServerConnection>,
}

/// The socket as TLS sees it: it never waits.
struct Socket<'a>(&'a TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TlsStream {
    /// Fails only on a configuration that no connection can be made with.
    pub fn new(tcp: TcpStream, config: Arc<ServerConfig>) -> io::Result<Self> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(BUFFER_LIMIT));
        Ok(Self {
            tcp,
            session: Mutex::new(session),
        })
    }

    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }

    fn flush(&self, session: &mut ServerConnection) -> io::Result<()> {
        while session.wants_write() {
            session.write_tls(&mut Socket(&self.tcp))?;
        }
        Ok(())
    }

    /// As [`Self::flush`], with the rest left for later.
    fn begin_flush(&self, session: &mut ServerConnection) -> io::Result<()> {
        match self.flush(session) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            flushed => flushed,
        }
    }

    /// Takes bytes only when nothing from before waits.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        self.flush(&mut session)?;
        let count = session.writer().write(bytes)?;
        self.begin_flush(&mut session)?;
        Ok(count)
    }

    pub(super) fn has_unsent(&self) -> bool {
        self.session.lock().wants_write()
    }

    pub(super) fn try_flush(&self) -> io::Result<()> {
        self.flush(&mut self.session.lock())
    }

    pub(super) fn has_plaintext(&self) -> bool {
        // What went wrong, if anything, is told by the read that follows.
        self.session
            .lock()
            .process_new_packets()
            .map_or(true, |state| {
                state.plaintext_bytes_to_read() > 0 || state.peer_has_closed()
            })
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut session = self.session.lock();
        loop {
            match session.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The peer left without a goodbye.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            session.read_tls(&mut Socket(&self.tcp))?;
            let processed = session.process_new_packets();
            // Handshakes and alerts.
            self.begin_flush(&mut session)?;
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
    }

    /// Says that nothing more comes, as far as the socket takes it.
    pub(super) fn say_goodbye(&self) {
        let mut session = self.session.lock();
        session.send_close_notify();
        // A peer that takes no more bytes can't be told.
        let _ = self.flush(&mut session);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
    use socket2::SockRef;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpListener;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::wire::send_queue::link::Link;
    use crate::wire::send_queue::{DropPolicy, LinkOptions, Pushed};
    use crate::wire::testing::{self, queues_with};
    use crate::wire::transport::Transport;
    use crate::wire::websocket::frame::{Opcode, server_frame};
    use crate::wire::websocket::stream::linger;

    const OPTIONS: LinkOptions = LinkOptions {
        max_messages: 10_000,
        max_bytes: 1 << 30,
        write_timeout: Duration::from_mins(10),
        ..testing::OPTIONS
    };

    /// What a client reads once it is told how much to wait for.
    struct Reader {
        expect: mpsc::Sender<usize>,
        read: JoinHandle<usize>,
    }

    impl Reader {
        async fn reads(self, count: usize) {
            self.expect.send(count).unwrap();
            let read = tokio::time::timeout(Duration::from_mins(1), self.read).await;
            assert_eq!(read.expect("all of it arrives").unwrap(), count);
        }
    }

    /// A connection with small buffers, and its client, which does not read yet.
    async fn connection() -> (Arc<Link>, Reader) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let server_config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let client_config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (expect, expected) = mpsc::channel();
        let read = tokio::task::spawn_blocking(move || {
            let tcp = std::net::TcpStream::connect(address).unwrap();
            SockRef::from(&tcp).set_recv_buffer_size(4096).unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let session = ClientConnection::new(Arc::new(client_config), name).unwrap();
            let mut tls = StreamOwned::new(session, tcp);
            let count: usize = match tls.write_all(b"hello") {
                Ok(()) => expected.recv().unwrap(),
                Err(error) => panic!("{error}"),
            };
            let mut read = 0;
            let mut chunk = [0; 4096];
            while read < count {
                match tls.read(&mut chunk) {
                    Ok(more @ 1..) => read += more,
                    end => panic!("{end:?} after {read} of {count}"),
                }
            }
            read
        });
        let (tcp, _) = listener.accept().await.unwrap();
        SockRef::from(&tcp).set_send_buffer_size(4096).unwrap();
        let tls = TlsStream::new(tcp, Arc::new(server_config)).unwrap();
        let mut hello = [0; 5];
        let mut transport = Transport::Tls(Box::new(tls));
        transport.read_exact(&mut hello).await.unwrap();
        let queues = queues_with(OPTIONS, &Arc::default());
        let link = Link::over(&queues, transport, false);
        (link, Reader { expect, read })
    }

    /// The session's buffer holds the end of what was sent, and nothing else follows that would push
    /// it on.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_the_session_took_but_not_the_socket_is_written_when_there_is_room() {
        let (link, reader) = connection().await;
        let own = Arc::clone(&link);
        let task = tokio::spawn(async move {
            loop {
                linger(&own).await;
            }
        });
        let frame = server_frame(Opcode::Text, &[b'x'; 1000]);
        let mut sent = 0;
        // Until nothing more moves: the kernel takes its time to fill both sockets.
        let mut still = 0;
        while still < 20 {
            if link.transport().unwrap().has_unsent() {
                still += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
            still = 0;
            assert_eq!(link.push(&frame, DropPolicy::Reply), Pushed::Written);
            sent += frame.len();
        }
        assert_eq!(link.waiting(), (0, 0), "only the session holds something");
        reader.reads(sent).await;
        task.abort();
    }
}
