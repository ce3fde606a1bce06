//! What BFD sessions read, on its way to the checks of servers: one slot a session, so that nothing can be dropped and nothing grows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_config::{CheckKind, Name};
use holdfast_engine::vrrp::{Level, Reading};
use holdfast_health::{Code, Feedback, Outcome, Reason, Verdict};
use holdfast_probe::Found;
use tokio::sync::Notify;

/// The newest reading of each session. Its copies share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sessions(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    board: Mutex<Board>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Board {
    readings: BTreeMap<Name, Reading>,
    /// Those that have changed since somebody asked.
    changed: BTreeSet<Name>,
}

impl Sessions {
    /// Puts a reading in the place of an older one. It never waits.
    pub(super) fn put(&self, session: Name, reading: Reading) {
        let mut board = self.lock();
        board.changed.insert(session.clone());
        board.readings.insert(session, reading);
        drop(board);
        self.0.news.notify_one();
    }

    /// The sessions that have changed; waits for ever while none does. Dropped before it ends, it has taken nothing.
    pub(crate) async fn changed(&self) -> BTreeSet<Name> {
        loop {
            let changed = std::mem::take(&mut self.lock().changed);
            if !changed.is_empty() {
                return changed;
            }
            self.0.news.notified().await;
        }
    }

    /// What the session of a check says of the server behind it.
    pub(crate) fn found(&self, kind: &CheckKind) -> Found {
        let outcome = match kind {
            CheckKind::Bfd { session } => self.outcome(session),
            CheckKind::Network(_) | CheckKind::Exec { .. } | CheckKind::File { .. } => {
                let reason = Reason::new(Code::SOCKERR, "it is no BFD session");
                Outcome { verdict: Verdict::Inconclusive, reason, took: Duration::ZERO }
            }
        };
        Found { outcome, feedback: Feedback::NONE }
    }

    fn outcome(&self, session: &Name) -> Outcome {
        let board = self.lock();
        let (verdict, code, says) = match board.readings.get(session) {
            None => (Verdict::Inconclusive, Code::INI, "it is not up yet"),
            Some(reading) => {
                let (verdict, code) = match reading.level() {
                    Level::Up => (Verdict::Pass, Code::L4OK),
                    Level::Down => (Verdict::Fail, Code::L4CON),
                    Level::Value(_) | Level::Unknown => (Verdict::Inconclusive, Code::INI),
                };
                (verdict, code, reading.sentence())
            }
        };
        let reason = Reason::new(code, format!("BFD session {session}: {says}"));
        Outcome { verdict, reason, took: Duration::ZERO }
    }

    /// No change is made in parts, so what a thread that panicked has left is whole.
    fn lock(&self) -> MutexGuard<'_, Board> {
        self.0.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_reading_is_the_sessions_and_is_told_once() {
        let sessions = Sessions::default();
        let name = |text: &str| Name::try_from(text.to_owned()).unwrap();
        let verdict = |session: &str| sessions.outcome(&name(session)).verdict;
        assert_eq!(verdict("rack2"), Verdict::Inconclusive, "nothing was heard yet");
        sessions.put(name("rack2"), Reading::down("no packet came"));
        sessions.put(name("rack2"), Reading::up("the peer says Up"));
        sessions.put(name("rack3"), Reading::down("no packet came"));
        assert_eq!(sessions.changed().await, [name("rack2"), name("rack3")].into());
        assert_eq!((verdict("rack2"), verdict("rack3")), (Verdict::Pass, Verdict::Fail));
        let more = sessions.changed();
        tokio::pin!(more);
        assert!(futures_pending(&mut more).await, "nothing is new");
        sessions.put(name("rack3"), Reading::unknown("the peer's administrator ended it"));
        assert_eq!(more.await, [name("rack3")].into());
        assert_eq!(verdict("rack3"), Verdict::Inconclusive);
    }

    /// Whether a future is not ready when it is looked at once.
    async fn futures_pending<T>(future: &mut (impl Future<Output = T> + Unpin)) -> bool {
        std::future::poll_fn(|context| {
            let ready = std::pin::Pin::new(&mut *future).poll(context).is_ready();
            std::task::Poll::Ready(!ready)
        })
        .await
    }
}
