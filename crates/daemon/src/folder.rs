//! The daemon's own folder for what outlives it (`daemon.state`): nobody else may write there, since what it finds it believes.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use holdfast_probe::trust::{self, Distrust};
use nix::fcntl::Flock;

use crate::sole;

/// The mode of folders that the daemon makes: its group may look.
const MODE: u32 = 0o750;

/// Somebody else could put files into the folder, or exchange it.
#[derive(Debug, thiserror::Error)]
#[error("use {} (`daemon.state`): {why}", .path.display())]
pub(crate) struct Unsafe {
    path: PathBuf,
    why: Distrust,
}

/// Makes the folder where it is missing, with mode 0750. What keeps it from being made is answered as a sentence: the daemon works without,
/// and says so again when it has something to keep.
///
/// # Errors
/// The folder is there, and somebody else than root and the daemon's user could write into it, or exchange it.
pub(crate) fn make_state(path: &Path) -> Result<Option<String>, Unsafe> {
    if let Err(error) = make(path) {
        let path = path.display();
        return Ok(Some(format!("make {path} (`daemon.state`): {error}")));
    }
    match trust::examine_folder(path) {
        Ok(()) => Ok(None),
        Err(why @ Distrust::Unreadable { .. }) => Ok(Some(why.to_string())),
        Err(why) => Err(Unsafe { path: path.to_owned(), why }),
    }
}

/// The state directory is another daemon's: each would take what the other one writes for its own.
#[derive(Debug, thiserror::Error)]
#[error(
    "the state directory {} is another holdfastd's: stop that one first, or give this one a directory of its own (`daemon.state`, `--state`)",
    .0.display()
)]
pub(crate) struct Taken(PathBuf);

/// What keeps other daemons out of the folder, for as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Alone {
    _lock: Option<Flock<File>>,
    /// Why nothing does though there is a folder to keep them out of.
    pub(crate) problem: Option<String>,
}

/// Keeps other daemons out of the folder. Where there is none, or it is of a file system that can't be written, there is nothing to keep them out
/// of; what else is in the way of the lock is answered as a sentence, since the daemon works without.
///
/// # Errors
/// Another daemon has it.
pub(crate) fn keep_out_others(path: &Path) -> Result<Alone, Taken> {
    let file = path.join("lock");
    let nothing_there =
        [ErrorKind::NotFound, ErrorKind::NotADirectory, ErrorKind::ReadOnlyFilesystem];
    match sole::lock(&file) {
        Ok(Some(lock)) => Ok(Alone { _lock: Some(lock), problem: None }),
        Ok(None) => Err(Taken(path.to_owned())),
        Err(error) if nothing_there.contains(&error.kind()) => Ok(Alone::default()),
        Err(error) => {
            let file = file.display();
            let problem = format!("lock {file}: {error}; remove it while no holdfastd runs");
            Ok(Alone { problem: Some(problem), ..Alone::default() })
        }
    }
}

/// Makes a folder with mode 0750 and those above it, where it is not there yet.
///
/// # Errors
/// What the kernel answered.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(above)?;
    }
    fs::DirBuilder::new().mode(0o700).create(path)?;
    // Whatever the umask is.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    #[test]
    fn the_folder_is_made_for_the_daemon_and_its_group_and_one_that_others_write_into_is_refused() {
        let top = tempfile::tempdir_in("/tmp").unwrap();
        let state = top.path().join("lib/holdfast");
        assert!(make_state(&state).unwrap().is_none());
        assert_eq!(fs::metadata(&state).unwrap().mode() & 0o7777, 0o750);
        assert!(make_state(&state).unwrap().is_none(), "it is there");
        for mode in [0o770, 0o757, 0o1777] {
            fs::set_permissions(&state, fs::Permissions::from_mode(mode)).unwrap();
            let why = make_state(&state).unwrap_err().to_string();
            assert!(why.contains("`daemon.state`") && why.contains("chmod go-w"), "{why}");
        }
        // A link of somebody else's leads wherever that one likes.
        fs::set_permissions(&state, fs::Permissions::from_mode(0o750)).unwrap();
        let link = top.path().join("link");
        symlink(&state, &link).unwrap();
        assert!(make_state(&link).unwrap().is_none());
        std::os::unix::fs::lchown(&link, Some(1234), None).unwrap();
        assert!(make_state(&link).unwrap_err().to_string().contains("belongs to user 1234"));
    }

    #[test]
    fn one_daemon_has_the_folder_and_one_that_cannot_be_written_is_nobodys() {
        let top = tempfile::tempdir().unwrap();
        let first = keep_out_others(top.path()).unwrap();
        assert!(first.problem.is_none());
        let why = keep_out_others(top.path()).unwrap_err().to_string();
        assert!(why.contains("is another holdfastd's: stop that one first"), "{why}");
        drop(first);
        assert!(keep_out_others(top.path()).unwrap().problem.is_none());
        let nobodys = keep_out_others(&top.path().join("missing")).unwrap();
        assert!(nobodys.problem.is_none());
    }

    /// Whatever lies in the lock's place, the start goes on and says that another daemon could have the folder, too.
    #[test]
    fn a_lock_that_cannot_be_had_is_said() {
        let top = tempfile::tempdir().unwrap();
        let file = top.path().join("lock");
        let problem = || {
            let alone = keep_out_others(top.path()).unwrap();
            alone.problem.unwrap()
        };
        symlink(top.path().join("elsewhere"), &file).unwrap();
        let said = problem();
        assert!(said.contains("/lock: ") && said.contains("remove it"), "{said}");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(problem().contains("/lock: "));
        fs::remove_dir(&file).unwrap();
        nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(problem().contains("/lock: "), "a pipe holds nobody up");
    }

    #[test]
    fn what_keeps_it_from_being_made_is_said() {
        let top = tempfile::tempdir().unwrap();
        fs::write(top.path().join("file"), "").unwrap();
        let said = make_state(&top.path().join("file/state")).unwrap().unwrap();
        assert!(said.contains("file/state (`daemon.state`)"), "{said}");
    }
}
