//! The VRRP thread's word that it still means what it has said: that it has read all which had arrived until a moment.
//!
//! A process that stood still finds its addresses gone, because their lifetime is over, or because somebody has taken them off meanwhile;
//! whether it may have them again only its VRRP thread can say, when it has read its queues. So nothing is put anywhere, renewed or
//! announced on an older word than [`FRESH`] allows; who has none asks, and is woken when it comes. A VRRP thread that hangs gives no word:
//! then nothing is renewed, and what has an end ends.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use holdfast_time::Instant;

/// A word of this age is good: a shorter standstill moves no role but at the shortest intervals, and ends no lifetime.
pub(super) const FRESH: Duration = Duration::from_millis(100);

/// Who may wait for a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Asker {
    /// The address thread.
    Addresses = 1,
    /// The thread that renews.
    Renewing = 2,
}

/// The word, and who waits for one.
#[derive(Debug, Default)]
pub(super) struct Word {
    /// Nanoseconds.
    read_until: AtomicU64,
    asked: AtomicU8,
}

impl Word {
    /// Gives the word of `read_until`. The answer is for whom of those that wait it is good enough.
    pub(super) fn give(&self, read_until: Instant, now: Instant) -> Vec<Asker> {
        self.read_until.store(nanoseconds(read_until), Ordering::Release);
        if !self.is_asked() || !is_good(read_until, now, FRESH) {
            return Vec::new();
        }
        let asked = self.asked.swap(0, Ordering::AcqRel);
        let all = [Asker::Addresses, Asker::Renewing].into_iter();
        all.filter(|one| asked & *one as u8 != 0).collect()
    }

    /// Whether the word is at most of this `age`.
    pub(super) fn is_good(&self, now: Instant, age: Duration) -> bool {
        let read_until = Duration::from_nanos(self.read_until.load(Ordering::Acquire));
        is_good(Instant::from_start(read_until), now, age)
    }

    /// Asks for one; whether nobody has asked before.
    pub(super) fn ask(&self, who: Asker) -> bool {
        self.asked.fetch_or(who as u8, Ordering::AcqRel) == 0
    }

    /// Whether somebody waits.
    pub(super) fn is_asked(&self) -> bool {
        self.asked.load(Ordering::Acquire) != 0
    }
}

/// Whether a word of `read_until` is at most of this `age`.
pub(super) fn is_good(read_until: Instant, now: Instant, age: Duration) -> bool {
    now.saturating_since(read_until) <= age
}

fn nanoseconds(at: Instant) -> u64 {
    u64::try_from(at.since_start().as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_is_told_of_a_word_that_is_fresh_and_once() {
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let word = Word::default();
        assert!(!word.is_good(at(5000), FRESH), "nothing was said yet");
        assert!(word.give(at(5000), at(5000)).is_empty() && word.is_good(at(5100), FRESH));
        assert!(!word.is_good(at(5101), FRESH) && word.is_good(at(5101), FRESH * 2));
        assert!(word.ask(Asker::Renewing) && !word.ask(Asker::Addresses));
        assert!(word.give(at(5101), at(10_000)).is_empty(), "it was said before a standstill");
        assert!(word.is_asked());
        assert_eq!(word.give(at(9999), at(10_000)), [Asker::Addresses, Asker::Renewing]);
        assert!(word.give(at(9999), at(10_000)).is_empty());
    }
}
