//! What the process keeps in memory once a configuration is in force.

use std::time::Duration;

use holdfast_net::realtime;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::sleep;

/// Reloads in a row give back once, so long after the first of them: what is given back has to be got again by the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// Gives back what reloads have used.
#[derive(Debug)]
pub(crate) struct Settling(Option<JoinHandle<()>>);

impl Settling {
    /// Nothing was used yet.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Gives back what the reload that is over has used, within a second. Nobody waits for it; a panic there has been logged.
    pub(crate) fn soon(&mut self) {
        if self.0.as_ref().is_some_and(|waits| !waits.is_finished()) {
            return;
        }
        self.0 = Some(tokio::spawn(async {
            sleep(PAUSE).await;
            drop(spawn_blocking(settle));
        }));
    }
}

/// Gives back what reading and applying a configuration has used: of a large one that is several times what stays. To be called
/// where waiting is allowed, after the last of it was dropped.
pub(crate) fn settle() {
    if let Err(error) = realtime::settle_memory() {
        tracing::warn!(%error, "memory that was locked may be paged out");
    }
}
