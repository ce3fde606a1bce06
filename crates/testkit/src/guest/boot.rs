//! A guest's kernel, whichever it is: starting it under its guard, and making sure that it is gone.

use std::{
    ffi::OsString,
    fs,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};

use super::{folder::RunFolder, processor::Processor};
use crate::owner::has_ended;

/// How long a guest that has done its work may take to power off; it takes some milliseconds.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(1);

/// How a kernel is started.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<OsString>,
    /// Where it keeps temporary files; `None` for wherever this process does.
    pub(super) temporary: Option<PathBuf>,
    /// The processor that it is kept on.
    pub(super) processor: Option<Processor>,
}

impl Start {
    /// Starts it under the guard that lies in `folder`.
    pub(super) fn go(self, folder: &RunFolder) -> Result<Running> {
        let run = folder.path();
        let mut guard = Command::new(run.join("guard"));
        guard.arg(run).arg(self.program).args(self.arguments);
        if let Some(temporary) = self.temporary {
            guard.env("TMPDIR", temporary);
        }
        let guard = guard
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must reach the owner and not the guard.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", run.join("guard").display()))?;
        Ok(Running { guard, run: run.to_owned(), pid: None, _processor: self.processor })
    }
}

/// A kernel that was started. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Running {
    guard: Child,
    run: PathBuf,
    pid: Option<u32>,
    _processor: Option<Processor>,
}

impl Running {
    /// Whether the kernel, or its guard, is no more.
    pub(super) fn is_dead(&mut self) -> bool {
        self.guard.try_wait().map_or(true, |status| status.is_some())
            || self.pid().is_some_and(has_ended)
    }

    /// The kernel's process id, once the guard has written it.
    fn pid(&mut self) -> Option<u32> {
        if self.pid.is_none() {
            let text = fs::read_to_string(self.run.join("guest.pid")).ok()?;
            self.pid = text.trim().parse().ok();
        }
        self.pid
    }

    /// Gives the kernel a moment to end by itself. It collects its helper processes then, which otherwise fall to the
    /// first process of the machine, and that one does not collect them in every container.
    pub(super) fn power_off(&mut self) {
        let deadline = Instant::now() + POWER_OFF_LIMIT;
        while !self.is_dead() && Instant::now() < deadline {
            std::thread::sleep(super::POLL);
        }
    }

    /// Kills every process of the guest and returns when they are gone.
    pub(super) fn kill(&mut self) {
        drop(self.guard.stdin.take());
        let regular = self.guard.wait().is_ok_and(|status| status.success());
        // The guard does the work. Only if somebody killed it is there anything left to do.
        if let (false, Some(pid)) = (regular, self.pid().and_then(|pid| i32::try_from(pid).ok())) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}
