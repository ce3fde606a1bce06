//! What is kept of a service that a look at the kernel's table has found. Of one that is as it should be, as nearly all of a large table are at
//! nearly every look, that is next to nothing.

use std::net::SocketAddr;

use holdfast_engine::Connections;
use ipvs_ctl::model::{Counters, DestinationStatus, ServiceKey, ServiceStatus, Table};
use ipvs_ctl::plan::is_canonical;

/// A service, what the kernel counts of it, and whether it differs.
#[derive(Debug)]
pub(super) struct Found {
    /// Without its destinations where it is as desired, and where they were not read.
    pub(super) status: ServiceStatus,
    /// Whether nothing is to be changed; of destinations that were not read nothing is known otherwise.
    pub(super) is_as_desired: bool,
    /// The connections of its destinations: of those that have any.
    pub(super) counts: Vec<((ServiceKey, SocketAddr), Connections)>,
    /// What went to its destinations: to those that had anything.
    pub(super) shares: Vec<((ServiceKey, SocketAddr), Counters)>,
}

impl Found {
    /// What is kept of `status`, of which the destinations were `read` or not.
    pub(super) fn of(mut status: ServiceStatus, read: bool, desired: &Table) -> Self {
        let is_as_desired = is_as_desired(&status, read, desired);
        let counts =
            counts(&status).filter(|(_, count)| *count != Connections::default()).collect();
        let shares =
            shares(&status).filter(|(_, counters)| *counters != Counters::default()).collect();
        if is_as_desired {
            status.destinations = Vec::new();
        }
        Self { status, is_as_desired, counts, shares }
    }

    /// The key of the service.
    pub(super) const fn key(&self) -> ServiceKey {
        self.status.service.key
    }
}

fn is_as_desired(status: &ServiceStatus, read: bool, desired: &Table) -> bool {
    let Some(wanted) = desired.get(&status.service.key) else { return false };
    if wanted.service != status.service {
        return false;
    }
    let same = || {
        let is_wanted = |one: &DestinationStatus| {
            wanted.destinations.get(&one.destination.address) == Some(&one.destination)
        };
        status.destinations.len() == wanted.destinations.len()
            && status.destinations.iter().all(is_wanted)
    };
    let in_order = || status.order(desired).is_none_or(|(_, order)| is_canonical(&order));
    !read || (same() && in_order())
}

/// The connections of its destinations.
pub(super) fn counts(
    status: &ServiceStatus,
) -> impl Iterator<Item = ((ServiceKey, SocketAddr), Connections)> + '_ {
    status.destinations.iter().map(|one| {
        let count = Connections {
            active: one.active_connections.into(),
            inactive: one.inactive_connections.into(),
            persistent: one.persistent_connections.into(),
            packets: one.counters.packets_in,
        };
        ((status.service.key, one.destination.address), count)
    })
}

fn shares(
    status: &ServiceStatus,
) -> impl Iterator<Item = ((ServiceKey, SocketAddr), Counters)> + '_ {
    let key = status.service.key;
    status.destinations.iter().map(move |one| ((key, one.destination.address), one.counters))
}

#[cfg(test)]
mod tests {
    use ipvs_ctl::model::{Destination, Entry, Forwarding, Protocol, VirtualService};

    use super::*;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    /// A service with two destinations, as the kernel lists those that were added in order.
    fn listed(scheduler: &str) -> ServiceStatus {
        let virtual_address = SocketAddr::from(([192, 0, 2, 10], 80));
        let key = ServiceKey::Address { protocol: Protocol::Tcp, address: virtual_address };
        let destinations = [2, 1].map(|last| DestinationStatus {
            destination: Destination::new(address(last), Forwarding::Nat, 1),
            active_connections: u32::from(last == 1),
            inactive_connections: 0,
            persistent_connections: 0,
            counters: Counters::default(),
        });
        ServiceStatus {
            service: VirtualService::new(key, scheduler.parse().unwrap()),
            counters: Counters::default(),
            destinations: destinations.to_vec(),
        }
    }

    fn wanted(found: &ServiceStatus) -> Table {
        Table::from([(found.service.key, found.entry())])
    }

    #[test]
    fn of_what_is_as_it_should_be_the_counts_are_kept_alone() {
        for scheduler in ["wlc", "mh"] {
            let found = Found::of(listed(scheduler), true, &wanted(&listed(scheduler)));
            assert!(found.is_as_desired && found.status.destinations.is_empty());
            let counted: Vec<_> =
                found.counts.iter().map(|((_, to), count)| (*to, count.active)).collect();
            assert_eq!(counted, [(address(1), 1)]);
        }
    }

    #[test]
    fn whatever_differs_is_seen() {
        let found = listed("mh");
        let key = found.service.key;
        let differs = |wanted: &Table, found: ServiceStatus| {
            let found = Found::of(found, true, wanted);
            !found.is_as_desired && !found.status.destinations.is_empty()
        };
        let with = |change: fn(&mut Entry)| {
            let mut wanted = wanted(&listed("mh"));
            change(wanted.get_mut(&key).unwrap());
            wanted
        };
        assert!(differs(&Table::new(), listed("mh")), "somebody else's");
        for (what, change) in [
            ("a setting", (|one| one.service.scheduler = "sh".parse().unwrap()) as fn(&mut Entry)),
            ("a weight", |one| one.destinations.get_mut(&address(1)).unwrap().weight = 2),
            ("one too many", |one| {
                one.destinations.remove(&address(1));
            }),
            ("one too few", |one| {
                let third = Destination::new(address(3), Forwarding::Nat, 1);
                one.destinations.insert(third.address, third);
            }),
            ("another one", |one| {
                let mut other = one.destinations.remove(&address(1)).unwrap();
                other.address = address(3);
                one.destinations.insert(other.address, other);
            }),
        ] {
            assert!(differs(&with(change), listed("mh")), "{what}");
        }
        let mut turned = listed("mh");
        turned.destinations.reverse();
        assert!(differs(&wanted(&found), turned.clone()), "the order");
        turned.service.scheduler = "wlc".parse().unwrap();
        assert!(!differs(&wanted(&listed("wlc")), turned), "wlc has no order");
    }

    #[test]
    fn of_what_was_not_read_the_settings_alone_can_differ() {
        let unread = ServiceStatus { destinations: vec![], ..listed("mh") };
        assert!(Found::of(unread.clone(), false, &wanted(&listed("mh"))).is_as_desired);
        assert!(!Found::of(unread, false, &wanted(&listed("sh"))).is_as_desired);
    }
}
