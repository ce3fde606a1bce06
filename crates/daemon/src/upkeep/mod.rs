//! What the kernel's IPVS has around its table: sysctls, and the daemons that tell the other director of connections. Both are desired
//! state, as the table is, and are looked after by a thread of their own, so that no table however long holds up a change of roles.
//!
//! ```text
//!  vrrp thread ──states──► Board ──► upkeep thread ──► sysctls, sync daemons (each `ipvs.poll`, and at a change of state)
//!       ▲                    ▲            │
//!       └── caught up ───────┼────────────┘
//!  api ── asks ──────────────┘
//! ```
//!
//! It decides nothing: which daemons shall run is the engine's (`holdfast_engine::sync`), what to do about those that run is
//! `ipvs_ctl::plan`'s, and which sysctls are needed is the configuration's (`Config::sysctls`).

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
use crate::vrrp::VrrpRemote;

/// What is looked after, before there is a thread for it.
#[derive(Debug)]
pub(crate) struct Upkeep {
    board: Board,
    worker: Worker,
}

/// The thread, to be stopped.
#[derive(Debug)]
pub(crate) struct UpkeepHandle {
    board: Board,
    thread: JoinHandle<()>,
    /// Closed when the thread ends, by a panic too; none when that was noticed.
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
    /// Sets the sysctls that `config` needs, and gives back those that an earlier daemon has set and nobody needs. What can't be set is
    /// logged and shown: the daemon works without. The states of instances come by `board`. Of the sync daemons that an earlier daemon has
    /// `left` those end that nobody wants any more.
    ///
    /// # Errors
    /// There is no way to the kernel's sync daemons, which the configuration wants.
    pub(crate) fn open(
        config: &Arc<Config>,
        board: Board,
        left: &[SyncDaemon],
    ) -> Result<Self, UpkeepError> {
        let mut settings = Settings::open(config);
        settings.look();
        let daemons = Daemons::open(config)?;
        if daemons.is_none() && !left.is_empty() {
            daemons::end_those(left);
        }
        let worker = Worker::new(board.clone(), Arc::clone(config), settings, daemons);
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
    /// Comes when the thread has ended though nobody told it to, which only a fault of the daemon can cause.
    pub(crate) async fn gone(&mut self) {
        if let Some(gone) = &mut self.gone {
            // Nothing is ever sent: the channel closes.
            let _closed = gone.await;
            self.gone = None;
        }
    }

    /// Ends the thread. What `ipvs.on_stop` keeps stays as it is, since the table goes on forwarding with it; otherwise the sync daemons
    /// end and the sysctls are given back.
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
