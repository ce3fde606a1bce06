//! Word to systemd (`sd_notify(3)`), which does nothing where no service manager asked for it.
//!
//! A worker speaks through its supervisor ([`speak_through`]): systemd believes the service's main process, which the supervisor is.

use std::fs::File;
use std::io::{self, Write};
use std::sync::OnceLock;
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
/// The service manager's socket is not there or takes nothing.
pub fn pass_on(message: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Custom(message)])
}

fn say(states: &[NotifyState<'_>]) -> io::Result<()> {
    let Some(mut pipe) = PIPE.get() else { return sd_notify::notify(states) };
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    // One write: the kernel mixes none of up to 4096 bytes with another thread's.
    pipe.write_all(format!("{lines}\n").as_bytes())
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = say(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
