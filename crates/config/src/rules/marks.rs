//! The rules of packets that are marked: no packet is two services', and their addresses reach this node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipvs_ctl::model::Protocol;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Listen, Match, Name};
use crate::path::Path;
use crate::read::Document;

use super::{pool, services};

/// Packets that are marked, whose they are, and where that is written.
struct Marked<'a> {
    service: &'a Name,
    packets: &'a Match,
    /// The place of the listening address.
    path: Path,
}

/// The rules of all marks.
pub(super) fn check(document: &Document, held: Option<&BTreeSet<IpAddr>>, problems: &mut Problems) {
    let marked = marked(document);
    if marked.len() > defaults::MATCHES_MAX {
        let message = format!(
            "all services together mark {} ranges of packets; the limit is {}",
            marked.len(),
            defaults::MATCHES_MAX
        );
        let at = marked.get(defaults::MATCHES_MAX).map(|one| one.path.clone());
        problems
            .push(Problem::new(Code::TooMany, message).at(Spot::Value(at.unwrap_or_default()), ""));
        return;
    }
    overlaps(&marked, problems);
    shadowed(document, &marked, problems);
    let Some(held) = held else { return };
    for one in &marked {
        if held.range(one.packets.first..=one.packets.last).next().is_none() {
            problems.push(services::not_held(one.service, one.packets.first, one.path.clone()));
        }
    }
}

fn marked(document: &Document) -> Vec<Marked<'_>> {
    let mut marked = vec![];
    for (name, draft) in &document.services {
        for (index, listen) in draft.items.iter().zip(&draft.service.listen) {
            for packets in listen.matches() {
                let path = pool::service_path(name).key("listen").item(*index);
                marked.push(Marked { service: name, packets, path });
            }
        }
    }
    marked
}

/// A packet has one mark: the ranges of all services have nothing in common.
fn overlaps(marked: &[Marked<'_>], problems: &mut Problems) {
    let mut sorted: Vec<&Marked<'_>> = marked.iter().collect();
    sorted.sort_by_key(|one| *one.packets);
    for (position, one) in sorted.iter().enumerate() {
        let after = sorted.iter().skip(position + 1);
        let near = after.take_while(|other| {
            other.packets.protocol == one.packets.protocol
                && other.packets.first <= one.packets.last
        });
        // One report for each range: further ones would say nothing new.
        if let Some(other) = near.into_iter().find(|other| other.packets.overlaps(one.packets)) {
            let what = if one.packets == other.packets {
                format!("`{}` is marked twice", one.packets)
            } else {
                format!("`{}` and `{}` have packets in common", one.packets, other.packets)
            };
            let problem = Problem::new(Code::OverlappingMatch, what)
                .at(Spot::Value(other.path.clone()), format!("for `{}` here", other.service))
                .also(Spot::Value(one.path.clone()), format!("for `{}` here", one.service))
                .help("a packet has one mark: choose ranges that have nothing in common");
            problems.push(problem);
        }
    }
}

/// A marked packet goes to the mark's service, so that one by address and port within the range would see none.
fn shadowed(document: &Document, marked: &[Marked<'_>], problems: &mut Problems) {
    if marked.is_empty() {
        return;
    }
    let mut addresses: BTreeMap<(Protocol, IpAddr, u16), (&Name, Path)> = BTreeMap::new();
    for (name, draft) in &document.services {
        for (index, listen) in draft.items.iter().zip(&draft.service.listen) {
            if let Listen::Address { protocol, address } = listen {
                let path = pool::service_path(name).key("listen").item(*index);
                addresses.insert((*protocol, address.ip(), address.port()), (name, path));
            }
        }
    }
    for one in marked {
        let Match { protocol, first, last, ports, .. } = *one.packets;
        let within = addresses.range((protocol, first, 0)..=(protocol, last, u16::MAX));
        let found = within
            .into_iter()
            // Every port of an address is every one that nobody else has.
            .find(|((.., port), _)| *port != 0 && (ports.0..=ports.1).contains(port));
        let Some(((_, address, port), (name, path))) = found else { continue };
        let message = format!(
            "service `{name}` would see no packet for {address} port {port}: they are marked for `{}`",
            one.service
        );
        let problem = Problem::new(Code::OverlappingMatch, message)
            .at(Spot::Value(path.clone()), "")
            .also(Spot::Value(one.path.clone()), format!("`{}` is marked here", one.packets))
            .help("leave the port out of the range: two ranges, one below it and one above");
        problems.push(problem);
    }
}
