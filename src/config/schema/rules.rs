//! Rules that look at several keys.

use std::net::IpAddr;

use super::auth::AuthConfig;
use super::key::Found;
use super::tls::TlsConfig;
use crate::config::error::Problem;
use crate::config::kind::Parsed;
use crate::http::origin_pattern::OriginPattern;

/// The keys that are looked at together.
pub(super) struct Together<'a> {
    pub host: IpAddr,
    pub cors_origins: &'a [Parsed<OriginPattern>],
    pub drain_delay_ms: u64,
    pub shutdown_timeout_ms: u64,
    pub auth: &'a AuthConfig,
    pub tls: &'a TlsConfig,
}

/// Every rule that is broken.
pub(super) fn broken(keys: &Together<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut found = |key: &'static str, value: String, rule: &'static str| {
        let problems = &mut problems;
        Found { key, problems }.add(value, rule);
    };
    let auth = keys.auth;
    let is_reachable = !keys.host.to_canonical().is_loopback();
    if is_reachable && auth.believes_clients() && !auth.allow_insecure {
        found(
            "host",
            keys.host.to_string(),
            if auth.has_token_key() {
                "it is not a loopback address and auth.allow_asserted lets every client that \
                 reaches it say who it is; either leave that out, or set auth.allow_insecure = \
                 true if this is wanted"
            } else {
                "it is not a loopback address and no token key is configured, so every client \
                 that reaches it may say who it is; either configure a key (auth.jwt_secret, \
                 auth.jwt_key_files, auth.jwks), or listen on 127.0.0.1 or ::1 behind a proxy \
                 that decides who gets in, or set auth.allow_insecure = true if this is wanted"
            },
        );
    }
    if keys.drain_delay_ms != 0 && keys.drain_delay_ms >= keys.shutdown_timeout_ms {
        found(
            "drain_delay_ms",
            keys.drain_delay_ms.to_string(),
            "it must be less than shutdown_timeout_ms, of which it is a part",
        );
    }
    let is_any = |origin: &Parsed<OriginPattern>| origin.as_str() == "*";
    if !auth.token_cookie.is_empty() && keys.cors_origins.iter().any(is_any) {
        found(
            "auth.token_cookie",
            format!("{:?}", auth.token_cookie),
            "browsers send cookies by themselves, so with cors_origins = [\"*\"] any page could \
             connect as its visitor; name the origins",
        );
    }
    let tls = keys.tls;
    if tls.cert_file.is_empty() != tls.key_file.is_empty() {
        let missing = if tls.cert_file.is_empty() {
            "tls.cert_file"
        } else {
            "tls.key_file"
        };
        found(
            missing,
            "\"\"".to_owned(),
            "tls.cert_file and tls.key_file are set together or not at all",
        );
    }
    problems
}
