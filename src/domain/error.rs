//! What can go wrong, as clients see it: error codes, and the reasons for which a connection ends.

use std::borrow::Cow;
use std::time::Duration;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// The error codes of the protocol (section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    AuthFailed,
    Unauthorized,
    InvalidMessage,
    MessageTooLarge,
    RateLimitExceeded,
    SubscriptionFailed,
    RoomNotFound,
    RoomFull,
    Conflict,
    ConnectionLimit,
    InternalError,
}

impl Code {
    pub const ALL: [Self; 11] = [
        Self::AuthFailed,
        Self::Unauthorized,
        Self::InvalidMessage,
        Self::MessageTooLarge,
        Self::RateLimitExceeded,
        Self::SubscriptionFailed,
        Self::RoomNotFound,
        Self::RoomFull,
        Self::Conflict,
        Self::ConnectionLimit,
        Self::InternalError,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AuthFailed => "AUTH_FAILED",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::InvalidMessage => "INVALID_MESSAGE",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::RateLimitExceeded => "RATE_LIMIT_EXCEEDED",
            Self::SubscriptionFailed => "SUBSCRIPTION_FAILED",
            Self::RoomNotFound => "ROOM_NOT_FOUND",
            Self::RoomFull => "ROOM_FULL",
            Self::Conflict => "CONFLICT",
            Self::ConnectionLimit => "CONNECTION_LIMIT",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The HTTP status that carries this code.
    pub fn http_status(self) -> u16 {
        match self {
            Self::AuthFailed => 401,
            Self::Unauthorized => 403,
            Self::InvalidMessage | Self::SubscriptionFailed => 400,
            Self::MessageTooLarge => 413,
            Self::RateLimitExceeded => 429,
            Self::RoomNotFound => 404,
            Self::RoomFull | Self::Conflict => 409,
            Self::ConnectionLimit => 503,
            Self::InternalError => 500,
        }
    }
}

/// An error that is told to the client: the object under `error` in an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ClientError {
    pub code: Code,
    /// What was wrong and what is allowed, for a person to read.
    pub message: Cow<'static, str>,
    /// When it makes sense to try again.
    pub retry_after: Option<Duration>,
    /// Which of the several causes of one code it was, for a program to read.
    pub reason: Option<&'static str>,
}

impl ClientError {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: message.into(),
            retry_after: None,
            reason: None,
        }
    }

    #[must_use]
    pub fn because(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::InvalidMessage, message)
    }

    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Code::Unauthorized, message)
    }

    pub fn rate_limited(retry_after: Duration) -> Self {
        let millis = millis_rounded_up(retry_after);
        Self {
            code: Code::RateLimitExceeded,
            message: format!("too many messages; try again in {millis} ms").into(),
            retry_after: Some(retry_after),
            reason: None,
        }
    }

    /// For a client that is closed because it went on over its limit.
    pub fn rate_abused() -> Self {
        Self::new(
            Code::RateLimitExceeded,
            "too many messages for too long: the connection is closed",
        )
    }

    pub fn too_large(limit: usize) -> Self {
        Self::new(
            Code::MessageTooLarge,
            format!("the message is larger than {limit} bytes"),
        )
    }
}

fn millis_rounded_up(duration: Duration) -> u128 {
    duration.as_micros().div_ceil(1000).max(1)
}

impl Serialize for ClientError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("code", self.code.as_str())?;
        map.serialize_entry("message", &self.message)?;
        if let Some(reason) = self.reason {
            map.serialize_entry("reason", reason)?;
        }
        if let Some(retry_after) = self.retry_after {
            map.serialize_entry("retry_after_ms", &millis_rounded_up(retry_after))?;
        }
        map.end()
    }
}

/// Why an identity was not accepted: the `reason` beside the code `AUTH_FAILED`.
pub mod reason {
    pub const TOKEN_MALFORMED: &str = "token_malformed";
    pub const TOKEN_EXPIRED: &str = "token_expired";
    pub const TOKEN_NOT_YET_VALID: &str = "token_not_yet_valid";
    pub const TOKEN_REVOKED: &str = "token_revoked";
    pub const ALGORITHM_REFUSED: &str = "algorithm_refused";
    /// No key has the token's `kid`; it may be there when the keys were fetched again.
    pub const KEY_UNKNOWN: &str = "key_unknown";
    pub const SIGNATURE_INVALID: &str = "signature_invalid";
    pub const ISSUER_REFUSED: &str = "issuer_refused";
    pub const AUDIENCE_REFUSED: &str = "audience_refused";
    pub const CLAIM_INVALID: &str = "claim_invalid";
    /// A token is needed, and the client only said who it is.
    pub const TOKEN_REQUIRED: &str = "token_required";
}

/// Why the server ends a connection. One table for close codes, their texts and whether a client
/// should come back by itself (RFC 6455 section 7.4.1; protocol, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// The server shuts down.
    GoingAway,
    /// A text frame was not UTF-8.
    InvalidUtf8,
    /// A compressed message could not be inflated.
    InvalidCompression,
    /// The identity was refused.
    Unauthorized,
    /// It went on sending more than it may.
    RateLimited,
    /// Nobody authenticated within the time for it.
    AuthTimeout,
    /// Its token ended and no fresh one came.
    TokenExpired,
    /// Its token or its user was revoked.
    Revoked,
    /// A backend or an operator sent the user away.
    Disconnected,
    MessageTooLarge,
    /// A connection limit was reached.
    ConnectionLimit,
    /// Its queue was full, or nothing could be written to it for too long.
    TooSlow,
    /// It answered no ping.
    PingTimeout,
    /// The peer broke the framing rules.
    ProtocolError,
    /// It could not do what it came for because of its rate, which passes.
    TryAgainLater,
    /// It held more than others when all together held too much.
    Overloaded,
}

impl CloseReason {
    pub const ALL: [Self; 16] = [
        Self::GoingAway,
        Self::InvalidUtf8,
        Self::InvalidCompression,
        Self::Unauthorized,
        Self::RateLimited,
        Self::AuthTimeout,
        Self::TokenExpired,
        Self::Revoked,
        Self::Disconnected,
        Self::MessageTooLarge,
        Self::ConnectionLimit,
        Self::TooSlow,
        Self::PingTimeout,
        Self::ProtocolError,
        Self::TryAgainLater,
        Self::Overloaded,
    ];

    /// Close code, reason text, and whether a client should reconnect after it.
    pub fn row(self) -> (u16, &'static str, bool) {
        match self {
            Self::GoingAway => (1001, "Server going away", true),
            Self::InvalidUtf8 => (1007, "Text frames must be UTF-8", false),
            Self::InvalidCompression => (1007, "Invalid compressed data", false),
            Self::Unauthorized => (1008, "Unauthorized", false),
            Self::RateLimited => (1008, "Rate limit exceeded", false),
            Self::AuthTimeout => (1008, "Unauthorized: not authenticated in time", false),
            Self::TokenExpired => (1008, "Unauthorized: the token has expired", false),
            Self::Revoked => (1008, "Unauthorized: revoked", false),
            Self::Disconnected => (1008, "Disconnected by the server", false),
            Self::MessageTooLarge => (1009, "Message too large", false),
            Self::ConnectionLimit => (1013, "Connection limit reached", true),
            Self::TooSlow => (1013, "Too slow", true),
            Self::PingTimeout => (1001, "Ping timeout", true),
            Self::ProtocolError => (1002, "Protocol error", false),
            Self::TryAgainLater => (1013, "Rate limit exceeded: try again later", true),
            Self::Overloaded => (1013, "The server is short of memory: try again later", true),
        }
    }

    pub fn code(self) -> u16 {
        self.row().0
    }

    pub fn text(self) -> &'static str {
        self.row().1
    }

    pub fn should_reconnect(self) -> bool {
        self.row().2
    }

    /// What the client is told before the close, where the close alone would not tell enough.
    pub fn last_words(self) -> Option<ClientError> {
        let error = ClientError::new(Code::AuthFailed, self.text());
        match self {
            Self::AuthTimeout | Self::Unauthorized => Some(error),
            Self::TokenExpired => Some(error.because(reason::TOKEN_EXPIRED)),
            Self::Revoked => Some(error.because(reason::TOKEN_REVOKED)),
            _ => None,
        }
    }

    /// The name under which closes are counted.
    pub fn label(self) -> &'static str {
        match self {
            Self::GoingAway => "going_away",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::InvalidCompression => "invalid_compression",
            Self::Unauthorized => "unauthorized",
            Self::RateLimited => "rate_limited",
            Self::AuthTimeout => "auth_timeout",
            Self::TokenExpired => reason::TOKEN_EXPIRED,
            Self::Revoked => reason::TOKEN_REVOKED,
            Self::Disconnected => "disconnected",
            Self::MessageTooLarge => "message_too_large",
            Self::ConnectionLimit => "connection_limit",
            Self::TooSlow => "too_slow",
            Self::PingTimeout => "ping_timeout",
            Self::ProtocolError => "protocol_error",
            Self::TryAgainLater => "try_again_later",
            Self::Overloaded => "overloaded",
        }
    }
}

/// Why a client can't go on where it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotRecovered {
    /// The offset is of another numbering.
    Epoch,
    /// Some of what it missed is not kept any more.
    Trimmed,
    /// It missed more than one recovery brings.
    TooMany,
    /// Its token has ended, or was revoked.
    Expired,
    /// It says that it is somebody else.
    Identity,
    /// There is no such session, or no such offset.
    Unknown,
}

impl NotRecovered {
    pub const ALL: [Self; 6] = [
        Self::Epoch,
        Self::Trimmed,
        Self::TooMany,
        Self::Expired,
        Self::Identity,
        Self::Unknown,
    ];

    /// As clients and operators read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Epoch => "epoch",
            Self::Trimmed => "trimmed",
            Self::TooMany => "too_many",
            Self::Expired => "expired",
            Self::Identity => "identity",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_written_with_code_message_and_when_to_retry() {
        let error = ClientError::rate_limited(Duration::from_micros(1500));
        assert_eq!(
            serde_json::to_string(&error).unwrap(),
            r#"{"code":"RATE_LIMIT_EXCEEDED","message":"too many messages; try again in 2 ms","retry_after_ms":2}"#
        );
    }

    #[test]
    fn every_close_fits_into_a_close_frame() {
        for reason in CloseReason::ALL {
            assert!(reason.text().len() <= 123, "{reason:?}");
            assert!((1000..=1015).contains(&reason.code()), "{reason:?}");
        }
    }
}
