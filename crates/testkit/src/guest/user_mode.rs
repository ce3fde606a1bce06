//! User-Mode Linux: a kernel that is an ordinary process, from Debian's package `user-mode-linux`.
//!
//! It has one processor, but several processes of the host: the kernel's own, and one for each address space in it, which take turns at every system
//! call and every page fault. On two processors that lie idle the host wakes one of them up for each turn, which takes longer than all else: a start
//! of the daemon with 10,000 servers took 535 ms in such a guest, and 167 ms in one whose processes stay on one processor. So they do.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::sys::statvfs::statvfs;

use super::{boot::Start, folder::RunFolder, processor::Processor};

/// The kernel, as Debian installs it.
const LINUX: &str = "/usr/bin/linux.uml";

/// Starts a program on one processor; of the same package as `setpriv`.
const TASKSET: &str = "/usr/bin/taskset";

/// Debian's packages that a guest needs, and the program by which each is recognised.
const PACKAGES: &[(&str, &str)] = &[
    ("user-mode-linux", LINUX),
    ("kmod", "/usr/sbin/modprobe"),
    ("iproute2", "/usr/sbin/ip"),
    ("util-linux", "/usr/bin/setpriv"),
    ("mount", "/usr/bin/mount"),
];

/// Where the kernel's modules lie, by release.
const MODULES: &str = "/usr/lib/uml/modules";

/// A kernel that is installed with its modules.
#[derive(Debug)]
pub(super) struct UserMode {
    release: String,
}

impl UserMode {
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

    /// How it is started, with the scripts that lie in `folder`.
    pub(super) fn start(&self, folder: &RunFolder, memory_mib: u32) -> Start {
        let run = folder.path();
        let release = &self.release;
        let words = [
            format!("mem={memory_mib}M"),
            // The run folder is the current one: a longer path may not fit into a socket's address.
            "uml_dir=.".to_owned(),
            "umid=uml".to_owned(),
            "root=/dev/root".to_owned(),
            "rootfstype=hostfs".to_owned(),
            "rootflags=/".to_owned(),
            "ro".to_owned(),
            format!("init={}", run.join("init").display()),
            format!("HOLDFAST_RELEASE={release}"),
            format!("HOLDFAST_MODULES={MODULES}/{release}"),
            "HOLDFAST_SHARE=hostfs".to_owned(),
            "con=null".to_owned(),
            "con0=null,fd:1".to_owned(),
            "ssl=null".to_owned(),
            "quiet".to_owned(),
            "panic=-1".to_owned(),
            "noreboot".to_owned(),
        ];
        let processor = Processor::take();
        let on = ["--cpu-list".into(), processor.number().to_string().into(), LINUX.into()];
        Start {
            program: TASKSET.into(),
            arguments: on.into_iter().chain(words.map(Into::into)).collect(),
            temporary: Some(memory_folder(run, memory_mib)),
            processor: Some(processor),
        }
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
