//! A network namespace for one test, and a client in it.

use ipvs_ctl::client::Client;
use nix::sched::{CloneFlags, unshare};

/// Moves the test's thread into a fresh network namespace and opens a client there.
pub(crate) fn client() -> Client {
    unshare(CloneFlags::CLONE_NEWNET)
        .expect("a network namespace: these tests need root, run them by `cargo xtask test`");
    Client::open().unwrap_or_else(|error| {
        panic!("{error}: {}", error.help().unwrap_or("these tests need a kernel with ip_vs"))
    })
}
