//! The run folder of a guest: unique, owned by a living process, removed when that is done with it.

use std::{
    fs,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::mountable;
use crate::owner::Owner;

/// How much of the kernel's log an error shows.
const LOG_TAIL_LINES: usize = 15;

/// How long the folder of a guest that failed is kept.
const KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// The target folder of this workspace.
pub(super) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from)
}

/// Where run folders are made unless the caller says otherwise: `target/guest` of this workspace.
pub(super) fn default_base() -> PathBuf {
    target().join("guest")
}

/// A folder for one run. Dropping it removes it, unless [`RunFolder::keep`] was called.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    kept: bool,
}

impl RunFolder {
    /// Makes a folder under `base`, after removing those whose owners died without doing so.
    pub(super) fn create(base: &Path) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(base)
            .with_context(|| format!("cannot make the folder {}", base.display()))?;
        let base = base
            .canonicalize()
            .with_context(|| format!("cannot find the folder {}", base.display()))?;
        mountable(&base)?;
        sweep(&base);
        let owner = Owner::this();
        let path = loop {
            let n = COUNTER.fetch_add(1, Ordering::Relaxed);
            let path = base.join(format!("{}-{n}", owner.pid()));
            match fs::create_dir(&path) {
                Ok(()) => break path,
                // A kept folder of an earlier process with the same id.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => bail!("cannot make the run folder {}: {error}", path.display()),
            }
        };
        let folder = Self { path, kept: false };
        folder.write("owner", owner.to_string().as_bytes(), 0o644)?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn write(&self, name: &str, content: &[u8], mode: u32) -> Result<()> {
        let path = self.path.join(name);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(content))
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// The command's exit status, once the guest has written it.
    pub(super) fn status(&self) -> Result<Option<u8>> {
        self.mark("status")
    }

    /// The exit status in the file of this name, once it is there.
    pub(super) fn mark(&self, name: &str) -> Result<Option<u8>> {
        read_mark(&self.path.join(name))
    }

    /// The end of the kernel's log, and where the whole of it is.
    pub(super) fn log_tail(&self) -> String {
        let path = self.path.join("kernel.log");
        let log = fs::read(&path).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        // After a panic the kernel prints where it was; why it was is above.
        let from = log.rfind("Kernel panic").unwrap_or_default();
        let lines: Vec<_> = log.get(from..).unwrap_or_default().lines().collect();
        let from = if from > 0 { 0 } else { lines.len().saturating_sub(LOG_TAIL_LINES) };
        let to = lines.len().min(from + LOG_TAIL_LINES);
        let tail = lines.get(from..to).unwrap_or_default();
        let mut text = format!("the kernel's log is kept in {}; its end:", path.display());
        if tail.is_empty() {
            text.push_str("\n  (it is empty)");
        }
        for line in tail {
            text.push_str("\n  ");
            text.push_str(line.trim_end());
        }
        text
    }

    /// Leaves the folder where it is.
    pub(super) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if self.kept {
            // Without an owner no sweep takes it away; the next failure of the same process gets another name.
            drop(fs::remove_file(self.path.join("owner")));
        } else {
            drop(fs::remove_dir_all(&self.path));
        }
    }
}

/// The exit status in a file, once that is there.
pub(super) fn read_mark(path: &Path) -> Result<Option<u8>> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let code = text.trim().parse();
            code.map(Some).with_context(|| format!("{} holds {text:?}, no status", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The run folders in `base` of guests that were left up.
pub(super) fn kept(base: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(base).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.join("kept").exists() && is_owned(path))
        .collect()
}

/// Whether the process that made this run folder still runs.
pub(super) fn is_owned(folder: &Path) -> bool {
    let owner = fs::read_to_string(folder.join("owner"));
    owner.is_ok_and(|owner| owner.parse().is_ok_and(Owner::is_alive))
}

/// Removes the run folders of dead owners, and those that were kept after a failure a week ago. Best effort: what can't
/// be removed now stays for the next time.
fn sweep(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let spent = match fs::read_to_string(entry.path().join("owner")) {
            Ok(owner) => owner.parse().is_ok_and(|owner: Owner| !owner.is_alive()),
            Err(_) => age(&entry).is_some_and(|age| age > KEPT_FOR),
        };
        if spent {
            drop(fs::remove_dir_all(entry.path()));
        }
    }
}

fn age(entry: &fs::DirEntry) -> Option<Duration> {
    entry.metadata().ok()?.modified().ok()?.elapsed().ok()
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn folders_of_the_dead_are_swept_and_those_of_the_living_are_not() {
        let base = tempfile::tempdir().unwrap();
        let dead = base.path().join("1-0");
        fs::create_dir(&dead).unwrap();
        // Process 1 lives, but did not start at tick 1 of this machine's life (or it would be another one).
        fs::write(dead.join("owner"), "999999999 1").unwrap();
        let unowned = base.path().join("kept");
        fs::create_dir(&unowned).unwrap();
        let forgotten = base.path().join("forgotten");
        fs::create_dir(&forgotten).unwrap();
        let last_month = SystemTime::now() - 4 * KEPT_FOR;
        fs::File::open(&forgotten).unwrap().set_modified(last_month).unwrap();
        let first = RunFolder::create(base.path()).unwrap();
        let second = RunFolder::create(base.path()).unwrap();
        assert!(!dead.exists() && !forgotten.exists());
        assert!(unowned.exists() && first.path().exists() && second.path().exists());
        assert_ne!(first.path(), second.path());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_kept_folder_shows_the_end_of_its_log() {
        let base = tempfile::tempdir().unwrap();
        let mut folder = RunFolder::create(base.path()).unwrap();
        assert!(folder.log_tail().ends_with("(it is empty)"));
        let log: String = (0..40).map(|n| format!("line {n}\n")).collect();
        folder.write("kernel.log", log.as_bytes(), 0o644).unwrap();
        let tail = folder.log_tail();
        assert!(
            tail.ends_with("  line 39") && tail.contains("line 25") && !tail.contains("line 24")
        );
        folder.keep();
        let path = folder.path().to_owned();
        drop(folder);
        assert!(path.join("kernel.log").exists());
    }

    #[test]
    fn a_status_is_a_byte() {
        let base = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(base.path()).unwrap();
        assert_eq!(folder.status().unwrap(), None);
        folder.write("status", b"143\n", 0o644).unwrap();
        assert_eq!(folder.status().unwrap(), Some(143));
    }
}
