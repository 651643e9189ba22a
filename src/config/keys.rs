//! The configuration keys as an operator meets them: their names in the file, the environment
//! and on the command line, and what each one means.

use toml::{Table, Value};

use super::values::Config;

/// The file that is read from the working directory if none is named.
pub const DEFAULT_FILE: &str = "orgcast.toml";

/// What every variable of the server starts with.
pub const VARIABLE_PREFIX: &str = "ORGCAST_";

/// The variable that names the configuration file.
pub const FILE_VARIABLE: &str = "ORGCAST_CONFIG";

/// Every key of [`Config`] in its order, a group's keys as `group.key`, with what it means.
/// The help text and the default file are made from this.
pub static KEYS: &[(&str, &str)] = &[
    ("host", "IP address to listen on."),
    ("port", "TCP port to listen on; 0 picks any free port."),
    (
        "path",
        "URL path of Socket.IO and plain WebSocket connections.",
    ),
    (
        "cors_origins",
        "Browser origins that may connect, each scheme://host[:port], the host perhaps *.example.com; \"*\" allows any origin.",
    ),
    (
        "allowed_hosts",
        "Names such as rt.example.com or *.example.com that the server may be called by, beside localhost and addresses.",
    ),
    (
        "require_origin",
        "Refuse clients that send no Origin header at the path; those are not browsers.",
    ),
    (
        "dashboard",
        "Serve the live dashboard at /, to whoever can reach the server.",
    ),
    (
        "max_connections_per_org",
        "Connections one organization may have at once; 0 = unlimited.",
    ),
    (
        "max_connections_total",
        "Connections the server may have at once; 0 = unlimited.",
    ),
    (
        "max_connections_per_address",
        "Connections one remote address may have at once; 0 = unlimited.",
    ),
    (
        "max_tcp_connections_per_address",
        "TCP connections one remote address may have at once besides its WebSockets; 0 = six for each of max_connections_per_address.",
    ),
    (
        "handshakes_per_second",
        "Handshakes of clients the server takes per second; 0 = unlimited.",
    ),
    (
        "handshakes_per_second_per_address",
        "Handshakes one remote address may make per second; 0 = unlimited.",
    ),
    (
        "trusted_proxies",
        "Proxies, as addresses or networks such as 10.0.0.0/8, whose X-Forwarded-For and X-Forwarded-Proto are believed.",
    ),
    (
        "operator_networks",
        "Addresses or networks that still reach health and API when file descriptors run out.",
    ),
    (
        "org_limits",
        "Limits by organization: { \"id\" = { max_connections, messages_per_second, messages_per_minute, requests_per_second } }.",
    ),
    (
        "max_message_size_bytes",
        "Largest message a client may send, in bytes; 1 KiB to 256 MiB.",
    ),
    (
        "rate_limit_messages_per_second",
        "Messages a connection may send per second; 0 = unlimited.",
    ),
    (
        "rate_limit_burst",
        "Messages a connection may send at once before the rate applies; 0 = same as the rate.",
    ),
    (
        "rate_limit_messages_per_minute",
        "Messages a connection may send per minute; 0 = unlimited.",
    ),
    (
        "rate_limit_close_after_ms",
        "A connection that goes on over its limit for so many milliseconds is closed; 0 = never.",
    ),
    (
        "rate_limit_requests_per_second",
        "Requests per second to the HTTP interface for one organization; 0 = unlimited.",
    ),
    (
        "max_headers",
        "Header lines a request may have, 10 to 1000.",
    ),
    (
        "header_timeout_ms",
        "Milliseconds the headers of a request may take.",
    ),
    (
        "body_timeout_ms",
        "Milliseconds the body of a request may take.",
    ),
    (
        "keep_alive_timeout_ms",
        "Milliseconds a connection may wait for its next request; longer than a proxy in front keeps one.",
    ),
    (
        "ping_interval_ms",
        "Milliseconds between two pings to a client.",
    ),
    (
        "ping_timeout_ms",
        "Milliseconds a client has to answer a ping.",
    ),
    (
        "connect_timeout_ms",
        "Milliseconds within which a Socket.IO client must send its CONNECT packet.",
    ),
    (
        "room_max_size",
        "Connections a room may hold; 0 = unlimited.",
    ),
    (
        "max_subscriptions_per_connection",
        "How many subscriptions a connection may have. 0 = unlimited.",
    ),
    ("auth_required", "Whether a connection must authenticate."),
    (
        "auth_timeout_ms",
        "Milliseconds a connection has to authenticate.",
    ),
    (
        "ack_timeout_ms",
        "Milliseconds during which acknowledgements of a requires_ack broadcast are collected.",
    ),
    (
        "send_queue_max_messages",
        "Messages that may wait to be written to one connection.",
    ),
    (
        "send_queue_max_bytes",
        "Bytes that may wait to be written to one connection.",
    ),
    (
        "max_buffered_bytes",
        "Bytes that all connections and requests may hold together; 0 = unlimited.",
    ),
    (
        "write_timeout_ms",
        "A connection to which nothing could be written for so many milliseconds is closed.",
    ),
    (
        "compression_enabled",
        "Whether WebSocket messages and HTTP answers are compressed for clients that ask for it.",
    ),
    (
        "compression_threshold_bytes",
        "Messages and HTTP answers below so many bytes are not compressed.",
    ),
    (
        "shutdown_timeout_ms",
        "Milliseconds a shutdown may take, whatever the clients do.",
    ),
    (
        "drain_delay_ms",
        "Milliseconds of a shutdown during which clients are still accepted but readiness says no.",
    ),
    (
        "drain_batch_size",
        "Connections that a shutdown closes at once.",
    ),
    (
        "drain_interval_ms",
        "Milliseconds, on average, between two batches of a shutdown; shorter if there is no time.",
    ),
    (
        "default_envelope",
        "Plain WebSocket envelope until the client shows its own: event, type_data or type_payload.",
    ),
    (
        "socket_io_arguments",
        "What Socket.IO handlers get: auto (payload and meta in JavaScript, else payload), all or payload.",
    ),
    (
        "channels",
        "Channel names beside the built-in ones; a-z 0-9 _ -.",
    ),
    (
        "events",
        "Event name = channel name (\"\" = no channel); extends and overrides the built-in catalogue.",
    ),
    (
        "log",
        "What is logged: a tracing filter directive such as info,orgcast=debug.",
    ),
    ("log_format", "How log lines are written: text or json."),
    (
        "api_keys",
        "Keys for the HTTP API, name = { hash, scopes, organization or operator }; orgcast gen-key makes one.",
    ),
    (
        "auth.allow_insecure",
        "Serve clients that merely say who they are on an address other than loopback.",
    ),
    (
        "auth.allow_asserted",
        "Believe clients that merely say who they are although tokens are checked.",
    ),
    (
        "auth.jwt_secret",
        "HMAC secret of tokens, at least 32 bytes, or base64: and its bytes; better in the environment.",
    ),
    (
        "auth.jwt_previous_secrets",
        "HMAC secrets that are still accepted while clients change to the new one.",
    ),
    (
        "auth.jwt_secret_file",
        "File with HMAC secrets, one a line; empty = none.",
    ),
    (
        "auth.jwt_public_keys",
        "Public keys of tokens as PEM texts: RSA, P-256, P-384, P-521, Ed25519.",
    ),
    (
        "auth.jwt_key_files",
        "Files with a public key in PEM, or with a JWK set.",
    ),
    (
        "auth.jwks",
        "URL (https://, http://) or file of a JWK set that is fetched again and again; empty = none.",
    ),
    (
        "auth.jwks_refresh_ms",
        "Milliseconds between two fetches of the JWK set.",
    ),
    (
        "auth.jwks_min_refresh_ms",
        "Least milliseconds between two fetches, however many tokens name an unknown key.",
    ),
    (
        "auth.algorithms",
        "Signature algorithms that are accepted; empty = every one that suits a key.",
    ),
    ("auth.issuers", "Accepted issuers (iss); empty = any."),
    (
        "auth.audiences",
        "Audiences (aud) of which a token must name one; empty = any.",
    ),
    (
        "auth.leeway_ms",
        "Milliseconds that the clock of a token's issuer may be off.",
    ),
    (
        "auth.require_exp",
        "Refuse tokens that never expire, which have no exp.",
    ),
    (
        "auth.user_claims",
        "Claims of which the first that is there names the user; empty = user_id, userId, sub.",
    ),
    (
        "auth.organization_claims",
        "Claims of which the first that is there names the organization; empty = every alias of it.",
    ),
    (
        "auth.grants_claim",
        "Claim that says what may be subscribed and published.",
    ),
    (
        "auth.token_cookie",
        "Cookie that carries a token in handshakes; empty = none.",
    ),
    (
        "auth.expiry_warning_ms",
        "Milliseconds before a token's end at which its client is told; 0 = not told.",
    ),
    (
        "tls.cert_file",
        "Certificate chain in PEM, for TLS by the server itself; read again when it changes.",
    ),
    ("tls.key_file", "Private key of the certificate in PEM."),
];

/// The environment variable of a key.
#[must_use]
pub fn variable_name(key: &str) -> String {
    format!(
        "{VARIABLE_PREFIX}{}",
        key.replace('.', "__").to_ascii_uppercase()
    )
}

/// The command line flag of a key, without the leading dashes.
#[must_use]
pub fn flag_name(key: &str) -> String {
    key.replace('_', "-")
}

/// The defaults as a table; the type of a value there decides how text is read.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "serialization refuses only integers above i64::MAX and keys that are not strings, \
              and the defaults, which no input changes, have neither"
)]
pub fn default_values() -> Table {
    Table::try_from(Config::default()).expect("the defaults are expressible in TOML")
}

/// The value of a key path.
#[must_use]
pub fn value_at<'a>(values: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        None => values.get(key),
        Some((group, rest)) => value_at(values.get(group)?.as_table()?, rest),
    }
}

pub(super) fn set_at(values: &mut Table, key: &str, value: Value) {
    match key.split_once('.') {
        None => {
            values.insert(key.to_owned(), value);
        }
        Some((group, rest)) => {
            let inner = values
                .entry(group)
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set_at(inner, rest, value);
            }
        }
    }
}

pub(super) fn known_key(name: &str) -> Option<&'static str> {
    KEYS.iter().map(|(key, _)| *key).find(|key| *key == name)
}

pub(super) fn is_group(name: &str) -> bool {
    KEYS.iter().any(|(key, _)| {
        key.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('.'))
    })
}
