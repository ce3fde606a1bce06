//! The control socket's file: one daemon has it, which a lock beside it sees to; its mode is 0660 with the configured group, and
//! 0600 without one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::unistd::Group;
use tokio::net::UnixListener;

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
    /// Listens on `path`. A socket that nobody listens on any more is replaced.
    ///
    /// # Errors
    /// Another daemon listens there, something else than a socket is there, the group does not exist, or the kernel refuses.
    pub(crate) fn open(
        path: &Path,
        group: Option<&str>,
    ) -> Result<(Self, UnixListener), SocketError> {
        let failed = |attempt, path: &Path| {
            let path = path.to_owned();
            move |source| SocketError::Io { attempt, path, source }
        };
        let group = group.map(find_group).transpose()?;
        if let Some(folder) = path.parent() {
            make_folder(folder).map_err(failed("create the control socket's folder", folder))?;
        }
        let lock = lock(path)?;
        make_room(path)?;
        let listener =
            UnixListener::bind(path).map_err(failed("listen on the control socket", path))?;
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

/// Creates the folder for the daemon and its group alone, where it is not there yet.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o750))
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
    let failed = |source| SocketError::Io {
        attempt: "lock the control socket by",
        path: name.clone(),
        source,
    };
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(&name)
        .map_err(failed)?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(lock),
        Err((_, Errno::EWOULDBLOCK)) => Err(SocketError::InUse(path.to_owned())),
        Err((_, errno)) => Err(failed(errno.into())),
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

    #[tokio::test]
    async fn one_daemon_has_the_socket_and_it_is_for_root_alone_without_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/control.sock");
        let (first, _listener) = ControlSocket::open(&path, None).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o750));
        let second = ControlSocket::open(&path, None);
        assert!(matches!(second, Err(SocketError::InUse(_))), "{second:?}");
        drop(first);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_an_earlier_daemon_left_is_replaced_and_nothing_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let stale = folder.path().join("stale.sock");
        drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
        let opened = ControlSocket::open(&stale, None);
        assert!(opened.is_ok(), "{opened:?}");
        let file = folder.path().join("file");
        fs::write(&file, "precious").unwrap();
        let refused = ControlSocket::open(&file, None);
        assert!(matches!(refused, Err(SocketError::NotASocket(_))), "{refused:?}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    }

    #[tokio::test]
    async fn a_group_that_is_not_there_is_named_and_nothing_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        let refused = ControlSocket::open(&path, Some("hf-no-such-group"));
        let sentence = refused.expect_err("no such group").to_string();
        assert!(sentence.contains("groupadd --system hf-no-such-group"), "{sentence}");
        assert!(!path.exists());
    }
}
