//! The stock kernel, Debian's own: getting it ([`fetch`]), and running test binaries under it ([`session`]).

mod fetch;
mod session;

pub(crate) use fetch::{ensure, obstacle};
pub(crate) use session::run;
