//! The rules of what an instance says besides its addresses: keys that exclude each other, peers, the virtual MAC's interface.

use std::collections::BTreeMap;

use ::vrrp::{AddressFamily, Priority, Version};
use ipnet::IpNet;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::read::{InstanceDraft, View};
use crate::source::Source;

/// The rules of one instance.
pub(super) fn check(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    password(draft, source, problems);
    preempt_delay(draft, source, problems);
    accept(draft, source, problems);
    group(draft, source, problems);
    peers(draft, source, problems);
    labels(draft, source, problems);
}

/// RFC 9568 §9: version 3 has no authentication.
fn password(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    if draft.password.is_none() || draft.version == Version::V2 {
        return;
    }
    let message = format!("instance `{}` has a password and VRRP version 3", draft.name);
    let problem = Problem::new(Code::PasswordVersion3, message)
        .at(Spot::Key(draft.at(source, "authentication")), "version 3 has no place for it")
        .help("remove `authentication`, or write `version: 2` on every node");
    problems.push(problem);
}

fn preempt_delay(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    if draft.preempt || draft.preempt_delay.is_zero() {
        return;
    }
    let message = format!("instance `{}` waits before it preempts, and never preempts", draft.name);
    let problem = Problem::new(Code::PreemptDelay, message)
        .at(Spot::Value(draft.at(source, "preempt_delay")), "")
        .also(Spot::Value(draft.at(source, "preempt")), "")
        .help("remove one of the two");
    problems.push(problem);
}

/// RFC 9568 §6.1: an owner accepts, whatever Accept_Mode is.
fn accept(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    if draft.accept || draft.priority != Priority::OWNER {
        return;
    }
    let message = format!("instance `{}` has priority 255, which always accepts", draft.name);
    let problem = Problem::new(Code::OwnerAccepts, message)
        .at(Spot::Value(draft.at(source, "accept")), "")
        .also(Spot::Value(draft.at(source, "priority")), "the address owner's priority")
        .help("use a priority of at most 254, or remove `accept: false`");
    problems.push(problem);
}

/// Where advertisements go is said once, in the addresses' family.
fn group(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    let at = || Spot::Value(draft.at(source, "multicast_group"));
    if draft.unicast.is_some() && draft.multicast_group.is_some() {
        let message = format!("instance `{}` has `unicast` and `multicast_group`", draft.name);
        let problem = Problem::new(Code::UnicastAndGroup, message)
            .at(at(), "")
            .also(Spot::Key(draft.at(source, "unicast")), "nothing goes to a group")
            .help("remove one of the two");
        problems.push(problem);
    }
    if draft.unicast.is_some() && draft.virtual_mac.is_some() {
        let message = format!("instance `{}` has `unicast` and `virtual_mac`", draft.name);
        let problem = Problem::new(Code::VirtualMacUnicast, message)
            .at(Spot::Key(draft.at(source, "virtual_mac")), "")
            .also(Spot::Key(draft.at(source, "unicast")), "")
            .help("remove `virtual_mac`: the new active node announces the addresses with its own MAC address");
        problems.push(problem);
    }
    if let (Some(group), Some(family)) = (draft.multicast_group, draft.family())
        && AddressFamily::of(group) != family
    {
        let message = format!("{group} is no group for {family} addresses");
        let problem = Problem::new(Code::BadGroup, message)
            .at(at(), "")
            .help(format!("use a group of {family}: VRRP's own is {}", family.multicast_group()));
        problems.push(problem);
    }
}

/// Peers are other nodes, each once, in the family of the addresses.
fn peers(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    let Some(unicast) = &draft.unicast else { return };
    let path = draft.at(source, "unicast");
    let own = path.key("source");
    let family = draft.family();
    if let (Some(address), Some(family)) = (unicast.source, family)
        && AddressFamily::of(address) != family
    {
        problems.push(other_family("the source", address, family, Spot::Value(own.clone())));
    }
    let mut seen = BTreeMap::new();
    for (index, peer) in &unicast.peers {
        let address = peer.address;
        let at = || Spot::Value(path.key("peers").item(*index).key("address"));
        if let Some(family) = family.filter(|family| AddressFamily::of(address) != *family) {
            problems.push(other_family("the peer", address, family, at()));
        }
        if unicast.source == Some(address) {
            let problem = Problem::new(Code::PeerIsSelf, format!("{address} is this node itself"))
                .at(at(), "")
                .also(Spot::Value(own.clone()), "its own address")
                .help("name the other nodes; `per_node` gives each node its own list");
            problems.push(problem);
        }
        if let Some((key, item, _)) = draft.held().find(|(_, _, held)| held.net.addr() == address) {
            let message = format!("{address} is a virtual address, not a node's own");
            let problem = Problem::new(Code::PeerIsSelf, message)
                .at(at(), "")
                .also(Spot::Value(draft.at(source, key).item(item)), "")
                .help("name the other node's own address");
            problems.push(problem);
        }
        if let Some(first) = seen.insert(address, *index) {
            let problem = Problem::new(Code::DuplicatePeer, format!("the peer {address} is twice"))
                .at(at(), "the second")
                .also(Spot::Value(path.key("peers").item(first)), "the first");
            problems.push(problem);
        }
    }
}

fn other_family(role: &str, address: std::net::IpAddr, family: AddressFamily, at: Spot) -> Problem {
    let message = format!("{role} {address} is not of the addresses' family, {family}");
    Problem::new(Code::PeerFamily, message)
        .at(at, "")
        .help(format!("advertisements for {family} addresses go over {family}"))
}

/// IFA_LABEL: the device's name, with a suffix after a colon; IPv4 only.
fn labels(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    for (key, index, address) in draft.held() {
        let Some(label) = &address.label else { continue };
        let device = address.device.as_ref().or(draft.interface.as_ref());
        // With a virtual MAC the device has another name.
        let device = match (&address.device, draft.virtual_mac_name()) {
            (None, Some(name)) => Some(name),
            (Some(_), _) | (None, None) => device.cloned(),
        };
        let suffix = device.as_ref().and_then(|device| label.strip_prefix(device.as_str()));
        let fits = suffix.is_none_or(|suffix| suffix.is_empty() || suffix.starts_with(':'));
        let reason = if matches!(address.net, IpNet::V6(_)) {
            "IPv6 addresses have no labels".to_owned()
        } else if !(1..=15).contains(&label.len())
            || label.contains(|c: char| c.is_control() || c.is_whitespace())
        {
            "a label has 1 to 15 bytes and no space".to_owned()
        } else if device.is_some() && (suffix.is_none() || !fits) {
            format!("it has to begin with `{}:`", device.unwrap_or_default())
        } else {
            continue;
        };
        let example = draft.interface.as_deref().unwrap_or("eth0");
        let problem = Problem::new(Code::BadLabel, format!("{label:?} can't be a label"))
            .at(Spot::Value(draft.at(source, key).item(index).key("label")), reason)
            .help(format!("`label: \"{example}:1\"`, or none: only old tools show labels"));
        problems.push(problem);
    }
}

/// Each virtual MAC address has an interface of its own.
pub(super) fn virtual_macs(view: &View, source: &Source, problems: &mut Problems) {
    let mut seen: BTreeMap<String, &InstanceDraft> = BTreeMap::new();
    for draft in &view.instances {
        let Some(name) = draft.virtual_mac_name() else { continue };
        let at = || Spot::Value(draft.at(source, "virtual_mac").key("name"));
        let parent = view.instances.iter().find(|one| one.interface.as_deref() == Some(&name));
        if let Some(parent) = parent {
            let message =
                format!("the virtual MAC's interface can't be `{name}`, which VRRP runs on");
            let problem = Problem::new(Code::VirtualMacName, message)
                .at(at(), "")
                .also(Spot::Value(parent.at(source, "interface")), "")
                .help("leave the name out, or choose one that the host does not have");
            problems.push(problem);
        }
        if let Some(first) = seen.get(&name) {
            let message = format!(
                "instances `{}` and `{}` both want the interface `{name}` for their virtual MAC address",
                first.name, draft.name
            );
            let problem = Problem::new(Code::VirtualMacName, message)
                .at(at(), "")
                .also(
                    Spot::Key(first.at(source, "virtual_mac")),
                    format!("`{}` has it", first.name),
                )
                .help("give one of them a name: `virtual_mac: {name: vrrp.lan}`");
            problems.push(problem);
        } else {
            seen.insert(name, draft);
        }
    }
}
