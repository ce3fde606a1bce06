//! The fate channel: whether the death of one node's daemon would be heard by the others at once, and what is in its way.

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use holdfast_config::{Config, Instance};
use holdfast_control::{Fate, Status};
use vrrp::AddressFamily;

use super::Finding;

/// So many nodes have a line.
const NAMED_MAX: usize = 5;

/// What a daemon that runs has come to with the other nodes.
pub(super) fn channels(config: &Config, status: &Status) -> Vec<Finding> {
    // Off, or without instances.
    let Some(fate) = &status.fate else { return Vec::new() };
    let port = fate.port;
    let mut findings = Vec::new();
    for problem in fate.problems.iter().take(NAMED_MAX) {
        let text = format!("others can't watch this node: {problem}");
        let help = format!(
            "free TCP port {port} (`ss -ltnp`), or choose another on all nodes (`vrrp: {{fate: {{port: …}}}}`)"
        );
        findings.push(Finding::warn("fate", text, help));
    }
    for channel in fate.watched.iter().filter(|one| one.state != "over").take(NAMED_MAX) {
        let (peer, interface) = (channel.peer, &channel.interface);
        findings.push(match &channel.fault {
            None if channel.state == "stands" => {
                Finding::ok("fate", format!("the death of {peer}'s daemon would be heard at once"))
            }
            fault => {
                let why = fault.clone().unwrap_or_else(|| format!("no connection to {peer} on {interface} yet"));
                let text = format!("the death of {peer}'s daemon would be noticed by the timers alone: {why}");
                let help = format!("let TCP port {port} through between the nodes, both ways; beside a node without the channel (keepalived) `vrrp: {{fate: false}}` ends the attempts");
                Finding::warn("fate", text, help)
            }
        });
    }
    findings.extend(unwatched(config, status, fate));
    findings
}

/// The interfaces on which this node is Active for another one's sake, and nobody watches it.
fn unwatched(config: &Config, status: &Status, fate: &Fate) -> Vec<Finding> {
    // Where addresses end with their daemon another node is known of.
    let paired = |one: &&Instance| one.lifetime.is_some() || one.unicast.is_some();
    let active = |one: &&Instance| {
        status.vrrp.iter().any(|seen| seen.name == one.name.as_str() && seen.state == "active")
    };
    let watched = |interface: &str, family: AddressFamily| {
        let mut watchers = fate.watchers.iter().filter(|one| one.interface == interface);
        watchers.any(|one| AddressFamily::of(one.peer) == family)
    };
    let instances = config.instances.values().filter(paired).filter(active);
    let alone: BTreeSet<(&str, AddressFamily)> = instances
        .filter(|one| !watched(&one.interface, one.family))
        .map(|one| (one.interface.as_str(), one.family))
        .collect();
    let finding = |(interface, family): (&str, AddressFamily)| {
        let port = fate.port;
        let text = format!(
            "this node is active, and no other watches it on {interface} over {family}: should its daemon die, they would notice by their timers alone"
        );
        let help = format!(
            "is a Backup up (`holdfast status` there)? Let TCP port {port} in from the other nodes on {interface}"
        );
        Finding::warn("fate", text, help)
    };
    alone.into_iter().take(NAMED_MAX).map(finding).collect()
}

/// The port that a daemon which does not run yet will want.
pub(super) fn ports(config: &Config) -> Vec<Finding> {
    let Some(fate) = config.vrrp.fate.filter(|_| !config.instances.is_empty()) else {
        return Vec::new();
    };
    let families = [AddressFamily::Ipv4, AddressFamily::Ipv6];
    let used = |family: &AddressFamily| config.instances.values().any(|one| one.family == *family);
    let mut findings = Vec::new();
    for family in families.into_iter().filter(used) {
        let any = match family {
            AddressFamily::Ipv4 => SocketAddr::from((Ipv4Addr::UNSPECIFIED, fate.port)),
            AddressFamily::Ipv6 => SocketAddr::from((Ipv6Addr::UNSPECIFIED, fate.port)),
        };
        // Who may not have the port at all can't tell, and has been told of the rights already.
        if TcpListener::bind(any).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse) {
            let text = format!(
                "another program has TCP port {} ({any}): others can't watch this node",
                fate.port
            );
            let help = "`ss -ltnp` shows who; free it, or choose another port on all nodes (`vrrp: {fate: {port: …}}`)";
            findings.push(Finding::warn("fate", text, help));
        }
    }
    if findings.is_empty() {
        let text = format!(
            "TCP port {} is not another program's; the nodes must let each other through",
            fate.port
        );
        findings.push(Finding::ok("fate", text));
    }
    findings
}
