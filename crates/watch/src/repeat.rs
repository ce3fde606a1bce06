//! What is tried again and again: a script, an address. The first outcome that counts decides alone; after it so many in a row
//! do as the policy says (`holdfast-health`). A run that takes longer than the interval skips the next ones.

use holdfast_health::{Action, Checker, Event, Initial, Outcome, Policy, State};
use holdfast_net::now;
use holdfast_probe::Exec;
use std::time::Duration;
use tokio::time::sleep;

use crate::reach::Reach;
use crate::{Reading, Report};

/// What is tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trial {
    /// A command, which passes by its exit status 0.
    Script(Exec),
    /// An address, which passes by its answer.
    Reach(Reach),
}

/// Tries something at intervals.
#[derive(Debug)]
pub struct TrialWatcher {
    trial: Trial,
    checker: Checker,
    /// Whether anything has been told yet.
    told: bool,
}

impl TrialWatcher {
    /// Tries `trial` by `policy`, the first time at once.
    pub fn new(trial: Trial, policy: Policy) -> Self {
        let checker = Checker::new(policy, Initial::Down, now(), Duration::ZERO);
        Self { trial, checker, told: false }
    }

    /// What the trials say when it is something else than before; the first when the first outcome is known. A trial that could
    /// not be made, for a reason of this host's own, counts neither way; when it is the first one, that is told.
    pub async fn next(&mut self) -> Report {
        loop {
            match self.checker.poll_action() {
                Some(Action::Changed { to, reason, .. }) => {
                    self.told = true;
                    return report(to, reason.sentence.to_string());
                }
                Some(Action::Run { timeout, .. }) => {
                    let outcome = self.trial.run(timeout).await;
                    self.checker.handle(now(), Event::Finished(outcome));
                    let unknown = self.checker.state() == State::Starting && !self.told;
                    if unknown {
                        self.told = true;
                        return report(State::Starting, self.checker.reason().sentence.to_string());
                    }
                }
                None => {
                    let due = self.checker.poll_timeout().map(|(at, _)| at);
                    let wait = due.map_or(Duration::MAX, |at| at.saturating_since(now()));
                    sleep(wait).await;
                    self.checker.handle_timeout(now());
                }
            }
        }
    }
}

impl Trial {
    async fn run(&self, timeout: Duration) -> Outcome {
        match self {
            Self::Script(exec) => exec.try_apart(timeout).await,
            Self::Reach(reach) => reach.run(timeout).await,
        }
    }
}

fn report(state: State, sentence: String) -> Report {
    let reading = match state {
        State::Up => Reading::Up,
        State::Down => Reading::Down,
        State::Starting => Reading::Unknown,
    };
    Report::new(reading, sentence)
}
