//! Virtual routers, and what they watch, for people to read.

use std::fmt::Write;

use holdfast_control::{BfdSession, Fate, Group, Instance, RoleChange, Tracker};

use crate::table::Table;
use crate::times::age;

/// A packet that was discarded is worth a line for so long.
const RECENT_MS: u64 = 10_000;

/// The VRRP instances, a line each, and what an operator has to know of them.
pub(crate) fn instances(instances: &[Instance]) -> String {
    let mut table =
        Table::new(["VRRP", "STATE", "SINCE", "PRIO", "VRID", "DEV", "ADDRESSES", "WHY"]);
    for instance in instances {
        table.row([
            instance.name.clone(),
            instance.state.to_uppercase(),
            age(instance.since_s),
            priority(instance),
            instance.vrid.to_string(),
            instance.interface.clone(),
            instance.addresses.join(" "),
            instance.reason.clone(),
        ]);
    }
    let mut text = table.render(0);
    for instance in instances {
        for remark in remarks(instance) {
            let _ = writeln!(text, "! {}: {remark}", instance.name);
        }
    }
    text
}

/// The VRRP instances, and whom each has heard.
pub(crate) fn instances_and_peers(instances: &[Instance]) -> String {
    let mut text = self::instances(instances);
    let mut table =
        Table::new(["PEER OF", "ADDRESS", "PRIO", "INTERVAL", "CHECKSUM", "HEARD", "COUNT"]);
    let mut any = false;
    for instance in instances {
        for peer in &instance.peers {
            any = true;
            table.row([
                instance.name.clone(),
                peer.address.to_string(),
                peer.priority.to_string(),
                format!("{}ms", peer.interval_ms),
                peer.checksum.clone(),
                format!("{} ago", age(peer.heard_ms_ago / 1000)),
                peer.advertisements.to_string(),
            ]);
        }
    }
    if any {
        text.push('\n');
        text.push_str(&table.render(0));
    }
    text
}

/// The BFD sessions, a line each.
pub(super) fn sessions(sessions: &[BfdSession]) -> String {
    let mut table =
        Table::new(["BFD", "PEER", "STATE", "SINCE", "THERE", "DETECTION", "LAST DOWN"]);
    for session in sessions {
        let detection = session.detection_time_us.map(|us| format!("{}ms", us / 1000));
        table.row([
            session.trackers.join(" "),
            session.peer.to_string(),
            session.state.to_uppercase(),
            age(session.since_s),
            session.remote_state.to_uppercase(),
            detection.unwrap_or_else(|| "-".to_owned()),
            session.last_down.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    let mut text = table.render(0);
    for session in sessions {
        if let Some(fault) = &session.fault {
            let _ = writeln!(text, "! {}: {fault}", session.peer);
        }
    }
    text
}

/// The fate channels, a line each; nothing where there is none and nothing is wrong.
pub(super) fn fate(fate: &Fate) -> String {
    let mut table = Table::new(["FATE", "PEER", "DEV", "STATE", "SINCE", "LAST END", "WHY"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    for channel in &fate.watched {
        let end = channel.last_end.as_ref();
        let end = end.map(|end| format!("{} {} ago", end.reason, age(end.s_ago)));
        table.row([
            "watches".to_owned(),
            channel.peer.to_string(),
            channel.interface.clone(),
            channel.state.to_uppercase(),
            age(channel.since_s),
            or_dash(end),
            or_dash(channel.fault.clone()),
        ]);
    }
    for watcher in &fate.watchers {
        table.row([
            "watched by".to_owned(),
            watcher.peer.to_string(),
            watcher.interface.clone(),
            "STANDS".to_owned(),
            age(watcher.since_s),
            "-".to_owned(),
            "-".to_owned(),
        ]);
    }
    let mut text = String::new();
    if !fate.watched.is_empty() || !fate.watchers.is_empty() {
        text.push('\n');
        text.push_str(&table.render(0));
    }
    for problem in &fate.problems {
        let _ = writeln!(text, "! others can't watch this node: {problem}");
    }
    text
}

/// The priority that counts, and the configured one where it differs.
fn priority(instance: &Instance) -> String {
    let Instance { priority, base_priority, .. } = instance;
    if priority == base_priority {
        priority.to_string()
    } else {
        format!("{priority} ({base_priority})")
    }
}

/// What is not as usual: faults, two Actives, a release, weights.
fn remarks(instance: &Instance) -> Vec<String> {
    let mut remarks = Vec::new();
    remarks.extend(instance.fault.clone());
    // The first problem may be the fault.
    let said = |problem: &str| remarks.iter().any(|fault| fault.starts_with(problem));
    let problems: Vec<String> =
        instance.problems.iter().filter(|problem| !said(problem)).cloned().collect();
    remarks.extend(problems);
    if let Some(last) = instance.discarded.as_ref().filter(|last| last.ms_ago <= RECENT_MS) {
        remarks.push(format!(
            "advertisements of {} are discarded: {} (docs/vrrp.md, Counters)",
            last.source, last.reason
        ));
    }
    let disagreements = instance.disagreements.iter();
    remarks.extend(disagreements.map(|one| format!("{}: {}", one.text, one.advice)));
    if let Some(dual) = &instance.dual_active {
        let own = dual.own.map_or_else(|| "this node".to_owned(), |own| own.to_string());
        remarks.push(format!(
            "two nodes are active for {}: {} with priority {} does not hear {own} (firewall, switch, one-way link?)",
            age(dual.since_s),
            dual.other,
            dual.other_priority
        ));
    }
    if instance.released {
        remarks.push("released: `holdfast vrrp resume` takes it back".to_owned());
    }
    if instance.waits_for_sync {
        remarks.push(
            "would take over, and waits until it has the active node's connections".to_owned(),
        );
    }
    if instance.yields {
        remarks.push(
            "gave its role away: it preempts nobody until it has been active again, or `holdfast vrrp resume`"
                .to_owned(),
        );
    }
    // What is added while all is well is nothing to look at.
    let weights = instance.weights.iter().filter(|weight| weight.weight < 0);
    let weights: Vec<String> =
        weights.map(|one| format!("{} {:+}", one.tracker, one.weight)).collect();
    if !weights.is_empty() {
        remarks.push(format!("priority {} by {}", instance.base_priority, weights.join(", ")));
    }
    remarks
}

/// What a change of roles came to.
pub(crate) fn role(change: &RoleChange) -> String {
    let mut text = instances(&change.instances);
    if !change.changed {
        text.push_str("nothing changed: it was so already\n");
    }
    if let Some(note) = &change.note {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// What is watched, a line each.
pub(super) fn trackers(trackers: &[Tracker]) -> String {
    let mut table = Table::new(["TRACKER", "KIND", "STATE", "SINCE", "WHY"]);
    for tracker in trackers {
        table.row([
            tracker.name.clone(),
            tracker.kind.clone(),
            tracker.state.clone(),
            age(tracker.since_s),
            tracker.reason.clone(),
        ]);
    }
    table.render(0)
}

/// The sync groups, a line each.
pub(super) fn groups(groups: &[Group]) -> String {
    let mut table = Table::new(["GROUP", "STATE", "INSTANCES"]);
    for group in groups {
        table.row([group.name.clone(), group.state.to_uppercase(), group.instances.join(" ")]);
    }
    table.render(0)
}
