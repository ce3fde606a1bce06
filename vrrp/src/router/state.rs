//! The states of a virtual router.

use std::fmt;
use std::net::IpAddr;

use holdfast_time::Instant;
use serde::Serialize;

use super::{Reason, Timer};
use crate::types::Interval;

/// Where a virtual router stands (RFC 9568 §6.4), with the only timer that it may have there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It does not take part: not told to, or without an interface.
    Initialize,
    /// It waits for the Active to fail.
    Backup {
        /// Active_Down_Timer: when it takes over.
        active_down: Instant,
        /// Active_Adver_Interval, learned from the Active; its own as long as none was heard.
        active_adver_interval: Interval,
        /// Who was last accepted as the Active.
        active: Option<IpAddr>,
        /// The reason that taking over would have, were the timer to fire now.
        takeover: Reason,
        /// Since when the Active is one of lower priority: where the preempt delay begins. None when the last advertisement was
        /// of our priority or a higher one.
        lower_since: Option<Instant>,
    },
    /// It has the addresses and advertises.
    Active {
        /// Adver_Timer: when it advertises next.
        adver: Instant,
        /// When it advertised last.
        advertised: Instant,
        /// From when on a Backup that has heard nothing since may have taken over: Active_Down_Interval after that advertisement.
        forfeit: Instant,
        /// How many of the coming timed advertisements bring an announcement along: after a contest, the loser's announcement
        /// may have been the last one on the link.
        announcements: u8,
    },
    /// It was Active and has said with priority 0 that it gives up. It keeps the addresses until another router advertises, so
    /// that clients see no gap (not in the RFC).
    Releasing {
        /// When it waits no longer ([`crate::Params::release_interval`]).
        give_up: Instant,
    },
}

impl State {
    /// The state's name.
    pub const fn status(&self) -> Status {
        match self {
            Self::Initialize => Status::Initialize,
            Self::Backup { .. } => Status::Backup,
            Self::Active { .. } => Status::Active,
            Self::Releasing { .. } => Status::Releasing,
        }
    }

    /// When the timer fires, and which it is.
    pub const fn deadline(&self) -> Option<(Instant, Timer)> {
        match *self {
            Self::Initialize => None,
            Self::Backup { active_down, .. } => Some((active_down, Timer::ActiveDown)),
            Self::Active { adver, .. } => Some((adver, Timer::Adver)),
            Self::Releasing { give_up } => Some((give_up, Timer::Release)),
        }
    }
}

/// A state's name (RFC 6527 `vrrpv3OperationsStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It does not take part.
    Initialize,
    /// It waits for the Active to fail.
    Backup,
    /// It has the addresses.
    Active,
    /// It gives up, and has the addresses until another router is heard. To RFC 6527 it is a backup.
    Releasing,
}

impl Status {
    /// Whether a router in this state has the addresses.
    pub const fn holds_addresses(self) -> bool {
        match self {
            Self::Initialize | Self::Backup => false,
            Self::Active | Self::Releasing => true,
        }
    }

    /// The name in logs, metrics and status; the serialized form is the same.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Releasing => "releasing",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
