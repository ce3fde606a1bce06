//! `check-run`: the checks of a server once more, for an operator. The engine hears nothing of it.

use holdfast_config::{Check, CheckKind};
use holdfast_control::{CheckRun, Problem, Trial};
use holdfast_host::{told, trial};
use holdfast_probe::Probe;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;

use super::Director;
use super::commands::names;
use crate::api::{no_service, not_found, unavailable};
use crate::vrrp::Sessions;

/// So many servers are tried at once; who asks for more is told to come again.
const TRIALS_AT_ONCE: usize = 8;

static PLACES: Semaphore = Semaphore::const_new(TRIALS_AT_ONCE);

impl Director {
    /// Runs the checks of a server once, all at a time, and answers when the last has ended. It waits for nothing here.
    pub(super) fn try_checks(
        &self,
        service: &str,
        server: &str,
        answer: oneshot::Sender<Result<CheckRun, Problem>>,
    ) {
        match self.begin_trials(service, server) {
            Ok((place, run, trials)) => {
                self.elsewhere.spawn(async move {
                    let run = CheckRun { trials: ended(trials).await, ..run };
                    drop(place);
                    // Whoever asked may have gone away.
                    drop(answer.send(Ok(run)));
                });
            }
            Err(problem) => drop(answer.send(Err(problem))),
        }
    }

    fn begin_trials(&self, service: &str, server: &str) -> Result<Begun, Problem> {
        let (name, server) = names(service, server)?;
        let pool = self.engine.pools().get(&name).ok_or_else(|| no_service(service))?;
        let known = pool.servers().get(&server).ok_or_else(|| {
            let detail = format!("service `{service}` has no server `{server}`");
            not_found("no_such_server", detail)
        })?;
        let place = PLACES.try_acquire().map_err(|_full| {
            unavailable(format!("{TRIALS_AT_ONCE} servers are being tried already: try again"))
        })?;
        let definition = known.definition();
        let checks = pool.service().checks_of(definition).0;
        let user = &self.config.daemon.script_user;
        let mut trials = JoinSet::new();
        for (index, check) in checks.iter().cloned().enumerate() {
            let probe = Probe::of(&check.kind, service, definition, user);
            let sessions = self.vrrp.session_readings();
            let trial = async move { (index, tried(&check, probe, &sessions).await) };
            trials.spawn_on(trial, &self.elsewhere);
        }
        let run = CheckRun {
            service: name.to_string(),
            server: server.to_string(),
            address: definition.address.to_string(),
            by: "daemon".to_owned(),
            trials: Vec::new(),
        };
        Ok((place, run, trials))
    }
}

type Begun = (tokio::sync::SemaphorePermit<'static>, CheckRun, JoinSet<(usize, Trial)>);

async fn tried(check: &Check, probe: Option<Probe>, sessions: &Sessions) -> Trial {
    match (probe, &check.kind) {
        (Some(probe), _) => trial(check, &probe).await,
        (None, CheckKind::Bfd { session }) => {
            told(check, &format!("bfd {session}"), &sessions.found(&check.kind), &[])
        }
        (None, kind) => told(check, kind.name(), &sessions.found(kind), &[]),
    }
}

/// The trials in the order of the checks. One that panics is left out, and logged.
async fn ended(mut trials: JoinSet<(usize, Trial)>) -> Vec<Trial> {
    let mut all = Vec::new();
    while let Some(ended) = trials.join_next().await {
        match ended {
            Ok(trial) => all.push(trial),
            Err(error) => {
                tracing::error!(%error, "a run of a check ended by a fault of the daemon")
            }
        }
    }
    all.sort_by_key(|(index, _)| *index);
    all.into_iter().map(|(_, trial)| trial).collect()
}
