//! How a virtual server chooses and reaches its servers.

use super::values::{number, refuse, time};
use super::{Conversion, NOWHERE};
use crate::tree::Statement;
use crate::yaml::{Map, Node, plain, text};

const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf", "twos"];

/// What the virtual server says of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Scheduling {
    scheduler: Option<(String, Statement)>,
    flags: Vec<(String, Statement)>,
    pub(super) forward: Option<(Forward, Statement)>,
    pub(super) one_packet: Option<Statement>,
    persistence: Option<Statement>,
    persistence_keys: Map,
}

/// A way to the servers. Two that mean the same are equal, in whatever order their words stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forward {
    /// Whether the servers' ports can be others than the service's.
    pub(super) nat: bool,
    node: Node,
}

impl Scheduling {
    /// Reads a statement; false where it is about something else.
    pub(super) fn read(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        let ledger = &mut *conversion.ledger;
        match statement.keyword() {
            "lvs_sched" | "lb_algo" => match statement.word(1) {
                name if SCHEDULERS.contains(&name) => {
                    ledger.exact(statement.id);
                    self.scheduler = Some((name.to_owned(), statement.clone()));
                }
                other => refuse(statement, 1, format!("`{other}` is no scheduler"), ledger),
            },
            "sh-port" | "sh-fallback" | "mh-port" | "mh-fallback" | "flag-1" | "flag-2"
            | "flag-3" => {
                ledger.exact(statement.id);
                self.flags.push((statement.keyword().to_owned(), statement.clone()));
            }
            "hashed" => {
                ledger.note(statement.id, "the kernel's own mark, which nobody needs to set")
            }
            "ops" => {
                ledger.exact(statement.id);
                self.one_packet = Some(statement.clone());
            }
            "lvs_method" | "lb_kind" => {
                self.forward = forward(statement, conversion).map(|way| (way, statement.clone()));
            }
            "persistence_engine" => {
                ledger.exact(statement.id);
                let engine = text(statement.word(1));
                self.persistence_keys.set("engine", engine, statement.span.clone());
                self.persistence.get_or_insert_with(|| statement.clone());
            }
            "persistence_timeout" => {
                self.persistence = Some(statement.clone());
                let seconds = match statement.word(1) {
                    "" => Some(360),
                    _ => time(statement, 1, 31 * 86_400, ledger).map(|micros| micros / 1_000_000),
                };
                if let Some(seconds) = seconds {
                    ledger.exact(statement.id);
                    let value = plain(format!("{}s", seconds.max(1)));
                    self.persistence_keys.set("timeout", value, statement.span.clone());
                }
            }
            "persistence_granularity" => {
                ledger.exact(statement.id);
                let word = statement.word(1);
                let (key, value) = if word.contains('.') {
                    ("netmask", text(word))
                } else {
                    ("prefix", plain_or_text(word))
                };
                self.persistence_keys.set(key, value, statement.span.clone());
                self.persistence.get_or_insert_with(|| statement.clone());
            }
            _ => return false,
        }
        true
    }

    /// How the servers are reached.
    pub(super) fn way(&self) -> Forward {
        let said = self.forward.as_ref().map(|(forward, _)| forward.clone());
        said.unwrap_or_else(|| Forward { nat: true, node: plain("nat") })
    }

    /// The keys of the service.
    pub(super) fn write(
        &mut self,
        map: &mut Map,
        every_port: bool,
        block: &Statement,
        conversion: &mut Conversion<'_>,
    ) {
        self.scheduler(map, block, conversion);
        match self.forward.take() {
            Some((forward, statement)) => map.set("forward", forward.node, statement.span),
            None => {
                conversion
                    .ledger
                    .note(block.id, "no `lvs_method`: keepalived takes NAT, with a warning");
                map.set("forward", plain("nat"), NOWHERE);
            }
        }
        if every_port && self.persistence.is_none() {
            conversion.ledger.note(block.id, "every port, and no `persistence_timeout`: keepalived silently makes it persistent for 360 s");
            self.persistence = Some(block.clone());
        }
        if self.persistence.is_some() {
            let mut persistence = std::mem::take(&mut self.persistence_keys);
            if !persistence.has("timeout") {
                persistence.set("timeout", plain("360s"), NOWHERE);
            }
            map.set("persistence", Node::Map(persistence), NOWHERE);
        }
    }

    fn scheduler(&mut self, map: &mut Map, block: &Statement, conversion: &mut Conversion<'_>) {
        let ledger = &mut *conversion.ledger;
        let (name, origin) = match self.scheduler.take() {
            Some((name, statement)) => (name, statement.span),
            None => {
                ledger.note(block.id, "no `lvs_sched`: keepalived takes wlc, with a warning");
                ("wlc".to_owned(), NOWHERE)
            }
        };
        let hashes = name == "sh" || name == "mh";
        let mut flags: Vec<&str> = Vec::new();
        for (flag, statement) in &self.flags {
            let own = format!("{name}-");
            let meant = match flag.as_str() {
                "flag-1" if hashes => "fallback",
                "flag-2" if hashes => "port",
                "flag-1" | "flag-2" | "flag-3" => flag.as_str(),
                flag if flag.starts_with(&own) => flag.trim_start_matches(&own),
                _ => {
                    ledger.left(statement.id, format!("it is no flag of {name}"));
                    continue;
                }
            };
            if !flags.contains(&meant) {
                flags.push(meant);
            }
        }
        if hashes && !flags.contains(&"fallback") {
            flags.insert(0, "fallback");
            let note = format!(
                "`fallback` was added: without it {name} refuses the clients of a server that is down, and Holdfast refuses the configuration"
            );
            ledger.differs_decide(origin.start.max(block.id), note);
        }
        if flags.is_empty() {
            return map.set("scheduler", plain(name), origin);
        }
        let mut scheduler = Map::default();
        scheduler.set("name", plain(name), origin.clone());
        scheduler.set("flags", plain(format!("[{}]", flags.join(", "))), NOWHERE);
        map.set("scheduler", Node::Map(scheduler), origin);
    }
}

fn plain_or_text(word: &str) -> Node {
    if word.parse::<u8>().is_ok() { plain(word) } else { text(word) }
}

/// A forwarding method.
pub(super) fn forward(statement: &Statement, conversion: &mut Conversion<'_>) -> Option<Forward> {
    let way = |nat, word: &str| Some(Forward { nat, node: plain(word) });
    let found = match statement.word(1) {
        "NAT" => way(true, "nat"),
        "DR" => way(false, "direct"),
        "TUN" => tunnel(statement, conversion).map(|node| Forward { nat: false, node }),
        other => {
            refuse(
                statement,
                1,
                format!("`{other}` is none of NAT, DR and TUN"),
                conversion.ledger,
            );
            None
        }
    };
    if found.is_some() {
        conversion.ledger.exact(statement.id);
    }
    found
}

fn tunnel(statement: &Statement, conversion: &mut Conversion<'_>) -> Option<Node> {
    let mut tunnel = Map::default();
    let mut index = 2;
    while index < statement.words.len() {
        match statement.word(index) {
            "type" => {
                index += 1;
                match statement.word(index) {
                    kind @ ("ipip" | "gre" | "gue") => tunnel.set("type", plain(kind), NOWHERE),
                    other => {
                        refuse(
                            statement,
                            index,
                            format!("`{other}` is no tunnel"),
                            conversion.ledger,
                        );
                        return None;
                    }
                }
            }
            "port" => {
                index += 1;
                let port = number(statement, index, 1..=65535, conversion.ledger)?;
                tunnel.set("port", plain(port), NOWHERE);
            }
            "nocsum" => tunnel.entries.retain(|entry| entry.key != "checksum"),
            "csum" => tunnel.set("checksum", plain("full"), NOWHERE),
            "remcsum" => tunnel.set("checksum", plain("remote"), NOWHERE),
            other => {
                refuse(statement, index, format!("`{other}` is no word of TUN"), conversion.ledger);
                return None;
            }
        }
        index += 1;
    }
    // The kind that is meant where none is said.
    tunnel.entries.retain(|entry| entry.key != "type" || entry.value != plain("ipip"));
    if tunnel.is_empty() {
        return Some(plain("tunnel"));
    }
    tunnel.entries.sort_by(|a, b| b.key.cmp(&a.key));
    let mut map = Map::default();
    map.set("tunnel", Node::Map(tunnel), NOWHERE);
    Some(Node::Map(map))
}
