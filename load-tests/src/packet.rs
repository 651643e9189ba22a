//! Packets of Socket.IO (protocol 5) in messages of Engine.IO (protocol 4), as far as a client needs
//! to understand them.

use crate::answer::number_after;
use crate::error::ClientError;

/// What the server sends, on either transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet {
    /// `0{..}`: the Engine.IO session is open.
    Open,
    /// `1`: the Engine.IO session is closed.
    Close,
    /// `2`: to be answered with `3`.
    Ping,
    /// `6`: nothing.
    Noop,
    /// `40`: the namespace is connected.
    Connected,
    /// `41`: the namespace is disconnected.
    Disconnected,
    /// `42["name",..]`, with the id by which it is to be acknowledged if it is.
    Event { acknowledge: Option<u64> },
    /// `43<id>[..]`: the answer to what was sent with this id.
    Reply { id: u64 },
    /// `44`: the namespace refused the connection.
    Refused,
    /// None of these.
    Other,
}

impl Packet {
    pub fn read(text: &[u8]) -> Self {
        match text {
            [b'0', ..] => Self::Open,
            [b'1', ..] => Self::Close,
            [b'2', ..] => Self::Ping,
            [b'6', ..] => Self::Noop,
            [b'4', b'0', ..] => Self::Connected,
            [b'4', b'1', ..] => Self::Disconnected,
            [b'4', b'2', b'[', ..] => Self::Event { acknowledge: None },
            [b'4', b'2', rest @ ..] => id(rest).map_or(Self::Other, |id| Self::Event {
                acknowledge: Some(id),
            }),
            [b'4', b'3', rest @ ..] => id(rest).map_or(Self::Other, |id| Self::Reply { id }),
            [b'4', b'4', ..] => Self::Refused,
            _ => Self::Other,
        }
    }
}

/// The digits in front of the arguments.
fn id(rest: &[u8]) -> Option<u64> {
    let digits = rest.split(|byte| *byte == b'[').next()?;
    let is_followed = digits.len() < rest.len();
    let is_number = digits.iter().all(u8::is_ascii_digit);
    (is_followed && is_number).then(|| number_after(digits, b""))?
}

/// Does what any client does with a packet by itself: what is to be answered goes to `answer`, and
/// the end of the session is an error. Says whether there is something to hear in it.
pub fn receive(
    text: &[u8],
    stage: &'static str,
    mut answer: impl FnMut(&[u8]),
) -> Result<bool, ClientError> {
    match Packet::read(text) {
        Packet::Ping => answer(b"3"),
        Packet::Noop => {}
        Packet::Close => return Err(ClientError::Closed(stage, "Engine.IO close".to_owned())),
        Packet::Disconnected => {
            let why = "Socket.IO disconnect".to_owned();
            return Err(ClientError::Closed(stage, why));
        }
        Packet::Event {
            acknowledge: Some(id),
        } => {
            answer(format!("43{id}[]").as_bytes());
            return Ok(true);
        }
        _ => return Ok(true),
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_told_apart_by_their_beginning() {
        let largest = 1 << 53;
        for (text, packet) in [
            ("0{\"sid\":\"a\"}", Packet::Open),
            ("1", Packet::Close),
            ("2", Packet::Ping),
            ("6", Packet::Noop),
            ("40{\"sid\":\"a\",\"pid\":\"b\"}", Packet::Connected),
            ("41", Packet::Disconnected),
            ("430[{}]", Packet::Reply { id: 0 }),
            ("4312[]", Packet::Reply { id: 12 }),
            ("44{\"message\":\"no\"}", Packet::Refused),
            ("4", Packet::Other),
            ("", Packet::Other),
            ("42x[\"a\"]", Packet::Other),
            ("421", Packet::Other),
            ("4299999999999999999999[]", Packet::Other),
            ("43[]", Packet::Other),
            (
                "429007199254740992[\"a\",{}]",
                Packet::Event {
                    acknowledge: Some(largest),
                },
            ),
        ] {
            assert_eq!(Packet::read(text.as_bytes()), packet, "{text}");
        }
        // With the payload alone, with what is known about it, and with a position behind it.
        for text in [
            "42[\"a\",{}]",
            "42[\"a\",{},{\"id\":\"b\"}]",
            "42[\"a\",{},{},\"c-1\"]",
        ] {
            let event = Packet::Event { acknowledge: None };
            assert_eq!(Packet::read(text.as_bytes()), event, "{text}");
        }
    }

    #[test]
    fn what_is_to_be_answered_is_answered() {
        let received = |text: &str| {
            let mut answers = Vec::new();
            let heard = receive(text.as_bytes(), "read", |answer| {
                answers.push(String::from_utf8_lossy(answer).into_owned());
            });
            (heard, answers)
        };
        assert!(matches!(received("2"), (Ok(false), answers) if answers == ["3"]));
        assert!(matches!(received("6"), (Ok(false), answers) if answers.is_empty()));
        assert!(matches!(received("42[\"a\",1]"), (Ok(true), answers) if answers.is_empty()));
        let (heard, answers) = received("429007199254740992[\"a\",1]");
        assert!(heard.is_ok_and(|heard| heard));
        assert_eq!(answers, ["439007199254740992[]"]);
        for end in ["1", "41"] {
            assert!(matches!(received(end), (Err(ClientError::Closed(..)), _)));
        }
    }
}
