//! Attention: of which services a look at the kernel's table reads the destinations. Listing the services is one request; reading
//! destinations is one request for each service, and most of the work.
//!
//! | a service                                                        | its destinations are read                 |
//! |------------------------------------------------------------------|-------------------------------------------|
//! | is to be made other than it was made last, or was never read     | at this look                              |
//! | has had connections or packets since the last look               | at this look                              |
//! | is quiet                                                         | at every look of a small table, otherwise in turn |
//!
//! In turn means: a twelfth of the quiet services, but at least thirty-two, beginning with those that were read longest ago. So a change
//! that others make to the destinations of a quiet service is found within twelve looks, a minute by default, or at the look after its first
//! packet. A change of the service itself, and its deletion, is seen by every look.
//!
//! Where `net.ipv4.vs.run_estimation` is 0 the kernel does not add up its counters: every service is read then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use ipvs_ctl::model::{Counters, ServiceKey, Table};

const ESTIMATION: &str = "/proc/sys/net/ipv4/vs/run_estimation";

/// A quiet service is read at one look of so many, at the least.
const LOOKS: usize = 12;

/// So many quiet services are read at each look, at the least.
const ALWAYS: usize = 32;

/// What is known of the services from earlier looks.
#[derive(Debug, Default)]
pub(super) struct Attention {
    look: u64,
    seen: BTreeMap<ServiceKey, Seen>,
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    traffic: (u64, u64, u64),
    /// The look at which its destinations were read last.
    read: u64,
}

/// What one look reads.
#[derive(Debug)]
pub(super) struct Focus {
    /// Whether counters tell nothing.
    all: bool,
    due: BTreeSet<ServiceKey>,
    traffic: BTreeMap<ServiceKey, (u64, u64, u64)>,
}

impl Attention {
    /// What the next look reads besides `changed`, the services that are to be made other than they were.
    pub(super) fn focus(&self, changed: &BTreeSet<ServiceKey>) -> Focus {
        let estimates = fs::read_to_string(ESTIMATION).map_or(true, |text| text.trim() != "0");
        let mut by_age: Vec<(u64, ServiceKey)> =
            self.seen.iter().map(|(key, seen)| (seen.read, *key)).collect();
        by_age.sort_unstable();
        let turn = by_age.len().div_ceil(LOOKS).max(ALWAYS);
        let due = by_age.into_iter().take(turn).map(|(_, key)| key).chain(changed.iter().copied());
        let traffic = self.seen.iter().map(|(key, seen)| (*key, seen.traffic)).collect();
        Focus { all: !estimates, due: due.collect(), traffic }
    }

    /// Remembers the services that a look found, and of which it did not read the destinations.
    pub(super) fn looked<'a>(
        &mut self,
        found: impl Iterator<Item = (ServiceKey, &'a Counters)>,
        unread: &BTreeSet<ServiceKey>,
    ) {
        self.look = self.look.saturating_add(1);
        let look = self.look;
        let before = std::mem::take(&mut self.seen);
        self.seen = found
            .map(|(key, counters)| {
                let old = before.get(&key).map(|seen| seen.read);
                let read = if unread.contains(&key) { old.unwrap_or(0) } else { look };
                (key, Seen { traffic: traffic(counters), read })
            })
            .collect();
    }

    /// Forgets the services of `table`: the next look reads them.
    pub(super) fn doubt(&mut self, table: &Table) {
        self.seen.retain(|key, _| !table.contains_key(key));
    }

    /// Forgets everything: the next look reads all.
    pub(super) fn forget(&mut self) {
        self.seen.clear();
    }
}

impl Focus {
    /// Whether this look reads the destinations of the service.
    pub(super) fn reads(&self, key: &ServiceKey, counters: &Counters) -> bool {
        let before = self.traffic.get(key);
        self.all || self.due.contains(key) || before != Some(&traffic(counters))
    }
}

/// What a client changes: connections, packets in and out.
const fn traffic(counters: &Counters) -> (u64, u64, u64) {
    (counters.connections, counters.packets_in, counters.packets_out)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use ipvs_ctl::model::Protocol;

    use super::*;

    fn key(number: u16) -> ServiceKey {
        let address = SocketAddr::from(([192, 0, 2, 10], number));
        ServiceKey::Address { protocol: Protocol::Tcp, address }
    }

    /// A look at so many services, of which some have had traffic: what was read.
    fn look(
        attention: &mut Attention,
        services: u16,
        traffic: impl Fn(u16) -> u64,
        changed: &[u16],
    ) -> BTreeSet<u16> {
        let changed: BTreeSet<ServiceKey> = changed.iter().map(|number| key(*number)).collect();
        let focus = attention.focus(&changed);
        let (mut found, mut unread) = (Vec::new(), BTreeSet::new());
        let mut read = BTreeSet::new();
        for number in 1..=services {
            let counters = Counters { packets_in: traffic(number), ..Counters::default() };
            if focus.reads(&key(number), &counters) {
                read.insert(number);
            } else {
                unread.insert(key(number));
            }
            found.push((key(number), counters));
        }
        attention.looked(found.iter().map(|(key, counters)| (*key, counters)), &unread);
        read
    }

    #[test]
    fn a_small_table_is_always_read_whole() {
        let mut attention = Attention::default();
        for _ in 0..5 {
            assert_eq!(look(&mut attention, 32, |_| 0, &[]).len(), 32);
        }
    }

    #[test]
    fn every_quiet_service_is_read_within_twelve_looks_and_each_look_reads_a_twelfth() {
        let mut attention = Attention::default();
        assert_eq!(look(&mut attention, 1200, |_| 0, &[]).len(), 1200, "none was seen before");
        let mut last_read = [0_usize; 1201];
        for number in 1..=60 {
            let read = look(&mut attention, 1200, |_| 0, &[]);
            assert_eq!(read.len(), 100);
            for service in read {
                last_read[usize::from(service)] = number;
            }
            assert!(last_read[1..].iter().all(|last| number - last < LOOKS), "at look {number}");
        }
    }

    #[test]
    fn traffic_and_changes_are_looked_at_at_once() {
        let mut attention = Attention::default();
        look(&mut attention, 1200, |_| 0, &[]);
        for round in 1..30 {
            let read =
                look(&mut attention, 1200, |number| u64::from(number == 700) * round, &[900]);
            assert!(read.contains(&700) && read.contains(&900));
        }
        let quiet = look(&mut attention, 1200, |number| u64::from(number == 700) * 29, &[]);
        assert!(!quiet.contains(&700), "it was read at the look before");
    }

    #[test]
    fn a_service_that_comes_is_read_and_one_that_goes_is_forgotten() {
        let mut attention = Attention::default();
        look(&mut attention, 100, |_| 0, &[]);
        assert!(look(&mut attention, 101, |_| 0, &[]).contains(&101));
        look(&mut attention, 50, |_| 0, &[]);
        assert_eq!(attention.seen.len(), 50);
        attention.forget();
        assert_eq!(look(&mut attention, 50, |_| 0, &[]).len(), 50);
    }
}
