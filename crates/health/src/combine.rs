//! What several checks of one server say together.
//!
//! | | one is up | one is down | one is starting |
//! |---|---|---|---|
//! | all | up where every one is | down, whatever the others say | starting, where none is down |
//! | any | up, whatever the others say | down where every one is | starting, where none is up |
//!
//! Without a check a server is up.

use crate::State;

/// How the checks of a server are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combine {
    /// All must pass: one that is down takes the server down.
    #[default]
    All,
    /// One that passes suffices.
    Any,
}

impl Combine {
    /// What `states`, in any order, are together.
    pub fn together(self, states: impl IntoIterator<Item = State>) -> State {
        states.into_iter().reduce(|a, b| self.of_two(a, b)).unwrap_or(State::Up)
    }

    const fn of_two(self, a: State, b: State) -> State {
        match (self, a, b) {
            (Self::All, State::Down, _) | (Self::All, _, State::Down) => State::Down,
            (Self::Any, State::Up, _) | (Self::Any, _, State::Up) => State::Up,
            (_, State::Starting, _) | (_, _, State::Starting) => State::Starting,
            (Self::All, State::Up, State::Up) => State::Up,
            (Self::Any, State::Down, State::Down) => State::Down,
        }
    }

    /// The word that the configuration has for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Any => "any",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use State::{Down, Starting, Up};

    #[test]
    fn the_table() {
        for (states, all, any) in [
            (&[][..], Up, Up),
            (&[Up], Up, Up),
            (&[Down], Down, Down),
            (&[Starting], Starting, Starting),
            (&[Up, Down], Down, Up),
            (&[Up, Starting], Starting, Up),
            (&[Down, Starting], Down, Starting),
            (&[Starting, Down, Up], Down, Up),
        ] {
            assert_eq!(Combine::All.together(states.iter().copied()), all, "all of {states:?}");
            assert_eq!(Combine::Any.together(states.iter().copied()), any, "any of {states:?}");
        }
    }

    fn states() -> impl Strategy<Value = Vec<State>> {
        prop::collection::vec(prop::sample::select(vec![Up, Down, Starting]), 1..8)
    }

    proptest! {
        /// The reference: the quantifiers that the words stand for.
        #[test]
        fn all_and_any_mean_what_they_say(states in states()) {
            let expected = |decides: State, other: State| {
                if states.contains(&decides) {
                    decides
                } else if states.contains(&Starting) {
                    Starting
                } else {
                    other
                }
            };
            prop_assert_eq!(Combine::All.together(states.clone()), expected(Down, Up));
            prop_assert_eq!(Combine::Any.together(states.clone()), expected(Up, Down));
        }
    }
}
