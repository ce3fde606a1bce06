//! The weight of a service's servers, added up, and what follows from it: its quorum, who takes its clients, and what VRRP is told.
//!
//! A service is weighed when anything of it has changed, once for all changes, before the next action is handed out. So a storm of ten
//! thousand verdicts is a few additions.

use std::time::Duration;

use holdfast_config::Name;
use holdfast_time::Instant;
use ipvs_ctl::model::Table;

use crate::adoption::serves;
use crate::engine::Engine;
use crate::pool::Pool;
use crate::quorum::{QuorumState, Regime};
use crate::report::{Needed, Report};
use crate::server::{Admin, Server};
use crate::vrrp::Reading;

/// The last weighing of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) state: QuorumState,
    /// The sum of what its servers count for.
    pub(crate) weight: u64,
    /// Since when it is in this state, and with how much weight it came there.
    since: Instant,
    at: u64,
}

impl Tally {
    /// Nothing is known yet.
    pub(crate) const fn new(now: Instant) -> Self {
        Self { state: QuorumState::Starting, weight: 0, since: now, at: 0 }
    }
}

impl Pool {
    /// Whether the service has its quorum.
    pub const fn quorum(&self) -> QuorumState {
        self.tally.state
    }

    /// The weight of the servers that can serve, in units of the configuration, as it was weighed last.
    pub const fn weight(&self) -> u64 {
        self.tally.weight
    }

    /// How long [`Self::quorum`] has said what it says.
    pub fn quorum_age(&self, now: Instant) -> Duration {
        now.saturating_since(self.tally.since)
    }

    /// Who takes new connections.
    pub const fn regime(&self) -> Regime {
        if self.leaving || self.parting {
            Regime::Normal
        } else {
            Regime::of(self.tally.state, self.service.policy.all_down)
        }
    }

    /// The quorum as a tracker reads it.
    pub fn reading(&self) -> Reading {
        let name = &self.service.name;
        let Tally { state, at, .. } = self.tally;
        let needed = Needed(self.service.policy.quorum);
        match state {
            QuorumState::Starting => {
                Reading::unknown(format!("the first checks of service {name} have not finished"))
            }
            QuorumState::Up => {
                Reading::up(format!("service {name} came up with weight {at}, {needed}"))
            }
            QuorumState::Down => {
                Reading::down(format!("service {name} went down with weight {at}, {needed}"))
            }
        }
    }

    /// Adds up the weights. Returns the state before, if it has changed.
    fn weigh(&mut self, now: Instant) -> Option<QuorumState> {
        let weight = self.servers.values().map(Server::worth).fold(0_u64, u64::saturating_add);
        let waits = self.servers.values().any(Server::is_awaited);
        self.tally.weight = weight;
        let from = self.tally.state;
        let to = from.after(weight, waits, self.service.policy.quorum);
        if from == to {
            return None;
        }
        (self.tally.state, self.tally.since, self.tally.at) = (to, now, weight);
        Some(from)
    }
}

impl Engine {
    /// Lets a service begin as down if, in the kernel's table, one of its sorry servers takes new connections.
    pub(crate) fn adopt_quorum(&mut self, service: &Name, kernel: &Table) {
        let now = self.clock;
        let Some(pool) = self.pools.get_mut(service) else { return };
        let mut sorry = pool.service.sorry_servers.values();
        if sorry.any(|sorry| serves(&pool.service, sorry, kernel)) {
            pool.tally.state = QuorumState::Down;
        }
        let begun = pool.tally;
        pool.weigh(now);
        if pool.tally.state == QuorumState::Down {
            // Who has to know is told by the weighing that follows.
            pool.tally = begun;
        }
    }

    /// Weighs every service of which something has changed.
    pub(crate) fn weigh_pools(&mut self) {
        for service in std::mem::take(&mut self.unweighed) {
            let now = self.clock;
            let Some(pool) = self.pools.get_mut(&service) else { continue };
            if pool.leaving || pool.parting {
                continue;
            }
            let Some(from) = pool.weigh(now) else { continue };
            let report = Report::Quorum {
                from,
                to: pool.tally.state,
                weight: pool.tally.weight,
                quorum: pool.service.policy.quorum,
                regime: pool.regime(),
                service: service.clone(),
            };
            self.report(report);
            self.reconcile_service(&service);
        }
    }

    /// Judges the servers again that flap damping has kept down for long enough.
    pub(crate) fn end_holds(&mut self, now: Instant) {
        while self.holds.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, (service, server))) = self.holds.pop_first() else { return };
            let pool = self.pools.get_mut(&service);
            let known = pool.and_then(|pool| pool.servers.get_mut(&server));
            if known.is_some_and(|known| known.damper.handle_timeout(now)) {
                self.judge_checked(&service, &server, now);
            }
        }
    }

    /// Judges every server of a service again.
    pub(crate) fn judge_all(&mut self, service: &Name, now: Instant) {
        let Some(pool) = self.pools.get(service) else { return };
        let servers: Vec<Name> = pool.servers.keys().cloned().collect();
        for server in servers {
            self.judge_checked(service, &server, now);
        }
    }

    /// Judges one server again, if it is checked.
    pub(crate) fn judge_checked(&mut self, service: &Name, server: &Name, now: Instant) {
        let known = self.pools.get(service).and_then(|pool| pool.servers.get(server));
        if known.is_some_and(|known| known.admin != Admin::Maint && !known.checks.is_empty()) {
            self.judge(service, server, now);
        }
    }
}
