//! The key `rules` of an instance.

use std::ops::RangeInclusive;

use ipnet::IpNet;
use vrrp::AddressFamily;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{RouteKind, Rule};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Items, Reader};
use crate::text::{self, Fault};

use super::route::{KINDS, table};

const RULE: &str = "vrrp.instances.NAME.rules";

/// The greatest port that a rule can have: the kernel refuses 65535 (`fib_rule_port_range_valid` of net/fib_rules.h).
const PORT_MAX: u32 = 65534;

/// Protocols above IP by the names that `ip rule` takes (/etc/protocols).
const PROTOCOLS: [(&str, u8); 9] = [
    ("icmp", 1),
    ("tcp", 6),
    ("udp", 17),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("vrrp", 112),
    ("sctp", 132),
];

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
    let not = fields.get("not").and_then(|cursor| reader.boolean(&cursor));
    let ipproto = fields.get("ipproto").and_then(|cursor| protocol(reader, &cursor));
    let mut ports = |key: &str| {
        let read = range(reader, &fields.get(key)?, 1..=PORT_MAX, "1-65534");
        read.and_then(|(first, last)| Some((first.try_into().ok()?, last.try_into().ok()?)))
    };
    let (sport, dport) = (ports("sport"), ports("dport"));
    let users = "0-4294967294";
    let uidrange =
        fields.get("uidrange").and_then(|cursor| range(reader, &cursor, 0..=u32::MAX - 1, users));
    let suppress_prefixlength = fields.get("suppress_prefixlength").and_then(|cursor| {
        let longest = if family == Some(AddressFamily::Ipv6) { 128 } else { 32 };
        reader.integer(&cursor, 0..=longest, "the longest prefix of the family")
    });
    let kind = fields.get("type").and_then(|cursor| reader.word(&cursor, &KINDS));
    let kind = kind.unwrap_or_default();
    let mut required = |key: &'static str, help: &str| {
        let found = fields.get(key);
        if found.is_none() {
            reader.missing(&fields.path, key, help);
        }
        found
    };
    let place = required("priority", "the rule's place among the others: `priority: 1000`");
    let at = match kind {
        RouteKind::Unicast => required("table", "the table to look in: `table: 100`"),
        RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit => fields.get("table"),
    };
    let table = at.as_ref().and_then(|cursor| table(reader, cursor));
    let why = "0 is the local table's rule, 32766 and 32767 are those of main and default";
    let priority = place.and_then(|cursor| reader.integer(&cursor, 1..=32765, why));
    let (family, priority) = (family?, priority?);
    // One without its table looks in none, which is something else.
    let read = read && (table.is_some() || kind != RouteKind::Unicast);
    let not = not.unwrap_or_default();
    read.then_some(Rule {
        family,
        priority,
        not,
        from,
        to,
        iif,
        oif,
        mark,
        ipproto,
        sport,
        dport,
        uidrange,
        kind,
        table,
        suppress_prefixlength,
    })
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

/// A protocol's number, or the name of a known one.
fn protocol<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<u8> {
    match cursor.node {
        Node::Text(_) => reader.word(cursor, &PROTOCOLS),
        Node::Null
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float
        | Node::List(_)
        | Node::Mapping(_) => reader.integer(cursor, 1..=255, "a protocol's number; 6 is `tcp`"),
    }
}

/// `80` or `"1024-65535"`, within `allowed`; `example` is all of it.
fn range<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    allowed: RangeInclusive<u32>,
    example: &str,
) -> Option<(u32, u32)> {
    let read = match cursor.node {
        Node::Integer(number) => text::range(&number.to_string(), allowed, example),
        Node::Text(text) => text::range(text, allowed, example),
        Node::Null | Node::Bool(_) | Node::Float | Node::List(_) | Node::Mapping(_) => {
            reader.wrong_type(cursor, "a number or a range such as \"1000-1999\"", None);
            return None;
        }
    };
    read.map_err(|fault: Fault| reader.fault(&cursor.path, fault)).ok()
}
