//! The running server: what it is put together from, its clockwork, and how it ends.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

use super::accept::{Door, accept, listen};
use super::auth_config::AuthConfigError;
use super::options::Options;
use super::shutdown::{DrainOptions, drain};
use super::signals;
use super::tls::{self, TlsError, TlsFiles};
use crate::auth::Authenticator;
use crate::domain::time::UnixMillis;
use crate::http::guard::ApiAccess;
use crate::http::router::router;
use crate::hub::Hub;
use crate::hub::gate::GateOptions;
use crate::protocol::DeliveryTimes;
use crate::protocol::plain::PlainGateway;
use crate::protocol::socket_io::{SocketIo, SocketIoGateway};
use crate::wire::send_queue::flusher::SendQueues;

/// How often connections that have yet to authenticate are looked at.
const DEADLINE_TICK: Duration = Duration::from_millis(100);
/// How often it is logged what was refused.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// How often every connection is looked at; more often if pings are.
const CONNECTION_TICK: Duration = Duration::from_secs(1);

#[derive(Debug, Error)]
pub enum ServerError {
    #[error("failed to listen on {0}: {1}")]
    Listen(SocketAddr, io::Error),
    #[error("failed to install signal handlers: {0}")]
    Signals(io::Error),
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
    tasks: Vec<JoinHandle<()>>,
}

/// Starts a server in the runtime that this is called in; it accepts when this returns.
pub async fn start(options: Options) -> Result<Running, ServerError> {
    let failed = |error| ServerError::Listen(options.address, error);
    let tls = options.tls.map(TlsFiles::open).transpose()?.map(Arc::new);
    let listener = listen(options.address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;

    let hub = Hub::new(options.hub, options.catalogue);
    let (authority, revocations) = options.auth.start().await?;
    let authenticator: Arc<dyn Authenticator> = authority;
    let observer = Arc::new(DeliveryTimes(Arc::clone(&hub)));
    let queues = SendQueues::new(options.link, observer);
    let socket_io = SocketIo::new(
        Arc::clone(&hub),
        Arc::clone(&authenticator),
        options.socket_io,
    );
    let socket_io = SocketIoGateway::new(socket_io, options.engine_io, Arc::clone(&queues));
    let engine_time = socket_io.keep_time();
    let ping_interval = options.plain.ping_interval;
    let plain = PlainGateway::new(Arc::clone(&hub), authenticator, options.plain, queues);
    let service = router(
        Arc::clone(&hub),
        Arc::new(socket_io),
        Arc::new(plain),
        revocations,
        &options.http,
    );

    let tick = CONNECTION_TICK.min(ping_interval / 4).max(DEADLINE_TICK);
    let (stop_accepting, stopping) = watch::channel(false);
    let (holds, alive) = mpsc::channel(1);
    let mut tasks = vec![
        tokio::spawn(clockwork(Arc::clone(&hub), tick)),
        tokio::spawn(engine_time),
    ];
    if let Some(files) = &tls {
        tasks.push(tokio::spawn(watch_files(Arc::clone(files))));
    }
    let door = Door {
        service,
        hub: Arc::clone(&hub),
        front: options.front,
        tls,
        stopping,
        alive: holds,
    };
    tokio::spawn(accept(listener, door));
    Ok(Running {
        address,
        hub,
        drain: options.drain,
        stop_accepting,
        alive,
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
pub async fn run(options: Options, source: &str) -> Result<(), ServerError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(ServerError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServerError::Signals)?;
    signals::ignore().map_err(ServerError::Signals)?;
    let greeting = Greeting::of(&options);
    let running = start(options).await?;
    greeting.say(running.address, source);

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("second signal: exiting at once");
        std::process::exit(1);
    });
    running.stop().await;
    Ok(())
}

async fn watch_files(files: Arc<TlsFiles>) {
    let mut looks = tokio::time::interval(tls::LOOK_INTERVAL);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        looks.tick().await;
        files.look();
    }
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
    limits: GateOptions,
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
            limits: options.hub.gate.clone(),
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

async fn clockwork(hub: Arc<Hub>, tick: Duration) {
    let mut deadlines = tokio::time::interval(DEADLINE_TICK);
    let mut connections = tokio::time::interval(tick);
    let mut reports = tokio::time::interval(REPORT_INTERVAL);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    deadlines.set_missed_tick_behavior(MissedTickBehavior::Skip);
    connections.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = deadlines.tick() => {
                hub.close_unauthenticated(Instant::now());
                hub.end_expired(UnixMillis::from_system(SystemTime::now()));
            }
            _ = connections.tick() => hub.tick(Instant::now()),
            _ = reports.tick() => hub.report(),
        }
    }
}
