//! One thread of a program that is made to stand still while the others go on: what a hang of that thread alone does.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_testkit::lab::wait_until;
use nix::libc::SYS_ptrace;

/// A stop takes microseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// PTRACE_SEIZE and PTRACE_INTERRUPT (ptrace(2)), by perl, which every Debian has: whoever holds a thread so is a process of its own, and with its
/// end the thread goes on. It ends with its standard input.
const PROGRAM: &str = "$| = 1; my ($ptrace, $thread) = map { $_ + 0 } @ARGV;
    for my $request (0x4206, 0x4207) { syscall($ptrace, $request, $thread, 0, 0) == 0 or die \"ptrace: $!\"; }
    print \"held\\n\"; <STDIN>;";

/// A thread that stands still until this is dropped.
#[derive(Debug)]
pub struct Hold(Child);

impl Hold {
    /// Holds the thread of the process that is called so.
    ///
    /// # Errors
    /// There is no such thread, or it may not be traced.
    pub fn thread(pid: u32, name: &str) -> Result<Self> {
        let task = task(pid, name)?;
        let thread = task.file_name().context("a thread has a number")?;
        let mut child = Command::new("perl")
            .args(["-e", PROGRAM, &SYS_ptrace.to_string()])
            .arg(thread)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start perl")?;
        let mut said = String::new();
        let output = child.stdout.take().context("perl has an output")?;
        BufReader::new(output).read_line(&mut said).context("hear perl")?;
        // Dropped, should it not hold, it goes.
        let hold = Self(child);
        ensure!(said == "held\n", "the thread {name} is not held");
        wait_until(LIMIT, &format!("the thread {name} to stand still"), || {
            let status = fs::read_to_string(task.join("status")).ok()?;
            status.contains("State:\tt (tracing stop)").then_some(())
        })?;
        Ok(hold)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // What has ended lets go.
        drop(self.0.wait());
    }
}

fn task(pid: u32, name: &str) -> Result<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).context("list the threads")?;
    let is_it = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    let mut tasks = tasks.filter_map(|task| Some(task.ok()?.path()));
    tasks.find(is_it).with_context(|| format!("process {pid} has no thread {name}"))
}
