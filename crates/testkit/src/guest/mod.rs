//! A command under a kernel that has IPVS, without root: User-Mode Linux, which is an ordinary process and boots in seconds,
//! or Debian's own kernel in qemu, which has nftables as well ([`Kernel`]).
//!
//! The guest sees the host's tree as its root under a layer of memory: it may write anywhere, and nothing of it reaches
//! the host but what it writes into the folders named with [`Guest::writable`]. It is *not* a sandbox against hostile
//! code: its root could mount the host's tree again with the rights of the user who started it.
//!
//! Invariants:
//! - No process of the guest outlives [`Guest::run`], nor the process that called it, however that one ends: a small
//!   shell script (`guard.sh`) waits for the end of its standard input and then kills the guest's whole group.
//! - Guests share nothing: each has a run folder of its own, removed afterwards unless the guest itself failed.
//! - The guest's standard output and error hold what the command wrote and nothing else.
//!

mod boot;
mod enter;
mod folder;
mod initramfs;
mod processor;
mod script;
pub mod stock;
mod tail;
mod user_mode;

pub use enter::enter;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    io::Write,
    path::{Path, PathBuf},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use self::{folder::RunFolder, stock::Stock, tail::Tail, user_mode::UserMode};

/// How often the guest's output and its end are looked at.
const POLL: Duration = Duration::from_millis(10);

/// Which kernel a guest boots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Kernel {
    /// Linux as a process (`user-mode`), of Debian's package `user-mode-linux`: one processor, no nftables for IP.
    #[default]
    UserMode,
    /// Debian's own kernel in qemu (`stock`): see [`stock`].
    Stock,
}

impl Kernel {
    /// How long it may take to boot before it counts as hung. On an idle machine the one takes two or three seconds, the other, emulated,
    /// ten.
    const fn boot_limit(self) -> Duration {
        match self {
            Self::UserMode => Duration::from_secs(90),
            Self::Stock => Duration::from_secs(300),
        }
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UserMode => "user-mode",
            Self::Stock => "stock",
        })
    }
}

impl FromStr for Kernel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |kernel: &Self| kernel.to_string() == text;
        let found = [Self::UserMode, Self::Stock].into_iter().find(named);
        found.ok_or_else(|| format!("{text:?} is neither user-mode nor stock"))
    }
}

/// A command to run in a guest, and how.
#[derive(Debug, Clone)]
pub struct Guest {
    kernel: Kernel,
    argv: Vec<OsString>,
    cwd: Option<PathBuf>,
    env: BTreeMap<OsString, OsString>,
    memory_mib: u32,
    timeout: Duration,
    writable: Vec<PathBuf>,
    base: PathBuf,
    keep: Option<fn(&Path)>,
}

/// How a command in a guest ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ended with this status; a signal `n` counts as `128 + n`, as in a shell.
    Exited(u8),
    /// It was still running at the time limit, and was killed with its guest.
    TimedOut,
}

impl Outcome {
    /// The exit status to pass on: the command's own, or 124 (as `timeout(1)` has it) at the time limit.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::TimedOut => 124,
        }
    }
}

impl Guest {
    /// A guest that will run `argv`: a program, looked up in `PATH`, and its arguments.
    ///
    /// It starts in the caller's folder, with the part of the caller's environment that means something there (`PATH`,
    /// `HOME`, `RUST_BACKTRACE` and the like, `HOLDFAST_*`), 1 GiB of memory and a time limit of 600 s.
    pub fn new<I, S>(argv: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<OsString>,
    {
        Self {
            kernel: Kernel::default(),
            argv: argv.into_iter().map(Into::into).collect(),
            cwd: None,
            env: script::inherited(std::env::vars_os()),
            memory_mib: 1024,
            timeout: Duration::from_secs(600),
            writable: Vec::new(),
            base: folder::default_base(),
            keep: None,
        }
    }

    /// The kernel that it boots; [`Kernel::UserMode`] unless set.
    #[must_use]
    pub const fn kernel(mut self, kernel: Kernel) -> Self {
        self.kernel = kernel;
        self
    }

    /// The folder that the command starts in.
    #[must_use]
    pub fn cwd(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cwd = Some(folder.into());
        self
    }

    /// Sets a variable of the command's environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// The guest's memory, in MiB. It is taken from the host only as it is used.
    #[must_use]
    pub const fn memory(mut self, mib: u32) -> Self {
        self.memory_mib = mib;
        self
    }

    /// How long the command may run, counted from the end of the boot.
    #[must_use]
    pub const fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// A folder of the host that the guest may write to. It must exist when the guest starts.
    #[must_use]
    pub fn writable(mut self, folder: impl Into<PathBuf>) -> Self {
        self.writable.push(folder.into());
        self
    }

    /// The folder that run folders are made in; `target/guest` unless set.
    #[must_use]
    pub fn base(mut self, folder: impl Into<PathBuf>) -> Self {
        self.base = folder.into();
        self
    }

    /// Leaves the guest up after the command, unless that ended with status 2 (it was called wrongly): `tell` is called
    /// with the guest's run folder, [`enter()`] runs commands in it from other processes, and [`Guest::run`] returns
    /// only when the guest dies, which it does with the process that called it.
    #[must_use]
    pub fn keep(mut self, tell: fn(&Path)) -> Self {
        self.keep = Some(tell);
        self
    }

    /// Boots, runs the command, and passes its output on as it appears.
    ///
    /// # Errors
    /// A missing package (by name), a guest that does not boot or dies under the command (with the end of the kernel's
    /// log, which is kept), or output that can't be passed on. A command that fails is no error: see [`Outcome`].
    pub fn run(&self, out: &mut dyn Write, err: &mut dyn Write) -> Result<Outcome> {
        let writable = writable_folders(&self.writable)?;
        let mut folder;
        let start = match self.kernel {
            Kernel::UserMode => {
                let kernel = UserMode::find()?;
                folder = RunFolder::create(&self.base)?;
                kernel.start(&folder, self.memory_mib)
            }
            Kernel::Stock => {
                let kernel = Stock::find()?;
                folder = RunFolder::create(&self.base)?;
                kernel.start(&folder, self.memory_mib, &writable)?
            }
        };
        self.write_scripts(&folder, &writable)?;
        let mut boot = start.go(&folder)?;
        let mut stdout = Tail::new(folder.path().join("stdout"));
        let mut stderr = Tail::new(folder.path().join("stderr"));

        let outcome = self.watch(&folder, &mut boot, &mut |last| {
            stdout.pass_on(out, last)?;
            stderr.pass_on(err, last)
        });
        if let Ok(Outcome::Exited(_)) = outcome {
            boot.power_off();
        }
        boot.kill();
        if outcome.is_err() {
            folder.keep();
        }
        outcome
    }

    /// Waits for the command's end, the time limit, or the guest's death, passing output on meanwhile.
    fn watch(
        &self,
        folder: &RunFolder,
        boot: &mut boot::Running,
        pass_on: &mut dyn FnMut(bool) -> Result<()>,
    ) -> Result<Outcome> {
        let started = Instant::now();
        let mut booted = None;
        let mut kept = None;
        loop {
            // The order matters: what was written before the status is there once the status is.
            let status = folder.status()?;
            let dead = status.is_none() && boot.is_dead();
            pass_on(status.is_some())?;
            if let Some(code) = status {
                return Ok(Outcome::Exited(code));
            }
            if dead {
                // The guest powers off right after it wrote the status.
                if let Some(code) = folder.status()? {
                    pass_on(true)?;
                    return Ok(Outcome::Exited(code));
                }
                pass_on(true)?;
                let when = if booted.is_some() { "died under the command" } else { "did not boot" };
                bail!("the guest {when}\n{}", folder.log_tail());
            }
            if booted.is_none() && folder.path().join("booted").exists() {
                booted = Some(Instant::now());
            }
            if let (None, Some(tell)) = (kept, self.keep) {
                kept = folder.mark("kept")?;
                if kept.is_some() {
                    pass_on(true)?;
                    tell(folder.path());
                }
            }
            match booted {
                Some(_) if kept.is_some() => {}
                Some(since) if since.elapsed() >= self.timeout => {
                    pass_on(true)?;
                    return Ok(Outcome::TimedOut);
                }
                None if started.elapsed() >= self.kernel.boot_limit() => bail!(
                    "the guest had not booted after {} s\n{}",
                    self.kernel.boot_limit().as_secs(),
                    folder.log_tail()
                ),
                Some(_) | None => {}
            }
            std::thread::sleep(POLL);
        }
    }

    fn write_scripts(&self, folder: &RunFolder, writable: &[PathBuf]) -> Result<()> {
        let cwd = match &self.cwd {
            Some(folder) => folder.clone(),
            None => std::env::current_dir().context("the current folder is gone")?,
        };
        folder.write("init", include_bytes!("init.sh"), 0o755)?;
        folder.write("guard", include_bytes!("guard.sh"), 0o755)?;
        folder.write("command.sh", &script::command(&self.argv, &cwd, &self.env)?, 0o644)?;
        if self.keep.is_some() {
            folder.write("keep", b"", 0o644)?;
        }
        let list: String = writable.iter().map(|path| format!("{}\n", path.display())).collect();
        folder.write("writable", list.as_bytes(), 0o644)?;
        folder.write("stdout", b"", 0o644)?;
        folder.write("stderr", b"", 0o644)
    }
}

/// The folders that the guest mounts writable, as absolute paths.
fn writable_folders(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let absolute = |folder: &PathBuf| {
        let path = folder
            .canonicalize()
            .with_context(|| format!("the writable folder {} is not there", folder.display()))?;
        mountable(&path)?;
        Ok(path)
    };
    folders.iter().map(absolute).collect()
}

/// Whether a path survives the guest's mount options and the kernel's command line; the reason why it doesn't.
fn mountable(path: &Path) -> Result<()> {
    match path.to_str() {
        Some(text) if !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == ',') => {
            Ok(())
        }
        Some(_) | None => bail!(
            "the guest can't use {}: a blank or a comma in the path would split it on the kernel's command line; \
             move the checkout to a path without them",
            path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_the_kernel_would_split_are_refused() {
        for bad in ["/a b", "/a,b", "/a\tb", "/a\nb"] {
            let error = mountable(Path::new(bad)).unwrap_err().to_string();
            assert!(error.contains("move the checkout"), "{error}");
        }
        mountable(Path::new("/a-b/c_d.e")).unwrap();
    }

    #[test]
    fn a_missing_writable_folder_is_named() {
        let error = writable_folders(&[PathBuf::from("/nowhere/at/all")]).unwrap_err().to_string();
        assert_eq!(error, "the writable folder /nowhere/at/all is not there");
    }

    #[test]
    fn a_kernel_is_named_as_it_is_shown() {
        for kernel in [Kernel::UserMode, Kernel::Stock] {
            assert_eq!(kernel.to_string().parse(), Ok(kernel));
        }
        assert!("uml".parse::<Kernel>().is_err());
    }

    #[test]
    fn codes_are_those_of_a_shell_and_of_timeout() {
        assert_eq!(Outcome::Exited(137).code(), 137);
        assert_eq!(Outcome::TimedOut.code(), 124);
    }
}
