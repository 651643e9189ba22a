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
