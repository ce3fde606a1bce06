//! A network namespace for one test, and a client in it.

use std::process::Command;

use ipvs_ctl::client::Client;
use nix::sched::{CloneFlags, unshare};

/// Moves the test's thread, and what it spawns, into a fresh network namespace, where lo is up, and opens a client there.
pub(crate) fn client() -> Client {
    unshare(CloneFlags::CLONE_NEWNET)
        .expect("a network namespace: these tests need root, run them by `cargo xtask test`");
    // Until an interface has been up the namespace has no table of local addresses, and no IPv4 address counts as unicast.
    run("ip link set lo up");
    Client::open().unwrap_or_else(|error| {
        panic!("{error}: {}", error.help().unwrap_or("these tests need a kernel with ip_vs"))
    })
}

/// Runs a command in the thread's namespace and answers what it printed.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().expect("a program"))
        .args(words)
        .output()
        .unwrap_or_else(|error| panic!("{line}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
