//! A real server in its pool: what the operator wants of it, what its checks say, and the weight that follows.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{CheckKind, OnFailure, RealServer, Service};
use holdfast_health::{Code, Damper, Reason, State, Wish};
use holdfast_time::Instant;

use crate::advice::{Advice, SILENT};
use crate::checking::CheckId;
use crate::drain::Drain;
use crate::order::{Order, Standing};
use crate::quorum::Regime;
use crate::ramp::Ramp;
use crate::weight::{Factors, WHOLE};

/// A real server in its pool.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) definition: Arc<RealServer>,
    pub(crate) origin: Origin,
    pub(crate) admin: Admin,
    /// Who ordered `admin`, where it is not [`Admin::Ready`]. Boxed, like everything that few servers have, because there may be a hundred thousand
    /// servers.
    pub(crate) standing: Option<Box<Standing>>,
    /// The operator's share of the configured weight, in percent.
    pub(crate) share: u32,
    /// Its slow start, while it has one.
    pub(crate) ramp: Option<Box<Ramp>>,
    /// What its checks say of its weight, where they say anything.
    pub(crate) advice: Option<Box<Advice>>,
    /// Whether it comes and goes too often.
    pub(crate) damper: Damper,
    pub(crate) health: State,
    pub(crate) reason: Reason,
    pub(crate) since: Instant,
    pub(crate) health_since: Instant,
    pub(crate) checks: Vec<CheckId>,
}

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration's file.
    Config,
    /// A command.
    Runtime,
    /// A command, for a time: it drains when it is not registered again.
    Lease,
    /// A file in the directory of its service's `discover`.
    Discovered,
    /// The kernel's table, in which the daemon found it at its start: a server of an earlier configuration, or of a command that an
    /// earlier daemon was given. It drains and is removed, so that its connections are not cut.
    Kernel,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::Runtime => "runtime",
            Self::Lease => "lease",
            Self::Discovered => "discovered",
            Self::Kernel => "kernel",
        })
    }
}

/// What the operator wants of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admin {
    /// It serves while its checks pass.
    Ready,
    /// It finishes what it has and takes nothing new.
    Drain(Box<Drain>),
    /// It takes nothing new, and nobody checks it.
    Maint,
}

/// What the kernel's table should have of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A destination of this weight.
    Weight(u32),
    /// Nothing.
    Absent,
}

/// A check as `status` shows it.
#[derive(Clone, Debug)]
pub struct CheckView<'a> {
    /// What is tried.
    pub kind: &'a CheckKind,
    /// What it says.
    pub health: State,
    /// What the last run found, counted or not; the checker says which.
    pub reason: &'a Reason,
    /// How long the last run took; none before the first has ended.
    pub took: Option<Duration>,
}

impl Server {
    /// Its name, address, configured weight and own checks.
    pub fn definition(&self) -> &RealServer {
        &self.definition
    }

    /// Where it comes from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// What the operator wants of it.
    pub const fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Who wants [`Self::admin`] and why; none of a server that is [`Admin::Ready`].
    pub fn standing(&self) -> Option<&Standing> {
        self.standing.as_deref()
    }

    /// The operator's share of the configured weight, in percent.
    pub const fn share(&self) -> u32 {
        self.share
    }

    /// How far its slow start has come, in percent; none when it has none.
    pub fn ramp_percent(&self) -> Option<u32> {
        self.ramp.as_deref().copied().map(Ramp::percent)
    }

    /// What its checks say of its weight.
    pub fn advice(&self) -> &Advice {
        self.advice.as_deref().unwrap_or(&SILENT)
    }

    /// What its checks say together; down while it is kept down because it came and went.
    pub const fn health(&self) -> State {
        self.health
    }

    /// Why its checks say so.
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether the operator keeps new connections from it.
    pub const fn is_out_of_service(&self) -> bool {
        !matches!(self.admin, Admin::Ready)
    }

    /// For how long [`Self::state`] has been the same.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.since)
    }

    /// For how long [`Self::health`] has been the same, whatever the operator wants.
    pub fn health_age(&self, now: Instant) -> Duration {
        now.saturating_since(self.health_since)
    }

    /// What it is at now, in a word: `up`, `down`, `starting`, `draining`, `drained`, `maint`.
    pub fn state(&self) -> &'static str {
        match (&self.admin, self.health) {
            (Admin::Drain(drain), _) if drain.drained => "drained",
            (Admin::Drain(_), _) => "draining",
            (Admin::Maint, _) => "maint",
            (Admin::Ready, State::Up) => "up",
            (Admin::Ready, State::Down) => "down",
            (Admin::Ready, State::Starting) => "starting",
        }
    }

    /// What the kernel's table should have of this server in `service` under this regime.
    ///
    /// | operator wants   | checks say     | regime    | kernel has                                                         |
    /// |------------------|----------------|-----------|--------------------------------------------------------------------|
    /// | ready            | up             | normal    | the product of its `Factors`                                       |
    /// | ready            | up, and an agent says `drain` | normal, fail open | weight 0                                       |
    /// | ready            | up, and an agent says `maint` | normal, fail open | as of one that is down                         |
    /// | ready            | any            | fail open | the same                                                           |
    /// | ready            | down, starting | normal    | by the service's `on_failure`: weight 0, so that its connections can end and come back, or nothing |
    /// | ready            | any            | sorry     | the same                                                           |
    /// | maint            | nothing        | any       | the same                                                           |
    /// | drain            | any            | any       | weight 0                                                           |
    /// | drain, drained   | any            | any       | nothing; under a scheduler that hashes flows weight 0, because a deletion would move the flows of others |
    pub fn presence(&self, service: &Service, regime: Regime) -> Presence {
        let serves = self.serves(regime);
        let out = match &self.admin {
            Admin::Ready if serves || self.is_let_end(regime) => false,
            Admin::Ready | Admin::Maint => service.policy.on_failure == OnFailure::Remove,
            Admin::Drain(drain) => drain.drained && !service.scheduler.hashes_flows(),
        };
        if out {
            return Presence::Absent;
        }
        let factors = Factors { serves, ..self.factors() };
        Presence::Weight(factors.weight(service.weight_scale()))
    }

    /// Whether it takes new clients under this regime.
    fn serves(&self, regime: Regime) -> bool {
        self.admin == Admin::Ready
            && self.advice().wish() == Wish::Ready
            && match regime {
                Regime::Normal => self.health == State::Up,
                Regime::FailOpen => true,
                Regime::Sorry => false,
            }
    }

    /// Whether its agent has it take no new clients and finish what it has.
    fn is_let_end(&self, regime: Regime) -> bool {
        regime != Regime::Sorry && self.health == State::Up && self.advice().wish() == Wish::Drain
    }

    /// What its weight is made of under [`Regime::Normal`].
    fn factors(&self) -> Factors {
        Factors {
            configured: self.advice().weight(self.definition.weight),
            share: self.share,
            serves: self.serves(Regime::Normal),
            ramp: self.ramp_percent().unwrap_or(WHOLE),
            feedback: self.advice().percent(),
        }
    }

    /// What it counts for in the quorum: its whole weight, whatever its slow start has come to, in units of the configuration.
    pub(crate) fn worth(&self) -> u64 {
        Factors { ramp: WHOLE, ..self.factors() }.weight(1).into()
    }

    /// Whether it may still count for the quorum once its first checks have finished. One whose checks could not be made is no longer waited
    /// for: what its service has for servers that are down (sorry servers, fail open) is better than nothing.
    pub(crate) fn is_awaited(&self) -> bool {
        self.admin == Admin::Ready
            && self.health == State::Starting
            && self.reason.code == Code::INI
    }

    /// Takes over the reason of an order that was given again, if it has one. Returns whether it is another one than before.
    pub(crate) fn adopt_reason(&mut self, order: &Order) -> bool {
        let Some(standing) = &mut self.standing else { return false };
        let news = order.reason.is_some() && standing.order.reason != order.reason;
        if news {
            standing.order = order.clone();
        }
        news
    }

    /// Whether it drains and has not drained yet.
    pub(crate) fn is_draining(&self) -> bool {
        matches!(&self.admin, Admin::Drain(drain) if !drain.drained)
    }
}
