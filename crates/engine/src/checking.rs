//! The checks that the engine keeps: when each runs, what it says, and what a server's checks say together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Check, InitialHealth, Name, RealServer};
use holdfast_health::{Checker, Code, Damping, Feedback, Initial, Outcome, Reason, State, Verdict};
use holdfast_time::Instant;

use crate::action::Action;
use crate::engine::Engine;
use crate::report::Report;
use crate::server::{Admin, CheckView, Server};
use crate::twins::target;

/// How many runs begin in one call of [`Engine::handle_timeout`], so that outcomes of those under way are heard in between.
pub const BEGIN_MAX: usize = 128;

/// Names a check. The number is never used again, so an outcome that comes after its check is gone finds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(u64);

/// What a run of a check is to try.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// The service that it is run for.
    pub service: &'a Name,
    /// The server.
    pub server: &'a RealServer,
    /// What to try, and for how long.
    pub check: &'a Check,
}

#[derive(Debug)]
pub(crate) struct RunningCheck {
    pub(crate) service: Name,
    pub(crate) server: Name,
    /// Further servers that it is run for, each with its service.
    pub(crate) others: Vec<(Name, Name)>,
    pub(crate) check: Arc<Check>,
    /// Its target, if it may be run together with others ([`crate::twins`]).
    pub(crate) target: Option<SocketAddr>,
    pub(crate) checker: Checker,
    pub(crate) last: Option<Last>,
    /// Why it says what it says: the latest outcome that speaks for its state.
    because: Reason,
    /// What its runs have said of the server's weight.
    pub(crate) feedback: Feedback,
}

/// What is kept of the last run; the checker has its reason.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Last {
    pub(crate) verdict: Verdict,
    took: Duration,
}

impl Engine {
    /// The checks of `server` as they stand.
    pub fn checks<'a>(&'a self, server: &'a Server) -> impl Iterator<Item = CheckView<'a>> + 'a {
        server.checks.iter().filter_map(|id| self.checks.get(id)).map(|running| CheckView {
            kind: &running.check.kind,
            health: running.checker.state(),
            reason: running.checker.reason(),
            took: running.last.map(|last| last.took),
        })
    }

    /// Begins the runs that are due, the earliest first, [`BEGIN_MAX`] at most. The others stay due; their timeouts count from when they
    /// begin.
    pub(crate) fn begin_runs(&mut self, now: Instant) {
        let room = self.actions.len() + BEGIN_MAX;
        while self.actions.len() < room
            && let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now)
        {
            // A run that begins says nothing yet.
            self.advance_check(id, |checker| checker.handle_timeout(now));
        }
    }

    /// What a run of a check is to try; none when the check is gone.
    pub fn run(&self, id: CheckId) -> Option<Run<'_>> {
        let running = self.checks.get(&id)?;
        let server = self.pools.get(&running.service)?.servers.get(&running.server)?;
        let (service, check) = (&running.service, &*running.check);
        Some(Run { service, server: &server.definition, check })
    }

    /// A check's run is over. An outcome for a check that is gone, or has no run under way, is ignored.
    pub fn check_finished(&mut self, now: Instant, id: CheckId, mut outcome: Outcome) {
        self.clock = now;
        let running = self.checks.get_mut(&id);
        let Some(running) = running.filter(|one| one.checker.poll_timeout().is_none()) else {
            return;
        };
        // What is said again is kept once, and nobody need be told.
        if outcome.reason == running.because {
            outcome.reason.clone_from(&running.because);
        }
        running.last = Some(Last { verdict: outcome.verdict, took: outcome.took });
        let says_more = self.advance_check(id, |checker| {
            checker.handle(now, holdfast_health::Event::Finished(outcome));
        });
        if says_more {
            self.judge_owners(id, now);
        }
        self.merge_twin(id, now);
    }

    /// Puts the checks of a server, which has none running, into the books, and has its health begin anew: as `adopted` from the kernel,
    /// or as its service's `initial` says.
    pub(crate) fn start_checks(
        &mut self,
        service: &Name,
        server: &Name,
        adopted: bool,
        now: Instant,
    ) {
        let Some(pool) = self.pools.get_mut(service) else { return };
        let Some(known) = pool.servers.get_mut(server) else { return };
        let checks = pool.service.checks_of(&known.definition).0.to_vec();
        let initial = initial(pool.service.policy.initial, adopted);
        (known.health, known.reason) = initial_health(checks.is_empty(), initial);
        known.health_since = now;
        known.damper.reset();
        let began: Vec<CheckId> = checks
            .into_iter()
            .enumerate()
            .map(|(nth, check)| self.begin_check(service, server, (nth, check), initial, now))
            .collect();
        self.assign_checks(service, server, began.clone());
        for id in began {
            self.step_check(id, now, |_| {});
        }
    }

    /// Puts a check of a server, its `nth`, into the books; it counts when it has been assigned.
    pub(crate) fn begin_check(
        &mut self,
        service: &Name,
        server: &Name,
        (nth, check): (usize, Arc<Check>),
        initial: Initial,
        now: Instant,
    ) -> CheckId {
        let id = self.next_check.take();
        let offset = check.policy.first_run(service.as_str(), server.as_str(), nth);
        let checker = Checker::new(Arc::clone(&check.policy), initial, now, offset);
        let known = self.pools.get(service).and_then(|pool| pool.servers.get(server));
        let target = known.and_then(|known| target(&check.kind, &known.definition));
        self.targets.extend(target.map(|target| (target, id)));
        let because = known.map_or_else(|| checker.reason().clone(), |known| known.reason.clone());
        let (service, server) = (service.clone(), server.clone());
        let running = RunningCheck {
            service,
            server,
            others: Vec::new(),
            check,
            target,
            checker,
            last: None,
            because,
            feedback: Feedback::NONE,
        };
        self.checks.insert(id, Box::new(running));
        id
    }

    /// Gives a server its checks, which are in the books; those that it had and has no longer are taken out.
    pub(crate) fn assign_checks(&mut self, service: &Name, server: &Name, ids: Vec<CheckId>) {
        let pool = self.pools.get_mut(service);
        let Some(known) = pool.and_then(|pool| pool.servers.get_mut(server)) else { return };
        let before = std::mem::replace(&mut known.checks, ids);
        let gone: Vec<CheckId> =
            before.into_iter().filter(|id| !known.checks.contains(id)).collect();
        for id in gone {
            self.leave_check(id, service, server);
        }
    }

    /// Takes a check out of the books. An outcome that comes later finds nothing.
    pub(crate) fn end_check(&mut self, id: CheckId) {
        let Some(running) = self.checks.remove(&id) else { return };
        if let Some((at, _)) = running.checker.poll_timeout() {
            self.timers.remove(&(at, id));
        }
        if let Some(target) = running.target {
            self.targets.remove(&(target, id));
        }
    }

    /// As [`Self::advance_check`]; then its servers are judged again.
    pub(crate) fn step_check(
        &mut self,
        id: CheckId,
        now: Instant,
        input: impl FnOnce(&mut Checker),
    ) {
        self.advance_check(id, input);
        self.judge_owners(id, now);
    }

    /// Gives a checker an input, carries out what it answers and notes its new deadline. Returns whether it says anything else than before.
    pub(crate) fn advance_check(&mut self, id: CheckId, input: impl FnOnce(&mut Checker)) -> bool {
        let Some(running) = self.checks.get_mut(&id) else { return false };
        let said = running.checker.state();
        let before = running.checker.poll_timeout();
        input(&mut running.checker);
        while let Some(action) = running.checker.poll_action() {
            match action {
                holdfast_health::Action::Run { .. } => {
                    self.actions.push_back(Action::RunCheck(id));
                }
                // Its state is looked at below.
                holdfast_health::Action::Changed { .. } => {}
            }
        }
        let says_why = running.note();
        if let Some((at, _)) = before {
            self.timers.remove(&(at, id));
        }
        if let Some((at, _)) = running.checker.poll_timeout() {
            self.timers.insert((at, id));
        }
        says_why || running.checker.state() != said
    }

    /// Puts together what the checks say of each server that this check is run for.
    fn judge_owners(&mut self, id: CheckId, now: Instant) {
        let Some(running) = self.checks.get(&id) else { return };
        let (service, server) = (running.service.clone(), running.server.clone());
        let others = running.others.clone();
        self.judge(&service, &server, now);
        for (service, server) in &others {
            self.judge(service, server, now);
        }
    }

    /// Every check that waits, with its service, its server's address, what it tries and when it runs.
    #[cfg(test)]
    pub(crate) fn check_deadlines(
        &self,
    ) -> impl Iterator<Item = (Name, SocketAddr, String, Instant)> + '_ {
        self.timers.iter().flat_map(move |(at, id)| {
            let running = self.checks.get(id).into_iter();
            running.flat_map(move |running| {
                running.owners().filter_map(move |(service, server)| {
                    let server = self.pools.get(service)?.servers.get(server)?;
                    let kind = format!("{:?}", running.check.kind);
                    Some((service.clone(), server.definition.address, kind, *at))
                })
            })
        })
    }

    /// Puts together what the checks of a server say.
    pub(crate) fn judge(&mut self, service: &Name, server: &Name, now: Instant) {
        let Some(pool) = self.pools.get_mut(service) else { return };
        let Some(known) = pool.servers.get_mut(server) else { return };
        let checks: Vec<&RunningCheck> =
            known.checks.iter().filter_map(|id| self.checks.get(id)).map(Box::as_ref).collect();
        let (_, combine) = pool.service.checks_of(&known.definition);
        let said = combine.together(checks.iter().map(|running| running.checker.state()));
        // The first check that says the same as all together has said why. One that is still to be heard goes before one that could not be
        // made: the server is waited for.
        let speaker = checks
            .iter()
            .filter(|running| running.checker.state() == said)
            .min_by_key(|running| said != State::Starting || !running.is_unheard());
        let speaker = speaker.map(|running| &running.because);
        let damping = pool.service.policy.damping.as_ref();
        let (held, awaited) = (known.damper.poll_timeout(), known.is_awaited());
        let (from, to) = (known.health, known.damper.handle(now, said, damping));
        match (known.damper.poll_timeout(), damping) {
            (Some(_), Some(damping)) => known.reason = flapping(damping, said, speaker),
            (Some(_) | None, _) => {
                if let Some(because) = speaker {
                    known.reason.clone_from(because);
                }
            }
        }
        if held != known.damper.poll_timeout() {
            let name = || (service.clone(), server.clone());
            if let Some(before) = held {
                self.holds.remove(&(before, name()));
            }
            if let Some(until) = known.damper.poll_timeout() {
                self.holds.insert((until, name()));
            }
        }
        if from == to {
            if known.is_awaited() != awaited {
                self.unweighed.insert(service.clone());
            }
            return;
        }
        known.health = to;
        known.health_since = now;
        // What is drained or draining stays that, whatever its checks say.
        if known.admin == Admin::Ready {
            known.since = now;
        }
        let reason = known.reason.clone();
        self.begin_ramp(service, server, now);
        self.report(Report::Health {
            service: service.clone(),
            server: server.clone(),
            from,
            to,
            reason,
        });
        self.reconcile_service(service);
    }

    /// Takes the checks of `server` out of the books; a run that is under way counts for nothing.
    pub(crate) fn stop_checks(&mut self, service: &Name, server: &Name) {
        self.assign_checks(service, server, Vec::new());
        let pool = self.pools.get_mut(service);
        if let Some(known) = pool.and_then(|pool| pool.servers.get_mut(server)) {
            known.advice = None;
        }
    }
}

impl RunningCheck {
    /// Whether none of its runs has ended yet.
    fn is_unheard(&self) -> bool {
        self.last.is_none() && self.because.code == Code::INI
    }

    /// Keeps the last outcome's reason when it speaks for the state; whether that is another one. One that was void does not. That a run
    /// could not be made is why a server is starting still.
    fn note(&mut self) -> bool {
        let Some(last) = self.last else { return false };
        let speaks = matches!(
            (self.checker.state(), last.verdict),
            (State::Up, Verdict::Pass)
                | (State::Down, Verdict::Fail)
                | (State::Starting, Verdict::Inconclusive)
        );
        let reason = self.checker.reason();
        let says_why = speaks && !self.checker.is_void() && self.because != *reason;
        if says_why {
            self.because.clone_from(reason);
        }
        says_why
    }
}

impl CheckId {
    /// The least there is.
    pub(crate) const FIRST: Self = Self(0);
    /// The greatest there can be.
    pub(crate) const LAST: Self = Self(u64::MAX);

    fn take(&mut self) -> Self {
        let taken = *self;
        self.0 += 1;
        taken
    }
}

/// What a server's checks begin with, as its service's `initial` says; `adopted` is whether the kernel gave it connections.
pub(crate) const fn initial(initial: InitialHealth, adopted: bool) -> Initial {
    match (initial, adopted) {
        (InitialHealth::Kernel | InitialHealth::Up, true) => Initial::Adopted,
        (InitialHealth::Kernel, false) | (InitialHealth::Down, _) => Initial::Down,
        (InitialHealth::Up, false) => Initial::Up,
    }
}

/// What a server without a finished check counts as.
pub(crate) fn initial_health(unchecked: bool, initial: Initial) -> (State, Reason) {
    match (unchecked, initial) {
        (true, _) => (State::Up, Reason::new(Code::INI, "it has no check, so it counts as up")),
        (false, Initial::Adopted) => (
            State::Up,
            Reason::new(Code::ADOPTED, "the kernel gave it connections when the daemon started"),
        ),
        (false, Initial::Up) => (
            State::Up,
            Reason::new(Code::INI, "no check has finished yet, and it counts as up until then"),
        ),
        (false, Initial::Down | Initial::Failed) => {
            (State::Starting, Reason::new(Code::INI, "no check has finished yet"))
        }
    }
}

/// Why a server is kept down whose checks say `said`, and why.
fn flapping(damping: &Damping, said: State, because: Option<&Reason>) -> Reason {
    let Damping { falls, within, hold } = damping;
    let because = because.map_or_else(String::new, |reason| format!(": {reason}"));
    let times = if *falls == 1 { "once".to_owned() } else { format!("{falls} times") };
    let sentence = format!(
        "it went down {times} within {within:?} and is kept down for {hold:?} after the last time; its checks say {said}{because}"
    );
    Reason::new(Code::FLAPPING, sentence)
}
