//! Processes that are killed and have a successor: K1.

use std::time::Duration;

use holdfast_testkit::lan::{Lan, Link, NodeId, seeds};
use vrrp::{AddressFamily, Params, Reason, Version};

use super::{SECOND, every, is_active, lan, params, rank, transitions};

/// A pair of which the second one is Active, some time later.
fn pair(seed: u64, of: impl Fn(u8) -> Params) -> (Lan, [NodeId; 2]) {
    let (mut lan, nodes) = lan(seed, &[of(100), of(200)]);
    let [backup, active] = nodes[..] else { unreachable!() };
    let some_time = lan.random().duration(SECOND);
    lan.run_for(SECOND * 15 + some_time);
    assert_eq!(lan.actives(), [active]);
    (lan, [backup, active])
}

#[test]
fn k1_a_killed_active_whose_successor_is_there_in_time_is_not_missed() {
    let intervals = [1, 10, 100, 300].map(|units| every(&rank(100), units));
    let kinds = [
        params(Version::V2, AddressFamily::Ipv4, 100),
        params(Version::V3, AddressFamily::Ipv6, 100),
    ];
    for (seed, kind) in
        seeds(25).flat_map(|seed| intervals.iter().chain(&kinds).map(move |kind| (seed, kind)))
    {
        let with = |priority| kind.clone().with_priority(vrrp::Priority::new(priority)).unwrap();
        let (mut lan, [backup, active]) = pair(seed, with);
        let interval = kind.advertisement_interval().duration();
        let before = lan.transitions(backup).len();
        for _ in 0..10 {
            // The last advertisement is an interval old at most.
            let outage = lan.random().duration(interval * 2 - Link::QUIET.delay);
            lan.kill(active, outage);
            let calm = lan.random().duration(interval * 5);
            lan.run_for(outage + calm);
            assert!(is_active(&lan, active));
            assert_eq!(lan.transitions(active).last().unwrap().reason, Reason::Inherited);
        }
        assert_eq!(lan.transitions(backup).len(), before, "the other one has noticed");
        assert_eq!(lan.longest_overlap(), Duration::ZERO);
    }
}

#[test]
fn k1_a_successor_that_comes_too_late_begins_as_a_backup() {
    for seed in seeds(100) {
        // Neither takes over from a living one: who came first stays.
        let (mut lan, [backup, active]) = pair(seed, rank);
        let patient = rank(200).with_preempt_mode(false);
        lan.reconfigure(active, patient);
        let outage = SECOND * 4 + lan.random().duration(SECOND * 10);
        lan.kill(active, outage);
        lan.run_for(outage + SECOND * 10);
        assert_eq!(lan.actives(), [backup]);
        assert_eq!(lan.transitions(active).last().unwrap().reason, Reason::Startup);
        assert_eq!(lan.longest_overlap(), Duration::ZERO, "two were Active by their own account");
    }
}

/// A Backup that has heard the last advertisements as little as those that were never sent: it takes over while nobody speaks. The
/// successor, which can't know, says so at once, and one of the two gives way.
#[test]
fn k1_two_are_active_for_no_longer_than_the_way_of_an_answer() {
    for seed in seeds(200) {
        let (mut lan, [backup, active]) = pair(seed, rank);
        lan.cut(active, backup);
        let deaf = SECOND * 2 + lan.random().duration(SECOND);
        lan.run_for(deaf);
        let outage = SECOND + lan.random().duration(SECOND);
        lan.kill(active, outage);
        lan.run_for(outage / 2);
        lan.heal();
        lan.run_for(outage / 2 + SECOND * 10);
        assert_eq!(lan.actives(), [active]);
        let overlap = lan.longest_overlap();
        assert!(overlap <= SECOND + Link::QUIET.delay * 2, "{overlap:?}");
    }
}

#[test]
fn k1_a_killed_backup_is_a_backup_again() {
    for seed in seeds(50) {
        let (mut lan, [backup, active]) = pair(seed, rank);
        for _ in 0..5 {
            let outage = lan.random().duration(SECOND * 2);
            lan.kill(backup, outage);
            lan.run_for(SECOND * 15);
            assert_eq!(lan.actives(), [active]);
        }
        assert_eq!(lan.transitions(active).len(), 2);
        let before = transitions(&lan);
        lan.run_for(SECOND * 10);
        assert_eq!(transitions(&lan), before);
    }
}

/// What has been given away is not inherited.
#[test]
fn k1_who_is_killed_while_it_gives_up_leaves_no_inheritance() {
    for seed in seeds(50) {
        let (mut lan, [backup, active]) = pair(seed, rank);
        lan.cut(backup, active);
        lan.step_down(active);
        let moment = lan.random().duration(SECOND / 4);
        lan.run_for(moment);
        lan.kill(active, SECOND / 10);
        lan.run_for(SECOND / 5);
        assert_eq!(lan.transitions(active).last().unwrap().reason, Reason::Startup);
        lan.heal();
        lan.run_for(SECOND * 15);
        assert_eq!(lan.actives(), [active]);
    }
}
