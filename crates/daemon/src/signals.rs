//! The signals that the daemon knows.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Every signal that would end the process otherwise, with the addresses still there.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    user1: Signal,
    user2: Signal,
    alarm: Signal,
}

/// SIGHUP, caught from now on: the configuration is read again. Those that come faster than they are taken are one.
///
/// # Errors
/// The kernel refuses, which it does not.
pub(crate) fn catch_hangup() -> Result<Signal, Failure> {
    signal(SignalKind::hangup()).map_err(|error| Failure::new("catch signals", error))
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// The kernel refuses, which it does not.
    pub(crate) fn catch() -> Result<Self, Failure> {
        let catch = |kind| signal(kind).map_err(|error| Failure::new("catch signals", error));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
            quit: catch(SignalKind::quit())?,
            user1: catch(SignalKind::user_defined1())?,
            user2: catch(SignalKind::user_defined2())?,
            alarm: catch(SignalKind::alarm())?,
        })
    }

    /// Comes when SIGTERM, SIGINT or SIGQUIT does. SIGUSR1, SIGUSR2 (which dump keepalived's state) and SIGALRM are answered with a word
    /// in the log.
    pub(crate) async fn stop(&mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.quit.recv() => return,
                _ = self.user1.recv() => tracing::warn!("SIGUSR1 does nothing: `holdfast status` tells the state"),
                _ = self.user2.recv() => tracing::warn!("SIGUSR2 does nothing: `holdfast status` tells the state"),
                _ = self.alarm.recv() => tracing::warn!("SIGALRM does nothing"),
            }
        }
    }
}
