//! Packets to virtual addresses are dropped, and neighbours are answered.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{SocketAddr, SocketAddrV6, TcpListener, TcpStream, UdpSocket};
use std::process::Command;

use holdfast_net::firewall::{self, Closed};

use crate::lab::{Namespace, PATIENCE, Pair, await_true};

fn closed(address: &str) -> Closed {
    let interfaces = BTreeSet::from(["eth0".to_owned()]);
    Closed { address: address.parse().unwrap(), interfaces }
}

/// Whether the host answers at `address`: it refuses a connection to a port where nobody listens.
fn answers(client: &Namespace, address: &str) -> bool {
    answers_within(client, address, PATIENCE)
}

/// Whether the host keeps silent at `address`, which takes a while.
fn is_silent(client: &Namespace, address: &str) -> bool {
    !answers_within(client, address, std::time::Duration::from_millis(300))
}

fn answers_within(client: &Namespace, address: &str, patience: std::time::Duration) -> bool {
    let at = match address.split_once('%') {
        Some((link_local, _)) => {
            let scope = client.interface("eth0").index.value();
            SocketAddr::V6(SocketAddrV6::new(link_local.parse().unwrap(), 9, 0, scope))
        }
        None => SocketAddr::new(address.parse().unwrap(), 9),
    };
    let error = client.enter(|| TcpStream::connect_timeout(&at, patience).unwrap_err());
    error.kind() == ErrorKind::ConnectionRefused
}

/// Whether the client finds the Ethernet address of `address`, which it does not know yet.
fn is_found(client: &Namespace, address: &str) -> bool {
    client.ip("neigh flush dev eth0");
    client.enter(|| {
        let any = if address.contains(':') { "[::]:0" } else { "0.0.0.0:0" };
        let socket = UdpSocket::bind(any).unwrap();
        let to = SocketAddr::new(address.parse().unwrap(), 9);
        socket.send_to(b"?", to).unwrap();
    });
    await_true("the neighbour is found", || {
        client.ip(&format!("neigh show {address} dev eth0")).contains("02:00:00:00:00:01")
    });
    true
}

#[test]
fn a_closed_address_answers_nothing_and_is_found_by_its_neighbours() {
    let pair = Pair::new();
    let vips = [("192.0.2.10", 24), ("2001:db8::10", 64)];
    for (vip, length) in vips {
        let nodad = if vip.contains(':') { "nodad" } else { "" };
        pair.left.ip(&format!("address add {vip}/{length} dev eth0 {nodad}"));
        assert!(answers(&pair.right, vip), "open without the table");
    }
    pair.left.ip("address add fe80::10/64 dev eth0 nodad");
    assert!(!pair.left.enter(|| firewall::is_closed().unwrap()));
    let all = ["192.0.2.10", "2001:db8::10", "fe80::10"].map(closed);
    pair.left.enter(|| firewall::close(&BTreeSet::from(all)).unwrap());
    assert!(pair.left.enter(|| firewall::is_closed().unwrap()));
    for (vip, _) in vips {
        assert!(is_silent(&pair.right, vip), "{vip}");
        assert!(answers(&pair.left, vip), "{vip}: from the host itself");
        assert!(is_found(&pair.right, vip), "{vip}");
        let at = SocketAddr::new(vip.parse().unwrap(), 8080);
        let _listener = pair.left.enter(|| TcpListener::bind(at).unwrap());
        let timeout = std::time::Duration::from_millis(300);
        let connected = pair.right.enter(|| TcpStream::connect_timeout(&at, timeout));
        assert_eq!(connected.unwrap_err().kind(), ErrorKind::TimedOut, "{vip}");
    }
    assert!(is_silent(&pair.right, "fe80::10%eth0"));
    for own in ["192.0.2.1", "2001:db8::1", "fe80::1%eth0"] {
        assert!(answers(&pair.right, own), "{own} is not virtual");
    }
    pair.left.enter(|| firewall::close(&BTreeSet::new()).unwrap());
    assert!(!pair.left.enter(|| firewall::is_closed().unwrap()));
    for (vip, _) in vips {
        assert!(answers(&pair.right, vip), "{vip}: open again");
    }
}

#[test]
fn another_table_is_left_alone_and_a_second_set_replaces_the_first() {
    let pair = Pair::new();
    pair.left.enter(|| {
        let added = Command::new("nft").args(["add", "table", "inet", "theirs"]).status().unwrap();
        assert!(added.success());
        firewall::close(&BTreeSet::from([closed("192.0.2.10")])).unwrap();
        firewall::close(&BTreeSet::from([closed("192.0.2.11")])).unwrap();
        let listed = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("192.0.2.11") && !listed.contains("192.0.2.10"), "{listed}");
        firewall::close(&BTreeSet::new()).unwrap();
        firewall::close(&BTreeSet::new()).unwrap();
        let listed = Command::new("nft").args(["list", "ruleset"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&listed.stdout).trim(), "table inet theirs {\n}");
    });
}
