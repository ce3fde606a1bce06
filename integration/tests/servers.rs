//! `holdfast server …` while the daemon works: what it does to traffic, what it refuses and how it says so.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::Service;
use holdfast_integration::{Director, Downloads, Load, Programs, weights};
use holdfast_testkit::lab::{Lab, Nginx, Topology, VIP4, wait_until};
use serde_json::Value;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The client's pace.
const PACE: Duration = Duration::from_millis(40);

/// A request that takes longer has failed, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The service as ipvsadm names it.
const SERVICE: &str = "-t 10.77.0.10:80";

/// A director with `services`, and for the traffic the virtual address.
fn config(services: &str) -> String {
    format!(
        "vrrp: {{instances: {{edge: {{interface: eth0, vrid: 51, interval: 200ms, addresses: [{VIP4}/24]}}}}}}\nservices:\n{services}\n"
    )
}

/// `web` over `servers`, checked by TCP.
fn web(servers: &str) -> String {
    config(&format!(
        "  web: {{listen: tcp {VIP4}:80, scheduler: rr, forward: direct, \
         check: {{tcp: {{}}, interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s, rise: 1, fall: 3}}, real_servers: {{{servers}}}}}"
    ))
}

/// One network, and so many web servers that answer for the virtual address.
fn lab(webs: u8) -> Result<(Lab, Vec<Nginx>)> {
    let lab = Lab::with(Topology::one_arm().webs(webs))?;
    for web in lab.webs() {
        web.hold_vip(VIP4.into())?;
    }
    let webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    Ok((lab, webs))
}

fn vip() -> SocketAddr {
    (VIP4, 80).into()
}

/// Waits until these servers are up, and the director active.
fn wait_up(director: &Director, servers: &[&str]) -> Result<()> {
    director.wait_instance("edge", "active", LIMIT)?;
    servers.iter().try_for_each(|web| director.wait_server("web", web, "up", LIMIT).map(drop))
}

/// Waits until the kernel has this weight, or nothing, for a server.
fn wait_weight(director: &Director, address: &str, expected: Option<u32>) -> Result<()> {
    wait_until(LIMIT, &format!("the kernel to have {expected:?} for {address}"), || {
        (weights(director.node(), SERVICE).ok()?.get(address).copied() == expected).then_some(())
    })
}

/// Waits for `count` requests from now on; how many of them `server` answered.
fn answers(load: &Load, server: &str, count: usize) -> Result<usize> {
    // One that is under way may have been made before what is to be seen.
    let from = load.now();
    let begun =
        wait_until(LIMIT, "a request", || load.since(from).0.first().map(|sample| sample.ended))?;
    wait_until(LIMIT, "requests", || (load.since(begun).requests() >= count).then_some(()))?;
    Ok(load.since(begun).answered_by(server))
}

#[test]
fn add_drain_ready_and_rm_under_traffic_lose_no_request() -> Result<()> {
    let (lab, _webs) = lab(2)?;
    let director = Director::start(lab.lb1(), &web("web1: 10.77.0.21:80"))?;
    wait_up(&director, &["web1"])?;
    wait_weight(&director, "10.77.0.21:80", Some(1))?;
    wait_until(LIMIT, "a first answer", || {
        lab.client().enter(|| holdfast_integration::ask(vip())).ok()?.ok()
    })?;
    let load = Load::with_timeout(lab.client(), vip(), PACE, PATIENCE);
    assert_eq!(answers(&load, "web2", 10)?, 0);

    let said = director.cli(&[
        "server",
        "add",
        "web",
        "10.77.0.22:80",
        "--name",
        "web2",
        "--wait",
        "30s",
    ])?;
    ensure!(said.starts_with("web/web2 up\nnote: "), "{said}");
    wait_weight(&director, "10.77.0.22:80", Some(1))?;
    ensure!(answers(&load, "web2", 20)? > 5);
    let added = director.server("web", "web2")?.context("web2")?;
    assert_eq!((added.origin.as_str(), added.admin.as_str()), ("runtime", "ready"));

    let said = director.cli(&["server", "drain", "web", "web2", "--wait", "30s"])?;
    ensure!(said.starts_with("web/web2 drained\n"), "{said}");
    assert_eq!(answers(&load, "web2", 20)?, 0);
    wait_weight(&director, "10.77.0.22:80", None)?;

    let said = director.cli(&["server", "ready", "web/web2"])?;
    ensure!(said.starts_with("web/web2 up\n"), "{said}");
    wait_weight(&director, "10.77.0.22:80", Some(1))?;
    ensure!(answers(&load, "web2", 20)? > 5);

    let said = director.cli(&["server", "rm", "web", "web2", "--wait", "30s"])?;
    assert_eq!(said, "web/web2 removed\n");
    wait_weight(&director, "10.77.0.22:80", None)?;
    assert_eq!(answers(&load, "web2", 20)?, 0);
    assert_eq!(director.server("web", "web2")?, None);

    let all = load.all();
    assert_eq!(all.errors(), Vec::<String>::new(), "of {} requests", all.requests());
    Ok(())
}

/// Downloads go on through a drain, however long they take, and its end waits for theirs.
#[test]
fn a_drain_leaves_connections_alone_until_they_end() -> Result<()> {
    let (lab, _webs) = lab(2)?;
    let director = Director::start(lab.lb1(), &web("web1: 10.77.0.21:80, web2: 10.77.0.22:80"))?;
    wait_up(&director, &["web1", "web2"])?;
    wait_weight(&director, "10.77.0.21:80", Some(1))?;
    wait_weight(&director, "10.77.0.22:80", Some(1))?;
    let downloads = Downloads::start(lab.client(), vip(), 4)?;
    director.cli(&["server", "drain", "web", "web2", "--timeout", "10m"])?;
    wait_weight(&director, "10.77.0.22:80", Some(0))?;
    let draining = wait_until(LIMIT, "the connections to be counted", || {
        let server = director.server("web", "web2").ok()??;
        (server.active_connections == Some(2)).then_some(server)
    })?;
    assert_eq!((draining.state.as_str(), draining.admin.as_str()), ("draining", "drain"));
    let old = downloads.bytes();
    wait_until(LIMIT, "every download to go on", || {
        downloads.bytes().iter().zip(&old).all(|(new, old)| new > old).then_some(())
    })?;
    // A wait that is too short says so, and the drain goes on.
    let (code, stdout, stderr) =
        director.try_cli(&["server", "drain", "web", "web2", "--wait", "1s"])?;
    assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
    ensure!(stderr.contains("web/web2 is not drained after 1s, but draining"), "{stderr}");
    assert_eq!(downloads.broken(), 0);
    drop(downloads);
    director.wait_server("web", "web2", "drained", LIMIT)?;
    wait_weight(&director, "10.77.0.22:80", None)?;
    Ok(())
}

#[test]
fn a_drain_ends_at_its_timeout_and_a_removal_after_it() -> Result<()> {
    let (lab, _webs) = lab(1)?;
    let director = Director::start(lab.lb1(), &web("web1: 10.77.0.21:80"))?;
    wait_up(&director, &["web1"])?;
    wait_weight(&director, "10.77.0.21:80", Some(1))?;
    let downloads = Downloads::start(lab.client(), vip(), 1)?;
    director.cli(&["server", "drain", "web", "web1", "--timeout", "1s", "--wait", "30s"])?;
    let drained = director.server("web", "web1")?.context("web1")?;
    assert_eq!((drained.state.as_str(), drained.effective_weight), ("drained", None));
    wait_weight(&director, "10.77.0.21:80", None)?;
    drop(downloads);

    // A removal with a connection under way waits as well, and `ready` takes it back.
    director.cli(&["server", "ready", "web", "web1"])?;
    wait_weight(&director, "10.77.0.21:80", Some(1))?;
    let _downloads = Downloads::start(lab.client(), vip(), 1)?;
    director.cli(&["server", "rm", "web", "web1", "--timeout", "10m"])?;
    assert_eq!(director.server("web", "web1")?.context("web1")?.admin, "remove");
    let (code, _, stderr) = director.try_cli(&["server", "rm", "web", "web1", "--wait", "1s"])?;
    assert_eq!(code, 3, "{stderr}");
    ensure!(stderr.contains("web/web1 is not removed after 1s, but draining"), "{stderr}");
    let said = director.cli(&["server", "add", "web", "10.77.0.21", "--name", "web1"])?;
    ensure!(said.contains("its removal was cancelled"), "{said}");
    assert_eq!(director.server("web", "web1")?.context("web1")?.admin, "ready");
    director.cli(&["server", "rm", "web", "web1", "--timeout", "10m"])?;
    director.cli(&["server", "ready", "web", "web1"])?;
    assert_eq!(director.server("web", "web1")?.context("web1")?.admin, "ready");
    // `--now` waits for nothing.
    let said = director.cli(&["server", "rm", "web", "web1", "--now"])?;
    ensure!(said.starts_with("web/web1 removed\nnote: "), "{said}");
    wait_weight(&director, "10.77.0.21:80", None)?;
    Ok(())
}

/// Says a verb twice: the answer's `changed` each time.
fn twice(director: &Director, words: &[&str]) -> Result<(Value, Value)> {
    let one = || -> Result<Value> {
        let answer: Value =
            serde_json::from_str(&director.cli(&[words, &["-o", "json"]].concat())?)?;
        Ok(answer.get("changed").context("no `changed`")?.clone())
    };
    Ok((one()?, one()?))
}

/// Nothing listens at any of these servers: a drain ends at once, and nobody waits for checks.
#[test]
fn a_verb_said_again_changes_nothing_and_says_so() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(
        lab.lb1(),
        "services: {web: {listen: tcp 10.77.0.10:80, forward: nat, real_servers: {web1: 10.77.0.21:80}}}",
    )?;
    let once = (Value::Bool(true), Value::Bool(false));
    let add = ["server", "add", "web", "10.77.0.22:8080", "--name", "web2", "--weight", "3"];
    assert_eq!(twice(&director, &add)?, once);
    assert_eq!(twice(&director, &["server", "drain", "web", "web2"])?, once);
    director.wait_server("web", "web2", "drained", LIMIT)?;
    assert_eq!(twice(&director, &["server", "drain", "web", "web2"])?.0, false);
    assert_eq!(twice(&director, &["server", "ready", "web", "web2"])?, once);
    // Without a weight it keeps its own, and its drain goes on.
    director.cli(&["server", "drain", "web", "web2"])?;
    let again = ["server", "add", "web", "10.77.0.22:8080", "--name", "web2"];
    assert_eq!(twice(&director, &again)?.0, false);
    let web2 = director.server("web", "web2")?.context("web2")?;
    assert_eq!((web2.admin.as_str(), web2.weight), ("drain", 3));
    director.cli(&["server", "ready", "web", "web2"])?;
    // With another weight it is the same server; ipvsadm sees it.
    director.cli(&[
        "server",
        "add",
        "web",
        "10.77.0.22:8080",
        "--name",
        "web2",
        "--weight",
        "5",
    ])?;
    wait_weight(&director, "10.77.0.22:8080", Some(5))?;
    assert_eq!(director.service("web")?.servers.len(), 2);
    // The file's weight comes back, which has to be said.
    let add = ["server", "add", "web", "10.77.0.21:80", "--name", "web1", "--weight", "9"];
    let said = director.cli(&add)?;
    ensure!(said.contains("its weight is 1 in the configuration's file"), "{said}");
    wait_weight(&director, "10.77.0.21:80", Some(9))?;
    // The name that is made from the address is the same each time.
    assert_eq!(twice(&director, &["server", "add", "web", "10.77.0.23:8080"])?, once);
    assert_eq!(twice(&director, &["server", "drain", "web", "web1"])?, once);
    let answer = director.cli(&["server", "rm", "web", "web1", "--wait", "20s", "-o", "json"])?;
    let answer: Value = serde_json::from_str(&answer)?;
    assert_eq!((&answer["changed"], &answer["now"]), (&Value::Bool(true), &Value::Null));
    let nothing = (Value::Bool(false), Value::Bool(false));
    assert_eq!(twice(&director, &["server", "rm", "web", "web1"])?, nothing);
    let said = director.cli(&["server", "rm", "web", "web1"])?;
    ensure!(said.contains("(already so)") && said.contains("it was removed before"), "{said}");
    // Of one that a command had added nothing is left to be known, and what was asked for is so all the same.
    assert_eq!(twice(&director, &["server", "rm", "web", "web2", "--now"])?, once);
    for more in [&[][..], &["--now"], &["--wait", "20s"], &["--ephemeral"]] {
        let said = director.cli(&[&["server", "rm", "web", "web2"], more].concat())?;
        ensure!(said.starts_with("web/web2 is not there (already so)\nnote: "), "{said}");
        let why = "service `web` has no server `web2`, and nothing was removed; should the name be a slip, `holdfast server list web`";
        ensure!(said.contains(why), "{said}");
    }
    assert_eq!(director.cli(&["diff", "-o", "json"])?.matches("web2").count(), 0);
    assert_eq!(
        twice(&director, &["server", "add", "web", "10.77.0.22:8080", "--ttl", "1h"])?,
        once
    );
    Ok(())
}

#[test]
fn a_verb_said_again_with_its_reason_changes_nothing_over_ipv6() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(
        lab.lb1(),
        "services: {six: {listen: 'tcp [fd00:77::10]:80', forward: nat, real_servers: {a: '[fd00:77::21]:80'}}}",
    )?;
    let once = (Value::Bool(true), Value::Bool(false));
    let add = ["server", "add", "six", "[fd00:77::23]:80", "--name", "c", "--reason", "growth"];
    for words in [
        &add[..],
        &["server", "weight", "six", "c", "50%"],
        &["server", "maint", "six/c", "--reason", "kernel"],
        &["server", "ready", "six", "c"],
        &["server", "rm", "six", "c", "--now"],
        &["log", "level", "holdfastd=debug"],
    ] {
        assert_eq!(twice(&director, words)?, once, "{words:?}");
    }
    Ok(())
}

#[test]
fn waiting_for_a_server_that_never_comes_up_ends_with_status_3() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let director = Director::start(lab.lb1(), &web(""))?;
    let (code, stdout, stderr) = director.try_cli(&[
        "server",
        "add",
        "web",
        "10.77.0.21:80",
        "--name",
        "a",
        "--wait",
        "8s",
    ])?;
    assert_eq!((code, stdout.as_str()), (3, ""), "{stderr}");
    ensure!(stderr.contains("web/a is not up after 8s, but down: "), "{stderr}");
    ensure!(stderr.contains("ECONNREFUSED"), "the reason of its check: {stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert_eq!(director.server("web", "a")?.context("it was added")?.state, "down");
    Ok(())
}

/// Two operators at once: what is waited for can't come any more.
#[test]
fn waiting_for_a_server_that_somebody_removes_fails() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(lab.lb1(), &web(""))?;
    let add = ["server", "add", "web", "10.77.0.21:80", "--name", "a", "--wait", "60s"];
    let (code, stdout, stderr) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| director.try_cli(&add));
        director.wait_server("web", "a", "down", LIMIT)?;
        director.cli(&["server", "rm", "web", "a", "--now"])?;
        waiting.join().map_err(|_panic| anyhow::anyhow!("the wait panicked"))?
    })?;
    assert_eq!((code, stdout.as_str()), (1, ""), "{stderr}");
    ensure!(stderr.contains("web/a is not up: it was removed meanwhile"), "{stderr}");
    Ok(())
}

/// What each of these is refused with: status 1 and one line that has these words.
#[test]
fn what_cannot_be_done_is_refused_with_one_sentence() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(
        lab.lb1(),
        "services:\n  web: {listen: tcp 10.77.0.10:80, forward: direct, real_servers: {web1: 10.77.0.21}}\n  \
         nat: {listen: tcp 10.77.0.11:81, forward: nat}\n",
    )?;
    let before = director.status()?.services;
    let cases: &[(&[&str], &str)] = &[
        (&["server", "add", "wbe", "10.77.0.22"], "no service `wbe`"),
        (&["server", "list", "wbe"], "no service `wbe`"),
        (&["service", "show", "wbe"], "no service `wbe`"),
        (&["server", "drain", "web", "web9"], "service `web` has no server `web9`"),
        (&["server", "ready", "web/web9"], "service `web` has no server `web9`"),
        (&["server", "rm", "wbe", "web1", "--now"], "no service `wbe`"),
        (&["server", "rm", "web", "we b"], "\"we b\" is not a name"),
        (&["server", "drain", "web", "we b"], "\"we b\" is not a name"),
        (&["server", "list", "../status"], "\"../status\" is not a name"),
        (&["server", "add", "web", "10.77.0.300"], "10.77.0.300"),
        (&["server", "add", "web", "web2.example:80"], "web2.example"),
        (&["server", "add", "nat", "10.77.0.22"], "port"),
        (&["server", "add", "web", "10.77.0.22:8080"], "8080"),
        (&["server", "add", "web", "[fd00:77::22]:80"], "IPv6"),
        (&["server", "add", "web", "10.77.0.10:80"], "10.77.0.10"),
        (&["server", "add", "web", "10.77.0.11:80"], "the virtual address 10.77.0.11"),
        (&["server", "add", "web", "224.0.0.18:80"], "224.0.0.18"),
        (&["server", "add", "web", "10.77.0.22", "--name", "a b"], "a b"),
        (&["server", "add", "web", "10.77.0.22", "--weight", "4294967295"], "4294967295"),
        (&["server", "add", "web", "10.77.0.21", "--name", "other"], "as `web1`"),
        (&["server", "add", "web", "10.77.0.22", "--name", "web1"], "at 10.77.0.21:80"),
    ];
    for (words, expected) in cases {
        let (code, stdout, stderr) = director.try_cli(words)?;
        assert_eq!((code, stdout.as_str()), (1, ""), "{words:?}: {stderr}");
        ensure!(stderr.starts_with("holdfast: ") && stderr.lines().count() == 1, "{stderr}");
        ensure!(stderr.contains(expected), "{words:?}: {stderr}");
    }
    let listed = director.cli(&["service", "list"])?;
    ensure!(listed.contains("web      up     1/1  tcp 10.77.0.10:80"), "{listed}");
    ensure!(
        director.cli(&["service", "show", "web"])?.starts_with("SERVICE web  tcp 10.77.0.10:80")
    );
    let after = director.status()?.services;
    let shape = |services: &[Service]| -> Vec<String> {
        let servers = services.iter().flat_map(|service| &service.servers);
        servers.map(|s| format!("{} {} {}", s.name, s.weight, s.state)).collect()
    };
    assert_eq!(shape(&after), shape(&before), "nothing was changed");
    Ok(())
}

/// A command line that makes no sense: status 2, before any daemon is asked.
#[test]
fn usage_errors_end_with_status_2() -> Result<()> {
    let programs = Programs::find()?;
    let cases: &[&[&str]] = &[
        &[],
        &["stauts"],
        &["server"],
        &["server", "add", "web"],
        &["server", "drain", "web"],
        &["server", "drain", "web/a", "a"],
        &["server", "drain", "web", "a", "--timeout", "5"],
        &["server", "rm", "web", "a", "--now", "--wait", "1s"],
        &["server", "add", "web", "10.0.0.1:80", "--weight", "heavy"],
        &["server", "add", "web", "10.0.0.1:80", "--wait", "-1s"],
        &["status", "-o", "yaml"],
        &["explain", "HF9999"],
    ];
    for words in cases {
        let output = Command::new(&programs.holdfast)
            .args(["--socket", "/nonexistent/control.sock"])
            .args(*words)
            .output()?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {stderr}");
        ensure!(!stderr.is_empty(), "{words:?} says nothing");
    }
    Ok(())
}

#[test]
fn every_verb_has_a_json_answer() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(
        lab.lb1(),
        &config(
            "  web: {listen: tcp 10.77.0.10:80, forward: nat, real_servers: {web1: 10.77.0.21:80}}",
        ),
    )?;
    let json = |words: &[&str]| -> Result<Value> {
        let text = director.cli(&[&["-o", "json"], words].concat())?;
        serde_json::from_str(&text).with_context(|| format!("{words:?}: {text}"))
    };
    let status = json(&["status"])?;
    assert_eq!(status["daemon"]["node"], "lb1");
    assert_eq!(status["services"][0]["servers"][0]["name"], "web1");
    assert_eq!(status["vrrp"][0]["vrid"], 51);
    assert_eq!(json(&["vrrp", "status"])?[0]["name"], "edge");
    assert_eq!(json(&["server", "list"])?[0]["name"], "web");
    assert_eq!(json(&["server", "list", "web"])?["servers"][0]["address"], "10.77.0.21:80");
    let added = json(&["server", "add", "web", "10.77.0.22:80", "--name", "b", "--wait", "20s"])?;
    assert_eq!((&added["changed"], &added["now"]["state"]), (&true.into(), &"up".into()));
    let drained = json(&["server", "drain", "web", "b", "--wait", "20s"])?;
    assert_eq!(drained["now"]["state"], "drained");
    assert_eq!(json(&["server", "ready", "web", "b"])?["now"]["admin"], "ready");
    assert_eq!(json(&["server", "rm", "web", "b", "--now"])?["now"], Value::Null);
    assert_eq!(json(&["explain", "HF0201"])?["subject"], "HF0201");
    let file = lab.lb1().folder().join("holdfast.yaml");
    let file = file.to_string_lossy();
    assert_eq!(json(&["check", "--offline", "--node", "lb1", &file])?["valid"], true);
    Ok(())
}

#[test]
fn without_a_daemon_status_says_what_to_do() -> Result<()> {
    let programs = Programs::find()?;
    let folder = Lab::with(Topology::one_arm().webs(0))?;
    let stale = folder.lb1().folder().join("stale.sock");
    // A socket that nobody listens on any more, and none at all.
    drop(std::os::unix::net::UnixListener::bind(&stale)?);
    for socket in [stale, folder.lb1().folder().join("none.sock")] {
        for words in [&["status"][..], &["server", "list"], &["vrrp", "status"]] {
            let output = Command::new(&programs.holdfast)
                .arg("--socket")
                .arg(&socket)
                .args(words)
                .output()?;
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            let socket = socket.display().to_string();
            for part in [socket.as_str(), "is holdfastd running?", "--socket"] {
                ensure!(stderr.contains(part), "{part:?} is not in {stderr:?}");
            }
        }
    }
    Ok(())
}

/// The kernel remembers closed connections of direct routing for two minutes. A client that uses such a port again gets another
/// server when the one that it had is gone.
#[test]
fn a_port_that_was_used_with_a_removed_server_works_again() -> Result<()> {
    let (lab, _webs) = lab(2)?;
    let director = Director::start(lab.lb1(), &web("web1: 10.77.0.21:80, web2: 10.77.0.22:80"))?;
    wait_up(&director, &["web1", "web2"])?;
    wait_weight(&director, "10.77.0.21:80", Some(1))?;
    wait_weight(&director, "10.77.0.22:80", Some(1))?;
    lab.client().sysctl("net.ipv4.ip_local_port_range", "40000 40003")?;
    let ask = || -> Result<String> {
        Ok(lab.client().enter(|| holdfast_integration::ask_within(vip(), PATIENCE))??)
    };
    // As many by each: every port has been used with either.
    let before = (0..8).map(|_| ask()).collect::<Result<Vec<_>>>()?;
    ensure!(before.iter().any(|web| web == "web2"), "{before:?}");
    director.cli(&["server", "rm", "web", "web2", "--wait", "60s"])?;
    wait_weight(&director, "10.77.0.22:80", None)?;
    let after = (0..8).map(|_| ask()).collect::<Result<Vec<_>>>();
    let after = after.with_context(|| {
        lab.lb1().run(["ipvsadm", "-Lnc"]).map_or_else(|e| e.to_string(), |out| out.stdout)
    })?;
    assert_eq!(after, vec!["web1"; 8]);
    Ok(())
}
