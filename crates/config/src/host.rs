//! What can only be said on the host itself: interfaces, users, programs. Pure over given facts; [`questions`] says which to
//! collect.

mod commands;
mod files;
mod interface;
mod own;
mod pair;
mod secrets;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use vrrp::Priority;

use crate::code::Code;
use crate::diagnostic::{Diagnostic, Problem, Problems, Spot};
use crate::model::{Config, Instance, Pair, SecretFrom, Service, TrackerKind};
use crate::path::Path;
use crate::rules::on_loopback;
use crate::source::Source;
use crate::{suggest, text};

pub use self::files::CheckFile;
use self::interface::place;
pub use self::interface::{Address, Claimed, Interface, PlacedBy, Port, claimed};
pub use self::pair::PairFault;
pub use self::secrets::Secret;

/// What has to be known about the host to check a configuration, besides its interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Questions {
    /// Users to look up.
    pub users: BTreeSet<String>,
    /// Groups to look up.
    pub groups: BTreeSet<String>,
    /// Absolute paths of programs to look at.
    pub programs: BTreeSet<String>,
    /// Whether the program `nft` has to be looked for.
    pub firewall: bool,
    /// What checks read.
    pub check_files: BTreeSet<CheckFile>,
    /// Secrets to read.
    pub secrets: BTreeSet<SecretFrom>,
    /// The pair whose files are to be read, and this node's name.
    pub pair: Option<(Pair, String)>,
}

/// What became of a program's path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A regular file that the scripts' user may execute.
    Executable,
    /// Such a file, but a daemon that is root will not start it, because somebody else could replace it.
    Untrusted {
        /// What is wrong and with which path: the sentence that the daemon says when it refuses.
        why: String,
    },
    /// There, but a directory, or not executable by the scripts' user.
    NotExecutable,
    /// Not there.
    Missing,
}

/// What the caller found out about the host. What a question was not answered for is not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Every interface of the network namespace in which the daemon runs.
    pub interfaces: Vec<Interface>,
    /// The asked users: the user id, or none when the host does not have the user.
    pub users: BTreeMap<String, Option<u32>>,
    /// The asked groups: the group id, or none.
    pub groups: BTreeMap<String, Option<u32>>,
    /// The asked programs.
    pub programs: BTreeMap<String, Program>,
    /// Whether the program `nft` is there.
    pub firewall: Option<bool>,
    /// What is wrong with the asked files of checks, as a sentence that names them; none = nothing.
    pub check_files: BTreeMap<CheckFile, String>,
    /// The asked secrets.
    pub secrets: BTreeMap<SecretFrom, Secret>,
    /// What is wrong with the files of the pair.
    pub pair: Vec<PairFault>,
    /// What of the addresses a running daemon knows already.
    pub claimed: Claimed,
}

/// What has to be looked up for `config`.
pub fn questions(config: &Config) -> Questions {
    let programs = commands::programs(config);
    // Without commands the user is never used and need not exist.
    let user = (!programs.is_empty()).then(|| config.daemon.script_user.clone());
    Questions {
        users: user.into_iter().collect(),
        groups: config.daemon.control_group.iter().cloned().collect(),
        programs,
        firewall: config.instances.values().any(|instance| !instance.accept)
            || config.marks().next().is_some(),
        check_files: files::questions(config),
        secrets: secrets::places(config),
        pair: pair::question(config),
    }
}

/// Checks `config`, which was read from `source`, against the host's `facts`.
pub fn check(config: &Config, source: &Source, facts: &Facts) -> Vec<Diagnostic> {
    let mut problems = Problems::default();
    for instance in config.instances.values() {
        interface(config, instance, source, facts, &mut problems);
        peers(config, instance, source, facts, &mut problems);
        owner(config, instance, source, facts, &mut problems);
        own::check(config, instance, source, facts, &mut problems);
    }
    devices(config, source, facts, &mut problems);
    sync(config, source, facts, &mut problems);
    tracked(config, facts, &mut problems);
    firewall(config, source, facts, &mut problems);
    files::check(config, source, facts, &mut problems);
    secrets::check(config, source, facts, &mut problems);
    pair::check(config, facts, &mut problems);
    commands::check(config, source, facts, &mut problems);
    problems.locate(source)
}

/// That others than root and the daemon's user could write the file of `source`: `why` says what on the way to it is at fault.
pub fn untrusted(source: &Source, why: &str) -> Diagnostic {
    Problem::new(
        Code::UntrustedConfiguration,
        "others could write the configuration, or replace it",
    )
    .help(why)
    .locate(source)
}

/// Where the value of `key` that holds on this node stands.
fn at(config: &Config, instance: &Instance, source: Option<&Source>, key: &str) -> Path {
    let base = Path::of(&["vrrp", "instances", instance.name.as_str()]);
    let over = base.key("per_node").key(&config.node).key(key);
    if source.is_some_and(|source| source.has(&over)) { over } else { base.key(key) }
}

/// Peers are other nodes: an address of this host is none. A link-local address is somebody else's on another link.
fn peers(
    config: &Config,
    instance: &Instance,
    source: &Source,
    facts: &Facts,
    problems: &mut Problems,
) {
    let peers = instance.unicast.iter().flat_map(|unicast| &unicast.peers);
    for (index, peer) in peers.enumerate() {
        let local = matches!(peer.address, IpAddr::V6(address) if text::is_link_local(address));
        let has = |one: &&Interface| {
            (!local || one.name == instance.interface)
                && one.addresses.iter().any(|one| one.net.addr() == peer.address)
        };
        let Some(on) = facts.interfaces.iter().find(has) else { continue };
        let path = at(config, instance, Some(source), "unicast").key("peers").item(index);
        let message = format!("{} is this node itself", peer.address);
        let problem = Problem::new(Code::PeerIsSelf, message)
            .at(Spot::Value(path.key("address")), format!("an address of `{}`", on.name))
            .help("name the other nodes; `per_node` gives each node its own list");
        problems.push(problem);
    }
}

/// RFC 9568 §5.2.4: priority 255 is for whoever owns the addresses.
fn owner(
    config: &Config,
    instance: &Instance,
    source: &Source,
    facts: &Facts,
    problems: &mut Problems,
) {
    if instance.priority != Priority::OWNER {
        return;
    }
    let all = || facts.interfaces.iter().flat_map(|interface| &interface.addresses);
    for (index, address) in instance.addresses.iter().enumerate() {
        let address = address.net.addr();
        if all().any(|one| one.net.addr() == address) {
            continue;
        }
        let message = format!(
            "instance `{}` has priority 255, and this host does not have {address}",
            instance.name
        );
        let problem = Problem::new(Code::OwnerWithoutAddress, message)
            .at(Spot::Value(at(config, instance, Some(source), "addresses").item(index)), "")
            .also(Spot::Value(at(config, instance, Some(source), "priority")), "the owner's")
            .help("give the interface the address, or choose a priority up to 254");
        problems.push(problem);
    }
}

/// The interfaces that addresses and routes name, besides the instances' own.
fn devices(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    let macs = config.instances.values().filter_map(|instance| instance.virtual_mac.as_ref());
    let made: BTreeSet<_> = macs.map(|mac| mac.name.as_str()).collect();
    let there = |name: &str| {
        made.contains(name) || facts.interfaces.iter().any(|interface| interface.name == name)
    };
    for instance in config.instances.values() {
        let place = |key: &str, index: usize| {
            at(config, instance, Some(source), key).item(index).key("device")
        };
        let lists = [("addresses", &instance.addresses), ("excluded", &instance.excluded)];
        let addresses = lists.into_iter().flat_map(|(key, list)| {
            list.iter().enumerate().map(move |(index, one)| (key, index, one.device.as_ref()))
        });
        let routes = instance.routes.iter().enumerate();
        let routes = routes.map(|(index, route)| ("routes", index, route.device.as_ref()));
        for (key, index, device) in addresses.chain(routes) {
            let Some(name) = device else { continue };
            if !there(name) {
                problems.push(no_interface(name, place(key, index), facts));
            }
            let found = facts.interfaces.iter().find(|interface| interface.name == *name);
            if let Some(port) = found.and_then(|found| found.port.as_ref()) {
                problems.push(own::is_port(name, port, place(key, index)));
            }
        }
    }
}

/// The interface that connections are told of on.
fn sync(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    let Some(sync) = &config.ipvs.sync else { return };
    let macs = config.instances.values().filter_map(|instance| instance.virtual_mac.as_ref());
    let made = macs.map(|mac| mac.name.as_str()).any(|name| name == sync.interface);
    if made || facts.interfaces.iter().any(|interface| interface.name == sync.interface) {
        return;
    }
    let base = Path::of(&["ipvs", "sync"]);
    let over = base.key("per_node").key(&config.node).key("interface");
    let path = if source.has(&over) { over } else { base.key("interface") };
    let help =
        "`per_node` gives each node its own; until it is there connections are not synchronised";
    problems.push(missing(&sync.interface, path, facts).help(help));
}

/// The interfaces that trackers watch or use.
fn tracked(config: &Config, facts: &Facts, problems: &mut Problems) {
    for tracker in config.vrrp.trackers.values() {
        let (keys, name): (&[&str], _) = match &tracker.kind {
            TrackerKind::Interface(name) => (&["interface"], Some(name)),
            TrackerKind::Reach { interface, .. } => (&["reach", "interface"], interface.as_ref()),
            TrackerKind::Route { interface, .. } => (&["route", "interface"], interface.as_ref()),
            TrackerKind::Bfd(session) => (&["bfd", "interface"], session.interface.as_ref()),
            TrackerKind::Script { .. }
            | TrackerKind::File { .. }
            | TrackerKind::Process { .. }
            | TrackerKind::Service(_) => continue,
        };
        let there = |name: &str| facts.interfaces.iter().any(|interface| interface.name == name);
        let Some(name) = name.filter(|name| !there(name)) else { continue };
        let base = Path::of(&["vrrp", "trackers", tracker.name.as_str()]);
        let path = keys.iter().fold(base, |path, key| path.key(key));
        let message = format!("tracker `{}` is down: this host has no `{name}`", tracker.name);
        let problem = Problem::new(Code::NoTrackedInterface, message)
            .at(Spot::Value(path), "")
            .help(format!("available: {}", available(facts)));
        problems.push(problem);
    }
}

fn no_interface(name: &str, path: Path, facts: &Facts) -> Problem {
    missing(name, path, facts)
        .help("`per_node` gives each node its own; until it is there the instance waits for it")
}

fn missing(name: &str, path: Path, facts: &Facts) -> Problem {
    let names = facts.interfaces.iter().map(|interface| interface.name.as_str());
    let nearest = suggest::nearest(name, names)
        .map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"));
    Problem::new(Code::NoSuchInterface, format!("this host has no interface `{name}`"))
        .at(Spot::Value(path), nearest)
        .help(format!("available: {}", available(facts)))
}

/// Packets to the addresses are dropped by `nft`.
fn firewall(config: &Config, source: &Source, facts: &Facts, problems: &mut Problems) {
    if facts.firewall != Some(false) {
        return;
    }
    for instance in config.instances.values().filter(|instance| !instance.accept) {
        let message = format!("instance `{}` needs the program `nft`", instance.name);
        let problem = Problem::new(Code::NoFirewall, message)
            .at(Spot::Value(at(config, instance, Some(source), "accept")), "drops packets with it")
            .help("install nftables; `--offline` skips this check");
        problems.push(problem);
    }
    let marked = |service: &&Service| service.listen.iter().any(|one| !one.matches().is_empty());
    for service in config.services.values().filter(marked) {
        let message = format!("service `{}` needs the program `nft`", service.name);
        let path = Path::of(&["services", service.name.as_str(), "listen"]);
        let problem = Problem::new(Code::NoFirewall, message)
            .at(Spot::Value(path), "packets are marked with it")
            .help("install nftables; `--offline` skips this check");
        problems.push(problem);
    }
}

fn interface(
    config: &Config,
    instance: &Instance,
    source: &Source,
    facts: &Facts,
    problems: &mut Problems,
) {
    let at = |key: &str| at(config, instance, Some(source), key);
    let name = &instance.interface;
    let Some(found) = facts.interfaces.iter().find(|interface| interface.name == *name) else {
        problems.push(no_interface(name, at("interface"), facts));
        return;
    };
    if found.loopback {
        let at = Spot::Value(at("interface"));
        problems.push(on_loopback(&instance.name, name, at));
    }
    if let Some(port) = &found.port {
        problems.push(own::is_port(name, port, at("interface")));
    }
    if !found.up {
        let problem = Problem::new(Code::InterfaceDown, format!("the interface `{name}` is down"))
            .at(Spot::Value(at("interface")), "")
            .help(format!("`ip link set {name} up`"));
        problems.push(problem);
    }
    // The addresses of an active node are there because of VRRP: they prove no subnet. An owner's are its own, and so are those that
    // somebody else has put there.
    let held: BTreeSet<_> = config
        .instances
        .values()
        .filter(|instance| instance.priority != Priority::OWNER)
        .flat_map(Instance::held)
        .map(|address| address.net.addr())
        .collect();
    let own = found.addresses.iter();
    let own = own.filter(|one| one.by == PlacedBy::Other || !held.contains(&one.net.addr()));
    let own: Vec<_> = own.map(|one| one.net).collect();
    for (index, address) in instance.addresses.iter().enumerate() {
        // The subnets of another interface are its own affair.
        if address.device.as_ref().is_some_and(|device| device != name) {
            continue;
        }
        let net = address.net;
        let link_local = matches!(net, IpNet::V6(net) if text::is_link_local(net.addr()));
        if link_local || own.iter().any(|subnet| subnet.contains(&net.addr())) {
            continue;
        }
        let subnets = own.iter().map(|net| net.to_string()).collect::<Vec<_>>().join(", ");
        let subnets = if subnets.is_empty() { "no address of its own".to_owned() } else { subnets };
        let message = format!("{} is in no subnet of `{name}`", net.addr());
        let problem = Problem::new(Code::NoSubnet, message)
            .at(Spot::Value(at("addresses").item(index)), format!("`{name}` has {subnets}"))
            .help("hosts of that LAN won't ask for it by ARP or neighbour discovery: check address and interface, or add a route");
        problems.push(problem);
    }
}

fn available(facts: &Facts) -> String {
    let one = |interface: &Interface| {
        let mut parts: Vec<_> = interface.addresses.iter().map(|one| one.net.to_string()).collect();
        parts.push(if interface.up { "up" } else { "down" }.to_owned());
        format!("{} ({})", interface.name, parts.join(", "))
    };
    // A host with hundreds of interfaces would bury the message.
    let mut list: Vec<_> = facts.interfaces.iter().take(12).map(one).collect();
    match facts.interfaces.len().checked_sub(list.len()) {
        Some(rest) if rest > 0 => list.push(format!("and {rest} more")),
        Some(_) | None => {}
    }
    if list.is_empty() { "none".to_owned() } else { list.join(", ") }
}
