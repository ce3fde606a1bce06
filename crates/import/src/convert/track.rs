//! Who tracks what: `track_script` and its like in instances and groups.

use super::instance::weight;
use super::tracker::{Defined, Kind};
use super::values::refuse_word;
use super::{Conversion, NOWHERE};
use crate::tree::Statement;
use crate::yaml::{Map, Node, plain, text};

/// Adds what a block of an instance or group tracks; false where the statement is no such block.
pub(crate) fn track(block: &Statement, map: &mut Map, conversion: &mut Conversion<'_>) -> bool {
    let kind = match block.keyword() {
        "track_interface" => Kind::Interface,
        "track_script" => Kind::Script,
        "track_file" => Kind::File,
        "track_process" => Kind::Process,
        "track_bfd" => Kind::Bfd,
        _ => return false,
    };
    conversion.ledger.exact(block.id);
    for statement in block.children() {
        if let Some(node) = entry(kind, statement, conversion) {
            map.push("track", node, statement.span.clone());
        }
    }
    true
}

fn entry(kind: Kind, statement: &Statement, conversion: &mut Conversion<'_>) -> Option<Node> {
    let given = statement.keyword().to_owned();
    if conversion.trackers.lost.contains_key(&(kind, given.clone())) {
        let note = format!("what `{given}` watches was not converted");
        conversion.ledger.left_decide(statement.id, note);
        return None;
    }
    let known = conversion.trackers.known.get(&(kind, given.clone())).cloned();
    let defined = match known {
        Some(defined) => defined,
        None if kind == Kind::Interface => interface(&given, statement, conversion),
        None => {
            let what = format!("nothing defines `{given}`: keepalived silently tracks nothing");
            refuse_word(statement, 0, what, conversion.ledger);
            return None;
        }
    };
    let mut weight_of = defined.weight;
    let mut reverse = defined.reverse;
    let mut index = 1;
    while index < statement.words.len() {
        match statement.word(index) {
            "weight" => {
                index += 1;
                weight_of = weight(statement, index, conversion)?;
                reverse = false;
            }
            "reverse" => reverse = true,
            "noreverse" => reverse = false,
            other => {
                let what = format!("`{other}` is neither weight nor reverse");
                refuse_word(statement, index, what, conversion.ledger);
                return None;
            }
        }
        index += 1;
    }
    conversion.ledger.exact(statement.id);
    if kind == Kind::File && weight_of.abs() == 254 {
        conversion
            .ledger
            .differs(statement.id, "254 is a fault in keepalived, and so it is here: no weight");
        weight_of = 0;
    }
    if reverse && kind != Kind::File {
        // keepalived turns the sign around: 20 is taken while up. Here the tracker is turned around, so that it is taken while "down".
        weight_of = -weight_of;
    }
    let origin = statement.span.clone();
    if weight_of == 0 && !reverse {
        return Some(text(defined.name));
    }
    let mut map = Map::default();
    map.set("tracker", text(defined.name), origin.clone());
    if weight_of != 0 {
        map.set("weight", plain(weight_of), origin.clone());
    }
    if reverse {
        map.set("reverse", plain(true), origin);
    }
    Some(Node::Map(map))
}

/// A tracker of an interface, made where it is first named.
fn interface(name: &str, statement: &Statement, conversion: &mut Conversion<'_>) -> Defined {
    let fresh = conversion.trackers.names.fresh(name);
    let defined = Defined { name: fresh.clone(), weight: 0, reverse: false };
    conversion.trackers.known.insert((Kind::Interface, name.to_owned()), defined.clone());
    let mut map = Map::default();
    map.set("interface", text(name), NOWHERE);
    let origin = statement.span.clone();
    conversion.section("vrrp", "trackers", |all| all.set(&fresh, Node::Map(map), origin));
    defined
}
