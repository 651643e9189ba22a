//! The configuration: every key with its type and default, the rules a whole configuration
//! must meet. How the sources are layered is in [`super::load`].

use std::{collections::BTreeMap, fmt, net::IpAddr};

use serde::{Deserialize, Serialize};
use toml::Table;

use super::auth::check_api_keys;
pub use super::auth::{ApiKeyConfig, AuthConfig, Secret};
use super::error::{ConfigError, Problem};
use super::keys::KEYS;
use super::rules;
use crate::http::origin_pattern::{HostPattern, OriginPattern};

pub(super) const DAY_MS: u64 = 86_400_000;
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const MAX_QUEUED_MESSAGES: usize = 1_000_000;

/// Paths that belong to the HTTP interface, each with everything beneath it.
const HTTP_PATHS: [&str; 7] = [
    "/api",
    "/assets",
    "/docs",
    "/healthz",
    "/metrics",
    "/openapi.json",
    "/readyz",
];

/// Event names that the protocol itself uses.
const RESERVED_EVENTS: [&str; 12] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
    "error",
    "authenticate",
    "authenticated",
    "subscribe",
    "unsubscribe",
    "publish",
];
const RESERVED_EVENT_PREFIXES: [&str; 3] = ["client:", "orgcast:", "auth:"];

/// Everything an operator can set.
///
/// Every field has a default, so a configuration file holds only what differs. The names are
/// the keys of the file; [`KEYS`] lists them again with the text that an operator reads.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the file"
)]
pub struct Config {
    /// IP address to listen on.
    pub host: IpAddr,
    /// TCP port to listen on; 0 picks any free one.
    pub port: u16,
    /// URL path of Socket.IO and plain WebSocket connections.
    pub path: String,
    /// Browser origins that may connect, each `scheme://host[:port]`, where the host may be
    /// `*.example.com`; `*` is any origin.
    pub cors_origins: Vec<String>,
    /// Names, with a port or without, that the server is called by; empty is any where callers prove
    /// who they are, and none where they do not.
    pub allowed_hosts: Vec<String>,
    /// Whether clients that send no `Origin` are refused where clients connect.
    pub require_origin: bool,
    /// Whether there is a page at `/` that shows what is published.
    pub dashboard: bool,
    /// Connections one organization may have at once; 0 is unlimited.
    pub max_connections_per_org: usize,
    /// Connections the server may have at once; 0 is unlimited.
    pub max_connections_total: usize,
    /// Connections one remote address may have at once; 0 is unlimited.
    pub max_connections_per_address: usize,
    /// TCP connections one remote address may have at once besides its WebSockets; 0 is six for each
    /// of `max_connections_per_address`.
    pub max_tcp_connections_per_address: usize,
    /// Handshakes the server takes per second; 0 is unlimited.
    pub handshakes_per_second: u32,
    /// Handshakes one remote address may make per second; 0 is unlimited.
    pub handshakes_per_second_per_address: u32,
    /// Proxies, as addresses or networks, whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<String>,
    /// Addresses or networks for which the last file descriptors are.
    pub operator_networks: Vec<String>,
    /// Limits of organizations that are not the general ones, by organization id.
    pub org_limits: BTreeMap<String, OrgLimits>,
    /// Largest message a client may send, in bytes.
    pub max_message_size_bytes: usize,
    /// Messages a connection may send per second; 0 is unlimited.
    pub rate_limit_messages_per_second: u32,
    /// Messages a connection may send at once before the rate applies; 0 is the rate itself.
    pub rate_limit_burst: u32,
    /// Messages a connection may send per minute; 0 is unlimited.
    pub rate_limit_messages_per_minute: u32,
    /// Milliseconds over its limit after which a connection is closed; 0 is never.
    pub rate_limit_close_after_ms: u64,
    /// Requests per second to the HTTP interface for one organization; 0 is unlimited.
    pub rate_limit_requests_per_second: u32,
    /// Header lines a request may have.
    pub max_headers: usize,
    /// Milliseconds a request's headers may take.
    pub header_timeout_ms: u64,
    /// Milliseconds a request's body may take.
    pub body_timeout_ms: u64,
    /// Milliseconds a connection may wait for its next request.
    pub keep_alive_timeout_ms: u64,
    /// Milliseconds between two pings to a client.
    pub ping_interval_ms: u64,
    /// Milliseconds a client has to answer a ping.
    pub ping_timeout_ms: u64,
    /// Milliseconds within which a Socket.IO client must send its CONNECT packet.
    pub connect_timeout_ms: u64,
    /// Connections a room may hold; 0 is unlimited.
    pub room_max_size: usize,
    /// How many subscriptions a connection may have. 0 = unlimited.
    pub max_subscriptions_per_connection: usize,
    /// Whether a connection must authenticate.
    pub auth_required: bool,
    /// Milliseconds a connection has to authenticate.
    pub auth_timeout_ms: u64,
    /// Milliseconds during which acknowledgements of a `requires_ack` broadcast are collected.
    pub ack_timeout_ms: u64,
    /// Messages that may wait to be written to one connection.
    pub send_queue_max_messages: usize,
    /// Bytes that may wait to be written to one connection.
    pub send_queue_max_bytes: usize,
    /// Bytes that all connections and requests may hold together of what is on its way; 0 is unlimited.
    pub max_buffered_bytes: usize,
    /// Milliseconds without a successful write after which a connection is closed.
    pub write_timeout_ms: u64,
    /// Whether messages and HTTP answers are compressed for clients that ask for it.
    pub compression_enabled: bool,
    /// Length in bytes below which nothing is compressed.
    pub compression_threshold_bytes: usize,
    /// Milliseconds that a shutdown waits for connections to drain.
    pub shutdown_timeout_ms: u64,
    /// Milliseconds between the end of readiness and the end of accepting.
    pub drain_delay_ms: u64,
    /// Connections that are closed at once when the server shuts down.
    pub drain_batch_size: usize,
    /// Milliseconds, on average, between two batches.
    pub drain_interval_ms: u64,
    /// Envelope of a plain WebSocket connection that has not yet shown which one it speaks.
    pub default_envelope: Envelope,
    /// Arguments that Socket.IO handlers get: `auto`, `all`, `payload`.
    pub socket_io_arguments: Arguments,
    /// Channel names beside the built-in ones.
    pub channels: Vec<String>,
    /// Event name to channel name, `""` for no channel; extends and overrides the built-in
    /// catalogue.
    pub events: BTreeMap<String, String>,
    /// What is logged: a `tracing` filter directive such as `info,orgcast=debug`.
    pub log: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Keys of backends and operators, each by its name.
    pub api_keys: BTreeMap<String, ApiKeyConfig>,
    /// Who may connect as whom.
    pub auth: AuthConfig,
    /// Encryption by the server itself.
    pub tls: TlsConfig,
}

/// What holds for one organization in place of the general limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrgLimits {
    /// In place of `max_connections_per_org`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<usize>,
    /// In place of `rate_limit_messages_per_second`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_second: Option<u32>,
    /// In place of `rate_limit_messages_per_minute`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages_per_minute: Option<u32>,
    /// In place of `rate_limit_requests_per_second`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
}

/// The group `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain in PEM; empty is no TLS.
    pub cert_file: String,
    /// Its key in PEM.
    pub key_file: String,
}

/// The shape of a plain WebSocket message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Envelope {
    /// `{"event", "data"}`
    Event,
    /// `{"type", "data"}`
    TypeData,
    /// `{"type", "payload"}`
    TypePayload,
}

/// What a Socket.IO handler gets beside an event's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    /// The meta for clients that look like JavaScript.
    Auto,
    /// The meta for all.
    All,
    /// Nothing.
    Payload,
}

/// The shape of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: IpAddr::from([127, 0, 0, 1]),
            port: 5000,
            path: "/ws".to_owned(),
            cors_origins: vec!["http://localhost:3000".to_owned()],
            allowed_hosts: Vec::new(),
            require_origin: false,
            dashboard: true,
            max_connections_per_org: 100,
            max_connections_total: 1000,
            max_connections_per_address: 0,
            max_tcp_connections_per_address: 0,
            handshakes_per_second: 0,
            handshakes_per_second_per_address: 0,
            trusted_proxies: Vec::new(),
            operator_networks: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
            org_limits: BTreeMap::new(),
            max_message_size_bytes: MIB,
            rate_limit_messages_per_second: 100,
            rate_limit_burst: 0,
            rate_limit_messages_per_minute: 0,
            rate_limit_close_after_ms: 10_000,
            rate_limit_requests_per_second: 1000,
            max_headers: 100,
            header_timeout_ms: 10_000,
            body_timeout_ms: 30_000,
            keep_alive_timeout_ms: 75_000,
            ping_interval_ms: 25_000,
            ping_timeout_ms: 60_000,
            connect_timeout_ms: 10_000,
            room_max_size: 1000,
            max_subscriptions_per_connection: 1000,
            auth_required: true,
            auth_timeout_ms: 10_000,
            ack_timeout_ms: 30_000,
            send_queue_max_messages: 1024,
            send_queue_max_bytes: 8 * MIB,
            max_buffered_bytes: 1024 * MIB,
            write_timeout_ms: 10_000,
            compression_enabled: true,
            compression_threshold_bytes: KIB,
            shutdown_timeout_ms: 30_000,
            drain_delay_ms: 0,
            drain_batch_size: 100,
            drain_interval_ms: 100,
            default_envelope: Envelope::Event,
            socket_io_arguments: Arguments::Auto,
            channels: Vec::new(),
            events: BTreeMap::new(),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
            api_keys: BTreeMap::new(),
            auth: AuthConfig::default(),
            tls: TlsConfig::default(),
        }
    }
}

impl Config {
    /// Checks the rules that hold between and beyond the types of the keys.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every rule that is broken, not only the first.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let mut broken = Broken::default();

        self.auth.check(self.host, &self.cors_origins, &mut broken);
        check_api_keys(&self.api_keys, &mut broken);
        if let Err(rule) = check_path(&self.path) {
            broken.add("path", format_args!("{:?}", self.path), rule);
        }
        for origin in &self.cors_origins {
            if let Err(rule) = OriginPattern::parse(origin) {
                broken.add("cors_origins", format_args!("{origin:?}"), rule);
            }
        }
        for host in &self.allowed_hosts {
            if let Err(rule) = HostPattern::parse(host) {
                broken.add("allowed_hosts", format_args!("{host:?}"), rule);
            }
        }
        if !(KIB..=256 * MIB).contains(&self.max_message_size_bytes) {
            broken.add(
                "max_message_size_bytes",
                self.max_message_size_bytes,
                "it must be between 1024 (1 KiB) and 268435456 (256 MiB)",
            );
        }
        for (key, milliseconds) in [
            ("ping_interval_ms", self.ping_interval_ms),
            ("ping_timeout_ms", self.ping_timeout_ms),
            ("connect_timeout_ms", self.connect_timeout_ms),
            ("auth_timeout_ms", self.auth_timeout_ms),
            ("ack_timeout_ms", self.ack_timeout_ms),
            ("write_timeout_ms", self.write_timeout_ms),
            ("header_timeout_ms", self.header_timeout_ms),
            ("body_timeout_ms", self.body_timeout_ms),
            ("keep_alive_timeout_ms", self.keep_alive_timeout_ms),
            ("drain_interval_ms", self.drain_interval_ms),
            ("shutdown_timeout_ms", self.shutdown_timeout_ms),
        ] {
            if !(1..=DAY_MS).contains(&milliseconds) {
                broken.add(
                    key,
                    milliseconds,
                    "it must be between 1 and 86400000 (one day)",
                );
            }
        }
        if !(1..=MAX_QUEUED_MESSAGES).contains(&self.send_queue_max_messages) {
            broken.add(
                "send_queue_max_messages",
                self.send_queue_max_messages,
                "it must be between 1 and 1000000",
            );
        }
        if (1..MIB).contains(&self.max_buffered_bytes) {
            let wanted = "it must be 0, which is unlimited, or at least 1048576";
            broken.add("max_buffered_bytes", self.max_buffered_bytes, wanted);
        }
        if self.send_queue_max_bytes == 0 {
            broken.add("send_queue_max_bytes", 0, "it must be at least 1");
        }
        rules::check_limits(self, &mut broken);
        for channel in &self.channels {
            if let Err(rule) = check_channel(channel) {
                broken.add("channels", format_args!("{channel:?}"), rule);
            }
        }
        for (event, channel) in &self.events {
            if let Err(rule) = check_event(event) {
                broken.add("events", format_args!("event {event:?}"), rule);
            }
            if !channel.is_empty()
                && let Err(rule) = check_channel(channel)
            {
                broken.add(
                    "events",
                    format_args!("channel {channel:?} of event {event:?}"),
                    rule,
                );
            }
        }

        if broken.0.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(broken.0))
        }
    }

    /// The configuration as a TOML file with every key and, as a comment, what it means.
    ///
    /// Loading the text gives the same configuration back. TOML has no number above
    /// 9223372036854775807; a configuration that was built with one, which no source can
    /// express, gives a comment that says so and no keys.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let values = match Table::try_from(self) {
            Ok(values) => values,
            Err(error) => return format!("# not expressible in TOML: {error}\n"),
        };
        let mut text = String::new();
        let mut current_group = None;
        for (key, doc) in KEYS {
            let Some(value) = super::keys::value_at(&values, key) else {
                continue;
            };
            let (group, name) = match key.rsplit_once('.') {
                Some((group, name)) => (Some(group), name),
                None => (None, *key),
            };
            if !text.is_empty() {
                text.push('\n');
            }
            if let Some(group) = group.filter(|_| group != current_group) {
                text.push_str(&["[", group, "]\n"].concat());
                current_group = Some(group);
            }
            text.push_str(&["# ", doc, "\n", name, " = ", &value.to_string(), "\n"].concat());
        }
        text
    }
}

/// Rules that a configuration breaks.
#[derive(Default)]
pub(super) struct Broken(Vec<Problem>);

impl Broken {
    pub(super) fn add(&mut self, key: &'static str, value: impl fmt::Display, rule: &'static str) {
        self.0.push(Problem::Rule {
            key,
            value: value.to_string(),
            rule,
            origin: None,
        });
    }
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("it must start with `/`");
    }
    if path == "/" {
        return Err("it must name a path of its own, such as `/ws`");
    }
    if path.contains(['?', '#']) {
        return Err("it must have no query and no fragment");
    }
    if path.ends_with('/') {
        return Err("it must not end with `/`");
    }
    if !path
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"/-._~".contains(&b))
    {
        return Err("it may hold only letters, digits and / - . _ ~");
    }
    if path
        .split('/')
        .skip(1)
        .any(|segment| matches!(segment, "" | "." | ".."))
    {
        return Err("its parts must not be empty, `.` or `..`");
    }
    let taken = |http: &str| {
        path.strip_prefix(http)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if HTTP_PATHS.iter().any(|http| taken(http)) {
        return Err(
            "/api, /assets, /docs, /healthz, /metrics, /openapi.json and /readyz and what is \
             beneath them belong to the HTTP interface",
        );
    }
    Ok(())
}

fn check_channel(channel: &str) -> Result<(), &'static str> {
    if channel == "org" {
        return Err("`org` is the first part of every organization's own room");
    }
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-';
    if !(1..=64).contains(&channel.len()) || !channel.bytes().all(allowed) {
        return Err("a channel name is 1 to 64 of a-z 0-9 _ -");
    }
    Ok(())
}

fn check_event(event: &str) -> Result<(), &'static str> {
    if !(1..=128).contains(&event.len()) || event.chars().any(char::is_control) {
        return Err("an event name is 1 to 128 bytes without control characters");
    }
    if RESERVED_EVENTS.contains(&event)
        || RESERVED_EVENT_PREFIXES
            .iter()
            .any(|prefix| event.starts_with(prefix))
    {
        return Err("the protocol itself uses this event name");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(config: &Config) -> Vec<String> {
        match config.validate() {
            Ok(()) => Vec::new(),
            Err(ConfigError::Invalid(problems)) => {
                problems.iter().map(ToString::to_string).collect()
            }
            Err(other) => panic!("validation does not read anything: {other}"),
        }
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(problems(&Config::default()), Vec::<String>::new());
    }

    #[test]
    fn every_broken_rule_is_reported_on_its_own_line() {
        let config = Config {
            host: IpAddr::from([0, 0, 0, 0]),
            path: "ws".to_owned(),
            cors_origins: vec!["http://localhost:3000/".to_owned()],
            allowed_hosts: vec!["http://localhost".to_owned()],
            max_message_size_bytes: 1023,
            ping_interval_ms: 0,
            ping_timeout_ms: DAY_MS + 1,
            connect_timeout_ms: 0,
            auth_timeout_ms: 0,
            ack_timeout_ms: 0,
            write_timeout_ms: 0,
            shutdown_timeout_ms: 0,
            header_timeout_ms: 0,
            body_timeout_ms: 0,
            keep_alive_timeout_ms: 0,
            drain_interval_ms: 0,
            drain_batch_size: 0,
            trusted_proxies: vec!["proxy".to_owned()],
            operator_networks: vec!["127.0.0.1/33".to_owned()],
            max_headers: 9,
            org_limits: BTreeMap::from([(String::new(), OrgLimits::default())]),
            send_queue_max_messages: 0,
            send_queue_max_bytes: 0,
            max_buffered_bytes: 1,
            channels: vec!["KPI".to_owned()],
            events: BTreeMap::from([("error".to_owned(), "no good".to_owned())]),
            ..Config::default()
        };
        let lines = problems(&config);
        let keys = [
            "host",
            "path",
            "cors_origins",
            "allowed_hosts",
            "max_message_size_bytes",
            "ping_interval_ms",
            "ping_timeout_ms",
            "connect_timeout_ms",
            "auth_timeout_ms",
            "ack_timeout_ms",
            "write_timeout_ms",
            "header_timeout_ms",
            "body_timeout_ms",
            "keep_alive_timeout_ms",
            "drain_interval_ms",
            "shutdown_timeout_ms",
            "send_queue_max_messages",
            "max_buffered_bytes",
            "send_queue_max_bytes",
            "trusted_proxies",
            "operator_networks",
            "org_limits",
            "max_headers",
            "drain_batch_size",
            "channels",
            "events",
            "events",
        ];
        assert_eq!(lines.len(), keys.len(), "{lines:#?}");
        for (line, key) in lines.iter().zip(keys) {
            assert!(line.starts_with(&format!("`{key}` is ")), "{line}");
        }
        let text = config.validate().unwrap_err().to_string();
        assert_eq!(text.lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn an_address_beyond_loopback_needs_allow_insecure_and_the_refusal_says_why() {
        for loopback in ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"] {
            let config = Config {
                host: loopback.parse().unwrap(),
                ..Config::default()
            };
            assert_eq!(problems(&config), Vec::<String>::new(), "{loopback}");
        }
        for reachable in [
            "0.0.0.0",
            "::",
            "10.0.0.1",
            "::ffff:10.0.0.1",
            "2001:db8::1",
        ] {
            let mut config = Config {
                host: reachable.parse().unwrap(),
                ..Config::default()
            };
            let lines = problems(&config);
            assert_eq!(lines.len(), 1, "{reachable}");
            for part in [
                reachable,
                "no token key",
                "may say who it is",
                "127.0.0.1",
                "auth.allow_insecure = true",
            ] {
                assert!(lines[0].contains(part), "{part} is not in {}", lines[0]);
            }
            config.auth.allow_insecure = true;
            assert_eq!(problems(&config), Vec::<String>::new(), "{reachable}");
        }
    }

    #[test]
    fn a_path_is_absolute_plain_and_not_one_of_the_http_interface() {
        for path in [
            "/ws",
            "/socket.io",
            "/realtime/v1",
            "/apiary",
            "/healthz2",
            "/docs-ws",
            "/metrics2",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for path in [
            "",
            "ws",
            "/",
            "/ws/",
            "/ws?x=1",
            "/ws#x",
            "/a b",
            "/{id}",
            "//ws",
            "/a//b",
            "/../ws",
            "/é",
            "/api",
            "/api/ws",
            "/healthz",
            "/readyz",
            "/assets",
            "/assets/ws",
            "/docs",
            "/docs/page.js",
            "/metrics",
            "/openapi.json",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
    }

    #[test]
    fn channel_and_event_names_stay_within_what_rooms_and_the_protocol_allow() {
        for channel in ["kpi", "a", "order-status_2", &"c".repeat(64)] {
            assert_eq!(check_channel(channel), Ok(()), "{channel}");
        }
        for channel in ["", "org", "KPI", "a:b", "a b", "é", &"c".repeat(65)] {
            assert!(check_channel(channel).is_err(), "{channel}");
        }
        for event in [
            "kpi:update",
            "ORDER_CREATED",
            "shift.opened",
            "connected",
            "é",
            &"e".repeat(128),
        ] {
            assert_eq!(check_event(event), Ok(()), "{event}");
        }
        for event in [
            "",
            "a\nb",
            "\u{85}",
            "connect",
            "disconnect",
            "disconnecting",
            "newListener",
            "removeListener",
            "client:x",
            "orgcast:x",
            &"e".repeat(129),
        ] {
            assert!(check_event(event).is_err(), "{event:?}");
        }
    }

    #[test]
    fn an_event_may_have_no_channel() {
        let events = BTreeMap::from([("heads-up".to_owned(), String::new())]);
        assert_eq!(
            problems(&Config {
                events,
                ..Config::default()
            }),
            Vec::<String>::new()
        );
    }

    #[test]
    fn the_default_file_has_every_key_with_its_doc_and_reads_back_as_the_defaults() {
        let text = Config::default().to_toml();
        assert_eq!(toml::from_str::<Config>(&text).unwrap(), Config::default());
        for (key, doc) in KEYS {
            let name = key.rsplit('.').next().unwrap();
            assert!(text.contains(&format!("# {doc}\n{name} = ")), "{key}");
        }
    }

    #[test]
    fn any_configuration_survives_being_written_and_read() {
        let mut config = Config {
            host: "2001:db8::1".parse().unwrap(),
            cors_origins: vec!["*".to_owned(), "http://a\"b".to_owned()],
            default_envelope: Envelope::TypePayload,
            channels: vec!["orders".to_owned()],
            events: BTreeMap::from([
                ("order.created".to_owned(), "orders".to_owned()),
                ("a \"b\"\\ é".to_owned(), String::new()),
            ]),
            log_format: LogFormat::Json,
            org_limits: BTreeMap::from([(
                "a \"b\" é".to_owned(),
                OrgLimits {
                    max_connections: Some(0),
                    messages_per_second: Some(7),
                    ..OrgLimits::default()
                },
            )]),
            ..Config::default()
        };
        config.auth.allow_insecure = true;
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
    }

    #[test]
    fn a_number_beyond_toml_is_a_comment_and_not_a_panic() {
        let text = Config {
            ping_timeout_ms: u64::MAX,
            ..Config::default()
        }
        .to_toml();
        assert!(text.starts_with("# not expressible"), "{text}");
        assert!(text.parse::<Table>().unwrap().is_empty(), "{text}");
    }
}
