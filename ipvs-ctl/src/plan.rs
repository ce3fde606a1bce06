//! The fewest operations that turn the kernel's table into the desired one.
//!
//! Pure: two tables in, a list out. It never flushes, and it never deletes what it will add again, but for a destination that has to
//! move (see below): a deleted destination keeps its connections only if it comes back, and until then it lies for two minutes in a
//! list that every addition walks through.
//!
//! Invariants, each with a property test:
//! - Each service and each destination is touched at most once, and only where it differs, but for those that have to move. The
//!   kernel changes everything but the key in place, the forwarding method among it (its connections keep the method that they
//!   began with).
//! - Within a service: additions and raises, then the service's own settings, then drops and removals. So no moment exists in
//!   which a service has less weight than both before and after; and `mh` gets its fallback flag before a destination drops
//!   to weight 0, and loses it after that destination is back.
//! - Services that go are removed last, so that a firewall mark or another address may take over before.
//!
//! The order of destinations is the business of [`in_order`]: the kernel puts a new destination at the head of its service's list,
//! and `mh`, `sh` and `dh` build their tables along that list, so two directors map flows alike only when their lists are alike.
//! Additions come in ascending order of address, hence two directors that each programmed a service from nothing agree. A list
//! that grew otherwise (a server added while running, an adopted table) is put in order where the caller says how it is now.

mod daemons;
mod order;
mod unlike;

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;

pub use self::daemons::{DaemonOperation, is_as, plan_daemons};
pub use self::order::{Orders, is_canonical};
pub use self::unlike::Unlike;
use crate::model::{Destination, Entry, ServiceKey, Table, VirtualService};

/// What becomes of services in the kernel that are not desired.
///
/// Destinations of a desired service are never foreign: those that are not desired go.
#[derive(Clone, Copy, Debug)]
pub enum Foreign<'a> {
    /// They stay, but for those that the caller once made.
    Keep {
        /// The keys of the services that the caller has made or adopted: remember them across restarts.
        owned: &'a BTreeSet<ServiceKey>,
    },
    /// They go.
    Remove,
}

impl Foreign<'_> {
    fn removes(self, key: &ServiceKey) -> bool {
        match self {
            Self::Keep { owned } => owned.contains(key),
            Self::Remove => true,
        }
    }
}

/// One change of the kernel's table. It displays as what is done to which object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Adds a service without destinations.
    NewService(VirtualService),
    /// Changes every setting of a service but its key.
    SetService(VirtualService),
    /// Removes a service with its destinations.
    DelService(ServiceKey),
    /// Adds a destination.
    NewDestination {
        /// Its service.
        service: ServiceKey,
        /// The destination.
        destination: Destination,
    },
    /// Changes every setting of a destination but its address and port.
    SetDestination {
        /// Its service.
        service: ServiceKey,
        /// The destination.
        destination: Destination,
    },
    /// Removes a destination.
    DelDestination {
        /// Its service.
        service: ServiceKey,
        /// Its address and port.
        address: SocketAddr,
    },
}

impl Operation {
    /// The service that is changed, or whose destination is.
    pub const fn service(&self) -> ServiceKey {
        match self {
            Self::NewService(service) | Self::SetService(service) => service.key,
            Self::DelService(service)
            | Self::NewDestination { service, .. }
            | Self::SetDestination { service, .. }
            | Self::DelDestination { service, .. } => *service,
        }
    }

    /// The destination that is changed, if it is one.
    pub const fn destination(&self) -> Option<SocketAddr> {
        match self {
            Self::NewService(_) | Self::SetService(_) | Self::DelService(_) => None,
            Self::NewDestination { destination, .. } | Self::SetDestination { destination, .. } => {
                Some(destination.address)
            }
            Self::DelDestination { address, .. } => Some(*address),
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NewService(service) => write!(f, "add service {}", service.key),
            Self::SetService(service) => write!(f, "change service {}", service.key),
            Self::DelService(service) => write!(f, "remove service {service}"),
            Self::NewDestination { service, destination } => {
                write!(f, "add destination {} to {service}", destination.address)
            }
            Self::SetDestination { service, destination } => {
                write!(f, "change destination {} of {service}", destination.address)
            }
            Self::DelDestination { service, address } => {
                write!(f, "remove destination {address} from {service}")
            }
        }
    }
}

/// The operations that turn `kernel` into `desired`, in the order in which to send them; none when nothing differs.
///
/// Each entry sits under its own key in the map, which is for the caller to see to.
pub fn plan(desired: &Table, kernel: &Table, foreign: Foreign<'_>) -> Vec<Operation> {
    in_order(desired, kernel, &Orders::new(), foreign)
}

/// As [`plan`], where the order of destinations is known in `orders`: those of services whose scheduler maps flows by it
/// ([`crate::model::Scheduler::depends_on_order`]) are also put into the canonical order.
///
/// A destination can only be moved by taking it out and putting it in again. The two stand next to each other in the plan, and what
/// the kernel took out it puts in again as the same object, with its connections and counters (`ip_vs_trash_get_dest`).
///
/// `desired` may be a selection of a table's entries.
pub fn in_order<E: Borrow<Entry>>(
    desired: &BTreeMap<ServiceKey, E>,
    kernel: &Table,
    orders: &Orders,
    foreign: Foreign<'_>,
) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (key, wanted) in desired {
        let wanted = wanted.borrow();
        match kernel.get(key) {
            None => add(wanted, &mut operations),
            Some(present) => {
                let order = orders.get(key).filter(|_| wanted.service.scheduler.depends_on_order());
                let moved = order.map(|order| order::to_move(wanted, order)).unwrap_or_default();
                change(wanted, present, &moved, &mut operations);
            }
        }
    }
    let unwanted = kernel.keys().filter(|key| !desired.contains_key(key) && foreign.removes(key));
    operations.extend(unwanted.copied().map(Operation::DelService));
    operations
}

fn add(wanted: &Entry, operations: &mut Vec<Operation>) {
    let service = wanted.service.key;
    operations.push(Operation::NewService(wanted.service.clone()));
    operations.extend(
        wanted
            .destinations
            .values()
            .map(|destination| Operation::NewDestination { service, destination: *destination }),
    );
}

/// `moved` are the destinations that have to be put in again, so that the list is in order when all additions came in theirs.
fn change(
    wanted: &Entry,
    present: &Entry,
    moved: &BTreeSet<SocketAddr>,
    operations: &mut Vec<Operation>,
) {
    let service = wanted.service.key;
    let mut drops = Vec::new();
    for (address, destination) in &wanted.destinations {
        let destination = *destination;
        match present.destinations.get(address) {
            None => operations.push(Operation::NewDestination { service, destination }),
            Some(_) if moved.contains(address) => {
                operations.push(Operation::DelDestination { service, address: *address });
                operations.push(Operation::NewDestination { service, destination });
            }
            Some(before) if *before == destination => {}
            Some(before) if capacity(&destination) < capacity(before) => {
                drops.push(Operation::SetDestination { service, destination });
            }
            Some(_) => operations.push(Operation::SetDestination { service, destination }),
        }
    }
    if wanted.service != present.service {
        operations.push(Operation::SetService(wanted.service.clone()));
    }
    operations.append(&mut drops);
    operations.extend(
        missing(&present.destinations, &wanted.destinations)
            .map(|address| Operation::DelDestination { service, address }),
    );
}

/// The addresses of `present` that `wanted` lacks.
fn missing(
    present: &BTreeMap<SocketAddr, Destination>,
    wanted: &BTreeMap<SocketAddr, Destination>,
) -> impl Iterator<Item = SocketAddr> {
    present.keys().filter(|address| !wanted.contains_key(address)).copied()
}

/// What orders a change among raises and drops: the weight, then the threshold (0 = none = the most).
const fn capacity(destination: &Destination) -> (u32, u32) {
    (destination.weight, destination.upper_threshold.wrapping_sub(1))
}
