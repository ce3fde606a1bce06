//! What virtual routers do together, on a virtual LAN (`testkit::lan`): the invariants that no single machine can show. Each
//! test runs many seeds; a failure prints its seed, and `HOLDFAST_LAN_SEED=<seed>` repeats that run alone; `HOLDFAST_LAN_SEEDS=<count>`
//! runs more of them.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod deaths;
mod election;
mod handover;
mod hostile;
mod killed;
mod standstill;
mod storm;

use std::net::IpAddr;
use std::time::Duration;

use holdfast_testkit::lan::{Lan, NodeId};
use vrrp::{AddressFamily, AddressList, Interval, Params, Priority, Status, Version, Vrid};

const SECOND: Duration = Duration::from_secs(1);

/// A router of version 3 for 192.0.2.1, one second.
fn rank(priority: u8) -> Params {
    params(Version::V3, AddressFamily::Ipv4, priority)
}

fn params(version: Version, family: AddressFamily, priority: u8) -> Params {
    let address = match family {
        AddressFamily::Ipv4 => "192.0.2.1",
        AddressFamily::Ipv6 => "fe80::1",
    };
    let list = AddressList::new(vec![address.parse().unwrap()]).unwrap();
    Params::new(version, Vrid::new(10).unwrap(), list)
        .unwrap()
        .with_priority(Priority::new(priority))
        .unwrap()
}

fn every(params: &Params, centiseconds: u16) -> Params {
    let interval = Interval::from_centiseconds(centiseconds).unwrap();
    params.clone().with_advertisement_interval(interval).unwrap()
}

/// The primary address of the node of that number: the higher the number, the higher the address.
fn address(family: AddressFamily, number: usize) -> IpAddr {
    let host = u8::try_from(number + 11).unwrap();
    match family {
        AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, host]),
        AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host)]),
    }
}

/// A LAN of these routers, all switched on.
fn lan(seed: u64, all: &[Params]) -> (Lan, Vec<NodeId>) {
    let mut lan = Lan::new(seed);
    for (number, params) in all.iter().enumerate() {
        lan.add(params.clone(), address(params.family(), number));
    }
    let nodes: Vec<NodeId> = lan.nodes().collect();
    for &node in &nodes {
        lan.start(node);
    }
    (lan, nodes)
}

fn is_active(lan: &Lan, node: NodeId) -> bool {
    lan.router(node).status() == Status::Active
}

fn transitions(lan: &Lan) -> usize {
    lan.nodes().map(|node| lan.transitions(node).len()).sum()
}
