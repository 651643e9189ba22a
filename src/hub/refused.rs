//! What the server did not do, counted by reason.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// A client's message came over its rate.
    Message,
    /// A request came over the rate of its organization or address.
    Request,
    /// A handshake came over the rate of its address or of all.
    Handshake,
    ServerFull,
    OrganizationFull,
    AddressFull,
    /// A client came while the server shut down.
    Closing,
    /// A request's headers did not come in time.
    HeaderTimeout,
    /// A request's body did not come in time.
    BodyTimeout,
    /// A peer did not take its response.
    ResponseTimeout,
    /// The operating system gave no connection, mostly for want of file descriptors.
    AcceptError,
}

impl Refused {
    pub const ALL: [Self; 11] = [
        Self::Message,
        Self::Request,
        Self::Handshake,
        Self::ServerFull,
        Self::OrganizationFull,
        Self::AddressFull,
        Self::Closing,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::ResponseTimeout,
        Self::AcceptError,
    ];

    /// The name under which it is counted.
    pub fn label(self) -> &'static str {
        match self {
            Self::Message => "message_rate",
            Self::Request => "request_rate",
            Self::Handshake => "handshake_rate",
            Self::ServerFull => "server_full",
            Self::OrganizationFull => "organization_full",
            Self::AddressFull => "address_full",
            Self::Closing => "closing",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::ResponseTimeout => "response_timeout",
            Self::AcceptError => "accept_error",
        }
    }
}

/// The counters.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Refused::ALL.len()]);

impl Refusals {
    pub fn count(&self, reason: Refused) {
        self.0[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn get(&self, reason: Refused) -> u64 {
        self.0[reason as usize].load(Ordering::Relaxed)
    }

    /// Those that are not zero.
    pub fn view(&self) -> BTreeMap<&'static str, u64> {
        Refused::ALL
            .into_iter()
            .map(|reason| (reason.label(), self.get(reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}
