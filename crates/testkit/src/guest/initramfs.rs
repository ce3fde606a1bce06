//! The first root of a stock kernel, in memory: an archive in cpio's format `newc` (Documentation/driver-api/early-userspace/
//! buffer-format.rst of the kernel), with busybox, the modules that it takes to see the host's tree, and a script.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail};

/// What must be loaded to see the host's tree, and to put a layer of memory over it.
const MODULES: &[&str] = &["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// Its first program.
const FIRST: &[u8] = include_bytes!("first.sh");

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// The archive for the kernel whose modules lie in `modules`.
///
/// # Errors
/// A module is missing, or a file can't be read.
pub(super) fn archive(busybox: &Path, modules: &Path) -> Result<Vec<u8>> {
    let read =
        |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let text = |name| -> Result<String> {
        Ok(String::from_utf8_lossy(&read(&modules.join(name))?).into_owned())
    };
    let order = load_order(MODULES, &text("modules.dep")?, &text("modules.builtin")?)?;
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "modules", "root"] {
        archive.add(folder, FOLDER, &[]);
    }
    archive.add("bin/busybox", PROGRAM, &read(busybox)?);
    archive.add("init", PROGRAM, FIRST);
    for (number, module) in order.iter().enumerate() {
        // The shell that loads them has them in the order of their names.
        let name = module.rsplit('/').next().unwrap_or(module);
        archive.add(&format!("modules/{number:02}-{name}"), PROGRAM, &read(&modules.join(module))?);
    }
    Ok(archive.finish())
}

/// The files of the modules `wanted` and of all that they stand on, each after those that it needs. `dependencies` is
/// `modules.dep`, where each line lists what a module needs, what is to be loaded first last; what is in the kernel itself is in
/// `builtin`.
fn load_order(wanted: &[&str], dependencies: &str, builtin: &str) -> Result<Vec<String>> {
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let line = dependencies.lines().filter_map(|line| line.split_once(':'));
        let line = line.into_iter().find(|(path, _)| module_name(path) == *name);
        let Some((path, needs)) = line else {
            if builtin.lines().any(|path| module_name(path) == *name) {
                continue;
            }
            bail!("this kernel has no module {name}");
        };
        for path in needs.split_ascii_whitespace().rev().chain([path]) {
            if !order.iter().any(|known| known == path) {
                order.push(path.to_owned());
            }
        }
    }
    Ok(order)
}

/// `virtio_pci` of `kernel/drivers/virtio/virtio-pci.ko.xz`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// A growing archive.
#[derive(Debug, Default)]
struct Archive {
    bytes: Vec<u8>,
    files: u32,
}

impl Archive {
    fn add(&mut self, name: &str, mode: u32, content: &[u8]) {
        self.files += 1;
        // Nothing here is 4 GiB long.
        let size = u32::try_from(content.len()).unwrap_or(u32::MAX);
        let name_size = u32::try_from(name.len()).unwrap_or(u32::MAX).saturating_add(1);
        let links = if mode == FOLDER { 2 } else { 1 };
        // Number, mode, owner, group, links, time, size, two device numbers of two parts each, length of the name, checksum.
        let fields = [self.files, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Names and contents begin at a multiple of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_comes_after_what_it_needs() {
        let dependencies = "kernel/net/9p/9pnet.ko:\n\
            kernel/fs/9p/9p.ko.xz: kernel/net/9p/9pnet.ko kernel/fs/fscache/fscache.ko kernel/fs/netfs/netfs.ko\n\
            kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko kernel/drivers/virtio/virtio-ring.ko\n";
        let builtin = "kernel/fs/overlayfs/overlay.ko\n";
        let order = load_order(&["9pnet_virtio", "9p", "overlay"], dependencies, builtin).unwrap();
        let names: Vec<_> = order.iter().map(|path| module_name(path)).collect();
        assert_eq!(names, ["virtio_ring", "9pnet", "9pnet_virtio", "netfs", "fscache", "9p"]);
        let error = load_order(&["virtio_pci"], dependencies, builtin).unwrap_err().to_string();
        assert_eq!(error, "this kernel has no module virtio_pci");
    }

    #[test]
    fn an_archive_is_aligned_and_ends_with_its_trailer() {
        let mut archive = Archive::default();
        archive.add("bin", FOLDER, &[]);
        archive.add("init", PROGRAM, b"hello");
        let bytes = archive.finish();
        let text = String::from_utf8(bytes).unwrap();
        let folder = "070701 00000001 000041ed 00000000 00000000 00000002 00000000 00000000 00000000 00000000 00000000 \
             00000000 00000004 00000000 bin\0\0\0";
        let file = "070701 00000002 000081ed 00000000 00000000 00000001 00000000 00000005 00000000 00000000 00000000 \
             00000000 00000005 00000000 init\0\0hello\0\0\0";
        let head = (folder.to_owned() + file).replace(' ', "");
        assert!(text.starts_with(&head), "{text:?}");
        assert!(
            text.trim_end_matches('\0').ends_with("TRAILER!!!") && text.len().is_multiple_of(4)
        );
    }
}
