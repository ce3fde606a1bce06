//! Answers of the daemon for people to read.

mod service;
mod vrrp;

use std::fmt::Write;

use holdfast_control::{
    ConnectionSync, Faults, HookRuns, Ipvs, Runs, Status, SyncedConnections, Sysctls,
};

pub(crate) use self::service::{change, changed, configured_units, service};
use self::vrrp::{fate, groups, instances, sessions, trackers};
pub(crate) use self::vrrp::{instances_and_peers, role};
use crate::nodes;
use crate::table::Table;
use crate::times::{age, utc};

/// What went wrong in the daemon itself, a line for each kind; nothing where nothing did.
fn faults(faults: &Faults) -> String {
    let mut text = String::new();
    if faults.restarts > 0 {
        let _ = writeln!(
            text,
            "! {} workers have died and were replaced, the last one: {}",
            faults.restarts,
            faults.last_end.as_deref().unwrap_or("see the log")
        );
    }
    if faults.panics > 0 {
        let _ = writeln!(text, "! {} panics of the daemon, each logged", faults.panics);
    }
    text
}

/// That checks come late for want of descriptors; nothing while they don't.
fn shortage(runs: Runs) -> String {
    match runs.waiting {
        0 => String::new(),
        waiting => format!(
            "! {waiting} checks are due and wait for descriptors: raise the limit of open files (LimitNOFILE= of the service's unit)\n"
        ),
    }
}

/// The state of everything on one screen.
pub(crate) fn status(status: &Status) -> String {
    let daemon = &status.daemon;
    let mut text = format!(
        "node {}  holdfastd {}  up {}  config {}\n",
        daemon.node,
        daemon.version,
        age(daemon.uptime_s),
        daemon.config
    );
    text.push_str(&(faults(&daemon.faults) + &shortage(status.runs)));
    let configuration = &daemon.configuration;
    if let Some(refused) = configuration.last_reload.as_ref().filter(|last| !last.applied) {
        let _ = writeln!(
            text,
            "! the last reload was refused, generation {} runs on: {}",
            configuration.generation,
            refused.error.as_deref().unwrap_or("see the log")
        );
    }
    if let Some(instead) = &configuration.last_good {
        let _ = writeln!(
            text,
            "! the configuration's file is not usable, and the last good one of {} is used: {}",
            utc(instead.of),
            instead.error
        );
    }
    match daemon.runtime_changes {
        0 => {}
        1 => text.push_str("1 run-time change against the file: `holdfast diff`\n"),
        number => {
            let _ = writeln!(text, "{number} run-time changes against the file: `holdfast diff`");
        }
    }
    if let Some(problem) = &daemon.journal_problem {
        let _ = writeln!(text, "! run-time changes: {problem}");
    }
    text.push_str(&nodes::nodes(&status.nodes));
    if !status.vrrp.is_empty() {
        text.push('\n');
        text.push_str(&instances(&status.vrrp));
    }
    if !status.groups.is_empty() {
        text.push('\n');
        text.push_str(&groups(&status.groups));
    }
    if !status.trackers.is_empty() {
        text.push('\n');
        text.push_str(&trackers(&status.trackers));
    }
    if !status.bfd.is_empty() {
        text.push('\n');
        text.push_str(&sessions(&status.bfd));
    }
    if let Some(fate) = &status.fate {
        text.push_str(&self::fate(fate));
    }
    text.push_str(&hooks(&status.hook_runs));
    for service in &status.services {
        text.push('\n');
        text.push_str(&self::service(service));
    }
    if let Some(ipvs) = &status.ipvs {
        text.push('\n');
        text.push_str(&table(ipvs));
    }
    if let Some(sync) = &status.sync {
        text.push_str(&self::sync(sync));
    }
    text.push_str(&sysctls(&status.sysctls));
    text
}

/// How the kernel's table stands, and what else is in it.
fn table(ipvs: &Ipvs) -> String {
    let synced =
        ipvs.in_sync_s_ago.map_or_else(|| "never yet".to_owned(), |s| format!("{} ago", age(s)));
    let mut text = format!("kernel table in sync {synced}");
    if ipvs.drift_repairs_total > 0 {
        let undone = many(ipvs.drift_repairs_total, "change", "changes");
        let _ = write!(text, ", {undone} by others undone");
    }
    text.push('\n');
    if let Some(timeouts) = &ipvs.timeouts {
        let _ = writeln!(
            text,
            "timeouts tcp {}, tcp_fin {}, udp {}",
            age(timeouts.tcp_s.into()),
            age(timeouts.tcp_fin_s.into()),
            age(timeouts.udp_s.into())
        );
    }
    if ipvs.marked_ranges > 0 {
        let _ = writeln!(text, "{} ranges of packets are marked", ipvs.marked_ranges);
    }
    if ipvs.foreign_removed_total > 0 {
        let removed = many(ipvs.foreign_removed_total, "service", "services");
        let _ = writeln!(text, "{removed} of others removed (`ipvs.foreign: remove`)");
    }
    for drift in ipvs.drift.iter().take(DRIFT_MAX) {
        let _ = writeln!(
            text,
            "changed by others, put right: {} {} ({}, last {} ago): {}",
            drift.service,
            drift.kind,
            many(drift.count, "time", "times"),
            age(drift.last_s_ago),
            drift.last
        );
    }
    for foreign in &ipvs.foreign {
        let _ = writeln!(text, "not ours, left alone: {foreign}");
    }
    for error in &ipvs.errors {
        let _ = writeln!(text, "! {error}");
    }
    text
}

/// `1 change`, `2 changes`.
fn many(count: u64, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

/// How connections are synchronised: a line for each of the kernel's daemons.
fn sync(sync: &ConnectionSync) -> String {
    let mut table =
        Table::new(["SYNC", "ID", "DEV", "GROUP", "PORT", "TTL", "MAXLEN", "CONNECTIONS"]);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let share = or_dash(sync.connections.as_ref().map(synced));
    for daemon in &sync.daemons {
        table.row([
            daemon.role.clone(),
            daemon.id.to_string(),
            daemon.interface.clone(),
            or_dash(daemon.group.map(|group| group.to_string())),
            or_dash(daemon.port.map(|port| port.to_string())),
            or_dash(daemon.ttl.map(|ttl| ttl.to_string())),
            or_dash(daemon.maxlen.map(|length| length.to_string())),
            share.clone(),
        ]);
    }
    let mut text = String::new();
    if !sync.daemons.is_empty() {
        text.push('\n');
        text.push_str(&table.render(0));
    }
    if let Some(fault) = &sync.fault {
        let _ = writeln!(text, "! connections are not synchronised: {fault}");
    }
    text
}

/// The share of the connections that the other director has told.
fn synced(connections: &SyncedConnections) -> String {
    let SyncedConnections { looked_at, of_sync, complete, .. } = connections;
    if *looked_at == 0 {
        return "none".to_owned();
    }
    let share = of_sync.saturating_mul(100) / looked_at;
    if *complete {
        format!("{share}% of {looked_at} by sync")
    } else {
        format!("{share}% by sync (of the first {looked_at})")
    }
}

/// What is not as it should be of the sysctls; nothing where all is well.
fn sysctls(sysctls: &Sysctls) -> String {
    let mut text = String::new();
    if sysctls.repairs_total > 0 {
        let undone = many(sysctls.repairs_total, "change", "changes");
        let _ = writeln!(text, "sysctls: {undone} by others undone");
    }
    for sysctl in &sysctls.each {
        if let Some(problem) = &sysctl.problem {
            let _ = writeln!(text, "! {} should be {}: {problem}", sysctl.name, sysctl.wanted);
        }
    }
    if let Some(why) = &sysctls.unkept {
        let _ = writeln!(text, "! sysctls are given back at a stop, and not after a kill: {why}");
    }
    if let Some(why) = &sysctls.lost {
        let _ = writeln!(text, "! sysctls that an earlier daemon set are not given back: {why}");
    }
    text
}

/// The hooks whose last run failed; nothing where all is well.
fn hooks(hooks: &[HookRuns]) -> String {
    let mut text = String::new();
    for HookRuns { hook, last, .. } in hooks {
        if let Some(last) = last.as_ref().filter(|last| last.result != "passed") {
            let (result, ago) = (last.result.replace('_', " "), age(last.s_ago));
            let _ =
                writeln!(text, "! hook {hook} {:?} {result} {ago} ago: {}", last.told, last.text);
        }
    }
    text
}

/// So many services and kinds of drift have a line.
const DRIFT_MAX: usize = 5;

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
