//! What the server did not do, counted by reason.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// Why something was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
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
    /// A page of an origin that is not allowed.
    Origin,
    /// A token or another claim to be somebody.
    Identity,
    /// A request without an API key that allows it.
    ApiKey,
    /// A TCP connection came from an address that had all that it may have.
    TcpAddressFull,
    /// A TCP connection came when the last file descriptors were left.
    Descriptors,
    /// A connection that waited for its peer was closed for the sake of another.
    GivenUp,
    /// A request had too many headers, or too long ones.
    HeadersTooLarge,
    /// What came was no HTTP request.
    MalformedRequest,
    /// There was no room left for a request's body.
    BufferLimit,
}

impl Rejection {
    pub const ALL: [Self; 20] = [
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
        Self::Origin,
        Self::Identity,
        Self::ApiKey,
        Self::TcpAddressFull,
        Self::Descriptors,
        Self::GivenUp,
        Self::HeadersTooLarge,
        Self::MalformedRequest,
        Self::BufferLimit,
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
            Self::Origin => "origin",
            Self::Identity => "identity",
            Self::ApiKey => "api_key",
            Self::TcpAddressFull => "tcp_address_full",
            Self::Descriptors => "descriptors",
            Self::GivenUp => "given_up",
            Self::HeadersTooLarge => "headers_too_large",
            Self::MalformedRequest => "malformed_request",
            Self::BufferLimit => "buffer_limit",
        }
    }

    /// Whether an operator is told even if nobody asks. Peers that are gone or late, and those that
    /// speak something else than HTTP, are daily bread.
    pub fn is_worth_a_warning(self) -> bool {
        !matches!(
            self,
            Self::Closing
                | Self::HeaderTimeout
                | Self::BodyTimeout
                | Self::ResponseTimeout
                | Self::MalformedRequest
        )
    }
}

/// The count of one reason.
#[derive(Debug, Default)]
struct Slot {
    total: AtomicU64,
    /// Of the total, what no report has had yet.
    unreported: AtomicU64,
    /// The first that is not reported yet.
    example: Mutex<Option<String>>,
}

/// What was refused for one reason since the last report.
#[derive(Debug, PartialEq, Eq)]
pub struct RejectionReport {
    pub reason: Rejection,
    pub count: u64,
    pub example: Option<String>,
}

/// The counters.
#[derive(Debug, Default)]
pub struct Rejections([Slot; Rejection::ALL.len()]);

impl Rejections {
    /// Counts one; `who` is what a log may say about it.
    pub fn count(&self, reason: Rejection, who: impl Display) {
        tracing::debug!(reason = reason.label(), %who, "refused");
        let slot = &self.0[reason as usize];
        slot.total.fetch_add(1, Ordering::Relaxed);
        if slot.unreported.fetch_add(1, Ordering::Relaxed) == 0 {
            *slot.example.lock() = Some(who.to_string());
        }
    }

    pub fn get(&self, reason: Rejection) -> u64 {
        self.0[reason as usize].total.load(Ordering::Relaxed)
    }

    /// Those that are not zero.
    pub fn counts(&self) -> BTreeMap<&'static str, u64> {
        Rejection::ALL
            .into_iter()
            .map(|reason| (reason.label(), self.get(reason)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// What came since this was last asked, each reason once.
    pub fn since_last_report(&self) -> Vec<RejectionReport> {
        let mut found = Vec::new();
        for reason in Rejection::ALL {
            let slot = &self.0[reason as usize];
            let count = slot.unreported.swap(0, Ordering::Relaxed);
            if count > 0 {
                let example = slot.example.lock().take();
                found.push(RejectionReport {
                    reason,
                    count,
                    example,
                });
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_rejections_make_one_line_of_a_report_with_the_first_as_its_example() {
        let rejections = Rejections::default();
        for at in 0..500 {
            rejections.count(Rejection::Origin, format_args!("http://{at}.example"));
        }
        rejections.count(Rejection::Closing, "10.0.0.1");
        let report = rejections.since_last_report();
        let reported: Vec<_> = report
            .iter()
            .map(|rejection| {
                (
                    rejection.reason,
                    rejection.count,
                    rejection.example.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            reported,
            [
                (Rejection::Closing, 1, Some("10.0.0.1")),
                (Rejection::Origin, 500, Some("http://0.example")),
            ]
        );
        assert_eq!(rejections.since_last_report(), []);
        rejections.count(Rejection::Origin, "http://again.example");
        assert_eq!(rejections.since_last_report()[0].count, 1);
        assert_eq!(rejections.get(Rejection::Origin), 501);
    }
}
