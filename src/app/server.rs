//! The running server: what it is put together from, and how it ends.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::accept::{ServeContext, accept, listen};
use super::auth_config::AuthConfigError;
use super::auth_start::Started;
use super::clock::SystemClock;
use super::housekeeping::keep_house;
use super::log::Log;
use super::options::Options;
use super::shutdown::{DrainOptions, drain};
use super::signals;
use super::supervise::supervise;
use super::tls::{TlsError, TlsFiles};
use crate::http::options::ApiAccess;
use crate::http::realtime::Site;
use crate::http::router::router;
use crate::hub::Hub;
use crate::hub::admission::AdmissionOptions;
use crate::node::Node;
use crate::protocol::DeliveryTimes;
use crate::protocol::plain::PlainGateway;
use crate::protocol::socket_io::{SocketIo, SocketIoGateway};
use crate::wire::send_queue::flusher::SendQueues;

#[derive(Debug, Error)]
pub enum ServerError {
    #[error("failed to listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("failed to install signal handlers: {0}")]
    Signals(io::Error),
    #[error("no connection was accepted any more, so the server was shut down")]
    Accepting,
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
    stop_accepting: watch::Sender<bool>,
    /// Ends when no connection is served by HTTP any more.
    alive: mpsc::Receiver<()>,
    /// Ends when it is told to.
    accepting: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
}

/// A server without its sockets.
pub(crate) struct Composed {
    pub hub: Arc<Hub>,
    pub site: Arc<Site>,
    tasks: Vec<JoinHandle<()>>,
}

/// Puts a server together, in the runtime that this is called in.
pub(crate) async fn compose(options: &Options) -> Result<Composed, ServerError> {
    let hub = Hub::new(
        options.hub.clone(),
        options.catalogue.clone(),
        Arc::new(SystemClock),
    );
    let Started {
        authenticator,
        revocations,
        mut tasks,
    } = options.auth.clone().start().await?;
    let observer = Arc::new(DeliveryTimes(Arc::clone(&hub)));
    let queues = SendQueues::new(options.link, observer);
    let node = Node::new(Arc::clone(&hub), options.node, authenticator, revocations);
    let socket_io = SocketIo::new(Arc::clone(&node), options.socket_io);
    let buffers = Arc::clone(&queues.buffers);
    let socket_io = SocketIoGateway::new(socket_io, options.engine_io, Arc::clone(&queues));
    let socket_io = Arc::new(socket_io);
    let ping_interval = options.plain.ping_interval;
    let plain = PlainGateway::new(Arc::clone(&node), options.plain, queues);
    let site = Arc::new(router(
        Arc::clone(&node),
        Arc::clone(&socket_io),
        Arc::new(plain),
        buffers,
        &options.http,
    ));
    let of_house = Arc::clone(&node);
    tasks.push(supervise("housekeeping", move || {
        keep_house(Arc::clone(&of_house), ping_interval)
    }));
    tasks.push(supervise("Engine.IO time", move || socket_io.keep_time()));
    Ok(Composed { hub, site, tasks })
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
    let (stop_accepting, stopping) = watch::channel(false);
    let (holds, alive) = mpsc::channel(1);
    let context = ServeContext {
        service: site,
        hub: Arc::clone(&hub),
        front: options.front,
        tls,
        stopping,
        alive: holds,
    };
    let accepting = tokio::spawn(accept(listener, context));
    Ok(Running {
        address,
        hub,
        drain: options.drain,
        stop_accepting,
        alive,
        accepting,
        tasks,
    })
}

impl Running {
    /// Sends the clients away and ends, within the time for a shutdown.
    pub async fn stop(self) {
        drain(&self.hub, self.drain, self.stop_accepting, self.alive).await;
        for task in self.tasks {
            task.abort();
        }
    }
}

/// Serves until SIGTERM or SIGINT, then closes every connection and returns. A second one ends the
/// process at once. `source` is where the configuration is from, for the operator.
pub(super) async fn run(options: Options, source: &str, log: Log) -> Result<(), ServerError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    signals::ignore().map_err(ServerError::Signals)?;
    let greeting = Greeting::of(&options);
    let mut running = start(options).await?;
    greeting.say(running.address, source);

    let outcome = tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = &mut running.accepting => {
            tracing::error!("no connection is accepted any more: shutting down");
            Err(ServerError::Accepting)
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

/// What an operator is told at the start.
struct Greeting {
    scheme: &'static str,
    path: String,
    has_page: bool,
    /// Where identities come from, and who can claim one.
    identities: String,
    /// The same in one word.
    source: &'static str,
    is_insecure: bool,
    access: ApiAccess,
    limits: AdmissionOptions,
    max_message_size: usize,
}

impl Greeting {
    fn of(options: &Options) -> Self {
        let auth = &options.auth;
        let identities = match (auth.believes_clients, auth.checks_tokens) {
            (false, _) => "Identities come from tokens.",
            (true, true) => {
                "Identities come from tokens, or are asserted: a client may say who it is."
            }
            (true, false) => "Identities are asserted: a client may say who it is.",
        };
        let who = match (auth.believes_clients, options.is_insecure) {
            (false, _) => "",
            (true, true) => " Anybody who reaches this address is believed!",
            (true, false) => " Only this machine can connect.",
        };
        Self {
            scheme: if options.tls.is_some() {
                "https"
            } else {
                "http"
            },
            path: options.http.path.clone(),
            has_page: options.http.dashboard,
            identities: [identities, who].concat(),
            source: match (auth.believes_clients, auth.checks_tokens) {
                (false, _) => "tokens",
                (true, true) => "tokens or asserted",
                (true, false) => "asserted",
            },
            is_insecure: options.is_insecure,
            access: auth.access.clone(),
            limits: options.hub.admission.clone(),
            max_message_size: options.http.max_message_size,
        }
    }

    /// Says where the server is and what to try; the first line is for programs that wait for it.
    fn say(&self, address: SocketAddr, source: &str) {
        let Self {
            scheme,
            path,
            identities,
            ..
        } = self;
        let page = if self.has_page {
            format!("Dashboard: {scheme}://{address}/\n")
        } else {
            String::new()
        };
        let web_socket = scheme.replace("http", "ws");
        let key = match &self.access {
            ApiAccess::Open => "",
            ApiAccess::Keys(_) => "-H \"X-API-Key: $API_KEY\" ",
        };
        let text = format!(
            "orgcast {} listening on {scheme}://{address}{path}\n\n\
             {identities}\n\n\
             Settings:  {source}\n\
             {page}\
             Clients:   socket.io-client   io(\"{scheme}://{address}\", {{ path: \"{path}\" }})\n\
             \x20          plain WebSocket    npx wscat -c {web_socket}://{address}{path}\n\
             Health:    {scheme}://{address}/api/ws/health\n\n\
             Try:\n  curl -X POST {scheme}://{address}/api/ws/broadcast/kpi \\\n    \
             {key}-H 'Content-Type: application/json' \\\n    \
             -d '{{\"organization_id\":\"org_123\",\"queue_name\":\"support\",\"health_score\":85}}'\n\n",
            env!("CARGO_PKG_VERSION"),
        );
        let mut out = io::stdout().lock();
        // A closed standard output is no reason not to serve.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        self.log(address);
    }

    /// What the server was started with, for whoever reads its log; no secret is among it.
    fn log(&self, address: SocketAddr) {
        let limits = &self.limits;
        tracing::info!(
            %address,
            path = self.path,
            tls = self.scheme == "https",
            identities = self.source,
            api = match &self.access {
                ApiAccess::Open => "open",
                ApiAccess::Keys(_) => "keys",
            },
            max_connections_total = limits.max_connections_total,
            max_connections_per_org = limits.max_connections_per_org,
            max_connections_per_address = limits.max_connections_per_address,
            messages_per_second = limits.rate.per_second,
            requests_per_second = limits.requests_per_second,
            max_message_size_bytes = self.max_message_size,
            version = env!("CARGO_PKG_VERSION"),
            "listening"
        );
        if self.is_insecure {
            tracing::warn!(%address, "asserted identities on an address that others can reach");
        }
        if matches!(&self.access, ApiAccess::Keys(keys) if keys.is_empty()) {
            tracing::warn!("no API key is configured: the HTTP API refuses every call");
        }
    }
}
