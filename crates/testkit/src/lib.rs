//! The test lab: virtual LAN and clock, namespaces, guest kernel.
//!
//! [`guest`] runs a command under a kernel that has IPVS, on any machine; [`lab`] lays out network namespaces as a small
//! data centre and removes them on every exit path; `lan` is a LAN of virtual routers without a kernel and without a clock.

#![expect(
    clippy::print_stderr,
    reason = "what a lab has to tell, it tells the person in front of the terminal"
)]

pub mod guest;
pub mod lab;
#[cfg(feature = "lan")]
pub mod lan;
mod owner;
