//! Signals that mean something to other servers: those that would end the process by default are
//! taken, so that a habit ends nothing.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Ignores what others reload and reopen their logs by, and says so each time. To be called in a
/// runtime.
pub(super) fn ignore() -> io::Result<()> {
    for (kind, name) in [
        (SignalKind::hangup(), "SIGHUP"),
        (SignalKind::user_defined1(), "SIGUSR1"),
        (SignalKind::user_defined2(), "SIGUSR2"),
    ] {
        let mut signals = signal(kind)?;
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                tracing::warn!(
                    signal = name,
                    "signal ignored: the configuration is read at the start alone, certificates \
                     whenever they change"
                );
            }
        });
    }
    Ok(())
}
