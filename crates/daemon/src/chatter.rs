//! How much all instances together say in the log.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_time::Instant;

/// What many instances may have to say at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Another state.
    State,
    /// Something keeps an instance from taking part, or no longer.
    Fault,
    /// What was heard or sent is not as it should be.
    Packet,
}

impl Topic {
    const fn label(self) -> &'static str {
        match self {
            Self::State => "changes of state",
            Self::Fault => "faults of instances",
            Self::Packet => "remarks about packets",
        }
    }
}

/// Lets all instances together say so much of each topic: a thousand that flap would bury everything else, and who writes the log
/// down is no faster for it. What was left out is counted, and said.
#[derive(Debug, Default)]
pub(crate) struct Chatter(RefCell<BTreeMap<Topic, Allowance>>);

#[derive(Debug)]
struct Allowance {
    /// So many lines may be said yet.
    left: u32,
    /// Up to when lines were granted.
    granted: Instant,
    omitted: u64,
}

impl Chatter {
    /// So many lines at once: a host with some hundred instances says what became of each.
    const BURST: u32 = 512;
    /// And one more each time that this has passed.
    const PAUSE: Duration = Duration::from_millis(50);

    /// Whether a line about `topic` may be said; if not, it counts as left out.
    pub(crate) fn allows(&self, now: Instant, topic: Topic) -> bool {
        let mut topics = self.0.borrow_mut();
        let fresh = Allowance { left: Self::BURST, granted: now, omitted: 0 };
        let allowance = topics.entry(topic).or_insert(fresh);
        allowance.grant(now);
        // A line after some that were left out waits for their number.
        let left = allowance.left.checked_sub(1).filter(|_| allowance.omitted == 0);
        match left {
            Some(left) => allowance.left = left,
            None => allowance.omitted = allowance.omitted.saturating_add(1),
        }
        left.is_some()
    }

    /// Says how many lines were left out, where something may be said again.
    pub(crate) fn sum_up(&self, now: Instant) {
        for (topic, omitted) in self.omitted(now) {
            tracing::warn!(
                topic = topic.label(),
                lines = omitted,
                "so many lines were left out of the log: `holdfast status` shows what became of each instance"
            );
        }
    }

    /// What was left out, once, as soon as there is room for a line.
    fn omitted(&self, now: Instant) -> Vec<(Topic, u64)> {
        let mut topics = self.0.borrow_mut();
        let due = topics.iter_mut().filter_map(|(topic, allowance)| {
            allowance.grant(now);
            let left = allowance.left.checked_sub(1).filter(|_| allowance.omitted > 0)?;
            allowance.left = left;
            Some((*topic, std::mem::take(&mut allowance.omitted)))
        });
        due.collect()
    }
}

impl Allowance {
    fn grant(&mut self, now: Instant) {
        let passed = now.saturating_since(self.granted).as_nanos();
        let lines = passed / Chatter::PAUSE.as_nanos();
        if lines > 0 {
            let lines = u32::try_from(lines).unwrap_or(u32::MAX);
            self.left = self.left.saturating_add(lines).min(Chatter::BURST);
            self.granted = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_cut_and_counted_for_each_topic() {
        let chatter = Chatter::default();
        let at = |ms| Instant::from_start(Duration::from_millis(ms));
        let said =
            |ms, lines: usize, topic| (0..lines).filter(|_| chatter.allows(at(ms), topic)).count();
        assert_eq!(said(0, 1000, Topic::State), 512);
        assert_eq!(said(0, 1000, Topic::Fault), 512, "each topic for itself");
        assert_eq!(chatter.omitted(at(49)), []);
        assert_eq!(said(51, 1, Topic::State), 0, "their number comes first");
        assert_eq!(chatter.omitted(at(60)), [(Topic::State, 489), (Topic::Fault, 488)]);
        assert_eq!(chatter.omitted(at(60)), [], "once");
        assert_eq!(said(1000, 100, Topic::State), 18, "one in 50 ms");
    }
}
