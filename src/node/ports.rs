//! What the node asks of those that keep things for it. All of it can be kept in memory, in a store or
//! elsewhere; the node does not know which.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::auth::revocation::{Listed, Reach, Revocation, Subject};
use crate::domain::error::ClientError;
use crate::domain::event::Event;
use crate::domain::identity::OrganizationId;
use crate::domain::position::Position;
use crate::domain::target::Target;
use crate::domain::time::UnixMillis;

/// Keeps the streams of organizations.
pub trait Broker: Send + Sync {
    /// The stream of an organization, which comes to be when it is first asked for. As long as somebody holds
    /// it, its numbers go on.
    fn stream(&self, organization: &OrganizationId) -> Arc<dyn StreamLog>;

    /// The stream of an organization, if it has one.
    fn existing(&self, organization: &OrganizationId) -> Option<Arc<dyn StreamLog>>;

    /// The organizations that have a stream.
    fn organizations(&self) -> Vec<OrganizationId>;

    /// Forgets what is too old or too much. To be called once a second.
    fn sweep(&self, now: UnixMillis);

    /// Bytes that all streams keep.
    fn bytes(&self) -> usize;
}

/// Keeps one stream: its numbers, and its end.
pub trait StreamLog: Send + Sync {
    /// Gives an event the next number and keeps it, in one step; `None` if its version is not greater than that of
    /// the value which it would take the place of.
    fn append(&self, event: Published) -> Option<Arc<Kept>>;

    /// The position of the last event.
    fn top(&self) -> Position;

    /// The kept events behind a position: the first of them, at most `limit`, in order.
    fn since(&self, position: Position, limit: usize) -> Result<Vec<Arc<Kept>>, Lost>;

    /// The kept events up to a number: the last of them, at most `limit`, in order.
    fn until(&self, number: u64, limit: usize) -> Vec<Arc<Kept>>;

    /// Of each event that is a value the newest at each place, in the order of the stream.
    fn latest(&self) -> Vec<Arc<Kept>>;
}

/// An event, and whom it is for.
#[derive(Debug, Clone)]
pub struct Published {
    pub event: Arc<Event>,
    pub target: Target,
    /// It is also for subscriptions beneath its target.
    pub cascade: bool,
    /// It takes the place of the one before it: what counts is the latest.
    pub is_value: bool,
    /// The version of a value.
    pub version: Option<u64>,
}

/// An event of a stream.
#[derive(Debug)]
pub struct Kept {
    pub position: Position,
    pub published: Published,
}

/// Why what is behind a position can't be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The position is of another numbering.
    Epoch,
    /// Some of it is not kept any more.
    Trimmed,
}

/// Keeps who is revoked.
pub trait RevocationStore: Send + Sync {
    /// Refuses a user or a token from now on. Fails if there is no room.
    fn revoke(
        &self,
        reach: &Reach,
        subject: Subject,
        revocation: Revocation,
    ) -> Result<(), ClientError>;

    /// Refuses tokens of a revoked user that were issued up to this time, too.
    fn extend(&self, reach: &Reach, subject: &Subject, issued_at: UnixMillis);

    /// Accepts the user or the token again; says whether it was refused.
    fn take_back(&self, reach: &Reach, subject: &Subject, now: UnixMillis) -> bool;

    /// What holds now behind `after`, in order, at most `limit`: of one organization, or all.
    fn list(
        &self,
        organization: Option<&OrganizationId>,
        after: Option<(&Reach, &Subject)>,
        limit: usize,
        now: UnixMillis,
    ) -> Vec<Listed>;

    /// How many are kept: of one organization, or all.
    fn count(&self, organization: Option<&OrganizationId>) -> usize;

    /// Forgets what is over. Others run meanwhile.
    fn sweep(&self, now: UnixMillis) -> BoxFuture<'_, ()>;
}
