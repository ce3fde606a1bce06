//! `cargo xtask bench vrrp`: this daemon and keepalived side by side, in one run, in namespaces of this machine's kernel.
//!
//! Every row starts a pair of each program in a lab of its own and takes turns between them, so that both meet the same machine in
//! the same minute. What is measured is what others see: [`probe`] asks the virtual address and hears which node answers,
//! [`crate::watch`] hears the advertisements with the kernel's timestamps, [`events`] hears addresses come and go, [`cost`] reads
//! what the kernel has charged to each process. Nothing is asked of the programs themselves but whether they are ready.
//!
//! Nothing here asserts anything: goals are printed beside what was reached, and raw samples are kept.

pub mod checks;
pub mod cost;
pub mod events;
pub mod failover;
pub mod ipvs;
pub mod machine;
pub mod pair;
pub mod probe;
pub mod removal;
pub mod report;
pub mod rival;
mod rounds;
pub mod scale;
pub mod soak;
pub mod stats;

use std::time::Duration;

use anyhow::{Result, bail};

use self::report::Report;

/// What can be measured, in the order in which it is.
pub const ROWS: [&str; 7] =
    ["quiet", "failover", "release", "deleted", "scale", "thousand", "soak"];

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which of [`ROWS`].
    pub rows: Vec<String>,
    /// How often each event is brought about; windows and deletions follow from it.
    pub runs: usize,
    /// How long each program is watched on a busy machine.
    pub soak: Duration,
}

impl Plan {
    /// Whether a row is wanted.
    fn wants(&self, row: &str) -> bool {
        self.rows.iter().any(|wanted| wanted == row)
    }

    /// Checks the names of the rows.
    ///
    /// # Errors
    /// One of them is not in [`ROWS`]: names those that are.
    pub fn check(&self) -> Result<()> {
        match self.rows.iter().find(|row| !ROWS.contains(&row.as_str())) {
            Some(row) => bail!("there is no row {row:?}; the rows are {}", ROWS.join(", ")),
            None => Ok(()),
        }
    }
}

/// Measures every row that is wanted; `done` is called with the report after each, so that a run that is cut short has not been in
/// vain. A row that fails is a line of the report and doesn't keep the others from being measured.
///
/// # Errors
/// `done` fails.
pub fn run(plan: &Plan, mut done: impl FnMut(&Report) -> Result<()>) -> Result<Report> {
    type Row = fn(&Plan, &mut Report) -> Result<()>;
    let rows: [(&str, Row); ROWS.len()] = [
        ("quiet", failover::quiet),
        ("failover", failover::failover),
        ("release", failover::release),
        ("deleted", removal::deleted),
        ("scale", scale::scale),
        ("thousand", scale::thousand),
        ("soak", soak::soak),
    ];
    let mut report = Report::new("keepalived");
    for (name, row) in rows {
        if !plan.wants(name) {
            continue;
        }
        machine::progress(format_args!("row {name}"));
        if let Err(error) = row(plan, &mut report) {
            report.trouble(format!("{name}: {error:#}"));
        }
        done(&report)?;
    }
    Ok(report)
}
