//! The keys `routes` and `rules` of an instance.

use ipnet::IpNet;
use vrrp::AddressFamily;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Route, RouteKind, Rule};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Items, Reader};
use crate::text::{self, Fault};

use super::address::SCOPES;
use super::peer;

const ROUTE: &str = "vrrp.instances.NAME.routes";
const RULE: &str = "vrrp.instances.NAME.rules";

/// What `ip route` calls the kinds of routes that an instance can have.
const KINDS: [(&str, RouteKind); 4] = [
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
fn table<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<u32> {
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

/// The policy rules; `family` is the instance's, for a rule that names no address.
pub(super) fn rules<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    family: Option<AddressFamily>,
) -> Items<Rule> {
    let items = reader.list(cursor, defaults::RULES_MAX).unwrap_or_default();
    let read = items.iter().enumerate();
    read.filter_map(|(index, item)| Some((index, rule(reader, item, family)?))).collect()
}

fn rule<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    family: Option<AddressFamily>,
) -> Option<Rule> {
    let fields = reader.fields(cursor, RULE)?;
    let mut net = |key: &str| {
        fields.get(key).map(|cursor| {
            let text = reader.text(&cursor)?;
            text::network(text).map_err(|fault| reader.fault(&cursor.path, fault)).ok()
        })
    };
    let (from, to) = (net("from"), net("to"));
    // One that can't be read is not the same as all addresses.
    let read = !matches!((from, to), (Some(None), _) | (_, Some(None)));
    let (from, to) = (from.flatten(), to.flatten());
    let family = rule_family(reader, &fields, from.or(to), family);
    let mut interface =
        |key: &str| fields.get(key).and_then(|cursor| super::interface(reader, &cursor));
    let (iif, oif) = (interface("iif"), interface("oif"));
    let mark = fields.get("mark").and_then(|cursor| mark(reader, &cursor));
    let mut required = |key: &'static str, help: &str| {
        let found = fields.get(key);
        if found.is_none() {
            reader.missing(&fields.path, key, help);
        }
        found
    };
    let (at, place) = (
        required("table", "the table to look in: `table: 100`"),
        required("priority", "the rule's place among the others: `priority: 1000`"),
    );
    let table = at.and_then(|cursor| table(reader, &cursor));
    let why = "0 is the local table's rule, 32766 and 32767 are those of main and default";
    let priority = place.and_then(|cursor| reader.integer(&cursor, 1..=32765, why));
    let (family, priority, table) = (family?, priority?, table?);
    read.then_some(Rule { family, priority, from, to, iif, oif, mark, table })
}

fn rule_family<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    net: Option<IpNet>,
    default: Option<AddressFamily>,
) -> Option<AddressFamily> {
    let words = [("inet", AddressFamily::Ipv4), ("inet6", AddressFamily::Ipv6)];
    let written = fields.get("family");
    let family = written.as_ref().and_then(|cursor| reader.word(cursor, &words));
    if let (Some(cursor), Some(net)) = (written, net) {
        let problem = Problem::new(Code::Conflict, "a rule with addresses has their family")
            .at(Spot::Key(cursor.path), format!("`{net}` says it already"))
            .help("remove `family`: it is for rules without `from` and `to`");
        reader.problems.push(problem);
    }
    net.map(|net| AddressFamily::of(net.addr())).or(family).or(default)
}

/// `16`, `"16/255"` or `"0x10/0xff"`.
fn mark<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<(u32, u32)> {
    let read = match cursor.node {
        Node::Integer(number) => text::mark(&number.to_string()),
        Node::Text(text) => text::mark(text),
        Node::Null | Node::Bool(_) | Node::Float | Node::List(_) | Node::Mapping(_) => {
            reader.wrong_type(cursor, "a mark such as 16 or \"16/255\"", None);
            return None;
        }
    };
    read.map_err(|fault: Fault| reader.fault(&cursor.path, fault)).ok()
}
