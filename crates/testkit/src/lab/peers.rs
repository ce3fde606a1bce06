//! Real programs of others to test against: nginx as a real server, keepalived and FRR as the other director.

use std::{
    fs,
    net::IpAddr,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use nix::{sys::signal::Signal, unistd::User};

use super::{Node, Process, node::replace, wait_until};

/// How long a peer may take to start or to stop. In the guest, with the other core busy, that takes seconds.
pub(super) const PEER_LIMIT: Duration = Duration::from_secs(60);

/// The size of what `/slow` sends, in bytes: more than a test waits for.
const SLOW_SIZE: u64 = 64 * 1024 * 1024;

/// nginx on a real server.
///
/// It answers on both families, at one port: `/` with the node's name and a newline; `/health` with 200 and `ok` as
/// long as it is [healthy](Nginx::set_healthy) and with 503 otherwise; `/slow` with 64 MiB at 64 kB/s.
#[derive(Debug)]
pub struct Nginx {
    process: Process,
    node: Node,
}

impl Nginx {
    /// Starts it on `node` and waits until it listens.
    ///
    /// # Errors
    /// The package is not installed (by name), or it doesn't start, with the end of its log.
    pub fn start(node: &Node, port: u16) -> Result<Self> {
        installed("/usr/sbin/nginx", "nginx-light")?;
        let root = node.folder().join("www");
        fs::create_dir_all(&root).with_context(|| format!("cannot make {}", root.display()))?;
        fs::write(root.join("healthy"), "ok\n").context("cannot write nginx's pages")?;
        // Sparse: it takes no room.
        fs::File::create(root.join("slow"))
            .and_then(|file| file.set_len(SLOW_SIZE))
            .context("cannot write nginx's pages")?;
        let config = node.write("nginx.conf", &nginx_config(node, port))?;
        let folder = node.folder().as_os_str();
        let mut process = node.spawn(
            "nginx",
            [
                "nginx".as_ref(),
                "-p".as_ref(),
                folder,
                "-e".as_ref(),
                "stderr".as_ref(),
                "-c".as_ref(),
                config.as_os_str(),
            ],
        )?;
        process.wait_listening(port, PEER_LIMIT)?;
        Ok(Self { process, node: node.clone() })
    }

    /// Whether `/health` answers 200 from now on, or 503.
    ///
    /// # Errors
    /// Its page can't be written or removed.
    pub fn set_healthy(&self, healthy: bool) -> Result<()> {
        let page = self.node.folder().join("www/healthy");
        if healthy {
            return replace(&page, "ok\n");
        }
        fs::remove_file(&page).with_context(|| format!("cannot change {}", page.display()))
    }

    /// Its process; a signal to it is a signal to the master.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Stops it at once; connections are cut.
    ///
    /// # Errors
    /// It doesn't stop.
    pub fn stop(self) -> Result<ExitStatus> {
        self.process.stop(PEER_LIMIT)
    }
}

fn nginx_config(node: &Node, port: u16) -> String {
    let folder = node.folder().display();
    let name = node.name();
    format!(
        "daemon off;\n\
         user root;\n\
         worker_processes 1;\n\
         pid {folder}/nginx.pid;\n\
         error_log stderr;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
         \x20 access_log off;\n\
         \x20 default_type text/plain;\n\
         \x20 client_body_temp_path {folder}/body;\n\
         \x20 proxy_temp_path {folder}/proxy;\n\
         \x20 fastcgi_temp_path {folder}/fastcgi;\n\
         \x20 uwsgi_temp_path {folder}/uwsgi;\n\
         \x20 scgi_temp_path {folder}/scgi;\n\
         \x20 server {{\n\
         \x20   listen {port} reuseport;\n\
         \x20   listen [::]:{port} ipv6only=on reuseport;\n\
         \x20   root {folder}/www;\n\
         \x20   location = / {{ return 200 \"{name}\\n\"; }}\n\
         \x20   location = /health {{ try_files /healthy =503; }}\n\
         \x20   location = /slow {{ limit_rate 64k; }}\n\
         \x20 }}\n\
         }}\n"
    )
}

/// keepalived on a director, VRRP only or with IPVS, as its configuration says.
#[derive(Debug)]
pub struct Keepalived {
    process: Process,
}

impl Keepalived {
    /// Starts it on `node` with this configuration, in the foreground, its log in the process's log.
    ///
    /// # Errors
    /// The package is not installed (by name), or it can't be started. A configuration that it dislikes shows in its log.
    pub fn start(node: &Node, config: &str) -> Result<Self> {
        installed("/usr/sbin/keepalived", "keepalived")?;
        let config = node.write("keepalived.conf", config)?;
        let file = |name: &str| node.folder().join(name);
        // One that was killed left them, and whoever has its number now is taken for it: "daemon is already running".
        for name in ["keepalived.pid", "keepalived-vrrp.pid", "keepalived-checkers.pid"] {
            drop(fs::remove_file(file(name)));
        }
        let mut command = node.command("keepalived");
        command
            .args(["--dont-fork", "--log-console", "--log-detail", "--dump-conf"])
            .arg("--use-file")
            .arg(config)
            .arg("--pid")
            .arg(file("keepalived.pid"))
            .arg("--vrrp_pid")
            .arg(file("keepalived-vrrp.pid"))
            .arg("--checkers_pid")
            .arg(file("keepalived-checkers.pid"));
        Ok(Self { process: node.spawn_command("keepalived", command)? })
    }

    /// Its process; a signal to it is a signal to the parent. [`Process::kill_group`] reaches its children as well.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Stops it as its administrator does: an advertisement with priority 0, and its addresses go.
    ///
    /// # Errors
    /// It doesn't stop.
    pub fn stop(self) -> Result<ExitStatus> {
        self.process.stop(PEER_LIMIT)
    }
}

/// FRR's zebra and vrrpd on a director: one virtual router on `eth0`, IPv4 or IPv6 or both.
///
/// FRR wants the addresses on a macvlan device with the virtual MAC, for as long as it is configured, and takes that device down
/// (protodown) while it is Backup. So the addresses say nothing about its state: ask [`Frr::state`].
#[derive(Debug)]
pub struct Frr {
    vrrpd: Process,
    // Before its end zebra takes back what vrrpd asked of it, so it comes second.
    zebra: Process,
    node: Node,
    folder: PathBuf,
}

impl Frr {
    /// Starts it on `node` with `keys` (`priority 100`, `no preempt`; without `vrrp VRID`) and these addresses, and waits until it can
    /// be asked.
    ///
    /// # Errors
    /// The package is not installed (by name), the kernel has no macvlan, or a program doesn't start.
    pub fn start(node: &Node, vrid: u8, keys: &[&str], addresses: &[IpAddr]) -> Result<Self> {
        installed("/usr/lib/frr/vrrpd", "frr")?;
        let user = User::from_name("frr")
            .context("cannot look up the user frr")?
            .context("there is no user frr, whom the package frr makes")?;
        let folder = node.folder().join("frr");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let config = node.write("frr/frr.conf", &frr_config(vrid, keys, addresses))?;
        for path in [&folder, &config] {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| format!("cannot give {} to frr", path.display()))?;
        }
        node.sh(&frr_devices(vrid, addresses))?;
        let socket = folder.join("zserv.api");
        forget(&socket);
        let zebra = spawn_frr(node, "zebra", &folder, &[])?;
        wait_until(PEER_LIMIT, "zebra's socket", || socket.exists().then_some(()))
            .with_context(|| zebra.log_tail())?;
        let vrrpd = spawn_frr(node, "vrrpd", &folder, &[])?;
        let frr = Self { vrrpd, zebra, node: node.clone(), folder };
        frr.wait_answers()?;
        Ok(frr)
    }

    /// What it says its state is for this family: `Initialize`, `Backup` or `Master`.
    ///
    /// # Errors
    /// It doesn't answer, or has no virtual router.
    pub fn state(&self, family: u8) -> Result<String> {
        let shown = self.show()?;
        let key = format!("Status (v{family})");
        let state = shown.lines().find_map(|line| line.trim().strip_prefix(&key));
        Ok(state.with_context(|| format!("no {key} in {shown:?}"))?.trim().to_owned())
    }

    /// All that it says of its virtual router (`show vrrp`).
    ///
    /// # Errors
    /// It doesn't answer.
    pub fn show(&self) -> Result<String> {
        let folder = self.folder.as_os_str();
        let ask = ["vtysh".as_ref(), "--vty_socket".as_ref(), folder, "-c".as_ref()];
        Ok(self.node.run(ask.into_iter().chain(["show vrrp".as_ref()]))?.stdout)
    }

    /// Kills vrrpd without a word. Its device stays as it was, with the addresses.
    ///
    /// # Errors
    /// It had ended before.
    pub fn kill(&mut self) -> Result<()> {
        self.vrrpd.kill_group(Signal::SIGKILL)?;
        self.vrrpd.wait(PEER_LIMIT).map(drop)
    }

    /// Stops vrrpd as its administrator does.
    ///
    /// # Errors
    /// It doesn't stop.
    pub fn stop(&mut self) -> Result<()> {
        self.vrrpd.kill(Signal::SIGTERM)?;
        self.vrrpd.wait(PEER_LIMIT).map(drop)
    }

    /// Starts vrrpd again, after it was killed or stopped.
    ///
    /// # Errors
    /// It doesn't start.
    pub fn restart(&mut self) -> Result<()> {
        self.vrrpd = spawn_frr(&self.node, "vrrpd", &self.folder, &[])?;
        self.wait_answers()
    }

    /// The ends of both logs.
    #[must_use]
    pub fn log_tail(&self) -> String {
        format!("{}\n{}", self.vrrpd.log_tail(), self.zebra.log_tail())
    }

    fn wait_answers(&self) -> Result<()> {
        wait_until(PEER_LIMIT, "vrrpd to answer", || self.state(4).ok().map(drop))
            .with_context(|| self.log_tail())
    }
}

/// Removes the socket that a killed predecessor has left, so that its being there means that it can be connected to.
pub(super) fn forget(socket: &Path) {
    // Most often there is none.
    drop(fs::remove_file(socket));
}

/// Starts one of FRR's daemons, in the foreground, with all its files in `folder`, no TCP port and these further arguments.
pub(super) fn spawn_frr(
    node: &Node,
    daemon: &str,
    folder: &Path,
    arguments: &[&str],
) -> Result<Process> {
    let mut command = node.command(format!("/usr/lib/frr/{daemon}"));
    command.arg("-f").arg(folder.join("frr.conf"));
    command.arg("-i").arg(folder.join(format!("{daemon}.pid")));
    command.arg("-z").arg(folder.join("zserv.api"));
    command.arg("--vty_socket").arg(folder).args(["-P", "0", "--log", "stdout"]);
    command.args(arguments);
    node.spawn_command(daemon, command)
}

fn frr_config(vrid: u8, keys: &[&str], addresses: &[IpAddr]) -> String {
    let keys = keys.iter().map(|key| match key.strip_prefix("no ") {
        Some(key) => format!(" no vrrp {vrid} {key}\n"),
        None => format!(" vrrp {vrid} {key}\n"),
    });
    let addresses = addresses.iter().map(|address| {
        let family = if address.is_ipv4() { "ip" } else { "ipv6" };
        format!(" vrrp {vrid} {family} {address}\n")
    });
    format!("interface eth0\n{}", keys.chain(addresses).collect::<String>())
}

/// The devices that FRR looks for by their MAC addresses.
fn frr_devices(vrid: u8, addresses: &[IpAddr]) -> String {
    // The addresses are this host's also while the device is down: `eth0` must not answer for them, nor ask in their name.
    let mut script =
        "cd /proc/sys/net/ipv4/conf/all; echo 1 >arp_ignore; echo 2 >arp_announce\n".to_owned();
    for (family, number, prefix) in [("4", "01", "24"), ("6", "02", "64")] {
        let own = addresses.iter().filter(|address| address.is_ipv4() == (family == "4"));
        let own: Vec<_> = own.collect();
        if own.is_empty() {
            continue;
        }
        let device = format!("vrrp{family}-{vrid}");
        script += &format!(
            "ip link add {device} link eth0 address 00:00:5e:00:{number}:{vrid:02x} type macvlan mode bridge\n"
        );
        for address in own {
            let nodad = if family == "6" { " nodad" } else { "" };
            script += &format!("ip address add {address}/{prefix} dev {device}{nodad}\n");
        }
        script += &format!("ip link set {device} up\n");
    }
    script
}

/// Makes sure that a program is there, or names the package that has it.
pub(super) fn installed(program: &str, package: &str) -> Result<()> {
    if Path::new(program).exists() {
        return Ok(());
    }
    bail!("{program} is not there; as root: apt-get install --no-install-recommends {package}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let error = installed("/usr/sbin/nothing", "some-package").unwrap_err().to_string();
        assert_eq!(
            error,
            "/usr/sbin/nothing is not there; as root: apt-get install --no-install-recommends some-package"
        );
    }
}
