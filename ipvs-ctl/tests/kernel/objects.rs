//! Services, destinations and tables for the tests.

use std::net::SocketAddr;

use ipvs_ctl::client::{Client, Report};
use ipvs_ctl::model::{
    Destination, Entry, Family, Forwarding, Protocol, ServiceKey, Table, Tunnel, VirtualService,
};
use ipvs_ctl::plan::{Foreign, Operation, plan};

/// A key of TCP.
pub(crate) fn tcp(address: &str) -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: address.parse().unwrap() }
}

/// A key by firewall mark.
pub(crate) fn mark(family: Family, mark: u32) -> ServiceKey {
    ServiceKey::Fwmark { family, mark: mark.try_into().unwrap() }
}

/// A service without flags and persistence.
pub(crate) fn service(key: ServiceKey, scheduler: &str) -> VirtualService {
    VirtualService::new(key, scheduler.parse().unwrap())
}

/// A destination of weight 1 by NAT.
pub(crate) fn destination(address: &str) -> Destination {
    Destination::new(address.parse().unwrap(), Forwarding::Nat, 1)
}

/// A service with destinations, as it sits in a table.
pub(crate) fn entry(
    service: VirtualService,
    destinations: impl IntoIterator<Item = Destination>,
) -> (ServiceKey, Entry) {
    let destinations =
        destinations.into_iter().map(|destination| (destination.address, destination)).collect();
    (service.key, Entry { service, destinations })
}

/// An address of 198.18.0.0/15, which is set aside for tests, or of its IPv6 counterpart.
pub(crate) fn numbered(family: Family, number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    match family {
        Family::Ipv4 => SocketAddr::from(([198, 18, high, low], 80)),
        Family::Ipv6 => SocketAddr::from(([0x2001, 0x2, 0, 0, 0, 0, 0, number], 80)),
    }
}

/// Brings the kernel to `desired` and shows that it got there: nothing is refused, what is read is what was asked for, and a
/// second plan is empty. At a glance the table is the same, as far as a glance tells.
pub(crate) fn reconcile(client: &mut Client, desired: &Table) {
    let before = client.table().unwrap();
    let operations = plan(desired, &before, Foreign::Remove);
    let report = client.apply(&operations).unwrap();
    assert_clean(&report);
    assert_eq!(report.applied, operations.len());
    let after = client.table().unwrap();
    assert_eq!(after, *desired);
    assert_eq!(client.glance(|_, _| false).unwrap(), *desired);
    assert_eq!(client.glance(|_, _| true).unwrap(), glimpsed(desired));
    assert_eq!(plan(desired, &after, Foreign::Remove), []);
}

/// What the file of the kernel tells of `table`, and of services by mark, of which it doesn't, all.
fn glimpsed(table: &Table) -> Table {
    let mut table = table.clone();
    let by_address = |key: &ServiceKey| matches!(key, ServiceKey::Address { .. });
    for (_, entry) in table.iter_mut().filter(|(key, _)| by_address(key)) {
        for one in entry.destinations.values_mut() {
            let forwarding = match one.forwarding {
                Forwarding::Tunnel(_) => Forwarding::Tunnel(Tunnel::Ipip),
                Forwarding::Bypass => Forwarding::Nat,
                Forwarding::Nat | Forwarding::Local | Forwarding::Direct => one.forwarding,
            };
            *one = Destination::new(one.address, forwarding, one.weight);
        }
    }
    table
}

/// Applies operations of which none is refused.
pub(crate) fn apply(client: &mut Client, operations: &[Operation]) {
    let report = client.apply(operations).unwrap();
    assert_clean(&report);
}

fn assert_clean(report: &Report) {
    let refused: Vec<String> = report.errors.iter().map(ToString::to_string).collect();
    assert!(report.is_clean(), "{refused:#?}");
}
