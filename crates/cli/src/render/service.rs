//! Services and their servers, and what was changed of them, for people to read.

use std::fmt::Write;

use holdfast_control::{Change, Discovery, Quorum, Server, Service, Traffic};

use crate::table::Table;
use crate::times::{age, utc};

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
