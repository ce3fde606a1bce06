//! What services need of the kernel besides its table: marks of packets, and timeouts of connections.
//!
//! A thread of its own sees to both, because `nft` is a process that has to be waited for. It is told what is wanted, makes it so, and looks
//! again every `ipvs.poll`, at most once a second, because the kernel reports no changes by others. If nothing is wanted and an earlier
//! daemon has left nothing there is no such thread.

mod marking;
mod timeouts;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_config::{Config, Match};
use holdfast_net::marks::Marked;
use ipvs_ctl::model::{Protocol, Timeouts};
use tokio::task::spawn_blocking;

use self::marking::Marking;
use self::timeouts::IdleTimeouts;
use crate::events::Events;

/// The least time between two looks, each of which costs a process.
const LOOK_EVERY_MIN: Duration = Duration::from_secs(1);

/// What is wanted of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    marks: BTreeSet<Marked>,
    timeouts: Timeouts,
    poll: Duration,
}

impl Wanted {
    /// What `config` says.
    pub(super) fn of(config: &Config) -> Self {
        let marks = config.marks().map(|(packets, mark)| {
            let Match { protocol, first, last, ports, .. } = *packets;
            let protocol = match protocol {
                Protocol::Tcp => 6,
                Protocol::Udp => 17,
                Protocol::Sctp => 132,
            };
            Marked { protocol, first, last, ports, mark }
        });
        Self {
            marks: marks.collect(),
            timeouts: config.ipvs.timeouts,
            poll: config.ipvs.poll.max(LOOK_EVERY_MIN),
        }
    }

    fn is_nothing(&self) -> bool {
        self.marks.is_empty() && self.timeouts.is_empty()
    }
}

/// How it stands, for the status.
#[derive(Clone, Debug, Default)]
pub(super) struct View {
    /// Why packets are not marked as they should be.
    pub(super) marks_problem: Option<String>,
    /// Why the timeouts are not as they should be.
    pub(super) timeouts_problem: Option<String>,
    /// How many ranges of packets are marked.
    pub(super) marked: usize,
    /// The timeouts as they were last read, where some are wanted.
    pub(super) timeouts: Option<Timeouts>,
    /// How often what others had changed was put back.
    pub(super) repairs: u64,
}

/// The thread from the director's side.
#[derive(Debug)]
pub(super) struct Besides {
    folder: PathBuf,
    events: Events,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    told: Condvar,
    view: Mutex<View>,
}

/// What the thread is told; a newer wish replaces an older one.
#[derive(Debug, Default)]
struct Slot {
    wanted: Option<Wanted>,
    ending: Option<Ending>,
}

/// What becomes of it when the daemon stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// It stays: the services go on.
    Leave,
    /// Marks are removed, timeouts become what they were.
    GiveBack,
}

impl Besides {
    /// Nothing is done yet. What outlives the daemon is remembered in `folder`; what others change is told to `events`.
    pub(super) fn new(folder: &Path, events: Events) -> Self {
        Self { folder: folder.to_owned(), events, shared: Arc::default(), thread: None }
    }

    /// Sees to it that the kernel is as `wanted` from now on.
    pub(super) fn want(&mut self, wanted: Wanted) {
        let idle = self.thread.is_none() && wanted.is_nothing();
        if idle && !Marking::has_left(&self.folder) && !IdleTimeouts::has_left(&self.folder) {
            return;
        }
        locked(&self.shared.slot).wanted = Some(wanted);
        self.shared.told.notify_one();
        if self.thread.is_none() {
            let (shared, folder) = (Arc::clone(&self.shared), self.folder.clone());
            let events = self.events.clone();
            let spawned = std::thread::Builder::new()
                .name("ipvs-besides".to_owned())
                .spawn(move || work(&shared, &folder, &events));
            match spawned {
                Ok(thread) => self.thread = Some(thread),
                Err(error) => self.lame(&error),
            }
        }
    }

    fn lame(&self, error: &io::Error) {
        let sentence = format!("start a thread: {error}");
        tracing::error!(%error, "no thread could be started: packets are not marked and timeouts not set");
        let mut view = locked(&self.shared.view);
        view.marks_problem = Some(sentence.clone());
        view.timeouts_problem = Some(sentence);
    }

    /// How it stands.
    pub(super) fn view(&self) -> View {
        locked(&self.shared.view).clone()
    }

    /// Ends the thread, which does what `ending` says first.
    pub(super) async fn stop(mut self, ending: Ending) {
        locked(&self.shared.slot).ending = Some(ending);
        self.shared.told.notify_one();
        let Some(thread) = self.thread.take() else { return };
        let ended = spawn_blocking(move || thread.join().is_ok()).await;
        if !matches!(ended, Ok(true)) {
            tracing::error!(
                "the thread of marks and timeouts ended by a fault of the daemon: they may be left as they are"
            );
        }
    }
}

impl Shared {
    /// Waits for news, at most `patience`.
    fn wait(&self, patience: Duration) -> Slot {
        let slot = locked(&self.slot);
        let quiet = |slot: &mut Slot| slot.wanted.is_none() && slot.ending.is_none();
        let waited = self.told.wait_timeout_while(slot, patience, quiet);
        let (mut slot, _) = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *slot)
    }
}

/// A poisoned lock holds plain data, which is as good as before.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread.
fn work(shared: &Shared, folder: &Path, events: &Events) {
    let mut marking = Marking::new(folder, events.clone());
    let mut timeouts = IdleTimeouts::new(folder, events.clone());
    let mut wanted = Wanted::default();
    let mut patience = Duration::MAX;
    loop {
        let slot = shared.wait(patience);
        wanted = slot.wanted.unwrap_or(wanted);
        match slot.ending {
            Some(Ending::Leave) => return,
            Some(Ending::GiveBack) => {
                marking.look(&BTreeSet::new());
                timeouts.look(&Timeouts::default());
                return;
            }
            None => {}
        }
        marking.look(&wanted.marks);
        timeouts.look(&wanted.timeouts);
        *locked(&shared.view) = View {
            marks_problem: marking.problem().map(str::to_owned),
            timeouts_problem: timeouts.problem().map(str::to_owned),
            marked: marking.marked(),
            timeouts: timeouts.present(),
            repairs: marking.repairs().saturating_add(timeouts.repairs()),
        };
        // What is left after a failure is tried again as well.
        let idle =
            wanted.is_nothing() && marking.problem().is_none() && timeouts.problem().is_none();
        patience = if idle { Duration::MAX } else { wanted.poll };
    }
}
