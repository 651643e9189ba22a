//! Revocations in memory.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::auth::revocation::{Listed, Reach, Revocation, Revocations, Subject};
use crate::domain::error::ClientError;
use crate::domain::identity::OrganizationId;
use crate::domain::time::UnixMillis;
use crate::node::ports::RevocationStore;

impl RevocationStore for Revocations {
    fn revoke(
        &self,
        reach: &Reach,
        subject: Subject,
        revocation: Revocation,
    ) -> Result<(), ClientError> {
        self.revoke(reach, subject, revocation)
    }

    fn extend(&self, reach: &Reach, subject: &Subject, issued_at: UnixMillis) {
        self.extend(reach, subject, issued_at);
    }

    fn take_back(&self, reach: &Reach, subject: &Subject, now: UnixMillis) -> bool {
        self.take_back(reach, subject, now)
    }

    fn list(
        &self,
        organization: Option<&OrganizationId>,
        after: Option<(&Reach, &Subject)>,
        limit: usize,
        now: UnixMillis,
    ) -> Vec<Listed> {
        self.list(organization, after, limit, now)
    }

    fn count(&self, organization: Option<&OrganizationId>) -> usize {
        self.count(organization)
    }

    fn sweep(&self, now: UnixMillis) -> BoxFuture<'_, ()> {
        self.sweep(now).boxed()
    }
}
