//! What a Socket.IO client sends, looked at before the library sees it.
//!
//! The library closes the transport over a packet that it can't read. Here such a packet becomes an
//! event of our own that carries the reason, so that the client gets an error, in order with the
//! replies around it, and keeps its connection. Binary attachments are not accepted, so they are
//! not collected either: their event is refused and they are skipped.

use std::borrow::Cow;
use std::time::Duration;

use serde_json::value::RawValue;

use super::engine::EngineVersion;
use crate::domain::words;
use crate::wire::inbound::Verdict;

/// The event that stands for an unreadable packet; its argument is the reason.
pub(super) const MALFORMED: &str = "orgcast:malformed";

/// The event that stands for a packet over the rate; its argument is the time to wait in microseconds.
pub(super) const LIMITED: &str = "orgcast:limited";

const BINARY: &str = "binary attachments are not accepted; send JSON";

/// The state of one client's stream of packets.
#[derive(Debug, Default)]
pub(super) struct Inspector {
    /// Attachments of a refused event that are yet to come.
    to_skip: usize,
}

impl Inspector {
    /// Looks at one Engine.IO packet; `None` is a binary one.
    pub fn inspect(&mut self, packet: Option<&[u8]>) -> Verdict {
        let Some(packet) = packet else {
            if self.to_skip > 0 {
                self.to_skip -= 1;
                return Verdict::Swallow;
            }
            return Verdict::Replace(malformed(b"", "binary frames are not accepted; send JSON"));
        };
        // Only messages carry Socket.IO.
        let Some(message) = packet.strip_prefix(b"4") else {
            return Verdict::Pass;
        };
        match self.read(message) {
            Ok(()) => Verdict::Pass,
            Err((ack, reason)) => Verdict::Replace(malformed(ack, &reason)),
        }
    }

    /// Checks a Socket.IO packet as far as the library would close over it. An error has the digits
    /// of the acknowledgement id, if they could be read.
    fn read<'a>(&mut self, message: &'a [u8]) -> Result<(), (&'a [u8], Cow<'static, str>)> {
        let (kind, rest) = message
            .split_first()
            .ok_or((&b""[..], "an empty packet".into()))?;
        match kind {
            b'0' | b'1' => Ok(()),
            b'2' => {
                let (ack, json) = ack_and_json(after_namespace(rest));
                check_event(json).map_err(|reason| (ack, reason))
            }
            b'3' => match ack_and_json(after_namespace(rest)) {
                (b"", _) => Err((b"", "an acknowledgement without an id".into())),
                _ => Ok(()),
            },
            b'5' | b'6' => {
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (count, rest) = rest.split_at(digits);
                let count = std::str::from_utf8(count)
                    .ok()
                    .and_then(|count| count.parse().ok());
                self.to_skip = self.to_skip.saturating_add(count.unwrap_or(0));
                let rest = rest.strip_prefix(b"-").unwrap_or(rest);
                let ack = if *kind == b'5' {
                    ack_and_json(after_namespace(rest)).0
                } else {
                    b""
                };
                Err((ack, BINARY.into()))
            }
            _ => Err((b"", "not a Socket.IO packet".into())),
        }
    }

    /// What becomes of a packet that came over the client's rate. The library sees those that end
    /// something, and a CONNECT, which is refused where it is answered.
    pub fn refuse(&mut self, packet: Option<&[u8]>, wait: Duration) -> Verdict {
        let Some(packet) = packet else {
            if self.to_skip > 0 {
                self.to_skip -= 1;
                return Verdict::Swallow;
            }
            return Verdict::Replace(limited(b"", wait));
        };
        match packet {
            [b'4', b'0' | b'1', ..] => Verdict::Pass,
            [b'4', b'2', rest @ ..] => {
                Verdict::Replace(limited(ack_and_json(after_namespace(rest)).0, wait))
            }
            [b'4', message @ ..] => {
                let ack = match self.read(message) {
                    Ok(()) => b"",
                    Err((ack, _)) => ack,
                };
                Verdict::Replace(limited(ack, wait))
            }
            b"2probe" => Verdict::Pass,
            [b'2', ..] => Verdict::Swallow,
            _ => Verdict::Pass,
        }
    }

    /// Has `judge` look at the packets of a polling request's body; answers what the library is to
    /// get, in bodies of at most [`PART_PACKETS`]. `None` if the body can't be taken apart.
    pub fn inspect_payload(
        &mut self,
        version: EngineVersion,
        body: &[u8],
        mut judge: impl FnMut(&mut Self, Option<&[u8]>) -> Verdict,
    ) -> Option<Vec<Vec<u8>>> {
        let packets = match version {
            EngineVersion::V3 => split_v3(body)?,
            EngineVersion::V4 => body.split(|byte| *byte == RECORD_SEPARATOR).collect(),
        };
        let mut kept: Vec<Cow<'_, [u8]>> = Vec::with_capacity(packets.len());
        for packet in packets {
            let is_binary = packet.first() == Some(&b'b');
            match judge(self, (!is_binary).then_some(packet)) {
                Verdict::Pass => kept.push(packet.into()),
                Verdict::Replace(text) => kept.push(text.into()),
                Verdict::Swallow => {}
            }
        }
        let parts = kept.chunks(PART_PACKETS).map(|part| match version {
            EngineVersion::V3 => join_v3(part),
            EngineVersion::V4 => part.join(&RECORD_SEPARATOR),
        });
        Some(parts.collect())
    }
}

/// How many packets of a polling request are handed on at once: their answers have to find room
/// before the next ones are.
const PART_PACKETS: usize = 128;

/// Whether a packet is a Socket.IO CONNECT.
pub(super) fn is_connect(packet: &[u8]) -> bool {
    packet.starts_with(b"40")
}

/// What stands between the packets of a payload (Engine.IO v4).
const RECORD_SEPARATOR: u8 = 0x1e;

fn malformed(ack: &[u8], reason: &str) -> Vec<u8> {
    let reason = serde_json::Value::String(reason.to_owned());
    let mut packet = b"42".to_vec();
    packet.extend_from_slice(ack);
    packet.extend_from_slice(format!("[\"{MALFORMED}\",{reason}]").as_bytes());
    packet
}

fn limited(ack: &[u8], wait: Duration) -> Vec<u8> {
    let mut packet = b"42".to_vec();
    packet.extend_from_slice(ack);
    packet.extend_from_slice(format!("[\"{LIMITED}\",{}]", wait.as_micros()).as_bytes());
    packet
}

/// Skips `/namespace,`.
fn after_namespace(packet: &[u8]) -> &[u8] {
    if packet.first() != Some(&b'/') {
        return packet;
    }
    match packet.iter().position(|byte| *byte == b',') {
        Some(comma) => &packet[comma + 1..],
        None => &[],
    }
}

/// The digits in front of the JSON, if they fit the library's ids, and the JSON.
fn ack_and_json(packet: &[u8]) -> (&[u8], &[u8]) {
    let digits = packet
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (ack, json) = packet.split_at(digits);
    if digits <= 18 {
        (ack, json)
    } else {
        (&[], json)
    }
}

/// The library reads an event's name without unescaping it, and the rest as JSON.
fn check_event(json: &[u8]) -> Result<(), Cow<'static, str>> {
    let arguments: Vec<&RawValue> = serde_json::from_slice(json).map_err(|error| {
        if error.is_data() {
            "the event is not a JSON array".into()
        } else {
            words::not_json("the event", &error).message
        }
    })?;
    let name = arguments
        .first()
        .ok_or("an event begins with its name")?
        .get();
    if !name.starts_with('"') {
        return Err("an event begins with its name, a string".into());
    }
    if name.contains('\\') {
        return Err("an event's name is written without escapes".into());
    }
    Ok(())
}

/// `length:packet` after `length:packet`, lengths as JavaScript counts them, in UTF-16 units
/// (Engine.IO v3). `None` if the body is not of this form.
fn split_v3(body: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = std::str::from_utf8(body).ok()?;
    let mut packets = Vec::new();
    while !rest.is_empty() {
        let (length, tail) = rest.split_once(':')?;
        let mut left: usize = length.parse().ok()?;
        let mut end = 0;
        let mut characters = tail.chars();
        while left > 0 {
            let character = characters.next()?;
            left = left.checked_sub(character.len_utf16())?;
            end += character.len_utf8();
        }
        let (packet, tail) = tail.split_at(end);
        packets.push(packet.as_bytes());
        rest = tail;
    }
    Some(packets)
}

fn join_v3(packets: &[Cow<'_, [u8]>]) -> Vec<u8> {
    let mut body = Vec::new();
    for packet in packets {
        let units = String::from_utf8_lossy(packet).encode_utf16().count();
        body.extend_from_slice(format!("{units}:").as_bytes());
        body.extend_from_slice(packet);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(packet: &str) -> Verdict {
        Inspector::default().inspect(Some(packet.as_bytes()))
    }

    #[test]
    fn what_the_library_reads_passes() {
        for packet in [
            "2probe",
            "5",
            "3",
            "40",
            r#"40{"token":"x"}"#,
            "40/admin,",
            "41",
            r#"42["a"]"#,
            r#"42["a",{"b":[1,2]}]"#,
            r#"4217["a"]"#,
            r#"42/admin,3["a"]"#,
            r#"431["ok"]"#,
        ] {
            assert_eq!(inspect(packet), Verdict::Pass, "{packet}");
        }
    }

    #[test]
    fn what_it_would_close_over_becomes_an_event_with_the_same_acknowledgement_id() {
        for (packet, start) in [
            (
                r#"4212["subscribe",{"a"}]"#,
                r#"4212["orgcast:malformed","the event is not"#,
            ),
            (
                r#"42{"a":1}"#,
                r#"42["orgcast:malformed","the event is not"#,
            ),
            ("42[]", r#"42["orgcast:malformed","an event begins"#),
            ("425[7]", r#"425["orgcast:malformed","an event begins"#),
            (
                r#"42["a\u0062"]"#,
                r#"42["orgcast:malformed","an event's name"#,
            ),
            ("47", r#"42["orgcast:malformed","not a Socket.IO packet"#),
            ("4", r#"42["orgcast:malformed","an empty packet"#),
            (
                "43[1]",
                r#"42["orgcast:malformed","an acknowledgement without"#,
            ),
            ("42", r#"42["orgcast:malformed","the event is empty"#),
        ] {
            match inspect(packet) {
                Verdict::Replace(text) => {
                    let text = String::from_utf8(text).unwrap();
                    assert!(text.starts_with(start), "{packet}: {text}");
                    assert_eq!(inspect(&text), Verdict::Pass);
                }
                other => panic!("{packet}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_binary_event_is_refused_once_and_its_attachments_are_skipped() {
        let mut inspector = Inspector::default();
        let event = inspector.inspect(Some(br#"452-9["a",{"_placeholder":true,"num":0}]"#));
        assert!(matches!(event, Verdict::Replace(text) if text.starts_with(b"429[")));
        assert_eq!(inspector.inspect(None), Verdict::Swallow);
        assert_eq!(inspector.inspect(Some(b"3")), Verdict::Pass);
        assert_eq!(inspector.inspect(None), Verdict::Swallow);
        assert!(matches!(inspector.inspect(None), Verdict::Replace(_)));
    }

    #[test]
    fn a_polling_body_keeps_its_good_packets() {
        let mut inspector = Inspector::default();
        let mut inspect = |version, body: &str| {
            inspector.inspect_payload(version, body.as_bytes(), Inspector::inspect)
        };
        let good = "3\x1e42[\"a\"]";
        assert_eq!(inspect(EngineVersion::V4, good), Some(vec![good.into()]));
        let body = inspect(EngineVersion::V4, "42[\"a\"]\x1e42[\x1e3")
            .unwrap()
            .remove(0);
        let packets: Vec<&[u8]> = body.split(|byte| *byte == RECORD_SEPARATOR).collect();
        assert_eq!(
            (packets.len(), packets[0], packets[2]),
            (3, &b"42[\"a\"]"[..], &b"3"[..])
        );
        assert!(packets[1].starts_with(b"42[\"orgcast:malformed\""));

        // Lengths are those of JavaScript: an emoji counts twice.
        let good = "7:42[\"é\"]8:42[\"😀\"]1:2";
        assert_eq!(inspect(EngineVersion::V3, good), Some(vec![good.into()]));
        let body = inspect(EngineVersion::V3, "3:42[8:42[\"😀\"]")
            .unwrap()
            .remove(0);
        let packets = split_v3(&body).unwrap();
        assert!(packets[0].starts_with(b"42[\"orgcast:malformed\""));
        assert_eq!(packets[1], "42[\"😀\"]".as_bytes());
        for bad in ["x:1", "5:1", "1:😀", "12"] {
            assert_eq!(inspect(EngineVersion::V3, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_long_polling_body_comes_in_parts() {
        let body = vec!["42[\"a\"]"; 300].join("\x1e");
        let parts = Inspector::default()
            .inspect_payload(EngineVersion::V4, body.as_bytes(), Inspector::inspect)
            .unwrap();
        assert_eq!(parts.len(), 3);
        assert_eq!(parts.join(&RECORD_SEPARATOR), body.as_bytes());
    }

    #[test]
    fn a_packet_over_the_rate_is_refused_with_its_acknowledgement_id() {
        let mut inspector = Inspector::default();
        let mut refuse = |packet: &str| match inspector
            .refuse(Some(packet.as_bytes()), Duration::from_millis(7))
        {
            Verdict::Replace(text) => String::from_utf8(text).unwrap(),
            Verdict::Pass => "pass".to_owned(),
            Verdict::Swallow => "swallow".to_owned(),
        };
        for (packet, expected) in [
            (r#"42["a"]"#, r#"42["orgcast:limited",7000]"#),
            (r#"4217["a"]"#, r#"4217["orgcast:limited",7000]"#),
            (r#"42/admin,3["a"]"#, r#"423["orgcast:limited",7000]"#),
            (r#"431["ok"]"#, r#"42["orgcast:limited",7000]"#),
            (r#"451-9["a",{}]"#, r#"429["orgcast:limited",7000]"#),
            ("2", "swallow"),
            ("3", "pass"),
            ("1", "pass"),
            ("5", "pass"),
            ("2probe", "pass"),
            ("40", "pass"),
            ("41", "pass"),
        ] {
            assert_eq!(refuse(packet), expected, "{packet}");
        }
        // The attachment of the refused binary event.
        assert_eq!(inspector.inspect(None), Verdict::Swallow);
    }
}
