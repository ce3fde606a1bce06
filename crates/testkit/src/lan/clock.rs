//! A machine's own clock, which may run faster or slower than the LAN's.

use std::time::Duration;

use holdfast_time::Instant;

/// A clock that goes at a rate of its own and never goes back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When the rate was set, by the LAN's time and by this clock's.
    since: (Instant, Instant),
    /// How many millionths it is too fast; negative when it is too slow.
    ppm: i32,
}

impl Clock {
    /// A clock that is right.
    pub(super) const RIGHT: Self = Self { since: (Instant::ZERO, Instant::ZERO), ppm: 0 };

    /// Goes on at another rate from `now`, the LAN's time. Beyond half and double the rate is cut.
    pub(super) fn set_rate(&mut self, now: Instant, ppm: i32) {
        self.since = (now, self.reads(now));
        self.ppm = ppm.clamp(-500_000, 1_000_000);
    }

    /// What it reads at `now`, the LAN's time.
    pub(super) fn reads(&self, now: Instant) -> Instant {
        let (lan, own) = self.since;
        own + scale(now.saturating_since(lan), self.rate(), MILLION)
    }

    /// The LAN's time at which it reads `own`, or later by no more than it takes to count one nanosecond.
    pub(super) fn lan_time(&self, own: Instant) -> Instant {
        let (lan, since) = self.since;
        let mut at = lan + scale(own.saturating_since(since), MILLION, self.rate());
        // The divisions round down; a timer must not be looked at too early.
        while self.reads(at) < own {
            at += Duration::from_nanos(1);
        }
        at
    }

    fn rate(&self) -> u64 {
        MILLION.saturating_add_signed(i64::from(self.ppm))
    }
}

const MILLION: u64 = 1_000_000;

fn scale(duration: Duration, by: u64, of: u64) -> Duration {
    let nanos = duration.as_nanos() * u128::from(by) / u128::from(of);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_looked_at_too_early_nor_much_too_late() {
        for ppm in [-1000, -7, 0, 7, 1000, 500_000] {
            let mut clock = Clock::RIGHT;
            clock.set_rate(Instant::from_start(Duration::from_secs(5)), ppm);
            for nanos in [0, 1, 999, 78_125, 3_609_375_001, 86_400_000_000_007] {
                let deadline =
                    Instant::from_start(Duration::from_secs(5) + Duration::from_nanos(nanos));
                let at = clock.lan_time(deadline);
                assert!(clock.reads(at) >= deadline, "{ppm} {nanos}");
                assert!(clock.reads(at) <= deadline + Duration::from_nanos(2), "{ppm} {nanos}");
            }
        }
    }

    #[test]
    fn a_clock_that_is_right_reads_what_the_lan_does() {
        let at = Instant::from_start(Duration::from_nanos(123_456_789));
        assert_eq!((Clock::RIGHT.reads(at), Clock::RIGHT.lan_time(at)), (at, at));
    }
}
