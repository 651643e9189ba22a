//! What a connection is counted for in the budget of all.

use std::sync::{Arc, Weak};

use super::link::Link;
use super::outgoing::Outgoing;
use crate::wire::buffers::{Buffers, Charge, Holder, Holding, rounded};

/// What a client has sent of something that is not handled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldInput {
    /// Messages, whole or not.
    Unread,
    /// Parts of a packet that goes over several messages.
    Partial,
}

impl Link {
    pub fn buffers(&self) -> &Arc<Buffers> {
        &self.queues.buffers
    }

    /// The client has authenticated: it has its part of the whole budget from now on.
    pub fn know(&self) {
        let mut out = self.outgoing.lock();
        out.is_known = true;
        self.count(&mut out);
    }

    /// So many bytes came from the client and wait.
    pub fn hold(&self, what: HeldInput, bytes: usize) {
        let mut out = self.outgoing.lock();
        match what {
            HeldInput::Unread => out.unread = bytes,
            HeldInput::Partial => out.partial = bytes,
        }
        self.count(&mut out);
        drop(out);
        self.queues.buffers.settle();
    }

    /// Counts a message while it is handled, which can take a while; `None` if it is short.
    pub fn handling(&self, bytes: usize) -> Option<Charge> {
        if rounded(bytes) == 0 {
            return None;
        }
        let owner = self.outgoing.lock().owner();
        let charge = Charge::new(&self.queues.buffers, owner, bytes);
        self.queues.buffers.settle();
        Some(charge)
    }

    /// Whether the connection is to end because it held too much.
    pub fn is_given_up(&self) -> bool {
        self.outgoing.lock().is_given_up
    }

    pub(super) fn count(&self, out: &mut Outgoing) {
        let inbound = rounded(out.unread + out.partial);
        let all = rounded(out.unread + out.partial + out.bytes);
        if all == 0 {
            out.holding = None;
            return;
        }
        let owner = out.owner();
        let holding = out
            .holding
            .get_or_insert_with(|| Box::new(Holding::new(&self.queues.buffers, owner)));
        let me: Weak<Self> = Weak::clone(&self.me);
        let me: Weak<dyn Holder> = me;
        holding.set(&me, owner, inbound, all);
    }
}

impl Holder for Link {
    /// Lets go of what waits, and has whoever serves the connection end it.
    fn give_up(&self) {
        let mut out = self.outgoing.lock();
        if out.dead {
            return;
        }
        out.is_given_up = true;
        self.clear(&mut out);
        drop(out);
        self.relieved(true);
    }
}
