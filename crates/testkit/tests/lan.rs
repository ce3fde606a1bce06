//! What virtual routers do together, on a virtual LAN (`testkit::lan`): the invariants that no single machine can show. Each
//! test runs many seeds; a failure prints its seed, and `HOLDFAST_LAN_SEED=<seed>` repeats that run alone.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the report")]

use std::net::IpAddr;
use std::time::Duration;

use holdfast_testkit::lan::{Lan, Link, NodeId, seeds};
use vrrp::wire::HOP_LIMIT;
use vrrp::{
    AddressFamily, AddressList, ChecksumForm, Interval, Params, Priority, Reason, Status, Version,
    Vrid,
};

const SECOND: Duration = Duration::from_secs(1);

/// A router of version 3 for 192.0.2.1, one second.
fn rank(priority: u8) -> Params {
    params(Version::V3, AddressFamily::Ipv4, priority)
}

fn params(version: Version, family: AddressFamily, priority: u8) -> Params {
    let address = match family {
        AddressFamily::Ipv4 => "192.0.2.1",
        AddressFamily::Ipv6 => "fe80::1",
    };
    let list = AddressList::new(vec![address.parse().unwrap()]).unwrap();
    Params::new(version, Vrid::new(10).unwrap(), list)
        .unwrap()
        .with_priority(Priority::new(priority))
        .unwrap()
}

fn every(params: &Params, centiseconds: u16) -> Params {
    let interval = Interval::from_centiseconds(centiseconds).unwrap();
    params.clone().with_advertisement_interval(interval).unwrap()
}

/// The primary address of the node of that number: the higher the number, the higher the address.
fn address(family: AddressFamily, number: usize) -> IpAddr {
    let host = u8::try_from(number + 11).unwrap();
    match family {
        AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, host]),
        AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host)]),
    }
}

/// A LAN of these routers, all switched on.
fn lan(seed: u64, all: &[Params]) -> (Lan, Vec<NodeId>) {
    let mut lan = Lan::new(seed);
    for (number, params) in all.iter().enumerate() {
        lan.add(params.clone(), address(params.family(), number));
    }
    let nodes: Vec<NodeId> = lan.nodes().collect();
    for &node in &nodes {
        lan.start(node);
    }
    (lan, nodes)
}

/// After this time without a change, all is settled: whoever waits has waited the longest interval that it can have learned,
/// the one who took over has been heard, and answers that the storm guard delayed have been given.
fn settling_time(lan: &Lan) -> Duration {
    let interval = |node| lan.router(node).params().advertisement_interval().duration();
    let longest = lan.nodes().map(interval).max().unwrap();
    longest * 6 + SECOND
}

fn is_active(lan: &Lan, node: NodeId) -> bool {
    lan.router(node).status() == Status::Active
}

fn transitions(lan: &Lan) -> usize {
    lan.nodes().map(|node| lan.transitions(node).len()).sum()
}

/// Some routers of one kind: two to five, of ranks that are often equal.
fn random_routers(seed: u64) -> Vec<Params> {
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
        let params = params(version, family, priority);
        match version {
            Version::V2 => params,
            Version::V3 => every(&params, if mixed { own } else { shared }),
        }
    };
    (0..count).map(router).collect()
}

/// One thing that goes wrong, or right again.
fn random_fault(lan: &mut Lan, interval: Duration) {
    let nodes: Vec<NodeId> = lan.nodes().collect();
    let random = lan.random();
    let node = *random.choose(&nodes).unwrap();
    let other = *random.choose(&nodes).unwrap();
    let time = random.duration(interval * 8);
    let loss_per_mille = u16::try_from(random.below(400)).unwrap();
    match lan.random().below(12) {
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
        _ => lan.set_link(Link { loss_per_mille, delay: interval / 50, jitter: interval / 10 }),
    }
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
        lan.heal();
        lan.set_link(Link::QUIET);
        // Who stands still or sleeps goes on by itself.
        lan.run_for(interval * 8);
        for &node in &nodes {
            lan.plug(node);
        }
        let takes_part =
            |lan: &Lan, node| lan.runs(node) && lan.router(node).status() != Status::Initialize;
        for &node in &nodes {
            if !takes_part(&lan, node) && lan.random().per_mille(700) {
                lan.start(node);
            }
        }
        let settle = settling_time(&lan);
        lan.run_for(settle);
        let ranks = |lan: &Lan, among: &[NodeId]| -> Option<Priority> {
            among.iter().map(|&node| lan.router(node).priority()).max()
        };
        let part: Vec<NodeId> =
            nodes.iter().copied().filter(|&node| takes_part(&lan, node)).collect();
        let actives = lan.actives();
        assert_eq!(actives.len(), part.len().min(1), "{actives:?}");
        // Among equals whoever came first stays: there is no tie-break in Backup.
        assert_eq!(ranks(&lan, &actives), ranks(&lan, &part));
        let quiet = transitions(&lan);
        lan.run_for(settle * 3);
        assert_eq!(transitions(&lan), quiet, "and it stays");
    }
}

#[test]
fn i1_loss_and_jitter_make_no_lasting_second_active() {
    for seed in seeds(60) {
        let (mut lan, _) =
            lan(seed, &[every(&rank(200), 10), every(&rank(100), 10), every(&rank(50), 10)]);
        let interval = Duration::from_millis(100);
        lan.set_link(Link { loss_per_mille: 200, delay: interval / 20, jitter: interval / 4 });
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
fn i5_a_short_pause_of_the_active_and_any_pause_of_a_backup_change_nothing() {
    for seed in seeds(100) {
        let (mut lan, nodes) = lan(seed, &[rank(200), rank(254)]);
        let [backup, active] = nodes[..] else { unreachable!() };
        lan.run_for(SECOND * 5);
        let before = transitions(&lan);
        for _ in 0..10 {
            let short = lan.random().duration(SECOND * 2);
            lan.pause(active, short);
            lan.run_for(SECOND * 4);
            let any = lan.random().duration(SECOND * 60);
            lan.pause(backup, any);
            lan.run_for(SECOND * 64);
        }
        assert_eq!(transitions(&lan), before);
        assert_eq!(lan.actives(), [active]);
    }
}

#[test]
fn c5_a_backup_that_slept_listens_before_it_takes_over() {
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(200)]);
        lan.run_for(SECOND * 5);
        let before = transitions(&lan);
        let asleep = SECOND * 4 + lan.random().duration(SECOND * 600);
        lan.suspend(nodes[0], asleep);
        lan.run_for(SECOND * 700);
        assert_eq!(transitions(&lan), before);
    }
}

#[test]
fn i8_hostile_packets_change_counters_only() {
    for seed in seeds(30) {
        let all = [rank(100), rank(200), rank(50)];
        let (mut calm, _) = lan(seed, &all);
        let (mut attacked, nodes) = lan(seed, &all);
        let intruder: IpAddr = "192.0.2.99".parse().unwrap();
        let group = AddressFamily::Ipv4.multicast_group();
        let good = rank(255).advertisement(Priority::OWNER).to_vec(
            intruder,
            group,
            ChecksumForm::MessageOnly,
        );
        for _ in 0..1000 {
            let mut bytes = good.clone();
            let index = usize::try_from(attacked.random().below(bytes.len() as u64)).unwrap();
            let hop_limit = match attacked.random().below(4) {
                0 => 254,
                1 => {
                    bytes[index] ^= 1 << attacked.random().below(8);
                    HOP_LIMIT
                }
                2 => {
                    bytes.truncate(index);
                    HOP_LIMIT
                }
                _ => {
                    bytes.extend([0; 8]);
                    HOP_LIMIT
                }
            };
            attacked.inject(intruder, hop_limit, &bytes);
            attacked.run_for(Duration::from_millis(20));
            calm.run_for(Duration::from_millis(20));
        }
        for node in nodes {
            assert_eq!(attacked.transitions(node), calm.transitions(node));
            assert_eq!(attacked.sent(node), calm.sent(node));
            assert_eq!(attacked.router(node).counters().discarded.total(), 1000);
        }
    }
}

#[test]
fn i9_a_flood_of_lower_priorities_is_answered_twice_an_interval() {
    for seed in seeds(10) {
        let (mut lan, nodes) = lan(seed, &[rank(100)]);
        lan.run_for(SECOND * 10);
        let before = lan.sent(nodes[0]);
        let intruder: IpAddr = "192.0.2.99".parse().unwrap();
        let group = AddressFamily::Ipv4.multicast_group();
        for _ in 0..20_000 {
            let priority = Priority::new(u8::try_from(lan.random().below(100)).unwrap());
            let bytes =
                rank(1).advertisement(priority).to_vec(intruder, group, ChecksumForm::MessageOnly);
            lan.inject(intruder, HOP_LIMIT, &bytes);
            lan.run_for(Duration::from_millis(1));
        }
        let sent = lan.sent(nodes[0]) - before;
        assert!(sent <= 20 * 2 + 1, "{sent} in 20 s");
    }
}

#[test]
fn i11_after_a_split_has_healed_everybody_knows_the_address_from_the_active() {
    for seed in seeds(200) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(100), rank(200), rank(50)]);
        lan.set_link(Link {
            loss_per_mille: 0,
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
fn i14_the_same_configuration_again_is_not_noticed_on_the_wire() {
    for seed in seeds(20) {
        let all = [rank(100), rank(200)];
        let (mut calm, _) = lan(seed, &all);
        let (mut reloaded, nodes) = lan(seed, &all);
        for _ in 0..200 {
            let wait = reloaded.random().duration(SECOND / 2);
            reloaded.run_for(wait);
            calm.run_for(wait);
            for (&node, params) in nodes.iter().zip(&all) {
                reloaded.reconfigure(node, params.clone());
            }
        }
        for node in nodes {
            assert_eq!(reloaded.transitions(node), calm.transitions(node));
            assert_eq!(reloaded.sent(node), calm.sent(node));
        }
    }
}

#[test]
fn i15_a_paused_active_that_was_deposed_by_a_better_one_sends_nothing_more() {
    for seed in seeds(100) {
        let patient = rank(200).with_preempt_mode(false);
        let (mut lan, nodes) = lan(seed, &[rank(100), patient]);
        let [paused, better] = nodes[..] else { unreachable!() };
        lan.crash(better);
        lan.run_for(SECOND * 5);
        lan.start(better);
        lan.run_for(SECOND * 5);
        assert_eq!(lan.actives(), [paused]);
        let before = lan.sent(paused);
        let length = SECOND * 5 + lan.random().duration(SECOND * 60);
        lan.pause(paused, length);
        lan.run_for(length + SECOND * 10);
        assert_eq!(lan.actives(), [better]);
        assert_eq!(lan.sent(paused), before);
    }
}

#[test]
fn i15_a_paused_active_that_is_still_the_best_has_its_place_back_with_one_advertisement() {
    for seed in seeds(100) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(200)]);
        let [deputy, best] = nodes[..] else { unreachable!() };
        lan.run_for(SECOND * 5);
        let length = SECOND * 5 + lan.random().duration(SECOND * 60);
        lan.pause(best, length);
        lan.run_for(SECOND * 4);
        assert_eq!(lan.actives(), [deputy, best], "the paused one's kernel still answers");
        lan.run_until(length, |lan| !is_active(lan, deputy)).expect("the deputy steps back");
        let sent = lan.sent(best);
        lan.run_for(SECOND * 10);
        assert_eq!(lan.actives(), [best]);
        assert_eq!(lan.learned(deputy), Some(best));
        assert!(lan.sent(best) - sent <= 12);
    }
}

#[test]
fn i15_a_paused_active_without_preempt_leaves_its_deputy_in_place() {
    for seed in seeds(100) {
        let patient = rank(200).with_preempt_mode(false);
        let (mut lan, nodes) = lan(seed, &[rank(100), patient]);
        let [deputy, best] = nodes[..] else { unreachable!() };
        lan.crash(deputy);
        lan.run_for(SECOND * 5);
        lan.start(deputy);
        lan.run_for(SECOND * 5);
        assert_eq!(lan.actives(), [best]);
        let sent = lan.sent(best);
        let length = SECOND * 5 + lan.random().duration(SECOND * 60);
        lan.pause(best, length);
        lan.run_for(length + SECOND * 10);
        assert_eq!(lan.actives(), [deputy]);
        assert_eq!(lan.sent(best), sent);
        assert_eq!(lan.transitions(best).last().unwrap().reason, Reason::Stalled);
    }
}

#[test]
fn a_peer_that_does_not_hear_us_is_reported_and_answered_without_a_storm() {
    for seed in seeds(20) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(200)]);
        let [deaf, best] = nodes[..] else { unreachable!() };
        lan.run_for(SECOND * 5);
        lan.cut(best, deaf);
        let before = lan.sent(best);
        lan.run_for(SECOND * 60);
        assert_eq!(lan.actives(), [deaf, best], "a link that works one way has two");
        assert!(lan.router(best).counters().lower_priority_heard >= 50);
        assert!(lan.sent(best) - before <= 121, "{}", lan.sent(best) - before);
        lan.heal();
        lan.run_for(SECOND * 2);
        assert_eq!(lan.actives(), [best]);
    }
}

#[test]
fn an_unplugged_active_gives_the_addresses_up_and_takes_them_back() {
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(200)]);
        let [deputy, best] = nodes[..] else { unreachable!() };
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        lan.unplug(best);
        assert_eq!(lan.actives(), []);
        lan.run_for(SECOND * 4);
        assert_eq!(lan.actives(), [deputy]);
        lan.plug(best);
        lan.run_for(SECOND * 5);
        assert_eq!(lan.actives(), [best]);
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
