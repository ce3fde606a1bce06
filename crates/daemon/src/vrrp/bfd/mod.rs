//! The BFD sessions of `vrrp.trackers`: a thread of their own, so that nobody else's work makes them late.
//!
//! What becomes of a session is told by a closure ([`Change`]); it must not wait for anything, for the other sessions wait for it. The
//! state of all sessions can be asked for. To stop is to tell every peer that its session ends by intent;
//! a session that a reload takes out ends the same way, and the others notice nothing of it.

mod peer;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_bfd::{Counters, Diagnostic, Discards, State};
use holdfast_config::{BfdSession, Name, TrackerKind, Vrrp};
use holdfast_control as control;
use holdfast_engine::vrrp::Reading;
use holdfast_net::{BfdSocketError, WakeError, Waker};
use tokio::sync::{Notify, oneshot};
use vrrp::AddressFamily;

use self::thread::BfdThread;

/// So many commands wait for the thread; it takes them all each time that it wakes. What is beyond is dropped, and who asked is told.
const COMMANDS_MAX: usize = 16;

/// What a session has come to.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// The tracker.
    pub(crate) tracker: Name,
    /// What it reads: up, down, or unknown when the peer's administrator ended the session, which says nothing about the peer.
    pub(crate) reading: Reading,
    /// The peer, when it has fallen silent for the detection time: as an Active it counts as having sent priority 0
    /// (`vrrp::Event::ActiveLost`). None when the session is down for another reason, or when this thread stood still and can't say.
    pub(crate) lost: Option<IpAddr>,
}

/// A session at one moment.
#[derive(Clone, Debug)]
pub(crate) struct SessionStatus {
    /// The trackers that it is for.
    pub(crate) trackers: Vec<Name>,
    /// The other side.
    pub(crate) peer: IpAddr,
    /// Our state.
    pub(crate) state: State,
    /// How long it has been so.
    pub(crate) since: Duration,
    /// Why our state changed last, as the peer is told.
    pub(crate) diagnostic: Diagnostic,
    /// What the peer says that its state is.
    pub(crate) remote_state: State,
    /// What the peer says why.
    pub(crate) remote_diagnostic: Diagnostic,
    /// The interval at which packets are sent, before the jitter; none while none are to be sent.
    pub(crate) transmit_interval: Option<Duration>,
    /// How long the peer may be silent; none while it is not known.
    pub(crate) detection_time: Option<Duration>,
    /// The reason for which it went down last, in words; none when it never did.
    pub(crate) last_down: Option<String>,
    /// Packets and transitions.
    pub(crate) counters: Counters,
    /// Packets for this session that were discarded.
    pub(crate) discarded: Discards,
    /// Why the last packet could not be sent; none when it was.
    pub(crate) fault: Option<String>,
}

/// All sessions at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct BfdStatus {
    /// By peer.
    pub(crate) sessions: Vec<SessionStatus>,
    /// Packets that were for no session.
    pub(crate) strays: Discards,
}

/// The sessions as the API shows them.
pub(super) fn view(status: &BfdStatus) -> Vec<control::BfdSession> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let view = |session: &SessionStatus| control::BfdSession {
        trackers: session.trackers.iter().map(ToString::to_string).collect(),
        peer: session.peer,
        state: session.state.label().to_owned(),
        since_s: session.since.as_secs(),
        diagnostic: session.diagnostic.label().to_owned(),
        remote_state: session.remote_state.label().to_owned(),
        remote_diagnostic: session.remote_diagnostic.label().to_owned(),
        transmit_interval_us: session.transmit_interval.map(micros),
        detection_time_us: session.detection_time.map(micros),
        last_down: session.last_down.clone(),
        fault: session.fault.clone(),
        received: session.counters.received,
        sent: session.counters.sent,
        discarded: discarded(&session.discarded),
    };
    status.sessions.iter().map(view).collect()
}

/// The discards that are not 0, by the name of the rule.
pub(super) fn discarded(discards: &Discards) -> BTreeMap<String, u64> {
    let broken = discards.iter().filter(|(_, count)| *count > 0);
    broken.map(|(reason, count)| (reason.label().to_owned(), count)).collect()
}

/// Trackers and the session that they share.
type Session = (Vec<Name>, BfdSession);

/// What is asked of the thread.
#[derive(Debug)]
enum Command {
    Status(oneshot::Sender<BfdStatus>),
    /// Listen to these families, too.
    Listen {
        families: BTreeSet<AddressFamily>,
        answer: oneshot::Sender<Result<(), BfdSocketError>>,
    },
    Stop,
}

/// The sessions that there shall be, on their way to the thread: one slot, in which newer ones replace what was not taken, so that
/// nothing can be dropped and nothing grows.
#[derive(Clone, Debug, Default)]
struct Next(Arc<Mutex<Option<Vec<Session>>>>);

impl Next {
    fn put(&self, sessions: Vec<Session>) {
        *self.lock() = Some(sessions);
    }

    fn take(&self) -> Option<Vec<Session>> {
        self.lock().take()
    }

    /// No change is made in parts, so what a thread that panicked has left is whole.
    fn lock(&self) -> MutexGuard<'_, Option<Vec<Session>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The BFD sessions and their thread, which is started for the first of them and stays. Clones are the same.
#[derive(Clone)]
pub(crate) struct Bfd {
    tell: Arc<dyn Fn(Change) + Send + Sync>,
    thread: Arc<Mutex<Option<Thread>>>,
    /// Told when the thread ends, by a panic too.
    ended: Arc<Notify>,
}

/// The way to the thread, and its end.
#[derive(Debug)]
struct Thread {
    way: Way,
    thread: JoinHandle<()>,
}

/// The way to the thread.
#[derive(Clone, Debug)]
struct Way {
    commands: SyncSender<Command>,
    next: Next,
    waker: Waker,
}

/// Tells of the thread's end when it is dropped.
#[derive(Debug)]
struct Ends(Arc<Notify>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// Why there is no BFD.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum BfdError {
    /// The operating system has no thread left.
    #[error("start the BFD thread")]
    Spawn(#[source] io::Error),
    /// No way to wake the thread.
    #[error("start the BFD thread")]
    Waker(#[source] WakeError),
    /// The thread could not listen.
    #[error("listen to BFD's packets")]
    Socket(#[source] BfdSocketError),
    /// The thread has gone, or is hung.
    #[error("the BFD thread does not answer: see the log")]
    Hangs,
}

impl Bfd {
    /// No session yet, and no thread.
    ///
    /// `tell` is called in the BFD thread with every change, and once for each session that does not come up at its start.
    pub(crate) fn new(tell: impl Fn(Change) + Send + Sync + 'static) -> Self {
        Self {
            tell: Arc::new(tell),
            thread: Arc::new(Mutex::new(None)),
            ended: Arc::new(Notify::new()),
        }
    }

    /// Starts the sessions of `config`, and the thread when there are any, and waits until its sockets are open.
    ///
    /// # Errors
    /// The thread could not be had, or another program speaks BFD on this host.
    pub(crate) fn start(&self, config: &Vrrp) -> Result<(), BfdError> {
        let families = families(&sessions(config));
        if families.is_empty() {
            return Ok(());
        }
        self.spawn(families)?;
        self.go_on(config);
        Ok(())
    }

    /// Gets what the sessions of `config` need: the thread, and sockets. Sessions that run notice nothing. Who does not go on with
    /// `config` calls [`Self::go_on`] with what was before.
    ///
    /// # Errors
    /// As of [`Self::start`], or the thread has not answered when `late` comes. Nothing has changed then.
    pub(crate) async fn prepare(
        &self,
        config: &Vrrp,
        late: impl Future<Output = ()>,
    ) -> Result<(), BfdError> {
        let families = families(&sessions(config));
        if families.is_empty() {
            return Ok(());
        }
        let Some(way) = self.way() else { return self.spawn(families) };
        let (answer, listens) = oneshot::channel();
        way.send(Command::Listen { families, answer });
        tokio::select! {
            biased;
            listens = listens => listens.map_err(|_gone| BfdError::Hangs)?.map_err(BfdError::Socket),
            () = late => Err(BfdError::Hangs),
        }
    }

    /// Goes on with the sessions of `config`, for which [`Self::prepare`] has got what they need: those that are there already notice
    /// nothing but what differs of them, those that are gone end by intent. It never waits.
    pub(crate) fn go_on(&self, config: &Vrrp) {
        if let Some(way) = self.way() {
            way.next.put(sessions(config));
            way.wake();
        }
    }

    /// The sessions as they are now; none when the thread has gone or takes no commands.
    pub(crate) async fn status(&self) -> Option<BfdStatus> {
        let Some(way) = self.way() else { return Some(BfdStatus::default()) };
        let (answer, status) = oneshot::channel();
        way.send(Command::Status(answer));
        status.await.ok()
    }

    /// Comes once when the thread has ended though nobody told it to, which only a fault of the daemon can cause.
    pub(super) async fn gone(&self) {
        self.ended.notified().await;
    }

    /// Tells every peer that its session ends by intent, so that none takes the silence for a failure, and waits until they know it
    /// or a second is over.
    pub(crate) fn stop(&self) {
        let Some(Thread { way, thread }) = self.lock().take() else { return };
        way.send(Command::Stop);
        if thread.join().is_err() {
            tracing::error!("the BFD thread had panicked");
        }
    }

    /// Starts the thread without a session and waits until it listens to `families`.
    fn spawn(&self, families: BTreeSet<AddressFamily>) -> Result<(), BfdError> {
        let (commands, receiver) = sync_channel(COMMANDS_MAX);
        let waker = Waker::new().map_err(BfdError::Waker)?;
        let way = Way { commands, next: Next::default(), waker };
        let (ready, is_ready) = sync_channel(1);
        let spawned = std::thread::Builder::new().name("bfd".to_owned()).spawn({
            let Way { next, waker, .. } = way.clone();
            let (tell, ended) = (Arc::clone(&self.tell), Arc::clone(&self.ended));
            move || match BfdThread::open(&families, receiver, next, waker) {
                Ok(thread) => {
                    let _ends = Ends(ended);
                    // The starter waits for this word.
                    drop(ready.send(Ok(())));
                    thread.run(&*tell);
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
        let thread = spawned.map_err(BfdError::Spawn)?;
        match is_ready.recv() {
            Ok(Ok(())) => {
                *self.lock() = Some(Thread { way, thread });
                Ok(())
            }
            Ok(Err(error)) => Err(BfdError::Socket(error)),
            Err(_) => Err(BfdError::Spawn(io::Error::other("the thread panicked at its start"))),
        }
    }

    fn way(&self) -> Option<Way> {
        self.lock().as_ref().map(|thread| thread.way.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Thread>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Bfd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bfd").field("thread", &self.thread).finish_non_exhaustive()
    }
}

impl Way {
    fn send(&self, command: Command) {
        match self.commands.try_send(command) {
            Ok(()) => {}
            // A dropped command drops its answer's sender, which whoever waits for it notices.
            Err(TrySendError::Full(_)) => tracing::warn!("the BFD thread does not take commands"),
            Err(TrySendError::Disconnected(_)) => tracing::error!("the BFD thread has gone"),
        }
        self.wake();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the BFD thread could not be woken");
        }
    }
}

/// The families of sessions.
fn families(sessions: &[Session]) -> BTreeSet<AddressFamily> {
    sessions.iter().map(|(_, session)| AddressFamily::of(session.peer)).collect()
}

/// The sessions that are configured, each with the trackers that it is for: between two addresses on one link there is one session
/// (RFC 5881 §3), so that trackers with the same peer, source and interface share it, with the first one's intervals.
fn sessions(config: &Vrrp) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for (name, tracker) in &config.trackers {
        let TrackerKind::Bfd(session) = &tracker.kind else { continue };
        match sessions.iter_mut().find(|(_, other)| other.has_ends_of(session)) {
            Some((names, other)) => {
                if other != session {
                    tracing::warn!(tracker = %name, peer = %session.peer, "another tracker's BFD session is shared: its intervals and role count");
                }
                names.push(name.clone());
            }
            None => sessions.push((vec![name.clone()], session.clone())),
        }
    }
    sessions.sort_by_key(|(_, session)| session.peer);
    sessions
}
