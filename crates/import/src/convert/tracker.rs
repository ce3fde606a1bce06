//! What is watched: scripts, files, processes, BFD sessions.

use std::collections::BTreeMap;

use super::command::command;
use super::names::Names;
use super::values::{duration, exact_number, number, refuse, time};
use super::{Conversion, NOWHERE};
use crate::keywords::{Context, account, effective, inside};
use crate::tree::Statement;
use crate::words::script_words;
use crate::yaml::{Map, Node, plain, text, texts};

/// What kind of thing a tracker watches, as keepalived names it where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Interface,
    Script,
    File,
    Process,
    Bfd,
}

/// A tracker that the file defines.
#[derive(Clone, Debug)]
pub(crate) struct Defined {
    pub(crate) name: String,
    /// What its entries have where they say nothing.
    pub(crate) weight: i64,
    pub(crate) reverse: bool,
}

/// The trackers so far.
#[derive(Debug, Default)]
pub(crate) struct Trackers {
    pub(crate) names: Names,
    pub(crate) known: BTreeMap<(Kind, String), Defined>,
    /// Those that could not be converted: whoever names them is told so.
    pub(crate) lost: BTreeMap<(Kind, String), ()>,
}

/// Reads all definitions of the file.
pub(crate) fn define(statements: &[Statement], conversion: &mut Conversion<'_>) {
    for block in statements {
        let (kind, context) = match block.keyword() {
            "vrrp_script" => (Kind::Script, Context::Script),
            "vrrp_track_file" | "track_file" => (Kind::File, Context::TrackFile),
            "vrrp_track_process" => (Kind::Process, Context::TrackProcess),
            "bfd_instance" => (Kind::Bfd, Context::Bfd),
            _ => continue,
        };
        let given = block.word(1).to_owned();
        if given.is_empty() || conversion.trackers.known.contains_key(&(kind, given.clone())) {
            let what =
                if given.is_empty() { "it has no name" } else { "a second one of this name" };
            refuse(block, 1, what, conversion.ledger);
            inside(block, conversion.ledger);
            continue;
        }
        conversion.ledger.exact(block.id);
        let mut draft = Draft { kind, ..Draft::new() };
        for statement in effective(block, conversion.ledger) {
            if !draft.read(statement, conversion) {
                account(statement, context, conversion.ledger);
            }
        }
        let Some(map) = draft.map(block, conversion) else {
            conversion.trackers.lost.insert((kind, given), ());
            continue;
        };
        let name = conversion.trackers.names.name(&given, block, conversion.ledger);
        let default = if kind == Kind::File { 1 } else { 0 };
        let weight = draft.weight.unwrap_or(default);
        let defined = Defined { name: name.clone(), weight, reverse: draft.reverse };
        conversion.trackers.known.insert((kind, given), defined);
        let origin = block.span.clone();
        conversion.section("vrrp", "trackers", |all| all.set(&name, Node::Map(map), origin));
    }
}

/// A definition that is being read.
struct Draft {
    kind: Kind,
    weight: Option<i64>,
    reverse: bool,
    /// The keys of what is watched, and those that stand beside it.
    inner: Map,
    outer: Map,
    interval: Option<u64>,
    timeout: Option<(u64, Statement)>,
    lost: bool,
}

impl Draft {
    fn new() -> Self {
        Self {
            kind: Kind::Script,
            weight: None,
            reverse: false,
            inner: Map::default(),
            outer: Map::default(),
            interval: None,
            timeout: None,
            lost: false,
        }
    }

    fn read(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        let word = statement.keyword();
        if word == "weight" {
            let range = if self.kind == Kind::File { -254..=254 } else { -253..=253 };
            self.weight = number(statement, 1, range, conversion.ledger);
            self.reverse = statement.word(2) == "reverse";
            conversion.ledger.exact(statement.id);
            return true;
        }
        match self.kind {
            Kind::Script => self.script(statement, conversion),
            Kind::File if word == "file" => self.path(statement, conversion),
            Kind::Process => self.process(statement, conversion),
            Kind::Bfd => self.bfd(statement, conversion),
            Kind::File | Kind::Interface => false,
        }
    }

    fn script(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        let origin = statement.span.clone();
        let ledger = &mut *conversion.ledger;
        match statement.keyword() {
            "script" => match command(statement, ledger) {
                Some(words) => self.inner.set("command", texts(words, &origin), origin),
                None => self.lost = true,
            },
            "interval" => {
                self.interval = time(statement, 1, 3600, ledger);
                ledger.exact(statement.id);
            }
            "timeout" => {
                let timeout = time(statement, 1, 3600, ledger);
                ledger.exact(statement.id);
                self.timeout = timeout.map(|timeout| (timeout, statement.clone()));
            }
            "rise" | "fall" => {
                if let Some(count) = exact_number(statement, 1..=255, ledger) {
                    self.outer.set(statement.keyword(), plain(count), origin);
                }
            }
            "user" => {
                let note = "scripts run as `daemon.scripts.user`, all of them";
                ledger.differs_decide(statement.id, note);
            }
            _ => return false,
        }
        true
    }

    fn path(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        conversion.ledger.exact(statement.id);
        self.inner.set("path", text(statement.word(1)), statement.span.clone());
        true
    }

    fn process(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        let origin = statement.span.clone();
        let ledger = &mut *conversion.ledger;
        match statement.keyword() {
            "process" => {
                let words = script_words(statement.word(1));
                let name = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or(word));
                if words.len() > 1 || statement.words.len() > 2 {
                    ledger.differs_decide(
                        statement.id,
                        "processes of this name count whatever their arguments are",
                    );
                } else {
                    ledger.exact(statement.id);
                }
                self.inner.set("name", text(name), origin);
            }
            "quorum" | "quorum_max" => {
                if let Some(count) = exact_number(statement, 1..=65535, ledger) {
                    self.inner.set(statement.keyword(), plain(count), origin);
                }
            }
            "fork_delay" | "terminate_delay" | "delay" => {
                let Some(delay) = time(statement, 1, 3600, ledger) else { return true };
                ledger.exact(statement.id);
                if statement.keyword() != "terminate_delay" {
                    self.inner.set("up_delay", plain(duration(delay)), origin.clone());
                }
                if statement.keyword() != "fork_delay" {
                    self.inner.set("down_delay", plain(duration(delay)), origin);
                }
            }
            _ => return false,
        }
        true
    }

    fn bfd(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        let origin = statement.span.clone();
        let ledger = &mut *conversion.ledger;
        match statement.keyword() {
            "neighbor_ip" | "neighbour_ip" => {
                ledger.exact(statement.id);
                self.inner.set("peer", text(statement.word(1)), origin);
            }
            "source_ip" => {
                ledger.exact(statement.id);
                self.inner.set("source", text(statement.word(1)), origin);
            }
            "min_rx" | "min_tx" => {
                if let Some(ms) = exact_number(statement, 1..=60_000, ledger) {
                    self.inner.set(statement.keyword(), plain(format!("{ms}ms")), origin);
                }
            }
            "multiplier" => {
                if let Some(count) = exact_number(statement, 1..=255, ledger) {
                    self.inner.set("multiplier", plain(count), origin);
                }
            }
            "passive" => {
                ledger.exact(statement.id);
                self.inner.set("passive", plain(true), origin);
            }
            _ => return false,
        }
        true
    }

    /// The tracker; none where what it watches can't be said.
    fn map(&mut self, block: &Statement, conversion: &mut Conversion<'_>) -> Option<Map> {
        let (key, required) = match self.kind {
            Kind::Script => ("script", "command"),
            Kind::File => ("file", "path"),
            Kind::Process => ("process", "name"),
            Kind::Bfd => ("bfd", "peer"),
            Kind::Interface => return None,
        };
        if self.lost {
            conversion.ledger.left(block.id, "without its script");
            return None;
        }
        if !self.inner.has(required) {
            refuse(block, 1, "it does not say what is watched", conversion.ledger);
            return None;
        }
        if self.kind == Kind::Bfd {
            // keepalived's defaults are others than Holdfast's.
            for (key, value) in [("min_rx", "10ms"), ("min_tx", "10ms"), ("multiplier", "5")] {
                if !self.inner.has(key) {
                    self.inner.set(key, plain(value), NOWHERE);
                }
            }
        }
        let mut map = Map::default();
        map.set(key, Node::Map(std::mem::take(&mut self.inner)), NOWHERE);
        if self.kind == Kind::Script {
            self.pace(&mut map, block, conversion);
        }
        map.entries.append(&mut self.outer.entries);
        Some(map)
    }

    /// When a script runs, and how long it may.
    fn pace(&mut self, map: &mut Map, block: &Statement, conversion: &mut Conversion<'_>) {
        let interval = self.interval.unwrap_or(1_000_000).max(10_000);
        map.set("interval", plain(duration(interval)), NOWHERE);
        // A run that may last as long as the interval would still be going when the next is due.
        let most = interval / 10 * 9;
        let (id, timeout) = match self.timeout.take() {
            Some((timeout, statement)) => (statement.id, timeout),
            None => (block.id, interval),
        };
        if timeout > most {
            let note = format!("a run may take less than the interval: {} here", duration(most));
            conversion.ledger.differs(id, note);
        } else {
            conversion.ledger.exact(id);
        }
        map.set("timeout", plain(duration(timeout.min(most).max(1000))), NOWHERE);
    }
}
