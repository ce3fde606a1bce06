//! BFD (RFC 5880; over one hop RFC 5881) as a value: the control packet, the checks on receipt, and one session's machine that is
//! told the time and the packets and answers with actions. No sockets, no clock, no randomness of its own.
//!
//! Offered: asynchronous mode, both roles, IPv4 and IPv6. Not offered: the echo function, demand mode of our own (a peer's Demand
//! bit is obeyed) and authentication (what carries it is discarded, as RFC 5880 §6.8.6 has it where none is in use).
//!
//! The way of a datagram through the crate, and what a driver has to do:
//!
//! ```text
//! socket ─► receive::read(Datagram) ─► find the session by ControlPacket::selector()
//!                   │                          │
//!                   │          receive::check(datagram, packet, expectation of the session)
//!                   ▼ Err(DiscardReason): counted, nothing else
//!        Session::handle(now, Event::Received{..}) ─► poll_action() until it is empty
//!        Session::handle_timeout(now, read_until)     when the instant of poll_timeout() has come,
//!                                                     and only after every receive queue has been drained
//! ```

mod discard;
pub mod receive;
pub mod session;
pub mod wire;

pub use discard::{DiscardReason, Discards};
pub use session::{Action, Counters, Event, Params, Reason, Session, Timer, Transition};
pub use wire::{ControlPacket, Diagnostic, Discriminator, Micros, State};
