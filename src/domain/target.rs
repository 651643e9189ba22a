//! Whom an event is for, and who hears it.

use std::collections::HashSet;
use std::sync::Arc;

use super::error::ClientError;
use super::identity::{ConnectionId, OrganizationId, UserId};
use super::room::{Channel, Place, Room};

/// Whom a broadcast is for.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// The subscribers at a place; without a channel and with only an organization, everybody in it.
    Place(Place),
    /// All connections of some users.
    Users(OrganizationId, Vec<UserId>),
    /// Single connections, of this organization if one is named.
    Connections(Option<OrganizationId>, Vec<ConnectionId>),
    /// Every authenticated connection, of this organization if one is named, but those of these
    /// users.
    Everyone {
        within: Option<OrganizationId>,
        except: Arc<HashSet<UserId>>,
    },
}

impl Target {
    /// The one organization that it is about.
    pub fn organization(&self) -> Option<&OrganizationId> {
        match self {
            Self::Place(place) => Some(&place.organization),
            Self::Users(organization, _) => Some(organization),
            Self::Connections(organization, _)
            | Self::Everyone {
                within: organization,
                ..
            } => organization.as_ref(),
        }
    }

    /// Whether a connection hears an event of this channel for the target, given the rooms that it is in: the same
    /// as whether the hub finds it.
    pub fn is_heard_by<'a>(
        &self,
        channel: Option<&Channel>,
        cascade: bool,
        connection: ConnectionId,
        user: &UserId,
        mut rooms: impl Iterator<Item = &'a Room>,
    ) -> bool {
        match self {
            Self::Place(place) => rooms.any(|room| match (channel, room) {
                (None, Room::Organization(organization)) => *organization == place.organization,
                (Some(channel), Room::Subscription(subscribed, at)) => {
                    (subscribed == channel || *subscribed == Channel::all())
                        && (at.hears(place) || (cascade && at.is_beneath(place)))
                }
                _ => false,
            }),
            Self::Users(_, users) => users.contains(user),
            Self::Connections(_, ids) => ids.contains(&connection),
            Self::Everyone { except, .. } => !except.contains(user),
        }
    }

    /// How many users or connections it names.
    pub fn ids(&self) -> usize {
        match self {
            Self::Place(_) => 0,
            Self::Users(_, users) => users.len(),
            Self::Connections(_, ids) => ids.len(),
            Self::Everyone { except, .. } => except.len(),
        }
    }

    /// Fails if an event of this channel, or of none, has nobody to go to at such a target.
    pub fn check(&self, channel: Option<&Channel>) -> Result<(), ClientError> {
        match self {
            Self::Place(place) if channel.is_none() && place.is_narrow() => {
                Err(ClientError::invalid(
                    "the event has no channel of its own: name a `channel` for a department or queue",
                ))
            }
            _ => Ok(()),
        }
    }
}
