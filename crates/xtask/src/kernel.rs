//! Which kernel the lab runs on: this machine's, where it can IPVS and we are root, else a guest's.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Result, bail};
use clap::Args;

/// Lets the caller choose.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Choice {
    /// Use the guest's kernel, even if this one would do
    #[arg(long)]
    guest: bool,

    /// Use this kernel, or fail
    #[arg(long, conflicts_with = "guest")]
    host: bool,
}

/// Where programs that need IPVS and root run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In namespaces of this machine's kernel.
    Host,
    /// Under User-Mode Linux.
    Guest,
}

/// What this machine can do.
#[derive(Debug, Clone, Copy)]
struct Facts {
    root: bool,
    namespaces: bool,
    ip_vs: bool,
}

impl Choice {
    /// The kernel to use; says which and why.
    ///
    /// # Errors
    /// `--host` on a machine that can't.
    pub(crate) fn decide(self) -> Result<Place> {
        let obstacle = if self.guest { None } else { Facts::gather().obstacle() };
        let (place, why) = self.judge(obstacle)?;
        match place {
            Place::Host => println!("Kernel: this machine's, in namespaces ({why})"),
            Place::Guest => println!("Kernel: a guest's, User-Mode Linux ({why})"),
        }
        Ok(place)
    }

    /// The kernel for tests that need root and namespaces and no IPVS: this machine's, wherever it can.
    pub(crate) fn decide_for_networks(self) -> Place {
        let Facts { root, namespaces, .. } = Facts::gather();
        if !self.guest && root && namespaces { Place::Host } else { Place::Guest }
    }

    fn judge(self, obstacle: Option<&'static str>) -> Result<(Place, &'static str)> {
        match (self.guest, self.host, obstacle) {
            (true, ..) => Ok((Place::Guest, "--guest")),
            (false, true, Some(obstacle)) => {
                bail!("--host: this machine's kernel can't be used: {obstacle}")
            }
            (false, false, Some(obstacle)) => Ok((Place::Guest, obstacle)),
            (false, _, None) => Ok((Place::Host, "root, and it has ip_vs")),
        }
    }
}

impl Facts {
    fn gather() -> Self {
        let root = nix::unistd::geteuid().is_root();
        Self {
            root,
            namespaces: root && succeeds("unshare", &["--net", "true"]),
            // Reading the table's file needs no right; loading the module does.
            ip_vs: Path::new("/proc/net/ip_vs").exists()
                || (root
                    && succeeds("modprobe", &["-q", "ip_vs"])
                    && Path::new("/proc/net/ip_vs").exists()),
        }
    }

    /// Why this machine's kernel won't do, if it won't.
    const fn obstacle(self) -> Option<&'static str> {
        match self {
            Self { root: false, .. } => Some("you are not root here"),
            Self { ip_vs: false, .. } => Some("this machine's kernel has no ip_vs"),
            Self { namespaces: false, .. } => {
                Some("this machine lets even root make no namespaces")
            }
            Self { root: true, ip_vs: true, namespaces: true } => None,
        }
    }
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Facts = Facts { root: true, namespaces: true, ip_vs: true };

    #[test]
    fn this_kernel_is_used_only_where_everything_is_there() {
        let free = Choice { guest: false, host: false };
        assert_eq!(free.judge(ALL.obstacle()).unwrap().0, Place::Host);
        for facts in [
            Facts { root: false, ..ALL },
            Facts { namespaces: false, ..ALL },
            Facts { ip_vs: false, ..ALL },
        ] {
            assert_eq!(free.judge(facts.obstacle()).unwrap().0, Place::Guest, "{facts:?}");
        }
    }

    #[test]
    fn a_flag_decides_or_fails() {
        let guest = Choice { guest: true, host: false };
        assert_eq!(guest.judge(None).unwrap().0, Place::Guest);
        let host = Choice { guest: false, host: true };
        assert_eq!(host.judge(None).unwrap().0, Place::Host);
        let facts = Facts { ip_vs: false, ..ALL };
        let error = host.judge(facts.obstacle()).unwrap_err().to_string();
        assert_eq!(
            error,
            "--host: this machine's kernel can't be used: this machine's kernel has no ip_vs"
        );
    }
}
