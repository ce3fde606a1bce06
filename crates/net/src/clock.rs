//! The clock of production: CLOCK_BOOTTIME, which never steps and keeps counting while the machine is suspended.

use std::time::Duration;

use holdfast_time::Instant;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// The present instant: the time since the machine was booted, suspension included.
pub fn now() -> Instant {
    read(ClockId::CLOCK_BOOTTIME).map_or(Instant::ZERO, Instant::from_start)
}

/// How long the machine has been suspended since it was booted (CLOCK_BOOTTIME less CLOCK_MONOTONIC). It grows by a sleep and by
/// nothing else, but for what passes between two readings.
pub fn suspended() -> Duration {
    let awake = read(ClockId::CLOCK_MONOTONIC);
    let all = read(ClockId::CLOCK_BOOTTIME);
    all.zip(awake).map_or(Duration::ZERO, |(all, awake)| all.saturating_sub(awake))
}

/// The wall clock's time since 1970; none when it is set to before that.
pub(crate) fn wall_clock() -> Option<Duration> {
    read(ClockId::CLOCK_REALTIME)
}

/// The kernel's time as a duration; none when it is negative, or when the clock does not exist (both clocks exist since Linux 2.6.39).
fn read(clock: ClockId) -> Option<Duration> {
    clock_gettime(clock).ok().and_then(duration)
}

/// A timestamp as a duration since its clock's zero; none when it lies before.
pub(crate) fn duration(time: TimeSpec) -> Option<Duration> {
    let seconds = u64::try_from(time.tv_sec()).ok()?;
    let nanoseconds = u32::try_from(time.tv_nsec()).ok()?;
    Some(Duration::new(seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_never_runs_backwards() {
        let earlier = now();
        assert!(earlier > Instant::ZERO);
        assert!(now() >= earlier);
    }

    #[test]
    fn a_time_before_the_clocks_zero_is_none() {
        assert_eq!(duration(TimeSpec::new(-1, 0)), None);
        assert_eq!(duration(TimeSpec::new(2, 5)), Some(Duration::new(2, 5)));
    }
}
