//! Every key of the configuration, once: its name, its meaning, its type, its default and its rule. What
//! the command line, variables, the file, the documentation and editors know of a key comes from here.

pub mod auth;
pub mod key;
pub mod limits;
mod names;
mod rules;
pub mod tls;

use std::collections::BTreeMap;
use std::net::IpAddr;

use toml::{Table, Value};
use tracing_subscriber::EnvFilter;

use super::error::{ConfigError, Problem};
use super::kind::{Parsed, choice};
use crate::domain::room::Channel;
use crate::http::client_ip::Network;
use crate::http::origin_pattern::{HostPattern, OriginPattern};
use crate::protocol::envelope::Envelope;
use crate::protocol::socket_io::Arguments;
use auth::{ApiKeyConfig, AuthConfig};
use key::{Found, Key, Rule, Section, described, section};
use names::{MAX_MESSAGES, MIB, day, each, path};
use tls::TlsConfig;

section! {
    /// Everything an operator can set. Every key has a default, so a file holds only what differs.
    pub struct Config in "" {
        /// IP address to listen on.
        host: IpAddr = IpAddr::from([127, 0, 0, 1]);
        /// TCP port to listen on; 0 picks any free port.
        port: u16 = 5000;
        /// URL path of Socket.IO and plain WebSocket connections.
        path: String = "/ws".to_owned(), Rule::By(|text, found| path(text, found));
        /// Browser origins that may connect beside the server's own, each scheme://host[:port], the host perhaps *.example.com; "*" allows any origin.
        cors_origins: Vec<Parsed<OriginPattern>> = vec!["http://localhost:3000".into()], Rule::By(|texts, found| each(texts, found));
        /// Names such as rt.example.com or *.example.com that the server may be called by, beside localhost and addresses (docs/auth.md).
        allowed_hosts: Vec<Parsed<HostPattern>> = Vec::new(), Rule::By(|texts, found| each(texts, found));
        /// Refuse clients that send no Origin header at the path; those are not browsers.
        require_origin: bool = false;
        /// Serve the live dashboard at / and the page at /docs, to whoever can reach the server.
        dashboard: bool = true;
        /// Connections one organization may have at once; 0 = unlimited.
        max_connections_per_org: usize = 100;
        /// Connections the server may have at once; 0 = unlimited.
        max_connections_total: usize = 1000;
        /// Connections one remote address may have at once; 0 = unlimited.
        max_connections_per_address: usize = 0;
        /// TCP connections one remote address may have at once besides its WebSockets; 0 = six for each of max_connections_per_address.
        max_tcp_connections_per_address: usize = 0;
        /// Handshakes of clients the server takes per second; 0 = unlimited.
        handshakes_per_second: u32 = 0;
        /// Handshakes one remote address may make per second; 0 = unlimited.
        handshakes_per_second_per_address: u32 = 0;
        /// Proxies, as addresses or networks such as 10.0.0.0/8, whose X-Forwarded-For and X-Forwarded-Proto are believed.
        trusted_proxies: Vec<Parsed<Network>> = Vec::new(), Rule::By(|texts, found| each(texts, found));
        /// Addresses or networks that still reach health and API when file descriptors run out.
        operator_networks: Vec<Parsed<Network>> = vec!["127.0.0.0/8".into(), "::1".into()], Rule::By(|texts, found| each(texts, found));
        /// Limits by organization: { "id" = { max_connections, messages_per_second, messages_per_minute, requests_per_second } }.
        org_limits: limits::ByOrganization = BTreeMap::new(), Rule::By(limits::check);
        /// Largest message a client or backend may send, in bytes; 1 KiB to 256 MiB.
        max_message_size_bytes: usize = MIB, Rule::Within(1024, 256 * MIB as u64, "it must be between 1024 (1 KiB) and 268435456 (256 MiB)");
        /// Messages a connection may send per second; 0 = unlimited.
        rate_limit_messages_per_second: u32 = 100;
        /// Messages a connection may send at once before the rate applies; 0 = same as the rate.
        rate_limit_burst: u32 = 0;
        /// Messages a connection may send per minute; 0 = unlimited.
        rate_limit_messages_per_minute: u32 = 0;
        /// A connection that goes on over its limit for so many milliseconds is closed; 0 = never.
        rate_limit_close_after_ms: u64 = 10_000;
        /// Requests per second to the HTTP interface for one organization; 0 = unlimited.
        rate_limit_requests_per_second: u32 = 1000;
        /// Header lines a request may have, 10 to 1000.
        max_headers: usize = 100, Rule::Within(10, 1000, "it must be between 10 and 1000");
        /// Milliseconds the headers of a request may take.
        header_timeout_ms: u64 = 10_000, day();
        /// Milliseconds the body of a request may take.
        body_timeout_ms: u64 = 30_000, day();
        /// Milliseconds a connection may wait for its next request; longer than a proxy in front keeps one.
        keep_alive_timeout_ms: u64 = 75_000, day();
        /// Milliseconds between two pings to a client; a plain one is pinged after so long a silence.
        ping_interval_ms: u64 = 25_000, day();
        /// Milliseconds a client has to answer a ping.
        ping_timeout_ms: u64 = 60_000, day();
        /// Milliseconds within which a Socket.IO client must send its CONNECT packet.
        connect_timeout_ms: u64 = 10_000, day();
        /// Connections a room may hold; 0 = unlimited.
        room_max_size: usize = 1000;
        /// How many subscriptions a connection may have; 0 = unlimited.
        max_subscriptions_per_connection: usize = 1000;
        /// Whether a connection that does not authenticate in time is closed.
        auth_required: bool = true;
        /// Milliseconds a connection has to authenticate.
        auth_timeout_ms: u64 = 10_000, day();
        /// Milliseconds during which acknowledgements of a requires_ack broadcast are collected.
        ack_timeout_ms: u64 = 30_000, day();
        /// Events of one organization that are kept for clients that come back; 0 = none.
        history_size: usize = 20_000;
        /// Bytes of one organization's events that are kept, and likewise of its latest values.
        history_max_bytes: usize = 8 * MIB;
        /// Milliseconds that an event is kept; 0 = not at all.
        history_ttl_ms: u64 = names::DAY_MS;
        /// Latest values of one organization that are kept, however old the history is; 0 = none.
        latest_max_values: usize = 10_000;
        /// Milliseconds that a latest value is kept; 0 = not at all.
        latest_ttl_ms: u64 = names::DAY_MS;
        /// Bytes of all organizations' events that are kept together; those of the longest silent ones go first.
        history_max_bytes_total: usize = 256 * MIB;
        /// Organizations without connections whose events are kept.
        max_organizations: usize = 10_000, Rule::Within(1, u64::MAX, "it must be at least 1");
        /// Milliseconds after the end of its connection within which a client may come back to its session; 0 = it can't.
        recovery_window_ms: u64 = 120_000, names::at_most_a_day();
        /// Sessions that are kept for clients that are away; 0 = twice max_connections_total, or 100000 where that is unlimited.
        recovery_max_sessions: usize = 0;
        /// Events that a client that comes back may have missed.
        recovery_max_events: usize = 10_000;
        /// Messages that may wait to be written to one connection, 1 to 1000000; over it the connection is closed.
        send_queue_max_messages: usize = 1024, Rule::Within(1, MAX_MESSAGES, "it must be between 1 and 1000000");
        /// Bytes that may wait to be written to one connection, at least 1; over it the connection is closed.
        send_queue_max_bytes: usize = 8 * MIB, Rule::Within(1, u64::MAX, "it must be at least 1");
        /// Bytes that all connections and requests may hold together of what is on its way, at least 1048576; 0 = unlimited; over it those who hold most are closed.
        max_buffered_bytes: usize = 1024 * MIB, Rule::ZeroOrLeast(MIB as u64, "it must be 0, which is unlimited, or at least 1048576");
        /// A connection to which nothing could be written for so many milliseconds is closed.
        write_timeout_ms: u64 = 10_000, day();
        /// Whether WebSocket messages and HTTP answers are compressed for clients that ask for it (docs/compression.md).
        compression_enabled: bool = true;
        /// Messages and HTTP answers below so many bytes are not compressed; 0 = all are.
        compression_threshold_bytes: usize = 1024;
        /// Milliseconds a shutdown may take, whatever the clients do.
        shutdown_timeout_ms: u64 = 30_000, day();
        /// Milliseconds of a shutdown during which clients are still accepted but readiness says no; 0 = none.
        drain_delay_ms: u64 = 0;
        /// Connections that a shutdown closes at once, at least 1.
        drain_batch_size: usize = 100, Rule::Within(1, u64::MAX, "it must be at least 1");
        /// Milliseconds, on average, between two batches of a shutdown; shorter if there is no time.
        drain_interval_ms: u64 = 100, day();
        /// Plain WebSocket envelope until the client shows its own: event, type_data or type_payload.
        default_envelope: Envelope = Envelope::Event;
        /// What Socket.IO handlers get: auto (payload and meta in JavaScript, else payload), all (always the meta) or payload (never).
        socket_io_arguments: Arguments = Arguments::Auto;
        /// Channel names beside those of the events; a-z 0-9 _ -.
        channels: Vec<Parsed<Channel>> = Vec::new(), Rule::By(|texts, found| each(texts, found));
        /// Event name = channel name ("" = no channel); extends and overrides the built-in catalogue.
        events: BTreeMap<String, String> = BTreeMap::new(), Rule::By(names::events);
        /// What is logged: a tracing filter directive such as info,orgcast=debug; libraries say nothing below info.
        log: String = "info".to_owned(), Rule::By(|text, found| filter(text, found));
        /// How log lines are written: text or json.
        log_format: LogFormat = LogFormat::Text;
        /// Keys for the HTTP API, name = { hash, scopes, organization or operator }; orgcast gen-key makes one (docs/auth.md).
        api_keys: BTreeMap<String, ApiKeyConfig> = BTreeMap::new(), Rule::By(auth::check_api_keys);
    }
    /// Who may connect as whom.
    with auth: AuthConfig;
    /// Encryption by the server itself.
    with tls: TlsConfig;
}

choice! {
    Envelope { Event = "event", TypeData = "type_data", TypePayload = "type_payload", }
}

choice! {
    Arguments { Auto = "auto", All = "all", Payload = "payload", }
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

choice! {
    LogFormat { Text = "text", Json = "json", }
}

fn filter(log: &str, found: &mut Found<'_>) {
    if EnvFilter::try_new(log).is_err() {
        found.add(
            format_args!("{log:?}"),
            "it is no filter; \"info\" is one, and \"info,orgcast=debug\"",
        );
    }
}

/// A key of any section.
#[derive(Clone, Copy)]
pub enum AnyKey {
    Ungrouped(&'static Key<Config>),
    Auth(&'static Key<AuthConfig>),
    Tls(&'static Key<TlsConfig>),
}

/// The same of whichever section a key is in.
macro_rules! either {
    ($any:expr, $key:ident => $what:expr) => {
        match $any {
            AnyKey::Ungrouped($key) => $what,
            AnyKey::Auth($key) => $what,
            AnyKey::Tls($key) => $what,
        }
    };
}

impl AnyKey {
    /// Its path: a group's keys are `group.key`.
    pub fn name(self) -> &'static str {
        either!(self, key => key.name)
    }

    /// What it means, in one line.
    pub fn doc(self) -> &'static str {
        either!(self, key => key.doc).trim()
    }

    /// Whether its value is never shown.
    pub fn is_secret(self) -> bool {
        either!(self, key => key.is_secret)
    }

    /// What it takes, in an operator's words.
    pub fn expected(self) -> String {
        either!(self, key => (key.expected)())
    }

    /// What the text of a variable or flag means.
    pub fn from_text(self, text: &str) -> Value {
        either!(self, key => (key.from_text)(text))
    }

    /// What tables inside its value may have, where the operator names them.
    pub fn members(self) -> Vec<&'static str> {
        either!(self, key => (key.members)())
    }

    /// Its value as a JSON schema.
    pub fn schema(self) -> serde_json::Value {
        either!(self, key => described(key))
    }

    /// Sets the key; `false` if the value is of another type, and then nothing is changed.
    pub fn set(self, config: &mut Config, value: &Value) -> bool {
        match self {
            Self::Ungrouped(key) => (key.read)(config, value),
            Self::Auth(key) => (key.read)(&mut config.auth, value),
            Self::Tls(key) => (key.read)(&mut config.tls, value),
        }
    }

    /// The value as it stands in a file; `None` if TOML can't say it.
    pub fn value(self, config: &Config) -> Option<Value> {
        match self {
            Self::Ungrouped(key) => (key.write)(config),
            Self::Auth(key) => (key.write)(&config.auth),
            Self::Tls(key) => (key.write)(&config.tls),
        }
    }

    fn check(self, config: &Config, problems: &mut Vec<Problem>) {
        let mut found = Found {
            key: self.name(),
            problems,
        };
        match self {
            Self::Ungrouped(key) => (key.check)(config, &mut found),
            Self::Auth(key) => (key.check)(&config.auth, &mut found),
            Self::Tls(key) => (key.check)(&config.tls, &mut found),
        }
    }
}

/// Every key in its order.
pub fn keys() -> impl Iterator<Item = AnyKey> + Clone {
    let ungrouped = Config::KEYS.iter().map(AnyKey::Ungrouped);
    let auth = AuthConfig::KEYS.iter().map(AnyKey::Auth);
    let tls = TlsConfig::KEYS.iter().map(AnyKey::Tls);
    ungrouped.chain(auth).chain(tls)
}

/// The key of this path.
pub fn find(name: &str) -> Option<AnyKey> {
    keys().find(|key| key.name() == name)
}

impl Config {
    /// Checks the rules that hold beyond the types of the keys.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every rule that is broken, not only the first: those of several
    /// keys, then those of one in the order of the keys.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut problems = self.broken_together();
        problems.extend(self.broken_alone());
        if problems.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(problems))
        }
    }

    /// The rules of several keys that are broken. They say nothing of use while one of these may be missing
    /// for another problem's sake.
    pub(super) fn broken_together(&self) -> Vec<Problem> {
        rules::broken(&rules::Together {
            host: self.host,
            cors_origins: &self.cors_origins,
            drain_delay_ms: self.drain_delay_ms,
            shutdown_timeout_ms: self.shutdown_timeout_ms,
            auth: &self.auth,
            tls: &self.tls,
        })
    }

    /// The rules of one key that are broken.
    pub(super) fn broken_alone(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        for key in keys() {
            key.check(self, &mut problems);
        }
        problems
    }

    /// The configuration as a TOML file with every key and, as a comment, what it means.
    ///
    /// Loading the text gives the same configuration back, but for secrets. TOML has no number above
    /// 9223372036854775807; a configuration that was built with one, which no source can
    /// express, gives a comment that says so and no keys.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut current_group = None;
        for key in keys() {
            let name = key.name();
            let Some(value) = key.value(self) else {
                return format!("# not expressible in TOML: `{name}`\n");
            };
            let (group, name) = match name.rsplit_once('.') {
                Some((group, name)) => (Some(group), name),
                None => (None, name),
            };
            if !text.is_empty() {
                text.push('\n');
            }
            if let Some(group) = group.filter(|_| group != current_group) {
                text.push_str(&["[", group, "]\n"].concat());
                current_group = Some(group);
            }
            let doc = key.doc();
            text.push_str(&["# ", doc, "\n", name, " = ", &value.to_string(), "\n"].concat());
        }
        text
    }
}

/// The defaults as a table, a group's keys in a table of their own.
#[must_use]
pub fn default_values() -> Table {
    let defaults = Config::default();
    let mut values = Table::new();
    for key in keys() {
        let Some(value) = key.value(&defaults) else {
            continue;
        };
        match key.name().split_once('.') {
            None => {
                values.insert(key.name().to_owned(), value);
            }
            Some((group, name)) => {
                let group = values
                    .entry(group)
                    .or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(group) = group {
                    group.insert(name.to_owned(), value);
                }
            }
        }
    }
    values
}
