//! `HTTP_GET` and `SSL_GET`.

use regex::RegexBuilder;

use super::Conversion;
use super::check::Common;
use super::values::refuse;
use crate::keywords::{Context, account, effective};
use crate::tree::Statement;
use crate::yaml::{Map, NOWHERE, Node, plain, text};

/// What an `SSL` block at the top has: certificate and key of all checks.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    pub(super) certificate: Option<String>,
    pub(super) key: Option<String>,
}

/// A check, one mapping for each kind of request: those that differ in their path alone are one.
pub(super) fn requests(
    block: &Statement,
    virtual_host: Option<&str>,
    common: &mut Common,
    client: &Client,
    conversion: &mut Conversion<'_>,
) -> Vec<(&'static str, Map)> {
    let tls = block.keyword() == "SSL_GET";
    let mut host = virtual_host.map(ToOwned::to_owned);
    let mut name = None;
    let mut urls = Vec::new();
    for statement in effective(block, conversion.ledger) {
        match statement.keyword() {
            "url" => urls.push(statement),
            "virtualhost" => {
                conversion.ledger.exact(statement.id);
                host = Some(statement.word(1).to_owned());
            }
            "sni_name" => {
                conversion.ledger.exact(statement.id);
                name = Some(statement.word(1).to_owned());
            }
            "enable_sni" => {
                conversion.ledger.note(statement.id, "a name is always sent where there is one")
            }
            "http_protocol" => conversion.ledger.note(
                statement.id,
                "requests are of HTTP/1.1 (over TLS of HTTP/2 where the server offers it)",
            ),
            _ => {
                if !common.read(statement, conversion) {
                    account(statement, Context::Http, conversion.ledger);
                }
            }
        }
    }
    if tls {
        conversion.ledger.differs_decide(block.id, "keepalived verifies no certificate, and neither does the conversion (`verify: false`); without that line the server's certificate has to be valid");
    }
    let mut requests: Vec<Map> = Vec::new();
    for statement in urls {
        let (path, mut request) = url(statement, host.as_deref(), conversion);
        if tls {
            request.set("tls", Node::Map(transport(name.as_deref(), client)), NOWHERE);
        }
        add(&mut requests, path, request, statement);
    }
    if requests.is_empty() {
        let mut request = Map::default();
        if tls {
            request.set("tls", Node::Map(transport(name.as_deref(), client)), NOWHERE);
        }
        conversion.ledger.note(block.id, "no `url`: the path is `/`");
        requests.push(request);
    }
    let kind = if tls { "https" } else { "http" };
    requests.into_iter().map(|request| (kind, request)).collect()
}

/// Adds a request: to the last one, where only the path differs and there is room.
fn add(requests: &mut Vec<Map>, path: String, request: Map, statement: &Statement) {
    let same = |map: &Map| {
        let others = map.entries.iter().filter(|entry| entry.key != "path");
        others.map(|e| (&e.key, &e.value)).eq(request.entries.iter().map(|e| (&e.key, &e.value)))
    };
    let origin = statement.span.clone();
    if let Some(last) = requests.last_mut().filter(|last| same(last)) {
        let entry = last.entries.iter_mut().find(|entry| entry.key == "path");
        if let Some(entry) = entry {
            let item = crate::yaml::Item { value: text(path.clone()), origin: origin.clone() };
            match &mut entry.value {
                Node::List(items) if items.len() < 16 => return items.push(item),
                Node::Text(first) => {
                    let first = crate::yaml::Item {
                        value: text(first.clone()),
                        origin: entry.origin.clone(),
                    };
                    entry.origin = NOWHERE;
                    entry.value = Node::List(vec![first, item]);
                    return;
                }
                Node::List(_) | Node::Plain(_) | Node::Map(_) => {}
            }
        }
    }
    let mut map = Map::default();
    map.set("path", text(path), origin);
    map.entries.extend(request.entries);
    requests.push(map);
}

fn transport(name: Option<&str>, client: &Client) -> Map {
    let mut tls = Map::default();
    tls.set("verify", plain(false), NOWHERE);
    let texts = [
        ("name", name),
        ("certificate", client.certificate.as_deref()),
        ("key", client.key.as_deref()),
    ];
    for (key, value) in texts {
        if let Some(value) = value {
            tls.set(key, text(value), NOWHERE);
        }
    }
    tls
}

/// A `url`: its path, and what else is asked and expected.
fn url(block: &Statement, host: Option<&str>, conversion: &mut Conversion<'_>) -> (String, Map) {
    conversion.ledger.exact(block.id);
    let mut path = "/".to_owned();
    let mut host = host.map(ToOwned::to_owned);
    let mut map = Map::default();
    let negative = block.children().iter().any(|child| child.keyword() == "regex_no_match");
    let mut options = String::new();
    for statement in block.children().iter().filter(|child| child.keyword() == "regex_options") {
        options = flags(statement, conversion);
    }
    for statement in effective(block, conversion.ledger) {
        match statement.keyword() {
            "path" => {
                conversion.ledger.exact(statement.id);
                path = statement.word(1).to_owned();
            }
            "virtualhost" => {
                conversion.ledger.exact(statement.id);
                host = Some(statement.word(1).to_owned());
            }
            "status_code" => statuses(statement, &mut map, conversion),
            "digest" => conversion.ledger.left_decide(
                statement.id,
                "an MD5 hash can't be turned into a SHA-256: `body: {sha256: …}` of `curl -s URL | sha256sum`, or a text that the body has to contain",
            ),
            "regex_no_match" => conversion.ledger.left_decide(
                statement.id,
                "a text that must not come can't be said: expect one that has to come",
            ),
            "regex" if negative => conversion.ledger.left(statement.id, "with `regex_no_match`"),
            "regex" => expression(statement, &options, &mut map, conversion),
            "regex_options" => {}
            _ => account(statement, Context::Url, conversion.ledger),
        }
    }
    if let Some(host) = host {
        map.entries.insert(
            0,
            crate::yaml::Entry { key: "host".to_owned(), value: text(host), origin: NOWHERE },
        );
    }
    (path, map)
}

fn statuses(statement: &Statement, map: &mut Map, conversion: &mut Conversion<'_>) {
    let mut items = Vec::new();
    for (index, word) in statement.arguments().enumerate() {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let code = |text: &str| text.parse::<u16>().ok().filter(|code| (100..600).contains(code));
        let node = match (code(first), code(last)) {
            (Some(first), Some(last)) if first == last => plain(first),
            (Some(first), Some(last)) if first < last => text(format!("{first}-{last}")),
            _ => {
                let what = format!("`{word}` is not a status or a range of them");
                return refuse(statement, index + 1, what, conversion.ledger);
            }
        };
        items.push(crate::yaml::Item { value: node, origin: NOWHERE });
    }
    if items.is_empty() {
        return refuse(statement, 1, "it names no status", conversion.ledger);
    }
    conversion.ledger.exact(statement.id);
    map.set("expect", Node::List(items), NOWHERE);
}

/// The flags that `regex_options` are, as they stand in the expression.
fn flags(statement: &Statement, conversion: &mut Conversion<'_>) -> String {
    let mut flags = String::new();
    let mut left = Vec::new();
    for option in statement.arguments() {
        match option {
            "caseless" => flags.push('i'),
            "multiline" => flags.push('m'),
            "dotall" => flags.push('s'),
            "extended" => flags.push('x'),
            "ungreedy" => flags.push('U'),
            "utf" | "ucp" | "no_start_optimize" | "no_auto_possess" => {}
            other => left.push(other.to_owned()),
        }
    }
    if left.is_empty() {
        conversion.ledger.exact(statement.id);
    } else {
        let note = format!("`{}` is left out: the crate `regex` has no such flag", left.join(" "));
        conversion.ledger.differs_decide(statement.id, note);
    }
    flags
}

fn expression(statement: &Statement, flags: &str, map: &mut Map, conversion: &mut Conversion<'_>) {
    let given = statement.word(1);
    let whole = if flags.is_empty() { given.to_owned() } else { format!("(?{flags}){given}") };
    match RegexBuilder::new(&whole).size_limit(1 << 20).build() {
        Ok(_) if whole.len() <= 4096 && !given.is_empty() => {
            conversion.ledger.exact(statement.id);
            let mut body = Map::default();
            body.set("regex", text(whole), NOWHERE);
            map.set("body", Node::Map(body), NOWHERE);
        }
        _ => conversion.ledger.left_decide(
            statement.id,
            "not an expression of the crate `regex` (RE2's language, without look-around and back-references): write one, or a text that has to come",
        ),
    }
}
