//! Messages that another process sends in the kernel's name.

use std::net::IpAddr;

use holdfast_net::{Effect, Losses, RouteEvents};

use crate::lab::{Pair, await_some};
use crate::network::{add, items, nets, open};

/// What moves addresses and routes believes the kernel alone: else anybody with CAP_NET_ADMIN, in a container of the host's network say,
/// could have it think that its addresses are gone.
#[test]
fn another_processs_messages_of_addresses_routes_and_rules_are_not_believed() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let vips = items(&eth0, &nets(&["192.0.2.10/24", "2001:db8::10/64"]));
    assert_eq!(add(&mut network, &vips), vec![Ok(Effect::Done); 2]);
    while network.follow().unwrap() != Losses::default() {}
    let before = network.inventory().clone();
    let index = eth0.index.value().to_ne_bytes();
    // RTM_DELADDR with struct ifaddrmsg and IFA_LOCAL or IFA_ADDRESS; struct rtattr is length and type.
    for (family, prefix, kind, address) in [
        (2_u8, 24, 2_u8, vec![192, 0, 2, 10]),
        (10, 64, 1, "2001:db8::10".parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec()),
    ] {
        let mut forged = [[family, prefix, 0x80, 0], index].concat();
        forged.extend(u16::try_from(4 + address.len()).unwrap().to_ne_bytes());
        forged.extend([kind, 0]);
        forged.extend(address);
        pair.left.forge(&network, 21, &forged);
    }
    // RTM_DELLINK of the interface; RTM_DELROUTE and RTM_DELRULE with the daemon's mark (233) as their protocol.
    pair.left.forge(&network, 17, &[[0; 4], index, [0; 4], [0; 4]].concat());
    pair.left.forge(&network, 25, &[2, 0, 0, 0, 254, 233, 0, 1, 0, 0, 0, 0]);
    pair.left.forge(&network, 33, &[2, 0, 0, 0, 254, 0, 0, 1, 0, 0, 0, 0]);
    assert_eq!(network.follow().unwrap(), Losses::default());
    assert_eq!(*network.inventory(), before);
    // A word of the kernel's is believed, and comes behind theirs.
    pair.left.ip("address del 192.0.2.10/24 dev eth0");
    let lost = await_some(&mut network, |network| {
        let losses = network.follow().unwrap();
        (losses != Losses::default()).then_some(losses)
    });
    assert!(lost.addresses.contains(&"192.0.2.10".parse::<IpAddr>().unwrap()), "{lost:?}");
}

/// A route to everywhere that somebody else speaks of is no reason to look.
#[test]
fn another_processs_messages_of_routes_do_not_wake_who_watches_them() {
    let pair = Pair::new();
    let to = "198.51.100.0/24".parse().unwrap();
    let mut events = pair.left.enter(|| RouteEvents::open(to).unwrap());
    // RTM_NEWROUTE of 0.0.0.0/0 in the table main.
    pair.left.forge(&events, 24, &[2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
    assert!(!events.follow().unwrap().changed);
    pair.left.ip("route add 198.51.100.0/24 via 192.0.2.2");
    await_some(&mut events, |events| events.follow().unwrap().changed.then_some(()));
}
