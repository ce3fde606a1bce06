//! How late timers fire: a histogram, for whoever wants to know whether the host can keep its intervals; and what a Backup makes of having
//! been late itself.

use std::time::Duration;

use holdfast_control as control;
use holdfast_time::Instant;

/// A thread that is so late stood still.
pub(super) const STANDSTILL: Duration = Duration::from_millis(5);

/// What others sent while this machine stood still gets so much time to arrive.
const GRACE: Duration = Duration::from_millis(2);

/// Whether Backups may believe their timers. After a sleep that ended late they wait a moment longer: who stood still as a whole, as a
/// virtual machine does, gets what others sent meanwhile only after it goes on, and an Active that stood still with it, being on the same
/// host, speaks then. Not twice in a row: where every sleep ends late, takeovers are not late for ever.
#[derive(Debug, Default)]
pub(super) struct Hesitation {
    /// Until when, and what Backups know until then: what was there before the sleep.
    until: Option<(Instant, Instant)>,
}

impl Hesitation {
    /// A sleep that began at `slept_at` has ended at `at`, `late` after its deadline. Whether Backups hesitate in this turn: until when
    /// everything is known to them then. What ends a sleep sooner than that moment is over, somebody's question say, does not end it.
    pub(super) fn begins(
        &mut self,
        slept_at: Instant,
        at: Instant,
        late: Duration,
    ) -> Option<Instant> {
        self.until = match self.until {
            Some(known) => Some(known).filter(|(until, _)| at < *until),
            None => (late >= STANDSTILL).then(|| (at + GRACE, slept_at)),
        };
        self.until.map(|(_, known)| known)
    }

    /// Before when the next sleep does not end by a timer.
    pub(super) fn ends_at(&self) -> Option<Instant> {
        self.until.map(|(until, _)| until)
    }
}

/// The upper bounds of the classes; what is later than the last is in a class of its own.
const BOUNDS: [Duration; 9] = [
    Duration::from_micros(100),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
];

/// Counts of timers by how much after their deadline they fired.
#[derive(Clone, Debug, Default)]
pub(super) struct Lateness {
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
    most: Duration,
}

impl Lateness {
    /// Counts a timer that fired `late` after its deadline.
    pub(super) fn count(&mut self, late: Duration) {
        let class = BOUNDS.iter().position(|bound| late <= *bound).unwrap_or(BOUNDS.len());
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.sum = self.sum.saturating_add(late);
        self.most = self.most.max(late);
    }

    /// `timing` with the histogram.
    pub(super) fn view(&self, timing: control::Timing) -> control::Timing {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let buckets = self.counts.iter().enumerate();
        control::Timing {
            late: buckets.map(|(at, n)| (BOUNDS.get(at).map(|b| micros(*b)), *n)).collect(),
            late_sum_us: micros(self.sum),
            late_max_us: micros(self.most),
            ..timing
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_is_counted_in_the_first_class_that_holds_it() {
        let mut lateness = Lateness::default();
        for micros in [0, 100, 101, 2_000_000] {
            lateness.count(Duration::from_micros(micros));
        }
        let view = lateness.view(control::Timing::default());
        assert_eq!(view.late.first(), Some(&(Some(100), 2)));
        assert_eq!(view.late.get(1), Some(&(Some(500), 1)));
        assert_eq!(view.late.last(), Some(&(None, 1)));
        assert_eq!((view.late_sum_us, view.late_max_us), (2_000_201, 2_000_000));
    }

    #[test]
    fn a_backup_that_was_late_waits_a_moment_and_not_twice_in_a_row() {
        let mut hesitation = Hesitation::default();
        let slept_at = Instant::from_start(Duration::from_secs(1));
        let late = Duration::from_millis(40);
        let at = slept_at + late;
        assert_eq!(hesitation.begins(slept_at, at, Duration::from_millis(4)), None);
        assert_eq!(hesitation.ends_at(), None);
        assert_eq!(hesitation.begins(slept_at, at, late), Some(slept_at));
        assert_eq!(hesitation.ends_at(), Some(at + GRACE));
        let woken = hesitation.begins(at, at + GRACE / 2, Duration::ZERO);
        assert_eq!(woken, Some(slept_at), "by a question: a Backup knows no more than before");
        assert_eq!(hesitation.ends_at(), Some(at + GRACE));
        let over = at + GRACE;
        let known = hesitation.begins(at, over, late);
        assert_eq!(known, None, "a host that is always late has takeovers, too");
        assert_eq!(hesitation.ends_at(), None);
        let again = hesitation.begins(at, over, late);
        assert_eq!(again, Some(at), "and after that it is given a moment again");
    }
}
