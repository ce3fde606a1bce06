//! Where in its interval a check starts, so that the checks of many servers don't burst together.

use std::time::Duration;

/// The first run is never later than this after the start, however long the interval is: a service with a check a minute should
/// not wait a minute for its first server.
pub const SPREAD_LIMIT: Duration = Duration::from_secs(5);

/// How long after the start the first check of `server` in `service` runs: at least zero, less than `interval` and less than
/// [`SPREAD_LIMIT`].
///
/// The same names give the same answer in every run of the daemon and on every node: nothing here is random. Every run keeps its
/// place in the interval, so what is spread at the start stays spread.
pub fn first_run(service: &str, server: &str, interval: Duration) -> Duration {
    let span = interval.min(SPREAD_LIMIT).as_nanos();
    let part = u128::from(hash(service, server));
    // Below `span`, which is at most five seconds: it fits.
    Duration::from_nanos(u64::try_from((part * span) >> 64).unwrap_or(0))
}

/// FNV-1a over both names with a byte between them that no text contains, then the finaliser of SplitMix64: the names of a pool
/// differ in their last byte, which FNV alone leaves in the low bits.
fn hash(service: &str, server: &str) -> u64 {
    let bytes = service.bytes().chain([0xff]).chain(server.bytes());
    let fnv = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_thousand_servers_spread_evenly() {
        let interval = Duration::from_secs(2);
        let mut tenths = [0_u32; 10];
        for number in 0..10_000 {
            let offset = first_run("web", &format!("web{number}"), interval);
            tenths[usize::try_from(offset.as_millis() / 200).unwrap()] += 1;
        }
        // 1000 each on average; six standard deviations (30) either way.
        assert!(tenths.iter().all(|count| (820..=1180).contains(count)), "{tenths:?}");
    }

    #[test]
    fn the_offset_is_the_same_in_every_run() {
        // Computed by hand: it must not change with the compiler, the platform or the day.
        let offset = first_run("web", "web1", Duration::from_secs(2));
        assert_eq!(offset, Duration::from_nanos(1_427_512_212));
        assert_ne!(first_run("we", "bweb1", Duration::from_secs(2)), offset);
    }

    proptest! {
        #[test]
        fn the_offset_lies_in_the_interval_and_under_the_limit(
            service in ".{0,12}", server in ".{0,12}", nanos in any::<u64>(),
        ) {
            let interval = Duration::from_nanos(nanos);
            let offset = first_run(&service, &server, interval);
            prop_assert!(offset < interval.max(Duration::from_nanos(1)));
            prop_assert!(offset < SPREAD_LIMIT);
        }
    }
}
