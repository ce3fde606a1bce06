//! Real programs of others to test against: nginx as a real server, keepalived as the other director.

use std::{fs, path::Path, process::ExitStatus, time::Duration};

use anyhow::{Context, Result, bail};

use super::{Node, Process};

/// How long a peer may take to start or to stop. In the guest, with the other core busy, that takes seconds.
const PEER_LIMIT: Duration = Duration::from_secs(20);

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
        let result = if healthy { fs::write(&page, "ok\n") } else { fs::remove_file(&page) };
        result.with_context(|| format!("cannot change {}", page.display()))
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

/// Makes sure that a program is there, or names the package that has it.
fn installed(program: &str, package: &str) -> Result<()> {
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
