//! A program that runs on a node: its process, its log, its end.

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use super::{LOGS, Node, node::spelled, wait_until};

/// How much of a log an error or a failed test shows.
const LOG_TAIL_LINES: usize = 25;

/// The `LISTEN` state in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// A running program. Dropping it kills it, with the whole of its process group, unless its lab is
/// [kept](super::Lab::keep).
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    lab: PathBuf,
}

impl Process {
    /// Starts `command`, which was made with [`Node::command`], in a process group of its own.
    pub(super) fn start(node: &Node, name: &str, mut command: Command) -> Result<Self> {
        let log = log_path(node, name)?;
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot make the log {}", log.display()))?;
        let errors = file.try_clone().context("cannot share a log")?;
        let child = command
            .stdout(file)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {} on {}", spelled(&command), node.name()))?;
        Ok(Self {
            child,
            name: format!("{name} on {}", node.name()),
            log,
            lab: node.lab().to_owned(),
        })
    }

    /// Its process id, which is also that of its group.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its standard output and error go.
    #[must_use]
    pub fn log_path(&self) -> &Path {
        &self.log
    }

    /// What it has written until now; bytes that are no UTF-8 are replaced.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Sends a signal to the process itself, not to its group.
    ///
    /// # Errors
    /// It has ended, and was waited for.
    pub fn kill(&self, signal: Signal) -> Result<()> {
        kill(self.raw(), signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Sends a signal to every process of its group: a daemon that is to vanish takes its children with it.
    ///
    /// # Errors
    /// The group is empty.
    pub fn kill_group(&self, signal: Signal) -> Result<()> {
        killpg(self.raw(), signal).with_context(|| format!("cannot send {signal} to {}", self.name))
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It is still running after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait_until(limit, &what, || self.child.try_wait().ok().flatten())
            .with_context(|| self.log_tail())
    }

    /// Asks it to end (`SIGTERM`) and waits for it.
    ///
    /// # Errors
    /// It is still running after `limit`.
    pub fn stop(mut self, limit: Duration) -> Result<ExitStatus> {
        if self.is_running() {
            self.kill(Signal::SIGTERM)?;
        }
        self.wait(limit)
    }

    /// Waits until a TCP socket of its node listens at `port`.
    ///
    /// # Errors
    /// It ends before, or `limit` passes: with the end of its log.
    pub fn wait_listening(&mut self, port: u16, limit: Duration) -> Result<()> {
        let what = format!("{} to listen at port {port}", self.name);
        let pid = self.pid();
        let mut ended = None;
        let result = wait_until(limit, &what, || {
            if let Ok(Some(status)) = self.child.try_wait() {
                ended = Some(status);
                return Some(());
            }
            ["tcp", "tcp6"]
                .iter()
                .filter_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).ok())
                .any(|table| listens(&table, port))
                .then_some(())
        });
        match ended {
            Some(status) => {
                bail!("{} ended ({}); {}", self.name, describe(status), self.log_tail())
            }
            None => result.with_context(|| self.log_tail()),
        }
    }

    /// The end of its log, for an error.
    #[must_use]
    pub fn log_tail(&self) -> String {
        format!("the end of its log:\n{}", tail(&self.log()))
    }

    fn raw(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).unwrap_or(i32::MAX))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if super::is_kept(&self.lab) {
            return;
        }
        // Its children may have outlived it; the group's number stays theirs as long as one is left.
        match killpg(self.raw(), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH | _) => drop(self.child.wait()),
        }
    }
}

/// How a process ended, in words.
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("status {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "in an unknown way".to_owned(),
    }
}

/// Whether a `/proc/net/tcp` or `tcp6` has a listening socket at `port`.
fn listens(table: &str, port: u16) -> bool {
    let end = format!(":{port:04X}");
    table.lines().skip(1).any(|line| {
        let mut words = line.split_ascii_whitespace().skip(1);
        let (local, _, state) = (words.next(), words.next(), words.next());
        local.is_some_and(|local| local.ends_with(&end)) && state == Some(LISTEN)
    })
}

/// Where the log of a program goes: to the folder that the environment names, or to the node's own.
fn log_path(node: &Node, name: &str) -> Result<PathBuf> {
    let Some(logs) = std::env::var_os(LOGS) else {
        return Ok(node.folder().join(format!("{name}.log")));
    };
    let logs = PathBuf::from(logs);
    fs::create_dir_all(&logs)
        .with_context(|| format!("cannot make the folder {} ({LOGS})", logs.display()))?;
    let log = logs.join(format!("{}-{name}.log", node.namespace()));
    // A link, so that who looks into the node's folder finds it there as well.
    drop(std::os::unix::fs::symlink(&log, node.folder().join(format!("{name}.log"))));
    Ok(log)
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    let lines = lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default();
    if lines.is_empty() { "  (empty)".to_owned() } else { format!("  {}", lines.join("\n  ")) }
}

/// Prints the ends of all logs of a lab, for a test that failed.
pub(super) fn show_logs(lab: &Path) {
    let mut logs: Vec<_> = fs::read_dir(lab)
        .into_iter()
        .flatten()
        .flatten()
        .flat_map(|node| fs::read_dir(node.path()).into_iter().flatten().flatten())
        .map(|file| file.path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    for log in logs {
        let text = fs::read(&log).unwrap_or_default();
        if !text.is_empty() {
            let name = log.strip_prefix(lab).unwrap_or(&log);
            eprintln!("── end of {} ──\n{}", name.display(), tail(&String::from_utf8_lossy(&text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_told_from_a_connection() {
        let table = "  sl  local_address rem_address   st tx_queue\n\
                     \x20  0: 0100007F:0050 00000000:0000 0A 00000000:00000000\n\
                     \x20  1: 0100007F:01BB 0100007F:D3A4 01 00000000:00000000\n";
        assert!(listens(table, 80));
        assert!(!listens(table, 443));
        assert!(!listens(table, 8080));
    }

    #[test]
    fn a_tail_is_the_last_lines() {
        let log: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert!(tail(&log).starts_with("  75\n") && tail(&log).ends_with("  99"));
        assert_eq!(tail(""), "  (empty)");
    }
}
