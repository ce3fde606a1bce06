//! The engine: pools, the checks that run for them, and the clockwork of drains and reconciliation.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Check, Config, ForeignServices, Name, RealServer};
use holdfast_health::{Checker, Code, Initial, Outcome, Reason, State, Verdict, first_run};
use holdfast_time::Instant;
use ipvs_ctl::model::{ServiceKey, Table};

use crate::adoption::serves;
use crate::order::Order;
use crate::pool::{Connections, Pool, Retiring};
use crate::report::Report;
use crate::server::{Admin, CheckView, Origin, Server};
use crate::weight::WHOLE;

/// How often the connections of draining servers are counted.
pub(crate) const COUNT_INTERVAL: Duration = Duration::from_millis(500);

/// Pools, their servers and their checks.
///
/// Call [`Self::handle_timeout`] when [`Self::poll_timeout`] is due, tell it what checks found and what the kernel counted, and
/// after each of these and after each command take every action from [`Self::poll_action`].
#[derive(Debug)]
pub struct Engine {
    pub(crate) pools: BTreeMap<Name, Pool>,
    pub(crate) checks: BTreeMap<CheckId, RunningCheck>,
    /// The checks' deadlines, earliest first.
    timers: BTreeSet<(Instant, CheckId)>,
    /// The next raise of each server in slow start, earliest first.
    pub(crate) ramps: BTreeSet<(Instant, (Name, Name))>,
    next_check: CheckId,
    pub(crate) reconcile_interval: Duration,
    pub(crate) reconcile_at: Instant,
    /// Whether the table is looked at without a service, too: others' are removed from it.
    pub(crate) always: bool,
    /// When connections are counted next; none while nothing drains.
    pub(crate) count_at: Option<Instant>,
    /// Bounded by what one input can cause: an action for each check that is due, and a few reports for the server it is about.
    actions: VecDeque<Action>,
    /// What of the kernel's table is to be compared, and comes before the actions.
    reconcile: Option<Extent>,
}

/// A check in the engine's books. The number is never used again, so an outcome that comes late finds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckId(u64);

#[derive(Debug)]
pub(crate) struct RunningCheck {
    pub(crate) service: Name,
    pub(crate) server: Name,
    pub(crate) check: Check,
    checker: Checker,
    deadline: Option<Instant>,
    last: Option<Outcome>,
    /// Why it says what it says: the latest outcome that speaks for its state.
    because: Reason,
}

/// What the engine wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Run this check and tell the outcome by [`Engine::check_finished`].
    RunCheck {
        /// Which check the outcome is for.
        id: CheckId,
        /// The service that it is run for.
        service: Name,
        /// The server.
        server: RealServer,
        /// What to try, and for how long.
        check: Check,
    },
    /// Make the kernel's table what is wanted, as far as this says.
    Reconcile(Extent),
    /// Count the connections and tell them by [`Engine::connections_counted`].
    CountConnections,
    /// Tell the operator.
    Report(Report),
}

/// How much of the kernel's table is to be compared with what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The entries of these services alone ([`Pool::entries`]); those that are gone meanwhile have none. A service that comes, goes or
    /// changes its addresses is never told so.
    Services(BTreeSet<Name>),
    /// All of it ([`Engine::desired`]).
    Table,
}

impl Extent {
    /// This and `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Services(mut services), Self::Services(mut more)) => {
                services.append(&mut more);
                Self::Services(services)
            }
            (Self::Table, _) | (_, Self::Table) => Self::Table,
        }
    }
}

/// What the engine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A check is due.
    Check,
    /// The kernel's table is to be compared.
    Reconcile,
    /// The connections of draining servers are to be counted.
    Count,
    /// The weight of a server in slow start is to be raised.
    Ramp,
}

impl Engine {
    /// The engine of `config` over a kernel whose table is `kernel` now.
    ///
    /// A server that the kernel gives new connections to is adopted as up and stays so until its checks say otherwise: a restart
    /// of the daemon takes nothing away. Any other starts down until its first pass.
    ///
    /// A destination of our services that `config` does not name ([`Origin::Kernel`]) drains and is then removed: what an earlier
    /// daemon was told to add goes on with what it has. Those that come later are others' changes.
    pub fn new(config: &Config, kernel: &Table, now: Instant) -> Self {
        let mut engine = Self {
            pools: BTreeMap::new(),
            checks: BTreeMap::new(),
            timers: BTreeSet::new(),
            ramps: BTreeSet::new(),
            next_check: CheckId::default(),
            reconcile_interval: config.ipvs.poll,
            reconcile_at: now,
            always: config.ipvs.foreign == ForeignServices::Remove,
            count_at: None,
            actions: VecDeque::new(),
            reconcile: None,
        };
        for (name, service) in &config.services {
            engine.pools.insert(name.clone(), Pool::new(service.clone()));
            for server in service.real_servers.values() {
                let adopted = serves(service, server, kernel);
                engine.enrol(name, server.clone(), Origin::Config, adopted, now);
            }
            engine.take_in(name, kernel, now);
        }
        engine.reconcile_soon();
        engine
    }

    /// The pools by the service's name.
    pub const fn pools(&self) -> &BTreeMap<Name, Pool> {
        &self.pools
    }

    /// The checks of `server` as they stand.
    pub fn checks<'a>(&'a self, server: &'a Server) -> impl Iterator<Item = CheckView<'a>> + 'a {
        server.checks.iter().filter_map(|id| self.checks.get(id)).map(|running| CheckView {
            kind: &running.check.kind,
            health: running.checker.state(),
            reason: running.checker.reason(),
            last: running.last.as_ref(),
        })
    }

    /// The table that the kernel should have.
    pub fn desired(&self) -> Table {
        self.pools.values().flat_map(Pool::entries).collect()
    }

    /// The keys of the services that are ours.
    pub fn owned(&self) -> BTreeSet<ServiceKey> {
        self.pools.values().flat_map(Pool::keys).collect()
    }

    /// The next moment at which [`Self::handle_timeout`] has something to do, and what.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let reconcile = self.looks().then_some((self.reconcile_at, Timer::Reconcile));
        let check = self.timers.first().map(|(at, _)| (*at, Timer::Check));
        let count = self.count_at.map(|at| (at, Timer::Count));
        let ramp = self.ramps.first().map(|(at, _)| (*at, Timer::Ramp));
        [reconcile, check, count, ramp].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Whether there is a table to look after.
    fn looks(&self) -> bool {
        self.always || !self.pools.is_empty()
    }

    /// Does what is due at `now`.
    ///
    /// Deadlines of drains are looked at when connections are to be counted, so they come up to half a second late, and they come
    /// also when the kernel does not answer.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.step_check(id, now, |checker| checker.handle_timeout(now));
        }
        self.advance_ramps(now);
        if self.count_at.is_some_and(|at| at <= now) {
            self.count_at = Some(now + COUNT_INTERVAL);
            self.actions.push_back(Action::CountConnections);
            self.end_drains(now, |server, _| match &mut server.admin {
                Admin::Drain(drain) => drain.expire(now),
                Admin::Ready | Admin::Maint => None,
            });
            self.end_retirements(|_, retiring| retiring.drain.expire(now));
        }
        if self.reconcile_at <= now && self.looks() {
            self.reconcile_at = now + self.reconcile_interval;
            self.reconcile_soon();
        }
    }

    /// The next thing to do; none when all is done.
    pub fn poll_action(&mut self) -> Option<Action> {
        // What the kernel is to know comes first: clients wait for it.
        self.reconcile.take().map(Action::Reconcile).or_else(|| self.actions.pop_front())
    }

    /// A check's run is over. An outcome for a check that is gone is ignored.
    pub fn check_finished(&mut self, now: Instant, id: CheckId, outcome: Outcome) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        running.last = Some(outcome.clone());
        self.step_check(id, now, |checker| {
            checker.handle(now, holdfast_health::Event::Finished(outcome));
        });
    }

    /// What the kernel counted, by service and destination. A destination that is not there has no connections.
    pub fn connections_counted(
        &mut self,
        now: Instant,
        counts: &BTreeMap<(ServiceKey, SocketAddr), Connections>,
    ) {
        let mut found = BTreeMap::new();
        for pool in self.pools.values() {
            for server in pool.servers.values().filter(|server| server.is_draining()) {
                let name = (pool.service.name.clone(), server.definition.name.clone());
                found.insert(name, pool.count(server, counts));
            }
        }
        self.end_drains(now, |server, service| {
            let name = (service.clone(), server.definition.name.clone());
            match &mut server.admin {
                Admin::Drain(drain) => drain.count(now, found.get(&name).copied()?).then_some(0),
                Admin::Ready | Admin::Maint => None,
            }
        });
        self.end_retirements(|pool, retiring| {
            let found = pool.count_at(retiring.key, counts);
            retiring.drain.count(now, found).then_some(0)
        });
    }

    /// Ends every drain of which `over` says so, with the number of connections that are cut short.
    fn end_drains(
        &mut self,
        now: Instant,
        mut over: impl FnMut(&mut Server, &Name) -> Option<u64>,
    ) {
        let mut ended = Vec::new();
        for (service, pool) in &mut self.pools {
            for (name, server) in &mut pool.servers {
                if server.is_draining()
                    && let Some(left) = over(server, service)
                {
                    server.since = now;
                    ended.push((service.clone(), name.clone(), left));
                }
            }
        }
        for (service, server, left) in ended {
            self.end_drain(&service, &server, left);
        }
        self.count_while_needed();
    }

    /// Ends every retirement of which `over` says so, with the number of connections that are cut short.
    fn end_retirements(&mut self, mut over: impl FnMut(&Pool, &mut Retiring) -> Option<u64>) {
        let mut ended = Vec::new();
        for (service, pool) in &mut self.pools {
            let mut retiring = std::mem::take(&mut pool.retiring);
            retiring.retain_mut(|one| {
                let left = over(pool, one);
                ended.extend(left.map(|left| (service.clone(), one.key, left)));
                left.is_none()
            });
            pool.retiring = retiring;
        }
        if ended.is_empty() {
            return;
        }
        for (service, listen, left) in ended {
            self.report(Report::ListenRemoved { service, listen, left });
        }
        self.count_while_needed();
        self.reconcile_soon();
    }

    /// Lets connections be counted, if that is not to be done already.
    pub(crate) fn count_soon(&mut self, now: Instant) {
        self.count_at = Some(self.count_at.unwrap_or(now + COUNT_INTERVAL));
    }

    /// Counts connections no longer when nothing drains.
    pub(crate) fn count_while_needed(&mut self) {
        if !self.pools.values().any(Pool::is_draining) {
            self.count_at = None;
        }
    }

    /// Puts a server that the file does not name into the pool of `service`.
    pub(crate) fn admit(
        &mut self,
        service: &Name,
        server: RealServer,
        origin: Origin,
        adopted: bool,
        now: Instant,
    ) {
        if let Some(pool) = self.pools.get_mut(service) {
            pool.service.real_servers.insert(server.name.clone(), server.clone());
        }
        self.enrol(service, server, origin, adopted, now);
    }

    /// Puts `server` into the pool of `service`, which must exist, and its checks into the books.
    pub(crate) fn enrol(
        &mut self,
        service: &Name,
        server: RealServer,
        origin: Origin,
        adopted: bool,
        now: Instant,
    ) {
        let Some(pool) = self.pools.get_mut(service) else { return };
        let name = server.name.clone();
        let (health, reason) = initial_health(false, adopted);
        pool.servers.insert(
            name.clone(),
            Server {
                definition: server,
                origin,
                admin: Admin::Ready,
                standing: None,
                share: WHOLE,
                ramp: None,
                health,
                reason,
                since: now,
                checks: Vec::new(),
            },
        );
        self.start_checks(service, &name, adopted, now);
    }

    /// Puts the checks of a server, which has none running, into the books, and has its health begin anew.
    pub(crate) fn start_checks(
        &mut self,
        service: &Name,
        server: &Name,
        adopted: bool,
        now: Instant,
    ) {
        let Some(pool) = self.pools.get_mut(service) else { return };
        let Some(known) = pool.servers.get_mut(server) else { return };
        let checks = known.definition.checks.clone().unwrap_or_else(|| pool.service.checks.clone());
        (known.health, known.reason) = initial_health(checks.is_empty(), adopted);
        let initial = if adopted { Initial::Adopted } else { Initial::Down };
        let began: Vec<CheckId> = checks
            .into_iter()
            .map(|check| self.begin_check(service, server, check, initial, now))
            .collect();
        self.assign_checks(service, server, began.clone());
        for id in began {
            self.step_check(id, now, |_| {});
        }
    }

    /// Puts a check of a server into the books; it counts when it has been assigned.
    pub(crate) fn begin_check(
        &mut self,
        service: &Name,
        server: &Name,
        check: Check,
        initial: Initial,
        now: Instant,
    ) -> CheckId {
        let id = self.next_check.take();
        let offset = first_run(service.as_str(), server.as_str(), check.policy.interval);
        let checker = Checker::new(check.policy, initial, now, offset);
        let known = self.pools.get(service).and_then(|pool| pool.servers.get(server));
        let because = known.map_or_else(|| checker.reason().clone(), |known| known.reason.clone());
        let (service, server) = (service.clone(), server.clone());
        let (deadline, last) = (None, None);
        let running = RunningCheck { service, server, check, checker, deadline, last, because };
        self.checks.insert(id, running);
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
            self.end_check(id);
        }
    }

    /// Takes a check out of the books. An outcome that comes later finds nothing.
    pub(crate) fn end_check(&mut self, id: CheckId) {
        if let Some(at) = self.checks.remove(&id).and_then(|running| running.deadline) {
            self.timers.remove(&(at, id));
        }
    }

    /// Lets a checker take an input, carries out what it answers and notes its new deadline.
    pub(crate) fn step_check(
        &mut self,
        id: CheckId,
        now: Instant,
        input: impl FnOnce(&mut Checker),
    ) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        input(&mut running.checker);
        while let Some(action) = running.checker.poll_action() {
            match action {
                holdfast_health::Action::Run { .. } => {
                    let pool = self.pools.get(&running.service);
                    let Some(server) = pool.and_then(|pool| pool.servers.get(&running.server))
                    else {
                        continue;
                    };
                    self.actions.push_back(Action::RunCheck {
                        id,
                        service: running.service.clone(),
                        server: server.definition.clone(),
                        check: running.check.clone(),
                    });
                }
                // Its state is looked at below.
                holdfast_health::Action::Changed { .. } => {}
            }
        }
        running.note();
        let before = running.deadline;
        running.deadline = running.checker.poll_timeout().map(|(at, _)| at);
        if let Some(at) = before {
            self.timers.remove(&(at, id));
        }
        if let Some(at) = running.deadline {
            self.timers.insert((at, id));
        }
        let (service, server) = (running.service.clone(), running.server.clone());
        self.judge(&service, &server, now);
    }

    /// Every check that waits, with its service, its server's address, what it tries and when it runs.
    #[cfg(test)]
    pub(crate) fn check_deadlines(
        &self,
    ) -> impl Iterator<Item = (Name, SocketAddr, String, Instant)> + '_ {
        self.timers.iter().filter_map(|(at, id)| {
            let running = self.checks.get(id)?;
            let pool = self.pools.get(&running.service)?;
            let server = pool.servers.get(&running.server)?;
            let kind = format!("{:?}", running.check.kind);
            Some((running.service.clone(), server.definition.address, kind, *at))
        })
    }

    /// Puts together what the checks of a server say.
    pub(crate) fn judge(&mut self, service: &Name, server: &Name, now: Instant) {
        let Some(known) = self.pools.get_mut(service).and_then(|pool| pool.servers.get_mut(server))
        else {
            return;
        };
        let checks: Vec<&RunningCheck> =
            known.checks.iter().filter_map(|id| self.checks.get(id)).collect();
        let states: Vec<State> = checks.iter().map(|running| running.checker.state()).collect();
        let (from, to) = (known.health, together(&states));
        // The first check that says the same as all together has said why.
        if let Some(speaker) = checks.iter().find(|running| running.checker.state() == to) {
            known.reason.clone_from(&speaker.because);
        }
        if from == to {
            return;
        }
        known.health = to;
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

    /// Takes `server` and its checks out of the books.
    pub(crate) fn forget(&mut self, service: &Name, server: &Name, order: Order) {
        self.stop_checks(service, server);
        self.set_ramp(service, server, None);
        let Some(pool) = self.pools.get_mut(service) else { return };
        if pool.servers.remove(server).is_none() {
            return;
        }
        pool.service.real_servers.remove(server);
        let left = pool.leaving && pool.servers.is_empty();
        self.report(Report::Removed { service: service.clone(), server: server.clone(), order });
        if left {
            self.pools.remove(service);
            self.report(Report::ServiceRemoved { service: service.clone() });
            self.reconcile_soon();
        }
        self.reconcile_service(service);
    }

    /// Takes the checks of `server` out of the books; a run that is under way counts for nothing.
    pub(crate) fn stop_checks(&mut self, service: &Name, server: &Name) {
        self.assign_checks(service, server, Vec::new());
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.actions.push_back(Action::Report(report));
    }

    /// Asks for a comparison of the whole table.
    pub(crate) fn reconcile_soon(&mut self) {
        self.reconcile = Some(Extent::Table);
    }

    /// Asks for a comparison of `service`, which is wanted other than before and listens where it did.
    pub(crate) fn reconcile_service(&mut self, service: &Name) {
        match &mut self.reconcile {
            None => self.reconcile = Some(Extent::Services([service.clone()].into())),
            Some(Extent::Services(services)) if services.contains(service) => {}
            Some(Extent::Services(services)) => {
                services.insert(service.clone());
            }
            Some(Extent::Table) => {}
        }
    }
}

impl RunningCheck {
    /// Keeps the last outcome's reason when it speaks for the state. One that was void does not.
    fn note(&mut self) {
        let Some(last) = &self.last else { return };
        let speaks = matches!(
            (self.checker.state(), last.verdict),
            (State::Up, Verdict::Pass) | (State::Down, Verdict::Fail)
        );
        if speaks && *self.checker.reason() == last.reason {
            self.because.clone_from(&last.reason);
        }
    }
}

impl CheckId {
    fn take(&mut self) -> Self {
        let taken = *self;
        self.0 += 1;
        taken
    }
}

pub(crate) fn initial_health(unchecked: bool, adopted: bool) -> (State, Reason) {
    match (unchecked, adopted) {
        (true, _) => (
            State::Up,
            Reason { code: Code::INI, sentence: "it has no check, so it counts as up".into() },
        ),
        (false, true) => (
            State::Up,
            Reason {
                code: Code::ADOPTED,
                sentence: "the kernel gave it connections when the daemon started".into(),
            },
        ),
        (false, false) => (
            State::Starting,
            Reason { code: Code::INI, sentence: "no check has finished yet".into() },
        ),
    }
}

/// What several checks say together: down by one that fails, up when all pass.
fn together(verdicts: &[State]) -> State {
    if verdicts.contains(&State::Down) {
        State::Down
    } else if verdicts.contains(&State::Starting) {
        State::Starting
    } else {
        State::Up
    }
}
