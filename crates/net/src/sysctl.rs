//! Sysctls of interfaces, of forwarding (Linux's ip-sysctl.rst) and of IPVS (ipvs-sysctl.rst), which are set for as long as they are
//! needed.
//!
//! What a sysctl was is written to a file before it is changed. Whoever comes after a kill -9 finds it there: what is still
//! needed stays, and the rest gets its old value back. A value that somebody else has set meanwhile is theirs and stays.
//!
//! Where that file can't be read or written (a full disk), sysctls are set all the same: a service must not fail for what is to be given back
//! when it ends. [`Sysctls::unkept`] says so; this process gives them back, and only one that is killed does not. A file that is there and
//! can't be read is set aside, and [`Sysctls::lost`] says for as long as this process lives that what it had is not given back.
//!
//! The file holds for one boot, one network namespace and one part of the daemon, each of which has its own; an earlier boot's is
//! written over.
//!
//! Interface names may have dots: keys here have slashes and go to /proc/sys as they are.

mod record;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::record::Memory;
use crate::origin::Origin;

/// A sysctl: `net/ipv4/conf/eth0.7/arp_ignore`. Its values are words with a space between each two.
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

    /// The key `text`; none unless it is of an interface, of IPVS, or the one of forwarding IPv4.
    pub fn parse(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        let is_plain = |part: &&str| !part.is_empty() && !part.starts_with('.');
        let names: &[&str] = match parts.as_slice() {
            ["net", "ipv4" | "ipv6", "conf", names @ ..] if names.len() == 2 => names,
            ["net", "ipv4", "vs", names @ ..] if names.len() == 1 => names,
            ["net", "ipv4", "ip_forward"] => &[],
            _ => return None,
        };
        names.iter().all(is_plain).then(|| Self(text.to_owned()))
    }

    /// The value now, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// There is no such interface, or no such sysctl in this kernel.
    pub fn read(&self) -> Result<i64, SysctlError> {
        let invalid = |error| self.unread(io::Error::new(io::ErrorKind::InvalidData, error));
        self.text()?.parse().map_err(invalid)
    }

    /// The same as text.
    ///
    /// # Errors
    /// As [`Sysctl::read`].
    pub fn text(&self) -> Result<String, SysctlError> {
        let text = fs::read_to_string(self.path()).map_err(|source| self.unread(source))?;
        Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn unread(&self, source: io::Error) -> SysctlError {
        SysctlError::Read { sysctl: self.clone(), source }
    }

    /// Sets it, in the network namespace of the calling thread, without remembering what it was.
    ///
    /// # Errors
    /// There is no such interface, no such sysctl, or it may not be set.
    pub fn write(&self, value: i64) -> Result<(), SysctlError> {
        self.write_text(&value.to_string())
    }

    fn write_text(&self, value: &str) -> Result<(), SysctlError> {
        fs::write(self.path(), value).map_err(|source| SysctlError::Write {
            sysctl: self.clone(),
            value: value.to_owned(),
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
    /// Why the file does not say what is remembered; none when it does.
    unkept: Option<SysctlError>,
    /// Why what an earlier run had set is not known; none when it is.
    lost: Option<SysctlError>,
}

impl Sysctls {
    /// What an earlier run that was killed has left in `directory` of what `part` of the daemon had set, or nothing.
    ///
    /// What can't be read is nothing, which [`Self::lost`] says; the file is then called `….set-aside`, so that it is not written over.
    ///
    /// # Errors
    /// The kernel does not say which network namespace this is.
    pub fn open(directory: &Path, part: &str) -> Result<Self, SysctlError> {
        let failed = |file: &Path, source| SysctlError::Record { file: file.to_owned(), source };
        let origin = Origin::here().map_err(|source| failed(directory, source))?;
        let file = directory.join(format!("{part}-{}", origin.namespace));
        let (memory, unkept, lost) = match record::load(&file, &origin) {
            Ok(memory) => (memory, None, None),
            // There is no directory, and so no file.
            Err(source) if source.kind() == io::ErrorKind::NotADirectory => {
                (BTreeMap::new(), Some(failed(&file, source)), None)
            }
            Err(source) => {
                let aside = file.with_extension("set-aside");
                let unkept = fs::rename(&file, &aside).err().map(|source| failed(&file, source));
                let at = if unkept.is_some() { file.clone() } else { aside };
                (BTreeMap::new(), unkept, Some(SysctlError::Lost { file: at, source }))
            }
        };
        Ok(Self { file, origin, memory, unkept, lost })
    }

    /// Why what an earlier run had set is not known: what it was is not given back, unless somebody does it by hand. None when all is well.
    pub const fn lost(&self) -> Option<&SysctlError> {
        self.lost.as_ref()
    }

    /// Why what sysctls were is not written down: should this process be killed, nobody gives them back. None when all is well.
    pub const fn unkept(&self) -> Option<&SysctlError> {
        self.unkept.as_ref()
    }

    /// Sees to it that `sysctl` is `least` at least, and remembers what it was.
    ///
    /// # Errors
    /// There is no such sysctl, or it may not be set.
    pub fn raise(&mut self, sysctl: &Sysctl, least: i64) -> Result<(), SysctlError> {
        let is = sysctl.read()?;
        if is >= least {
            return Ok(());
        }
        self.put(sysctl, is.to_string(), least.to_string())
    }

    /// Sees to it that `sysctl` is `value`, and remembers what it was; says what that was if it was another.
    ///
    /// # Errors
    /// As [`Self::raise`], or the kernel made something else of it.
    pub fn set(&mut self, sysctl: &Sysctl, value: &str) -> Result<Option<String>, SysctlError> {
        let is = sysctl.text()?;
        if is == value {
            return Ok(None);
        }
        self.put(sysctl, is.clone(), value.to_owned())?;
        let became = sysctl.text()?;
        if became != value {
            let (sysctl, value) = (sysctl.clone(), value.to_owned());
            return Err(SysctlError::Otherwise { sysctl, value, became });
        }
        Ok(Some(is))
    }

    /// Whether `sysctl` is what it was set to, by this run or by one before.
    pub fn holds(&self, sysctl: &Sysctl, value: &str) -> bool {
        self.memory.get(sysctl).is_some_and(|memory| memory.set == value)
    }

    fn put(&mut self, sysctl: &Sysctl, is: String, value: String) -> Result<(), SysctlError> {
        let known = self.memory.get(sysctl).cloned();
        // What is not what we had set was set by somebody while we run: that is what it shall be afterwards.
        let before = match &known {
            Some(memory) if memory.set == is => memory.before.clone(),
            Some(_) | None => is,
        };
        self.memory.insert(sysctl.clone(), Memory { before, set: value.clone() });
        self.save();
        let put = sysctl.write_text(&value);
        if put.is_err() {
            match known {
                Some(memory) => self.memory.insert(sysctl.clone(), memory),
                None => self.memory.remove(sysctl),
            };
            // A line too many in the file does no harm: what it says was set is not what is found.
            self.save();
        }
        put
    }

    /// Gives back what all but `wanted` were. What could not be given back is told, and tried again at the next call, as is what could not
    /// be written down.
    pub fn keep_only(&mut self, wanted: &BTreeSet<Sysctl>) -> Vec<SysctlError> {
        let before = self.memory.len();
        let mut problems = Vec::new();
        self.memory.retain(|sysctl, memory| {
            if wanted.contains(sysctl) {
                return true;
            }
            let given_back = give_back(sysctl, memory);
            let refused = given_back.is_err();
            problems.extend(given_back.err());
            refused
        });
        if self.memory.len() != before || self.unkept.is_some() {
            self.save();
        }
        problems
    }

    /// Writes down what is remembered; nothing to remember is no file.
    fn save(&mut self) {
        let saved = record::save(&self.file, &self.origin, &self.memory);
        let failed = |source| SysctlError::Record { file: self.file.clone(), source };
        self.unkept = saved.err().map(failed);
    }
}

/// Sets what it was, unless somebody else has set it since or the interface is gone.
fn give_back(sysctl: &Sysctl, memory: &Memory) -> Result<(), SysctlError> {
    match sysctl.text() {
        Ok(is) if is == memory.set => sysctl.write_text(&memory.before),
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
        value: String,
        /// What the kernel answered.
        source: io::Error,
    },
    /// It was set, and is something else.
    #[error("set the sysctl {sysctl} to {value}: it is {became}")]
    Otherwise {
        /// Which.
        sysctl: Sysctl,
        /// To what.
        value: String,
        /// What it is.
        became: String,
    },
    /// What they were could not be read or written down.
    #[error("keep the former sysctls in {}", file.display())]
    Record {
        /// The file.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// What they were before an earlier run could not be read.
    #[error(
        "read what sysctls were before an earlier run, in what is now {}: they stay as they are", file.display()
    )]
    Lost {
        /// The file, which was set aside.
        file: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_of_an_interface_of_ipvs_or_of_forwarding_and_leads_nowhere_else() {
        let key = Sysctl::ipv4("eth0.7", "arp_ignore");
        assert_eq!(key.to_string(), "net/ipv4/conf/eth0.7/arp_ignore");
        assert_eq!(Sysctl::parse(&key.to_string()), Some(key));
        for key in ["net/ipv4/ip_forward", "net/ipv4/vs/sync_ports", "net/ipv6/conf/all/forwarding"]
        {
            assert_eq!(Sysctl::parse(key).map(|key| key.to_string()).as_deref(), Some(key));
        }
        for wrong in [
            "net/ipv4/tcp_rmem",
            "net/ipv4/vs/../tcp_rmem",
            "net/ipv4/vs/a/b",
            "net/ipv4/vs/",
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
