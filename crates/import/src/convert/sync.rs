//! `lvs_sync_daemon`.

use super::values::{number, refuse};
use super::{Conversion, NOWHERE};
use crate::tree::Statement;
use crate::yaml::{Map, Node, plain, text};

/// Converts the first `lvs_sync_daemon`; the kernel has one.
pub(crate) fn daemon(conversion: &mut Conversion<'_>) {
    let statements = std::mem::take(&mut conversion.globals.sync);
    let mut statements = statements.into_iter();
    if let Some(first) = statements.next()
        && let Some(map) = sync(&first, conversion)
    {
        let origin = first.span.clone();
        conversion.root.edit("ipvs", NOWHERE, |ipvs| ipvs.set("sync", Node::Map(map), origin));
    }
    for statement in statements {
        conversion
            .ledger
            .left(statement.id, "the kernel has one pair of sync daemons: the first counts");
    }
}

fn sync(statement: &Statement, conversion: &mut Conversion<'_>) -> Option<Map> {
    let origin = statement.span.clone();
    let mut map = Map::default();
    map.set("interface", text(statement.word(1)), origin.clone());
    let mut index = 2;
    let mut instance = None;
    if statement.keyword() == "lvs_sync_daemon_interface" {
        instance = statement.words.get(2).map(|word| word.text.clone());
        index = 3;
    }
    while index < statement.words.len() {
        let (key, range) = match statement.word(index) {
            "id" => ("id", 0..=255),
            "maxlen" => ("maxlen", 128..=65507),
            "port" => ("port", 1..=65535),
            "ttl" => ("ttl", 1..=255),
            "group" => {
                map.set("group", text(statement.word(index + 1)), origin.clone());
                index += 2;
                continue;
            }
            "inst" => {
                instance = Some(statement.word(index + 1).to_owned());
                index += 2;
                continue;
            }
            name => {
                instance = Some(name.to_owned());
                index += 1;
                continue;
            }
        };
        let value = number(statement, index + 1, range, conversion.ledger)?;
        map.set(key, plain(value), origin.clone());
        index += 2;
    }
    conversion.ledger.exact(statement.id);
    match instance.as_deref().map(|name| (name, conversion.instances.of(name))) {
        None => map.set("role", plain("both"), origin),
        Some((_, Some(name))) => map.set("follows", text(name), origin),
        Some((name, None)) => {
            let what = format!("there is no vrrp_instance `{name}`");
            refuse(statement, 2, what, conversion.ledger);
            return None;
        }
    }
    conversion.ledger.note(
        statement.id,
        "connections are told of earlier and again (`sync_threshold`, `sync_refresh_period`): docs/connections.md",
    );
    Some(map)
}
