//! How many connections there may be: in all, of one organization, from one address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::rates::Rate;

/// A number of slots, counted by guards that give their slot back when dropped.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    taken: AtomicUsize,
    limit: usize,
}

/// One taken slot.
#[derive(Debug)]
pub struct SlotGuard(Arc<Counter>);

impl Slots {
    /// `limit` 0 is no limit.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counter {
            taken: AtomicUsize::new(0),
            limit,
        }))
    }

    /// Takes a slot, or `None` if all are taken.
    pub fn take(&self) -> Option<SlotGuard> {
        let limit = if self.0.limit == 0 {
            usize::MAX
        } else {
            self.0.limit
        };
        self.0
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < limit).then_some(taken + 1)
            })
            .ok()
            .map(|_| SlotGuard(Arc::clone(&self.0)))
    }

    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> usize {
        self.0.limit
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What counts as one remote address: an IPv4 address, or the /64 that an IPv6 site has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressKey(IpAddr);

impl From<IpAddr> for AddressKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let site = u128::from(address) & !u128::from(u64::MAX);
                Ipv6Addr::from(site).into()
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl From<AddressKey> for IpAddr {
    fn from(key: AddressKey) -> Self {
        key.0
    }
}

/// Slots per remote address. An address is known only while it has a slot.
#[derive(Debug, Clone)]
pub struct AddressSlots {
    limit: usize,
    taken: Arc<DashMap<AddressKey, usize>>,
}

/// One taken slot of an address.
#[derive(Debug)]
pub struct AddressSlotGuard {
    key: AddressKey,
    taken: Arc<DashMap<AddressKey, usize>>,
}

impl AddressSlots {
    /// `limit` 0 is no limit.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes a slot, or `None` if all of the address are taken.
    pub fn take(&self, key: AddressKey) -> Option<AddressSlotGuard> {
        let mut taken = self.taken.entry(key).or_insert(0);
        if self.limit != 0 && *taken >= self.limit {
            return None;
        }
        *taken += 1;
        drop(taken);
        Some(AddressSlotGuard {
            key,
            taken: Arc::clone(&self.taken),
        })
    }

    /// How many addresses have a slot.
    pub fn addresses(&self) -> usize {
        self.taken.len()
    }
}

impl Drop for AddressSlotGuard {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.taken.entry(self.key) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

/// A client's right to be here: its slots, and the rate that its messages are held against. It is
/// shared by all that belongs to one client; with the last of it the slots are free again.
#[derive(Debug)]
pub struct ConnectionPermit {
    pub rate: Arc<Rate>,
    pub(super) _slot: SlotGuard,
    pub(super) _address: AddressSlotGuard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_when_leases_are_dropped() {
        let slots = Slots::new(2);
        let first = slots.take().unwrap();
        let second = slots.take().unwrap();
        assert!(slots.take().is_none());
        drop(first);
        assert!(slots.take().is_some());
        drop(second);
        assert_eq!(slots.taken(), 0);
    }

    #[test]
    fn zero_is_unlimited() {
        let slots = Slots::new(0);
        let guards: Vec<_> = (0..1000).map(|_| slots.take().unwrap()).collect();
        assert_eq!(slots.taken(), guards.len());
    }

    fn key(address: &str) -> AddressKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn each_address_has_its_own_places_and_is_forgotten_without_any() {
        let slots = AddressSlots::new(1);
        let first = slots.take(key("10.0.0.1")).unwrap();
        assert!(slots.take(key("10.0.0.1")).is_none());
        let second = slots.take(key("10.0.0.2")).unwrap();
        assert_eq!(slots.addresses(), 2);
        drop(first);
        assert!(slots.take(key("10.0.0.1")).is_some());
        drop(second);
        assert_eq!(slots.addresses(), 0);
    }

    #[test]
    fn one_address_is_one_however_it_is_written_and_a_site_of_ipv6_is_one() {
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }
}
