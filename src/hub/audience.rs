//! Who hears an event.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Hub;
use super::connection::Connection;
use super::ordered::{PIECE, Pace};
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::room::{self, Channel, Place, Room};
use crate::domain::target::Target;

/// Connections, each once.
#[derive(Default)]
struct Audience {
    seen: HashSet<ConnectionId>,
    list: Vec<Arc<Connection>>,
}

impl Audience {
    /// Adds those of one group, in which everybody is once, who are not there yet.
    fn add(&mut self, group: &[Arc<Connection>]) {
        if self.list.is_empty() {
            self.list.extend_from_slice(group);
            return;
        }
        // Most events have one group, which needs no index.
        if self.seen.is_empty() {
            self.seen.extend(self.list.iter().map(|added| added.id));
        }
        for connection in group {
            if self.seen.insert(connection.id) {
                self.list.push(Arc::clone(connection));
            }
        }
    }
}

impl Hub {
    /// The connections of this process that hear an event for the target, each once; with `cascade` those
    /// beneath it, too. Others run while many are gathered.
    pub async fn audience(
        &self,
        target: &Target,
        channel: Option<&Channel>,
        cascade: bool,
    ) -> Vec<Arc<Connection>> {
        let mut audience = Audience::default();
        match target {
            Target::Place(place) => {
                self.members_at(channel, place, &mut audience);
                if let (true, Some(channel)) = (cascade, channel) {
                    self.members_beneath(channel, place, &mut audience).await;
                }
            }
            Target::Users(organization, users) => {
                self.tabs_of(organization, users, &mut audience).await;
            }
            Target::Connections(organization, ids) => {
                self.single_connections(organization.as_ref(), ids, &mut audience)
                    .await;
            }
            Target::Everyone { within, except } => {
                return self.everyone(within.as_ref(), except).await;
            }
        }
        audience.list
    }

    /// Adds those who hear an event at the place.
    fn members_at(&self, channel: Option<&Channel>, place: &Place, audience: &mut Audience) {
        let Some(organization) = self.registry.organization(&place.organization) else {
            return;
        };
        let names = match channel {
            None => vec![Room::Organization(place.organization.clone()).name()],
            Some(channel) => room::audience(channel, place),
        };
        for name in names {
            if let Some(room) = organization.room(&name) {
                audience.add(&room.members());
            }
        }
    }

    /// Adds those beneath the place.
    async fn members_beneath(&self, channel: &Channel, place: &Place, audience: &mut Audience) {
        let Some(organization) = self.registry.organization(&place.organization) else {
            return;
        };
        let all = Channel::all();
        let mut turn = Pace::default();
        let mut after = None;
        loop {
            let rooms = organization.rooms.piece(after.as_ref(), PIECE);
            let Some((last, _)) = rooms.last() else {
                return;
            };
            after = Some(last.clone());
            for (_, entry) in &rooms {
                if let Room::Subscription(subscribed, at) = &entry.room
                    && (subscribed == channel || *subscribed == all)
                    && at.is_beneath(place)
                {
                    let members = entry.members();
                    audience.add(&members);
                    turn.steps(members.len()).await;
                }
            }
            tokio::task::yield_now().await;
        }
    }

    /// Adds all connections of the users.
    async fn tabs_of(
        &self,
        organization_id: &OrganizationId,
        users: &[UserId],
        audience: &mut Audience,
    ) {
        let Some(organization) = self.registry.organization(organization_id) else {
            return;
        };
        let mut turn = Pace::default();
        let once: HashSet<&UserId> = users.iter().collect();
        for user in once {
            let room = Room::User(organization_id.clone(), user.clone()).name();
            if let Some(room) = organization.room(&room) {
                audience.add(&room.members());
            }
            turn.step().await;
        }
    }

    /// The connections among these that have authenticated, by organization.
    pub async fn by_organization(
        &self,
        ids: &[ConnectionId],
    ) -> BTreeMap<OrganizationId, Vec<ConnectionId>> {
        let mut parts: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut turn = Pace::default();
        for id in ids {
            let connection = self.registry.connection(*id);
            if let Some(identity) = connection.and_then(|connection| connection.identity()) {
                let part = parts.entry(identity.organization.clone()).or_default();
                part.push(*id);
            }
            turn.step().await;
        }
        parts
    }

    async fn single_connections(
        &self,
        organization: Option<&OrganizationId>,
        ids: &[ConnectionId],
        audience: &mut Audience,
    ) {
        let mut turn = Pace::default();
        for id in ids {
            let connection = self.registry.connection(*id).filter(|connection| {
                connection.identity().is_some_and(|identity| {
                    organization.is_none_or(|organization| identity.organization == *organization)
                })
            });
            audience.add(connection.as_slice());
            turn.step().await;
        }
    }

    async fn everyone(
        &self,
        within: Option<&OrganizationId>,
        except: &HashSet<UserId>,
    ) -> Vec<Arc<Connection>> {
        let mut found = Vec::new();
        let look = |_: &u64, connection: &Arc<Connection>| {
            let identity = connection.identity();
            if identity.is_some_and(|identity| !except.contains(&identity.user)) {
                found.push(Arc::clone(connection));
            }
        };
        match within {
            None => self.registry.connections.each(look).await,
            Some(organization) => {
                if let Some(organization) = self.registry.organization(organization) {
                    organization.connections.each(look).await;
                }
            }
        }
        found
    }
}
