//! Getting the stock kernel: its package, and that of busybox, are downloaded by apt-get and unpacked into the target folder. Nothing is
//! installed: no boot loader and no initramfs of this machine hears of it, and it takes no root.

use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use holdfast_testkit::guest::stock;

use crate::setup::{self, APT_GET};

/// The package that depends on the newest kernel.
const KERNEL: &str = "linux-image-amd64";

/// A shell and what else the kernel's first root needs, in one program without libraries.
const BUSYBOX: &str = "busybox-static";

/// Why this machine can't boot the stock kernel, if it never can.
pub(crate) fn obstacle() -> Option<&'static str> {
    if !cfg!(target_arch = "x86_64") {
        return Some("the stock kernel is fetched for x86-64 only");
    }
    let there = is_there() || Path::new(APT_GET).exists();
    (!there).then_some("this is not Debian: there is no apt-get to fetch its kernel with")
}

/// Downloads and unpacks the kernel, unless it lies ready or this machine can't boot it.
///
/// # Errors
/// apt-get has no such package, or something can't be unpacked: what said what.
pub(crate) fn ensure() -> Result<()> {
    if is_there() || obstacle().is_some() {
        return Ok(());
    }
    let package = match package_of_kernel() {
        Ok(package) => package,
        // Where no lists were ever fetched, nothing is known of any package.
        Err(_) if nix::unistd::geteuid().is_root() => {
            setup::apt_get(&["update", "-qq"])?;
            package_of_kernel()?
        }
        Err(error) => return Err(error.context("as root: apt-get update")),
    };
    // A guest's output is its command's.
    eprintln!("Fetching {package}, for tests that need a stock kernel");
    let folder = stock::folder();
    let partial = folder.with_extension(format!("{}", std::process::id()));
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    let fetched = fetch(&package, &partial).and_then(|()| {
        // One that was left without its last file.
        drop(fs::remove_dir_all(&folder));
        fs::rename(&partial, &folder)
            .with_context(|| format!("cannot move {} into its place", partial.display()))
    });
    if fetched.is_err() {
        drop(fs::remove_dir_all(&partial));
    }
    // Somebody else may have been faster.
    if is_there() { Ok(()) } else { fetched }
}

fn is_there() -> bool {
    stock::folder().join("release").exists()
}

/// The package of the newest kernel, such as `linux-image-6.1.0-40-amd64`.
fn package_of_kernel() -> Result<String> {
    let output = Command::new("apt-cache")
        .args(["depends", KERNEL])
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .context("cannot run apt-cache")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let package = dependency(&text);
    package.with_context(|| format!("apt-cache knows no package {KERNEL}"))
}

/// What `apt-cache depends` says that the kernel's package depends on.
fn dependency(text: &str) -> Option<String> {
    let names = text.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    names.map(str::trim).find(|name| name.starts_with("linux-image-")).map(str::to_owned)
}

/// Fills `folder` as [`stock::folder`] is to be.
fn fetch(package: &str, folder: &Path) -> Result<()> {
    let release = package.strip_prefix("linux-image-").unwrap_or(package);
    let download = |folder: &Path| {
        let names = [package, BUSYBOX].map(OsStr::new);
        run(Command::new(APT_GET).args(["download", "-qq"]).args(names).current_dir(folder))
    };
    if let Err(error) = download(folder) {
        if !nix::unistd::geteuid().is_root() {
            return Err(error.context("as root: apt-get update"));
        }
        // The lists name a version that is no longer there.
        setup::apt_get(&["update", "-qq"])?;
        download(folder)?;
    }
    let root = folder.join("unpacked");
    for archive in archives(folder)? {
        run(Command::new("dpkg-deb").arg("--extract").arg(&archive).arg(&root))?;
        fs::remove_file(&archive)
            .with_context(|| format!("cannot remove {}", archive.display()))?;
    }
    let modules = format!("lib/modules/{release}");
    move_out(&root, &[&format!("boot/vmlinuz-{release}")], &folder.join("vmlinuz"))?;
    move_out(&root, &["bin/busybox", "usr/bin/busybox"], &folder.join("busybox"))?;
    fs::create_dir_all(folder.join("lib/modules")).context("cannot make a folder for modules")?;
    move_out(&root, &[&modules, &format!("usr/{modules}")], &folder.join(&modules))?;
    fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    // Newer ones look there.
    std::os::unix::fs::symlink(".", folder.join("usr")).context("cannot make a link")?;
    run(Command::new(depmod()).arg("--basedir").arg(folder).arg(release))?;
    fs::write(folder.join("release"), format!("{release}\n")).context("cannot name the kernel")
}

/// A user's `PATH` seldom has it.
fn depmod() -> &'static str {
    if Path::new("/usr/sbin/depmod").exists() { "/usr/sbin/depmod" } else { "depmod" }
}

/// The packages in `folder`.
fn archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let paths = entries.flatten().map(|entry| entry.path());
    Ok(paths.filter(|path| path.extension() == Some(OsStr::new("deb"))).collect())
}

/// Moves the first of `names` that is in `root`.
fn move_out(root: &Path, names: &[&str], to: &Path) -> Result<()> {
    let found = names.iter().map(|name| root.join(name)).find(|path| path.exists());
    let found = found.with_context(|| format!("no package has {}", names.join(" or ")))?;
    fs::rename(&found, to).with_context(|| format!("cannot move {}", found.display()))
}

/// Runs a command; what it says is of interest only when it fails.
fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let name = command.get_program().display().to_string();
    let output = output.with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        bail!("{name} ended with {}: {said}", output.status);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_what_its_name_depends_on() {
        let text = "linux-image-amd64\n  Depends: linux-image-6.1.0-40-amd64\n";
        assert_eq!(dependency(text).as_deref(), Some("linux-image-6.1.0-40-amd64"));
        assert_eq!(dependency("linux-image-amd64\n  Recommends: firmware\n"), None);
        assert_eq!(dependency(""), None);
    }
}
