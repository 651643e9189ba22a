//! The running server, from its sockets to its end.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::{ServeContext, accept, listen};
use super::banner::Greeting;
use super::compose::{Composed, compose};
use super::log::Log;
use super::shutdown::drain;
use super::signals;
use super::supervise::supervise;
use super::tls::TlsFiles;
use crate::config::auth::AuthConfigError;
use crate::config::options::DrainOptions;
use crate::config::options::Options;
use crate::config::tls::TlsError;
use crate::hub::Hub;

#[derive(Debug, Error)]
pub enum ServerError {
    #[error("failed to listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
    #[error("failed to install signal handlers: {0}")]
    Signals(#[source] io::Error),
    #[error("no connection was accepted any more, so the server was shut down")]
    Accepting(#[source] Option<JoinError>),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Auth(#[from] AuthConfigError),
}

/// A server that accepts clients. Dropping it without [`Running::stop`] leaves it running as long
/// as its runtime does.
pub struct Running {
    /// Where it listens, with the port that it got.
    pub address: SocketAddr,
    pub hub: Arc<Hub>,
    drain: DrainOptions,
    /// Cancelled when nobody is to be let in any more.
    stopping: CancellationToken,
    /// The connections that are served by HTTP.
    served: TaskTracker,
    /// Ends when it is told to.
    accepting: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
}

/// Starts a server in the runtime that this is called in; it accepts when this returns.
pub async fn start(options: Options) -> Result<Running, ServerError> {
    let failed = |error| ServerError::Listen(options.address, error);
    let tls = match options.tls.clone() {
        None => None,
        Some(paths) => Some(Arc::new(TlsFiles::open(paths).await?)),
    };
    let listener = listen(options.address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let Composed {
        hub,
        site,
        mut tasks,
    } = compose(&options).await?;
    if let Some(files) = &tls {
        let files = Arc::clone(files);
        tasks.push(supervise("TLS files", move || Arc::clone(&files).watch()));
    }
    let (stopping, served) = (CancellationToken::new(), TaskTracker::new());
    let context = ServeContext {
        service: site,
        hub: Arc::clone(&hub),
        front: options.front,
        tls,
        stopping: stopping.clone(),
        served: served.clone(),
    };
    let accepting = tokio::spawn(accept(listener, context));
    Ok(Running {
        address,
        hub,
        drain: options.drain,
        stopping,
        served,
        accepting,
        tasks,
    })
}

impl Running {
    /// Sends the clients away and ends, within the time for a shutdown.
    pub async fn stop(self) {
        drain(&self.hub, self.drain, &self.stopping, &self.served).await;
        for task in self.tasks {
            task.abort();
        }
    }
}

/// Serves until SIGTERM or SIGINT, then closes every connection and returns. A second one ends the
/// process at once. `source` is where the configuration is from, for the operator.
pub async fn run(options: Options, source: &str, log: Log) -> Result<(), ServerError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    signals::ignore().map_err(ServerError::Signals)?;
    let greeting = Greeting::of(&options);
    let mut running = start(options).await?;
    greeting.say(running.address, source);

    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        ended = &mut running.accepting => {
            let cause = ended.err();
            let error = cause.as_ref().map(tracing::field::display);
            tracing::error!(error, "no connection is accepted any more: shutting down");
            Err(ServerError::Accepting(cause))
        }
    };
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: exiting at once");
        log.flush();
        std::process::exit(1);
    });
    running.stop().await;
    outcome
}
