//! `cargo xtask bench checks`: the health checks of this daemon beside keepalived's, in one run, in kernels that have IPVS.
//!
//! Every round of every row is a boot of the guest's kernel of its own, in which each program has a namespace with an empty table. One
//! listener behind `ip route add local 10.50.128.0/17 dev lo` stands for thousands of servers and writes down when each is asked: what
//! is measured is what a server sees, and what the kernel's table has. Processor time is that of `/proc/PID/task/*/schedstat`.
//!
//! Nothing here asserts how fast anything is: goals are printed beside what was reached, and raw samples are kept.

mod floor;
mod reloads;
mod rows;
mod setup;
mod tls;
mod wall;

use std::time::Duration;

use anyhow::Result;
use holdfast_testkit::guest::Kernel;

use super::ipvs::Part;
use super::machine;
use super::report::Report;
use super::rounds::Bench;

pub use self::setup::{Kind, Setup};

/// What can be measured, in the order in which it is.
pub const ROWS: [&str; 7] =
    ["tcp1000", "http1000", "tcp2000", "tcp10000", "http10000", "https10000", "reloads"];

/// How long a program is watched while nothing changes.
const WINDOW: Duration = Duration::from_secs(20);

/// How its rounds are made.
const BENCH: Bench = Bench { name: "checks", rows: &ROWS, peers: "keepalived" };

/// Checks the names of the rows.
///
/// # Errors
/// One of them is not in [`ROWS`]: names those that are.
pub fn check(rows: &[String]) -> Result<()> {
    BENCH.check(rows)
}

/// One round of these rows, in the kernel that this process runs under. A row that fails is a trouble of the part.
pub fn here(rows: &[String], round: usize) -> Part {
    let mut part = Part::of_this_kernel();
    for name in ROWS.iter().filter(|row| rows.iter().any(|wanted| wanted == *row)) {
        let measured = match *name {
            "tcp1000" => rows::measure(&mut part, Setup::new(Kind::Tcp, 1000), round),
            "http1000" => rows::measure(&mut part, Setup::new(Kind::Http, 1000), round),
            "tcp2000" => rows::measure(&mut part, Setup::new(Kind::Tcp, 2000), round),
            "tcp10000" => rows::measure(&mut part, Setup::new(Kind::Tcp, 10_000), round),
            "http10000" => rows::measure(&mut part, Setup::new(Kind::Http, 10_000), round),
            "https10000" => tls::measure(&mut part, round),
            _ => reloads::measure(&mut part),
        };
        if let Err(error) = measured {
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
