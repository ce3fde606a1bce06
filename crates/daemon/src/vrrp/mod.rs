//! VRRP: a thread of its own for the protocol, and one for the addresses that it moves.

mod addresses;
mod instance;
mod lateness;
mod roster;
mod sockets;
mod thread;

use std::io;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_config::{Config, Instance, Name};
use holdfast_control as control;
use holdfast_net::{WakeError, Waker};
use tokio::sync::oneshot;

use self::thread::{OpenError, StartError, VrrpThread};

/// So many commands wait for the thread; it takes them all each time that it wakes.
const COMMANDS_MAX: usize = 64;

/// What the other half of the director asks of the VRRP thread.
#[derive(Debug)]
enum Command {
    Status(oneshot::Sender<Vec<control::Instance>>),
    Stop,
}

/// The VRRP thread, to be stopped.
#[derive(Debug)]
pub(crate) struct VrrpHandle {
    remote: VrrpRemote,
    thread: JoinHandle<()>,
    /// Closed when the thread ends, by a panic too.
    gone: oneshot::Receiver<()>,
}

/// The way to the VRRP thread.
#[derive(Clone, Debug)]
pub(crate) struct VrrpRemote {
    commands: SyncSender<Command>,
    waker: Waker,
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
    /// Starts VRRP for the instances of `config` and waits until their sockets are open.
    ///
    /// # Errors
    /// The thread, a socket or the link monitor could not be had: a capability is missing, say.
    pub(crate) fn start(config: &Config) -> Result<Self, VrrpError> {
        let (commands, receiver) = sync_channel(COMMANDS_MAX);
        let waker = Waker::new().map_err(VrrpError::Waker)?;
        let (ready, is_ready) = sync_channel(1);
        let instances: Vec<Instance> = config.instances.values().cloned().collect();
        let (alive, gone) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("vrrp".to_owned())
            .spawn({
                let waker = waker.clone();
                move || {
                    let _alive: oneshot::Sender<()> = alive;
                    match VrrpThread::open(instances, receiver, waker) {
                        Ok(thread) => {
                            // The starter waits for this word.
                            drop(ready.send(Ok(())));
                            thread.run();
                        }
                        Err(error) => drop(ready.send(Err(error))),
                    }
                }
            })
            .map_err(VrrpError::Spawn)?;
        match is_ready.recv() {
            Ok(Ok(())) => Ok(Self { remote: VrrpRemote { commands, waker }, thread, gone }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(VrrpError::Spawn(io::Error::other("the thread panicked at its start"))),
        }
    }

    /// A way to the thread that can be kept elsewhere.
    pub(crate) fn remote(&self) -> VrrpRemote {
        self.remote.clone()
    }

    /// Comes when the thread has ended though nobody told it to, which only a fault of the daemon can cause.
    pub(crate) async fn gone(&mut self) {
        // Nothing is ever sent: the channel closes.
        drop((&mut self.gone).await);
    }

    /// Steps back everywhere: priority-0 advertisements, addresses removed. Returns when that is done, or after `patience`.
    pub(crate) async fn stop(self, patience: Duration) {
        self.remote.send(Command::Stop);
        let Self { thread, .. } = self;
        let joined = tokio::task::spawn_blocking(move || {
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
    /// The instances as they are now; none when the thread has gone or takes no commands.
    pub(crate) async fn status(&self) -> Option<Vec<control::Instance>> {
        let (answer, status) = oneshot::channel();
        self.send(Command::Status(answer));
        status.await.ok()
    }

    fn send(&self, command: Command) {
        match self.commands.try_send(command) {
            Ok(()) => {}
            // A dropped command drops its answer's sender, which whoever waits for it notices.
            Err(TrySendError::Full(_)) => tracing::warn!("the VRRP thread does not take commands"),
            Err(TrySendError::Disconnected(_)) => tracing::error!("the VRRP thread has gone"),
        }
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the VRRP thread could not be woken");
        }
    }
}
