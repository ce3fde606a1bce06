//! A program that keeps a table, this daemon or keepalived, started in a node's network without a detour: from `exec` on.

use std::fs::{self, File};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_control::{Client, Status};
use holdfast_net::now;
use holdfast_testkit::lab::{Node, wait_until};
use holdfast_time::Instant;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use super::setup::Setup;
use crate::Programs;
use crate::bench::cost;

/// How long a program may take to end: keepalived removes its table one entry at a time.
const END_LIMIT: Duration = Duration::from_secs(120);

/// Who keeps the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// This daemon.
    Holdfast,
    /// keepalived, its checkers alone (`--check`).
    Keepalived,
}

impl Keeper {
    /// Its name.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Holdfast => "holdfast",
            Self::Keepalived => "keepalived",
        }
    }

    /// Writes its configuration.
    ///
    /// # Errors
    /// The file can't be written.
    pub fn configure(self, node: &Node, setup: &Setup) -> Result<PathBuf> {
        match self {
            Self::Holdfast => node.write("holdfast.yaml", &setup.holdfast()),
            Self::Keepalived => node.write("keepalived.conf", &setup.keepalived()),
        }
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    keeper: Keeper,
    node: Node,
    child: Child,
    notices: UnixDatagram,
    /// Just before its `exec`.
    pub started: Instant,
}

impl Running {
    /// Starts it with the configuration that was written last.
    ///
    /// # Errors
    /// It can't be started.
    pub fn start(node: &Node, keeper: Keeper) -> Result<Self> {
        let place = |name: &str| node.folder().join(name);
        let mut command = match keeper {
            Keeper::Holdfast => {
                let mut command = Command::new(Programs::find()?.holdfastd);
                command.arg("--config").arg(place("holdfast.yaml"));
                command.args(["--node", "bench", "--socket"]).arg(place("control.sock"));
                // What is measured is the process that is started here.
                command.args(["--supervisor", "off"]);
                command
            }
            Keeper::Keepalived => {
                let mut command = Command::new("/usr/sbin/keepalived");
                command.args(["--check", "--dont-fork", "--log-console", "--use-file"]);
                command.arg(place("keepalived.conf")).arg("--pid").arg(place("keepalived.pid"));
                command.arg("--checkers_pid").arg(place("checkers.pid"));
                command
            }
        };
        let notify = place("notify");
        if notify.exists() {
            fs::remove_file(&notify)?;
        }
        let notices =
            UnixDatagram::bind(&notify).context("a socket for the word of being ready")?;
        notices.set_read_timeout(Some(END_LIMIT))?;
        let log = File::options().create(true).append(true).open(place(keeper.label()))?;
        command.env("NOTIFY_SOCKET", &notify).process_group(0);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let started = now();
        let child = node.enter(|| command.spawn())?;
        let child = child.with_context(|| format!("start {}", keeper.label()))?;
        Ok(Self { keeper, node: node.clone(), child, notices, started })
    }

    /// Waits for the daemon's word that it is ready (`READY=1`) and answers when it came.
    ///
    /// # Errors
    /// It doesn't come.
    pub fn wait_ready(&self) -> Result<Instant> {
        let mut notice = [0; 1024];
        loop {
            let length =
                self.notices.recv(&mut notice).context("wait for the word of being ready")?;
            let notice = String::from_utf8_lossy(notice.get(..length).unwrap_or_default());
            if notice.lines().any(|line| line == "READY=1") {
                return Ok(now());
            }
        }
    }

    /// Takes what it has said to its service manager, which is us: where nobody reads, a daemon that has ten words more waits.
    fn pass_notices_over(&self) -> Result<()> {
        self.notices.set_nonblocking(true)?;
        while self.notices.recv(&mut [0; 1024]).is_ok() {}
        Ok(self.notices.set_nonblocking(false)?)
    }

    /// What it has cost until now, with all its processes.
    pub fn cost(&self) -> cost::Cost {
        cost::of(self.child.id())
    }

    /// Tells it to read its configuration again (`SIGHUP`), and answers when.
    ///
    /// # Errors
    /// It has ended.
    pub fn reload(&self) -> Result<Instant> {
        self.pass_notices_over()?;
        let at = now();
        kill(self.pid()?, Signal::SIGHUP)?;
        Ok(at)
    }

    /// Asks it to end (`SIGTERM`), and waits for that.
    ///
    /// # Errors
    /// It doesn't end.
    pub fn stop(mut self) -> Result<Duration> {
        let at = now();
        kill(self.pid()?, Signal::SIGTERM)?;
        let what = format!("{} to end", self.keeper.label());
        wait_until(END_LIMIT, &what, || self.child.try_wait().ok().flatten())?;
        Ok(now().saturating_since(at))
    }

    /// Everything at a glance, asked over the daemon's control socket.
    ///
    /// # Errors
    /// It doesn't answer, or is keepalived.
    pub fn status(&self) -> Result<Status> {
        ensure!(self.keeper == Keeper::Holdfast, "keepalived has no status");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = self.node.folder().join("control.sock");
        Ok(runtime.block_on(Client::new(&socket).status())?)
    }

    /// Fails when it has ended, with the end of its log.
    ///
    /// # Errors
    /// It has.
    pub fn check_alive(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended: {status}: {}", self.keeper.label(), self.log_tail()),
        }
    }

    /// The end of its log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.node.folder().join(self.keeper.label())).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        // keepalived greets every service.
        let lines: Vec<&str> = log.lines().filter(|line| !line.contains("Gained quorum")).collect();
        lines.get(lines.len().saturating_sub(8)..).unwrap_or_default().join(" | ")
    }

    fn pid(&self) -> Result<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.child.id())?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended has no group any more.
        if let (Ok(None), Ok(pid)) = (self.child.try_wait(), self.pid()) {
            let _sent = killpg(pid, Signal::SIGKILL);
            drop(self.child.wait());
        }
    }
}
