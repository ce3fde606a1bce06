//! The control socket's file: one daemon has it, which a lock beside it sees to; its mode is 0660 with the configured group, 0600 without
//! one, and 0666 where everybody may read by it.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use holdfast_probe::trust::{self, Distrust};
use nix::fcntl::Flock;
use nix::unistd::Group;

use crate::{folder, sole};

/// The control socket. Its file is removed when this is dropped; the lock's file stays, since its removal could not be told from
/// another daemon's start.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    _lock: Flock<File>,
}

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum SocketError {
    /// Another daemon has it.
    #[error(
        "the control socket {} is another holdfastd's: stop that one first, or give this one a socket of its own (`daemon.control.socket`)",
        .0.display()
    )]
    InUse(PathBuf),
    /// Something else is in its place.
    #[error("the control socket's path {} is something else than a socket: it is left alone; remove it or choose another path", .0.display())]
    NotASocket(PathBuf),
    /// Somebody else could exchange the folder that it is in.
    #[error("put the control socket into {}: {why}", .folder.display())]
    Unsafe {
        /// The folder.
        folder: PathBuf,
        /// What is wrong on the way to it.
        why: Distrust,
    },
    /// The group does not exist.
    #[error(
        "the control socket's group `{0}` does not exist: create it (`groupadd --system {0}`), or leave `daemon.control.group` out for root alone"
    )]
    NoGroup(String),
    /// The kernel refused.
    #[error("{attempt} {}", .path.display())]
    Io {
        /// What was attempted.
        attempt: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the kernel answered.
        #[source]
        source: io::Error,
    },
}

impl ControlSocket {
    /// Listens on `path`, without blocking, for `group` and, where it may read, everybody else. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Another daemon listens there, something else than a socket is there, somebody else could exchange its folder, the group does not
    /// exist, or the kernel refuses.
    pub(crate) fn open(
        path: &Path,
        group: Option<&str>,
        others: bool,
    ) -> Result<(Self, UnixListener), SocketError> {
        let failed = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| SocketError::Io { attempt, path, source }
        };
        let path = &std::path::absolute(path).map_err(failed("find the control socket", path))?;
        let group = group.map(find_group).transpose()?;
        if let Some(folder) = path.parent() {
            folder::make(folder).map_err(failed("create the control socket's folder", folder))?;
            trust::examine_way(folder)
                .map_err(|why| SocketError::Unsafe { folder: folder.to_owned(), why })?;
        }
        let lock = lock(path)?;
        make_room(path)?;
        let listener =
            UnixListener::bind(path).map_err(failed("listen on the control socket", path))?;
        listener.set_nonblocking(true).map_err(failed("listen on the control socket", path))?;
        let socket = Self { path: path.to_owned(), _lock: lock };
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(failed("set the mode of the control socket", path))?;
        if let Some(group) = group {
            chown(path, None, Some(group.gid.as_raw()))
                .map_err(failed("give the control socket its group", path))?;
            fs::set_permissions(path, fs::Permissions::from_mode(0o660))
                .map_err(failed("set the mode of the control socket", path))?;
            if let Some(folder) = path.parent().filter(|folder| is_ours(folder)) {
                chown(folder, None, Some(group.gid.as_raw()))
                    .map_err(failed("give the control socket's folder its group", folder))?;
            }
        }
        if others {
            fs::set_permissions(path, fs::Permissions::from_mode(0o666))
                .map_err(failed("set the mode of the control socket", path))?;
            if let Some(folder) = path.parent().filter(|folder| is_ours(folder)) {
                fs::set_permissions(folder, fs::Permissions::from_mode(0o755))
                    .map_err(failed("let everybody into the control socket's folder", folder))?;
            }
        }
        Ok((socket, listener))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the control socket's file stays");
        }
    }
}

fn find_group(name: &str) -> Result<Group, SocketError> {
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group),
        Ok(None) | Err(_) => Err(SocketError::NoGroup(name.to_owned())),
    }
}

/// Whether the folder is one that a daemon makes for itself, and not a shared one such as /run or /tmp.
fn is_ours(folder: &Path) -> bool {
    fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o007 == 0)
}

/// Takes the lock that says whose the socket is.
fn lock(path: &Path) -> Result<Flock<File>, SocketError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    match sole::lock(&name) {
        Ok(Some(lock)) => Ok(lock),
        Ok(None) => Err(SocketError::InUse(path.to_owned())),
        Err(source) => {
            Err(SocketError::Io { attempt: "lock the control socket by", path: name, source })
        }
    }
}

/// Removes a socket that an earlier daemon left: with the lock in hand, nobody listens on it.
fn make_room(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    fs::remove_file(path).map_err(|source| SocketError::Io {
        attempt: "remove the stale control socket",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn one_daemon_has_the_socket_and_it_is_for_root_alone_without_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/control.sock");
        let (first, _listener) = ControlSocket::open(&path, None, false).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o750));
        let second = ControlSocket::open(&path, None, false);
        assert!(matches!(second, Err(SocketError::InUse(_))), "{second:?}");
        drop(first);
        assert!(!path.exists());
    }

    #[test]
    fn a_daemon_that_is_dying_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let (first, _listener) = ControlSocket::open(&path, None, false).unwrap();
        let (started, starts) = std::sync::mpsc::sync_channel(1);
        let second = std::thread::spawn(move || {
            started.send(()).unwrap();
            ControlSocket::open(&path, None, false).map(drop)
        });
        starts.recv().unwrap();
        drop(first);
        let opened = second.join().unwrap();
        assert!(opened.is_ok(), "{opened:?}");
    }

    #[test]
    fn what_an_earlier_daemon_left_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let stale = folder.path().join("stale.sock");
        drop(UnixListener::bind(&stale).unwrap());
        let opened = ControlSocket::open(&stale, None, false);
        assert!(opened.is_ok(), "{opened:?}");
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        let refused = ControlSocket::open(&file, None, false);
        assert!(matches!(refused, Err(SocketError::NotASocket(_))), "{refused:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[test]
    fn a_folder_that_others_could_exchange_is_refused_and_a_sticky_one_is_not() {
        let top = tempfile::tempdir_in("/tmp").unwrap();
        let path = top.path().join("control.sock");
        let mode =
            |mode| fs::set_permissions(top.path(), fs::Permissions::from_mode(mode)).unwrap();
        mode(0o777);
        let refused = ControlSocket::open(&path, None, false);
        assert!(matches!(refused, Err(SocketError::Unsafe { .. })), "{refused:?}");
        assert!(!path.exists());
        mode(0o1777);
        let opened = ControlSocket::open(&path, None, false);
        assert!(opened.is_ok(), "{opened:?}");
    }

    #[test]
    fn a_group_that_is_not_there_is_named_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let refused = ControlSocket::open(&path, Some("hf-no-such-group"), false);
        let sentence = refused.expect_err("no such group").to_string();
        assert!(sentence.contains("groupadd --system hf-no-such-group"), "{sentence}");
        assert!(!path.exists());
    }
}
