//! Answers of the daemon for people to read.

use std::fmt::Write;

use holdfast_control::{Change, Instance, Server, Service, Status};

use crate::table::Table;

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
    if !status.vrrp.is_empty() {
        text.push('\n');
        text.push_str(&instances(&status.vrrp));
    }
    for service in &status.services {
        text.push('\n');
        text.push_str(&self::service(service));
    }
    if let Some(ipvs) = &status.ipvs {
        let synced = ipvs
            .in_sync_s_ago
            .map_or_else(|| "never yet".to_owned(), |s| format!("{} ago", age(s)));
        let _ = write!(text, "\nkernel table in sync {synced}");
        if ipvs.drift_repairs_total > 0 {
            let _ = write!(text, ", {} changes by others undone", ipvs.drift_repairs_total);
        }
        text.push('\n');
        for foreign in &ipvs.foreign {
            let _ = writeln!(text, "not ours, left alone: {foreign}");
        }
        for error in &ipvs.errors {
            let _ = writeln!(text, "! {error}");
        }
    }
    text
}

/// The VRRP instances, a line each, and what keeps one from taking part.
pub(crate) fn instances(instances: &[Instance]) -> String {
    let mut table =
        Table::new(["VRRP", "STATE", "SINCE", "PRIO", "VRID", "DEV", "ADDRESSES", "WHY"]);
    for instance in instances {
        table.row([
            instance.name.clone(),
            instance.state.to_uppercase(),
            age(instance.since_s),
            instance.priority.to_string(),
            instance.vrid.to_string(),
            instance.interface.clone(),
            instance.addresses.join(" "),
            instance.reason.clone(),
        ]);
    }
    let mut text = table.render(0);
    for instance in instances {
        if let Some(fault) = &instance.fault {
            let _ = writeln!(text, "! {}: {fault}", instance.name);
        }
    }
    text
}

/// A service and its servers.
pub(crate) fn service(service: &Service) -> String {
    format!(
        "SERVICE {}  {}  {} {}  up {}/{}\n{}",
        service.name,
        service.listen.join(", "),
        service.scheduler,
        service.forward,
        service.up,
        service.servers.len(),
        servers(&service.servers)
    )
}

fn servers(servers: &[Server]) -> String {
    let header =
        ["SERVER", "ADDRESS", "STATE", "WEIGHT", "ACTIVE", "INACT", "CHECK", "SINCE", "ORIGIN"];
    let mut table = Table::new(header);
    let count = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    for server in servers {
        let took = server.checks.iter().filter_map(|check| check.took_ms).max();
        table.row([
            server.name.clone(),
            server.address.clone(),
            server.state.clone(),
            weight(server),
            count(server.active_connections),
            count(server.inactive_connections),
            took.map_or_else(
                || server.reason.code.clone(),
                |ms| format!("{} {ms}ms", server.reason.code),
            ),
            age(server.since_s),
            server.origin.clone(),
        ]);
    }
    let mut text = table.render(2);
    for server in servers.iter().filter(|server| server.health != "up") {
        let _ = writeln!(text, "! {}: {}", server.name, server.reason.sentence);
    }
    text
}

/// The weight in the kernel, and the configured one in brackets where it differs.
fn weight(server: &Server) -> String {
    match server.effective_weight {
        Some(weight) if weight == server.weight => weight.to_string(),
        Some(weight) => format!("{weight} ({})", server.weight),
        None => format!("- ({})", server.weight),
    }
}

/// What a command did, in a line.
pub(crate) fn change(change: &Change) -> String {
    let state = change.now.as_ref().map_or("removed", |server| &server.state);
    let mut text = format!("{}/{} {state}", change.service, change.server);
    if !change.changed {
        text.push_str(" (already so)");
    }
    text.push('\n');
    if let Some(note) = &change.note {
        let _ = writeln!(text, "note: {note}");
    }
    text
}

/// Seconds in the two largest units: `41s`, `2m10s`, `3d02h`.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (minutes, hours, days) {
        (0, ..) => format!("{seconds}s"),
        (_, 0, _) => format!("{minutes}m{:02}s", seconds % 60),
        (_, _, 0) => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{:02}h", hours % 24),
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
