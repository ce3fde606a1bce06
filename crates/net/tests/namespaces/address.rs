//! Virtual addresses come and go.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};

use holdfast_net::{Addition, AddressSocket, Interface, InterfaceAddress, Removal};
use ipnet::IpNet;
use nix::errno::Errno;

use crate::lab::{Namespace, Pair, without_capabilities};

fn open(namespace: &Namespace) -> (AddressSocket, Interface) {
    (namespace.enter(|| AddressSocket::open().unwrap()), namespace.interface("eth0"))
}

fn nets(addresses: &[&str]) -> Vec<IpNet> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

fn listed(addresses: &mut AddressSocket, eth0: &Interface, net: IpNet) -> Option<InterfaceAddress> {
    addresses.list(eth0).unwrap().into_iter().find(|one| one.address == net)
}

#[test]
fn addresses_are_added_once_and_removed_once_and_repeating_is_a_success() {
    let pair = Pair::new();
    let (mut addresses, eth0) = open(&pair.left);
    let before = addresses.list(&eth0).unwrap();
    let vips = nets(&["192.0.2.10/24", "198.51.100.1/32", "2001:db8::10/64", "fe80::10/128"]);
    assert_eq!(addresses.add(&eth0, &vips), vec![Ok(Addition::Added); 4]);
    assert_eq!(addresses.add(&eth0, &vips), vec![Ok(Addition::AlreadyPresent); 4]);
    for vip in &vips {
        let listed = listed(&mut addresses, &eth0, *vip).unwrap();
        assert!(listed.is_usable(), "{vip}");
        assert_eq!(listed.deprecated, vip.addr().is_ipv6(), "{vip}");
    }
    assert_eq!(addresses.list(&eth0).unwrap().len(), before.len() + 4);
    assert_eq!(addresses.remove(&eth0, &vips), vec![Ok(Removal::Removed); 4]);
    assert_eq!(addresses.remove(&eth0, &vips), vec![Ok(Removal::Absent); 4]);
    assert_eq!(addresses.list(&eth0).unwrap(), before);
}

#[test]
fn one_of_hundreds_that_fails_is_named_and_keeps_none_of_the_others_back() {
    let pair = Pair::new();
    let (mut addresses, eth0) = open(&pair.left);
    let mut vips: Vec<IpNet> = (0..400u32)
        .map(|number| match number % 2 {
            0 => IpNet::from(IpAddr::V4((0xc633_6400 + number).into())),
            _ => IpNet::from(IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(number)).into())),
        })
        .collect();
    let group: IpNet = "ff02::1/128".parse().unwrap();
    vips.insert(130, group);
    let results = addresses.add(&eth0, &vips);
    assert_eq!(results.len(), vips.len());
    for (vip, result) in vips.iter().zip(&results) {
        if *vip == group {
            let error = result.as_ref().unwrap_err().to_string();
            assert!(error.starts_with("add ff02::1/128 to eth0: E"), "{error}");
        } else if vip.addr() == "2001:db8::1".parse::<IpAddr>().unwrap() {
            assert_eq!(*result, Ok(Addition::AlreadyPresent));
        } else {
            assert_eq!(*result, Ok(Addition::Added), "{vip}");
        }
    }
    // The base addresses, two link-local and global, are among the listed.
    assert_eq!(addresses.list(&eth0).unwrap().len(), 399 + 3);
    vips.retain(|vip| *vip != group);
    let removals = addresses.remove(&eth0, &vips);
    assert!(removals.iter().all(Result::is_ok), "{removals:?}");
}

/// IFA_F_NODAD: without it the address would be tentative for a second or more.
#[test]
fn an_ipv6_address_is_usable_at_once() {
    let pair = Pair::new();
    pair.left.sysctl("ipv6/conf/eth0/accept_dad", "1");
    let (mut addresses, eth0) = open(&pair.left);
    pair.left.ip("address add 2001:db8::99/64 dev eth0");
    let control = listed(&mut addresses, &eth0, "2001:db8::99/64".parse().unwrap()).unwrap();
    assert!(control.tentative, "detection is on for addresses that are not ours");

    let vips = nets(&["2001:db8::10/64"]);
    assert_eq!(addresses.add(&eth0, &vips), [Ok(Addition::Added)]);
    let at: SocketAddr = "[2001:db8::10]:8080".parse().unwrap();
    let listener = pair.left.enter(|| TcpListener::bind(at).unwrap());
    let client = pair.right.enter(|| TcpStream::connect(at).unwrap());
    assert_eq!(client.peer_addr().unwrap(), at);
    drop(listener);
}

#[test]
fn a_virtual_address_is_not_chosen_as_a_source() {
    let pair = Pair::new();
    let (mut addresses, eth0) = open(&pair.left);
    // 2001:db8::3 shares more bits with ::2 than ::1 does, so RFC 6724 §5 rule 8 would choose it.
    let vips = nets(&["192.0.2.3/24", "2001:db8::3/64"]);
    assert_eq!(addresses.add(&eth0, &vips), vec![Ok(Addition::Added); 2]);
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
    let (mut addresses, eth0) = open(&pair.left);
    let vips = nets(&["192.0.2.10/24", "2001:db8::10/64"]);
    assert_eq!(addresses.add(&eth0, &vips), vec![Ok(Addition::Added); 2]);
    pair.left.ip("link delete eth0");
    assert_eq!(addresses.remove(&eth0, &vips), vec![Ok(Removal::Absent); 2]);
    assert_eq!(addresses.list(&eth0).unwrap(), []);
    for result in addresses.add(&eth0, &vips) {
        let error = result.unwrap_err();
        assert!(error.answer().is_interface_gone(), "{error}");
    }
}

#[test]
fn disabled_ipv6_and_a_missing_capability_are_named() {
    let pair = Pair::new();
    let (mut addresses, eth0) = open(&pair.left);
    pair.left.sysctl("ipv6/conf/eth0/disable_ipv6", "1");
    let results = addresses.add(&eth0, &nets(&["2001:db8::10/64"]));
    let error = results.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.answer().errno(), Errno::EACCES);
    assert!(error.to_string().contains("IPv6 is disabled on this interface"), "{error}");

    let results = pair.left.enter(|| {
        without_capabilities(|| {
            let mut addresses = AddressSocket::open().unwrap();
            addresses.add(&eth0, &nets(&["192.0.2.10/24"]))
        })
    });
    assert_eq!(
        results.into_iter().next().unwrap().unwrap_err().to_string(),
        "add 192.0.2.10/24 to eth0: EPERM (needs CAP_NET_ADMIN: run as root or grant it)"
    );
}
