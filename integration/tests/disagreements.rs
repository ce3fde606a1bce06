//! Two nodes whose configurations differ: what is discarded or taken all the same is said in the log, and not for every packet. The
//! network is [`holdfast_integration::pair`]'s.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use holdfast_integration::pair::{
    LIMIT, Roles, ensure_settled, lab, wait_active, wait_backup, wait_count, wait_roles,
};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Node, VIP4, wait_until};

const DIFFERS: &str = "an advertisement does not agree with this configuration";
const DISCARDED: &str = "a packet was discarded";

/// So many packets come before the log is read: several seconds' worth.
const PACKETS: u64 = 20;

/// A director with one instance of IPv4.
fn start(node: &Node, keys: &str) -> Director {
    let instance = format!("    edge: {{interface: eth0, vrid: 51, {keys}}}\n");
    Director::start(node, &config(&instance, "")).unwrap()
}

/// lb1 is the Active, of version 3, with an interval of 200 ms.
fn active(lab: &Lab) -> Director {
    let keys = format!("priority: 150, interval: 200ms, addresses: [{VIP4}/24]");
    let lb1 = start(lab.lb1(), &keys);
    lb1.wait_instance("edge", "active", LIMIT).unwrap();
    lb1
}

/// The lines of the log that say `what`, and that they are fewer than packets, but some.
fn said(director: &Director, what: &str, packets: u64) -> Vec<String> {
    let log = director.process().log();
    let lines: Vec<String> =
        log.lines().filter(|line| line.contains(what)).map(str::to_owned).collect();
    assert!(!lines.is_empty(), "nothing is said: {log}");
    // Once a second is one of five. A busy machine makes fewer.
    assert!(lines.len() as u64 <= packets / 2, "{} of {packets}: {log}", lines.len());
    lines
}

/// RFC 9568 §7.1: the interval and the address list differ; the packet counts all the same.
#[test]
fn what_does_not_agree_is_logged_once_a_second_at_most() {
    let lab = lab().unwrap();
    let _lb1 = active(&lab);
    for (keys, differs) in [
        (
            format!("priority: 100, interval: 300ms, addresses: [{VIP4}/24]"),
            "address_list_differs=false interval_differs=true",
        ),
        (
            format!("priority: 100, interval: 200ms, addresses: [{VIP4}/24, 10.77.0.9/24]"),
            "address_list_differs=true interval_differs=false",
        ),
    ] {
        let mut lb2 = start(lab.lb2(), &keys);
        wait_count(&lb2, "edge", "advertisements_received", PACKETS).unwrap();
        assert_eq!(lb2.instance("edge").unwrap().state, "backup");
        for line in said(&lb2, differs, PACKETS) {
            assert!(line.contains(DIFFERS) && line.contains("source=10.77.0.11"), "{line}");
        }
        lb2.stop().unwrap();
    }
}

#[test]
fn what_agrees_is_not_logged() {
    let lab = lab().unwrap();
    let lb1 = Director::start(lab.lb1(), &Roles::LB1_FIRST.config()).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &Roles::LB1_FIRST.config()).unwrap();
    wait_backup(&lb2).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    ensure_settled(&lb1, &lb2).unwrap();
    for director in [&lb1, &lb2] {
        let log = director.process().log();
        assert!(!log.contains(DIFFERS) && !log.contains(DISCARDED), "{log}");
    }
}

/// Versions 2 and 3 don't hear each other: each side counts and says why there are two Actives.
#[test]
fn what_is_discarded_is_logged_once_a_second_at_most() {
    let lab = lab().unwrap();
    let _lb1 = active(&lab);
    let keys = format!("priority: 200, version: 2, interval: 1s, addresses: [{VIP4}/24]");
    let lb2 = start(lab.lb2(), &keys);
    wait_count(&lb2, "edge", "discarded_version", PACKETS).unwrap();
    lb2.wait_instance("edge", "active", LIMIT).unwrap();
    for line in said(&lb2, DISCARDED, PACKETS) {
        assert!(line.contains("reason=\"version\" source=10.77.0.11"), "{line}");
    }
}

/// RFC 9568 §6.4.2 with erratum 8298: the election decides between two owners, and the loser says who the other one is.
#[test]
fn the_loser_of_two_owners_names_the_other_one_for_as_long_as_it_is_heard() {
    let lab = lab().unwrap();
    let keys = format!("priority: 255, interval: 200ms, addresses: [{VIP4}/24]");
    let mut lb2 = start(lab.lb2(), &keys);
    lb2.wait_instance("edge", "active", LIMIT).unwrap();
    let lb1 = start(lab.lb1(), &keys);
    let problems = |director: &Director| director.instance("edge").unwrap().problems;
    wait_until(LIMIT, "lb1 to name lb2", || {
        (problems(&lb1).iter().any(|one| one.starts_with("10.77.0.12 has priority 255, too")))
            .then_some(())
    })
    .unwrap();
    lb1.wait_instance("edge", "backup", LIMIT).unwrap();
    lb2.stop().unwrap();
    wait_until(LIMIT, "lb1 to forget lb2", || problems(&lb1).is_empty().then_some(())).unwrap();
    lb1.wait_instance("edge", "active", LIMIT).unwrap();
}
