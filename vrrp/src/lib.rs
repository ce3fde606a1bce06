//! VRRP (RFC 9568 version 3, RFC 3768 version 2) as a value: wire formats, and the virtual router's machine that is told
//! the time and the packets and answers with actions. No sockets, no clock.
//!
//! The way of a datagram through the crate, and what a driver has to do:
//!
//! ```text
//! socket ─► receive::Datagram ─► receive::identify ─► find the router by (interface, family, VRID)
//!                                        │
//!                    receive::check(identified, router.expectation())
//!                        │ Err(DiscardReason): counted, nothing else
//!                        ▼ Ok(Received)
//!        VirtualRouter::handle(now, Event::Advertisement(..)) ─► poll_action() until it is empty
//!        VirtualRouter::handle_timeout(now)   when the instant of poll_timeout() has come,
//!                                             and only after every receive queue has been drained
//! ```

mod address;
mod counters;
pub mod discard;
pub mod receive;
pub mod router;
#[cfg(test)]
mod testing;
mod types;
pub mod wire;

pub use address::{AddressList, InvalidAddresses};
pub use counters::{Counters, Discards};
pub use discard::DiscardReason;
pub use receive::Peer;
pub use router::{
    Action, Advertisement, DualActive, Event, InvalidParams, Observation, Params, Reason, SeenPeer,
    State, Status, Timer, Transition, VirtualRouter,
};
pub use types::{AddressFamily, Interval, Priority, Version, Vrid};
pub use wire::{ChecksumChoice, ChecksumForm};
