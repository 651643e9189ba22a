//! Who may come in: slots, and how fast clients and backends may knock.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::limits::{AddressKey, AddressSlots, ConnectionPermit, SlotGuard, Slots};
use super::rates::{KeyedRates, Rate, RateOptions};
use crate::domain::error::{ClientError, Code};
use crate::domain::identity::OrganizationId;
use crate::metrics::Metrics;
use crate::metrics::rejections::Rejection;

/// What the server takes in. A limit of 0 is no limit.
#[derive(Debug, Clone, Default)]
pub struct AdmissionOptions {
    pub max_connections_total: usize,
    pub max_connections_per_org: usize,
    pub max_connections_per_address: usize,
    pub handshakes_per_second: u32,
    pub handshakes_per_second_per_address: u32,
    /// Requests of backends, for each organization.
    pub requests_per_second: u32,
    /// Messages, for each connection.
    pub rate: RateOptions,
    /// What holds for some organizations in place of the above.
    pub organizations: HashMap<OrganizationId, OrganizationLimits>,
}

/// The limits of one organization; where there is none, the general one holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OrganizationLimits {
    pub max_connections: Option<usize>,
    pub messages_per_second: Option<u32>,
    pub messages_per_minute: Option<u32>,
    pub requests_per_second: Option<u32>,
}

/// Clients over the limit that are let in all the same, to be told why they can't stay.
const MAX_REFUSED_AT_ONCE: usize = 256;

/// How soon a client that found the server full should try again.
const RETRY_WHEN_FULL: Duration = Duration::from_secs(1);

/// The door of the hub.
pub struct AdmissionControl {
    options: AdmissionOptions,
    slots: Slots,
    addresses: AddressSlots,
    being_refused: Slots,
    handshakes: KeyedRates<()>,
    handshakes_by_address: KeyedRates<AddressKey>,
    requests: KeyedRates<OrganizationId>,
    requests_by_address: KeyedRates<AddressKey>,
    requests_of_some: HashMap<OrganizationId, KeyedRates<()>>,
    is_closed: AtomicBool,
    metrics: Arc<Metrics>,
}

impl AdmissionControl {
    pub(super) fn new(options: AdmissionOptions, metrics: Arc<Metrics>) -> Self {
        let requests_of_some = options
            .organizations
            .iter()
            .filter_map(|(organization, limits)| {
                let rates = KeyedRates::new(limits.requests_per_second?);
                Some((organization.clone(), rates))
            })
            .collect();
        Self {
            slots: Slots::new(options.max_connections_total),
            addresses: AddressSlots::new(options.max_connections_per_address),
            being_refused: Slots::new(MAX_REFUSED_AT_ONCE),
            handshakes: KeyedRates::new(options.handshakes_per_second),
            handshakes_by_address: KeyedRates::new(options.handshakes_per_second_per_address),
            requests: KeyedRates::new(options.requests_per_second),
            requests_by_address: KeyedRates::new(options.requests_per_second),
            requests_of_some,
            is_closed: AtomicBool::new(false),
            metrics,
            options,
        }
    }

    /// Counts a handshake, before any work is done for it. `RATE_LIMIT_EXCEEDED` if there are too
    /// many, of this address or in all.
    pub fn handshake(&self, address: IpAddr) -> Result<(), ClientError> {
        self.handshakes_by_address
            .check(&address.into())
            .and_then(|()| self.handshakes.check(&()))
            .map_err(|wait| {
                self.metrics.rejections.count(Rejection::Handshake, address);
                ClientError::rate_limited(wait)
            })
    }

    /// Gives a client its slots. `CONNECTION_LIMIT` if there is none, or the server shuts down.
    pub fn admit(&self, address: IpAddr) -> Result<Arc<ConnectionPermit>, ClientError> {
        let full = |reason, message: String| {
            self.metrics.rejections.count(reason, address);
            let mut error = ClientError::new(Code::ConnectionLimit, message);
            error.retry_after = Some(RETRY_WHEN_FULL);
            error
        };
        if self.is_closed.load(Ordering::Relaxed) {
            return Err(full(
                Rejection::Closing,
                "the server is shutting down".to_owned(),
            ));
        }
        let of_address = self.addresses.take(address.into()).ok_or_else(|| {
            let limit = self.addresses.limit();
            let message = format!("this address has its {limit} connections");
            full(Rejection::AddressFull, message)
        })?;
        let slot = self.slots.take().ok_or_else(|| {
            let limit = self.slots.limit();
            let message = format!("the server holds its {limit} connections");
            full(Rejection::ServerFull, message)
        })?;
        Ok(Arc::new(ConnectionPermit {
            rate: Arc::new(Rate::new(self.options.rate)),
            _slot: slot,
            _address: of_address,
        }))
    }

    /// A slot for a client that is let in only to be told that there is none for it.
    pub fn slot_to_refuse(&self) -> Option<SlotGuard> {
        self.being_refused.take()
    }

    /// The rate of a client without a permit.
    pub fn rate(&self) -> Arc<Rate> {
        Arc::new(Rate::new(self.options.rate))
    }

    /// Counts a request of a backend against the organization that it is about, or against the
    /// address that it comes from if it is about none.
    pub fn request(
        &self,
        organization: Option<&OrganizationId>,
        address: IpAddr,
    ) -> Result<(), ClientError> {
        self.requests(organization, address, 1)
    }

    /// As [`Self::request`], of one that is as much work as so many.
    pub fn requests(
        &self,
        organization: Option<&OrganizationId>,
        address: IpAddr,
        count: u32,
    ) -> Result<(), ClientError> {
        let checked = match organization {
            None => self
                .requests_by_address
                .check_several(&address.into(), count),
            Some(organization) => match self.requests_of_some.get(organization) {
                Some(rates) => rates.check_several(&(), count),
                None => self.requests.check_several(organization, count),
            },
        };
        checked.map_err(|wait| {
            match organization {
                Some(organization) => self
                    .metrics
                    .rejections
                    .count(Rejection::Request, organization),
                None => self.metrics.rejections.count(Rejection::Request, address),
            }
            ClientError::rate_limited(wait)
        })
    }

    /// How many connections an organization may have; 0 is no limit.
    pub(super) fn organization_slots(&self, organization: &OrganizationId) -> usize {
        self.limits_of(organization)
            .and_then(|limits| limits.max_connections)
            .unwrap_or(self.options.max_connections_per_org)
    }

    /// The rate of an organization's connections, if it is not the general one.
    pub(super) fn organization_rate(&self, organization: &OrganizationId) -> Option<RateOptions> {
        let limits = self.limits_of(organization)?;
        let general = self.options.rate;
        let rate = RateOptions {
            per_second: limits.messages_per_second.unwrap_or(general.per_second),
            burst: match limits.messages_per_second {
                // The general burst belongs to the general rate.
                Some(_) => 0,
                None => general.burst,
            },
            per_minute: limits.messages_per_minute.unwrap_or(general.per_minute),
            close_after: general.close_after,
        };
        (rate != general).then_some(rate)
    }

    fn limits_of(&self, organization: &OrganizationId) -> Option<&OrganizationLimits> {
        self.options.organizations.get(organization)
    }

    /// Takes in nobody any more.
    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }

    /// Clients that have a slot, whether they are connected or have only shaken hands.
    pub fn taken(&self) -> usize {
        self.slots.taken()
    }

    /// Remote addresses that have a slot.
    pub fn addresses(&self) -> usize {
        self.addresses.addresses()
    }

    /// Forgets what no longer matters. To be called once a second.
    pub(super) fn tick(&self) {
        self.handshakes_by_address.forget_idle();
        self.requests.forget_idle();
        self.requests_by_address.forget_idle();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(options: AdmissionOptions) -> AdmissionControl {
        let metrics = Metrics::new(0, std::time::Instant::now());
        AdmissionControl::new(options, Arc::new(metrics))
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn organization(id: &str) -> OrganizationId {
        OrganizationId::new(id).unwrap()
    }

    #[test]
    fn a_refused_client_takes_no_place() {
        let admission = control(AdmissionOptions {
            max_connections_total: 1,
            max_connections_per_address: 2,
            ..AdmissionOptions::default()
        });
        let permit = admission.admit(HERE).unwrap();
        for _ in 0..5 {
            let error = admission.admit(HERE).unwrap_err();
            assert_eq!(error.code, Code::ConnectionLimit);
            assert!(error.retry_after.is_some());
        }
        assert_eq!(admission.taken(), 1);
        drop(permit);
        assert_eq!((admission.taken(), admission.addresses()), (0, 0));
        assert!(admission.admit(HERE).is_ok());
        admission.close();
        assert_eq!(
            admission.admit(HERE).unwrap_err().code,
            Code::ConnectionLimit
        );
    }

    #[test]
    fn an_organization_may_have_limits_of_its_own() {
        let limits = OrganizationLimits {
            max_connections: Some(500),
            messages_per_second: Some(7),
            requests_per_second: Some(1),
            ..OrganizationLimits::default()
        };
        let admission = control(AdmissionOptions {
            max_connections_per_org: 100,
            requests_per_second: 2,
            rate: RateOptions {
                per_second: 100,
                burst: 200,
                per_minute: 9,
                close_after: Duration::ZERO,
            },
            organizations: HashMap::from([(organization("big"), limits)]),
            ..AdmissionOptions::default()
        });
        assert_eq!(admission.organization_slots(&organization("big")), 500);
        assert_eq!(admission.organization_slots(&organization("other")), 100);
        let rate = admission.organization_rate(&organization("big")).unwrap();
        assert_eq!((rate.per_second, rate.burst, rate.per_minute), (7, 0, 9));
        assert_eq!(admission.organization_rate(&organization("other")), None);

        let allowed = |organization: &OrganizationId| {
            (0..5)
                .filter(|_| admission.request(Some(organization), HERE).is_ok())
                .count()
        };
        assert_eq!(allowed(&organization("big")), 1);
        assert_eq!(allowed(&organization("other")), 2);
        assert!(admission.request(None, HERE).is_ok(), "counted by address");
    }
}
