//! Ending connections whose user or token was revoked. That they don't come back is the
//! authenticator's part.

use std::sync::Arc;

use super::Hub;
use super::connection::Connection;
use crate::domain::fault::CloseReason;
use crate::domain::identity::{OrganizationId, UserId};
use crate::domain::room::Room;

impl Hub {
    /// Closes every connection of the user; says how many.
    pub fn close_user(&self, organization: &OrganizationId, user: &UserId) -> usize {
        let room = Room::User(organization.clone(), user.clone()).name();
        let members = self
            .registry
            .organization(organization)
            .and_then(|organization| organization.room(&room))
            .map(|room| room.members());
        let members = members.as_deref().unwrap_or_default();
        for connection in members {
            self.end(connection, CloseReason::Revoked);
        }
        members.len()
    }

    /// Closes every connection that came with the token or was extended by it, of this organization
    /// if one is named; says how many. Costs a look at every connection.
    pub fn close_token(&self, organization: Option<&OrganizationId>, token_id: &str) -> usize {
        let mut connections = self.registry.connections();
        connections.retain(|connection| {
            let membership = connection.membership.lock();
            membership.token_id.as_deref() == Some(token_id)
                && organization.is_none_or(|organization| {
                    membership
                        .identity
                        .as_ref()
                        .is_some_and(|identity| identity.organization == *organization)
                })
        });
        for connection in &connections {
            self.end(connection, CloseReason::Revoked);
        }
        connections.len()
    }

    /// Closes a connection whose pass was revoked while it came in.
    pub fn revoke(&self, connection: &Arc<Connection>) {
        self.end(connection, CloseReason::Revoked);
    }

    /// Tells the client why, and takes it out of the hub at once: it receives and sends nothing more,
    /// however long its socket takes to close.
    pub(super) fn end(&self, connection: &Arc<Connection>, reason: CloseReason) {
        self.closes(connection, reason);
        connection.deliver.close(reason);
        self.disconnect(connection);
    }
}
