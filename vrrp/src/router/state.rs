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
}

impl State {
    /// The state's name.
    pub const fn status(&self) -> Status {
        match self {
            Self::Initialize => Status::Initialize,
            Self::Backup { .. } => Status::Backup,
            Self::Active { .. } => Status::Active,
        }
    }

    /// When the timer fires, and which it is.
    pub const fn deadline(&self) -> Option<(Instant, Timer)> {
        match *self {
            Self::Initialize => None,
            Self::Backup { active_down, .. } => Some((active_down, Timer::ActiveDown)),
            Self::Active { adver, .. } => Some((adver, Timer::Adver)),
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
}

impl Status {
    /// The name in logs, metrics and status; the serialized form is the same.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Initialize => "initialize",
            Self::Backup => "backup",
            Self::Active => "active",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
