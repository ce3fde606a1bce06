//! Word to systemd (`sd_notify(3)`), which does nothing where no service manager asked for it.
//!
//! A worker speaks through its supervisor ([`speak_through`]): systemd believes the service's main process, which the supervisor is.
//!
//! A service manager that does not read (it is frozen, or executes itself anew) holds nobody up: what its socket does not take waits in a thread
//! of its own, and so does what is said after it. `WATCHDOG=1` does not wait, since it is worth nothing late.

use std::collections::VecDeque;
use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// The daemon serves: `READY=1` with a line for `systemctl status`.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The daemon reads its configuration again: `RELOADING=1` with the time, as `Type=notify-reload` wants it. [`ready`] ends it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager could not be told"),
    }
}

/// How long the service manager waits for [`alive`] before it takes the daemon for hung (`WatchdogSec=`); none where it does not.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled()
}

/// The daemon's loops turn: `WATCHDOG=1`.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// The daemon stops: `STOPPING=1`.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The stop takes no longer than `patience` from now: `EXTEND_TIMEOUT_USEC=`, for the case that the unit's `TimeoutStopSec` is shorter.
pub fn stopping_within(patience: Duration) {
    let micros = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

/// The supervisor's pipe; none: systemd itself is told.
static PIPE: OnceLock<File> = OnceLock::new();

/// Says everything through `pipe` from now on: the lines of each message, then an empty one.
pub fn speak_through(pipe: File) {
    // Once in a process; a second one would be the same supervisor's.
    drop(PIPE.set(pipe));
}

/// Passes on a message of another process, line by line as it was said.
///
/// # Errors
/// The service manager's socket is not there. Or it takes nothing now: the first such message is an error and waits, as those after it do;
/// one that finds 64 waiting is an error and lost. `WATCHDOG=1` does not wait and is no error.
pub fn pass_on(message: &str) -> io::Result<()> {
    match env::var_os("NOTIFY_SOCKET") {
        Some(socket) => SPEECH.say(socket, &format!("{message}\n")),
        None => Ok(()),
    }
}

fn say(states: &[NotifyState<'_>]) -> io::Result<()> {
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    let Some(mut pipe) = PIPE.get() else { return pass_on(lines.trim_end()) };
    // One write: the kernel mixes none of up to 4096 bytes with another thread's.
    pipe.write_all(format!("{lines}\n").as_bytes())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = say(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}

static SPEECH: Speech = Speech::new();

/// So many messages wait for a service manager that does not read.
const WAITING_MAX: usize = 64;

/// What a service manager is told that does not read always. The messages' order is kept.
struct Speech {
    /// What its socket has not taken yet. While there is something, a thread waits for room.
    waiting: Mutex<VecDeque<String>>,
}

impl Speech {
    const fn new() -> Self {
        Self { waiting: Mutex::new(VecDeque::new()) }
    }

    /// Sends `message` to `socket`, without waiting.
    fn say(&'static self, socket: OsString, message: &str) -> io::Result<()> {
        // That this process is alive is said again when there is room, and is worth nothing late.
        let is_worth_waiting = message != "WATCHDOG=1\n";
        let mut waiting = self.lock();
        if waiting.is_empty() {
            let sender = connect(&socket)?;
            sender.set_nonblocking(true)?;
            let refused = match sender.send(message.as_bytes()) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if !is_worth_waiting {
                        return Ok(());
                    }
                    error
                }
                sent => return sent.map(drop),
            };
            sender.set_nonblocking(false)?;
            waiting.push_back(message.to_owned());
            let sends = move || self.send_waiting(&sender);
            if let Err(error) = thread::Builder::new().name("notify".to_owned()).spawn(sends) {
                waiting.clear();
                return Err(error);
            }
            let why = format!("it does not read, and is told when it does ({refused})");
            return Err(io::Error::new(ErrorKind::WouldBlock, why));
        }
        if !is_worth_waiting {
            return Ok(());
        }
        if waiting.len() >= WAITING_MAX {
            let why = format!("it does not read, and {WAITING_MAX} messages wait for it already");
            return Err(io::Error::new(ErrorKind::WouldBlock, why));
        }
        waiting.push_back(message.to_owned());
        Ok(())
    }

    /// Sends what waits, and waits for room. What the socket refuses otherwise nobody will ever read.
    fn send_waiting(&self, sender: &UnixDatagram) {
        loop {
            let next = self.lock().front().cloned();
            let Some(message) = next else { return };
            let _gone = sender.send(message.as_bytes());
            let mut waiting = self.lock();
            waiting.pop_front();
            if waiting.is_empty() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket to that of a service manager, which is a path or, with `@` before it, an abstract name (sd_notify(3)).
fn connect(socket: &OsString) -> io::Result<UnixDatagram> {
    let sender = UnixDatagram::unbound()?;
    match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => sender.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => sender.connect(socket)?,
    }
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reader: &UnixDatagram) -> String {
        let mut buffer = [0; 4096];
        let length = reader.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Who speaks goes on, though nobody reads; then all of it comes, in its order.
    #[test]
    fn a_service_manager_that_does_not_read_holds_nobody_up_and_misses_nothing() {
        static SPEECH: Speech = Speech::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let reader = UnixDatagram::bind(&path).unwrap();
        let say = |message: &str| SPEECH.say(path.clone().into_os_string(), message);
        let mut spoken = Vec::new();
        let full = loop {
            let message = format!("STATUS={}\n", spoken.len());
            let result = say(&message);
            spoken.push(message);
            if let Err(error) = result {
                break error;
            }
        };
        assert_eq!(full.kind(), ErrorKind::WouldBlock);
        assert!(full.to_string().contains("is told when it does"), "{full}");
        for number in 1..WAITING_MAX {
            assert!(say("WATCHDOG=1\n").is_ok(), "comes again");
            let message = format!("READY={number}\n");
            say(&message).unwrap();
            spoken.push(message);
        }
        let lost = say("READY=1\n").unwrap_err();
        assert!(lost.to_string().contains("64 messages wait"), "{lost}");
        for message in spoken {
            assert_eq!(said(&reader), message);
        }
        // It is told at once again.
        while !SPEECH.lock().is_empty() {
            thread::yield_now();
        }
        say("WATCHDOG=1\n").unwrap();
        assert_eq!(said(&reader), "WATCHDOG=1\n");
        drop(reader);
        assert!(say("READY=1\n").is_err(), "nobody is there");
    }

    /// It would say later that this process had been alive then, when it may be no more.
    #[test]
    fn a_sign_of_life_that_finds_no_room_does_not_wait() {
        static SPEECH: Speech = Speech::new();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify").into_os_string();
        let reader = UnixDatagram::bind(&path).unwrap();
        let mut others = 0;
        loop {
            let sender = connect(&path).unwrap();
            sender.set_nonblocking(true).unwrap();
            if sender.send(b"STATUS=full\n").is_err() {
                break;
            }
            others += 1;
        }
        SPEECH.say(path.clone(), "WATCHDOG=1\n").unwrap();
        assert!(SPEECH.lock().is_empty());
        for _each in 0..others {
            assert_eq!(said(&reader), "STATUS=full\n");
        }
        SPEECH.say(path, "READY=1\n").unwrap();
        assert_eq!(said(&reader), "READY=1\n");
    }

    #[test]
    fn an_abstract_name_is_one() {
        static SPEECH: Speech = Speech::new();
        let name = format!("holdfast-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let reader = UnixDatagram::bind_addr(&address).unwrap();
        SPEECH.say(format!("@{name}").into(), "READY=1\n").unwrap();
        assert_eq!(said(&reader), "READY=1\n");
    }
}
