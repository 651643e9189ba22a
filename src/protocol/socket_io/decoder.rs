//! From Engine.IO messages to whole Socket.IO packets: a binary one is a header and the attachments
//! that follow it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use engineioxide_core::Str;
use socketioxide_core::Value;
use socketioxide_core::packet::PacketData;
use socketioxide_core::parser::{Parse, ParseConfig, ParseError, ParserState};
use socketioxide_parser_common::CommonParser;

/// Attachments of one packet, at the most; as the reference parser has it.
pub const MAX_ATTACHMENTS: usize = 10;

/// How long attachments may be waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// A whole packet from a client.
#[derive(Debug, PartialEq, Eq)]
pub struct Incoming {
    /// Without the query that 2.x clients write behind it.
    pub namespace: String,
    pub kind: IncomingKind,
}

#[derive(Debug, PartialEq, Eq)]
pub enum IncomingKind {
    /// With its `auth`.
    Connect(Option<String>),
    Disconnect,
    /// The JSON array of name and arguments, which may have placeholders for the attachments.
    Event {
        arguments: String,
        attachments: Vec<Bytes>,
        ack: Option<u64>,
    },
    Ack(u64),
}

/// The packet is not as Socket.IO wants it.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// The packets of one client.
#[derive(Debug, Default)]
pub struct Decoder {
    /// A header whose attachments are yet to come, since when.
    partial: Option<Box<(ParserState, Instant)>>,
    /// Bytes of it and of the attachments that have come.
    held: usize,
    /// Bytes of its attachments together, at the most.
    max_bytes: usize,
}

impl Decoder {
    pub fn new(max_bytes: usize) -> Self {
        Self {
            partial: None,
            held: 0,
            max_bytes,
        }
    }

    /// Until when attachments are waited for.
    pub fn deadline(&self) -> Option<Instant> {
        let (_, since) = self.partial.as_deref()?;
        Some(*since + PATIENCE)
    }

    /// Bytes of a packet that is not whole.
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes a text; answers a packet if it is whole.
    pub fn text(&mut self, text: String) -> Result<Option<Incoming>, Malformed> {
        // Nothing may come between a header and its attachments.
        if self.partial.is_some() {
            return Err(Malformed);
        }
        let state = ParserState::default();
        let length = text.len();
        match CommonParser.decode_str(&self.config(), &state, Str::from(text)) {
            Ok(packet) => incoming(packet).map(Some),
            Err(ParseError::NeedsMoreBinaryData) => {
                self.partial = Some(Box::new((state, Instant::now())));
                self.held = length;
                Ok(None)
            }
            Err(_) => Err(Malformed),
        }
    }

    /// Takes binary data; answers the packet that it is the last attachment of.
    pub fn binary(&mut self, data: Bytes) -> Result<Option<Incoming>, Malformed> {
        let config = self.config();
        let (state, _) = self.partial.as_deref().ok_or(Malformed)?;
        self.held += data.len();
        match CommonParser.decode_bin(&config, state, data) {
            Ok(packet) => {
                self.partial = None;
                self.held = 0;
                let incoming = incoming(packet)?;
                check_placeholders(&incoming)?;
                Ok(Some(incoming))
            }
            Err(ParseError::NeedsMoreBinaryData) => Ok(None),
            Err(_) => Err(Malformed),
        }
    }

    fn config(&self) -> ParseConfig {
        ParseConfig {
            max_incoming_binary_buf_size: self.max_bytes,
            max_incoming_binaries: MAX_ATTACHMENTS,
            packet_completion_timeout: PATIENCE,
        }
    }
}

/// Every placeholder has to stand for an attachment that is there.
fn check_placeholders(incoming: &Incoming) -> Result<(), Malformed> {
    fn check(value: &serde_json::Value, attachments: u64) -> bool {
        use serde_json::Value;
        match value {
            Value::Array(values) => values.iter().all(|value| check(value, attachments)),
            Value::Object(object) if object.get("_placeholder") == Some(&Value::Bool(true)) => {
                let number = object.get("num").and_then(Value::as_u64);
                number.is_some_and(|number| number < attachments)
            }
            Value::Object(object) => object.values().all(|value| check(value, attachments)),
            _ => true,
        }
    }
    let IncomingKind::Event {
        arguments,
        attachments,
        ..
    } = &incoming.kind
    else {
        return Ok(());
    };
    // Without the word there is nothing to look for.
    if !arguments.contains("_placeholder") {
        return Ok(());
    }
    let value = serde_json::from_str(arguments).map_err(|_| Malformed)?;
    if check(&value, attachments.len() as u64) {
        Ok(())
    } else {
        Err(Malformed)
    }
}

fn incoming(packet: socketioxide_core::packet::Packet) -> Result<Incoming, Malformed> {
    let namespace = packet.ns.as_str();
    let namespace = namespace
        .split_once('?')
        .map_or(namespace, |(name, _)| name);
    let namespace = namespace.to_owned();
    let kind = match packet.inner {
        PacketData::Connect(auth) => IncomingKind::Connect(match auth {
            None => None,
            Some(auth) => Some(text(auth)?.0),
        }),
        PacketData::Disconnect => IncomingKind::Disconnect,
        PacketData::Event(value, ack) | PacketData::BinaryEvent(value, ack) => {
            let (arguments, attachments) = text(value)?;
            IncomingKind::Event {
                arguments,
                attachments,
                ack: ack.map(u64::try_from).transpose().map_err(|_| Malformed)?,
            }
        }
        PacketData::EventAck(value, id) | PacketData::BinaryAck(value, id) => {
            let (arguments, _) = text(value)?;
            let arguments: Result<Vec<serde::de::IgnoredAny>, _> = serde_json::from_str(&arguments);
            arguments.map_err(|_| Malformed)?;
            IncomingKind::Ack(u64::try_from(id).map_err(|_| Malformed)?)
        }
        PacketData::ConnectError(_) => return Err(Malformed),
    };
    Ok(Incoming { namespace, kind })
}

fn text(value: Value) -> Result<(String, Vec<Bytes>), Malformed> {
    match value {
        Value::Str(text, attachments) => {
            let attachments = attachments.unwrap_or_default().into();
            Ok((text.into(), attachments))
        }
        Value::Bytes(_) => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Incoming>, Malformed> {
        Decoder::new(100).text(text.to_owned())
    }

    fn event(arguments: &str, attachments: &[&'static [u8]], ack: Option<u64>) -> IncomingKind {
        IncomingKind::Event {
            arguments: arguments.to_owned(),
            attachments: attachments
                .iter()
                .copied()
                .map(Bytes::from_static)
                .collect(),
            ack,
        }
    }

    #[test]
    fn packets_are_read_with_their_namespace() {
        let auth = Some("{\"a\":1}".to_owned());
        for (text, namespace, kind) in [
            ("0", "/", IncomingKind::Connect(None)),
            ("0{\"a\":1}", "/", IncomingKind::Connect(auth)),
            ("0/admin?token=x,", "/admin", IncomingKind::Connect(None)),
            ("1/admin", "/admin", IncomingKind::Disconnect),
            ("217[\"a\"]", "/", event("[\"a\"]", &[], Some(17))),
            ("31[\"ok\"]", "/", IncomingKind::Ack(1)),
        ] {
            let namespace = namespace.to_owned();
            assert_eq!(read(text), Ok(Some(Incoming { namespace, kind })), "{text}");
        }
        for text in [
            "",
            "7",
            "x",
            "3[1]",
            "31{}",
            "31[",
            "4{}",
            "511-[\"a\"]",
            "5-[\"a\"]",
            "5x",
        ] {
            assert_eq!(read(text), Err(Malformed), "{text}");
        }
    }

    #[test]
    fn attachments_follow_their_header_and_nothing_comes_between_them() {
        let header = "52-3[\"a\",{\"_placeholder\":true,\"num\":0}]";
        let mut decoder = Decoder::new(10);
        assert_eq!(decoder.text(header.to_owned()), Ok(None));
        assert!(decoder.deadline().is_some());
        assert_eq!(decoder.binary(Bytes::from_static(b"12345")), Ok(None));
        let whole = decoder
            .binary(Bytes::from_static(b"67890"))
            .unwrap()
            .unwrap();
        assert_eq!(
            whole.kind,
            event(&header[4..], &[b"12345", b"67890"], Some(3))
        );
        assert!(decoder.deadline().is_none());

        for number in ["1", "-1", "\"x\"", "null"] {
            let header = format!("51-[\"a\",[{{\"_placeholder\":true,\"num\":{number}}}]]");
            assert_eq!(decoder.text(header), Ok(None));
            assert_eq!(
                decoder.binary(Bytes::from_static(b"1")),
                Err(Malformed),
                "{number}"
            );
        }

        assert_eq!(decoder.binary(Bytes::from_static(b"1")), Err(Malformed));
        assert_eq!(decoder.text(header.to_owned()), Ok(None));
        assert_eq!(decoder.text("2[\"a\"]".to_owned()), Err(Malformed));
        assert_eq!(
            decoder.binary(Bytes::from_static(b"12345678901")),
            Err(Malformed)
        );
    }
}
