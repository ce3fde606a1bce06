//! What waits for one instance's or group's hooks, in the order in which it happened.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Hook, HookEvent};

use super::notice::{Facts, Notice};

/// So many notices wait for one instance or group.
pub(super) const WAITING_MAX: usize = 64;

/// The hooks of one instance or group, and what waits for them.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) orders: Arc<Orders>,
    waiting: VecDeque<Notice>,
    /// Whether hooks run now or have their turn soon: one notice at a time.
    pub(super) busy: bool,
    /// The configuration has no hook for it any more; what is told of its end is still to be run.
    pub(super) orphan: bool,
}

/// What does not change about a lane.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) commands: Vec<Command>,
    pub(super) facts: Facts,
}

/// One hook.
#[derive(Clone, Debug)]
pub(super) struct Command {
    pub(super) command: Vec<String>,
    pub(super) on: BTreeSet<HookEvent>,
    pub(super) timeout: Duration,
}

impl From<&Hook> for Command {
    fn from(hook: &Hook) -> Self {
        let Hook { command, on, timeout, .. } = hook.clone();
        Self { command, on, timeout }
    }
}

impl Lane {
    pub(super) fn new(commands: Vec<Command>, facts: Facts) -> Self {
        let orders = Arc::new(Orders { commands, facts });
        Self { orders, waiting: VecDeque::new(), busy: false, orphan: false }
    }

    /// Whether a hook wants to know of `event`.
    pub(super) fn wants(&self, event: HookEvent) -> bool {
        self.orders.commands.iter().any(|command| command.on.contains(&event))
    }

    /// Puts `notice` behind what waits. At the limit the oldest notice that a later one supersedes is taken out and returned:
    /// what has become of the instance in the end is always told.
    pub(super) fn push(&mut self, notice: Notice) -> Option<Notice> {
        self.waiting.push_back(notice);
        if self.waiting.len() <= WAITING_MAX { None } else { self.take_superseded() }
    }

    /// Takes out every notice that a later one supersedes: how many those were.
    pub(super) fn keep_the_last(&mut self) -> usize {
        std::iter::from_fn(|| self.take_superseded()).count()
    }

    pub(super) fn pop(&mut self) -> Option<Notice> {
        self.waiting.pop_front()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    fn take_superseded(&mut self) -> Option<Notice> {
        let class_at = |place: usize| self.waiting.get(place).map(|notice| class(notice.event));
        let superseded = (0..self.waiting.len()).find(|place| {
            (place + 1..self.waiting.len()).any(|later| class_at(later) == class_at(*place))
        })?;
        self.waiting.remove(superseded)
    }
}

/// Notices of one class are about the same, so that a later one makes an earlier one worthless.
const fn class(event: HookEvent) -> u8 {
    match event {
        HookEvent::Active
        | HookEvent::Backup
        | HookEvent::Fault
        | HookEvent::Stop
        | HookEvent::Up
        | HookEvent::Down => 0,
        HookEvent::Priority => 1,
        HookEvent::LowerPriority => 2,
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::super::notice::{NoticeState, Subject};
    use super::*;

    fn notice(event: HookEvent, priority: u8) -> Notice {
        let subject = Subject::Instance("edge".to_owned().try_into().unwrap());
        let (state, at) = (NoticeState::Active, SystemTime::UNIX_EPOCH);
        Notice { subject, event, state, priority, reason: String::new(), at }
    }

    #[test]
    fn at_the_limit_the_oldest_superseded_goes_and_the_last_word_of_each_kind_stays() {
        let mut lane = Lane::new(Vec::new(), Facts::default());
        assert_eq!(lane.push(notice(HookEvent::LowerPriority, 0)), None);
        assert_eq!(lane.push(notice(HookEvent::Priority, 1)), None);
        for number in 2..64 {
            assert_eq!(lane.push(notice(HookEvent::Active, number)), None);
        }
        let dropped = lane.push(notice(HookEvent::Backup, 64));
        assert_eq!(dropped.map(|notice| notice.priority), Some(2), "the first change of state");
        assert_eq!(lane.waiting(), WAITING_MAX);
        let dropped = lane.push(notice(HookEvent::Priority, 65));
        assert_eq!(dropped.map(|notice| notice.priority), Some(1), "the older priority");
        assert_eq!(lane.keep_the_last(), 61);
        let left: Vec<u8> = std::iter::from_fn(|| lane.pop()).map(|one| one.priority).collect();
        assert_eq!(left, [0, 64, 65]);
    }
}
