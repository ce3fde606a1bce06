//! Another configuration for a daemon that runs: read, checked and compared apart from the loops, then applied as a whole or not at all.
//!
//! ```text
//!  SIGHUP ──────────┐                     ┌─ read, check (a blocking thread)
//!  POST /v1/reload ─┼─► Reloader::work ───┼─ compare ─► refuse what needs a restart
//!  GET /v1/plan ────┘   one at a time     ├─ get what may be refused: a kernel, a listener
//!                                         └─ apply: VRRP, which may refuse; then the director, which does not
//! ```
//! Reloads that are asked for while one is under way are one reload: it reads the file after the last of them was asked for, and
//! answers all of them.

mod answer;
mod export;
mod http;
mod loaded;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use holdfast_config::diff::{Change, Impact, changes, renamed_instances};
use holdfast_config::host::{Claimed, claimed};
use holdfast_config::{Config, Name, Outcome};
use holdfast_control::reload::{Plan, Reloaded};
use holdfast_control::{Exported, Problem, chain};
use holdfast_engine::listens_anew;
use ipvs_ctl::model::Table;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::{sleep, timeout};

use self::answer::{invalid, is_unknown, needs_restart, news, unreadable};
pub(crate) use self::http::{Http, listen as listen_http};
pub(crate) use self::loaded::Loaded;
use crate::api::{Foreseen, Request, Requests, answer_lost, unavailable};
use crate::capabilities::GivenUp;
use crate::director::{Kernel, Next, Released};
use crate::discovery::Discoveries;
use crate::events::Events;
use crate::hooks::Hooks;
use crate::memory::Settling;
use crate::notify::Notifier;
use crate::options::Options;
use crate::pair::PairEnd;
use crate::state::last_good::LastGood;
use crate::trackers::Trackers;
use crate::vrrp::{self, VrrpRemote};

/// So many reloads and plans wait for the one that is under way; more wait in their handlers.
pub(crate) const RELOADS_MAX: usize = 64;

/// So many differences of a reload are named in the log.
const NAMED_MAX: usize = 20;

/// A VRRP thread that has not begun with a configuration by then is taken for hung: the configuration is taken back.
const VRRP_PATIENCE: Duration = Duration::from_secs(5);

/// At the daemon's stop, a reload that is under way has this long.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The answer to whoever asked for a reload.
type Answer = oneshot::Sender<Result<Reloaded, Problem>>;

/// What is asked of the reloader.
#[derive(Debug)]
pub(crate) enum Order {
    /// Reads the file again and applies it; SIGHUP wants no answer.
    Reload(Option<Answer>),
    /// Says what a reload would change: of the daemon's file, or of this text.
    Plan { text: Option<Bytes>, answer: oneshot::Sender<Result<Plan, Problem>> },
    /// Writes the configuration that runs out again, with run-time changes.
    Export(oneshot::Sender<Result<Exported, Problem>>),
}

/// The way to the reloader.
pub(crate) type Orders = mpsc::Sender<Order>;

/// What a reload needs of the daemon.
#[derive(Debug)]
pub(crate) struct Reloader {
    source: Source,
    current: Arc<Config>,
    /// What a reload can't get back.
    given_up: GivenUp,
    loaded: Loaded,
    director: Requests,
    /// Whether the director has the kernel's IPVS: it is opened for the first service.
    has_kernel: bool,
    vrrp: VrrpRemote,
    /// Which instances were released for longer than this daemon lives.
    released: Arc<Mutex<Released>>,
    parts: Parts,
    settling: Settling,
}

/// Parts of the daemon that a reload changes itself.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) http: Http,
    pub(crate) pair: PairEnd,
    pub(crate) trackers: Trackers,
    pub(crate) hooks: Hooks,
    pub(crate) notifier: Notifier,
    pub(crate) events: Events,
    pub(crate) discoveries: Discoveries,
}

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    path: PathBuf,
    node: Option<String>,
    socket: Option<PathBuf>,
    state: Option<PathBuf>,
}

/// The running reloader, to be stopped.
#[derive(Debug)]
pub(crate) struct Reloads {
    task: JoinHandle<Parts>,
    stop: oneshot::Sender<()>,
}

impl Source {
    /// What the command line says of it.
    pub(crate) fn of(options: &Options) -> Self {
        let Options { config, node, socket, state, .. } = options;
        let (node, socket, state) = (node.clone(), socket.clone(), state.clone());
        Self { path: config.clone(), node, socket, state }
    }

    /// Reads and checks the configuration, or checks `text`, on this host, where a daemon runs that has `claimed` these addresses.
    async fn read(&self, text: Option<Bytes>, claimed: Claimed) -> Result<Outcome, Problem> {
        let source = self.clone();
        let read = spawn_blocking(move || {
            let node = source.node.as_deref();
            let Some(text) = text else {
                return holdfast_host::check_again(&source.path, node, claimed);
            };
            // What it includes lies where that of the daemon's file does.
            let folder = source.path.parent().unwrap_or_else(|| Path::new(""));
            let files = holdfast_host::with_includes("(plan)", text.to_vec(), folder)?;
            holdfast_host::check_files(files, node, Some(claimed))
        });
        let outcome = read.await.map_err(|fault| unreadable(fault.to_string()))?;
        let mut outcome = outcome.map_err(|error| unreadable(chain(&error)))?;
        if let Some(missing) = outcome.config.as_ref().and_then(Config::missing_secret) {
            return Err(unreadable(missing));
        }
        if let (Some(config), Some(socket)) = (&mut outcome.config, &self.socket) {
            config.daemon.control_socket.clone_from(socket);
        }
        if let (Some(config), Some(state)) = (&mut outcome.config, &self.state) {
            config.daemon.state.clone_from(state);
        }
        Ok(outcome)
    }
}

impl Reloads {
    /// Takes no orders any more; one that is under way is finished first, within a limit. The parts of the daemon come back to be stopped;
    /// none when the limit is over.
    pub(crate) async fn stop(self) -> Option<Parts> {
        // A reloader that has gone needs no word.
        let _gone = self.stop.send(());
        match timeout(STOP_PATIENCE, self.task).await {
            Ok(Ok(parts)) => Some(parts),
            Ok(Err(fault)) => {
                tracing::error!(%fault, "the reloader ended by a fault of the daemon");
                None
            }
            Err(_late) => {
                tracing::error!("a reload does not end: it is left");
                None
            }
        }
    }
}

impl Reloader {
    /// The reloader of a daemon that runs with `current`, over a director that has the kernel's IPVS or not.
    #[expect(clippy::too_many_arguments, reason = "these are the parts of the daemon")]
    pub(crate) const fn new(
        source: Source,
        current: Arc<Config>,
        given_up: GivenUp,
        loaded: Loaded,
        director: Requests,
        has_kernel: bool,
        vrrp: VrrpRemote,
        released: Arc<Mutex<Released>>,
        parts: Parts,
    ) -> Self {
        let settling = Settling::new();
        Self {
            source,
            current,
            given_up,
            loaded,
            director,
            has_kernel,
            vrrp,
            released,
            parts,
            settling,
        }
    }

    /// Begins to take orders.
    pub(crate) fn start(self, orders: mpsc::Receiver<Order>) -> Reloads {
        let (stop, stopped) = oneshot::channel();
        Reloads { task: tokio::spawn(self.work(orders, stopped)), stop }
    }

    async fn work(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut stop: oneshot::Receiver<()>,
    ) -> Parts {
        loop {
            let order = tokio::select! {
                _ = &mut stop => return self.parts,
                Some(order) = orders.recv() => order,
                else => return self.parts,
            };
            let (mut answers, mut plans, mut reloads) = (Vec::new(), Vec::new(), false);
            let mut next = Some(order);
            while let Some(order) = next {
                match order {
                    Order::Reload(answer) => {
                        reloads = true;
                        answers.extend(answer);
                    }
                    Order::Plan { text, answer } => plans.push((text, answer)),
                    // Whoever has gone away needs no answer, here and below.
                    Order::Export(answer) => drop(answer.send(self.export().await)),
                }
                next = orders.try_recv().ok();
            }
            if reloads {
                let result = self.reload().await;
                for answer in answers {
                    drop(answer.send(result.clone()));
                }
            }
            for (text, answer) in plans {
                drop(answer.send(self.plan(text).await));
            }
        }
    }

    /// Reads the file again and applies what differs; says so to the service manager, in the log and in the status.
    async fn reload(&mut self) -> Result<Reloaded, Problem> {
        holdfast_telemetry::service_manager::reloading();
        let begun = Instant::now();
        let result = self.try_reload().await;
        self.loaded.note(result.as_ref().map(drop).map_err(|problem| problem.detail.clone()));
        let result = result.map(|reloaded| {
            let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            Reloaded { took_ms, ..reloaded }
        });
        if let Some(news) = news(&result) {
            self.parts.events.tell(news);
        }
        match &result {
            Ok(Reloaded { changes, generation, took_ms, .. }) => {
                for change in changes.iter().take(NAMED_MAX) {
                    let (kind, name, text) = (&change.kind, &change.name, &change.text);
                    let key = change.key.as_deref().unwrap_or_default();
                    tracing::info!(kind, name, key, change = text, "the configuration differs");
                }
                let number = changes.len();
                tracing::info!(
                    changes = number,
                    generation,
                    took_ms,
                    "the configuration was reloaded"
                );
                holdfast_telemetry::service_manager::ready("working");
            }
            Err(problem) if is_unknown(problem) => {
                let why = &problem.detail;
                tracing::error!(
                    why,
                    "the director ended during the reload: what the new configuration says of services may be so or not"
                );
                holdfast_telemetry::service_manager::ready(
                    "what became of the last reload is not known",
                );
            }
            Err(problem) => {
                let (code, why) = (&problem.code, &problem.detail);
                tracing::error!(
                    code,
                    why,
                    "the reload was refused: nothing was changed, and the configuration that runs goes on"
                );
                if let Some(diagnosis) = &problem.diagnosis {
                    tracing::error!("what is wrong with the configuration:\n{}", diagnosis.report);
                }
                holdfast_telemetry::service_manager::ready("working; the last reload was refused");
            }
        }
        result
    }

    async fn try_reload(&mut self) -> Result<Reloaded, Problem> {
        let outcome = self.source.read(None, claimed(&self.current)).await?;
        let warnings = outcome.render(false);
        let fingerprint = outcome.source.fingerprint();
        let good = LastGood::of(outcome.source);
        let Some(mut new) = outcome.config else {
            return Err(invalid(&outcome.diagnostics, warnings));
        };
        new.share_with(&self.current);
        let differences = changes(&self.current, &new);
        let refused: Vec<&Change> =
            differences.iter().filter(|one| one.impact == Impact::Restart).collect();
        let rights = self.given_up.needed_by(&new);
        if !refused.is_empty() || rights.is_some() {
            return Err(needs_restart(&refused, rights));
        }
        // Certificates are read again, whether the configuration differs or not.
        let pair = self.parts.pair.prepare(&new).await.map_err(unavailable)?;
        let applied = if differences.is_empty() {
            // A module may have come that a service needs.
            self.director.send(Request::AskAgain).await.map_err(stopping)?;
            Vec::new()
        } else {
            self.apply(Arc::new(new), differences).await?
        };
        self.parts.pair.replace(pair);
        let is_another = self.loaded.view().fingerprint != fingerprint;
        let generation = self.loaded.applied(&fingerprint);
        self.keep(good, is_another).await;
        let took_ms = 0;
        Ok(Reloaded { changes: applied, generation, fingerprint, took_ms, warnings })
    }

    /// Gets everything that may be refused, and then applies the configuration, which is not.
    async fn apply(
        &mut self,
        new: Arc<Config>,
        differences: Vec<Change>,
    ) -> Result<Vec<holdfast_control::reload::Change>, Problem> {
        let opened = self.open_kernel(&new).await?;
        let table = match &opened {
            None if listens_anew(&self.current, &new) => self.look().await?.map(|look| look.table),
            None | Some(_) => None,
        };
        let http = self.parts.http.prepare(new.daemon.http)?;
        let watchers = self.parts.trackers.prepare(&new).await;
        let watchers = watchers.map_err(|error| unavailable(chain(&error)))?;
        let sessions = self.vrrp.sessions();
        let prepared = sessions.prepare(&new.vrrp, sleep(VRRP_PATIENCE)).await;
        prepared.map_err(|error| unavailable(chain(&error)))?;
        // First, so that an instance which begins has its hooks; and last of what may be refused.
        self.parts.hooks.reconfigure(&new).await;
        if let Err(refused) = self.reconfigure_vrrp(&new, &differences).await {
            self.parts.hooks.reconfigure(&self.current).await;
            sessions.go_on(&self.current.vrrp);
            return Err(refused);
        }
        // Instances know their trackers by now.
        self.parts.trackers.adopt(watchers);
        sessions.go_on(&new.vrrp);
        let (answer, applied) = oneshot::channel();
        let kernel_opened = opened.is_some();
        let next = Next { config: Arc::clone(&new), differences, kernel: opened, table };
        let request = Request::Reconfigure { next: Box::new(next), answer };
        // VRRP has it already: the director's end is no refusal.
        self.director.send(request).await.map_err(|_gone| answer_lost())?;
        let applied = applied.await.map_err(|_gone| answer_lost())?;
        self.has_kernel |= kernel_opened;
        self.parts.discoveries.reconfigure(&new);
        self.parts.http.replace(http);
        self.parts.notifier.reconfigure(&new);
        self.current = new;
        Ok(applied)
    }

    /// Keeps the configuration that runs now as the last good one, for the next start and for exports. One that `is_another` than the last
    /// one need not be compared with what is kept.
    async fn keep(&mut self, good: LastGood, is_another: bool) {
        let state = self.current.daemon.state.clone();
        let keep = move || if is_another { good.replace(&state) } else { good.keep(&state) };
        // A panic there has been logged; the answer need not wait for memory.
        drop(spawn_blocking(keep).await);
        self.settling.soon();
    }

    /// Has VRRP go on with the new configuration, if something of it differs.
    async fn reconfigure_vrrp(&self, new: &Config, differences: &[Change]) -> Result<(), Problem> {
        if !differences.iter().any(|change| change.subject.is_vrrp()) {
            return Ok(());
        }
        // Nothing is changed in parts.
        let released = self.released.lock().unwrap_or_else(PoisonError::into_inner).names().clone();
        let next = vrrp::Next {
            instances: new.instances.clone(),
            settings: new.vrrp.clone(),
            node: new.node.clone(),
            released,
        };
        let hangs = || unavailable("the VRRP thread does not answer: see the log".to_owned());
        let done = self.vrrp.reconfigure(next, sleep(VRRP_PATIENCE)).await.ok_or_else(hangs)?;
        done.map_err(|error| unavailable(chain(&error)))?;
        self.rename_released(new).await;
        Ok(())
    }

    /// What was released for longer than this daemon lives is so under its new name, too.
    async fn rename_released(&self, new: &Config) {
        let renamed: Vec<(Name, Name)> = renamed_instances(&self.current, new)
            .into_iter()
            .map(|(before, now)| (before.clone(), now.clone()))
            .collect();
        if renamed.is_empty() {
            return;
        }
        let released = Arc::clone(&self.released);
        let kept = spawn_blocking(move || {
            released.lock().unwrap_or_else(PoisonError::into_inner).rename(&renamed)
        });
        let why = match kept.await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => chain(&error),
            Err(fault) => fault.to_string(),
        };
        tracing::warn!(why, "a release does not outlive the daemon: its instance has another name");
    }

    /// The kernel's IPVS and its table, where the first service needs it.
    async fn open_kernel(&self, new: &Arc<Config>) -> Result<Option<(Kernel, Table)>, Problem> {
        if self.has_kernel || !new.uses_ipvs() {
            return Ok(None);
        }
        let config = Arc::clone(new);
        let opened = spawn_blocking(move || Kernel::open(&config)).await.map_err(stopping)?;
        opened.map(Some).map_err(|error| {
            unavailable(format!("open the kernel's IPVS for the first service: {}", chain(&error)))
        })
    }

    /// The kernel's table now, and what is wrong with it; none without IPVS.
    async fn look(&self) -> Result<Option<crate::director::Look>, Problem> {
        let (answer, look) = oneshot::channel();
        self.director.send(Request::Look(answer)).await.map_err(stopping)?;
        // The answer is dropped where there is no kernel to be asked.
        Ok(look.await.ok())
    }

    async fn plan(&self, text: Option<Bytes>) -> Result<Plan, Problem> {
        let outcome = self.source.read(text, claimed(&self.current)).await?;
        let warnings = outcome.render(false);
        let fingerprint = outcome.source.fingerprint();
        let Some(new) = outcome.config else { return Err(invalid(&outcome.diagnostics, warnings)) };
        let differences = changes(&self.current, &new);
        let needs_restart = differences.iter().any(|one| one.impact == Impact::Restart)
            || self.given_up.needed_by(&new).is_some();
        let drift = self.look().await?.map(|look| look.drift).unwrap_or_default();
        let (answer, foreseen) = oneshot::channel();
        let request = Request::Foresee { differences, answer };
        self.director.send(request).await.map_err(stopping)?;
        let Foreseen { changes, problems } = foreseen.await.map_err(stopping)?;
        Ok(Plan { changes, drift, problems, needs_restart, fingerprint, warnings })
    }
}

/// The director does not answer, whatever the channel says of it.
fn stopping(_gone: impl std::fmt::Debug) -> Problem {
    unavailable("the daemon is stopping, or a part of it hangs: see its log".to_owned())
}
