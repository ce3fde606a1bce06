//! The journal of run-time changes: a file that is replaced whole, by a thread of its own, before a command is answered.
//!
//! ```text
//!  Director ──changes, answers──► journal thread: takes all that wait, writes once, then answers all of them
//! ```
//! The thread has its own copy of what is kept, so a command costs the director one message, however much there is; commands that come
//! together are one write.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use holdfast_config::Name;
use holdfast_engine::overlay::{Entry, Key};
use serde::{Deserialize, Serialize};

use super::file::StateFile;

/// The version of the file's form.
const VERSION: u32 = 1;

/// More changes than this are not read: each service may have as many servers.
const ENTRIES_MAX: usize = 100_000;

/// So many changes wait for the disk; the director waits with a further one. Commands come by 64 connections at once, so it never is.
const WAITING_MAX: usize = 1024;

/// The way to the journal's thread.
#[derive(Debug)]
pub(crate) struct Journal {
    thread: Option<SyncSender<Message>>,
    problem: Problem,
}

/// Why the last write failed; none when it did not.
type Problem = Arc<Mutex<Option<String>>>;

/// Whoever waits for a change to be on the disk; is told why it is not.
pub(crate) type Done = Box<dyn FnOnce(Result<(), String>) + Send>;

struct Message {
    changes: Vec<(Key, Option<Entry>)>,
    done: Option<Done>,
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    service: Name,
    server: Name,
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
        let (thread, messages) = sync_channel(WAITING_MAX);
        let (copy, told) = (kept.clone(), Arc::clone(&problem));
        thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || work(&file, copy, &messages, &told))?;
        Ok((Self { thread: Some(thread), problem }, kept))
    }

    /// Keeps `changes`, and then tells `done`.
    pub(crate) fn write(&self, changes: Vec<(Key, Option<Entry>)>, done: Option<Done>) {
        let Some(thread) = &self.thread else { return };
        if let Err(unsent) = thread.send(Message { changes, done })
            && let Some(done) = unsent.0.done
        {
            done(Err("the journal's thread ended by a fault of the daemon".to_owned()));
        }
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
    Ok(lines.into_iter().map(|line| ((line.service, line.server), line.entry)).collect())
}

fn work(
    file: &StateFile,
    mut kept: BTreeMap<Key, Entry>,
    messages: &Receiver<Message>,
    problem: &Problem,
) {
    // What could not be written is written with the next change.
    let mut dirty = false;
    while let Ok(first) = messages.recv() {
        let mut waiting = Vec::new();
        let mut next = Some(first);
        while let Some(Message { changes, done }) = next {
            dirty |= !changes.is_empty();
            for (key, entry) in changes {
                match entry {
                    Some(entry) => kept.insert(key, entry),
                    None => kept.remove(&key),
                };
            }
            waiting.extend(done);
            next = messages.try_recv().ok();
        }
        let result = if dirty { write(file, &kept) } else { Ok(()) };
        dirty = result.is_err();
        let news = result.as_ref().err().cloned();
        let before = std::mem::replace(
            &mut *problem.lock().unwrap_or_else(PoisonError::into_inner),
            news.clone(),
        );
        if let Some(why) = news.filter(|why| before.as_ref() != Some(why)) {
            tracing::error!(why, "run-time changes can't be kept: they end with the daemon");
        }
        for done in waiting {
            done(result.clone());
        }
    }
}

fn write(file: &StateFile, kept: &BTreeMap<Key, Entry>) -> Result<(), String> {
    let lines: Vec<Line> = kept
        .iter()
        .map(|((service, server), entry)| Line {
            service: service.clone(),
            server: server.clone(),
            entry: entry.clone(),
        })
        .collect();
    file.write(&lines).map_err(|error| format!("write {}: {error}", file.path().display()))
}

#[cfg(test)]
mod tests {
    use holdfast_engine::overlay::{Presence, Said, Wish};

    use super::*;

    fn key(server: &str) -> Key {
        let name = |text: &str| Name::try_from(text.to_owned()).unwrap();
        (name("web"), name(server))
    }

    fn entry() -> Entry {
        let said =
            |what| Said { what, who: Some("alice".to_owned()), reason: None, at: 1_700_000_000 };
        Entry {
            address: "10.0.0.13:80".parse().unwrap(),
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
        written(&journal, vec![(key("a"), Some(entry())), (key("b"), Some(entry()))]).unwrap();
        written(&journal, vec![(key("b"), None)]).unwrap();
        assert_eq!(journal.problem(), None);
        let (_journal, kept) = Journal::open(folder.path()).unwrap();
        assert_eq!(kept, BTreeMap::from([(key("a"), entry())]));
    }

    #[test]
    fn a_torn_file_is_set_aside_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let (journal, _) = Journal::open(folder.path()).unwrap();
        written(&journal, vec![(key("a"), Some(entry()))]).unwrap();
        let path = folder.path().join("runtime.state");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let (journal, kept) = Journal::open(folder.path()).unwrap();
        assert_eq!(kept, BTreeMap::new());
        let why = journal.problem().unwrap();
        assert!(why.contains("is torn") && why.contains("runtime.set-aside"), "{why}");
        written(&journal, vec![(key("a"), Some(entry()))]).unwrap();
        assert_eq!(journal.problem(), None, "it is whole again");
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_and_what_was_missed_is_written_later() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::write(&state, "in the way").unwrap();
        let (journal, _) = Journal::open(&state).unwrap();
        assert!(written(&journal, vec![(key("a"), Some(entry()))]).is_err());
        assert!(journal.problem().is_some());
        std::fs::remove_file(&state).unwrap();
        written(&journal, vec![]).unwrap();
        let (_journal, kept) = Journal::open(&state).unwrap();
        assert_eq!(kept.len(), 1);
    }
}
