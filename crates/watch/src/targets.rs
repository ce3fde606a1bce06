//! The files of a directory that name servers (`discover`), as they change.
//!
//! A generator writes files one after the other, and some write into them in place: the directory is read when nothing has happened to it
//! for a time, which the caller chooses, after ten times as long at the latest. What inotify doesn't tell (a change behind a symbolic link,
//! on a file server) is seen within [`LOOK_AGAIN`]. A directory that is not there is looked for every second.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdfast_probe::Readable;
use nix::fcntl::OFlag;
use nix::sys::inotify::{InitFlags, Inotify};
use tokio::time::{Instant, sleep, timeout_at};

use crate::describe;
use crate::file::{CHANGES, LOST};

/// So many files of a directory are read.
pub const TARGET_FILES_MAX: usize = 256;

/// A file that is longer is a problem.
pub const TARGET_FILE_BYTES_MAX: usize = 4 << 20;

/// The directory is read this often although nothing was heard.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// A directory that is not there is looked for this often.
const LOOK_FOR: Duration = Duration::from_secs(1);

/// So many times its debounce a directory that is never quiet is waited for.
const PATIENCE: u32 = 10;

/// The ends of names that count, as Prometheus has them.
const ENDS: [&str; 3] = ["yaml", "yml", "json"];

/// The files by name: their bytes, or why they can't be read.
pub type TargetFiles = BTreeMap<String, Result<Vec<u8>, String>>;

/// Watches one directory.
#[derive(Debug)]
pub struct TargetsWatcher {
    directory: PathBuf,
    debounce: Duration,
    inotify: Option<Readable<Inotify>>,
    /// What was reported last.
    last: Option<Result<TargetFiles, String>>,
}

impl TargetsWatcher {
    /// A watcher of `directory`, which need not be there; its files are read when they have been left alone for `debounce`.
    pub fn new(directory: &Path, debounce: Duration) -> Self {
        Self { directory: directory.to_owned(), debounce, inotify: None, last: None }
    }

    /// The files when they are other than before, or why the directory can't be read; the first at once. Needs a tokio runtime.
    pub async fn next(&mut self) -> Result<TargetFiles, String> {
        loop {
            if self.last.is_some() {
                self.changed().await;
            }
            // Before it is read, so that no change is missed.
            let watched = self.watch();
            let found = match watched {
                Ok(()) => self.read().await,
                Err(why) => Err(why),
            };
            if self.last.as_ref() != Some(&found) {
                self.last = Some(found.clone());
                return found;
            }
        }
    }

    /// Begins to watch the directory, where it is not watched.
    fn watch(&mut self) -> Result<(), String> {
        if self.inotify.is_some() {
            return Ok(());
        }
        let directory = self.directory.display();
        let refused =
            |error: io::Error| format!("watch the directory {directory}: {}", describe(&error));
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)
            .map_err(|errno| refused(errno.into()))?;
        inotify.add_watch(&self.directory, CHANGES).map_err(|errno| refused(errno.into()))?;
        self.inotify = Some(Readable::new(inotify).map_err(refused)?);
        Ok(())
    }

    /// Waits until something has happened and then nothing for a time; not for ever.
    async fn changed(&mut self) {
        if self.inotify.is_none() {
            sleep(LOOK_FOR).await;
            return;
        }
        if !self.heard(Instant::now() + LOOK_AGAIN).await {
            return;
        }
        let latest = Instant::now() + self.debounce * PATIENCE;
        loop {
            let quiet = Instant::now() + self.debounce;
            if !self.heard(quiet.min(latest)).await || Instant::now() >= latest {
                return;
            }
        }
    }

    /// Whether something happens to a file that counts, or to the directory, until `at`.
    async fn heard(&mut self, at: Instant) -> bool {
        loop {
            let Some(inotify) = &self.inotify else { return false };
            let events = timeout_at(at, inotify.read(|inotify| Ok(inotify.read_events()?))).await;
            let Ok(events) = events else { return false };
            let Ok(events) = events else {
                self.inotify = None;
                return true;
            };
            if events.iter().any(|event| event.mask.intersects(LOST)) {
                // It is another directory from now on, or none.
                self.inotify = None;
                return true;
            }
            // An event without a name is about the directory, or says that events were lost.
            if events.iter().any(|event| event.name.as_deref().is_none_or(counts)) {
                return true;
            }
        }
    }

    /// The files as they are now. A file server that is silent holds up this watcher alone.
    async fn read(&self) -> Result<TargetFiles, String> {
        let directory = self.directory.clone();
        let read = tokio::task::spawn_blocking(move || read_all(&directory));
        read.await.unwrap_or_else(|_no_thread| Err("the daemon is stopping".to_owned()))
    }
}

/// Whether a file of this name has targets. Hidden ones don't: writers draft in them.
fn counts(name: &OsStr) -> bool {
    let path = Path::new(name);
    let hidden = name.as_encoded_bytes().starts_with(b".");
    !hidden && path.extension().and_then(OsStr::to_str).is_some_and(|end| ENDS.contains(&end))
}

fn read_all(directory: &Path) -> Result<TargetFiles, String> {
    let refused = |error: io::Error| {
        format!("read the directory {}: {}", directory.display(), describe(&error))
    };
    let mut files = TargetFiles::new();
    for entry in fs::read_dir(directory).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        if !counts(&name) {
            continue;
        }
        if files.len() >= TARGET_FILES_MAX {
            let directory = directory.display();
            return Err(format!(
                "the directory {directory} has more than {TARGET_FILES_MAX} files"
            ));
        }
        let path = directory.join(&name);
        match read_one(&path) {
            // It was removed meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => drop(files.insert(shown(&name), Err(describe(&error)))),
            Ok(bytes) if bytes.len() > TARGET_FILE_BYTES_MAX => {
                let why = format!("it has more than {TARGET_FILE_BYTES_MAX} bytes");
                files.insert(shown(&name), Err(why));
            }
            Ok(bytes) => drop(files.insert(shown(&name), Ok(bytes))),
        }
    }
    Ok(files)
}

fn shown(name: &OsStr) -> String {
    name.to_string_lossy().into_owned()
}

/// Reads a file without ever waiting for a writer: a FIFO is no file.
fn read_one(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    let mut bytes = Vec::new();
    let limit = u64::try_from(TARGET_FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);
    const DEBOUNCE: Duration = Duration::from_millis(50);

    async fn next(watcher: &mut TargetsWatcher) -> Result<TargetFiles, String> {
        timeout(LIMIT, watcher.next()).await.expect("a reading in time")
    }

    fn names(found: Result<TargetFiles, String>) -> Vec<String> {
        found.unwrap().into_keys().collect()
    }

    #[tokio::test]
    async fn files_come_change_and_go_and_others_do_not_count() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let mut watcher = TargetsWatcher::new(directory.path(), DEBOUNCE);
        assert_eq!(names(next(&mut watcher).await), Vec::<String>::new());
        for name in ["a.json", "README", ".b.yaml", "b.yaml.tmp"] {
            fs::write(at(name), "[]").unwrap();
        }
        fs::create_dir(at("d.yml")).unwrap();
        let found = next(&mut watcher).await.unwrap();
        assert_eq!(found["a.json"], Ok(b"[]".to_vec()));
        assert!(found["d.yml"].as_ref().unwrap_err().contains("regular file"), "{found:?}");
        assert_eq!(found.len(), 2);
        fs::rename(at("b.yaml.tmp"), at("b.yaml")).unwrap();
        fs::remove_dir(at("d.yml")).unwrap();
        assert_eq!(names(next(&mut watcher).await), ["a.json", "b.yaml"]);
        fs::write(at("a.json"), "[ ]").unwrap();
        assert_eq!(next(&mut watcher).await.unwrap()["a.json"], Ok(b"[ ]".to_vec()));
        fs::remove_file(at("a.json")).unwrap();
        assert_eq!(names(next(&mut watcher).await), ["b.yaml"]);
    }

    #[tokio::test]
    async fn files_that_are_written_in_a_row_are_one_reading() {
        let directory = tempfile::tempdir().unwrap();
        let mut watcher = TargetsWatcher::new(directory.path(), Duration::from_millis(500));
        next(&mut watcher).await.unwrap();
        for number in 0..20 {
            fs::write(directory.path().join(format!("{number}.yaml")), "[]").unwrap();
        }
        assert_eq!(next(&mut watcher).await.unwrap().len(), 20);
    }

    #[tokio::test]
    async fn a_directory_may_come_go_and_be_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("web");
        let mut watcher = TargetsWatcher::new(&directory, DEBOUNCE);
        let why = next(&mut watcher).await.unwrap_err();
        assert!(why.contains("/web: no such file or directory (ENOENT)"), "{why}");
        fs::create_dir(&directory).unwrap();
        next(&mut watcher).await.unwrap();
        let other = parent.path().join("other");
        fs::create_dir(&other).unwrap();
        fs::write(other.join("a.yaml"), "[]").unwrap();
        fs::rename(&directory, parent.path().join("old")).unwrap();
        fs::rename(&other, &directory).unwrap();
        // Between the two it may have been looked for.
        let mut found = next(&mut watcher).await;
        if found.is_err() {
            found = next(&mut watcher).await;
        }
        assert_eq!(names(found), ["a.yaml"]);
        fs::remove_dir_all(&directory).unwrap();
        loop {
            // A file may go before its directory does.
            if next(&mut watcher).await.is_err() {
                break;
            }
        }
    }
}
