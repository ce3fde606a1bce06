//! `vrrp_instance`.

use std::net::IpAddr;

use super::address::{Address, addresses};
use super::command::hook;
use super::peers::{Peer, peers};
use super::values::{exact_number, number, refuse, switch, time};
use super::{Conversion, global, instance_finish, routing, track};
use crate::keywords::{Context, account, effective, inside};
use crate::tree::Statement;
use crate::yaml::{Map, text};

/// What an instance says, before it is known what that means together.
#[derive(Default)]
pub(super) struct Draft {
    pub(super) map: Map,
    pub(super) interface: Option<String>,
    pub(super) master: bool,
    pub(super) vrid: Option<i64>,
    pub(super) priority: Option<(i64, Statement)>,
    pub(super) version: Option<(i64, Statement)>,
    pub(super) interval: Option<(u64, Statement)>,
    pub(super) addresses: Vec<Address>,
    pub(super) excluded: Vec<Address>,
    pub(super) nopreempt: Option<Statement>,
    pub(super) preempt_delay: Option<(u64, Statement)>,
    pub(super) no_accept: Option<Statement>,
    pub(super) virtual_mac: Option<Statement>,
    pub(super) group: Option<(IpAddr, Statement)>,
    pub(super) source: Option<(IpAddr, Statement)>,
    pub(super) peers: Option<(Vec<Peer>, Statement)>,
    pub(super) ttl: Option<(i64, Statement)>,
    pub(super) rfc_checksum: Option<bool>,
    pub(super) garp_delay: Option<u64>,
    pub(super) garp_repeat: Option<i64>,
    pub(super) garp_refresh: Option<u64>,
    pub(super) garp_refresh_repeat: Option<i64>,
    pub(super) down_adverts: Option<i64>,
    pub(super) authentication: Option<Statement>,
    pub(super) notify: Option<Statement>,
    pub(super) priority_changes: bool,
}

/// Converts an instance.
pub(crate) fn instance(block: &Statement, conversion: &mut Conversion<'_>) {
    if block.word(1).is_empty() || block.block.is_none() {
        refuse(block, 1, "an instance has a name and a block", conversion.ledger);
        return inside(block, conversion.ledger);
    }
    if conversion.instances.of(block.word(1)).is_some() {
        refuse(block, 1, format!("a second instance `{}`", block.word(1)), conversion.ledger);
        return inside(block, conversion.ledger);
    }
    conversion.ledger.exact(block.id);
    let name = conversion.instances.name(block.word(1), block, conversion.ledger);
    let mut draft =
        Draft { priority_changes: conversion.globals.priority_changes, ..Draft::default() };
    for statement in effective(block, conversion.ledger) {
        let known = protocol(statement, &mut draft, conversion)
            || network(statement, &mut draft, conversion)
            || announcements(statement, &mut draft, conversion)
            || notifications(statement, &mut draft, conversion)
            || track::track(statement, &mut draft.map, conversion);
        if !known {
            account(statement, Context::Instance, conversion.ledger);
        }
    }
    let map = instance_finish::finish(block, draft, conversion);
    let origin = block.span.clone();
    conversion.section("vrrp", "instances", |all| {
        all.set(&name, crate::yaml::Node::Map(map), origin);
    });
}

/// The election.
fn protocol(statement: &Statement, draft: &mut Draft, conversion: &mut Conversion<'_>) -> bool {
    let ledger = &mut *conversion.ledger;
    match statement.keyword() {
        "state" => match statement.word(1) {
            "MASTER" | "BACKUP" => {
                draft.master = statement.word(1) == "MASTER";
                ledger.note(statement.id, "every node begins as Backup, in keepalived too (but with priority 255): priorities decide");
            }
            other => {
                refuse(statement, 1, format!("`{other}` is neither MASTER nor BACKUP"), ledger)
            }
        },
        "virtual_router_id" => draft.vrid = exact_number(statement, 1..=255, ledger),
        "priority" => {
            let priority = exact_number(statement, 1..=255, ledger);
            draft.priority = priority.map(|priority| (priority, statement.clone()));
        }
        "version" => {
            let version = exact_number(statement, 2..=3, ledger);
            draft.version = version.map(|version| (version, statement.clone()));
        }
        "advert_int" => {
            let interval = time(statement, 1, 255, ledger);
            draft.interval = interval.map(|interval| (interval, statement.clone()));
        }
        "nopreempt" => {
            ledger.exact(statement.id);
            draft.nopreempt = Some(statement.clone());
        }
        "preempt" => {
            ledger.exact(statement.id);
            draft.nopreempt = None;
        }
        "preempt_delay" => {
            let delay = time(statement, 1, 1000, ledger);
            draft.preempt_delay = delay.map(|delay| (delay, statement.clone()));
        }
        "down_timer_adverts" => draft.down_adverts = exact_number(statement, 1..=100, ledger),
        "v3_checksum_as_v2" => {
            draft.rfc_checksum = switch(statement, ledger);
            ledger.exact(statement.id);
        }
        // `checksum: auto` takes the form that the peers have, this one too.
        "old_unicast_checksum" => ledger.exact(statement.id),
        "strict_mode" => ledger.left_decide(statement.id, global::STRICT),
        "no_accept" | "accept" => {
            ledger.exact(statement.id);
            let drops = switch(statement, ledger) == Some(statement.keyword() == "no_accept");
            draft.no_accept = drops.then(|| statement.clone());
        }
        "authentication" => {
            if let Some(before) = draft.authentication.replace(statement.clone()) {
                ledger.left(before.id, "said again below: the last counts");
                inside(&before, ledger);
            }
        }
        _ => return false,
    }
    true
}

/// Where it speaks, and what it holds.
fn network(statement: &Statement, draft: &mut Draft, conversion: &mut Conversion<'_>) -> bool {
    match statement.keyword() {
        "interface" => {
            conversion.ledger.exact(statement.id);
            draft.interface = Some(statement.word(1).to_owned());
            draft.map.set("interface", text(statement.word(1)), statement.span.clone());
        }
        "virtual_ipaddress" => draft.addresses.extend(addresses(statement, conversion.ledger)),
        "virtual_ipaddress_excluded" => {
            draft.excluded.extend(addresses(statement, conversion.ledger));
        }
        "no_virtual_ipaddress" => conversion.ledger.left_decide(
            statement.id,
            "an instance of Holdfast has at least one address: name one that nobody uses, 192.0.0.8/32 for instance",
        ),
        "virtual_routes" => routing::routes(statement, &mut draft.map, conversion.ledger),
        "virtual_rules" => routing::rules(statement, &mut draft.map, conversion.ledger),
        "use_vmac" => {
            conversion.ledger.exact(statement.id);
            draft.virtual_mac = Some(statement.clone());
        }
        "mcast_src_ip" => conversion.ledger.left_decide(
            statement.id,
            "multicast leaves with the interface's own address; put this address first on it, where peers compare it",
        ),
        "unicast_src_ip" => draft.source = address(statement, conversion),
        "mcast_dst_ip" => draft.group = address(statement, conversion),
        "unicast_peer" => {
            let mut all = draft.peers.take().map(|(all, _)| all).unwrap_or_default();
            all.extend(peers(statement, conversion.ledger));
            draft.peers = Some((all, statement.clone()));
        }
        "unicast_ttl" => {
            let ttl = exact_number(statement, 1..=255, conversion.ledger);
            draft.ttl = ttl.map(|ttl| (ttl, statement.clone()));
        }
        "lvs_sync_daemon_interface" => {
            // As `lvs_sync_daemon INTERFACE INSTANCE`.
            let mut statement = statement.clone();
            let named = conversion.instances.last().unwrap_or_default().to_owned();
            if let Some(word) = statement.words.last().cloned() {
                statement.words.truncate(2);
                statement.words.push(crate::words::Word { text: named, ..word });
            }
            conversion.globals.sync.push(statement);
        }
        _ => return false,
    }
    true
}

/// The address that is a statement's word.
fn address(statement: &Statement, conversion: &mut Conversion<'_>) -> Option<(IpAddr, Statement)> {
    match statement.word(1).parse() {
        Ok(address) => {
            conversion.ledger.exact(statement.id);
            Some((address, statement.clone()))
        }
        Err(_) => {
            let what = format!("`{}` is not an address", statement.word(1));
            refuse(statement, 1, what, conversion.ledger);
            None
        }
    }
}

/// Gratuitous ARP.
fn announcements(
    statement: &Statement,
    draft: &mut Draft,
    conversion: &mut Conversion<'_>,
) -> bool {
    let ledger = &mut *conversion.ledger;
    match statement.keyword() {
        "garp_master_delay" => {
            draft.garp_delay = time(statement, 1, 3600, ledger);
            ledger.exact(statement.id);
        }
        "garp_master_repeat" => draft.garp_repeat = exact_number(statement, 1..=100, ledger),
        "garp_master_refresh" => {
            draft.garp_refresh = time(statement, 1, 86_400, ledger);
            ledger.exact(statement.id);
        }
        "garp_master_refresh_repeat" => {
            draft.garp_refresh_repeat = exact_number(statement, 1..=100, ledger);
        }
        _ => return false,
    }
    true
}

/// Scripts that run when it changes.
fn notifications(
    statement: &Statement,
    draft: &mut Draft,
    conversion: &mut Conversion<'_>,
) -> bool {
    if statement.keyword() == "notify_priority_changes" {
        draft.priority_changes = switch(statement, conversion.ledger).unwrap_or_default();
        conversion.ledger.exact(statement.id);
        return true;
    }
    if statement.keyword() == "notify" {
        draft.notify = Some(statement.clone());
        return true;
    }
    named_hook(statement, &mut draft.map, conversion)
}

/// A script that runs at one change, of an instance or a group.
pub(super) fn named_hook(
    statement: &Statement,
    map: &mut Map,
    conversion: &mut Conversion<'_>,
) -> bool {
    let on = match statement.keyword() {
        "notify_master" => "active",
        "notify_backup" => "backup",
        "notify_fault" => "fault",
        "notify_stop" => "stop",
        "notify_master_rx_lower_pri" => "lower_priority",
        "notify_deleted" => {
            let note =
                "an instance that a reload takes away is stopped: a hook `on: stop` runs then, too";
            conversion.ledger.left(statement.id, note);
            return true;
        }
        _ => return false,
    };
    hook(map, &[on], statement, conversion.ledger);
    true
}

/// The number that a weight is: -253 to 253.
pub(super) fn weight(
    statement: &Statement,
    index: usize,
    conversion: &mut Conversion<'_>,
) -> Option<i64> {
    number(statement, index, -253..=253, conversion.ledger)
}
