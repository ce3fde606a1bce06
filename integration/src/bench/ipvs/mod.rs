//! `cargo xtask bench ipvs`: this daemon and `holdfast ipvs` beside keepalived and ipvsadm, in kernels that have IPVS.
//!
//! Every round of every row is a boot of the guest's kernel of its own, because a kernel remembers: a deleted destination lies for two
//! minutes in a list that every addition walks through. Within the boot each program has a namespace with an empty table, and they take
//! turns in being first. [`here`] measures one round in the kernel that it runs under, whichever that is; [`run`] boots the guests and
//! puts their samples together.
//!
//! Nothing here asserts how fast anything is: goals are printed beside what was reached, and raw samples are kept.

pub mod eye;
pub mod ground;
pub mod part;
pub mod rival;
pub mod rows;
pub mod setup;

use anyhow::Result;
use holdfast_testkit::guest::Kernel;

pub use self::part::Part;
use super::machine;
use super::report::Report;
use super::rounds::Bench;

/// What can be measured, in the order in which it is.
pub const ROWS: [&str; 7] = ["cold", "tool", "restart", "flush", "idle", "growth", "reload"];

/// Who is on the other side: ipvsadm in the rows of tools, keepalived in all others.
pub const PEERS: &str = "keepalived or ipvsadm";

/// How its rounds are made.
const BENCH: Bench = Bench { name: "ipvs", rows: &ROWS, peers: PEERS };

/// Checks the names of the rows.
///
/// # Errors
/// One of them is not in [`ROWS`]: names those that are.
pub fn check(rows: &[String]) -> Result<()> {
    BENCH.check(rows)
}

/// One round of these rows, in the kernel that this process runs under. A row that fails is a trouble of the part.
pub fn here(rows: &[String], round: usize) -> Part {
    type Row = fn(&mut Part, usize) -> Result<()>;
    let all: [(&str, Row); ROWS.len()] = [
        ("cold", rows::cold),
        ("tool", rows::tool),
        ("restart", rows::restart),
        ("flush", rows::flush),
        ("idle", rows::idle),
        ("growth", rows::growth),
        ("reload", rows::reload),
    ];
    let mut part = Part::of_this_kernel();
    for (name, row) in all {
        if rows.iter().any(|wanted| wanted == name)
            && let Err(error) = row(&mut part, round)
        {
            machine::progress(format_args!("TROUBLE {name}: {error:#}"));
            part.troubles.push(format!("{name}, round {}: {error:#}", round + 1));
        }
    }
    part
}

/// Measures these rows `rounds` times in guests with this kernel, and calls `done` with the report after each of them.
///
/// # Errors
/// `done` fails.
pub fn run(
    kernel: Kernel,
    rows: &[String],
    rounds: usize,
    done: impl FnMut(&Report) -> Result<()>,
) -> Result<Report> {
    BENCH.run(kernel, rows, rounds, done)
}
