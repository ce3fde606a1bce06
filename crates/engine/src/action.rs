//! What the engine wants done, and what it waits for.

use std::collections::BTreeSet;

use holdfast_config::Name;

use crate::checking::CheckId;
use crate::report::Report;

/// What the engine wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Make one run of this check, as [`crate::Engine::run`] says, and tell the outcome by [`crate::Engine::check_finished`].
    RunCheck(CheckId),
    /// Make the kernel's table what is wanted, as far as this says.
    Reconcile(Extent),
    /// Count the connections of the services that [`crate::Engine::counted`] names and tell them by
    /// [`crate::Engine::connections_counted`].
    CountConnections,
    /// Tell the operator.
    Report(Report),
}

/// How much of the kernel's table is to be compared with what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// The entries of these services alone ([`crate::Pool::entries`]); those that are gone meanwhile have none. A service that comes, goes or
    /// changes its addresses is never told so.
    Services(BTreeSet<Name>),
    /// All of it ([`crate::Engine::desired`]).
    Table,
}

impl Extent {
    /// This and `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Services(mut services), Self::Services(mut more)) => {
                services.append(&mut more);
                Self::Services(services)
            }
            (Self::Table, _) | (_, Self::Table) => Self::Table,
        }
    }
}

/// What the engine waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// A check is due.
    Check,
    /// The kernel's table is to be compared.
    Reconcile,
    /// Drains are to be looked at.
    Count,
    /// The weight of a server in slow start is to be raised.
    Ramp,
    /// A server that was kept down because it came and went is to be looked at anew.
    Hold,
    /// The lease of a server ends.
    Lease,
}
