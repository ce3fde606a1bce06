//! The moment by which a run ends, with the patience that it stands for.

use std::time::{Duration, Instant};

use tokio::time::timeout_at;

use crate::lines::Lines;

/// The end of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline<'a> {
    at: Instant,
    /// From the start of the run on, for sentences.
    pub(crate) timeout: Duration,
    /// Who looks at the clock for the run; none = tokio.
    lines: Option<&'a Lines>,
}

impl<'a> Deadline<'a> {
    /// The deadline `timeout` from now.
    pub(crate) fn after(timeout: Duration) -> Self {
        Self::from(Instant::now(), timeout, None)
    }

    /// The deadline `timeout` from `start` on, of a run that is made over `lines` or alone.
    pub(crate) fn from(start: Instant, timeout: Duration, lines: Option<&'a Lines>) -> Self {
        Self { at: start + timeout, timeout, lines }
    }

    /// The same patience from now on: what a run had to wait for at this end is not taken from the server's time.
    pub(crate) fn anew(self) -> Self {
        let now = self.lines.map_or_else(Instant::now, Lines::now);
        Self { at: now + self.timeout, ..self }
    }

    /// What `future` gives; none when it is not done by then.
    pub(crate) async fn within<T>(self, future: impl Future<Output = T>) -> Option<T> {
        match self.lines {
            Some(lines) => lines.within(self.at, future).await,
            None => timeout_at(self.at.into(), future).await.ok(),
        }
    }
}
