//! Who somebody is: the ids of organizations, departments, queues, users and connections.
//!
//! Ids are 1 to 128 bytes of UTF-8 without control characters (protocol, section 1). Each kind has
//! a type of its own, so that a department can never be passed where an organization is due.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use thiserror::Error;

/// Longest id in bytes.
pub const MAX_ID_BYTES: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IdError {
    #[error("it is empty; 1 to {MAX_ID_BYTES} bytes are allowed")]
    Empty,
    #[error("it has {0} bytes; 1 to {MAX_ID_BYTES} are allowed")]
    TooLong(usize),
    #[error("it contains a control character")]
    ControlCharacter,
}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        Err(IdError::Empty)
    } else if text.len() > MAX_ID_BYTES {
        Err(IdError::TooLong(text.len()))
    } else if text.chars().any(char::is_control) {
        Err(IdError::ControlCharacter)
    } else {
        Ok(())
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Fails on an empty or too long text and on control characters.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// The tenant: the wall nothing crosses.
    OrganizationId
);
id!(
    /// A node under an organization.
    DepartmentId
);
id!(
    /// A node under an organization, inside a department or not.
    QueueName
);
id!(
    /// A person, who may have many connections at once.
    UserId
);

/// The public name of one connection: 128 random bits in hexadecimal.
///
/// It is not the Engine.IO session id, since whoever knows that one can poll in the owner's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u128);

impl ConnectionId {
    /// `random` must come from a cryptographic source: knowing an id must not help to guess another.
    pub fn from_random(random: u128) -> Self {
        Self(random)
    }

    /// Reads the form that [`fmt::Display`] writes; anything else is no connection's id.
    pub fn parse(text: &str) -> Option<Self> {
        let canonical = text.len() == 32
            && text
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'));
        if !canonical {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl Serialize for ConnectionId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A user inside an organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    pub user: UserId,
    pub organization: OrganizationId,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_take_1_to_128_bytes_without_control_characters() {
        assert!(UserId::new("ä:%/ 7").is_ok());
        assert!(UserId::new(&"x".repeat(128)).is_ok());
        assert_eq!(UserId::new(""), Err(IdError::Empty));
        assert_eq!(UserId::new(&"é".repeat(65)), Err(IdError::TooLong(130)));
        for bad in ["a\0b", "line\nbreak", "\u{7f}", "\u{85}"] {
            assert_eq!(UserId::new(bad), Err(IdError::ControlCharacter), "{bad:?}");
        }
    }

    #[test]
    fn a_connection_id_reads_what_it_writes_and_nothing_else() {
        let id = ConnectionId::from_random(0x00ff_1234_5678);
        assert_eq!(ConnectionId::parse(&id.to_string()), Some(id));
        for bad in [
            "",
            "user_1",
            "+0000000000000000000000000000001",
            &"F".repeat(32),
        ] {
            assert_eq!(ConnectionId::parse(bad), None, "{bad}");
        }
    }
}
