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
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Instant(Duration);

impl Instant {
    /// The start that all instants count from.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The instant that lies `since_start` after the start.
    pub const fn from_start(since_start: Duration) -> Self {
        Self(since_start)
    }

    /// The time from the start until this instant.
    pub const fn since_start(self) -> Duration {
        self.0
    }

    /// The time from `earlier` until this instant; zero when `earlier` is the later one.
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates at the end of time (584 thousand million years).
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
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
        Self(self.0.saturating_sub(duration))
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        let second = Duration::from_secs(1);
        assert_eq!(Instant::ZERO - second, Instant::ZERO);
        assert_eq!(Instant::from_start(Duration::MAX) + second, Instant::from_start(Duration::MAX));
        assert_eq!(Instant::ZERO.saturating_since(Instant::ZERO + second), Duration::ZERO);
        assert_eq!((Instant::ZERO + second).saturating_since(Instant::ZERO), second);
    }
}
