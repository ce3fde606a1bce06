//! Sync groups on several nodes: what they come to when nodes die, links fail and configurations disagree.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the report"
)]

mod lan;

use std::time::Duration;

use holdfast_testkit::lan::{Random, seeds};
use lan::Lans;
use vrrp::Status;

const SECOND: Duration = Duration::from_secs(1);

/// Two nodes with two members each, the first the better one, and time enough to start.
fn pair(preempt: bool) -> Lans {
    let mut lans = Lans::new(1, &[&[150, 150], &[100, 100]], preempt);
    lans.run_for(SECOND * 5);
    assert_eq!(lans.active(), Some(0));
    lans
}

#[test]
fn the_better_node_gets_every_member_and_the_other_none() {
    let lans = pair(true);
    assert_eq!(lans.takeovers(), 2);
    assert_eq!(lans.statuses(1), [Status::Backup, Status::Backup]);
}

#[test]
fn s5_a_crash_moves_all_members_within_the_longest_active_down_interval() {
    let mut lans = pair(true);
    lans.crash(0);
    // Active_Down_Interval of priority 100 is 3.61 s.
    lans.run_for(Duration::from_millis(3700));
    assert_eq!(lans.active(), Some(1));
    lans.boot(0);
    lans.run_for(SECOND * 5);
    assert_eq!(lans.active(), Some(0), "it preempts with all members");
    assert_eq!(lans.takeovers(), 6);
}

/// Though the members' channels end each at its own time.
#[test]
fn b2_a_death_moves_all_members_within_5_ms() {
    for preempt in [true, false] {
        let mut lans = pair(preempt);
        lans.die(0, Duration::from_millis(2));
        lans.run_for(Duration::from_millis(5));
        assert_eq!((lans.active(), lans.takeovers()), (Some(1), 4));
    }
}

/// Also where another LAN's channel does not stand: the Active is gone from one, and not heard on the other since.
#[test]
fn b2_a_death_that_one_member_is_told_of_moves_the_others() {
    let mut lans = pair(true);
    lans.tell_of_death((1, 0), 0, Duration::from_millis(2));
    lans.crash(0);
    lans.run_for(Duration::from_millis(5));
    assert_eq!(lans.active(), Some(1));
}

/// Each member of each node is told at a time of its own, so that a worse node may come first, as a whole or in part.
#[test]
fn b2_b3_after_a_death_the_best_of_three_nodes_has_every_member() {
    let mut contests = 0;
    for seed in seeds(200) {
        for preempt in [false, true] {
            let all: [&[u8]; 4] = [&[200, 200], &[100, 100], &[110, 110], &[90, 90]];
            let mut lans = Lans::new(seed, &all, preempt);
            lans.run_for(SECOND * 5);
            assert_eq!(lans.active(), Some(0));
            let before = lans.takeovers();
            lans.die(0, Duration::from_millis(4));
            lans.run_for(Duration::from_millis(20));
            assert_eq!(lans.active(), Some(2), "seed {seed}, preempt {preempt}");
            contests += u32::from(lans.takeovers() > before + 2);
            assert!(lans.longest_overlap <= Duration::from_millis(8), "{:?}", lans.longest_overlap);
            let settled = lans.takeovers();
            lans.run_for(SECOND * 60);
            assert_eq!((lans.active(), lans.takeovers()), (Some(2), settled), "it stays");
        }
    }
    assert!(contests > 50, "a worse one came first {contests} times");
}

/// Who hears of a death that was none gives the role back.
#[test]
fn b2_a_false_word_of_one_members_active_moves_nothing_for_long() {
    for (seed, preempt) in seeds(50).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut lans = Lans::new(seed, &[&[150, 150], &[100, 100]], preempt);
        lans.run_for(SECOND * 5);
        lans.tell_of_death((1, 0), 0, SECOND);
        lans.run_for(SECOND * 30);
        assert_eq!(lans.active(), Some(0), "{seed}, preempt {preempt}");
        let settled = lans.takeovers();
        lans.run_for(SECOND * 60);
        assert_eq!((lans.active(), lans.takeovers()), (Some(0), settled));
    }
}

#[test]
fn one_cut_lan_moves_nothing_and_makes_nobody_active_twice() {
    let mut lans = pair(true);
    lans.cut(0, 0, 1, true);
    lans.run_for(SECOND * 60);
    assert_eq!((lans.active(), lans.takeovers()), (Some(0), 2));
    lans.heal();
    lans.run_for(SECOND * 60);
    assert_eq!((lans.active(), lans.takeovers()), (Some(0), 2));
}

#[test]
fn s4_a_link_that_fails_on_the_active_moves_all_members_after_one_skew() {
    let mut lans = pair(true);
    lans.link((0, 0), false);
    // The failed link can't say goodbye; the other member's goodbye is enough: 609 ms.
    lans.run_for(Duration::from_millis(700));
    assert_eq!(lans.active(), Some(1));
    assert_eq!(lans.nodes[0].group.status(), Status::Initialize);
    let excluded = lans.nodes[0].group.excluded(&lan::name("m1")).unwrap().to_owned();
    assert_eq!(excluded, "sync group `pair`: instance `m0`: its interface is down");
    lans.link((0, 0), true);
    lans.run_for(SECOND * 5);
    assert_eq!((lans.active(), lans.takeovers()), (Some(0), 6));
}

#[test]
fn s3_a_weightless_tracker_moves_all_members_also_where_nobody_preempts() {
    let mut lans = pair(false);
    lans.track((0, 1), false);
    lans.run_for(SECOND);
    assert_eq!(lans.active(), Some(1));
    lans.track((0, 1), true);
    lans.run_for(SECOND * 20);
    assert_eq!((lans.active(), lans.takeovers()), (Some(1), 4), "preempt is off: it stays");
}

#[test]
fn recovery_waits_for_every_member() {
    let mut lans = pair(true);
    lans.track((0, 0), false);
    lans.link((0, 1), false);
    lans.run_for(SECOND * 5);
    lans.track((0, 0), true);
    lans.run_for(SECOND * 10);
    assert_eq!(lans.active(), Some(1));
    assert_eq!(lans.statuses(0), [Status::Initialize, Status::Initialize]);
    lans.link((0, 1), true);
    lans.run_for(SECOND * 5);
    assert_eq!(lans.active(), Some(0));
}

#[test]
fn r7_an_active_that_falls_is_taken_over_from_without_preemption_and_does_not_come_back() {
    let mut lans = pair(false);
    lans.handicap(0, 90);
    lans.run_for(SECOND * 2);
    assert_eq!(lans.active(), Some(1));
    lans.handicap(0, 150);
    lans.run_for(SECOND * 20);
    assert_eq!((lans.active(), lans.takeovers()), (Some(1), 4));
    lans.handicap(1, 40);
    lans.run_for(SECOND * 2);
    assert_eq!(lans.active(), Some(0));
}

#[test]
fn r6_an_active_that_falls_is_preempted_with_all_members() {
    let mut lans = pair(true);
    lans.handicap(0, 90);
    lans.run_for(SECOND * 5);
    assert_eq!((lans.active(), lans.takeovers()), (Some(1), 4));
    lans.handicap(0, 150);
    lans.run_for(SECOND * 5);
    assert_eq!((lans.active(), lans.takeovers()), (Some(0), 6));
}

#[test]
fn d1_a_member_that_steps_down_takes_the_others_along() {
    let mut lans = pair(false);
    lans.release((0, 0));
    lans.run_for(SECOND * 2);
    assert_eq!((lans.active(), lans.takeovers()), (Some(1), 4));
}

#[test]
fn d3_a_group_that_nobody_takes_over_from_stays_active() {
    let mut lans = pair(true);
    lans.crash(1);
    lans.release((0, 0));
    lans.run_for(SECOND * 20);
    assert_eq!(lans.active(), Some(0));
    assert_eq!(lans.nodes[0].group.status(), Status::Active);
    lans.boot(1);
    lans.run_for(SECOND * 20);
    assert_eq!(lans.active(), Some(0));
}

#[test]
fn d3_a_member_that_nobody_takes_lets_go_when_another_was_taken() {
    // The third node is better, and cut off on the first LAN: on the second it takes the role from the first node.
    let mut lans = Lans::new(1, &[&[100, 100], &[200, 200]], true);
    for lan in 0..2 {
        lans.cut(lan, 0, 1, true);
    }
    lans.run_for(SECOND * 10);
    assert_eq!(lans.statuses(0), lans.statuses(1), "a split: both are Active");
    lans.cut(1, 0, 1, false);
    lans.run_for(SECOND * 10);
    assert_eq!(lans.statuses(0), [Status::Backup, Status::Backup]);
    assert_eq!(lans.active(), Some(1));
}

#[test]
fn crossed_priorities_settle() {
    for seed in seeds(40) {
        for priorities in [
            &[&[150, 100][..], &[100, 150]][..],
            &[&[150, 100, 100], &[100, 150, 100]],
            &[&[150, 100, 50], &[50, 150, 100], &[100, 50, 150]],
        ] {
            for preempt in [true, false] {
                let mut lans = Lans::new(seed, priorities, preempt);
                lans.run_for(SECOND * 180);
                let settled = (lans.active(), lans.takeovers());
                assert!(settled.0.is_some(), "seed {seed}, {priorities:?}, {preempt}: {lans:#?}");
                lans.run_for(SECOND * 60);
                assert_eq!((lans.active(), lans.takeovers()), settled, "seed {seed}");
                assert!(lans.longest_overlap <= SECOND, "seed {seed}: {:?}", lans.longest_overlap);
            }
        }
    }
}

/// What happens at random.
fn trouble(lans: &mut Lans, random: &mut Random) {
    let nodes = u64::try_from(lans.nodes.len()).unwrap();
    let mut below = |end: u64| usize::try_from(random.below(end)).unwrap();
    let (node, other, lan) = (below(nodes), below(nodes), below(2));
    match below(14) {
        0 => lans.crash(node),
        1 if !lans.nodes[node].alive => lans.boot(node),
        2 if node != other => lans.cut(lan, node, other, true),
        3 => lans.heal(),
        what @ (4 | 5) if lans.nodes[node].alive => lans.link((node, lan), what == 4),
        6 if lans.nodes[node].alive => lans.release((node, lan)),
        what @ (8 | 9) if lans.nodes[node].alive => lans.track((node, lan), what == 8),
        10 if node != other => lans.cut_one_way(lan, node, other),
        12 => lans.die(node, Duration::from_millis(20)),
        13 if node != other => lans.tell_of_death((node, lan), other, SECOND),
        11 => lans.loss_per_mille = [0, 0, 300][below(3)],
        7 if lans.nodes[node].alive => lans.handicap(node, [40, 90, 150][below(3)]),
        _ => {}
    }
}

/// After any trouble, once everything works again, one node has every member within a minute, and nothing moves any more.
#[test]
fn after_any_trouble_all_members_are_on_one_node() {
    for seed in seeds(100) {
        let mut random = Random::new(seed);
        let all: [&[u8]; 3] = [&[150, 150], &[100, 100], &[100, 100]];
        let nodes = if seed % 2 == 0 { &all[..2] } else { &all[..] };
        let mut lans = Lans::new(seed, nodes, seed % 3 != 0);
        let mut lossy = false;
        for _ in 0..40 {
            lans.run_for(random.duration(SECOND * 4));
            trouble(&mut lans, &mut random);
            lossy |= lans.loss_per_mille > 0;
        }
        lans.heal();
        for node in 0..lans.nodes.len() {
            if !lans.nodes[node].alive {
                lans.boot(node);
            }
            for lan in 0..2 {
                lans.link((node, lan), true);
                lans.track((node, lan), true);
            }
        }
        lans.run_for(SECOND * 60);
        let settled = (lans.active(), lans.takeovers());
        assert!(settled.0.is_some(), "seed {seed}: {lans:#?}");
        lans.run_for(SECOND * 60);
        assert_eq!((lans.active(), lans.takeovers()), settled, "seed {seed}");
        // Whoever hears the other learns of it with the next advertisement that is not lost.
        assert!(lossy || lans.longest_overlap <= SECOND + lan::DELAY, "{:?}", lans.longest_overlap);
    }
}
