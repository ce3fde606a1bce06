//! The guest's kernel: finding it, starting it under its guard, and making sure that it is gone.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use nix::{
    sys::{
        signal::{Signal, kill, killpg},
        statvfs::statvfs,
    },
    unistd::Pid,
};

use super::folder::RunFolder;
use crate::owner::has_ended;

/// The kernel, as Debian installs it.
pub const LINUX: &str = "/usr/bin/linux.uml";

/// Debian's packages that a guest needs, and the program by which each is recognised.
pub const PACKAGES: &[(&str, &str)] = &[
    ("user-mode-linux", LINUX),
    ("kmod", "/usr/sbin/modprobe"),
    ("iproute2", "/usr/sbin/ip"),
    ("util-linux", "/usr/bin/setpriv"),
    ("mount", "/usr/bin/mount"),
];

/// Where the kernel's modules lie, by release.
const MODULES: &str = "/usr/lib/uml/modules";

/// How long a guest that has done its work may take to power off; it takes some milliseconds.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(1);

/// A kernel that is installed with its modules.
#[derive(Debug)]
pub(super) struct Kernel {
    release: String,
}

impl Kernel {
    /// Looks for everything that a guest needs.
    pub(super) fn find() -> Result<Self> {
        if let Some(advice) = advice(|program| Path::new(program).exists()) {
            bail!(advice);
        }
        let output = Command::new(LINUX)
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {LINUX}"))?;
        let release = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if !Path::new(MODULES).join(&release).is_dir() {
            bail!(
                "{LINUX} is release {release}, but {MODULES}/{release} is not there; as root: apt-get install \
                 --reinstall user-mode-linux"
            );
        }
        Ok(Self { release })
    }

    /// Starts the kernel, with the scripts that lie in `folder`.
    pub(super) fn start(&self, folder: &RunFolder, memory_mib: u32) -> Result<Running> {
        let run = folder.path();
        let guard = Command::new(run.join("guard"))
            .arg(run)
            .arg(LINUX)
            .arg(format!("mem={memory_mib}M"))
            // The run folder is the current one: a longer path may not fit into a socket's address.
            .args(["uml_dir=.", "umid=uml"])
            .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"])
            .arg(format!("init={}", run.join("init").display()))
            .arg(format!("HOLDFAST_RELEASE={}", self.release))
            .args(["con=null", "con0=null,fd:1", "ssl=null", "quiet", "panic=-1", "noreboot"])
            .env("TMPDIR", memory_folder(run, memory_mib))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must reach the owner and not the guard.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", run.join("guard").display()))?;
        Ok(Running { guard, run: run.to_owned(), pid: None })
    }
}

/// Which packages are missing and how to install them; `None` if all are there.
fn advice(exists: impl Fn(&str) -> bool) -> Option<String> {
    let missing: Vec<_> = PACKAGES
        .iter()
        .filter(|(_, program)| !exists(program))
        .map(|(package, _)| *package)
        .collect();
    let names = missing.join(" ");
    (!missing.is_empty()).then(|| {
        format!(
            "the guest needs packages that are not installed: {names}; as root: apt-get install \
             --no-install-recommends {names}"
        )
    })
}

/// Where the kernel keeps the guest's memory, as a file: in memory if there is room (containers often have 64 MiB of it),
/// else in the run folder.
fn memory_folder(run: &Path, memory_mib: u32) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let free =
        statvfs(shm).map_or(0, |fs| fs.blocks_available().saturating_mul(fs.fragment_size()));
    if free >= u64::from(memory_mib) << 20 { shm.to_owned() } else { run.to_owned() }
}

/// A kernel that was started. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Running {
    guard: Child,
    run: PathBuf,
    pid: Option<u32>,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_package_is_named() {
        assert_eq!(advice(|_| true), None);
        assert_eq!(
            advice(|program| program != LINUX).unwrap(),
            "the guest needs packages that are not installed: user-mode-linux; as root: apt-get install \
             --no-install-recommends user-mode-linux"
        );
    }

    #[test]
    fn memory_that_does_not_fit_goes_to_the_run_folder() {
        let run = Path::new("/run/folder");
        assert_eq!(memory_folder(run, u32::MAX), run);
    }
}
