//! `holdfast plan`, `holdfast reload` and SIGHUP while the daemon works: what differs is applied, what does not notices nothing.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::{Client, Server};
use holdfast_integration::{Director, Downloads, Load, saved_table};
use holdfast_testkit::lab::{Lab, Nginx, Topology, VIP4, VIP6, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The client's pace.
const PACE: Duration = Duration::from_millis(40);

/// A request that takes longer has failed, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many reloads in a row: about fifteen seconds of them in the guest.
const RELOADS: usize = 1000;

/// The service as ipvsadm names it.
const SERVICE: &str = "-t 10.77.0.10:80";

const WEB1: &str = "10.77.0.21:80";
const WEB2: &str = "10.77.0.22:80";

/// A director with a service over `servers`, one of IPv6 over the same machines, and `more` of the configuration.
fn config(servers: &str, more: &str) -> String {
    format!(
        "vrrp: {{instances: {{edge: {{interface: eth0, vrid: 51, interval: 200ms, addresses: [{VIP4}/24]}}}}}}
services:
  web:
    listen: tcp {VIP4}:80
    scheduler: rr
    forward: direct
    check: {{tcp: {{}}, interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s, rise: 1, fall: 3}}
    real_servers: {{{servers}}}
  web6:
    listen: tcp [{VIP6}]:80
    scheduler: rr
    forward: direct
    real_servers: {{web1: \"[fd77::21]:80\"}}
{more}"
    )
}

fn both() -> String {
    config(&format!("web1: {WEB1}, web2: {WEB2}"), "")
}

/// One network, and two web servers that answer for the virtual address.
fn lab() -> Result<(Lab, Vec<Nginx>)> {
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    for web in lab.webs() {
        web.hold_vip(VIP4.into())?;
    }
    let webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    Ok((lab, webs))
}

fn vip() -> SocketAddr {
    (VIP4, 80).into()
}

/// A director of [`both`] that is active, with both servers up, and a table that is in sync.
fn ready(lab: &Lab) -> Result<Director> {
    let director = Director::start(lab.lb1(), &both())?;
    director.wait_instance("edge", "active", LIMIT)?;
    for web in ["web1", "web2"] {
        director.wait_server("web", web, "up", LIMIT)?;
    }
    director.wait_weights(SERVICE, &[(WEB1, 1), (WEB2, 1)])?;
    Ok(director)
}

fn operations(director: &Director) -> Result<u64> {
    Ok(director.status()?.ipvs.context("a table")?.operations_total)
}

/// How many operations there were once the table was looked at again: the daemon learns of what it has done a moment after the kernel
/// has it.
fn settled_operations(director: &Director) -> Result<u64> {
    let looks = || Some(director.status().ok()?.ipvs?.reconciliations_total);
    let before = looks().context("a table")?;
    wait_until(LIMIT, "another look at the table", || (looks()? > before).then_some(()))?;
    operations(director)
}

fn server(director: &Director, name: &str) -> Result<Server> {
    director.server("web", name)?.with_context(|| format!("no server {name}"))
}

#[test]
fn another_weight_is_one_operation_of_the_kernel() -> Result<()> {
    let (lab, _webs) = lab()?;
    let director = ready(&lab)?;
    let before = settled_operations(&director)?;
    let heavier = config(&format!("web1: {{address: {WEB1}, weight: 7}}, web2: {WEB2}"), "");
    let file = director.node().write("other.yaml", &heavier)?;
    let file = file.to_str().context("a path")?;

    let (code, planned, _) = director.try_cli(&["plan", file, "--exit-code"])?;
    ensure!(code == 4 && planned.contains("~ server  web/web1  weight 1 → 7"), "{code} {planned}");
    assert_eq!(operations(&director)?, before, "a plan changes nothing");
    let (code, planned, _) = director.try_cli(&["plan", "--exit-code"])?;
    ensure!(code == 0 && planned.starts_with("nothing to change"), "{code} {planned}");

    let said = director.reload(&heavier)?;
    ensure!(said.contains("weight 1 → 7  impact: new connections only"), "{said}");
    ensure!(said.contains("1 change, generation 2"), "{said}");
    director.wait_weights(SERVICE, &[(WEB1, 7), (WEB2, 1)])?;
    wait_until(LIMIT, "the operation to be counted", || {
        (operations(&director).ok()? > before).then_some(())
    })?;
    assert_eq!(operations(&director)?, before + 1);
    let said = director.reload(&heavier)?;
    ensure!(said.contains("nothing differs, generation 3"), "{said}");
    assert_eq!(operations(&director)?, before + 1);
    let status = director.status()?.daemon.configuration;
    assert_eq!((status.generation, status.reloads_applied, status.reloads_refused), (3, 2, 0));
    ensure!(status.last_reload.is_some_and(|last| last.applied), "the last reload");
    Ok(())
}

#[test]
fn a_broken_file_changes_nothing_and_says_everything() -> Result<()> {
    let (lab, _webs) = lab()?;
    let director = ready(&lab)?;
    let (table, before) = (saved_table(lab.lb1())?, director.status()?.daemon.configuration);
    let broken = both().replace("scheduler: rr", "scheduler: rrr").replace("vrid: 51", "vrid: 0");
    director.node().write("holdfast.yaml", &broken)?;

    for verb in ["plan", "reload"] {
        let (code, out, err) = director.try_cli(&[verb])?;
        ensure!(code == 78 && out.is_empty(), "{verb}: {code} {out}");
        for word in ["HF0", "holdfast.yaml:", "scheduler: rrr", "vrid: 0", "^"] {
            ensure!(err.contains(word), "{verb}: no {word:?} in {err}");
        }
        let (code, out, _) = director.try_cli(&[verb, "-o", "json"])?;
        let json: Value = serde_json::from_str(&out)?;
        let found = json["diagnostics"].as_array().map(Vec::len);
        ensure!(code == 78 && json["valid"] == false && found >= Some(2), "{verb}: {code} {out}");
    }
    let after = director.status()?.daemon.configuration;
    assert_eq!((after.generation, &after.fingerprint), (before.generation, &before.fingerprint));
    assert_eq!(after.reloads_refused, 2, "two of them were plans");
    let last = after.last_reload.context("the last reload")?;
    ensure!(!last.applied && last.error.is_some_and(|why| why.contains("HF0")), "why");
    ensure!(director.cli(&["status"])?.contains("! the last reload was refused"), "status");
    assert_eq!(saved_table(lab.lb1())?, table);

    // The same by the signal, of which only the log tells.
    director.process().kill(Signal::SIGHUP)?;
    wait_until(LIMIT, "the signal's reload to be refused", || {
        (director.status().ok()?.daemon.configuration.reloads_refused == 3).then_some(())
    })?;
    ensure!(director.process().log().contains("the reload was refused"), "the log");
    director.reload(&both())?;
    ensure!(!director.cli(&["status"])?.contains("! the last reload"), "status");
    Ok(())
}

#[test]
fn what_a_running_daemon_cannot_change_is_refused_whole_and_by_name() -> Result<()> {
    let (lab, _webs) = lab()?;
    let director = ready(&lab)?;
    let table = saved_table(lab.lb1())?;
    let both_changes = config(&format!("web1: {WEB1}"), "daemon: {control: {group: root}}\n");
    director.node().write("holdfast.yaml", &both_changes)?;
    let planned = director.cli(&["plan"])?;
    ensure!(planned.contains("impact: restart needed"), "{planned}");
    ensure!(planned.contains("a reload would be refused"), "{planned}");
    let (code, _, err) = director.try_cli(&["reload"])?;
    ensure!(
        code == 1 && err.contains("restart needed, nothing was changed: daemon control.group"),
        "{err}"
    );
    assert_eq!(saved_table(lab.lb1())?, table);
    Ok(())
}

#[test]
fn a_server_that_leaves_the_file_drains_and_its_connections_live() -> Result<()> {
    let (lab, _webs) = lab()?;
    let director = ready(&lab)?;
    let downloads = Downloads::start(lab.client(), vip(), 4)?;
    wait_until(LIMIT, "the connections to be counted", || {
        let planned = director.cli(&["plan"]).ok()?;
        let counted = server(&director, "web2").ok()?.active_connections == Some(2);
        (planned.starts_with("nothing to change") && counted).then_some(())
    })?;
    let one = config(&format!("web1: {WEB1}"), "");
    director.node().write("holdfast.yaml", &one)?;
    let planned = director.cli(&["plan"])?;
    ensure!(planned.contains("- server  web/web2  10.77.0.22:80 weight 1"), "{planned}");
    ensure!(planned.contains("impact: drains 2 connections"), "{planned}");

    director.cli(&["reload"])?;
    director.wait_weights(SERVICE, &[(WEB1, 1), (WEB2, 0)])?;
    assert_eq!(server(&director, "web2")?.admin, "remove");
    let old = downloads.bytes();
    wait_until(LIMIT, "every download to go on", || {
        downloads.bytes().iter().zip(&old).all(|(new, old)| new > old).then_some(())
    })?;
    // It is named again while it drains: nothing was deleted, so nothing is lost.
    director.reload(&both())?;
    director.wait_weights(SERVICE, &[(WEB1, 1), (WEB2, 1)])?;
    director.reload(&one)?;
    director.wait_weights(SERVICE, &[(WEB1, 1), (WEB2, 0)])?;
    assert_eq!(downloads.broken(), 0);
    drop(downloads);
    director.wait_weights(SERVICE, &[(WEB1, 1)])
}

#[test]
fn services_come_and_go_and_what_is_not_ours_stays() -> Result<()> {
    let (lab, _webs) = lab()?;
    let director = ready(&lab)?;
    lab.lb1().run(["ipvsadm", "-A", "-t", "10.77.0.99:99", "-s", "rr"])?;
    // What somebody has made before is adopted with its destinations, as at a start.
    lab.lb1().run(["ipvsadm", "-A", "-t", "10.77.0.10:81", "-s", "wlc"])?;
    lab.lb1().run(["ipvsadm", "-a", "-t", "10.77.0.10:81", "-r", "10.77.0.21:81", "-g"])?;
    let third = format!(
        "  more: {{listen: [tcp {VIP4}:81], scheduler: rr, forward: direct, real_servers: {{web1: 10.77.0.21:81}}}}\n"
    );
    let three = config(&format!("web1: {WEB1}, web2: {WEB2}"), &third);
    let said = director.reload(&three)?;
    ensure!(said.contains("+ service  more"), "{said}");
    let has = |line: &str| -> Result<bool> {
        Ok(saved_table(lab.lb1())?.iter().any(|found| found.starts_with(line)))
    };
    wait_until(LIMIT, "the new service", || {
        has("-a -t 10.77.0.10:81 -r 10.77.0.21:81 -g -w 1").ok()?.then_some(())
    })?;
    director.reload(&both())?;
    wait_until(LIMIT, "the service to be gone", || {
        (!has("-A -t 10.77.0.10:81").ok()?).then_some(())
    })?;
    ensure!(has("-A -t 10.77.0.99:99")?, "it is not ours");
    wait_until(LIMIT, "the service to be forgotten", || {
        (director.status().ok()?.services.len() == 2).then_some(())
    })
}

#[test]
fn the_first_service_may_come_with_a_reload_and_the_last_may_go() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let none = format!(
        "vrrp: {{instances: {{edge: {{interface: eth0, vrid: 51, interval: 200ms, addresses: [{VIP4}/24]}}}}}}\n"
    );
    let director = Director::start(lab.lb1(), &none)?;
    assert_eq!(director.status()?.ipvs, None);
    let one = format!(
        "{none}services: {{web: {{listen: tcp {VIP4}:80, forward: direct, real_servers: {{web1: {WEB1}}}}}}}\n"
    );
    director.reload(&one)?;
    director.wait_weights(SERVICE, &[(WEB1, 1)])?;
    director.reload(&none)?;
    wait_until(LIMIT, "an empty table", || saved_table(lab.lb1()).ok()?.is_empty().then_some(()))
}

#[test]
fn what_others_change_in_the_kernel_is_in_the_plan() -> Result<()> {
    let (lab, _webs) = lab()?;
    let slow = format!("{}ipvs: {{poll: 1h}}\n", both());
    let director = Director::start(lab.lb1(), &slow)?;
    for web in ["web1", "web2"] {
        director.wait_server("web", web, "up", LIMIT)?;
    }
    director.wait_weights(SERVICE, &[(WEB1, 1), (WEB2, 1)])?;
    wait_until(LIMIT, "a plan of nothing", || {
        director.cli(&["plan"]).ok()?.starts_with("nothing to change").then_some(())
    })?;
    lab.lb1().run(["ipvsadm", "-e", "-t", "10.77.0.10:80", "-r", WEB1, "-g", "-w", "50"])?;
    lab.lb1().run(["ipvsadm", "-d", "-t", "10.77.0.10:80", "-r", WEB2])?;
    lab.lb1().run(["ipvsadm", "-a", "-t", "10.77.0.10:80", "-r", "10.77.0.29:80", "-g"])?;
    let (code, planned, _) = director.try_cli(&["plan", "--exit-code"])?;
    for line in [
        "tcp 10.77.0.10:80 10.77.0.21:80 weight 50, should be 1",
        "tcp 10.77.0.10:80 10.77.0.22:80 is missing",
        "tcp 10.77.0.10:80 10.77.0.29:80 is there and should not be",
        "0 to change, 0 to add, 0 to remove, 3 drifted",
    ] {
        ensure!(code == 4 && planned.contains(line), "{code}: no {line:?} in {planned}");
    }
    // A shorter poll is effective at once, and puts all of it right.
    director.reload(&both())?;
    director.wait_weights(SERVICE, &[(WEB1, 1), (WEB2, 1)])
}

#[test]
fn signals_that_come_in_a_storm_are_few_reloads_and_the_last_one_counts() -> Result<()> {
    let (lab, _webs) = lab()?;
    let director = ready(&lab)?;
    for weight in 1..=50 {
        let servers = format!("web1: {{address: {WEB1}, weight: {weight}}}, web2: {WEB2}");
        // In one step: what is read is never half a file.
        let fresh = director.node().write("fresh.yaml", &config(&servers, ""))?;
        std::fs::rename(&fresh, fresh.with_file_name("holdfast.yaml"))?;
        director.process().kill(Signal::SIGHUP)?;
    }
    director.wait_weights(SERVICE, &[(WEB1, 50), (WEB2, 1)])?;
    let status = director.status()?;
    let reloads = status.daemon.configuration.reloads_applied;
    ensure!((1..=50).contains(&reloads), "{reloads} reloads");
    assert_eq!(status.daemon.configuration.reloads_refused, 0);
    Ok(())
}

#[test]
fn a_thousand_reloads_under_traffic_lose_no_request_and_restart_nothing() -> Result<()> {
    let (lab, _webs) = lab()?;
    let director = ready(&lab)?;
    let pid = director.process().pid();
    let edge = director.instance("edge")?;
    let load = Load::with_timeout(lab.client(), vip(), PACE, PATIENCE);
    let log = director.process().log();
    let health = |log: &str| log.matches("a real server's health changed").count();
    let (checked, since) = (health(&log), server(&director, "web2")?.since_s);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(director.socket());
    let mut resources = Vec::new();
    for turn in 0..RELOADS {
        // Two of three change something: a weight, a service beside; the third says what the one before said.
        let weight = 1 + turn / 3 % 2;
        let servers = format!("web1: {{address: {WEB1}, weight: {weight}}}, web2: {WEB2}");
        let more = match turn % 2 {
            0 => String::new(),
            _ => format!(
                "  more: {{listen: tcp {VIP4}:81, forward: direct, real_servers: {{web1: 10.77.0.21:81}}}}\n"
            ),
        };
        director.node().write("holdfast.yaml", &config(&servers, &more))?;
        runtime.block_on(client.reload())?;
        if turn % 50 == 49 {
            resources.push(resources_of(pid)?);
        }
    }
    let status = director.status()?.daemon.configuration;
    assert_eq!((status.reloads_applied, status.reloads_refused), (RELOADS as u64, 0));
    let after = director.instance("edge")?;
    assert_eq!((after.transitions, after.state.as_str()), (edge.transitions, "active"));
    ensure!(after.since_s >= edge.since_s, "{after:?}");
    assert_eq!(health(&director.process().log()), checked, "a check began anew");
    ensure!(server(&director, "web2")?.since_s >= since, "web2 has another state");
    let all = load.all();
    assert_eq!(all.errors(), Vec::<String>::new(), "of {} requests", all.requests());
    ensure!(all.requests() > RELOADS / 10, "{} requests", all.requests());
    // The first half fills the list of a thousand events, caches and the allocator; from then on nothing grows.
    let (half, [.., (last_kib, last_fds)]) = resources.split_at(resources.len() / 2) else {
        anyhow::bail!("{resources:?}");
    };
    let [(_, first_fds), .., (half_kib, _)] = half else {
        anyhow::bail!("{resources:?}");
    };
    // Two checks and the answer to a request may be under way when it is looked; a leak would show hundreds of times.
    ensure!(*last_fds <= first_fds + 3, "{resources:?}");
    ensure!(*last_kib <= half_kib + 1024, "{resources:?}");
    Ok(())
}

/// What a process has of memory of its own in KiB, and how many descriptors it has open. Of its text more or less is resident, by whether
/// a reload's has been given back already.
fn resources_of(pid: u32) -> Result<(u64, usize)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let resident = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let resident = resident.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse().ok());
    let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    Ok((resident.context("RssAnon")?, descriptors))
}
