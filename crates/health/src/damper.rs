//! Flap damping: a server that goes down too often is kept down for a while.
//!
//! A *fall* is what its checks say together going from up to down. With `falls` F, `within` W and `hold` H:
//!
//! | | fall number n within the last W | its checks say anything else | H after the last fall that held |
//! |---|---|---|---|
//! | free | D1 n < F: free; D2 n ≥ F: held, counts as down | D3 what they say | – |
//! | held | D4 n < F: held as long as before; D5 n ≥ F: held for H from now | D6 down | D7 free; earlier falls are forgotten |
//!
//! A fall is in the last W where less than W has passed since. No more than F of them are kept.

use std::collections::VecDeque;
use std::time::Duration;

use holdfast_time::Instant;

use crate::State;

/// The most falls that a policy can ask for.
pub const FALLS_MAX: u32 = 100;

/// When a server is kept down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damping {
    /// So many falls, 1..=[`FALLS_MAX`] …
    pub falls: u32,
    /// … in so long a time …
    pub within: Duration,
    /// … keep it down for so long after the last of them.
    pub hold: Duration,
}

/// What damping knows of one server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damper {
    /// None before the first fall: most servers have none, and there may be a hundred thousand.
    falls: Option<Box<Falls>>,
    was_up: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Falls {
    /// When it fell, the latest last.
    at: VecDeque<Instant>,
    held_until: Option<Instant>,
}

impl Damper {
    /// Takes what the checks of the server say together at `now`, and says what counts. Without `damping` that is the same, and
    /// nothing is kept.
    pub fn handle(&mut self, now: Instant, state: State, damping: Option<&Damping>) -> State {
        let fell = self.was_up && state == State::Down;
        self.was_up = match state {
            State::Up => true,
            State::Down => false,
            // A check that begins anew is no fall, and hides none.
            State::Starting => self.was_up,
        };
        let Some(damping) = damping else {
            self.falls = None;
            return state;
        };
        self.handle_timeout(now);
        if fell {
            self.falls.get_or_insert_default().add(now, damping);
        }
        if self.poll_timeout().is_some() { State::Down } else { state }
    }

    /// Ends the hold if it is over at `now`; whether it did. What the checks say counts from then on: tell it again.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        let over = self.poll_timeout().is_some_and(|until| until <= now);
        if over {
            self.falls = None;
        }
        over
    }

    /// When the hold is over; none while there is none.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.falls.as_ref().and_then(|falls| falls.held_until)
    }

    /// Forgets everything: an operator has taken the matter into his hands.
    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

impl Falls {
    fn add(&mut self, now: Instant, damping: &Damping) {
        let enough = usize::try_from(damping.falls.clamp(1, FALLS_MAX)).unwrap_or(usize::MAX);
        self.at.push_back(now);
        while self.at.len() > enough
            || self.at.front().is_some_and(|at| now.saturating_since(*at) >= damping.within)
        {
            self.at.pop_front();
        }
        if self.at.len() >= enough {
            self.held_until = Some(now + damping.hold);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use State::{Down, Starting, Up};

    const DAMPING: Damping =
        Damping { falls: 3, within: Duration::from_secs(60), hold: Duration::from_secs(300) };

    fn at(s: u64) -> Instant {
        Instant::from_start(Duration::from_secs(1000 + s))
    }

    /// Up and down again, so that the fall is at `s`; what counts then.
    fn fall(damper: &mut Damper, s: u64) -> State {
        damper.handle(at(s), Up, Some(&DAMPING));
        damper.handle(at(s), Down, Some(&DAMPING))
    }

    #[test]
    fn d1_d3_fewer_falls_count_as_they_come() {
        let mut damper = Damper::default();
        assert_eq!(damper.handle(at(0), Down, Some(&DAMPING)), Down, "it was never up: no fall");
        for s in [10, 20] {
            fall(&mut damper, s);
            assert_eq!(damper.poll_timeout(), None);
        }
        assert_eq!(damper.handle(at(30), Up, Some(&DAMPING)), Up);
    }

    #[test]
    fn d2_d6_d7_the_third_fall_holds_it_down_and_the_end_forgets() {
        let mut damper = Damper::default();
        for s in [0, 20, 40] {
            fall(&mut damper, s);
        }
        assert_eq!(damper.poll_timeout(), Some(at(340)));
        assert_eq!(damper.handle(at(100), Up, Some(&DAMPING)), Down);
        assert!(!damper.handle_timeout(at(339)));
        assert!(damper.handle_timeout(at(340)));
        assert_eq!(damper.handle(at(340), Up, Some(&DAMPING)), Up);
        fall(&mut damper, 341);
        assert_eq!(damper.poll_timeout(), None, "the falls before the hold are forgotten");
    }

    #[test]
    fn a_fall_that_is_as_old_as_the_window_does_not_count() {
        let mut damper = Damper::default();
        for s in [0, 30, 60] {
            fall(&mut damper, s);
        }
        assert_eq!(damper.poll_timeout(), None);
        fall(&mut damper, 89);
        assert_eq!(damper.poll_timeout(), Some(at(389)));
    }

    #[test]
    fn d4_d5_falls_while_it_is_held_begin_the_hold_anew_where_there_are_enough() {
        let mut damper = Damper::default();
        for s in [0, 1, 2] {
            fall(&mut damper, s);
        }
        fall(&mut damper, 50);
        assert_eq!(damper.poll_timeout(), Some(at(350)), "of 1, 2 and 50");
        fall(&mut damper, 200);
        assert_eq!(damper.poll_timeout(), Some(at(350)), "alone within its minute");
    }

    #[test]
    fn checks_that_begin_anew_neither_fall_nor_hide_a_fall() {
        let mut damper = Damper::default();
        let damping = Damping { falls: 1, ..DAMPING };
        damper.handle(at(0), Up, Some(&damping));
        assert_eq!(damper.handle(at(1), Starting, Some(&damping)), Starting);
        assert_eq!(damper.poll_timeout(), None);
        damper.handle(at(2), Down, Some(&damping));
        assert!(damper.poll_timeout().is_some());
    }

    #[test]
    fn without_damping_or_after_a_reset_nothing_is_held() {
        let mut damper = Damper::default();
        for s in [0, 1, 2] {
            fall(&mut damper, s);
        }
        let mut other = damper.clone();
        assert_eq!(damper.handle(at(3), Up, None), Up);
        other.reset();
        assert_eq!(other.handle(at(3), Up, Some(&DAMPING)), Up);
    }

    fn state() -> impl Strategy<Value = State> {
        prop::sample::select(vec![Up, Down, Starting])
    }

    /// The definition, from the whole history: what counts after each entry.
    fn model(damping: &Damping, history: &[(u64, State)]) -> Vec<State> {
        let secs = |duration: Duration| duration.as_secs();
        let (mut falls, mut free_from): (Vec<u64>, usize) = (Vec::new(), 0);
        let mut held_until = None;
        let mut last = Down;
        let mut counts = Vec::new();
        for (s, state) in history.iter().copied() {
            if held_until.is_some_and(|until| until <= s) {
                (held_until, free_from) = (None, falls.len());
            }
            if last == Up && state == Down {
                falls.push(s);
                let since = falls.iter().skip(free_from);
                let recent = since.filter(|at| s - **at < secs(damping.within)).count();
                if recent >= damping.falls as usize {
                    held_until = Some(s + secs(damping.hold));
                }
            }
            if state != Starting {
                last = state;
            }
            counts.push(if held_until.is_some() { Down } else { state });
        }
        counts
    }

    proptest! {
        #[test]
        fn it_is_the_model(
            falls in 1..5_u32, within in 1..40_u64, hold in 1..40_u64,
            steps in prop::collection::vec((0..8_u64, state()), 0..60),
        ) {
            let (within, hold) = (Duration::from_secs(within), Duration::from_secs(hold));
            let damping = Damping { falls, within, hold };
            let mut clock = 0;
            let history: Vec<(u64, State)> = steps
                .into_iter()
                .map(|(wait, state)| {
                    clock += wait;
                    (clock, state)
                })
                .collect();
            let mut damper = Damper::default();
            let counts: Vec<State> = history
                .iter()
                .map(|(s, state)| damper.handle(at(*s), *state, Some(&damping)))
                .collect();
            prop_assert_eq!(counts, model(&damping, &history));
            prop_assert!(damper.falls.is_none_or(|known| known.at.len() <= falls as usize));
        }
    }
}
