//! The formula behind the timers, in nanoseconds. RFC 9568 §6.1 counts centiseconds, in which the skew of all priorities is 0
//! at an interval of 10 ms, and of those above 246 at 250 ms: routers of different rank would then take over together.

use std::time::Duration;

use crate::types::{Interval, Priority, Version};

/// Skew_Time: how much longer than the others a router of this priority waits, so that the best one comes first. Version 2: a
/// 256th of (256 - Priority) seconds, whatever the interval (RFC 3768 §6.1). Version 3: a 256th of (256 - Priority) ×
/// Active_Adver_Interval (RFC 9568 §6.1).
pub(super) fn skew_time(
    version: Version,
    priority: Priority,
    active_adver_interval: Interval,
) -> Duration {
    const NANOSECONDS_PER_CENTISECOND: u64 = 10_000_000;
    let unit = match version {
        Version::V2 => 100,
        Version::V3 => u64::from(active_adver_interval.centiseconds()),
    } * NANOSECONDS_PER_CENTISECOND;
    // Multiplied before it is divided: at most 256 × 40.95 s, which 64 bits hold 10^6 times over.
    Duration::from_nanos((256 - u64::from(priority.value())) * unit / 256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skew(version: Version, priority: u8, centiseconds: u16) -> Duration {
        let interval = Interval::from_centiseconds(centiseconds).unwrap();
        skew_time(version, Priority::new(priority), interval)
    }

    #[test]
    fn v3_skew_is_a_share_of_the_interval_and_never_rounded_to_nothing() {
        assert_eq!(skew(Version::V3, 254, 1), Duration::from_nanos(78_125));
        assert_eq!(skew(Version::V3, 255, 1), Duration::from_nanos(39_062));
        assert_eq!(skew(Version::V3, 100, 1), Duration::from_nanos(6_093_750));
        assert_eq!(skew(Version::V3, 100, 100), Duration::from_nanos(609_375_000));
        assert_eq!(skew(Version::V3, 1, 4095), Duration::from_nanos(40_790_039_062));
    }

    #[test]
    fn v2_skew_is_a_share_of_a_second_whatever_the_interval() {
        assert_eq!(skew(Version::V2, 100, 100), Duration::from_nanos(609_375_000));
        assert_eq!(skew(Version::V2, 100, 300), Duration::from_nanos(609_375_000));
        assert_eq!(skew(Version::V2, 255, 100), Duration::from_nanos(3_906_250));
    }

    #[test]
    fn a_higher_priority_waits_strictly_less_at_every_interval() {
        for centiseconds in [1, 2, 25, 100, 4095] {
            for priority in 1..255 {
                assert!(
                    skew(Version::V3, priority, centiseconds)
                        > skew(Version::V3, priority + 1, centiseconds)
                );
            }
        }
    }
}
