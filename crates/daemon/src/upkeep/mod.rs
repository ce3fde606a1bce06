//! What IPVS needs besides its table: sysctls, and the sync daemons that share connections with the other director. Both are desired
//! state, as the table is. A thread of their own looks after them, so that a long table can't delay a change of roles.
//!
//! ```text
//!  vrrp thread ──states──► Board ──► upkeep thread ──► sysctls, sync daemons (each `ipvs.poll`, and at a change of state)
//!       ▲                    ▲            │
//!       └── caught up ───────┼────────────┘
//!  api ── asks ──────────────┘
//! ```
//!
//! It decides nothing: `holdfast_engine::sync` says which daemons are to run, `ipvs_ctl::plan` what to start and stop, and
//! `Config::sysctls` which sysctls are needed.

mod board;
mod census;
mod daemons;
mod sysctls;
mod worker;

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use holdfast_config::Config;
use holdfast_control as control;
use holdfast_net::MonitorError;
use ipvs_ctl::client::ClientError;
use ipvs_ctl::model::SyncDaemon;
use tokio::sync::oneshot;

pub(crate) use self::board::Board;
use self::daemons::Daemons;
use self::sysctls::Settings;
use self::worker::Worker;
use crate::director::words;
use crate::events::Events;
use crate::vrrp::VrrpRemote;

/// The upkeep before its thread is started.
#[derive(Debug)]
pub(crate) struct Upkeep {
    board: Board,
    worker: Worker,
}

/// The running upkeep thread.
#[derive(Debug)]
pub(crate) struct UpkeepHandle {
    board: Board,
    thread: JoinHandle<()>,
    /// Closed when the thread ends, also by a panic; none after that was noticed.
    gone: Option<oneshot::Receiver<()>>,
}

/// The thread's view for the API.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) sync: Option<control::ConnectionSync>,
    pub(crate) sysctls: control::Sysctls,
}

/// Why there is no upkeep.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum UpkeepError {
    /// The kernel's IPVS does not answer.
    #[error("{}", words(.0))]
    Client(ClientError),
    /// Interfaces can't be followed.
    #[error(transparent)]
    Links(#[from] MonitorError),
    /// The operating system has no thread left.
    #[error("start the upkeep thread")]
    Thread(#[source] io::Error),
}

impl Upkeep {
    /// Sets the sysctls that `config` needs, and restores those that an earlier daemon has set and that are no longer needed. What can't be
    /// set is logged and shown, and the daemon works without it. The states of instances come by `board`, and what others change is
    /// reported to `events`. If `config` wants no sync daemons, those that an earlier daemon has `left` are stopped.
    ///
    /// # Errors
    /// There is no way to the kernel's sync daemons, which the configuration wants.
    pub(crate) fn open(
        config: &Arc<Config>,
        board: Board,
        left: &[SyncDaemon],
        events: Events,
    ) -> Result<Self, UpkeepError> {
        let mut settings = Settings::open(config);
        settings.look();
        let daemons = Daemons::open(config)?;
        if daemons.is_none() && !left.is_empty() {
            daemons::end_those(left);
        }
        let worker = Worker::new(board.clone(), Arc::clone(config), settings, daemons, events);
        Ok(Self { board, worker })
    }

    /// Starts the thread, which tells `vrrp` when an instance has caught up.
    ///
    /// # Errors
    /// The operating system has no thread left.
    pub(crate) fn start(self, vrrp: VrrpRemote) -> Result<UpkeepHandle, UpkeepError> {
        let Self { board, worker } = self;
        let (alive, gone) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("upkeep".to_owned())
            .spawn(move || {
                let _alive: oneshot::Sender<()> = alive;
                worker.run(&vrrp);
            })
            .map_err(UpkeepError::Thread)?;
        Ok(UpkeepHandle { board, thread, gone: Some(gone) })
    }
}

impl UpkeepHandle {
    /// Completes when the thread has ended without an order, which only a fault of the daemon can cause.
    pub(crate) async fn gone(&mut self) {
        if let Some(gone) = &mut self.gone {
            // Nothing is ever sent: the channel closes.
            let _closed = gone.await;
            self.gone = None;
        }
    }

    /// Ends the thread. With `ipvs.on_stop: keep` everything stays, since the table goes on forwarding with it; otherwise the sync daemons
    /// are stopped and the sysctls restored.
    pub(crate) async fn stop(self) {
        self.board.end();
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join());
        if !matches!(joined.await, Ok(Ok(()))) {
            tracing::error!(
                "the upkeep thread had panicked: sysctls and sync daemons may be left behind"
            );
        }
    }
}
