//! Every setting of services and destinations goes in and comes back as it was.

use ipvs_ctl::model::{
    Destination, Family, Forwarding, Persistence, Protocol, Scheduler, ServiceFlags, ServiceKey,
    Table, Tunnel, TunnelChecksum, VirtualService,
};
use ipvs_ctl::plan::{Foreign, Operation, is_canonical, plan};

use crate::namespace::client;
use crate::objects::{apply, destination, entry, mark, numbered, reconcile, service, tcp};

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// Keys of every protocol and by mark, of both families, that no other number has.
fn keys(number: u16) -> Vec<ServiceKey> {
    let of_family = |family| {
        let address = numbered(family, number);
        let by_address = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
            .map(|protocol| ServiceKey::Address { protocol, address });
        let by_mark = mark(family, u32::from(number) + 1);
        by_address.into_iter().chain([by_mark])
    };
    FAMILIES.into_iter().flat_map(of_family).collect()
}

#[test]
fn every_scheduler_takes_every_protocol_and_family() {
    let mut client = client();
    let mut desired = Table::new();
    for (number, scheduler) in (0..).zip(Scheduler::KNOWN) {
        // `twos` came with Linux 5.13 and is a module that not every kernel's package has.
        if scheduler == "twos" {
            let probe = service(tcp("198.19.255.255:1"), scheduler);
            let operations =
                [Operation::NewService(probe.clone()), Operation::DelService(probe.key)];
            if !client.apply(&operations).unwrap().is_clean() {
                continue;
            }
        }
        desired.extend(keys(number).into_iter().map(|key| {
            let real = Destination::new(numbered(key.family(), 9000), Forwarding::Nat, 1);
            entry(service(key, scheduler), [real])
        }));
    }
    assert!(desired.len() >= 14 * 8);
    reconcile(&mut client, &desired);
}

#[test]
fn every_flag_and_persistence_comes_back_and_changes_in_place() {
    let mut client = client();
    let flags = [
        ServiceFlags::NONE,
        ServiceFlags::ONE_PACKET,
        ServiceFlags::SCHEDULER_1,
        ServiceFlags::SCHEDULER_2,
        ServiceFlags::SCHEDULER_3,
        ServiceFlags::SCHEDULER_1.with(ServiceFlags::SCHEDULER_2),
    ];
    let persistence = |prefix| Some(Persistence { timeout_s: 360, prefix });
    let longest = Persistence { timeout_s: Persistence::TIMEOUT_MAX_S, prefix: 32 };
    for family in FAMILIES {
        let prefixes = match family {
            Family::Ipv4 => [None, persistence(0), persistence(24), persistence(32), Some(longest)],
            Family::Ipv6 => {
                [None, persistence(1), persistence(64), persistence(128), Some(longest)]
            }
        };
        let key = ServiceKey::Address { protocol: Protocol::Udp, address: numbered(family, 1) };
        for flags in flags {
            for persistence in prefixes {
                let service = VirtualService { flags, persistence, ..service(key, "mh") };
                reconcile(&mut client, &Table::from([entry(service, [])]));
            }
        }
    }
}

#[test]
fn the_scheduler_changes_in_place() {
    let mut client = client();
    let key = tcp("192.0.2.1:80");
    for scheduler in Scheduler::KNOWN.into_iter().filter(|name| *name != "twos") {
        let real = [destination("10.0.0.1:80"), destination("10.0.0.2:80")];
        reconcile(&mut client, &Table::from([entry(service(key, scheduler), real)]));
    }
}

#[test]
fn the_persistence_engine_comes_and_goes() {
    let mut client = client();
    let key = ServiceKey::Address { protocol: Protocol::Udp, address: numbered(Family::Ipv4, 1) };
    let with_engine = VirtualService {
        persistence: Some(Persistence { timeout_s: 60, prefix: 32 }),
        persistence_engine: Some("sip".to_owned()),
        ..service(key, "rr")
    };
    let without = VirtualService { persistence_engine: None, ..with_engine.clone() };
    for service in [with_engine.clone(), without, with_engine] {
        reconcile(&mut client, &Table::from([entry(service, [])]));
    }
}

fn methods() -> Vec<Forwarding> {
    let mut methods =
        vec![Forwarding::Nat, Forwarding::Local, Forwarding::Direct, Forwarding::Bypass];
    let mut tunnels = vec![Tunnel::Ipip];
    for checksum in [TunnelChecksum::None, TunnelChecksum::Full, TunnelChecksum::Remote] {
        tunnels.push(Tunnel::Gue { port: 6080, checksum });
        tunnels.push(Tunnel::Gre { checksum });
    }
    methods.extend(tunnels.into_iter().map(Forwarding::Tunnel));
    methods
}

#[test]
fn every_forwarding_method_changes_into_every_other_in_place() {
    let mut client = client();
    for family in FAMILIES {
        let key = ServiceKey::Address { protocol: Protocol::Tcp, address: numbered(family, 1) };
        for before in methods() {
            for after in methods() {
                for forwarding in [before, after] {
                    let real = Destination::new(numbered(family, 2), forwarding, 1);
                    reconcile(&mut client, &Table::from([entry(service(key, "rr"), [real])]));
                }
            }
        }
    }
}

#[test]
fn weights_and_thresholds_come_back() {
    let mut client = client();
    let key = tcp("192.0.2.1:80");
    for weight in [0, 1, 65_536, Destination::WEIGHT_MAX] {
        for (upper_threshold, lower_threshold) in [(0, 0), (100, 0), (100, 75), (100, 100)] {
            let real = Destination {
                weight,
                upper_threshold,
                lower_threshold,
                ..destination("10.0.0.1:80")
            };
            reconcile(&mut client, &Table::from([entry(service(key, "wlc"), [real])]));
        }
    }
}

#[test]
fn a_tunnel_crosses_the_families_and_is_found_again() {
    let mut client = client();
    let tunnel = Forwarding::Tunnel(Tunnel::Ipip);
    let crossing = |weight| {
        Table::from([
            entry(
                service(tcp("192.0.2.1:80"), "rr"),
                [Destination::new("[2001:db8::1]:80".parse().unwrap(), tunnel, weight)],
            ),
            entry(
                service(tcp("[2001:db8::2]:80"), "rr"),
                [Destination::new("10.0.0.1:80".parse().unwrap(), tunnel, weight)],
            ),
        ])
    };
    reconcile(&mut client, &crossing(1));
    reconcile(&mut client, &crossing(5));
    let bare = ["192.0.2.1:80", "[2001:db8::2]:80"].map(|key| entry(service(tcp(key), "rr"), []));
    reconcile(&mut client, &Table::from(bare));
}

#[test]
fn the_kernel_lists_the_newest_destination_first_and_only_a_fresh_service_is_canonical() {
    let mut client = client();
    let key = tcp("192.0.2.1:80");
    let order = |client: &mut ipvs_ctl::client::Client| -> Vec<_> {
        let found = client.service(&key).unwrap().unwrap();
        found.destinations.iter().map(|status| status.destination.address).collect()
    };
    let hosts = ["10.0.0.3:80", "10.0.0.1:80", "10.0.0.4:80"].map(destination);
    let mut desired = Table::from([entry(service(key, "mh"), hosts)]);
    apply(&mut client, &plan(&desired, &Table::new(), Foreign::Remove));
    assert!(is_canonical(&order(&mut client)));
    let added = destination("10.0.0.2:80");
    let before = desired.clone();
    desired.get_mut(&key).unwrap().destinations.insert(added.address, added);
    apply(&mut client, &plan(&desired, &before, Foreign::Remove));
    assert_eq!(order(&mut client).first(), Some(&added.address));
    assert!(!is_canonical(&order(&mut client)));
}
