//! Sending users away, and revoking users and tokens.

use std::sync::Arc;

use thiserror::Error;

use super::Node;
use crate::auth::revocation::{Listed, Reach, Revocation, Subject};
use crate::domain::error::{ClientError, CloseReason, Code};
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::time::UnixMillis;
use crate::hub::revoke::Closed;

/// Why a revocation failed.
#[derive(Debug, Error)]
pub enum RevokeError {
    /// Whoever is connected is gone, come what may; they are not refused when they come again.
    #[error("{closed} connections were closed, and can come back: {}", cause.message)]
    NotKept { closed: usize, cause: ClientError },
    #[error(transparent)]
    Failed(#[from] ClientError),
}

impl Node {
    /// Closes every connection of a user, who may come back at once: in every organization if none is
    /// named. All of them are closed, even if the caller is dropped meanwhile.
    pub async fn disconnect_user(
        &self,
        organization: Option<OrganizationId>,
        user: UserId,
    ) -> Result<Closed, ClientError> {
        let hub = Arc::clone(&self.hub);
        to_the_end(async move {
            hub.close_user(organization.as_ref(), &user, CloseReason::Disconnected)
                .await
        })
        .await
    }

    /// Refuses a user or a token until `until`, or without end, and closes their connections. All of
    /// them are closed, even if the caller is dropped meanwhile, and even if there is no room for the
    /// revocation.
    pub async fn revoke(
        self: &Arc<Self>,
        reach: &Reach,
        subject: &Subject,
        until: Option<UnixMillis>,
    ) -> Result<Closed, RevokeError> {
        let at = self.hub.now();
        // First the refusal, then the close: whoever comes between the two is refused.
        let kept = self
            .revocations
            .revoke(reach, subject.clone(), Revocation { at, until });
        let closed = self.close_revoked(reach, subject).await?;
        match kept {
            Ok(()) => Ok(closed),
            Err(cause) => Err(RevokeError::NotKept {
                closed: closed.connections,
                cause,
            }),
        }
    }

    async fn close_revoked(
        self: &Arc<Self>,
        reach: &Reach,
        subject: &Subject,
    ) -> Result<Closed, ClientError> {
        let (node, reach, subject) = (Arc::clone(self), reach.clone(), subject.clone());
        to_the_end(async move {
            let organization = reach.as_ref();
            match &subject {
                Subject::User(user) => {
                    let reason = CloseReason::Revoked;
                    let closed = node.hub.close_user(organization, user, reason).await;
                    if let Some(issued_at) = closed.issued_at {
                        node.revocations.extend(&reach, &subject, issued_at);
                    }
                    closed
                }
                Subject::Token(id) => node.hub.close_token(organization, id).await,
            }
        })
        .await
    }

    /// Accepts the user or the token again; says whether it was refused.
    pub fn take_back(&self, reach: &Reach, subject: &Subject) -> bool {
        self.revocations.take_back(reach, subject, self.hub.now())
    }

    /// What is revoked now behind `after`, in order, at most `limit`: of one organization, or all.
    pub fn revoked(
        &self,
        organization: Option<&OrganizationId>,
        after: Option<(&Reach, &Subject)>,
        limit: usize,
    ) -> Vec<Listed> {
        self.revocations
            .list(organization, after, limit, self.hub.now())
    }

    /// How many revocations are kept: of one organization, or all.
    pub fn revocation_count(&self, organization: Option<&OrganizationId>) -> usize {
        self.revocations.count(organization)
    }
}

/// Does all of it, even if whoever asked for it hangs up meanwhile.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ClientError> {
    tokio::spawn(work).await.map_err(|error| {
        tracing::error!(error = %error, "closing the connections failed");
        ClientError::new(Code::InternalError, "closing the connections failed")
    })
}
