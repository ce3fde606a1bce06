//! What happened, for the log and the event stream.

use std::fmt;
use std::net::SocketAddr;

use holdfast_config::{Name, Quorum};
use holdfast_health::{Reason, State, Wish};
use ipvs_ctl::model::{Forwarding, ServiceKey};

use crate::order::Order;
use crate::quorum::{QuorumState, Regime};
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
    /// A server's agent wants something else for it than before.
    Wishes {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// What it wanted before.
        from: Wish,
        /// What it wants now.
        to: Wish,
    },
    /// A service has gained or lost its quorum.
    Quorum {
        /// The service.
        service: Name,
        /// What it was before.
        from: QuorumState,
        /// What it is now.
        to: QuorumState,
        /// The weight of its servers that can serve.
        weight: u64,
        /// What it takes.
        quorum: Quorum,
        /// Who takes new connections from now on.
        regime: Regime,
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
    /// A server is called otherwise: its name was given to another one by the configuration, or the configuration has a name for it.
    Renamed {
        /// The service.
        service: Name,
        /// Its name before.
        from: Name,
        /// Its name now.
        server: Name,
    },
    /// A server that was added by a command does not fit into its service as the configuration has it now: it drains and is removed.
    Misfit {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// The rule that it breaks.
        reason: String,
    },
    /// The lease of a server has ended: it drains and is removed.
    LeaseEnded {
        /// The service.
        service: Name,
        /// The server.
        server: Name,
        /// Its address.
        address: SocketAddr,
    },
    /// The configuration has a service that it had not.
    ServiceAdded {
        /// The service.
        service: Name,
    },
    /// The configuration has a service no longer: it goes when its servers have drained.
    ServiceLeaving {
        /// The service.
        service: Name,
    },
    /// An address that a service listens on no longer has left the kernel's table.
    ListenRemoved {
        /// The service.
        service: Name,
        /// The address.
        listen: ServiceKey,
        /// How many connections were counted last before the deadline cut them short; 0 when it ended by itself.
        left: u64,
    },
    /// What the connections need that began while a service forwarded otherwise is needed no longer.
    MethodEnded {
        /// The service.
        service: Name,
        /// How it forwarded before.
        forwarding: Forwarding,
        /// How many connections of the service, of either method, were counted last before the deadline; 0 when there were none.
        left: u64,
    },
    /// A service is gone.
    ServiceRemoved {
        /// The service.
        service: Name,
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
            Self::Wishes { .. } => "server.wishes",
            Self::Quorum { to: QuorumState::Up, .. } => "service.up",
            Self::Quorum { to: QuorumState::Down, .. } => "service.down",
            Self::Quorum { to: QuorumState::Starting, .. } => "service.starting",
            Self::Added { .. } => "server.added",
            Self::Found { .. } => "server.found",
            Self::Weight { .. } => "server.weight",
            Self::Draining { .. } => "server.draining",
            Self::Drained { .. } => "server.drained",
            Self::Maintained { .. } => "server.maint",
            Self::Ready { .. } => "server.ready",
            Self::Renamed { .. } => "server.renamed",
            Self::Misfit { .. } => "server.misfit",
            Self::LeaseEnded { .. } => "server.lease_ended",
            Self::Removed { .. } => "server.removed",
            Self::ServiceAdded { .. } => "service.added",
            Self::ServiceLeaving { .. } => "service.leaving",
            Self::ListenRemoved { .. } => "service.left_address",
            Self::MethodEnded { .. } => "service.left_method",
            Self::ServiceRemoved { .. } => "service.removed",
        }
    }

    /// The service and, where it is about one, the server.
    pub const fn subject(&self) -> (&Name, Option<&Name>) {
        match self {
            Self::Health { service, server, .. }
            | Self::Wishes { service, server, .. }
            | Self::Added { service, server, .. }
            | Self::Found { service, server }
            | Self::Weight { service, server, .. }
            | Self::Draining { service, server, .. }
            | Self::Drained { service, server, .. }
            | Self::Maintained { service, server, .. }
            | Self::Ready { service, server, .. }
            | Self::Renamed { service, server, .. }
            | Self::Misfit { service, server, .. }
            | Self::LeaseEnded { service, server, .. }
            | Self::Removed { service, server, .. } => (service, Some(server)),
            Self::Quorum { service, .. }
            | Self::ServiceAdded { service }
            | Self::ServiceLeaving { service }
            | Self::ListenRemoved { service, .. }
            | Self::MethodEnded { service, .. }
            | Self::ServiceRemoved { service } => (service, None),
        }
    }

    /// Who did it and why, where somebody did.
    pub const fn order(&self) -> Option<&Order> {
        match self {
            Self::Health { .. }
            | Self::Wishes { .. }
            | Self::Found { .. }
            | Self::Drained { .. }
            | Self::Renamed { .. }
            | Self::Misfit { .. }
            | Self::Quorum { .. }
            | Self::LeaseEnded { .. }
            | Self::ServiceAdded { .. }
            | Self::ServiceLeaving { .. }
            | Self::ListenRemoved { .. }
            | Self::MethodEnded { .. }
            | Self::ServiceRemoved { .. } => None,
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
            Self::Wishes { from, to, .. } => {
                write!(f, "its agent says {} after {}", to.label(), from.label())?
            }
            Self::Quorum { from, to, weight, quorum, regime, .. } => {
                write!(f, "{from} → {to}: weight {weight}, {}", Needed(*quorum))?;
                f.write_str(match regime {
                    Regime::Normal => "",
                    Regime::Sorry => "; the sorry servers take new connections",
                    Regime::FailOpen => {
                        "; all servers take new connections, whatever their checks say"
                    }
                })?;
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
            Self::Removed { .. } | Self::ServiceRemoved { .. } => f.write_str("removed")?,
            Self::Renamed { from, .. } => write!(f, "was called {from} before")?,
            Self::Misfit { reason, .. } => write!(f, "drains, then is removed: {reason}")?,
            Self::LeaseEnded { .. } => {
                f.write_str("its lease has ended: drains, then is removed")?
            }
            Self::ServiceAdded { .. } => f.write_str("added")?,
            Self::ServiceLeaving { .. } => f.write_str("drains, then is removed")?,
            Self::ListenRemoved { listen, left, .. } => {
                write!(f, "has left {listen}, with {left} connections left")?
            }
            Self::MethodEnded { forwarding, left: 0, .. } => {
                write!(f, "no connection is left of `forward: {}`", forwarding.word())?
            }
            Self::MethodEnded { forwarding, left, .. } => write!(
                f,
                "{left} connections are left, and those among them that began with `forward: {}` are waited for no longer",
                forwarding.word()
            )?,
        }
        self.order().map_or(Ok(()), |order| write!(f, "{order}"))
    }
}

/// What a quorum takes.
pub(crate) struct Needed(pub(crate) Quorum);

impl fmt::Display for Needed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Quorum { weight, hysteresis, .. } = self.0;
        match hysteresis {
            0 => write!(f, "quorum {weight}"),
            more => write!(f, "quorum {weight} ± {more}"),
        }
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
