//! What moves the addresses although both daemons and their links are well: an interface, a script, a number in a file, processes,
//! an address that answers, a route. Only lb1 (priority 150 against 100) tracks something, in both families.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use holdfast_integration::Director;
use holdfast_integration::duo::{
    Duo, tracking, wait_all, wait_fault, wait_priority, wait_status, wait_tracker,
};
use holdfast_integration::pair::{INSTANCES, Roles, lab, wait_counted};
use holdfast_testkit::lab::{Lab, Node, Topology};
use nix::sys::signal::Signal;
use serde_json::Value;

/// The pair in which lb1 tracks `track`.
fn start(lab: Lab, trackers: &str, track: &str) -> Duo {
    let lb1 = format!("priority: 150, track: [{track}]");
    let roles = Roles { interval: "200ms", lb1: &lb1, lb2: "priority: 100" };
    Duo::start(lab, &tracking(&roles, trackers)).unwrap()
}

/// A link of the node's own, `uplink0`, whose far end is on the node, too.
const ADD_UPLINK: &str =
    "ip link add uplink0 type veth peer name far0; ip link set far0 up; ip link set uplink0 up";

fn add_uplink(node: &Node) {
    node.sh(ADD_UPLINK).unwrap();
}

/// A program that the daemon may run: `script` in a shell.
fn program(node: &Node, name: &str, script: &str) -> PathBuf {
    let path = node.write(name, &format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A new file in the place of the old one, as careful writers do it.
fn replace(path: &Path, content: &str) {
    let fresh = path.with_extension("new");
    fs::write(&fresh, content).unwrap();
    fs::rename(&fresh, path).unwrap();
}

#[test]
fn an_interface_that_is_down_is_a_fault_until_it_is_up() {
    let lab = lab().unwrap();
    add_uplink(lab.lb1());
    let duo = start(lab, "    uplink: {interface: uplink0}", "uplink");
    duo.wait_lb1().unwrap();
    assert_eq!(wait_tracker(&duo.lb1, "uplink", "up").unwrap(), "uplink0 is up");
    for (bad, good, sentence) in [
        ("ip link set uplink0 down", "ip link set uplink0 up", "uplink0 is down"),
        ("ip link delete uplink0", ADD_UPLINK, "there is no interface uplink0"),
    ] {
        duo.lab.lb1().sh(bad).unwrap();
        wait_fault(&duo.lb1, sentence).unwrap();
        wait_all(&duo.lb2, "active").unwrap();
        assert_eq!(wait_tracker(&duo.lb1, "uplink", "down").unwrap(), sentence);
        for name in INSTANCES {
            // A fault says goodbye: nobody waits for three intervals of silence.
            assert_eq!(duo.lb2.instance(name).unwrap().reason, "active_released");
        }
        duo.lab.lb1().sh(good).unwrap();
        duo.wait_lb1().unwrap();
    }
    duo.ensure_at_rest(&duo.lb1).unwrap();
}

#[test]
fn an_interface_with_a_weight_counts_after_its_delay_and_a_flap_never_does() {
    let lab = lab().unwrap();
    add_uplink(lab.lb1());
    let trackers = "    uplink: {interface: uplink0}\n  interfaces:\n    uplink0: {up_delay: 1s, down_delay: 2s}";
    let duo = start(lab, trackers, "{tracker: uplink, weight: -60}");
    duo.wait_lb1().unwrap();
    // By one process: the delay must not pass between the two.
    let flap = "printf 'link set uplink0 down\\nlink set uplink0 up\\n' | ip -batch -";
    duo.lab.lb1().sh(flap).unwrap();
    // Three seconds as the protocol counts them.
    wait_counted(&duo.lb1, "advertisements_sent", 15).unwrap();
    wait_priority(&duo.lb1, 150, &[]).unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();

    duo.lab.lb1().sh("ip link set uplink0 down").unwrap();
    duo.wait_lb2().unwrap();
    wait_priority(&duo.lb1, 90, &[("uplink", -60)]).unwrap();
    duo.ensure_at_rest(&duo.lb2).unwrap();
    duo.lab.lb1().sh("ip link set uplink0 up").unwrap();
    duo.wait_lb1().unwrap();
    wait_priority(&duo.lb1, 150, &[]).unwrap();
}

/// What the script exits with stands in a file; `hang` lets it hang.
fn scripted(lab: Lab, track: &str) -> (Duo, PathBuf) {
    let answer = lab.lb1().write("answer", "exit 0").unwrap();
    let script = program(lab.lb1(), "check", &format!(". {}", answer.display()));
    let trackers = format!(
        "    check: {{script: {{command: [{}]}}, interval: 1s, timeout: 900ms, rise: 2, fall: 2}}",
        script.display()
    );
    let config = format!("    {}", trackers.trim_start());
    let lb1 = format!("priority: 150, track: [{track}]");
    let roles = Roles { interval: "200ms", lb1: &lb1, lb2: "priority: 100" };
    let config = format!("daemon: {{scripts: {{user: nobody}}}}\n{}", tracking(&roles, &config));
    (Duo::start(lab, &config).unwrap(), answer)
}

#[test]
fn a_script_that_fails_or_hangs_takes_its_weight() {
    let (duo, answer) = scripted(lab().unwrap(), "{tracker: check, weight: -60}");
    duo.wait_lb1().unwrap();
    for (bad, sentence) in
        [("exit 3", "3"), ("sleep 300", "900ms"), ("kill -9 $$", "killed by SIGKILL")]
    {
        replace(&answer, bad);
        duo.wait_lb2().unwrap();
        wait_priority(&duo.lb1, 90, &[("check", -60)]).unwrap();
        let said = wait_tracker(&duo.lb1, "check", "down").unwrap();
        assert!(said.contains(sentence), "{said}");
        replace(&answer, "exit 0");
        duo.wait_lb1().unwrap();
        wait_priority(&duo.lb1, 150, &[]).unwrap();
    }
}

#[test]
fn a_script_without_a_weight_is_a_fault_and_one_failure_of_two_is_none() {
    let lab = lab().unwrap();
    // Fails once, whenever the file is there.
    let folder = lab.lb1().folder().join("writable");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
    let once = folder.join("once");
    let (duo, answer) = scripted(lab, "check");
    duo.wait_lb1().unwrap();
    fs::write(&once, "").unwrap();
    replace(&answer, &format!("rm {} 2>/dev/null && exit 1; exit 0", once.display()));
    holdfast_testkit::lab::wait_until(holdfast_integration::pair::LIMIT, "one failure", || {
        (!once.exists()).then_some(())
    })
    .unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
    replace(&answer, "exit 1");
    wait_fault(&duo.lb1, "check").unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    duo.ensure_at_rest(&duo.lb2).unwrap();
    replace(&answer, "exit 0");
    duo.wait_lb1().unwrap();
}

#[test]
fn an_entry_without_a_weight_waits_for_the_first_result() {
    let lab = lab().unwrap();
    let gate = lab.lb1().folder().join("gate");
    let wait = format!("while ! [ -e {} ]; do sleep 0.1; done", gate.display());
    let script = program(lab.lb1(), "check", &wait);
    let tracker = format!(
        "    check: {{script: {{command: [{}]}}, interval: 60s, timeout: 59s}}",
        script.display()
    );
    let roles =
        Roles { interval: "200ms", lb1: "priority: 150, track: [check]", lb2: "priority: 100" };
    let config = format!("daemon: {{scripts: {{user: nobody}}}}\n{}", tracking(&roles, &tracker));
    let duo = Duo::start(lab, &config).unwrap();
    wait_fault(&duo.lb1, "check").unwrap();
    wait_tracker(&duo.lb1, "check", "unknown").unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    fs::write(&gate, "").unwrap();
    duo.wait_lb1().unwrap();
}

/// Number × weight, at most 253 either way; what is left is clamped to 1 to 254. -254 is a fault.
#[test]
fn a_number_in_a_file_adds_takes_clamps_and_can_be_a_fault() {
    let lab = lab().unwrap();
    let (one, other) = (lab.lb1().write("one", "0").unwrap(), lab.lb1().folder().join("other"));
    let trackers = format!(
        "    one: {{file: {{path: {}}}}}\n    other: {{file: {{path: {}}}}}",
        one.display(),
        other.display()
    );
    let track = "{tracker: one, weight: 2}, {tracker: other, weight: 1, reverse: true}";
    let duo = start(lab, &trackers, track);
    duo.wait_lb1().unwrap();
    wait_priority(&duo.lb1, 150, &[]).unwrap();
    replace(&one, "-30\n");
    duo.wait_lb2().unwrap();
    wait_priority(&duo.lb1, 90, &[("one", -60)]).unwrap();
    // Reversed, the other one takes what it says: here it gives.
    replace(&other, "-70");
    duo.wait_lb1().unwrap();
    wait_priority(&duo.lb1, 160, &[("one", -60), ("other", 70)]).unwrap();
    replace(&one, "100");
    wait_priority(&duo.lb1, 254, &[("one", 200), ("other", 70)]).unwrap();
    fs::remove_file(&other).unwrap();
    replace(&one, "-126");
    wait_priority(&duo.lb1, 1, &[("one", -252)]).unwrap();
    duo.wait_lb2().unwrap();
    replace(&one, "-127");
    wait_fault(&duo.lb1, "one").unwrap();
    fs::remove_file(&one).unwrap();
    duo.wait_lb1().unwrap();
    wait_priority(&duo.lb1, 150, &[]).unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
}

#[test]
fn a_process_that_is_killed_is_a_fault_until_it_runs_again() {
    let lab = lab().unwrap();
    let node = lab.lb1().clone();
    // A name that nothing else on this host has.
    let name = format!("{}svc", lab.id());
    let service = node.folder().join(&name);
    fs::copy("/usr/bin/sleep", &service).unwrap();
    let run = || node.spawn("service", [service.as_os_str(), "1000".as_ref()]).unwrap();
    let mut process = run();
    let duo = start(lab, &format!("    svc: {{process: {{name: {name}}}}}"), "svc");
    duo.wait_lb1().unwrap();
    for _ in 0..2 {
        process.kill_group(Signal::SIGKILL).unwrap();
        process.wait(holdfast_integration::pair::LIMIT).unwrap();
        wait_fault(&duo.lb1, &format!("no process is named {name}")).unwrap();
        wait_all(&duo.lb2, "active").unwrap();
        process = run();
        duo.wait_lb1().unwrap();
        wait_tracker(&duo.lb1, "svc", "up").unwrap();
    }
}

#[test]
fn a_neighbour_that_does_not_answer_takes_its_weights_in_both_ways_and_families() {
    let lab = Lab::with(Topology::one_arm().webs(1)).unwrap();
    let (web4, web6) = (lab.web(1).ip4(), lab.web(1).ip6());
    let trackers = format!(
        "    echo4: {{reach: {{address: {web4}}}, interval: 200ms, timeout: 150ms, fall: 2}}\n    \
         echo6: {{reach: {{address: '{web6}'}}, interval: 200ms, timeout: 150ms, fall: 2}}\n    \
         arp: {{reach: {{address: {web4}, by: neighbour, interface: eth0}}, interval: 200ms, timeout: 150ms, fall: 2}}\n    \
         nd: {{reach: {{address: '{web6}', by: neighbour, interface: eth0}}, interval: 200ms, timeout: 150ms, fall: 2}}"
    );
    let names = ["echo4", "echo6", "arp", "nd"];
    let track = names.map(|name| format!("{{tracker: {name}, weight: -15}}")).join(", ");
    let duo = start(lab, &trackers, &track);
    duo.wait_lb1().unwrap();
    for name in names {
        wait_tracker(&duo.lb1, name, "up").unwrap();
    }
    duo.lab.link_down(duo.lab.web(1)).unwrap();
    duo.wait_lb2().unwrap();
    wait_priority(&duo.lb1, 90, &names.map(|name| (name, -15))).unwrap();
    duo.lab.link_up(duo.lab.web(1)).unwrap();
    duo.wait_lb1().unwrap();
    wait_priority(&duo.lb1, 150, &[]).unwrap();
}

#[test]
fn a_default_route_that_goes_is_noticed_in_both_families() {
    let lab = lab().unwrap();
    let (via4, via6) = (lab.client().ip4(), lab.client().ip6());
    let both = |verb: &str| {
        format!("ip route {verb} default via {via4}; ip -6 route {verb} default via {via6}")
    };
    lab.lb1().sh(&both("add")).unwrap();
    let trackers = "    way4: {route: {to: default}}\n    way6: {route: {to: '::/0'}}";
    let track = "{tracker: way4, weight: -30}, {tracker: way6, weight: -30}";
    let duo = start(lab, trackers, track);
    duo.wait_lb1().unwrap();
    duo.lab.lb1().sh(&both("delete")).unwrap();
    duo.wait_lb2().unwrap();
    wait_priority(&duo.lb1, 90, &[("way4", -30), ("way6", -30)]).unwrap();
    duo.lab.lb1().sh(&both("add")).unwrap();
    duo.wait_lb1().unwrap();
    wait_priority(&duo.lb1, 150, &[]).unwrap();
}

/// docs/vrrp.md, "Weights with preempt off".
#[test]
fn without_preemption_an_active_that_falls_is_taken_over_from_and_does_not_return() {
    let lab = lab().unwrap();
    let number = lab.lb1().write("number", "0").unwrap();
    let tracker = format!("    number: {{file: {{path: {}}}}}", number.display());
    let roles = Roles {
        interval: "200ms",
        lb1: "priority: 150, preempt: false, track: [{tracker: number, weight: 1}]",
        lb2: "priority: 100, preempt: false",
    };
    let config = tracking(&roles, &tracker);
    let lb1 = Director::start(lab.lb1(), &config).unwrap();
    // Without preemption the one that is first stays Active.
    wait_all(&lb1, "active").unwrap();
    let lb2 = Director::start(lab.lb2(), &config).unwrap();
    let duo = Duo { lb1, lb2, lab };
    duo.wait_lb1().unwrap();
    // Worse, and still the better one.
    replace(&number, "-20");
    wait_priority(&duo.lb1, 130, &[("number", -20)]).unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
    replace(&number, "-60");
    duo.wait_lb2().unwrap();
    replace(&number, "0");
    wait_priority(&duo.lb1, 150, &[]).unwrap();
    duo.ensure_at_rest(&duo.lb2).unwrap();
}

#[test]
fn the_status_for_programs_says_what_each_tracker_does() {
    let lab = lab().unwrap();
    add_uplink(lab.lb1());
    let number = lab.lb1().write("number", "7").unwrap();
    let trackers = format!(
        "    uplink: {{interface: uplink0}}\n    number: {{file: {{path: {}}}}}",
        number.display()
    );
    let duo = start(lab, &trackers, "{tracker: uplink, weight: 20}, {tracker: number, weight: -1}");
    wait_priority(&duo.lb1, 163, &[("uplink", 20), ("number", -7)]).unwrap();
    let status: Value =
        serde_json::from_str(&duo.lb1.cli(&["status", "-o", "json"]).unwrap()).unwrap();
    for instance in status["vrrp"].as_array().unwrap() {
        assert_eq!(instance["priority"], 163, "{instance:#}");
        assert_eq!(instance["base_priority"], 150, "{instance:#}");
        let weights = instance["weights"].as_array().unwrap();
        assert!(weights.iter().any(|one| one["tracker"] == "uplink" && one["weight"] == 20));
        assert!(weights.iter().any(|one| one["tracker"] == "number" && one["weight"] == -7));
    }
    let tracker = |name: &str| {
        let all = status["trackers"].as_array().unwrap();
        all.iter().find(|one| one["name"] == name).unwrap().clone()
    };
    assert_eq!(
        (&tracker("uplink")["kind"], &tracker("uplink")["state"]),
        (&"interface".into(), &"up".into())
    );
    assert_eq!(
        (&tracker("number")["kind"], &tracker("number")["state"]),
        (&"file".into(), &"7".into())
    );
    // What the peer is told is what counts.
    wait_status(&duo.lb2, "lb1 is heard with 163", |status| {
        status.vrrp.iter().all(|one| one.peers.iter().any(|peer| peer.priority == 163))
    })
    .unwrap();
}
