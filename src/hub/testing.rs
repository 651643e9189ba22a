//! A hub and clients for the tests of its parts.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admission::AdmissionOptions;
use super::connection::{NewConnection, Protocol};
use super::outbound::Outbound;
use super::ports::{Deliver, Delivery};
use super::{AuthenticatedConnection, ConnectionGuard, Hub, HubOptions};
use crate::domain::error::CloseReason;
use crate::domain::event::Catalogue;
use crate::domain::grants::Principal;
use crate::domain::identity::{Identity, OrganizationId, UserId};
use crate::domain::time::testing::StoppedClock;

/// A client that takes everything and says nothing.
struct Sink;

impl Deliver for Sink {
    fn deliver(&self, _outbound: &Arc<Outbound>) -> Delivery {
        Delivery::Written
    }

    fn close(&self, _reason: CloseReason) {}

    fn tick(&self, _now: Instant) -> Option<CloseReason> {
        None
    }

    fn waiting(&self) -> usize {
        0
    }

    fn transport(&self) -> &'static str {
        "websocket"
    }
}

pub fn hub() -> Arc<Hub> {
    let options = HubOptions {
        admission: AdmissionOptions::default(),
        max_subscriptions_per_connection: 0,
        room_max_size: 0,
        auth_required: true,
        auth_timeout: Duration::from_hours(1),
        expiry_warning: Duration::ZERO,
    };
    Hub::new(
        options,
        Catalogue::new([], []).unwrap(),
        Arc::new(StoppedClock),
    )
}

pub fn connect(hub: &Arc<Hub>) -> ConnectionGuard {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    hub.connect(NewConnection {
        id: None,
        permit: hub.admission.admit(here).unwrap(),
        protocol: Protocol::Websocket,
        remote_address: here,
        deliver: Arc::new(Sink),
    })
}

pub fn principal(user: &str, organization: &str) -> Principal {
    Principal::unlimited(Identity {
        user: UserId::new(user).unwrap(),
        organization: OrganizationId::new(organization).unwrap(),
    })
}

pub fn join(hub: &Arc<Hub>, principal: Principal) -> AuthenticatedConnection {
    let joined = connect(hub).authenticate(principal, || {});
    joined.map_err(|(_, error)| error).unwrap()
}
