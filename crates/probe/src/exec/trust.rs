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
pub(super) enum Distrust {
    /// Something on the way cannot be examined: missing, for one.
    #[error("{}: {}", path.display(), describe(error))]
    Unreadable { path: PathBuf, error: io::Error },
    /// Somebody else than root owns it.
    #[error("{} belongs to user {uid}: it must belong to root (chown root)", path.display())]
    Owner { path: PathBuf, uid: u32 },
    /// Others than its owner can write to it.
    #[error(
        "{} is writable by group or others (mode {mode:04o}): remove that (chmod go-w)",
        path.display()
    )]
    Writable { path: PathBuf, mode: u32 },
    /// It is a directory or a device.
    #[error("{} is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    /// The links lead in a circle.
    #[error("{} has more than {LINK_LIMIT} symbolic links on its way", path.display())]
    Links { path: PathBuf },
}

/// Walks to `program`, which is absolute, as the kernel would, and examines each step.
pub(super) fn examine(program: &Path) -> Result<(), Distrust> {
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
