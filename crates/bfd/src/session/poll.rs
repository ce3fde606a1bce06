//! Poll Sequences (§6.5) and the intervals that hang on them (§6.8.3).

use super::{Params, Session};
use crate::wire::{Micros, State};

/// Where the session's Poll Sequence is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Poll {
    /// There is none.
    #[default]
    Idle,
    /// P is sent until F comes.
    Running {
        /// What was said changed meanwhile: F may answer the older values, and another sequence follows.
        again: bool,
    },
    /// F has come, and another sequence begins after a packet without F (§6.8.3, the third choice).
    Settling,
}

impl Poll {
    /// Whether P is sent.
    pub(super) const fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// What was said has changed.
    const fn begin(self) -> Self {
        match self {
            Self::Idle => Self::Running { again: false },
            Self::Running { .. } => Self::Running { again: true },
            Self::Settling => Self::Settling,
        }
    }

    /// A packet came in.
    const fn follow(self, is_final: bool) -> Self {
        match (self, is_final) {
            (Self::Running { again: false }, true) => Self::Idle,
            (Self::Running { again: true }, true) => Self::Settling,
            (Self::Settling, false) => Self::Running { again: false },
            (Self::Idle | Self::Settling, true)
            | (Self::Idle | Self::Running { again: false | true }, false) => self,
        }
    }
}

impl Session {
    /// bfd.DesiredMinTxInterval as it is said: a second or more while not Up.
    pub(super) fn desired_min_tx(&self) -> Micros {
        let configured = self.params.desired_min_tx();
        match self.state {
            State::Up => configured,
            State::AdminDown | State::Down | State::Init => configured.max(super::SLOW),
        }
    }

    pub(super) fn reconfigure(&mut self, params: Params) {
        self.params = self.params.renewed(&params);
        self.jitter.set_multiplier(self.params.detect_mult());
        self.negotiate();
    }

    /// What is said may have changed, or may count now: a change begins a Poll Sequence, and what must not wait for its end counts
    /// at once.
    pub(super) fn negotiate(&mut self) {
        let (tx, rx) = (self.desired_min_tx(), self.params.required_min_rx());
        if self.announced != (tx, rx) {
            self.announced = (tx, rx);
            self.poll = self.poll.begin();
        }
        let is_up = self.state == State::Up;
        // The peer goes on detecting by the shorter interval until it has read of the longer one.
        if !is_up || tx < self.effective_tx {
            self.effective_tx = tx;
        }
        // The peer goes on sending at the longer interval until it has read of the shorter one.
        if !is_up || rx > self.effective_rx {
            self.effective_rx = rx;
        }
    }

    /// Follows the Poll Sequence when a packet came in; at its end the intervals that were said count.
    pub(super) fn follow_poll(&mut self, is_final: bool) {
        let before = self.poll;
        self.poll = before.follow(is_final);
        if before.is_running() && self.poll == Poll::Idle {
            self.effective_tx = self.desired_min_tx();
            self.effective_rx = self.params.required_min_rx();
        }
    }
}
