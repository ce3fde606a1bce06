//! The journal of run-time changes: a file that is replaced whole, by a thread of its own, before a command is answered.
//!
//! ```text
//!  Director ──changes, who waits──► the desk ──all that lies there──► journal thread: writes once, then answers all of them
//! ```
//! The thread has its own copy of what is kept, so a command costs the director as much as its change is long, however much is kept.
//!
//! The director never waits for the disk. A newer change of a server replaces one that still lies on the desk, so that there are never more
//! than servers. Who waits are commands: at most 1,024, since a requester that gives up leaves its place on the desk until the disk answers. One
//! more is told at once that its change is not on the disk; the change lies on the desk all the same. Changes that come together, or while a
//! write takes its time, are one write: thousands of leases that end in one moment, say.
//!
//! A command that changes nothing may say what an earlier one said that is not on the disk yet. It waits as that one does, and where the last
//! write failed it is the next attempt; where all is on the disk ([`Journal::is_settled`]) it needs no thread.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use holdfast_config::Name;
use holdfast_engine::overlay::{Entry, Key};
use serde::{Deserialize, Serialize};

use super::file::StateFile;

/// The version of the file's form.
const VERSION: u32 = 1;

/// More changes than this are not read: each service may have as many servers.
const ENTRIES_MAX: usize = 100_000;

/// So many commands wait for the disk.
const WAITING_MAX: usize = 1_024;

/// What one more is told.
const TOO_MANY_WAIT: &str =
    "the disk does not answer and too many wait for it; should it answer yet, it is kept";

/// The way to the journal's thread, which ends when this is dropped and all is written.
#[derive(Debug)]
pub(crate) struct Journal {
    desk: Arc<Desk>,
    problem: Problem,
}

/// Why the last write failed; none when it did not.
type Problem = Arc<Mutex<Option<String>>>;

/// Whoever waits for a change to be on the disk; is told why it is not.
pub(crate) type Done = Box<dyn FnOnce(Result<(), String>) + Send>;

/// What of each server is other than before; none = nothing is kept of it any more.
type Changes = BTreeMap<Key, Option<Entry>>;

/// What lies between the director and the thread.
#[derive(Debug, Default)]
struct Desk {
    lies: Mutex<Lies>,
    more: Condvar,
}

/// What waits for the thread.
#[derive(Default)]
struct Lies {
    changes: Changes,
    waiting: Vec<Done>,
    /// The thread writes, or could not write what it had taken.
    unwritten: bool,
    /// Nobody brings anything any more.
    closed: bool,
    /// Nobody takes anything any more.
    left: bool,
}

impl std::fmt::Debug for Lies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { changes, waiting, unwritten, closed, left } = self;
        let counts = (changes.len(), waiting.len(), unwritten, closed, left);
        f.debug_tuple("Lies").field(&counts).finish()
    }
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, Lies> {
        self.lies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that lies there, when something does; none when nothing will any more. `unwritten` is whether what was taken before could not be
    /// written.
    fn take(&self, unwritten: bool) -> Option<(Changes, Vec<Done>)> {
        let nothing =
            |lies: &mut Lies| lies.changes.is_empty() && lies.waiting.is_empty() && !lies.closed;
        let mut lies = self.lock();
        lies.unwritten = unwritten;
        let waited = self.more.wait_while(lies, nothing);
        let mut lies = waited.unwrap_or_else(PoisonError::into_inner);
        let taken = (std::mem::take(&mut lies.changes), std::mem::take(&mut lies.waiting));
        let last = taken.0.is_empty() && taken.1.is_empty();
        lies.unwritten |= !last;
        (!last).then_some(taken)
    }
}

/// The thread's place at the desk. However it ends, nobody waits for it afterwards: they are told by losing their answer.
struct Place(Arc<Desk>);

impl Drop for Place {
    fn drop(&mut self) {
        let mut lies = self.0.lock();
        lies.left = true;
        let waiting = std::mem::take(&mut lies.waiting);
        drop(lies);
        drop(waiting);
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.more.notify_one();
    }
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    service: Name,
    address: SocketAddr,
    #[serde(flatten)]
    entry: Entry,
}

impl Journal {
    /// Reads what an earlier daemon has kept in `folder`, and begins to keep. What can't be read is set aside, logged, and counts as
    /// nothing.
    ///
    /// # Errors
    /// The thread can't be started.
    pub(crate) fn open(folder: &Path) -> io::Result<(Self, BTreeMap<Key, Entry>)> {
        let file = StateFile::new(folder, "runtime", VERSION);
        let problem = Problem::default();
        let kept = match read(&file) {
            Ok(kept) => kept,
            Err(why) => {
                tracing::error!(
                    why,
                    "run-time changes of an earlier daemon are lost: the file alone counts"
                );
                *problem.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
                BTreeMap::new()
            }
        };
        let journal = Self::begin(kept.clone(), problem, move |kept| write(&file, kept))?;
        Ok((journal, kept))
    }

    /// Begins to keep, by `write`, what is to be kept beside `kept`.
    fn begin(
        kept: BTreeMap<Key, Entry>,
        problem: Problem,
        write: impl FnMut(&BTreeMap<Key, Entry>) -> Result<(), String> + Send + 'static,
    ) -> io::Result<Self> {
        let desk = Arc::new(Desk::default());
        let (place, told) = (Place(Arc::clone(&desk)), Arc::clone(&problem));
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || work(&place, kept, write, &told))?;
        Ok(Self { desk, problem })
    }

    /// Keeps `changes`, and then tells `done`. Waits for nothing.
    pub(crate) fn write(
        &self,
        changes: impl IntoIterator<Item = (Key, Option<Entry>)>,
        done: Option<Done>,
    ) {
        let mut lies = self.desk.lock();
        if lies.left {
            drop(lies);
            if let Some(done) = done {
                done(Err("the journal's thread ended by a fault of the daemon".to_owned()));
            }
            return;
        }
        lies.changes.extend(changes);
        let too_many = if lies.waiting.len() < WAITING_MAX {
            lies.waiting.extend(done);
            None
        } else {
            done
        };
        drop(lies);
        self.desk.more.notify_one();
        if let Some(done) = too_many {
            done(Err(TOO_MANY_WAIT.to_owned()));
        }
    }

    /// Whether everything that was brought is on the disk.
    pub(crate) fn is_settled(&self) -> bool {
        let lies = self.desk.lock();
        lies.changes.is_empty() && lies.waiting.is_empty() && !lies.unwritten && !lies.left
    }

    /// What is wrong with the journal, for the status.
    pub(crate) fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(file: &StateFile) -> Result<BTreeMap<Key, Entry>, String> {
    let lines: Vec<Line> = file.read().map_err(|error| error.to_string())?.unwrap_or_default();
    if lines.len() > ENTRIES_MAX {
        let (number, path) = (lines.len(), file.path().display());
        return Err(format!("{path} has {number} changes, and at most {ENTRIES_MAX} are read"));
    }
    let mut kept = BTreeMap::new();
    for Line { service, address, entry } in lines {
        // Earlier versions told servers by their names: they could keep that one was removed beside what was said of it later by another name.
        let before: &mut Entry = kept.entry((service, address)).or_insert_with(|| entry.clone());
        if before.is_removal() {
            *before = entry;
        }
    }
    Ok(kept)
}

fn work(
    place: &Place,
    mut kept: BTreeMap<Key, Entry>,
    mut write: impl FnMut(&BTreeMap<Key, Entry>) -> Result<(), String>,
    problem: &Problem,
) {
    // What could not be written is written with the next change, or when that is waited for again.
    let mut dirty = false;
    while let Some((changes, waiting)) = place.0.take(dirty) {
        dirty |= !changes.is_empty();
        for (key, entry) in changes {
            match entry {
                Some(entry) => kept.insert(key, entry),
                None => kept.remove(&key),
            };
        }
        let result = if dirty { keep(&kept, &mut write, problem) } else { Ok(()) };
        dirty = result.is_err();
        for done in waiting {
            done(result.clone());
        }
    }
}

/// Writes, and says what became of it.
fn keep(
    kept: &BTreeMap<Key, Entry>,
    write: &mut impl FnMut(&BTreeMap<Key, Entry>) -> Result<(), String>,
    problem: &Problem,
) -> Result<(), String> {
    let result = write(kept);
    let news = result.as_ref().err().cloned();
    let mut told = problem.lock().unwrap_or_else(PoisonError::into_inner);
    let before = std::mem::replace(&mut *told, news.clone());
    drop(told);
    if let Some(why) = news.filter(|why| before.as_ref() != Some(why)) {
        tracing::error!(why, "run-time changes can't be kept: they end with the daemon");
    }
    result
}

fn write(file: &StateFile, kept: &BTreeMap<Key, Entry>) -> Result<(), String> {
    let lines: Vec<Line> = kept
        .iter()
        .map(|((service, address), entry)| Line {
            service: service.clone(),
            address: *address,
            entry: entry.clone(),
        })
        .collect();
    file.write(&lines).map_err(|error| format!("write {}: {error}", file.path().display()))
}

#[cfg(test)]
mod tests;
