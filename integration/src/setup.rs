//! A pair in front of two servers that answer [`streams`], with the configuration of both directors.
//!
//! ```text
//!  direct: client ── br0 ── lb1, lb2, web1, web2      NAT: client ── br0 ── lb1, lb2 ── br1 ── web1, web2
//!                                                     (the webs' gateway is the inner virtual address, in one group)
//! ```

use std::net::SocketAddr;

use anyhow::Result;
use holdfast_testkit::lab::{Lab, Topology};

use crate::family::Family;
use crate::streams;

/// Checks of servers that are known to be down within seconds, and are no load.
pub const CHECK: &str = "check: {tcp: {}, interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s, rise: 1, fall: 3}";

/// An instance `edge` on `eth0`, and on the `inner` network where there is one `inside` on `eth1`.
pub fn vrrp(family: Family, inner: bool) -> String {
    let instance = |name: &str, interface: &str, vrid: u8, inner: bool| {
        format!(
            "    {name}: {{interface: {interface}, vrid: {vrid}, addresses: {}, interval: 200ms, priority: 150, \
             per_node: {{lb2: {{priority: 100}}}}}}\n",
            family.addresses(inner)
        )
    };
    let mut text = format!("vrrp:\n  instances:\n{}", instance("edge", "eth0", 51, false));
    if inner {
        text += &instance("inside", "eth1", 52, true);
    }
    text
}

/// A pair, its configuration and its streams' target.
#[derive(Debug)]
pub struct Setup {
    /// The network.
    pub lab: Lab,
    /// The configuration of both: the service `web`, and the instances `edge` and, with NAT, `inside`.
    pub config: String,
    /// What clients talk to.
    pub target: SocketAddr,
}

impl Setup {
    /// One network, direct routing to servers that hold the virtual address.
    ///
    /// # Errors
    /// The network can't be made.
    pub fn direct(family: Family, ipvs: &str) -> Result<Self> {
        let lab = Lab::with(Topology::one_arm().webs(2))?;
        for web in lab.webs() {
            web.hold_vip(family.vip())?;
            streams::answer(web, 80)?;
        }
        Ok(Self::with(lab, family, &vrrp(family, false), "direct", 80, ipvs))
    }

    /// Two networks, NAT to this port; the outer and the inner instance are one group.
    ///
    /// # Errors
    /// The network can't be made.
    pub fn nat(family: Family, port: u16, ipvs: &str) -> Result<Self> {
        let lab = Lab::with(Topology::nat().webs(2))?;
        lab.webs().try_for_each(|web| streams::answer(web, port))?;
        let vrrp = vrrp(family, true) + "  groups: {pair: {instances: [edge, inside]}}\n";
        Ok(Self::with(lab, family, &vrrp, "nat", port, ipvs))
    }

    fn with(lab: Lab, family: Family, vrrp: &str, forward: &str, port: u16, ipvs: &str) -> Self {
        let target = family.at(80);
        let servers = family.real_servers(&lab, port);
        let config = format!(
            "{vrrp}services:\n  web: {{listen: \"tcp {target}\", scheduler: rr, forward: {forward}, {CHECK}, real_servers: {servers}}}\n\
             {ipvs}"
        );
        Self { lab, config, target }
    }
}
