//! What happened, for the log and the event stream.

use std::fmt;

use holdfast_config::Name;
use holdfast_health::{Reason, State};

use crate::order::Order;
use crate::weight::WHOLE;

/// Something that an operator wants to read about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// A server's checks changed their mind.
    Health {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// What they said before.
        from: State,
        /// What they say now.
        to: State,
        /// Why.
        reason: Reason,
    },
    /// A server was added by a command.
    Added {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// Who did it, and why.
        order: Order,
    },
    /// A server of the kernel's table is in no configuration: it drains and is removed.
    Found {
        /// The service.
        service: Name,
        /// The name that it was given.
        server: Name,
    },
    /// A server's weight was changed by a command.
    Weight {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// The configured weight and the operator's share of it, in percent, as they were.
        from: (u32, u32),
        /// As they are.
        to: (u32, u32),
        /// Who did it, and why.
        order: Order,
    },
    /// A server drains.
    Draining {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// Whether it is removed at the end.
        then_remove: bool,
        /// Who did it, and why.
        order: Order,
    },
    /// A server has drained.
    Drained {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// How many connections, active and inactive, were counted last before the deadline cut them short; 0 when it ended by
        /// itself.
        left: u64,
    },
    /// A server takes nothing new and is not checked.
    Maintained {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// Who did it, and why.
        order: Order,
    },
    /// A server was taken back from a drain or from maintenance.
    Ready {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// Who did it, and why.
        order: Order,
    },
    /// A server left its pool.
    Removed {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// Who did it, and why.
        order: Order,
    },
}

impl Report {
    /// What happened, in a word that does not change: `server.down`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Health { to: State::Up, .. } => "server.up",
            Self::Health { to: State::Down, .. } => "server.down",
            Self::Health { to: State::Starting, .. } => "server.starting",
            Self::Added { .. } => "server.added",
            Self::Found { .. } => "server.found",
            Self::Weight { .. } => "server.weight",
            Self::Draining { .. } => "server.draining",
            Self::Drained { .. } => "server.drained",
            Self::Maintained { .. } => "server.maint",
            Self::Ready { .. } => "server.ready",
            Self::Removed { .. } => "server.removed",
        }
    }

    /// The service and the server that it is about.
    pub const fn subject(&self) -> (&Name, &Name) {
        match self {
            Self::Health { service, server, .. }
            | Self::Added { service, server, .. }
            | Self::Found { service, server }
            | Self::Weight { service, server, .. }
            | Self::Draining { service, server, .. }
            | Self::Drained { service, server, .. }
            | Self::Maintained { service, server, .. }
            | Self::Ready { service, server, .. }
            | Self::Removed { service, server, .. } => (service, server),
        }
    }

    /// Who did it and why, where somebody did.
    pub const fn order(&self) -> Option<&Order> {
        match self {
            Self::Health { .. } | Self::Found { .. } | Self::Drained { .. } => None,
            Self::Added { order, .. }
            | Self::Weight { order, .. }
            | Self::Draining { order, .. }
            | Self::Maintained { order, .. }
            | Self::Ready { order, .. }
            | Self::Removed { order, .. } => Some(order),
        }
    }
}

/// What happened, without the names that [`Report::subject`] has: `up → down: connect to 10.0.0.11:80: refused`.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health { from, to, reason, .. } => {
                write!(f, "{from} → {to}: {}", reason.sentence)?
            }
            Self::Added { .. } => f.write_str("added")?,
            Self::Found { .. } => f.write_str(
                "in the kernel's table and in no configuration: drains, then is removed",
            )?,
            Self::Weight { from, to, .. } => {
                write!(f, "weight {} → {}", Weight(*from), Weight(*to))?
            }
            Self::Draining { then_remove: false, .. } => f.write_str("drains")?,
            Self::Draining { then_remove: true, .. } => f.write_str("drains, then is removed")?,
            Self::Drained { left: 0, .. } => f.write_str("drained")?,
            Self::Drained { left, .. } => {
                write!(f, "drained by its deadline with {left} connections left")?
            }
            Self::Maintained { .. } => f.write_str("in maintenance, and not checked")?,
            Self::Ready { .. } => f.write_str("taken back")?,
            Self::Removed { .. } => f.write_str("removed")?,
        }
        self.order().map_or(Ok(()), |order| write!(f, "{order}"))
    }
}

/// A configured weight and the share of it.
struct Weight((u32, u32));

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            (configured, WHOLE) => write!(f, "{configured}"),
            (configured, share) => write!(f, "{share}% of {configured}"),
        }
    }
}
