//! Answers of the daemon for people to read.

use std::fmt::Write;

use holdfast_control::{
    BfdSession, Change, ConnectionSync, Discovery, Fate, Faults, Group, HookRuns, Instance, Ipvs,
    Quorum, RoleChange, Runs, Server, Service, Status, SyncedConnections, Sysctls, Tracker,
    Traffic,
};

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
        let _ = write!(text, ", {} changes by others undone", ipvs.drift_repairs_total);
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
        let _ = writeln!(
            text,
            "{} services that are not ours were removed",
            ipvs.foreign_removed_total
        );
    }
    for drift in ipvs.drift.iter().take(DRIFT_MAX) {
        let _ = writeln!(
            text,
            "changed by others, put right: {} {} ({} times, last {} ago): {}",
            drift.service,
            drift.kind,
            drift.count,
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
        let _ = writeln!(text, "sysctls: {} changes by others undone", sysctls.repairs_total);
    }
    for sysctl in &sysctls.each {
        if let Some(problem) = &sysctl.problem {
            let _ = writeln!(text, "! {} should be {}: {problem}", sysctl.name, sysctl.wanted);
        }
    }
    text
}

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
fn sessions(sessions: &[BfdSession]) -> String {
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
fn fate(fate: &Fate) -> String {
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

/// The priority that counts, and the configured one where it differs.
fn priority(instance: &Instance) -> String {
    let Instance { priority, base_priority, .. } = instance;
    if priority == base_priority {
        priority.to_string()
    } else {
        format!("{priority} ({base_priority})")
    }
}

/// So many services and kinds of drift have a line.
const DRIFT_MAX: usize = 5;

/// A packet that was discarded is worth a line for so long.
const RECENT_MS: u64 = 10_000;

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
fn trackers(trackers: &[Tracker]) -> String {
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
fn groups(groups: &[Group]) -> String {
    let mut table = Table::new(["GROUP", "STATE", "INSTANCES"]);
    for group in groups {
        table.row([group.name.clone(), group.state.to_uppercase(), group.instances.join(" ")]);
    }
    table.render(0)
}

/// A service and its servers.
pub(crate) fn service(service: &Service) -> String {
    format!(
        "SERVICE {}  {}  {} {}  up {}/{}{}{}{}\n{}",
        service.name,
        service.listen.join(", "),
        service.scheduler,
        service.forward,
        service.up,
        service.servers.len(),
        without_quorum(&service.quorum),
        service.traffic.as_ref().map_or_else(String::new, rates),
        if service.refused.is_empty() { "" } else { "  REFUSED BY THE KERNEL" },
        servers(service)
    ) + &service.discovery.as_ref().map_or_else(String::new, discovery)
}

/// How fast it goes through a service; nothing where nothing does.
fn rates(traffic: &Traffic) -> String {
    let Traffic { connections_per_s: connections, bytes_in_per_s, bytes_out_per_s, .. } = *traffic;
    if (connections, bytes_in_per_s, bytes_out_per_s) == (0, 0, 0) {
        return String::new();
    }
    let mut text = format!("  {connections} conn/s  {} in", bits(bytes_in_per_s));
    if bytes_out_per_s > 0 {
        let _ = write!(text, "  {} out", bits(bytes_out_per_s));
    }
    text
}

/// Bytes a second as network people say them.
fn bits(bytes: u64) -> String {
    let bits = bytes.saturating_mul(8);
    match bits {
        0..10_000 => format!("{bits} bit/s"),
        10_000..10_000_000 => format!("{} kbit/s", bits / 1000),
        10_000_000..10_000_000_000 => format!("{} Mbit/s", bits / 1_000_000),
        _ => format!("{} Gbit/s", bits / 1_000_000_000),
    }
}

/// What is wrong with the files that name servers; nothing where all is well.
fn discovery(discovery: &Discovery) -> String {
    let mut text = String::new();
    for problem in &discovery.problems {
        let _ = writeln!(text, "! {}: {problem}", discovery.directory);
    }
    text
}

/// That a service has lost its quorum, since when, and what follows; nothing where all is well.
fn without_quorum(quorum: &Quorum) -> String {
    if quorum.state != "down" {
        return String::new();
    }
    let follows = match (quorum.regime.as_str(), quorum.all_down.as_str()) {
        ("sorry", _) => ": the sorry servers take new connections",
        ("fail_open", _) => ": all servers take new connections",
        (_, "withdraw_vip") => ": its addresses are withdrawn",
        _ => "",
    };
    let hysteresis = match quorum.hysteresis {
        0 => String::new(),
        more => format!(" ± {more}"),
    };
    format!(
        "  DOWN {} (weight {}, quorum {}{hysteresis}){follows}",
        age(quorum.since_s),
        quorum.weight,
        quorum.needed
    )
}

fn servers(service: &Service) -> String {
    let (servers, scale) = (&service.servers, service.weight_scale);
    let mut table = Table::new([
        "SERVER", "ADDRESS", "STATE", "WEIGHT", "ACTIVE", "INACT", "CONN/S", "CHECK", "SINCE",
        "ORIGIN",
    ]);
    let pace = |traffic: &Option<Traffic>| traffic.map(|traffic| traffic.connections_per_s);
    let count = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for server in servers {
        let took = server.checks.iter().filter_map(|check| check.took_ms).max();
        table.row([
            server.name.clone(),
            server.address.clone(),
            server.state.clone(),
            weight(server, scale),
            count(server.active_connections),
            count(server.inactive_connections),
            count(pace(&server.traffic)),
            took.map_or_else(
                || server.reason.code.clone(),
                |ms| format!("{} {ms}ms", server.reason.code),
            ),
            age(server.since_s),
            origin(server),
        ]);
    }
    for sorry in &service.sorry_servers {
        let taking = sorry.effective_weight.is_some_and(|weight| weight > 0);
        table.row([
            sorry.name.clone(),
            sorry.address.clone(),
            if taking { "sorry" } else { "idle" }.to_owned(),
            effective(sorry.weight, sorry.effective_weight, scale),
            count(sorry.active_connections),
            count(sorry.inactive_connections),
            count(pace(&sorry.traffic)),
            "-".to_owned(),
            "-".to_owned(),
            "config · sorry server".to_owned(),
        ]);
    }
    let mut text = table.render(2);
    for server in servers.iter().filter(|server| server.admin != "maint") {
        health_of(&mut text, server);
    }
    text
}

/// What there is to know of a server's health that is not up, of checks that say nothing, and of certificates that end.
fn health_of(text: &mut String, server: &Server) {
    let Server { name, health, reason, checks, .. } = server;
    if health != "up" {
        let _ = writeln!(text, "! {name}: {}", reason.sentence);
    }
    for check in checks {
        // One that could not be made counts neither way: what it would find nobody knows.
        if check.reason.code == "SOCKERR" && check.reason != *reason {
            let (kind, why) = (&check.kind, &check.reason.sentence);
            let _ = writeln!(text, "! {name}: its check {kind} says nothing: {why}");
        }
        if let Some(warning) = &check.warning {
            let _ = writeln!(text, "! {name}: {warning}");
        }
    }
}

/// Where it comes from, and who wants it out of service, why, and until when: `config · drain by alice "kernel upgrade", 4m10s left`.
fn origin(server: &Server) -> String {
    let mut text = server.origin.clone();
    if let Some(left) = server.lease_ends_in_s {
        let _ = write!(text, ", ends in {}", age(left));
    }
    let added = server.changes.iter().find(|change| change.kind == "added");
    if let Some(who) = added.and_then(|added| added.who.as_ref()) {
        let _ = write!(text, " by {who}");
    }
    if let Some(at) = added.map(|added| added.at) {
        let _ = write!(text, " {}", utc(at));
    }
    if server.changes.iter().any(|change| change.ephemeral) {
        text.push_str(" (ephemeral)");
    }
    let Some(order) = &server.order else { return text };
    let _ = write!(text, " · {}", server.admin);
    if let Some(who) = &order.who {
        let _ = write!(text, " by {who}");
    }
    if let Some(reason) = &order.reason {
        let _ = write!(text, " {reason:?}");
    }
    if let Some(left) = server.drain_ends_in_s {
        let _ = write!(text, ", {} left", age(left));
    }
    text
}

/// The weight in the kernel, and the configured one in brackets where it differs, in units of the configured ones: a slow start's
/// fractions have decimals.
fn weight(server: &Server, scale: u32) -> String {
    let mut text = effective(server.weight, server.effective_weight, scale);
    if server.share_percent != 100 && text != server.weight.to_string() {
        let _ = write!(text, " {}%", server.share_percent);
    }
    text
}

fn effective(configured: u32, in_kernel: Option<u32>, scale: u32) -> String {
    match in_kernel {
        Some(weight) if u64::from(weight) == u64::from(configured) * u64::from(scale) => {
            configured.to_string()
        }
        Some(weight) => format!("{} ({configured})", configured_units(weight, scale)),
        None => format!("- ({configured})"),
    }
}

/// A weight in the kernel in units of the configured ones.
pub(crate) fn configured_units(in_kernel: u32, scale: u32) -> String {
    let scale = scale.max(1);
    if in_kernel.is_multiple_of(scale) {
        (in_kernel / scale).to_string()
    } else {
        // The scale is 100: the rest are hundredths.
        format!("{}.{:02}", in_kernel / scale, in_kernel % scale)
    }
}

/// What a command did, in a line.
pub(crate) fn change(change: &Change) -> String {
    let mut text = changed(change);
    if !change.changed {
        text.push_str(" (already so)");
    }
    text.push('\n');
    if let Some(note) = &change.note {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// The server of a change and what it is now.
pub(crate) fn changed(change: &Change) -> String {
    let gone = if change.changed { "removed" } else { "is not there" };
    let state = change.now.as_ref().map_or(gone, |server| &server.state);
    format!("{}/{} {state}", change.service, change.server)
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
