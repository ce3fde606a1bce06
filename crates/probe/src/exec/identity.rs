//! Whom a command runs as: never root, and never with anything of the daemon's own power.

use std::fs;

use nix::unistd::{Gid, Uid, User, geteuid, getuid};
use thiserror::Error;

/// Whom a command runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Another user, whom root becomes; no supplementary groups.
    Other(Uid, Gid),
    /// The user that this process is already, which is not root.
    Ourselves,
}

/// Why a command cannot run as its user.
#[derive(Debug, Error)]
pub(super) enum NoIdentity {
    /// The host does not know the user.
    #[error("user {user} does not exist: create it or name another in daemon.scripts.user")]
    Unknown { user: String },
    /// The user could not be looked up.
    #[error("user {user} cannot be looked up: {errno:?}")]
    Lookup { user: String, errno: nix::errno::Errno },
    /// A check never runs as root.
    #[error("user {user} is root: name an unprivileged user in daemon.scripts.user")]
    Root { user: String },
    /// Only root can become somebody else.
    #[error("only root can run a command as {user}, and this process is user {uid}")]
    NotRoot { user: String, uid: Uid },
    /// The capabilities would pass to the command.
    #[error(
        "this process has ambient capabilities, which would pass to the command: start it without"
    )]
    Ambient,
}

/// Looks `user` up. Blocks: the host's user database may be far away.
pub(super) fn identity(user: &str) -> Result<Identity, NoIdentity> {
    let owned = || user.to_owned();
    let known = User::from_name(user)
        .map_err(|errno| NoIdentity::Lookup { user: owned(), errno })?
        .ok_or_else(|| NoIdentity::Unknown { user: owned() })?;
    if known.uid.is_root() {
        return Err(NoIdentity::Root { user: owned() });
    }
    // std drops the supplementary groups of a child with another user only when the real user is root, too.
    if is_root() {
        return Ok(Identity::Other(known.uid, known.gid));
    }
    if known.uid != geteuid() {
        return Err(NoIdentity::NotRoot { user: owned(), uid: geteuid() });
    }
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if has_ambient(&status) { Err(NoIdentity::Ambient) } else { Ok(Identity::Ourselves) }
}

/// Whether this process is root, by its real and its effective user.
pub(super) fn is_root() -> bool {
    getuid().is_root() && geteuid().is_root()
}

/// Whether `status` (/proc/PID/status) has an ambient capability; what cannot be read counts as one.
fn has_ambient(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapAmb:"));
    line.is_none_or(|mask| mask.trim().is_empty() || mask.trim().bytes().any(|digit| digit != b'0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ambient_capabilities_are_seen() {
        assert!(!has_ambient("Name:\tx\nCapAmb:\t0000000000000000\n"));
        assert!(has_ambient("Name:\tx\nCapAmb:\t0000000000001000\n"));
        assert!(has_ambient("Name:\tx\n"));
        assert!(has_ambient(""));
    }

    #[test]
    fn no_command_runs_as_root_or_as_nobody_in_particular() {
        assert!(matches!(identity("root"), Err(NoIdentity::Root { .. })));
        assert!(matches!(identity("no-such-user-here"), Err(NoIdentity::Unknown { .. })));
    }
}
