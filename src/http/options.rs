//! What the HTTP side is configured with.

use std::sync::Arc;
use std::time::Duration;

use super::client_ip::Networks;
use super::origin_pattern::{Host, HostPattern, OriginPattern};
use crate::auth::api_key::ApiKeys;
use crate::wire::connections::Connections;

/// All of it.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// Where clients connect, without a slash at the end.
    pub path: String,
    pub cors_origins: Vec<OriginPattern>,
    /// Whether clients that send no `Origin` are refused at `path`.
    pub require_origin: bool,
    pub access: ApiAccess,
    pub max_message_size: usize,
    /// How long a request's body may take.
    pub body_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Networks,
    /// The answer from which on it is compressed; `None` for no compression, of WebSockets neither.
    pub compression_threshold: Option<usize>,
    /// Whether clients speak TLS to the server itself.
    pub is_tls: bool,
    pub own_names: OwnNames,
    /// Names that are the server's own beside these; with any, it is called by no others.
    pub allowed_hosts: Vec<HostPattern>,
    /// Whether there is a page at `/`.
    pub dashboard: bool,
    /// Of which operators see how many there are.
    pub connections: Arc<Connections>,
}

/// Whom the API answers.
#[derive(Debug, Clone)]
pub enum ApiAccess {
    /// Everybody: right on loopback with asserted identities, and for nothing else.
    Open,
    /// Whoever has one of these keys.
    Keys(ApiKeys),
}

/// By which names the server may be called for its own pages to be let in.
///
/// Whoever owns a domain can point it at any address, this server's too, and the browser then takes
/// a page of that domain for a page of the server (DNS rebinding). So where callers are believed
/// without proof, a name is proof of nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnNames {
    /// By any: without a token or a key a page can do nothing.
    Any,
    /// `localhost`, and addresses, which nobody can point elsewhere.
    Addresses,
    /// `localhost` and addresses of this machine alone.
    Loopback,
}

impl OwnNames {
    pub(super) fn hold(self, host: Host<'_>) -> bool {
        if self == Self::Any {
            return true;
        }
        let every = self == Self::Addresses;
        host.name == "localhost"
            || host
                .ipv4()
                .is_some_and(|address| every || address.is_loopback())
            || host
                .ipv6()
                .is_some_and(|address| every || address.is_loopback())
    }
}
