//! Files in many folders, whose changes are told by their paths: what files hold is somebody else's affair.
//!
//! Folders are watched, not files, so that a file may appear, vanish and be replaced. All folders share one inotify instance. What
//! inotify does not tell (a change behind a symbolic link, on a file server), or what is not watched because a limit of the kernel is
//! reached, is seen by who looks by himself from time to time.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use tokio::time::{Instant, sleep_until};

use crate::describe;
use crate::file::{CHANGES, LOST};
use holdfast_probe::Readable;

/// Changes are told so often at most, however busy a writer is.
const PAUSE: Duration = Duration::from_millis(20);

/// The folders that are watched.
#[derive(Debug, Default)]
pub struct Folders {
    inotify: Option<Readable<Inotify>>,
    /// That there is none was said.
    told: bool,
    folders: BTreeMap<PathBuf, WatchDescriptor>,
    names: BTreeMap<WatchDescriptor, Folder>,
    /// When the next changes may be told.
    next: Option<Instant>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    files: BTreeSet<OsString>,
}

impl Folders {
    /// Watches `path`, an absolute path, from now on, if its folder is there. Needs a tokio runtime. Twice is as good as once, and
    /// cheap.
    pub fn watch(&mut self, path: &Path) {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return };
        if let Some(known) = self.folders.get(folder).and_then(|at| self.names.get_mut(at)) {
            if !known.files.contains(name) {
                known.files.insert(name.to_owned());
            }
            return;
        }
        let Some(descriptor) = self.add(folder) else { return };
        // Another path may lead to a folder that is watched already: the kernel gives it the same number.
        let entry = self.names.entry(descriptor);
        let known =
            entry.or_insert_with(|| Folder { path: folder.to_owned(), files: BTreeSet::new() });
        if known.path == folder {
            known.files.insert(name.to_owned());
            self.folders.insert(folder.to_owned(), descriptor);
        }
    }

    fn add(&mut self, folder: &Path) -> Option<WatchDescriptor> {
        if self.inotify.is_none() {
            let made = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK);
            let made = made.map_err(std::io::Error::from).and_then(Readable::new);
            self.inotify = made.map_err(|error| self.tell(&describe(&error))).ok();
        }
        let added = self.inotify.as_ref()?.get().add_watch(folder, CHANGES);
        match added {
            Ok(descriptor) => Some(descriptor),
            Err(nix::errno::Errno::ENOENT) => None,
            Err(errno) => {
                self.tell(&format!("{}: {}", folder.display(), describe(&errno.into())));
                None
            }
        }
    }

    /// Says, once, that changes are seen late.
    fn tell(&mut self, error: &str) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                error,
                "files can't be watched: their changes are seen when they are looked at next (fs.inotify.max_user_watches)"
            );
        }
    }

    /// The files to which something has happened; waits for ever while nothing does. What was not taken in when the future is dropped
    /// comes with the next one.
    pub async fn changed(&mut self) -> BTreeSet<PathBuf> {
        loop {
            let Some(inotify) = &self.inotify else { return std::future::pending().await };
            if let Some(next) = self.next {
                sleep_until(next).await;
            }
            let events = match inotify.read(|inotify| Ok(inotify.read_events()?)).await {
                Ok(events) => events,
                Err(error) => {
                    self.tell(&describe(&error));
                    return std::future::pending().await;
                }
            };
            let mut changed = BTreeSet::new();
            for event in events {
                self.take(event, &mut changed);
            }
            if !changed.is_empty() {
                self.next = Some(Instant::now() + PAUSE);
                return changed;
            }
        }
    }

    fn take(&mut self, event: InotifyEvent, changed: &mut BTreeSet<PathBuf>) {
        let whole = |folder: &Folder| -> Vec<PathBuf> {
            folder.files.iter().map(|name| folder.path.join(name)).collect()
        };
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            // Events were lost: anything may have happened.
            changed.extend(self.names.values().flat_map(whole));
            return;
        }
        let Some(folder) = self.names.get(&event.wd) else { return };
        match &event.name {
            Some(name) if folder.files.contains(name) => {
                changed.insert(folder.path.join(name));
            }
            Some(_) => {}
            None => changed.extend(whole(folder)),
        }
        if event.mask.intersects(LOST) {
            // It is watched again when somebody asks, if it is there.
            self.forget(event.wd);
        }
    }

    fn forget(&mut self, descriptor: WatchDescriptor) {
        if let Some(folder) = self.names.remove(&descriptor) {
            self.folders.remove(&folder.path);
        }
        if let Some(inotify) = &self.inotify {
            // One that the kernel has ended itself is gone already.
            let _gone = inotify.get().rm_watch(descriptor);
        }
    }

    /// Watches only those files that `wanted` wants.
    pub fn keep(&mut self, wanted: impl Fn(&Path) -> bool) {
        let mut empty = Vec::new();
        for (descriptor, folder) in &mut self.names {
            let path = &folder.path;
            folder.files.retain(|name| wanted(&path.join(name)));
            if folder.files.is_empty() {
                empty.push(*descriptor);
            }
        }
        for descriptor in empty {
            self.forget(descriptor);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    async fn next(folders: &mut Folders) -> Vec<PathBuf> {
        let changed = timeout(PATIENCE, folders.changed()).await.expect("a change in time");
        changed.into_iter().collect()
    }

    #[tokio::test]
    async fn files_that_are_watched_are_told_and_others_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let mut folders = Folders::default();
        folders.watch(&one);
        folders.watch(&one);
        fs::write(&other, "up").unwrap();
        fs::write(&one, "up").unwrap();
        assert_eq!(next(&mut folders).await, std::slice::from_ref(&one));
        let draft = folder.path().join("draft");
        fs::write(&draft, "down").unwrap();
        fs::rename(&draft, &one).unwrap();
        assert_eq!(next(&mut folders).await, std::slice::from_ref(&one));
        fs::remove_file(&one).unwrap();
        assert_eq!(next(&mut folders).await, std::slice::from_ref(&one));
        folders.keep(|_| false);
        assert!(folders.names.is_empty() && folders.folders.is_empty());
    }

    #[tokio::test]
    async fn a_folder_that_goes_is_told_and_watched_again_when_it_is_back() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("run");
        let file = folder.join("web1");
        let mut folders = Folders::default();
        folders.watch(&file);
        assert!(folders.names.is_empty(), "it is not there yet");
        fs::create_dir(&folder).unwrap();
        folders.watch(&file);
        fs::remove_dir(&folder).unwrap();
        assert_eq!(next(&mut folders).await, std::slice::from_ref(&file));
        fs::create_dir(&folder).unwrap();
        folders.watch(&file);
        fs::write(&file, "up").unwrap();
        assert_eq!(next(&mut folders).await, [file]);
    }
}
