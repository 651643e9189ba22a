//! What an operator is told at the start.

use std::io::{self, Write};
use std::net::SocketAddr;

use crate::config::options::Options;
use crate::http::options::ApiAccess;
use crate::hub::admission::AdmissionOptions;

/// What an operator is told at the start.
pub(super) struct Greeting {
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
    pub fn of(options: &Options) -> Self {
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
    pub fn say(&self, address: SocketAddr, source: &str) {
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
