//! Accept_Mode False (RFC 9568 §6.1): keeps the firewall's table as it shall be for as long as the daemon runs. The addresses are in
//! it whether they are held or not: one that is not held is not local, and nothing comes to it.

use std::collections::BTreeSet;
use std::time::Duration;

use holdfast_net::NftError;
use holdfast_net::firewall::{self, Closed};
use holdfast_time::Instant;

use super::kernel::told;
use super::tenant::RETRY_DELAY;

/// How often it is looked for: whoever loads a firewall anew (`nft flush ruleset`) takes it away, and nobody says so.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The firewall's table. Dropping it removes the table.
#[derive(Debug)]
pub(super) struct Acceptance {
    closed: BTreeSet<Closed>,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// And when it is looked for again.
    InForce(Instant),
    /// The last attempt failed, and when the next one may come.
    Refused(String, Instant),
}

impl Acceptance {
    /// Nothing is done yet.
    pub(super) const fn new(closed: BTreeSet<Closed>) -> Self {
        Self { closed, state: State::Open }
    }

    /// Keeps other addresses closed from now on. The table is made anew when somebody needs it next, and removed if nobody does.
    pub(super) fn set(&mut self, closed: BTreeSet<Closed>) {
        if self.closed == closed {
            return;
        }
        self.closed = closed;
        let before = std::mem::replace(&mut self.state, State::Open);
        let nobody = self.closed.is_empty();
        if nobody && matches!(before, State::InForce(_)) {
            log(firewall::close(&self.closed));
        } else if matches!(before, State::InForce(_)) {
            // It stays in force until it is another one; a refusal is told to who needs it.
            drop(self.enforce(holdfast_net::now()));
        }
    }

    /// Makes the table, or removes the one that a killed daemon has left.
    pub(super) fn begin(&mut self, now: Instant) {
        if !self.closed.is_empty() {
            // Who needs it hears of a refusal when it asks.
            drop(self.enforce(now));
            return;
        }
        match firewall::is_closed() {
            Ok(false) => {}
            Ok(true) => {
                tracing::info!(
                    table = firewall::TABLE,
                    "the table that an earlier run has left is removed"
                );
                log(firewall::close(&BTreeSet::new()));
            }
            Err(error) => log(Err(error)),
        }
    }

    /// Sees to it that the table is there, also if somebody has taken it away; after a refusal it is tried again every second.
    ///
    /// # Errors
    /// What the last attempt came to.
    pub(super) fn enforce(&mut self, now: Instant) -> Result<(), String> {
        match &self.state {
            State::InForce(look_at) if *look_at > now => return Ok(()),
            State::InForce(_) if is_there() => {
                self.state = State::InForce(now + LOOK_EVERY);
                return Ok(());
            }
            State::Refused(problem, again_at) if *again_at > now => return Err(problem.clone()),
            State::Open | State::InForce(_) | State::Refused(..) => {}
        }
        let closed = firewall::close(&self.closed);
        // That may have taken seconds.
        let now = holdfast_net::now();
        match closed {
            Ok(()) => {
                self.state = State::InForce(now + LOOK_EVERY);
                Ok(())
            }
            Err(error) => {
                let problem = told(&error);
                // A moment earlier than who asks comes again.
                let again_at = now + RETRY_DELAY.saturating_sub(Duration::from_millis(10));
                self.state = State::Refused(problem.clone(), again_at);
                Err(problem)
            }
        }
    }
}

/// Whether the table is still there, as far as that can be found out.
fn is_there() -> bool {
    let there = !matches!(firewall::is_closed(), Ok(false));
    if !there {
        tracing::warn!(
            table = firewall::TABLE,
            "the table that somebody has taken away is made again"
        );
    }
    there
}

impl Drop for Acceptance {
    fn drop(&mut self) {
        if matches!(self.state, State::InForce(_)) {
            log(firewall::close(&BTreeSet::new()));
        }
    }
}

fn log(result: Result<(), NftError>) {
    if let Err(error) = result.map_err(|error| told(&error)) {
        tracing::error!(
            error,
            "packets to virtual addresses may be dropped though nobody wants it"
        );
    }
}
