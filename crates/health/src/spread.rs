//! Where in its interval a check starts, so that the checks of many servers don't burst together.

use std::time::Duration;

/// Where the configuration does not say otherwise the first run is never later than this after the start, however long the interval
/// is: a service with a check a minute should not wait a minute for its first server.
pub const SPREAD_LIMIT: Duration = Duration::from_secs(5);

/// The golden ratio's part of 2⁶⁴: multiples of it fall into the largest gap that those before have left.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// How long after the start the check number `nth`, from 0, of `server` in `service` runs first: at least zero and less than `span`.
///
/// The same names give the same answer in every run of the daemon and on every node: nothing here is random. Every run keeps its
/// place in the interval, so what is spread at the start stays spread. Several checks of one server don't meet there either.
pub fn first_run(service: &str, server: &str, nth: usize, span: Duration) -> Duration {
    let turn = GOLDEN.wrapping_mul(u64::try_from(nth).unwrap_or(u64::MAX));
    let part = u128::from(hash(service, server).wrapping_add(turn));
    // 2⁶⁴ nanoseconds are 584 years.
    let span = span.as_nanos().min(u128::from(u64::MAX));
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
            let offset = first_run("web", &format!("web{number}"), 0, interval);
            tenths[usize::try_from(offset.as_millis() / 200).unwrap()] += 1;
        }
        // 1000 each on average; six standard deviations (30) either way.
        assert!(tenths.iter().all(|count| (820..=1180).contains(count)), "{tenths:?}");
    }

    #[test]
    fn the_offset_is_the_same_in_every_run() {
        // Computed by hand: it must not change with the compiler, the platform or the day.
        let offset = first_run("web", "web1", 0, Duration::from_secs(2));
        assert_eq!(offset, Duration::from_nanos(1_427_512_212));
        assert_ne!(first_run("we", "bweb1", 0, Duration::from_secs(2)), offset);
    }

    #[test]
    fn the_checks_of_one_server_keep_apart() {
        let span = Duration::from_secs(16);
        let mut places: Vec<_> = (0..16).map(|nth| first_run("web", "web1", nth, span)).collect();
        places.sort();
        let gap = places.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).min();
        // Sixteen multiples of the golden ratio leave no gap below a sixteenth by φ².
        assert!(gap > Some(Duration::from_millis(380)), "{places:?}");
    }

    proptest! {
        #[test]
        fn the_offset_lies_in_the_span(
            service in ".{0,12}", server in ".{0,12}", nth in 0..16_usize, nanos in any::<u64>(),
        ) {
            let span = Duration::from_nanos(nanos);
            let offset = first_run(&service, &server, nth, span);
            prop_assert!(offset < span.max(Duration::from_nanos(1)));
        }
    }
}
