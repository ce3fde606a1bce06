//! The canonical order of destinations, against a kernel that lists the newest first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use ipvs_ctl::model::{
    Destination, Entry, Forwarding, Protocol, ServiceKey, Table, VirtualService,
};
use ipvs_ctl::plan::{Foreign, Operation, Orders, in_order, is_canonical};
use proptest::prelude::*;

use crate::kernel::apply;

fn key() -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: SocketAddr::from(([192, 0, 2, 1], 80)) }
}

fn address(host: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, host], 80))
}

fn host(address: SocketAddr) -> u8 {
    match address {
        SocketAddr::V4(address) => address.ip().octets()[3],
        SocketAddr::V6(_) => 0,
    }
}

fn table(scheduler: &str, hosts: impl IntoIterator<Item = (u8, u32)>) -> Table {
    let destinations: BTreeMap<_, _> = hosts
        .into_iter()
        .map(|(host, weight)| {
            (address(host), Destination::new(address(host), Forwarding::Direct, weight))
        })
        .collect();
    let service = VirtualService::new(key(), scheduler.parse().unwrap());
    Table::from([(key(), Entry { service, destinations })])
}

fn orders(list: &[u8]) -> Orders {
    Orders::from([(key(), list.iter().copied().map(address).collect())])
}

/// What the kernel's list becomes by `operations`.
fn listed(list: &[u8], operations: &[Operation]) -> Vec<u8> {
    let mut list = list.to_vec();
    for operation in operations {
        match operation {
            Operation::NewDestination { destination, .. } => {
                list.insert(0, host(destination.address));
            }
            Operation::DelDestination { address, .. } => list.retain(|one| *one != host(*address)),
            Operation::NewService(_)
            | Operation::SetService(_)
            | Operation::DelService(_)
            | Operation::SetDestination { .. } => {}
        }
    }
    list
}

/// A kernel's list of up to six hosts in some order, and the wanted hosts with their weights.
fn lists() -> impl Strategy<Value = (Vec<u8>, BTreeMap<u8, u32>)> {
    let present = proptest::sample::subsequence(vec![1_u8, 2, 3, 4, 5, 6], 0..=6).prop_shuffle();
    (present, proptest::collection::btree_map(1_u8..8, 0_u32..3, 0..=6))
}

/// The fewest additions (of what moves or is new) that lead from `list` to the descending list of `wanted`, found by trying all.
fn fewest_additions(list: &[u8], wanted: &BTreeSet<u8>) -> usize {
    let start: Vec<u8> = list.iter().copied().filter(|host| wanted.contains(host)).collect();
    let goal: Vec<u8> = wanted.iter().rev().copied().collect();
    let mut queue = VecDeque::from([(start, 0)]);
    let mut seen = BTreeSet::new();
    while let Some((list, additions)) = queue.pop_front() {
        if list == goal {
            return additions;
        }
        for host in wanted {
            let mut next: Vec<u8> = list.iter().copied().filter(|other| other != host).collect();
            next.insert(0, *host);
            if seen.insert(next.clone()) {
                queue.push_back((next, additions + 1));
            }
        }
    }
    usize::MAX
}

#[test]
fn a_server_added_in_the_middle_moves_those_above_it_and_each_is_away_for_one_message() {
    let desired = table("mh", [(1, 1), (2, 1), (3, 1), (4, 1)]);
    let kernel = table("mh", [(1, 1), (3, 1), (4, 1)]);
    let operations = in_order(&desired, &kernel, &orders(&[4, 3, 1]), Foreign::Remove);
    let spoken: Vec<String> = operations.iter().map(ToString::to_string).collect();
    assert_eq!(
        spoken,
        [
            "add destination 10.0.0.2:80 to tcp 192.0.2.1:80",
            "remove destination 10.0.0.3:80 from tcp 192.0.2.1:80",
            "add destination 10.0.0.3:80 to tcp 192.0.2.1:80",
            "remove destination 10.0.0.4:80 from tcp 192.0.2.1:80",
            "add destination 10.0.0.4:80 to tcp 192.0.2.1:80",
        ]
    );
}

#[test]
fn schedulers_that_do_not_look_at_the_order_move_nothing() {
    for scheduler in ["rr", "wrr", "wlc", "lblc"] {
        let both = table(scheduler, [(1, 1), (2, 1)]);
        assert_eq!(in_order(&both, &both, &orders(&[1, 2]), Foreign::Remove), [], "{scheduler}");
    }
    for scheduler in ["sh", "dh", "mh"] {
        let both = table(scheduler, [(1, 1), (2, 1)]);
        assert_eq!(in_order(&both, &both, &orders(&[1, 2]), Foreign::Remove).len(), 2);
        assert_eq!(in_order(&both, &both, &orders(&[2, 1]), Foreign::Remove), []);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_list_is_canonical_afterwards_and_the_second_plan_is_empty((list, wanted) in lists()) {
        let desired = table("mh", wanted);
        let mut kernel = table("mh", list.iter().map(|host| (*host, 1)));
        let operations = in_order(&desired, &kernel, &orders(&list), Foreign::Remove);
        let after = listed(&list, &operations);
        let addresses: Vec<SocketAddr> = after.iter().copied().map(address).collect();
        prop_assert!(is_canonical(&addresses), "{:?}", after);
        for operation in &operations {
            prop_assert_eq!(apply(&mut kernel, operation), Ok(()), "{}", operation);
        }
        prop_assert_eq!(&kernel, &desired);
        prop_assert_eq!(in_order(&desired, &kernel, &orders(&after), Foreign::Remove), []);
    }

    #[test]
    fn no_more_moves_than_needed((list, wanted) in lists()) {
        let desired = table("mh", wanted.clone());
        let kernel = table("mh", list.iter().map(|host| (*host, 1)));
        let operations = in_order(&desired, &kernel, &orders(&list), Foreign::Remove);
        let additions = operations
            .iter()
            .filter(|operation| matches!(operation, Operation::NewDestination { .. }))
            .count();
        prop_assert_eq!(additions, fewest_additions(&list, &wanted.keys().copied().collect()));
    }

    /// What is taken out to move comes back with the next message, and nothing else is away meanwhile.
    #[test]
    fn one_destination_at_most_is_away_at_a_time((list, wanted) in lists()) {
        let desired = table("mh", wanted.clone());
        let kernel = table("mh", list.iter().map(|host| (*host, 1)));
        let operations = in_order(&desired, &kernel, &orders(&list), Foreign::Remove);
        for (position, operation) in operations.iter().enumerate() {
            let Operation::DelDestination { address, .. } = operation else { continue };
            if wanted.contains_key(&host(*address)) {
                let next = operations.get(position + 1).and_then(Operation::destination);
                prop_assert_eq!(next, Some(*address));
            }
        }
    }
}
