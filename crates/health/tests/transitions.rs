//! The transition table at the head of `checker.rs`, line by line, and the clock's half.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use holdfast_health::{
    Action, Checker, Code, Event, Initial, LATE_MARGIN, Outcome, Policy, Reason, State, Timer,
    Verdict,
};
use holdfast_time::Instant;

use Verdict::{Fail, Inconclusive, Pass};

const INTERVAL: Duration = Duration::from_secs(2);
const TIMEOUT: Duration = Duration::from_secs(1);
const POLICY: Policy = Policy::steady(INTERVAL, TIMEOUT, 2, 3);

fn at(millis: u64) -> Instant {
    Instant::from_start(Duration::from_millis(millis))
}

fn outcome(verdict: Verdict) -> Outcome {
    let code = match verdict {
        Pass => Code::L4OK,
        Fail => Code::L4CON,
        Inconclusive => Code::SOCKERR,
    };
    Outcome { verdict, reason: Reason::new(code, "as told"), took: Duration::ZERO }
}

fn actions(checker: &mut Checker) -> Vec<Action> {
    std::iter::from_fn(|| checker.poll_action()).collect()
}

/// Makes the run that is due, lets it find `verdict` at once, and returns the change.
fn turn(checker: &mut Checker, verdict: Verdict) -> Option<(State, State)> {
    let (due, Timer::Run) = checker.poll_timeout().expect("a checker that waits has a deadline");
    checker.handle_timeout(due);
    let deadline = due + TIMEOUT;
    assert_eq!(actions(checker), [Action::Run { timeout: TIMEOUT, deadline }]);
    checker.handle(due, Event::Finished(outcome(verdict)));
    assert_eq!(checker.reason(), &outcome(verdict).reason, "every outcome is remembered");
    let mut changes: Vec<_> = actions(checker)
        .into_iter()
        .map(|action| match action {
            Action::Changed { from, to, reason } => {
                assert_eq!(reason, outcome(verdict).reason);
                (from, to)
            }
            Action::Run { .. } => panic!("a run that is not due"),
        })
        .collect();
    assert!(changes.len() <= 1, "{changes:?}");
    changes.pop()
}

/// Makes runs that find `verdicts` and returns each one's change.
fn turns(checker: &mut Checker, verdicts: &[Verdict]) -> Vec<Option<(State, State)>> {
    verdicts.iter().map(|verdict| turn(checker, *verdict)).collect()
}

fn down() -> Checker {
    Checker::new(POLICY, Initial::Down, at(0), Duration::ZERO)
}

fn adopted() -> Checker {
    Checker::new(POLICY, Initial::Adopted, at(0), Duration::ZERO)
}

const STARTED_UP: Option<(State, State)> = Some((State::Starting, State::Up));
const STARTED_DOWN: Option<(State, State)> = Some((State::Starting, State::Down));
const FELL: Option<(State, State)> = Some((State::Up, State::Down));
const ROSE: Option<(State, State)> = Some((State::Down, State::Up));

#[test]
fn c1_one_pass_suffices_at_the_very_start() {
    let mut checker = down();
    assert_eq!((checker.state(), checker.is_up()), (State::Starting, false));
    assert_eq!(checker.reason().code, Code::INI);
    assert_eq!(turn(&mut checker, Pass), STARTED_UP);
    assert!(checker.is_up());
}

#[test]
fn c2_a_failure_at_the_start_takes_it_down_and_then_rise_counts() {
    let mut checker = down();
    assert_eq!(turns(&mut checker, &[Fail, Pass, Pass]), [STARTED_DOWN, None, ROSE]);
}

#[test]
fn c3_a_run_that_could_not_be_made_leaves_the_start_open() {
    let mut checker = down();
    assert_eq!(turns(&mut checker, &[Inconclusive, Inconclusive, Pass]), [None, None, STARTED_UP]);
}

#[test]
fn c4_c5_rise_passes_in_a_row_bring_it_up() {
    let mut checker = down();
    turn(&mut checker, Fail);
    assert_eq!(checker.against(), (0, 2));
    assert_eq!(turn(&mut checker, Pass), None);
    assert_eq!(checker.against(), (1, 2));
    assert_eq!(turn(&mut checker, Pass), ROSE);
    assert_eq!(checker.against(), (0, 3));
}

#[test]
fn c6_a_failure_begins_the_passes_anew() {
    let mut checker = down();
    turn(&mut checker, Fail);
    assert_eq!(turns(&mut checker, &[Pass, Fail, Pass, Pass]), [None, None, None, ROSE]);
}

#[test]
fn c7_an_inconclusive_run_between_passes_counts_neither_way() {
    let mut checker = down();
    turn(&mut checker, Fail);
    assert_eq!(turns(&mut checker, &[Pass, Inconclusive, Pass]), [None, None, ROSE]);
}

#[test]
fn c8_a_pass_forgets_the_failures() {
    let mut checker = adopted();
    assert_eq!(turns(&mut checker, &[Fail, Fail, Pass, Fail, Fail]), [None; 5]);
    assert!(checker.is_up());
}

#[test]
fn c9_c10_fall_failures_in_a_row_take_it_down() {
    let mut checker = down();
    turn(&mut checker, Pass);
    assert_eq!(turns(&mut checker, &[Fail, Fail]), [None, None]);
    assert_eq!(checker.against(), (2, 3));
    assert_eq!(turn(&mut checker, Fail), FELL);
}

#[test]
fn c10_an_adopted_server_is_up_until_fall_failures() {
    let mut checker = adopted();
    assert!(checker.is_up());
    assert_eq!(checker.reason().code, Code::ADOPTED);
    assert_eq!(turns(&mut checker, &[Fail, Fail, Fail]), [None, None, FELL]);
}

#[test]
fn c11_an_inconclusive_run_between_failures_counts_neither_way() {
    let mut checker = adopted();
    let verdicts = [Fail, Inconclusive, Fail, Inconclusive, Inconclusive, Fail];
    assert_eq!(turns(&mut checker, &verdicts), [None, None, None, None, None, FELL]);
}

#[test]
fn rise_and_fall_of_one_follow_every_outcome() {
    let policy = Policy { rise: 1, fall: 1, ..POLICY };
    let mut checker = Checker::new(policy, Initial::Adopted, at(0), Duration::ZERO);
    assert_eq!(turns(&mut checker, &[Fail, Pass, Fail]), [FELL, ROSE, FELL]);
}

#[test]
fn the_period_is_from_start_to_start() {
    let mut checker = Checker::new(POLICY, Initial::Down, at(0), Duration::from_millis(300));
    assert_eq!(checker.poll_timeout(), Some((at(300), Timer::Run)));
    checker.handle_timeout(at(299));
    assert_eq!(actions(&mut checker), []);
    checker.handle_timeout(at(300));
    assert_eq!(actions(&mut checker).len(), 1);
    checker.handle(at(1200), Event::Finished(outcome(Pass)));
    assert_eq!(checker.poll_timeout(), Some((at(2300), Timer::Run)));
}

#[test]
fn a_late_start_does_not_shift_those_that_follow() {
    let mut checker = down();
    checker.handle_timeout(at(700));
    assert_eq!(actions(&mut checker), [Action::Run { timeout: TIMEOUT, deadline: at(1700) }]);
    checker.handle(at(800), Event::Finished(outcome(Pass)));
    assert_eq!(checker.poll_timeout(), Some((at(2000), Timer::Run)));
}

#[test]
fn runs_never_overlap() {
    let mut checker = down();
    checker.handle_timeout(at(0));
    assert_eq!(actions(&mut checker).len(), 1);
    assert_eq!(checker.poll_timeout(), None);
    checker.handle_timeout(at(10_000));
    assert_eq!(actions(&mut checker), []);
}

#[test]
fn an_outcome_of_no_run_is_ignored() {
    let mut checker = down();
    checker.handle(at(0), Event::Finished(outcome(Pass)));
    assert_eq!((checker.state(), checker.reason().code), (State::Starting, Code::INI));
    assert_eq!(actions(&mut checker), []);
}

#[test]
fn missed_runs_are_not_made_up_for_and_a_stall_makes_no_burst() {
    let mut checker = Checker::new(POLICY, Initial::Adopted, at(0), Duration::from_millis(300));
    // Asleep for half a minute: the run moves to its place in the grid.
    checker.handle_timeout(at(30_000));
    assert_eq!(actions(&mut checker), []);
    assert_eq!(checker.poll_timeout(), Some((at(30_300), Timer::Run)));
    // Late by an interval again: made all the same, and only once.
    checker.handle_timeout(at(40_000));
    assert_eq!(actions(&mut checker).len(), 1);
    checker.handle(at(40_001), Event::Finished(outcome(Pass)));
    assert_eq!(checker.poll_timeout(), Some((at(40_300), Timer::Run)));
}

/// Reliability: a stopped checker does not take every server down when it goes on.
#[test]
fn a_failure_long_after_the_deadline_is_void_and_the_next_is_not() {
    let policy = Policy { fall: 1, ..POLICY };
    let mut checker = Checker::new(policy, Initial::Adopted, at(0), Duration::ZERO);
    checker.handle_timeout(at(0));
    actions(&mut checker);
    checker.handle(at(30_000), Event::Finished(outcome(Fail)));
    assert_eq!(actions(&mut checker), []);
    assert!(checker.is_up());
    assert_eq!(checker.reason().code, Code::SOCKERR);
    assert_eq!(
        checker.reason().sentence,
        "not counted, this host held the run up for 30.0s: L4CON as told"
    );
    assert_eq!(checker.poll_timeout(), Some((at(32_000), Timer::Run)));

    checker.handle_timeout(at(32_000));
    actions(&mut checker);
    checker.handle(at(60_000), Event::Finished(outcome(Fail)));
    assert!(!checker.is_up(), "a host that is always late still notices a dead server");
}

#[test]
fn a_failure_at_the_margin_counts_and_a_late_pass_counts() {
    let policy = Policy { fall: 1, rise: 1, ..POLICY };
    let mut checker = Checker::new(policy, Initial::Adopted, at(0), Duration::ZERO);
    checker.handle_timeout(at(0));
    checker.handle(at(0) + TIMEOUT + LATE_MARGIN, Event::Finished(outcome(Fail)));
    assert_eq!(checker.state(), State::Down);
    checker.handle_timeout(at(2000));
    checker.handle(at(31_000), Event::Finished(outcome(Pass)));
    assert_eq!(checker.state(), State::Up);
}

#[test]
fn a_new_policy_keeps_the_state_and_starves_no_run() {
    let mut checker = adopted();
    turns(&mut checker, &[Fail, Fail]);
    assert_eq!(checker.poll_timeout(), Some((at(4000), Timer::Run)));
    // However often it comes, the run is not put off.
    for _ in 0..100 {
        checker.handle(
            at(3900),
            Event::Reconfigure(Policy { interval: Duration::from_secs(60), ..POLICY }.into()),
        );
    }
    assert_eq!(checker.poll_timeout(), Some((at(4000), Timer::Run)));
    assert_eq!(checker.against(), (2, 3));
    checker.handle(
        at(3900),
        Event::Reconfigure(Policy { interval: Duration::from_millis(50), ..POLICY }.into()),
    );
    assert_eq!(checker.poll_timeout(), Some((at(3950), Timer::Run)));
    checker.handle_timeout(at(3950));
    checker.handle(at(3950), Event::Reconfigure(POLICY.into()));
    checker.handle(at(3960), Event::Finished(outcome(Fail)));
    assert_eq!(checker.state(), State::Down);
    assert_eq!(checker.poll_timeout(), Some((at(5950), Timer::Run)));
}

/// A reload to a shorter interval must not have ten thousand checks run at one moment, and ever after.
#[test]
fn what_is_spread_stays_spread_at_a_shorter_pace() {
    let (slow, quick) = (Duration::from_secs(10), Duration::from_secs(2));
    let mut tenths = [0_u32; 10];
    for number in 0..1000 {
        let first = holdfast_health::first_run("web", &format!("web{number}"), 0, slow);
        let policy = Policy { interval: slow, ..POLICY };
        let mut checker = Checker::new(policy, Initial::Adopted, at(0), first);
        checker.handle(at(0), Event::Reconfigure(Policy { interval: quick, ..POLICY }.into()));
        let (due, _) = checker.poll_timeout().expect("it waits");
        assert!(due <= at(2000), "no later than the new interval from now");
        let after = due.saturating_since(at(0)).as_millis();
        let tenth = usize::try_from(after / 200).expect("a small number").min(9);
        *tenths.get_mut(tenth).expect("a tenth") += 1;
    }
    // 100 each on average; five standard deviations (9.5) either way.
    assert!(tenths.iter().all(|count| (52..=148).contains(count)), "{tenths:?}");
}

/// The table of paces at the head of `checker.rs`.
#[test]
fn the_pace_follows_the_state() {
    let policy = Policy {
        fast_interval: Some(Duration::from_millis(500)),
        down_interval: Some(Duration::from_secs(10)),
        ..POLICY
    };
    let mut checker = Checker::new(policy, Initial::Up, at(0), Duration::ZERO);
    assert_eq!((checker.reason().code, checker.is_up()), (Code::INI, true));
    for (verdict, next) in [
        (Pass, 2000),
        (Fail, 2500),
        (Inconclusive, 3000),
        (Fail, 3500),
        (Fail, 13_500),
        (Fail, 23_500),
        (Pass, 24_000),
        (Inconclusive, 24_500),
        (Pass, 26_500),
    ] {
        turn(&mut checker, verdict);
        assert_eq!(checker.poll_timeout(), Some((at(next), Timer::Run)), "after {verdict:?}");
    }
    assert!(checker.is_up());
}

#[test]
fn a_wake_up_that_is_late_by_a_fast_pace_is_moved_by_less_than_one() {
    let policy = Policy { fast_interval: Some(Duration::from_millis(100)), ..POLICY };
    let mut checker = Checker::new(policy, Initial::Adopted, at(0), Duration::ZERO);
    turn(&mut checker, Fail);
    checker.handle_timeout(at(250));
    assert_eq!(checker.poll_timeout(), Some((at(300), Timer::Run)));
    checker.handle_timeout(at(450));
    assert_eq!(actions(&mut checker).len(), 1, "not moved twice in a row");
}

#[test]
fn changes_that_nobody_took_are_one_change() {
    let policy = Policy { rise: 1, fall: 1, ..POLICY };
    let mut checker = Checker::new(policy, Initial::Adopted, at(0), Duration::ZERO);
    for (millis, verdict) in [(0, Fail), (2000, Pass)] {
        checker.handle_timeout(at(millis));
        checker.handle(at(millis), Event::Finished(outcome(verdict)));
    }
    assert!(!actions(&mut checker).iter().any(|action| matches!(action, Action::Changed { .. })));
}

#[test]
fn an_interval_of_nothing_still_moves_on() {
    let policy = Policy { interval: Duration::ZERO, ..POLICY };
    let mut checker = Checker::new(policy, Initial::Down, at(0), Duration::ZERO);
    checker.handle_timeout(at(5));
    checker.handle_timeout(checker.poll_timeout().unwrap().0);
    checker.handle(at(7), Event::Finished(outcome(Pass)));
    assert!(checker.poll_timeout().unwrap().0 > at(7));
}

#[test]
fn a_prompt_brings_the_next_run_forward_and_the_grid_begins_there() {
    let mut checker = down();
    turn(&mut checker, Pass);
    checker.handle(at(300), Event::Prompt);
    assert_eq!(checker.poll_timeout(), Some((at(300), Timer::Run)));
    turn(&mut checker, Pass);
    assert_eq!(checker.poll_timeout(), Some((at(2300), Timer::Run)));
    checker.handle(at(2400), Event::Prompt);
    assert_eq!(checker.poll_timeout(), Some((at(2300), Timer::Run)), "it is overdue already");
}

#[test]
fn a_prompt_during_a_run_has_another_follow_it_at_once() {
    let mut checker = down();
    checker.handle_timeout(at(0));
    assert_eq!(actions(&mut checker).len(), 1);
    checker.handle(at(10), Event::Prompt);
    checker.handle(at(20), Event::Prompt);
    assert_eq!(checker.poll_timeout(), None, "it runs");
    checker.handle(at(30), Event::Finished(outcome(Pass)));
    assert_eq!(actions(&mut checker).len(), 1, "it is up");
    assert_eq!(checker.poll_timeout(), Some((at(30), Timer::Run)));
    turn(&mut checker, Pass);
    assert_eq!(checker.poll_timeout(), Some((at(2030), Timer::Run)), "once");
}
