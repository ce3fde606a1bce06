//! Checks as tasks: each run is one, and ends by its own timeout or with the daemon.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Check, CheckKind, Name, RealServer};
use holdfast_engine::CheckId;
use holdfast_health::{Code, Outcome, Reason, Verdict};
use holdfast_probe::{Exec, Network, Probe};
use tokio::task::{self, JoinError, JoinSet};

/// The runs of checks that are under way: one at most for each check.
#[derive(Debug)]
pub(crate) struct Runner {
    script_user: String,
    runs: JoinSet<Outcome>,
    checks: HashMap<task::Id, CheckId>,
}

impl Runner {
    /// A runner whose scripts run as `script_user`.
    pub(crate) fn new(script_user: &str) -> Self {
        Self { script_user: script_user.to_owned(), runs: JoinSet::new(), checks: HashMap::new() }
    }

    /// Lets scripts run as `script_user` from now on.
    pub(crate) fn set_user(&mut self, script_user: &str) {
        script_user.clone_into(&mut self.script_user);
    }

    /// Starts one run of `check`.
    pub(crate) fn start(
        &mut self,
        id: CheckId,
        service: &Name,
        server: &RealServer,
        check: &Check,
    ) {
        let probe = self.probe(service, server, &check.kind);
        let timeout = check.policy.timeout;
        let run = self.runs.spawn(async move { probe.run(timeout).await });
        self.checks.insert(run.id(), id);
    }

    /// What the next run that ends has found; waits for ever while none is under way. A run that panics is over, and counts
    /// neither way.
    pub(crate) async fn finished(&mut self) -> (CheckId, Outcome) {
        loop {
            let Some(run) = self.runs.join_next_with_id().await else {
                return std::future::pending().await;
            };
            if let Some(found) = self.found(run) {
                return found;
            }
        }
    }

    /// What a run has found that has ended already; none when there is no such run.
    pub(crate) fn finished_already(&mut self) -> Option<(CheckId, Outcome)> {
        loop {
            let run = self.runs.try_join_next_with_id()?;
            if let Some(found) = self.found(run) {
                return Some(found);
            }
        }
    }

    fn found(&mut self, run: Result<(task::Id, Outcome), JoinError>) -> Option<(CheckId, Outcome)> {
        let (run, outcome) = match run {
            Ok((run, outcome)) => (run, outcome),
            Err(error) => (error.id(), broken(&error)),
        };
        self.checks.remove(&run).map(|check| (check, outcome))
    }

    /// Ends every run that is under way, and what it has started.
    pub(crate) async fn stop(&mut self) {
        self.runs.shutdown().await;
    }

    fn probe(&self, service: &Name, server: &RealServer, kind: &CheckKind) -> Probe {
        match kind {
            CheckKind::Network(check) => {
                Probe::Network(Network { check: Arc::clone(check), server: server.address })
            }
            CheckKind::Exec { command, nagios } => {
                let exec = Exec::new(
                    command.clone(),
                    self.script_user.clone(),
                    service.as_str(),
                    server.name.as_str(),
                    server.address,
                );
                Probe::Exec(Exec { nagios: *nagios, ..exec })
            }
        }
    }
}

fn broken(error: &JoinError) -> Outcome {
    tracing::error!(%error, "a run of a check ended by a fault of the daemon");
    let sentence = format!("the run ended by a fault of the daemon: {error}");
    let reason = Reason::new(Code::SOCKERR, sentence);
    Outcome { verdict: Verdict::Inconclusive, reason, took: Duration::ZERO }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_panics_is_over_and_counts_neither_way() {
        let mut runner = Runner::new("nobody");
        let run = runner.runs.spawn(async { panic!("a fault of the check's code") });
        runner.checks.insert(run.id(), CheckId::default());
        let (check, outcome) = runner.finished().await;
        assert_eq!((check, outcome.verdict), (CheckId::default(), Verdict::Inconclusive));
    }
}
