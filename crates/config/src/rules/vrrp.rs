//! The rules of virtual routers: those of one instance, and those between the instances of one node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ::vrrp::{AddressFamily, Priority, Version};

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::path::Path;
use crate::read::{InstanceDraft, View};
use crate::source::Source;
use crate::text;

/// The rules of one node's instances.
pub(super) fn check(view: &View, source: &Source, problems: &mut Problems) {
    for draft in &view.instances {
        families(draft, source, problems);
        link_local(draft, source, problems);
        count(draft, source, problems);
        owner(draft, source, problems);
    }
    vrids(view, source, problems);
    shared_addresses(view, source, problems);
}

fn item(draft: &InstanceDraft, source: &Source, index: usize) -> Path {
    draft.at(source, "addresses").item(index)
}

/// One family, and IPv6 in version 3 only.
fn families(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    let Some(family) = draft.family() else { return };
    let first = draft.addresses.first().map_or(0, |(index, _)| *index);
    let other = draft.nets().find(|(_, net)| AddressFamily::of(net.addr()) != family);
    if let Some((index, net)) = other {
        let of = AddressFamily::of(net.addr());
        let message = format!("instance `{}` mixes {family} and {of} addresses", draft.name);
        let problem = Problem::new(Code::MixedFamilies, message)
            .at(Spot::Value(item(draft, source, index)), format!("this is {of}"))
            .also(Spot::Value(item(draft, source, first)), format!("this is {family}"))
            .help("make a second instance for the other family; it may have the same vrid");
        problems.push(problem);
    }
    if draft.version == Version::V2 && family == AddressFamily::Ipv6 {
        let message = format!("instance `{}` has IPv6 addresses and VRRP version 2", draft.name);
        let problem = Problem::new(Code::Version2Ipv6, message)
            .at(Spot::Value(draft.at(source, "version")), "version 2 is IPv4's alone")
            .also(Spot::Value(item(draft, source, first)), "")
            .help("remove `version: 2`: version 3 serves both families");
        problems.push(problem);
    }
}

/// RFC 9568 §5.2.9, erratum 8300: the first IPv6 address is link-local.
fn link_local(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    let Some((index, net)) = draft.nets().next() else { return };
    let IpAddr::V6(address) = net.addr() else { return };
    if text::is_link_local(address) {
        return;
    }
    let later = draft
        .nets()
        .find(|(_, net)| matches!(net.addr(), IpAddr::V6(address) if text::is_link_local(address)));
    let help = match later {
        Some((_, later)) => format!("move `{later}` to the front"),
        None => {
            let vrid = draft.vrid.map_or(1, ::vrrp::Vrid::value);
            format!(
                "put a link-local address before it, the same on every node: `- fe80::{vrid:x}/64`"
            )
        }
    };
    let message = format!("the first IPv6 address of instance `{}` is not link-local", draft.name);
    let problem = Problem::new(Code::FirstNotLinkLocal, message)
        .at(
            Spot::Value(item(draft, source, index)),
            "routers drop advertisements that begin with it",
        )
        .help(help);
    problems.push(problem);
}

/// What an advertisement holds, and no address twice.
fn count(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    let limit = match draft.family() {
        Some(AddressFamily::Ipv6) => defaults::IPV6_ADDRESSES_MAX,
        Some(AddressFamily::Ipv4) | None => defaults::IPV4_ADDRESSES_MAX,
    };
    let number = draft.addresses.len();
    if number > limit {
        let message = format!(
            "instance `{}` has {number} addresses; an advertisement holds {limit}",
            draft.name
        );
        let problem = Problem::new(Code::TooManyAddresses, message)
            .at(Spot::Key(draft.at(source, "addresses")), "")
            .help("divide them between two instances with different vrids");
        problems.push(problem);
    }
    let mut seen = BTreeMap::new();
    for (key, index, address) in draft.held() {
        let place = (address.net.addr(), draft.link(address));
        if let Some((first, at)) = seen.insert(place, (key, index)) {
            let address = place.0;
            let message = format!("{address} is twice in instance `{}`", draft.name);
            let problem = Problem::new(Code::DuplicateAddress, message)
                .at(Spot::Value(draft.at(source, key).item(index)), "the second")
                .also(Spot::Value(draft.at(source, first).item(at)), "the first");
            problems.push(problem);
        }
    }
}

/// RFC 9568 §6.1: the address owner always preempts.
fn owner(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    if draft.priority != Priority::OWNER || draft.preempt {
        return;
    }
    let message = format!("instance `{}` has priority 255, which always preempts", draft.name);
    let problem = Problem::new(Code::OwnerPreempts, message)
        .at(Spot::Value(draft.at(source, "preempt")), "")
        .also(Spot::Value(draft.at(source, "priority")), "the address owner's priority")
        .help("use a priority of at most 254, or remove `preempt: false`");
    problems.push(problem);
}

/// A virtual router is its VRID, interface and family.
fn vrids(view: &View, source: &Source, problems: &mut Problems) {
    let mut seen: BTreeMap<_, &InstanceDraft> = BTreeMap::new();
    for draft in &view.instances {
        let (Some(interface), Some(vrid), Some(family)) =
            (draft.interface.as_deref(), draft.vrid, draft.family())
        else {
            continue;
        };
        if let Some(first) = seen.insert((interface, vrid, family), draft) {
            let message = format!(
                "instances `{}` and `{}` both are {family} virtual router {vrid} on {interface}",
                first.name, draft.name
            );
            let problem = Problem::new(Code::DuplicateVrid, message)
                .at(Spot::Value(draft.at(source, "vrid")), "")
                .also(Spot::Value(first.at(source, "vrid")), format!("taken by `{}`", first.name))
                .help("give one of them another vrid, the same on every node");
            problems.push(problem);
        }
    }
}

/// One address has one keeper. A link-local address may be on several links.
fn shared_addresses(view: &View, source: &Source, problems: &mut Problems) {
    let mut seen: BTreeMap<_, (&InstanceDraft, &str, usize)> = BTreeMap::new();
    for draft in &view.instances {
        for (key, index, address) in draft.held() {
            let before =
                seen.insert((address.net.addr(), draft.link(address)), (draft, key, index));
            let Some((first, list, at)) = before.filter(|(first, _, _)| first.name != draft.name)
            else {
                continue;
            };
            let message = format!(
                "{} is in instance `{}` and in instance `{}`",
                address.net.addr(),
                first.name,
                draft.name
            );
            let problem = Problem::new(Code::AddressInTwoInstances, message)
                .at(Spot::Value(draft.at(source, key).item(index)), "")
                .also(
                    Spot::Value(first.at(source, list).item(at)),
                    format!("`{}` has it already", first.name),
                )
                .help("keep it in one of them");
            problems.push(problem);
        }
    }
}

/// Two nodes that the file knows, with the same priority.
pub(super) fn priorities(views: &[View], source: &Source, problems: &mut Problems) {
    let mut nodes: BTreeMap<_, Vec<(&InstanceDraft, &str)>> = BTreeMap::new();
    for view in views {
        for draft in &view.instances {
            nodes.entry(&draft.name).or_default().push((draft, &view.node));
        }
    }
    for mut drafts in nodes.into_values() {
        // An instance that names one node means the others by its own keys; one that names several leaves none out, and the
        // file is being looked at elsewhere.
        let named = drafts.iter().filter(|(draft, _)| draft.overridden(source)).count();
        drafts.retain(|(draft, _)| named == 1 || draft.overridden(source));
        let mut seen: BTreeMap<_, (&InstanceDraft, &str)> = BTreeMap::new();
        for (draft, node) in drafts {
            if let Some(first) = seen.get(&draft.priority) {
                equal(*first, (draft, node), source, problems);
            } else {
                seen.insert(draft.priority, (draft, node));
            }
        }
    }
}

fn equal(
    (first, before): (&InstanceDraft, &str),
    (draft, node): (&InstanceDraft, &str),
    source: &Source,
    problems: &mut Problems,
) {
    let (at, there) = (draft.at(source, "priority"), first.at(source, "priority"));
    // Where no override has a priority, each node may have a file of its own.
    if at == there && at.parent().as_ref() == Some(draft.path()) {
        return;
    }
    let (name, priority) = (&draft.name, draft.priority);
    let message =
        format!("instance `{name}` has priority {priority} on `{before}` and on `{node}`");
    let problem = Problem::new(Code::EqualPriorities, message)
        .at(Spot::Value(at), format!("on `{node}`"))
        .also(Spot::Value(there), format!("on `{before}`"))
        .help("give the preferred node a higher priority, for instance 150 against 100");
    problems.push(problem);
}
