//! What an instance's changes of state are counted by.

use std::collections::BTreeMap;
use std::time::SystemTime;

use vrrp::Status;

/// The states, in the order of their counters.
const STATES: [Status; 4] = [Status::Initialize, Status::Backup, Status::Active, Status::Releasing];

/// The changes of state of an instance since the daemon started.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transitions {
    to: [u64; STATES.len()],
    last_at: Option<SystemTime>,
}

impl Transitions {
    /// Counts one that led to `status` now.
    pub(super) fn count(&mut self, status: Status) {
        self.last_at = Some(SystemTime::now());
        for (state, counter) in STATES.iter().zip(&mut self.to) {
            if *state == status {
                *counter = counter.saturating_add(1);
            }
        }
    }

    /// All of them.
    pub(super) fn total(&self) -> u64 {
        self.to.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many led to each state, by its name.
    pub(super) fn by_state(&self) -> BTreeMap<String, u64> {
        STATES.iter().zip(self.to).map(|(state, count)| (state.label().to_owned(), count)).collect()
    }

    /// When the last one was, in seconds since 1970 by the wall clock of that moment.
    pub(super) fn last_at(&self) -> Option<u64> {
        let since = self.last_at?.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Some(since.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_where_it_led() {
        let mut transitions = Transitions::default();
        assert_eq!((transitions.total(), transitions.last_at()), (0, None));
        for status in [Status::Backup, Status::Active, Status::Backup] {
            transitions.count(status);
        }
        assert_eq!(transitions.total(), 3);
        let expected = [("active", 1), ("backup", 2), ("initialize", 0), ("releasing", 0)];
        let expected = expected.map(|(state, count)| (state.to_owned(), count));
        assert_eq!(transitions.by_state(), expected.into());
        assert!(transitions.last_at() > Some(1_700_000_000));
    }
}
