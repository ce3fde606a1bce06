//! A drain: what it waits for and when it is over.
//!
//! A connection counts as *active* for the kernel while both sides may send. One whose client has said that it will send no more
//! (FIN) and still receives is *inactive*, and so is one that is over and only remembered. What tells the two apart is packets:
//! who receives acknowledges. So a drain waits for the active connections, and for the inactive ones while clients send packets.
//!
//! | the last count           | before it                                                            | the drain    |
//! |--------------------------|----------------------------------------------------------------------|--------------|
//! | active connections       | any                                                                  | goes on      |
//! | no connection            | a count without a connection                                         | is over      |
//! | no connection            | another count                                                        | goes on      |
//! | inactive connections only | no active connection and no packet from a client for `idle`         | is over      |
//! | inactive connections only | less than that                                                      | goes on      |
//!
//! Whatever the counts say, and also when none arrive, it is over at its deadline. Counts are over all addresses that the service
//! listens on, and the rule is the same for TCP, UDP and SCTP. `idle` is the service's `drain.idle`. The kernel adds up its counters
//! every two seconds (`ip_vs_est`), so a packet may be seen so much later than it came.

use std::time::Duration;

use holdfast_time::Instant;

use crate::pool::Connections;

/// How far a drain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// When it ends even with connections left.
    pub deadline: Instant,
    /// Whether the server leaves its pool at the end.
    pub then_remove: bool,
    /// Whether it has ended.
    pub drained: bool,
    /// How long no packet may come from clients before connections that are only inactive count as over.
    pub idle: Duration,
    /// The timeout that a command has named for it; none where it has the service's.
    timeout: Option<Duration>,
    /// What the last count found; none before the first.
    seen: Option<Seen>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    connections: Connections,
    /// Since when there was no active connection and no packet came.
    quiet_since: Instant,
}

impl Drain {
    /// A drain that nothing is known of yet.
    pub(crate) const fn new(deadline: Instant, idle: Duration, then_remove: bool) -> Self {
        Self { deadline, then_remove, drained: false, idle, timeout: None, seen: None }
    }

    /// Has it end within `timeout` from now on, as a command says. The same timeout said again moves nothing: a command that is repeated
    /// until it succeeds must not put the end off each time.
    pub(crate) fn end_within(&mut self, now: Instant, timeout: Duration) {
        if self.timeout != Some(timeout) {
            (self.timeout, self.deadline) = (Some(timeout), now + timeout);
        }
    }

    /// Lets the next timeout that a command names count from then on, whatever was named before: it is another order.
    pub(crate) const fn forget_timeout(&mut self) {
        self.timeout = None;
    }

    /// The timeout that a command has named for it; none where it has the service's.
    pub(crate) const fn named(&self) -> Option<Duration> {
        self.timeout
    }

    /// Has it end when it was to end for an earlier daemon, which had the `timeout` of a command.
    pub(crate) const fn go_on_until(&mut self, deadline: Instant, timeout: Option<Duration>) {
        (self.deadline, self.timeout) = (deadline, timeout);
    }

    /// Takes a count; true when the drain is over by it.
    pub(crate) fn count(&mut self, now: Instant, connections: Connections) -> bool {
        let Connections { active, inactive, packets, .. } = connections;
        let before = self.seen.replace(Seen { connections, quiet_since: now });
        let Some(before) = before else { return false };
        if active == 0 && before.connections.active == 0 && before.connections.packets == packets {
            self.seen = Some(Seen { connections, quiet_since: before.quiet_since });
        }
        let quiet_since = self.seen.map_or(now, |seen| seen.quiet_since);
        let none = |seen: Connections| seen.active == 0 && seen.inactive == 0;
        self.drained = active == 0
            && ((inactive == 0 && none(before.connections))
                || now.saturating_since(quiet_since) >= self.idle);
        self.drained
    }

    /// Ends the drain if its deadline has come; how many connections there were at the last count, if it ends by that.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<u64> {
        if self.drained || now < self.deadline {
            return None;
        }
        self.drained = true;
        Some(self.seen.map_or(
            0,
            |Seen { connections: Connections { active, inactive, .. }, .. }| {
                active.saturating_add(inactive)
            },
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half seconds after the start of the drain.
    fn at(half_seconds: u64) -> Instant {
        Instant::from_start(Duration::from_millis(100_000 + half_seconds * 500))
    }

    /// When a drain is over that sees these counts (active, inactive, packets), one every half second; the last is repeated.
    fn over(counts: &[(u64, u64, u64)]) -> Option<u64> {
        let mut drain = Drain::new(at(40), Duration::from_secs(5), false);
        let last = *counts.last().unwrap();
        let counts = counts.iter().copied().chain(std::iter::repeat(last));
        (0..40).zip(counts).find_map(|(when, (active, inactive, packets))| {
            drain
                .count(
                    at(when),
                    Connections { active, inactive, packets, ..Connections::default() },
                )
                .then_some(when)
        })
    }

    #[test]
    fn a_drain_is_over_by_the_table() {
        let growing: Vec<_> = (0..40).map(|packets| (0, 1, packets)).collect();
        let until_10: Vec<_> = (0..=10).map(|packets| (0, 1, packets)).collect();
        for (what, counts, expected) in [
            ("no connection, twice", &[(0, 0, 7)][..], Some(1)),
            ("an active one ends", &[(1, 0, 7), (0, 0, 9)], Some(2)),
            ("one count without between others", &[(0, 0, 7), (1, 0, 7), (0, 0, 7)], Some(3)),
            ("inactive ends", &[(0, 1, 7), (0, 0, 7)], Some(2)),
            ("no connection while packets come", &[(0, 0, 7), (0, 0, 8)], Some(1)),
            ("active, silent", &[(1, 0, 7)], None),
            ("only remembered: 5 s without a packet", &[(0, 9, 7)], Some(10)),
            ("half-closed: packets come", &growing, None),
            ("half-closed until count 10", &until_10, Some(20)),
            ("silent while active counts for nothing", &[(1, 0, 7); 9], None),
            ("closed after a silence", &[(1, 0, 7), (1, 0, 7), (1, 0, 7), (0, 1, 7)], Some(13)),
            ("the counters start anew", &[(0, 1, 9), (0, 1, 9), (0, 1, 0)], Some(12)),
        ] {
            assert_eq!(over(counts), expected, "{what}");
        }
    }

    #[test]
    fn the_deadline_needs_no_count_and_comes_once() {
        let mut drain = Drain::new(at(4), Duration::from_secs(5), false);
        assert_eq!(drain.expire(at(3)), None);
        assert_eq!(drain.expire(at(4)), Some(0));
        assert_eq!(drain.expire(at(5)), None);
        let mut drain = Drain::new(at(4), Duration::from_secs(5), false);
        drain.count(
            at(1),
            Connections { active: 2, inactive: 3, packets: 1, ..Connections::default() },
        );
        assert_eq!(drain.expire(at(4)), Some(5));
    }
}
