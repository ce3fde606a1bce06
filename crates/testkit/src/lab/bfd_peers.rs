//! Other programs that speak BFD: FRR's bfdd and BIRD.

use std::{fs, net::IpAddr, os::unix::fs::chown, path::PathBuf};

use anyhow::{Context, Result};
use nix::unistd::User;

use super::peers::{PEER_LIMIT, forget, installed, spawn_frr};
use super::{Node, Process, wait_until};

/// How a peer's session is configured. Intervals are in milliseconds; transmit and receive have the same.
#[derive(Clone, Copy, Debug)]
pub struct BfdSpeech {
    /// The peer's own address.
    pub local: IpAddr,
    /// The other side.
    pub remote: IpAddr,
    /// The least interval in both directions, in milliseconds.
    pub interval_ms: u32,
    /// Detect Mult.
    pub multiplier: u8,
    /// Whether it speaks only when spoken to.
    pub passive: bool,
}

/// What is common to the two.
pub trait BfdPeer: Sized {
    /// Whether it sends AdminDown when its administrator ends the session; else it falls silent.
    const SAYS_ADMIN_DOWN: bool;

    /// Starts it on `node` with one session, on `eth0`, and waits until it can be asked.
    ///
    /// # Errors
    /// The package is not installed (by name), or it doesn't start.
    fn start(node: &Node, speech: &BfdSpeech) -> Result<Self>;

    /// What it says that its session's state is: `up`, `init`, `down`, `shutdown`.
    ///
    /// # Errors
    /// It doesn't answer, or has no session.
    fn state(&self) -> Result<String>;

    /// Ends its session as its administrator does.
    ///
    /// # Errors
    /// It doesn't.
    fn shut_down(&self) -> Result<()>;

    /// Takes the session into use again after [`Self::shut_down`].
    ///
    /// # Errors
    /// It doesn't.
    fn bring_up(&self) -> Result<()>;

    /// The process that speaks.
    fn process(&self) -> &Process;

    /// The end of its log, and how it sees its sessions.
    fn told(&self) -> String;
}

/// FRR's zebra and bfdd with one session.
#[derive(Debug)]
pub struct Bfdd {
    bfdd: Process,
    // Before its end zebra takes back what bfdd asked of it, so it comes second.
    _zebra: Process,
    node: Node,
    folder: PathBuf,
    peer: String,
}

impl Bfdd {
    fn vtysh(&self, commands: &[&str]) -> Result<String> {
        let mut argv = vec!["vtysh", "--vty_socket"];
        let folder = self.folder.to_string_lossy();
        argv.push(&folder);
        for command in commands {
            argv.extend(["-c", command]);
        }
        Ok(self.node.run(argv)?.stdout)
    }
}

impl BfdPeer for Bfdd {
    const SAYS_ADMIN_DOWN: bool = true;

    fn start(node: &Node, speech: &BfdSpeech) -> Result<Self> {
        installed("/usr/lib/frr/bfdd", "frr")?;
        let user = User::from_name("frr")
            .context("cannot look up the user frr")?
            .context("there is no user frr, whom the package frr makes")?;
        let folder = node.folder().join("frr");
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let BfdSpeech { local, remote, interval_ms, multiplier, passive } = speech;
        let peer = format!("peer {remote} local-address {local} interface eth0");
        let passive = if *passive { "  passive-mode\n" } else { "" };
        let config = format!(
            "bfd\n {peer}\n  detect-multiplier {multiplier}\n  receive-interval {interval_ms}\n  \
             transmit-interval {interval_ms}\n{passive}  no shutdown\n exit\nexit\n"
        );
        let config = node.write("frr/frr.conf", &config)?;
        for path in [&folder, &config] {
            chown(path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
                .with_context(|| format!("cannot give {} to frr", path.display()))?;
        }
        let socket = folder.join("zserv.api");
        forget(&socket);
        let zebra = spawn_frr(node, "zebra", &folder, &[])?;
        wait_until(PEER_LIMIT, "zebra's socket", || socket.exists().then_some(()))
            .with_context(|| zebra.log_tail())?;
        let control = folder.join("bfdd.sock").to_string_lossy().into_owned();
        let bfdd = spawn_frr(node, "bfdd", &folder, &["--bfdctl", &control])?;
        let peer = Self { bfdd, _zebra: zebra, node: node.clone(), folder, peer };
        wait_until(PEER_LIMIT, "bfdd to answer", || peer.state().ok().map(drop))
            .with_context(|| peer.told())?;
        Ok(peer)
    }

    fn state(&self) -> Result<String> {
        let shown = self.vtysh(&["show bfd peers"])?;
        let state = shown.lines().find_map(|line| line.trim().strip_prefix("Status: "));
        Ok(state.with_context(|| format!("no session in {shown:?}"))?.trim().to_owned())
    }

    fn shut_down(&self) -> Result<()> {
        self.vtysh(&["configure terminal", "bfd", &self.peer, "shutdown"]).map(drop)
    }

    fn bring_up(&self) -> Result<()> {
        self.vtysh(&["configure terminal", "bfd", &self.peer, "no shutdown"]).map(drop)
    }

    fn process(&self) -> &Process {
        &self.bfdd
    }

    fn told(&self) -> String {
        let shown = self.vtysh(&["show bfd peers", "show bfd peers counters"]);
        format!("{}\n{shown:?}", self.bfdd.log_tail())
    }
}

/// BIRD with one session.
#[derive(Debug)]
pub struct Bird {
    process: Process,
    node: Node,
    socket: PathBuf,
}

impl Bird {
    fn birdc(&self, command: &[&str]) -> Result<String> {
        let mut argv = vec!["birdc".to_owned(), "-s".to_owned()];
        argv.push(self.socket.to_string_lossy().into_owned());
        argv.extend(command.iter().map(|&word| word.to_owned()));
        Ok(self.node.run(argv)?.stdout)
    }
}

impl BfdPeer for Bird {
    // BIRD 2.0.12 forgets a session without a word.
    const SAYS_ADMIN_DOWN: bool = false;

    fn start(node: &Node, speech: &BfdSpeech) -> Result<Self> {
        installed("/usr/sbin/bird", "bird2")?;
        let BfdSpeech { local, remote, interval_ms, multiplier, passive } = speech;
        let passive = if *passive { "on" } else { "off" };
        let config = format!(
            "log stderr all;\nrouter id 192.0.2.1;\nprotocol device {{}}\nprotocol bfd bfd1 {{\n  \
             interface \"eth0\" {{ interval {interval_ms} ms; multiplier {multiplier}; passive {passive}; }};\n  \
             neighbor {remote} dev \"eth0\" local {local};\n}}\n"
        );
        let config = node.write("bird.conf", &config)?;
        let socket = node.folder().join("bird.ctl");
        forget(&socket);
        let mut command = node.command("bird");
        command.arg("-f").arg("-c").arg(config).arg("-s").arg(&socket);
        command.arg("-P").arg(node.folder().join("bird.pid"));
        let process = node.spawn_command("bird", command)?;
        let bird = Self { process, node: node.clone(), socket };
        wait_until(PEER_LIMIT, "BIRD to answer", || bird.state().ok().map(drop))
            .with_context(|| bird.told())?;
        Ok(bird)
    }

    fn state(&self) -> Result<String> {
        // IP address  Interface  State  Since  Interval  Timeout
        let shown = self.birdc(&["show", "bfd", "sessions"])?;
        let line = shown.lines().find(|line| line.contains("eth0"));
        let state = line.and_then(|line| line.split_whitespace().nth(2));
        Ok(state.with_context(|| format!("no session in {shown:?}"))?.to_lowercase())
    }

    fn shut_down(&self) -> Result<()> {
        self.birdc(&["disable", "bfd1"]).map(drop)
    }

    fn bring_up(&self) -> Result<()> {
        self.birdc(&["enable", "bfd1"]).map(drop)
    }

    fn process(&self) -> &Process {
        &self.process
    }

    fn told(&self) -> String {
        let shown = self.birdc(&["show", "bfd", "sessions"]);
        format!("{}\n{shown:?}", self.process.log_tail())
    }
}
