//! The control socket's file: one daemon has it, its mode is 0660, its group is the configured one.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use nix::unistd::Group;
use tokio::net::UnixListener;

/// The control socket, removed when dropped.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
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
        make_room(path)?;
        let listener =
            UnixListener::bind(path).map_err(failed("listen on the control socket", path))?;
        let socket = Self { path: path.to_owned() };
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

/// Removes a socket that nobody listens on.
fn make_room(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else { return Ok(()) };
    if !metadata.file_type().is_socket() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| SocketError::Io {
                attempt: "remove the stale control socket",
                path: path.to_owned(),
                source,
            }),
        Ok(_) | Err(_) => Err(SocketError::InUse(path.to_owned())),
    }
}
