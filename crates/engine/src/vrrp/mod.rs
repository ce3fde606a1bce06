//! What surrounds a virtual router's machine: trackers and what they make of its priority, sync groups, and who takes over from an
//! Active that has become worse.
//!
//! ```text
//!  readings of trackers ──► Standings ──► priority, faults of each instance ──► Event::Reconfigure, Shutdown, Startup ─┐
//!                                                                                                          VirtualRouter
//!  status and timers of the members ──► SyncGroup ──► orders ──► Event::TakeOver, StepDown, Shutdown, Startup ─────────┘
//! ```
//!
//! All are values that the VRRP thread owns. They do no IO and read no clock; instants must not go back. They never touch a machine
//! themselves: the thread tells them what is, and does what they answer.

mod debounce;
mod effect;
pub mod fate;
mod group;
mod reading;
mod standings;
mod succession;
mod trackers;

pub use debounce::Debounce;
pub use effect::{Contribution, Effect, Fault, Standing};
pub use fate::{FateAction, FateEnd, FateEvent, FateWatch};
pub use group::{Due, Member, Order, SyncGroup};
pub use reading::{Level, Reading, SENTENCE_LIMIT, WAITS};
pub use standings::{Standings, Subject};
pub use succession::Succession;
pub use trackers::{TrackerState, Trackers, Watch};

#[cfg(test)]
mod tests;
