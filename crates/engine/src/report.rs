//! What happened, for the log and the event stream.

use std::fmt;

use holdfast_config::Name;
use holdfast_health::{Reason, State};

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
    },
    /// A server of the kernel's table is in no configuration: it drains and is removed.
    Found {
        /// The service.
        service: Name,
        /// The name that it was given.
        server: Name,
    },
    /// A server's configured weight was changed by a command.
    Weight {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// What it was.
        from: u32,
        /// What it is.
        to: u32,
    },
    /// A server drains.
    Draining {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
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
    /// A server was taken back from a drain.
    Ready {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
    },
    /// A server left its pool.
    Removed {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
    },
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Health { service, server, from, to, reason } => {
                write!(f, "{service}/{server} {from} → {to}: {}", reason.sentence)
            }
            Self::Added { service, server } => write!(f, "{service}/{server} added"),
            Self::Found { service, server } => write!(
                f,
                "{service}/{server} is in the kernel's table and not in the configuration: drains, then is removed"
            ),
            Self::Weight { service, server, from, to } => {
                write!(f, "{service}/{server} weight {from} → {to}")
            }
            Self::Draining { service, server } => write!(f, "{service}/{server} drains"),
            Self::Drained { service, server, left: 0 } => write!(f, "{service}/{server} drained"),
            Self::Drained { service, server, left } => {
                write!(f, "{service}/{server} drained by its deadline with {left} connections left")
            }
            Self::Ready { service, server } => write!(f, "{service}/{server} ready"),
            Self::Removed { service, server } => write!(f, "{service}/{server} removed"),
        }
    }
}
