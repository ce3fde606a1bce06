//! A daemon that stood still, one that the kernel has told too much in that time, and one that may not be as punctual as it wants to be.
//! The network is [`holdfast_integration::pair`]'s; the client listens to what is said on it.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_integration::duo::{wait_status, wait_tracker};
use holdfast_integration::hold::Hold;
use holdfast_integration::pair::{
    LIMIT, Roles, ensure_settled, holds_all, holds_none, lab, wait_active, wait_counted, wait_roles,
};
use holdfast_integration::tap::Tap;
use holdfast_integration::watch::{Heard, Watch, longest_overlap};
use holdfast_integration::{Director, config};
use holdfast_net::now;
use holdfast_testkit::lab::{Node, wait_until};
use nix::sys::signal::Signal;
use vrrp::AddressFamily;

const INTERVAL: Duration = Duration::from_millis(200);

/// lb2 is the better one, and leaves lb1 the role for as long as that one lives.
const BETTER_BACKUP: Roles<'_> = Roles {
    interval: "200ms",
    lb1: "priority: 150, preempt: false",
    lb2: "priority: 200, preempt: false",
};

/// The address that `node` advertises from.
fn source(node: &Node, family: AddressFamily) -> IpAddr {
    match (family, node.name()) {
        (AddressFamily::Ipv4, _) => node.ip4().into(),
        (AddressFamily::Ipv6, "lb1") => "fe80::ff:fe77:11".parse().unwrap(),
        (AddressFamily::Ipv6, _) => "fe80::ff:fe77:12".parse().unwrap(),
    }
}

/// The Active of `roles` is stopped (SIGSTOP) until its successor has advertised for `pause`, and goes on. Both daemons, and what was heard
/// of lb1 from the moment of SIGCONT on, by family, once the two have settled on `settles` as the Active's name.
fn paused(roles: &Roles<'_>, pause: Duration, settles: &str) -> [Vec<Heard>; 2] {
    let lab = lab().unwrap();
    let families = [AddressFamily::Ipv4, AddressFamily::Ipv6];
    let watches = families.map(|family| Watch::start(lab.client(), family).unwrap());
    let lb1 = Director::start(lab.lb1(), &roles.config()).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &roles.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    lb1.process().kill(Signal::SIGSTOP).unwrap();
    wait_active(&lb2).unwrap();
    for (watch, family) in watches.iter().zip(families) {
        wait_until(LIMIT, &format!("advertisements of lb2 for {pause:?}"), || {
            let of_lb2 = source(lab.lb2(), family);
            let heard = watch.heard().into_iter().filter(|one| one.source == of_lb2);
            let times: Vec<_> = heard.map(|one| one.at).collect();
            (times.last()?.saturating_since(*times.first()?) >= pause).then_some(())
        })
        .unwrap();
    }
    let woken = now();
    lb1.process().kill(Signal::SIGCONT).unwrap();
    wait_until(LIMIT, "the two to settle", || {
        let is = |director: &Director, state: &str| {
            director.status().is_ok_and(|status| status.vrrp.iter().all(|one| one.state == state))
        };
        let (active, backup) = if settles == "lb1" { (&lb1, &lb2) } else { (&lb2, &lb1) };
        (is(active, "active") && is(backup, "backup")).then_some(())
    })
    .unwrap();
    let (active, backup) = if settles == "lb1" { (&lb1, &lb2) } else { (&lb2, &lb1) };
    ensure_settled(active, backup).unwrap();
    if roles.lb2 != BETTER_BACKUP.lb2 {
        // Where what was read took the timer away, none has fired.
        is_told_of(&lb1, pause);
    }
    let of_lb1 = |(watch, family): (&Watch, AddressFamily)| {
        let heard = watch.heard();
        let after: Vec<Heard> = heard.into_iter().filter(|one| one.at >= woken).collect();
        let overlap = longest_overlap(&after, INTERVAL);
        assert!(overlap <= INTERVAL, "both were active for {overlap:?}: {after:#?}");
        let own = source(lab.lb1(), family);
        after.into_iter().filter(|one| one.source == own).collect()
    };
    let [v4, v6] = &watches;
    [of_lb1((v4, AddressFamily::Ipv4)), of_lb1((v6, AddressFamily::Ipv6))]
}

/// The histogram of late timers has one that fired so late, and as many in all as its count says.
fn is_told_of(director: &Director, pause: Duration) {
    let socket = director.socket().to_str().unwrap();
    let ask = ["curl", "-sS", "--unix-socket", socket, "http://holdfast/metrics"];
    let metrics = director.node().run(ask).unwrap().stdout;
    let value = |line: &str| -> &str {
        let name = format!("holdfast_vrrp_timer_lateness_seconds_{line} ");
        let found = metrics.lines().find_map(|one| one.strip_prefix(&name));
        found.unwrap_or_else(|| panic!("no {name} in {metrics}"))
    };
    let count = |line: &str| -> u64 { value(line).parse().unwrap() };
    let (to_1s, all) = (count(r#"bucket{le="1.0"}"#), count(r#"bucket{le="+Inf"}"#));
    assert!(all > to_1s && to_1s > 0, "a timer was late by more than a second: {metrics}");
    assert_eq!(count("count"), all);
    let sum: f64 = value("sum").parse().unwrap();
    assert!(Duration::from_secs_f64(sum) >= pause / 2, "{metrics}");
}

/// C5, seen from outside: what waits in its queues decides before it speaks. Somebody better has the role by now, so it says nothing at
/// all, neither as Active nor goodbye.
#[test]
fn c5_an_active_that_stood_still_for_five_seconds_says_nothing_to_a_better_one() {
    let said = paused(&BETTER_BACKUP, Duration::from_secs(5), "lb2");
    assert_eq!(said, [vec![], vec![]], "lb1 advertised after SIGCONT");
}

/// So with a worse one, where who is Active stays so.
#[test]
fn c5_an_active_that_stood_still_says_nothing_without_preemption() {
    let said = paused(&Roles::NO_PREEMPTION, Duration::from_secs(2), "lb2");
    assert_eq!(said, [vec![], vec![]], "lb1 advertised after SIGCONT");
}

/// With preemption it is the better one, and takes the role back; for no longer than an interval are there two.
#[test]
fn c5_an_active_that_stood_still_takes_the_role_back_with_preemption() {
    for said in paused(&Roles::LB1_FIRST, Duration::from_secs(2), "lb1") {
        assert!(said.iter().all(|one| one.priority == 150) && said.len() > 5, "{said:?}");
    }
}

/// Who has the role keeps it for as long as it lives, and its addresses end with it.
const MORTAL: Roles<'_> = Roles {
    interval: "200ms",
    lb1: "priority: 150, preempt: false, lifetime: 4s",
    lb2: "priority: 100, preempt: false, lifetime: 4s",
};

/// How many bytes wait in each socket of the node that follows route netlink.
fn waiting(node: &Node) -> Vec<u64> {
    followers(node).into_iter().map(|(waiting, _)| waiting).collect()
}

/// It stood still for longer than its addresses live, so that they are gone, and another one is Active. When it goes on its address thread
/// knows the first, its VRRP thread not yet the second.
#[test]
fn c5_an_active_that_stood_still_takes_no_address_back_before_it_has_read_who_is_active() {
    let lab = lab().unwrap();
    let lb1 = Director::start(lab.lb1(), &MORTAL.config()).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &MORTAL.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    lb1.process().kill(Signal::SIGSTOP).unwrap();
    wait_active(&lb2).unwrap();
    wait_until(LIMIT, "the addresses to end", || holds_none(lab.lb1()).unwrap().then_some(()))
        .unwrap();
    assert!(waiting(lab.lb1()).iter().all(|bytes| *bytes > 0), "nothing has been heard of it");
    let tap = Tap::start(lab.client()).unwrap();
    let hold = Hold::thread(lb1.process().pid(), "vrrp").unwrap();
    lb1.process().kill(Signal::SIGCONT).unwrap();
    wait_until(LIMIT, "the address thread to hear of it", || {
        waiting(lab.lb1()).contains(&0).then_some(())
    })
    .unwrap();
    wait_counted(&lb2, "advertisements_sent", 10).unwrap();
    assert!(holds_none(lab.lb1()).unwrap(), "it has taken addresses back");
    drop(hold);
    wait_roles(&lb2, &lb1).unwrap();
    ensure_settled(&lb2, &lb1).unwrap();
    let frames = tap.frames();
    let announced = frames.iter().filter_map(|frame| frame.announcement());
    let by_lb1: Vec<_> = announced.filter(|(_, mac)| mac == lab.lb1().mac()).collect();
    assert!(by_lb1.is_empty(), "lb1 has announced {by_lb1:?}");
    assert!(!lb1.process().log().contains("put back"), "{}", lb1.process().log());
}

/// Who advertises no more may not go on answering for the addresses.
#[test]
fn a_vrrp_thread_that_hangs_lets_its_addresses_end() {
    let lab = lab().unwrap();
    let lb1 = Director::start(lab.lb1(), &MORTAL.config()).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &MORTAL.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    let hold = Hold::thread(lb1.process().pid(), "vrrp").unwrap();
    wait_active(&lb2).unwrap();
    wait_until(LIMIT, "the addresses to end", || holds_none(lab.lb1()).unwrap().then_some(()))
        .unwrap();
    drop(hold);
    wait_roles(&lb2, &lb1).unwrap();
    ensure_settled(&lb2, &lb1).unwrap();
}

/// For longer than they live.
fn ensure_all_stay(lb1: &Director) {
    for _ in 0..6 {
        wait_counted(lb1, "advertisements_sent", 5).unwrap();
        assert!(holds_all(lb1.node()).unwrap(), "{}", lb1.process().log());
    }
    assert!(!lb1.process().log().contains("put back"), "{}", lb1.process().log());
}

/// Who advertises may not lose them, whatever becomes of the thread that puts them there.
#[test]
fn an_address_thread_that_hangs_lets_no_address_end() {
    let lab = lab().unwrap();
    let lb1 = Director::start(lab.lb1(), &MORTAL.config()).unwrap();
    wait_active(&lb1).unwrap();
    let hold = Hold::thread(lb1.process().pid(), "addresses").unwrap();
    ensure_all_stay(&lb1);
    drop(hold);
    ensure_all_stay(&lb1);
}

/// `accept: false` with a program that does not answer: it is waited for again and again, each time for longer than the addresses live.
#[test]
fn a_firewall_that_does_not_answer_lets_no_address_end() {
    let lab = lab().unwrap();
    let nft = lab.lb1().write("nft", "#!/bin/sh\nexec sleep 60\n").unwrap();
    lab.lb1().sh(&format!("chmod +x {}", nft.display())).unwrap();
    let hidden = format!("mount --bind {} /usr/sbin/nft; exec \"$@\"", nft.display());
    let before = ["unshare", "--mount", "sh", "-c", &hidden, "sh"].map(Into::into);
    let lb1 = "priority: 150, accept: false, lifetime: 4s";
    let roles = Roles { lb1, ..MORTAL };
    let lb1 = Director::start_by(lab.lb1(), &roles.config(), &before).unwrap();
    wait_active(&lb1).unwrap();
    assert!(lb1.process().log().contains("nft did not answer"), "{}", lb1.process().log());
    ensure_all_stay(&lb1);
}

/// What keeps it punctual is refused: each refusal is told once, with the way out, and it does its work.
#[test]
fn what_is_refused_of_real_time_is_told_once() {
    let lab = lab().unwrap();
    let before = [
        "prlimit",
        "--memlock=65536:65536",
        "--rtprio=0:0",
        "setpriv",
        "--bounding-set=-sys_nice,-ipc_lock,-sys_resource",
        "--inh-caps=-sys_nice,-ipc_lock,-sys_resource",
    ]
    .map(Into::into);
    let lb1 = Director::start_by(lab.lb1(), &Roles::LB1_FIRST.config(), &before).unwrap();
    let lb2 = Director::start(lab.lb2(), &Roles::LB1_FIRST.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    ensure_settled(&lb1, &lb2).unwrap();
    // Instances that come and go by a reload ask for nothing again.
    let more =
        "    more: {interface: eth0, vrid: 77, interval: 200ms, addresses: [10.77.0.77/24]}\n";
    let config =
        Roles::LB1_FIRST.config().replacen("  instances:\n", &format!("  instances:\n{more}"), 1);
    lab.lb1().write("holdfast.yaml", &config).unwrap();
    lb1.cli(&["reload"]).unwrap();
    lb1.wait_instance("more", "active", LIMIT).unwrap();
    let log = lb1.process().log();
    for (says, advice) in [
        ("set the real-time priority", "CAP_SYS_NICE"),
        ("lock the process's memory", "CAP_IPC_LOCK"),
    ] {
        let told: Vec<&str> = log.lines().filter(|line| line.contains(says)).collect();
        assert!(told.len() == 1 && told.iter().all(|line| line.contains(advice)), "{told:?}");
    }
    let timing = lb1.status().unwrap().timing;
    assert!(!timing.realtime && !timing.memory_locked, "{timing:?}");
    let timing = lb2.status().unwrap().timing;
    assert!(timing.realtime && timing.memory_locked, "the other one may: {timing:?}");
}

/// What belongs to the Active on eth0, and an instance on another interface.
const FULL: &str = "    edge: {interface: eth0, vrid: 51, interval: 200ms, priority: 150,
      addresses: [10.77.0.10/24], excluded: ['fd00:77::10/64'],
      routes: [{to: 10.5.0.0/16, via: 10.77.0.4, table: 100}, {to: 'fd00:5::/48', via: 'fd00:77::4', table: 100}],
      rules: [{from: 10.77.0.10/32, table: 100, priority: 50}, {from: 'fd00:77::10/128', table: 100, priority: 51}],
      track: [{tracker: uplink, weight: -20}]}
    side: {interface: side0, vrid: 52, interval: 200ms, addresses: [10.99.0.10/24]}
";

/// FULL's, each with the command that shows it and the one that takes it away.
const OWN: [[&str; 3]; 6] = [
    ["ip -4 address show dev eth0", "10.77.0.10/24", "ip address del 10.77.0.10/24 dev eth0"],
    ["ip -6 address show dev eth0", "fd00:77::10/64", "ip address del fd00:77::10/64 dev eth0"],
    ["ip route show table 100", "10.5.0.0/16", "ip route flush table 100"],
    ["ip -6 route show table 100", "fd00:5::/48", "ip -6 route flush table 100"],
    ["ip rule show priority 50", "from 10.77.0.10", "ip rule del priority 50"],
    ["ip -6 rule show priority 51", "from fd00:77::10", "ip -6 rule del priority 51"],
];

fn shows(node: &Node, command: &str, part: &str) -> bool {
    node.sh(command).is_ok_and(|shown| shown.stdout.contains(part))
}

/// Of each socket of the node that follows route netlink: how many bytes wait there, and how many messages the kernel has dropped.
fn followers(node: &Node) -> Vec<(u64, u64)> {
    let listed = node.run(["cat", "/proc/net/netlink"]).unwrap().stdout;
    let mut followers = Vec::new();
    for line in listed.lines().skip(1) {
        let words: Vec<&str> = line.split_whitespace().collect();
        // sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode; NETLINK_ROUTE is 0.
        let [_, "0", _, groups, waiting, _, _, _, dropped, ..] = words[..] else { continue };
        if groups != "00000000" {
            followers.push((waiting.parse().unwrap(), dropped.parse().unwrap()));
        }
    }
    followers
}

fn drops(node: &Node) -> Vec<u64> {
    followers(node).into_iter().map(|(_, dropped)| dropped).collect()
}

/// Tells every follower of route netlink more than its queue holds: addresses, with their routes, that come and go.
fn flood(node: &Node) {
    let mut batch = String::new();
    for turn in 0..150 {
        for (verb, host) in
            ["add", "del"].into_iter().flat_map(|verb| (1..=100).map(move |host| (verb, host)))
        {
            writeln!(batch, "address {verb} 10.98.{turn}.{host}/32 dev flood0").unwrap();
        }
    }
    let batch = node.write("flood.batch", &batch).unwrap();
    let batch = batch.to_str().unwrap();
    node.run(["ip", "-batch", batch]).unwrap();
}

/// ENOBUFS of every queue: nothing of what has happened behind the daemon's back is lost.
#[test]
fn what_the_kernel_could_not_tell_is_found_out() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    for link in ["side", "flood"] {
        node.sh(&format!(
            "ip link add {link}0 type veth peer name {link}1 && ip link set {link}0 up && ip link set {link}1 up"
        ))
        .unwrap();
    }
    node.sh("ip address add 10.99.0.1/24 dev side0; ip route add 10.6.0.0/16 via 10.77.0.3")
        .unwrap();
    let trackers = "vrrp:\n  trackers: {uplink: {route: {to: 10.6.0.0/16}}}\n";
    let lb1 = Director::start(node, &config(FULL, "").replacen("vrrp:\n", trackers, 1)).unwrap();
    let wait_whole = |director: &Director| {
        wait_status(director, "edge is whole", |status| {
            status.vrrp.iter().any(|one| {
                one.name == "edge"
                    && one.state == "active"
                    && one.holds_addresses
                    && one.fault.is_none()
            })
        })
        .unwrap();
        for [command, part, _] in OWN {
            wait_until(LIMIT, part, || shows(node, command, part).then_some(())).unwrap();
        }
    };
    wait_whole(&lb1);
    lb1.wait_instance("side", "active", LIMIT).unwrap();
    wait_tracker(&lb1, "uplink", "up").unwrap();
    let before = (lb1.instance("edge").unwrap().transitions, drops(node));
    assert!(before.1.len() >= 3 && before.1.iter().all(|dropped| *dropped == 0), "{before:?}");

    lb1.process().kill(Signal::SIGSTOP).unwrap();
    flood(node);
    let dropped = drops(node);
    assert!(dropped.len() >= 3 && dropped.iter().all(|dropped| *dropped > 0), "{dropped:?}");
    for [command, part, remove] in OWN {
        node.sh(remove).unwrap();
        assert!(!shows(node, command, part), "{remove} left {part}");
    }
    node.sh("ip link set side0 down; ip route del 10.6.0.0/16").unwrap();
    lb1.process().kill(Signal::SIGCONT).unwrap();

    wait_whole(&lb1);
    let side = lb1.wait_instance("side", "initialize", LIMIT).unwrap();
    assert!(side.fault.as_deref().is_some_and(|fault| fault.contains("side0 is down")), "{side:?}");
    wait_tracker(&lb1, "uplink", "down").unwrap();
    wait_status(&lb1, "the weight counts", |status| {
        status.vrrp.iter().any(|one| one.name == "edge" && one.priority == 130)
    })
    .unwrap();
    let status = lb1.status().unwrap();
    assert!(status.timing.link_resynchronisations > 0, "{:?}", status.timing);
    assert_eq!(lb1.instance("edge").unwrap().transitions, before.0, "no change of the role");

    // And it hears again what comes after that.
    node.sh("ip link set side0 up; ip route add 10.6.0.0/16 via 10.77.0.3").unwrap();
    lb1.wait_instance("side", "active", LIMIT).unwrap();
    wait_tracker(&lb1, "uplink", "up").unwrap();
    for [_, _, remove] in OWN {
        node.sh(remove).unwrap();
    }
    wait_whole(&lb1);
}
