//! What the fuzz targets do with any bytes. Each target is a function that panics when something that must hold does not:
//!
//! * [`wire`]: bytes are a message. Reading it never panics, and what has a meaning is written back as it was.
//! * [`receive`]: bytes are an IP payload on its way to a router. What is accepted has broken no rule.
//! * [`router`]: bytes are a history of events. The invariants of the machine hold after each.
//!
//! `vrrp/tests/corpus.rs` includes this file and replays the committed corpora with the stable toolchain.

mod history;
mod message;

pub use history::router;
pub use message::{receive, wire};
