//! What the daemon keeps in `daemon.state` for the next one.
//!
//! | file              | has                                             | is written                                   |
//! |-------------------|-------------------------------------------------|----------------------------------------------|
//! | `runtime.state`   | run-time changes ([`journal`])                  | before a command is answered                 |
//! | `last-good.state` | the texts of the last good configuration ([`last_good`]) | when a configuration is taken        |
//! | `discovered.state` | the servers that were discovered last          | when they are others                         |
//! | `released.state` | the instances that step back (`vrrp release --keep`) | before the release is answered       |
//! | `services.state`  | what is ours in the kernel, and what of it drains ([`services`]) | when it is something else, and before a reload is answered |
//!
//! The directory is a convenience, never a condition: where it can't be written, the daemon works, and says what is lost.

pub(crate) mod discovered;
pub(crate) mod file;
pub(crate) mod journal;
pub(crate) mod kept;
pub(crate) mod last_good;
pub(crate) mod services;

use std::time::{SystemTime, UNIX_EPOCH};

/// The wall clock in seconds since 1970 (UTC), for what is written down: people compare it with their own.
pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
