//! The director's second half, everything but VRRP: a loop around the engine that runs its checks, makes the kernel's table what
//! it wants, and answers the control API.
//!
//! ```text
//!  api handlers ──requests──►┐                    ┌──► checks: a task for each run ──outcomes──►┐
//!                            ├──► Director::run ──┤                                             ├──► back in
//!  timers ──────────────────►┘   (owns Engine)    └──► kernel: a blocking thread ──results─────►┘
//! ```

mod checks;
mod commands;
mod kernel;
mod status;

use std::time::Duration;

use holdfast_config::{Config, OnStop};
use holdfast_engine::{Action, CheckId, Engine, Report};
use holdfast_health::Outcome;
use holdfast_net::now;
use holdfast_time::Instant;
use ipvs_ctl::model::Table;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::api::Request;
use crate::vrrp::VrrpRemote;

pub(crate) use self::kernel::Kernel;

/// So many outcomes wait for the director; a check whose outcome does not fit waits with it, and its next run is late.
const OUTCOMES_MAX: usize = 1024;

/// The loop and what it owns.
#[derive(Debug)]
pub(crate) struct Director {
    started: Instant,
    config: Config,
    config_path: String,
    engine: Engine,
    kernel: Option<Kernel>,
    vrrp: VrrpRemote,
    outcomes: mpsc::Receiver<(CheckId, Outcome)>,
    runner: checks::Runner,
}

impl Director {
    /// A director of `config` over a kernel and its table, which are absent when there is no service.
    pub(crate) fn new(
        config: Config,
        config_path: String,
        kernel: Option<(Kernel, Table)>,
        vrrp: VrrpRemote,
    ) -> Self {
        let (kernel, table) = kernel.unzip();
        let table = table.unwrap_or_default();
        let engine = Engine::new(&config, &table, now());
        if kernel.is_some() {
            let adopted = engine.owned().iter().filter(|key| table.contains_key(key)).count();
            let foreign = table.len() - adopted;
            tracing::info!(adopted, foreign, "the kernel's IPVS table was read");
        }
        let (sender, outcomes) = mpsc::channel(OUTCOMES_MAX);
        let runner = checks::Runner::new(&config.daemon.script_user, sender);
        Self { started: now(), config, config_path, engine, kernel, vrrp, outcomes, runner }
    }

    /// Works until `stop` says so.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        stop: impl Future<Output = ()>,
    ) -> Self {
        tokio::pin!(stop);
        loop {
            self.carry_out();
            let due = self.until_due();
            tokio::select! {
                () = &mut stop => break,
                () = sleep(due) => self.engine.handle_timeout(now()),
                Some((check, outcome)) = self.outcomes.recv() => {
                    self.engine.check_finished(now(), check, outcome);
                }
                Some(request) = requests.recv() => self.answer(request).await,
                Some(done) = kernel_done(&mut self.kernel) => self.kernel_finished(done),
            }
        }
        self
    }

    /// Does with the kernel's table what `ipvs.on_stop` says: the last thing before the end.
    pub(crate) async fn leave(self) {
        if let (Some(kernel), OnStop::Remove) = (self.kernel, self.config.ipvs.on_stop) {
            kernel.remove(self.engine.owned()).await;
        }
    }

    fn until_due(&self) -> Duration {
        let at = self.engine.poll_timeout().map(|(at, _)| at);
        at.map_or(Duration::MAX, |at| at.saturating_since(now()))
    }

    /// Does everything that the engine wants.
    fn carry_out(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::RunCheck { id, service, server, check } => {
                    self.runner.start(id, &service, &server, &check);
                }
                Action::Reconcile => {
                    if let Some(kernel) = &mut self.kernel {
                        kernel.reconcile(self.engine.desired());
                    }
                }
                Action::CountConnections => {
                    if let Some(kernel) = &mut self.kernel {
                        kernel.count();
                    }
                }
                Action::Report(report) => log(&report),
            }
        }
    }

    fn kernel_finished(&mut self, done: kernel::Done) {
        let Some(kernel) = &mut self.kernel else { return };
        if let Some(counts) = kernel.finished(done, now()) {
            self.engine.connections_counted(now(), &counts);
        }
    }

    async fn answer(&mut self, request: Request) {
        // A requester that has gone away needs no answer.
        match request {
            Request::Status(answer) => drop(answer.send(self.status().await)),
            Request::Command { command, answer } => drop(answer.send(self.command(command))),
        }
    }
}

/// What the kernel's thread has done; never anything where there is no kernel.
async fn kernel_done(kernel: &mut Option<Kernel>) -> Option<kernel::Done> {
    match kernel {
        Some(kernel) => kernel.done().await,
        None => std::future::pending().await,
    }
}

fn log(report: &Report) {
    match report {
        Report::Health { service, server, from, to, reason } => {
            tracing::info!(%service, %server, %from, %to, code = ?reason.code, reason = reason.sentence, "a real server's health changed");
        }
        Report::Added { service, server } => {
            tracing::info!(%service, %server, "a real server was added")
        }
        Report::Draining { service, server } => {
            tracing::info!(%service, %server, "a real server drains")
        }
        Report::Drained { service, server, left } => {
            tracing::info!(%service, %server, left, "a real server has drained");
        }
        Report::Ready { service, server } => {
            tracing::info!(%service, %server, "a real server was taken back")
        }
        Report::Removed { service, server } => {
            tracing::info!(%service, %server, "a real server was removed")
        }
    }
}
