//! The BFD sessions of `vrrp.trackers`: a thread of their own, so that nobody else's work makes them late.
//!
//! What becomes of a session is told by a closure ([`Change`]); it must not wait for anything, for the other sessions wait for it. The
//! state of all sessions can be asked for. To stop is to tell every peer that its session ends by intent.

mod peer;
mod thread;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_bfd::{Counters, Diagnostic, Discards, State};
use holdfast_config::{BfdSession, Name, TrackerKind, Vrrp};
use holdfast_control as control;
use holdfast_engine::vrrp::Reading;
use holdfast_net::{BfdSocketError, WakeError, Waker};
use tokio::sync::oneshot;

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

/// What is asked of the thread.
#[derive(Debug)]
enum Command {
    Status(oneshot::Sender<BfdStatus>),
    Stop,
}

/// The BFD thread, to be stopped.
#[derive(Debug)]
pub(crate) struct BfdHandle {
    remote: BfdRemote,
    thread: JoinHandle<()>,
    /// Closed when the thread ends, by a panic too; none when that was noticed.
    gone: Option<oneshot::Receiver<()>>,
}

/// The way to the BFD thread.
#[derive(Clone, Debug)]
pub(crate) struct BfdRemote {
    commands: SyncSender<Command>,
    waker: Waker,
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
    #[error("start the BFD thread")]
    Socket(#[source] BfdSocketError),
}

impl BfdHandle {
    /// Starts the sessions of `config` and waits until their sockets are open; none when there are no sessions.
    ///
    /// `tell` is called in the BFD thread with every change, and once for each session that does not come up at the start.
    ///
    /// # Errors
    /// The thread could not be had, or another program speaks BFD on this host.
    pub(crate) fn start(
        config: &Vrrp,
        tell: impl Fn(Change) + Send + 'static,
    ) -> Result<Option<Self>, BfdError> {
        let sessions = sessions(config);
        if sessions.is_empty() {
            return Ok(None);
        }
        let (commands, receiver) = sync_channel(COMMANDS_MAX);
        let waker = Waker::new().map_err(BfdError::Waker)?;
        let (ready, is_ready) = sync_channel(1);
        let (alive, gone) = oneshot::channel();
        let spawned = std::thread::Builder::new().name("bfd".to_owned()).spawn({
            let waker = waker.clone();
            move || {
                let _alive: oneshot::Sender<()> = alive;
                match BfdThread::open(sessions, receiver, waker) {
                    Ok(thread) => {
                        // The starter waits for this word.
                        drop(ready.send(Ok(())));
                        thread.run(&tell);
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            }
        });
        let thread = spawned.map_err(BfdError::Spawn)?;
        match is_ready.recv() {
            Ok(Ok(())) => {
                let remote = BfdRemote { commands, waker };
                Ok(Some(Self { remote, thread, gone: Some(gone) }))
            }
            Ok(Err(error)) => Err(BfdError::Socket(error)),
            Err(_) => Err(BfdError::Spawn(io::Error::other("the thread panicked at its start"))),
        }
    }

    /// A way to the thread that can be kept elsewhere.
    pub(crate) fn remote(&self) -> BfdRemote {
        self.remote.clone()
    }

    /// Comes when the thread has ended though nobody told it to, which only a fault of the daemon can cause.
    pub(super) async fn gone(&mut self) {
        if let Some(gone) = &mut self.gone {
            // Nothing is ever sent: the channel closes.
            drop(gone.await);
        }
        self.gone = None;
    }

    /// Tells every peer that its session ends by intent, so that none takes the silence for a failure, and waits until they know it
    /// or a second is over.
    pub(crate) fn stop(self) {
        let Self { remote, thread, .. } = self;
        remote.send(Command::Stop);
        if thread.join().is_err() {
            tracing::error!("the BFD thread had panicked");
        }
    }
}

impl BfdRemote {
    /// The sessions as they are now; none when the thread has gone or takes no commands.
    pub(crate) async fn status(&self) -> Option<BfdStatus> {
        self.ask().await.ok()
    }

    fn ask(&self) -> oneshot::Receiver<BfdStatus> {
        let (answer, status) = oneshot::channel();
        self.send(Command::Status(answer));
        status
    }

    fn send(&self, command: Command) {
        match self.commands.try_send(command) {
            Ok(()) => {}
            // A dropped command drops its answer's sender, which whoever waits for it notices.
            Err(TrySendError::Full(_)) => tracing::warn!("the BFD thread does not take commands"),
            Err(TrySendError::Disconnected(_)) => tracing::error!("the BFD thread has gone"),
        }
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the BFD thread could not be woken");
        }
    }
}

/// The sessions that are configured, each with the trackers that it is for: between two addresses on one link there is one session
/// (RFC 5881 §3), so that trackers with the same peer, source and interface share it, with the first one's intervals.
fn sessions(config: &Vrrp) -> Vec<(Vec<Name>, BfdSession)> {
    let mut sessions: Vec<(Vec<Name>, BfdSession)> = Vec::new();
    for (name, tracker) in &config.trackers {
        let TrackerKind::Bfd(session) = &tracker.kind else { continue };
        let end = |of: &BfdSession| (of.peer, of.source, of.interface.clone());
        match sessions.iter_mut().find(|(_, other)| end(other) == end(session)) {
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
