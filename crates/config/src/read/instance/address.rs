//! The keys `addresses` and `excluded` of an instance.

use crate::code::Code;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Scope, VirtualAddress};
use crate::raw::Node;
use crate::reader::{Cursor, Items, Reader};
use crate::text;

const PATTERN: &str = "vrrp.instances.NAME.addresses";

/// The words for where an address or route is valid.
pub(super) const SCOPES: [(&str, Scope); 4] = [
    ("global", Scope::Global),
    ("site", Scope::Site),
    ("link", Scope::Link),
    ("host", Scope::Host),
];

/// The addresses of a list, or one alone; at most `limit`.
pub(super) fn addresses<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    limit: usize,
) -> Items<VirtualAddress> {
    let items = reader.one_or_list(cursor, limit);
    let required = cursor.path.last_key() == Some("addresses");
    if required && items.is_empty() && matches!(cursor.node, Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "an instance needs at least one address")
            .at(Spot::Value(cursor.path.clone()), "")
            .help("`addresses: [192.0.2.10/24]`");
        reader.problems.push(problem);
    }
    let read = items.iter().enumerate();
    read.filter_map(|(index, item)| Some((index, address(reader, item)?))).collect()
}

fn address<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<VirtualAddress> {
    let Node::Mapping(_) = cursor.node else {
        return net(reader, cursor).map(VirtualAddress::plain);
    };
    let fields = reader.fields(cursor, PATTERN)?;
    let device = fields.get("device").and_then(|cursor| super::interface(reader, &cursor));
    let label = fields.get("label").and_then(|cursor| reader.text(&cursor)).map(str::to_owned);
    let scope = fields.get("scope").and_then(|cursor| reader.word(&cursor, &SCOPES));
    let Some(address) = fields.get("address") else {
        reader.missing(&fields.path, "address", "`address: 192.0.2.10/24`");
        return None;
    };
    Some(VirtualAddress { net: net(reader, &address)?, device, label, scope })
}

fn net<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<ipnet::IpNet> {
    let text = reader.text(cursor)?;
    text::virtual_address(text).map_err(|fault| reader.fault(&cursor.path, fault)).ok()
}
