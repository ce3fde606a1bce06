//! `holdfastd`, the director: reads the configuration, starts VRRP and the pools, and stops in order.

mod api;
mod capabilities;
mod chatter;
mod director;
mod discovery;
mod events;
mod failure;
mod folder;
mod hooks;
mod host;
mod memory;
mod notify;
mod options;
mod pair;
mod panics;
mod rate;
mod reload;
mod signals;
mod sole;
mod state;
mod supervisor;
mod trackers;
mod upkeep;
mod vrrp;
mod watchdog;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use clap::Parser;
use holdfast_config::{Config, Name};
use holdfast_control::chain;
use holdfast_engine::Draining;
use holdfast_net::heap;
use holdfast_telemetry::log::Level;
use ipvs_ctl::model::{SyncDaemon, Table};
use nix::sys::prctl;
use nix::sys::stat::{Mode, umask};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinError, JoinHandle, spawn_blocking};
use tokio::time::timeout;

use crate::api::Request;
use crate::api::access::Access;
use crate::api::socket::ControlSocket;
use crate::capabilities::GivenUp;
use crate::director::{
    Beside, Director, KeptDrains, Kernel, KernelGone, Released, Runtime, with_needy,
};
use crate::discovery::Discoveries;
use crate::failure::Failure;
use crate::hooks::{HookSender, Hooks};
use crate::host::Start;
use crate::notify::Notifier;
use crate::options::Options;
use crate::pair::{Nodes, PairEnd, Prepared};
use crate::reload::{Http, Loaded, Order, Orders, Parts, Reloader, Source};
use crate::signals::Signals;
use crate::state::discovered;
use crate::state::journal::Journal;
use crate::state::last_good::LastGood;
use crate::state::services::{self, Ours};
use crate::supervisor::Lifeline;
use crate::trackers::Watchers;
use crate::upkeep::{Board, Upkeep, UpkeepHandle};
use crate::vrrp::VrrpHandle;

/// How long a stop waits for the addresses to be gone.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

fn main() -> ExitCode {
    let options = Options::parse();
    let ended = if options.supervision.is_wanted() {
        supervisor::run(&options.supervision)
    } else {
        start(&options).map(|()| ExitCode::SUCCESS)
    };
    match ended {
        Ok(code) => code,
        Err(failure) => {
            // Nobody is left to tell when standard error is closed.
            drop(write!(io::stderr(), "{failure}"));
            failure.exit_code()
        }
    }
}

fn start(options: &Options) -> Result<(), Failure> {
    panics::watch();
    heap::keep_freed();
    let lifeline = options.supervision.lifeline()?;
    // What the daemon creates is for itself; the control socket's group gets its rights explicitly.
    umask(Mode::from_bits_truncate(0o077));
    // Before there is another thread, the log's among them: capabilities are a thread's.
    capabilities::confine().map_err(|error| Failure::new("start", error))?;
    let left = |lifeline: &Lifeline| lifeline.estate().read().is_some();
    let succeeds = options.supervision.only_try || lifeline.as_ref().is_some_and(left);
    let loaded = host::load(options, succeeds)?;
    if options.supervision.only_try {
        return Ok(());
    }
    let daemon = &loaded.config.daemon;
    let group = daemon.control_group.as_deref();
    let socket = ControlSocket::open(&daemon.control_socket, group, daemon.control_others)
        .map_err(|error| Failure::new("start", error))?;
    let state = folder::make_state(&daemon.state).map_err(|error| Failure::new("start", error))?;
    let alone =
        folder::keep_out_others(&daemon.state).map_err(|error| Failure::new("start", error))?;
    let given_up =
        capabilities::keep_for(&loaded.config).map_err(|error| Failure::new("start", error))?;
    let log = holdfast_telemetry::log::start(options.log_format.into(), &options.log)
        .map_err(|error| Failure::new("start the log", error))?;
    if let (restarts @ 1.., last_end) = options.supervision.history() {
        tracing::warn!(restarts, last_end, "this worker takes the place of one that died");
    }
    loaded.say();
    if let Some(why) = state {
        tracing::warn!(why, "what a restart should find can't be kept");
    }
    if let Some(why) = &alone.problem {
        tracing::warn!(why, "nothing keeps another daemon out of the state directory");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new("start the runtime", error))?;
    let process = (given_up, log.level(), lifeline);
    let result = runtime.block_on(work(loaded, socket, process, options));
    // What is left are connections of the API and threads that start scripts; nothing waits for them.
    runtime.shutdown_background();
    holdfast_probe::leave_no_control_groups();
    result
}

async fn work(
    start: Start,
    (_socket, listener): (ControlSocket, std::os::unix::net::UnixListener),
    (given_up, level, lifeline): (GivenUp, Level, Option<Lifeline>),
    options: &Options,
) -> Result<(), Failure> {
    let Start { config, good, instead, succeeds, .. } = start;
    let config = Arc::new(config);
    let http = open_http(&config)?;
    let prepared = open_pair(&config, succeeds).await?;
    let (drains, Ours { draining: left, sync }) = services::open(&config.daemon.state);
    let (kernel, needs) = open_kernel(&config, &left)?;
    let mut signals = Signals::catch(lifeline.is_some())?;
    let hangup = signals::catch_hangup()?;
    let released = Released::read(&config.daemon.state);
    let (names, released) = (released.names().clone(), Arc::new(Mutex::new(released)));
    let beside = open_beside(&config, (KeptDrains::new(drains), left))?;
    // Before VRRP, so that a start which fails leaves no address behind.
    let watchers = Watchers::open(&config).await.map_err(|error| Failure::new("start", error))?;
    let (hooks, tell_hooks) = Hooks::start(&config);
    let (mut vrrp, mut upkeep, board) =
        start_vrrp(&config, (&needs, sync.as_slice()), &names, &tell_hooks, lifeline.as_ref())?;
    let remote = vrrp.remote();
    let trackers = watchers.start(move |tracker, reading| remote.track(tracker, reading));

    let path = options.config.display().to_string();
    let (requests, receiver) = mpsc::channel(api::REQUESTS_MAX);
    let (orders, taken) = mpsc::channel(reload::RELOADS_MAX);
    let node = config.node.clone();
    let loaded = Loaded::first(&good.fingerprint, instead);
    let has_kernel = kernel.is_some();
    let nodes = Nodes::new(&node);
    let events = tell_hooks.events().clone();
    let director = Director::new(
        Arc::clone(&config),
        path,
        loaded.clone(),
        kernel,
        (vrrp.remote(), board),
        Arc::clone(&released),
        tell_hooks,
        beside,
        nodes.clone(),
    );
    let api = api::control(requests.clone(), orders.clone(), events.clone(), level, nodes.clone());
    let mut pair = PairEnd::new(nodes, api.clone(), requests.clone(), events.clone());
    pair.replace(prepared);
    serve_control(listener, api, &config)?;
    let http = Http::serve(api::read_only(requests.clone()), config.daemon.http, http);
    let source = Source::of(options);
    let discoveries = Discoveries::start(&config, requests.clone());
    let notifier = Notifier::start(&config, events.clone());
    let parts = Parts { http, pair, trackers, hooks, notifier, events, discoveries };
    let (state, remote) = (config.daemon.state.clone(), vrrp.remote());
    tokio::spawn(watchdog::serve(requests.clone(), vrrp.remote()));
    let reloader = Reloader::new(
        source, config, given_up, loaded, requests, has_kernel, remote, released, parts,
    );
    let reloads = reloader.start(taken);
    tokio::spawn(follow_hangups(hangup, orders));
    tracing::info!(node, "the director works");
    holdfast_telemetry::service_manager::ready("working");
    keep(good, state);

    let ((halt, halted), (hurry, hurried)) = (oneshot::channel(), oneshot::channel());
    let mut work = direct(director, receiver, halted, hurried);
    let fault = wait_for_end(&mut signals, (&mut vrrp, &mut upkeep), &mut work).await;
    if let (Some(lifeline), Some(fault)) = (&lifeline, &fault) {
        lifeline.fail(fault);
    }
    holdfast_telemetry::service_manager::stopping();
    let parts = reloads.stop().await;
    let now = stop_vrrp(vrrp, parts, &mut signals).await;
    stop_director(work, (halt, hurry), &mut signals, now).await;
    // After the services: what they need goes last.
    upkeep.stop().await;
    tracing::info!(node, "the director has stopped");
    fault.map_or(Ok(()), |fault| Err(Failure::Host(fault)))
}

/// Has the director work in a thread and a runtime of its own; without the descriptors for one, in that of all else.
fn direct(
    director: Director,
    requests: mpsc::Receiver<Request>,
    halted: oneshot::Receiver<oneshot::Sender<Duration>>,
    hurried: oneshot::Receiver<()>,
) -> JoinHandle<Result<(), KernelGone>> {
    let work = director.run(requests, halted, hurried);
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(alone) => spawn_blocking(move || {
            // For who looks at threads: without it nothing else is missing.
            let _named = prctl::set_name(c"director");
            let ended = alone.block_on(work);
            alone.shutdown_background();
            ended
        }),
        Err(error) => {
            tracing::warn!(%error, "the director has no runtime of its own: requests may hold checks up");
            tokio::spawn(work)
        }
    }
}

/// Keeps the configuration as the last good one, after the start, which does not wait for it. Nothing waits for it; a panic there has been logged.
fn keep(good: LastGood, state: PathBuf) {
    drop(spawn_blocking(move || {
        good.keep(&state);
        drop(good);
        memory::settle();
    }));
}

/// Comes when the daemon is told to stop, or with the fault that ends it.
async fn wait_for_end(
    signals: &mut Signals,
    (vrrp, upkeep): (&mut VrrpHandle, &mut UpkeepHandle),
    work: &mut JoinHandle<Result<(), KernelGone>>,
) -> Option<String> {
    tokio::select! {
        () = signals.stop() => None,
        () = vrrp.gone() => Some("a thread of VRRP or BFD ended by a fault of the daemon".to_owned()),
        () = upkeep.gone() => Some("the upkeep thread ended by a fault of the daemon".to_owned()),
        ended = work => Some(ended_early(ended)),
    }
}

/// The API between nodes. Who `succeeds` a worker that died goes on without it where it can't be had: the addresses don't wait for a file.
async fn open_pair(config: &Config, succeeds: bool) -> Result<Prepared, Failure> {
    match pair::prepare(config, None).await {
        Err(why) if succeeds => {
            tracing::error!(why, "goes on without the other nodes: reload when this is put right");
            Ok(Prepared::NOTHING)
        }
        result => result.map_err(Failure::Host),
    }
}

/// What an earlier daemon has left of commands and of discovery.
fn open_beside(
    config: &Config,
    (drains, draining): (KeptDrains, Draining),
) -> Result<Beside, Failure> {
    let state = &config.daemon.state;
    let (journal, kept) =
        Journal::open(state).map_err(|error| Failure::new("start the journal's thread", error))?;
    let (keeper, discovered) = discovered::open(state, config);
    let runtime = Runtime::new(journal, kept, config, &discovered);
    Ok(Beside { runtime, discovered, keeper, draining, drains })
}

/// Serves the API on the control socket to whom the configuration lets.
fn serve_control(
    listener: std::os::unix::net::UnixListener,
    api: Router,
    config: &Config,
) -> Result<(), Failure> {
    let listener = UnixListener::from_std(listener)
        .map_err(|error| Failure::new("listen on the control socket", error))?;
    let daemon = &config.daemon;
    let access = Access::control(daemon.control_group.as_deref(), daemon.control_others);
    tokio::spawn(api::server::serve(listener, api, access));
    Ok(())
}

/// VRRP, and before it the upkeep of what its services, and those that drain yet, need: an Active forwards with the sysctls.
fn start_vrrp(
    config: &Arc<Config>,
    (needs, sync): (&Arc<Config>, &[SyncDaemon]),
    released: &BTreeSet<Name>,
    hooks: &HookSender,
    lifeline: Option<&Lifeline>,
) -> Result<(VrrpHandle, UpkeepHandle, Board), Failure> {
    let board = Board::default();
    let upkeep = Upkeep::open(needs, board.clone(), sync, hooks.events().clone())
        .map_err(|error| Failure::new("look after the kernel's IPVS", error))?;
    let vrrp = VrrpHandle::start(config, released, hooks.clone(), board.clone(), lifeline)
        .map_err(|error| Failure::new("start", error))?;
    let upkeep = upkeep.start(vrrp.remote()).map_err(|error| Failure::new("start", error))?;
    Ok((vrrp, upkeep, board))
}

/// Has the configuration read again at every SIGHUP.
async fn follow_hangups(mut hangup: Signal, orders: Orders) {
    while hangup.recv().await.is_some() {
        if orders.send(Order::Reload(None)).await.is_err() {
            return;
        }
    }
}

/// Stops VRRP, and then what it needs; whether a further signal has come meanwhile.
async fn stop_vrrp(vrrp: VrrpHandle, parts: Option<Parts>, signals: &mut Signals) -> bool {
    // A second signal means: now.
    let mut now = false;
    let second = async {
        signals.stop().await;
        now = true;
    };
    vrrp.stop(STOP_PATIENCE, second).await;
    if let Some(Parts { trackers, hooks, notifier, .. }) = parts {
        trackers.stop().await;
        hooks.stop().await;
        // After VRRP's last word, which comes by way of the hooks.
        notifier.stop().await;
    }
    now
}

/// Stops the director, which may wait for connections until a further signal says otherwise; not at all when it is to be `now`.
async fn stop_director(
    mut work: JoinHandle<Result<(), KernelGone>>,
    (halt, hurry): (oneshot::Sender<oneshot::Sender<Duration>>, oneshot::Sender<()>),
    signals: &mut Signals,
    now: bool,
) {
    if work.is_finished() {
        return;
    }
    let (answer, answered) = oneshot::channel();
    // A director that has ended meanwhile drops the question.
    drop(halt.send(answer));
    let drain =
        timeout(STOP_PATIENCE, answered).await.ok().and_then(Result::ok).unwrap_or_default();
    let patience = drain + STOP_PATIENCE;
    let hurry_up = async {
        if !now {
            signals.stop().await;
        }
    };
    holdfast_telemetry::service_manager::stopping_within(patience);
    let ended = tokio::select! {
        ended = timeout(patience, &mut work) => ended.is_ok(),
        () = hurry_up => {
            let _ended = hurry.send(());
            timeout(STOP_PATIENCE, &mut work).await.is_ok()
        }
    };
    if !ended {
        tracing::error!(?patience, "the director does not stop: it is left");
    }
}

/// Why the director stopped though nobody told it to.
fn ended_early(ended: Result<Result<(), KernelGone>, JoinError>) -> String {
    match ended {
        Ok(Err(gone)) => gone.to_string(),
        Err(panic) => format!("the director ended by a fault of the daemon: {panic}"),
        Ok(Ok(())) => "the director ended too early".to_owned(),
    }
}

/// The kernel's IPVS and its table, where the configuration needs them or an earlier daemon has `left` something there; and the configuration with
/// what that needs.
#[expect(clippy::type_complexity, reason = "two things that are had together, once")]
fn open_kernel(
    config: &Arc<Config>,
    left: &Draining,
) -> Result<(Option<(Kernel, Table)>, Arc<Config>), Failure> {
    let kernel = kernel_for(config, left)?;
    let needy = kernel.as_ref().map(|(_, table)| left.needy(config, table));
    Ok((kernel, with_needy(config, needy.unwrap_or_default())))
}

fn kernel_for(config: &Config, left: &Draining) -> Result<Option<(Kernel, Table)>, Failure> {
    if !config.uses_ipvs() {
        if left.is_empty() {
            return Ok(None);
        }
        return Ok(Kernel::open(config).inspect_err(|error| {
            tracing::warn!(error = chain(error), "what services are there still that the configuration has no longer can't be seen");
        }).ok());
    }
    Kernel::open(config).map(Some).map_err(|error| Failure::new("open the kernel's IPVS", error))
}

fn open_http(config: &Config) -> Result<Option<TcpListener>, Failure> {
    let Some(address) = config.daemon.http else { return Ok(None) };
    let attempt = format!("listen for HTTP on {address} (`daemon.http.listen`)");
    reload::listen_http(address, None).map(Some).map_err(|error| Failure::new(&attempt, error))
}
