//! Word to systemd (`sd_notify(3)`), which does nothing where no service manager asked for it.

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

/// The daemon stops: `STOPPING=1`.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// The stop takes no longer than `patience` from now: `EXTEND_TIMEOUT_USEC=`, for the case that the unit's `TimeoutStopSec` is shorter.
pub fn stopping_within(patience: Duration) {
    let micros = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::ExtendTimeoutUsec(micros)]);
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager could not be told");
    }
}
