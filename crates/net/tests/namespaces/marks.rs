//! Packets get the marks of their ranges, and others none.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::num::NonZeroU32;
use std::process::Command;

use holdfast_net::marks::{self, Marked};

use crate::lab::{Namespace, PATIENCE, Pair};

fn tcp(first: &str, last: &str, ports: (u16, u16), mark: u32) -> Marked {
    Marked {
        protocol: 6,
        first: first.parse().unwrap(),
        last: last.parse().unwrap(),
        ports,
        mark: NonZeroU32::new(mark).unwrap(),
    }
}

fn nft(command: &str) -> String {
    let output = Command::new("nft").args(["--", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Whether a connection to a port where nobody listens is refused.
fn refused(from: &Namespace, address: &str, port: u16) -> bool {
    refused_within(from, address, port, PATIENCE)
}

/// Whether the packets of a connection are dropped, so that it is not refused for a while.
fn dropped(from: &Namespace, address: &str, port: u16) -> bool {
    !refused_within(from, address, port, std::time::Duration::from_millis(300))
}

fn refused_within(
    from: &Namespace,
    address: &str,
    port: u16,
    patience: std::time::Duration,
) -> bool {
    let at = SocketAddr::new(address.parse::<IpAddr>().unwrap(), port);
    let error = from.enter(|| TcpStream::connect_timeout(&at, patience).unwrap_err());
    error.kind() == ErrorKind::ConnectionRefused
}

#[test]
fn packets_of_a_range_are_marked_and_no_others() {
    let pair = Pair::new();
    for (vip, length) in [("192.0.2.10", 24), ("192.0.2.20", 24), ("192.0.2.21", 24)] {
        pair.left.ip(&format!("address add {vip}/{length} dev eth0"));
    }
    pair.left.ip("address add 2001:db8::10/64 dev eth0 nodad");
    let marked = BTreeSet::from([
        tcp("192.0.2.10", "192.0.2.20", (8000, 8999), 7),
        tcp("2001:db8::10", "2001:db8::1f", (0, 65535), 7),
        tcp("192.0.2.21", "192.0.2.21", (80, 80), 8),
    ]);
    let installed = pair.left.enter(|| {
        // Who is marked 7 is dropped: the mark can be seen from outside.
        nft("table inet theirs { chain in { type filter hook input priority 0; meta mark 7 drop; }; }");
        let installed = marks::replace(&marked).unwrap();
        assert_eq!(marks::listing().unwrap(), installed, "a listing is always the same");
        installed
    });
    assert!(installed.as_ref().is_some_and(|listing| listing.contains("8000-8999")));
    for from in [&pair.right, &pair.left] {
        for (address, port) in [
            ("192.0.2.10", 8000),
            ("192.0.2.20", 8999),
            ("2001:db8::10", 1),
            ("2001:db8::10", 65535),
        ] {
            assert!(dropped(from, address, port), "{address} {port}");
        }
        for (address, port) in [
            ("192.0.2.10", 7999),
            ("192.0.2.20", 9000),
            ("192.0.2.21", 8000),
            ("192.0.2.21", 80),
            ("2001:db8::1", 80),
        ] {
            assert!(refused(from, address, port), "{address} {port}");
        }
    }
    pair.left.enter(|| {
        marks::replace(&BTreeSet::from([tcp("192.0.2.21", "192.0.2.21", (80, 80), 7)])).unwrap();
        assert_ne!(marks::listing().unwrap(), installed);
    });
    assert!(refused(&pair.right, "192.0.2.10", 8000), "the old range is gone");
    assert!(dropped(&pair.right, "192.0.2.21", 80));
    pair.left.enter(|| {
        nft("delete table inet holdfast_marks");
        assert_eq!(marks::listing().unwrap(), None, "whoever deletes it is seen");
        assert_eq!(marks::replace(&BTreeSet::new()).unwrap(), None);
        assert_eq!(nft("list tables").trim(), "table inet theirs", "others' tables are left");
    });
}
