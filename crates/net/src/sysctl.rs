//! Sysctls of interfaces (Linux's ip-sysctl.rst), which are set for as long as they are needed.
//!
//! What a sysctl was is written to a file before it is changed. Whoever comes after a kill -9 finds it there: what is still
//! needed stays, and the rest gets its old value back. A value that somebody else has set meanwhile is theirs and stays.
//!
//! The file holds for one boot and one network namespace, each of which has its own; an earlier boot's is written over.
//!
//! Interface names may have dots: keys here have slashes and go to /proc/sys as they are.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::record::{Memory, Origin};

/// The name of the file, in the directory of the daemon's state, before the namespace's number.
const FILE: &str = "sysctls-";

/// A sysctl of one interface: `net/ipv4/conf/eth0.7/arp_ignore`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sysctl(String);

impl Sysctl {
    /// The IPv4 sysctl `name` of `interface`.
    pub fn ipv4(interface: &str, name: &str) -> Self {
        Self(format!("net/ipv4/conf/{interface}/{name}"))
    }

    /// The IPv6 sysctl `name` of `interface`.
    pub fn ipv6(interface: &str, name: &str) -> Self {
        Self(format!("net/ipv6/conf/{interface}/{name}"))
    }

    /// The key `text`; none unless it is of an interface.
    fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_plain = |part: &&str| !part.is_empty() && !part.starts_with('.');
        match parts.as_slice() {
            ["net", "ipv4" | "ipv6", "conf", interface, name] => {
                [interface, name].into_iter().all(is_plain).then(|| Self(text.to_owned()))
            }
            _ => None,
        }
    }

    /// The value now, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// There is no such interface, or no such sysctl in this kernel.
    pub fn read(&self) -> Result<i64, SysctlError> {
        let failed = |source| SysctlError::Read { sysctl: self.clone(), source };
        let text = fs::read_to_string(self.path()).map_err(failed)?;
        let invalid = |error| failed(io::Error::new(io::ErrorKind::InvalidData, error));
        text.trim().parse().map_err(invalid)
    }

    /// Sets it, in the network namespace of the calling thread, without remembering what it was.
    ///
    /// # Errors
    /// There is no such interface, no such sysctl, or it may not be set.
    pub fn write(&self, value: i64) -> Result<(), SysctlError> {
        fs::write(self.path(), value.to_string()).map_err(|source| SysctlError::Write {
            sysctl: self.clone(),
            value,
            source,
        })
    }

    fn path(&self) -> PathBuf {
        Path::new("/proc/sys").join(&self.0)
    }
}

impl fmt::Display for Sysctl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The sysctls that are set, with what they were.
#[derive(Debug)]
pub struct Sysctls {
    file: PathBuf,
    origin: Origin,
    memory: BTreeMap<Sysctl, Memory>,
}

impl Sysctls {
    /// What an earlier run that was killed has left in `directory`, or nothing.
    ///
    /// # Errors
    /// The file is there and can't be read.
    pub fn open(directory: &Path) -> Result<Self, SysctlError> {
        let failed = |file: &Path, source| SysctlError::Record { file: file.to_owned(), source };
        let origin = Origin::here().map_err(|source| failed(directory, source))?;
        let file = directory.join(format!("{FILE}{}", origin.namespace()));
        let memory = record::load(&file, &origin).map_err(|source| failed(&file, source))?;
        Ok(Self { file, origin, memory })
    }

    /// Sees to it that `sysctl` is `least` at least, and remembers what it was.
    ///
    /// # Errors
    /// There is no such sysctl, it may not be set, or what it was could not be written down; then it is left as it is.
    pub fn raise(&mut self, sysctl: &Sysctl, least: i64) -> Result<(), SysctlError> {
        let is = sysctl.read()?;
        if is >= least {
            return Ok(());
        }
        // One that was set back while we run was set by somebody: that is what it shall be afterwards.
        self.memory.insert(sysctl.clone(), Memory { before: is, set: least });
        if let Err(error) = self.save() {
            self.memory.remove(sysctl);
            return Err(error);
        }
        sysctl.write(least)
    }

    /// Gives back what all but `wanted` were. What could not be given back is told, and tried again at the next call.
    pub fn keep_only(&mut self, wanted: &BTreeSet<Sysctl>) -> Vec<SysctlError> {
        let before = self.memory.len();
        let mut problems = Vec::new();
        self.memory.retain(|sysctl, memory| {
            if wanted.contains(sysctl) {
                return true;
            }
            let given_back = give_back(sysctl, *memory);
            let refused = given_back.is_err();
            problems.extend(given_back.err());
            refused
        });
        if self.memory.len() != before
            && let Err(error) = self.save()
        {
            problems.push(error);
        }
        problems
    }

    /// Writes down what is remembered; nothing to remember is no file.
    fn save(&self) -> Result<(), SysctlError> {
        record::save(&self.file, &self.origin, &self.memory)
            .map_err(|source| SysctlError::Record { file: self.file.clone(), source })
    }
}

/// Sets what it was, unless somebody else has set it since or the interface is gone.
fn give_back(sysctl: &Sysctl, memory: Memory) -> Result<(), SysctlError> {
    match sysctl.read() {
        Ok(is) if is == memory.set => sysctl.write(memory.before),
        Ok(_) => Ok(()),
        Err(SysctlError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Why a sysctl is not as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SysctlError {
    /// It could not be read.
    #[error("read the sysctl {sysctl}")]
    Read {
        /// Which.
        sysctl: Sysctl,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It could not be set.
    #[error("set the sysctl {sysctl} to {value}: the daemon needs a writable /proc/sys")]
    Write {
        /// Which.
        sysctl: Sysctl,
        /// To what.
        value: i64,
        /// What the kernel answered.
        source: io::Error,
    },
    /// What they were could not be read or written down.
    #[error("keep the former sysctls in {}", file.display())]
    Record {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_an_interface_and_leads_nowhere_else() {
        let key = Sysctl::ipv4("eth0.7", "arp_ignore");
        assert_eq!(key.to_string(), "net/ipv4/conf/eth0.7/arp_ignore");
        assert_eq!(Sysctl::parse(&key.to_string()), Some(key));
        for wrong in [
            "net/ipv4/ip_forward",
            "net/ipv4/conf/../ip_forward",
            "net/ipv4/conf/eth0/",
            "net/ipv4/conf/eth0/../x",
            "kernel/core_pattern/conf/eth0/x",
            "/net/ipv4/conf/eth0/arp_ignore",
        ] {
            assert_eq!(Sysctl::parse(wrong), None, "{wrong}");
        }
    }
}
