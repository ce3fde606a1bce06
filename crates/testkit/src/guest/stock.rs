//! Debian's own kernel in qemu: what production runs, with nftables and IPVS, on any x86-64 machine. The processor is
//! emulated, which is slow and works everywhere.
//!
//! Nothing of it is installed: the kernel's package is unpacked into [`folder()`], and what the kernel starts with is made for each
//! run. The host's tree and the folders that the guest may write to come in by the Plan 9 file protocol, which is part of qemu.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use super::{boot::Start, folder, folder::RunFolder, initramfs};

/// The emulator, as Debian installs it (`qemu-system-x86`).
pub const QEMU: &str = "/usr/bin/qemu-system-x86_64";

/// The most processors that a guest has.
const PROCESSORS: usize = 2;

/// Where the kernel lies: `target/stock-kernel` of this workspace. In it are `release`, which names the kernel and is written last,
/// `vmlinuz`, `busybox`, linked statically, and `lib/modules/RELEASE`, with `modules.dep`.
#[must_use]
pub fn folder() -> PathBuf {
    folder::target().join("stock-kernel")
}

/// A kernel that lies ready.
#[derive(Debug)]
pub(super) struct Stock {
    folder: PathBuf,
    release: String,
}

impl Stock {
    /// Looks for everything that a guest needs.
    pub(super) fn find() -> Result<Self> {
        let folder = folder();
        let release = fs::read_to_string(folder.join("release"));
        let (Ok(release), true) = (release, Path::new(QEMU).exists()) else {
            bail!(
                "the stock kernel is not in {}, or there is no {QEMU}: cargo xtask setup",
                folder.display()
            );
        };
        let folder = folder
            .canonicalize()
            .with_context(|| format!("cannot find the folder {}", folder.display()))?;
        super::mountable(&folder)?;
        Ok(Self { folder, release: release.trim().to_owned() })
    }

    /// How it is started, with the scripts that lie in `run` and with these folders writable.
    pub(super) fn start(
        &self,
        run: &RunFolder,
        memory_mib: u32,
        writable: &[PathBuf],
    ) -> Result<Start> {
        let modules = self.folder.join("lib/modules").join(&self.release);
        let archive = initramfs::archive(&self.folder.join("busybox"), &modules)?;
        run.write("initramfs", &archive, 0o644)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let mut arguments = words(&["-nodefaults", "-no-user-config", "-display", "none"]);
        // A kernel that panics wants to start again, which is its end.
        arguments.extend(words(&["-no-reboot", "-machine", "q35", "-cpu", "max"]));
        // Never KVM: a machine that is a guest itself often offers it, and then hangs or lacks what qemu expects of it.
        arguments.extend(words(&["-accel", "tcg", "-serial", "stdio"]));
        arguments.extend([
            "-smp".to_owned(),
            processors.min(PROCESSORS).to_string(),
            "-m".to_owned(),
            memory_mib.to_string(),
            "-kernel".to_owned(),
            self.folder.join("vmlinuz").display().to_string(),
            "-initrd".to_owned(),
            run.path().join("initramfs").display().to_string(),
            "-append".to_owned(),
            self.command_line(run, &modules),
        ]);
        arguments.extend(shared("root", Path::new("/"), ",readonly=on"));
        arguments.extend(shared("share0", run.path(), ""));
        for (index, path) in writable.iter().enumerate() {
            arguments.extend(shared(&format!("share{}", index + 1), path, ""));
        }
        let arguments = arguments.into_iter().map(Into::into).collect();
        Ok(Start { program: QEMU.into(), arguments, temporary: None, processor: None })
    }

    fn command_line(&self, run: &RunFolder, modules: &Path) -> String {
        format!(
            "console=ttyS0 quiet panic=-1 mitigations=off HOLDFAST_INIT={} HOLDFAST_RELEASE={} HOLDFAST_MODULES={} \
             HOLDFAST_SHARE=9p",
            run.path().join("init").display(),
            self.release,
            modules.display()
        )
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// What lets the guest mount `path` by the name of `tag`.
fn shared(tag: &str, path: &Path, more: &str) -> [String; 4] {
    [
        "-fsdev".to_owned(),
        format!("local,id={tag},path={},security_model=none,multidevs=remap{more}", path.display()),
        "-device".to_owned(),
        format!("virtio-9p-pci,fsdev={tag},mount_tag={tag}"),
    ]
}
