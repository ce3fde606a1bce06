//! A pair whose nodes watch each other by BFD: the Active's sudden death is noticed long before its advertisements are missed, and a
//! node that stood still takes nothing from a healthy Active. A reload changes one session and leaves the others alone.
//!
//! ```text
//!  ┌──────────────────┐  BFD 100 ms × 15  ┌──────────────────┐
//!  │ lb1: priority 150│◄─────────────────►│ lb2: priority 100│     VRRP at an interval of 2 s, both families
//!  └────────┬─────────┘                   └────────┬─────────┘
//!  ═════════╧══════════════════════════════════════╧═════════ br0
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::net::{IpAddr, UdpSocket};

use holdfast_control::BfdSession;
use holdfast_integration::pair::{INSTANCES, LIMIT, lab, wait_active, wait_backup, wait_count};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Node, VIP4, VIP6, wait_until};
use nix::sys::signal::Signal;

/// A second and a half, a fifth of what a Backup waits for, so that a busy test machine is no dead peer.
const TIMING: &str = "min_tx: 100ms, min_rx: 100ms, multiplier: 15";

/// The trackers, one a family: over IPv6 advertisements come from the link-local address.
const TRACKERS: [&str; 2] = ["peer4", "peer6"];

/// The link-local address that the kernel gave `eth0`.
fn link_local(node: &Node) -> IpAddr {
    let shown = node.run(["ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]);
    let shown = shown.unwrap().stdout;
    let address = shown.split_whitespace().find_map(|word| word.strip_suffix("/64"));
    address.unwrap().parse().unwrap()
}

/// No `track` names the sessions: they serve the instances all the same. There is no fate channel, which would be faster. `ends` are the link-local addresses, its own and the peer's.
fn start(node: &Node, peer: &Node, ends: [IpAddr; 2], priority: u8) -> Director {
    let instance = |name: &str, addresses: &str| {
        format!(
            "    {name}: {{interface: eth0, vrid: 51, interval: 2s, priority: {priority}, \
             addresses: [{addresses}]}}\n"
        )
    };
    let [v4, v6] = INSTANCES;
    let instances =
        instance(v4, &format!("{VIP4}/24")) + &instance(v6, &format!("'fe80::33/64', '{VIP6}/64'"));
    let [own, theirs] = ends;
    let trackers = format!(
        "vrrp:\n  fate: false\n  trackers:\n    peer4: {{bfd: {{peer: {}, source: {}, {TIMING}}}}}\n    \
         peer6: {{bfd: {{peer: '{theirs}', source: '{own}', interface: eth0, {TIMING}}}}}\n",
        peer.ip4(),
        node.ip4(),
    );
    let text = config(&instances, "").replacen("vrrp:\n", &trackers, 1);
    Director::start(node, &text).unwrap()
}

fn wait_trackers(director: &Director, state: &str) {
    for name in TRACKERS {
        let mut last = None;
        let found = wait_until(LIMIT, &format!("{name} to be {state}"), || {
            let trackers = director.status().ok()?.trackers;
            let so = trackers.iter().any(|one| one.name == name && one.state == state);
            last = Some(trackers);
            so.then_some(())
        });
        found.map_err(|error| format!("{error:#} {last:?}")).unwrap();
    }
}

/// lb1 is Active, lb2 Backup, and their sessions are up.
fn pair(lab: &Lab) -> (Director, Director) {
    // Before anybody is Active: the virtual address is link-local too.
    let [first, second] = [lab.lb1(), lab.lb2()].map(link_local);
    let lb1 = start(lab.lb1(), lab.lb2(), [first, second], 150);
    wait_active(&lb1).unwrap();
    let lb2 = start(lab.lb2(), lab.lb1(), [second, first], 100);
    wait_backup(&lb2).unwrap();
    wait_trackers(&lb1, "up");
    wait_trackers(&lb2, "up");
    // A Backup that has not heard the Active yet does not know whom it loses.
    for instance in INSTANCES {
        wait_count(&lb2, instance, "advertisements_received", 1).unwrap();
    }
    (lb1, lb2)
}

/// The two sessions as `holdfast status -o json` has them.
fn sessions(director: &Director) -> Vec<serde_json::Value> {
    let status = director.cli(&["status", "-o", "json"]).unwrap();
    let mut status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let sessions: Vec<_> = std::mem::take(status.get_mut("bfd").unwrap().as_array_mut().unwrap());
    assert_eq!(sessions.len(), TRACKERS.len(), "{sessions:#?}");
    sessions
}

fn reasons(director: &Director) -> Vec<(String, String)> {
    let instances = director.status().unwrap().vrrp;
    instances.into_iter().map(|one| (one.state, one.reason)).collect()
}

fn transitions(director: &Director) -> Vec<u64> {
    director.status().unwrap().vrrp.iter().map(|one| one.transitions).collect()
}

/// Had the Backup waited for three advertisements, the reason would be `active_silent`.
#[test]
fn an_active_that_was_killed_is_lost_before_its_advertisements_are_missed() {
    let lab = lab().unwrap();
    let (mut lb1, lb2) = pair(&lab);
    for session in sessions(&lb2) {
        assert_eq!((&session["state"], &session["remote_state"]), (&"up".into(), &"up".into()));
        assert!(session["detection_time_us"].as_u64().is_some_and(|time| time > 0), "{session:#}");
    }
    lb1.kill().unwrap();
    wait_active(&lb2).unwrap();
    let lost = ("active".to_owned(), "active_lost".to_owned());
    assert_eq!(reasons(&lb2), [lost.clone(), lost], "{}", lb2.process().log_tail());
    wait_trackers(&lb2, "down");
    for session in sessions(&lb2) {
        assert_eq!(session["state"], "down", "{session:#}");
        assert!(session["last_down"].is_string(), "{session:#}");
    }
    // Back again, with preemption, as if nothing had been.
    lb1.restart().unwrap();
    wait_active(&lb1).unwrap();
    wait_backup(&lb2).unwrap();
    wait_trackers(&lb2, "up");
}

/// The goodbye is VRRP's, and AdminDown says nothing more.
#[test]
fn an_active_that_is_stopped_in_order_is_not_lost() {
    let lab = lab().unwrap();
    let (mut lb1, lb2) = pair(&lab);
    lb1.stop().unwrap();
    wait_active(&lb2).unwrap();
    assert!(reasons(&lb2).iter().all(|(_, reason)| reason != "active_lost"), "{:?}", reasons(&lb2));
}

/// The Active has declared it dead and says Down, which is the word of a living Active.
#[test]
fn a_backup_that_stood_still_takes_nothing() {
    let lab = lab().unwrap();
    let (lb1, lb2) = pair(&lab);
    let before = (transitions(&lb1), transitions(&lb2));
    lb2.process().kill_group(Signal::SIGSTOP).unwrap();
    wait_trackers(&lb1, "down");
    lb2.process().kill_group(Signal::SIGCONT).unwrap();
    wait_trackers(&lb1, "up");
    wait_trackers(&lb2, "up");
    assert_eq!((transitions(&lb1), transitions(&lb2)), before);
    wait_active(&lb1).unwrap();
    wait_backup(&lb2).unwrap();
}

/// Rewrites the daemon's configuration, line by line, and has it reloaded; what the command said.
fn reload(director: &Director, change: impl Fn(&str) -> Option<String>) -> String {
    let file = director.node().folder().join("holdfast.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text.lines().filter_map(|line| Some(change(line)? + "\n"));
    director.node().write("holdfast.yaml", &lines.collect::<String>()).unwrap();
    director.cli(&["reload"]).unwrap()
}

fn is_of(line: &str, tracker: &str) -> bool {
    line.trim_start().starts_with(&format!("{tracker}:"))
}

/// A session as the daemon has it now, by its tracker.
fn session(director: &Director, tracker: &str) -> Option<BfdSession> {
    let sessions = director.status().unwrap().bfd;
    sessions.into_iter().find(|one| one.trackers.iter().any(|name| name == tracker))
}

fn wait_session(director: &Director, tracker: &str, what: &str, is: impl Fn(&BfdSession) -> bool) {
    let mut last = None;
    let found = wait_until(LIMIT, &format!("the session of {tracker} to be {what}"), || {
        last = session(director, tracker);
        last.as_ref().is_some_and(&is).then_some(())
    });
    found.map_err(|error| format!("{error:#} {last:?}")).unwrap();
}

/// That the session was up all the while since it was `before`.
fn assert_untouched(director: &Director, tracker: &str, before: &BfdSession) {
    let now = session(director, tracker).unwrap();
    assert_eq!((now.state.as_str(), now.remote_state.as_str()), ("up", "up"), "{now:?}");
    assert_eq!(now.last_down, before.last_down, "{now:?}");
    assert!(now.since_s >= before.since_s && now.sent >= before.sent, "{before:?} {now:?}");
}

#[test]
fn a_reload_changes_one_session_and_nobody_notices_but_its_intervals() {
    let lab = lab().unwrap();
    let (lb1, lb2) = pair(&lab);
    let before = (transitions(&lb1), transitions(&lb2));
    let both = [&lb1, &lb2].map(|one| TRACKERS.map(|name| session(one, name).unwrap()));
    let slower = |line: &str| {
        Some(match is_of(line, "peer4") {
            true => line.replace("min_tx: 100ms, min_rx: 100ms", "min_tx: 150ms, min_rx: 200ms"),
            false => line.to_owned(),
        })
    };
    let said = reload(&lb1, slower);
    assert!(said.contains("100ms/100ms×15") && said.contains("150ms/200ms×15"), "{said}");
    // The peer's multiplier times what this end asks for, by a Poll Sequence with a session that is up all the while.
    wait_session(&lb1, "peer4", "slower", |one| one.detection_time_us == Some(3_000_000));
    wait_session(&lb2, "peer4", "slower", |one| one.transmit_interval_us == Some(200_000));
    wait_session(&lb2, "peer4", "slower", |one| one.detection_time_us == Some(2_250_000));
    for (director, sessions) in [&lb1, &lb2].into_iter().zip(&both) {
        for (tracker, session) in TRACKERS.iter().zip(sessions) {
            assert_untouched(director, tracker, session);
        }
    }
    assert_eq!((transitions(&lb1), transitions(&lb2)), before);
}

/// The end by intent says nothing about the peer: its tracker there stays as it is, and no role moves.
#[test]
fn a_session_goes_and_comes_by_reload_and_the_other_one_stays() {
    let lab = lab().unwrap();
    let (lb1, lb2) = pair(&lab);
    let before = (transitions(&lb1), transitions(&lb2));
    let stays = [&lb1, &lb2].map(|one| session(one, "peer4").unwrap());
    let text = std::fs::read_to_string(lb1.node().folder().join("holdfast.yaml")).unwrap();
    reload(&lb1, |line| (!is_of(line, "peer6")).then(|| line.to_owned()));
    wait_session(&lb2, "peer6", "ended by the peer", |one| {
        let why = one.last_down.as_deref();
        one.state == "down" && why == Some("the peer's administrator ended the session")
    });
    assert!(session(&lb1, "peer6").is_none());
    let trackers = lb2.status().unwrap().trackers;
    assert!(trackers.iter().all(|one| one.state == "up"), "{trackers:?}");
    assert!(lb1.status().unwrap().trackers.iter().all(|one| one.name == "peer4"));

    // Back in the same second, most likely: while the old session still says goodbye.
    lb1.node().write("holdfast.yaml", &text).unwrap();
    lb1.cli(&["reload"]).unwrap();
    wait_trackers(&lb1, "up");
    for director in [&lb1, &lb2] {
        wait_session(director, "peer6", "up", |one| one.state == "up" && one.remote_state == "up");
    }
    for (director, session) in [&lb1, &lb2].into_iter().zip(&stays) {
        assert_untouched(director, "peer4", session);
    }
    assert_eq!((transitions(&lb1), transitions(&lb2)), before);
}

/// A daemon without a session has neither BFD's thread nor its port. Both come with the first session, the port goes with the last; and a
/// port that another program has refuses the reload whole.
#[test]
fn the_first_session_comes_and_the_last_one_goes_by_reload() {
    let lab = lab().unwrap();
    let (lb1, lb2) = pair(&lab);
    let none = |line: &str| {
        let tracker = TRACKERS.iter().any(|name| is_of(line, name));
        (!tracker && line.trim() != "trackers:").then(|| line.to_owned())
    };
    let text = std::fs::read_to_string(lb1.node().folder().join("holdfast.yaml")).unwrap();
    reload(&lb1, none);
    assert!(lb1.status().unwrap().bfd.is_empty());
    // Of both families: the socket takes what comes over IPv4, too.
    let taken = wait_until(LIMIT, "BFD's port to be free", || {
        lb1.node().enter(|| UdpSocket::bind("[::]:3784")).unwrap().ok()
    })
    .unwrap();
    let (generation, before) =
        (lb1.status().unwrap().daemon.configuration.generation, transitions(&lb1));
    lb1.node().write("holdfast.yaml", &text.replace("interval: 2s", "interval: 3s")).unwrap();
    let (code, _, error) = lb1.try_cli(&["reload"]).unwrap();
    assert!(code == 1 && error.contains("listen to BFD's packets"), "{code} {error}");
    let status = lb1.status().unwrap();
    assert_eq!(status.daemon.configuration.generation, generation);
    assert!(status.vrrp.iter().all(|one| one.interval_ms == 2000), "{:?}", status.vrrp);

    drop(taken);
    lb1.node().write("holdfast.yaml", &text).unwrap();
    lb1.cli(&["reload"]).unwrap();
    wait_trackers(&lb1, "up");
    for tracker in TRACKERS {
        wait_session(&lb2, tracker, "up", |one| one.state == "up" && one.remote_state == "up");
    }
    assert_eq!(transitions(&lb1), before);
}
