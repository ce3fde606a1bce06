//! One router of a pair: this daemon or keepalived, told the same things.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use holdfast_control::{Client, Status};
use holdfast_net::now;
use holdfast_testkit::lab::{Node, Process, wait_until};
use holdfast_time::Instant;
use nix::sys::signal::Signal;

use crate::Programs;

/// How long a program may take to end.
const END_LIMIT: Duration = Duration::from_secs(60);

/// Where keepalived's processes leave their numbers.
const PID_FILES: [&str; 2] = ["keepalived.pid", "vrrp.pid"];

/// Who plays a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Software {
    /// This daemon, which asks for real-time priority itself.
    Holdfast,
    /// keepalived as it is by default.
    Keepalived,
    /// keepalived with a real-time priority (`vrrp_rt_priority`) and locked memory (`vrrp_no_swap`).
    KeepalivedRealtime,
}

impl Software {
    /// Its name in the results.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Holdfast => "holdfast",
            Self::Keepalived => "keepalived",
            Self::KeepalivedRealtime => "keepalived, real-time",
        }
    }
}

/// A virtual router.
#[derive(Clone, Debug)]
pub struct Virtual {
    /// The interface that speaks VRRP and gets the address.
    pub interface: String,
    /// VRID.
    pub vrid: u8,
    /// The virtual address.
    pub vip: Ipv4Addr,
    /// Its prefix length.
    pub prefix: u8,
}

impl Virtual {
    /// Its name in both configurations.
    pub fn name(&self) -> String {
        format!("{}-{}", self.interface.replace('.', "-"), self.vrid)
    }
}

/// What both routers of a pair are told.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Advertisement_Interval: whole hundredths of a second.
    pub interval: Duration,
    /// Preempt_Mode.
    pub preempt: bool,
    /// The virtual routers.
    pub routers: Vec<Virtual>,
}

impl Setup {
    /// Active_Down_Interval of a Backup of this priority (RFC 9568 §6.1): three intervals and Skew_Time.
    pub fn active_down(&self, priority: u8) -> Duration {
        self.interval * 3 + self.interval * (256 - u32::from(priority)) / 256
    }

    /// What is written into the program's configuration file.
    fn config(&self, software: Software, priority: u8) -> String {
        match software {
            Software::Holdfast => self.holdfast(priority),
            Software::Keepalived => self.keepalived(priority, ""),
            Software::KeepalivedRealtime => {
                self.keepalived(priority, "    vrrp_rt_priority 2\n    vrrp_no_swap\n")
            }
        }
    }

    fn holdfast(&self, priority: u8) -> String {
        let Self { interval, preempt, routers } = self;
        let instance = |one: &Virtual| {
            let (name, Virtual { interface, vrid, vip, prefix }) = (one.name(), one);
            format!(
                "    {name}: {{interface: {interface}, vrid: {vrid}, interval: {}ms, priority: {priority}, \
                 preempt: {preempt}, addresses: [{vip}/{prefix}]}}\n",
                interval.as_millis()
            )
        };
        format!("vrrp:\n  instances:\n{}", routers.iter().map(instance).collect::<String>())
    }

    fn keepalived(&self, priority: u8, globals: &str) -> String {
        let Self { interval, preempt, routers } = self;
        let preempt = if *preempt { "" } else { "    nopreempt\n" };
        let (whole, hundredths) = (interval.as_secs(), interval.subsec_millis() / 10);
        let instance = |one: &Virtual| {
            let (name, Virtual { interface, vrid, vip, prefix }) = (one.name(), one);
            format!(
                "vrrp_instance {name} {{\n    state BACKUP\n{preempt}    interface {interface}\n    \
                 virtual_router_id {vrid}\n    priority {priority}\n    advert_int {whole}.{hundredths:02}\n    \
                 virtual_ipaddress {{\n        {vip}/{prefix}\n    }}\n}}\n"
            )
        };
        let instances: String = routers.iter().map(instance).collect();
        format!("global_defs {{\n    vrrp_version 3\n{globals}}}\n{instances}")
    }
}

/// A running router.
#[derive(Debug)]
pub struct Router {
    software: Software,
    node: Node,
    process: Process,
    instances: usize,
    /// Lines of the log before this are of the past.
    mark: usize,
}

impl Router {
    /// Starts it; it may not be ready yet.
    ///
    /// # Errors
    /// The program is not there, or can't be started.
    pub fn start(node: &Node, software: Software, setup: &Setup, priority: u8) -> Result<Self> {
        let config = node.write(file(software), &setup.config(software, priority))?;
        let process = spawn(node, software, config)?;
        let (node, instances) = (node.clone(), setup.routers.len());
        Ok(Self { software, node, process, instances, mark: 0 })
    }

    /// Who it is.
    pub const fn software(&self) -> Software {
        self.software
    }

    /// Where it is.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// The first of its processes.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills all its processes without a word; the moment before.
    ///
    /// # Errors
    /// It had ended before.
    pub fn kill(&self) -> Result<Instant> {
        let at = now();
        self.process.kill_group(Signal::SIGKILL)?;
        Ok(at)
    }

    /// Asks it to end, as its service manager would; the moment before.
    ///
    /// # Errors
    /// It had ended before.
    pub fn terminate(&self) -> Result<Instant> {
        let at = now();
        self.process.kill(Signal::SIGTERM)?;
        Ok(at)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It doesn't end.
    pub fn wait_end(&mut self) -> Result<()> {
        self.process.wait(END_LIMIT).map(drop)
    }

    /// Starts it again, after its end.
    ///
    /// # Errors
    /// It can't be started.
    pub fn restart(&mut self) -> Result<()> {
        self.remember();
        // Those of a killed keepalived hold the number of a process that may not be reaped yet, and keep it from starting.
        for pid in PID_FILES {
            match fs::remove_file(self.node.folder().join(pid)) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).context("remove keepalived's process number");
                }
                Ok(()) | Err(_) => {}
            }
        }
        let config = self.node.folder().join(file(self.software));
        self.process = spawn(&self.node, self.software, config)?;
        Ok(())
    }

    /// From now on only what happens later counts for [`Self::wait_backup`].
    pub fn remember(&mut self) {
        self.mark = self.process.log().len();
    }

    /// Waits until every instance is Backup: this daemon is asked, keepalived's log is read from where it was remembered.
    ///
    /// # Errors
    /// It doesn't come to that: with the end of its log.
    pub fn wait_backup(&mut self, limit: Duration) -> Result<()> {
        let what = format!("{} on {} to be backup", self.software.label(), self.node.name());
        let mut ended = false;
        let waited = wait_until(limit, &what, || {
            ended = !self.process.is_running();
            (ended || self.is_backup()).then_some(())
        });
        ensure!(!ended, "{} ended: {}", self.software.label(), self.process.log_tail());
        waited.with_context(|| self.process.log_tail())
    }

    fn is_backup(&self) -> bool {
        match self.software {
            Software::Holdfast => self.status().is_ok_and(|status| {
                let backup = status.vrrp.iter().filter(|instance| instance.state == "backup");
                backup.count() == self.instances
            }),
            Software::Keepalived | Software::KeepalivedRealtime => {
                let log = self.process.log();
                let new = log.get(self.mark..).unwrap_or_default();
                new.matches("Entering BACKUP STATE").count() >= self.instances
            }
        }
    }

    /// How often its instances have become Active until now: as this daemon counts transitions, as keepalived's log tells.
    ///
    /// # Errors
    /// This daemon doesn't answer.
    pub fn changes(&self) -> Result<u64> {
        match self.software {
            Software::Holdfast => {
                Ok(self.status()?.vrrp.iter().map(|instance| instance.transitions).sum())
            }
            Software::Keepalived | Software::KeepalivedRealtime => {
                let log = self.process.log();
                Ok(u64::try_from(log.matches("Entering ").count())?)
            }
        }
    }

    /// Runs `holdfast` for it.
    ///
    /// # Errors
    /// It is keepalived, or the command ends with another status than 0: with what it said.
    pub fn cli(&self, arguments: &[&str]) -> Result<()> {
        ensure!(self.software == Software::Holdfast, "keepalived has no command line");
        let output = std::process::Command::new(Programs::find()?.holdfast)
            .arg("--socket")
            .arg(self.node.folder().join("control.sock"))
            .args(arguments)
            .output()
            .context("run holdfast")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("holdfast {}: {}: {said}", arguments.join(" "), output.status);
        }
        Ok(())
    }

    /// The end of its log, for an error.
    pub fn log_tail(&self) -> String {
        format!("{} on {}: {}", self.software.label(), self.node.name(), self.process.log_tail())
    }

    fn status(&self) -> Result<Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let socket = self.node.folder().join("control.sock");
        Ok(runtime.block_on(Client::new(&socket).status())?)
    }
}

const fn file(software: Software) -> &'static str {
    match software {
        Software::Holdfast => "holdfast.yaml",
        Software::Keepalived | Software::KeepalivedRealtime => "keepalived.conf",
    }
}

/// Both in the foreground, with what they log by default, into a file.
fn spawn(node: &Node, software: Software, config: PathBuf) -> Result<Process> {
    let place = |name: &str| OsString::from(node.folder().join(name));
    let [parent, child] = PID_FILES;
    let argv: Vec<OsString> = match software {
        Software::Holdfast => vec![
            Programs::find()?.holdfastd.into(),
            "--config".into(),
            config.into(),
            "--node".into(),
            node.name().into(),
            "--socket".into(),
            place("control.sock"),
        ],
        Software::Keepalived | Software::KeepalivedRealtime => vec![
            "/usr/sbin/keepalived".into(),
            "--vrrp".into(),
            "--dont-fork".into(),
            "--log-console".into(),
            "--use-file".into(),
            config.into(),
            "--pid".into(),
            place(parent),
            "--vrrp_pid".into(),
            place(child),
        ],
    };
    let name = if software == Software::Holdfast { "holdfastd" } else { "keepalived" };
    node.spawn(name, argv)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_three_intervals_and_the_skew() {
        let setup =
            |ms| Setup { interval: Duration::from_millis(ms), preempt: false, routers: Vec::new() };
        assert_eq!(setup(1000).active_down(100), Duration::from_micros(3_609_375));
        assert_eq!(setup(10).active_down(253), Duration::from_nanos(30_117_187));
    }

    #[test]
    fn both_are_told_the_same() {
        let router =
            Virtual { interface: "eth0".into(), vrid: 51, vip: Ipv4Addr::LOCALHOST, prefix: 24 };
        let setup =
            Setup { interval: Duration::from_millis(10), preempt: false, routers: vec![router] };
        let ours = setup.config(Software::Holdfast, 253);
        assert!(ours.contains("vrid: 51, interval: 10ms, priority: 253, preempt: false"), "{ours}");
        let theirs = setup.config(Software::KeepalivedRealtime, 253);
        for line in ["nopreempt", "advert_int 0.01", "priority 253", "vrrp_rt_priority 2"] {
            assert!(theirs.contains(line), "{line}: {theirs}");
        }
    }
}
