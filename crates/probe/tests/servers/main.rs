//! Checks against the real server software, as Debian has it: each server is started on the loopback by its test, in a folder of
//! its own and without privileges, and ended by its process id.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod caches;
mod databases;
mod mail;
mod names;
mod nginx;
mod rpc;
mod scripts;
mod server;
#[path = "../support/mod.rs"]
mod support;
