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

use std::ffi::OsString;
use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_testkit::guest::{Guest, Kernel, Outcome};

pub use self::part::Part;
use super::machine;
use super::report::Report;

/// What can be measured, in the order in which it is.
pub const ROWS: [&str; 7] = ["cold", "tool", "restart", "flush", "idle", "growth", "reload"];

/// Who is on the other side: ipvsadm in the rows of tools, keepalived in all others.
pub const PEERS: &str = "keepalived or ipvsadm";

/// The guest's memory: nothing is to be short of it.
const MEMORY_MIB: u32 = 2048;

/// How long one round of one row may take; keepalived's reload of 10,000 checked servers takes a minute, and longer where the processor
/// is emulated.
const fn round_limit(kernel: Kernel) -> Duration {
    match kernel {
        Kernel::UserMode => Duration::from_secs(580),
        Kernel::Stock => Duration::from_secs(1200),
    }
}

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
    let mut report = Report::new(PEERS);
    for round in 0..rounds {
        for row in ROWS.iter().filter(|row| rows.iter().any(|wanted| wanted == *row)) {
            machine::progress(format_args!("round {}, row {row}", round + 1));
            match guest(kernel, "ipvs", row, round) {
                Ok(part) => report.take(part),
                Err(error) => report.trouble(format!("{row}, round {}: {error:#}", round + 1)),
            }
            done(&report)?;
        }
    }
    Ok(report)
}

/// One round of one row of `bench` in a guest that is booted for it.
pub(super) fn guest(kernel: Kernel, bench: &str, row: &str, round: usize) -> Result<Part> {
    let own = std::env::current_exe().context("where is this program?")?;
    let folder = tempfile::Builder::new().prefix("bench").tempdir_in(own.with_file_name(""))?;
    let json = folder.path().join("part.json");
    let argv: Vec<OsString> = vec![
        own.into(),
        bench.into(),
        "--here".into(),
        "--rows".into(),
        row.into(),
        "--round".into(),
        round.to_string().into(),
        "--json".into(),
        json.clone().into(),
    ];
    let limit = round_limit(kernel);
    let guest = Guest::new(argv).kernel(kernel).memory(MEMORY_MIB).timeout(limit);
    let guest = guest.writable(folder.path());
    let outcome = guest.run(&mut io::sink(), &mut io::stderr())?;
    ensure!(outcome != Outcome::TimedOut, "it took longer than {limit:?}");
    let text = fs::read_to_string(&json).context("the guest has left no samples")?;
    Ok(serde_json::from_str(&text)?)
}
