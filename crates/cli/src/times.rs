//! Times as people read them.

use std::time::{Duration, SystemTime};

use humantime::{format_rfc3339_millis, format_rfc3339_seconds};

/// Seconds since 1970 as a day and a time of RFC 3339, in UTC: `2026-11-26T18:05:00Z`.
pub(crate) fn utc(at: u64) -> String {
    format_rfc3339_seconds(since_1970(Duration::from_secs(at))).to_string()
}

/// Milliseconds since 1970 the same way: `2026-11-26T10:42:07.113Z`.
pub(crate) fn utc_ms(at_ms: u64) -> String {
    format_rfc3339_millis(since_1970(Duration::from_millis(at_ms))).to_string()
}

/// A moment, the last of the year 9999 at the latest: the notation has none after it.
fn since_1970(passed: Duration) -> SystemTime {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    SystemTime::UNIX_EPOCH + passed.min(LAST)
}

/// Seconds in the two largest units: `41s`, `2m10s`, `3d02h`.
pub(crate) fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (minutes, hours, days) {
        (0, ..) => format!("{seconds}s"),
        (_, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (_, _, 0) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_as_rfc_3339_has_them() {
        assert_eq!(utc(951_868_799), "2000-02-29T23:59:59Z");
        assert_eq!(utc_ms(1_767_225_599_113), "2025-12-31T23:59:59.113Z");
        assert_eq!(utc(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
