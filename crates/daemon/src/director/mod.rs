//! The director's second half, everything but VRRP: a loop around the engine that runs its checks, makes the kernel's table what
//! it wants, and answers the control API.
//!
//! ```text
//!  api handlers ──requests──►┐                    ┌──► checks: a task for each run ──outcomes──►┐
//!                            ├──► Director::run ──┤                                             ├──► back in
//!  timers ──────────────────►┘   (owns Engine)    └──► kernel: the ipvs thread ─────results────►┘
//! ```

mod attention;
mod besides;
mod checks;
mod commands;
mod discovery;
mod drift;
mod kernel;
mod places;
mod prompts;
mod quorum;
mod reconfigure;
mod refusals;
mod released;
mod roles;
mod runtime;
mod spared;
mod status;
mod trials;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use holdfast_config::{Config, ForeignServices, Instance, Listen, Match, Name, OnStop, Service};
use holdfast_control::Status;
use holdfast_engine::{Action, CheckId, Engine, Pool, QuorumState, Report};
use holdfast_net::now;
use holdfast_probe::Found;
use holdfast_time::Instant;
use ipvs_ctl::model::Table;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use crate::api::Request;
use crate::events::News;
use crate::hooks::HookSender;
use crate::pair::{Counted, Nodes, Prints};
use crate::reload::Loaded;
use crate::state::discovered::Keeper;
use crate::upkeep::{Board, View};
use crate::vrrp::{Snapshot, VrrpRemote};

use self::besides::{Besides, Ending, Wanted};
use self::checks::Told;

pub(crate) use self::discovery::Reading;
pub(crate) use self::kernel::{Kernel, Look, words};
pub(crate) use self::reconfigure::Next;
pub(crate) use self::released::Released;
pub(crate) use self::runtime::{Beside, Runtime};
pub(crate) use self::spared::{SETTING as EXPIRE_NODEST_CONN, settle};

/// A VRRP thread that does not tell its state by then is taken for hung; the API answers 503.
const VRRP_PATIENCE: Duration = Duration::from_secs(2);

/// So many outcomes are taken in before something else has its turn.
const OUTCOMES_MAX: usize = 64;

/// What falls due within this is done together: what the daemon pays for a turn is paid once for all of it, and a check comes so much
/// later at most.
const TURN: Duration = Duration::from_millis(10);

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
    /// What was last said of services that the kernel refuses.
    refused: BTreeMap<Name, Vec<String>>,
    /// Whether VRRP has ended, and services drain.
    drains: bool,
    /// What commands have changed.
    runtime: Runtime,
    /// What is known of the files that name servers, by service.
    discoveries: BTreeMap<Name, discovery::Known>,
    /// Where what they name is kept.
    keeper: Keeper,
    /// When what had fallen due was done last.
    turned: Instant,
    /// When the last thing happened: one look at the clock serves for all that follows from it.
    clock: Instant,
    /// The other nodes.
    nodes: Nodes,
    /// What is made of the configuration for them.
    prints: Arc<Prints>,
}

impl Director {
    /// A director of `config` over a kernel and its table, which are absent when there is no service.
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
        let (kernel, table) = kernel.unzip();
        let table = table.unwrap_or_default();
        let Beside { mut runtime, discovered, keeper } = beside;
        let remembered = runtime.remembered(&config, discovered);
        let mut engine = Engine::remembering(&config, &remembered, &table, now());
        runtime.replay(&mut engine, &config, Some(&table));
        if kernel.is_some() {
            let adopted = engine.owned().iter().filter(|key| table.contains_key(key)).count();
            tracing::info!(adopted, "the kernel's IPVS table was read");
            let ours = engine.owned();
            for service in table.keys().filter(|key| !ours.contains(key)).take(FOREIGN_MAX) {
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
        let runner = checks::Runner::new(&config.daemon.script_user, vrrp.session_readings());
        let mut besides = Besides::new(&config.daemon.state);
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
            refused: BTreeMap::new(),
            drains: false,
            runtime,
            discoveries: BTreeMap::new(),
            keeper,
            turned: Instant::ZERO,
            clock: now(),
            nodes,
        }
    }

    /// Works until `stop` comes; then does with the kernel's table what `ipvs.on_stop` says. Who says stop hears how long that may take.
    /// `hurry` ends the wait for connections.
    ///
    /// # Errors
    /// The ipvs thread has ended by a fault of the daemon: the table stays as it is.
    pub(crate) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut stop: oneshot::Receiver<oneshot::Sender<Duration>>,
        hurry: oneshot::Receiver<()>,
    ) -> Result<(), KernelGone> {
        self.tell_trackers();
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
        if let (Some(kernel), Ending::GiveBack) = (self.kernel, ending) {
            kernel.remove(self.engine.owned()).await;
        }
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
        self.engine.check_advises(self.clock, check, found.feedback);
        self.engine.check_finished(self.clock, check, found.outcome);
    }

    /// Gives no server new connections and waits for those that are there, as long as the configuration says or until `hurry` comes.
    ///
    /// Services whose addresses VRRP has taken elsewhere are not waited for: no packet of their connections comes here any more.
    async fn drain(
        &mut self,
        requests: &mut mpsc::Receiver<Request>,
        mut hurry: oneshot::Receiver<()>,
    ) -> Result<(), KernelGone> {
        let gone: BTreeSet<IpAddr> = self
            .config
            .instances
            .values()
            // An owner's addresses are its own, and stay.
            .filter(|instance| instance.priority.value() != 255)
            .flat_map(Instance::held)
            .map(|address| address.net.addr())
            .collect();
        let waits = |service: &Service| service.listen.iter().any(|one| !has_gone(one, &gone));
        let timeout = self.config.ipvs.drain_timeout;
        tracing::info!(
            ?timeout,
            "the services drain: they take no new connections and go when those that they have are over"
        );
        self.engine.drain_all(now(), timeout, waits);
        self.drains = true;
        loop {
            self.carry_out();
            if self.engine.has_drained(waits) {
                tracing::info!("the services have drained");
                return Ok(());
            }
            tokio::select! {
                Ok(()) = &mut hurry => {
                    tracing::warn!("the services have not drained: a second signal ends the wait");
                    return Ok(());
                }
                turned = self.turn(requests) => turned?,
            }
        }
    }

    fn until_due(&self) -> Duration {
        let engine = self.engine.poll_timeout().map(|(at, _)| at.max(self.turned + TURN));
        let kernel = self.kernel.as_ref().and_then(Kernel::poll_timeout);
        let at = engine.into_iter().chain(kernel).min();
        at.map_or(Duration::MAX, |at| at.saturating_since(now()))
    }

    /// Does everything that the engine wants.
    fn carry_out(&mut self) {
        self.perform();
        self.runner.tend(&self.engine);
        if let Some(kernel) = &mut self.kernel {
            kernel.go_on(&self.engine, self.config.ipvs.foreign, self.clock);
        }
    }

    fn perform(&mut self) {
        let mut services_gone = false;
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::RunCheck { id, service, server, check } => {
                    self.runner.start(id, &service, &server, &check);
                }
                Action::Reconcile(extent) => {
                    if let Some(kernel) = &mut self.kernel {
                        kernel.reconcile(extent);
                    }
                }
                Action::CountConnections => {
                    if let Some(kernel) = &mut self.kernel {
                        kernel.count();
                    }
                }
                Action::Report(report) => {
                    log(&report);
                    self.remember(&report);
                    self.hooks.events().tell(news(&report));
                    services_gone |= matches!(report, Report::ServiceRemoved { .. });
                    if let Report::Quorum { service, to, .. } = &report {
                        self.tell_quorum(service, *to, report.to_string());
                    }
                }
            }
        }
        if services_gone {
            self.tell_upkeep();
        }
    }

    /// Keeps what a report means to run-time changes.
    fn remember(&mut self, report: &Report) {
        if let Report::Renamed { service, from, server } = report {
            self.runtime.rename(service, from, server);
        }
        if let Report::LeaseEnded { service, server } = report {
            self.runtime.end_lease(service, server);
        }
    }

    fn kernel_finished(&mut self, done: kernel::Done) {
        let Some(kernel) = &mut self.kernel else { return };
        if let Some(counted) = kernel.finished(done, now()) {
            self.engine.connections_counted(now(), &counted.services, &counted.counts);
        }
        for news in kernel.take_news() {
            self.hooks.events().tell(news);
        }
        self.tell_refusals();
    }

    /// Says which services the kernel refuses and why, once.
    fn tell_refusals(&mut self) {
        let Some(kernel) = &self.kernel else { return };
        let refused: BTreeMap<Name, Vec<String>> = match kernel.refuses_any() {
            false => BTreeMap::new(),
            true => {
                let pools = self.engine.pools().iter();
                let found = pools.map(|(name, pool)| (name.clone(), refused(kernel, pool)));
                found.filter(|(_, sentences)| !sentences.is_empty()).collect()
            }
        };
        if refused == self.refused {
            return;
        }
        for (service, sentences) in &refused {
            if self.refused.get(service) != Some(sentences) {
                let reason = sentences.join("; ");
                tracing::error!(%service, reason, "the kernel's table is not as it should be: it refuses a service, and is asked for it again; the others go on");
            }
        }
        for service in self.refused.keys().filter(|name| !refused.contains_key(*name)) {
            tracing::info!(%service, "the kernel refuses nothing of the service any more");
        }
        self.refused = refused;
    }

    /// Answers `request`. A requester that has gone away needs no answer.
    fn answer(&mut self, request: Request) {
        match request {
            Request::Status(answer) if self.drains => {
                drop(answer.send(self.status_without_vrrp()));
            }
            Request::Status(answer) => {
                // The VRRP thread is asked in a task of its own: the director waits for nobody.
                let (status, vrrp) = (self.status_without_vrrp(), self.vrrp.clone());
                let upkeep = self.upkeep.clone();
                tokio::spawn(async move {
                    let upkeep = timeout(VRRP_PATIENCE, upkeep.view()).await.ok().flatten();
                    let View { sync, sysctls } = upkeep.unwrap_or_default();
                    if let Ok(Some(vrrp)) = timeout(VRRP_PATIENCE, vrrp.status()).await {
                        let Snapshot { instances, groups, trackers, bfd, bfd_strays, fate, timing } =
                            vrrp;
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
            Request::Alive(answer) => drop(answer.send(())),
            Request::Role { name, verb, answer } => self.change_role(&name, verb, answer),
            Request::Command { command, who, answer } => self.command(command, who, answer),
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
            Request::Foresee { differences, answer } => {
                drop(answer.send(self.foresee(&differences)));
            }
            Request::Reconfigure { next, answer } => drop(answer.send(self.reconfigure(*next))),
        }
    }
}

/// Whether all that comes to `listen` goes elsewhere, the addresses `gone` having moved.
fn has_gone(listen: &Listen, gone: &BTreeSet<IpAddr>) -> bool {
    match listen {
        Listen::Address { address, .. } => gone.contains(&address.ip()),
        Listen::Fwmark { matches, .. } => {
            let one =
                |packets: &Match| packets.first == packets.last && gone.contains(&packets.first);
            !matches.is_empty() && matches.iter().all(one)
        }
    }
}

/// What the kernel refuses of the services of `pool`.
fn refused(kernel: &Kernel, pool: &Pool) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    for key in pool.keys() {
        for sentence in kernel.refused(&key) {
            // A scheduler is missing for all addresses alike.
            if !sentences.contains(sentence) {
                sentences.push(sentence.clone());
            }
        }
    }
    sentences
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

/// A report for the stream of events.
fn news(report: &Report) -> News {
    let (service, server) = report.subject();
    let order = report.order().cloned().unwrap_or_default();
    News {
        kind: report.kind().to_owned(),
        subject: server.map_or_else(|| service.to_string(), |server| format!("{service}/{server}")),
        text: report.to_string(),
        who: order.who,
        reason: order.reason,
    }
}

fn log(report: &Report) {
    let (service, server) = report.subject();
    let server = server.map(tracing::field::display);
    let order = report.order();
    let who = order.and_then(|order| order.who.as_deref());
    let why = order.and_then(|order| order.reason.as_deref());
    match report {
        Report::Health { from, to, reason, .. } => {
            tracing::info!(%service, server, %from, %to, code = ?reason.code, reason = %reason.sentence, "a real server's health changed");
        }
        Report::Wishes { from, to, .. } => {
            let (from, to) = (from.label(), to.label());
            tracing::info!(%service, server, from, to, "a real server's agent wants something else for it");
        }
        Report::Quorum { to: QuorumState::Down, weight, .. } => {
            tracing::warn!(%service, weight, what = %report, "a service has lost its quorum");
        }
        Report::Quorum { weight, .. } => {
            tracing::info!(%service, weight, what = %report, "a service has its quorum");
        }
        Report::Added { .. } => {
            tracing::info!(%service, server, who, "a real server was added");
        }
        Report::Found { .. } => {
            tracing::warn!(%service, server, "a real server of the kernel's table is not in the configuration: it drains and is removed");
        }
        Report::Weight { from, to, .. } => {
            let ((from, from_percent), (to, to_percent)) = (*from, *to);
            tracing::info!(%service, server, from, from_percent, to, to_percent, who, why, "a real server's weight was changed");
        }
        Report::Draining { .. } => {
            tracing::info!(%service, server, who, why, "a real server drains");
        }
        Report::Drained { left, .. } => {
            tracing::info!(%service, server, left, "a real server has drained");
        }
        Report::Maintained { .. } => {
            tracing::info!(%service, server, who, why, "a real server is in maintenance");
        }
        Report::Ready { .. } => {
            tracing::info!(%service, server, who, why, "a real server was taken back");
        }
        Report::Removed { .. } => {
            tracing::info!(%service, server, who, why, "a real server was removed");
        }
        Report::Renamed { from, .. } => {
            tracing::info!(%service, server, %from, "a real server is called otherwise");
        }
        Report::Misfit { reason, .. } => {
            tracing::warn!(%service, server, reason, "a real server that a command has added does not fit any more: it drains and is removed");
        }
        Report::LeaseEnded { .. } => {
            tracing::info!(%service, server, "the lease of a real server has ended: it drains and is removed");
        }
        Report::ServiceAdded { .. } => tracing::info!(%service, "a service was added"),
        Report::ServiceLeaving { .. } => {
            tracing::info!(%service, "a service drains and is removed")
        }
        Report::ListenRemoved { listen, left, .. } => {
            tracing::info!(%service, %listen, left, "a service has left an address");
        }
        Report::ServiceRemoved { .. } => tracing::info!(%service, "a service was removed"),
    }
}
