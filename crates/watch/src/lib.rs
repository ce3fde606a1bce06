//! Watchers of what a VRRP instance tracks: a file's number, how many processes have a name, whether a script passes, an address
//! answers, a route is there.
//!
//! A watcher says what it sees and nothing else: delays, weights and what they do to an instance are decided elsewhere
//! (`holdfast-engine`), and so is when a watcher that failed is opened again.
//!
//! All have one shape. `open` takes what is needed and fails with a sentence that says what to do. `next` is a future that ends
//! with the next [`Report`], the first one at once or when the first outcome is known; an error ends the watcher for good, and
//! so does a future that is dropped halfway. A watcher that is dropped leaves nothing behind: its descriptors are closed, its
//! command's process group is killed.
//!
//! Beside them, [`Folders`] tells which files have changed to who reads them himself.
//!
//! Bounds: a file is read to [`FILE_LIMIT`] bytes, a process table costs an entry for each process that matches, a reach probe
//! has one packet under way. Everything runs on tokio; what may block runs on its blocking threads.

mod file;
mod folders;
mod process;
mod reach;
mod repeat;
mod route;
mod targets;

pub use file::{FILE_LIMIT, FileError, FileWatcher};
pub use folders::Folders;
pub use process::{ProcessError, ProcessWatcher, Source};

pub use reach::{Reach, Way};
pub use repeat::{Trial, TrialWatcher};
pub use route::{RouteError, RouteWatcher};
pub use targets::{TARGET_FILE_BYTES_MAX, TARGET_FILES_MAX, TargetFiles, TargetsWatcher};

/// What a watcher sees, and the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What is seen.
    pub reading: Reading,
    /// Why, as a sentence for an operator: `2 processes are named haproxy`.
    pub sentence: String,
}

/// What a watcher sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// What is watched is as it should be.
    Up,
    /// It is not.
    Down,
    /// The number in a file, or of processes.
    Value(i64),
    /// It can't be said: the sentence tells why.
    Unknown,
}

impl Report {
    /// A report of `reading` that says `sentence`.
    pub fn new(reading: Reading, sentence: impl Into<String>) -> Self {
        Self { reading, sentence: sentence.into() }
    }
}

/// The kernel's error in words and by name: `no such file or directory (ENOENT)`.
pub(crate) fn describe(error: &std::io::Error) -> String {
    let Some(raw) = error.raw_os_error() else { return error.to_string() };
    let errno = nix::errno::Errno::from_raw(raw);
    let words = errno.desc();
    let (first, rest) = words.split_at_checked(1).unwrap_or((words, ""));
    format!("{}{rest} ({errno:?})", first.to_lowercase())
}
