//! What a run says of how much a server may have, besides whether it can serve: an agent's percentage, a command's exit status, a
//! number in a file.

use serde::{Deserialize, Serialize};

/// What a run says of a server's weight and of whether it wants new connections. What it does not mention stays as it was said before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    /// How much of the new connections it may have.
    pub weight: Option<Asked>,
    /// Whether it wants any.
    pub wish: Option<Wish>,
}

/// A weight that a run asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// In place of the configured one (keepalived's `misc_dynamic`).
    Weight(u32),
    /// So many percent of the configured one (HAProxy's agents).
    Percent(u32),
}

/// What an agent wants for its server; it holds until the agent says another (HAProxy's `agent-check`). In the order of their strength:
/// of several agents the one that wants less for its server is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// New connections.
    Ready,
    /// None, and to finish those that it has.
    Drain,
    /// None, as if it were down.
    Maint,
}

impl Feedback {
    /// A run that says nothing of it.
    pub const NONE: Self = Self { weight: None, wish: None };

    /// What is known after a run has said `later`.
    #[must_use]
    pub fn then(self, later: Self) -> Self {
        Self { weight: later.weight.or(self.weight), wish: later.wish.or(self.wish) }
    }
}

impl Wish {
    /// The wish as text, the same in logs and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Drain => "drain",
            Self::Maint => "maint",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_does_not_mention_stays_as_it_was() {
        let half = Feedback { weight: Some(Asked::Percent(50)), wish: None };
        let drain = Feedback { weight: None, wish: Some(Wish::Drain) };
        assert_eq!(half.then(drain), Feedback { weight: Some(Asked::Percent(50)), ..drain });
        assert_eq!(half.then(Feedback::NONE), half);
        let five = Feedback { weight: Some(Asked::Weight(5)), wish: Some(Wish::Ready) };
        assert_eq!(half.then(drain).then(five), five);
    }
}
