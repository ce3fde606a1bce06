//! The instances that were told to step back for longer than this daemon lives: a file with their names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use holdfast_config::Name;

/// The file in `daemon.state`, of two lines an instance at most; longer ones are not ours.
const FILE: &str = "released.json";
const BYTES_MAX: u64 = 1 << 20;

/// Who was released with `--keep`, on disk.
#[derive(Debug)]
pub(crate) struct Released {
    path: PathBuf,
    names: BTreeSet<Name>,
}

/// Why it can't be kept.
#[derive(Debug, thiserror::Error)]
#[error("write {path}: {source}")]
pub(crate) struct KeepError {
    path: PathBuf,
    source: io::Error,
}

impl Released {
    /// Reads what an earlier daemon has kept in `folder`. What can't be read counts as nothing, and is logged: a node that takes part is
    /// better than none.
    pub(crate) fn read(folder: &Path) -> Self {
        let path = folder.join(FILE);
        let names = match read(&path) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeSet::new(),
            Err(error) => {
                tracing::error!(%error, path = %path.display(), "which instances were released can't be read: all take part");
                BTreeSet::new()
            }
        };
        Self { path, names }
    }

    /// The instances that were released.
    pub(crate) const fn names(&self) -> &BTreeSet<Name> {
        &self.names
    }

    /// Keeps that `instances` are released, or are no longer; whether that is new.
    ///
    /// # Errors
    /// The file can't be written: the folder is missing, or the disk is full. What was kept before still is.
    pub(crate) fn set(&mut self, instances: &[Name], released: bool) -> Result<bool, KeepError> {
        let mut names = self.names.clone();
        for name in instances {
            if released {
                names.insert(name.clone());
            } else {
                names.remove(name);
            }
        }
        let new = names != self.names;
        if new {
            write(&self.path, &names)
                .map_err(|source| KeepError { path: self.path.clone(), source })?;
            self.names = names;
        }
        Ok(new)
    }
}

impl Released {
    /// Keeps under the new names what was kept under the old ones: instances are called otherwise.
    ///
    /// # Errors
    /// As [`Self::set`].
    pub(crate) fn rename(&mut self, renamed: &[(Name, Name)]) -> Result<(), KeepError> {
        let kept = |(before, _): &&(Name, Name)| self.names.contains(before);
        let (before, now): (Vec<Name>, Vec<Name>) = renamed.iter().filter(kept).cloned().unzip();
        // First the new ones: a release that is kept twice does less harm than one that is lost.
        self.set(&now, true)?;
        self.set(&before, false).map(drop)
    }
}

fn read(path: &Path) -> io::Result<BTreeSet<Name>> {
    if std::fs::metadata(path)?.len() > BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too long"));
    }
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

/// Replaced in one step, so that a crash leaves the one or the other.
fn write(path: &Path, names: &BTreeSet<Name>) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(names)?)?;
    std::fs::File::open(&fresh)?.sync_all()?;
    std::fs::rename(&fresh, path)?;
    // The new name has to be on the disk too.
    path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn what_was_released_is_there_for_the_next_daemon_until_it_is_resumed() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        let mut released = Released::read(&state);
        assert!(released.names().is_empty());
        released.set(&[name("a"), name("b")], true).unwrap();
        assert_eq!(*Released::read(&state).names(), [name("a"), name("b")].into());
        released.set(&[name("a")], false).unwrap();
        assert_eq!(*Released::read(&state).names(), [name("b")].into());
    }

    #[test]
    fn one_that_is_called_otherwise_stays_released() {
        let folder = tempfile::tempdir().unwrap();
        let mut released = Released::read(folder.path());
        released.set(&[name("a"), name("b")], true).unwrap();
        released.rename(&[(name("a"), name("c")), (name("x"), name("y"))]).unwrap();
        assert_eq!(*Released::read(folder.path()).names(), [name("b"), name("c")].into());
    }

    #[test]
    fn a_file_of_nonsense_releases_nobody() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), b"[\"..\"]").unwrap();
        assert!(Released::read(folder.path()).names().is_empty());
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_an_error_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("state");
        std::fs::write(&state, b"a file").unwrap();
        let mut released = Released::read(&state);
        released.set(&[name("a")], true).unwrap_err();
        assert!(released.names().is_empty());
    }
}
