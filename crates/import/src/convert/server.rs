//! `real_server`.

use std::net::IpAddr;

use super::Conversion;
use super::check::{Around, check};
use super::check_http::Client;
use super::listen::socket;
use super::names::Names;
use super::pace::Pace;
use super::scheduling::{Forward, forward};
use super::values::{number, refuse, switch};
use crate::keywords::{Context, account, effective, has_block, is_check_word};
use crate::tree::Statement;
use crate::yaml::{Map, Node, plain, text};

/// What the virtual server gives its real servers.
pub(super) struct Pool<'a> {
    pub(super) pace: Pace,
    pub(super) virtual_host: Option<String>,
    pub(super) client: &'a Client,
    pub(super) weight: Option<i64>,
    pub(super) alpha: bool,
    pub(super) inhibit: bool,
    /// The service's port; 0 for a mark and for every port.
    pub(super) port: u16,
    /// How the service's servers are reached.
    pub(super) forward: Forward,
}

/// A server, converted.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) address: (IpAddr, Option<u16>),
    pub(super) statement: Statement,
    pub(super) map: Map,
    pub(super) checks: Vec<Map>,
    pub(super) weight: i64,
    pub(super) alpha: bool,
    pub(super) inhibit: bool,
}

const MOST: i64 = 2_147_483_647;

/// Converts a server.
pub(super) fn server(
    block: &Statement,
    pool: &Pool<'_>,
    names: &mut Names,
    conversion: &mut Conversion<'_>,
) -> Option<Server> {
    let Ok(ip) = block.word(1).parse::<IpAddr>() else {
        refuse(block, 1, format!("`{}` is not an address", block.word(1)), conversion.ledger);
        return None;
    };
    let given = match block.word(2) {
        "" => 0,
        _ => u16::try_from(number(block, 2, 0..=65535, conversion.ledger)?).unwrap_or_default(),
    };
    conversion.ledger.exact(block.id);
    let (port, check_port) = port(block, given, pool, conversion);
    let mut draft = Draft {
        weight: pool.weight.unwrap_or(1),
        alpha: pool.alpha,
        inhibit: pool.inhibit,
        ..Draft::default()
    };
    let mut checks = Vec::new();
    for statement in effective(block, conversion.ledger) {
        if is_check_word(statement.keyword()) {
            if has_block(statement, conversion.ledger) {
                checks.push(statement);
            }
        } else if !draft.read(statement, pool, conversion) {
            account(statement, Context::RealServer, conversion.ledger);
        }
    }
    let host = draft.virtual_host.take().or_else(|| pool.virtual_host.clone());
    let around = Around {
        pace: draft.pace.under(&pool.pace),
        virtual_host: host.as_deref(),
        client: pool.client,
        port: check_port,
    };
    let mut converted = Vec::new();
    for statement in checks {
        let (made, alpha) = check(statement, &around, conversion);
        draft.alpha |= alpha;
        converted.extend(made);
    }
    let mut map = Map::default();
    let origin = block.span.clone();
    map.set("address", text(socket(ip, port)), block.id..block.id + 1);
    if draft.weight != 1 {
        map.set("weight", plain(draft.weight), origin);
    }
    map.entries.append(&mut draft.map.entries);
    let label = port.map_or_else(|| ip.to_string(), |port| format!("{ip}-{port}"));
    Some(Server {
        name: names.fresh(&label),
        address: (ip, port),
        statement: block.clone(),
        map,
        checks: converted,
        weight: draft.weight,
        alpha: draft.alpha,
        inhibit: draft.inhibit,
    })
}

/// The server's port in the table, and that of its checks where it is another.
fn port(
    block: &Statement,
    given: u16,
    pool: &Pool<'_>,
    conversion: &mut Conversion<'_>,
) -> (Option<u16>, Option<u16>) {
    let checks = (given != 0).then_some(given);
    if pool.port == 0 {
        // Behind a mark and behind every port packets keep theirs.
        if given != 0 {
            conversion.ledger.note(
                block.id,
                "packets keep their port, as keepalived has it too; the port is that of the checks",
            );
        }
        return (None, checks);
    }
    if pool.forward.nat {
        return (Some(if given == 0 { pool.port } else { given }), None);
    }
    if given != 0 && given != pool.port {
        let note = format!(
            "packets arrive at the service's port {}, which keepalived silently takes; checks go to {given}",
            pool.port
        );
        conversion.ledger.note(block.id, note);
        return (Some(pool.port), checks);
    }
    (Some(pool.port), None)
}

/// A server that is being read.
#[derive(Default)]
struct Draft {
    pace: Pace,
    map: Map,
    weight: i64,
    alpha: bool,
    inhibit: bool,
    virtual_host: Option<String>,
}

impl Draft {
    fn read(
        &mut self,
        statement: &Statement,
        pool: &Pool<'_>,
        conversion: &mut Conversion<'_>,
    ) -> bool {
        let origin = statement.span.clone();
        let ledger = &mut *conversion.ledger;
        match statement.keyword() {
            "weight" => {
                if let Some(weight) = number(statement, 1, 0..=MOST, ledger) {
                    ledger.exact(statement.id);
                    self.weight = weight;
                }
            }
            "uthreshold" | "lthreshold" => {
                if let Some(limit) = number(statement, 1, 0..=MOST, ledger) {
                    ledger.exact(statement.id);
                    let upper = statement.keyword() == "uthreshold";
                    let key = if upper { "upper_threshold" } else { "lower_threshold" };
                    self.map.set(key, plain(limit), origin);
                }
            }
            "inhibit_on_failure" | "alpha" => {
                let on = switch(statement, ledger).unwrap_or_default();
                ledger.exact(statement.id);
                let field = if statement.keyword() == "alpha" {
                    &mut self.alpha
                } else {
                    &mut self.inhibit
                };
                *field = on;
            }
            "virtualhost" => {
                ledger.exact(statement.id);
                self.virtual_host = Some(statement.word(1).to_owned());
            }
            "lvs_method" | "lb_kind" => {
                let found = forward(statement, conversion);
                if found.is_some_and(|way| way != pool.forward) {
                    conversion.ledger.left_decide(statement.id, "all servers of a service are reached in one way, that of the service (`forward`)");
                }
            }
            "notify_up" | "notify_down" => {
                let kind = statement.keyword().replace("notify_", "server.");
                let note = format!(
                    "an entry of `daemon.notifications` with `on: [{kind}]` and `command` runs for every server; the event's JSON on its standard input says which"
                );
                conversion.ledger.left_decide(statement.id, note);
            }
            _ => return self.pace.read(statement, conversion),
        }
        true
    }
}

impl Server {
    /// The server in its pool; `shared` are the checks that the service has for all.
    pub(super) fn node(&mut self, shared: bool) -> Node {
        let mut map = std::mem::take(&mut self.map);
        if !shared {
            set_checks(&mut map, std::mem::take(&mut self.checks), true);
        }
        match map.entries.as_slice() {
            [only] if only.key == "address" => only.value.clone(),
            _ => Node::Map(map),
        }
    }
}

/// Sets `check` or `checks`. None at all are said where something else would hold.
pub(super) fn set_checks(map: &mut Map, checks: Vec<Map>, none: bool) {
    let item = |map| crate::yaml::Item { value: Node::Map(map), origin: super::NOWHERE };
    let mut checks = checks;
    match checks.len() {
        0 if !none => {}
        1 => {
            if let Some(check) = checks.pop() {
                map.set("check", Node::Map(check), super::NOWHERE);
            }
        }
        _ => {
            let list = Node::List(checks.into_iter().map(item).collect());
            map.set("checks", list, super::NOWHERE);
        }
    }
}
