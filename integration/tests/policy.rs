//! What becomes of a service when its servers fail, in the kernel's table and for clients, in both families at once: quorum, sorry
//! servers, fail open, withdrawal of the addresses, damping, hooks, and connections of servers that failed.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Service;
use holdfast_integration::duo::{Duo, wait_fault, wait_priority, wait_status, wait_tracker};
use holdfast_integration::pair::{Roles, VIPS};
use holdfast_integration::{Director, ask_within, weights};
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, VIP4, VIP6, wait_until};
use nix::sys::signal::Signal;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A request that takes longer has failed, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Patient with a web server in a slow guest, and quick where something has changed.
const HEALTH: &str = "check: {http: {path: /health}, interval: 2s, fast_interval: 300ms, down_interval: 300ms, timeout: 1900ms, spread: 0s, rise: 1, fall: 2}";

/// lb1 with the virtual addresses, and three web servers that answer for them.
fn lab() -> Result<(Lab, Vec<Nginx>)> {
    let lab = Lab::with(Topology::one_arm().webs(3))?;
    for web in lab.webs() {
        VIPS.into_iter().try_for_each(|vip| web.hold_vip(vip))?;
    }
    let webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    Ok((lab, webs))
}

/// The same, where lb1 has the virtual addresses for good. They are nobody's source: a server would answer to itself.
fn alone() -> Result<(Lab, Vec<Nginx>)> {
    let (lab, webs) = lab()?;
    let vips = format!(
        "ip address add {VIP4}/24 dev eth0; ip address add {VIP6}/64 dev eth0 nodad preferred_lft 0"
    );
    lab.lb1().sh(&vips)?;
    Ok((lab, webs))
}

/// The services `v4` and `v6` with the same keys, web1 and web2 behind them; `sorry` has web3 stand in.
fn services(keys: &str, sorry: bool) -> String {
    let one = |name: &str, vip: String, server: &dyn Fn(u8) -> String| {
        let sorry = if sorry {
            format!("sorry_servers: {{sorry: '{}'}}, ", server(3))
        } else {
            String::new()
        };
        format!(
            "  {name}: {{listen: 'tcp {vip}:80', scheduler: wrr, forward: direct, {keys} {sorry}{HEALTH}, \
             real_servers: {{web1: {{address: '{}', weight: 2}}, web2: '{}'}}}}\n",
            server(1),
            server(2)
        )
    };
    let v4 = one("v4", VIP4.to_string(), &|number| format!("10.77.0.2{number}:80"));
    let v6 = one("v6", format!("[{VIP6}]"), &|number| format!("[fd00:77::2{number}]:80"));
    format!("services:\n{v4}{v6}")
}

/// Waits until the kernel has these weights for the three servers, in both families.
fn wait_weights(director: &Director, expected: [Option<u32>; 3]) -> Result<()> {
    let families = [
        (format!("-t {VIP4}:80"), ["10.77.0.21:80", "10.77.0.22:80", "10.77.0.23:80"]),
        (format!("-t [{VIP6}]:80"), ["[fd00:77::21]:80", "[fd00:77::22]:80", "[fd00:77::23]:80"]),
    ];
    for (listen, servers) in families {
        let mut last = None;
        wait_until(LIMIT, &format!("{listen} to have the weights {expected:?}"), || {
            let found = weights(director.node(), &listen).ok()?;
            let found = servers.map(|server| found.get(server).copied());
            last = Some(found);
            (found == expected).then_some(())
        })
        .with_context(|| format!("it has {last:?}: {}", director.process().log_tail()))?;
    }
    Ok(())
}

/// Waits until both virtual addresses are answered for by one of `names`.
fn wait_served_by(client: &Node, names: &[&str]) -> Result<()> {
    for vip in VIPS {
        let mut last = None;
        wait_until(LIMIT, &format!("{names:?} to answer at {vip}"), || {
            last = Some(client.enter(|| ask_within(SocketAddr::new(vip, 80), PATIENCE)).ok()?);
            matches!(&last, Some(Ok(name)) if names.contains(&name.as_str())).then_some(())
        })
        .with_context(|| format!("the last answer: {last:?}"))?;
    }
    Ok(())
}

fn set_healthy(webs: &[Nginx], numbers: &[usize], healthy: bool) -> Result<()> {
    numbers
        .iter()
        .try_for_each(|number| webs.get(number - 1).context("a web server")?.set_healthy(healthy))
}

/// A connection of a client to a virtual address, at rest.
fn connection(client: &Node, vip: IpAddr) -> Result<TcpStream> {
    let stream = client.enter(|| TcpStream::connect((vip, 80)))??;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What the server at the other end of a connection answers.
fn answer(mut stream: TcpStream) -> std::io::Result<String> {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n")?;
    let mut said = String::new();
    stream.read_to_string(&mut said)?;
    Ok(said)
}

fn service(director: &Director, name: &str, state: &str) -> Result<Service> {
    wait_until(LIMIT, &format!("the service {name} to be {state}"), || {
        director.service(name).ok().filter(|service| service.quorum.state == state)
    })
}

/// A hook that writes its arguments down.
fn hook(node: &Node) -> Result<(String, std::path::PathBuf)> {
    let said = node.folder().join("said");
    fs::write(&said, "")?;
    fs::set_permissions(&said, fs::Permissions::from_mode(0o666))?;
    let script = format!("#!/bin/sh\nprintf '%s\\n' \"$*\" >>{}\n", said.display());
    let command = node.write("record", &script)?;
    fs::set_permissions(&command, fs::Permissions::from_mode(0o755))?;
    Ok((command.display().to_string(), said))
}

#[test]
fn the_sorry_server_answers_while_all_are_down_and_finishes_what_it_has() -> Result<()> {
    let (lab, webs) = alone()?;
    let (command, said) = hook(lab.lb1())?;
    let keys = format!("hooks: [{{command: [{command}]}}],");
    let config = format!("daemon: {{scripts: {{user: nobody}}}}\n{}", services(&keys, true));
    let mut director = Director::start(lab.lb1(), &config)?;
    wait_weights(&director, [Some(2), Some(1), Some(0)])?;
    wait_served_by(lab.client(), &["web1", "web2"])?;
    // One of two is no reason to be sorry.
    set_healthy(&webs, &[1], false)?;
    wait_weights(&director, [Some(0), Some(1), Some(0)])?;
    set_healthy(&webs, &[2], false)?;
    wait_weights(&director, [Some(0), Some(0), Some(1)])?;
    wait_served_by(lab.client(), &["web3"])?;
    let v6 = service(&director, "v6", "down")?;
    assert_eq!((v6.quorum.regime.as_str(), v6.quorum.weight), ("sorry", 0));
    let shown = director.cli(&["status"])?;
    ensure!(
        shown.contains("weight 0, quorum 1): the sorry servers take new connections"),
        "{shown}"
    );
    let held = VIPS.map(|vip| connection(lab.client(), vip));
    // A daemon that comes back finds the sorry server in use, and changes nothing.
    director.kill()?;
    director.restart()?;
    let ipvs = wait_until(LIMIT, "a look at the table", || {
        director.status().ok()?.ipvs.filter(|ipvs| ipvs.reconciliations_total > 0)
    })?;
    assert_eq!(ipvs.operations_total, 0);
    wait_weights(&director, [Some(0), Some(0), Some(1)])?;
    set_healthy(&webs, &[2], true)?;
    wait_weights(&director, [Some(0), Some(1), Some(0)])?;
    wait_served_by(lab.client(), &["web2"])?;
    for stream in held {
        let said = answer(stream?)?;
        ensure!(said.contains("web3"), "{said}");
    }
    let expected = ["UP", "DOWN", "UP"];
    wait_until(LIMIT, "the hooks", || {
        let said = fs::read_to_string(&said).ok()?;
        let of = |name: &str| -> Vec<String> {
            let start = format!("SERVICE {name} ");
            let lines = said.lines().filter_map(|line| line.strip_prefix(&start));
            lines.map(|rest| rest.split(' ').next().unwrap_or_default().to_owned()).collect()
        };
        (of("v4") == expected && of("v6") == expected).then_some(())
    })
    .with_context(|| fs::read_to_string(&said).unwrap_or_default())?;
    let events = director.cli(&["events"])?;
    ensure!(events.contains("service.up"), "{events}");
    Ok(())
}

/// keepalived's rule: below the quorum a server that is alive gives way to the sorry server, and comes back with quorum + hysteresis.
#[test]
fn a_quorum_counts_weight_and_has_two_thresholds() -> Result<()> {
    let (lab, webs) = alone()?;
    let keys = "quorum: 2, hysteresis: 1, on_failure: remove,";
    let director = Director::start(lab.lb1(), &services(keys, true))?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    set_healthy(&webs, &[1], false)?;
    // 1 is not below 2 - 1.
    wait_weights(&director, [None, Some(1), None])?;
    assert_eq!(service(&director, "v4", "up")?.quorum.weight, 1);
    set_healthy(&webs, &[2], false)?;
    wait_weights(&director, [None, None, Some(1)])?;
    set_healthy(&webs, &[1], true)?;
    // 2 is not 2 + 1.
    for family in ["v4", "v6"] {
        director.wait_server(family, "web1", "up", LIMIT)?;
    }
    wait_weights(&director, [None, None, Some(1)])?;
    set_healthy(&webs, &[2], true)?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    wait_served_by(lab.client(), &["web1", "web2"])
}

#[test]
fn fail_open_sends_clients_to_servers_whose_checks_all_fail() -> Result<()> {
    let (lab, webs) = alone()?;
    let director = Director::start(lab.lb1(), &services("all_down: fail_open,", false))?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    set_healthy(&webs, &[1], false)?;
    wait_weights(&director, [Some(0), Some(1), None])?;
    set_healthy(&webs, &[2], false)?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    assert_eq!(service(&director, "v6", "down")?.quorum.regime, "fail_open");
    wait_served_by(lab.client(), &["web1", "web2"])?;
    director.cli(&["server", "maint", "v4", "web1"])?;
    director.cli(&["server", "maint", "v6", "web1"])?;
    wait_weights(&director, [Some(0), Some(1), None])?;
    set_healthy(&webs, &[2], true)?;
    service(&director, "v4", "up").map(drop)
}

/// The director that has lost its way to the servers gives the addresses to the one that has not.
#[test]
fn a_director_without_its_servers_gives_the_addresses_away() -> Result<()> {
    let (mut lab, _webs) = lab()?;
    for (keys, track, fault) in [
        ("all_down: withdraw_vip,", "", true),
        (
            "quorum: 3,",
            ", track: [{tracker: pool4, weight: -60}, {tracker: pool6, weight: -60}]",
            false,
        ),
    ] {
        let trackers = "  trackers: {pool4: {service: v4}, pool6: {service: v6}}\n";
        let trackers = if fault { "" } else { trackers };
        let lb1 = format!("priority: 150{track}");
        let lb2 = format!("priority: 100{track}");
        let roles = Roles { interval: "200ms", lb1: &lb1, lb2: &lb2 };
        let vrrp = roles.config().replacen("vrrp:\n", &format!("vrrp:\n{trackers}"), 1);
        let vrrp = vrrp.split("services:").next().context("the key vrrp")?.to_owned();
        let mut duo = Duo::start(lab, &format!("{vrrp}{}", services(keys, false)))?;
        duo.wait_lb1()?;
        wait_served_by(duo.lab.client(), &["web1", "web2"])?;
        let lost = [
            "ip route add unreachable 10.77.0.21/32 metric 1",
            "ip route add unreachable 10.77.0.22/32 metric 1",
            "ip -6 route add unreachable fd00:77::21/128 metric 1",
            "ip -6 route add unreachable fd00:77::22/128 metric 1",
        ];
        duo.lab.lb1().sh(&lost.join("\n"))?;
        if fault {
            wait_fault(&duo.lb1, "went down with weight 0, quorum 1")?;
            wait_status(&duo.lb2, "active", |status| {
                status.vrrp.iter().all(|one| one.state == "active")
            })?;
        } else {
            duo.wait_lb2()?;
            wait_priority(&duo.lb1, 30, &[("pool4", -60), ("pool6", -60)])?;
        }
        let tracker = if fault { "v4" } else { "pool4" };
        wait_tracker(&duo.lb1, tracker, "down")?;
        wait_served_by(duo.lab.client(), &["web1", "web2"])?;
        duo.lab.lb1().sh(&lost.join("\n").replace("route add", "route del"))?;
        duo.wait_lb1()?;
        wait_served_by(duo.lab.client(), &["web1", "web2"])?;
        duo.lb2.stop()?;
        duo.lb1.stop()?;
        lab = duo.lab;
    }
    Ok(())
}

#[test]
fn a_server_that_flaps_is_kept_down_until_its_hold_is_over() -> Result<()> {
    let (lab, webs) = alone()?;
    let keys = "flap_damping: {falls: 2, within: 10m, hold: 15s},";
    let director = Director::start(lab.lb1(), &services(keys, false))?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    set_healthy(&webs, &[1], false)?;
    wait_weights(&director, [Some(0), Some(1), None])?;
    set_healthy(&webs, &[1], true)?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    set_healthy(&webs, &[1], false)?;
    wait_weights(&director, [Some(0), Some(1), None])?;
    set_healthy(&webs, &[1], true)?;
    for family in ["v4", "v6"] {
        let held = wait_until(LIMIT, "a pass that does not count", || {
            let web1 = director.server(family, "web1").ok()??;
            let passes = web1.checks.first().is_some_and(|check| check.state == "up");
            (passes && web1.health == "down").then_some(web1)
        })?;
        assert_eq!(held.reason.code, "FLAPPING");
        ensure!(held.reason.sentence.contains("its checks say up"), "{:?}", held.reason);
    }
    wait_weights(&director, [Some(2), Some(1), None])?;
    Ok(())
}

/// What was under way while the daemon did not run, and what it missed, is held against nobody: one failure would do.
#[test]
fn a_daemon_that_stood_still_withdraws_nobody() -> Result<()> {
    let (lab, webs) = alone()?;
    let config = services("", false).replace("fall: 2", "fall: 1");
    let director = Director::start(lab.lb1(), &config)?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    for _ in 0..2 {
        director.process().kill(Signal::SIGSTOP)?;
        // Longer than an interval and a timeout.
        std::thread::sleep(Duration::from_secs(4));
        director.process().kill(Signal::SIGCONT)?;
        director.status()?;
    }
    set_healthy(&webs, &[1], false)?;
    wait_weights(&director, [Some(0), Some(1), None])?;
    let events = director.cli(&["events"])?;
    let fell: Vec<&str> = events.lines().filter(|line| line.contains("server.down")).collect();
    ensure!(fell.len() == 2 && fell.iter().all(|line| line.contains("web1")), "{events}");
    Ok(())
}

/// With persistence the kernel remembers which server a client has. `remove` has it forget, and ends what is open; `inhibit` lets what is open
/// go on, and sends what is new elsewhere.
#[test]
fn connections_of_a_persistent_client_end_or_go_on_as_the_service_says() -> Result<()> {
    let (lab, webs) = alone()?;
    for (word, ends) in [("remove", true), ("inhibit", false)] {
        set_healthy(&webs, &[1, 2], true)?;
        let keys = format!("persistence: {{}}, on_failure: {word},");
        let mut director = Director::start(lab.lb1(), &services(&keys, false))?;
        wait_weights(&director, [Some(2), Some(1), None])?;
        for (family, vip) in ["v4", "v6"].into_iter().zip(VIPS) {
            let ask = || lab.client().enter(|| ask_within(SocketAddr::new(vip, 80), PATIENCE));
            let first = ask()??;
            ensure!(ask()?? == first, "the client is remembered");
            let held = connection(lab.client(), vip)?;
            let number = if first == "web1" { 1 } else { 2 };
            let other = if number == 1 { "web2" } else { "web1" };
            set_healthy(&webs, &[number], false)?;
            director.wait_server(family, &first, "down", LIMIT)?;
            wait_until(LIMIT, "the other server to answer", || {
                (ask().ok()?.ok()? == other).then_some(())
            })?;
            match answer(held) {
                Ok(said) if !ends && said.contains(first.as_str()) => {}
                Err(_reset) if ends => {}
                other => anyhow::bail!("{word} {family}: {other:?}"),
            }
            set_healthy(&webs, &[number], true)?;
            director.wait_server(family, &first, "up", LIMIT)?;
        }
        director.stop()?;
        lab.lb1().run(["ipvsadm", "-C"])?;
    }
    Ok(())
}

#[test]
fn one_check_of_several_suffices_and_initial_says_what_counts_before_them() -> Result<()> {
    let (lab, webs) = alone()?;
    let any = services("initial: up,", false).replace(
        HEALTH,
        "checks: {any: [{tcp: {port: 81}, interval: 300ms, fall: 1}, {http: {path: /health}, interval: 2s, fast_interval: 300ms, down_interval: 300ms, timeout: 1900ms, spread: 0s, fall: 2}]}",
    );
    let director = Director::start(lab.lb1(), &any)?;
    wait_weights(&director, [Some(2), Some(1), None])?;
    for family in ["v4", "v6"] {
        wait_until(LIMIT, "both checks to have finished", || {
            let web1 = director.server(family, "web1").ok()??;
            let states: Vec<_> = web1.checks.iter().map(|check| check.state.as_str()).collect();
            (states == ["down", "up"] && web1.health == "up").then_some(())
        })?;
    }
    set_healthy(&webs, &[1], false)?;
    wait_weights(&director, [Some(0), Some(1), None])?;
    set_healthy(&webs, &[1], true)?;
    wait_weights(&director, [Some(2), Some(1), None])
}
