//! VRRP: a thread of its own for the protocol, and one for the addresses that it moves.

mod addresses;
mod bfd;
mod fate;
mod groups;
mod instance;
mod lateness;
mod readings;
mod reconfigure;
mod roster;
mod sessions;
mod sockets;
mod testament;
mod thread;
mod tracking;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_config::{Config, Instance, Name, Vrrp};
use holdfast_control as control;
use holdfast_engine::vrrp::Reading;
use holdfast_net::{WakeError, Waker};
use tokio::sync::oneshot;

use self::bfd::{Bfd, BfdError, Change};
use self::fate::{Fate, FateBoard};
pub(crate) use self::instance::RoleError;
use self::instance::StartError;
use self::readings::Readings;
pub(crate) use self::reconfigure::Next;
use self::reconfigure::Permit;
pub(crate) use self::sessions::Sessions;
use self::thread::{OpenError, VrrpThread};
use crate::api::RoleVerb;
use crate::hooks::HookSender;
use crate::supervisor::{Estate, Lifeline};
use crate::upkeep::Board;

/// So many commands wait for the thread; it takes them all each time that it wakes.
const COMMANDS_MAX: usize = 64;

/// A stop waits so long at most for other routers to take over: the machine's own limit, and a second.
const HANDOVER_MAX: Duration = Duration::from_secs(31);

/// What the other half of the director asks of the VRRP thread.
#[derive(Debug)]
enum Command {
    Status(oneshot::Sender<Snapshot>),
    /// Nothing but an answer.
    Alive(oneshot::Sender<()>),
    /// A change of roles, if it was not taken back: the instances that it is about, and what shall become of them.
    Role {
        instances: Vec<Name>,
        verb: RoleVerb,
        permit: Permit,
        answer: oneshot::Sender<Result<Roles, RoleError>>,
    },
    /// Another configuration from now on, if it was not taken back.
    Reconfigure {
        next: Box<Next>,
        permit: Permit,
        answer: oneshot::Sender<Result<(), VrrpError>>,
    },
}

/// How the thread is to end; said beside the commands, which may have no place for it.
#[derive(Clone, Debug, Default)]
struct StopSign(Arc<AtomicU8>);

/// How the thread ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stop {
    /// Not yet.
    No,
    /// It steps back everywhere, and waits until every instance has been relieved.
    Relieved,
    /// Now.
    Now,
}

impl StopSign {
    fn raise(&self, stop: Stop) {
        self.0.fetch_max(stop as u8, Ordering::AcqRel);
    }

    fn shows(&self) -> Stop {
        match self.0.load(Ordering::Acquire) {
            0 => Stop::No,
            1 => Stop::Relieved,
            _ => Stop::Now,
        }
    }
}

/// The state of VRRP at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) instances: Vec<control::Instance>,
    pub(crate) groups: Vec<control::Group>,
    pub(crate) trackers: Vec<control::Tracker>,
    pub(crate) bfd: Vec<control::BfdSession>,
    pub(crate) bfd_strays: BTreeMap<String, u64>,
    pub(crate) fate: Option<control::Fate>,
    pub(crate) timing: control::Timing,
}

/// What came of a change of roles.
#[derive(Debug)]
pub(crate) struct Roles {
    pub(crate) changed: bool,
    pub(crate) instances: Vec<control::Instance>,
}

/// What the thread starts with.
#[derive(Debug)]
struct Plan {
    instances: Vec<Instance>,
    settings: Vrrp,
    released: BTreeSet<Name>,
    node: String,
    readings: Readings,
    stop: StopSign,
    hooks: HookSender,
    board: Board,
    /// The directory of what outlives the daemon.
    state: PathBuf,
    /// What a worker before this one has left, and what this one leaves; none without a supervisor.
    estate: Option<Arc<Estate>>,
    fate: Fate,
}

impl Plan {
    fn new(
        config: &Config,
        released: &BTreeSet<Name>,
        readings: Readings,
        stop: StopSign,
        (hooks, board): (HookSender, Board),
        (estate, fate): (Option<Arc<Estate>>, Fate),
    ) -> Self {
        let instances = config.instances.values().cloned().collect();
        let (settings, node) = (config.vrrp.clone(), config.node.clone());
        let (released, state) = (released.clone(), config.daemon.state.clone());
        Self {
            instances,
            settings,
            released,
            node,
            readings,
            stop,
            hooks,
            board,
            state,
            estate,
            fate,
        }
    }
}

/// The VRRP thread, to be stopped.
#[derive(Debug)]
pub(crate) struct VrrpHandle {
    remote: VrrpRemote,
    thread: JoinHandle<()>,
    /// Closed when the thread ends, by a panic too; none when that was noticed.
    gone: Option<oneshot::Receiver<()>>,
}

/// The way to the VRRP thread.
#[derive(Clone, Debug)]
pub(crate) struct VrrpRemote {
    commands: SyncSender<Command>,
    readings: Readings,
    stop: StopSign,
    waker: Waker,
    bfd: Bfd,
    sessions: Sessions,
    fate: FateBoard,
}

/// Why there is no VRRP.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum VrrpError {
    /// The operating system has no thread left.
    #[error("start the VRRP thread")]
    Spawn(#[source] io::Error),
    /// The thread lacks what all instances need.
    #[error("start the VRRP thread")]
    Thread(#[source] OpenError),
    /// No way to wake the thread.
    #[error("start the VRRP thread")]
    Waker(#[source] WakeError),
    /// No BFD.
    #[error(transparent)]
    Bfd(BfdError),
    /// It is too late for another configuration.
    #[error("the daemon is stopping")]
    Stops,
    /// The thread could not open what it needs.
    #[error("start VRRP instance `{instance}`")]
    Instance {
        /// The instance.
        instance: Name,
        /// What it could not open.
        #[source]
        source: StartError,
    },
}

impl VrrpHandle {
    /// Starts VRRP for the instances of `config`, those of `released` as the last choice, and waits until their sockets are open. What
    /// becomes of them is told to `hooks` and to `board`. They go on where the worker before this one has left them, where there is
    /// a supervisor.
    ///
    /// # Errors
    /// The thread, a socket or the link monitor could not be had: a capability is missing, say.
    pub(crate) fn start(
        config: &Config,
        released: &BTreeSet<Name>,
        hooks: HookSender,
        board: Board,
        lifeline: Option<&Lifeline>,
    ) -> Result<Self, VrrpError> {
        let (commands, receiver) = sync_channel(COMMANDS_MAX);
        let waker = Waker::new().map_err(VrrpError::Waker)?;
        let (ready, is_ready) = sync_channel(1);
        let readings = Readings::default();
        let stop = StopSign::default();
        let fate = FateBoard::default();
        let fate_hooks = hooks.clone();
        let told = (hooks, board);
        let port = config.vrrp.fate.map(|fate| fate.port);
        let left = (lifeline.map(Lifeline::estate), {
            let (readings, waker) = (readings.clone(), waker.clone());
            let tell = move |on, address| {
                readings.bury(on, address);
                wake(&waker);
            };
            let told = fate::Told { tell: Arc::new(tell), board: fate.clone(), hooks: fate_hooks };
            Fate::new(port, lifeline.map(Lifeline::custody), told)
        });
        let plan = Plan::new(config, released, readings.clone(), stop.clone(), told, left);
        let sessions = Sessions::default();
        let bfd = {
            let (readings, waker) = (readings.clone(), waker.clone());
            let sessions = sessions.clone();
            Bfd::new(move |change| {
                sessions.put(change.tracker.clone(), change.reading.clone());
                follow_session(&readings, &waker, change);
            })
        };
        // Before the thread, which takes addresses: another program that speaks BFD ends the start, and nothing is left behind.
        bfd.start(&config.vrrp).map_err(VrrpError::Bfd)?;
        let remote =
            VrrpRemote { commands, readings, stop, waker: waker.clone(), bfd, sessions, fate };
        let (alive, gone) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("vrrp".to_owned())
            .spawn(move || {
                let _alive: oneshot::Sender<()> = alive;
                match VrrpThread::open(plan, receiver, waker) {
                    Ok(thread) => {
                        // The starter waits for this word.
                        drop(ready.send(Ok(())));
                        thread.run();
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })
            .map_err(VrrpError::Spawn)?;
        match is_ready.recv() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(_) => {
                return Err(VrrpError::Spawn(io::Error::other("the thread panicked at its start")));
            }
        }
        Ok(Self { remote, thread, gone: Some(gone) })
    }

    /// A way to the thread that can be kept elsewhere.
    pub(crate) fn remote(&self) -> VrrpRemote {
        self.remote.clone()
    }

    /// Comes when the thread, or BFD's, has ended though nobody told it to, which only a fault of the daemon can cause.
    pub(crate) async fn gone(&mut self) {
        let Self { gone, remote, .. } = self;
        let Some(vrrp) = gone else { return };
        // Nothing is ever sent: the channel closes.
        tokio::select! {
            _closed = vrrp => *gone = None,
            () = remote.bfd.gone() => {}
        }
    }

    /// Steps back everywhere: priority-0 advertisements; the addresses go when another router has them, or after four intervals.
    /// Returns when that is done. When `hurry` comes it is done at once; `patience` is for what can't wait for a router.
    pub(crate) async fn stop(mut self, patience: Duration, hurry: impl Future<Output = ()>) {
        self.remote.end(Stop::Relieved);
        let remote = self.remote.clone();
        tokio::select! {
            () = self.gone() => {}
            () = hurry => remote.end(Stop::Now),
            () = tokio::time::sleep(HANDOVER_MAX) => remote.end(Stop::Now),
        }
        let Self { thread, remote, .. } = self;
        // The peers' sessions end when this node is no longer their Active, and by intent.
        let joined = tokio::task::spawn_blocking(move || {
            remote.bfd.stop();
            if thread.join().is_err() {
                // The address thread ended with it, and removed what it held.
                tracing::error!("the VRRP thread had panicked");
            }
        });
        if tokio::time::timeout(patience, joined).await.is_err() {
            tracing::error!(
                ?patience,
                "the VRRP thread does not stop: addresses may be left behind"
            );
        }
    }
}

impl VrrpRemote {
    /// VRRP as it is now; none when the thread has gone or takes no commands.
    pub(crate) async fn status(&self) -> Option<Snapshot> {
        let (answer, status) = oneshot::channel();
        self.send(Command::Status(answer));
        let snapshot = status.await.ok()?;
        let bfd = self.bfd.status().await.unwrap_or_default();
        let bfd_strays = bfd::discarded(&bfd.strays);
        let fate = self.fate.view(holdfast_net::now());
        Some(Snapshot { bfd: bfd::view(&bfd), bfd_strays, fate, ..snapshot })
    }

    /// Comes with the thread's next turn; none when it has gone or takes no commands.
    pub(crate) async fn turns(&self) -> Option<()> {
        let (answer, turned) = oneshot::channel();
        self.send(Command::Alive(answer));
        turned.await.ok()
    }

    /// Changes the roles of `instances`: of all or, when one refuses, of none. None when it is not done, as of [`Self::reconfigure`].
    pub(crate) async fn role(
        &self,
        instances: Vec<Name>,
        verb: RoleVerb,
        late: impl Future<Output = ()>,
    ) -> Option<Result<Roles, RoleError>> {
        let (answer, roles) = oneshot::channel();
        let permit = Permit::default();
        self.send(Command::Role { instances, verb, permit: permit.clone(), answer });
        done_or_taken_back(roles, permit, late).await
    }

    /// Goes on with another configuration. None when the thread has gone, takes no commands or has not begun when `late` comes: the
    /// configuration is taken back then, and the thread never applies it. What it has begun is waited for, however long that takes, so
    /// that nobody is told a wrong end.
    pub(crate) async fn reconfigure(
        &self,
        next: Next,
        late: impl Future<Output = ()>,
    ) -> Option<Result<(), VrrpError>> {
        let (answer, done) = oneshot::channel();
        let permit = Permit::default();
        let next = Box::new(next);
        self.send(Command::Reconfigure { next, permit: permit.clone(), answer });
        done_or_taken_back(done, permit, late).await
    }

    /// Tells what the watcher of `tracker` has read. It never waits, and an older reading that was not taken yet is replaced.
    pub(crate) fn track(&self, tracker: Name, reading: Reading) {
        self.readings.put(tracker, reading);
        self.wake();
    }

    /// Tells whether `instance` has the connections of the Active that it may preempt. It never waits.
    pub(crate) fn caught_up(&self, instance: Name, caught_up: bool) {
        self.readings.catch_up(instance, caught_up);
        self.wake();
    }

    /// The BFD sessions.
    pub(crate) const fn sessions(&self) -> &Bfd {
        &self.bfd
    }

    /// What the BFD sessions read, for checks.
    pub(crate) fn session_readings(&self) -> Sessions {
        self.sessions.clone()
    }

    fn end(&self, stop: Stop) {
        self.stop.raise(stop);
        self.wake();
    }

    fn send(&self, command: Command) {
        match self.commands.try_send(command) {
            Ok(()) => {}
            // A dropped command drops its answer's sender, which whoever waits for it notices.
            Err(TrySendError::Full(_)) => tracing::warn!("the VRRP thread does not take commands"),
            Err(TrySendError::Disconnected(_)) => tracing::error!("the VRRP thread has gone"),
        }
        self.wake();
    }

    fn wake(&self) {
        wake(&self.waker);
    }
}

/// Tells what has become of a BFD session.
fn follow_session(readings: &Readings, waker: &Waker, change: Change) {
    let Change { tracker, reading, lost } = change;
    if lost.is_some() {
        readings.lose(tracker.clone());
    }
    readings.put(tracker, reading);
    wake(waker);
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        tracing::error!(%error, "the VRRP thread could not be woken");
    }
}

/// What the thread answers. When `late` comes before it has begun, the command of `permit` is taken back.
async fn done_or_taken_back<T>(
    mut done: oneshot::Receiver<T>,
    permit: Permit,
    late: impl Future<Output = ()>,
) -> Option<T> {
    tokio::select! {
        biased;
        done = &mut done => return done.ok(),
        () = late => {}
    }
    if permit.take() {
        return None;
    }
    tracing::warn!("the VRRP thread is slow to do what it was told: the end is waited for");
    done.await.ok()
}
