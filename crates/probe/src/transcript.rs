//! What one run sends and hears, for an operator who asks for it. Runs that nobody listens to keep nothing.
//!
//! It is bounded by [`STEPS`] and [`SHOWN`]. What a login says is never shown, nor are passwords in what else is said.

use std::cell::RefCell;
use std::time::{Duration, Instant};

/// So many steps of a run are kept; the last one says that there were more.
pub const STEPS: usize = 64;
/// So many bytes of a step are kept.
pub const SHOWN: usize = 2048;

/// What stands for a secret.
const HIDDEN: &[u8] = b"(hidden)";

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// From the start of the run on.
    pub at: Duration,
    /// What it was.
    pub kind: StepKind,
    /// How many bytes were sent or came.
    pub length: usize,
    /// The first [`SHOWN`] of them, or the words of a note.
    pub shown: Vec<u8>,
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Bytes were sent, or a command was started.
    Sent,
    /// Bytes came, or a command printed them.
    Received,
    /// Something else happened: a connection was made, a handshake was done.
    Note,
}

impl StepKind {
    /// The kind in a word.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Note => "note",
        }
    }
}

#[derive(Debug)]
struct Transcript {
    started: Instant,
    steps: Vec<Step>,
    secrets: Vec<Vec<u8>>,
    /// How many logins are under way.
    hiding: usize,
}

tokio::task_local! {
    static TRANSCRIPT: RefCell<Transcript>;
}

/// What `run` gives, and what was sent and heard meanwhile.
pub(crate) async fn recorded<T>(run: impl Future<Output = T>) -> (T, Vec<Step>) {
    let empty = Transcript { started: Instant::now(), steps: vec![], secrets: vec![], hiding: 0 };
    let run = async {
        let given = run.await;
        let steps = TRANSCRIPT.with(|all| std::mem::take(&mut all.borrow_mut().steps));
        (given, steps)
    };
    TRANSCRIPT.scope(RefCell::new(empty), run).await
}

/// Bytes were sent.
pub(crate) fn sent(bytes: &[u8]) {
    with(|all| {
        let hidden = all.hiding > 0;
        all.add(StepKind::Sent, bytes.len(), if hidden { HIDDEN } else { bytes });
    });
}

/// Bytes came.
pub(crate) fn received(bytes: &[u8]) {
    with(|all| all.add(StepKind::Received, bytes.len(), bytes));
}

/// Something else happened. The words are made only when somebody listens.
pub(crate) fn note(words: impl FnOnce() -> String) {
    with(|all| {
        let words = words();
        all.add(StepKind::Note, words.len(), words.as_bytes());
    });
}

/// The same of something that was sent and is shown in other words than it went over the wire.
pub(crate) fn said(words: impl FnOnce() -> String) {
    with(|all| {
        let words = words();
        all.add(StepKind::Sent, words.len(), words.as_bytes());
    });
}

/// The same of what came.
pub(crate) fn heard(words: impl FnOnce() -> String) {
    with(|all| {
        let words = words();
        all.add(StepKind::Received, words.len(), words.as_bytes());
    });
}

/// Never shows `secret`.
pub(crate) fn keep_secret(secret: &[u8]) {
    with(|all| all.secrets.push(secret.to_vec()));
}

/// What is sent while this lives is not shown.
#[must_use]
pub(crate) fn hide() -> Hiding {
    with(|all| all.hiding += 1);
    Hiding(())
}

/// See [`hide`].
pub(crate) struct Hiding(());

impl Drop for Hiding {
    fn drop(&mut self) {
        with(|all| all.hiding = all.hiding.saturating_sub(1));
    }
}

fn with(change: impl FnOnce(&mut Transcript)) {
    // Nobody listens: most runs are of this kind.
    let _nobody = TRANSCRIPT.try_with(|all| {
        if let Ok(mut all) = all.try_borrow_mut() {
            change(&mut all);
        }
    });
}

impl Transcript {
    fn add(&mut self, kind: StepKind, length: usize, bytes: &[u8]) {
        let at = self.started.elapsed();
        if self.steps.len() + 1 >= STEPS {
            if self.steps.len() < STEPS {
                let shown = b"more follows, which is not shown".to_vec();
                self.steps.push(Step { at, kind: StepKind::Note, length: shown.len(), shown });
            }
            return;
        }
        let mut shown = bytes.to_vec();
        for secret in &self.secrets {
            shown = without(&shown, secret);
        }
        shown.truncate(SHOWN);
        self.steps.push(Step { at, kind, length, shown });
    }
}

/// `bytes` with [`HIDDEN`] in the place of each `secret`.
fn without(bytes: &[u8], secret: &[u8]) -> Vec<u8> {
    if secret.is_empty() {
        return bytes.to_vec();
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memmem::find(rest, secret) {
        kept.extend_from_slice(rest.get(..at).unwrap_or_default());
        kept.extend_from_slice(HIDDEN);
        rest = rest.get(at + secret.len()..).unwrap_or_default();
    }
    kept.extend_from_slice(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_is_kept_in_order_for_who_listens_alone() {
        sent(b"to nobody");
        let ((), steps) = recorded(async {
            note(|| "connected".to_owned());
            sent(b"PING");
            tokio::task::yield_now().await;
            received(b"PONG");
        })
        .await;
        let kinds: Vec<_> = steps.iter().map(|step| (step.kind.label(), &*step.shown)).collect();
        assert_eq!(kinds, [("note", &b"connected"[..]), ("sent", b"PING"), ("received", b"PONG")]);
    }

    #[tokio::test]
    async fn secrets_and_logins_are_not_shown() {
        let ((), steps) = recorded(async {
            keep_secret(b"hunter2");
            sent(b"AUTH hunter2 hunter2");
            let hiding = hide();
            sent(b"a proof of it");
            drop(hiding);
            received(b"you said hunter2");
        })
        .await;
        let shown: Vec<_> = steps.iter().map(|step| &*step.shown).collect();
        assert_eq!(shown, [&b"AUTH (hidden) (hidden)"[..], b"(hidden)", b"you said (hidden)"]);
    }

    #[tokio::test]
    async fn a_run_that_says_much_is_cut() {
        let ((), steps) = recorded(async {
            for _ in 0..1000 {
                received(&[b'x'; 100_000]);
            }
        })
        .await;
        assert_eq!((steps.len(), steps[0].shown.len(), steps[0].length), (STEPS, SHOWN, 100_000));
        assert!(steps[STEPS - 1].shown.starts_with(b"more follows"));
    }
}
