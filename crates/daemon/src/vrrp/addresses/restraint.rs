//! How often what somebody takes away is put back at once.

use std::time::Duration;

use holdfast_time::Instant;

/// So often within [`PERIOD`]; two programs that undo each other's work for ever may not do it as fast as the machine allows.
const AT_ONCE: u32 = 64;
const PERIOD: Duration = Duration::from_secs(1);

/// Counts one instance's rounds of putting back.
#[derive(Debug, Default)]
pub(super) struct Restraint {
    since: Option<Instant>,
    rounds: u32,
}

impl Restraint {
    /// Whether another round may come now; beyond the limit one a period may.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        if self.since.is_none_or(|since| since + PERIOD <= now) {
            (self.since, self.rounds) = (Some(now), 0);
        }
        self.rounds = self.rounds.saturating_add(1);
        self.rounds <= AT_ONCE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_more_after_a_second() {
        let start = Instant::ZERO;
        let mut restraint = Restraint::default();
        assert_eq!((0..100).filter(|_| restraint.allows(start)).count(), 64);
        assert!(!restraint.allows(start + PERIOD - Duration::from_millis(1)));
        assert!(restraint.allows(start + PERIOD));
    }
}
