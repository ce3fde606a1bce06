//! The instant that pure code is told.
//!
//! Nothing in the pure layer reads a clock: whoever drives it says what time it is. An [`Instant`] is a duration since an
//! arbitrary start (in production CLOCK_BOOTTIME's zero, in a simulation the run's begin), so it can be written down and a run
//! can be replayed.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: nanoseconds since an arbitrary start. Instants of one run compare; those of different runs don't.
///
/// It ends 584 years after the start: a word, because a daemon keeps several for each of a hundred thousand servers.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "Duration", into = "Duration")]
pub struct Instant(u64);

impl Instant {
    /// The start that all instants count from.
    pub const ZERO: Self = Self(0);

    /// The instant that lies `since_start` after the start.
    pub const fn from_start(since_start: Duration) -> Self {
        Self(nanoseconds(since_start))
    }

    /// The time from the start until this instant.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The time from `earlier` until this instant; zero when `earlier` is the later one.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A duration in nanoseconds, [`u64::MAX`] at most.
const fn nanoseconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    seconds.saturating_add(duration.subsec_nanos() as u64)
}

impl From<Duration> for Instant {
    fn from(since_start: Duration) -> Self {
        Self::from_start(since_start)
    }
}

impl From<Instant> for Duration {
    fn from(instant: Instant) -> Self {
        instant.since_start()
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// Saturates at the start.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(duration)))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{:?}", self.since_start())
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&self.since_start()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Instant::ZERO - second, Instant::ZERO);
        let end = Instant::from_start(Duration::MAX);
        assert_eq!((end + second, end + Duration::MAX), (end, end));
        assert_eq!(Instant::ZERO.saturating_since(Instant::ZERO + second), Duration::ZERO);
        assert_eq!((Instant::ZERO + second).saturating_since(Instant::ZERO), second);
    }
}
