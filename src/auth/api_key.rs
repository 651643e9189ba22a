//! Keys of backends and operators for the HTTP side.
//!
//! A key is 256 random bits, so its SHA-256 is enough to keep: there is nothing to guess that a slow
//! hash would make slower.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;

use crate::domain::identity::OrganizationId;

/// What every key starts with, so that people and secret scanners recognise one.
pub const KEY_PREFIX: &str = "ock_";
/// What a hash in the configuration starts with.
pub const HASH_PREFIX: &str = "sha256:";

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// Send events.
    Broadcast,
    /// Statistics, connections and rooms.
    Read,
    /// Revoke tokens.
    Admin,
}

impl Scope {
    pub const ALL: [Self; 3] = [Self::Broadcast, Self::Read, Self::Admin];
    pub const NAMES: &'static str = "broadcast, read, admin";

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == text)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

/// How far a key reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Every organization.
    Operator,
    /// This one, and not a byte of another.
    Organization(OrganizationId),
}

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name under which the key is configured.
    pub name: String,
    pub reach: Reach,
    pub scopes: BTreeSet<Scope>,
}

/// The SHA-256 of a key.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash([u8; 32]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// Why a text is not the hash of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a hash is `sha256:` and 64 hexadecimal digits; `orgcast gen-key` prints one")]
pub struct HashError;

impl KeyHash {
    pub fn of(key: &str) -> Self {
        Self(Sha256::digest(key.as_bytes()).into())
    }

    /// Reads what [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Result<Self, HashError> {
        let digits = text.strip_prefix(HASH_PREFIX).ok_or(HashError)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(HashError);
        }
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| HashError)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| HashError)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A new key out of 256 random bits, which must come from a cryptographic source.
pub fn key_of(random: [u8; 32]) -> String {
    format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random))
}

/// The keys that are valid at the moment.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(Vec<(KeyHash, Arc<Caller>)>);

impl ApiKeys {
    pub fn new(keys: impl IntoIterator<Item = (KeyHash, Caller)>) -> Self {
        let keys = keys.into_iter();
        Self(
            keys.map(|(hash, caller)| (hash, Arc::new(caller)))
                .collect(),
        )
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whose key this is. Takes the same time whichever key it is, and whether it is one.
    pub fn find(&self, key: &str) -> Option<Arc<Caller>> {
        let hash = KeyHash::of(key);
        let mut found = Choice::from(0);
        let mut at = 0_u64;
        for (index, (known, _)) in (0_u64..).zip(&self.0) {
            let same = known.0.ct_eq(&hash.0);
            at.conditional_assign(&index, same);
            found |= same;
        }
        if !bool::from(found) {
            return None;
        }
        let at = usize::try_from(at).ok()?;
        self.0.get(at).map(|(_, caller)| Arc::clone(caller))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(name: &str) -> Caller {
        Caller {
            name: name.to_owned(),
            reach: Reach::Operator,
            scopes: BTreeSet::new(),
        }
    }

    #[test]
    fn each_of_several_keys_is_found_and_nothing_else() {
        let (first, second) = (key_of([1; 32]), key_of([2; 32]));
        let keys = ApiKeys::new([
            (KeyHash::of(&first), caller("first")),
            (KeyHash::of(&second), caller("second")),
        ]);
        assert_eq!(keys.find(&first).unwrap().name, "first");
        assert_eq!(keys.find(&second).unwrap().name, "second");
        for wrong in ["", "ock_", &first[..first.len() - 1], &format!("{first} ")] {
            assert!(keys.find(wrong).is_none(), "{wrong}");
        }
        assert!(keys.find(&KeyHash::of(&first).to_string()).is_none());
        assert!(ApiKeys::default().find(&first).is_none());
    }

    #[test]
    fn a_hash_reads_what_it_writes() {
        let hash = KeyHash::of("x");
        assert_eq!(KeyHash::parse(&hash.to_string()), Ok(hash));
        let digits = "0".repeat(64);
        for bad in [
            digits.clone(),
            "sha256:00".into(),
            format!("sha256:{}+0", &digits[2..]),
            format!("md5:{digits}"),
            format!("sha256:{}é", &digits[2..]),
        ] {
            assert_eq!(KeyHash::parse(&bad), Err(HashError), "{bad}");
        }
    }
}
