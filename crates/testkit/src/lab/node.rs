//! One machine of the lab: a network namespace, its addresses, and what runs in it.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use nix::{
    ifaddrs::getifaddrs,
    sched::{CloneFlags, setns},
};

use super::Process;

/// How long a command may take that is waited for, in seconds.
const RUN_LIMIT_S: &str = "60";

/// The addresses of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Addresses {
    pub(super) ip4: Ipv4Addr,
    pub(super) ip6: Ipv6Addr,
    pub(super) mac: String,
}

/// A machine of the lab.
#[derive(Debug, Clone)]
pub struct Node {
    namespace: String,
    name: String,
    folder: PathBuf,
    first: Addresses,
    second: Option<Addresses>,
}

/// What a command wrote, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its standard output; bytes that are no UTF-8 are replaced.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
    /// Its exit status, as a shell counts it: 128 + n for signal n.
    pub code: i32,
}

impl Node {
    pub(super) const fn new(
        namespace: String,
        name: String,
        folder: PathBuf,
        first: Addresses,
        second: Option<Addresses>,
    ) -> Self {
        Self { namespace, name, folder, first, second }
    }

    /// Its name in the lab.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of its network namespace, as `ip netns` knows it.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A folder for its configuration files, sockets and logs. It is removed with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of the lab that it belongs to.
    pub(super) fn lab(&self) -> &Path {
        self.folder.parent().unwrap_or(&self.folder)
    }

    /// The IPv4 address of `eth0`.
    #[must_use]
    pub const fn ip4(&self) -> Ipv4Addr {
        self.first.ip4
    }

    /// The IPv6 address of `eth0`.
    #[must_use]
    pub const fn ip6(&self) -> Ipv6Addr {
        self.first.ip6
    }

    /// The MAC address of `eth0`, as `ip` prints it.
    #[must_use]
    pub fn mac(&self) -> &str {
        &self.first.mac
    }

    /// The IPv4 address of a director's `eth1`, where the topology has an inner network.
    #[must_use]
    pub fn inner4(&self) -> Option<Ipv4Addr> {
        self.second.as_ref().map(|link| link.ip4)
    }

    /// The IPv6 address of a director's `eth1`, where the topology has an inner network.
    #[must_use]
    pub fn inner6(&self) -> Option<Ipv6Addr> {
        self.second.as_ref().map(|link| link.ip6)
    }

    pub(super) const fn first(&self) -> &Addresses {
        &self.first
    }

    pub(super) const fn second(&self) -> Option<&Addresses> {
        self.second.as_ref()
    }

    /// A command that will run on this node. Its process id will be the program's own.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program).stdin(Stdio::null());
        command
    }

    /// Runs a program with its arguments and waits for it, for at most a minute.
    ///
    /// # Errors
    /// It can't be run, or ends with another status than 0: the command, its status and its standard error.
    pub fn run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output> {
        checked(self.command("timeout").args(["-k1", RUN_LIMIT_S]).args(argv))
            .with_context(|| format!("on {}", self.name))
    }

    /// As [`Node::run`], but a status other than 0 is no error.
    ///
    /// # Errors
    /// It can't be run.
    pub fn try_run<S: AsRef<OsStr>>(&self, argv: impl IntoIterator<Item = S>) -> Result<Output> {
        output(self.command("timeout").args(["-k1", RUN_LIMIT_S]).args(argv))
    }

    /// Runs lines of shell, the first failing one of which ends it.
    ///
    /// # Errors
    /// As [`Node::run`].
    pub fn sh(&self, script: &str) -> Result<Output> {
        self.run(["sh", "-ec", script])
    }

    /// Starts a program that goes on running. It dies with the lab at the latest. What it writes goes to a log named
    /// for `name`.
    ///
    /// # Errors
    /// It can't be started, or its log can't be made.
    pub fn spawn<S: AsRef<OsStr>>(
        &self,
        name: &str,
        argv: impl IntoIterator<Item = S>,
    ) -> Result<Process> {
        let mut argv = argv.into_iter();
        let program = argv.next().context("an empty command")?;
        let mut command = self.command(program);
        command.args(argv);
        self.spawn_command(name, command)
    }

    /// As [`Node::spawn`], for a command made with [`Node::command`], which may have an environment of its own.
    ///
    /// # Errors
    /// As [`Node::spawn`].
    pub fn spawn_command(&self, name: &str, command: Command) -> Result<Process> {
        Process::start(self, name, command)
    }

    /// Runs `f` on a thread of its own whose network is this node's: sockets that it opens are this node's for good.
    ///
    /// # Errors
    /// The namespace can't be entered.
    pub fn enter<T: Send>(&self, f: impl FnOnce() -> T + Send) -> Result<T> {
        let path = Path::new("/run/netns").join(&self.namespace);
        let namespace =
            File::open(&path).with_context(|| format!("cannot open {}", path.display()))?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                setns(&namespace, CloneFlags::CLONE_NEWNET)?;
                Ok::<_, nix::Error>(f())
            });
            match thread.join() {
                Ok(result) => result.with_context(|| format!("cannot enter {}", path.display())),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Sets a kernel parameter of this node; `key` as sysctl(8) has it, with dots or slashes.
    ///
    /// # Errors
    /// There is no such parameter, or the kernel refuses the value.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<()> {
        let key = if key.contains('/') { key.to_owned() } else { key.replace('.', "/") };
        self.run(["sh", "-ec", r#"echo "$2" >"/proc/sys/$1""#, "sh", &key, value]).map(drop)
    }

    /// Makes a real server accept packets for a virtual address without telling the network that it has it, as direct
    /// routing wants it: the address goes to `lo`, and for IPv4 ARP is told to be silent about it. (IPv6 neighbour
    /// discovery answers only for addresses of the link itself.)
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn hold_vip(&self, vip: IpAddr) -> Result<()> {
        match vip {
            IpAddr::V4(vip) => self.sh(&format!(
                "for link in all eth0; do\n\
                 echo 1 >/proc/sys/net/ipv4/conf/$link/arp_ignore\n\
                 echo 2 >/proc/sys/net/ipv4/conf/$link/arp_announce\n\
                 done\n\
                 ip address add {vip}/32 dev lo"
            )),
            IpAddr::V6(vip) => self.sh(&format!("ip address add {vip}/128 dev lo nodad")),
        }
        .map(drop)
    }

    /// Whether an interface of this node has the address now.
    ///
    /// # Errors
    /// The kernel can't be asked.
    pub fn has_address(&self, address: IpAddr) -> Result<bool> {
        // Without a program: it is asked again and again, and in the guest each costs some hundredths of a second.
        let listed = self.enter(|| -> nix::Result<bool> {
            let mut found = getifaddrs()?.filter_map(|one| one.address).filter_map(|one| {
                let v4 = one.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| one.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            });
            Ok(found.any(|one| one == address))
        })?;
        listed.with_context(|| format!("cannot list the addresses of {}", self.name))
    }

    /// Takes `eth0` down as an administrator does. The routes of the interface go; its addresses stay.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn admin_down(&self) -> Result<()> {
        self.run(["ip", "link", "set", "eth0", "down"]).map(drop)
    }

    /// Takes `eth0` up again. Default routes by it were lost.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn admin_up(&self) -> Result<()> {
        self.run(["ip", "link", "set", "eth0", "up"]).map(drop)
    }

    /// Writes a file into this node's folder; its path. It is there in one step: who reads it meanwhile finds what it held before, or
    /// all of `content`. One that is replaced loses its mode and its owner.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        replace(&path, content)?;
        Ok(path)
    }
}

/// Puts a file with this content at `path`, in one step.
pub(super) fn replace(path: &Path, content: &str) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Hidden, and with another end: what reads a whole folder leaves it out.
    let draft = path.with_file_name(format!(".{name}.draft"));
    fs::write(&draft, content)
        .and_then(|()| fs::rename(&draft, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Runs a command and takes what it writes.
fn output(command: &mut Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot run {}", spelled(command)))?;
    let status = output.status;
    Ok(Output {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: status.code().or_else(|| status.signal().map(|n| 128 + n)).unwrap_or(-1),
    })
}

/// As [`output`], with a status other than 0 as an error.
pub(super) fn checked(command: &mut Command) -> Result<Output> {
    let output = output(command)?;
    if output.code != 0 {
        bail!("{} ended with status {}: {}", spelled(command), output.code, output.stderr.trim());
    }
    Ok(output)
}

/// The command as a person would type it, without what puts it into its namespace.
pub(super) fn spelled(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect();
    let words = words.join(" ");
    let words = match words.strip_prefix("ip netns exec ").and_then(|rest| rest.split_once(' ')) {
        Some((_, rest)) => rest,
        None => &words,
    };
    words.strip_prefix("timeout -k1 60 ").unwrap_or(words).to_owned()
}
