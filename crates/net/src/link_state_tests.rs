//! What the kernel's messages mean, and which events they make.

use netlink_packet_core::Emitable;
use netlink_packet_route::link::LinkMessage;
use proptest::prelude::*;

use super::*;

fn index(index: u32) -> IfIndex {
    IfIndex::new(index).unwrap()
}

fn link(number: u32, name: &str, up: bool) -> Change {
    Change::Link {
        index: index(number),
        name: Some(name.to_owned()),
        admin_up: true,
        up,
        mac: None,
        mtu: Some(1500),
        loopback: false,
        port: None,
    }
}

fn plain(address: &str) -> InterfaceAddress {
    InterfaceAddress {
        address: address.parse().unwrap(),
        secondary: false,
        tentative: false,
        duplicate: false,
        deprecated: false,
        protocol: 0,
    }
}

fn address(number: u32, text: &str) -> Change {
    Change::Address(index(number), plain(text))
}

fn state(addresses: Vec<InterfaceAddress>) -> InterfaceState {
    let interface = Interface { index: index(2), name: "eth0".to_owned() };
    let (mac, port) = (None, None);
    let link = Link { interface, admin_up: true, up: true, mac, mtu: 1500, loopback: false, port };
    InterfaceState { link, addresses }
}

fn link_message(family: AddressFamily, flags: LinkFlags) -> Vec<u8> {
    let mut message = LinkMessage::default();
    message.header.interface_family = family;
    message.header.index = 7;
    message.header.flags = flags;
    message.attributes = vec![
        LinkAttribute::IfName("eth0".to_owned()),
        LinkAttribute::Mtu(9000),
        LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1]),
        LinkAttribute::Promiscuity(0),
    ];
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

#[test]
fn a_link_is_read_with_its_name_mac_mtu_and_state() {
    let flags = LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running;
    let expected = |up| Change::Link {
        index: index(7),
        name: Some("eth0".to_owned()),
        admin_up: true,
        up,
        mac: Some(MacAddress::new([2, 0, 0, 0, 0, 1])),
        mtu: Some(9000),
        loopback: false,
        port: None,
    };
    let unspec = AddressFamily::Unspec;
    assert_eq!(parse(RTM_NEWLINK, &link_message(unspec, flags)), Some(expected(true)));
    for missing in [LinkFlags::LowerUp, LinkFlags::Running] {
        let partial = link_message(unspec, flags.difference(missing));
        assert_eq!(parse(RTM_NEWLINK, &partial), Some(expected(false)));
    }
    let gone = link_message(unspec, LinkFlags::empty());
    assert_eq!(parse(RTM_DELLINK, &gone), Some(Change::LinkGone(index(7))));
}

#[test]
fn a_port_that_left_its_bridge_is_no_link_that_is_gone() {
    let message = link_message(AddressFamily::Bridge, LinkFlags::Up);
    assert_eq!(parse(RTM_DELLINK, &message), None);
    assert_eq!(parse(RTM_NEWLINK, &message), None);
}

/// A message about eth0, which has this master, of this kind.
fn port_message(master: u32, kind: &str) -> Vec<u8> {
    let mut message = link_message(AddressFamily::Unspec, LinkFlags::Up);
    let mut attribute = |kind: u16, value: &[u8]| {
        let length = u16::try_from(value.len() + 4).unwrap();
        message.extend([length.to_ne_bytes(), kind.to_ne_bytes()].concat());
        message.extend(value);
        message.resize(message.len().next_multiple_of(4), 0);
    };
    attribute(IFLA_MASTER, &master.to_ne_bytes());
    let word = [kind.as_bytes(), b"\0"].concat();
    let length = u16::try_from(word.len() + 4).unwrap();
    let inner = [&length.to_ne_bytes()[..], &IFLA_INFO_SLAVE_KIND.to_ne_bytes(), &word].concat();
    attribute(IFLA_LINKINFO, &inner);
    message
}

#[test]
fn a_port_is_read_with_its_master_and_who_is_in_a_vrf_is_none() {
    let port = |message: &[u8]| match parse(RTM_NEWLINK, message) {
        Some(Change::Link { port, .. }) => port,
        other => panic!("{other:?}"),
    };
    let kinds = [
        ("bridge", PortKind::Bridge),
        ("bond", PortKind::Bond),
        ("team", PortKind::Team),
        ("openvswitch", PortKind::OpenVswitch),
    ];
    for (word, kind) in kinds {
        let expected = Some(Port { master: index(3), kind });
        assert_eq!(port(&port_message(3, word)), expected, "{word}");
    }
    assert_eq!(port(&port_message(3, "vrf")), None);
    assert_eq!(port(&port_message(0, "bridge")), None, "no master");
    assert_eq!(port(&link_message(AddressFamily::Unspec, LinkFlags::Up)), None);
}

#[test]
fn a_message_without_a_name_leaves_a_port_what_it_is() {
    let mut interfaces = Interfaces::default();
    let enslaved = parse(RTM_NEWLINK, &port_message(3, "bridge")).unwrap();
    assert!(interfaces.apply(enslaved).is_some());
    let mut other =
        parse(RTM_NEWLINK, &link_message(AddressFamily::Unspec, LinkFlags::Up)).unwrap();
    let Change::Link { name, .. } = &mut other else { panic!("{other:?}") };
    let name = name.take();
    assert_eq!(interfaces.apply(other.clone()), None);
    let Change::Link { name: place, .. } = &mut other else { panic!("{other:?}") };
    *place = name;
    assert!(matches!(interfaces.apply(other), Some(LinkEvent::Link(Link { port: None, .. }))));
}

#[test]
fn an_attribute_that_a_newer_kernel_fills_differently_does_not_hide_the_link() {
    let mut message = link_message(AddressFamily::Unspec, LinkFlags::Up);
    // IFLA_PROMISCUITY (30) with one byte where four are expected today.
    message.truncate(message.len() - 8);
    message.extend([5u16.to_ne_bytes(), 30u16.to_ne_bytes()].concat());
    message.extend([1, 0, 0, 0]);
    assert!(parse(RTM_NEWLINK, &message).is_some());
}

fn address_message(local: &str, peer: &str, prefix_len: u8, flags: AddressFlags) -> Vec<u8> {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet6;
    message.header.index = 7;
    message.header.prefix_len = prefix_len;
    message.attributes = vec![
        AddressAttribute::Address(peer.parse().unwrap()),
        AddressAttribute::Local(local.parse().unwrap()),
        AddressAttribute::Flags(flags),
    ];
    let mut bytes = vec![0; message.buffer_len()];
    message.emit(&mut bytes);
    bytes
}

#[test]
fn an_address_is_the_local_one_and_not_the_peers() {
    let message = address_message("192.0.2.1", "192.0.2.2", 32, AddressFlags::Permanent);
    assert_eq!(parse(RTM_NEWADDR, &message), Some(address(7, "192.0.2.1/32")));
    assert_eq!(
        parse(RTM_DELADDR, &message),
        Some(Change::AddressGone(index(7), "192.0.2.1/32".parse().unwrap()))
    );
}

#[test]
fn an_optimistic_address_is_usable_and_a_tentative_or_duplicate_one_is_not() {
    let usable = |flags| match parse(RTM_NEWADDR, &address_message("fe80::1", "fe80::1", 64, flags))
    {
        Some(Change::Address(_, address)) => address.is_usable(),
        other => panic!("{other:?}"),
    };
    assert!(usable(AddressFlags::Permanent));
    assert!(usable(AddressFlags::Tentative | AddressFlags::Optimistic));
    assert!(!usable(AddressFlags::Tentative));
    assert!(!usable(AddressFlags::Dadfailed));
}

#[test]
fn an_impossible_prefix_length_is_not_understood() {
    let message = address_message("192.0.2.1", "192.0.2.1", 33, AddressFlags::Permanent);
    assert_eq!(parse(RTM_NEWADDR, &message), None);
}

#[test]
fn the_primary_address_is_no_virtual_one_and_no_secondary_one() {
    let mut secondary = plain("192.0.2.3/24");
    secondary.secondary = true;
    let state = state(vec![plain("192.0.2.10/24"), secondary, plain("198.51.100.1/24")]);
    let vip: IpAddr = "192.0.2.10".parse().unwrap();
    assert_eq!(state.primary_ipv4(&[].into()), Some(Ipv4Addr::new(192, 0, 2, 10)));
    assert_eq!(state.primary_ipv4(&[vip].into()), Some(Ipv4Addr::new(198, 51, 100, 1)));
    let others = [vip, "198.51.100.1".parse().unwrap()];
    assert_eq!(state.primary_ipv4(&others.into()), Some(Ipv4Addr::new(192, 0, 2, 3)));
}

#[test]
fn the_link_local_address_is_no_virtual_one_and_no_tentative_one() {
    let mut tentative = plain("fe80::1/64");
    tentative.tentative = true;
    let state =
        state(vec![plain("2001:db8::1/64"), tentative, plain("fe80::10/64"), plain("fe80::2/64")]);
    let vip: IpAddr = "fe80::10".parse().unwrap();
    assert_eq!(state.link_local(&[vip].into()), Some("fe80::2".parse().unwrap()));
    assert_eq!(state.link_local(&[vip, "fe80::2".parse().unwrap()].into()), None);
}

#[test]
fn a_repeated_message_is_no_event() {
    let mut interfaces = Interfaces::default();
    assert!(interfaces.apply(link(2, "eth0", true)).is_some());
    assert!(interfaces.apply(address(2, "192.0.2.1/24")).is_some());
    assert_eq!(interfaces.apply(link(2, "eth0", true)), None);
    assert_eq!(interfaces.apply(address(2, "192.0.2.1/24")), None);
    assert!(interfaces.apply(link(2, "eth0", false)).is_some());
}

#[test]
fn a_message_without_a_name_keeps_the_known_one() {
    let mut interfaces = Interfaces::default();
    let nameless = Change::Link {
        index: index(2),
        name: None,
        admin_up: true,
        up: false,
        mac: None,
        mtu: None,
        loopback: false,
        port: None,
    };
    assert_eq!(interfaces.apply(nameless.clone()), None);
    interfaces.apply(link(2, "eth0", true));
    let Some(LinkEvent::Link(changed)) = interfaces.apply(nameless) else { panic!() };
    assert_eq!((changed.interface.name.as_str(), changed.mtu, changed.up), ("eth0", 1500, false));
}

#[test]
fn what_belongs_to_no_known_interface_is_left_out() {
    let mut interfaces = Interfaces::default();
    assert_eq!(interfaces.apply(address(2, "192.0.2.1/24")), None);
    assert_eq!(interfaces.apply(Change::LinkGone(index(2))), None);
    assert_eq!(interfaces, Interfaces::default());
}

#[test]
fn an_interface_that_was_made_again_has_gone_before_it_comes() {
    let mut known = Interfaces::listed(vec![link(2, "eth0", true), address(2, "192.0.2.1/24")]);
    let target = Interfaces::listed(vec![link(9, "eth0", true)]);
    let events = known.become_like(&target);
    assert!(matches!(&events[0], LinkEvent::LinkRemoved(gone) if gone.index == index(2)));
    assert!(matches!(&events[1], LinkEvent::Link(new) if new.interface.index == index(9)));
    assert_eq!(events.len(), 2);
    assert_eq!(known.by_name("eth0").map(|state| state.link.interface.index), Some(index(9)));
}

fn any_change() -> impl Strategy<Value = Change> {
    let number = (1u32..4).prop_map(index);
    let text = prop::sample::select(vec!["192.0.2.1/24", "192.0.2.10/24", "fe80::1/64"]);
    let flags = any::<bool>();
    prop_oneof![
        (1u32..4, prop::sample::select(vec!["a", "b"]), any::<bool>())
            .prop_map(|(number, name, up)| link(number, name, up)),
        number.clone().prop_map(Change::LinkGone),
        (number.clone(), text.clone(), flags).prop_map(|(number, text, tentative)| {
            Change::Address(number, InterfaceAddress { tentative, ..plain(text) })
        }),
        (number, text).prop_map(|(n, text)| Change::AddressGone(n, text.parse().unwrap())),
    ]
}

/// The same interfaces, whatever the order of their addresses.
fn sorted(mut interfaces: Interfaces) -> Interfaces {
    for state in interfaces.by_index.values_mut() {
        state.addresses.sort_by_key(|one| one.address);
    }
    interfaces
}

/// What a caller knows who has only heard the events.
fn hear(heard: &mut Interfaces, events: impl IntoIterator<Item = LinkEvent>) {
    for event in events {
        match event {
            LinkEvent::Link(link) => drop(heard.apply_link(link)),
            LinkEvent::LinkRemoved(gone) => drop(heard.apply(Change::LinkGone(gone.index))),
            LinkEvent::Address { interface, address } => {
                heard.apply_address(interface.index, address);
            }
            LinkEvent::AddressRemoved { interface, address } => {
                heard.apply(Change::AddressGone(interface.index, address));
            }
        }
    }
}

proptest! {
    #[test]
    fn whoever_hears_the_events_knows_the_interfaces(
        before in prop::collection::vec(any_change(), 0..30),
        after in prop::collection::vec(any_change(), 0..30),
    ) {
        let (mut known, mut heard) = (Interfaces::default(), Interfaces::default());
        for change in before {
            hear(&mut heard, known.apply(change));
            prop_assert_eq!(&heard, &known);
        }
        let target = Interfaces::listed(after);
        hear(&mut heard, known.become_like(&target));
        prop_assert_eq!(&heard, &known);
        prop_assert_eq!(sorted(known.clone()), sorted(target.clone()));
        prop_assert!(known.become_like(&target).is_empty());
    }

    #[test]
    fn any_payload_is_read_without_a_panic(
        kind in 14u16..24,
        payload in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        drop(parse(kind, &payload));
    }

    /// Random bytes rarely have attributes; damaged messages do.
    #[test]
    fn a_damaged_message_is_read_without_a_panic(
        kind in 16u16..22,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
    ) {
        for mut message in [
            link_message(AddressFamily::Unspec, LinkFlags::Up),
            address_message("fe80::1", "fe80::1", 64, AddressFlags::Tentative),
        ] {
            for (place, byte) in &damage {
                let place = place.index(message.len());
                message[place] = *byte;
            }
            message.truncate(length.index(message.len() + 1));
            drop(parse(kind, &message));
        }
    }
}
