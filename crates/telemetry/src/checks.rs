//! How checks' runs ended, and how long they took, all together: a histogram for each of ten thousand servers would be more than any
//! reader wants.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The upper bounds of the histogram's classes, in microseconds; the last has none.
const BOUNDS_US: [u64; 12] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

static CLASSES: [AtomicU64; BOUNDS_US.len() + 1] =
    [const { AtomicU64::new(0) }; BOUNDS_US.len() + 1];
static SUM_US: AtomicU64 = AtomicU64::new(0);

/// By result and reason. Both are words of this program's, so that there are a few dozen.
static OUTCOMES: Mutex<Outcomes> = Mutex::new(BTreeMap::new());

type Outcomes = BTreeMap<(&'static str, &'static str), u64>;

/// How long runs took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Durations {
    /// For each class its upper bound in seconds, and how many fell into it and into no earlier one.
    pub buckets: Vec<(f64, u64)>,
    /// All together, in seconds.
    pub sum_s: f64,
}

/// Counts a run: `result` is `passed`, `failed` or `inconclusive`, `reason` the code of what was found.
pub fn ended(result: &'static str, reason: &'static str, took: Duration) {
    let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    let class = BOUNDS_US.iter().position(|bound| us <= *bound).unwrap_or(BOUNDS_US.len());
    if let Some(class) = CLASSES.get(class) {
        class.fetch_add(1, Ordering::Relaxed);
    }
    SUM_US.fetch_add(us, Ordering::Relaxed);
    *lock().entry((result, reason)).or_default() += 1;
}

/// How runs ended: result, reason, how many.
pub fn outcomes() -> Vec<(&'static str, &'static str, u64)> {
    lock().iter().map(|((result, reason), count)| (*result, *reason, *count)).collect()
}

/// How long they took.
pub fn durations() -> Durations {
    let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
    let bounds = BOUNDS_US.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
    let counts = CLASSES.iter().map(|class| class.load(Ordering::Relaxed));
    Durations {
        buckets: bounds.zip(counts).collect(),
        sum_s: seconds(SUM_US.load(Ordering::Relaxed)),
    }
}

fn lock() -> MutexGuard<'static, Outcomes> {
    OUTCOMES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_falls_into_the_first_class_that_holds_it() {
        ended("passed", "L4OK", Duration::from_micros(500));
        ended("passed", "L4OK", Duration::from_micros(501));
        ended("failed", "L4TOUT", Duration::from_secs(3600));
        let Durations { buckets, sum_s } = durations();
        assert_eq!(buckets.first(), Some(&(0.0005, 1)));
        assert_eq!(buckets.get(1), Some(&(0.001, 1)));
        assert_eq!(buckets.last(), Some(&(f64::INFINITY, 1)));
        assert!(sum_s > 3600.0);
        assert_eq!(outcomes(), [("failed", "L4TOUT", 1), ("passed", "L4OK", 2)]);
    }
}
