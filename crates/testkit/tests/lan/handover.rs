//! Hand-overs that somebody wants: a stop, a planned release, a sync group, and what keeps the better one from coming back too soon.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_testkit::lan::{Lan, NodeId, seeds};
use vrrp::{AddressFamily, Interval, Params, Priority, Reason, Status, Version};

use super::{SECOND, every, is_active, lan, params, rank};

const DELAY: Duration = Duration::from_micros(50);

/// Every kind of router: versions and families.
fn kinds(priority: u8) -> [Params; 3] {
    [
        params(Version::V3, AddressFamily::Ipv4, priority),
        params(Version::V3, AddressFamily::Ipv6, priority),
        params(Version::V2, AddressFamily::Ipv4, priority),
    ]
}

/// How many times nobody had the addresses in so much time, looking at every step.
fn moments_without(lan: &mut Lan, duration: Duration) -> u64 {
    let mut without = 0;
    let end = lan.now() + duration;
    let _ = lan.run_until(duration, |lan| {
        without += u64::from(lan.actives().is_empty());
        lan.now() >= end
    });
    without
}

#[test]
fn s3_d1_a_graceful_hand_over_leaves_no_moment_without_the_addresses() {
    for seed in seeds(60) {
        for (high, low) in kinds(200).into_iter().zip(kinds(100)) {
            for stop in [true, false] {
                let (mut lan, nodes) =
                    lan(seed, &[high.clone().with_preempt_mode(false), low.clone()]);
                let [active, deputy] = nodes[..] else { unreachable!() };
                let wait = SECOND * 20 + lan.random().duration(SECOND);
                lan.run_for(wait);
                assert_eq!(lan.actives(), [active]);
                if stop {
                    lan.stop(active);
                } else {
                    lan.step_down(active);
                }
                assert_eq!(lan.router(active).status(), Status::Releasing);
                assert_eq!(moments_without(&mut lan, SECOND * 10), 0);
                assert_eq!(lan.actives(), [deputy]);
                let then = if stop { Status::Initialize } else { Status::Backup };
                assert_eq!(lan.router(active).status(), then);
                assert_eq!(lan.orderly_handovers(), 1);
                assert_eq!(lan.learned(active), Some(deputy));
            }
        }
    }
}

#[test]
fn d2_who_gave_up_has_the_addresses_no_longer_than_the_deputys_first_advertisement_takes() {
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[every(&rank(200), 10), every(&rank(100), 10)]);
        let [active, deputy] = nodes[..] else { unreachable!() };
        let wait = SECOND + lan.random().duration(SECOND);
        lan.run_for(wait);
        lan.step_down(active);
        let taken = lan.run_until(SECOND, |lan| is_active(lan, deputy)).expect("a takeover");
        let skew = rank(100).skew_time(Interval::from_centiseconds(10).unwrap());
        assert!(taken <= skew + DELAY, "{taken:?}");
        assert_eq!(lan.actives(), [active, deputy], "both, until it is heard");
        let overlap = lan.run_until(SECOND, |lan| lan.actives().len() == 1).expect("one of them");
        assert!(overlap <= DELAY, "{overlap:?}");
        let last = lan.transitions(active).last().unwrap();
        assert_eq!(last.reason, Reason::TakenOver);
    }
}

#[test]
fn d3_who_steps_down_alone_is_active_again_after_four_intervals_and_had_the_addresses_all_the_time()
{
    for seed in seeds(20) {
        let (mut lan, nodes) = lan(seed, &[rank(100)]);
        lan.run_for(SECOND * 5);
        lan.step_down(nodes[0]);
        let alone = lan.run_until(SECOND * 5, |lan| is_active(lan, nodes[0])).expect("back");
        assert_eq!(alone, SECOND * 4);
        assert_eq!(moments_without(&mut lan, SECOND * 5), 0);
        lan.stop(nodes[0]);
        let alone = lan.run_until(SECOND * 5, |lan| lan.actives().is_empty()).expect("the end");
        assert_eq!(alone, SECOND * 4);
    }
}

#[test]
fn d1_a_lost_goodbye_costs_nothing_but_time() {
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[rank(200), rank(100)]);
        let [active, deputy] = nodes[..] else { unreachable!() };
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        lan.cut(active, deputy);
        lan.stop(active);
        // The deputy's Active_Down_Interval is shorter than four intervals.
        assert_eq!(moments_without(&mut lan, SECOND * 10), 0);
        assert_eq!(lan.actives(), [deputy]);
    }
}

#[test]
fn g1_a_group_moves_to_a_lower_one_that_stays_while_it_is_not_preempted() {
    for seed in seeds(30) {
        let patient = |priority| rank(priority).with_preempt_mode(false);
        let (mut lan, nodes) = lan(seed, &[patient(200), patient(100)]);
        let [active, deputy] = nodes[..] else { unreachable!() };
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        lan.step_down(active);
        lan.take_over(deputy);
        assert_eq!(moments_without(&mut lan, SECOND * 20), 0);
        assert_eq!(lan.actives(), [deputy]);
        assert_eq!(lan.transitions(deputy).last().unwrap().reason, Reason::Group);
    }
}

#[test]
fn b1_a_lost_active_is_replaced_by_the_best_backup_after_its_skew() {
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[rank(200), rank(150), rank(100)]);
        let [active, better, other] = nodes[..] else { unreachable!() };
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        lan.crash(active);
        lan.lose_active(other);
        lan.lose_active(better);
        let gap = lan.run_until(SECOND * 4, |lan| !lan.actives().is_empty()).expect("a takeover");
        assert!(gap <= rank(150).skew_time(Interval::DEFAULT), "{gap:?}");
        lan.run_for(SECOND * 5);
        assert_eq!(lan.actives(), [better]);
        assert_eq!(lan.transitions(better).last().unwrap().reason, Reason::ActiveLost);
        assert_eq!(lan.transitions(other).len(), 1, "the other one has waited");
    }
}

#[test]
fn b1_a_living_active_that_another_protocol_has_lost_keeps_or_regains_its_place() {
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[rank(200), rank(100)]);
        let [active, deputy] = nodes[..] else { unreachable!() };
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        lan.lose_active(deputy);
        lan.run_for(SECOND * 5);
        assert_eq!(lan.actives(), [active]);
        assert!(lan.longest_overlap() <= DELAY * 2, "{:?}", lan.longest_overlap());
    }
}

#[test]
fn r6_the_better_one_comes_back_after_its_preempt_delay() {
    for seed in seeds(50) {
        let delay = SECOND * 30;
        let (mut lan, nodes) = lan(seed, &[rank(200).with_preempt_delay(delay), rank(100)]);
        let [better, deputy] = nodes[..] else { unreachable!() };
        lan.crash(better);
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        assert_eq!(lan.actives(), [deputy]);
        lan.start(better);
        let back = lan.run_until(SECOND * 60, |lan| is_active(lan, better)).expect("a return");
        // The first advertisement is heard within one interval; the last accepted one was within one before the delay's end.
        assert!(back >= delay + SECOND * 2 && back <= delay + SECOND * 5, "{back:?}");
        lan.run_for(SECOND);
        assert_eq!(lan.actives(), [better]);
        // It does not wait for one that has died.
        lan.step_down(better);
        lan.run_for(SECOND * 2);
        lan.crash(deputy);
        let gap = lan.run_until(SECOND * 5, |lan| is_active(lan, better)).expect("a takeover");
        assert!(gap <= SECOND * 4, "{gap:?}");
    }
}

#[test]
fn an_interface_that_flaps_makes_no_lasting_second_active_and_settles() {
    for seed in seeds(50) {
        let (mut lan, nodes) = lan(seed, &[rank(200), rank(100)]);
        let [active, deputy] = nodes[..] else { unreachable!() };
        let wait = SECOND * 5 + lan.random().duration(SECOND);
        lan.run_for(wait);
        let each = Duration::from_millis(1) + lan.random().duration(SECOND);
        lan.flap(active, 5, each);
        lan.run_for(SECOND * 30);
        assert_eq!(lan.actives(), [active]);
        assert_eq!(lan.learned(deputy), Some(active));
        assert!(lan.longest_overlap() <= SECOND, "{:?}", lan.longest_overlap());
    }
}

#[test]
fn unicast_peers_elect_as_on_a_link_and_hear_nobody_else() {
    for seed in seeds(30) {
        for (high, low) in kinds(200).into_iter().zip(kinds(100)) {
            let (mut lan, nodes) = lan(seed, &[high.clone(), low.clone(), high.clone()]);
            let [one, two, stranger] = nodes[..] else { unreachable!() };
            lan.set_peers(one, &[two]);
            lan.set_peers(two, &[one]);
            lan.run_for(SECOND * 20);
            assert_eq!(lan.actives(), [one, stranger], "one of the pair, and one alone");
            lan.crash(one);
            lan.run_for(SECOND * 5);
            assert_eq!(lan.actives(), [two, stranger]);
            let discarded = &lan.router(two).counters().discarded;
            assert!(discarded.of(vrrp::DiscardReason::NotAPeer) > 10);
        }
    }
}

#[test]
fn a_peer_that_has_us_in_no_list_is_a_second_active_and_said_to_be_one() {
    for seed in seeds(20) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(200), rank(50)]);
        let [deaf, best, third]: [NodeId; 3] = nodes[..].try_into().unwrap();
        lan.run_for(SECOND * 5);
        lan.set_peers(deaf, &[third]);
        lan.set_peers(best, &[deaf, third]);
        // What the deaf one sends comes to the third one only; what it says by multicast again comes to all.
        lan.run_for(SECOND * 10);
        assert_eq!(lan.router(best).dual_active(), None, "it does not hear of it");
        lan.set_peers(deaf, &[]);
        lan.cut(best, deaf);
        lan.run_for(SECOND * 10);
        let source: IpAddr = super::address(AddressFamily::Ipv4, 0);
        let dual = lan.router(best).dual_active().expect("two Actives");
        assert_eq!((dual.source, dual.priority), (source, Priority::new(100)));
        assert_eq!(lan.router(best).counters().dual_actives, 1);
        lan.heal();
        lan.run_for(SECOND * 10);
        assert_eq!(lan.router(best).dual_active(), None);
        assert_eq!(lan.actives(), [best]);
    }
}

#[test]
fn a_split_that_heals_is_no_second_active_that_does_not_hear() {
    for seed in seeds(100) {
        let (mut lan, nodes) = lan(seed, &[rank(100), rank(200)]);
        for _ in 0..5 {
            lan.run_for(SECOND * 5);
            lan.partition(&[nodes[0]]);
            let apart = SECOND * 5 + lan.random().duration(SECOND * 3);
            lan.run_for(apart);
            assert_eq!(lan.actives().len(), 2);
            lan.heal();
        }
        lan.run_for(SECOND * 10);
        for &node in &nodes {
            assert_eq!(lan.router(node).counters().dual_actives, 0);
        }
    }
}
