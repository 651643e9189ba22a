//! Who is where: connections by id, and each organization with its rooms.
//!
//! Rooms live inside their organization, so that no lookup can cross the wall between two. A
//! publisher takes a room's members as a shared snapshot and writes to sockets with no lock held.
//!
//! Locks are taken in this order: a connection's membership, an organization's rooms, one room's
//! members, and the lists in order, which are locked for one step at a time, last. No two of the same
//! kind are held at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use parking_lot::{Mutex, RwLock};

use super::connection::{Connection, Protocol};
use super::events::{HubEvent, HubEvents};
use super::limits::{SlotGuard, Slots};
use super::ordered::Ordered;
use crate::domain::grants::RoomPermit;
use crate::domain::identity::{ConnectionId, OrganizationId};
use crate::domain::room::{Level, Room, RoomName};

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

/// How many rooms there are at each level.
#[derive(Default)]
pub(super) struct RoomCounts([AtomicUsize; Level::ALL.len()]);

impl RoomCounts {
    fn add(&self, level: Level) {
        self.0[level as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn subtract(&self, level: Level) {
        self.0[level as usize].fetch_sub(1, Ordering::Relaxed);
    }

    pub fn at(&self, level: Level) -> usize {
        self.0[level as usize].load(Ordering::Relaxed)
    }

    pub fn all(&self) -> usize {
        Level::ALL.into_iter().map(|level| self.at(level)).sum()
    }
}

/// One organization with connections.
pub(super) struct Organization {
    pub slots: Slots,
    /// Its connections in the order in which they came.
    pub connections: Ordered<u64, Arc<Connection>>,
    /// Its rooms in the order of their names.
    pub rooms: Ordered<RoomName, Arc<RoomEntry>>,
    rooms_by_name: RwLock<HashMap<RoomName, Arc<RoomEntry>>>,
    pub room_counts: RoomCounts,
    /// Those of all organizations.
    all_room_counts: Arc<RoomCounts>,
}

impl Organization {
    fn new(limit: usize, all_room_counts: Arc<RoomCounts>) -> Self {
        Self {
            slots: Slots::new(limit),
            connections: Ordered::default(),
            rooms: Ordered::default(),
            rooms_by_name: RwLock::default(),
            room_counts: RoomCounts::default(),
            all_room_counts,
        }
    }

    pub fn room(&self, name: &RoomName) -> Option<Arc<RoomEntry>> {
        self.rooms_by_name.read().get(name).cloned()
    }

    /// Adds a connection that is not in the room. `limit` 0 is no limit.
    pub fn join(
        &self,
        permit: RoomPermit,
        connection: &Arc<Connection>,
        limit: usize,
    ) -> Result<Arc<RoomEntry>, Full> {
        let room = permit.into_room();
        let name = room.name();
        let mut rooms = self.rooms_by_name.write();
        let entry = rooms.entry(name).or_insert_with_key(|name| {
            let level = room.level();
            let entry = Arc::new(RoomEntry {
                room,
                name: name.clone(),
                members: Mutex::default(),
            });
            self.rooms.insert(name.clone(), Arc::clone(&entry));
            self.room_counts.add(level);
            self.all_room_counts.add(level);
            entry
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
        let mut rooms = self.rooms_by_name.write();
        let mut members = entry.members.lock();
        if let Some(at) = members
            .list
            .iter()
            .position(|member| Arc::ptr_eq(member, connection))
        {
            members.list.swap_remove(at);
            members.snapshot = None;
        }
        if members.list.is_empty() && rooms.remove(&entry.name).is_some() {
            self.rooms.remove(&entry.name);
            let level = entry.room.level();
            self.room_counts.subtract(level);
            self.all_room_counts.subtract(level);
        }
    }
}

/// Everything that is connected.
#[derive(Default)]
pub(super) struct Registry {
    by_id: DashMap<ConnectionId, Arc<Connection>>,
    /// The same in the order in which they came.
    pub connections: Ordered<u64, Arc<Connection>>,
    organizations_by_id: DashMap<OrganizationId, Arc<Organization>>,
    /// The same in the order of their ids.
    pub organizations: Ordered<OrganizationId, Arc<Organization>>,
    pub room_counts: Arc<RoomCounts>,
    by_protocol: [AtomicUsize; Protocol::ALL.len()],
    pub events: HubEvents,
}

impl Registry {
    pub fn insert(&self, connection: Arc<Connection>) {
        self.by_protocol[connection.protocol as usize].fetch_add(1, Ordering::Relaxed);
        self.connections
            .insert(connection.number, Arc::clone(&connection));
        self.by_id.insert(connection.id, connection);
    }

    pub fn remove(&self, connection: &Connection) {
        // Another one may go on under its id.
        let is_it = |_: &_, kept: &Arc<Connection>| std::ptr::eq(&raw const **kept, connection);
        if self.by_id.remove_if(&connection.id, is_it).is_some() {
            self.by_protocol[connection.protocol as usize].fetch_sub(1, Ordering::Relaxed);
        }
        self.connections.remove(&connection.number);
    }

    /// How many connections speak the protocol.
    pub fn count_of(&self, protocol: Protocol) -> usize {
        self.by_protocol[protocol as usize].load(Ordering::Relaxed)
    }

    pub fn connection(&self, id: ConnectionId) -> Option<Arc<Connection>> {
        self.by_id.get(&id).map(|entry| Arc::clone(entry.value()))
    }

    pub fn organization(&self, id: &OrganizationId) -> Option<Arc<Organization>> {
        self.organizations_by_id
            .get(id)
            .map(|entry| Arc::clone(entry.value()))
    }

    /// Takes a slot of the organization, which comes to be with its first connection. The slot
    /// is taken under the map's lock, so that [`Self::sweep_organization`] can't remove it between.
    pub fn enter(
        &self,
        id: &OrganizationId,
        limit: usize,
    ) -> Option<(Arc<Organization>, SlotGuard)> {
        let entry = self
            .organizations_by_id
            .entry(id.clone())
            .or_insert_with(|| {
                let counts = Arc::clone(&self.room_counts);
                let organization = Arc::new(Organization::new(limit, counts));
                self.organizations
                    .insert(id.clone(), Arc::clone(&organization));
                // Under the map's lock, as below, so that they come in their order.
                self.events.tell(HubEvent::OrganizationOccupied(id.clone()));
                organization
            });
        let slot = entry.slots.take()?;
        Some((Arc::clone(entry.value()), slot))
    }

    /// Forgets the organization if nobody is in it.
    pub fn sweep_organization(&self, id: &OrganizationId) {
        self.organizations_by_id.remove_if(id, |_, organization| {
            let is_empty = organization.slots.taken() == 0;
            if is_empty {
                self.organizations.remove(id);
                self.events.tell(HubEvent::OrganizationVacated(id.clone()));
            }
            is_empty
        });
    }
}
