//! Test binaries under the stock kernel. It takes long to boot, so that one guest runs them all, one after the other.

use std::{
    collections::VecDeque,
    ffi::OsString,
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};
use holdfast_testkit::{
    guest::{Guest, Kernel, Outcome},
    lab,
};

use crate::{
    job::{Job, Report},
    libtest::Tally,
};

/// Runs the binaries in the guest, one after the other.
const ALL: &str = include_str!("all.sh");

/// The guest's memory, in MiB.
const MEMORY_MIB: u32 = 2048;

/// Runs the jobs in one guest; `tell` is called of each when it has ended. `ready` is whether there is a kernel to boot.
pub(crate) fn run(
    jobs: Vec<Job>,
    filter: Option<&str>,
    logs: &Path,
    binaries: &Path,
    ready: Result<()>,
    tell: fn(&str, &Report),
) -> Tally {
    let guest = guest(&jobs, filter, logs, binaries);
    let mut progress = Progress {
        jobs: jobs.into(),
        logs,
        since: Instant::now(),
        line: Vec::new(),
        tell,
        sum: Tally::default(),
    };
    let ended = ready.and_then(|()| guest.run(&mut progress, &mut io::stderr()));
    progress.finish(&ended);
    progress.sum
}

fn guest(jobs: &[Job], filter: Option<&str>, logs: &Path, binaries: &Path) -> Guest {
    let limit = jobs.first().map_or(Duration::ZERO, |job| job.timeout);
    let mut argv: Vec<OsString> = ["sh", "-c", ALL, "all.sh"].map(Into::into).to_vec();
    argv.push(limit.as_secs().to_string().into());
    argv.push(filter.unwrap_or_default().into());
    for job in jobs {
        argv.extend([job.cwd.clone().into(), job.log(logs).into(), job.program.clone().into()]);
    }
    let all = limit.saturating_mul(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
    Guest::new(argv)
        .kernel(Kernel::Stock)
        .memory(MEMORY_MIB)
        // The script keeps each to its limit. This is for one that can't be killed.
        .timeout(all.saturating_add(Duration::from_secs(60)))
        .env("HOLDFAST_BIN_DIR", binaries)
        .env(lab::LOGS, logs.join("lab"))
        .env("RUST_BACKTRACE", std::env::var_os("RUST_BACKTRACE").unwrap_or_else(|| "1".into()))
        .writable(logs)
}

/// Takes the guest's output: a line for each job that has ended.
struct Progress<'a> {
    /// Those that have not ended yet.
    jobs: VecDeque<Job>,
    logs: &'a Path,
    /// When the last one ended.
    since: Instant,
    line: Vec<u8>,
    tell: fn(&str, &Report),
    sum: Tally,
}

impl Progress<'_> {
    fn next_ended(&mut self, ended: Result<Outcome>) {
        let Some(job) = self.jobs.pop_front() else { return };
        let report = job.report(&job.log(self.logs), ended, self.since.elapsed());
        self.since = Instant::now();
        self.sum += report.tally;
        (self.tell)(&job.name, &report);
    }

    /// The guest has ended: what has not ended before has failed.
    fn finish(&mut self, ended: &Result<Outcome>) {
        while !self.jobs.is_empty() {
            let why = match ended {
                Ok(outcome) => anyhow!("the guest ended before it, with status {}", outcome.code()),
                Err(error) => anyhow!("{error:#}"),
            };
            self.next_ended(Err(why));
        }
    }
}

impl Write for Progress<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let status = String::from_utf8_lossy(&line).trim().parse();
            self.next_ended(match status {
                Ok(124) => Ok(Outcome::TimedOut),
                Ok(status) => Ok(Outcome::Exited(status)),
                Err(_) => Err(anyhow!("the guest said {:?}", String::from_utf8_lossy(&line))),
            });
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Place;

    fn job(name: &str) -> Job {
        Job {
            name: name.to_owned(),
            program: "/bin/true".into(),
            arguments: Vec::new(),
            cwd: "/".into(),
            place: Place::Guest,
            may_be_empty: false,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn each_line_ends_a_job_and_what_is_left_has_failed() {
        let logs = std::env::temp_dir().join(format!("holdfast-session-{}", std::process::id()));
        std::fs::create_dir_all(&logs).unwrap();
        let jobs: VecDeque<_> = ["a", "b", "c"].map(job).into();
        let passed = "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        std::fs::write(jobs[0].log(&logs), passed).unwrap();
        std::fs::write(jobs[1].log(&logs), "running 1 test\n").unwrap();
        let (since, line) = (Instant::now(), Vec::new());
        let sum = Tally::default();
        let mut progress = Progress { jobs, logs: &logs, since, line, tell: |_, _| (), sum };
        progress.write_all(b"0\n12").unwrap();
        assert_eq!(progress.sum, Tally { passed: 2, failed: 0, skipped: 0 });
        progress.write_all(b"4\n").unwrap();
        assert_eq!(progress.sum, Tally { passed: 2, failed: 1, skipped: 0 });
        progress.finish(&Err(anyhow!("it died")));
        assert_eq!(progress.sum, Tally { passed: 2, failed: 2, skipped: 0 });
        std::fs::remove_dir_all(&logs).unwrap();
    }
}
