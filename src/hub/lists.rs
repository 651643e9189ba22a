//! Lists of connections and rooms, a page at a time. Others run while a page is gathered, and one
//! that is asked for by a cursor costs the same wherever it is.

use std::sync::Arc;

use super::Hub;
use super::connection::Connection;
use super::ordered::{Ordered, PIECE, Pace};
use super::registry::RoomEntry;
use super::snapshot::{ConnectionSnapshot, RoomSnapshot};
use crate::domain::error::ClientError;
use crate::domain::identity::{ConnectionId, OrganizationId, UserId};
use crate::domain::room::{Room, RoomName};

/// Where a page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begin {
    /// Behind so many others.
    Offset(usize),
    /// Behind the page that ended with this cursor.
    Cursor(String),
}

/// A part of a list.
#[derive(Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// How many there are on all pages.
    pub total: usize,
    /// Where the next page begins; `None` on the last.
    pub next: Option<String>,
}

impl Hub {
    /// Connections, of one organization if one is named, the oldest first. Fails if the cursor is not
    /// one of these lists.
    pub async fn connections_page(
        &self,
        organization: Option<&OrganizationId>,
        begin: &Begin,
        limit: usize,
    ) -> Result<Page<ConnectionSnapshot>, ClientError> {
        let mut found = match begin {
            Begin::Offset(offset) => Found::new(*offset, None, limit),
            Begin::Cursor(cursor) => Found::new(0, Some(self.number_of(cursor)?), limit),
        };
        let total = match organization {
            None => {
                found.add(&self.registry.connections).await;
                self.registry.connections.len()
            }
            Some(id) => match self.registry.organization(id) {
                None => 0,
                Some(organization) => {
                    found.add(&organization.connections).await;
                    organization.connections.len()
                }
            },
        };
        let cursor = |last: &Arc<Connection>| self.cursor_of(last.number);
        let view = |connection: &Arc<Connection>| ConnectionSnapshot::of(connection);
        Ok(found.page(total, view, cursor).await)
    }

    /// Rooms, of one organization if one is named, by organization and name. Fails if the cursor is
    /// not one of these lists.
    pub async fn rooms_page(
        &self,
        organization: Option<&OrganizationId>,
        begin: &Begin,
        limit: usize,
    ) -> Result<Page<RoomSnapshot>, ClientError> {
        let (mut found, first) = match begin {
            Begin::Offset(offset) => (Found::new(*offset, None, limit), None),
            Begin::Cursor(cursor) => {
                let last = Room::parse(cursor).map_err(|_| not_a_cursor())?;
                let first = last.organization().clone();
                if organization.is_some_and(|own| *own != first) {
                    return Err(not_a_cursor());
                }
                (Found::new(0, Some(last.name()), limit), Some(first))
            }
        };
        let total = match organization {
            None => {
                self.find_rooms(first, &mut found).await;
                self.room_count()
            }
            Some(id) => match self.registry.organization(id) {
                None => 0,
                Some(organization) => {
                    found.add(&organization.rooms).await;
                    organization.room_counts.all()
                }
            },
        };
        let cursor = |last: &Arc<RoomEntry>| last.name.to_string();
        let view = |entry: &Arc<RoomEntry>| RoomSnapshot::of(entry);
        Ok(found.page(total, view, cursor).await)
    }

    /// Gathers rooms from this organization on.
    async fn find_rooms(
        &self,
        first: Option<OrganizationId>,
        found: &mut Found<RoomName, Arc<RoomEntry>>,
    ) {
        if let Some(organization) = first.as_ref().and_then(|id| self.registry.organization(id)) {
            found.add(&organization.rooms).await;
        }
        // The next ones are wanted from their first room on.
        found.after = None;
        let mut after = first;
        let mut pace = Pace::default();
        while !found.is_complete() {
            let some = self.registry.organizations.piece(after.as_ref(), PIECE);
            let Some((last, _)) = some.last() else { return };
            after = Some(last.clone());
            for (_, organization) in &some {
                found.add(&organization.rooms).await;
                pace.step().await;
            }
        }
    }

    fn cursor_of(&self, number: u64) -> String {
        format!("{:08x}-{number}", self.run)
    }

    fn number_of(&self, cursor: &str) -> Result<u64, ClientError> {
        cursor
            .split_once('-')
            .filter(|(run, _)| *run == format!("{:08x}", self.run))
            .and_then(|(_, number)| number.parse().ok())
            .ok_or_else(not_a_cursor)
    }

    pub fn connection_snapshot(&self, id: ConnectionId) -> Option<ConnectionSnapshot> {
        self.registry
            .connection(id)
            .map(|connection| ConnectionSnapshot::of(&connection))
    }

    /// All connections of the users with this id, of this organization if one is named.
    pub async fn user_snapshots(
        &self,
        user: &UserId,
        organization: Option<&OrganizationId>,
    ) -> Vec<ConnectionSnapshot> {
        let tabs = self.tabs(organization, user).await;
        in_pieces(&tabs, |connection| ConnectionSnapshot::of(connection)).await
    }
}

pub fn not_a_cursor() -> ClientError {
    ClientError::invalid(
        "`cursor` is not the `next_cursor` of a page of this list; begin again without one",
    )
}

/// The entries of a page, and one more if there is a next page.
struct Found<K, V> {
    /// Entries that are still to be passed over.
    skip: usize,
    /// In the first list that is looked at, those up to here are passed over.
    after: Option<K>,
    limit: usize,
    entries: Vec<V>,
}

impl<K: Ord + Clone, V: Clone> Found<K, V> {
    fn new(skip: usize, after: Option<K>, limit: usize) -> Self {
        Self {
            skip,
            after,
            limit,
            entries: Vec::new(),
        }
    }

    fn is_complete(&self) -> bool {
        self.entries.len() > self.limit
    }

    /// Adds the next of them from this list.
    async fn add(&mut self, list: &Ordered<K, V>) {
        let mut after = self.after.take();
        if self.skip > 0 {
            let length = list.len();
            if self.skip >= length {
                self.skip -= length;
                return;
            }
            after = list.skip(self.skip).await;
            self.skip = 0;
        }
        loop {
            let wanted = PIECE.min(self.limit + 1 - self.entries.len());
            let some = list.piece(after.as_ref(), wanted);
            after = some.last().map(|(key, _)| key.clone());
            let is_last = some.len() < PIECE;
            self.entries
                .extend(some.into_iter().map(|(_, value)| value));
            if is_last || self.is_complete() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn page<T>(
        mut self,
        total: usize,
        view: impl Fn(&V) -> T,
        cursor: impl Fn(&V) -> String,
    ) -> Page<T> {
        let has_next = self.is_complete();
        self.entries.truncate(self.limit);
        Page {
            next: self.entries.last().filter(|_| has_next).map(cursor),
            items: in_pieces(&self.entries, view).await,
            total,
        }
    }
}

async fn in_pieces<V, T>(entries: &[V], view: impl Fn(&V) -> T) -> Vec<T> {
    let mut views = Vec::with_capacity(entries.len());
    for some in entries.chunks(PIECE) {
        views.extend(some.iter().map(&view));
        tokio::task::yield_now().await;
    }
    views
}
