//! The director's second half, everything but VRRP: a loop around the engine that runs its checks, makes the kernel's table what
//! it wants, and answers the control API.
//!
//! ```text
//!  api handlers ──requests──►┐                    ┌──► checks: light ones here, others elsewhere ──outcomes──►┐
//!                            ├──► Director::run ──┤                                                           ├──► back in
//!  timers ──────────────────►┘   (owns Engine)    └──► kernel: the ipvs thread ───────────────────results────►┘
//! ```
//!
//! It has a thread and a runtime of its own, in which its timer and its light checks wake nobody but itself.

mod attention;
mod besides;
mod certificates;
mod checks;
mod commands;
mod complaints;
mod discovery;
mod drift;
mod kernel;
mod needs;
mod parting;
mod places;
mod prompts;
mod quorum;
mod reconfigure;
mod refusals;
mod released;
mod reports;
mod roles;
mod runtime;
mod spared;
mod status;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_config::{Config, ForeignServices, Name, OnStop};
use holdfast_control::Status;
use holdfast_engine::{CheckId, Engine};
use holdfast_net::now;
use holdfast_probe::Found;
use holdfast_time::Instant;
use ipvs_ctl::model::{ServiceKey, Table};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::api::{Command, Foreseen, Request};
use crate::hooks::HookSender;
use crate::pair::{Counted, Nodes, Prints};
use crate::reload::Loaded;
use crate::state::discovered;
use crate::state::kept::Kept;
use crate::upkeep::{Board, View};
use crate::vrrp::{Snapshot, VrrpRemote};

use self::besides::{Besides, Ending, Wanted};
use self::certificates::Certificates;
use self::checks::Told;

pub(crate) use self::discovery::Reading;
pub(crate) use self::kernel::{Kernel, Look, words};
pub(crate) use self::needs::{KeptDrains, with_needy};
pub(crate) use self::reconfigure::Next;
pub(crate) use self::released::Released;
pub(crate) use self::runtime::{Beside, Runtime};
pub(crate) use self::spared::{SETTING as EXPIRE_NODEST_CONN, settle};

/// A VRRP thread that does not tell its state by then is taken for hung; the API answers 503.
const VRRP_PATIENCE: Duration = Duration::from_secs(2);

/// So many outcomes are taken in before something else has its turn.
const OUTCOMES_MAX: usize = 64;

/// So many services of others are named in the log.
const FOREIGN_MAX: usize = 20;

/// The loop and what it owns.
#[derive(Debug)]
pub(crate) struct Director {
    started: Instant,
    config: Arc<Config>,
    config_path: String,
    loaded: Loaded,
    engine: Engine,
    kernel: Option<Kernel>,
    vrrp: VrrpRemote,
    upkeep: Board,
    /// Which instances were released for longer than this daemon lives.
    released: Arc<Mutex<Released>>,
    hooks: HookSender,
    runner: checks::Runner,
    /// What services need of the kernel besides the table.
    besides: Besides,
    /// The servers' certificates that end soon.
    certificates: Certificates,
    /// What was last said of services that the kernel refuses.
    refused: BTreeMap<Name, Vec<String>>,
    /// Whether VRRP has ended, and services drain.
    drains: bool,
    /// What commands have changed.
    runtime: Runtime,
    /// What is known of the files that name servers, by service.
    discoveries: BTreeMap<Name, discovery::Known>,
    /// Where what they name is kept.
    keeper: Kept<discovered::All>,
    /// What drains, for the next daemon.
    draining: KeptDrains,
    /// When what had fallen due was done last.
    turned: Instant,
    /// When the last thing happened: one look at the clock serves for all that follows from it.
    clock: Instant,
    /// The other nodes.
    nodes: Nodes,
    /// What is made of the configuration for them.
    prints: Arc<Prints>,
    /// The runtime of all else, for what the director must not wait for.
    elsewhere: Handle,
}

impl Director {
    /// A director of `config` over a kernel and its table, which are absent when there is no service. To be made in the runtime of all else;
    /// it may run in one of its own.
    #[expect(clippy::too_many_arguments, reason = "these are the parts of the daemon")]
    pub(crate) fn new(
        config: Arc<Config>,
        config_path: String,
        loaded: Loaded,
        kernel: Option<(Kernel, Table)>,
        (vrrp, upkeep): (VrrpRemote, Board),
        released: Arc<Mutex<Released>>,
        hooks: HookSender,
        beside: Beside,
        nodes: Nodes,
    ) -> Self {
        let (mut kernel, table) = kernel.unzip();
        let table = table.unwrap_or_default();
        let Beside { mut runtime, discovered, keeper, mut drains, draining } = beside;
        let remembered = runtime.remembered(&config, discovered, draining);
        // What an earlier daemon has left may be less than it looks like before the engine has it.
        drains.touched = !remembered.draining.needy(&config, &table).is_empty();
        if kernel.is_none() {
            drains.unseen = remembered.draining.clone();
        }
        let mut engine = Engine::remembering(&config, &remembered, &table, now());
        runtime.replay(&mut engine, &config, Some(&table));
        engine.resume(&remembered.draining);
        if let Some(kernel) = &mut kernel {
            let left = remembered.draining.owned(&table);
            let ours = engine.owned().into_iter().chain(left.iter().copied());
            let ours: BTreeSet<ServiceKey> = ours.collect();
            // What of them is wanted no longer goes.
            kernel.own(left);
            let adopted = engine.owned().iter().filter(|key| table.contains_key(key)).count();
            tracing::info!(adopted, "the kernel's IPVS table was read");
            name_others(&config, table.keys().filter(|key| !ours.contains(key)));
        }
        let runner = checks::Runner::new(&config.daemon.script_user, vrrp.session_readings());
        let mut besides = Besides::new(&config.daemon.state, hooks.events().clone());
        besides.want(Wanted::of(&config));
        Self {
            started: now(),
            prints: Prints::of(&config),
            config,
            config_path,
            loaded,
            engine,
            kernel,
            vrrp,
            upkeep,
            released,
            hooks,
            runner,
            besides,
            certificates: Certificates::default(),
            refused: BTreeMap::new(),
            drains: false,
            runtime,
            discoveries: BTreeMap::new(),
            keeper,
            draining: drains,
            turned: Instant::ZERO,
            clock: now(),
            nodes,
            elsewhere: Handle::current(),
        }
    }

    /// Works until `stop` comes; then does with the kernel's table what `ipvs.on_stop` says. Who says stop hears how long that may take.
    /// `hurry` ends the wait for connections. Light checks are made in the runtime that this runs in.
    ///
    /// # Errors
    /// The ipvs thread has ended by a fault of the daemon: the table stays as it is.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut stop: oneshot::Receiver<oneshot::Sender<Duration>>,
        hurry: oneshot::Receiver<()>,
    ) -> Result<(), KernelGone> {
        self.runner.gather();
        self.tell_trackers();
        if self.draining.touched {
            self.tell_upkeep();
        }
        self.draining.touched = true;
        let asked = loop {
            self.carry_out();
            tokio::select! {
                asked = &mut stop => break asked,
                turned = self.turn(&mut requests) => turned?,
            }
        };
        let patience = match self.config.ipvs.on_stop {
            OnStop::Drain => self.config.ipvs.drain_timeout,
            OnStop::Keep | OnStop::Remove => Duration::ZERO,
        };
        // Who has gone away waits for nothing.
        drop(asked.map(|answer| answer.send(patience)));
        if self.config.ipvs.on_stop == OnStop::Drain {
            self.drain(&mut requests, hurry).await?;
        }
        self.runner.stop().await;
        let ending = match self.config.ipvs.on_stop {
            OnStop::Keep => Ending::Leave,
            OnStop::Drain | OnStop::Remove => Ending::GiveBack,
        };
        self.besides.stop(ending).await;
        if let (Some(kernel), Ending::GiveBack) = (self.kernel, ending)
            && kernel.remove(self.engine.owned()).await
        {
            self.draining.forget();
        }
        self.draining.settled().await;
        Ok(())
    }

    /// Waits for the next thing that happens, and takes it in.
    async fn turn(&mut self, requests: &mut mpsc::Receiver<Request>) -> Result<(), KernelGone> {
        let due = self.until_due();
        tokio::select! {
            () = sleep(due) => {
                self.clock = now();
                self.turned = self.clock;
                self.engine.handle_timeout(self.clock);
            }
            told = self.runner.next() => {
                self.clock = now();
                match told {
                    Told::Finished(check, found) => self.take_in(check, found),
                    Told::Prompted(checks) => {
                        for check in checks {
                            self.engine.prompt(self.clock, check);
                        }
                    }
                }
                for _ in 1..OUTCOMES_MAX {
                    let Some((check, found)) = self.runner.finished_already() else { break };
                    self.take_in(check, found);
                }
            }
            Some(request) = requests.recv() => {
                self.answer(request);
                self.clock = now();
            }
            done = kernel_done(&mut self.kernel) => {
                self.clock = now();
                self.kernel_finished(done.ok_or(KernelGone)?);
            }
        }
        Ok(())
    }

    fn take_in(&mut self, check: CheckId, found: Found) {
        if let Some(news) = self.certificates.take_in(check, &found.outcome, &self.engine) {
            self.hooks.events().tell(news);
        }
        self.engine.check_advises(self.clock, check, found.feedback);
        self.engine.check_finished(self.clock, check, found.outcome);
    }

    fn until_due(&self) -> Duration {
        let engine = self.engine.next_turn(self.turned);
        let kernel = self.kernel.as_ref().and_then(Kernel::poll_timeout);
        let at = engine.into_iter().chain(kernel).min();
        at.map_or(Duration::MAX, |at| at.saturating_since(now()))
    }

    /// Does everything that the engine wants.
    fn carry_out(&mut self) {
        self.perform();
        self.keep_draining();
        self.runner.tend(&self.engine);
        if let Some(kernel) = &mut self.kernel {
            kernel.go_on(&self.engine, self.config.ipvs.foreign, self.clock);
        }
    }

    fn kernel_finished(&mut self, done: kernel::Done) {
        let Some(kernel) = &mut self.kernel else { return };
        let owned = kernel.owned().len();
        if let Some(counted) = kernel.finished(done, now()) {
            self.engine.connections_counted(now(), &counted.services, &counted.counts);
        }
        // It has lost what was to go.
        self.draining.touched |= kernel.owned().len() != owned;
        for news in kernel.take_news() {
            self.hooks.events().tell(news);
        }
        self.tell_refusals();
    }

    /// Answers `request`. A requester that has gone away needs no answer.
    fn answer(&mut self, request: Request) {
        match request {
            Request::Status(answer) => self.tell_status(answer),
            Request::Alive(answer) => drop(answer.send(())),
            Request::Role { name, verb, answer } => self.change_role(&name, verb, answer),
            Request::Command { command, who, answer } => {
                // Another deadline of a drain is told by no report.
                self.draining.touched |=
                    matches!(command, Command::Drain { .. } | Command::Remove { .. });
                self.command(command, who, answer);
            }
            Request::Changes(answer) => drop(answer.send(self.runtime.all(&self.engine))),
            Request::Discovered { service, reading } => self.take_reading(service, reading),
            Request::CheckRun { service, server, answer } => {
                self.try_checks(&service, &server, answer);
            }
            Request::Counted(answer) => {
                self.prints = self.prints.renewed(&self.config);
                drop(answer.send(Counted {
                    prints: Arc::clone(&self.prints),
                    generation: self.loaded.view().generation,
                    changes: self.runtime.digests(),
                }));
            }
            // Without IPVS the answer is dropped.
            Request::Look(answer) => {
                if let Some(kernel) = &mut self.kernel {
                    kernel.look(answer);
                }
            }
            Request::AskAgain => {
                if let Some(kernel) = &mut self.kernel {
                    kernel.ask_again();
                }
            }
            Request::Foresee { differences, answer } => {
                let changes = self.foresee(&differences);
                let table = self.kernel.as_ref().map(|kernel| self.table(kernel));
                let problems = table.map(|table| table.errors).unwrap_or_default();
                drop(answer.send(Foreseen { changes, problems }));
            }
            Request::Reconfigure { next, answer } => {
                let changes = self.reconfigure(*next);
                // What has left the configuration and drains, a daemon that comes after a kill in the next moment has to know.
                let kept = self.draining.settled();
                self.elsewhere.spawn(async move {
                    kept.await;
                    drop(answer.send(changes));
                });
            }
        }
    }

    /// Tells the status: at once while the services drain, since VRRP has ended then. Otherwise the threads of VRRP and upkeep are asked in a
    /// task of its own, because the director waits for nobody; without an answer of the VRRP thread there is none.
    fn tell_status(&self, answer: oneshot::Sender<Status>) {
        if self.drains {
            drop(answer.send(self.status_without_vrrp()));
            return;
        }
        let (status, vrrp) = (self.status_without_vrrp(), self.vrrp.clone());
        let upkeep = self.upkeep.clone();
        self.elsewhere.spawn(async move {
            let upkeep = timeout(VRRP_PATIENCE, upkeep.view()).await.ok().flatten();
            let View { sync, sysctls } = upkeep.unwrap_or_default();
            if let Ok(Some(vrrp)) = timeout(VRRP_PATIENCE, vrrp.status()).await {
                let Snapshot { instances, groups, trackers, bfd, bfd_strays, fate, timing } = vrrp;
                drop(answer.send(Status {
                    vrrp: instances,
                    groups,
                    trackers,
                    bfd,
                    bfd_strays,
                    fate,
                    timing,
                    sync,
                    sysctls,
                    ..status
                }));
            }
        });
    }
}

/// Names the services of others in the log, as far as [`FOREIGN_MAX`], and says what becomes of them.
fn name_others<'k>(config: &Config, others: impl Iterator<Item = &'k ServiceKey>) {
    for service in others.take(FOREIGN_MAX) {
        match config.ipvs.foreign {
            ForeignServices::Keep => {
                tracing::warn!(%service, "the kernel forwards a service that the configuration has not: it is left alone, and nothing checks its servers");
            }
            ForeignServices::Remove => {
                tracing::warn!(%service, "the kernel forwards a service that the configuration has not: it is removed (`ipvs.foreign`)");
            }
        }
    }
}

/// The ipvs thread has ended though nobody told it to.
#[derive(Debug, thiserror::Error)]
#[error("the ipvs thread ended by a fault of the daemon; the kernel's table stays as it is")]
pub(crate) struct KernelGone;

/// What the ipvs thread has done; none when it has gone, and never anything where there is no kernel.
async fn kernel_done(kernel: &mut Option<Kernel>) -> Option<kernel::Done> {
    match kernel {
        Some(kernel) => kernel.done().await,
        None => std::future::pending().await,
    }
}
