//! The whole number in a file (keepalived's `track_file`).
//!
//! The directory is watched, not the file: the file may appear, vanish and be replaced by another under its name. What inotify
//! doesn't tell (a change behind a symbolic link, on a file server, of a directory further up) is seen within [`LOOK_AGAIN`].

use std::ffi::{OsStr, OsString};
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use thiserror::Error;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{Reading, Report, describe};
use holdfast_probe::Readable;

/// So many bytes of a file are read; a longer one is a problem that is reported.
pub const FILE_LIMIT: usize = 64;

/// The file is read this often although nothing was heard.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A file that is empty is looked at again after this time before it is reported: a writer that truncates first is at work.
const WRITER_GRACE: Duration = Duration::from_millis(100);

/// What may change the file or its directory.
pub(crate) const CHANGES: AddWatchFlags = AddWatchFlags::IN_CLOSE_WRITE
    .union(AddWatchFlags::IN_MODIFY)
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_CREATE)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_DELETE_SELF)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_ONLYDIR);

/// What ends the watch of a directory.
pub(crate) const LOST: AddWatchFlags = AddWatchFlags::IN_DELETE_SELF
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_UNMOUNT)
    .union(AddWatchFlags::IN_IGNORED);

/// Watches one file's number.
#[derive(Debug)]
pub struct FileWatcher {
    path: PathBuf,
    name: OsString,
    inotify: Readable<Inotify>,
    /// What was reported last.
    last: Option<Content>,
}

/// Why a file can't be watched.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path has no last part: `/`, or it ends in `..`.
    #[error("watch the file {}: the path names no file in a directory", .0.display())]
    NoName(PathBuf),
    /// The kernel gives no inotify instance, or no place in tokio's reactor.
    #[error("watch the file {}: {}: raise fs.inotify.max_user_instances or this process's limit of files", .path.display(), describe(.error))]
    Instance {
        /// The file.
        path: PathBuf,
        /// What the kernel answered.
        error: io::Error,
    },
    /// The directory can't be watched.
    #[error("watch the directory {}: {}: it must be there for a file in it to be watched", .directory.display(), describe(.error))]
    Directory {
        /// The file's directory.
        directory: PathBuf,
        /// What the kernel answered.
        error: io::Error,
    },
    /// The directory was there and is gone.
    #[error("the directory {} was removed, renamed or unmounted", .directory.display())]
    Gone {
        /// The file's directory.
        directory: PathBuf,
    },
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    /// There is no file.
    Missing,
    /// Nothing but white space.
    Empty,
    Number(i64),
    /// No whole number, or nothing that could be read.
    Problem(String),
}

impl FileWatcher {
    /// Begins to watch `path`, an absolute path whose directory exists. Needs a tokio runtime.
    ///
    /// # Errors
    /// The directory does not exist or can't be watched, or a limit of the kernel is reached.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(FileError::NoName(path.to_owned()));
        };
        let instance = |error| FileError::Instance { path: path.to_owned(), error };
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| instance(errno.into()))?;
        inotify.add_watch(directory, CHANGES).map_err(|errno| FileError::Directory {
            directory: directory.to_owned(),
            error: errno.into(),
        })?;
        let inotify = Readable::new(inotify).map_err(instance)?;
        Ok(Self { path: path.to_owned(), name: name.to_owned(), inotify, last: None })
    }

    /// What the file holds when it is something else than before; the first at once.
    ///
    /// # Errors
    /// The directory is gone.
    pub async fn next(&mut self) -> Result<Report, FileError> {
        loop {
            if self.last.is_some() {
                self.changed(Instant::now() + LOOK_AGAIN).await?;
            }
            let mut content = self.read().await;
            if content == Content::Empty && self.last != Some(Content::Empty) {
                sleep(WRITER_GRACE).await;
                content = self.read().await;
            }
            if self.last.as_ref() != Some(&content) {
                let report = content.report(&self.path);
                self.last = Some(content);
                return Ok(report);
            }
        }
    }

    /// Waits until something has happened to the file, and until `at` at the longest.
    async fn changed(&self, at: Instant) -> Result<(), FileError> {
        loop {
            let events = tokio::select! {
                events = self.inotify.read(|inotify| Ok(inotify.read_events()?)) => events,
                () = sleep_until(at) => return Ok(()),
            };
            let events = events
                .map_err(|error| FileError::Directory { directory: self.directory(), error })?;
            if events.iter().any(|event| event.mask.intersects(LOST)) {
                return Err(FileError::Gone { directory: self.directory() });
            }
            // An event without a name is about the directory, or says that events were lost.
            let ours = |name: Option<&OsStr>| name.is_none_or(|name| name == self.name);
            if events.iter().any(|event| ours(event.name.as_deref())) {
                return Ok(());
            }
        }
    }

    fn directory(&self) -> PathBuf {
        self.path.parent().map(Path::to_owned).unwrap_or_default()
    }

    /// What the file holds now. A file server that is silent holds up this watcher alone.
    async fn read(&self) -> Content {
        let path = self.path.clone();
        let read = tokio::task::spawn_blocking(move || read(&path));
        read.await.unwrap_or_else(|_no_thread| {
            Content::Problem("it was not read: the daemon is stopping".to_owned())
        })
    }
}

impl Content {
    fn report(&self, path: &Path) -> Report {
        let path = path.display();
        match self {
            Self::Missing => Report::new(Reading::Value(0), format!("{path} is not there")),
            Self::Empty => Report::new(Reading::Unknown, format!("{path} is empty")),
            Self::Number(number) => {
                Report::new(Reading::Value(*number), format!("{path} holds {number}"))
            }
            Self::Problem(problem) => Report::new(Reading::Unknown, format!("{path}: {problem}")),
        }
    }
}

/// Reads `path` without ever waiting for a writer: a FIFO is no file.
fn read(path: &Path) -> Content {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits()).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Content::Missing,
        Err(error) => return Content::Problem(describe(&error)),
    };
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Content::Problem("it is not a regular file".to_owned()),
        Err(error) => return Content::Problem(describe(&error)),
    }
    let limit = u64::try_from(FILE_LIMIT).unwrap_or(u64::MAX);
    let mut bytes = Vec::with_capacity(FILE_LIMIT + 1);
    match file.take(limit + 1).read_to_end(&mut bytes) {
        Ok(_) => content(&bytes),
        Err(error) => Content::Problem(describe(&error)),
    }
}

/// What bytes of at most one more than [`FILE_LIMIT`] say.
fn content(bytes: &[u8]) -> Content {
    if bytes.len() > FILE_LIMIT {
        return Content::Problem(format!("it holds more than {FILE_LIMIT} bytes"));
    }
    let text = match str::from_utf8(bytes) {
        Ok(text) => text.trim(),
        Err(_) => return Content::Problem("it holds no whole number".to_owned()),
    };
    if text.is_empty() {
        return Content::Empty;
    }
    text.parse()
        .map_or_else(|_| Content::Problem("it holds no whole number".to_owned()), Content::Number)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn next(watcher: &mut FileWatcher) -> Reading {
        let report = timeout(PATIENCE, watcher.next()).await.expect("a report in time");
        report.expect("the directory is there").reading
    }

    #[test]
    fn a_whole_number_is_read_and_nothing_else() {
        for (text, number) in [("0", 0), (" -7\n", -7), ("+5", 5), ("\t254\r\n", 254)] {
            assert_eq!(content(text.as_bytes()), Content::Number(number), "{text:?}");
        }
        for text in ["1.5", "0x10", "1 2", "one", "9223372036854775808", "1\0", "\u{660}"] {
            assert!(matches!(content(text.as_bytes()), Content::Problem(_)), "{text:?}");
        }
        assert!(matches!(content(&[0xff, 0xfe]), Content::Problem(_)));
        assert_eq!(content(b" \n"), Content::Empty);
    }

    #[test]
    fn no_more_than_the_limit_is_read() {
        assert!(matches!(content(&[b'0'; FILE_LIMIT]), Content::Number(0)));
        let Content::Problem(why) = content(&[b'0'; FILE_LIMIT + 1]) else { panic!("too long") };
        assert_eq!(why, "it holds more than 64 bytes");
    }

    #[tokio::test]
    async fn a_file_may_appear_change_be_replaced_and_vanish() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weight");
        let mut watcher = FileWatcher::open(&path).unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(0), "missing");
        fs::write(&path, "3\n").unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(3), "created");
        fs::write(&path, "4\n").unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(4), "written");
        let draft = directory.path().join("draft");
        fs::write(&draft, "5").unwrap();
        fs::rename(&draft, &path).unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(5), "replaced");
        fs::write(&path, "many").unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Unknown, "no number");
        fs::write(&path, "6").unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(6), "a number again");
        fs::remove_file(&path).unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(0), "removed");
    }

    #[tokio::test]
    async fn a_writer_that_truncates_first_is_not_seen_as_an_empty_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weight");
        fs::write(&path, "1").unwrap();
        let mut watcher = FileWatcher::open(&path).unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(1));
        for number in 2..30 {
            fs::write(&path, number.to_string()).unwrap();
            assert_eq!(next(&mut watcher).await, Reading::Value(number));
        }
        fs::write(&path, "").unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Unknown, "it stays empty");
    }

    #[tokio::test]
    async fn what_is_behind_a_symbolic_link_is_seen() {
        let (directory, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = elsewhere.path().join("target");
        fs::write(&target, "1").unwrap();
        let path = directory.path().join("weight");
        std::os::unix::fs::symlink(&target, &path).unwrap();
        let mut watcher = FileWatcher::open(&path).unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(1));
        fs::write(&target, "2").unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(2));
    }

    #[tokio::test]
    async fn what_is_no_file_is_a_problem_and_holds_nothing_up() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
        for path in [fifo, directory.path().to_owned()] {
            let mut watcher = FileWatcher::open(&path).unwrap();
            let report = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap();
            assert_eq!(report.reading, Reading::Unknown, "{}", report.sentence);
            assert!(report.sentence.ends_with("it is not a regular file"), "{}", report.sentence);
        }
    }

    #[tokio::test]
    async fn a_directory_that_is_not_there_or_goes_away_is_an_error_that_names_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run");
        let error = FileWatcher::open(&path.join("weight")).unwrap_err().to_string();
        assert!(error.contains("/run: no such file or directory (ENOENT)"), "{error}");
        fs::create_dir(&path).unwrap();
        let mut watcher = FileWatcher::open(&path.join("weight")).unwrap();
        assert_eq!(next(&mut watcher).await, Reading::Value(0));
        fs::remove_dir(&path).unwrap();
        let gone = timeout(PATIENCE, watcher.next()).await.unwrap().unwrap_err();
        assert!(matches!(gone, FileError::Gone { .. }), "{gone}");
        assert!(matches!(FileWatcher::open(Path::new("/")), Err(FileError::NoName(_))));
    }
}
