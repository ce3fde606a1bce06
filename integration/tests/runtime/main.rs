//! Run-time changes: they come back after a restart and a reload, those that shall not don't, and what was torn harms nothing.

mod address;
mod file;
mod kept;
mod lease;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use holdfast_control::RuntimeChanges;
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Topology};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The service as ipvsadm names it.
const SERVICE: &str = "-t 10.77.0.10:80";

/// A director with a service over two servers, neither of which is checked, and a state directory of its own.
fn config(lab: &Lab, servers: &str, more: &str) -> String {
    let state = state(lab);
    format!(
        "daemon: {{state: {}}}
services:
  web:
    listen: tcp 10.77.0.10:80
    scheduler: wrr
    forward: nat
    real_servers: {{{servers}}}
{more}",
        state.display()
    )
}

fn state(lab: &Lab) -> PathBuf {
    lab.lb1().folder().join("state")
}

const BOTH: &str = "web1: 10.77.0.21:80, web2: {address: 10.77.0.22:80, weight: 2}";

fn lab() -> Result<Lab> {
    Lab::with(Topology::one_arm().webs(0))
}

/// What `holdfast diff` has: the server, what was changed of it, and whether it is ephemeral.
fn changes(director: &Director) -> Result<Vec<(String, String, bool)>> {
    let found: RuntimeChanges = serde_json::from_str(&director.cli(&["diff", "-o", "json"])?)?;
    ensure!(found.journal_problem.is_none(), "{found:?}");
    let change = |one: holdfast_control::RuntimeChange| {
        let to = one.to.map_or_else(String::new, |to| format!(" {to}"));
        (one.server, format!("{}{to}", one.kind), one.ephemeral)
    };
    Ok(found.changes.into_iter().map(change).collect())
}

/// Changes of every kind, in the order of servers.
fn change_everything(director: &Director) -> Result<()> {
    for words in [
        &["server", "weight", "web", "web1", "5", "--reason", "more memory"][..],
        &["server", "drain", "web", "web1", "--reason", "kernel upgrade"],
        &["server", "rm", "web", "web2", "--now"],
        &["server", "add", "web", "10.77.0.23:80", "--name", "web3", "--weight", "4"],
        &["server", "weight", "web", "web3", "50%"],
        &["server", "add", "web", "10.77.0.24:80", "--name", "web4", "--ephemeral"],
        &["server", "add", "web", "10.77.0.25:80", "--name", "web5"],
        &["server", "maint", "web", "web5"],
    ] {
        director.cli(words)?;
    }
    Ok(())
}

/// What outlives the daemon of them.
fn kept() -> Vec<(String, String, bool)> {
    [
        ("web1", "weight 5"),
        ("web1", "drain"),
        ("web2", "removed"),
        ("web3", "added weight 4"),
        ("web3", "weight 50% of 4"),
        ("web5", "added weight 1"),
        ("web5", "maint"),
    ]
    .map(|(server, what)| (server.to_owned(), what.to_owned(), false))
    .to_vec()
}
