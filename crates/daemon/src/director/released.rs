//! The instances that were told to step back for longer than this daemon lives: a file with their names.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use holdfast_config::Name;

use crate::state::file::StateFile;

/// The version of the file's form.
const VERSION: u32 = 1;

/// Who was released with `--keep`, on disk.
#[derive(Debug)]
pub(crate) struct Released {
    file: StateFile,
    names: BTreeSet<Name>,
    /// Why what an earlier daemon has kept counts as nothing; none when it counts, or when something was kept since.
    problem: Option<String>,
}

/// Why it can't be kept.
#[derive(Debug, thiserror::Error)]
#[error("write {path}: {source}")]
pub(crate) struct KeepError {
    path: PathBuf,
    source: io::Error,
}

impl Released {
    /// Reads what an earlier daemon has kept in `folder`. What can't be read is set aside, logged, and counts as nothing: a node that takes
    /// part is better than none.
    pub(crate) fn read(folder: &Path) -> Self {
        let file = StateFile::new(folder, "released", VERSION);
        let (names, problem) = match file.read() {
            Ok(names) => (names.unwrap_or_default(), None),
            Err(error) => {
                tracing::error!(%error, "which instances were released can't be read: all take part");
                (BTreeSet::new(), Some(format!("{error}: all instances take part")))
            }
        };
        Self { file, names, problem }
    }

    /// The instances that were released.
    pub(crate) const fn names(&self) -> &BTreeSet<Name> {
        &self.names
    }

    /// Why what was kept counts as nothing, for the status.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
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
        if new || self.problem.is_some() {
            let failed = |source| KeepError { path: self.file.path().to_owned(), source };
            self.file.write(&names).map_err(failed)?;
            (self.names, self.problem) = (names, None);
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
    fn a_file_of_nonsense_releases_nobody_and_is_set_aside_and_said() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("released.state"), b"[\"..\"]").unwrap();
        let mut released = Released::read(folder.path());
        assert!(released.names().is_empty());
        let why = released.problem().unwrap();
        assert!(why.contains("released.set-aside: all instances take part"), "{why}");
        assert!(folder.path().join("released.set-aside").exists());
        released.set(&[name("a")], true).unwrap();
        assert_eq!(released.problem(), None, "it is whole again");
        assert_eq!(Released::read(folder.path()).problem(), None);
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
