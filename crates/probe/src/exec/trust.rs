//! Who could change a command before it runs: every directory and symbolic link on the way to it, and the file.
//!
//! A daemon that runs as root starts only what nobody but root can replace. Since every step of the way is root's, nothing can be
//! exchanged between this check and the start.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

use crate::finding::describe;

/// As many symbolic links as the kernel itself follows on one path.
const LINK_LIMIT: usize = 40;

const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
const STICKY: u32 = 0o1000;

/// Why a command is not to be run by root.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Distrust {
    /// Something on the way cannot be examined: missing, for one.
    #[error("{}: {}", path.display(), describe(error))]
    Unreadable {
        /// What could not be examined.
        path: PathBuf,
        /// What the kernel answered.
        error: io::Error,
    },
    /// Somebody else than root owns it.
    #[error("{} belongs to user {uid}: it must belong to root (chown root)", path.display())]
    Owner {
        /// What is owned.
        path: PathBuf,
        /// By whom.
        uid: u32,
    },
    /// Others than its owner can write to it.
    #[error(
        "{} is writable by group or others (mode {mode:04o}): remove that (chmod go-w)",
        path.display()
    )]
    Writable {
        /// What can be written to.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is a directory or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile {
        /// What it is not.
        path: PathBuf,
    },
    /// The links lead in a circle.
    #[error("{} has more than {LINK_LIMIT} symbolic links on its way", path.display())]
    Links {
        /// The program's path.
        path: PathBuf,
    },
}

impl Distrust {
    /// The kernel's answer, where it gave one.
    pub const fn cause(&self) -> Option<&io::Error> {
        match self {
            Self::Unreadable { error, .. } => Some(error),
            Self::Owner { .. }
            | Self::Writable { .. }
            | Self::NotAFile { .. }
            | Self::Links { .. } => None,
        }
    }
}

/// Walks to `program`, which is absolute, as the kernel would, and examines each step. Blocks.
///
/// # Errors
/// The first step that somebody else than root could exchange, or that can't be examined.
pub fn examine(program: &Path) -> Result<(), Distrust> {
    let mut at = PathBuf::from("/");
    let mut is_file = step(&at)?.is_file();
    let mut ahead: Vec<OsString> = Vec::new();
    let mut links = 0_usize;
    push(&mut ahead, program);
    while let Some(name) = ahead.pop() {
        if name == OsStr::new("..") {
            at.pop();
            continue;
        }
        let path = at.join(&name);
        let metadata = step(&path)?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINK_LIMIT {
                return Err(Distrust::Links { path: program.to_owned() });
            }
            let target = fs::read_link(&path)
                .map_err(|error| Distrust::Unreadable { path: path.clone(), error })?;
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            push(&mut ahead, &target);
            continue;
        }
        is_file = metadata.is_file();
        at = path;
    }
    if is_file { Ok(()) } else { Err(Distrust::NotAFile { path: at }) }
}

/// Puts the names of `path` on the stack, the first on top.
fn push(ahead: &mut Vec<OsString>, path: &Path) {
    let names = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    ahead.extend(names);
}

fn step(path: &Path) -> Result<fs::Metadata, Distrust> {
    let metadata = fs::symlink_metadata(path)
        .map_err(|error| Distrust::Unreadable { path: path.to_owned(), error })?;
    if metadata.uid() != 0 {
        return Err(Distrust::Owner { path: path.to_owned(), uid: metadata.uid() });
    }
    let mode = metadata.mode() & 0o7777;
    // In a sticky directory (/tmp) nobody can replace what root owns; and a link's own mode means nothing.
    let guarded = metadata.is_symlink() || (metadata.is_dir() && mode & STICKY != 0);
    if mode & GROUP_OR_OTHERS_WRITE != 0 && !guarded {
        return Err(Distrust::Writable { path: path.to_owned(), mode });
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, chown, symlink};

    use tempfile::TempDir;

    use super::*;

    /// A directory of root's in /tmp, which is sticky, with `checks/dns` in it, all as it should be.
    fn tree() -> (TempDir, PathBuf) {
        assert!(nix::unistd::geteuid().is_root(), "this test gives files away: run it as root");
        let top = tempfile::tempdir_in("/tmp").unwrap();
        let program = top.path().join("checks/dns");
        fs::create_dir(top.path().join("checks")).unwrap();
        fs::write(&program, "#!/bin/sh\n").unwrap();
        mode(&top.path().join("checks"), 0o755);
        mode(&program, 0o755);
        (top, program)
    }

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_only_root_can_change_is_trusted() {
        let (top, program) = tree();
        examine(&program).unwrap();
        examine(&top.path().join("checks/../checks/./dns")).unwrap();
    }

    #[test]
    fn a_file_or_directory_that_others_can_write_is_named() {
        let (top, program) = tree();
        mode(&program, 0o775);
        let error = examine(&program).unwrap_err().to_string();
        let path = program.display();
        assert_eq!(
            error,
            format!("{path} is writable by group or others (mode 0775): remove that (chmod go-w)")
        );
        mode(&program, 0o757);
        assert!(
            matches!(examine(&program), Err(Distrust::Writable { path, .. }) if path == program)
        );

        mode(&program, 0o755);
        let directory = top.path().join("checks");
        mode(&directory, 0o777);
        assert!(
            matches!(examine(&program), Err(Distrust::Writable { path, .. }) if path == directory)
        );
        // Sticky, nobody can replace what root owns in it.
        mode(&directory, 0o1777);
        examine(&program).unwrap();
    }

    #[test]
    fn what_belongs_to_somebody_else_is_named() {
        let (top, program) = tree();
        chown(&program, Some(1234), None).unwrap();
        assert!(matches!(examine(&program), Err(Distrust::Owner { uid: 1234, .. })));
        chown(&program, Some(0), None).unwrap();
        chown(top.path().join("checks"), Some(1234), None).unwrap();
        let error = examine(&program).unwrap_err().to_string();
        assert!(
            error.ends_with("checks belongs to user 1234: it must belong to root (chown root)")
        );
    }

    #[test]
    fn links_are_followed_and_every_step_of_theirs_counts() {
        let (top, program) = tree();
        let link = top.path().join("link");
        symlink("checks/dns", &link).unwrap();
        examine(&link).unwrap();
        let absolute = top.path().join("absolute");
        symlink(&link, &absolute).unwrap();
        examine(&absolute).unwrap();

        // A link out of a directory of others, and a link that others own.
        let open = top.path().join("open");
        fs::create_dir(&open).unwrap();
        mode(&open, 0o777);
        symlink(&program, open.join("dns")).unwrap();
        assert!(
            matches!(examine(&open.join("dns")), Err(Distrust::Writable { path, .. }) if path == open)
        );
        std::os::unix::fs::lchown(&link, Some(1234), None).unwrap();
        assert!(matches!(examine(&absolute), Err(Distrust::Owner { path, .. }) if path == link));
    }

    #[test]
    fn circles_directories_and_missing_files_are_refused() {
        let (top, program) = tree();
        let circle = top.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(matches!(examine(&circle), Err(Distrust::Links { .. })));
        assert!(matches!(examine(top.path()), Err(Distrust::NotAFile { .. })));
        fs::remove_file(&program).unwrap();
        let error = examine(&program).unwrap_err().to_string();
        assert_eq!(error, format!("{}: no such file or directory (ENOENT)", program.display()));
    }
}
