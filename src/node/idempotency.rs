//! Publications that are sent again under the key of the first: they are published once, and each gets the same
//! receipt.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::OnceCell;

use super::receipt::Receipt;
use crate::domain::error::{ClientError, Code};
use crate::domain::identity::OrganizationId;

/// How long a key is kept.
const KEPT: Duration = Duration::from_mins(5);

/// Keys that are kept; the oldest go first.
const MAX_KEYS: usize = 100_000;

/// The longest key.
pub const MAX_KEY_BYTES: usize = 128;

/// What a key is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    /// `None` for what is for several.
    pub organization: Option<OrganizationId>,
    pub route: &'static str,
    pub key: String,
}

/// What was first asked for under a key, and what became of it.
pub(super) struct First {
    digest: [u8; 32],
    pub receipt: OnceCell<Receipt>,
}

/// The keys of a node.
#[derive(Default)]
pub(super) struct Idempotency {
    by_key: DashMap<IdempotencyKey, Arc<First>>,
    /// In the order in which they came.
    kept: Mutex<VecDeque<(Instant, IdempotencyKey, Arc<First>)>>,
}

impl Idempotency {
    /// What was first asked for under the key; `CONFLICT` if that was something else.
    pub fn first(&self, key: &IdempotencyKey, asked: &[u8]) -> Result<Arc<First>, ClientError> {
        let digest = Sha256::digest(asked).into();
        let first = self.first_of(key, digest);
        if first.digest == digest {
            Ok(first)
        } else {
            Err(ClientError::new(
                Code::Conflict,
                "this idempotency key was used for another request; use another one for this",
            ))
        }
    }

    fn first_of(&self, key: &IdempotencyKey, digest: [u8; 32]) -> Arc<First> {
        let entry = self.by_key.entry(key.clone()).or_insert_with(|| {
            let first = Arc::new(First {
                digest,
                receipt: OnceCell::new(),
            });
            let now = Instant::now();
            let kept = (now, key.clone(), Arc::clone(&first));
            self.kept.lock().push_back(kept);
            first
        });
        Arc::clone(&entry)
    }

    pub fn forget(&self, key: &IdempotencyKey, first: &Arc<First>) {
        let is_it = |_: &IdempotencyKey, kept: &Arc<First>| Arc::ptr_eq(kept, first);
        self.by_key.remove_if(key, is_it);
    }

    /// Forgets what is too old or too much. To be called once a second.
    pub fn expire(&self, now: Instant) {
        loop {
            let over = {
                let mut kept = self.kept.lock();
                let Some((since, ..)) = kept.front() else {
                    return;
                };
                let is_over = now.saturating_duration_since(*since) >= KEPT;
                if !is_over && kept.len() <= MAX_KEYS {
                    return;
                }
                kept.pop_front()
            };
            if let Some((_, key, first)) = over {
                self.forget(&key, &first);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> IdempotencyKey {
        IdempotencyKey {
            organization: None,
            route: "/",
            key: number.to_string(),
        }
    }

    #[test]
    fn keys_are_forgotten_when_they_are_old_or_too_many() {
        let keys = Idempotency::default();
        for number in 0..MAX_KEYS + 10 {
            keys.first(&key(number), b"").unwrap();
        }
        let now = Instant::now();
        keys.expire(now);
        assert_eq!(keys.by_key.len(), MAX_KEYS);
        assert!(!keys.by_key.contains_key(&key(9)));
        assert!(keys.by_key.contains_key(&key(10)));
        keys.expire(now + KEPT);
        assert_eq!((keys.by_key.len(), keys.kept.lock().len()), (0, 0));
    }
}
