//! `unicast_peer`.

use std::net::IpAddr;

use super::instance::Draft;
use super::{Conversion, NOWHERE};
use crate::ledger::{Id, Ledger};
use crate::tree::Statement;
use crate::yaml::{Map, Node, plain, text};

/// Another node.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    id: Id,
    ip: IpAddr,
    ttl: Option<(u8, u8)>,
}

/// The peers of a block.
pub(crate) fn peers(block: &Statement, ledger: &mut Ledger) -> Vec<Peer> {
    ledger.exact(block.id);
    block.children().iter().filter_map(|statement| peer(statement, ledger)).collect()
}

fn peer(statement: &Statement, ledger: &mut Ledger) -> Option<Peer> {
    let mut wrong = |index: usize, what: String| {
        let help = "keepalived goes on without it; correct it";
        ledger.wrong(statement.id, statement.column(index), what, help);
    };
    let Ok(ip) = statement.keyword().parse() else {
        wrong(0, format!("`{}` is not an address", statement.keyword()));
        return None;
    };
    let mut ttl = None;
    // The first word is the address: pairs begin at the second.
    for at in (1..statement.words.len()).step_by(2) {
        let (word, value) = (statement.word(at), statement.word(at + 1));
        let (least, most) = ttl.unwrap_or((1, 255));
        ttl = match (word, value.parse::<u8>()) {
            ("min_ttl", Ok(value)) => Some((value.max(1), most)),
            ("max_ttl", Ok(value)) => Some((least, value.max(1))),
            _ => {
                wrong(at, format!("a peer takes min_ttl and max_ttl, not `{word} {value}`"));
                return None;
            }
        };
    }
    ledger.exact(statement.id);
    Some(Peer { id: statement.id, ip, ttl })
}

/// The key `unicast`.
pub(super) fn unicast(draft: &mut Draft, ipv6: bool, conversion: &mut Conversion<'_>) {
    let ledger = &mut *conversion.ledger;
    let Some((peers, block)) = draft.peers.take() else {
        if let Some((_, statement)) = draft.source.take() {
            ledger.left_decide(statement.id, "without `unicast_peer` keepalived silently goes on with multicast, and so does the conversion");
        }
        if let Some((_, statement)) = draft.ttl.take() {
            ledger.left(statement.id, "without `unicast_peer`");
        }
        return group(draft, ipv6, conversion);
    };
    if peers.is_empty() {
        let message = "`unicast_peer` without a peer: keepalived silently takes multicast";
        ledger.wrong(
            block.id,
            block.column(0),
            message,
            "name the other nodes, or remove the block",
        );
        return;
    }
    if let Some((_, statement)) = draft.group.take() {
        ledger.left(statement.id, "with `unicast_peer` nothing is sent to a group");
    }
    let mut map = Map::default();
    if let Some((source, statement)) = draft.source.take() {
        map.set("source", text(source.to_string()), statement.span);
    }
    let far = draft.ttl.take().filter(|(ttl, _)| *ttl != 255);
    if let Some((ttl, statement)) = &far {
        map.set("ttl", plain(ttl), statement.span.clone());
        ledger.differs_decide(statement.id, "peers that send with another TTL than 255 are heard with any here; say which one arrives: `peers: [{address: …, ttl: 253-255}]`");
    }
    for Peer { id, ip, ttl } in peers {
        let origin = id..id + 1;
        let address = text(ip.to_string());
        let node = match ttl.or_else(|| far.as_ref().map(|_| (1, 255))) {
            None => address,
            Some((least, most)) => {
                let mut peer = Map::default();
                peer.set("address", address, origin.clone());
                peer.set("ttl", text(format!("{least}-{most}")), origin.clone());
                Node::Map(peer)
            }
        };
        if ttl.is_none() {
            ledger.note(id, "only packets that arrive with a TTL of 255 are heard, as keepalived's neighbours send them");
        }
        map.push("peers", node, origin);
    }
    draft.map.set("unicast", Node::Map(map), block.span);
}

/// The multicast group, where it is another than the protocol's.
fn group(draft: &mut Draft, ipv6: bool, conversion: &Conversion<'_>) {
    let globals = &conversion.globals;
    let own = draft.group.take();
    let origin = own.as_ref().map_or(NOWHERE, |(_, statement)| statement.span.clone());
    let group = own.map(|(group, _)| group).or(if ipv6 { globals.group6 } else { globals.group4 });
    let usual = if ipv6 { "ff02::12" } else { "224.0.0.18" };
    if let Some(group) = group.map(|group| group.to_string()).filter(|group| group != usual) {
        draft.map.set("multicast_group", text(group), origin);
    }
}
