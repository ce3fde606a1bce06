//! What holds for every pair of tables.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use ipvs_ctl::model::{
    Destination, Entry, Family, Forwarding, Persistence, Protocol, ServiceFlags, ServiceKey, Table,
    Tunnel, VirtualService,
};
use ipvs_ctl::plan::{Foreign, Operation, plan};
use proptest::collection::{btree_map, btree_set};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::kernel::apply;

/// Few keys, so that two tables often have some in common.
fn key() -> impl Strategy<Value = ServiceKey> {
    let mut keys: Vec<ServiceKey> = ["192.0.2.1:80", "[2001:db8::1]:80"]
        .iter()
        .flat_map(|address| {
            [Protocol::Tcp, Protocol::Udp, Protocol::Sctp]
                .map(|protocol| ServiceKey::Address { protocol, address: address.parse().unwrap() })
        })
        .collect();
    keys.extend(
        [Family::Ipv4, Family::Ipv6]
            .map(|family| ServiceKey::Fwmark { family, mark: 7.try_into().unwrap() }),
    );
    select(keys)
}

fn destination() -> impl Strategy<Value = Destination> {
    let forwarding = select(vec![
        Forwarding::Nat,
        Forwarding::Direct,
        Forwarding::Tunnel(Tunnel::Ipip),
        Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum: Default::default() }),
    ]);
    (0_u8..6, forwarding, 0_u32..4, select(vec![0_u32, 10, 20])).prop_map(
        |(host, forwarding, weight, upper_threshold)| Destination {
            upper_threshold,
            ..Destination::new(SocketAddr::from(([10, 0, 0, host], 80)), forwarding, weight)
        },
    )
}

fn entry(key: ServiceKey) -> impl Strategy<Value = (ServiceKey, Entry)> {
    let service = (
        select(vec!["rr", "wlc", "mh"]),
        option::of(select(vec![60_u32, 300])),
        select(vec![ServiceFlags::NONE, ServiceFlags::SCHEDULER_1]),
    );
    let destinations = proptest::collection::vec(destination(), 0..6);
    (service, destinations).prop_map(move |((scheduler, timeout, flags), destinations)| {
        let service = VirtualService {
            flags,
            persistence: timeout.map(|timeout_s| Persistence { timeout_s, prefix: 32 }),
            ..VirtualService::new(key, scheduler.parse().unwrap())
        };
        let destinations =
            destinations.into_iter().map(|destination| (destination.address, destination));
        (key, Entry { service, destinations: destinations.collect() })
    })
}

fn table() -> impl Strategy<Value = Table> {
    btree_set(key(), 0..6)
        .prop_flat_map(|keys| keys.into_iter().map(entry).collect::<Vec<_>>())
        .prop_map(|entries| entries.into_iter().collect())
}

/// Two tables of which the second is the first with some things changed, or another altogether.
fn pair() -> impl Strategy<Value = (Table, Table)> {
    (table(), table(), btree_map(key(), any::<bool>(), 0..6)).prop_map(|(one, mut two, kept)| {
        for (key, entry) in &one {
            if kept.get(key) == Some(&true) {
                two.insert(*key, entry.clone());
            }
        }
        (one, two)
    })
}

/// How many objects differ, counted without the plan: a removed service takes its destinations along.
fn differences(desired: &Table, kernel: &Table) -> usize {
    let destinations = |entry: Option<&Entry>| -> BTreeMap<SocketAddr, Destination> {
        entry.map(|entry| entry.destinations.clone()).unwrap_or_default()
    };
    let keys: BTreeSet<&ServiceKey> = desired.keys().chain(kernel.keys()).collect();
    let mut count = 0;
    for key in keys {
        let (wanted, present) = (desired.get(key), kernel.get(key));
        count += usize::from(wanted.map(|e| &e.service) != present.map(|e| &e.service));
        if wanted.is_some() {
            let (wanted, present) = (destinations(wanted), destinations(present));
            let addresses: BTreeSet<_> = wanted.keys().chain(present.keys()).collect();
            count += addresses.iter().filter(|at| wanted.get(*at) != present.get(*at)).count();
        }
    }
    count
}

/// A service's weight in all; `None` where there is no such service.
fn weight(table: &Table, key: &ServiceKey) -> Option<u64> {
    let entry = table.get(key)?;
    Some(entry.destinations.values().map(|destination| u64::from(destination.weight)).sum())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn applying_the_plan_gives_the_desired_table((desired, kernel) in pair()) {
        let mut table = kernel.clone();
        for operation in plan(&desired, &kernel, Foreign::Remove) {
            prop_assert_eq!(apply(&mut table, &operation), Ok(()), "{}", operation);
        }
        prop_assert_eq!(&table, &desired);
        prop_assert!(plan(&desired, &table, Foreign::Remove).is_empty());
    }

    #[test]
    fn a_table_needs_nothing_to_become_itself(table in table()) {
        prop_assert!(plan(&table, &table, Foreign::Remove).is_empty());
        let owned = table.keys().copied().collect();
        let foreign = Foreign::Keep { owned: &owned };
        prop_assert!(plan(&table, &table, foreign).is_empty());
    }

    #[test]
    fn each_object_is_touched_at_most_once_and_only_where_it_differs((desired, kernel) in pair()) {
        let operations = plan(&desired, &kernel, Foreign::Remove);
        let touched: BTreeSet<_> =
            operations.iter().map(|operation| (operation.service(), operation.destination())).collect();
        prop_assert_eq!(touched.len(), operations.len());
        prop_assert_eq!(operations.len(), differences(&desired, &kernel));
    }

    #[test]
    fn whatever_an_operation_changes_has_a_name((desired, kernel) in pair()) {
        for operation in plan(&desired, &kernel, Foreign::Remove) {
            let changes = matches!(operation, Operation::SetService(_) | Operation::SetDestination { .. });
            prop_assert_eq!(!operation.unlike(&kernel).is_empty(), changes, "{:?}", operation);
        }
    }

    #[test]
    fn no_service_ever_has_less_weight_than_both_before_and_after((desired, kernel) in pair()) {
        let mut table = kernel.clone();
        for operation in plan(&desired, &kernel, Foreign::Remove) {
            apply(&mut table, &operation).unwrap();
            let key = operation.service();
            let (Some(before), Some(after)) = (weight(&kernel, &key), weight(&desired, &key)) else {
                continue;
            };
            let now = weight(&table, &key).unwrap();
            prop_assert!(now >= before.min(after), "{}: {} of {} to {}", operation, now, before, after);
        }
    }

    #[test]
    fn foreign_services_are_not_touched(
        (desired, kernel) in pair(),
        owned in btree_set(key(), 0..4),
    ) {
        let mut table = kernel.clone();
        for operation in plan(&desired, &kernel, Foreign::Keep { owned: &owned }) {
            let key = operation.service();
            prop_assert!(desired.contains_key(&key) || owned.contains(&key), "{}", operation);
            apply(&mut table, &operation).unwrap();
        }
        let mut expected = kernel;
        expected.retain(|key, _| !owned.contains(key));
        expected.extend(desired);
        prop_assert_eq!(table, expected);
    }
}
