//! The slow start of a server that came up: its weight rises in steps.
//!
//! ```text
//!  100 %                                      ┌──────
//!                                        ┌────┘
//!            ┌────┐ … nine raises, ┌─────┘
//!       ┌────┘        evenly spaced
//!   10 %┘
//!       came up                              slow_start later
//! ```
//! A restart of the daemon has none: a server that the kernel gives connections to is adopted with its whole weight. Nor has a
//! server that is taken back while it still drains, which has its clients yet.

use std::time::Duration;

use holdfast_config::Name;
use holdfast_time::Instant;

use crate::engine::Engine;
use crate::server::Admin;

/// How often the weight is raised; the first step is as high as each raise.
const RAISES: u32 = 9;

/// How far a slow start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ramp {
    began: Instant,
    duration: Duration,
    /// Raises that have been made, fewer than [`RAISES`].
    raised: u32,
}

impl Ramp {
    const fn new(began: Instant, duration: Duration) -> Self {
        Self { began, duration, raised: 0 }
    }

    /// How much of its weight the server has now, in percent: 10 to 90.
    pub(crate) const fn percent(self) -> u32 {
        (self.raised + 1) * 100 / (RAISES + 1)
    }

    /// When it is raised next. Multiplied before divided, so that the last raise comes at the end exactly.
    fn next(self) -> Instant {
        self.began + self.duration * (self.raised + 1) / RAISES
    }

    /// The ramp at `now`; none when it is over.
    fn advanced(mut self, now: Instant) -> Option<Self> {
        while self.next() <= now {
            self.raised += 1;
            if self.raised == RAISES {
                return None;
            }
        }
        Some(self)
    }
}

impl Engine {
    /// Begins a slow start where the service has one and the server has just begun to take clients.
    pub(crate) fn begin_ramp(&mut self, service: &Name, server: &Name, now: Instant) {
        let Some(pool) = self.pools.get(service) else { return };
        let begins = pool.servers.get(server).is_some_and(|server| {
            server.admin == Admin::Ready && server.health == holdfast_health::State::Up
        });
        let ramp = pool.service.slow_start.filter(|_| begins);
        self.set_ramp(service, server, ramp.map(|duration| Ramp::new(now, duration)));
    }

    /// Gives the server this slow start, or ends the one that it has, and keeps the timers in step.
    pub(crate) fn set_ramp(&mut self, service: &Name, server: &Name, ramp: Option<Ramp>) {
        let pool = self.pools.get_mut(service);
        let Some(known) = pool.and_then(|pool| pool.servers.get_mut(server)) else { return };
        let name = || (service.clone(), server.clone());
        if let Some(old) = std::mem::replace(&mut known.ramp, ramp.map(Box::new)) {
            self.ramps.remove(&(old.next(), name()));
        }
        if let Some(new) = ramp {
            self.ramps.insert((new.next(), name()));
        }
    }

    /// Ends every slow start of a service.
    pub(crate) fn end_ramps(&mut self, service: &Name) {
        let Some(pool) = self.pools.get(service) else { return };
        let ramping = pool.servers.iter().filter(|(_, server)| server.ramp.is_some());
        for server in ramping.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.set_ramp(service, &server, None);
        }
    }

    /// Takes the next raise of a server, which is called so, off the timers or puts it there.
    pub(crate) fn list_ramp(
        &mut self,
        service: &Name,
        server: &Name,
        ramp: Option<Ramp>,
        on: bool,
    ) {
        let Some(ramp) = ramp else { return };
        let place = (ramp.next(), (service.clone(), server.clone()));
        if on {
            self.ramps.insert(place);
        } else {
            self.ramps.remove(&place);
        }
    }

    /// Makes the raises that are due.
    pub(crate) fn advance_ramps(&mut self, now: Instant) {
        while self.ramps.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, (service, server))) = self.ramps.pop_first() else { return };
            let known = self.pools.get(&service).and_then(|pool| pool.servers.get(&server));
            let ramp = known
                .and_then(|server| server.ramp.as_deref().copied())
                .and_then(|ramp| ramp.advanced(now));
            self.set_ramp(&service, &server, ramp);
            self.reconcile_service(&service);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(ms))
    }

    #[test]
    fn nine_raises_evenly_spaced_from_a_tenth_to_the_whole() {
        let ramp = Ramp::new(at(1000), Duration::from_secs(9));
        let percent = |ms| ramp.advanced(at(ms)).map(Ramp::percent);
        assert_eq!(percent(1000), Some(10));
        assert_eq!(percent(1999), Some(10));
        assert_eq!(percent(2000), Some(20));
        assert_eq!(percent(9999), Some(90));
        assert_eq!(percent(10_000), None);
        assert_eq!(percent(99_000), None, "a late wake-up skips steps");
    }

    #[test]
    fn the_last_raise_comes_at_the_end_of_a_duration_that_nine_does_not_divide() {
        let ramp = Ramp::new(at(0), Duration::from_secs(10));
        assert_eq!(ramp.advanced(at(9999)).map(Ramp::percent), Some(90));
        assert_eq!(ramp.advanced(at(10_000)), None);
    }
}
