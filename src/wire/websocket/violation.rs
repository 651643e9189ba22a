//! What a client can do against RFC 6455 and RFC 7692.

/// How a client broke the rules; nothing more is read from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtocolViolation {
    /// A message is longer than allowed.
    TooLarge,
    /// A frame is not as RFC 6455 wants it.
    Framing,
    /// A text or the reason of a close is not UTF-8.
    Utf8,
    /// A compressed message is broken or cut off.
    Deflate,
}
