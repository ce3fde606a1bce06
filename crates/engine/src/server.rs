//! A real server in its pool: what the operator wants of it, what its checks say, and the weight that follows.

use std::fmt;
use std::time::Duration;

use holdfast_config::{CheckKind, RealServer};
use holdfast_health::{Outcome, Reason, State};
use holdfast_time::Instant;

use crate::drain::Drain;
use crate::engine::CheckId;

/// A real server in its pool.
#[derive(Clone, Debug)]
pub struct Server {
    pub(crate) definition: RealServer,
    pub(crate) origin: Origin,
    pub(crate) admin: Admin,
    pub(crate) health: State,
    pub(crate) reason: Reason,
    pub(crate) since: Instant,
    pub(crate) checks: Vec<CheckId>,
}

/// Where a server comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration's file.
    Config,
    /// A command: it does not outlive the daemon.
    Runtime,
    /// The kernel's table, in which the daemon found it at its start: a server of an earlier configuration, or of a command that an
    /// earlier daemon was given. It drains and is removed, so that its connections are not cut.
    Kernel,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::Runtime => "runtime",
            Self::Kernel => "kernel",
        })
    }
}

/// What the operator wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admin {
    /// It serves while its checks pass.
    Ready,
    /// It finishes what it has and takes nothing new.
    Drain(Drain),
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
    /// What the last run found; none before the first.
    pub last: Option<&'a Outcome>,
}

impl Server {
    /// Its name, address, configured weight and own checks.
    pub const fn definition(&self) -> &RealServer {
        &self.definition
    }

    /// Where it comes from.
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// What the operator wants of it.
    pub const fn admin(&self) -> Admin {
        self.admin
    }

    /// What its checks say together: down by one that fails, up when all pass.
    pub const fn health(&self) -> State {
        self.health
    }

    /// Why its checks say so.
    pub const fn reason(&self) -> &Reason {
        &self.reason
    }

    /// Whether the operator keeps new connections from it.
    pub const fn is_out_of_service(&self) -> bool {
        matches!(self.admin, Admin::Drain(_))
    }

    /// How long [`Self::state`] has said what it says.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_since(self.since)
    }

    /// What it is at now, in a word: `up`, `down`, `starting`, `draining`, `drained`.
    pub fn state(&self) -> &'static str {
        match (self.admin, self.health) {
            (Admin::Drain(Drain { drained: true, .. }), _) => "drained",
            (Admin::Drain(_), _) => "draining",
            (Admin::Ready, State::Up) => "up",
            (Admin::Ready, State::Down) => "down",
            (Admin::Ready, State::Starting) => "starting",
        }
    }

    /// What the kernel's table should have of this server.
    ///
    /// | operator wants   | checks say     | kernel has                                                         |
    /// |------------------|----------------|--------------------------------------------------------------------|
    /// | ready            | up             | the configured weight                                              |
    /// | ready            | down, starting | weight 0, so that its connections can end and come back; with persistence nothing, because a remembered client would be sent to it still |
    /// | drain            | any            | weight 0                                                           |
    /// | drain, drained   | any            | nothing; under a scheduler that hashes flows weight 0, because a deletion would move the flows of others |
    pub fn presence(&self, keep_drained: bool, persistent: bool) -> Presence {
        match (self.admin, self.health) {
            (Admin::Ready, State::Up) => Presence::Weight(self.definition.weight),
            (Admin::Ready, State::Down | State::Starting) if persistent => Presence::Absent,
            (Admin::Drain(Drain { drained: true, .. }), _) if !keep_drained => Presence::Absent,
            (Admin::Ready | Admin::Drain(_), _) => Presence::Weight(0),
        }
    }

    /// Whether it drains and has not drained yet.
    pub(crate) const fn is_draining(&self) -> bool {
        matches!(self.admin, Admin::Drain(Drain { drained: false, .. }))
    }
}
