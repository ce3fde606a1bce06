//! The only place where health, IPVS and VRRP meet: events in, actions out, no IO and no clock.
//!
//! ```text
//!  outcomes of checks ──┐                          ┌──► run this check
//!  operator's commands ─┼──►  Engine  (pools,      ├──► make the kernel's table this one
//!  connection counts ───┤     servers, drains)     ├──► count the connections of these destinations
//!  the time ────────────┘                          └──► report what happened
//! ```
//!
//! A service is up while it has its quorum ([`QuorumState`]); what happens without it is its `all_down`'s to say ([`Regime`]).
//!
//! A server has two states that never overwrite each other: what the operator wants ([`Admin`]) and what its checks say
//! ([`holdfast_health::State`]). Its weight in the kernel is computed from both and the
//! other factors, never accumulated ([`Server::presence`]).

mod action;
mod adoption;
mod advice;
mod checking;
mod commands;
mod counting;
mod discovery;
mod drain;
mod engine;
mod farewell;
mod former;
mod lease;
mod order;
pub mod overlay;
mod pool;
mod quorum;
mod ramp;
mod reconfigure;
mod remains;
mod remember;
mod report;
mod server;
pub mod sync;
mod tally;
mod twins;
pub mod vrrp;
mod weight;

pub use action::{Action, Extent, Timer};
pub use advice::Advice;
pub use checking::{BEGIN_MAX, CheckId, Run};
pub use commands::{Change, CommandError, WeightChange};
pub use discovery::{Disbelief, Findings, Found, believe, resolve};
pub use drain::Drain;
pub use engine::{Engine, TURN};
pub use order::{Order, Standing};
pub use pool::{Connections, Pool};
pub use quorum::{QuorumState, Regime};
pub use reconfigure::listens_anew;
pub use remains::{Draining, DrainingListen, DrainingServer, FormerMethod};
pub use remember::{Addition, Remembered};
pub use report::Report;
pub use server::{Admin, CheckView, Origin, Presence, Server};
pub use weight::SHARE_MAX;

#[cfg(test)]
mod tests;
