//! The supervisor: a process of one thread that keeps a worker, the daemon proper, and starts the next one when it dies.
//!
//! ```text
//!   service manager ◄── words ── supervisor ◄── words, a pipe ── worker
//!                    signals ──►     │  ── signals ──────────────►  │
//!                                    └──────── estate ──────────────┘   who is Active, since which advertisement
//! ```
//!
//! The kernel keeps the virtual addresses and the table of IPVS while no process of ours is there; what is missing then is a voice. The
//! next worker is there before a Backup has given up waiting, reads in the [`estate`] when its predecessor advertised last, and goes on
//! (`vrrp::Event::Inherit` says why that is safe). Where it can't be there in time the supervisor says the goodbyes that the worker has
//! left, and takes the addresses off.
//!
//! It decides nothing about VRRP, IPVS or checks, reads no configuration, and starts nothing but workers. A supervisor that is killed
//! takes its worker along, which stops in order.

mod backoff;
mod estate;
mod keeper;
mod keepsakes;
mod lifeline;
mod messages;
mod relinquish;

use std::process::ExitCode;
use std::sync::OnceLock;

use clap::{Args, ValueEnum};
use holdfast_control::Faults;

pub(crate) use self::estate::{
    Bequest, Estate, Goodbye, Left, LeftReading, SLOTS_MAX, Stood, Will,
};
use self::keeper::Keeper;
pub(crate) use self::keeper::Kept;
pub(crate) use self::keepsakes::Custody;
pub(crate) use self::lifeline::{Handles, Lifeline};
use crate::capabilities;
use crate::failure::Failure;
use crate::panics;

/// Whether there is a supervisor, and what it tells its worker.
#[derive(Args, Debug)]
pub(crate) struct Supervision {
    /// Whether a process of its own keeps the daemon and starts it again, without an outage, should it crash or hang. `auto`: where a
    /// service manager waits for the daemon's word (NOTIFY_SOCKET).
    #[arg(long, value_enum, default_value_t)]
    supervisor: Mode,
    /// What a supervisor hands to its worker.
    #[arg(long, hide = true)]
    worker: Option<Handles>,
    /// How many workers died before this one.
    #[arg(long, hide = true, default_value_t, requires = "worker")]
    restarts: u64,
    /// How the last one ended.
    #[arg(long, hide = true, requires = "worker")]
    last_end: Option<String>,
    /// What a supervisor hands to the program that takes its place.
    #[arg(long, hide = true, conflicts_with = "worker")]
    keep: Option<Kept>,
    /// Find out whether the daemon could start, and no more.
    #[arg(long, hide = true)]
    pub(crate) only_try: bool,
}

/// Whether there is a supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Mode {
    #[default]
    Auto,
    On,
    Off,
}

impl Supervision {
    /// Whether this process is to be a supervisor.
    pub(crate) fn is_wanted(&self) -> bool {
        let wanted = match self.supervisor {
            Mode::Auto => std::env::var_os("NOTIFY_SOCKET").is_some(),
            Mode::On => true,
            Mode::Off => false,
        };
        (wanted || self.keep.is_some()) && self.worker.is_none() && !self.only_try
    }

    /// What ties this process to its supervisor; none without one. Call it before there is another thread.
    ///
    /// # Errors
    /// There is none though the command line says so.
    pub(crate) fn lifeline(&self) -> Result<Option<Lifeline>, Failure> {
        self.worker.map(Lifeline::grasp).transpose()
    }

    /// How many workers died before this one, and how the last one did. [`faults`] tells the same from then on.
    pub(crate) fn history(&self) -> (u64, Option<&str>) {
        let history = (self.restarts, self.last_end.clone());
        let (restarts, last_end) = HISTORY.get_or_init(|| history);
        (*restarts, last_end.as_deref())
    }
}

/// How many workers died before this one, and how the last one did; a process learns it once.
static HISTORY: OnceLock<(u64, Option<String>)> = OnceLock::new();

/// What went wrong in the daemon itself, for the API.
pub(crate) fn faults() -> Faults {
    let (restarts, last_end) = HISTORY.get().cloned().unwrap_or_default();
    Faults { panics: panics::count(), restarts, last_end }
}

/// Is the supervisor, until its worker has stopped for good.
///
/// # Errors
/// The kernel gives no descriptor, or no worker can be started.
pub(crate) fn run(supervision: &Supervision) -> Result<ExitCode, Failure> {
    capabilities::confine_supervisor().map_err(|error| Failure::new("start", error))?;
    Keeper::open(supervision.keep.as_ref())?.run()
}
