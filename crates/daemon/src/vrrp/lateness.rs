//! How late timers fire: a histogram, for whoever wants to know whether the host can keep its intervals.

use std::time::Duration;

use holdfast_control as control;

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
}
