//! A small data centre out of network namespaces: a client, two directors, real servers, one or two networks.
//!
//! ```text
//!  Topology::one_arm()                                Topology::nat()
//!
//!  ┌────────┐  ┌───────┐  ┌───────┐                   ┌────────┐  ┌───────┐       ┌───────┐
//!  │ client │  │  lb1  │  │  lb2  │                   │ client │  │  lb1  │       │  lb2  │
//!  │     .1 │  │   .11 │  │   .12 │                   │     .1 │  │   .11 │       │   .12 │
//!  └──┬eth0─┘  └─┬eth0─┘  └─┬eth0─┘                   └──┬eth0─┘  └─┬eth0─┘       └─┬eth0─┘
//!     │          │          │                            │          │               │
//!  ═══╧══════════╧══════════╧═══ br0                  ═══╧══════════╧═══════════════╧═══ br0
//!     ╤          ╤          ╤   10.77.0.0/24                   10.77.0.0/24  fd00:77::/64
//!     │          │          │   fd00:77::/64                  ┌─┴eth1─┐       ┌─┴eth1─┐
//!  ┌──┴eth0─┐  ┌─┴eth0─┐  ┌─┴eth0─┐                          │ .11   │       │   .12 │  (lb1, lb2)
//!  │  web1  │  │  web2 │  │  web3 │                          └─┬─────┘       └─┬─────┘
//!  │    .21 │  │   .22 │  │   .23 │                   ═════════╧═══════════════╧═══ br1
//!  └────────┘  └───────┘  └───────┘                      ╤       ╤       ╤   10.78.0.0/24  fd00:78::/64
//!                                                      web1    web2    web3   eth0: .21 .22 .23,
//!  Virtual addresses: 10.77.0.10, fd00:77::10          default route by the inner virtual address
//!                                                      10.78.0.10, fd00:78::10
//! ```
//! The last part of an IPv6 address is spelled like that of the IPv4 one (`fd00:77::21`). The bridges live in a namespace
//! of their own, where each port bears the name of its node. Duplicate address detection is off and multicast is
//! flooded, so that every address works at once.
//!
//! Invariants:
//! - Every namespace, and every process in one, is gone when the [`Lab`] is dropped, and also when its process ends in
//!   any other way, `kill -9` included: a small shell script (`reaper.sh`) waits for that. [`Lab::keep`] is the exception.
//! - Labs share nothing: names carry the lab's id, logs and files lie in a folder of its own.
//! - It needs root, and changes nothing outside its namespaces but `/run/netns` and `/run/holdfast-lab`.

mod bfd_peers;
mod build;
mod node;
mod peers;
mod process;
mod wait;

pub use bfd_peers::{BfdPeer, BfdSpeech, Bfdd, Bird};
pub use node::{Node, Output};
pub use peers::{Frr, Keepalived, Nginx};
pub use process::Process;
pub use wait::wait_until;

use std::{
    fs,
    io::Write,
    net::{Ipv4Addr, Ipv6Addr},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use anyhow::{Context, Result, bail};

use crate::owner::Owner;

/// The virtual address, IPv4, that the directors hold for clients.
pub const VIP4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
/// The virtual address, IPv6, that the directors hold for clients.
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 0, 0x10);
/// The virtual address, IPv4, that real servers of [`Topology::nat`] send their answers to.
pub const INNER_VIP4: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 10);
/// The virtual address, IPv6, that real servers of [`Topology::nat`] send their answers to.
pub const INNER_VIP6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x78, 0, 0, 0, 0, 0, 0x10);

/// Where labs leave their marks, and keep their files.
const BASE: &str = "/run/holdfast-lab";

/// What stands for the owner of a lab that was kept.
const KEPT: &str = "kept";

/// Names the folder that processes' logs go to, instead of the lab's own folder, which is removed with it.
pub const LOGS: &str = "HOLDFAST_LAB_LOGS";

/// The most real servers that the addresses have room for (`.21` to `.59`).
pub const MAX_WEBS: u8 = 39;

/// How the nodes are connected, and how many real servers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topology {
    /// Real servers have a network of their own, behind the directors.
    inner: bool,
    webs: u8,
}

impl Topology {
    /// All on one network, as direct routing wants it; three real servers.
    #[must_use]
    pub const fn one_arm() -> Self {
        Self { inner: false, webs: 3 }
    }

    /// Real servers on a second network, with the directors as their way out; three of them.
    #[must_use]
    pub const fn nat() -> Self {
        Self { inner: true, webs: 3 }
    }

    /// Another number of real servers: at most [`MAX_WEBS`].
    #[must_use]
    pub const fn webs(mut self, number: u8) -> Self {
        self.webs = if number > MAX_WEBS { MAX_WEBS } else { number };
        self
    }
}

/// The lab. It lasts as long as this value does.
#[derive(Debug)]
pub struct Lab {
    id: String,
    folder: PathBuf,
    nodes: Vec<Node>,
    reaper: Option<Reaper>,
}

/// The script that cleans up, and the pipe whose end tells it to.
#[derive(Debug)]
struct Reaper {
    child: Child,
    stdin: ChildStdin,
}

impl Lab {
    /// The lab most tests want: [`Topology::one_arm`] with three real servers.
    ///
    /// # Errors
    /// As [`Lab::with`].
    pub fn new() -> Result<Self> {
        Self::with(Topology::one_arm())
    }

    /// Builds the lab, after removing what dead owners left.
    ///
    /// # Errors
    /// Not root, no `ip` program, or what the kernel refused, with the command and what it said.
    pub fn with(topology: Topology) -> Result<Self> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        if !nix::unistd::geteuid().is_root() {
            bail!(
                "a lab needs root to make network namespaces; `cargo xtask test` runs it in a guest"
            );
        }
        if !Path::new("/usr/sbin/ip").exists() {
            bail!(
                "a lab needs the program ip; as root: apt-get install --no-install-recommends iproute2"
            );
        }
        sweep();
        let owner = Owner::this();
        let id = format!("hf{}x{}", owner.pid(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new(BASE).join(&id);
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        // From here on the reaper cleans up, also if the rest of this function fails.
        let reaper = Reaper::start(&id, &folder)?;
        let mut lab = Self { id, folder, nodes: Vec::new(), reaper: Some(reaper) };
        fs::write(lab.folder.join("owner"), owner.to_string())
            .context("cannot mark the lab's owner")?;
        lab.nodes = build::nodes(&lab.id, &lab.folder, topology)?;
        build::build(&lab.id, &lab.nodes, topology)?;
        Ok(lab)
    }

    /// What every name of this lab begins with.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The lab's own folder. It is removed with the lab.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The node of this name: `client`, `lb1`, `lb2`, `web1` and so on.
    ///
    /// # Panics
    /// There is no such node: a mistake in the test.
    #[must_use]
    pub fn node(&self, name: &str) -> &Node {
        match self.nodes.iter().find(|node| node.name() == name) {
            Some(node) => node,
            None => panic!("this lab has no node {name:?}"),
        }
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Node {
        self.node("client")
    }

    /// The first director.
    #[must_use]
    pub fn lb1(&self) -> &Node {
        self.node("lb1")
    }

    /// The second director.
    #[must_use]
    pub fn lb2(&self) -> &Node {
        self.node("lb2")
    }

    /// A real server, counted from 1.
    ///
    /// # Panics
    /// There are fewer: a mistake in the test.
    #[must_use]
    pub fn web(&self, number: u8) -> &Node {
        self.node(&format!("web{number}"))
    }

    /// Every real server, in order.
    pub fn webs(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.name().starts_with("web"))
    }

    /// Every node.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }

    /// Pulls the cable out of a node: its `eth0` loses the carrier, and stays up for the administrator.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn link_down(&self, node: &Node) -> Result<()> {
        self.port(node, &["down"])
    }

    /// Puts the cable back.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn link_up(&self, node: &Node) -> Result<()> {
        self.port(node, &["up"])
    }

    /// Keeps these nodes' `eth0` from hearing each other, while all others still hear them: the split that makes two
    /// directors active. Ports are isolated as one group: give all nodes that shall not hear each other at once.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn isolate(&self, nodes: &[&Node]) -> Result<()> {
        nodes
            .iter()
            .try_for_each(|node| self.port(node, &["type", "bridge_slave", "isolated", "on"]))
    }

    /// Ends [`Lab::isolate`] for these nodes.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn join(&self, nodes: &[&Node]) -> Result<()> {
        nodes
            .iter()
            .try_for_each(|node| self.port(node, &["type", "bridge_slave", "isolated", "off"]))
    }

    /// Whose port of the first network's switch a MAC address was last seen on; none when nobody's.
    ///
    /// # Errors
    /// The kernel can't be asked.
    pub fn port_of(&self, mac: &str) -> Result<Option<String>> {
        let lan = build::bridge_namespace(&self.id);
        let mut command = Command::new("bridge");
        let shown = node::checked(command.args(["-n", &lan, "fdb", "show", "br", "br0"]))?.stdout;
        let entry = shown.lines().find_map(|line| line.strip_prefix(mac)?.strip_prefix(" dev "));
        Ok(entry.and_then(|rest| rest.split(' ').next()).map(str::to_owned))
    }

    /// Joins the two networks of [`Topology::nat`] to one, as a cable between two switches does.
    ///
    /// # Errors
    /// What the kernel refused; there is only one network.
    pub fn join_networks(&self) -> Result<()> {
        let lan = build::bridge_namespace(&self.id);
        for command in [
            "link add cable0 type veth peer name cable1",
            "link set cable0 master br0 up",
            "link set cable1 master br1 up",
        ] {
            node::checked(Command::new("ip").args(["-n", &lan]).args(command.split(' ')))?;
        }
        Ok(())
    }

    /// Sets something on the bridge's side of a node's `eth0`.
    fn port(&self, node: &Node, what: &[&str]) -> Result<()> {
        let mut command = Command::new("ip");
        command.args(["-n", &build::bridge_namespace(&self.id), "link", "set", "dev"]);
        node::checked(command.arg(node.name()).args(what)).map(drop)
    }

    /// Leaves the lab as it is, with its processes, when this value is dropped or this process ends: for a person who
    /// wants to look around. [`remove_kept`] removes it.
    ///
    /// # Errors
    /// The lab's mark can't be changed, or the reaper is gone.
    pub fn keep(mut self) -> Result<()> {
        fs::write(self.folder.join("owner"), KEPT).context("cannot mark the lab as kept")?;
        if let Some(mut reaper) = self.reaper.take() {
            reaper.stdin.write_all(b"keep\n").context("the lab's reaper is gone")?;
            reaper.child.wait().context("the lab's reaper is gone")?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.reaper.is_some() && std::thread::panicking() {
            process::show_logs(&self.folder);
        }
        if let Some(reaper) = self.reaper.take() {
            reaper.finish();
        }
    }
}

impl Reaper {
    fn start(id: &str, folder: &Path) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", include_str!("reaper.sh"), "reaper.sh", id])
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal must not reach it: it has to do its work then.
            .process_group(0)
            .spawn()
            .context("cannot start the lab's reaper")?;
        let stdin = child.stdin.take().context("the lab's reaper has no pipe")?;
        Ok(Self { child, stdin })
    }

    /// Tells it to do its work, and waits until it is done.
    fn finish(self) {
        let Self { mut child, stdin } = self;
        drop(stdin);
        drop(child.wait());
    }
}

/// Removes the labs of dead owners. Best effort: one that can't be removed now stays for the next time.
fn sweep() {
    remove_labs(|mark| mark.parse().is_ok_and(|owner: Owner| !owner.is_alive()));
}

/// Removes the labs that were left with [`Lab::keep`]; how many those were.
pub fn remove_kept() -> usize {
    remove_labs(|mark| mark == KEPT)
}

/// Whether the lab with this folder was kept.
fn is_kept(folder: &Path) -> bool {
    fs::read(folder.join("owner")).is_ok_and(|mark| mark == KEPT.as_bytes())
}

fn remove_labs(which: impl Fn(&str) -> bool) -> usize {
    let mut removed = 0;
    for entry in fs::read_dir(BASE).into_iter().flatten().flatten() {
        let mark = fs::read_to_string(entry.path().join("owner")).unwrap_or_default();
        if let (true, Some(id)) = (which(&mark), entry.file_name().to_str())
            && let Ok(reaper) = Reaper::start(id, &entry.path())
        {
            reaper.finish();
            removed += 1;
        }
    }
    removed
}
