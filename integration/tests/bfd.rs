//! A pair whose nodes watch each other by BFD: the Active's sudden death is noticed in milliseconds at an interval of a second, and a
//! node that stood still takes nothing from a healthy Active.
//!
//! ```text
//!  ┌──────────────────┐   BFD 100 ms × 5  ┌──────────────────┐
//!  │ lb1: priority 150│◄─────────────────►│ lb2: priority 100│     VRRP at an interval of 1 s, both families
//!  └────────┬─────────┘                   └────────┬─────────┘
//!  ═════════╧══════════════════════════════════════╧═════════ br0
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::net::IpAddr;

use holdfast_integration::pair::{INSTANCES, LIMIT, lab, wait_active, wait_backup, wait_count};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Node, VIP4, VIP6, wait_until};
use nix::sys::signal::Signal;

/// Half a second, a sixth of what a Backup waits for, so that a busy test machine is no dead peer.
const TIMING: &str = "min_tx: 100ms, min_rx: 100ms, multiplier: 5";

/// The trackers, one a family: over IPv6 advertisements come from the link-local address.
const TRACKERS: [&str; 2] = ["peer4", "peer6"];

/// The link-local address that the kernel gave `eth0`.
fn link_local(node: &Node) -> IpAddr {
    let shown = node.run(["ip", "-6", "-o", "address", "show", "dev", "eth0", "scope", "link"]);
    let shown = shown.unwrap().stdout;
    let address = shown.split_whitespace().find_map(|word| word.strip_suffix("/64"));
    address.unwrap().parse().unwrap()
}

/// No `track` names the sessions: they serve the instances all the same. `ends` are the link-local addresses, its own and the peer's.
fn start(node: &Node, peer: &Node, ends: [IpAddr; 2], priority: u8) -> Director {
    let instance = |name: &str, addresses: &str| {
        format!(
            "    {name}: {{interface: eth0, vrid: 51, interval: 1s, priority: {priority}, \
             addresses: [{addresses}]}}\n"
        )
    };
    let [v4, v6] = INSTANCES;
    let instances =
        instance(v4, &format!("{VIP4}/24")) + &instance(v6, &format!("'fe80::33/64', '{VIP6}/64'"));
    let [own, theirs] = ends;
    let trackers = format!(
        "vrrp:\n  trackers:\n    peer4: {{bfd: {{peer: {}, source: {}, {TIMING}}}}}\n    \
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
