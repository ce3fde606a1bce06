//! What is kept of a service that a look at the kernel's table has found. Of one that is as it should be, as nearly all of a large table are at
//! nearly every look, that is next to nothing.

use std::net::SocketAddr;

use holdfast_engine::Connections;
use ipvs_ctl::model::{Counters, DestinationStatus, Entry, ServiceKey, ServiceStatus, Table};
use ipvs_ctl::plan::is_canonical;

/// A service, what the kernel counts of it, and what differs.
#[derive(Debug)]
pub(super) struct Found {
    /// Its key.
    pub(super) key: ServiceKey,
    /// What it counts itself.
    pub(super) counters: Counters,
    /// How it is, where something is to be changed.
    pub(super) differing: Option<Differing>,
    /// The connections of its destinations: of those that have any.
    pub(super) counts: Vec<((ServiceKey, SocketAddr), Connections)>,
    /// What went to its destinations: to those that had anything.
    pub(super) shares: Vec<((ServiceKey, SocketAddr), Counters)>,
}

/// A service that is not as desired.
#[derive(Debug)]
pub(super) struct Differing {
    /// How the kernel has it; without destinations where they were not read.
    pub(super) entry: Entry,
    /// Its destinations as the kernel lists them, where their order matters.
    pub(super) order: Option<Vec<SocketAddr>>,
}

impl Found {
    /// What is kept of `status`, of which the destinations were `read` or not. Of those that were not nothing is known to differ.
    pub(super) fn of(status: &ServiceStatus, read: bool, desired: &Table) -> Self {
        let order = status.order(desired).map(|(_, order)| order);
        let is_settled = !read || order.as_deref().is_none_or(is_canonical);
        let differs = !is_settled || !has_as_desired(status, read, desired);
        let differing = differs.then(|| Differing { entry: status.entry(), order });
        let counts = counts(status).filter(|(_, count)| *count != Connections::default());
        let shares = shares(status).filter(|(_, counters)| *counters != Counters::default());
        Self {
            key: status.service.key,
            counters: status.counters,
            differing,
            counts: counts.collect(),
            shares: shares.collect(),
        }
    }
}

/// Whether the service and, where they were `read`, its destinations have the settings that are desired.
fn has_as_desired(status: &ServiceStatus, read: bool, desired: &Table) -> bool {
    let Some(wanted) = desired.get(&status.service.key) else { return false };
    let is_wanted = |one: &DestinationStatus| {
        wanted.destinations.get(&one.destination.address) == Some(&one.destination)
    };
    let same = || {
        status.destinations.len() == wanted.destinations.len()
            && status.destinations.iter().all(is_wanted)
    };
    wanted.service == status.service && (!read || same())
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
    use ipvs_ctl::model::{Destination, Forwarding, Protocol, VirtualService};

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
            let found = Found::of(&listed(scheduler), true, &wanted(&listed(scheduler)));
            assert!(found.differing.is_none());
            let counted: Vec<_> =
                found.counts.iter().map(|((_, to), count)| (*to, count.active)).collect();
            assert_eq!(counted, [(address(1), 1)]);
        }
    }

    #[test]
    fn whatever_differs_is_seen() {
        let found = listed("mh");
        let key = found.service.key;
        let differs = |wanted: &Table, found: &ServiceStatus| {
            let differing = Found::of(found, true, wanted).differing;
            differing.is_some_and(|differing| differing.entry == found.entry())
        };
        let with = |change: fn(&mut Entry)| {
            let mut wanted = wanted(&listed("mh"));
            change(wanted.get_mut(&key).unwrap());
            wanted
        };
        assert!(differs(&Table::new(), &found), "somebody else's");
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
            assert!(differs(&with(change), &found), "{what}");
        }
        let mut turned = listed("mh");
        turned.destinations.reverse();
        assert!(differs(&wanted(&found), &turned), "the order");
        turned.service.scheduler = "wlc".parse().unwrap();
        assert!(!differs(&wanted(&listed("wlc")), &turned), "wlc has no order");
    }

    #[test]
    fn of_what_was_not_read_the_settings_alone_can_differ() {
        let unread = ServiceStatus { destinations: vec![], ..listed("mh") };
        assert!(Found::of(&unread, false, &wanted(&listed("mh"))).differing.is_none());
        assert!(Found::of(&unread, false, &wanted(&listed("sh"))).differing.is_some());
    }
}
