//! `vrrp_sync_group`.

use super::command::hook;
use super::instance::named_hook;
use super::values::{refuse, refuse_word};
use super::{Conversion, track};
use crate::keywords::{Context, account, effective, inside};
use crate::tree::Statement;
use crate::yaml::{Item, Map, Node, text};

/// Converts a group. What one of a single instance tracks and runs becomes the instance's own.
pub(crate) fn group(block: &Statement, conversion: &mut Conversion<'_>) {
    if block.word(1).is_empty() || block.block.is_none() {
        refuse(block, 1, "a group has a name and a block", conversion.ledger);
        return inside(block, conversion.ledger);
    }
    conversion.ledger.exact(block.id);
    let mut map = Map::default();
    let mut members = Vec::new();
    for statement in effective(block, conversion.ledger) {
        match statement.keyword() {
            "group" => members.extend(instances(statement, conversion)),
            "notify" => hook(&mut map, &[], statement, conversion.ledger),
            _ => {
                let known = named_hook(statement, &mut map, conversion)
                    || track::track(statement, &mut map, conversion);
                if !known {
                    account(statement, Context::SyncGroup, conversion.ledger);
                }
            }
        }
    }
    match members.as_slice() {
        [] => refuse(
            block,
            1,
            "a group without `group { … }`: keepalived silently drops it",
            conversion.ledger,
        ),
        [one] => alone(block, one, map, conversion),
        _ => {
            let item = |name: &String| Item { value: text(name), origin: super::NOWHERE };
            let list = Node::List(members.iter().map(item).collect());
            map.entries.insert(
                0,
                crate::yaml::Entry {
                    key: "instances".to_owned(),
                    value: list,
                    origin: super::NOWHERE,
                },
            );
            let name = conversion.groups.name(block.word(1), block, conversion.ledger);
            let origin = block.span.clone();
            conversion.section("vrrp", "groups", |all| all.set(&name, Node::Map(map), origin));
        }
    }
}

/// The instances that a block names, one or several a line.
fn instances(block: &Statement, conversion: &mut Conversion<'_>) -> Vec<String> {
    conversion.ledger.exact(block.id);
    let mut members: Vec<String> = Vec::new();
    for statement in block.children() {
        conversion.ledger.exact(statement.id);
        for (index, word) in statement.words.iter().enumerate() {
            match conversion.instances.of(&word.text) {
                Some(name) if members.iter().any(|member| member == name) => {
                    conversion.ledger.note(statement.id, "named twice: once is enough");
                }
                Some(name) => members.push(name.to_owned()),
                None => {
                    let what = format!("there is no vrrp_instance `{}`", word.text);
                    refuse_word(statement, index, what, conversion.ledger);
                }
            }
        }
    }
    members
}

/// A group of one.
fn alone(block: &Statement, name: &str, group: Map, conversion: &mut Conversion<'_>) {
    let note = format!("a group of one instance: what it tracks and runs is `{name}`'s own");
    conversion.ledger.differs(block.id, note);
    let origin = block.span.clone();
    conversion.section("vrrp", "instances", |all| {
        all.edit(name, origin, |instance| {
            for entry in group.entries {
                let Node::List(items) = entry.value else { continue };
                for Item { value, origin } in items {
                    instance.push(&entry.key, value, origin);
                }
            }
        });
    });
}
