//! Locks that say which daemon a thing belongs to. The kernel gives one back when the process ends, however it ends.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};

/// How long a daemon that still has it may be one that is dying.
const DYING: Duration = Duration::from_secs(1);
/// How often it is looked whether it has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Takes the lock of the file at `path`, which is made where it is missing; none when another daemon has it. The file stays for ever, since its
/// removal could not be told from another daemon's start.
///
/// A daemon that was killed has its lock until the kernel has taken it apart, which takes some milliseconds: for that a second is waited.
///
/// # Errors
/// The file can't be made or opened, or is a link or a pipe.
pub(crate) fn lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)?;
    let until = Instant::now() + DYING;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(Some(lock)),
            Err((same, Errno::EWOULDBLOCK)) if Instant::now() < until => file = same,
            Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        }
        // flock(2) can be waited for without a limit only.
        std::thread::sleep(LOOK_AGAIN);
    }
}
