//! The checker against a model that keeps every outcome and looks back, and against random clocks.

#![expect(clippy::indexing_slicing, reason = "a test that cannot go on fails")]

use std::time::Duration;

use holdfast_health::{
    Action, Checker, Code, Event, Initial, Outcome, Policy, Reason, Verdict, first_run,
};
use holdfast_time::Instant;
use proptest::prelude::*;

fn outcome(verdict: Verdict) -> Outcome {
    Outcome { verdict, reason: Reason::new(Code::L4OK, ""), took: Duration::ZERO }
}

fn verdict() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        4 => Just(Verdict::Pass),
        4 => Just(Verdict::Fail),
        1 => Just(Verdict::Inconclusive),
    ]
}

fn initial() -> impl Strategy<Value = Initial> {
    prop_oneof![Just(Initial::Down), Just(Initial::Adopted)]
}

fn policy() -> impl Strategy<Value = Policy> {
    (1_u64..5_000, 1_u64..5_000, 1_u32..6, 1_u32..6).prop_map(|(interval, timeout, rise, fall)| {
        let timeout = Duration::from_millis(timeout.min(interval));
        Policy::steady(Duration::from_millis(interval), timeout, rise, fall)
    })
}

/// The same with paces of their own for a server that changes and one that is down.
fn paced() -> impl Strategy<Value = Policy> {
    let pace = || prop::option::of((1_u64..5_000).prop_map(Duration::from_millis));
    (policy(), pace(), pace()).prop_map(|(policy, fast_interval, down_interval)| Policy {
        fast_interval,
        down_interval,
        ..policy
    })
}

/// Whether the server is up after `history`, from the definition: the last outcomes in a row since the last change.
fn model(policy: &Policy, initial: Initial, history: &[Verdict]) -> bool {
    let counted: Vec<Verdict> =
        history.iter().copied().filter(|verdict| *verdict != Verdict::Inconclusive).collect();
    let mut up = initial == Initial::Adopted;
    let mut since = 0;
    for (index, _) in counted.iter().enumerate() {
        let row = &counted[since..=index];
        let needed = if up {
            policy.fall
        } else if initial == Initial::Down && index == 0 {
            1
        } else {
            policy.rise
        };
        let against = if up { Verdict::Fail } else { Verdict::Pass };
        let in_a_row = row.iter().rev().take_while(|verdict| **verdict == against).count();
        if in_a_row >= needed as usize {
            up = !up;
            since = index + 1;
        }
    }
    up
}

proptest! {
    #[test]
    fn rise_and_fall_are_those_of_the_model(
        policy in policy(), initial in initial(), history in prop::collection::vec(verdict(), 0..60),
    ) {
        let mut checker = Checker::new(policy, initial, Instant::ZERO, Duration::ZERO);
        for length in 0..=history.len() {
            prop_assert_eq!(checker.is_up(), model(&policy, initial, &history[..length]));
            let Some(verdict) = history.get(length) else { break };
            let before = checker.state();
            let (due, _) = checker.poll_timeout().unwrap();
            checker.handle_timeout(due);
            checker.handle(due, Event::Finished(outcome(*verdict)));
            let changed = std::iter::from_fn(|| checker.poll_action())
                .any(|action| matches!(action, Action::Changed { .. }));
            prop_assert_eq!(changed, checker.state() != before);
        }
    }

    /// Whatever the clock does: runs never overlap, starts keep to the grid or are late, a wait is never longer than an interval,
    /// and a checker that is woken is never asked to wait twice in a row.
    #[test]
    fn the_clock_half_holds_under_any_lateness(
        policy in policy(),
        service in "[a-z]{1,6}",
        steps in prop::collection::vec((0_u64..20_000, 0_u64..20_000, verdict()), 1..60),
    ) {
        let offset = first_run(&service, "s", 0, policy.interval);
        let mut checker = Checker::new(policy, Initial::Adopted, Instant::ZERO, offset);
        let mut now = Instant::ZERO;
        let mut moved = false;
        for (late, took, verdict) in steps {
            let (due, _) = checker.poll_timeout().unwrap();
            prop_assert!(due >= now);
            prop_assert!(due.saturating_since(now) <= policy.interval);
            let place = due.since_start().saturating_sub(offset).as_nanos();
            prop_assert_eq!(place % policy.interval.as_nanos(), 0, "off the grid");
            now = due + Duration::from_millis(late);
            checker.handle_timeout(now);
            match checker.poll_action() {
                Some(Action::Run { timeout, deadline }) => {
                    prop_assert_eq!(timeout, policy.timeout);
                    prop_assert_eq!(deadline, now + timeout);
                    prop_assert_eq!(checker.poll_timeout(), None);
                    checker.handle_timeout(now);
                    prop_assert_eq!(checker.poll_action(), None, "a run within a run");
                    now += Duration::from_millis(took);
                    checker.handle(now, Event::Finished(outcome(verdict)));
                    while checker.poll_action().is_some() {}
                    moved = false;
                }
                Some(Action::Changed { .. }) => prop_assert!(false, "a change without an outcome"),
                None => {
                    prop_assert!(!moved, "moved twice in a row");
                    prop_assert!(Duration::from_millis(late) >= policy.interval);
                    moved = true;
                }
            }
        }
    }

    /// The bound that docs/policy.md promises: whenever a server stops answering, it is down so long after at the latest. A run that
    /// began before and was not answered yet fails with the others.
    #[test]
    fn a_server_that_stops_answering_is_down_within_the_bound(
        policy in paced(),
        answers in prop::collection::vec(0_u64..5_000, 1..20),
        dies in 0_u64..20_000,
    ) {
        let ms = Duration::from_millis;
        let dies = Instant::ZERO + ms(dies);
        let mut checker = Checker::new(policy, Initial::Adopted, Instant::ZERO, Duration::ZERO);
        let mut answers = answers.into_iter().cycle();
        let down = loop {
            let (due, _) = checker.poll_timeout().unwrap();
            checker.handle_timeout(due);
            let answered = due + ms(answers.next().unwrap_or_default()).min(policy.timeout);
            let (end, verdict) = match answered <= dies {
                true => (answered, Verdict::Pass),
                false => (due + policy.timeout, Verdict::Fail),
            };
            checker.handle(end, Event::Finished(outcome(verdict)));
            while checker.poll_action().is_some() {}
            if !checker.is_up() {
                break end;
            }
        };
        let pace = policy.fast_interval.unwrap_or(policy.interval);
        let paces = policy.timeout.as_nanos() / pace.as_nanos() + 1;
        let apart = pace * u32::try_from(paces).unwrap();
        let bound = policy.interval + apart * (policy.fall - 1) + policy.timeout;
        let took = down.saturating_since(dies);
        prop_assert!(took <= bound, "{:?} after, {:?} promised", took, bound);
    }

    /// Each wait ends a whole number of paces after the place before it, and the pace is that of what the outcomes have made of the
    /// server: the table of the documentation.
    #[test]
    fn the_pace_is_that_of_the_state(
        policy in paced(),
        initial in initial(),
        steps in prop::collection::vec((0_u64..9_000, verdict()), 1..60),
    ) {
        let mut checker = Checker::new(policy, initial, Instant::ZERO, Duration::ZERO);
        let mut history = vec![];
        for (took, verdict) in steps {
            let (due, _) = checker.poll_timeout().unwrap();
            checker.handle_timeout(due);
            let now = due + Duration::from_millis(took);
            // What comes late may be void; the model knows nothing of that.
            let now = now.min(due + policy.timeout);
            checker.handle(now, Event::Finished(outcome(verdict)));
            history.push(verdict);
            let up = model(&policy, initial, &history);
            let started = history.iter().any(|verdict| *verdict != Verdict::Inconclusive);
            let against = checker.against().0;
            let pace = match (up, against) {
                (false, _) if !started && initial == Initial::Down => policy.interval,
                (true, 0) => policy.interval,
                (false, 0) => policy.down_interval.unwrap_or(policy.interval),
                (_, 1..) => policy.fast_interval.unwrap_or(policy.interval),
            };
            let (next, _) = checker.poll_timeout().unwrap();
            prop_assert!(next > now && next.saturating_since(now) <= pace);
            let apart = next.saturating_since(due).as_nanos();
            prop_assert_eq!(apart % pace.as_nanos(), 0, "{:?} after {:?} at {:?}", next, due, pace);
        }
    }
}
