//! Statements to a configuration. What several statements decide together (`priority` by `state`, a version by the family of the addresses)
//! is decided when the block is over.

mod address;
mod check;
mod check_http;
mod command;
mod global;
mod group;
mod instance;
mod instance_finish;
mod listen;
mod names;
mod pace;
mod peers;
mod routing;
mod scheduling;
mod server;
mod service;
mod sync;
mod track;
mod tracker;
mod values;

use crate::MAX_SERVED;
use crate::keywords::{Context, account, inside, sweep};
use crate::ledger::Ledger;
use crate::tree::Statement;
use crate::yaml::{Map, NOWHERE, Node, plain};
use global::Globals;
use names::Names;
use tracker::Trackers;

/// What is being made, and what all parts of it need to know.
pub(crate) struct Conversion<'a> {
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) globals: Globals,
    pub(crate) trackers: Trackers,
    pub(crate) services: Names,
    /// What is left of [`MAX_SERVED`]; none when it was told that there was not enough.
    served: Option<usize>,
    /// Names of the file's instances, and what each is called here.
    pub(crate) instances: Names,
    pub(crate) groups: Names,
    pub(crate) root: Map,
}

/// Converts the statements of a text.
pub(crate) fn convert(statements: &[Statement], ledger: &mut Ledger) -> Map {
    let mut conversion = Conversion {
        ledger,
        globals: Globals::default(),
        trackers: Trackers::default(),
        services: Names::default(),
        served: Some(MAX_SERVED),
        instances: Names::default(),
        groups: Names::default(),
        root: Map::default(),
    };
    let of = |words: &'static [&'static str]| {
        statements.iter().filter(move |statement| words.contains(&statement.keyword()))
    };
    for statement in of(&["global_defs"]) {
        global::global(statement, &mut conversion);
    }
    tracker::define(statements, &mut conversion);
    for statement in of(&["vrrp_instance"]) {
        instance::instance(statement, &mut conversion);
    }
    for statement in of(&["vrrp_sync_group"]) {
        group::group(statement, &mut conversion);
    }
    sync::daemon(&mut conversion);
    for statement in of(&["interface_up_down_delays"]) {
        global::delays(statement, &mut conversion);
    }
    for statement in of(&["garp_group"]) {
        global::garp_group(statement, &mut conversion);
    }
    global::announce_intervals(&mut conversion);
    service::services(statements, &mut conversion);
    for statement in statements {
        rest(statement, &mut conversion);
    }
    sweep(statements, conversion.ledger);
    arrange(conversion.root)
}

/// What has no rule of its own at the top of the file.
fn rest(statement: &Statement, conversion: &mut Conversion<'_>) {
    if statement.words.is_empty() {
        return inside(statement, conversion.ledger);
    }
    account(statement, Context::Root, conversion.ledger);
}

/// The sections in the order in which people read them, without those that have nothing.
fn arrange(mut root: Map) -> Map {
    const ORDER: [&str; 4] = ["daemon", "vrrp", "services", "ipvs"];
    root.entries.retain(|entry| !matches!(&entry.value, Node::Map(map) if map.is_empty()));
    root.entries.sort_by_key(|entry| ORDER.iter().position(|key| *key == entry.key));
    if let Some(Node::Map(vrrp)) =
        root.entries.iter_mut().find(|e| e.key == "vrrp").map(|e| &mut e.value)
    {
        const VRRP: [&str; 5] = ["startup_delay", "interfaces", "trackers", "groups", "instances"];
        vrrp.entries.sort_by_key(|entry| VRRP.iter().position(|key| *key == entry.key));
    }
    root
}

impl Conversion<'_> {
    /// Whether the statement may become `more` than it says, of what is left of [`MAX_SERVED`]. Told of the first one that may not.
    pub(crate) fn serve(&mut self, more: usize, statement: &Statement) -> bool {
        match self.served {
            _ if more == 0 => return true,
            Some(left) if more <= left => {
                self.served = Some(left - more);
                return true;
            }
            Some(_) => {
                let message = format!(
                    "addresses and servers unfold to more than {MAX_SERVED} with this statement"
                );
                let help = "mark the packets to a range of addresses, and use `fwmark`";
                self.ledger.wrong(statement.id, statement.column(0), message, help);
            }
            None => self.ledger.left(statement.id, "beyond the limit that a problem tells of"),
        }
        self.served = None;
        false
    }

    /// Changes the mapping `section`.`key` of the configuration.
    pub(crate) fn section<R>(
        &mut self,
        section: &str,
        key: &str,
        change: impl FnOnce(&mut Map) -> R,
    ) -> R {
        self.root.edit(section, NOWHERE, |section| section.edit(key, NOWHERE, change))
    }

    /// Sets `section`.`key` to a number, a duration or a word.
    pub(crate) fn set(&mut self, section: &str, key: &str, value: impl ToString, from: &Statement) {
        let origin = from.span.clone();
        self.root.edit(section, NOWHERE, |section| section.set(key, plain(value), origin));
    }
}
