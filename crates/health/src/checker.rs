//! The machine of one check of one server.
//!
//! It has two halves that touch only where a run ends.
//!
//! The clock: a check waits for its place or it runs, never both, so runs never overlap.
//!
//! ```text
//!            due ─► Run                       a run that ends puts the next one n paces after its own place, for the smallest n
//!  ┌─────────┐ ───────────► ┌─────────┐       that is not over: at one pace the places are a grid, and those that passed
//!  │ Waiting │              │ Running │       meanwhile are not made up for
//!  └─────────┘ ◄─────────── └─────────┘
//!            Finished
//! ```
//!
//! The pace is that of the state which the run leaves behind (HAProxy's `inter`, `fastinter`, `downinter`):
//!
//! | Starting, Up(0) | Up(n), Down(n), n > 0 | Down(0) |
//! |---|---|---|
//! | `interval` | `fast_interval`, else `interval` | `down_interval`, else `interval` |
//!
//! The state, with the ids that the tests carry (`n` counts the outcomes in a row that speak against the state):
//!
//! | | Pass | Fail | Inconclusive |
//! |---|---|---|---|
//! | Starting | C1 Up | C2 Down | C3 – |
//! | Down(n) | C4 n+1 < rise: Down(n+1); C5 else Up | C6 Down(0) | C7 – |
//! | Up(n) | C8 Up(0) | C9 n+1 < fall: Up(n+1); C10 else Down | C11 – |
//!
//! An inconclusive outcome changes nothing, not even the count; it is only remembered as the last reason.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use holdfast_time::Instant;

use crate::{Code, Outcome, Policy, Reason, Verdict};

/// A failure that arrives so long after the run should have timed out tells of a stall of this host, not of the server.
pub const LATE_MARGIN: Duration = Duration::from_millis(500);

/// The machine of one check of one server: when it runs and what its outcomes make of the server. It is small, because there may be ten
/// thousand.
///
/// After each [`Self::handle`] and [`Self::handle_timeout`] take every action from [`Self::poll_action`], then wait for
/// [`Self::poll_timeout`].
#[derive(Clone, Debug)]
pub struct Checker {
    policy: Arc<Policy>,
    phase: Phase,
    standing: Standing,
    last: Reason,
    /// The last wake-up was late and its run was moved; the next is made however late it is.
    moved: bool,
    /// The last outcome was late and did not count; the next counts however late it is.
    voided: bool,
    /// A run is due as soon as the one that is made has ended.
    prompted: bool,
    /// What it said before it changed, until that has been told.
    changed: Option<State>,
    /// Whether the run that is under way has yet to be asked for.
    asks: bool,
}

/// What a server counts as before its first run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// It is kept out until its first pass.
    Down,
    /// It was found in service: it stays there until its check has failed `fall` times in a row.
    Adopted,
    /// It is taken for one that can serve until its check has failed `fall` times in a row.
    Up,
    /// An earlier check has taken it out of service: it stays out until this one has passed `rise` times in a row.
    Failed,
}

/// What the check says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// No run has passed or failed yet, and the server was not adopted. It counts as down.
    Starting,
    /// The server cannot serve.
    Down,
    /// The server can serve.
    Up,
}

impl State {
    /// The state as text, the same in logs, metrics and answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Down => "down",
            Self::Up => "up",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// What happens to a checker.
#[derive(Clone, Debug)]
pub enum Event {
    /// The run that [`Action::Run`] asked for is over. Without such a run it is ignored.
    Finished(Outcome),
    /// The policy is another one from now on. State and counts stay; a run that is due later than the new pace from now is
    /// brought forward by whole paces, so that what is spread stays spread, and none is put off.
    Reconfigure(Arc<Policy>),
    /// Something has happened to what is checked: the next run is due now, or as soon as the one that is made has ended. The grid of
    /// the runs after it begins there.
    Prompt,
}

/// What a checker wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The check says something else than before.
    Changed {
        /// What it said.
        from: State,
        /// What it says.
        to: State,
        /// The last outcome, which made the difference.
        reason: Reason,
    },
    /// Make one run and tell its outcome by [`Event::Finished`].
    Run {
        /// The run must end within this.
        timeout: Duration,
        /// The same as a moment.
        deadline: Instant,
    },
}

/// What a checker waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// The next run.
    Run,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { due: Instant },
    Running { due: Instant, started: Instant, deadline: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Starting,
    Down { passes: u32 },
    Up { failures: u32 },
}

impl Checker {
    /// A check that begins at `now` and runs first at `first_run` after it (see [`crate::first_run`]).
    pub fn new(
        policy: impl Into<Arc<Policy>>,
        initial: Initial,
        now: Instant,
        first_run: Duration,
    ) -> Self {
        let (standing, last) = match initial {
            Initial::Down => {
                (Standing::Starting, Reason::new(Code::INI, "no check has finished yet"))
            }
            Initial::Adopted => (
                Standing::Up { failures: 0 },
                Reason::new(Code::ADOPTED, "in service before its first check"),
            ),
            Initial::Up => (
                Standing::Up { failures: 0 },
                Reason::new(Code::INI, "counts as up before its first check"),
            ),
            Initial::Failed => (
                Standing::Down { passes: 0 },
                Reason::new(Code::INI, "out of service before its first check"),
            ),
        };
        Self {
            policy: policy.into(),
            phase: Phase::Waiting { due: now + first_run },
            standing,
            last,
            moved: false,
            voided: false,
            prompted: false,
            changed: None,
            asks: false,
        }
    }

    /// Takes `event`, which happened at `now`.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match (self.phase, event) {
            // An outcome of no run of ours says nothing.
            (Phase::Waiting { .. }, Event::Finished(_)) => {}
            (Phase::Running { due, started, deadline }, Event::Finished(outcome)) => {
                let late = now > deadline + LATE_MARGIN;
                self.judge(outcome, late.then(|| now.saturating_since(started)));
                let prompted = std::mem::take(&mut self.prompted);
                let due = if prompted { now } else { self.next_place(due, now) };
                self.phase = Phase::Waiting { due };
            }
            (Phase::Waiting { due }, Event::Reconfigure(policy)) => {
                self.policy = policy;
                self.phase = Phase::Waiting { due: self.brought_forward(due, now) };
            }
            (Phase::Running { .. }, Event::Reconfigure(policy)) => self.policy = policy,
            (Phase::Waiting { due }, Event::Prompt) => {
                self.phase = Phase::Waiting { due: due.min(now) };
            }
            (Phase::Running { .. }, Event::Prompt) => self.prompted = true,
        }
    }

    /// Starts the run that is due at `now`, if one is.
    ///
    /// A wake-up that is late by a whole pace tells of a stall of this host: the run moves to its next place in the grid, so
    /// that the checks of a host that wakes up don't burst together. Two wake-ups in a row are not moved.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.phase {
            Phase::Waiting { due } if now < due => {}
            Phase::Waiting { due } => {
                let late = now.saturating_since(due) >= self.pace();
                if late && !self.moved {
                    self.moved = true;
                    self.phase = Phase::Waiting { due: self.next_place(due, now) };
                } else {
                    self.moved = false;
                    let deadline = now + self.policy.timeout;
                    self.phase = Phase::Running { due, started: now, deadline };
                    self.asks = true;
                }
            }
            Phase::Running { .. } => {}
        }
    }

    /// When the next run is due; none while one is made.
    pub const fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        match self.phase {
            Phase::Waiting { due } => Some((due, Timer::Run)),
            Phase::Running { .. } => None,
        }
    }

    /// The next thing to do; none when all is done. There are never more than one [`Action::Changed`] and one [`Action::Run`]:
    /// changes that nobody took are one change.
    pub fn poll_action(&mut self) -> Option<Action> {
        if let Some(from) = self.changed.take() {
            return Some(Action::Changed { from, to: self.state(), reason: self.last.clone() });
        }
        match (self.phase, std::mem::take(&mut self.asks)) {
            (Phase::Running { started, deadline, .. }, true) => {
                Some(Action::Run { timeout: deadline.saturating_since(started), deadline })
            }
            (Phase::Running { .. } | Phase::Waiting { .. }, _) => None,
        }
    }

    /// What the check says of the server.
    pub const fn state(&self) -> State {
        match self.standing {
            Standing::Starting => State::Starting,
            Standing::Down { .. } => State::Down,
            Standing::Up { .. } => State::Up,
        }
    }

    /// Whether the server can serve as far as this check knows.
    pub const fn is_up(&self) -> bool {
        matches!(self.standing, Standing::Up { .. })
    }

    /// How many outcomes in a row speak against the state, and how many change it: `(1, 3)` is a server that is up and has failed
    /// once of the three times that take it down.
    pub fn against(&self) -> (u32, u32) {
        match self.standing {
            Standing::Starting => (0, 1),
            Standing::Down { passes } => (passes, self.policy.rise),
            Standing::Up { failures } => (failures, self.policy.fall),
        }
    }

    /// What the last run found, counted or not.
    pub const fn reason(&self) -> &Reason {
        &self.last
    }

    /// Whether the last run's outcome did not count, because this host held the run up.
    pub const fn is_void(&self) -> bool {
        self.voided
    }

    /// The policy that it follows.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// From one place to the next, as the check stands: the table at the head of this module.
    fn pace(&self) -> Duration {
        let Policy { interval, fast_interval, down_interval, .. } = *self.policy;
        match self.standing {
            Standing::Starting | Standing::Up { failures: 0 } => interval,
            Standing::Down { passes: 0 } => down_interval.unwrap_or(interval),
            Standing::Up { .. } | Standing::Down { .. } => fast_interval.unwrap_or(interval),
        }
    }

    /// The first place after `now`, where `due` is one of the places and not after `now`.
    fn next_place(&self, due: Instant, now: Instant) -> Instant {
        // A pace of nothing would be a run without end.
        let pace = self.pace().max(Duration::from_millis(1));
        let since = now.saturating_since(due).as_nanos() % pace.as_nanos();
        let since = Duration::from_nanos(u64::try_from(since).unwrap_or(u64::MAX));
        now + pace.saturating_sub(since).max(Duration::from_nanos(1))
    }

    /// The last place not later than a pace from `now` from which `due` is whole paces away; `due` itself where it is no later than that.
    /// Checks that kept apart still do when their pace has become shorter.
    fn brought_forward(&self, due: Instant, now: Instant) -> Instant {
        let pace = self.pace().max(Duration::from_millis(1));
        if due <= now + pace {
            return due;
        }
        let ahead = due.saturating_since(now).as_nanos() % pace.as_nanos();
        let ahead = Duration::from_nanos(u64::try_from(ahead).unwrap_or(u64::MAX));
        now + if ahead.is_zero() { pace } else { ahead }
    }

    /// Lets `outcome` count. `late_after` is how long a run took that ended well after its deadline: a failure among these may be
    /// this host's own (it was suspended, say), so it is void. Two in a row are not: a host that is always late still notices.
    fn judge(&mut self, outcome: Outcome, late_after: Option<Duration>) {
        let late_after = late_after.filter(|_| outcome.verdict == Verdict::Fail && !self.voided);
        self.voided = late_after.is_some();
        if let Some(took) = late_after {
            let sentence = format!(
                "not counted, this host held the run up for {took:.1?}: {}",
                outcome.reason
            );
            self.last = Reason::new(Code::SOCKERR, sentence);
            return;
        }
        let from = self.state();
        self.standing = self.follow(outcome.verdict);
        let to = self.state();
        if from != to {
            let from = self.changed.take().unwrap_or(from);
            self.changed = (from != to).then_some(from);
        }
        self.last = outcome.reason;
    }

    /// Where `verdict` leads: the table at the head of this module.
    fn follow(&self, verdict: Verdict) -> Standing {
        match (self.standing, verdict) {
            (Standing::Starting, Verdict::Pass) => Standing::Up { failures: 0 },
            (Standing::Starting, Verdict::Fail) => Standing::Down { passes: 0 },
            (Standing::Starting, Verdict::Inconclusive) => Standing::Starting,
            (Standing::Down { passes }, Verdict::Pass) => {
                let passes = passes.saturating_add(1);
                if passes < self.policy.rise {
                    Standing::Down { passes }
                } else {
                    Standing::Up { failures: 0 }
                }
            }
            (Standing::Down { .. }, Verdict::Fail) => Standing::Down { passes: 0 },
            (Standing::Down { passes }, Verdict::Inconclusive) => Standing::Down { passes },
            (Standing::Up { .. }, Verdict::Pass) => Standing::Up { failures: 0 },
            (Standing::Up { failures }, Verdict::Fail) => {
                let failures = failures.saturating_add(1);
                if failures < self.policy.fall {
                    Standing::Up { failures }
                } else {
                    Standing::Down { passes: 0 }
                }
            }
            (Standing::Up { failures }, Verdict::Inconclusive) => Standing::Up { failures },
        }
    }
}
