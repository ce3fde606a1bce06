//! Two daemons and what becomes of their virtual addresses: who gets them, how they move, and that nobody keeps what is no
//! longer theirs. The network is [`holdfast_integration::pair`]'s.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::process::Command;

use holdfast_integration::Director;
use holdfast_integration::pair::{
    INSTANCES, LIMIT, Pair, Roles, VIPS, believed_mac, counter, ensure_settled, faultless,
    holds_all, holds_none, lab, wait_active, wait_backup, wait_believed, wait_counted, wait_roles,
    wait_served_by,
};
use holdfast_testkit::lab::{Lab, Node, wait_until};
use nix::sys::signal::Signal;

/// Equal priorities: lb2 has the higher address in both families.
const EQUALS: Roles<'_> = Roles { interval: "200ms", lb1: "priority: 100", lb2: "priority: 100" };

/// An interval so long that a takeover after it can't be taken for one after Skew_Time: 12 s of silence against 0.1 s.
const SLOW: Roles<'_> = Roles { interval: "4s", lb1: "priority: 254", lb2: "priority: 250" };

#[test]
fn the_higher_priority_is_active_in_both_families_and_answers() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    wait_counted(&pair.lb2, "advertisements_received", 1).unwrap();
    for instance in faultless(&pair.lb2).unwrap() {
        let ours = pair.lb1.instance(&instance.name).unwrap();
        assert_eq!((ours.priority, instance.priority), (150, 100));
        assert!(instance.active.is_some(), "lb2 knows no Active of {}", instance.name);
        assert_eq!(ours.active, None, "who is Active names no other");
        assert_eq!(ours.reason, "active_silent");
    }
    ensure_settled(&pair.lb1, &pair.lb2).unwrap();
}

/// R4 in Backup has no tie-break: who is there first stays.
#[test]
fn at_equal_priority_the_first_to_be_active_stays_so() {
    let lab = lab().unwrap();
    let lb1 = Director::start(lab.lb1(), &EQUALS.config()).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &EQUALS.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    ensure_settled(&lb1, &lb2).unwrap();
}

/// R3, R4 in Active: where two are active, the higher address wins.
#[test]
fn of_two_actives_of_equal_priority_the_higher_address_wins() {
    let lab = lab().unwrap();
    lab.isolate(&[lab.lb1(), lab.lb2()]).unwrap();
    let lb1 = Director::start(lab.lb1(), &EQUALS.config()).unwrap();
    let lb2 = Director::start(lab.lb2(), &EQUALS.config()).unwrap();
    wait_active(&lb1).unwrap();
    wait_active(&lb2).unwrap();
    lab.join(&[lab.lb1(), lab.lb2()]).unwrap();
    wait_roles(&lb2, &lb1).unwrap();
    for name in INSTANCES {
        assert_eq!(lb1.instance(name).unwrap().reason, "higher_address");
    }
    ensure_settled(&lb2, &lb1).unwrap();
}

#[test]
fn kill_9_moves_the_addresses_there_and_back() {
    let mut pair = Pair::start(&Roles::NO_PREEMPTION).unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();

    pair.lb1.kill().unwrap();
    assert!(holds_all(pair.lab.lb1()).unwrap(), "kill -9 leaves the addresses behind, for a while");
    wait_active(&pair.lb2).unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb2()).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb2()).unwrap();

    pair.lb1.restart().unwrap();
    pair.wait_lb2().unwrap();
    pair.lb2.kill().unwrap();
    wait_active(&pair.lb1).unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb1()).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
}

#[test]
fn a_pulled_cable_moves_the_addresses_there_and_back() {
    let pair = Pair::start(&Roles::NO_PREEMPTION).unwrap();
    let Pair { lab, lb1, lb2, .. } = &pair;
    wait_roles(lb1, lb2).unwrap();
    wait_served_by(lab.client(), lab.lb1()).unwrap();
    for (loses, gains) in [(lb1, lb2), (lb2, lb1)] {
        lab.link_down(loses.node()).unwrap();
        wait_active(gains).unwrap();
        wait_believed(lab.client(), gains.node()).unwrap();
        wait_served_by(lab.client(), gains.node()).unwrap();
        wait_fault(loses, "is down");
        wait_until(LIMIT, "the addresses to go with the cable", || {
            holds_none(loses.node()).unwrap().then_some(())
        })
        .unwrap();
        lab.link_up(loses.node()).unwrap();
        wait_roles(gains, loses).unwrap();
        faultless(loses).unwrap();
    }
}

/// S3, R1: the peer waits for Skew_Time, not for three intervals.
#[test]
fn a_stop_says_goodbye_and_the_peer_takes_over_after_skew_time() {
    let mut pair = Pair::start(&SLOW).unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    // Just after an advertisement, the silence would last for twelve seconds more.
    wait_counted(&pair.lb2, "advertisements_received", 1).unwrap();
    let begun = std::time::Instant::now();
    pair.lb1.stop().unwrap();
    assert!(holds_none(pair.lab.lb1()).unwrap(), "the addresses are gone when the daemon is");
    wait_active(&pair.lb2).unwrap();
    assert!(begun.elapsed().as_secs() < 8, "as late as by silence: {:?}", begun.elapsed());
    for name in INSTANCES {
        assert_eq!(counter(&pair.lb2, name, "priority_zero_received").unwrap(), 1, "{name}");
        assert_eq!(pair.lb2.instance(name).unwrap().reason, "active_released");
    }
    wait_believed(pair.lab.client(), pair.lab.lb2()).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb2()).unwrap();
}

/// A Backup that stops has nothing to release.
#[test]
fn a_backup_stops_without_a_word() {
    let mut pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    pair.lb2.stop().unwrap();
    wait_counted(&pair.lb1, "advertisements_sent", 5).unwrap();
    for name in INSTANCES {
        assert_eq!(counter(&pair.lb1, name, "advertisements_received").unwrap(), 0, "{name}");
    }
    wait_active(&pair.lb1).unwrap();
}

/// R6: the higher priority takes over from a working Active; the client learns of it without asking.
#[test]
fn with_preemption_the_higher_priority_takes_over_when_it_returns() {
    let mut pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    pair.lb1.stop().unwrap();
    wait_active(&pair.lb2).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb2()).unwrap();
    pair.lb1.restart().unwrap();
    pair.wait_lb1().unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb1()).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    for name in INSTANCES {
        assert_eq!(pair.lb1.instance(name).unwrap().reason, "preempt");
        assert_eq!(pair.lb2.instance(name).unwrap().reason, "higher_priority");
    }
    ensure_settled(&pair.lb1, &pair.lb2).unwrap();
}

/// R7, and the addresses that a killed daemon left are removed before it listens.
#[test]
fn without_preemption_who_returns_stays_backup_and_cleans_up() {
    let mut pair = Pair::start(&Roles::NO_PREEMPTION).unwrap();
    pair.wait_lb1().unwrap();
    pair.lb1.kill().unwrap();
    wait_active(&pair.lb2).unwrap();
    assert!(holds_all(pair.lab.lb1()).unwrap(), "kill -9 leaves the addresses behind");
    pair.lb1.restart().unwrap();
    wait_backup(&pair.lb1).unwrap();
    // Ten intervals are three times what a takeover would have needed.
    wait_counted(&pair.lb1, "advertisements_received", 10).unwrap();
    pair.wait_lb2().unwrap();
    for name in INSTANCES {
        assert_eq!(counter(&pair.lb1, name, "became_active").unwrap(), 0, "{name}");
    }
}

#[test]
fn an_interface_taken_down_and_up_by_the_administrator_comes_back() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    pair.lab.lb1().admin_down().unwrap();
    wait_fault(&pair.lb1, "interface eth0 is down");
    wait_active(&pair.lb2).unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb2()).unwrap();
    wait_until(LIMIT, "the addresses to go", || holds_none(pair.lab.lb1()).unwrap().then_some(()))
        .unwrap();
    pair.lab.lb1().admin_up().unwrap();
    pair.wait_lb1().unwrap();
    faultless(&pair.lb1).unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb1()).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
}

/// The same with what most hosts have: IPv6 addresses do not survive the interface's being down. A daemon that sees both changes
/// at once finds its interface as it was, but for the addresses.
#[test]
fn ipv6_addresses_that_the_kernel_flushed_are_put_back() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    pair.lab.lb1().sysctl("net/ipv6/conf/eth0/keep_addr_on_down", "0").unwrap();
    for asleep in [false, true] {
        if asleep {
            pair.lb1.process().kill(Signal::SIGSTOP).unwrap();
        }
        pair.lab.lb1().sh("ip link set eth0 down; ip link set eth0 up").unwrap();
        if asleep {
            pair.lb1.process().kill(Signal::SIGCONT).unwrap();
        }
        pair.wait_lb1().unwrap();
        wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
        ensure_settled(&pair.lb1, &pair.lb2).unwrap();
    }
}

#[test]
fn an_interface_that_is_deleted_and_made_again_is_used_again() {
    // Another number, as usual; and the same number, as a container's runtime may choose it.
    for index in [1500, 1000] {
        let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
        pair.wait_lb1().unwrap();
        pair.lab.lb1().run(["ip", "link", "delete", "eth0"]).unwrap();
        wait_fault(&pair.lb1, "there is no interface eth0");
        wait_active(&pair.lb2).unwrap();
        make_link(&pair.lab, pair.lab.lb1(), index);
        pair.wait_lb1().unwrap();
        faultless(&pair.lb1).unwrap();
        wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
        ensure_settled(&pair.lb1, &pair.lb2).unwrap();
    }
}

/// The order of a boot decides nothing: a director that starts before its interface waits for it.
#[test]
fn a_director_that_starts_before_its_interface_takes_part_when_it_appears() {
    let mut pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    pair.lb1.kill().unwrap();
    pair.lab.lb1().run(["ip", "link", "delete", "eth0"]).unwrap();
    pair.lb1.restart().unwrap();
    wait_fault(&pair.lb1, "there is no interface eth0");
    wait_active(&pair.lb2).unwrap();
    make_link(&pair.lab, pair.lab.lb1(), 1700);
    pair.wait_lb1().unwrap();
    faultless(&pair.lb1).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    ensure_settled(&pair.lb1, &pair.lb2).unwrap();
}

/// What somebody took away from the Active is put back, like the rest of what the daemon answers for.
#[test]
fn an_address_that_somebody_removes_from_the_active_is_put_back() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    for address in pair.lb1.status().unwrap().vrrp.iter().flat_map(|one| &one.addresses) {
        pair.lab.lb1().run(["ip", "address", "delete", address, "dev", "eth0"]).unwrap();
        let bare = address.split('/').next().unwrap().parse().unwrap();
        wait_until(LIMIT, "the address to be back", || {
            pair.lab.lb1().has_address(bare).ok()?.then_some(())
        })
        .unwrap();
    }
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    ensure_settled(&pair.lb1, &pair.lb2).unwrap();
}

/// The daemon sees both changes at once: what it had installed is gone, though its interface looks the same.
#[test]
fn an_interface_that_was_replaced_while_the_daemon_slept_is_noticed() {
    for index in [1500, 1000] {
        let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
        pair.wait_lb1().unwrap();
        pair.lb1.process().kill(Signal::SIGSTOP).unwrap();
        pair.lab.lb1().run(["ip", "link", "delete", "eth0"]).unwrap();
        make_link(&pair.lab, pair.lab.lb1(), index);
        pair.lb1.process().kill(Signal::SIGCONT).unwrap();
        pair.wait_lb1().unwrap();
        wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
        ensure_settled(&pair.lb1, &pair.lb2).unwrap();
    }
}

#[test]
fn an_interface_without_an_address_is_a_fault_that_heals() {
    let lab = lab().unwrap();
    lab.lb1().sh("ip address flush dev eth0").unwrap();
    let lb1 = Director::start(lab.lb1(), &Roles::LB1_FIRST.config()).unwrap();
    let lb2 = Director::start(lab.lb2(), &Roles::LB1_FIRST.config()).unwrap();
    wait_active(&lb2).unwrap();
    for (name, lacks) in INSTANCES.into_iter().zip(["IPv4 address", "link-local IPv6 address"]) {
        let instance = lb1.instance(name).unwrap();
        assert_eq!(instance.state, "initialize");
        let fault = instance.fault.unwrap();
        assert!(fault.contains("eth0") && fault.contains(lacks), "{fault}");
    }
    // An address of another kind heals nothing.
    lab.lb1().sh("ip address add fd00:77::11/64 dev eth0 nodad").unwrap();
    lab.lb1().sh("ip address add 10.77.0.11/24 dev eth0").unwrap();
    lb1.wait_instance("v4", "active", LIMIT).unwrap();
    assert_eq!(lb1.instance("v6").unwrap().state, "initialize");
    lab.lb1().sh("ip address add fe80::11/64 dev eth0 nodad").unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    faultless(&lb1).unwrap();
}

#[test]
fn an_active_that_loses_its_own_address_steps_back_until_it_has_another() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    let own = format!("ip address delete {}/24 dev eth0", pair.lab.lb1().ip4());
    pair.lab.lb1().sh(&own).unwrap();
    pair.lb2.wait_instance("v4", "active", LIMIT).unwrap();
    let fault = pair.lb1.wait_instance("v4", "initialize", LIMIT).unwrap().fault.unwrap();
    assert!(fault.contains("no IPv4 address"), "{fault}");
    assert_eq!(pair.lb1.instance("v6").unwrap().state, "active", "v6 has nothing to do with it");
    pair.lab.lb1().sh("ip address add 10.77.0.99/24 dev eth0").unwrap();
    pair.wait_lb1().unwrap();
    let active = pair.lb2.instance("v4").unwrap().active.unwrap();
    assert_eq!(active.to_string(), "10.77.0.99");
}

/// C5: the queue is read before the timer may fire, and what has happened meanwhile decides.
#[test]
fn an_active_that_was_paused_ends_with_one_active() {
    for roles in [Roles::LB1_FIRST, Roles::NO_PREEMPTION] {
        let pair = Pair::start(&roles).unwrap();
        pair.wait_lb1().unwrap();
        wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
        pair.lb1.process().kill(Signal::SIGSTOP).unwrap();
        wait_active(&pair.lb2).unwrap();
        wait_believed(pair.lab.client(), pair.lab.lb2()).unwrap();
        wait_counted(&pair.lb2, "advertisements_sent", 5).unwrap();
        pair.lb1.process().kill(Signal::SIGCONT).unwrap();
        for name in INSTANCES {
            wait_until(LIMIT, "lb1 to notice that it was paused", || {
                (counter(&pair.lb1, name, "stalls").ok()? > 0).then_some(())
            })
            .unwrap();
        }
        let (active, backup) = if one_active(&pair) == "lb1" {
            (&pair.lb1, &pair.lb2)
        } else {
            (&pair.lb2, &pair.lb1)
        };
        ensure_settled(active, backup).unwrap();
        wait_believed(pair.lab.client(), active.node()).unwrap();
        wait_served_by(pair.lab.client(), active.node()).unwrap();
    }
}

/// A Backup that was paused for longer than Active_Down_Interval does not take over: what waits in its queue is read first.
#[test]
fn a_backup_that_was_paused_stays_backup() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    pair.lb2.process().kill(Signal::SIGSTOP).unwrap();
    wait_counted(&pair.lb1, "advertisements_sent", 8).unwrap();
    pair.lb2.process().kill(Signal::SIGCONT).unwrap();
    wait_counted(&pair.lb2, "advertisements_received", 10).unwrap();
    for name in INSTANCES {
        assert_eq!(counter(&pair.lb2, name, "became_active").unwrap(), 0, "{name}");
    }
    pair.wait_lb1().unwrap();
}

/// A split makes two Actives, and the client believes the later one. Healed, the better one stays and announces itself again.
#[test]
fn a_healed_split_ends_with_one_active_that_the_client_believes() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    let directors = [pair.lab.lb1(), pair.lab.lb2()];
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    pair.lab.isolate(&directors).unwrap();
    wait_active(&pair.lb2).unwrap();
    wait_active(&pair.lb1).unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb2()).unwrap();
    pair.lab.join(&directors).unwrap();
    pair.wait_lb1().unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb1()).unwrap();
    ensure_settled(&pair.lb1, &pair.lb2).unwrap();
    for vip in VIPS {
        let believed = believed_mac(pair.lab.client(), vip).unwrap();
        assert_eq!(believed.as_deref(), Some(pair.lab.lb1().mac()), "{vip}");
    }
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    for name in INSTANCES {
        assert_eq!(
            counter(&pair.lb1, name, "became_active").unwrap(),
            1,
            "{name}: lb1 never yielded"
        );
    }
}

/// Waits until both instances have the same fault.
fn wait_fault(director: &Director, fault: &str) {
    wait_until(LIMIT, &format!("the fault {fault:?} on {}", director.node().name()), || {
        let instances = director.status().ok()?.vrrp;
        let have = |instance: &holdfast_control::Instance| {
            instance.state == "initialize"
                && instance.fault.as_ref().is_some_and(|found| found.contains(fault))
        };
        instances.iter().all(have).then_some(())
    })
    .unwrap();
}

/// Waits until each instance has one Active, and the same node for both; which that is.
fn one_active(pair: &Pair) -> &str {
    wait_until(LIMIT, "exactly one active node", || {
        let states = |director: &Director| -> Vec<String> {
            director.status().unwrap().vrrp.into_iter().map(|instance| instance.state).collect()
        };
        match (states(&pair.lb1).as_slice(), states(&pair.lb2).as_slice()) {
            ([a, b], [c, d]) if a == "active" && b == a && c == "backup" && d == c => Some("lb1"),
            ([a, b], [c, d]) if a == "backup" && b == a && c == "active" && d == c => Some("lb2"),
            _ => None,
        }
    })
    .unwrap()
}

/// Gives a node whose `eth0` is gone another one, with the number `index`.
fn make_link(lab: &Lab, node: &Node, index: u32) {
    let (bridges, port) = (format!("{}-lan", lab.id()), node.name());
    let run = |command: &str| {
        let words: Vec<&str> = command.split(' ').collect();
        let status = Command::new("ip").args(&words).status().unwrap();
        assert!(status.success(), "ip {command}");
    };
    let (namespace, mac) = (node.namespace(), node.mac());
    run(&format!(
        "-n {namespace} link add eth0 index {index} address {mac} type veth peer name {port} netns {bridges}"
    ));
    run(&format!("-n {bridges} link set {port} master br0 up"));
    run(&format!("-n {namespace} link set eth0 up"));
    run(&format!("-n {namespace} address add {}/24 dev eth0", node.ip4()));
    run(&format!("-n {namespace} address add {}/64 dev eth0 nodad", node.ip6()));
}
