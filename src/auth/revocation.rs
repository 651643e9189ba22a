//! Users and tokens that were revoked, and are refused until their tokens would have ended.
//!
//! They are kept in memory, so there is a most of them; no organization can use it up for the others.

use std::collections::BTreeMap;
use std::ops::Bound;

use parking_lot::RwLock;

use crate::domain::error::{ClientError, Code, reason};
use crate::domain::grants::{Principal, TokenId};
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::time::UnixMillis;

/// How many revocations there may be.
#[derive(Debug, Clone, Copy)]
struct Shares {
    all: usize,
    /// Of one organization.
    organization: usize,
    /// What all organizations leave free for those that have few, and for operators.
    reserve: usize,
    /// Up to so many of an organization are few.
    few: usize,
}

const SHARES: Shares = Shares {
    all: 1_000_000,
    organization: 50_000,
    reserve: 100_000,
    few: 1000,
};

/// Entries that are swept without a pause.
const PIECE: usize = 1024;

/// Who is revoked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    User(UserId),
    Token(TokenId),
}

/// Where it is revoked: in one organization, or in every one if an operator named none.
pub type Reach = Option<OrganizationId>;

/// Since when and until when somebody is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// When it was revoked. A user's tokens that were issued later are good.
    pub at: UnixMillis,
    /// `None` is without end.
    pub until: Option<UnixMillis>,
}

impl Revocation {
    fn holds(&self, now: UnixMillis) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// Both of them together: revoking again never lets somebody in earlier.
    fn and(self, other: Self) -> Self {
        Self {
            at: self.at.max(other.at),
            until: self.until.zip(other.until).map(|(one, two)| one.max(two)),
        }
    }
}

/// One entry of the list, with whom it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub reach: Reach,
    pub subject: Subject,
    pub revocation: Revocation,
}

/// What was revoked. A restart forgets it.
#[derive(Debug)]
pub struct Revocations {
    shares: Shares,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// None of the inner ones is empty.
    entries: BTreeMap<Reach, BTreeMap<Subject, Revocation>>,
    count: usize,
}

impl Default for Revocations {
    fn default() -> Self {
        Self::with(SHARES)
    }
}

impl Revocations {
    fn with(shares: Shares) -> Self {
        Self {
            shares,
            state: RwLock::default(),
        }
    }

    /// Refuses a token; or every token of a user that was issued until the revocation or does not
    /// say when (one of the same second counts as issued before). Fails when there are too many, of
    /// the organization or in all; what is revoked already can be revoked again.
    pub fn revoke(
        &self,
        reach: &Reach,
        subject: Subject,
        revocation: Revocation,
    ) -> Result<(), ClientError> {
        let mut state = self.state.write();
        let State { entries, count } = &mut *state;
        let of_reach = entries.get_mut(reach);
        if let Some(earlier) = of_reach.and_then(|entries| entries.get_mut(&subject)) {
            *earlier = earlier.and(revocation);
            return Ok(());
        }
        let of_reach = entries.get(reach).map_or(0, BTreeMap::len);
        self.shares.check(reach, of_reach, *count)?;
        let of_reach = entries.entry(reach.clone()).or_default();
        of_reach.insert(subject, revocation);
        *count += 1;
        Ok(())
    }

    /// Refuses tokens of a revoked user that were issued up to this time, too: one that was seen said
    /// so, by a clock that is ahead of ours.
    pub fn extend(&self, reach: &Reach, subject: &Subject, issued_at: UnixMillis) {
        let mut state = self.state.write();
        let of_reach = state.entries.get_mut(reach);
        if let Some(entry) = of_reach.and_then(|entries| entries.get_mut(subject)) {
            entry.at = entry.at.max(issued_at);
        }
    }

    /// Accepts the user or the token again; says whether it was refused.
    pub fn take_back(&self, reach: &Reach, subject: &Subject, now: UnixMillis) -> bool {
        let removed = self.state.write().remove(reach, subject);
        removed.is_some_and(|removed| removed.holds(now))
    }

    /// Fails with `AUTH_FAILED` if the principal's user or token is revoked.
    pub fn check(&self, principal: &Principal, now: UnixMillis) -> Result<(), ClientError> {
        if self.state.read().covers(principal, now) {
            return Err(
                ClientError::new(Code::AuthFailed, "this user or token was revoked")
                    .because(reason::TOKEN_REVOKED),
            );
        }
        Ok(())
    }

    /// What holds now behind `after`, in order, at most `limit`: of one organization, or all.
    pub fn list(
        &self,
        organization: Option<&OrganizationId>,
        after: Option<(&Reach, &Subject)>,
        limit: usize,
        now: UnixMillis,
    ) -> Vec<Listed> {
        let state = self.state.read();
        let of_organization = |(reach, _): &(&Reach, _)| {
            organization.is_none_or(|organization| reach.as_ref() == Some(organization))
        };
        let first = match (after, organization) {
            (Some((reach, _)), _) => Bound::Included(reach.clone()),
            (None, Some(organization)) => Bound::Included(Some(organization.clone())),
            (None, None) => Bound::Unbounded,
        };
        state
            .entries
            .range((first, Bound::Unbounded))
            .take_while(of_organization)
            .flat_map(|(reach, entries)| {
                let after = after.filter(|(first, _)| *first == reach);
                let begin = after.map_or(Bound::Unbounded, |(_, last)| Bound::Excluded(last));
                let rest = entries.range((begin, Bound::Unbounded));
                rest.map(move |(subject, revocation)| (reach, subject, revocation))
            })
            .filter(|(.., revocation)| revocation.holds(now))
            .take(limit)
            .map(|(reach, subject, revocation)| Listed {
                reach: reach.clone(),
                subject: subject.clone(),
                revocation: *revocation,
            })
            .collect()
    }

    /// How many are kept: of one organization, or all.
    pub fn count(&self, organization: Option<&OrganizationId>) -> usize {
        let state = self.state.read();
        match organization {
            None => state.count,
            Some(organization) => state
                .entries
                .get(&Some(organization.clone()))
                .map_or(0, BTreeMap::len),
        }
    }

    /// Forgets what is over. Others run meanwhile.
    pub async fn sweep(&self, now: UnixMillis) {
        let mut after: Option<(Reach, Subject)> = None;
        loop {
            let some = {
                let state = self.state.read();
                state.behind(after.as_ref(), PIECE)
            };
            let Some((reach, subject, _)) = some.last() else {
                return;
            };
            after = Some((reach.clone(), subject.clone()));
            for (reach, subject, revocation) in &some {
                if !revocation.holds(now) {
                    self.state.write().forget(reach, subject, now);
                }
            }
            tokio::task::yield_now().await;
        }
    }
}

impl Shares {
    /// Whether there is room for one more, given how many there are.
    fn check(&self, reach: &Reach, of_reach: usize, all: usize) -> Result<(), ClientError> {
        if let Some(organization) = reach
            && of_reach >= self.organization
        {
            let most = self.organization;
            return Err(full(format!(
                "organization `{organization}` has its {most} revocations"
            )));
        }
        let is_small = reach.is_none() || of_reach < self.few;
        let most = self.all - if is_small { 0 } else { self.reserve };
        if all >= most {
            return Err(full(format!("the server keeps {} revocations", self.all)));
        }
        Ok(())
    }
}

fn full(message: String) -> ClientError {
    ClientError::new(Code::RateLimitExceeded, message)
}

impl State {
    fn covers(&self, principal: &Principal, now: UnixMillis) -> bool {
        if self.count == 0 {
            return false;
        }
        let own = self
            .entries
            .get(&Some(principal.identity.organization.clone()));
        let of_user = own
            .and_then(|entries| entries.get(&Subject::User(principal.identity.user.clone())))
            .filter(|entry| principal.issued_at.is_none_or(|issued| issued <= entry.at));
        let of_token = principal.token_id.as_ref().and_then(|id| {
            let subject = Subject::Token(id.clone());
            [own, self.entries.get(&None)]
                .into_iter()
                .flatten()
                .filter_map(|entries| entries.get(&subject))
                .find(|entry| entry.holds(now))
        });
        of_token.is_some() || of_user.is_some_and(|entry| entry.holds(now))
    }

    fn remove(&mut self, reach: &Reach, subject: &Subject) -> Option<Revocation> {
        let entries = self.entries.get_mut(reach)?;
        let removed = entries.remove(subject)?;
        if entries.is_empty() {
            self.entries.remove(reach);
        }
        self.count -= 1;
        Some(removed)
    }

    /// Removes an entry, unless it was made anew meanwhile.
    fn forget(&mut self, reach: &Reach, subject: &Subject, now: UnixMillis) {
        let entry = self.entries.get(reach).and_then(|of| of.get(subject));
        if entry.is_some_and(|entry| !entry.holds(now)) {
            self.remove(reach, subject);
        }
    }

    fn behind(
        &self,
        after: Option<&(Reach, Subject)>,
        limit: usize,
    ) -> Vec<(Reach, Subject, Revocation)> {
        let first = after.map_or(Bound::Unbounded, |(reach, _)| Bound::Included(reach));
        self.entries
            .range((first, Bound::Unbounded))
            .flat_map(|(reach, entries)| {
                let after = after.filter(|(first, _)| first == reach);
                let begin = after.map_or(Bound::Unbounded, |(_, last)| Bound::Excluded(last));
                let rest = entries.range((begin, Bound::Unbounded));
                rest.map(|(subject, entry)| (reach.clone(), subject.clone(), *entry))
            })
            .take(limit)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::Identity;

    fn organization(id: &str) -> OrganizationId {
        OrganizationId::new(id).unwrap()
    }

    fn user(id: &str) -> Subject {
        Subject::User(UserId::new(id).unwrap())
    }

    fn token(id: &str) -> Subject {
        Subject::Token(id.into())
    }

    fn revocation(at: u64, until: Option<u64>) -> Revocation {
        Revocation {
            at: UnixMillis(at),
            until: until.map(UnixMillis),
        }
    }

    fn principal(org: &str, token_id: Option<&str>, issued: Option<u64>) -> Principal {
        Principal {
            token_id: token_id.map(Into::into),
            issued_at: issued.map(UnixMillis),
            ..Principal::unlimited(Identity {
                user: UserId::new("u").unwrap(),
                organization: organization(org),
            })
        }
    }

    #[test]
    fn a_revoked_user_needs_a_token_that_was_issued_later() {
        let revocations = Revocations::default();
        let now = UnixMillis(10_500);
        revocations
            .revoke(
                &Some(organization("a")),
                user("u"),
                revocation(10_500, None),
            )
            .unwrap();
        for refused in [
            principal("a", None, None),
            principal("a", None, Some(9000)),
            principal("a", None, Some(10_000)),
        ] {
            assert!(revocations.check(&refused, now).is_err());
        }
        let later = principal("a", None, Some(11_000));
        assert!(revocations.check(&later, now).is_ok());
        assert!(revocations.check(&principal("b", None, None), now).is_ok());
        // It was seen before the revocation: the clock of its issuer is ahead.
        revocations.extend(&Some(organization("a")), &user("u"), UnixMillis(11_000));
        assert!(revocations.check(&later, now).is_err());
    }

    #[test]
    fn a_revoked_token_is_refused_until_its_end_and_in_its_organization() {
        let revocations = Revocations::default();
        let until = revocation(1, Some(100));
        revocations
            .revoke(&Some(organization("a")), token("t"), until)
            .unwrap();
        let check = |org, now| revocations.check(&principal(org, Some("t"), None), UnixMillis(now));
        assert!(check("a", 99).is_err());
        assert!(check("a", 100).is_ok());
        assert!(check("b", 50).is_ok(), "another organization's token");
        revocations.revoke(&None, token("t"), until).unwrap();
        assert!(check("b", 50).is_err());
    }

    #[test]
    fn revoking_again_lets_nobody_in_earlier() {
        let revocations = Revocations::default();
        for (until, refused_at) in [(Some(50), 49), (Some(20), 49), (None, 999), (Some(9), 999)] {
            revocations
                .revoke(&Some(organization("a")), user("u"), revocation(1, until))
                .unwrap();
            let check = revocations.check(&principal("a", None, None), UnixMillis(refused_at));
            assert!(check.is_err(), "{until:?}");
        }
        assert_eq!(revocations.count(None), 1);
    }

    #[test]
    fn what_is_taken_back_is_accepted_again() {
        let revocations = Revocations::default();
        let now = UnixMillis(5);
        revocations
            .revoke(&Some(organization("a")), user("u"), revocation(1, None))
            .unwrap();
        assert!(!revocations.take_back(&None, &user("u"), now));
        assert!(!revocations.take_back(&Some(organization("b")), &user("u"), now));
        assert!(revocations.take_back(&Some(organization("a")), &user("u"), now));
        assert!(!revocations.take_back(&Some(organization("a")), &user("u"), now));
        assert!(revocations.check(&principal("a", None, None), now).is_ok());
        assert_eq!(revocations.count(None), 0);
    }

    #[test]
    fn no_organization_can_use_up_the_room_of_the_others() {
        let revocations = Revocations::with(Shares {
            all: 20,
            organization: 8,
            reserve: 5,
            few: 2,
        });
        let revoked = |org: &Reach, count: usize| {
            (0..count)
                .filter(|n| {
                    let subject = token(&n.to_string());
                    revocations
                        .revoke(org, subject, revocation(1, None))
                        .is_ok()
                })
                .count()
        };
        assert_eq!(revoked(&Some(organization("a")), 100), 8);
        assert_eq!(
            revoked(&Some(organization("b")), 100),
            7,
            "15 are not the reserve"
        );
        assert_eq!(
            revoked(&Some(organization("c")), 100),
            2,
            "few of the reserve"
        );
        assert_eq!(revoked(&Some(organization("d")), 100), 2);
        assert_eq!(revoked(&None, 100), 1, "all that is left");
        assert_eq!(
            revoked(&Some(organization("a")), 8),
            8,
            "those that are there"
        );
        let error = revocations
            .revoke(&Some(organization("a")), user("u"), revocation(1, None))
            .unwrap_err();
        assert_eq!(error.code, Code::RateLimitExceeded);
        assert!(error.message.contains("its 8 revocations"), "{error}");
        assert!(revocations.take_back(&Some(organization("a")), &token("3"), UnixMillis(5)));
        assert_eq!(revoked(&Some(organization("e")), 100), 1);
    }

    #[tokio::test]
    async fn what_is_over_is_forgotten_and_what_holds_stays() {
        let revocations = Revocations::default();
        for org in ["a", "b"] {
            for n in 0..PIECE {
                let until = revocation(1, Some(10 + n as u64 % 2));
                revocations
                    .revoke(&Some(organization(org)), token(&n.to_string()), until)
                    .unwrap();
            }
        }
        revocations.sweep(UnixMillis(10)).await;
        assert_eq!(revocations.count(None), PIECE);
        assert_eq!(revocations.count(Some(&organization("a"))), PIECE / 2);
        revocations.sweep(UnixMillis(11)).await;
        assert_eq!(revocations.count(None), 0);
        assert!(revocations.state.read().entries.is_empty());
    }

    #[test]
    fn what_holds_is_listed_a_page_at_a_time() {
        let revocations = Revocations::default();
        for (reach, subject, until) in [
            (None, token("every"), None),
            (Some(organization("a")), user("u"), None),
            (Some(organization("a")), token("t"), Some(100)),
            (Some(organization("a")), token("over"), Some(10)),
            (Some(organization("b")), user("u"), None),
        ] {
            revocations
                .revoke(&reach, subject, revocation(1, until))
                .unwrap();
        }
        let now = UnixMillis(50);
        let page = |own: Option<&OrganizationId>, after: Option<&Listed>| {
            let after = after.map(|last| (&last.reach, &last.subject));
            revocations.list(own, after, 2, now)
        };
        let first = page(None, None);
        let second = page(None, first.last());
        let names: Vec<_> = [&first[..], &second[..]]
            .concat()
            .into_iter()
            .map(|listed| (listed.reach, listed.subject))
            .collect();
        assert_eq!(
            names,
            [
                (None, token("every")),
                (Some(organization("a")), user("u")),
                (Some(organization("a")), token("t")),
                (Some(organization("b")), user("u")),
            ]
        );
        assert_eq!(page(None, second.last()), []);
        let own = page(Some(&organization("a")), None);
        assert_eq!(own.len(), 2);
        assert!(
            own.iter()
                .all(|listed| listed.reach == Some(organization("a")))
        );
        assert_eq!(page(Some(&organization("a")), own.last()), []);
    }
}
