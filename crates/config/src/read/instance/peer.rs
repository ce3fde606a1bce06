//! The keys `multicast_group` and `unicast` of an instance: where its advertisements go.

use std::net::IpAddr;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Peer, Unicast};
use crate::raw::Node;
use crate::reader::{Cursor, Items, Reader};
use crate::text;

/// `unicast` as far as it could be read.
pub(crate) struct Draft {
    pub(crate) source: Option<IpAddr>,
    pub(crate) ttl: u8,
    pub(crate) peers: Items<Peer>,
}

impl From<Draft> for Unicast {
    fn from(draft: Draft) -> Self {
        let peers = super::values(draft.peers);
        Self { source: draft.source, ttl: draft.ttl, peers }
    }
}

/// Another group than VRRP's. Its family is looked at with the addresses'.
pub(super) fn multicast_group<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<IpAddr> {
    let text = reader.text(cursor)?;
    text::multicast_group(text).map_err(|fault| reader.fault(&cursor.path, fault)).ok()
}

/// The peers; none where `unicast` says nothing that could be read.
pub(super) fn unicast<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Draft> {
    let fields = reader.fields(cursor, "vrrp.instances.NAME.unicast")?;
    let source = fields
        .get("source")
        .and_then(|cursor| address(reader, &cursor, "the address to send from"));
    let ttl = fields.get("ttl").and_then(|cursor| {
        reader.integer(&cursor, 1..=255, "0 reaches nobody; 255 proves a neighbour")
    });
    let mut peers = vec![];
    match fields.get("peers") {
        None => reader.missing(&fields.path, "peers", "`peers: [192.0.2.2]`: the other nodes"),
        Some(cursor) => {
            let items = reader.one_or_list(&cursor, defaults::PEERS_MAX);
            if items.is_empty() && matches!(cursor.node, Node::List(_)) {
                let problem = Problem::new(Code::EmptyList, "unicast without peers reaches nobody")
                    .at(Spot::Value(cursor.path.clone()), "")
                    .help("name the other nodes: `peers: [192.0.2.2]`");
                reader.problems.push(problem);
            }
            let read = items.iter().enumerate();
            peers.extend(read.filter_map(|(index, item)| Some((index, peer(reader, item)?))));
        }
    }
    Some(Draft { source, ttl: ttl.unwrap_or(u8::MAX), peers })
}

fn peer<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Peer> {
    let role = "a peer";
    let Node::Mapping(_) = cursor.node else {
        let address = address(reader, cursor, role)?;
        return Some(Peer { address, ttl: defaults::PEER_TTL });
    };
    let fields = reader.fields(cursor, "vrrp.instances.NAME.unicast.peers")?;
    let ttl = fields.get("ttl").and_then(|cursor| ttl(reader, &cursor));
    let Some(at) = fields.get("address") else {
        reader.missing(&fields.path, "address", "`address: 192.0.2.2`");
        return None;
    };
    Some(Peer { address: address(reader, &at, role)?, ttl: ttl.unwrap_or(defaults::PEER_TTL) })
}

/// `254` or `"253-255"`.
fn ttl<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<(u8, u8)> {
    if let Node::Text(range) = cursor.node {
        return text::ttls(range).map_err(|fault| reader.fault(&cursor.path, fault)).ok();
    }
    let ttl = reader.integer(cursor, 1..=255, "what the packets of this peer arrive with")?;
    Some((ttl, ttl))
}

/// The address of a host.
pub(in crate::read) fn address<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    role: &str,
) -> Option<IpAddr> {
    let text = reader.text(cursor)?;
    text::host(text, role).map_err(|fault| reader.fault(&cursor.path, fault)).ok()
}
