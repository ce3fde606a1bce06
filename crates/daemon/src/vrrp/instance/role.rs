//! What an instance may be: its rank, what keeps it from taking part, and what the operator wants of it.
//!
//! Three things decide whether it takes part: the interface (S4), its faults, and the daemon (which starts later or stops). Its rank is
//! what tracking makes of the priority; a released one is the last choice of all and takes no role from anybody who lives.

use holdfast_config::{HookEvent, Name};
use holdfast_engine::vrrp::Standing;
use holdfast_time::Instant;
use vrrp::{Event, Params, Priority, State, Status};

use super::{Instance, Means, params};
use crate::api::RoleVerb;
use crate::chatter::Topic;

/// The lowest rank of a router that takes part: what a released node has.
const LAST: Priority = Priority::new(1);

/// What decides about an instance besides its interface.
#[derive(Debug)]
pub(in super::super) struct Role {
    /// What tracking makes of it.
    standing: Standing,
    /// Why the interface of its virtual MAC address is missing.
    unseated: Option<String>,
    /// Its sync group keeps it out, and why.
    excluded: Option<String>,
    /// It does not take part before.
    starts_at: Option<Instant>,
    stops: bool,
    /// It was told to step back until it is told to resume.
    released: bool,
    /// It has given its role away and leaves it to others until it has it again.
    yields: bool,
    /// Whether the machine was told to take part.
    takes_part: bool,
    /// This node has the Active's connections, as far as that can be known.
    caught_up: bool,
}

impl Role {
    /// The role of an instance that starts at `starts_at`.
    pub(in super::super) const fn new(
        priority: Priority,
        starts_at: Option<Instant>,
        released: bool,
    ) -> Self {
        Self {
            standing: Standing::untracked(priority),
            unseated: None,
            excluded: None,
            starts_at,
            stops: false,
            released,
            yields: false,
            takes_part: false,
            caught_up: false,
        }
    }

    const fn may_take_part(&self) -> bool {
        !self.stops
            && self.starts_at.is_none()
            && self.standing.faults.is_empty()
            && self.unseated.is_none()
            && self.excluded.is_none()
    }

    /// What the operator wanted of it in the process before this one still holds.
    pub(super) fn inherit(&mut self, released: bool, yields: bool) {
        self.released |= released;
        self.yields |= yields;
    }

    /// It waits for no startup delay.
    pub(super) fn begin_at_once(&mut self) {
        self.starts_at = None;
    }

    /// Whether it was told to step back until it is told to resume.
    pub(super) const fn is_released(&self) -> bool {
        self.released
    }

    /// Whether it has given its role away and leaves it to others.
    pub(super) const fn yields(&self) -> bool {
        self.yields
    }

    /// Whether the daemon stops.
    pub(super) const fn stops(&self) -> bool {
        self.stops
    }

    /// Stands otherwise, by another configuration; whether its priority is another one.
    pub(in super::super) fn reposition(&mut self, standing: Standing) -> bool {
        let changed = self.standing.priority != standing.priority;
        self.standing = standing;
        changed
    }

    /// Nobody keeps it out any more: it is in no group.
    pub(super) fn readmit(&mut self) {
        self.excluded = None;
    }

    /// The role of one that begins anew in the place of this one: what the operator wants of it stays.
    pub(super) fn anew(&self, priority: Priority) -> Self {
        let mut role = Self::new(priority, self.starts_at, self.released);
        role.yields = self.yields;
        // The connections are this node's, whatever virtual router they come by; nobody says it again.
        role.caught_up = self.caught_up;
        role
    }

    /// When it begins to take part.
    pub(super) const fn starts_at(&self) -> Option<Instant> {
        self.starts_at
    }

    /// What keeps it from taking part, but the interface.
    pub(super) fn fault(&self) -> Option<String> {
        self.own_fault().or_else(|| self.excluded.clone())
    }

    /// The same, but for what its group has against it.
    pub(super) fn own_fault(&self) -> Option<String> {
        let stops = self.stops.then(|| "the daemon stops".to_owned());
        let waits = || self.starts_at.map(|_| "waits for `vrrp.startup_delay`".to_owned());
        let unseated = || self.unseated.clone();
        stops.or_else(unseated).or_else(|| self.standing.fault()).or_else(waits)
    }

    /// What tracking makes of it.
    pub(super) const fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether this node has the Active's connections.
    pub(super) const fn has_caught_up(&self) -> bool {
        self.caught_up
    }

    /// It has become Active: what was given away is its own again.
    pub(super) const fn became_active(&mut self) {
        self.yields = false;
    }
}

/// Why an instance can't do what the operator wants.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RoleError {
    /// An address owner has its addresses whatever happens.
    #[error(
        "instance `{0}` has priority 255 here: this node owns its addresses and can't give them away; stop the daemon, or lower the \
         priority"
    )]
    Owner(String),
    /// Nothing to give away.
    #[error("instance `{0}` is not active here{1}")]
    NotActive(String, String),
}

impl Instance {
    /// What tracking makes of it: another rank, or faults.
    pub(in super::super) fn stand(&mut self, now: Instant, standing: Standing, means: Means<'_>) {
        // The same trackers for other reasons are no news: a script may have new words every time.
        let by = |standing: &Standing| -> Vec<Name> {
            standing.faults.iter().map(|fault| fault.tracker.clone()).collect()
        };
        if by(&self.role.standing) != by(&standing) && means.chatter.allows(now, Topic::Fault) {
            match standing.fault() {
                Some(fault) => {
                    tracing::warn!(instance = %self.config.name, fault, "the instance can't take part");
                }
                None => {
                    tracing::info!(instance = %self.config.name, "nothing that is tracked keeps the instance from taking part any more");
                }
            }
        }
        if self.role.standing.priority != standing.priority
            && means.chatter.allows(now, Topic::State)
        {
            tracing::info!(instance = %self.config.name, from = %self.role.standing.priority, to = %standing.priority, "tracking has changed the priority");
        }
        let changed = self.role.standing.priority != standing.priority;
        self.role.standing = standing;
        self.apply(now, means);
        if changed {
            self.notify(HookEvent::Priority, "tracking has changed the priority", means);
        }
    }

    /// This node has the Active's connections, or not (any more): then a living Active of lower priority is left alone for longer.
    pub(in super::super) fn catch_up(&mut self, now: Instant, caught_up: bool, means: Means<'_>) {
        if caught_up && self.waits_for_sync() {
            tracing::info!(instance = %self.config.name, "this node has caught up with the active node's connections");
        }
        self.role.caught_up = caught_up;
        self.apply(now, means);
    }

    /// Whether it would preempt, and waits until this node has the Active's connections.
    pub(super) fn waits_for_sync(&self) -> bool {
        let lower = matches!(self.router.state(), State::Backup { lower_since: Some(_), .. });
        lower
            && self.router.params().preempts()
            && self.config.wait_for_sync.is_some()
            && !self.role.caught_up
    }

    /// The interface of its virtual MAC address is missing, for a reason, or has come back.
    pub(in super::super) fn see_seat(
        &mut self,
        now: Instant,
        unseated: Option<String>,
        means: Means<'_>,
    ) {
        if let Some(fault) = unseated.as_ref().filter(|_| self.role.unseated.is_none())
            && means.chatter.allows(now, Topic::Fault)
        {
            tracing::warn!(instance = %self.config.name, fault, "the instance can't take part");
        }
        self.role.unseated = unseated;
        self.apply(now, means);
    }

    /// Its sync group keeps it out, for a reason, or lets it in again.
    pub(in super::super) fn exclude(
        &mut self,
        now: Instant,
        excluded: Option<String>,
        means: Means<'_>,
    ) {
        self.role.excluded = excluded;
        self.apply(now, means);
    }

    /// Whether it can do what the operator wants.
    ///
    /// # Errors
    /// It owns its addresses, or has no role to give away.
    pub(in super::super) fn may(&self, verb: RoleVerb) -> Result<(), RoleError> {
        let name = || self.config.name.to_string();
        if self.config.priority == Priority::OWNER {
            return Err(RoleError::Owner(name()));
        }
        match (verb, self.router.status()) {
            // It has given its role away and not got it back: said again, that is so already.
            (RoleVerb::Failover, Status::Backup | Status::Initialize) if !self.role.yields => {
                let active = self.router.active_address();
                let there = active.map(|other| format!(": say that on the node of {other}"));
                Err(RoleError::NotActive(name(), there.unwrap_or_default()))
            }
            _ => Ok(()),
        }
    }

    /// Steps back until it is told to resume. Says whether that is new.
    pub(in super::super) fn release(&mut self, now: Instant, means: Means<'_>) -> bool {
        let new = !self.role.released;
        self.role.released = true;
        // The goodbye comes before the new rank: that one is for whoever has heard the goodbye.
        self.step_down(now, means);
        self.apply(now, means);
        new
    }

    /// Gives its role away once: whoever takes it may keep it for as long as it lives. Says whether that is new.
    pub(in super::super) fn fail_over(&mut self, now: Instant, means: Means<'_>) -> bool {
        let new = self.router.status() == Status::Active;
        self.role.yields = true;
        self.step_down(now, means);
        self.apply(now, means);
        new
    }

    /// Takes part again as the configuration says. Says whether that is new.
    pub(in super::super) fn take_part_again(&mut self, now: Instant, means: Means<'_>) -> bool {
        let new = self.role.released || self.role.yields;
        self.role.released = false;
        self.role.yields = false;
        self.apply(now, means);
        new
    }

    /// Gives up the role of the Active, if it has it, and stays a Backup.
    pub(in super::super) fn step_down(&mut self, now: Instant, means: Means<'_>) {
        self.router.handle(now, Event::StepDown);
        self.act(means);
    }

    /// Gives up the role of the Active, waits for no other router, and stays a Backup.
    pub(in super::super) fn let_go(&mut self, now: Instant, means: Means<'_>) {
        self.router.handle(now, Event::Shutdown);
        self.router.handle(now, Event::Shutdown);
        if self.role.takes_part {
            self.router.handle(now, Event::Startup);
        }
        self.act(means);
    }

    /// Becomes Active now, if it is a Backup.
    pub(in super::super) fn take_over(&mut self, now: Instant, means: Means<'_>) {
        self.router.handle(now, Event::TakeOver);
        self.act(means);
    }

    /// Steps back for good: the addresses stay until another router has them, for four intervals at most.
    pub(in super::super) fn shut_down(&mut self, now: Instant, means: Means<'_>) {
        self.role.stops = true;
        self.apply(now, means);
    }

    /// Whether it takes no part any more and holds nothing.
    pub(in super::super) fn is_out(&self) -> bool {
        self.router.status() == Status::Initialize && self.lets_go_at.is_none()
    }

    /// The startup delay is over.
    pub(super) fn begin(&mut self, now: Instant, means: Means<'_>) {
        self.role.starts_at = None;
        self.apply(now, means);
    }

    /// Tells the machine what has changed of its rank, and of whether it takes part.
    pub(in super::super) fn apply(&mut self, now: Instant, means: Means<'_>) {
        match self.rank() {
            Ok(params) if params != *self.router.params() => {
                self.router.handle(now, Event::Reconfigure(params));
            }
            Ok(_) => {}
            Err(error) => {
                tracing::error!(instance = %self.config.name, %error, "a rank that no router can have")
            }
        }
        let takes_part = self.role.may_take_part();
        if takes_part != self.role.takes_part {
            self.role.takes_part = takes_part;
            let event = if takes_part { Event::Startup } else { Event::Shutdown };
            self.router.handle(now, event);
        }
        self.act(means);
    }

    /// The machine's parameters with the rank that counts now.
    fn rank(&self) -> Result<Params, super::StartError> {
        let Role { standing: Standing { priority, .. }, released, yields, .. } = self.role;
        let preempt = self.config.preempt && !released && !yields;
        let priority = if released { LAST } else { priority };
        let wait = self.config.wait_for_sync.filter(|_| !self.role.has_caught_up());
        let delay = self.config.preempt_delay.max(wait.unwrap_or_default());
        Ok(params(&self.config)?
            .with_priority(priority)?
            .with_preempt_mode(preempt)
            .with_preempt_delay(delay))
    }
}
