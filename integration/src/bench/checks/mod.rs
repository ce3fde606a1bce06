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

use anyhow::{Result, bail};
use holdfast_testkit::guest::Kernel;

use super::ipvs::{Part, guest};
use super::machine;
use super::report::Report;

pub use self::setup::{Kind, Setup};

/// What can be measured, in the order in which it is.
pub const ROWS: [&str; 7] =
    ["tcp1000", "http1000", "tcp2000", "tcp10000", "http10000", "https10000", "reloads"];

/// How long a program is watched while nothing changes.
const WINDOW: Duration = Duration::from_secs(20);

/// Checks the names of the rows.
///
/// # Errors
/// One of them is not in [`ROWS`]: names those that are.
pub fn check(rows: &[String]) -> Result<()> {
    match rows.iter().find(|row| !ROWS.contains(&row.as_str())) {
        Some(row) => bail!("there is no row {row:?}; the rows are {}", ROWS.join(", ")),
        None => Ok(()),
    }
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

/// Measures these rows `rounds` times in guests with this kernel; `done` is called with the report after each boot, so that a run that is cut short has
/// not been in vain. A round that fails is a line of the report and doesn't keep the others from being measured.
///
/// # Errors
/// `done` fails.
pub fn run(
    kernel: Kernel,
    rows: &[String],
    rounds: usize,
    mut done: impl FnMut(&Report) -> Result<()>,
) -> Result<Report> {
    let mut report = Report::new("keepalived");
    for round in 0..rounds {
        for row in ROWS.iter().filter(|row| rows.iter().any(|wanted| wanted == *row)) {
            machine::progress(format_args!("round {}, row {row}", round + 1));
            match guest(kernel, "checks", row, round) {
                Ok(part) => report.take(part),
                Err(error) => report.trouble(format!("{row}, round {}: {error:#}", round + 1)),
            }
            done(&report)?;
        }
    }
    Ok(report)
}
