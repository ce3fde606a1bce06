//! What others change in our services is put right at the next look, told by its kind, and counted; and what happened can be read.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::{Event, Ipvs};
use holdfast_integration::{Director, saved_table};
use holdfast_testkit::lab::{Lab, Topology, wait_until};
use serde_json::Value;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// Nobody checks these servers, so nothing changes by itself.
const CONFIG: &str = "
ipvs: {poll: 250ms}
services:
  web: {listen: tcp 10.77.0.10:80, scheduler: wlc, forward: nat, real_servers: {a: 10.77.0.21:80, b: 10.77.0.22:80}}
  six: {listen: 'tcp [fd00:77::10]:80', scheduler: wlc, forward: nat, real_servers: {a: '[fd00:77::21]:80', b: '[fd00:77::22]:80'}}
  hash: {listen: udp 10.77.0.10:53, scheduler: {name: mh, flags: [fallback]}, forward: nat, real_servers: {a: 10.77.0.21:53, b: 10.77.0.22:53}}
";

/// What somebody does, and the kinds of drift that are found, each with its number.
const CASES: &[(&str, &[(&str, u64)])] = &[
    ("ipvsadm -e -t 10.77.0.10:80 -r 10.77.0.21:80 -m -w 50", &[("weight", 1)]),
    ("ipvsadm -e -t [fd00:77::10]:80 -r [fd00:77::21]:80 -m -w 50", &[("weight", 1)]),
    ("ipvsadm -e -t 10.77.0.10:80 -r 10.77.0.21:80 -m -w 1 -x 5", &[("destination_changed", 1)]),
    ("ipvsadm -a -t 10.77.0.10:80 -r 10.77.0.99:80 -m", &[("destination_unwanted", 1)]),
    ("ipvsadm -a -t [fd00:77::10]:80 -r [fd00:77::99]:80 -m", &[("destination_unwanted", 1)]),
    ("ipvsadm -d -t 10.77.0.10:80 -r 10.77.0.22:80", &[("destination_missing", 1)]),
    ("ipvsadm -E -t 10.77.0.10:80 -s rr", &[("service_changed", 1)]),
    ("ipvsadm -D -t [fd00:77::10]:80", &[("service_missing", 1)]),
    // The smallest address comes to the head of the list, where the greatest should be.
    (
        "ipvsadm -d -u 10.77.0.10:53 -r 10.77.0.21:53; ipvsadm -a -u 10.77.0.10:53 -r 10.77.0.21:53 -m -w 1",
        &[("order", 1)],
    ),
    ("ipvsadm -C", &[("service_missing", 3)]),
];

fn ipvs(director: &Director) -> Result<Ipvs> {
    director.status()?.ipvs.context("ipvs")
}

#[test]
fn every_kind_of_drift_is_put_right_told_and_counted() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(lab.lb1(), CONFIG)?;
    wait_until(LIMIT, "the table to be made", || ipvs(&director).ok()?.in_sync_s_ago.map(drop))?;
    let made = saved_table(lab.lb1())?;
    assert_eq!(made.len(), 9);
    // Somebody else's service is nobody's drift.
    lab.lb1().sh("ipvsadm -A -t 10.77.0.77:99 -s rr")?;
    let with_theirs = saved_table(lab.lb1())?;
    for (done, kinds) in CASES {
        let before = ipvs(&director)?;
        let last = director.cli(&["events", "-o", "json"])?;
        let last: Value = serde_json::from_str(&last)?;
        let since = last["last"].to_string();
        // While the daemon stands still it finds all of it in one look.
        director.process().kill(nix::sys::signal::Signal::SIGSTOP)?;
        lab.lb1().sh(done)?;
        director.process().kill(nix::sys::signal::Signal::SIGCONT)?;
        let expected = if *done == "ipvsadm -C" { &made } else { &with_theirs };
        wait_until(LIMIT, &format!("`{done}` to be put right"), || {
            (saved_table(lab.lb1()).ok()? == *expected).then_some(())
        })?;
        for (kind, count) in *kinds {
            let of = |ipvs: &Ipvs| ipvs.drift_total.get(*kind).copied().unwrap_or(0);
            let now = wait_until(LIMIT, &format!("`{done}` to be counted as {kind}"), || {
                let now = ipvs(&director).ok()?;
                (of(&now) >= of(&before) + count).then_some(now)
            })?;
            assert_eq!(of(&now) - of(&before), *count, "{done}: {:?}", now.drift_total);
            ensure!(now.drift.iter().any(|one| one.kind == *kind), "{:?}", now.drift);
        }
        let found = director.cli(&["events", "--since", &since, "-o", "json"])?;
        let page: holdfast_control::EventPage = serde_json::from_str(&found)?;
        let drifts: Vec<&Event> =
            page.events.iter().filter(|event| event.kind == "ipvs.drift").collect();
        let count: u64 = kinds.iter().map(|(_, count)| count).sum();
        assert_eq!(drifts.len() as u64, count, "{done}: {drifts:?}");
        ensure!(drifts.iter().all(|event| event.text.ends_with(": put right")), "{drifts:?}");
    }
    let shown = director.cli(&["status"])?;
    ensure!(shown.contains("changed by others, put right: "), "{shown}");
    Ok(())
}

#[test]
fn events_tell_who_did_what_and_follow_what_comes() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(lab.lb1(), CONFIG)?;
    let command = director.command_line();
    let mut words = command.split_whitespace();
    let mut follower = std::process::Command::new(words.next().context("a program")?)
        .args(words)
        .args(["events", "--follow", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()?;
    let (sender, lines) = std::sync::mpsc::sync_channel(64);
    let out = follower.stdout.take().context("its output")?;
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(out)).map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    director.cli(&["server", "drain", "web", "a", "--reason", "rack 3"])?;
    let event: Event = loop {
        let event: Event = serde_json::from_str(&lines.recv_timeout(LIMIT)?)?;
        if event.kind == "server.draining" {
            break event;
        }
    };
    follower.kill()?;
    follower.wait()?;
    assert_eq!((event.subject.as_str(), event.reason.as_deref()), ("web/a", Some("rack 3")));
    ensure!(event.who.as_deref().is_some_and(|who| who.ends_with("root")), "{event:?}");
    let shown = director.cli(&["events"])?;
    ensure!(
        shown
            .lines()
            .any(|line| line.contains("server.draining") && line.contains("web/a  drains by ")),
        "{shown}"
    );
    Ok(())
}

/// Of a table of many services without traffic a look reads a part; what others change is found when its turn comes, and what is deleted
/// at the next look.
#[test]
fn what_others_change_in_quiet_services_is_found_within_twelve_looks() -> Result<()> {
    const SERVICES: u16 = 480;
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let mut config = "ipvs: {poll: 500ms}\nservices:\n".to_owned();
    for number in 1..=SERVICES {
        config += &format!(
            "  s{number}: {{listen: tcp 10.77.0.10:{number}, forward: nat, real_servers: {{a: 10.77.0.21:80}}}}\n"
        );
    }
    let director = Director::start(lab.lb1(), &config)?;
    wait_until(LIMIT, "the table to be made", || ipvs(&director).ok()?.in_sync_s_ago.map(drop))?;
    let made = saved_table(lab.lb1())?;
    assert_eq!(made.len(), 2 * usize::from(SERVICES));
    let looks = || ipvs(&director).map(|ipvs| ipvs.reconciliations_total);
    let put_right = |limit: u64| -> Result<()> {
        let before = looks()?;
        // So many looks there were when something was still wrong: one that is made while the table is listed proves nothing.
        let mut wrong_after = before;
        wait_until(LIMIT, "the table to be put right", || {
            let looks = looks().ok()?;
            let right = saved_table(lab.lb1()).ok()? == made;
            if !right {
                wrong_after = looks;
            }
            right.then_some(())
        })?;
        let took = wrong_after - before;
        ensure!(took <= limit, "after {took} looks it was not right");
        Ok(())
    };
    // All of them at once, by one process.
    let weights: String = (1..=SERVICES)
        .map(|number| format!("-e -t 10.77.0.10:{number} -r 10.77.0.21:80 -m -w 9\n"))
        .collect();
    let rules = lab.lb1().write("weights", &weights)?;
    lab.lb1().sh(&format!("ipvsadm -R <{}", rules.display()))?;
    // Twelve, and one that had begun before the last change was made.
    put_right(13)?;
    wait_until(LIMIT, "every weight to be counted", || {
        (ipvs(&director).ok()?.drift_total.get("weight") >= Some(&u64::from(SERVICES)))
            .then_some(())
    })?;
    assert_eq!(ipvs(&director)?.drift_total.get("weight"), Some(&u64::from(SERVICES)));
    lab.lb1().sh("ipvsadm -C")?;
    put_right(2)
}

/// Who changes by hand what the daemon keeps is told that it does not last; who changes something else, or as ipvsadm, is not.
#[test]
fn a_change_by_hand_of_what_the_daemon_keeps_is_told_to_be_undone() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    let director = Director::start(node, CONFIG)?;
    wait_until(LIMIT, "the table to be made", || ipvs(&director).ok()?.in_sync_s_ago.map(drop))?;
    let made = saved_table(node)?;
    let holdfast = director.command_line();
    let said = |command: &str| Ok::<_, anyhow::Error>(node.sh(command)?.stderr);
    for (command, named) in [
        ("ipvs -e -t 10.77.0.10:80 -r 10.77.0.21:80 -m -w 0", "holdfastd keeps the service web as"),
        ("ipvs -D -t [fd00:77::10]:80", "holdfastd keeps the service six as"),
        ("ipvs -C", "holdfastd keeps the services hash, six, web as"),
    ] {
        let stderr = said(&format!("{holdfast} {command}"))?;
        ensure!(
            stderr.contains(named) && stderr.contains("`holdfast server`"),
            "{command}: {stderr}"
        );
        wait_until(LIMIT, "it to be undone", || (saved_table(node).ok()? == made).then_some(()))?;
    }
    let theirs = "-A -t 10.77.0.77:99 -s rr";
    assert_eq!(said(&format!("{holdfast} ipvs {theirs}"))?, "");
    let lines = [made.join("\n"), theirs.to_owned()].join("\n");
    let restored = said(&format!("echo '{lines}' | {holdfast} ipvs restore"))?;
    assert_eq!(restored, "", "it changes nothing");
    let restored = said(&format!("echo '{theirs}' | {holdfast} ipvs restore"))?;
    ensure!(restored.contains("holdfastd keeps the services hash, six, web as"), "{restored}");
    wait_until(LIMIT, "it to be undone", || {
        (saved_table(node).ok()?.len() == made.len() + 1).then_some(())
    })?;
    // Where it has timeouts and nobody else's services, it sets and removes those, too.
    let alone = CONFIG.replace("ipvs: {", "ipvs: {foreign: remove, timeouts: {tcp: 1h}, ");
    node.write("holdfast.yaml", &alone)?;
    director.cli(&["reload"])?;
    let is_so = || {
        ipvs(&director).ok()?.timeouts.filter(|timeouts| timeouts.tcp_s == 3600)?;
        (saved_table(node).ok()? == made).then_some(())
    };
    wait_until(LIMIT, "timeouts to be kept and the other service to be removed", is_so)?;
    for (command, named) in [
        ("--set 100 0 0", "holdfastd keeps the timeouts that `ipvs.timeouts` names as"),
        ("-A -t 10.77.0.78:99", "holdfastd removes the service tcp 10.77.0.78:99 when"),
        ("-A -t [fd00:77::78]:99", "holdfastd removes the service tcp [fd00:77::78]:99 when"),
    ] {
        let stderr = said(&format!("{holdfast} ipvs {command}"))?;
        ensure!(stderr.contains(named) && stderr.lines().count() == 1, "{command}: {stderr}");
    }
    // Another network namespace has another table.
    let (program, socket) = holdfast.split_once(' ').context("a program and its socket")?;
    let other = format!("{program} {socket} ipvs -A -t 10.77.0.10:80 -s rr");
    assert_eq!(lab.lb2().sh(&other)?.stderr, "");
    Ok(())
}
