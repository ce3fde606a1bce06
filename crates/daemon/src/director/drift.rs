//! What in the kernel's table is not as it was made: what kind of difference it is, in words, and how often each was found.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use holdfast_control::DriftCount;
use holdfast_control::reload::Drift;
use holdfast_time::Instant;
use ipvs_ctl::model::Table;
use ipvs_ctl::plan::Operation;

/// So much is named; the rest is counted.
const NAMED_MAX: usize = 1000;

/// So many services and kinds are counted by themselves; those beyond are in the totals alone.
const COUNTED_MAX: usize = 1000;

/// What kind of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Somebody deleted the service, with its destinations.
    ServiceMissing,
    /// Another scheduler, flags or persistence.
    ServiceChanged,
    /// A service that was ours once and should be gone.
    ServiceUnwanted,
    /// Somebody deleted the destination.
    DestinationMissing,
    /// Somebody added one to our service.
    DestinationUnwanted,
    /// Another forwarding method or threshold.
    DestinationChanged,
    /// Another weight.
    Weight,
    /// The destination stands elsewhere in its list than the scheduler should have it.
    Order,
}

impl Kind {
    const fn label(self) -> &'static str {
        match self {
            Self::ServiceMissing => "service_missing",
            Self::ServiceChanged => "service_changed",
            Self::ServiceUnwanted => "service_unwanted",
            Self::DestinationMissing => "destination_missing",
            Self::DestinationUnwanted => "destination_unwanted",
            Self::DestinationChanged => "destination_changed",
            Self::Weight => "weight",
            Self::Order => "order",
        }
    }
}

/// What `operations` would put right in `kernel`, in words.
pub(super) fn drift(operations: &[Operation], kernel: &Table) -> Vec<Drift> {
    let mut found = differences(operations, kernel);
    let rest = found.len().saturating_sub(NAMED_MAX);
    if rest > 0 {
        found.truncate(NAMED_MAX);
        let text = format!("and {rest} more differences");
        found.push(Drift { text, ..Drift::default() });
    }
    found
}

/// One for each object that differs; of a service that is missing its destinations are none of their own.
fn differences(operations: &[Operation], kernel: &Table) -> Vec<Drift> {
    let mut found = Vec::new();
    let mut rest = operations.iter().peekable();
    while let Some(operation) = rest.next() {
        let there = kernel.get(&operation.service());
        let (kind, text) = match operation {
            Operation::NewService(_) => (Kind::ServiceMissing, "is missing".to_owned()),
            Operation::NewDestination { .. } if there.is_none() => continue,
            Operation::NewDestination { .. } => (Kind::DestinationMissing, "is missing".to_owned()),
            Operation::DelService(_) => {
                (Kind::ServiceUnwanted, "is there and should not be".to_owned())
            }
            Operation::DelDestination { .. } => {
                let again = rest.next_if(|next| {
                    matches!(next, Operation::NewDestination { .. })
                        && next.service() == operation.service()
                        && next.destination() == operation.destination()
                });
                match again {
                    Some(_) => (Kind::Order, "is out of order".to_owned()),
                    None => (Kind::DestinationUnwanted, "is there and should not be".to_owned()),
                }
            }
            Operation::SetService(_) => (Kind::ServiceChanged, unlike(operation, kernel)),
            Operation::SetDestination { destination, .. } => {
                let there = there.and_then(|entry| entry.destinations.get(&destination.address));
                let as_heavy = there.is_none_or(|there| there.weight == destination.weight);
                let kind = if as_heavy { Kind::DestinationChanged } else { Kind::Weight };
                (kind, unlike(operation, kernel))
            }
        };
        found.push(Drift {
            service: operation.service().to_string(),
            destination: operation.destination().map(|to| to.to_string()),
            text,
            kind: kind.label().to_owned(),
        });
    }
    found
}

/// What is otherwise than `operation` makes it, in one sentence.
fn unlike(operation: &Operation, kernel: &Table) -> String {
    let each: Vec<String> = operation.unlike(kernel).iter().map(ToString::to_string).collect();
    each.join(", and ")
}

/// How often each kind of drift was found and put right.
#[derive(Debug, Default)]
pub(super) struct Tally {
    totals: BTreeMap<String, u64>,
    /// By service and kind: how often, when last, and what was found then.
    each: BTreeMap<(String, String), (u64, Instant, String)>,
}

impl Tally {
    /// Counts what was found.
    pub(super) fn add(&mut self, found: &[Drift], now: Instant) {
        for Drift { service, destination, text, kind } in found {
            let total = self.totals.entry(kind.clone()).or_default();
            *total = total.saturating_add(1);
            let key = (service.clone(), kind.clone());
            if self.each.len() >= COUNTED_MAX && !self.each.contains_key(&key) {
                continue;
            }
            let last = match destination {
                Some(destination) => format!("{destination} {text}"),
                None => text.clone(),
            };
            let (count, ..) = self.each.get(&key).cloned().unwrap_or_default();
            self.each.insert(key, (count.saturating_add(1), now, last));
        }
    }

    /// How often each kind was found.
    pub(super) const fn totals(&self) -> &BTreeMap<String, u64> {
        &self.totals
    }

    /// The same by service, the latest first.
    pub(super) fn each(&self, now: Instant) -> Vec<DriftCount> {
        let mut each: Vec<DriftCount> = self
            .each
            .iter()
            .map(|((service, kind), (count, at, last))| DriftCount {
                service: service.clone(),
                kind: kind.clone(),
                count: *count,
                last_s_ago: now.saturating_since(*at).as_secs(),
                last: last.clone(),
            })
            .collect();
        each.sort_by_key(|one| (one.last_s_ago, Reverse(one.count)));
        each
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use ipvs_ctl::model::{Destination, Entry, Forwarding, Protocol, ServiceKey, VirtualService};
    use ipvs_ctl::plan::{Foreign, Orders, in_order};

    use super::*;

    fn key(port: u16) -> ServiceKey {
        let address = SocketAddr::from(([192, 0, 2, 10], port));
        ServiceKey::Address { protocol: Protocol::Tcp, address }
    }

    fn address(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 80))
    }

    fn service(port: u16, scheduler: &str, hosts: &[(u8, u32)]) -> (ServiceKey, Entry) {
        let service = VirtualService::new(key(port), scheduler.parse().unwrap());
        let destinations = hosts
            .iter()
            .map(|(host, weight)| Destination::new(address(*host), Forwarding::Direct, *weight));
        let destinations = destinations.map(|one| (one.address, one)).collect();
        (key(port), Entry { service, destinations })
    }

    #[test]
    fn every_kind_of_difference_is_told_by_its_name() {
        let desired = Table::from([
            service(80, "mh", &[(1, 1), (2, 1)]),
            service(81, "rr", &[(1, 1), (2, 1), (3, 1)]),
            service(82, "rr", &[(1, 1), (2, 1)]),
        ]);
        let mut kernel = Table::from([
            service(80, "mh", &[(1, 1), (2, 1)]),
            service(81, "wlc", &[(1, 9), (2, 1), (9, 1)]),
            service(83, "rr", &[(1, 1)]),
        ]);
        let there = &mut kernel.get_mut(&key(81)).unwrap().destinations;
        there.get_mut(&address(2)).unwrap().upper_threshold = 5;
        there.get_mut(&address(1)).unwrap().forwarding = Forwarding::Nat;
        let owned = [key(83)].into();
        let orders = Orders::from([(key(80), vec![address(1), address(2)])]);
        let operations = in_order(&desired, &kernel, &orders, Foreign::Keep { owned: &owned });
        let found: Vec<String> = drift(&operations, &kernel)
            .into_iter()
            .map(|one| {
                let what = one.destination.unwrap_or(one.service);
                format!("{}: {what} {}", one.kind, one.text)
            })
            .collect();
        assert_eq!(
            found,
            [
                "order: 10.0.0.2:80 is out of order",
                "destination_changed: 10.0.0.2:80 upper threshold 5, should be none",
                "destination_missing: 10.0.0.3:80 is missing",
                "service_changed: tcp 192.0.2.10:81 scheduler wlc, should be rr",
                "weight: 10.0.0.1:80 weight 9, should be 1, and forwarding nat, should be direct",
                "destination_unwanted: 10.0.0.9:80 is there and should not be",
                "service_missing: tcp 192.0.2.10:82 is missing",
                "service_unwanted: tcp 192.0.2.10:83 is there and should not be",
            ]
        );
    }

    /// One has the server that it should not have, and the next one not the one that it should.
    #[test]
    fn what_is_taken_out_of_one_service_and_put_into_the_next_is_two_differences() {
        let desired =
            Table::from([service(80, "rr", &[(1, 1)]), service(81, "rr", &[(1, 1), (9, 1)])]);
        let kernel =
            Table::from([service(80, "rr", &[(1, 1), (9, 1)]), service(81, "rr", &[(1, 1)])]);
        let owned = Foreign::Keep { owned: &std::collections::BTreeSet::new() };
        let operations = in_order(&desired, &kernel, &Orders::new(), owned);
        let kinds: Vec<String> =
            drift(&operations, &kernel).into_iter().map(|one| one.kind).collect();
        assert_eq!(kinds, ["destination_unwanted", "destination_missing"]);
    }

    #[test]
    fn the_tally_counts_by_service_and_kind_and_has_the_latest_first() {
        let at = |s| Instant::from_start(Duration::from_secs(s));
        let one = |service: &str, kind: &str| Drift {
            service: service.to_owned(),
            kind: kind.to_owned(),
            ..Drift::default()
        };
        let mut tally = Tally::default();
        tally.add(&[one("a", "weight"), one("b", "weight")], at(1));
        tally.add(&[one("a", "weight"), one("a", "order")], at(3));
        assert_eq!(tally.totals()["weight"], 3);
        let each: Vec<_> = tally
            .each(at(4))
            .into_iter()
            .map(|one| (one.service, one.kind, one.count, one.last_s_ago))
            .collect();
        let row = |service: &str, kind: &str, count, ago| {
            (service.to_owned(), kind.to_owned(), count, ago)
        };
        assert_eq!(
            each,
            [row("a", "weight", 2, 1), row("a", "order", 1, 1), row("b", "weight", 1, 3)]
        );
        for number in 0..COUNTED_MAX {
            tally.add(&[one(&number.to_string(), "order")], at(5));
        }
        assert_eq!((tally.each(at(5)).len(), tally.totals()["order"]), (COUNTED_MAX, 1001));
    }
}
