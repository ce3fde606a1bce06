//! What hooks have done: all together, and each by its program.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_control::{HookRun, HookRuns};
use holdfast_health::{Code, Outcome, Verdict};
use holdfast_time::Instant;

/// So much of what a run said is kept, in characters.
const TEXT_MAX: usize = 200;

/// What hooks have done since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookCounts {
    /// Exit status 0.
    pub(crate) passed: u64,
    /// Another exit status, a signal, or a program that was refused.
    pub(crate) failed: u64,
    /// Killed at the timeout.
    pub(crate) timed_out: u64,
    /// Not run, for a reason of this host's own: no such user, out of descriptors.
    pub(crate) not_started: u64,
    /// Notices that were dropped because too many waited.
    pub(crate) dropped: u64,
}

/// How a run can end.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Passed,
    Failed,
    TimedOut,
    NotStarted,
}

/// The counters, shared by all who run hooks.
#[derive(Debug, Default)]
pub(super) struct Counters {
    dropped: AtomicU64,
    all: Mutex<HookCounts>,
    /// By program; those that the configuration has, and no others.
    programs: Mutex<BTreeMap<String, Program>>,
}

/// What the hooks of one program have done.
#[derive(Clone, Debug, Default)]
struct Program {
    counts: HookCounts,
    last: Option<Last>,
}

/// A run that has ended.
#[derive(Clone, Debug)]
struct Last {
    told: String,
    kind: Kind,
    text: String,
    took: Duration,
    at: Instant,
}

impl Kind {
    const fn of(outcome: &Outcome) -> Self {
        match (outcome.verdict, outcome.reason.code) {
            (Verdict::Pass, _) => Self::Passed,
            (Verdict::Fail, Code::PROCTOUT) => Self::TimedOut,
            (Verdict::Fail, _) => Self::Failed,
            (Verdict::Inconclusive, _) => Self::NotStarted,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::NotStarted => "not_started",
        }
    }
}

impl HookCounts {
    const fn add(&mut self, kind: Kind) {
        let counter = match kind {
            Kind::Passed => &mut self.passed,
            Kind::Failed => &mut self.failed,
            Kind::TimedOut => &mut self.timed_out,
            Kind::NotStarted => &mut self.not_started,
        };
        *counter = counter.saturating_add(1);
    }
}

/// No change is made in parts, so what a task that panicked has left is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counters {
    /// Has counters for these programs from now on, and for no others.
    pub(super) fn keep(&self, programs: &BTreeSet<String>) {
        let mut known = lock(&self.programs);
        known.retain(|program, _| programs.contains(program));
        for program in programs {
            known.entry(program.clone()).or_default();
        }
    }

    /// Counts a run of `program`, which was told `told`.
    pub(super) fn count(&self, program: &str, told: &[String], outcome: &Outcome) {
        let kind = Kind::of(outcome);
        lock(&self.all).add(kind);
        // A reload may have taken the program out meanwhile.
        if let Some(known) = lock(&self.programs).get_mut(program) {
            known.counts.add(kind);
            known.last = Some(Last {
                told: told.join(" "),
                kind,
                text: outcome.reason.sentence.chars().take(TEXT_MAX).collect(),
                took: outcome.took,
                at: holdfast_net::now(),
            });
        }
    }

    /// Counts notices that found no place. It never waits.
    pub(super) fn lose(&self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.dropped.fetch_add(number, Ordering::Relaxed);
    }

    /// All together.
    pub(super) fn counts(&self) -> HookCounts {
        HookCounts { dropped: self.dropped.load(Ordering::Relaxed), ..*lock(&self.all) }
    }

    /// Each program, as the API shows it.
    pub(super) fn runs(&self) -> Vec<HookRuns> {
        let now = holdfast_net::now();
        let view = |(hook, program): (&String, &Program)| HookRuns {
            hook: hook.clone(),
            passed: program.counts.passed,
            failed: program.counts.failed,
            timed_out: program.counts.timed_out,
            not_started: program.counts.not_started,
            last: program.last.as_ref().map(|last| HookRun {
                told: last.told.clone(),
                result: last.kind.label().to_owned(),
                text: last.text.clone(),
                took_ms: u64::try_from(last.took.as_millis()).unwrap_or(u64::MAX),
                s_ago: now.saturating_since(last.at).as_secs(),
            }),
        };
        lock(&self.programs).iter().map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    use holdfast_health::Reason;

    use super::*;

    fn told() -> Vec<String> {
        ["INSTANCE", "edge", "MASTER", "150"].map(str::to_owned).into()
    }

    #[test]
    fn each_program_has_its_own_and_goes_with_the_configuration() {
        let counters = Counters::default();
        let programs = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        counters.keep(&programs(&["/bin/one", "/bin/two"]));
        let failed = Outcome {
            verdict: Verdict::Fail,
            reason: Reason { code: Code::PROCERR, sentence: "é".repeat(500).into() },
            took: Duration::from_millis(3),
        };
        counters.count("/bin/two", &told(), &failed);
        counters.count("/bin/gone", &told(), &failed);
        counters.lose(3);
        assert_eq!(
            counters.counts(),
            HookCounts { failed: 2, dropped: 3, ..HookCounts::default() }
        );
        let runs = counters.runs();
        let seen: Vec<_> = runs.iter().map(|one| (&*one.hook, one.failed)).collect();
        assert_eq!(seen, [("/bin/one", 0), ("/bin/two", 1)]);
        let last = runs[1].last.clone().unwrap();
        assert_eq!((&*last.told, &*last.result), ("INSTANCE edge MASTER 150", "failed"));
        assert_eq!(last.text.chars().count(), TEXT_MAX);
        counters.keep(&programs(&["/bin/two", "/bin/new"]));
        let seen: Vec<_> = counters.runs().into_iter().map(|one| (one.hook, one.failed)).collect();
        assert_eq!(seen, [("/bin/new".to_owned(), 0), ("/bin/two".to_owned(), 1)]);
    }
}
