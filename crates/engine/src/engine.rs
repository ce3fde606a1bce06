//! The engine: pools, their servers, and the clockwork of checks, drains and reconciliation.
//!
//! It is told the time and what happened, and answers with actions; docs/architecture.md (*The machine's shape*) has the contract. What it does
//! at each event is in the modules beside this one: `checking`, `counting`, `commands`, `reconfigure` and so on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Config, ForeignServices, Name, RealServer, Service};
use holdfast_health::Damper;
use holdfast_time::Instant;
use ipvs_ctl::model::{ServiceKey, Table};

use crate::action::{Action, Extent, Timer};
use crate::adoption::serves;
use crate::checking::{CheckId, RunningCheck, initial_health};
use crate::counting::{COUNT_INTERVAL, Pace};
use crate::discovery::Findings;
use crate::lease::Leases;
use crate::order::Order;
use crate::pool::Pool;
use crate::remember::Remembered;
use crate::report::Report;
use crate::server::{Admin, Origin, Server};
use crate::weight::WHOLE;

/// What falls due within this time is done together, so that the cost of a turn is paid once for all of it. A check is at most so much late.
pub const TURN: Duration = Duration::from_millis(10);

/// Pools, their servers and their checks.
///
/// Call [`Self::handle_timeout`] when [`Self::poll_timeout`] is due, tell it what checks found and what the kernel counted, and
/// after each of these and after each command take every action from [`Self::poll_action`].
#[derive(Debug)]
pub struct Engine {
    pub(crate) pools: BTreeMap<Name, Pool>,
    /// Boxed: a tree's nodes are little more than half full.
    pub(crate) checks: BTreeMap<CheckId, Box<RunningCheck>>,
    /// The checks that may be the same as others ([`crate::twins`]), by their target.
    pub(crate) targets: BTreeSet<(SocketAddr, CheckId)>,
    /// The checks' deadlines, earliest first.
    pub(crate) timers: BTreeSet<(Instant, CheckId)>,
    /// The next raise of each server in slow start, earliest first.
    pub(crate) ramps: BTreeSet<(Instant, (Name, Name))>,
    /// When each server that flap damping keeps down is judged again, earliest first. One that is gone or renamed by then is ignored.
    pub(crate) holds: BTreeSet<(Instant, (Name, Name))>,
    /// The servers that are there for a time only.
    pub(crate) leases: Leases,
    /// What files name, by service.
    pub(crate) discovered: BTreeMap<Name, Findings>,
    pub(crate) next_check: CheckId,
    pub(crate) reconcile_interval: Duration,
    pub(crate) reconcile_at: Instant,
    /// Whether the table is compared even without a service, because others' services are removed from it.
    pub(crate) always: bool,
    /// When drains are looked at next; none while nothing drains.
    pub(crate) count_at: Option<Instant>,
    pub(crate) pace: Pace,
    /// Bounded by what one input can cause: an action for each check that is due, and a few reports for the server it is about.
    pub(crate) actions: VecDeque<Action>,
    /// What of the kernel's table is to be compared. It is handed out before `actions`.
    pub(crate) reconcile: Option<Extent>,
    /// The services whose weight may have changed since it was last added up.
    pub(crate) unweighed: BTreeSet<Name>,
    /// The latest time that it was told.
    pub(crate) clock: Instant,
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
        Self::remembering(config, &Remembered::default(), kernel, now)
    }

    /// The same with servers that are in no file, but are remembered: they are adopted as those of the file are.
    pub fn remembering(
        config: &Config,
        remembered: &Remembered,
        kernel: &Table,
        now: Instant,
    ) -> Self {
        let mut engine = Self {
            pools: BTreeMap::new(),
            checks: BTreeMap::new(),
            targets: BTreeSet::new(),
            timers: BTreeSet::new(),
            ramps: BTreeSet::new(),
            holds: BTreeSet::new(),
            leases: Leases::default(),
            discovered: BTreeMap::new(),
            next_check: CheckId::default(),
            reconcile_interval: config.ipvs.poll,
            reconcile_at: now,
            always: config.ipvs.foreign == ForeignServices::Remove,
            count_at: None,
            pace: Pace::default(),
            actions: VecDeque::new(),
            reconcile: None,
            unweighed: BTreeSet::new(),
            clock: now,
        };
        // All at once: a map that grows in order keeps half of its room free.
        let pools = config.services.iter();
        let pool = |service: &Service| Pool::new(service.settings(), now);
        engine.pools = pools.map(|(name, service)| (name.clone(), pool(service))).collect();
        for (name, service) in &config.services {
            for server in service.real_servers.values() {
                let adopted = serves(service, server, kernel);
                engine.enrol(name, server.clone(), Origin::Config, adopted, now);
            }
            engine.recall(name, remembered, kernel, now);
        }
        engine.go_on(&remembered.draining, (config, kernel), now);
        engine
    }

    /// The pools by the service's name.
    pub const fn pools(&self) -> &BTreeMap<Name, Pool> {
        &self.pools
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
        let hold = self.holds.first().map(|(at, _)| (*at, Timer::Hold));
        let lease = self.leases.next().map(|at| (at, Timer::Lease));
        [reconcile, check, count, ramp, hold, lease].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// When to call [`Self::handle_timeout`] next after a call at `turned`: when something is due, but [`TURN`] after `turned` at the
    /// earliest; at once if that call has left due checks for the next one.
    pub fn next_turn(&self, turned: Instant) -> Option<Instant> {
        let (at, _) = self.poll_timeout()?;
        Some(if at <= turned { turned } else { at.max(turned + TURN) })
    }

    /// Whether there is a table to look after.
    fn looks(&self) -> bool {
        self.always || !self.pools.is_empty()
    }

    /// Does what is due at `now`. Of the checks that are due [`BEGIN_MAX`](crate::BEGIN_MAX) begin; for the rest call it again, once the actions are taken.
    ///
    /// Deadlines of drains are looked at every half second, also when connections are counted at longer intervals and when the kernel
    /// does not answer.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.clock = now;
        self.begin_runs(now);
        self.advance_ramps(now);
        self.end_holds(now);
        self.end_leases(now);
        if self.count_at.is_some_and(|at| at <= now) {
            self.count_at = Some(now + COUNT_INTERVAL);
            if self.pace.asks(now) {
                self.actions.push_back(Action::CountConnections);
            }
            self.end_drains(now, |server, _| match &mut server.admin {
                Admin::Drain(drain) => drain.expire(now),
                Admin::Ready | Admin::Maint => None,
            });
            self.end_retirements(|_, retiring| retiring.drain.expire(now));
            self.end_methods(|_, former| former.drain.expire(now));
        }
        if self.reconcile_at <= now && self.looks() {
            self.reconcile_at = now + self.reconcile_interval;
            self.reconcile = Some(Extent::Table);
        }
    }

    /// The next thing to do; none when all is done.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.weigh_pools();
        // What the kernel is to know comes first: clients wait for it.
        self.reconcile.take().map(Action::Reconcile).or_else(|| self.actions.pop_front())
    }

    /// Puts `server` into the pool of `service`, which must exist, and its checks into the books.
    pub(crate) fn enrol(
        &mut self,
        service: &Name,
        server: impl Into<Arc<RealServer>>,
        origin: Origin,
        adopted: bool,
        now: Instant,
    ) {
        let Some(pool) = self.pools.get_mut(service) else { return };
        let server: Arc<RealServer> = server.into();
        let name = server.name.clone();
        let unchecked = pool.service.checks_of(&server).0.is_empty();
        let (health, reason) = initial_health(unchecked, pool.initial(adopted));
        pool.servers.insert(
            name.clone(),
            Server {
                definition: server,
                origin,
                admin: Admin::Ready,
                standing: None,
                share: WHOLE,
                ramp: None,
                advice: None,
                damper: Damper::default(),
                health,
                reason,
                since: now,
                health_since: now,
                checks: Vec::new(),
            },
        );
        if !unchecked {
            self.start_checks(service, &name, adopted, now);
        }
    }

    /// Takes `server` and its checks out of the books.
    pub(crate) fn forget(&mut self, service: &Name, server: &Name, order: Order) {
        self.stop_checks(service, server);
        self.set_ramp(service, server, None);
        let Some(pool) = self.pools.get_mut(service) else { return };
        if pool.servers.remove(server).is_none() {
            return;
        }
        let left = pool.leaving && pool.servers.is_empty();
        self.report(Report::Removed { service: service.clone(), server: server.clone(), order });
        if left {
            self.pools.remove(service);
            self.report(Report::ServiceRemoved { service: service.clone() });
            self.reconcile_soon();
        }
        self.reconcile_service(service);
    }

    pub(crate) fn report(&mut self, report: Report) {
        self.actions.push_back(Action::Report(report));
    }

    /// Asks for a comparison of the whole table, any part of which may be wanted differently now.
    pub(crate) fn reconcile_soon(&mut self) {
        self.reconcile = Some(Extent::Table);
        self.unweighed.extend(self.pools.keys().cloned());
    }

    /// Asks for a comparison of `service`, which is wanted differently now but listens where it did.
    pub(crate) fn reconcile_service(&mut self, service: &Name) {
        if !self.unweighed.contains(service) {
            self.unweighed.insert(service.clone());
        }
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
