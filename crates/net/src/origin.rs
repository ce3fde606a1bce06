//! Which kernel's state something is: a record of it means nothing after a reboot, or in another network namespace.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// A boot and a network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The boot's identity (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The namespace's number, which another one may have after a reboot.
    pub namespace: u64,
}

impl Origin {
    /// This boot and the calling thread's network namespace.
    ///
    /// # Errors
    /// There is no /proc.
    pub fn here() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
        let namespace = fs::metadata("/proc/thread-self/ns/net")?.ino();
        Ok(Self { boot, namespace })
    }
}
