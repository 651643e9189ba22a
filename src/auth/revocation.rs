//! Users and tokens that were revoked, and are refused until their tokens would have ended.

use dashmap::DashMap;
use parking_lot::Mutex;

use crate::domain::fault::{Code, Fault, reason};
use crate::domain::grants::{Pass, TokenId};
use crate::domain::identity::{Identity, OrganizationId};
use crate::domain::time::UnixMillis;

/// Most entries of each kind.
const MAX_ENTRIES: usize = 1_000_000;
/// How often entries that are over are removed.
const SWEEP_MS: u64 = 60_000;

/// What was revoked. It is kept in memory alone: a restart forgets it.
#[derive(Debug, Default)]
pub struct Revocations {
    users: DashMap<Identity, UserEntry>,
    /// By organization, or for every one if an operator named none.
    tokens: DashMap<(Option<OrganizationId>, TokenId), Option<UnixMillis>>,
    /// In milliseconds since the epoch.
    swept_at: Mutex<u64>,
}

#[derive(Debug, Clone, Copy)]
struct UserEntry {
    /// Tokens that were issued later are good.
    at: UnixMillis,
    until: Option<UnixMillis>,
}

fn holds(until: Option<UnixMillis>, now: UnixMillis) -> bool {
    until.is_none_or(|until| now < until)
}

impl Revocations {
    /// Refuses every token of the user that was issued until now, or that does not say when; until
    /// the given time, or without end. A token of the same second counts as issued before.
    pub fn revoke_user(
        &self,
        identity: Identity,
        now: UnixMillis,
        until: Option<UnixMillis>,
    ) -> Result<(), Fault> {
        self.sweep(now);
        check_room(self.users.len())?;
        self.users.insert(identity, UserEntry { at: now, until });
        Ok(())
    }

    /// Refuses the token, in one organization or in all, until the given time or without end.
    pub fn revoke_token(
        &self,
        organization: Option<OrganizationId>,
        token_id: TokenId,
        now: UnixMillis,
        until: Option<UnixMillis>,
    ) -> Result<(), Fault> {
        self.sweep(now);
        check_room(self.tokens.len())?;
        self.tokens.insert((organization, token_id), until);
        Ok(())
    }

    /// Fails with `AUTH_FAILED` if the pass's user or token is revoked.
    pub fn check(&self, pass: &Pass, now: UnixMillis) -> Result<(), Fault> {
        if self.covers_user(pass, now) || self.covers_token(pass, now) {
            return Err(
                Fault::new(Code::AuthFailed, "this user or token was revoked")
                    .because(reason::TOKEN_REVOKED),
            );
        }
        Ok(())
    }

    fn covers_user(&self, pass: &Pass, now: UnixMillis) -> bool {
        let Some(entry) = self.users.get(&pass.identity) else {
            return false;
        };
        let issued_later = pass.issued_at.is_some_and(|issued| issued > entry.at);
        holds(entry.until, now) && !issued_later
    }

    fn covers_token(&self, pass: &Pass, now: UnixMillis) -> bool {
        let Some(token_id) = &pass.token_id else {
            return false;
        };
        if self.tokens.is_empty() {
            return false;
        }
        let organization = Some(pass.identity.organization.clone());
        [organization, None].into_iter().any(|organization| {
            self.tokens
                .get(&(organization, token_id.clone()))
                .is_some_and(|until| holds(*until, now))
        })
    }

    fn sweep(&self, now: UnixMillis) {
        {
            let mut swept_at = self.swept_at.lock();
            if now.0 < swept_at.saturating_add(SWEEP_MS) {
                return;
            }
            *swept_at = now.0;
        }
        self.users.retain(|_, entry| holds(entry.until, now));
        self.tokens.retain(|_, until| holds(*until, now));
    }
}

fn check_room(entries: usize) -> Result<(), Fault> {
    if entries < MAX_ENTRIES {
        return Ok(());
    }
    Err(Fault::new(
        Code::InternalError,
        "the list of revocations is full",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::UserId;

    fn identity(organization: &str) -> Identity {
        Identity {
            user: UserId::new("u").unwrap(),
            organization: OrganizationId::new(organization).unwrap(),
        }
    }

    fn pass(organization: &str, token_id: Option<&str>, issued: Option<u64>) -> Pass {
        Pass {
            token_id: token_id.map(Into::into),
            issued_at: issued.map(UnixMillis),
            ..Pass::unlimited(identity(organization))
        }
    }

    #[test]
    fn a_revoked_user_needs_a_token_that_was_issued_later() {
        let revocations = Revocations::default();
        let now = UnixMillis(10_500);
        revocations.revoke_user(identity("a"), now, None).unwrap();
        for refused in [
            pass("a", None, None),
            pass("a", None, Some(9000)),
            pass("a", None, Some(10_000)),
        ] {
            assert!(revocations.check(&refused, now).is_err());
        }
        assert!(
            revocations
                .check(&pass("a", None, Some(11_000)), now)
                .is_ok()
        );
        assert!(revocations.check(&pass("b", None, None), now).is_ok());
    }

    #[test]
    fn a_revoked_token_is_refused_until_its_end_and_in_its_organization() {
        let revocations = Revocations::default();
        let organization = OrganizationId::new("a").unwrap();
        let until = Some(UnixMillis(100));
        revocations
            .revoke_token(Some(organization), "t".into(), UnixMillis(1), until)
            .unwrap();
        let check = |org, now| revocations.check(&pass(org, Some("t"), None), UnixMillis(now));
        assert!(check("a", 99).is_err());
        assert!(check("a", 100).is_ok());
        assert!(check("b", 50).is_ok(), "another organization's token");
        revocations
            .revoke_token(None, "t".into(), UnixMillis(1), until)
            .unwrap();
        assert!(check("b", 50).is_err());
    }

    #[test]
    fn what_is_over_is_forgotten() {
        let revocations = Revocations::default();
        let until = Some(UnixMillis(10));
        for n in 0..10 {
            revocations
                .revoke_token(None, n.to_string().into(), UnixMillis(1), until)
                .unwrap();
        }
        revocations
            .revoke_token(None, "x".into(), UnixMillis(SWEEP_MS + 1), None)
            .unwrap();
        assert_eq!(revocations.tokens.len(), 1);
    }
}
