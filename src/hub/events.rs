//! What happens in the hub, for those who wait for stores or other servers: a guard that is dropped
//! can't.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{Mutex, mpsc};

use crate::domain::identity::OrganizationId;

/// Something that happened. Those of one organization come in the order in which they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubEvent {
    /// The organization has a connection again.
    OrganizationOccupied(OrganizationId),
    /// Its last connection is gone.
    OrganizationVacated(OrganizationId),
}

/// What comes out of the stream of events.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Event(HubEvent),
    /// Some were lost, since nobody read them in time: what is so now has to be looked up.
    Lost,
}

/// Events that may wait to be read.
const MAX_WAITING: usize = 65_536;

/// The hub's events: written by anybody without waiting, read by one.
#[derive(Debug)]
pub(super) struct HubEvents {
    sender: mpsc::Sender<HubEvent>,
    receiver: Mutex<mpsc::Receiver<HubEvent>>,
    has_lost: AtomicBool,
}

impl Default for HubEvents {
    fn default() -> Self {
        Self::bounded(MAX_WAITING)
    }
}

impl HubEvents {
    fn bounded(most: usize) -> Self {
        let (sender, receiver) = mpsc::channel(most);
        Self {
            sender,
            receiver: Mutex::new(receiver),
            has_lost: AtomicBool::new(false),
        }
    }

    pub fn tell(&self, event: HubEvent) {
        if self.sender.try_send(event).is_err() {
            self.has_lost.store(true, Ordering::Release);
        }
    }

    /// The next event. That some were lost is heard once everything that waited was read, so that nothing
    /// older comes behind it.
    pub async fn next(&self) -> Heard {
        let mut receiver = self.receiver.lock().await;
        loop {
            match receiver.try_recv() {
                Ok(event) => return Heard::Event(event),
                Err(_) if self.has_lost.swap(false, Ordering::Acquire) => return Heard::Lost,
                Err(_) => {}
            }
            // The sender is a part of this, so there is always another event to wait for.
            if let Some(event) = receiver.recv().await {
                return Heard::Event(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occupied(id: &str) -> HubEvent {
        HubEvent::OrganizationOccupied(OrganizationId::new(id).unwrap())
    }

    #[tokio::test]
    async fn that_events_were_lost_is_heard_behind_those_that_were_not() {
        let events = HubEvents::bounded(2);
        for id in ["a", "b", "c"] {
            events.tell(occupied(id));
        }
        assert_eq!(events.next().await, Heard::Event(occupied("a")));
        assert_eq!(events.next().await, Heard::Event(occupied("b")));
        assert_eq!(events.next().await, Heard::Lost);
        events.tell(occupied("d"));
        assert_eq!(events.next().await, Heard::Event(occupied("d")));
    }
}
