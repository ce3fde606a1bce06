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
mod tests {
    use std::sync::mpsc::sync_channel;

    use holdfast_engine::overlay::{Presence, Said, Wish};

    use super::*;

    fn name(text: &str) -> Name {
        Name::try_from(text.to_owned()).unwrap()
    }

    fn key(port: u16) -> Key {
        (name("web"), ([10, 0, 0, 13], port).into())
    }

    fn entry() -> Entry {
        let said =
            |what| Said { what, who: Some("alice".to_owned()), reason: None, at: 1_700_000_000 };
        Entry {
            server: name("a"),
            presence: Some(said(Presence::Added { weight: 3, lease_ms: Some(30_000) })),
            admin: Some(Said {
                what: Wish::Drain,
                who: None,
                reason: Some("kernel".to_owned()),
                at: 5,
            }),
            weight: None,
        }
    }

    fn written(journal: &Journal, changes: Vec<(Key, Option<Entry>)>) -> Result<(), String> {
        let (tell, told) = sync_channel(1);
        journal.write(changes, Some(Box::new(move |result| drop(tell.send(result)))));
        told.recv().unwrap()
    }

    #[test]
    fn what_is_kept_is_there_for_the_next_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, kept) = Journal::open(folder.path()).unwrap();
        assert_eq!(kept, BTreeMap::new());
        written(&journal, vec![(key(1), Some(entry())), (key(2), Some(entry()))]).unwrap();
        written(&journal, vec![(key(2), None)]).unwrap();
        assert_eq!(journal.problem(), None);
        let (_journal, kept) = Journal::open(folder.path()).unwrap();
        assert_eq!(kept, BTreeMap::from([(key(1), entry())]));
    }

    /// What a version has written that told servers by their names, in its order of fields.
    #[test]
    fn the_journal_of_an_earlier_version_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let said = |what: serde_json::Value| serde_json::json!({"what": what, "at": 5});
        let line = |server: &str, port: u16, facet: &str, what: serde_json::Value| {
            let address = format!("10.0.0.13:{port}");
            serde_json::json!({"service": "web", "server": server, "address": address, facet: said(what)})
        };
        let lines = [
            line("a", 1, "presence", "removed".into()),
            line("b", 1, "admin", "drain".into()),
            line("c", 2, "admin", "maint".into()),
            line("d", 2, "presence", "removed".into()),
            line("e", 3, "presence", "removed".into()),
        ];
        StateFile::new(folder.path(), "runtime", VERSION).write(&lines.to_vec()).unwrap();
        let (journal, kept) = Journal::open(folder.path()).unwrap();
        assert_eq!(journal.problem(), None);
        let found: Vec<_> = kept
            .iter()
            .map(|(key, entry)| (key.clone(), entry.server.as_str(), entry.is_removal()))
            .collect();
        assert_eq!(found, [(key(1), "b", false), (key(2), "c", false), (key(3), "e", true)]);
    }

    /// The disk stands still, and thousands of leases end, one after the other: who brings that goes on at once, and it is one write.
    #[test]
    fn however_much_ends_while_the_disk_stands_still_nobody_is_kept_waiting_and_it_is_one_write() {
        let many: Vec<Key> = (1_000..6_000).map(key).collect();
        let kept = many.iter().map(|key| (key.clone(), entry())).collect();
        let (tell, writes) = sync_channel(8);
        let (go_on, disk) = sync_channel::<()>(0);
        let journal = Journal::begin(kept, Problem::default(), move |kept| {
            tell.send(kept.len()).map_err(|gone| gone.to_string())?;
            disk.recv().map_err(|gone| gone.to_string())
        })
        .unwrap();
        journal.write([(key(3), Some(entry()))], None);
        assert_eq!(writes.recv(), Ok(5_001), "the disk has it, and stands still");
        for key in &many {
            journal.write([(key.clone(), None)], None);
        }
        let (done, told) = sync_channel(1);
        journal.write([(key(4), Some(entry()))], Some(Box::new(move |it| drop(done.send(it)))));
        {
            let lies = journal.desk.lock();
            assert_eq!((lies.changes.len(), lies.waiting.len()), (5_001, 1));
        }
        // Said again, it takes no more room.
        for key in &many {
            journal.write([(key.clone(), None)], None);
        }
        assert_eq!(journal.desk.lock().changes.len(), 5_001);
        go_on.send(()).unwrap();
        assert_eq!(writes.recv(), Ok(2), "all of it at once");
        assert!(told.try_recv().is_err(), "not before it is on the disk");
        go_on.send(()).unwrap();
        assert_eq!(told.recv(), Ok(Ok(())));
        // Nothing is left to be written, and the thread ends.
        drop(journal);
        assert!(writes.recv().is_err());
    }

    /// Who asks for what is so already must not hear of success before whoever asked first could.
    #[test]
    fn who_changes_nothing_waits_for_what_is_being_written_and_has_a_failed_write_tried_again() {
        let (tell, writes) = sync_channel(8);
        let (answer, disk) = sync_channel::<Result<(), String>>(0);
        let journal = Journal::begin(BTreeMap::new(), Problem::default(), move |kept| {
            tell.send(kept.len()).map_err(|gone| gone.to_string())?;
            disk.recv().map_err(|gone| gone.to_string())?
        })
        .unwrap();
        assert!(journal.is_settled());
        journal.write([(key(1), Some(entry()))], None);
        assert!(!journal.is_settled(), "it lies there, or is being written");
        assert_eq!(writes.recv(), Ok(1));
        assert!(!journal.is_settled(), "the disk stands still");
        let (done, told) = sync_channel(1);
        journal.write([], Some(Box::new(move |it| drop(done.send(it)))));
        assert!(told.try_recv().is_err(), "not before it is on the disk");
        answer.send(Err("full".to_owned())).unwrap();
        assert_eq!(writes.recv(), Ok(1), "who waits is the next attempt");
        assert_eq!(journal.problem().as_deref(), Some("full"));
        answer.send(Err("full".to_owned())).unwrap();
        assert_eq!(told.recv(), Ok(Err("full".to_owned())));
        assert!(!journal.is_settled(), "it is on no disk");
        answered_by(&journal, &answer, Ok(())).unwrap();
        assert_eq!(writes.recv(), Ok(1));
        while !journal.is_settled() {
            thread::yield_now();
        }
        assert_eq!(journal.problem(), None);
        // Nothing is to be written, and nothing is.
        written(&journal, vec![]).unwrap();
        assert!(writes.try_recv().is_err());
    }

    /// What who changes nothing is told when the disk gives this answer.
    fn answered_by(
        journal: &Journal,
        disk: &std::sync::mpsc::SyncSender<Result<(), String>>,
        answer: Result<(), String>,
    ) -> Result<(), String> {
        let (done, told) = sync_channel(1);
        journal.write([], Some(Box::new(move |it| drop(done.send(it)))));
        disk.send(answer).unwrap();
        told.recv().unwrap()
    }

    #[test]
    fn so_many_wait_for_a_disk_that_stands_still_and_one_more_is_told_and_kept_all_the_same() {
        let (tell, writes) = sync_channel(8);
        let (go_on, disk) = sync_channel::<()>(0);
        let journal = Journal::begin(BTreeMap::new(), Problem::default(), move |kept| {
            tell.send(kept.len()).map_err(|gone| gone.to_string())?;
            disk.recv().map_err(|gone| gone.to_string())
        })
        .unwrap();
        journal.write([(key(3), Some(entry()))], None);
        assert_eq!(writes.recv(), Ok(1));
        for _ in 0..WAITING_MAX {
            journal.write([(key(5), Some(entry()))], Some(Box::new(|_told| {})));
        }
        let why = written(&journal, vec![(key(6), Some(entry()))]).unwrap_err();
        assert_eq!(why, TOO_MANY_WAIT);
        assert_eq!(journal.desk.lock().waiting.len(), WAITING_MAX);
        go_on.send(()).unwrap();
        assert_eq!(writes.recv(), Ok(3), "what one more has brought is among it");
        go_on.send(()).unwrap();
    }

    #[test]
    fn a_thread_that_dies_leaves_nobody_waiting() {
        let journal =
            Journal::begin(BTreeMap::new(), Problem::default(), |_| panic!("a fault")).unwrap();
        let (done, told) = sync_channel::<Result<(), String>>(1);
        journal.write([(key(1), None)], Some(Box::new(move |it| drop(done.send(it)))));
        assert!(told.recv().is_err(), "its answer is lost");
        while !journal.desk.lock().left {
            thread::yield_now();
        }
        let why = written(&journal, vec![]).unwrap_err();
        assert!(why.contains("ended by a fault"), "{why}");
    }

    #[test]
    fn a_torn_file_is_set_aside_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        written(&journal, vec![(key(1), Some(entry()))]).unwrap();
        let path = folder.path().join("runtime.state");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let (journal, kept) = Journal::open(folder.path()).unwrap();
        assert_eq!(kept, BTreeMap::new());
        let why = journal.problem().unwrap();
        assert!(why.contains("is torn") && why.contains("runtime.set-aside"), "{why}");
        written(&journal, vec![]).unwrap();
        assert_eq!(journal.problem(), Some(why), "nothing was written in its place");
        written(&journal, vec![(key(1), Some(entry()))]).unwrap();
        assert_eq!(journal.problem(), None, "it is whole again");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_and_what_was_missed_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::write(&state, "in the way").unwrap();
        let (journal, _) = Journal::open(&state).unwrap();
        assert!(written(&journal, vec![(key(1), Some(entry()))]).is_err());
        assert!(journal.problem().is_some());
        std::fs::remove_file(&state).unwrap();
        written(&journal, vec![]).unwrap();
        let (_journal, kept) = Journal::open(&state).unwrap();
        assert_eq!(kept.len(), 1);
    }
}
