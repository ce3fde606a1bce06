//! `virtual_routes` and `virtual_rules`: the words of ip-route(8) and ip-rule(8).

use crate::ledger::Ledger;
use crate::tree::Statement;
use crate::words::Word;
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

/// The words of a statement that have not been read.
struct Words<'a>(std::slice::Iter<'a, Word>);

impl<'a> Words<'a> {
    /// The next one; empty where there is none.
    fn next(&mut self) -> &'a str {
        self.0.next().map_or("", |word| word.text.as_str())
    }
}

/// Reads a route or rule. `one` makes of a word, and of those behind it that belong to it, a key with its value, or nothing where it says nothing.
fn read(
    statement: &Statement,
    ledger: &mut Ledger,
    what: &str,
    one: impl Fn(&str, &mut Words<'_>, &Map) -> Result<Option<(&'static str, Node)>, String>,
) -> Result<Map, String> {
    let mut map = Map::default();
    let mut words = Words(statement.words.iter());
    while let Some(word) = words.0.next() {
        if word.text == "no_track" {
            let note =
                format!("a {what} that somebody removes is put back, whatever `no_track` says");
            ledger.differs(statement.id, note);
        } else if let Some((key, value)) = one(&word.text, &mut words, &map)? {
            map.set(key, value, statement.span.clone());
        }
    }
    Ok(map)
}

fn route(statement: &Statement, ledger: &mut Ledger) -> Result<Map, String> {
    let map = read(statement, ledger, "route", |word, words, map| {
        Ok(Some(match word {
            "to" => ("to", text(words.next())),
            "via" | "gw" => {
                let via = match words.next() {
                    "inet" | "inet6" => words.next(),
                    via => via,
                };
                ("via", text(via))
            }
            "dev" | "oif" => ("device", text(words.next())),
            "src" => ("source", text(words.next())),
            "table" => ("table", number_or_word(words.next())),
            "metric" | "priority" | "preference" => ("metric", plain_number(words.next())?),
            "scope" => ("scope", scope(words.next())?),
            "mtu" => match words.next() {
                "lock" => return Err("mtu lock".to_owned()),
                mtu => ("mtu", plain_number(mtu)?),
            },
            "onlink" => ("on_link", plain(true)),
            "blackhole" | "unreachable" | "prohibit" => ("type", plain(word)),
            "unicast" | "append" | "add" | "prepend" => return Ok(None),
            _ if !map.has("to")
                && (word == "default"
                    || word.starts_with(|l: char| l.is_ascii_hexdigit() || l == ':')) =>
            {
                ("to", text(word))
            }
            other => return Err(other.to_owned()),
        }))
    })?;
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
    let mut map = read(statement, ledger, "rule", |word, words, _map| {
        Ok(Some(match word {
            "from" | "to" => match words.next() {
                "all" | "any" | "default" => return Ok(None),
                network => (if word == "from" { "from" } else { "to" }, text(network)),
            },
            "table" | "lookup" => ("table", number_or_word(words.next())),
            "preference" | "priority" | "order" => ("priority", plain_number(words.next())?),
            "iif" | "dev" => ("iif", text(words.next())),
            "oif" => ("oif", text(words.next())),
            "fwmark" => ("mark", Node::Text(words.next().to_owned())),
            "inet6" | "inet" => ("family", plain(word)),
            other => return Err(other.to_owned()),
        }))
    })?;
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
