//! `virtual_routes` and `virtual_rules`: the words of ip-route(8) and ip-rule(8).

use crate::ledger::Ledger;
use crate::tree::Statement;
use crate::yaml::{Map, Node, plain, text};

/// Said of a route or rule with words that Holdfast has not.
fn without(word: &str) -> String {
    format!(
        "`{word}` is not there: Holdfast moves routes and rules by what docs/configuration.md lists; do it with a hook, or leave the word out"
    )
}

/// Converts a block of routes.
pub(crate) fn routes(block: &Statement, map: &mut Map, ledger: &mut Ledger) {
    ledger.exact(block.id);
    for statement in block.children() {
        match route(statement, ledger) {
            Ok(route) => {
                ledger.exact(statement.id);
                map.push("routes", Node::Map(route), statement.span.clone());
            }
            Err(word) => ledger.left_decide(statement.id, without(&word)),
        }
    }
}

fn route(statement: &Statement, ledger: &mut Ledger) -> Result<Map, String> {
    let origin = statement.span.clone();
    let mut map = Map::default();
    let mut words = statement.words.iter().map(|word| word.text.as_str());
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_default();
        let (key, value) = match word {
            "to" => ("to", text(next())),
            "via" | "gw" => {
                let via = match next() {
                    "inet" | "inet6" => next(),
                    via => via,
                };
                ("via", text(via))
            }
            "dev" | "oif" => ("device", text(next())),
            "src" => ("source", text(next())),
            "table" => ("table", number_or_word(next())),
            "metric" | "priority" | "preference" => ("metric", plain_number(next())?),
            "scope" => ("scope", scope(next())?),
            "mtu" => match next() {
                "lock" => return Err("mtu lock".to_owned()),
                mtu => ("mtu", plain_number(mtu)?),
            },
            "onlink" => ("on_link", plain(true)),
            "blackhole" | "unreachable" | "prohibit" => ("type", plain(word)),
            "unicast" | "append" | "add" | "prepend" => continue,
            "no_track" => {
                ledger.differs(
                    statement.id,
                    "a route that somebody removes is put back, whatever `no_track` says",
                );
                continue;
            }
            _ if !map.has("to")
                && (word == "default"
                    || word.starts_with(|l: char| l.is_ascii_hexdigit() || l == ':')) =>
            {
                ("to", text(word))
            }
            other => return Err(other.to_owned()),
        };
        map.set(key, value, origin.clone());
    }
    if map.has("to") { Ok(map) } else { Err(statement.keyword().to_owned()) }
}

/// Converts a block of rules.
pub(crate) fn rules(block: &Statement, map: &mut Map, ledger: &mut Ledger) {
    ledger.exact(block.id);
    // keepalived gives rules without one a preference from here downward.
    let mut next = 16_384;
    for statement in block.children() {
        match rule(statement, ledger) {
            Ok(mut rule) => {
                ledger.exact(statement.id);
                if !rule.has("priority") {
                    rule.set("priority", plain(next), statement.span.clone());
                    let note = format!(
                        "no `preference`: keepalived takes one from 16384 downward, here {next}; write the one that is meant"
                    );
                    ledger.differs_decide(statement.id, note);
                    next -= 1;
                }
                map.push("rules", Node::Map(rule), statement.span.clone());
            }
            Err(word) => ledger.left_decide(statement.id, without(&word)),
        }
    }
}

fn rule(statement: &Statement, ledger: &mut Ledger) -> Result<Map, String> {
    let origin = statement.span.clone();
    let mut map = Map::default();
    let mut words = statement.words.iter().map(|word| word.text.as_str());
    while let Some(word) = words.next() {
        let mut next = || words.next().unwrap_or_default();
        let (key, value) = match word {
            "from" | "to" => match next() {
                "all" | "any" | "default" => continue,
                network => (if word == "from" { "from" } else { "to" }, text(network)),
            },
            "table" | "lookup" => ("table", number_or_word(next())),
            "preference" | "priority" | "order" => ("priority", plain_number(next())?),
            "iif" | "dev" => ("iif", text(next())),
            "oif" => ("oif", text(next())),
            "fwmark" => ("mark", Node::Text(next().to_owned())),
            "inet6" | "inet" => ("family", plain(word)),
            "no_track" => {
                ledger.differs(
                    statement.id,
                    "a rule that somebody removes is put back, whatever `no_track` says",
                );
                continue;
            }
            other => return Err(other.to_owned()),
        };
        map.set(key, value, origin.clone());
    }
    if map.has("family") && (map.has("from") || map.has("to")) {
        map.entries.retain(|entry| entry.key != "family");
    }
    if map.has("table") { Ok(map) } else { Err("a rule without `table`".to_owned()) }
}

fn number_or_word(word: &str) -> Node {
    if word.parse::<u32>().is_ok() { plain(word) } else { text(word) }
}

fn plain_number(word: &str) -> Result<Node, String> {
    word.parse::<u32>().ok().map(plain).ok_or_else(|| word.to_owned())
}

fn scope(word: &str) -> Result<Node, String> {
    match word {
        "global" | "site" | "link" | "host" => Ok(plain(word)),
        other => Err(format!("scope {other}")),
    }
}
