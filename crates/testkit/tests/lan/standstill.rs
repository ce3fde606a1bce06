//! Machines that stand still, sleep, lose their link or are reconfigured: I5, C5, I14, I15.

use holdfast_testkit::lan::seeds;
use vrrp::Reason;

use super::{SECOND, is_active, lan, rank, transitions};

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
