//! Places for checks over the network: how many may run at once, and what is logged when more are due.
//!
//! Each such run needs a socket. When the daemon starts it raises its limit of descriptors as far as it may; if that is not enough, runs
//! wait for one another, and checks come later than configured. No server is held to be down for that.

use std::fs;
use std::time::Duration;

use holdfast_time::Instant;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors are left for everything else: commands and their pipes, the API, sockets of VRRP at a reload.
const RESERVED: u64 = 512;

/// Where there are few descriptors, one in this many is left for that.
const RESERVED_OF: u64 = 4;

/// The least number of sockets, however few descriptors there are. If the kernel then refuses one, the run is inconclusive.
const LEAST: u64 = 4;

/// How many descriptors are taken to be open if that can't be read.
const OPEN: usize = 64;

/// Of the sockets one in this many is kept for each family while no run uses it, and [`KEPT_MAX`] at most.
const KEPT_OF: usize = 8;
const KEPT_MAX: usize = 128;

/// How often it is logged that runs wait.
const PAUSE: Duration = Duration::from_secs(60);

/// The places for runs.
#[derive(Debug)]
pub(super) struct Places {
    all: usize,
    kept: usize,
    taken: usize,
    told: Option<Instant>,
}

impl Places {
    /// As many places as this process's limit of descriptors (RLIMIT_NOFILE) allows beside those that are open. The soft limit is raised
    /// to the hard one.
    pub(super) fn of_this_process() -> Self {
        let limit = match getrlimit(Resource::RLIMIT_NOFILE) {
            Ok((soft, hard)) if soft < hard => {
                match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
                    Ok(()) => hard,
                    Err(_refused) => soft,
                }
            }
            Ok((soft, _)) => soft,
            Err(_unknown) => RESERVED,
        };
        let open = fs::read_dir("/proc/self/fd").map_or(OPEN, Iterator::count);
        Self::within(limit, u64::try_from(open).unwrap_or(u64::MAX))
    }

    /// As many places as a `limit` of descriptors allows of which `open` are in use.
    fn within(limit: u64, open: u64) -> Self {
        let free = limit.saturating_sub(open);
        let sockets = free - RESERVED.min(free / RESERVED_OF);
        Self::new(usize::try_from(sockets.max(LEAST)).unwrap_or(usize::MAX))
    }

    /// Places for `sockets`: those that are kept of either family while no run uses them are nobody's place.
    pub(super) fn new(sockets: usize) -> Self {
        let kept = (sockets / KEPT_OF).min(KEPT_MAX);
        Self { all: sockets - 2 * kept, kept, taken: 0, told: None }
    }

    /// How many sockets of each family may be kept while no run uses them.
    pub(super) const fn kept(&self) -> usize {
        self.kept
    }

    /// Takes a place, if one is free.
    pub(super) const fn take(&mut self) -> bool {
        let free = self.taken < self.all;
        if free {
            self.taken += 1;
        }
        free
    }

    pub(super) const fn give_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }

    /// Says, once a minute, that `waiting` runs have no place.
    pub(super) fn tell(&mut self, now: Instant, waiting: usize) {
        if self.told.is_some_and(|told| now.saturating_since(told) < PAUSE) {
            return;
        }
        self.told = Some(now);
        tracing::warn!(
            waiting,
            at_once = self.all,
            "checks wait for descriptors and come late: raise the limit of open files (LimitNOFILE= of the service's unit)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_kept_sockets_are_never_more_than_there_may_be() {
        for sockets in [1, 2, 7, 64, 512, 1024, 65_024, usize::MAX] {
            let places = Places::new(sockets);
            assert_eq!(places.all + 2 * places.kept(), sockets);
            assert!(places.all >= places.kept(), "{places:?}");
        }
    }

    #[test]
    fn a_part_of_what_is_free_is_left_for_everything_else() {
        let sockets = |limit, open| {
            let places = Places::within(limit, open);
            places.all + 2 * places.kept()
        };
        assert_eq!(sockets(65_536, 24), 65_000);
        assert_eq!(sockets(64, 24), 30);
        assert_eq!(sockets(64, 64), 4, "none is free");
        assert_eq!(sockets(u64::MAX, 24), usize::MAX - 24 - 512);
    }
}
