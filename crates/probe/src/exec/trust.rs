//! Who could change a command before it runs, or another file that the daemon trusts: every directory and symbolic link on the way to
//! it, and the file.
//!
//! A daemon that runs as root starts only what nobody but root can replace. Since every step of the way is root's, nothing can be
//! exchanged between this check and the start. Of the configuration and of the daemon's own folders the daemon's user may be the
//! owner, too.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use nix::unistd::geteuid;
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
    /// It is no directory.
    #[error("{} is not a directory", path.display())]
    NotAFolder {
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
            | Self::NotAFolder { .. }
            | Self::Links { .. } => None,
        }
    }
}

/// Walks to `program`, which is absolute, as the kernel would, and examines each step. Blocks.
///
/// # Errors
/// The first step that somebody else than root could exchange, or that can't be examined.
pub fn examine(program: &Path) -> Result<(), Distrust> {
    let (path, metadata) = walk(program, 0)?;
    if metadata.is_file() { Ok(()) } else { Err(Distrust::NotAFile { path }) }
}

/// The same of a file that this process's user may own as well as root. Blocks.
///
/// # Errors
/// As [`examine`].
pub fn examine_file(file: &Path) -> Result<(), Distrust> {
    let (path, metadata) = walk(file, geteuid().as_raw())?;
    if metadata.is_file() { Ok(()) } else { Err(Distrust::NotAFile { path }) }
}

/// The same of the way to a directory, in which others may write where its sticky bit guards what is there. Blocks.
///
/// # Errors
/// As [`examine`].
pub fn examine_way(folder: &Path) -> Result<(), Distrust> {
    walk(folder, geteuid().as_raw()).map(drop)
}

/// The same of a directory, which nobody else may write into, also where its sticky bit guards what is there already. Blocks.
///
/// # Errors
/// As [`examine`].
pub fn examine_folder(folder: &Path) -> Result<(), Distrust> {
    let (path, metadata) = walk(folder, geteuid().as_raw())?;
    let mode = metadata.mode() & 0o7777;
    match (metadata.is_dir(), mode & GROUP_OR_OTHERS_WRITE) {
        (false, _) => Err(Distrust::NotAFolder { path }),
        (true, 0) => Ok(()),
        (true, _) => Err(Distrust::Writable { path, mode }),
    }
}

/// Where `path`, which is absolute, leads to. Each step must be root's or `own`'s.
fn walk(path: &Path, own: u32) -> Result<(PathBuf, fs::Metadata), Distrust> {
    let mut at = PathBuf::from("/");
    let mut found = step(&at, own)?;
    let mut ahead: Vec<OsString> = Vec::new();
    let mut links = 0_usize;
    push(&mut ahead, path);
    while let Some(name) = ahead.pop() {
        if name == OsStr::new("..") {
            at.pop();
            found = step(&at, own)?;
            continue;
        }
        let next = at.join(&name);
        let metadata = step(&next, own)?;
        if metadata.is_symlink() {
            links += 1;
            if links > LINK_LIMIT {
                return Err(Distrust::Links { path: path.to_owned() });
            }
            let target = fs::read_link(&next)
                .map_err(|error| Distrust::Unreadable { path: next.clone(), error })?;
            if target.is_absolute() {
                at = PathBuf::from("/");
                found = step(&at, own)?;
            }
            push(&mut ahead, &target);
            continue;
        }
        (at, found) = (next, metadata);
    }
    Ok((at, found))
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

fn step(path: &Path, own: u32) -> Result<fs::Metadata, Distrust> {
    let metadata = fs::symlink_metadata(path)
        .map_err(|error| Distrust::Unreadable { path: path.to_owned(), error })?;
    if metadata.uid() != 0 && metadata.uid() != own {
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
        assert!(geteuid().is_root(), "this test gives files away: run it as root");
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
    fn a_folder_of_ours_is_nobody_else_s_to_write_into_whatever_guards_it() {
        let (top, program) = tree();
        examine_file(&program).unwrap();
        examine_folder(top.path()).unwrap();
        assert!(matches!(examine_folder(&program), Err(Distrust::NotAFolder { .. })));
        let folder = top.path().join("checks");
        mode(&folder, 0o1777);
        examine_file(&program).unwrap();
        assert!(
            matches!(examine_folder(&folder), Err(Distrust::Writable { path, .. }) if path == folder)
        );
        mode(&folder, 0o755);
        let link = top.path().join("link");
        symlink(&folder, &link).unwrap();
        examine_folder(&link).unwrap();
        std::os::unix::fs::lchown(&link, Some(1234), None).unwrap();
        assert!(matches!(examine_folder(&link), Err(Distrust::Owner { uid: 1234, .. })));
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
