//! How fast servers come and go: slow start, shares of a weight, maintenance, drains with their reasons, UDP's silence.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holdfast_control::Server;
use holdfast_integration::{Director, weights};
use holdfast_testkit::lab::{Lab, Nginx, Topology, VIP4, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

const WEB1: &str = "10.77.0.21:80";
const WEB2: &str = "10.77.0.22:80";

/// lb1 with the virtual address, and web servers that answer for it.
fn lab(webs: u8) -> Result<(Lab, Vec<Nginx>)> {
    let lab = Lab::with(Topology::one_arm().webs(webs))?;
    for web in lab.webs() {
        web.hold_vip(VIP4.into())?;
    }
    lab.lb1().sh(&format!("ip address add {VIP4}/24 dev eth0"))?;
    let webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    Ok((lab, webs))
}

fn web(keys: &str, servers: &str) -> String {
    format!(
        "services: {{web: {{listen: tcp {VIP4}:80, forward: direct, {keys} \
         check: {{tcp: {{}}, interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s, rise: 1, fall: 3}}, real_servers: {{{servers}}}}}}}\n"
    )
}

fn weight(director: &Director, address: &str) -> Option<u32> {
    let listen = format!("-t {VIP4}:80");
    weights(director.node(), &listen).ok()?.get(address).copied()
}

fn wait_weight(director: &Director, address: &str, expected: Option<u32>) -> Result<()> {
    wait_until(LIMIT, &format!("the kernel to have {expected:?} for {address}"), || {
        (weight(director, address) == expected).then_some(())
    })
    .with_context(|| format!("it has {:?}", weight(director, address)))
}

fn server(director: &Director, name: &str) -> Result<Server> {
    director.server("web", name)?.with_context(|| format!("no server {name}"))
}

/// The weight that ipvsadm shows rises by tenths, and the other server's stays.
#[test]
fn a_server_that_comes_up_rises_by_tenths() -> Result<()> {
    let (lab, _webs) = lab(2)?;
    let servers = format!("web1: {{address: {WEB1}, weight: 3}}");
    let director = Director::start(lab.lb1(), &web("scheduler: wrr, slow_start: 9s,", &servers))?;
    wait_weight(&director, WEB1, Some(300))?;
    director.cli(&["server", "add", "web", WEB2, "--name", "web2"])?;
    let mut seen = Vec::new();
    wait_until(LIMIT, "web2 to have its whole weight", || {
        let listed = weights(director.node(), &format!("-t {VIP4}:80")).ok()?;
        let (web1, web2) = (listed.get(WEB1).copied()?, listed.get(WEB2).copied()?);
        if seen.last() != Some(&(web1, web2)) {
            seen.push((web1, web2));
        }
        (web2 == 100).then_some(())
    })?;
    ensure!(seen.iter().all(|(web1, _)| *web1 == 300), "{seen:?}");
    ensure!(seen.iter().all(|(_, web2)| web2.is_multiple_of(10)), "{seen:?}");
    // A busy machine may miss steps; that the weight never jumps is the engine's property test.
    ensure!(seen.is_sorted() && seen.len() >= 4, "{seen:?}");
    wait_until(LIMIT, "the end of its rise", || {
        server(&director, "web2").ok()?.ramp_percent.is_none().then_some(())
    })
}

/// A restart finds the whole weight in the kernel and leaves it.
#[test]
fn a_restart_starts_nothing_slowly() -> Result<()> {
    let (lab, _webs) = lab(1)?;
    let keys = "scheduler: wlc, slow_start: 2s,";
    let mut director = Director::start(lab.lb1(), &web(keys, &format!("web1: {WEB1}")))?;
    wait_weight(&director, WEB1, Some(100))?;
    director.kill()?;
    director.restart()?;
    let status = wait_until(LIMIT, "a look at the table", || {
        director.status().ok()?.ipvs.filter(|ipvs| ipvs.reconciliations_total > 0)
    })?;
    assert_eq!(status.operations_total, 0);
    assert_eq!(weight(&director, WEB1), Some(100));
    Ok(())
}

#[test]
fn a_share_is_taken_of_the_configured_weight_and_what_rounding_does_is_said() -> Result<()> {
    let (lab, _webs) = lab(2)?;
    let servers = format!("web1: {{address: {WEB1}, weight: 10}}, web2: {WEB2}");
    let director = Director::start(lab.lb1(), &web("scheduler: wrr,", &servers))?;
    wait_weight(&director, WEB1, Some(10))?;
    director.cli(&["server", "weight", "web", "web1", "50%", "--reason", "half a rack"])?;
    wait_weight(&director, WEB1, Some(5))?;
    let shared = server(&director, "web1")?;
    assert_eq!((shared.weight, shared.share_percent), (10, 50));
    let said = director.cli(&["server", "weight", "web/web2", "50%"])?;
    ensure!(said.contains("50% of 1 is no whole number: the kernel has 1"), "{said}");
    let said = director.cli(&["server", "weight", "web/web1", "7"])?;
    ensure!(said.contains("its weight is 10 in the configuration's file"), "{said}");
    wait_weight(&director, WEB1, Some(7))?;
    for (words, code, sentence) in [
        (&["server", "weight", "web", "web1", "half"][..], 2, "\"half\" is no weight"),
        (&["server", "weight", "web", "web1"], 2, "say SERVICE SERVER"),
        (&["server", "weight", "web", "web1", "1001%"], 1, "0% to 1000%"),
        (&["server", "weight", "web", "web1", "2147483648"], 1, "0 to 2147483647"),
        (&["server", "weight", "web", "web9", "5"], 1, "no server `web9`"),
    ] {
        let (status, _, stderr) = director.try_cli(words)?;
        ensure!(status == code && stderr.contains(sentence), "{words:?}: {status}: {stderr}");
    }
    Ok(())
}

#[test]
fn maintenance_stops_the_checks_and_says_who_and_why() -> Result<()> {
    let (lab, mut webs) = lab(2)?;
    let servers = format!("web1: {WEB1}, web2: {WEB2}");
    let director = Director::start(lab.lb1(), &web("scheduler: rr,", &servers))?;
    wait_weight(&director, WEB1, Some(1))?;
    wait_weight(&director, WEB2, Some(1))?;
    director.cli(&["server", "maint", "web", "web1", "--reason", "new disk"])?;
    wait_weight(&director, WEB1, Some(0))?;
    drop(webs.remove(0));
    let maint = server(&director, "web1")?;
    let order = maint.order.context("an order")?;
    assert_eq!((maint.state.as_str(), maint.admin.as_str()), ("maint", "maint"));
    assert_eq!(order.reason.as_deref(), Some("new disk"));
    ensure!(order.who.as_deref().is_some_and(|who| who.ends_with("root")), "{:?}", order.who);
    let shown = director.cli(&["server", "list", "web"])?;
    ensure!(shown.contains("config · maint by ") && shown.contains("\"new disk\""), "{shown}");
    // The server is away, and nobody asked it: it has no check that could say so.
    ensure!(maint.checks.is_empty(), "{:?}", maint.checks);
    let _back = Nginx::start(lab.web(1), 80)?;
    director.cli(&["server", "ready", "web", "web1"])?;
    wait_weight(&director, WEB1, Some(1))?;
    assert_eq!(server(&director, "web1")?.order, None);
    let (status, _, stderr) =
        director.try_cli(&["server", "maint", "web", "web1", "--reason", "two\nlines"])?;
    ensure!(status == 1 && stderr.contains("stands in one line"), "{stderr}");
    Ok(())
}

#[test]
fn a_drain_keeps_its_reason_and_the_time_that_is_left() -> Result<()> {
    let (lab, _webs) = lab(2)?;
    let servers = format!("web1: {WEB1}, web2: {WEB2}");
    let director = Director::start(lab.lb1(), &web("scheduler: rr,", &servers))?;
    wait_weight(&director, WEB1, Some(1))?;
    let client = lab.client().enter(|| std::net::TcpStream::connect((VIP4, 80)))??;
    let other = lab.client().enter(|| std::net::TcpStream::connect((VIP4, 80)))??;
    let drain = ["server", "drain", "web", "web1", "--timeout", "10m", "--reason", "rack 3"];
    director.cli(&drain)?;
    wait_weight(&director, WEB1, Some(0))?;
    let draining = server(&director, "web1")?;
    ensure!(
        draining.drain_ends_in_s.is_some_and(|left| (500..=600).contains(&left)),
        "{draining:?}"
    );
    assert_eq!(draining.order.context("an order")?.reason.as_deref(), Some("rack 3"));
    // Taken back before it has drained: its weight again, and the same destination with the connection that it had.
    director.cli(&["server", "ready", "web", "web1"])?;
    wait_weight(&director, WEB1, Some(1))?;
    let listed = director.node().run(["ipvsadm", "-Ln"])?.stdout;
    let line = listed.lines().find(|line| line.contains(WEB1)).context("web1")?;
    ensure!(line.split_whitespace().nth_back(1) == Some("1"), "one active connection: {line}");
    drop((client, other));
    Ok(())
}

/// The kernel calls every UDP flow inactive; what tells that a client is still there is its packets.
#[test]
fn a_udp_server_drains_when_its_clients_have_been_silent_for_as_long_as_the_service_says()
-> Result<()> {
    let (lab, _webs) = lab(1)?;
    let config = format!(
        "services: {{dns: {{listen: udp {VIP4}:53, scheduler: rr, forward: direct, drain: {{idle: 8s}}, \
         real_servers: {{ns1: 10.77.0.21:53}}}}}}\n"
    );
    let director = Director::start(lab.lb1(), &config)?;
    let listen = format!("-u {VIP4}:53");
    wait_until(LIMIT, "ns1 in the table", || {
        weights(director.node(), &listen).ok()?.contains_key("10.77.0.21:53").then_some(())
    })?;
    let client = lab.client().enter(|| UdpSocket::bind("0.0.0.0:0"))??;
    let ask = || client.send_to(b"?", (VIP4, 53)).map(drop);
    ask()?;
    director.cli(&["server", "drain", "dns", "ns1", "--timeout", "10m"])?;
    let state = || director.server("dns", "ns1")?.context("ns1");
    // A client that asks goes on being served, for longer than its silence would be waited for.
    let mut silent = Instant::now();
    wait_until(LIMIT, "a drain that outlasts the idle time", || {
        // Before the packet: since then it can't have been silent for longer.
        silent = Instant::now();
        ask().ok()?;
        (state().ok()?.since_s >= 12).then_some(())
    })?;
    assert_eq!(state()?.state, "draining");
    wait_until(LIMIT, "the end of the drain", || (state().ok()?.state == "drained").then_some(()))?;
    ensure!(silent.elapsed() >= Duration::from_secs(7), "{:?}", silent.elapsed());
    Ok(())
}
