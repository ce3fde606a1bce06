//! One test binary, run on the host or in a guest, its output in a file.

use std::{
    fs::File,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use holdfast_testkit::{
    guest::{Guest, Outcome},
    lab,
};

use crate::{kernel::Place, libtest::Tally};

/// How much of a failed binary's output is shown; the whole of it is in its file.
const SHOWN_LINES: usize = 150;

/// What is run.
#[derive(Debug)]
pub(crate) struct Job {
    /// Package and target, for people and for file names.
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    /// The package's folder, where cargo would start it.
    pub(crate) cwd: PathBuf,
    pub(crate) place: Place,
    /// Whether it is right that no test of it runs.
    pub(crate) may_be_empty: bool,
    /// For a job in a guest.
    pub(crate) timeout: Duration,
}

/// How it went.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    /// Why it counts as failed, if its tests alone don't say so.
    pub(crate) trouble: Option<String>,
    pub(crate) took: Duration,
    pub(crate) log: PathBuf,
}

impl Job {
    /// Runs it; what it writes goes to a file in `logs`, which a guest may write to. Failing is a matter of the report.
    pub(crate) fn run(&self, logs: &Path, binaries: &Path) -> Report {
        let start = Instant::now();
        let log = self.log(logs);
        let ended = match self.place {
            Place::Host => self.on_host(&log, logs, binaries),
            Place::Guest => self.in_guest(&log, logs, binaries),
        };
        self.report(&log, ended, start.elapsed())
    }

    /// Where what it writes goes.
    pub(crate) fn log(&self, logs: &Path) -> PathBuf {
        logs.join(format!("{}.log", self.file_name()))
    }

    /// Where the logs of its labs go: labs in two guests may have the same number, and would write to the same files.
    fn labs(&self, logs: &Path) -> PathBuf {
        logs.join("lab").join(self.file_name())
    }

    fn file_name(&self) -> String {
        self.name.replace([' ', '/'], "-")
    }

    /// What its output and its end count as.
    pub(crate) fn report(&self, log: &Path, ended: Result<Outcome>, took: Duration) -> Report {
        let text = std::fs::read(log).unwrap_or_default();
        let tally = Tally::of(&String::from_utf8_lossy(&text));
        let (tally, trouble) = judge(tally, ended, self.may_be_empty);
        Report { tally, trouble, took, log: log.to_owned() }
    }

    /// Its tests, those that a filter leaves, counted as skipped.
    ///
    /// # Errors
    /// It could not be asked for its tests, or has none.
    pub(crate) fn list(&self) -> Result<Tally> {
        let output = Command::new(&self.program)
            .args(self.arguments.iter().chain([&"--list".to_owned()]))
            .output()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let tests = text.lines().filter(|line| line.ends_with(": test")).count();
        ensure!(
            output.status.success() && (tests > 0 || self.may_be_empty),
            "{} has no tests",
            self.name
        );
        Ok(Tally { skipped: tests as u64, ..Tally::default() })
    }

    fn on_host(&self, log: &Path, logs: &Path, binaries: &Path) -> Result<Outcome> {
        let file = create(log)?;
        let errors = file.try_clone().context("cannot share a log")?;
        // It dies with us, should we be killed.
        let status = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.program)
            .args(&self.arguments)
            .current_dir(&self.cwd)
            .env("CARGO_MANIFEST_DIR", &self.cwd)
            .env("HOLDFAST_BIN_DIR", binaries)
            .env(lab::LOGS, self.labs(logs))
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(errors)
            .status()
            .with_context(|| format!("cannot run {}", self.program.display()))?;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Ok(Outcome::Exited(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)))
    }

    fn in_guest(&self, log: &Path, logs: &Path, binaries: &Path) -> Result<Outcome> {
        let mut out = create(log)?;
        let mut err = out.try_clone().context("cannot share a log")?;
        let argv = std::iter::once(self.program.clone().into_os_string())
            .chain(self.arguments.iter().map(Into::into));
        Guest::new(argv)
            .cwd(&self.cwd)
            .timeout(self.timeout)
            .env("CARGO_MANIFEST_DIR", &self.cwd)
            .env("HOLDFAST_BIN_DIR", binaries)
            .env(lab::LOGS, self.labs(logs))
            .env("RUST_BACKTRACE", std::env::var_os("RUST_BACKTRACE").unwrap_or_else(|| "1".into()))
            .writable(logs)
            .run(&mut out, &mut err)
    }
}

/// Both streams share a file, and the position in it.
fn create(log: &Path) -> Result<File> {
    File::create(log).with_context(|| format!("cannot make {}", log.display()))
}

/// What a run counts as. One that died without a result is a failed test of its own.
fn judge(
    tally: Option<Tally>,
    ended: Result<Outcome>,
    may_be_empty: bool,
) -> (Tally, Option<String>) {
    let seen = tally.unwrap_or_default();
    let died = |why: String| (Tally { failed: seen.failed + 1, ..seen }, Some(why));
    match (tally, ended) {
        (_, Err(error)) => died(format!("{error:#}")),
        (_, Ok(Outcome::TimedOut)) => died("killed at its time limit".to_owned()),
        (None, Ok(Outcome::Exited(code))) => {
            died(format!("ended with status {code} and no result"))
        }
        (Some(tally), Ok(Outcome::Exited(code))) if code != 0 && tally.failed == 0 => {
            died(format!("ended with status {code}"))
        }
        (Some(tally), Ok(Outcome::Exited(_))) if tally.executed() == 0 && !may_be_empty => {
            died("no test ran".to_owned())
        }
        (Some(tally), Ok(Outcome::Exited(_))) => (tally, None),
    }
}

impl Report {
    /// Whether anything went wrong.
    pub(crate) const fn has_failed(&self) -> bool {
        self.tally.failed > 0
    }

    /// The end of what a failed binary wrote.
    pub(crate) fn show(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        let from = lines.len().saturating_sub(SHOWN_LINES);
        let mut shown = String::new();
        if from > 0 {
            shown.push_str(&format!("    … {from} lines more in {}\n", self.log.display()));
        }
        for line in lines.get(from..).unwrap_or_default() {
            shown.push_str(&format!("    {line}\n"));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Tally = Tally { passed: 3, failed: 0, skipped: 0 };
    const BAD: Tally = Tally { passed: 3, failed: 1, skipped: 0 };

    #[test]
    fn a_binary_fails_by_its_tests_or_by_its_end() {
        assert_eq!(judge(Some(GOOD), Ok(Outcome::Exited(0)), false), (GOOD, None));
        assert_eq!(judge(Some(BAD), Ok(Outcome::Exited(101)), false), (BAD, None));
        let cases = [
            (Some(GOOD), Ok(Outcome::Exited(139)), "ended with status 139"),
            (Some(GOOD), Ok(Outcome::TimedOut), "killed at its time limit"),
            (None, Ok(Outcome::Exited(0)), "ended with status 0 and no result"),
            (Some(Tally::default()), Ok(Outcome::Exited(0)), "no test ran"),
            (None, Err(anyhow::anyhow!("no guest")), "no guest"),
        ];
        for (tally, ended, why) in cases {
            let (tally, trouble) = judge(tally, ended, false);
            assert_eq!((tally.failed, trouble.as_deref()), (1, Some(why)));
        }
        let empty = judge(Some(Tally::default()), Ok(Outcome::Exited(0)), true);
        assert_eq!(empty, (Tally::default(), None));
    }
}
