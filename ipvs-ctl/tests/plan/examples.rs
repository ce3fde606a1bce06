//! Plans that an operator would recognise.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use ipvs_ctl::model::{
    Destination, Entry, Forwarding, Persistence, Protocol, Scheduler, ServiceFlags, ServiceKey,
    Table, Tunnel, TunnelChecksum, VirtualService,
};
use ipvs_ctl::plan::{Foreign, is_canonical, plan};

fn key(port: u16) -> ServiceKey {
    let address = SocketAddr::from(([192, 0, 2, 1], port));
    ServiceKey::Address { protocol: Protocol::Tcp, address }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 80))
}

/// A service with destinations by the last byte of their address and their weight.
fn service(port: u16, scheduler: &str, hosts: &[(u8, u32)]) -> (ServiceKey, Entry) {
    let destinations = hosts
        .iter()
        .map(|(host, weight)| Destination::new(address(*host), Forwarding::Direct, *weight))
        .map(|destination| (destination.address, destination))
        .collect();
    let scheduler = scheduler.parse::<Scheduler>().unwrap();
    (key(port), Entry { service: VirtualService::new(key(port), scheduler), destinations })
}

fn spoken(desired: &Table, kernel: &Table, foreign: Foreign<'_>) -> Vec<String> {
    plan(desired, kernel, foreign).iter().map(ToString::to_string).collect()
}

#[test]
fn a_service_is_programmed_from_nothing_in_ascending_order() {
    let desired = Table::from([service(80, "mh", &[(3, 1), (1, 1), (2, 1)])]);
    assert_eq!(
        spoken(&desired, &Table::new(), Foreign::Remove),
        [
            "add service tcp 192.0.2.1:80",
            "add destination 10.0.0.1:80 to tcp 192.0.2.1:80",
            "add destination 10.0.0.2:80 to tcp 192.0.2.1:80",
            "add destination 10.0.0.3:80 to tcp 192.0.2.1:80",
        ]
    );
}

#[test]
fn additions_and_raises_come_before_the_service_and_drops_and_removals_after() {
    let kernel = Table::from([service(80, "rr", &[(1, 5), (2, 1), (3, 1), (5, 1)])]);
    let desired = Table::from([service(80, "wlc", &[(1, 1), (2, 5), (4, 1), (5, 1)])]);
    assert_eq!(
        spoken(&desired, &kernel, Foreign::Remove),
        [
            "change destination 10.0.0.2:80 of tcp 192.0.2.1:80",
            "add destination 10.0.0.4:80 to tcp 192.0.2.1:80",
            "change service tcp 192.0.2.1:80",
            "change destination 10.0.0.1:80 of tcp 192.0.2.1:80",
            "remove destination 10.0.0.3:80 from tcp 192.0.2.1:80",
        ]
    );
}

#[test]
fn mh_has_its_fallback_while_a_destination_has_weight_0() {
    let plain = Table::from([service(80, "mh", &[(1, 1), (2, 1)])]);
    let mut drained = Table::from([service(80, "mh", &[(1, 0), (2, 1)])]);
    drained.get_mut(&key(80)).unwrap().service.flags = ServiceFlags::SCHEDULER_1;
    assert_eq!(
        spoken(&drained, &plain, Foreign::Remove),
        ["change service tcp 192.0.2.1:80", "change destination 10.0.0.1:80 of tcp 192.0.2.1:80"]
    );
    assert_eq!(
        spoken(&plain, &drained, Foreign::Remove),
        ["change destination 10.0.0.1:80 of tcp 192.0.2.1:80", "change service tcp 192.0.2.1:80"]
    );
}

#[test]
fn no_limit_is_more_than_any_limit() {
    let limited = |limit| {
        let mut table = Table::from([service(80, "rr", &[(1, 1), (2, 1)])]);
        let destinations = &mut table.get_mut(&key(80)).unwrap().destinations;
        destinations.get_mut(&address(1)).unwrap().upper_threshold = limit;
        table
    };
    let mut more = limited(0);
    more.get_mut(&key(80)).unwrap().service.scheduler = "wrr".parse().unwrap();
    let (lift, service) =
        ("change destination 10.0.0.1:80 of tcp 192.0.2.1:80", "change service tcp 192.0.2.1:80");
    assert_eq!(spoken(&more, &limited(100), Foreign::Remove), [lift, service]);
    assert_eq!(spoken(&limited(100), &more, Foreign::Remove), [service, lift]);
}

#[test]
fn forwarding_changes_in_place() {
    let kernel = Table::from([service(80, "rr", &[(1, 1)])]);
    let mut desired = kernel.clone();
    let destinations = &mut desired.get_mut(&key(80)).unwrap().destinations;
    destinations.get_mut(&address(1)).unwrap().forwarding = Forwarding::Nat;
    assert_eq!(
        spoken(&desired, &kernel, Foreign::Remove),
        ["change destination 10.0.0.1:80 of tcp 192.0.2.1:80"]
    );
}

#[test]
fn foreign_services_stay_but_for_those_we_made() {
    let kernel =
        Table::from([service(80, "rr", &[]), service(81, "rr", &[]), service(82, "rr", &[])]);
    let desired = Table::from([service(80, "rr", &[])]);
    let owned = BTreeSet::from([key(81)]);
    assert_eq!(
        spoken(&desired, &kernel, Foreign::Keep { owned: &owned }),
        ["remove service tcp 192.0.2.1:81"]
    );
    assert_eq!(
        spoken(&desired, &kernel, Foreign::Remove),
        ["remove service tcp 192.0.2.1:81", "remove service tcp 192.0.2.1:82"]
    );
}

#[test]
fn a_foreign_destination_in_our_service_goes() {
    let kernel = Table::from([service(80, "rr", &[(1, 1), (9, 1)])]);
    let desired = Table::from([service(80, "rr", &[(1, 1)])]);
    assert_eq!(
        spoken(&desired, &kernel, Foreign::Keep { owned: &BTreeSet::new() }),
        ["remove destination 10.0.0.9:80 from tcp 192.0.2.1:80"]
    );
}

#[test]
fn the_kernels_list_of_a_service_from_nothing_is_canonical() {
    assert!(is_canonical(&[]));
    assert!(is_canonical(&[address(3), address(2), address(1)]));
    assert!(!is_canonical(&[address(2), address(3), address(1)]));
}

#[test]
fn what_a_change_changes_is_told_setting_by_setting() {
    let (kernel, mut desired) = (service(80, "sh", &[(1, 5)]), service(80, "sh", &[(1, 1)]));
    let mut kernel = Table::from([kernel]);
    let there = kernel.get_mut(&key(80)).unwrap();
    there.service.scheduler = "mh".parse().unwrap();
    there.service.flags = ServiceFlags::ONE_PACKET.with(ServiceFlags::SCHEDULER_1);
    there.service.persistence = Some(Persistence { timeout_s: 50, prefix: 24 });
    let to = there.destinations.get_mut(&address(1)).unwrap();
    (to.upper_threshold, to.forwarding) = (9, Forwarding::Nat);
    let checksum = TunnelChecksum::Full;
    let tunnel = Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum });
    desired.1.destinations.get_mut(&address(1)).unwrap().forwarding = tunnel;
    let operations = plan(&Table::from([desired]), &kernel, Foreign::Remove);
    let told: Vec<Vec<String>> = operations
        .iter()
        .map(|operation| operation.unlike(&kernel).iter().map(ToString::to_string).collect())
        .collect();
    assert_eq!(
        told,
        [
            vec![
                "scheduler mh, should be sh",
                "scheduler flags fallback, should be none",
                "persistence 50 s, should be none",
                "one-packet on, should be off",
            ],
            vec![
                "weight 5, should be 1",
                "forwarding nat, should be tunnel",
                "tunnel none, should be gue to port 6080",
                "tunnel checksum none, should be full",
                "upper threshold 9, should be none",
            ],
        ]
    );
}
