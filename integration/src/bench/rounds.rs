//! Rounds of a benchmark in guests: every round of every row has a kernel of its own, whose samples are put together.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_testkit::guest::{Guest, Kernel, Outcome};

use super::ipvs::Part;
use super::machine;
use super::report::Report;

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

/// A benchmark that runs in guests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bench {
    /// Its word on the command line of `bench`.
    pub(super) name: &'static str,
    /// What it can measure, in the order in which it does.
    pub(super) rows: &'static [&'static str],
    /// The programs beside which it measures.
    pub(super) peers: &'static str,
}

impl Bench {
    /// Checks the names of the rows.
    ///
    /// # Errors
    /// One of them is not in [`Self::rows`]: names those that are.
    pub(super) fn check(&self, rows: &[String]) -> Result<()> {
        match rows.iter().find(|row| !self.rows.contains(&row.as_str())) {
            Some(row) => bail!("there is no row {row:?}; the rows are {}", self.rows.join(", ")),
            None => Ok(()),
        }
    }

    /// Measures these rows `rounds` times in guests with this kernel. `done` is called with the report after each boot, so that a run that is
    /// cut short has not been in vain. A round that fails is a line of the report, and the others are measured all the same.
    ///
    /// # Errors
    /// `done` fails.
    pub(super) fn run(
        &self,
        kernel: Kernel,
        rows: &[String],
        rounds: usize,
        mut done: impl FnMut(&Report) -> Result<()>,
    ) -> Result<Report> {
        let mut report = Report::new(self.peers);
        for round in 0..rounds {
            for row in self.rows.iter().filter(|row| rows.iter().any(|wanted| wanted == *row)) {
                machine::progress(format_args!("round {}, row {row}", round + 1));
                match self.guest(kernel, row, round) {
                    Ok(part) => report.take(part),
                    Err(error) => report.trouble(format!("{row}, round {}: {error:#}", round + 1)),
                }
                done(&report)?;
            }
        }
        Ok(report)
    }

    /// One round of one row in a guest that is booted for it.
    fn guest(&self, kernel: Kernel, row: &str, round: usize) -> Result<Part> {
        let own = std::env::current_exe().context("where is this program?")?;
        let folder = tempfile::Builder::new().prefix("bench").tempdir_in(own.with_file_name(""))?;
        let json = folder.path().join("part.json");
        let argv: Vec<OsString> = vec![
            own.into(),
            self.name.into(),
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
}
