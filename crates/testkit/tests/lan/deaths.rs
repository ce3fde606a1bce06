//! Daemons that die as a whole, and hosts that say so: B2, B3. And what is said of those who live.

use std::time::Duration;

use holdfast_testkit::lan::{Lan, Link, NodeId, seeds};
use vrrp::{AddressFamily, Params, Reason, Status, Version};

use super::{SECOND, every, is_active, lan, params, transitions};

/// How much later than others a Backup is told of a death.
const LATE: Duration = Duration::from_millis(4);
const MOMENT: Duration = Duration::from_micros(1);

/// Routers of these ranks of every kind and several intervals, of which only those of version 2 can't have all.
fn kinds(ranks: &[u8], preempt: bool) -> Vec<Vec<Params>> {
    let of = |version, family, units: u16| -> Vec<Params> {
        let router = |&rank: &u8| {
            let params = params(version, family, rank).with_preempt_mode(preempt);
            if version == Version::V2 { params } else { every(&params, units) }
        };
        ranks.iter().map(router).collect()
    };
    let v3 = [AddressFamily::Ipv4, AddressFamily::Ipv6];
    let v3 = v3
        .into_iter()
        .flat_map(|family| [1_u16, 10, 100, 1000].map(move |units| (Version::V3, family, units)));
    let all = v3.chain([(Version::V2, AddressFamily::Ipv4, 100)]);
    all.map(|(version, family, units)| of(version, family, units)).collect()
}

/// Those of the last ranks come first, so that the last one is Active and all others know it; some time later.
fn reigned_by_the_last(seed: u64, all: &[Params]) -> (Lan, Vec<NodeId>, Duration) {
    let mut lan = Lan::new(seed);
    for (number, params) in all.iter().enumerate() {
        lan.add(params.clone(), super::address(params.family(), number));
    }
    let nodes: Vec<NodeId> = lan.nodes().collect();
    let interval = all.first().unwrap().advertisement_interval().duration();
    for &node in nodes.iter().rev() {
        lan.start(node);
        lan.run_for(interval * 4 + SECOND);
    }
    let some_time = lan.random().duration(interval);
    lan.run_for(some_time);
    assert_eq!(lan.actives().first(), nodes.last());
    assert_eq!(lan.actives().len(), 1);
    (lan, nodes, interval)
}

#[test]
fn b2_the_peer_of_a_pair_takes_over_within_5_ms_of_a_death_at_every_interval() {
    for (seed, all) in
        seeds(40).flat_map(|seed| kinds(&[100, 200], true).into_iter().map(move |all| (seed, all)))
    {
        let (mut lan, nodes, _) = reigned_by_the_last(seed, &all);
        let [backup, active] = nodes[..] else { unreachable!() };
        lan.die(active, Duration::from_millis(2));
        let gap = lan.run_until(SECOND * 60, |lan| is_active(lan, backup)).expect("a takeover");
        assert!(gap <= Duration::from_millis(5), "{gap:?}");
        assert_eq!(lan.transitions(backup).last().unwrap().reason, Reason::ActiveDied);
    }
}

/// However their ranks lie and in whatever order they are told: the best of those who are left is Active, with preempt and without, and
/// a worse one that came first is one for no longer than the better one was late.
#[test]
fn b2_b3_after_a_death_the_best_of_three_backups_is_active_whoever_is_told_first() {
    let mut contests = 0;
    let reigns = |seed| [(seed, false, 50), (seed, false, 200), (seed, true, 200)];
    for (seed, preempt, reigning) in seeds(60).flat_map(reigns) {
        for all in kinds(&[100, 101, 90, reigning], preempt) {
            let (mut lan, nodes, interval) = reigned_by_the_last(seed, &all);
            let [middle, best, low, active] = nodes[..] else { unreachable!() };
            lan.die(active, LATE.min(interval / 2));
            lan.run_for(Duration::from_millis(8) + interval);
            assert_eq!(lan.actives(), [best], "{seed}, preempt {preempt}: {:?}", all[0]);
            let first = [middle, low].map(|node| lan.transitions(node).len() > 1);
            contests += u32::from(first.contains(&true));
            assert!(lan.longest_overlap() <= LATE * 2, "{:?}", lan.longest_overlap());
            let settled = transitions(&lan);
            lan.run_for(interval * 20);
            assert_eq!(transitions(&lan), settled, "and it stays");
            assert!(nodes[..3].iter().all(|&node| lan.learned(node) == Some(best)));
        }
    }
    assert!(contests > 50, "a worse one came first {contests} times");
}

/// With BFD they are told by sessions of their own, each at another moment, and wait their Skew_Time.
#[test]
fn b1_b3_after_a_silence_the_best_of_three_backups_is_active_whoever_is_told_first() {
    let mut contests = 0;
    for (seed, preempt) in seeds(60).flat_map(|seed| [(seed, false), (seed, true)]) {
        for all in kinds(&[100, 105, 95, 200], preempt) {
            let (mut lan, nodes, interval) = reigned_by_the_last(seed, &all);
            let [middle, best, low, active] = nodes[..] else { unreachable!() };
            lan.crash(active);
            for node in [middle, best, low] {
                let detection = lan.random().duration(interval / 4);
                lan.tell_of_silence(node, active, detection);
            }
            // Skew_Time of version 2 is a share of a second.
            lan.run_for(interval + interval / 4 + Duration::from_millis(1));
            assert_eq!(lan.actives(), [best], "{seed}, preempt {preempt}: {:?}", all[0]);
            assert_eq!(lan.transitions(best).last().unwrap().reason, Reason::ActiveLost);
            let first = [middle, low].map(|node| lan.transitions(node).len() > 1);
            contests += u32::from(first.contains(&true));
            assert!(lan.longest_overlap() <= interval / 2, "{:?}", lan.longest_overlap());
            let settled = transitions(&lan);
            lan.run_for(interval * 20);
            assert_eq!(transitions(&lan), settled, "and it stays");
        }
    }
    assert!(contests > 50, "a worse one came first {contests} times");
}

/// A Backup that has no channel to the Active knows of no death: to it the worse one is who took over, and it is right to leave it alone.
#[test]
fn b2_a_better_backup_without_a_channel_preempts_where_it_may_and_only_there() {
    for (seed, preempt) in seeds(40).flat_map(|seed| [(seed, false), (seed, true)]) {
        let all = &kinds(&[200, 100, 254], preempt)[2];
        let (mut lan, nodes, interval) = reigned_by_the_last(seed, all);
        let [better, worse, active] = nodes[..] else { unreachable!() };
        // TCP's way back is cut, and so there is no channel.
        lan.cut(better, active);
        lan.die(active, MOMENT);
        lan.heal();
        let after = lan.run_until(SECOND, |lan| is_active(lan, worse)).expect("a takeover");
        assert!(after <= Duration::from_millis(5), "{after:?}");
        lan.run_for(interval * 5);
        assert_eq!(lan.actives(), [if preempt { better } else { worse }]);
    }
}

/// What something in between says of one who lives makes a second Active until the first one's next advertisement, which is half an interval
/// away at most.
#[test]
fn b2_a_false_word_of_the_actives_death_gives_the_role_back() {
    for (seed, preempt) in seeds(60).flat_map(|seed| [(seed, false), (seed, true)]) {
        for all in kinds(&[100, 50, 200], preempt) {
            let (mut lan, nodes, interval) = reigned_by_the_last(seed, &all);
            let [backup, other, active] = nodes[..] else { unreachable!() };
            let before = lan.transitions(active).len();
            let soon = lan.random().duration(interval);
            lan.tell_of_death(backup, active, soon);
            let soon = lan.random().duration(interval);
            lan.tell_of_death(other, active, soon);
            lan.run_for(interval * 3 + LATE);
            assert_eq!(lan.actives(), [active], "{seed}");
            assert_eq!(
                lan.transitions(active).len(),
                before,
                "it has noticed nothing but a worse one"
            );
            let answer = interval / 2 + Link::QUIET.delay * 2;
            assert!(lan.longest_overlap() <= answer, "{:?}", lan.longest_overlap());
            let settled = transitions(&lan);
            lan.run_for(interval * 20);
            assert_eq!(transitions(&lan), settled, "and it stays");
            // Who has come after its announcements has heard none where nobody took over.
            assert!(nodes.iter().all(|&node| lan.learned(node).is_none_or(|by| by == active)));
        }
    }
}

#[test]
fn b3_a_word_that_comes_when_another_one_reigns_moves_nothing() {
    for seed in seeds(60) {
        for all in kinds(&[200, 100, 50], false) {
            let (mut lan, nodes, interval) = reigned_by_the_last(seed, &all);
            let [best, second, active] = nodes[..] else { unreachable!() };
            // The best one is away while the Active dies, and comes back to another one.
            lan.crash(best);
            lan.die(active, LATE.min(interval / 4));
            lan.run_for(interval * 2 + LATE);
            assert_eq!(lan.actives(), [second]);
            lan.start(best);
            let waits = lan.random().duration(interval * 8) + interval;
            lan.run_for(waits);
            let settled = transitions(&lan);
            for who in [active, best] {
                lan.tell_of_death(best, who, MOMENT);
                lan.run_for(interval * 2);
            }
            assert_eq!(transitions(&lan), settled, "nobody has died of late");
            assert_eq!(lan.actives(), [second]);
        }
    }
}

/// A goodbye is no death, and a death while giving up is one: the Backup does not wait for its Skew_Time.
#[test]
fn b2_d1_who_dies_while_it_gives_up_is_followed_at_once() {
    for seed in seeds(60) {
        for all in kinds(&[100, 200], true) {
            let (mut lan, nodes, interval) = reigned_by_the_last(seed, &all);
            let [backup, active] = nodes[..] else { unreachable!() };
            lan.step_down(active);
            let soon = lan.random().duration(interval / 4);
            lan.run_for(soon);
            assert_eq!(lan.router(backup).status(), Status::Backup, "Skew_Time is longer");
            lan.die(active, Duration::from_millis(2));
            let gap = lan.run_until(SECOND, |lan| is_active(lan, backup)).expect("a takeover");
            assert!(gap <= Duration::from_millis(5), "{gap:?}");
        }
    }
}

/// A worker that is killed and has a successor ends no channel. Whoever says so all the same is contradicted by the successor's advertisement.
#[test]
fn b2_k1_a_false_word_while_the_successor_is_on_its_way() {
    for seed in seeds(60) {
        for all in kinds(&[100, 200], true) {
            let (mut lan, nodes, interval) = reigned_by_the_last(seed, &all);
            let [backup, active] = nodes[..] else { unreachable!() };
            let outage = lan.random().duration(interval);
            lan.kill(active, outage);
            let soon = lan.random().duration(interval);
            lan.tell_of_death(backup, active, soon);
            lan.run_for(interval * 6 + LATE);
            assert_eq!(lan.actives(), [active], "{seed}");
        }
    }
}

/// A chain of deaths, each Active's by the next one's: as long as somebody lives, somebody is Active within 5 ms.
#[test]
fn b2_one_death_after_the_other_is_followed_down_to_the_last() {
    for (seed, preempt) in seeds(40).flat_map(|seed| [(seed, false), (seed, true)]) {
        for all in kinds(&[50, 100, 150, 200, 254], preempt) {
            let (mut lan, mut nodes) = lan(seed, &all);
            let interval = all[0].advertisement_interval().duration();
            lan.run_for(interval * 5 + SECOND);
            while let Some(active) = nodes.pop() {
                assert_eq!(lan.actives(), [active]);
                lan.die(active, Duration::from_millis(1).min(interval / 4));
                let Some(&next) = nodes.last() else { break };
                let gap = lan.run_until(SECOND, |lan| is_active(lan, next)).expect("a takeover");
                assert!(gap <= Duration::from_millis(6), "{gap:?}");
                // A channel to the new one has to come about, and answers to have been given.
                lan.run_for(interval * 2);
            }
        }
    }
}
