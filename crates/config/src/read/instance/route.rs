//! The key `routes` of an instance.

use ipnet::IpNet;
use vrrp::AddressFamily;

use crate::defaults;
use crate::model::{Route, RouteKind};
use crate::raw::Node;
use crate::reader::{Cursor, Items, Reader};
use crate::text;

use super::address::SCOPES;
use super::peer;

const ROUTE: &str = "vrrp.instances.NAME.routes";

/// What `ip route` and `ip rule` call the kinds of routes and rules that an instance can have.
pub(super) const KINDS: [(&str, RouteKind); 4] = [
    ("unicast", RouteKind::Unicast),
    ("blackhole", RouteKind::Blackhole),
    ("unreachable", RouteKind::Unreachable),
    ("prohibit", RouteKind::Prohibit),
];

/// The tables that every kernel has (linux/rtnetlink.h `rt_class_t`).
const TABLES: [(&str, u32); 3] = [("default", 253), ("main", defaults::TABLE_MAIN), ("local", 255)];

/// The routes; `family` is the instance's, for a default route that says nothing of its own.
pub(super) fn routes<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    family: Option<AddressFamily>,
) -> Items<Route> {
    let items = reader.list(cursor, defaults::ROUTES_MAX).unwrap_or_default();
    let read = items.iter().enumerate();
    read.filter_map(|(index, item)| Some((index, route(reader, item, family)?))).collect()
}

fn route<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    family: Option<AddressFamily>,
) -> Option<Route> {
    let fields = reader.fields(cursor, ROUTE)?;
    let kind = fields.get("type").and_then(|cursor| reader.word(&cursor, &KINDS));
    let via = fields.get("via").and_then(|at| peer::address(reader, &at, "the next hop"));
    let source = fields.get("source").and_then(|at| peer::address(reader, &at, "the source"));
    let device = fields.get("device").and_then(|cursor| super::interface(reader, &cursor));
    let table = fields.get("table").and_then(|cursor| table(reader, &cursor));
    let metric = fields
        .get("metric")
        .and_then(|cursor| reader.integer(&cursor, 1..=u32::MAX, "the lowest metric is used"));
    let mtu = fields.get("mtu").and_then(|cursor| {
        reader.integer(&cursor, 68..=65535, "RFC 791: every link carries 68 bytes")
    });
    let advmss = fields.get("advmss").and_then(|cursor| {
        let why = "the kernel has no greater one: 65535 less the headers";
        reader.integer(&cursor, 1..=65495, why)
    });
    let on_link = fields.get("on_link").and_then(|cursor| reader.boolean(&cursor));
    let scope = fields.get("scope").and_then(|cursor| reader.word(&cursor, &SCOPES));
    let Some(to) = fields.get("to") else {
        reader.missing(&fields.path, "to", "`to: default` or `to: 198.51.100.0/24`");
        return None;
    };
    let hinted = via.or(source).map(AddressFamily::of).or(family);
    Some(Route {
        to: destination(reader, &to, hinted)?,
        kind: kind.unwrap_or_default(),
        via,
        device,
        source,
        table: table.unwrap_or(defaults::TABLE_MAIN),
        metric,
        scope,
        mtu,
        advmss,
        on_link: on_link.unwrap_or_default(),
    })
}

/// A network, or `default`: the whole of `family`, IPv4 where there is none.
pub(in crate::read) fn destination<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    family: Option<AddressFamily>,
) -> Option<IpNet> {
    match (reader.text(cursor)?, family) {
        ("default", Some(AddressFamily::Ipv6)) => Some(IpNet::V6(ipnet::Ipv6Net::default())),
        ("default", Some(AddressFamily::Ipv4) | None) => Some(IpNet::V4(ipnet::Ipv4Net::default())),
        (text, _) => text::network(text).map_err(|fault| reader.fault(&cursor.path, fault)).ok(),
    }
}

/// A table's number, or the name of one that every kernel has.
pub(super) fn table<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<u32> {
    match cursor.node {
        Node::Text(_) => reader.word(cursor, &TABLES),
        Node::Null
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float
        | Node::List(_)
        | Node::Mapping(_) => {
            let why = "a table's number; 254 is `main`";
            reader.integer(cursor, 1..=u32::MAX, why)
        }
    }
}
