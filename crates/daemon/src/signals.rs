//! The signals that the daemon knows.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

use crate::failure::Failure;

/// What comes so soon after an order to stop is the same order: a terminal and `systemctl kill` tell the whole group, and the supervisor
/// passes on what it was told.
const SAME: Duration = Duration::from_millis(500);

/// Every signal that would end the process otherwise, with the addresses still there.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
    alarm: Signal,
    /// Whether a supervisor passes signals on.
    supervised: bool,
    told_at: Option<Instant>,
}

/// SIGHUP, caught from now on: the configuration is read again. Those that come faster than they are taken are one.
///
/// # Errors
/// The kernel refuses, which it does not.
pub(crate) fn catch_hangup() -> Result<Signal, Failure> {
    signal(SignalKind::hangup()).map_err(|error| Failure::new("catch signals", error))
}

impl Signals {
    /// Catches them from now on. Where a supervisor passes them on, an order to stop may come twice and is one.
    ///
    /// # Errors
    /// The kernel refuses, which it does not.
    pub(crate) fn catch(supervised: bool) -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(|error| Failure::new("catch signals", error));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            quit: catch(SignalKind::quit())?,
            user1: catch(SignalKind::user_defined1())?,
            user2: catch(SignalKind::user_defined2())?,
            alarm: catch(SignalKind::alarm())?,
            supervised,
            told_at: None,
        })
    }

    /// Comes when SIGTERM, SIGINT or SIGQUIT does. SIGUSR1, SIGUSR2 (which dump keepalived's state) and SIGALRM are answered with a word
    /// in the log.
    pub(crate) async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => if self.is_new() { return },
                _ = self.interrupt.recv() => if self.is_new() { return },
                _ = self.quit.recv() => if self.is_new() { return },
                _ = self.user1.recv() => tracing::warn!("SIGUSR1 does nothing: `holdfast status` tells the state"),
                _ = self.user2.recv() => tracing::warn!("SIGUSR2 does nothing: `holdfast status` tells the state"),
                _ = self.alarm.recv() => tracing::warn!("SIGALRM does nothing"),
            }
        }
    }

    /// Whether an order to stop that comes now is another one than the last.
    fn is_new(&mut self) -> bool {
        let before = self.told_at.replace(Instant::now());
        !(self.supervised && before.is_some_and(|before| before.elapsed() < SAME))
    }
}
