//! From the one configuration to the options of each module.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::auth::{AuthConfigError, AuthOptions};
use super::error::ConfigError;
use super::kind::values;
use super::schema::Config;
use super::tls::TlsPaths;
use crate::domain::event::{Catalogue, CatalogueError};
use crate::http::client_ip::Networks;
use crate::http::options::ApiAccess;
use crate::http::options::HttpOptions;
use crate::http::options::OwnNames;
use crate::hub::HubOptions;
use crate::hub::admission::{AdmissionOptions, OrganizationLimits};
use crate::hub::rates::RateOptions;
use crate::node::NodeOptions;
use crate::node::sessions::RecoveryOptions;
use crate::protocol::engine_io::EngineOptions;
use crate::protocol::plain::PlainOptions;
use crate::protocol::socket_io::SocketIoOptions;
use crate::store::streams::StreamOptions;
use crate::store::{HistoryOptions, LatestOptions};
use crate::wire::connections::Connections;
use crate::wire::http_stream::HttpTimeouts;
use crate::wire::send_queue::LinkOptions;

/// How long a WebSocket may take to become the transport of a client that polls.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a configuration can't be served.
#[derive(Debug, Error)]
pub enum OptionsError {
    #[error(transparent)]
    Invalid(#[from] ConfigError),
    #[error("`events`: {0}")]
    Events(#[from] CatalogueError),
    #[error(transparent)]
    Auth(#[from] AuthConfigError),
}

/// What holds for connections before there is a request.
#[derive(Debug, Clone)]
pub struct FrontOptions {
    pub timeouts: HttpTimeouts,
    /// Header lines of a request.
    pub max_headers: usize,
    pub connections: Arc<Connections>,
    /// Many clients come from each of these, so they have no limit as one.
    pub trusted_proxies: Networks,
    /// For whom the last descriptors are.
    pub operators: Networks,
}

/// How a shutdown goes.
#[derive(Debug, Clone, Copy)]
pub struct DrainOptions {
    /// All of it, whatever the clients do.
    pub timeout: Duration,
    /// Between the end of readiness and the end of accepting: a part of the timeout.
    pub delay: Duration,
    /// Connections that are closed at once.
    pub batch_size: usize,
    /// Between two batches, on average.
    pub interval: Duration,
}

/// What the server is made of.
#[derive(Debug, Clone)]
pub struct Options {
    pub address: SocketAddr,
    pub is_insecure: bool,
    pub auth: AuthOptions,
    pub drain: DrainOptions,
    pub front: FrontOptions,
    pub tls: Option<TlsPaths>,
    pub catalogue: Catalogue,
    pub hub: HubOptions,
    pub node: NodeOptions,
    pub streams: StreamOptions,
    pub link: LinkOptions,
    pub engine_io: EngineOptions,
    pub socket_io: SocketIoOptions,
    pub plain: PlainOptions,
    pub http: HttpOptions,
}

impl Options {
    pub fn of(config: &Config) -> Result<Self, OptionsError> {
        config.validate()?;
        let millis = Duration::from_millis;
        let compression_threshold = config
            .compression_enabled
            .then_some(config.compression_threshold_bytes);
        let link = LinkOptions {
            max_messages: config.send_queue_max_messages,
            max_bytes: config.send_queue_max_bytes,
            max_buffered: config.max_buffered_bytes,
            write_timeout: millis(config.write_timeout_ms),
            compression_threshold,
        };
        let (ping_interval, ping_timeout) = (
            millis(config.ping_interval_ms),
            millis(config.ping_timeout_ms),
        );
        let auth = AuthOptions::of(&config.auth, &config.api_keys)?;
        let is_reachable = !config.host.to_canonical().is_loopback();
        let trusted_proxies: Networks = values(&config.trusted_proxies);
        let connections = Arc::new(Connections::new(tcp_connections_per_address(config)));
        Ok(Self {
            address: SocketAddr::new(config.host, config.port),
            is_insecure: is_reachable && auth.believes_clients,
            drain: DrainOptions {
                timeout: millis(config.shutdown_timeout_ms),
                delay: millis(config.drain_delay_ms),
                batch_size: config.drain_batch_size,
                interval: millis(config.drain_interval_ms),
            },
            front: front(config, &connections, &trusted_proxies),
            tls: (!config.tls.cert_file.is_empty()).then(|| TlsPaths {
                certificate: config.tls.cert_file.clone().into(),
                key: config.tls.key_file.clone().into(),
            }),
            catalogue: catalogue(config)?,
            hub: HubOptions {
                admission: admission(config),
                max_subscriptions_per_connection: config.max_subscriptions_per_connection,
                room_max_size: config.room_max_size,
                auth_required: config.auth_required,
                auth_timeout: millis(config.auth_timeout_ms),
                expiry_warning: millis(config.auth.expiry_warning_ms),
            },
            streams: streams(config),
            node: NodeOptions {
                ack_timeout: millis(config.ack_timeout_ms),
                recovery: recovery(config),
            },
            link,
            engine_io: EngineOptions {
                ping_interval,
                ping_timeout,
                upgrade_timeout: UPGRADE_TIMEOUT,
                max_payload: config.max_message_size_bytes,
                max_answer: config.max_message_size_bytes,
            },
            socket_io: SocketIoOptions {
                connect_timeout: millis(config.connect_timeout_ms),
                max_message_size: config.max_message_size_bytes,
                arguments: config.socket_io_arguments,
            },
            plain: PlainOptions {
                default_envelope: config.default_envelope,
                ping_interval,
                ping_timeout,
                max_message_size: config.max_message_size_bytes,
            },
            http: HttpOptions {
                path: config.path.clone(),
                cors_origins: values(&config.cors_origins),
                require_origin: config.require_origin,
                access: auth.access.clone(),
                max_message_size: config.max_message_size_bytes,
                body_timeout: millis(config.body_timeout_ms),
                trusted_proxies,
                compression_threshold,
                is_tls: !config.tls.cert_file.is_empty(),
                own_names: own_names(&auth, is_reachable),
                allowed_hosts: values(&config.allowed_hosts),
                dashboard: config.dashboard,
                connections,
            },
            auth,
        })
    }
}

fn streams(config: &Config) -> StreamOptions {
    StreamOptions {
        max_organizations: config.max_organizations,
        max_bytes: config.history_max_bytes_total,
        history: HistoryOptions {
            size: config.history_size,
            max_bytes: config.history_max_bytes,
            ttl_ms: config.history_ttl_ms,
        },
        latest: LatestOptions {
            max_values: config.latest_max_values,
            max_bytes: config.history_max_bytes,
            ttl_ms: config.latest_ttl_ms,
        },
    }
}

/// Twice as many sessions as there may be connections, where that is known.
const SESSIONS_PER_CONNECTION: usize = 2;

/// Where it is not.
const MAX_SESSIONS: usize = 100_000;

fn recovery(config: &Config) -> RecoveryOptions {
    let max_sessions = match (config.recovery_max_sessions, config.max_connections_total) {
        (0, 0) => MAX_SESSIONS,
        (0, connections) => connections.saturating_mul(SESSIONS_PER_CONNECTION),
        (own, _) => own,
    };
    RecoveryOptions {
        window: Duration::from_millis(config.recovery_window_ms),
        max_sessions,
        max_events: config.recovery_max_events,
    }
}

fn front(
    config: &Config,
    connections: &Arc<Connections>,
    trusted_proxies: &Networks,
) -> FrontOptions {
    let millis = Duration::from_millis;
    FrontOptions {
        timeouts: HttpTimeouts {
            header: millis(config.header_timeout_ms),
            keep_alive: millis(config.keep_alive_timeout_ms),
            write: millis(config.write_timeout_ms),
        },
        max_headers: config.max_headers,
        connections: Arc::clone(connections),
        trusted_proxies: trusted_proxies.clone(),
        operators: values(&config.operator_networks),
    }
}

/// A browser has as many to one server; a client needs no more of them than a browser.
const TCP_CONNECTIONS_PER_CLIENT: usize = 6;

fn tcp_connections_per_address(config: &Config) -> usize {
    match config.max_tcp_connections_per_address {
        0 => config
            .max_connections_per_address
            .saturating_mul(TCP_CONNECTIONS_PER_CLIENT),
        own => own,
    }
}

/// The built-in events and channels, and those that are configured.
pub fn catalogue(config: &Config) -> Result<Catalogue, OptionsError> {
    let events = config
        .events
        .iter()
        .map(|(event, channel)| (event.as_str(), channel.as_str()));
    let channels: Vec<_> = values(&config.channels);
    Ok(Catalogue::new(events, channels)?)
}

impl Options {
    /// What is allowed and probably not wanted.
    pub fn warnings(&self) -> impl Iterator<Item = &'static str> {
        let is_shut = matches!(&self.auth.access, ApiAccess::Keys(keys) if keys.is_empty());
        let insecure = "asserted identities on an address that others can reach";
        let shut = "no API key is configured: the HTTP API refuses every call";
        let elsewhere = "auth.jwks is a URL, from which nothing was fetched";
        [
            (self.is_insecure, insecure),
            (is_shut, shut),
            (self.auth.fetches_keys(), elsewhere),
        ]
        .into_iter()
        .filter_map(|(holds, text)| holds.then_some(text))
    }
}

fn own_names(auth: &AuthOptions, is_reachable: bool) -> OwnNames {
    match auth.believes_clients || matches!(auth.access, ApiAccess::Open) {
        false => OwnNames::Any,
        true if is_reachable => OwnNames::Addresses,
        true => OwnNames::Loopback,
    }
}

fn admission(config: &Config) -> AdmissionOptions {
    let organizations = config
        .org_limits
        .iter()
        .filter_map(|(id, limits)| {
            let limits = OrganizationLimits {
                max_connections: limits.max_connections,
                messages_per_second: limits.messages_per_second,
                messages_per_minute: limits.messages_per_minute,
                requests_per_second: limits.requests_per_second,
            };
            Some((id.value()?.clone(), limits))
        })
        .collect();
    AdmissionOptions {
        max_connections_total: config.max_connections_total,
        max_connections_per_org: config.max_connections_per_org,
        max_connections_per_address: config.max_connections_per_address,
        handshakes_per_second: config.handshakes_per_second,
        handshakes_per_second_per_address: config.handshakes_per_second_per_address,
        requests_per_second: config.rate_limit_requests_per_second,
        rate: RateOptions {
            per_second: config.rate_limit_messages_per_second,
            burst: config.rate_limit_burst,
            per_minute: config.rate_limit_messages_per_minute,
            close_after: Duration::from_millis(config.rate_limit_close_after_ms),
        },
        organizations,
    }
}
