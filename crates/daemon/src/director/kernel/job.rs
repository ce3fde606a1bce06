//! What the director gives the thread to do, and what it gets back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use holdfast_config::ForeignServices;
use holdfast_engine::Connections;
use ipvs_ctl::client::{ClientError, Report, Status};
use ipvs_ctl::model::{Counters, ServiceKey, Table};
use ipvs_ctl::plan::Operation;
use tokio::sync::oneshot;

use super::super::refusals::Refused;

/// The connections of each destination of each service; one that is not in it has none.
pub(in crate::director) type Counts = BTreeMap<(ServiceKey, SocketAddr), Connections>;

/// The kernel's counters of each service, since the service was made.
pub(in crate::director) type Traffic = BTreeMap<ServiceKey, Counters>;

/// The kernel's counters and rates of each destination of each service; one that is not in it has had no traffic.
pub(in crate::director) type Shares = BTreeMap<(ServiceKey, SocketAddr), Counters>;

/// A comparison: what the table is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(super) desired: Table,
    pub(super) scope: Scope,
    /// Services that were refused and are not to be tried again yet.
    pub(super) held: BTreeSet<ServiceKey>,
    /// All services that were themselves refused, `held` ones included.
    pub(super) refused: BTreeSet<ServiceKey>,
}

/// How much of the table an order is about.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// Only the services of [`Order::desired`].
    Services,
    /// The whole table.
    Table {
        /// Services that were made or adopted: those that are no longer wanted are removed.
        owned: BTreeSet<ServiceKey>,
        /// The services whose wanted entry is another one than was made last.
        changed: BTreeSet<ServiceKey>,
        foreign: ForeignServices,
    },
}

impl Default for Scope {
    fn default() -> Self {
        Self::Table {
            owned: BTreeSet::new(),
            changed: BTreeSet::new(),
            foreign: ForeignServices::default(),
        }
    }
}

/// What the thread is to do.
#[derive(Debug)]
pub(super) enum Job {
    Reconcile(Order),
    /// The connections of these services.
    Count(BTreeSet<ServiceKey>),
    Look,
    Remove(BTreeSet<ServiceKey>, oneshot::Sender<Result<Report, ClientError>>),
}

/// What the thread has done.
#[derive(Debug)]
pub(crate) enum Done {
    Reconciled { order: Box<Order>, result: Result<Reconciliation, ClientError> },
    Counted(Result<Counted, ClientError>),
    Looked(Result<Status, ClientError>),
}

/// The connections of some services.
#[derive(Debug)]
pub(in crate::director) struct Counted {
    /// Those that were read; a destination of them that is not in `counts` has no connections.
    pub(in crate::director) services: BTreeSet<ServiceKey>,
    pub(in crate::director) counts: Counts,
}

/// What a reconciliation found and did.
#[derive(Debug, Default)]
pub(crate) struct Reconciliation {
    pub(super) operations: Vec<Operation>,
    /// The table before the operations, as far as its services are concerned by them.
    pub(super) before: Table,
    pub(super) report: Report,
    pub(super) counts: Counts,
    /// Of all services.
    pub(super) traffic: Traffic,
    /// Of the destinations that were read.
    pub(super) shares: Shares,
    /// Services whose destinations were not read.
    pub(super) unread: BTreeSet<ServiceKey>,
    pub(super) refused: Refused,
    /// What else is in the table, in words: others' services, and objects that can't be read.
    pub(super) foreign: Vec<String>,
}
