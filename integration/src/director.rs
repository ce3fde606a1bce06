//! A node that runs `holdfastd`, and the command line that talks to it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_control::{Client, Instance, RequestError, Server, Service, Status};
use holdfast_testkit::lab::{Node, Output, Process, wait_until};

use crate::table::weights;

/// How long a daemon may take to answer after its start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long a daemon may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Our two programs, built and lying beside this one.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The daemon.
    pub holdfastd: PathBuf,
    /// The command line.
    pub holdfast: PathBuf,
}

impl Programs {
    /// Finds them: beside this program, or one folder up for a test's.
    ///
    /// # Errors
    /// They have not been built: names the command that does.
    pub fn find() -> Result<Self> {
        let own = std::env::current_exe().context("where is this program?")?;
        let folders = own.ancestors().skip(1).take(2);
        for folder in folders {
            let programs =
                Self { holdfastd: folder.join("holdfastd"), holdfast: folder.join("holdfast") };
            if programs.holdfastd.exists() && programs.holdfast.exists() {
                return Ok(programs);
            }
        }
        bail!("holdfastd and holdfast are not built: cargo build -p holdfastd -p holdfast")
    }
}

/// A running daemon on a node.
#[derive(Debug)]
pub struct Director {
    node: Node,
    programs: Programs,
    process: Process,
    socket: PathBuf,
    config: PathBuf,
    /// A program and arguments to run it by.
    before: Vec<OsString>,
    /// Further arguments.
    more: Vec<OsString>,
}

impl Director {
    /// Starts the daemon on `node` with this configuration, and waits until it answers. The node's name in the lab is its
    /// `--node`, so that one configuration serves both directors.
    ///
    /// # Errors
    /// It doesn't start: with the end of its log.
    pub fn start(node: &Node, config: &str) -> Result<Self> {
        Self::start_by(node, config, &[])
    }

    /// As [`Self::start`], by a program and arguments that run it, such as `nsenter`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_by(node: &Node, config: &str, before: &[OsString]) -> Result<Self> {
        Self::begin(node, config, before.to_vec(), Vec::new())
    }

    /// As [`Self::start`], with further arguments, such as `--supervisor on`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(node: &Node, config: &str, more: &[&str]) -> Result<Self> {
        Self::begin(node, config, Vec::new(), more.iter().map(OsString::from).collect())
    }

    fn begin(
        node: &Node,
        config: &str,
        before: Vec<OsString>,
        more: Vec<OsString>,
    ) -> Result<Self> {
        let programs = Programs::find()?;
        let config = node.write("holdfast.yaml", config)?;
        let socket = node.folder().join("control.sock");
        let argv = arguments(node, &programs, &config, &socket, &more);
        let process = spawn(node, &before, argv)?;
        let node = node.clone();
        let mut director = Self { node, programs, process, socket, config, before, more };
        director.wait_answers()?;
        Ok(director)
    }

    /// Runs the daemon on `node` with this configuration until it ends by itself, as it does when it refuses to start: its
    /// exit status and what it wrote. `before` is a program and arguments to run it by, such as `setpriv`.
    ///
    /// # Errors
    /// It can't be run. One that goes on running is killed after a minute, with status 124.
    pub fn refusal(node: &Node, config: &str, before: &[&str]) -> Result<Output> {
        let programs = Programs::find()?;
        let config = node.write("holdfast.yaml", config)?;
        let mut argv: Vec<OsString> = before.iter().map(OsString::from).collect();
        let socket = node.folder().join("control.sock");
        argv.extend(arguments(node, &programs, &config, &socket, &[]));
        node.try_run(argv)
    }

    /// Starts the daemon again, after it was killed or stopped.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn restart(&mut self) -> Result<()> {
        let Self { node, programs, config, socket, before, more, .. } = &*self;
        let argv = arguments(node, programs, config, socket, more);
        self.process = spawn(node, before, argv)?;
        self.wait_answers()
    }

    /// The node that it runs on.
    pub const fn node(&self) -> &Node {
        &self.node
    }

    /// Its process.
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Its control socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Kills it without a word (`SIGKILL`) and waits for its end.
    ///
    /// # Errors
    /// It had ended before.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill_group(nix::sys::signal::Signal::SIGKILL)?;
        self.process.wait(STOP_LIMIT).map(drop)
    }

    /// Stops it in order (`SIGTERM`); it must exit with 0.
    ///
    /// # Errors
    /// It doesn't stop, or not with 0: with the end of its log.
    pub fn stop(&mut self) -> Result<()> {
        self.process.kill(nix::sys::signal::Signal::SIGTERM)?;
        let status = self.process.wait(STOP_LIMIT)?;
        if !status.success() {
            bail!(
                "holdfastd on {} ended with {status}: {}",
                self.node.name(),
                self.process.log_tail()
            );
        }
        Ok(())
    }

    /// Waits until it ends by itself, as it does after a signal: its exit status.
    ///
    /// # Errors
    /// It doesn't within `limit`.
    pub fn wait_end(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.wait(limit)
    }

    /// How a person calls `holdfast` for this daemon.
    pub fn command_line(&self) -> String {
        format!("{} --socket {}", self.programs.holdfast.display(), self.socket.display())
    }

    /// Runs `holdfast` against this daemon; its standard output.
    ///
    /// # Errors
    /// It exits with another status than 0: with what it said.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        let (code, stdout, stderr) = self.try_cli(arguments)?;
        if code != 0 {
            bail!("holdfast {}: status {code}: {stderr}", arguments.join(" "));
        }
        Ok(stdout)
    }

    /// Writes `config` over the daemon's file and has it reloaded; what the command said.
    ///
    /// # Errors
    /// It was refused: with what the command said.
    pub fn reload(&self, config: &str) -> Result<String> {
        self.node.write("holdfast.yaml", config)?;
        self.cli(&["reload"])
    }

    /// Waits until the kernel has exactly these destinations of `service` (as of [`weights`]), with these weights.
    ///
    /// # Errors
    /// It does not come to that within a minute: with the end of the daemon's log.
    pub fn wait_weights(&self, service: &str, expected: &[(&str, u32)]) -> Result<()> {
        let expected = expected.iter().map(|(to, weight)| ((*to).to_owned(), *weight)).collect();
        wait_until(Duration::from_secs(60), &format!("the kernel to have {expected:?}"), || {
            (weights(&self.node, service).ok()? == expected).then_some(())
        })
        .with_context(|| self.process().log_tail())
    }

    /// Runs `holdfast` against this daemon; its exit status, standard output and standard error.
    ///
    /// # Errors
    /// It can't be run.
    pub fn try_cli(&self, arguments: &[&str]) -> Result<(i32, String, String)> {
        let output = Command::new(&self.programs.holdfast)
            .arg("--socket")
            .arg(&self.socket)
            .args(arguments)
            .output()
            .context("run holdfast")?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok((output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr)))
    }

    /// Everything at a glance, asked over the control socket. A daemon that says that it has been too slow is asked again.
    ///
    /// # Errors
    /// The daemon doesn't answer.
    pub fn status(&self) -> Result<Status> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let client = Client::new(&self.socket);
        wait_until(START_LIMIT, "the daemon to have the time for its status", || {
            let asked = runtime.block_on(client.status());
            // 503: its threads have not answered in time, as on a busy machine.
            let busy =
                matches!(&asked, Err(RequestError::Refused(problem)) if problem.status == 503);
            (!busy).then_some(asked)
        })?
        .map_err(Into::into)
    }

    /// A VRRP instance as it is now.
    ///
    /// # Errors
    /// The daemon doesn't answer, or has no such instance.
    pub fn instance(&self, name: &str) -> Result<Instance> {
        let found = self.status()?.vrrp.into_iter().find(|instance| instance.name == name);
        found.with_context(|| format!("no instance {name} on {}", self.node.name()))
    }

    /// A service as it is now.
    ///
    /// # Errors
    /// The daemon doesn't answer, or has no such service.
    pub fn service(&self, name: &str) -> Result<Service> {
        let found = self.status()?.services.into_iter().find(|service| service.name == name);
        found.with_context(|| format!("no service {name} on {}", self.node.name()))
    }

    /// A server as it is now; none when its service has none of this name.
    ///
    /// # Errors
    /// As [`Self::service`].
    pub fn server(&self, service: &str, name: &str) -> Result<Option<Server>> {
        Ok(self.service(service)?.servers.into_iter().find(|server| server.name == name))
    }

    /// Waits until an instance is in `state`.
    ///
    /// # Errors
    /// It isn't within `limit`.
    pub fn wait_instance(&self, name: &str, state: &str, limit: Duration) -> Result<Instance> {
        let what = format!("instance {name} on {} to be {state}", self.node.name());
        wait_until(limit, &what, || self.instance(name).ok().filter(|found| found.state == state))
            .with_context(|| self.process.log_tail())
    }

    /// Waits until a server is in `state`.
    ///
    /// # Errors
    /// It isn't within `limit`.
    pub fn wait_server(
        &self,
        service: &str,
        name: &str,
        state: &str,
        limit: Duration,
    ) -> Result<Server> {
        let what = format!("{service}/{name} on {} to be {state}", self.node.name());
        wait_until(limit, &what, || {
            self.server(service, name).ok().flatten().filter(|found| found.state == state)
        })
        .with_context(|| self.process.log_tail())
    }

    fn wait_answers(&mut self) -> Result<()> {
        let mut ended = false;
        let what = format!("holdfastd on {} to answer", self.node.name());
        let answered = wait_until(START_LIMIT, &what, || {
            ended = !self.process.is_running();
            if ended { Some(()) } else { self.status().ok().map(drop) }
        });
        if ended {
            bail!(
                "holdfastd on {} ended at its start: {}",
                self.node.name(),
                self.process.log_tail()
            );
        }
        answered.with_context(|| self.process.log_tail())
    }
}

fn spawn(node: &Node, before: &[OsString], argv: Vec<OsString>) -> Result<Process> {
    node.spawn("holdfastd", before.iter().cloned().chain(argv))
}

fn arguments(
    node: &Node,
    programs: &Programs,
    config: &Path,
    socket: &Path,
    more: &[OsString],
) -> Vec<OsString> {
    let mut argv: Vec<OsString> = vec![
        programs.holdfastd.clone().into(),
        "--config".into(),
        config.into(),
        "--node".into(),
        node.name().into(),
        "--socket".into(),
        socket.into(),
        // What is kept is this test's and this node's alone.
        "--state".into(),
        node.folder().join("state").into(),
    ];
    argv.extend_from_slice(more);
    argv
}

/// The configuration of a pair in the lab: `edge` holds the virtual addresses of `vrrp`, and `services` are as given.
pub fn config(vrrp: &str, services: &str) -> String {
    format!("vrrp:\n  instances:\n{vrrp}\nservices:\n{services}\n")
}
