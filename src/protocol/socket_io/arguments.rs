//! Which arguments an event has for a client. Handlers in JavaScript ignore arguments that they don't
//! take, those in other languages count them.

use http::{HeaderMap, header};

use crate::domain::event::Event;
use crate::hub::outbound::Encoding;
use crate::protocol::engine_io::ProtocolVersion;

/// What is configured, or asked for by a client with `?arguments=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Arguments {
    /// Clients that look like JavaScript get `(payload, meta)` and `(payload, acknowledge)`, others the
    /// payload alone.
    #[default]
    Auto,
    /// `(payload, meta)` and `(payload, meta, acknowledge)`.
    All,
    /// `(payload)` and `(payload, acknowledge)`.
    Payload,
}

impl Arguments {
    pub const NAMES: &'static str = "auto, all, payload";

    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            "all" => Some(Self::All),
            "payload" => Some(Self::Payload),
            _ => None,
        }
    }

    /// The form for a client with these headers; where sessions can be recovered, it may get offsets.
    pub(super) fn form(
        self,
        version: ProtocolVersion,
        headers: &HeaderMap,
        can_recover: bool,
    ) -> ArgumentForm {
        let (has_meta, acked_has_meta) = match self {
            Self::All => (true, true),
            Self::Payload => (false, false),
            Self::Auto => (looks_like_javascript(headers), false),
        };
        ArgumentForm {
            version,
            has_meta,
            acked_has_meta,
            // Who gets the payload alone would take the offset for something of its own.
            has_offset: can_recover && has_meta && version == ProtocolVersion::V4,
        }
    }
}

/// Browsers, and socket.io-client on Node: its polling names itself, its WebSocket sends neither of
/// the two headers that clients in other languages send.
fn looks_like_javascript(headers: &HeaderMap) -> bool {
    match headers.get(header::USER_AGENT) {
        Some(agent) => {
            let agent = agent.as_bytes();
            agent.starts_with(b"Mozilla/") || agent.starts_with(b"node-XMLHttpRequest")
        }
        None => !headers.contains_key(header::ORIGIN),
    }
}

/// In which form one client reads events.
#[derive(Debug, Clone, Copy)]
pub(super) struct ArgumentForm {
    version: ProtocolVersion,
    has_meta: bool,
    acked_has_meta: bool,
    has_offset: bool,
}

impl ArgumentForm {
    /// Whether the client gets the offset of each event as its last argument, by which it comes back to its session.
    pub fn has_offset(self) -> bool {
        self.has_offset
    }

    pub fn encoding(self, event: &Event) -> Encoding {
        // The acknowledgement is the last argument of those that ask for one.
        if self.has_offset && event.ack_id.is_none() {
            return Encoding::SocketIoOffset;
        }
        let has_meta = match event.ack_id {
            None => self.has_meta,
            Some(_) => self.acked_has_meta,
        };
        // The versions differ in how they write attachments only.
        let version = if event.attachments.is_empty() {
            ProtocolVersion::V4
        } else {
            self.version
        };
        match (version, has_meta) {
            (ProtocolVersion::V4, true) => Encoding::SocketIo,
            (ProtocolVersion::V4, false) => Encoding::SocketIoPayload,
            (ProtocolVersion::V3, true) => Encoding::SocketIoV3,
            (ProtocolVersion::V3, false) => Encoding::SocketIoV3Payload,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_look_like_javascript_gets_the_payload_alone() {
        let meta = |arguments: Arguments, headers: &[(&'static str, &'static str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect();
            let form = arguments.form(ProtocolVersion::V4, &headers, false);
            (form.has_meta, form.acked_has_meta)
        };
        let (browser, python) = ("Mozilla/5.0 (X11)", "python-requests/2.32");
        for (headers, is_javascript) in [
            (
                &[("user-agent", browser), ("origin", "https://a.example")][..],
                true,
            ),
            (&[("user-agent", "node-XMLHttpRequest")], true),
            (&[], true),
            (&[("user-agent", python)], false),
            (&[("user-agent", "Dart/3.5 (dart:io)")], false),
            (&[("origin", "http://a.example")], false),
        ] {
            assert_eq!(
                meta(Arguments::Auto, headers),
                (is_javascript, false),
                "{headers:?}"
            );
            assert_eq!(meta(Arguments::All, headers), (true, true));
            assert_eq!(meta(Arguments::Payload, headers), (false, false));
        }
    }
}
