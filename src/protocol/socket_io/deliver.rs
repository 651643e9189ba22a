//! How the hub reaches a Socket.IO client.

use std::sync::Arc;
use std::time::Instant;

use super::SocketIo;
use super::client::{error_packet, send};
use super::packet;
use crate::domain::error::CloseReason;
use crate::hub::outbound::Outbound;
use crate::hub::ports::{Deliver, Delivery, Given};
use crate::protocol::engine_io::Session;
use crate::protocol::{close_reason_of, delivery, outgoing, push_event};
use crate::wire::send_queue::Overdue;

/// The hub's hold on a Socket.IO client.
impl Deliver for Session<SocketIo> {
    fn warm(&self) {
        self.link().warm();
    }

    fn deliver(&self, outbound: &Arc<Outbound>) -> Delivery {
        let form = self.connection.form;
        if let Some(position) = outbound.position.filter(|_| !outbound.is_replayed) {
            // Before it can be known to have come.
            self.connection.given.lock().note(position.seq);
        }
        let encoding = form.encoding(&outbound.event);
        let frame = outgoing(self.link(), outbound, encoding);
        let delivery = delivery(push_event(self.link(), frame, outbound));
        if delivery == Delivery::Overflow {
            self.abandon(CloseReason::TooSlow);
        }
        delivery
    }

    fn close(&self, reason: CloseReason) {
        if let Some(error) = reason.last_words() {
            send(self, error_packet(&error));
        }
        if !reason.should_reconnect() {
            send(self, packet::disconnect());
        }
        Session::close(self, reason);
    }

    fn tick(&self, now: Instant) -> Option<CloseReason> {
        let overdue = self.link().kill_if_overdue(now)?;
        if overdue == Overdue::GivenUp {
            self.kill(CloseReason::Overloaded);
        }
        close_reason_of(overdue)
    }

    fn know(&self) {
        self.link().know();
    }

    fn waiting(&self) -> usize {
        self.link().waiting().0
    }

    fn is_congested(&self) -> bool {
        self.link().is_congested()
    }

    fn given(&self) -> Given {
        *self.connection.given.lock()
    }

    fn transport(&self) -> &'static str {
        if self.is_polling() {
            "polling"
        } else {
            "websocket"
        }
    }
}
