//! The moment by which a run ends, with the patience that it stands for.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

/// The end of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    /// From the start of the run on, for sentences.
    pub(crate) timeout: Duration,
}

impl Deadline {
    /// The deadline `timeout` from now.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self::from(std::time::Instant::now(), timeout)
    }

    /// The deadline `timeout` from `start` on.
    pub(crate) fn from(start: std::time::Instant, timeout: Duration) -> Self {
        Self { at: Instant::from_std(start) + timeout, timeout }
    }

    /// What `future` gives; none when it is not done by then.
    pub(crate) async fn within<T>(self, future: impl Future<Output = T>) -> Option<T> {
        timeout_at(self.at, future).await.ok()
    }
}
