//! Who is where: connections by id, and each organization with its rooms.
//!
//! Rooms live inside their organization, so that no lookup can cross the wall between two. A
//! publisher takes a room's members as a shared snapshot and writes to sockets with no lock held.
//!
//! Locks are taken in this order: a connection's membership, an organization's rooms, one room's
//! members. No two of the same kind are held at once.

use std::collections::HashMap;
use std::sync::Arc;

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};

use super::connection::Connection;
use super::limits::{Lease, Places};
use crate::domain::grants::Admission;
use crate::domain::identity::{ConnectionId, OrganizationId};
use crate::domain::room::{Room, RoomName};

pub(super) type Members = Arc<[Arc<Connection>]>;

/// One room with its members.
pub(super) struct RoomEntry {
    pub room: Room,
    pub name: RoomName,
    members: Mutex<MemberList>,
}

#[derive(Default)]
struct MemberList {
    list: Vec<Arc<Connection>>,
    /// The list as publishers share it, until somebody joins or leaves.
    snapshot: Option<Members>,
}

impl RoomEntry {
    /// The members at this moment.
    pub fn members(&self) -> Members {
        let mut members = self.members.lock();
        if let Some(snapshot) = &members.snapshot {
            return Arc::clone(snapshot);
        }
        let snapshot: Members = members.list.as_slice().into();
        members.snapshot = Some(Arc::clone(&snapshot));
        snapshot
    }

    pub fn len(&self) -> usize {
        self.members.lock().list.len()
    }
}

/// The room has as many members as it may.
pub(super) struct Full;

/// One organization with connections.
pub(super) struct Organization {
    pub places: Places,
    rooms: RwLock<HashMap<RoomName, Arc<RoomEntry>>>,
}

impl Organization {
    fn new(limit: usize) -> Self {
        Self {
            places: Places::new(limit),
            rooms: RwLock::default(),
        }
    }

    pub fn room(&self, name: &RoomName) -> Option<Arc<RoomEntry>> {
        self.rooms.read().get(name).cloned()
    }

    pub fn rooms(&self) -> Vec<Arc<RoomEntry>> {
        self.rooms.read().values().cloned().collect()
    }

    /// Adds a connection that is not in the room. `limit` 0 is no limit.
    pub fn join(
        &self,
        admission: Admission,
        connection: &Arc<Connection>,
        limit: usize,
    ) -> Result<Arc<RoomEntry>, Full> {
        let room = admission.into_room();
        let name = room.name();
        let mut rooms = self.rooms.write();
        let entry = rooms.entry(name.clone()).or_insert_with(|| {
            Arc::new(RoomEntry {
                room,
                name,
                members: Mutex::default(),
            })
        });
        let mut members = entry.members.lock();
        if limit != 0 && members.list.len() >= limit {
            return Err(Full);
        }
        members.list.push(Arc::clone(connection));
        members.snapshot = None;
        drop(members);
        Ok(Arc::clone(entry))
    }

    /// Removes a connection; the room goes with its last member.
    pub fn leave(&self, entry: &Arc<RoomEntry>, connection: &Arc<Connection>) {
        let mut rooms = self.rooms.write();
        let mut members = entry.members.lock();
        if let Some(at) = members
            .list
            .iter()
            .position(|member| Arc::ptr_eq(member, connection))
        {
            members.list.swap_remove(at);
            members.snapshot = None;
        }
        if members.list.is_empty() {
            rooms.remove(&entry.name);
        }
    }
}

/// Everything that is connected.
#[derive(Default)]
pub(super) struct Registry {
    connections: DashMap<ConnectionId, Arc<Connection>>,
    organizations: DashMap<OrganizationId, Arc<Organization>>,
}

impl Registry {
    pub fn insert(&self, connection: Arc<Connection>) {
        self.connections.insert(connection.id, connection);
    }

    pub fn remove(&self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    pub fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.connections
            .get(&id)
            .map(|entry| Arc::clone(entry.value()))
    }

    pub fn connections(&self) -> Vec<Arc<Connection>> {
        self.connections
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .collect()
    }

    pub fn connection_count(&self) -> usize {
        self.connections.len()
    }

    pub fn organization(&self, id: &OrganizationId) -> Option<Arc<Organization>> {
        self.organizations
            .get(id)
            .map(|entry| Arc::clone(entry.value()))
    }

    pub fn organizations(&self) -> Vec<(OrganizationId, Arc<Organization>)> {
        self.organizations
            .iter()
            .map(|entry| (entry.key().clone(), Arc::clone(entry.value())))
            .collect()
    }

    /// Takes a place in the organization, which comes to be with its first connection. The place
    /// is taken under the map's lock, so that [`Self::sweep_organization`] can't remove it between.
    pub fn enter(&self, id: &OrganizationId, limit: usize) -> Option<(Arc<Organization>, Lease)> {
        let entry = self
            .organizations
            .entry(id.clone())
            .or_insert_with(|| Arc::new(Organization::new(limit)));
        let lease = entry.places.take()?;
        Some((Arc::clone(entry.value()), lease))
    }

    /// Forgets the organization if nobody is in it.
    pub fn sweep_organization(&self, id: &OrganizationId) {
        self.organizations
            .remove_if(id, |_, organization| organization.places.taken() == 0);
    }
}
