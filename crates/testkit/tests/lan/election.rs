//! Who becomes Active, when, and who knows it: I1 to I4, I11.

use std::time::Duration;

use holdfast_testkit::lan::{Lan, Link, NodeId, seeds};
use vrrp::{AddressFamily, Interval, Params, Priority, Reason, Status, Version};

use super::{SECOND, every, is_active, lan, params, rank, transitions};

/// Some routers of one kind: two to five, of ranks that are often equal.
pub(crate) fn random_routers(seed: u64) -> Vec<Params> {
    let mut lan = Lan::new(seed);
    let random = lan.random();
    let kinds = [
        (Version::V3, AddressFamily::Ipv4),
        (Version::V3, AddressFamily::Ipv6),
        (Version::V2, AddressFamily::Ipv4),
    ];
    let (version, family) = *random.choose(&kinds).unwrap();
    let count = 2 + random.below(4);
    let shared = *random.choose(&[1_u16, 10, 100]).unwrap();
    let mixed = version == Version::V3 && random.per_mille(300);
    let router = |_| {
        let priority = *random.choose(&[1_u8, 50, 100, 100, 101, 200, 254]).unwrap();
        let own = *random.choose(&[10_u16, 50, 100]).unwrap();
        let delay = Duration::from_millis(10 * u64::from(shared)) * 5;
        let delay = if random.per_mille(200) { random.duration(delay) } else { Duration::ZERO };
        let params = params(version, family, priority)
            .with_preempt_delay(delay)
            .with_preempt_mode(!random.per_mille(100));
        match version {
            Version::V2 => params,
            Version::V3 => every(&params, if mixed { own } else { shared }),
        }
    };
    (0..count).map(router).collect()
}

/// One thing that goes wrong, or right again.
pub(crate) fn random_fault(lan: &mut Lan, interval: Duration) {
    let nodes: Vec<NodeId> = lan.nodes().collect();
    let random = lan.random();
    let node = *random.choose(&nodes).unwrap();
    let other = *random.choose(&nodes).unwrap();
    let time = random.duration(interval * 8);
    let loss_per_mille = u16::try_from(random.below(400)).unwrap();
    let tracked = u8::try_from(1 + random.below(254)).unwrap();
    match lan.random().below(17) {
        0 => lan.crash(node),
        1 | 2 => lan.start(node),
        3 => lan.stop(node),
        4 => lan.pause(node, time),
        5 => lan.suspend(node, time),
        6 => lan.unplug(node),
        7 => lan.plug(node),
        8 => lan.partition(&[node, other]),
        9 => lan.cut(node, other),
        10 => lan.heal(),
        11 => lan.step_down(node),
        12 => lan.flap(node, tracked % 5, time / 4),
        13 => {
            // As tracking does it.
            let params = lan.router(node).params().clone();
            lan.reconfigure(node, params.with_priority(Priority::new(tracked)).unwrap());
        }
        14 => lan.set_peers(node, &[other]),
        15 => lan.set_peers(node, &nodes),
        _ => lan.set_link(Link {
            loss_per_mille,
            double_per_mille: loss_per_mille / 2,
            delay: interval / 50,
            jitter: interval / 10,
        }),
    }
}

/// After this time without a change, all is settled: whoever waits has waited the longest interval that it can have learned,
/// the one who took over has been heard, and answers that the storm guard delayed have been given.
pub(crate) fn settling_time(lan: &Lan) -> Duration {
    let interval = |node| lan.router(node).params().advertisement_interval().duration();
    let longest = lan.nodes().map(interval).max().unwrap();
    let delay = |node| lan.router(node).params().preempt_delay();
    longest * 12 + SECOND + lan.nodes().map(delay).max().unwrap()
}

/// All faults end. I1, I2: one Active remains among those that take part, it is one of the best, and so it stays.
pub(crate) fn settle_on_the_best(lan: &mut Lan, nodes: &[NodeId], interval: Duration) {
    lan.heal();
    lan.set_link(Link::QUIET);
    // Who stands still, sleeps or flaps goes on by itself.
    lan.run_for(interval * 20);
    for &node in nodes {
        lan.plug(node);
    }
    let takes_part =
        |lan: &Lan, node| lan.runs(node) && lan.router(node).status() != Status::Initialize;
    for &node in nodes {
        if !takes_part(lan, node) && lan.random().per_mille(700) {
            lan.start(node);
        }
    }
    let settle = settling_time(lan);
    lan.run_for(settle);
    let ranks = |lan: &Lan, among: &[NodeId]| -> Option<Priority> {
        among.iter().map(|&node| lan.router(node).priority()).max()
    };
    let part: Vec<NodeId> = nodes.iter().copied().filter(|&node| takes_part(lan, node)).collect();
    let actives = lan.actives();
    assert_eq!(actives.len(), part.len().min(1), "{actives:?}");
    // Among equals whoever came first stays: there is no tie-break in Backup. So does whom nobody may displace.
    if part.iter().all(|&node| lan.router(node).params().preempts()) {
        assert_eq!(ranks(lan, &actives), ranks(lan, &part));
    }
    let quiet = transitions(lan);
    lan.run_for(settle * 3);
    assert_eq!(transitions(lan), quiet, "and it stays");
}

#[test]
fn i1_i2_after_any_faults_one_active_remains_and_it_is_the_best() {
    for seed in seeds(400) {
        let all = random_routers(seed);
        let (mut lan, nodes) = lan(seed, &all);
        let interval = all[0].advertisement_interval().duration();
        for _ in 0..40 {
            let wait = lan.random().duration(interval * 4);
            lan.run_for(wait);
            random_fault(&mut lan, interval);
        }
        settle_on_the_best(&mut lan, &nodes, interval);
    }
}

#[test]
fn i1_loss_and_jitter_make_no_lasting_second_active() {
    for seed in seeds(60) {
        let (mut lan, _) =
            lan(seed, &[every(&rank(200), 10), every(&rank(100), 10), every(&rank(50), 10)]);
        let interval = Duration::from_millis(100);
        lan.set_link(Link {
            loss_per_mille: 200,
            double_per_mille: 100,
            delay: interval / 20,
            jitter: interval / 4,
        });
        lan.run_for(SECOND * 120);
        // Each further interval needs another loss in both directions.
        assert!(lan.longest_overlap() < interval * 8, "{:?}", lan.longest_overlap());
    }
}

#[test]
fn i1_without_loss_two_actives_last_no_longer_than_an_interval() {
    for seed in seeds(100) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(100), rank(200)]);
        for _ in 0..10 {
            let island = *lan.random().choose(&nodes).unwrap();
            lan.partition(&[island]);
            let apart = SECOND * 5 + lan.random().duration(SECOND * 3);
            lan.run_for(apart);
            lan.heal();
            lan.run_for(SECOND * 5);
        }
        assert!(
            lan.longest_overlap() <= SECOND + Duration::from_millis(1),
            "{:?}",
            lan.longest_overlap()
        );
    }
}

#[test]
fn i3_without_preempt_a_living_active_is_displaced_by_nobody_but_the_owner() {
    let patient = |priority| rank(priority).with_preempt_mode(false);
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[patient(50), patient(100), patient(200), patient(255)]);
        let [low, middle, high, owner] = nodes[..] else { unreachable!() };
        for late in [middle, high, owner] {
            lan.crash(late);
        }
        lan.run_for(SECOND * 5);
        assert_eq!(lan.actives(), [low]);
        for late in [middle, high] {
            lan.start(late);
            let wait = SECOND * 10 + lan.random().duration(SECOND);
            lan.run_for(wait);
            assert_eq!(lan.actives(), [low]);
        }
        lan.start(owner);
        lan.run_for(SECOND);
        assert_eq!(lan.actives(), [owner]);
    }
}

#[test]
fn i4_a_crash_is_noticed_within_three_intervals_and_a_skew() {
    for seed in seeds(200) {
        let all = [every(&rank(200), 10), every(&rank(100), 10)];
        let (mut lan, nodes) = lan(seed, &all);
        let [active, backup] = nodes[..] else { unreachable!() };
        let wait = SECOND + lan.random().duration(SECOND);
        lan.run_for(wait);
        assert_eq!(lan.actives(), [active]);
        lan.crash(active);
        let gap = lan.run_until(SECOND, |lan| is_active(lan, backup)).expect("a takeover");
        let interval = Duration::from_millis(100);
        let skew = all[1].skew_time(all[1].advertisement_interval());
        let delay = Duration::from_micros(50);
        assert!(gap <= interval * 3 + skew + delay, "{gap:?}");
        assert!(gap >= interval * 2 + skew, "{gap:?}");
    }
}

#[test]
fn i4_who_stops_gracefully_is_replaced_after_a_skew() {
    for seed in seeds(100) {
        let (mut lan, nodes) = lan(seed, &[rank(200), rank(100), rank(50)]);
        let [active, backup, _] = nodes[..] else { unreachable!() };
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        assert_eq!(lan.actives(), [active]);
        lan.stop(active);
        let gap = lan.run_until(SECOND, |lan| is_active(lan, backup)).expect("a takeover");
        let skew = rank(100).skew_time(Interval::DEFAULT);
        assert!(gap <= skew + Duration::from_micros(50), "{gap:?}");
        lan.run_for(SECOND * 5);
        assert_eq!(lan.actives(), [backup]);
        let last = lan.transitions(backup).last().unwrap();
        assert_eq!(last.reason, Reason::ActiveReleased);
    }
}

#[test]
fn i11_after_a_split_has_healed_everybody_knows_the_address_from_the_active() {
    for seed in seeds(200) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(100), rank(200), rank(50)]);
        lan.set_link(Link {
            loss_per_mille: 0,
            double_per_mille: 0,
            delay: Duration::from_micros(50),
            jitter: Duration::from_millis(5),
        });
        lan.run_for(SECOND * 10);
        for _ in 0..5 {
            let one = *lan.random().choose(&nodes).unwrap();
            let other = *lan.random().choose(&nodes).unwrap();
            lan.partition(&[one, other]);
            let apart = SECOND * 10 + lan.random().duration(SECOND * 2);
            lan.run_for(apart);
            assert_eq!(lan.actives().len(), 2, "one on each side");
            lan.heal();
            let settle = settling_time(&lan);
            lan.run_for(settle);
            let actives = lan.actives();
            assert_eq!(actives.len(), 1);
            for &node in &nodes {
                assert_eq!(lan.learned(node), actives.first().copied(), "as {node:?} sees it");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = |seed| {
        let all = random_routers(seed);
        let (mut lan, nodes) = lan(seed, &all);
        let interval = all[0].advertisement_interval().duration();
        for _ in 0..30 {
            lan.run_for(interval);
            random_fault(&mut lan, interval);
        }
        nodes
            .iter()
            .map(|&node| (lan.sent(node), lan.transitions(node).to_vec()))
            .collect::<Vec<_>>()
    };
    for seed in seeds(20) {
        assert_eq!(run(seed), run(seed));
    }
}

/// What goes on in one part of a split LAN keeps nobody from asking I1 and I2 of the other part, at each step.
#[test]
fn i1_i2_are_asked_of_each_part_of_a_split_lan_for_itself() {
    let (mut lan, nodes) = lan(1, &[rank(200), rank(150), rank(100)]);
    let [best, second, alone] = nodes[..] else { panic!("three") };
    lan.partition(&[alone]);
    for _ in 0..60 {
        lan.pause(alone, SECOND / 2);
        lan.run_for(SECOND);
    }
    assert!(lan.settled(best) > 30 && lan.settled(second) > 30, "{}", lan.settled(best));
    assert_eq!(lan.settled(alone), 0, "it is never at rest");
    let before = lan.settled(best);
    lan.pause(second, SECOND / 2);
    lan.run_for(SECOND * 2);
    assert_eq!(lan.settled(best), before, "its own part is at rest no more");
}
