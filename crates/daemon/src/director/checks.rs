//! Checks as tasks: each run is one, ends by its own timeout, and tells the director what it found.

use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Check, CheckKind, HttpCheck, Name, RealServer};
use holdfast_engine::CheckId;
use holdfast_health::{Code, Outcome, Reason, Verdict};
use holdfast_probe::{Exec, Http, Probe};
use tokio::sync::mpsc;

/// Starts the runs of checks.
#[derive(Debug)]
pub(crate) struct Runner {
    script_user: String,
    outcomes: mpsc::Sender<(CheckId, Outcome)>,
}

impl Runner {
    /// A runner whose scripts run as `script_user`, and which tells what they found to `outcomes`.
    pub(crate) fn new(script_user: &str, outcomes: mpsc::Sender<(CheckId, Outcome)>) -> Self {
        Self { script_user: script_user.to_owned(), outcomes }
    }

    /// Starts one run of `check`.
    pub(crate) fn start(&self, id: CheckId, service: &Name, server: &RealServer, check: &Check) {
        let probe = self.probe(service, server, &check.kind);
        let timeout = check.policy.timeout;
        let outcomes = self.outcomes.clone();
        tokio::spawn(async move {
            // A task of its own, so that a panic in a check is the end of that run and of nothing else.
            let run = tokio::spawn(async move { probe.run(timeout).await });
            let outcome = run.await.unwrap_or_else(|error| {
                tracing::error!(%error, "a run of a check ended by a fault of the daemon");
                broken(&error)
            });
            // The director is stopping when it no longer takes outcomes.
            drop(outcomes.send((id, outcome)).await);
        });
    }

    fn probe(&self, service: &Name, server: &RealServer, kind: &CheckKind) -> Probe {
        let at = |port: &Option<u16>| {
            SocketAddr::new(server.address.ip(), port.unwrap_or(server.address.port()))
        };
        match kind {
            CheckKind::Tcp { port } => Probe::Tcp(at(port)),
            CheckKind::Http(HttpCheck { path, host, port, expect, .. }) => Probe::Http(Http {
                address: at(port),
                path: path.clone(),
                host: host.clone(),
                expect: expect.clone(),
            }),
            CheckKind::Exec { command } => Probe::Exec(Exec::new(
                command.clone(),
                self.script_user.clone(),
                service.as_str(),
                server.name.as_str(),
                server.address,
            )),
        }
    }
}

fn broken(error: &tokio::task::JoinError) -> Outcome {
    let sentence = format!("the run ended by a fault of the daemon: {error}");
    let reason = Reason { code: Code::SOCKERR, sentence };
    Outcome { verdict: Verdict::Inconclusive, reason, took: Duration::ZERO }
}
