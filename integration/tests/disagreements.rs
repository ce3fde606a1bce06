//! Two nodes whose configurations differ: what is discarded or taken all the same is said in the log, and not for every packet, and in the
//! status for as long as it is heard. The network is [`holdfast_integration::pair`]'s.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use holdfast_control::Disagreement;
use holdfast_integration::pair::{
    LIMIT, Roles, counter, ensure_settled, lab, wait_active, wait_backup, wait_count, wait_roles,
};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Node, VIP4, VIP6, wait_until};

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

/// The lines of the log that say `what`, and that they are fewer than packets that `count` has counted, but some.
fn said(director: &Director, what: &str, count: &str) -> Vec<String> {
    let log = director.process().log();
    // Counted after the log was read: in between there may be any number of both.
    let packets = counter(director, "edge", count).unwrap();
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
        let edge = lb2.instance("edge").unwrap();
        assert_eq!(edge.state, "backup");
        assert_eq!(edge.disagreements.len(), 1, "{edge:?}");
        for line in said(&lb2, differs, "advertisements_received") {
            assert!(line.contains(DIFFERS) && line.contains("source=10.77.0.11"), "{line}");
        }
        lb2.stop().unwrap();
    }
}

/// Both families: lb2, the Backup, shows who says what, what it is itself configured with, and what to do, until that is so no more.
#[test]
fn what_does_not_agree_is_in_the_status_as_long_as_it_is_heard() {
    let lab = lab().unwrap();
    let both = |interval: &str, more: [&str; 2]| {
        let [more4, more6] = more;
        let v4 = format!(
            "    v4: {{interface: eth0, vrid: 51, interval: {interval}, addresses: [{VIP4}/24{more4}], {PRIORITIES}}}\n"
        );
        let v6 = format!(
            "    v6: {{interface: eth0, vrid: 51, interval: {interval}, addresses: ['fe80::33/64', '{VIP6}/64'{more6}], {PRIORITIES}}}\n"
        );
        config(&(v4 + &v6), "")
    };
    let lb1 = Director::start(lab.lb1(), &both("200ms", ["", ""])).unwrap();
    wait_active(&lb1).unwrap();
    let differs = both("300ms", [", 10.77.0.9/24", ", 'fd00:77::9/64'"]);
    let lb2 = Director::start(lab.lb2(), &differs).unwrap();
    for (name, ours) in [("v4", "10.77.0.9"), ("v6", "fd00:77::9")] {
        let found = wait_disagreements(&lb2, name, 2);
        let [addresses, interval] = &found[..] else { panic!("{found:?}") };
        assert_eq!([&*addresses.about, &*interval.about], ["addresses", "interval"]);
        assert_eq!((&*addresses.theirs, &*addresses.ours), ("", ours));
        assert_eq!((&*interval.theirs, &*interval.ours), ("200ms", "300ms"));
        let status = lb2.cli(&["status"]).unwrap();
        for part in [
            format!(
                "! {name}: {} does not advertise {ours}, which is in `addresses` here: both nodes need",
                addresses.peer
            ),
            format!(
                "! {name}: {} advertises every 200ms, and `interval` here is 300ms: ",
                interval.peer
            ),
        ] {
            assert!(status.contains(&part), "{part:?} in {status}");
        }
    }
    // The other way round of the lists, and the same interval.
    let more = both("200ms", [", 10.77.0.9/24", ", 'fd00:77::9/64'"]);
    lab.lb1().write("holdfast.yaml", &more).unwrap();
    lb1.cli(&["reload"]).unwrap();
    lab.lb2().write("holdfast.yaml", &both("200ms", ["", ""])).unwrap();
    lb2.cli(&["reload"]).unwrap();
    for (name, theirs) in [("v4", "10.77.0.9"), ("v6", "fd00:77::9")] {
        wait_until(LIMIT, "the lists alone to differ", || {
            let found = lb2.instance(name).ok()?.disagreements;
            let [one] = &found[..] else { return None };
            (one.theirs == theirs && one.ours.is_empty()).then_some(())
        })
        .unwrap();
    }
    lab.lb2().write("holdfast.yaml", &more).unwrap();
    lb2.cli(&["reload"]).unwrap();
    for name in ["v4", "v6"] {
        wait_disagreements(&lb2, name, 0);
    }
}

const PRIORITIES: &str = "per_node: {lb1: {priority: 150}, lb2: {priority: 100}}";

/// A VRID with a mistake in it: both nodes are Active, have the address, and say so of each other.
#[test]
fn the_same_address_with_another_vrid_is_in_the_status_of_both() {
    let lab = lab().unwrap();
    let both = |vrid: u8| {
        let v4 = format!(
            "    v4: {{interface: eth0, vrid: {vrid}, interval: 200ms, addresses: [{VIP4}/24]}}\n"
        );
        let v6 = format!(
            "    v6: {{interface: eth0, vrid: {vrid}, interval: 200ms, addresses: ['fe80::33/64', '{VIP6}/64']}}\n"
        );
        config(&(v4 + &v6), "")
    };
    let lb1 = Director::start(lab.lb1(), &both(51)).unwrap();
    let mut lb2 = Director::start(lab.lb2(), &both(52)).unwrap();
    for (director, theirs, ours) in [(&lb1, "52", "51"), (&lb2, "51", "52")] {
        for name in ["v4", "v6"] {
            let found = wait_disagreements(director, name, 1);
            let [one] = &found[..] else { panic!("{found:?}") };
            assert_eq!((&*one.about, &*one.theirs, &*one.ours), ("vrid", theirs, ours));
            let address = if name == "v4" { VIP4.to_string() } else { "fe80::33".to_owned() };
            let line = format!(
                "! {name}: {} advertises {address} with VRID {theirs}, and `vrid` here is {ours}: ",
                one.peer
            );
            let status = director.cli(&["status"]).unwrap();
            assert!(status.contains(&line), "{line:?} in {status}");
        }
    }
    let log = lb1.process().log();
    assert!(
        log.contains("somebody advertises an address of this instance with another VRID"),
        "{log}"
    );
    lb2.stop().unwrap();
    for name in ["v4", "v6"] {
        wait_disagreements(&lb1, name, 0);
    }
}

/// Another virtual router on the link is nobody's business.
#[test]
fn another_vrid_with_other_addresses_is_no_disagreement() {
    let lab = lab().unwrap();
    let lb1 = active(&lab);
    let other =
        "    other: {interface: eth0, vrid: 52, interval: 200ms, addresses: [10.77.0.9/24]}\n";
    let _lb2 = Director::start(lab.lb2(), &config(other, "")).unwrap();
    wait_count(&lb1, "edge", "stray_unknown_vrid", PACKETS).unwrap();
    wait_disagreements(&lb1, "edge", 0);
}

/// Waits until an instance shows so many disagreements.
fn wait_disagreements(director: &Director, name: &str, count: usize) -> Vec<Disagreement> {
    let what = format!("{count} disagreements of {name}");
    let found = wait_until(LIMIT, &what, || {
        let mut found = director.instance(name).ok()?.disagreements;
        found.sort_by(|a, b| a.about.cmp(&b.about));
        (found.len() == count).then_some(found)
    });
    found.unwrap_or_else(|error| panic!("{error}: {:?}", director.instance(name)))
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
        assert!(director.status().unwrap().vrrp.iter().all(|one| one.disagreements.is_empty()));
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
    for line in said(&lb2, DISCARDED, "discarded_version") {
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

/// Nothing tells two nodes with a file each that they are two, until one hears the other: then that says what is missing.
#[test]
fn a_node_that_no_file_names_is_noticed_and_what_that_means_for_addresses_is_said() {
    let lab = lab().unwrap();
    let text = |priority: u8, more: &str| {
        let v4 = format!(
            "    v4: {{interface: eth0, vrid: 51, interval: 200ms, priority: {priority}, addresses: [{VIP4}/24]{more}}}\n"
        );
        let v6 = format!(
            "    v6: {{interface: eth0, vrid: 51, interval: 200ms, priority: {priority}, addresses: ['fe80::33/64', '{VIP6}/64']{more}}}\n"
        );
        config(&(v4 + &v6), "")
    };
    let lb1 = Director::start(lab.lb1(), &text(150, "")).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &text(100, "")).unwrap();
    for name in ["v4", "v6"] {
        wait_count(&lb2, name, "advertisements_received", PACKETS).unwrap();
        let found = lb2.instance(name).unwrap();
        let [problem] = &found.problems[..] else { panic!("{found:?}") };
        assert!(
            problem.contains(" takes part, too, and the configuration names no other node"),
            "{problem}"
        );
        assert_eq!(found.fault, None);
        // Whoever has heard nobody knows of nobody.
        assert_eq!(lb1.instance(name).unwrap().problems, [""; 0]);
    }
    let status = lb2.cli(&["status"]).unwrap();
    assert!(status.contains("say `lifetime: 4s`, or `0s` where that is meant"), "{status}");
    let said = "another node takes part, and the configuration names none";
    assert_eq!(lb2.process().log().matches(said).count(), 2, "once for each instance");
    // Either word is one.
    for more in [", lifetime: 4s", ", lifetime: 0s"] {
        lb2.node().write("holdfast.yaml", &text(100, more)).unwrap();
        lb2.cli(&["reload"]).unwrap();
        for name in ["v4", "v6"] {
            assert_eq!(lb2.instance(name).unwrap().problems, [""; 0], "{more}");
        }
    }
}
