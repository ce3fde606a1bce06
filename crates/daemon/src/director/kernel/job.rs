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

/// What the kernel counts for each destination of each service; who is not there has nothing.
pub(in crate::director) type Counts = BTreeMap<(ServiceKey, SocketAddr), Connections>;

/// What the kernel has counted of each service since it was made.
pub(in crate::director) type Traffic = BTreeMap<ServiceKey, Counters>;

/// What went to each destination of each service, and how fast it goes there; of those that have had any.
pub(in crate::director) type Shares = BTreeMap<(ServiceKey, SocketAddr), Counters>;

/// What the table is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    pub(super) desired: Table,
    pub(super) scope: Scope,
    /// Services that were refused and are not to be asked for now.
    pub(super) held: BTreeSet<ServiceKey>,
    /// Services that were refused, those among them.
    pub(super) refused: BTreeSet<ServiceKey>,
}

/// What of the table an order is about.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// The services that are wanted, and no others.
    Services,
    /// All that there is.
    Table {
        /// Services that were made or adopted: those that are not wanted any more are removed.
        owned: BTreeSet<ServiceKey>,
        /// The services that are wanted other than they were made last.
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

/// What the kernel counts of some services.
#[derive(Debug)]
pub(in crate::director) struct Counted {
    /// Those that were read; who is not there has no connections.
    pub(in crate::director) services: BTreeSet<ServiceKey>,
    pub(in crate::director) counts: Counts,
}

/// What a reconciliation found and did.
#[derive(Debug, Default)]
pub(crate) struct Reconciliation {
    pub(super) operations: Vec<Operation>,
    /// As it was before, of the services that the operations are about.
    pub(super) before: Table,
    pub(super) report: Report,
    pub(super) counts: Counts,
    /// Of the services that were read.
    pub(super) traffic: Traffic,
    /// Of their destinations.
    pub(super) shares: Shares,
    /// Services of which nothing was counted.
    pub(super) unread: BTreeSet<ServiceKey>,
    pub(super) refused: Refused,
    /// What is in the table besides: others' services, and what can't be read.
    pub(super) foreign: Vec<String>,
}
