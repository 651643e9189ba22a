//! Rules for names, paths and times.

use std::collections::BTreeMap;

use super::key::{Found, Rule};
use crate::config::kind::{Parse, Parsed};
use crate::domain::identity::OrganizationId;
use crate::domain::room::Channel;
use crate::http::client_ip::Network;
use crate::http::origin_pattern::{HostPattern, OriginPattern};
use crate::protocol::socket_io;

pub(super) const DAY_MS: u64 = 86_400_000;
pub(super) const MIB: usize = 1024 * 1024;
pub(super) const MAX_MESSAGES: u64 = 1_000_000;

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

/// Event names of the protocol's own, beside those that Socket.IO reserves.
const OWN_EVENTS: [&str; 7] = [
    "error",
    "authenticate",
    "authenticated",
    "subscribe",
    "unsubscribe",
    "publish",
    "history",
];
const RESERVED_EVENT_PREFIXES: [&str; 3] = ["client:", "orgcast:", "auth:"];

/// A time of at least a millisecond and at most a day.
pub(super) fn day() -> Rule<u64> {
    Rule::Within(1, DAY_MS, "it must be between 1 and 86400000 (one day)")
}

/// A time of at most a day.
pub(super) fn at_most_a_day() -> Rule<u64> {
    Rule::Within(0, DAY_MS, "it must be at most 86400000 (one day)")
}

/// A list of which each text must stand for something.
pub(super) fn each<T: Parse>(texts: &[Parsed<T>], found: &mut Found<'_>) {
    for text in texts {
        if let Some(rule) = text.broken() {
            found.add(format_args!("{:?}", text.as_str()), rule);
        }
    }
}

impl Parse for OriginPattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::parse(text)
    }
}

impl Parse for HostPattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::parse(text)
    }
}

impl Parse for Network {
    fn parse(text: &str) -> Result<Self, &'static str> {
        text.parse()
            .map_err(|_| "each is an IP address or a network such as 10.0.0.0/8")
    }
}

impl Parse for OrganizationId {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::new(text)
            .map_err(|_| "an organization id is 1 to 128 bytes without control characters")
    }
}

impl Parse for Channel {
    fn parse(text: &str) -> Result<Self, &'static str> {
        Self::new(text).map_err(|_| match text {
            "org" => "`org` is the first part of every organization's own room",
            _ => "a channel name is 1 to 64 of a-z 0-9 _ -",
        })
    }
}

pub(super) fn events(events: &BTreeMap<String, String>, found: &mut Found<'_>) {
    for (event, channel) in events {
        if let Err(rule) = check_event(event) {
            found.add(format_args!("event {event:?}"), rule);
        }
        if !channel.is_empty()
            && let Err(rule) = <Channel as Parse>::parse(channel)
        {
            found.add(format_args!("channel {channel:?} of event {event:?}"), rule);
        }
    }
}

pub(super) fn path(path: &str, found: &mut Found<'_>) {
    if let Err(rule) = check_path(path) {
        found.add(format_args!("{path:?}"), rule);
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

fn check_event(event: &str) -> Result<(), &'static str> {
    if !(1..=128).contains(&event.len()) || event.chars().any(char::is_control) {
        return Err("an event name is 1 to 128 bytes without control characters");
    }
    if socket_io::RESERVED_EVENTS.contains(&event)
        || OWN_EVENTS.contains(&event)
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
            assert_eq!(
                <Channel as Parse>::parse(channel).map(drop),
                Ok(()),
                "{channel}"
            );
        }
        for channel in ["", "org", "KPI", "a:b", "a b", "é", &"c".repeat(65)] {
            assert!(
                <Channel as Parse>::parse(channel).map(drop).is_err(),
                "{channel}"
            );
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
}
