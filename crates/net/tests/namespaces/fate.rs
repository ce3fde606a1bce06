//! The fate channel's port and connections between two hosts.

use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use holdfast_net::{FateListener, FateRead, FateStream, VrrpSocket};
use vrrp::AddressFamily;

use crate::lab::{Pair, await_some};

const FAMILIES: [(AddressFamily, IpAddr); 2] = [
    (AddressFamily::Ipv4, IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2))),
    (AddressFamily::Ipv6, IpAddr::V6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2))),
];

/// Linux closes what a killed process has from the greatest number down: the port, what others watch, and only then what takes long.
#[test]
fn the_port_and_its_connections_are_the_first_that_end_with_their_process() {
    let pair = Pair::new();
    let (left, right) = (pair.left.interface("eth0"), pair.right.interface("eth0"));
    for (family, address) in FAMILIES {
        let mut listener =
            pair.right.enter(|| FateListener::open(&right, family, 112, 255).unwrap());
        let slow = pair.right.enter(|| VrrpSocket::open(&right, family).unwrap());
        let mut watcher =
            pair.left.enter(|| FateStream::connect(&left, address, 112, None).unwrap());
        let (held, from) = await_some(&mut listener, |listener| listener.accept().unwrap());
        assert_eq!(AddressFamily::of(from), family);
        let number = |descriptor: &dyn AsFd| descriptor.as_fd().as_raw_fd();
        assert!(number(&listener) > number(&held), "{family}");
        assert!(number(&held) > number(&slow), "{family}");
        held.say(b'+').unwrap();
        let read = |watcher: &mut FateStream| match watcher.read() {
            FateRead::Nothing => None,
            other => Some(other),
        };
        assert_eq!(await_some(&mut watcher, read), FateRead::Byte(b'+'));
        drop((listener, held));
        assert_eq!(await_some(&mut watcher, read), FateRead::Ended);
    }
}
