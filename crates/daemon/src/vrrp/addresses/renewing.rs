//! Renewing the addresses that have an end, by a thread of its own with its own socket to the kernel, so that nothing else which the
//! address thread waits for (the kernel's answers, `nft`) lets them end.
//!
//! What is renewed is what the address thread says is there, for as long as the VRRP thread wants it there and gives its word ([`super::word`]):
//! a VRRP thread that hangs lets its addresses end. The thread decides nothing, and never puts back what may have ended: that is the
//! address thread's, which announces it.
//!
//! The lock is held while the kernel is asked, for [`BATCH`] addresses at a time, so that what the address thread takes away is not
//! brought back at the same moment. The VRRP thread never takes it.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::{Change, Changes, Effect, Item, now, realtime, wait_until};
use holdfast_time::Instant;

use super::AddressThreadError;
use super::claim::Key;
use super::desk::Desk;
use super::few::Few;
use super::kernel::HostError;
use super::tenant::RETRY_DELAY;
use super::word::{Asker, FRESH};

/// As the VRRP thread: it has as little to do, and what it does is as urgent.
const PRIORITY: u8 = 2;

/// An address is renewed so often in its lifetime: most of that is left to a successor, whenever the worker dies.
pub(super) const RENEWALS: u32 = 4;

/// What is due so soon is renewed along with what is due: the kernel is asked once for all of them.
const TOGETHER: Duration = Duration::from_millis(100);

/// So many addresses are renewed at a time: one system call.
const BATCH: usize = 64;

/// What renews the addresses of one instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Renewal {
    /// What is there; shared with the tenant.
    pub(super) items: Arc<Few<Key, Item>>,
    /// How each of them is renewed; none = not at all.
    pub(super) ways: Vec<Option<Way>>,
    /// Whole seconds; none = they stay for ever from now on.
    pub(super) seconds: Option<u32>,
}

/// How an address is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// As it is.
    Plain,
    /// Without a route to its network (IFA_F_NOPREFIXROUTE).
    Routeless,
}

impl Renewal {
    fn is_empty(&self) -> bool {
        self.ways.iter().all(Option::is_none)
    }

    fn lifetime(&self) -> Option<Duration> {
        self.seconds.map(|seconds| Duration::from_secs(seconds.into()))
    }

    fn changes(&self) -> impl Iterator<Item = Change> + '_ {
        let ways = self.items.values().zip(&self.ways);
        ways.filter_map(|(item, way)| {
            let (way, mut item) = ((*way)?, item.clone());
            if let Item::Address(_, placed) = &mut item {
                placed.lifetime = self.seconds;
                placed.routeless = way == Way::Routeless;
            }
            Some(Change::renew(item))
        })
    }
}

/// What is renewed of one instance, and when.
#[derive(Debug)]
struct Entry {
    renewal: Renewal,
    at: Instant,
    /// By then what was renewed last has ended; none = it does not end.
    ends_at: Option<Instant>,
    /// The address thread is changing what is there.
    withheld: bool,
}

impl Entry {
    /// Of addresses that have the whole of their lifetime now.
    fn new(renewal: Renewal, now: Instant) -> Self {
        let mut entry = Self { renewal, at: now, ends_at: None, withheld: false };
        entry.wait(now);
        entry.renewed(now);
        entry
    }

    /// Those that it has are renewed now.
    fn renewed(&mut self, now: Instant) {
        self.ends_at = self.renewal.lifetime().map(|lifetime| now + lifetime);
    }

    /// It is looked at again when it is due next.
    fn wait(&mut self, now: Instant) {
        self.at = self.renewal.lifetime().map_or(now, |lifetime| now + lifetime / RENEWALS);
    }

    /// Whether it has everything that `other` has. What came from another instance may have less time left than what was here.
    fn has_all(&self, other: &Self) -> bool {
        other.renewal.items.keys().all(|key| self.renewal.items.contains_key(key))
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|ends| ends <= now)
    }
}

#[derive(Debug, Default)]
struct Table {
    entries: BTreeMap<Name, Entry>,
    /// Something is due sooner than the thread knows.
    news: bool,
}

impl Table {
    fn next(&self) -> Option<Instant> {
        self.entries.values().filter(|entry| !entry.withheld).map(|entry| entry.at).min()
    }

    /// How old a word may be for what is there: whoever gives none any more has all end in five quarters of their time.
    fn age(&self) -> Duration {
        let lifetimes = self.entries.values().filter_map(|one| one.renewal.lifetime());
        lifetimes.min().map_or(FRESH, |least| least / RENEWALS)
    }
}

/// What is renewed, and when; shared by the address thread, which says so, and the thread that does it.
#[derive(Debug)]
pub(super) struct Renewals {
    table: Mutex<Table>,
    desk: Arc<Desk>,
}

impl Renewals {
    /// Nothing yet.
    pub(super) fn new(desk: Arc<Desk>) -> Self {
        Self { table: Mutex::default(), desk }
    }

    /// What of `instance` is renewed from now on. Where it was renewed before, that is when it is due; what was put there at this moment
    /// (`is_new`) is in time; all else at once, and what lives for another time than before. [`Self::settle`] has to follow.
    pub(super) fn put(&self, instance: &Name, renewal: Renewal, now: Instant, is_new: bool) {
        if renewal.is_empty() {
            return self.forget(instance);
        }
        let mut table = self.lock();
        let known = table.entries.remove(instance).filter(|known| !known.has_ended(now));
        let seconds = renewal.seconds;
        let mut entry = Entry::new(renewal, now);
        match known {
            Some(known) if known.renewal.seconds == seconds && known.has_all(&entry) => {
                (entry.at, entry.ends_at) = (known.at, known.ends_at);
                table.news |= known.withheld;
            }
            None if is_new => table.news = true,
            Some(_) | None => (entry.at, table.news) = (now, true),
        }
        table.entries.insert(instance.clone(), entry);
    }

    /// Has the thread look, if something is due sooner than it knows.
    pub(super) fn settle(&self) {
        if std::mem::take(&mut self.lock().news) {
            self.desk.wake_renewing();
        }
    }

    /// Renews nothing of `instance` until it is [`put`](Self::put) again with what is there then.
    pub(super) fn withhold(&self, instance: &Name) {
        if let Some(entry) = self.lock().entries.get_mut(instance) {
            entry.withheld = true;
        }
    }

    /// Renews nothing of `instance` any more.
    pub(super) fn forget(&self, instance: &Name) {
        self.lock().entries.remove(instance);
    }

    /// Renews what is due, by `change`, and says when something is due again. Without the VRRP thread's word nothing is, and it is asked for
    /// one.
    pub(super) fn renew<E: Display>(
        &self,
        now: Instant,
        mut change: impl FnMut(&[Change]) -> Vec<Result<Effect, E>>,
    ) -> Option<Instant> {
        loop {
            let mut table = self.lock();
            let next = table.next();
            if next.is_none_or(|at| at > now) {
                return next;
            }
            if !self.desk.has_word(now, table.age(), Asker::Renewing) {
                return None;
            }
            let (whose, changes): (Vec<Name>, Vec<Change>) =
                self.due(&mut table, now).into_iter().unzip();
            if changes.is_empty() {
                continue;
            }
            let results = change(&changes);
            for (name, result) in whose.iter().zip(results) {
                let Err(error) = result else { continue };
                tracing::warn!(instance = %name, %error, "an address could not be renewed; it is tried again in a second");
                self.desk.doubt(name);
                if let Some(entry) = table.entries.get_mut(name) {
                    entry.at = entry.at.min(now + RETRY_DELAY);
                }
            }
        }
    }

    /// What is due or nearly so, for it is renewed now: whole instances, up to [`BATCH`] addresses or those of one.
    fn due(&self, table: &mut Table, now: Instant) -> Vec<(Name, Change)> {
        let (mut due, mut over) = (Vec::new(), Vec::new());
        let soon = |entry: &Entry| !entry.withheld && entry.at <= now + TOGETHER;
        for (name, entry) in table.entries.iter_mut().filter(|(_, entry)| soon(entry)) {
            if due.len() >= BATCH {
                break;
            }
            entry.wait(now);
            let has_ended = entry.has_ended(now);
            if has_ended {
                // It is put back and announced, or not: by the address thread.
                self.desk.doubt(name);
            } else if self.desk.is_held(name) {
                due.extend(entry.renewal.changes().map(|change| (name.clone(), change)));
                entry.renewed(now);
            }
            if has_ended || entry.renewal.seconds.is_none() {
                over.push(name.clone());
            }
        }
        for name in &over {
            table.entries.remove(name);
        }
        due
    }

    /// No change is made in parts, so what a thread that panicked has left is whole.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread that renews. Dropping it ends it.
#[derive(Debug)]
pub(super) struct RenewingThread {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

impl RenewingThread {
    /// Starts to renew what `renewals` says. Its end by a fault is the address thread's: the desk says so.
    ///
    /// # Errors
    /// No thread or no netlink socket can be had.
    pub(super) fn start(
        renewals: Arc<Renewals>,
        farewell: impl Send + 'static,
    ) -> Result<Self, AddressThreadError> {
        let desk = Arc::clone(&renewals.desk);
        let kernel =
            Changes::open().map_err(|error| AddressThreadError::Host(HostError::from(error)))?;
        let thread = std::thread::Builder::new()
            .name("renewing".to_owned())
            .spawn(move || run(&renewals, kernel, farewell))
            .map_err(AddressThreadError::Thread)?;
        Ok(Self { desk, thread: Some(thread) })
    }
}

impl Drop for RenewingThread {
    fn drop(&mut self) {
        self.desk.end_renewing();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that renews addresses had panicked");
        }
    }
}

fn run(renewals: &Renewals, mut kernel: Changes, farewell: impl Send) {
    let _farewell = farewell;
    if let Err(refused) = realtime::enter(PRIORITY) {
        // The VRRP thread says what to do.
        tracing::debug!(%refused, "addresses may be renewed late when the host is busy");
    }
    let desk = &renewals.desk;
    while desk.drain_renewing() {
        let deadline = renewals.renew(now(), |changes| kernel.change(changes));
        if let Err(error) = wait_until(&[desk.renewing()], deadline) {
            // Without this pause a kernel out of memory would be asked in a busy loop.
            tracing::error!(%error, "the thread that renews addresses could not sleep");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
