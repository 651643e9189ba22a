//! How many connections there may be: in all, of one organization, from one address.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use super::rates::Rate;

/// A number of places, counted by leases that give their place back when dropped.
#[derive(Debug, Clone)]
pub struct Places(Arc<Counter>);

#[derive(Debug)]
struct Counter {
    taken: AtomicUsize,
    limit: usize,
}

/// One taken place.
#[derive(Debug)]
pub struct Lease(Arc<Counter>);

impl Places {
    /// `limit` 0 is no limit.
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Counter {
            taken: AtomicUsize::new(0),
            limit,
        }))
    }

    /// Takes a place, or `None` if all are taken.
    pub fn take(&self) -> Option<Lease> {
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
            .map(|_| Lease(Arc::clone(&self.0)))
    }

    pub fn taken(&self) -> usize {
        self.0.taken.load(Ordering::Relaxed)
    }

    pub fn limit(&self) -> usize {
        self.0.limit
    }
}

impl Drop for Lease {
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

/// Places per remote address. An address is known only while it has a lease.
#[derive(Debug, Clone)]
pub struct AddressPlaces {
    limit: usize,
    taken: Arc<DashMap<AddressKey, usize>>,
}

/// One taken place of an address.
#[derive(Debug)]
pub struct AddressLease {
    key: AddressKey,
    taken: Arc<DashMap<AddressKey, usize>>,
}

impl AddressPlaces {
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

    /// Takes a place, or `None` if all of the address are taken.
    pub fn take(&self, key: AddressKey) -> Option<AddressLease> {
        let mut taken = self.taken.entry(key).or_insert(0);
        if self.limit != 0 && *taken >= self.limit {
            return None;
        }
        *taken += 1;
        drop(taken);
        Some(AddressLease {
            key,
            taken: Arc::clone(&self.taken),
        })
    }

    /// How many addresses have a place.
    pub fn addresses(&self) -> usize {
        self.taken.len()
    }
}

impl Drop for AddressLease {
    fn drop(&mut self) {
        if let Entry::Occupied(mut taken) = self.taken.entry(self.key) {
            *taken.get_mut() -= 1;
            if *taken.get() == 0 {
                taken.remove();
            }
        }
    }
}

/// A client's right to be here: its places, and the rate that its messages are held against. It is
/// shared by all that belongs to one client; with the last of it the places are free again.
#[derive(Debug)]
pub struct ConnectionPermit {
    pub rate: Arc<Rate>,
    pub(super) _place: Lease,
    pub(super) _address: AddressLease,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_when_leases_are_dropped() {
        let places = Places::new(2);
        let first = places.take().unwrap();
        let second = places.take().unwrap();
        assert!(places.take().is_none());
        drop(first);
        assert!(places.take().is_some());
        drop(second);
        assert_eq!(places.taken(), 0);
    }

    #[test]
    fn zero_is_unlimited() {
        let places = Places::new(0);
        let leases: Vec<_> = (0..1000).map(|_| places.take().unwrap()).collect();
        assert_eq!(places.taken(), leases.len());
    }

    fn key(address: &str) -> AddressKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn each_address_has_its_own_places_and_is_forgotten_without_any() {
        let places = AddressPlaces::new(1);
        let first = places.take(key("10.0.0.1")).unwrap();
        assert!(places.take(key("10.0.0.1")).is_none());
        let second = places.take(key("10.0.0.2")).unwrap();
        assert_eq!(places.addresses(), 2);
        drop(first);
        assert!(places.take(key("10.0.0.1")).is_some());
        drop(second);
        assert_eq!(places.addresses(), 0);
    }

    #[test]
    fn one_address_is_one_however_it_is_written_and_a_site_of_ipv6_is_one() {
        assert_eq!(key("::ffff:10.0.0.1"), key("10.0.0.1"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }
}
