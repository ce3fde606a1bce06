//! Sockets, addresses and links in real network namespaces. These tests need root and fail without it.
//!
//! ```text
//!   ┌──────── left ────────┐        veth        ┌─────── right ────────┐
//!   │ eth0 02:00:…:01      ├────────────────────┤ eth0 02:00:…:02      │
//!   │ 192.0.2.1/24         │                    │ 192.0.2.2/24         │
//!   │ fe80::1  2001:db8::1 │                    │ fe80::2  2001:db8::2 │
//!   └──────────────────────┘                    └──────────────────────┘
//! ```
//! A namespace lives as long as the descriptor that its test holds, so nothing is left behind on any exit path.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a failing test panics and so do its helpers, which clippy.toml's exemption leaves out; one event is awaited among any others"
)]

mod announce;
mod bfd;
mod fate;
mod firewall;
mod forged;
mod lab;
mod link;
mod macvlan;
mod marks;
mod memory;
mod network;
mod peers;
mod sysctl;
mod vrrp;
