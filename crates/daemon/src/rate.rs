//! How often the same thing is said.

use std::time::Duration;

use holdfast_time::Instant;

/// Lets something be said once a second at most.
#[derive(Debug, Default)]
pub(crate) struct RateLimit {
    last: Option<Instant>,
}

impl RateLimit {
    const PAUSE: Duration = Duration::from_secs(1);

    /// Whether it may be said at `now`; if so, it counts as said.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let allowed = self.last.is_none_or(|last| now.saturating_since(last) >= Self::PAUSE);
        if allowed {
            self.last = Some(now);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_one_a_second() {
        let mut limit = RateLimit::default();
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let allowed: Vec<bool> =
            [0, 1, 999, 1000, 1500, 2000].map(|ms| limit.allows(at(ms))).into();
        assert_eq!(allowed, [true, false, false, true, false, true]);
    }
}
