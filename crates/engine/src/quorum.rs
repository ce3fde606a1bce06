//! The quorum of a service: whether enough of its servers can serve (keepalived's `update_quorum_state`).
//!
//! W is the sum of the weights of the servers that take new clients: those that are ready and whose checks say up, each with its
//! configured weight × the operator's share × what its checks ask for. A slow start doesn't count, nor does the kernel's scale. With `quorum`
//! Q and `hysteresis` h, which is less than Q:
//!
//! | | W ≥ Q + h | Q − h ≤ W < Q + h, W > 0 | W < Q − h, or W = 0 |
//! |---|---|---|---|
//! | starting, for some server no run has ended yet | Q1 up | Q2 starting | Q3 starting |
//! | starting, one has for each | Q1 up | Q4 up where W ≥ Q, otherwise down | Q5 down |
//! | up | Q6 up | Q7 up | Q8 down |
//! | down | Q9 up | Q10 down | Q11 down |
//!
//! A run that could not be made (inconclusive) has ended, too: where all checks of a service are such, its sorry servers or `fail_open` serve.
//! A BFD session that has not come up yet is waited for.
//!
//! A service is starting from the daemon's start until it is up or down for the first time, and never again: a server that is added
//! later, and waits for its first pass, has no part in it. What follows from the state is `all_down`'s:
//!
//! | quorum | `all_down` | servers that take new connections | instances that hold the addresses |
//! |---|---|---|---|
//! | up, starting | any | those that can serve | – |
//! | down | `drop` | those that can serve | – |
//! | down | `withdraw_vip` | those that can serve | in fault |
//! | down | `sorry` | the sorry servers alone | – |
//! | down | `fail_open` | all that the operator has not taken out | – |

use std::fmt;

use holdfast_config::{AllDown, Quorum};

/// Whether a service has its quorum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuorumState {
    /// Nobody knows yet.
    #[default]
    Starting,
    /// It has.
    Up,
    /// It has not.
    Down,
}

impl QuorumState {
    /// The state as text, the same in logs, metrics and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Down => "down",
        }
    }

    /// The state after this one where the weight is `weight`; `waits` says whether no run has ended yet for some server that is ready. It is the table
    /// at the head of this module.
    #[must_use]
    pub fn after(self, weight: u64, waits: bool, quorum: Quorum) -> Self {
        let gained = weight >= quorum.gain();
        let lost = weight == 0 || weight < quorum.keep();
        match self {
            Self::Starting | Self::Down if gained => Self::Up,
            Self::Starting if waits => Self::Starting,
            Self::Starting if weight >= u64::from(quorum.weight) => Self::Up,
            Self::Up if !lost => Self::Up,
            Self::Starting | Self::Down | Self::Up => Self::Down,
        }
    }
}

impl fmt::Display for QuorumState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// Who takes the new connections of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// The servers that can serve.
    Normal,
    /// The sorry servers.
    Sorry,
    /// Every server that the operator has not taken out.
    FailOpen,
}

impl Regime {
    /// That of a service whose quorum is `state`.
    pub const fn of(state: QuorumState, all_down: AllDown) -> Self {
        match (state, all_down) {
            (QuorumState::Down, AllDown::Sorry) => Self::Sorry,
            (QuorumState::Down, AllDown::FailOpen) => Self::FailOpen,
            (QuorumState::Down, AllDown::Drop | AllDown::WithdrawVip)
            | (QuorumState::Up | QuorumState::Starting, _) => Self::Normal,
        }
    }

    /// The regime as text, the same in logs and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Sorry => "sorry",
            Self::FailOpen => "fail_open",
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_config::{Environment, parse};
    use proptest::prelude::*;

    use super::*;
    use QuorumState::{Down, Starting, Up};

    /// A quorum can be made by a configuration alone.
    fn quorum(weight: u32, hysteresis: u32) -> Quorum {
        let text = format!(
            "services: {{a: {{listen: tcp 192.0.2.10:80, forward: nat, quorum: {weight}, hysteresis: {hysteresis}}}}}\n"
        );
        let config = parse("f", text, &Environment::new("n")).config.expect("a configuration");
        config.services.values().next().expect("a service").policy.quorum
    }

    #[test]
    fn the_table() {
        let quorum = quorum(5, 2);
        for (id, state, weight, waits, expected) in [
            ("Q1", Starting, 7, true, Up),
            ("Q1", Starting, 7, false, Up),
            ("Q2", Starting, 6, true, Starting),
            ("Q2", Starting, 3, true, Starting),
            ("Q3", Starting, 2, true, Starting),
            ("Q3", Starting, 0, true, Starting),
            ("Q4", Starting, 5, false, Up),
            ("Q4", Starting, 4, false, Down),
            ("Q5", Starting, 2, false, Down),
            ("Q5", Starting, 0, false, Down),
            ("Q6", Up, 7, false, Up),
            ("Q7", Up, 3, true, Up),
            ("Q8", Up, 2, false, Down),
            ("Q8", Up, 0, true, Down),
            ("Q9", Down, 7, true, Up),
            ("Q10", Down, 6, false, Down),
            ("Q10", Down, 3, true, Down),
            ("Q11", Down, 0, false, Down),
        ] {
            assert_eq!(state.after(weight, waits, quorum), expected, "{id}: {state} at {weight}");
        }
    }

    #[test]
    fn a_service_without_any_weight_is_down_whatever_the_quorum() {
        let one = quorum(1, 0);
        assert_eq!(Up.after(0, false, one), Down);
        assert_eq!(Down.after(1, false, one), Up);
        let wide = quorum(3, 2);
        assert_eq!(Up.after(1, false, wide), Up);
        assert_eq!(Up.after(0, false, wide), Down);
    }

    #[test]
    fn what_all_down_makes_of_the_state() {
        for (state, all_down, expected) in [
            (Up, AllDown::Sorry, Regime::Normal),
            (Starting, AllDown::Sorry, Regime::Normal),
            (Starting, AllDown::FailOpen, Regime::Normal),
            (Down, AllDown::Drop, Regime::Normal),
            (Down, AllDown::WithdrawVip, Regime::Normal),
            (Down, AllDown::Sorry, Regime::Sorry),
            (Down, AllDown::FailOpen, Regime::FailOpen),
        ] {
            assert_eq!(Regime::of(state, all_down), expected, "{state} {all_down:?}");
        }
    }

    /// keepalived's, from the words of its manual: after the first verdict the state is that of the last weight outside of the band, and
    /// the band is [Q − h, Q + h).
    fn model(weights: &[u64], (weight, hysteresis): (u64, u64)) -> QuorumState {
        let outside = weights.iter().rev().find_map(|sum| {
            if *sum >= weight + hysteresis {
                Some(Up)
            } else if *sum == 0 || *sum < weight - hysteresis {
                Some(Down)
            } else {
                None
            }
        });
        let first = weights.first().map_or(Starting, |sum| if *sum >= weight { Up } else { Down });
        outside.unwrap_or(first)
    }

    proptest! {
        #[test]
        fn it_is_the_last_weight_outside_of_the_band(
            weight in 1..20_u32, hysteresis in 0..20_u32,
            weights in prop::collection::vec(0..45_u64, 0..40),
        ) {
            let hysteresis = hysteresis % weight;
            let quorum = quorum(weight, hysteresis);
            let mut state = Starting;
            for at in 0..weights.len() {
                state = state.after(weights[at], false, quorum);
                let expected = model(&weights[..=at], (weight.into(), hysteresis.into()));
                prop_assert_eq!(state, expected);
            }
        }

        /// The wait for the first verdicts can only put off, never decide otherwise.
        #[test]
        fn a_server_that_waits_takes_nothing_down(weight in 1..20_u32, sum in 0..45_u64) {
            let quorum = quorum(weight, weight / 2);
            prop_assert_ne!(Starting.after(sum, true, quorum), Down);
        }
    }
}
