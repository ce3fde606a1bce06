//! When a worker that has died is started again.

use std::time::Duration;

use holdfast_time::Instant;

/// A worker that has worked for so long begins a new count: what ended it is another matter than what ended the ones before.
const SETTLED: Duration = Duration::from_secs(10);

/// The pause before the second start in a row; the first has none. It doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// So many deaths in a row are a crash loop, and called so.
pub(crate) const LOOP: u32 = 4;

/// Deaths in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    deaths: u32,
}

impl Backoff {
    /// The worker that began at `begun` has died: how long to wait before the next one.
    pub(crate) fn after(&mut self, begun: Instant, now: Instant) -> Duration {
        if now.saturating_since(begun) >= SETTLED {
            self.deaths = 0;
        }
        self.deaths = self.deaths.saturating_add(1);
        match self.deaths.checked_sub(2) {
            None => Duration::ZERO,
            Some(doublings) => {
                FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_PAUSE)
            }
        }
    }

    /// How many died in a row.
    pub(crate) const fn deaths(self) -> u32 {
        self.deaths
    }

    /// Whether they die so fast that it is no accident.
    pub(crate) const fn loops(self) -> bool {
        self.deaths >= LOOP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_death_costs_no_time_and_a_row_of_them_more_and_more() {
        let mut backoff = Backoff::default();
        let begun = Instant::from_start(Duration::from_secs(100));
        let soon = begun + Duration::from_millis(50);
        let pauses: Vec<u128> = (0..9).map(|_| backoff.after(begun, soon).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000]);
        assert!(backoff.loops());
        for _ in 0..100 {
            assert_eq!(backoff.after(begun, soon), LONGEST_PAUSE);
        }
    }

    #[test]
    fn a_worker_that_worked_begins_a_new_count() {
        let mut backoff = Backoff::default();
        let begun = Instant::from_start(Duration::from_secs(100));
        for _ in 0..5 {
            backoff.after(begun, begun);
        }
        assert_eq!(backoff.after(begun, begun + SETTLED), Duration::ZERO);
        assert!(!backoff.loops());
    }
}
