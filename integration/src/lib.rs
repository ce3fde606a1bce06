//! The whole path on a real kernel: what the demo and the tests in `tests/` share.
//!
//! [`Director`] is a node that runs `holdfastd`; [`Load`] is a client that asks for the virtual address at a steady pace;
//! [`Downloads`] are connections that last; [`pair`] is two directors that share addresses, [`duo`] two with any configuration; [`family`] is for tests of both families, [`setup`] for connections that have to last. The
//! network is [`holdfast_testkit::lab`]'s.

#![expect(
    clippy::expect_used,
    reason = "this is test code: what goes wrong here is a failed test, and a panic says where"
)]

pub mod bench;
mod director;
mod downloads;
pub mod duo;
pub mod family;
pub mod flows;
pub mod hold;
mod load;
pub mod pair;
pub mod probes;
pub mod setup;
pub mod streams;
mod table;
pub mod tap;
pub mod watch;

pub use director::{Director, Programs, config};
pub use downloads::Downloads;
pub use load::{Load, REQUEST_TIMEOUT, Sample, Samples, ask, ask_within};
pub use table::{saved_table, weights};
