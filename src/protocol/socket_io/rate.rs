//! What a client may send in a time, decided before a packet costs any work.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::{Client, answer, error_packet};
use super::packet::{Glance, glance};
use super::{ClientSession, SocketIo};
use crate::domain::error::{ClientError, CloseReason};
use crate::hub::ports::Deliver;
use crate::hub::rates::RateDecision;
use crate::metrics::rejections::Rejection;
use crate::protocol::engine_io::Peek;
use crate::wire::send_queue::DropPolicy;

impl SocketIo {
    /// Whether a packet is within its client's rate; what is not is answered here, without being parsed.
    pub(super) async fn check_rate(&self, session: &Arc<ClientSession>, packet: Peek<'_>) -> bool {
        let client = &session.connection;
        if matches!(packet, Peek::Binary) {
            if client.skips_binary() {
                return false;
            }
            if client.has_free_binary() {
                return true;
            }
        }
        let bytes = match packet {
            Peek::Text(Some(bytes)) => bytes,
            _ => &[],
        };
        let glance = glance(bytes);
        if let Glance::Ack { id, attachments } = glance
            && client.owes_ack(id)
        {
            client.allow(attachments);
            return true;
        }
        loop {
            match client.rate.check(Instant::now()) {
                RateDecision::Within => return true,
                RateDecision::Slow(wait) => {
                    note(client);
                    Box::pin(tokio::time::sleep(wait)).await;
                    if session.is_closing() {
                        return false;
                    }
                }
                RateDecision::Over(wait) => {
                    let is_needed = matches!(
                        glance,
                        Glance::Connect
                            | Glance::Event {
                                is_needed: true,
                                ..
                            }
                    );
                    if is_needed && client.rate.check_reserve() {
                        return true;
                    }
                    match (packet, bytes) {
                        // Heartbeats and ends cost next to nothing.
                        (_, [b'1' | b'3' | b'5', ..] | [b'4', b'1', ..]) => return true,
                        // Pings, of which there is nothing to say.
                        (Peek::Control, _) | (_, [b'2', ..]) => {
                            let refused = &self.node.hub.metrics.rejections;
                            refused.count(Rejection::Message, client.remote_address);
                        }
                        _ => self.refuse(session, glance, wait),
                    }
                    return false;
                }
                RateDecision::Abuse => {
                    self.close_abuser(session);
                    return false;
                }
            }
        }
    }

    /// A packet came over its client's rate: what it is told, without parsing the packet.
    fn refuse(&self, session: &Arc<ClientSession>, glance: Glance, wait: Duration) {
        let client = &session.connection;
        let refused = &self.node.hub.metrics.rejections;
        refused.count(Rejection::Message, client.remote_address);
        let ack = match glance {
            // An error here would be final, and the rate is not.
            Glance::Connect => {
                session.close(CloseReason::TryAgainLater);
                return;
            }
            Glance::Binary { ack, attachments } => {
                client.skip(attachments);
                ack
            }
            Glance::Event { ack, .. } => ack,
            Glance::Ack { .. } | Glance::Other => None,
        };
        note(client);
        let error = ClientError::rate_limited(wait);
        let reply = client.session().map(|session| session.refuse(error));
        if let Some(reply) = reply {
            answer(session, ack, &reply);
        }
    }

    fn close_abuser(&self, session: &Arc<ClientSession>) {
        if session.is_closing() {
            return;
        }
        let reason = CloseReason::RateLimited;
        self.count_close(&session.connection, reason);
        self.node.hub.metrics.count_error();
        session.push(
            &error_packet(&ClientError::rate_abused()),
            DropPolicy::Reply,
        );
        Deliver::close(&**session, reason);
        session.connection.leave();
    }

    /// A large message counts as the many that it could have been; its client waits for them.
    pub(super) async fn charge(&self, session: &ClientSession, bytes: usize) {
        loop {
            let wait = session.connection.rate.charge(bytes);
            if wait.is_zero() || session.is_closing() {
                return;
            }
            Box::pin(tokio::time::sleep(wait)).await;
        }
    }
}

/// What came in vain, or later than it was sent, may have been what the client is of no use without.
fn note(client: &Client) {
    if let Some(connection) = client.connection() {
        connection.note_rate_limited();
    }
}
