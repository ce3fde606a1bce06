//! The control API: HTTP with JSON on the daemon's Unix socket. Here are its types, which the daemon fills and the command line
//! prints, and a client. What each path does stands with the handlers, in the daemon.
//!
//! ```text
//! GET    /v1/status                                   Status
//! GET    /v1/events?since=NUMBER&wait_ms=MS            EventPage
//! GET    /v1/events/stream?since=NUMBER                events as they happen (server-sent events)
//! GET    /v1/openapi.json                             all of this for programs
//! GET    /v1/log                                      Log
//! POST   /v1/log                                      SetLog → Log
//! GET    /v1/plan                                     Plan: the daemon's file against what runs
//! POST   /v1/plan                                     a configuration's text → Plan
//! POST   /v1/reload                                   → Reloaded; 422 with diagnostics when the file is invalid
//! GET    /v1/changes                                  RuntimeChanges: what commands have changed against the file
//! GET    /v1/export                                   Exported: a configuration that includes them
//! GET    /v1/fingerprint?names=BOOL                   Fingerprint: what must be equal on all nodes
//! GET    /v1/nodes                                    Nodes: the others, and whether they have the same
//! ANY    /v1/nodes/NODE/v1/…                          the same of another node, by way of this one (mutual TLS)
//! GET    /v1/vrrp                                     [Instance]
//! POST   /v1/vrrp/NAME/release                        Release → RoleChange; NAME is an instance or a sync group
//! POST   /v1/vrrp/NAME/resume                         → RoleChange
//! POST   /v1/vrrp/NAME/failover                       → RoleChange
//! GET    /v1/services                                 [Service]
//! GET    /v1/services/SERVICE                         Service
//! POST   /v1/services/SERVICE/servers                 AddServer → Change
//! POST   /v1/services/SERVICE/servers/SERVER/drain    Drain → Change
//! POST   /v1/services/SERVICE/servers/SERVER/ready    Why → Change
//! POST   /v1/services/SERVICE/servers/SERVER/maint    Why → Change
//! POST   /v1/services/SERVICE/servers/SERVER/weight   SetWeight → Change
//! POST   /v1/services/SERVICE/servers/SERVER/check    → CheckRun: runs its checks once, which counts for nothing
//! DELETE /v1/services/SERVICE/servers/SERVER          Drain → Change; ?now=true does not drain
//! ```
//!
//! Every refusal is a [`Problem`] (RFC 9457). Fields may be added within `v1`; none is renamed or removed.

mod api;
mod chain;
mod client;
mod command;
pub mod openapi;
mod pair;
pub mod reload;
mod runtime;
mod sync;
mod traffic;
mod trial;
mod vrrp;

pub use api::{
    Advice, Check, CheckReason, DaemonInfo, Diagnosis, DriftCount, Event, EventPage, Faults,
    HookRun, HookRuns, IdleTimeouts, Ipvs, Log, Order, Problem, Quorum, Runs, Server, Service,
    SetLog, SorryServer, Status,
};
pub use chain::chain;
pub use client::{Client, RequestError, TRIAL_MAX};
pub use command::{AddServer, Change, Drain, SetWeight, Why};
pub use pair::{Difference, Fingerprint, NodeReport, Nodes, NodesReport, PeerNode};
pub use runtime::{Discovery, Exported, RuntimeChange, RuntimeChanges};
pub use sync::{ConnectionSync, SyncDaemon, SyncedConnections, Sysctl, Sysctls};
pub use traffic::Traffic;
pub use trial::{CheckRun, Trial, TrialStep};
pub use vrrp::{
    BfdSession, Disagreement, Discarded, DualActive, Fate, FateChannel, FateEnd, FateWatcher,
    Group, Instance, Peer, Release, RoleChange, Timing, Tracker, Weight,
};
