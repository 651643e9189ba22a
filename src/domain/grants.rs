//! What an accepted identity may do, and the rooms it may enter (protocol, sections 2 and 3).
//!
//! A [`RoomPermit`] is the only thing with which a room can be joined, and only a [`Principal`] makes
//! one: a subscription that nobody granted, or one in another organization, can't be expressed.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::error::ClientError;
use super::fields::Tenant;
use super::identity::{DepartmentId, Identity, OrganizationId, QueueName};
use super::room::{Channel, Place, Room};
use super::time::UnixMillis;

/// Part of an organization's tree and of its channels. The default is all of it, and no event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Channels that may be subscribed to; `None` is every one, and so is a set with `all` in it.
    pub channels: Option<BTreeSet<Channel>>,
    /// Nodes of the tree, each with everything beneath it; `None` is the whole organization.
    pub nodes: Option<Nodes>,
    /// Events that the client itself may publish.
    pub events: BTreeSet<String>,
}

/// Departments and queues, each granted with what is beneath it. A queue is granted by its name,
/// inside every department.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    pub departments: BTreeSet<DepartmentId>,
    pub queues: BTreeSet<QueueName>,
}

impl Nodes {
    fn cover(&self, place: &Place) -> bool {
        place
            .department
            .as_ref()
            .is_some_and(|department| self.departments.contains(department))
            || place
                .queue
                .as_ref()
                .is_some_and(|queue| self.queues.contains(queue))
    }
}

impl Grants {
    fn check_channel(&self, channel: &Channel) -> Result<(), ClientError> {
        let Some(channels) = &self.channels else {
            return Ok(());
        };
        if channels.contains(channel) || channels.contains(&Channel::all()) {
            return Ok(());
        }
        let granted: Vec<&str> = channels.iter().map(Channel::as_str).collect();
        Err(ClientError::unauthorized(format!(
            "channel `{channel}` is not granted; granted are: {}",
            granted.join(", ")
        )))
    }

    fn check_place(&self, place: &Place) -> Result<(), ClientError> {
        match &self.nodes {
            Some(nodes) if !nodes.cover(place) => Err(ClientError::unauthorized(
                "this part of the organization is not granted; name a granted department_id or \
                 queue_name",
            )),
            _ => Ok(()),
        }
    }
}

/// The id of a token (`jti`), by which it can be revoked.
pub type TokenId = Arc<str>;

/// An identity that was accepted, with what it may do and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    pub identity: Identity,
    pub grants: Grants,
    /// Until when it holds; `None` is without end.
    pub expires_at: Option<UnixMillis>,
    /// When its token was issued, if that is known.
    pub issued_at: Option<UnixMillis>,
    pub token_id: Option<TokenId>,
    /// As which its token names the organization.
    pub tenant: Tenant,
}

/// The right to join one room, made by a [`Principal`] alone.
#[derive(Debug, PartialEq, Eq)]
pub struct RoomPermit(Room);

impl RoomPermit {
    pub fn room(&self) -> &Room {
        &self.0
    }

    pub fn into_room(self) -> Room {
        self.0
    }
}

impl Principal {
    /// Everything in the identity's own organization, without end: what an asserted identity has.
    pub fn unlimited(identity: Identity) -> Self {
        Self {
            identity,
            grants: Grants::default(),
            expires_at: None,
            issued_at: None,
            token_id: None,
            tenant: Tenant::Other,
        }
    }

    /// The organization's room and the user's, which everybody is in.
    pub fn own_rooms(&self) -> [RoomPermit; 2] {
        let Identity { organization, user } = &self.identity;
        [
            RoomPermit(Room::Organization(organization.clone())),
            RoomPermit(Room::User(organization.clone(), user.clone())),
        ]
    }

    /// One subscription for each channel, in order, each once. `UNAUTHORIZED` if one of them or the
    /// place is not granted, or lies in another organization.
    pub fn subscriptions(
        &self,
        channels: &[Channel],
        place: &Place,
    ) -> Result<Vec<RoomPermit>, ClientError> {
        self.check_organization(&place.organization)?;
        self.grants.check_place(place)?;
        let mut permits = Vec::with_capacity(channels.len());
        for channel in channels {
            self.grants.check_channel(channel)?;
            let permit = RoomPermit(Room::Subscription(channel.clone(), place.clone()));
            if !permits.contains(&permit) {
                permits.push(permit);
            }
        }
        Ok(permits)
    }

    /// Whether a connection that is in the room may stay there under this principal.
    pub fn admits(&self, room: &Room) -> bool {
        match room {
            Room::Organization(organization) => *organization == self.identity.organization,
            Room::User(organization, user) => {
                *organization == self.identity.organization && *user == self.identity.user
            }
            Room::Subscription(channel, place) => self
                .subscriptions(std::slice::from_ref(channel), place)
                .is_ok(),
        }
    }

    /// Whether the client itself may publish the event at the place.
    pub fn check_publication(&self, event: &str, place: &Place) -> Result<(), ClientError> {
        if !self.grants.events.contains(event) {
            let event: String = event.chars().take(64).collect();
            return Err(ClientError::unauthorized(format!(
                "publishing `{event}` is not granted"
            )));
        }
        self.check_organization(&place.organization)?;
        self.grants.check_place(place)
    }

    /// `UNAUTHORIZED` for any organization but the identity's own.
    pub fn check_organization(&self, organization: &OrganizationId) -> Result<(), ClientError> {
        if *organization == self.identity.organization {
            return Ok(());
        }
        Err(ClientError::unauthorized(format!(
            "authenticated for organization `{}`, not for `{organization}`",
            self.identity.organization
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::error::Code;
    use crate::domain::identity::UserId;

    fn place(department: Option<&str>, queue: Option<&str>) -> Place {
        Place {
            organization: OrganizationId::new("org").unwrap(),
            department: department.map(|id| DepartmentId::new(id).unwrap()),
            queue: queue.map(|id| QueueName::new(id).unwrap()),
        }
    }

    fn principal(grants: Grants) -> Principal {
        Principal {
            grants,
            ..Principal::unlimited(Identity {
                user: UserId::new("u").unwrap(),
                organization: OrganizationId::new("org").unwrap(),
            })
        }
    }

    fn channel(name: &str) -> Channel {
        Channel::new(name).unwrap()
    }

    #[test]
    fn without_grants_everything_in_the_own_organization_may_be_subscribed() {
        let principal = principal(Grants::default());
        let here = place(None, None);
        assert!(principal.subscriptions(&[Channel::all()], &here).is_ok());
        let elsewhere = Place::organization(OrganizationId::new("other").unwrap());
        let error = principal
            .subscriptions(&[channel("kpi")], &elsewhere)
            .unwrap_err();
        assert_eq!(error.code, Code::Unauthorized);
        assert!(!principal.admits(&Room::Organization(OrganizationId::new("other").unwrap())));
    }

    #[test]
    fn a_channel_that_is_not_granted_is_refused_and_all_is_every_channel() {
        let some = principal(Grants {
            channels: Some([channel("kpi")].into()),
            ..Grants::default()
        });
        let here = place(None, None);
        assert!(some.subscriptions(&[channel("kpi")], &here).is_ok());
        assert!(some.subscriptions(&[Channel::all()], &here).is_err());
        let mixed = [channel("kpi"), channel("alerts")];
        assert!(some.subscriptions(&mixed, &here).is_err());
        let every = principal(Grants {
            channels: Some([Channel::all()].into()),
            ..Grants::default()
        });
        assert!(every.subscriptions(&mixed, &here).is_ok());
        let none = principal(Grants {
            channels: Some(BTreeSet::new()),
            ..Grants::default()
        });
        assert!(none.subscriptions(&[channel("kpi")], &here).is_err());
    }

    #[test]
    fn a_node_is_granted_with_what_is_beneath_it_and_nothing_above_or_beside() {
        let principal = principal(Grants {
            nodes: Some(Nodes {
                departments: [DepartmentId::new("d").unwrap()].into(),
                queues: [QueueName::new("q").unwrap()].into(),
            }),
            ..Grants::default()
        });
        let may = |department, queue| {
            principal
                .subscriptions(&[channel("kpi")], &place(department, queue))
                .is_ok()
        };
        assert!(may(Some("d"), None));
        assert!(may(Some("d"), Some("other")));
        assert!(may(None, Some("q")));
        assert!(may(Some("other"), Some("q")));
        assert!(!may(None, None));
        assert!(!may(Some("other"), None));
        assert!(!may(None, Some("other")));
        assert!(!may(Some("other"), Some("other")));
    }

    #[test]
    fn a_client_publishes_what_is_granted_where_it_is_granted() {
        let principal = principal(Grants {
            events: ["kpi:update".to_owned()].into(),
            nodes: Some(Nodes {
                departments: [DepartmentId::new("d").unwrap()].into(),
                queues: BTreeSet::new(),
            }),
            ..Grants::default()
        });
        assert!(
            principal
                .check_publication("kpi:update", &place(Some("d"), None))
                .is_ok()
        );
        assert!(
            principal
                .check_publication("kpi:alert", &place(Some("d"), None))
                .is_err()
        );
        assert!(
            principal
                .check_publication("kpi:update", &place(None, None))
                .is_err()
        );
    }
}
