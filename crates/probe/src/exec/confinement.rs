//! What a command may use, and the control group that it can't leave.
//!
//! A process group can be left (`setsid`), a control group can't. Where the kernel has control groups of version 2 and this process may
//! make one below its own, as root does, each command has one, and what is left in it at its end is killed whatever group it is in.
//! Elsewhere the process group has to do.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use holdfast_net::confine::Confinement;
use nix::sys::resource::Resource;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::runtime::Handle;

/// Memory that a command's process can write to (RLIMIT_DATA).
const MEMORY: u64 = 1 << 30;
/// How large a file can be that it writes (RLIMIT_FSIZE).
const FILE_SIZE: u64 = 64 << 20;
/// Descriptors of one process (RLIMIT_NOFILE).
const DESCRIPTORS: u64 = 1024;
/// Processes of the scripts' user, all together (RLIMIT_NPROC).
const PROCESSES: u64 = 4096;
/// Time on a processor, besides the command's timeout, for what escapes the kill (RLIMIT_CPU).
const PROCESSOR_TIME: Duration = Duration::from_secs(10);

/// Our control groups are below this one.
const FOLDER: &str = "holdfast-checks";

/// So many control groups that can't be removed yet are remembered; more are left to the service manager.
const LEFT_MAX: usize = 1024;

/// The first pause before it is tried again, and how often it is.
const SWEEP_PAUSE: Duration = Duration::from_millis(10);
const SWEEPS: u32 = 10;

/// A control group of version 2, removed when it is dropped, with everything that is in it killed.
#[derive(Debug)]
pub(super) struct ControlGroup(PathBuf);

/// What a command that may run for `timeout` gives up, and its control group where there is one. One that may gain rights is a hook: it
/// may have to start something that lives on, so it has neither limits nor a control group.
pub(super) fn confinement(timeout: Duration, gains: bool) -> (Confinement, Option<ControlGroup>) {
    if gains {
        let limits = vec![(Resource::RLIMIT_CORE, 0)];
        return (Confinement { no_new_privileges: false, limits, group: None }, None);
    }
    let seconds = timeout.saturating_add(PROCESSOR_TIME).as_secs().saturating_add(1);
    let limits = vec![
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_CPU, seconds),
        (Resource::RLIMIT_DATA, MEMORY),
        (Resource::RLIMIT_FSIZE, FILE_SIZE),
        (Resource::RLIMIT_NOFILE, DESCRIPTORS),
        (Resource::RLIMIT_NPROC, PROCESSES),
    ];
    let (group, file) = ControlGroup::make().unzip();
    (Confinement { no_new_privileges: true, limits, group: file }, group)
}

/// Whether each command has a control group of its own, which nothing that it starts can leave. Blocks.
pub fn has_control_groups() -> bool {
    ControlGroup::make().is_some()
}

impl ControlGroup {
    /// A new control group, and its `cgroup.procs` for who enters it; none where that is not permitted.
    fn make() -> Option<(Self, File)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let folder = folder()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!("{}-{number}", std::process::id()));
        // The folder may have gone with another process's last one.
        fs::create_dir_all(&path).ok()?;
        let group = Self(path);
        let procs = OpenOptions::new().write(true).open(group.0.join("cgroup.procs")).ok()?;
        Some((group, procs))
    }

    /// Kills everything that is in it.
    pub(super) fn kill(&self) {
        if fs::write(self.0.join("cgroup.kill"), "1").is_ok() {
            return;
        }
        // Before Linux 5.14. Who forks meanwhile is met at the next turn.
        for _ in 0..3 {
            let members = fs::read_to_string(self.0.join("cgroup.procs")).unwrap_or_default();
            for member in members.lines().filter_map(|line| line.parse().ok()) {
                // 0 would be our own process group: a member of another namespace shows so.
                if member > 0 {
                    let _gone = kill(Pid::from_raw(member), Signal::SIGKILL);
                }
            }
        }
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        self.kill();
        let mut left = left();
        left.groups.push(std::mem::take(&mut self.0));
        left.groups.truncate(LEFT_MAX);
        if left.sweep() || left.swept_later {
            return;
        }
        // What was killed may need a moment to go. Without a runtime its group goes with a later one, or at the end.
        if let Ok(runtime) = Handle::try_current() {
            left.swept_later = true;
            runtime.spawn(sweep_later());
        }
    }
}

/// Control groups that could not be removed yet.
struct Left {
    groups: Vec<PathBuf>,
    /// Whether [`sweep_later`] is under way.
    swept_later: bool,
}

impl Left {
    /// Removes those in which nothing is left; whether there is none any more.
    fn sweep(&mut self) -> bool {
        self.groups.retain(|path| match fs::remove_dir(path) {
            Err(error) => error.kind() == io::ErrorKind::ResourceBusy,
            Ok(()) => false,
        });
        self.groups.is_empty()
    }
}

/// Removes what is left, and looks again after pauses that double, for ten seconds: what the kernel does not let go of by then goes with
/// a later group or at the end.
async fn sweep_later() {
    for doubled in 0..SWEEPS {
        tokio::time::sleep(SWEEP_PAUSE * (1 << doubled)).await;
        let mut left = left();
        if left.sweep() || doubled + 1 == SWEEPS {
            left.swept_later = false;
            return;
        }
    }
}

/// Removes the control groups of commands that have ended, and with the last one the folder that they were in: for the end of this process.
/// Blocks, for a tenth of a second at most.
pub fn leave_no_control_groups() {
    let Some(Some(folder)) = FOLDER_MADE.get() else { return };
    for _ in 0..10 {
        if left().sweep() {
            break;
        }
        std::thread::sleep(SWEEP_PAUSE);
    }
    // Another daemon's may be there.
    let _unless_used = fs::remove_dir(folder);
}

fn left() -> std::sync::MutexGuard<'static, Left> {
    static LEFT: Mutex<Left> = Mutex::new(Left { groups: Vec::new(), swept_later: false });
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

static FOLDER_MADE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// The folder for our control groups, made once; none where there can be none.
fn folder() -> Option<&'static Path> {
    let made = FOLDER_MADE.get_or_init(|| {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let folder = own_group(&mounts, &own)?.join(FOLDER);
        match fs::create_dir(&folder) {
            Ok(()) => Some(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                remove_orphans(&folder);
                Some(folder)
            }
            Err(_not_permitted) => None,
        }
    });
    made.as_deref()
}

/// Removes the groups of processes that were killed before they could. One with something in it stays.
fn remove_orphans(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.split_once('-')).map(|(pid, _)| pid);
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _unless_used = fs::remove_dir(entry.path());
        }
    }
}

/// Where this process's control group of version 2 is, by /proc/self/mountinfo and /proc/self/cgroup (cgroups(7)).
fn own_group(mounts: &str, own: &str) -> Option<PathBuf> {
    let path = own.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // One outside of our namespace.
    if path.starts_with("../") || path.ends_with(" (deleted)") {
        return None;
    }
    mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ');
        let (root, at) = (fields.nth(3)?, fields.next()?);
        let is_ours = after.starts_with("cgroup2 ") && root == "/";
        is_ours.then(|| Path::new(at).join(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group whose command has left something behind can't be removed at once; nothing else has to happen for it to go.
    #[tokio::test]
    async fn nothing_is_left_of_a_control_group() {
        let Some((group, procs)) = ControlGroup::make() else {
            assert!(folder().is_none(), "there is a folder, and no group can be made in it");
            return;
        };
        let path = group.0.clone();
        let mut command = std::process::Command::new("/bin/sleep");
        let confinement =
            Confinement { no_new_privileges: true, limits: vec![], group: Some(procs) };
        holdfast_net::confine::confine(command.arg("1000"), confinement);
        let mut child = command.spawn().unwrap();
        assert_eq!(fs::read_to_string(path.join("cgroup.procs")).unwrap().lines().count(), 1);
        drop(group);
        while path.exists() {
            tokio::task::yield_now().await;
        }
        child.wait().unwrap();
    }

    #[test]
    fn groups_of_processes_that_are_gone_are_removed_and_no_others() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!("{}-7", std::process::id());
        // Greater than any process's number (PID_MAX_LIMIT).
        for name in ["4194305-1", own.as_str(), "another"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        remove_orphans(folder.path());
        let left = |name: &str| folder.path().join(name).exists();
        assert_eq!((left("4194305-1"), left(&own), left("another")), (false, true, true));
    }

    #[test]
    fn the_own_control_group_is_found() {
        let mounts = "25 30 0:23 / /sys rw,nosuid - sysfs sysfs rw\n\
                      29 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";
        let found = own_group(mounts, "0::/system.slice/holdfast.service\n");
        assert_eq!(found, Some("/sys/fs/cgroup/system.slice/holdfast.service".into()));
        assert_eq!(own_group(mounts, "0::/\n"), Some("/sys/fs/cgroup/".into()));
        assert_eq!(own_group(mounts, "0::/../elsewhere\n"), None);
        assert_eq!(own_group(mounts, "12:cpu:/x\n"), None, "version 1 alone");
        assert_eq!(own_group("", "0::/\n"), None);
        let bind = "29 25 0:26 /part /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        assert_eq!(own_group(bind, "0::/\n"), None, "a part of the tree is mounted");
    }
}
