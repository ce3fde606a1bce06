//! Links and addresses are followed.

use std::net::IpAddr;

use holdfast_net::{
    IfIndex, Interface, InterfaceState, LinkEvent, LinkMonitor, MacAddress, Network, Watched, now,
    wait_until,
};
use ipnet::IpNet;

use crate::lab::{LEFT_MAC, Namespace, PATIENCE, Pair};
use crate::network::{add, items, remove};

/// A monitor whose first events have been read.
fn monitor(namespace: &Namespace) -> LinkMonitor {
    let mut monitor = namespace.enter(|| LinkMonitor::open().unwrap());
    drain(&mut monitor);
    monitor
}

fn drain(monitor: &mut LinkMonitor) -> Vec<LinkEvent> {
    std::iter::from_fn(|| monitor.recv().unwrap()).collect()
}

/// Waits for the event that `wanted` takes; others pass by.
fn await_event<T>(monitor: &mut LinkMonitor, wanted: impl Fn(LinkEvent) -> Option<T>) -> T {
    let deadline = now() + PATIENCE;
    loop {
        if let Some(event) = std::iter::from_fn(|| monitor.recv().unwrap()).find_map(&wanted) {
            return event;
        }
        assert!(now() < deadline, "it did not happen within {PATIENCE:?}");
        wait_until(&monitor.descriptors().collect::<Vec<_>>(), Some(deadline)).unwrap();
    }
}

/// Waits until the link named `name` is up, or isn't.
fn await_link(monitor: &mut LinkMonitor, name: &str, up: bool) -> IfIndex {
    await_event(monitor, |event| match event {
        LinkEvent::Link(link) if link.interface.name == name && link.up == up => {
            Some(link.interface.index)
        }
        _ => None,
    })
}

fn eth0(monitor: &LinkMonitor) -> &InterfaceState {
    monitor.interfaces().by_name("eth0").unwrap()
}

#[test]
fn what_is_there_is_told_first() {
    let pair = Pair::new();
    let mut monitor = pair.left.enter(|| LinkMonitor::open().unwrap());
    let events = drain(&mut monitor);
    let named = |wanted: &str| {
        events
            .iter()
            .any(|event| matches!(event, LinkEvent::Link(link) if link.interface.name == wanted))
    };
    assert!(named("lo") && named("eth0"), "{events:?}");
    let state = eth0(&monitor);
    assert_eq!(state.link.interface, pair.left.interface("eth0"));
    assert_eq!((state.link.mac, state.link.mtu), (Some(LEFT_MAC), 1500));
    assert!(state.link.admin_up && state.link.up);
    assert_eq!(state.primary_ipv4(&[].into()), Some([192, 0, 2, 1].into()));
    assert_eq!(state.link_local(&[].into()), Some("fe80::1".parse().unwrap()));
    let virtual_addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "fe80::1".parse().unwrap()];
    assert_eq!(state.primary_ipv4(&virtual_addresses.into()), None);
    assert_eq!(state.link_local(&virtual_addresses.into()), None);
}

#[test]
fn a_link_that_goes_down_by_command_or_by_its_peer_is_seen_and_seen_again() {
    let pair = Pair::new();
    let mut monitor = monitor(&pair.left);
    pair.left.ip("link set eth0 down");
    await_link(&mut monitor, "eth0", false);
    assert!(!eth0(&monitor).link.admin_up);
    pair.left.ip("link set eth0 up");
    await_link(&mut monitor, "eth0", true);
    pair.right.ip("link set eth0 down");
    await_link(&mut monitor, "eth0", false);
    assert!(eth0(&monitor).link.admin_up, "the carrier is lost, the administrator's wish is not");
    pair.right.ip("link set eth0 up");
    await_link(&mut monitor, "eth0", true);
}

#[test]
fn an_interface_that_was_made_again_has_another_index() {
    let pair = Pair::new();
    let mut monitor = monitor(&pair.left);
    let before = eth0(&monitor).link.interface.index;
    pair.left.ip("link delete eth0");
    let gone = await_event(&mut monitor, |event| match event {
        LinkEvent::LinkRemoved(interface) => Some(interface),
        _ => None,
    });
    assert_eq!(gone, Interface { index: before, name: "eth0".to_owned() });
    assert!(monitor.interfaces().by_name("eth0").is_none());
    pair.left.cable("eth0", &pair.right);
    let after = await_link(&mut monitor, "eth0", true);
    assert_ne!(after, before);
    assert!(monitor.interfaces().by_index(before).is_none());
}

#[test]
fn a_new_name_mac_or_mtu_is_an_event() {
    let pair = Pair::new();
    let mut monitor = monitor(&pair.left);
    pair.left.ip("link set eth0 mtu 1400");
    pair.left.ip("link set eth0 address 02:00:00:00:00:77");
    pair.left.ip("link set eth0 down");
    pair.left.ip("link set eth0 name wan0");
    let link = await_event(&mut monitor, |event| match event {
        LinkEvent::Link(link) if link.interface.name == "wan0" => Some(link),
        _ => None,
    });
    assert_eq!((link.mtu, link.mac), (1400, Some(MacAddress::new([2, 0, 0, 0, 0, 0x77]))));
}

#[test]
fn addresses_come_become_usable_and_go() {
    let pair = Pair::new();
    pair.left.sysctl("ipv6/conf/eth0/accept_dad", "1");
    let mut monitor = monitor(&pair.left);
    let wanted: IpNet = "2001:db8::77/64".parse().unwrap();
    pair.left.ip("address add 2001:db8::77/64 dev eth0");
    for tentative in [true, false] {
        await_event(&mut monitor, |event| match event {
            LinkEvent::Address { interface, address } if address.address == wanted => {
                assert_eq!(interface.name, "eth0");
                (address.tentative == tentative).then_some(())
            }
            _ => None,
        });
    }
    pair.left.ip("address del 2001:db8::77/64 dev eth0");
    await_event(&mut monitor, |event| match event {
        LinkEvent::AddressRemoved { address, .. } if address == wanted => Some(()),
        _ => None,
    });
}

#[test]
fn a_port_that_leaves_its_bridge_stays_an_interface() {
    let pair = Pair::new();
    let mut monitor = monitor(&pair.left);
    pair.left.ip("link add br0 type bridge");
    pair.left.ip("link set eth0 master br0");
    pair.left.ip("link set eth0 nomaster");
    pair.left.ip("link delete br0");
    await_event(&mut monitor, |event| match event {
        LinkEvent::LinkRemoved(interface) => {
            assert_eq!(interface.name, "br0");
            Some(())
        }
        _ => None,
    });
    assert!(eth0(&monitor).link.up);
}

/// Waits until the monitor has listed everything again; its events, and how many turns it took.
fn resynchronise(monitor: &mut LinkMonitor) -> (Vec<LinkEvent>, usize) {
    let before = monitor.resynchronisations();
    let (mut events, mut turns) = (Vec::new(), 0);
    let deadline = now() + PATIENCE;
    loop {
        turns += 1;
        events.extend(drain(monitor));
        let waits = wait_until(&monitor.descriptors().collect::<Vec<_>>(), Some(now())).unwrap();
        if monitor.resynchronisations() > before && !waits.contains(&true) {
            return (events, turns);
        }
        assert!(now() < deadline, "not within {PATIENCE:?}");
        wait_until(&monitor.descriptors().collect::<Vec<_>>(), Some(deadline)).unwrap();
    }
}

/// What the monitor knows is what there is.
fn assert_knows(monitor: &LinkMonitor, namespace: &Namespace) {
    let fresh = namespace.enter(|| LinkMonitor::open().unwrap());
    assert_eq!(monitor.interfaces().iter().count(), fresh.interfaces().iter().count());
    for (known, actual) in monitor.interfaces().iter().zip(fresh.interfaces().iter()) {
        assert_eq!(known.link, actual.link);
        assert_eq!(known.addresses.len(), actual.addresses.len());
        assert!(known.addresses.iter().all(|one| actual.addresses.contains(one)));
    }
}

#[test]
fn after_a_flood_that_the_queue_could_not_hold_everything_is_known_again() {
    let pair = Pair::new();
    let mut monitor = pair.left.enter(|| LinkMonitor::open_with_receive_buffer(1).unwrap());
    drain(&mut monitor);
    let mut network = pair.left.enter(|| Network::open(Watched::default()).unwrap());
    let net = |number: u32| IpNet::from(IpAddr::V4((0xc633_6400 + number).into()));
    let flood: Vec<IpNet> = (0..400).map(net).collect();
    let flood = items(&pair.left.interface("eth0"), &flood);
    assert!(add(&mut network, &flood).iter().all(Result::is_ok));
    assert!(remove(&mut network, &flood[..399]).iter().all(Result::is_ok));
    pair.left.ip("address del 192.0.2.1/24 dev eth0");

    let (events, _) = resynchronise(&mut monitor);
    assert_knows(&monitor, &pair.left);
    assert_eq!(eth0(&monitor).primary_ipv4(&[].into()), Some([198, 51, 101, 143].into()));
    let base: IpNet = "192.0.2.1/24".parse().unwrap();
    assert!(events.iter().any(
        |event| matches!(event, LinkEvent::AddressRemoved { address, .. } if *address == base)
    ));
}

/// A listing of thousands of addresses is read in turns, between which changes go on: those that it has read already, those that it has
/// still to read, and links.
#[test]
fn a_long_listing_takes_several_turns_and_what_changes_meanwhile_is_not_lost() {
    let pair = Pair::new();
    let eth0_is = pair.left.interface("eth0");
    let mut network = pair.left.enter(|| Network::open(Watched::default()).unwrap());
    let net = |number: u32| IpNet::from(IpAddr::V4((0x0a00_0000 + number).into()));
    let many: Vec<IpNet> = (0..6000).map(net).collect();
    let many = items(&eth0_is, &many);
    assert!(add(&mut network, &many).iter().all(Result::is_ok));
    let mut monitor = pair.left.enter(|| LinkMonitor::open_with_receive_buffer(1).unwrap());
    while !drain(&mut monitor).is_empty() {}
    // More than the queue holds.
    assert!(remove(&mut network, &many[..100]).iter().all(Result::is_ok));
    let before = monitor.resynchronisations();
    let (mut turns, mut removed) = (0, 100);
    let deadline = now() + PATIENCE;
    while monitor.resynchronisations() == before {
        assert!(now() < deadline, "not within {PATIENCE:?}");
        turns += 1;
        wait_until(&monitor.descriptors().collect::<Vec<_>>(), Some(deadline)).unwrap();
        drain(&mut monitor);
        if removed == 100 && monitor.descriptors().count() > 1 {
            // The listing is under way: one that it has had, one that it may have, one that is new.
            removed = 102;
            let (first, last) = (many[100].clone(), many[5999].clone());
            assert!(remove(&mut network, &[first, last]).iter().all(Result::is_ok));
            let new = items(&eth0_is, &["192.168.7.7/32".parse().unwrap()]);
            assert!(add(&mut network, &new).iter().all(Result::is_ok));
            pair.left.ip("link add new7 type veth peer name new8");
        }
    }
    assert_eq!(removed, 102, "the listing was never under way between two turns");
    assert!(turns > 2, "{turns} turns");
    while !drain(&mut monitor).is_empty() {}
    assert_knows(&monitor, &pair.left);
    assert!(monitor.interfaces().by_name("new7").is_some());
}

/// Any process with CAP_NET_ADMIN may send netlink messages to another.
#[test]
fn another_processs_messages_are_not_believed() {
    let pair = Pair::new();
    let mut monitor = monitor(&pair.left);
    let before = monitor.interfaces().clone();
    let index = eth0(&monitor).link.interface.index.value();
    // RTM_DELLINK with a struct ifinfomsg of this index.
    let forged = [[0; 4], index.to_ne_bytes(), [0; 4], [0; 4]].concat();
    pair.left.forge(&monitor.descriptors().next().unwrap(), 17, &forged);
    assert_eq!(drain(&mut monitor), []);
    assert_eq!(*monitor.interfaces(), before);
}
