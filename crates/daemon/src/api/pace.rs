//! How often one client may ask, and how many connections it may have: what one does too much of is taken from no other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Who asks: a user of this host, or an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    User(u32),
    Address(IpAddr),
    /// The kernel did not say.
    Unknown,
}

/// What a client may do at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Allowance {
    /// So many requests at once.
    burst: u32,
    /// And so many a second.
    per_second: u32,
    /// So many connections at once.
    connections: u32,
}

impl Allowance {
    /// For those who may do everything; their connections have the listener's own limit.
    pub(crate) const TRUSTED: Self = Self { burst: 2000, per_second: 1000, connections: u32::MAX };
    /// For an address that other nodes come from: commands of a script for each of many servers, and no more connections than leave
    /// room for other addresses.
    pub(crate) const NODES: Self = Self { burst: 500, per_second: 100, connections: 32 };
    /// For everybody else.
    pub(crate) const OTHERS: Self = Self { burst: 100, per_second: 20, connections: 16 };
}

/// So many clients are told apart; where there are more, those that have not asked lately are forgotten, and one too many is refused.
const CLIENTS_MAX: usize = 1024;

/// What each client has done lately. Copies share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Paces(Arc<Mutex<HashMap<Client, Pace>>>);

#[derive(Debug)]
struct Pace {
    /// Thousandths of requests that may come at once now.
    left: u64,
    since: Instant,
    connections: u32,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    paces: Paces,
    client: Client,
    allowance: Allowance,
}

impl Paces {
    /// A place for one more connection of `client`; none where it has too many already.
    pub(crate) fn place(
        &self,
        client: Client,
        allowance: Allowance,
        now: Instant,
    ) -> Option<Place> {
        let mut all = self.lock();
        if all.len() >= CLIENTS_MAX && !all.contains_key(&client) {
            all.retain(|_, pace| pace.connections > 0 || now.duration_since(pace.since) < FORGET);
            if all.len() >= CLIENTS_MAX {
                return None;
            }
        }
        let fresh = Pace { left: u64::from(allowance.burst) * 1000, since: now, connections: 0 };
        let pace = all.entry(client).or_insert(fresh);
        if pace.connections >= allowance.connections {
            return None;
        }
        pace.connections += 1;
        drop(all);
        Some(Place { paces: self.clone(), client, allowance })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Client, Pace>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that has not asked for so long may ask as much as one that never has.
const FORGET: Duration = Duration::from_secs(10);

impl Place {
    /// Whether one more request may come now; if so, it counts.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        let mut all = self.paces.lock();
        // It is there for as long as it has a connection.
        let Some(pace) = all.get_mut(&self.client) else { return false };
        let ms = u64::try_from(now.duration_since(pace.since).as_millis()).unwrap_or(u64::MAX);
        let full = u64::from(self.allowance.burst) * 1000;
        let grown = ms.saturating_mul(self.allowance.per_second.into());
        if grown > 0 {
            pace.left = pace.left.saturating_add(grown).min(full);
            pace.since = now;
        }
        let left = pace.left.checked_sub(1000);
        pace.left = left.unwrap_or(pace.left);
        left.is_some()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(pace) = self.paces.lock().get_mut(&self.client) {
            pace.connections = pace.connections.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: Allowance = Allowance { burst: 3, per_second: 2, connections: 2 };

    #[test]
    fn a_burst_is_taken_and_then_so_many_a_second_of_each_client() {
        let paces = Paces::default();
        let begin = Instant::now();
        let at = |ms| begin + Duration::from_millis(ms);
        let place = paces.place(Client::User(1), SLOW, begin).unwrap();
        let taken = |ms| (0..10).filter(|_| place.allows(at(ms))).count();
        assert_eq!((taken(0), taken(499), taken(500), taken(1000)), (3, 0, 1, 1));
        // Another connection of the same client shares it; another client does not.
        let second = paces.place(Client::User(1), SLOW, at(1000)).unwrap();
        assert!(!second.allows(at(1000)));
        let other = paces.place(Client::User(2), SLOW, at(1000)).unwrap();
        assert!(other.allows(at(1000)));
        assert_eq!(taken(60_000), 3, "no more than the burst");
    }

    #[test]
    fn a_client_has_so_many_connections_and_one_that_ends_makes_room() {
        let paces = Paces::default();
        let now = Instant::now();
        let place = |client| paces.place(client, SLOW, now);
        let (first, _second) = (place(Client::User(1)).unwrap(), place(Client::User(1)).unwrap());
        assert!(place(Client::User(1)).is_none());
        assert!(place(Client::Unknown).is_some());
        drop(first);
        assert!(place(Client::User(1)).is_some());
    }

    #[test]
    fn so_many_clients_are_told_apart_and_the_idle_ones_are_forgotten() {
        let paces = Paces::default();
        let now = Instant::now();
        for user in 0..u32::try_from(CLIENTS_MAX).unwrap() {
            drop(paces.place(Client::User(user), SLOW, now).unwrap());
        }
        assert!(paces.place(Client::Unknown, SLOW, now).is_none());
        assert!(paces.place(Client::User(5), SLOW, now).is_some(), "one that is known");
        assert!(paces.place(Client::Unknown, SLOW, now + FORGET).is_some());
    }
}
