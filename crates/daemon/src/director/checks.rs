//! Checks as tasks: each run is one, ends by its own timeout, and tells the director what it found.

use holdfast_config::{Check, CheckKind, Name, RealServer};
use holdfast_engine::CheckId;
use holdfast_health::Outcome;
use holdfast_probe::Probe;
use tokio::sync::mpsc;

/// Starts the runs of checks.
#[derive(Debug)]
pub(crate) struct Runner {
    script_user: String,
}

impl Runner {
    /// A runner whose scripts run as `script_user`.
    pub(crate) fn new(script_user: &str) -> Self {
        Self { script_user: script_user.to_owned() }
    }

    /// Starts one run of `check`; its outcome goes to `outcomes`.
    pub(crate) fn start(
        &self,
        id: CheckId,
        service: &Name,
        server: &RealServer,
        check: &Check,
        outcomes: mpsc::Sender<(CheckId, Outcome)>,
    ) {
        let probe = self.probe(service, server, &check.kind);
        let timeout = check.policy.timeout;
        tokio::spawn(async move {
            let outcome = probe.run(timeout).await;
            // The director is stopping when it no longer takes outcomes.
            drop(outcomes.send((id, outcome)).await);
        });
    }
}
