//! Ending connections from outside: of users that are sent away, and of users and tokens that were
//! revoked. That these don't come back is the authenticator's part.

use std::sync::Arc;

use super::Hub;
use super::connection::Connection;
use super::ordered::Pace;
use super::registry::Organization;
use crate::domain::error::CloseReason;
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::room::Room;
use crate::domain::time::UnixMillis;

/// What was closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Closed {
    pub connections: usize,
    /// The latest time at which one of their tokens was issued, as they say.
    pub issued_at: Option<UnixMillis>,
}

impl Hub {
    /// Closes every connection of the user, in every organization if none is named.
    pub async fn close_user(
        &self,
        organization: Option<&OrganizationId>,
        user: &UserId,
        reason: CloseReason,
    ) -> Closed {
        let tabs = self.tabs(organization, user).await;
        self.close_all(&tabs, reason).await
    }

    /// Closes every connection that came with the token or was extended by it, of this organization
    /// if one is named. Looks at every connection that it may be.
    pub async fn close_token(
        &self,
        organization: Option<&OrganizationId>,
        token_id: &str,
    ) -> Closed {
        let mut found = Vec::new();
        let look = |_: &u64, connection: &Arc<Connection>| {
            if connection.membership.lock().token_id.as_deref() == Some(token_id) {
                found.push(Arc::clone(connection));
            }
        };
        match organization {
            None => self.registry.connections.each(look).await,
            Some(organization) => {
                if let Some(organization) = self.registry.organization(organization) {
                    organization.connections.each(look).await;
                }
            }
        }
        self.close_all(&found, CloseReason::Revoked).await
    }

    async fn close_all(&self, connections: &[Arc<Connection>], reason: CloseReason) -> Closed {
        let mut closed = Closed::default();
        let mut pace = Pace::default();
        for connection in connections {
            let issued_at = connection.membership.lock().issued_at;
            closed.issued_at = closed.issued_at.max(issued_at);
            closed.connections += 1;
            self.close_now(connection, reason);
            pace.step().await;
        }
        closed
    }

    /// All connections of the users with this id, of this organization if one is named; the oldest
    /// first.
    pub(super) async fn tabs(
        &self,
        organization: Option<&OrganizationId>,
        user: &UserId,
    ) -> Vec<Arc<Connection>> {
        let mut tabs = Vec::new();
        let mut look = |id: &OrganizationId, organization: &Arc<Organization>| {
            let room = Room::User(id.clone(), user.clone()).name();
            if let Some(room) = organization.room(&room) {
                tabs.extend_from_slice(&room.members());
            }
        };
        match organization {
            None => self.registry.organizations.each(look).await,
            Some(id) => {
                if let Some(organization) = self.registry.organization(id) {
                    look(id, &organization);
                }
            }
        }
        tabs.sort_by_key(|connection| connection.number);
        tabs
    }

    /// Tells the client why, and takes it out of the hub at once: it receives and sends nothing more,
    /// however long its socket takes to close.
    pub fn close_now(&self, connection: &Arc<Connection>, reason: CloseReason) {
        self.record_close(connection, reason);
        connection.deliver.close(reason);
        self.remove(connection);
    }
}
