//! Checks of real servers.

use super::Conversion;
use super::check_http::{Client, requests};
use super::command::command;
use super::pace::{Defaults, Pace};
use super::tracker::Kind;
use super::values::{number, refuse, switch};
use crate::keywords::{Context, account, effective, inside};
use crate::tree::Statement;
use crate::yaml::{Map, NOWHERE, Node, plain, text, texts};

/// What a real server gives its checks.
pub(super) struct Around<'a> {
    /// The pace of the real server, over that of the virtual server.
    pub(super) pace: Pace,
    pub(super) virtual_host: Option<&'a str>,
    pub(super) client: &'a Client,
    /// The port that checks go to where the server has none in the table, or another.
    pub(super) port: Option<u16>,
}

/// What every check takes.
#[derive(Default)]
pub(super) struct Common {
    /// Where it goes to and comes from.
    target: Map,
    pace: Pace,
    pub(super) alpha: bool,
}

impl Common {
    /// Reads a statement; false where it is about something else.
    pub(super) fn read(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        let origin = statement.span.clone();
        let (key, value) = match statement.keyword() {
            "connect_ip" => ("address", text(statement.word(1))),
            "bindto" => ("source", text(statement.word(1))),
            "bind_if" => ("device", text(statement.word(1))),
            "connect_port" => {
                let Some(port) = number(statement, 1, 1..=65535, conversion.ledger) else {
                    return true;
                };
                ("port", plain(port))
            }
            "fwmark" => {
                let range = 1..=i64::from(u32::MAX);
                let Some(mark) = number(statement, 1, range, conversion.ledger) else {
                    return true;
                };
                ("mark", plain(mark))
            }
            "alpha" => {
                self.alpha = switch(statement, conversion.ledger).unwrap_or_default();
                conversion.ledger.exact(statement.id);
                return true;
            }
            _ => return self.pace.read(statement, conversion),
        };
        conversion.ledger.exact(statement.id);
        self.target.set(key, value, origin);
        true
    }
}

/// Converts a check: a mapping for each that Holdfast makes of it, and whether it is `alpha`.
pub(super) fn check(
    block: &Statement,
    around: &Around<'_>,
    conversion: &mut Conversion<'_>,
) -> (Vec<Map>, bool) {
    conversion.ledger.exact(block.id);
    let mut common = Common::default();
    let mut above = around.pace.clone();
    let mut defaults = Defaults { retry: 1, before_retry: Some(1), own_timeout: false };
    let kinds = match block.keyword() {
        "TCP_CHECK" => simple(block, "tcp", Context::Check, &mut common, conversion),
        "PING_CHECK" => simple(block, "icmp", Context::Check, &mut common, conversion),
        "SMTP_CHECK" => simple(block, "smtp", Context::Smtp, &mut common, conversion),
        "UDP_CHECK" => simple(block, "udp", Context::Udp, &mut common, conversion),
        "DNS_CHECK" => {
            defaults = Defaults { retry: 3, before_retry: None, own_timeout: false };
            simple(block, "dns", Context::Dns, &mut common, conversion)
        }
        "HTTP_GET" | "SSL_GET" => {
            defaults.before_retry = Some(3);
            requests(block, around.virtual_host, &mut common, around.client, conversion)
        }
        "MISC_CHECK" => {
            defaults = Defaults { retry: 0, before_retry: Some(1), own_timeout: true };
            above = above.without_timeout();
            program(block, &mut common, conversion)
        }
        "BFD_CHECK" => bfd(block, &mut common, conversion),
        "FILE_CHECK" => {
            conversion.ledger.left_decide(block.id, "Holdfast's `file` check reads a weight or a word (up, down, drain, 75%) in place of keepalived's factor: write such a file, and `check: {file: {path: …}}`");
            inside(block, conversion.ledger);
            Vec::new()
        }
        other => {
            refuse(block, 0, format!("`{other}` is no check of keepalived's"), conversion.ledger);
            inside(block, conversion.ledger);
            Vec::new()
        }
    };
    let pace = common.pace.under(&above);
    let mut checks = Vec::new();
    for (kind, mut inner) in kinds {
        let mut outer = Map::default();
        if kind != "exec" && kind != "bfd" {
            if let Some(port) = around.port.filter(|_| kind != "icmp" && !common.target.has("port"))
            {
                inner.set("port", plain(port), NOWHERE);
            }
            let ports = common.target.entries.iter().filter(|e| kind != "icmp" || e.key != "port");
            inner.entries.extend(ports.cloned());
        }
        outer.set(kind, Node::Map(inner), NOWHERE);
        if kind == "bfd" {
            outer.set("rise", plain(1), NOWHERE);
            outer.set("fall", plain(1), NOWHERE);
        } else {
            pace.write(&mut outer, defaults, block.id, conversion);
        }
        checks.push(outer);
    }
    (checks, common.alpha)
}

/// Reads the statements of a check: by `own` those that only such a check has, which answers false of any other, and then those of every check.
fn statements(
    block: &Statement,
    context: Context,
    common: &mut Common,
    conversion: &mut Conversion<'_>,
    mut own: impl FnMut(&Statement, &mut Common, &mut Conversion<'_>) -> bool,
) {
    for statement in effective(block, conversion.ledger) {
        if !own(statement, common, conversion) && !common.read(statement, conversion) {
            account(statement, context, conversion.ledger);
        }
    }
}

/// A check that is one mapping with few keys.
fn simple(
    block: &Statement,
    kind: &'static str,
    context: Context,
    common: &mut Common,
    conversion: &mut Conversion<'_>,
) -> Vec<(&'static str, Map)> {
    let mut map = Map::default();
    statements(block, context, common, conversion, |statement, common, conversion| {
        let origin = statement.span.clone();
        match (kind, statement.keyword()) {
            ("smtp", "helo_name") => {
                conversion.ledger.exact(statement.id);
                map.set("hello", text(statement.word(1)), origin);
            }
            ("smtp", "host") => {
                conversion
                    .ledger
                    .note(statement.id, "the old form of `connect_ip` and `connect_port`");
                for child in statement.children() {
                    if !common.read(child, conversion) {
                        account(child, Context::Check, conversion.ledger);
                    }
                }
            }
            ("dns", "name") => {
                conversion.ledger.exact(statement.id);
                let name = statement.word(1);
                if name != "." {
                    map.set("name", text(name), origin);
                }
            }
            ("dns", "type") => {
                conversion.ledger.exact(statement.id);
                map.set("type", text(statement.word(1).to_ascii_uppercase()), origin);
            }
            ("udp", "payload") => {
                conversion.ledger.exact(statement.id);
                map.set("send", hexadecimal(statement), origin);
            }
            ("udp", "require_reply") => reply(statement, &mut map, conversion),
            _ => return false,
        }
        true
    });
    if kind == "smtp" && !map.has("hello") {
        conversion.ledger.note(
            block.id,
            "it says EHLO localhost, where keepalived says HELO smtpchecker.keepalived.org",
        );
    }
    vec![(kind, map)]
}

/// Bytes in hexadecimal digits, from all words of a statement.
fn hexadecimal(statement: &Statement) -> Node {
    let digits: String = statement.arguments().flat_map(|word| word.chars()).collect();
    let mut map = Map::default();
    let origin = statement.span.clone();
    map.set("hex", text(digits.strip_prefix("0x").unwrap_or(&digits)), origin);
    Node::Map(map)
}

fn reply(statement: &Statement, map: &mut Map, conversion: &mut Conversion<'_>) {
    let origin = statement.span.clone();
    let digits: String = statement.arguments().collect();
    if digits.is_empty() {
        conversion.ledger.exact(statement.id);
        map.set("reply", plain(true), origin);
    } else if digits.contains(['x', 'X']) && !digits.starts_with("0x") {
        let note = "digits that may be any (X) can't be said: any reply passes; `expect: {regex: …}` looks at text";
        conversion.ledger.differs_decide(statement.id, note);
        map.set("reply", plain(true), origin);
    } else {
        conversion.ledger.differs(statement.id, "the bytes may stand anywhere in the reply");
        map.set("expect", hexadecimal(statement), origin);
    }
}

fn program(
    block: &Statement,
    common: &mut Common,
    conversion: &mut Conversion<'_>,
) -> Vec<(&'static str, Map)> {
    let mut map = Map::default();
    statements(block, Context::Misc, common, conversion, |statement, _common, conversion| {
        let origin = statement.span.clone();
        match statement.keyword() {
            "misc_path" => {
                if let Some(words) = command(statement, conversion.ledger) {
                    map.set("command", texts(words, &origin), origin);
                }
            }
            "misc_dynamic" => {
                conversion.ledger.note(
                    statement.id,
                    "the weight counts in place of the configured one, whatever other checks say",
                );
                map.set("weight", plain(true), origin);
            }
            "user" => conversion
                .ledger
                .differs_decide(statement.id, "checks run as `daemon.scripts.user`, all of them"),
            _ => return false,
        }
        true
    });
    if map.has("command") {
        return vec![("exec", map)];
    }
    let note = "without its command it was left out, and the server counts as up: write one";
    conversion.ledger.left_decide(block.id, note);
    Vec::new()
}

fn bfd(
    block: &Statement,
    common: &mut Common,
    conversion: &mut Conversion<'_>,
) -> Vec<(&'static str, Map)> {
    let mut map = Map::default();
    statements(block, Context::BfdCheck, common, conversion, |statement, _common, conversion| {
        if statement.keyword() != "name" {
            return false;
        }
        let key = (Kind::Bfd, statement.word(1).to_owned());
        match conversion.trackers.known.get(&key) {
            Some(defined) => {
                map.set("session", text(&defined.name), statement.span.clone());
                conversion.ledger.exact(statement.id);
            }
            None => {
                let what = format!("there is no bfd_instance `{}`", statement.word(1));
                refuse(statement, 1, what, conversion.ledger);
            }
        }
        true
    });
    if map.is_empty() {
        conversion.ledger.left(block.id, "it names no session");
        return Vec::new();
    }
    vec![("bfd", map)]
}
