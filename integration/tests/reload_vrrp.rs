//! A reload of VRRP while two nodes elect: what differs changes, what does not differ notices nothing, and neither does the other node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::Director;
use holdfast_integration::duo::{Duo, wait_status};
use holdfast_integration::probes::{Echo, Questions};
use holdfast_integration::watch::Watch;
use holdfast_testkit::lab::{Lab, Process, Topology, VIP4, VIP6, wait_until};
use nix::sys::signal::Signal;
use vrrp::AddressFamily;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// So many reloads in a row.
const RELOADS: usize = 100;

const SECOND: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 8);
const THIRD: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 9);

/// Two instances of which lb1 has the higher priority, `edge` (IPv4) with these keys and addresses, and `edge6`; and `more` instances.
/// One has a command, so that the daemon keeps what commands need: without any, a reload that brings the first is refused.
fn config(keys: &str, addresses: &str, more: &str, vrrp: &str) -> String {
    let nodes = "per_node: {lb1: {priority: 150}, lb2: {priority: 100}}";
    format!(
        "daemon: {{scripts: {{user: nobody}}}}
vrrp:
{vrrp}  instances:
    edge: {{interface: eth0, vrid: 51, interval: 200ms, addresses: [{addresses}], {keys}{nodes}}}
    edge6: {{interface: eth0, vrid: 51, interval: 200ms, addresses: [\"fe80::33/64\", \"{VIP6}/64\"], hooks: [{{command: [/bin/true]}}], {nodes}}}
{more}"
    )
}

fn plain() -> String {
    config("", &format!("{VIP4}/24"), "", "")
}

/// A third instance, called so, with this address.
fn third(name: &str, address: Ipv4Addr) -> String {
    format!(
        "    {name}: {{interface: eth0, vrid: 53, interval: 200ms, addresses: [{address}/24], per_node: {{lb1: {{priority: 150}}, lb2: {{priority: 100}}}}}}\n"
    )
}

fn duo() -> Result<Duo> {
    let duo = Duo::start(Lab::with(Topology::one_arm().webs(0))?, &plain())?;
    duo.wait_lb1()?;
    Ok(duo)
}

fn reload_both(duo: &Duo, config: &str) -> Result<()> {
    duo.lb1.reload(config)?;
    duo.lb2.reload(config).map(drop)
}

/// Watches a node's addresses come and go.
fn monitor(director: &Director) -> Result<Process> {
    let node = director.node();
    let process = node.spawn("monitor", ["ip", "monitor", "address"])?;
    // It hears from some moment on: then what comes is in its log.
    let mut number = 0;
    wait_until(LIMIT, "the monitor to hear", || {
        number += 1;
        let address = format!("192.0.2.{}/32", 100 + number % 100);
        node.run(["ip", "address", "replace", &address, "dev", "lo"]).ok()?;
        process.log().contains("192.0.2.").then_some(())
    })?;
    Ok(process)
}

fn transitions(director: &Director) -> Result<Vec<(String, u64)>> {
    let instances = director.status()?.vrrp;
    Ok(instances.into_iter().map(|one| (one.name, one.transitions)).collect())
}

fn wait_has(director: &Director, address: IpAddr, has: bool) -> Result<()> {
    let what = format!("{} to have {address}: {has}", director.node().name());
    wait_until(LIMIT, &what, || (director.node().has_address(address).ok()? == has).then_some(()))
        .with_context(|| director.process().log_tail())
}

#[test]
fn a_hundred_reloads_move_no_role_and_say_no_goodbye() -> Result<()> {
    let duo = duo()?;
    let watches = [
        Watch::start(duo.lab.client(), AddressFamily::Ipv4)?,
        Watch::start(duo.lab.client(), AddressFamily::Ipv6)?,
    ];
    let before = (transitions(&duo.lb1)?, transitions(&duo.lb2)?);
    let addresses = monitor(&duo.lb1)?;
    for turn in 0..RELOADS {
        // Each second one changes something beside: a hook, a tracker that nobody tracks, an announcement's count.
        let (keys, vrrp) = match turn % 4 {
            0 => ("hooks: [{command: [/bin/true]}], ", ""),
            1 => ("", "  trackers: {lo: {interface: lo}}\n"),
            2 => ("announce: {count: 3}, ", ""),
            _ => ("", ""),
        };
        let config = config(keys, &format!("{VIP4}/24"), "", vrrp);
        duo.lb1.reload(&config)?;
        duo.lb2.reload(&config)?;
    }
    assert_eq!((transitions(&duo.lb1)?, transitions(&duo.lb2)?), before);
    for (watch, lb1) in watches.iter().zip([IpAddr::V4(duo.lab.lb1().ip4()), link_local(&duo)?]) {
        ensure!(watch.heard().iter().any(|one| one.source == lb1), "nothing was heard");
        ensure!(watch.heard().iter().all(|one| one.priority != 0), "somebody said goodbye");
    }
    ensure!(!addresses.log().contains("Deleted"), "{}", addresses.log());
    let status = duo.lb1.status()?.daemon.configuration;
    assert_eq!(status.reloads_applied, RELOADS as u64);
    addresses.kill(Signal::SIGTERM)
}

/// The address that lb1 advertises from for IPv6.
fn link_local(duo: &Duo) -> Result<IpAddr> {
    let said = duo.lab.lb1().run(["ip", "-o", "-6", "address", "show", "dev", "eth0"])?.stdout;
    let own = said.lines().filter_map(|line| {
        let address = line.split_whitespace().nth(3)?.split('/').next()?;
        let address: Ipv6Addr = address.parse().ok()?;
        (address.is_unicast_link_local() && !line.contains("fe80::33/")).then_some(address)
    });
    own.map(IpAddr::V6).next().context("a link-local address")
}

#[test]
fn an_instance_comes_and_goes_and_the_others_notice_nothing() -> Result<()> {
    let duo = duo()?;
    let before = transitions(&duo.lb1)?;
    let with = config("", &format!("{VIP4}/24"), &third("extra", SECOND), "");
    reload_both(&duo, &with)?;
    duo.wait_lb1()?;
    wait_has(&duo.lb1, SECOND.into(), true)?;

    // It leaves as at a stop: the other node takes over, and the address is answered for throughout.
    let _echo = [Echo::start(duo.lab.lb1())?, Echo::start(duo.lab.lb2())?];
    let questions = Questions::start(duo.lab.client(), SECOND.into(), Duration::from_millis(5))?;
    duo.lb1.reload(&plain())?;
    wait_has(&duo.lb2, SECOND.into(), true)?;
    wait_has(&duo.lb1, SECOND.into(), false)?;
    questions.wait_answered_by(duo.lab.lb2(), 20)?;
    let answers = questions.end();
    // Make before break: what is lost is lost to the client's table of neighbours.
    ensure!(answers.longest_gap() < Duration::from_secs(1), "{:?}", answers.longest_gap());
    wait_status(&duo.lb1, "the instance is forgotten", |status| status.vrrp.len() == 2)?;
    duo.lb2.reload(&plain())?;
    wait_has(&duo.lb2, SECOND.into(), false)?;
    assert_eq!(transitions(&duo.lb1)?, before);
    duo.wait_lb1()
}

#[test]
fn addresses_come_go_and_move_between_instances_with_one_reload() -> Result<()> {
    let duo = duo()?;
    let before = transitions(&duo.lb1)?;
    reload_both(&duo, &config("", &format!("{VIP4}/24, {SECOND}/24"), "", ""))?;
    wait_has(&duo.lb1, SECOND.into(), true)?;
    let extra = third("extra", THIRD);
    reload_both(&duo, &config("", &format!("{VIP4}/24, {SECOND}/24"), &extra, ""))?;
    duo.wait_lb1()?;

    // The second address is the third instance's: it never leaves the interface.
    let monitor = monitor(&duo.lb1)?;
    let moved = extra.replace(&format!("{THIRD}/24"), &format!("{THIRD}/24, {SECOND}/24"));
    reload_both(&duo, &config("", &format!("{VIP4}/24"), &moved, ""))?;
    wait_status(&duo.lb1, "the address has moved", |status| {
        let of = |name: &str| status.vrrp.iter().find(|one| one.name == name);
        of("extra").is_some_and(|one| one.addresses.len() == 2 && one.holds_addresses)
            && of("edge").is_some_and(|one| one.addresses.len() == 1)
    })?;
    duo.wait_lb1()?;
    ensure!(
        !monitor.log().lines().any(|line| line.contains("Deleted") && line.contains("10.77.0.8/")),
        "{}",
        monitor.log()
    );
    reload_both(&duo, &plain())?;
    wait_has(&duo.lb1, SECOND.into(), false)?;
    wait_has(&duo.lb1, VIP4.into(), true)?;
    wait_status(&duo.lb1, "two instances are left", |status| status.vrrp.len() == 2)?;
    assert_eq!(transitions(&duo.lb1)?, before);
    monitor.kill(Signal::SIGTERM)
}

#[test]
fn another_priority_moves_the_role_and_another_interval_does_not() -> Result<()> {
    let duo = duo()?;
    let before = transitions(&duo.lb1)?;
    let slower = plain().replace("interval: 200ms", "interval: 300ms");
    let planned = {
        duo.lb1.node().write("holdfast.yaml", &slower)?;
        duo.lb1.cli(&["plan"])?
    };
    ensure!(planned.contains("~ vrrp  edge   interval 200ms → 300ms"), "{planned}");
    ensure!(planned.contains("peer must match"), "{planned}");
    reload_both(&duo, &slower)?;
    wait_status(&duo.lb2, "the new interval is heard", |status| {
        status.vrrp.iter().all(|one| one.peers.iter().any(|peer| peer.interval_ms == 300))
    })?;
    assert_eq!(transitions(&duo.lb1)?, before);

    let lower = slower.replace("lb1: {priority: 150}", "lb1: {priority: 90}");
    let said = duo.lb1.reload(&lower)?;
    ensure!(said.contains("priority 150 → 90"), "{said}");
    duo.wait_lb2()?;
    duo.lb1.reload(&slower)?;
    duo.wait_lb1()
}

#[test]
fn another_name_keeps_the_role_and_another_vrid_begins_anew() -> Result<()> {
    let duo = duo()?;
    let before = duo.lb1.instance("edge")?;
    let monitor = monitor(&duo.lb1)?;
    let renamed = plain().replace("    edge:", "    rim:");
    let said = duo.lb1.reload(&renamed)?;
    ensure!(said.contains("~ vrrp  rim  name edge → rim"), "{said}");
    let after = duo.lb1.instance("rim")?;
    assert_eq!((after.transitions, after.state.as_str()), (before.transitions, "active"));
    ensure!(after.since_s >= before.since_s, "{after:?}");
    ensure!(!monitor.log().contains("Deleted"), "{}", monitor.log());

    let other = renamed.replacen("vrid: 51", "vrid: 61", 1);
    reload_both(&duo, &other)?;
    duo.wait_lb1()?;
    assert_eq!(duo.lb1.instance("rim")?.vrid, 61);
    ensure!(duo.lb1.instance("rim")?.transitions > after.transitions, "it began anew");
    monitor.kill(Signal::SIGTERM)
}

#[test]
fn groups_and_trackers_come_and_go() -> Result<()> {
    let duo = duo()?;
    let before = transitions(&duo.lb1)?;
    let file = duo.lab.lb1().write("number", "0\n")?;
    let tracked = |more: &str| {
        let tracker = format!("  trackers: {{number: {{file: {{path: {}}}}}}}\n", file.display());
        let track = format!("track: [{{tracker: number, weight: -1}}], {more}");
        config(&track, &format!("{VIP4}/24"), "", &tracker)
    };
    duo.lb1.reload(&tracked(""))?;
    duo.lab.lb1().write("number", "80\n")?;
    wait_status(&duo.lb2, "the instance that is tracked has moved", |status| {
        status.vrrp.iter().all(|one| (one.state == "active") == (one.name == "edge"))
    })?;
    // Without the tracker it comes back.
    duo.lb1.reload(&plain())?;
    duo.wait_lb1()?;
    ensure!(duo.lb1.status()?.trackers.is_empty(), "no tracker is left");
    assert_eq!(transitions(&duo.lb1)?[1], before[1], "edge6 has noticed nothing");

    // One that is a fault when it is down, and slow to say that it is up, costs no role.
    let slow = "  trackers: {slow: {script: {command: [/bin/sleep, \"1\"]}, interval: 40s, timeout: 30s}}\n";
    let steady = transitions(&duo.lb1)?;
    duo.lb1.reload(&config("track: [slow], ", &format!("{VIP4}/24"), "", slow))?;
    wait_status(&duo.lb1, "the script has run", |status| {
        status.trackers.iter().any(|tracker| tracker.state == "up")
    })?;
    assert_eq!(transitions(&duo.lb1)?, steady);

    // In a group both move together.
    let group = "  groups: {both: {instances: [edge, edge6]}}\n";
    let grouped = config("", &format!("{VIP4}/24"), "", group);
    reload_both(&duo, &grouped)?;
    wait_status(&duo.lb1, "the group is active", |status| {
        status.groups.iter().any(|group| group.state == "active")
    })?;
    duo.wait_lb1()?;
    duo.lb1.cli(&["vrrp", "release", "both"])?;
    duo.wait_lb2()?;
    // What the operator wants outlives the reload that ends the group.
    reload_both(&duo, &plain())?;
    ensure!(duo.lb1.status()?.vrrp.iter().all(|one| one.released), "it is released still");
    duo.lb1.cli(&["vrrp", "resume", "edge"])?;
    duo.lb1.cli(&["vrrp", "resume", "edge6"])?;
    duo.wait_lb1()
}

#[test]
fn what_cannot_be_watched_changes_nothing() -> Result<()> {
    let duo = duo()?;
    let before = (transitions(&duo.lb1)?, duo.lb1.status()?.daemon.configuration.generation);
    let nowhere = "  trackers: {number: {file: {path: /no-such-folder/number}}}\n";
    duo.lb1.node().write("holdfast.yaml", &config("", &format!("{SECOND}/24"), "", nowhere))?;
    let (code, _, err) = duo.lb1.try_cli(&["reload"])?;
    ensure!(code != 0 && err.contains("no-such-folder"), "{code} {err}");
    let status = duo.lb1.status()?;
    assert_eq!((transitions(&duo.lb1)?, status.daemon.configuration.generation), before);
    ensure!(!duo.lb1.node().has_address(SECOND.into())?, "an address of a refused file");
    duo.wait_lb1()
}
