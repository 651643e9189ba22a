//! What a connection may do, by type: only an authenticated one has `subscribe`.

use std::sync::Arc;

use super::Hub;
use super::connection::{Connection, Joined};
use crate::domain::error::{ClientError, Code};
use crate::domain::grants::Principal;
use crate::domain::identity::Identity;
use crate::domain::room::{Channel, Place, Room, RoomName};
use crate::metrics::rejections::Rejection;

/// A connection's hold on the hub; dropping it disconnects.
pub struct ConnectionGuard {
    hub: Arc<Hub>,
    connection: Arc<Connection>,
}

impl ConnectionGuard {
    pub(super) fn new(hub: Arc<Hub>, connection: Arc<Connection>) -> Self {
        Self { hub, connection }
    }

    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    pub fn connection(&self) -> &Arc<Connection> {
        &self.connection
    }

    /// Enters the organization: its room and the user's. Fails with `CONNECTION_LIMIT` when the
    /// organization is full; the connection is then as before. `welcome` runs when nothing can fail any
    /// more and no event can have come yet.
    pub fn authenticate(
        self,
        principal: impl Into<Arc<Principal>>,
        welcome: impl FnOnce(),
    ) -> Result<AuthenticatedConnection, (Self, ClientError)> {
        let principal = principal.into();
        let id = &principal.identity.organization;
        let admission = &self.hub.admission;
        let limit = admission.organization_slots(id);
        let Some((organization, place)) = self.hub.registry.enter(id, limit) else {
            self.hub
                .metrics
                .rejections
                .count(Rejection::OrganizationFull, id);
            let error = ClientError::new(
                Code::ConnectionLimit,
                format!("the organization holds its {limit} connections"),
            );
            return Err((self, error));
        };
        {
            let mut membership = self.connection.membership.lock();
            if membership.closed {
                drop(membership);
                drop(place);
                self.hub.registry.sweep_organization(id);
                return Err((self, gone()));
            }
            welcome();
            // These, and for most one subscription beside them.
            membership.rooms.reserve_exact(3);
            for permit in principal.own_rooms() {
                // Bounded by the organization's connections, so not by `room_max_size`.
                if let Ok(entry) = organization.join(permit, &self.connection, 0) {
                    membership.rooms.push(Joined { entry, behind: 0 });
                }
            }
            let connection = Arc::clone(&self.connection);
            organization
                .connections
                .insert(connection.number, connection);
            membership.identity = Some(Arc::new(principal.identity.clone()));
            membership.hold(&principal);
            membership.slot = Some(place);
            self.hub.newcomers.forget(&self.connection);
            self.hub.plan_end(
                &self.connection,
                &mut membership.lifetime,
                principal.expires_at,
            );
        }
        self.connection.deliver.know();
        tracing::debug!(
            connection = %self.connection.id,
            user = %principal.identity.user,
            organization = %id,
            "authenticated"
        );
        if let Some(rate) = admission.organization_rate(id) {
            self.connection.permit.rate.replace(rate);
        }
        Ok(AuthenticatedConnection {
            guard: self,
            principal,
        })
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.hub.remove(&self.connection);
    }
}

fn gone() -> ClientError {
    ClientError::new(Code::InternalError, "the connection is closing")
}

/// What a connection has subscribed to.
#[derive(Debug, Default)]
pub struct Subscribed {
    /// The rooms' names.
    pub names: Vec<RoomName>,
    /// The rooms among them that it was not in before.
    pub new: Vec<Room>,
}

/// An authenticated connection.
pub struct AuthenticatedConnection {
    guard: ConnectionGuard,
    principal: Arc<Principal>,
}

impl AuthenticatedConnection {
    pub fn connection(&self) -> &Arc<Connection> {
        &self.guard.connection
    }

    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    pub fn shared_principal(&self) -> &Arc<Principal> {
        &self.principal
    }

    /// Goes on with a fresh token. Subscriptions that it no longer grants end; answers their names.
    /// `UNAUTHORIZED` if it names another user or organization.
    pub fn renew(
        &mut self,
        principal: impl Into<Arc<Principal>>,
    ) -> Result<Vec<RoomName>, ClientError> {
        let principal = principal.into();
        let Identity { user, organization } = &self.principal.identity;
        if principal.identity != self.principal.identity {
            return Err(ClientError::unauthorized(format!(
                "this connection is user `{user}` of organization `{organization}`; connect anew \
                 to be another",
            )));
        }
        let organization = self.organization()?;
        let connection = self.connection();
        let mut membership = connection.membership.lock();
        if membership.closed {
            return Err(gone());
        }
        let mut ended = Vec::new();
        membership.rooms.retain(|Joined { entry, .. }| {
            let stays = principal.admits(&entry.room);
            if !stays {
                organization.leave(entry, connection);
                ended.push(entry.name.clone());
            }
            stays
        });
        membership.hold(&principal);
        self.guard
            .hub
            .plan_end(connection, &mut membership.lifetime, principal.expires_at);
        drop(membership);
        self.principal = principal;
        Ok(ended)
    }

    /// Subscribes to each channel at the place, whose events are then heard `behind` this number: all of them, or none
    /// and an error. Subscribing again changes nothing. `UNAUTHORIZED` for what is not granted.
    pub fn subscribe(
        &self,
        channels: &[Channel],
        place: &Place,
        behind: u64,
    ) -> Result<Subscribed, ClientError> {
        let permits = self.principal.subscriptions(channels, place)?;
        let options = &self.guard.hub.options;
        let organization = self.organization()?;
        let mut membership = self.connection().membership.lock();
        if membership.closed {
            return Err(gone());
        }
        let before = membership.rooms.len();
        let mut subscribed = Subscribed::default();
        for permit in permits {
            let name = permit.room().name();
            subscribed.names.push(name.clone());
            let mut rooms = membership.rooms.iter();
            if rooms.any(|joined| joined.entry.name == name) {
                continue;
            }
            let room = permit.room().clone();
            let limit = options.max_subscriptions_per_connection;
            // The organization's and the user's room are not subscriptions.
            let joined = if limit != 0 && membership.rooms.len() - 2 >= limit {
                Err(ClientError::new(
                    Code::SubscriptionFailed,
                    format!("a connection may have {limit} subscriptions"),
                ))
            } else {
                organization
                    .join(permit, self.connection(), options.room_max_size)
                    .map_err(|_| {
                        let size = options.room_max_size;
                        ClientError::new(
                            Code::RoomFull,
                            format!("room `{name}` holds its {size} connections"),
                        )
                    })
            };
            match joined {
                Ok(entry) => {
                    membership.rooms.reserve_exact(1);
                    membership.rooms.push(Joined { entry, behind });
                    subscribed.new.push(room);
                }
                Err(error) => {
                    for joined in membership.rooms.drain(before..) {
                        organization.leave(&joined.entry, self.connection());
                    }
                    return Err(error);
                }
            }
        }
        Ok(subscribed)
    }

    /// Ends the subscriptions to these channels at exactly this place; answers the names of the
    /// rooms that were left. `ROOM_NOT_FOUND` if there was none.
    pub fn unsubscribe(
        &self,
        channels: &[Channel],
        place: &Place,
    ) -> Result<Vec<RoomName>, ClientError> {
        self.principal.check_organization(&place.organization)?;
        let organization = self.organization()?;
        let mut membership = self.connection().membership.lock();
        let mut left = Vec::with_capacity(channels.len());
        let mut missed = Vec::new();
        for channel in channels {
            let name = Room::Subscription(channel.clone(), place.clone()).name();
            let mut rooms = membership.rooms.iter();
            let at = rooms.position(|joined| joined.entry.name == name);
            if let Some(at) = at {
                let joined = membership.rooms.remove(at);
                organization.leave(&joined.entry, self.connection());
                left.push(name);
            } else if !left.contains(&name) {
                missed.push(name.to_string());
            }
        }
        if left.is_empty() {
            let rooms = missed.join("`, `");
            return Err(ClientError::new(
                Code::RoomNotFound,
                format!("not subscribed to `{rooms}`"),
            ));
        }
        Ok(left)
    }

    /// Whether the token grants this event at this place, and the connection is still here.
    pub fn check_publication(&self, event: &str, place: &Place) -> Result<(), ClientError> {
        self.principal.check_publication(event, place)?;
        if self.connection().membership.lock().closed {
            return Err(gone());
        }
        Ok(())
    }

    /// It exists while this member holds its place.
    fn organization(&self) -> Result<Arc<super::registry::Organization>, ClientError> {
        self.guard
            .hub
            .registry
            .organization(&self.principal.identity.organization)
            .ok_or_else(gone)
    }
}
