//! The rules of virtual routers: those of one instance, and those between the instances of one node.

mod routes;
mod setup;

use std::collections::BTreeMap;
use std::net::IpAddr;

use ::vrrp::{AddressFamily, Priority, Version};

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::Name;
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
        loopback(draft, source, problems);
        setup::check(draft, source, problems);
        routes::check(draft, source, problems);
    }
    setup::virtual_macs(view, source, problems);
    routes::duplicates(view, source, problems);
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

/// The kernel makes the loopback of every network namespace under this name.
fn loopback(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    if draft.interface.as_deref() == Some("lo") {
        let at = Spot::Value(draft.at(source, "interface"));
        problems.push(on_loopback(&draft.name, "lo", at));
    }
}

/// That an instance is on the loopback, whatever that is called.
pub(crate) fn on_loopback(instance: &Name, interface: &str, at: Spot) -> Problem {
    let message = format!("instance `{instance}` is on the loopback `{interface}`");
    Problem::new(Code::LoopbackInterface, message)
        .at(at, "nobody hears it there, and it hears nobody")
        .help("name the interface of the LAN; an address of `addresses` may be on the loopback: `{address: …, device: lo}`")
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
