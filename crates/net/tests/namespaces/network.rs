//! Addresses, routes and rules come and go, and are told from those of others.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use holdfast_net::{
    Change, Effect, Interface, Item, Losses, Network, NetworkError, Placed, Route, RouteKey,
    RouteKind, Rule, Scope, Watched,
};
use ipnet::IpNet;
use nix::errno::Errno;

use crate::lab::{Namespace, Pair, await_some, without_capabilities};

const ALL: Watched = Watched { routes: true, rules: true };

pub(crate) fn open(namespace: &Namespace) -> (Network, Interface) {
    (namespace.enter(|| Network::open(ALL).unwrap()), namespace.interface("eth0"))
}

pub(crate) fn nets(addresses: &[&str]) -> Vec<IpNet> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

pub(crate) fn items(on: &Interface, nets: &[IpNet]) -> Vec<Item> {
    nets.iter().map(|net| Item::Address(on.clone(), Placed::virtual_address(*net))).collect()
}

pub(crate) fn add(network: &mut Network, items: &[Item]) -> Vec<Result<Effect, NetworkError>> {
    network.change(&items.iter().cloned().map(Change::add).collect::<Vec<_>>())
}

pub(crate) fn remove(network: &mut Network, items: &[Item]) -> Vec<Result<Effect, NetworkError>> {
    network.change(&items.iter().cloned().map(Change::remove).collect::<Vec<_>>())
}

/// What another one that looks now sees.
fn seen(namespace: &Namespace) -> Network {
    namespace.enter(|| Network::open(ALL).unwrap())
}

fn route(to: &str, table: u32) -> Route {
    Route {
        key: RouteKey::new(to.parse().unwrap(), table, None),
        kind: RouteKind::Unicast,
        via: None,
        device: None,
        source: None,
        scope: Scope::GLOBAL,
        mtu: None,
        advmss: None,
        on_link: false,
    }
}

fn via(to: &str, hop: &str) -> Route {
    Route { via: Some(hop.parse().unwrap()), ..route(to, 254) }
}

fn rule(ipv6: bool, priority: u32) -> Rule {
    Rule::lookup(ipv6, priority, 1000)
}

#[test]
fn addresses_are_added_once_and_removed_once_and_repeating_is_a_success() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let before = network.inventory().clone();
    let vips = nets(&["192.0.2.10/24", "198.51.100.1/32", "2001:db8::10/64", "fe80::10/128"]);
    let vips = items(&eth0, &vips);
    assert_eq!(add(&mut network, &vips), vec![Ok(Effect::Done); 4]);
    assert_eq!(add(&mut network, &vips), vec![Ok(Effect::AlreadySo); 4]);
    let other = seen(&pair.left);
    for vip in &vips {
        let Item::Address(on, vip) = vip else { unreachable!() };
        let [there] = other.inventory().placed(vip.net.addr(), on.index) else {
            panic!("{vip} is there once")
        };
        assert!(there.marked, "{vip}");
        assert_eq!(there.deprecated, vip.net.addr().is_ipv6(), "{vip}");
    }
    assert_eq!(remove(&mut network, &vips), vec![Ok(Effect::Done); 4]);
    assert_eq!(remove(&mut network, &vips), vec![Ok(Effect::AlreadySo); 4]);
    assert_eq!(*seen(&pair.left).inventory(), before);
    network.follow().unwrap();
    assert_eq!(*network.inventory(), before, "what was heard is what there is");
}

/// Both families: what is not renewed goes, and is told; the route to the network, which others brought, stays as it is.
#[test]
fn an_address_with_a_lifetime_ends_unless_it_is_renewed() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let route = || pair.left.ip("-6 route show 2001:db8::/64 dev eth0");
    let before = route();
    let mortal = |net: &str, lifetime| {
        let mut placed = Placed::virtual_address(net.parse().unwrap());
        placed.routeless = network.inventory().has_own_route(eth0.index, placed.net);
        placed.lifetime = Some(lifetime);
        Item::Address(eth0.clone(), placed)
    };
    let short = [mortal("192.0.2.10/24", 1), mortal("2001:db8::10/64", 1)];
    // Long enough to be renewed before its end on any machine, and shorter than what is asked for below.
    let long = [mortal("192.0.2.11/24", 50), mortal("2001:db8::11/64", 50)];
    let longer = [mortal("192.0.2.11/24", 100), mortal("2001:db8::11/64", 100)];
    let Item::Address(_, routeless) = &short[1] else { unreachable!() };
    assert!(routeless.routeless);
    assert_eq!(add(&mut network, &[short, long.clone()].concat()), vec![Ok(Effect::Done); 4]);
    let renewed = network.change(&longer.map(Change::renew));
    assert_eq!(renewed, vec![Ok(Effect::Done); 2]);
    let mut gone = std::collections::BTreeSet::new();
    await_some(&mut network, |network| {
        gone.extend(network.follow().unwrap().addresses);
        (gone.len() >= 2).then_some(())
    });
    assert_eq!(gone, ["192.0.2.10", "2001:db8::10"].map(|one| one.parse().unwrap()).into());
    for item in &long {
        let Item::Address(on, placed) = item else { unreachable!() };
        let [there] = network.inventory().placed(placed.net.addr(), on.index) else {
            panic!("{placed} is there once")
        };
        assert!(there.lifetime.is_some_and(|left| left > 60), "{there:?}");
        assert_eq!(there.deprecated, placed.net.addr().is_ipv6(), "{there:?}");
    }
    assert_eq!(route(), before, "the route ends with no virtual address");
}

#[test]
fn an_address_has_its_label_and_scope_and_those_of_others_have_no_mark() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let mut vip = Placed::virtual_address("192.0.2.10/28".parse().unwrap());
    vip.label = Some("eth0:vip".to_owned());
    vip.scope = Scope::LINK;
    let item = Item::Address(eth0.clone(), vip.clone());
    assert_eq!(add(&mut network, &[item]), [Ok(Effect::Done)]);
    let listed = pair.left.ip("-4 address show dev eth0 label eth0:vip");
    assert!(listed.contains("inet 192.0.2.10/28 scope link eth0:vip"), "{listed}");
    let other = seen(&pair.left);
    assert_eq!(other.inventory().placed(vip.net.addr(), eth0.index), [vip]);
    let own = other.inventory().placed("192.0.2.1".parse().unwrap(), eth0.index);
    assert!(matches!(own, [Placed { marked: false, .. }]), "{own:?}");
}

#[test]
fn one_of_hundreds_that_fails_is_named_and_keeps_none_of_the_others_back() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let mut vips: Vec<IpNet> = (0..400u32)
        .map(|number| match number % 2 {
            0 => IpNet::from(IpAddr::V4((0xc633_6400 + number).into())),
            _ => IpNet::from(IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(number)).into())),
        })
        .collect();
    let group: IpNet = "ff02::1/128".parse().unwrap();
    vips.insert(130, group);
    let results = add(&mut network, &items(&eth0, &vips));
    assert_eq!(results.len(), vips.len());
    for (vip, result) in vips.iter().zip(&results) {
        if *vip == group {
            let error = result.as_ref().unwrap_err().to_string();
            assert!(error.starts_with("add ff02::1/128 to eth0: E"), "{error}");
        } else if vip.addr() == "2001:db8::1".parse::<IpAddr>().unwrap() {
            assert_eq!(*result, Ok(Effect::AlreadySo));
        } else {
            assert_eq!(*result, Ok(Effect::Done), "{vip}");
        }
    }
    let here = |network: &Network| {
        network.inventory().addresses().filter(|(index, _)| *index == eth0.index).count()
    };
    // The base addresses, two link-local and global, are among the listed.
    assert_eq!(here(&seen(&pair.left)), 399 + 3);
    assert_eq!(here(&network), 399 + 3);
    vips.retain(|vip| *vip != group);
    let removals = remove(&mut network, &items(&eth0, &vips));
    assert!(removals.iter().all(Result::is_ok), "{removals:?}");
}

/// IFA_F_NODAD: without it the address would be tentative for a second or more.
#[test]
fn an_ipv6_address_is_usable_at_once() {
    let pair = Pair::new();
    pair.left.sysctl("ipv6/conf/eth0/accept_dad", "1");
    // So many seconds.
    pair.left.sysctl("ipv6/conf/eth0/dad_transmits", "30");
    let (mut network, eth0) = open(&pair.left);
    pair.left.ip("address add 2001:db8::99/64 dev eth0");
    let control = pair.left.ip("-6 address show dev eth0 to 2001:db8::99");
    assert!(control.contains("tentative"), "detection is on for addresses that are not ours");

    let vips = items(&eth0, &nets(&["2001:db8::10/64"]));
    assert_eq!(add(&mut network, &vips), [Ok(Effect::Done)]);
    let at: SocketAddr = "[2001:db8::10]:8080".parse().unwrap();
    let listener = pair.left.enter(|| TcpListener::bind(at).unwrap());
    let client = pair.right.enter(|| TcpStream::connect(at).unwrap());
    assert_eq!(client.peer_addr().unwrap(), at);
    drop(listener);
}

#[test]
fn a_virtual_address_is_not_chosen_as_a_source() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    // 2001:db8::3 shares more bits with ::2 than ::1 does, so RFC 6724 §5 rule 8 would choose it.
    let vips = items(&eth0, &nets(&["192.0.2.3/24", "2001:db8::3/64"]));
    assert_eq!(add(&mut network, &vips), vec![Ok(Effect::Done); 2]);
    for (any, peer, source) in
        [("0.0.0.0:0", "192.0.2.2:9", "192.0.2.1"), ("[::]:0", "[2001:db8::2]:9", "2001:db8::1")]
    {
        let chosen = pair.left.enter(|| {
            let socket = UdpSocket::bind(any).unwrap();
            socket.connect(peer).unwrap();
            socket.local_addr().unwrap().ip()
        });
        assert_eq!(chosen, source.parse::<IpAddr>().unwrap());
    }
}

#[test]
fn an_interface_that_is_gone_has_no_addresses_and_takes_none() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let vips = items(&eth0, &nets(&["192.0.2.10/24", "2001:db8::10/64"]));
    assert_eq!(add(&mut network, &vips), vec![Ok(Effect::Done); 2]);
    pair.left.ip("link delete eth0");
    assert!(network.follow().unwrap().others);
    assert_eq!(network.inventory().device("eth0"), None);
    assert_eq!(network.inventory().addresses().filter(|(on, _)| *on == eth0.index).count(), 0);
    assert_eq!(remove(&mut network, &vips), vec![Ok(Effect::AlreadySo); 2]);
    for result in add(&mut network, &vips) {
        let error = result.unwrap_err();
        assert!(error.answer().is_interface_gone(), "{error}");
    }
}

#[test]
fn a_renamed_interface_has_its_new_name_alone() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    pair.left.ip("link set eth0 down");
    pair.left.ip("link set eth0 name lan0");
    network.follow().unwrap();
    assert_eq!(network.inventory().device("eth0"), None);
    assert_eq!(network.inventory().device("lan0").unwrap().interface.index, eth0.index);
}

#[test]
fn disabled_ipv6_and_a_missing_capability_are_named() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    pair.left.sysctl("ipv6/conf/eth0/disable_ipv6", "1");
    let results = add(&mut network, &items(&eth0, &nets(&["2001:db8::10/64"])));
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.answer().errno(), Errno::EACCES);
    assert!(error.to_string().contains("IPv6 is disabled on this interface"), "{error}");

    let results = pair.left.enter(|| {
        without_capabilities(|| {
            let mut network = Network::open(ALL).unwrap();
            add(&mut network, &items(&eth0, &nets(&["192.0.2.10/24"])))
        })
    });
    assert_eq!(
        results.into_iter().next().unwrap().unwrap_err().to_string(),
        "add 192.0.2.10/24 to eth0: EPERM (needs CAP_NET_ADMIN: run as root or grant it)"
    );
}

#[test]
fn routes_come_as_they_are_asked_for_and_go() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let mut whole = via("10.0.0.0/8", "192.0.2.2");
    whole.key = RouteKey::new(whole.key.to, 1000, Some(7));
    (whole.source, whole.mtu) = (Some("192.0.2.1".parse().unwrap()), Some(1400));
    whole.advmss = Some(1360);
    let mut off_link = via("10.9.0.0/16", "198.51.100.1");
    (off_link.device, off_link.on_link) = (Some(eth0.index), true);
    let mut off_link_6 = via("2001:db8:9::/48", "2001:db8:ff::1");
    (off_link_6.device, off_link_6.on_link) = (Some(eth0.index), true);
    let mut on_link = route("198.18.0.0/15", 254);
    (on_link.device, on_link.scope) = (Some(eth0.index), Scope::LINK);
    let mut hole = route("10.1.0.0/16", 254);
    hole.kind = RouteKind::Blackhole;
    let mut hole_6 = route("2001:db8:1::/48", 254);
    hole_6.kind = RouteKind::Unreachable;
    let routes = [
        whole,
        off_link,
        off_link_6,
        on_link,
        hole,
        hole_6,
        via("0.0.0.0/0", "192.0.2.2"),
        via("::/0", "2001:db8::2"),
    ];
    let items: Vec<Item> = routes.iter().cloned().map(Item::Route).collect();
    let results = add(&mut network, &items);
    assert!(results.iter().all(|result| *result == Ok(Effect::Done)), "{results:?}");
    let other = seen(&pair.left);
    for route in &routes {
        let present = other.inventory().route(&route.key).unwrap_or_else(|| panic!("{route:?}"));
        assert!(route.is_met_by(present), "{route:?} against {present:?}");
    }
    assert_eq!(other.inventory().routes().count(), routes.len());
    let listed = pair.left.ip("route show table 1000 proto 233");
    assert!(listed.contains("10.0.0.0/8 via 192.0.2.2"), "{listed}");
    assert_eq!(remove(&mut network, &items), vec![Ok(Effect::Done); items.len()]);
    assert_eq!(remove(&mut network, &items), vec![Ok(Effect::AlreadySo); items.len()]);
    assert_eq!(seen(&pair.left).inventory().routes().count(), 0);
}

#[test]
fn a_route_of_somebody_else_is_neither_replaced_nor_removed() {
    let pair = Pair::new();
    let (mut network, _) = open(&pair.left);
    for (add_it, ours) in [
        ("route add default via 192.0.2.2", via("0.0.0.0/0", "192.0.2.1")),
        ("-6 route add default via 2001:db8::2", via("::/0", "2001:db8::3")),
    ] {
        pair.left.ip(add_it);
        let item = Item::Route(ours.clone());
        let error =
            add(&mut network, std::slice::from_ref(&item)).remove(0).unwrap_err().to_string();
        assert!(error.contains("it is left alone"), "{error}");
        assert_eq!(remove(&mut network, &[item]), [Ok(Effect::AlreadySo)]);
    }
    assert!(pair.left.ip("route show default").contains("via 192.0.2.2"));
    assert!(pair.left.ip("-6 route show default").contains("via 2001:db8::2"));
}

#[test]
fn rules_come_as_they_are_asked_for_and_go_and_those_of_others_stay() {
    let pair = Pair::new();
    let (mut network, _) = open(&pair.left);
    let mut whole = rule(false, 100);
    whole.from = Some("192.0.2.10/32".parse().unwrap());
    whole.to = Some("10.0.0.0/8".parse().unwrap());
    (whole.iif, whole.oif) = (Some("eth0".to_owned()), Some("absent0".to_owned()));
    whole.mark = Some((16, 255));
    let mut whole_6 = rule(true, 100);
    whole_6.from = Some("2001:db8::10/128".parse().unwrap());
    let mut rules = vec![whole, whole_6, rule(false, 101), rule(true, 101)];
    for ipv6 in [false, true] {
        rules.push(Rule {
            inverted: true,
            protocol: Some(6),
            source_ports: Some((1024, 65534)),
            destination_ports: Some((443, 443)),
            users: Some((0, 33)),
            suppress_prefix_length: Some(0),
            ..Rule::lookup(ipv6, 102, 254)
        });
        for kind in [RouteKind::Blackhole, RouteKind::Unreachable, RouteKind::Prohibit] {
            let from = Some(if ipv6 { "2001:db8::/32" } else { "10.0.0.0/8" }.parse().unwrap());
            rules.push(Rule { kind, from, table: None, ..rule(ipv6, 103) });
        }
    }
    pair.left.ip("rule add priority 101 table 1000");
    let items: Vec<Item> = rules.iter().cloned().map(Item::Rule).collect();
    assert_eq!(add(&mut network, &items), vec![Ok(Effect::Done); rules.len()]);
    assert_eq!(add(&mut network, &items), vec![Ok(Effect::AlreadySo); rules.len()]);
    for family in ["", "-6 "] {
        let listed = pair.left.ip(&format!("{family}rule show"));
        let says = "102:\tnot from all ipproto tcp sport 1024-65534 dport 443 uidrange 0-33 lookup main suppress_prefixlength 0 proto 233";
        let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        for word in squeezed(says).split(' ') {
            let line = listed.lines().find(|line| line.starts_with("102:")).unwrap();
            assert!(line.contains(word), "{word} in {line}");
        }
        for kind in ["blackhole", "unreachable", "prohibit"] {
            assert!(listed.lines().any(|l| l.starts_with("103:") && l.contains(kind)), "{listed}");
        }
    }
    let mut expected = rules.to_vec();
    expected.sort();
    assert_eq!(seen(&pair.left).inventory().rules().cloned().collect::<Vec<_>>(), expected);
    assert_eq!(remove(&mut network, &items), vec![Ok(Effect::Done); rules.len()]);
    assert_eq!(remove(&mut network, &items), vec![Ok(Effect::AlreadySo); rules.len()]);
    let listed = pair.left.ip("rule show priority 101");
    assert_eq!(listed.lines().count(), 1, "the one of somebody else: {listed}");
}

#[test]
fn what_others_take_away_is_told() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let mut all = items(&eth0, &nets(&["198.51.100.1/32", "2001:db8::10/128"]));
    all.push(Item::Route(via("10.0.0.0/8", "192.0.2.2")));
    all.push(Item::Rule(rule(true, 100)));
    assert_eq!(add(&mut network, &all), vec![Ok(Effect::Done); 4]);
    let follow = |network: &mut Network| {
        await_some(network, |network| {
            let losses = network.follow().unwrap();
            (losses != Losses::default()).then_some(losses)
        })
    };
    for vip in ["198.51.100.1/32", "2001:db8::10/128"] {
        pair.left.ip(&format!("address del {vip} dev eth0"));
        let addresses = follow(&mut network).addresses;
        assert!(addresses.contains(&vip.parse::<IpNet>().unwrap().addr()), "{addresses:?}");
    }
    pair.left.ip("route del 10.0.0.0/8 proto 233");
    assert!(follow(&mut network).others);
    assert_eq!(network.inventory().routes().count(), 0);
    pair.left.ip("-6 rule del priority 100");
    assert!(follow(&mut network).others);
    assert_eq!(network.inventory().rules().count(), 0);
}

/// The kernel flushes IPv4 routes with their interface or preferred source and says nothing.
#[test]
fn a_route_that_goes_without_a_word_is_missed() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let mut by_source = via("10.0.0.0/8", "192.0.2.2");
    by_source.source = Some("192.0.2.10".parse().unwrap());
    let mut all = items(&eth0, &nets(&["192.0.2.10/24"]));
    all.push(Item::Route(by_source));
    all.push(Item::Route(via("10.9.0.0/16", "192.0.2.2")));
    assert_eq!(add(&mut network, &all), vec![Ok(Effect::Done); 3]);
    pair.left.ip("address del 192.0.2.10/24 dev eth0");
    network.follow().unwrap();
    assert!(network.recheck().unwrap());
    assert_eq!(network.inventory().routes().count(), 1, "the preferred source went");
    assert!(!network.recheck().unwrap(), "once");
    pair.left.ip("link set eth0 down");
    network.follow().unwrap();
    assert!(network.recheck().unwrap());
    assert_eq!(network.inventory().routes().count(), 0, "the interface went down");
}

#[test]
fn a_route_that_somebody_replaces_is_missed() {
    let pair = Pair::new();
    let (mut network, _) = open(&pair.left);
    let ours = [Item::Route(via("10.0.0.0/8", "192.0.2.2"))];
    assert_eq!(add(&mut network, &ours), [Ok(Effect::Done)]);
    pair.left.ip("route replace 10.0.0.0/8 via 192.0.2.3");
    assert!(network.follow().unwrap().others);
    assert_eq!(network.inventory().routes().count(), 0);
}

/// More messages than the queue holds.
#[test]
fn after_an_overrun_everything_is_listed_again() {
    let pair = Pair::new();
    let (mut network, eth0) = open(&pair.left);
    let flood: Vec<IpNet> =
        (0..2000u32).map(|number| IpNet::from(IpAddr::V4((0x0a00_0000 + number).into()))).collect();
    let flood = items(&eth0, &flood);
    let mut other = seen(&pair.left);
    let mut overrun = false;
    for _ in 0..40 {
        assert!(add(&mut other, &flood).iter().all(Result::is_ok));
        assert!(remove(&mut other, &flood).iter().all(Result::is_ok));
    }
    pair.left.ip("address add 198.51.100.77/32 dev eth0");
    for _ in 0..200 {
        overrun |= network.follow().unwrap().everything;
    }
    assert!(overrun);
    assert!(network.inventory() == seen(&pair.left).inventory(), "what there is");
}
