//! What takes more than one step, as sentences.

use super::*;

#[test]
fn startup_without_an_interface_is_remembered() {
    let now = Instant::ZERO;
    let mut bench = Bench { now, router: VirtualRouter::new(now, rank(100)) };
    assert_eq!(bench.give(Event::Startup), " | initialize");
    assert_eq!(bench.give(up()), "initialize>backup startup | backup 3.609375s L=1s");
}

#[test]
fn backup_adopts_the_interval_of_a_better_active_and_sends_with_its_own() {
    let mut bench = Bench::started(rank(100));
    assert_eq!(bench.give(slower(200, LOWER, 10)), " | backup 360.9375ms L=100ms");
    assert_eq!(bench.router.active_adver_interval(), Some(interval(10)));
    assert_eq!(bench.fire(), "adv 100, install, announce, backup>active active_silent | active 1s");
    assert_eq!(bench.router.active_adver_interval(), Some(interval(100)));
    let repr = bench.router.advertisement(Priority::new(100));
    assert_eq!(repr.interval(), interval(100));
}

#[test]
fn a_released_active_is_replaced_after_one_skew() {
    let mut bench = Bench::started(rank(100));
    bench.give(advertisement(200, HIGHER));
    bench.wait(500);
    assert_eq!(bench.give(advertisement(0, HIGHER)), " | backup 609.375ms L=1s");
    assert_eq!(
        bench.fire(),
        "adv 100, install, announce, backup>active active_released | active 1s"
    );
}

#[test]
fn a_better_backup_preempts_a_living_active_when_its_timer_has_run_out() {
    let mut bench = Bench::started(rank(100));
    for _ in 0..3 {
        bench.wait(1000);
        bench.give(advertisement(50, HIGHER));
    }
    assert_eq!(bench.fire(), "adv 100, install, announce, backup>active preempt | active 1s");
}

#[test]
fn without_preempt_a_living_active_of_lower_rank_is_left_alone() {
    let mut bench = Bench::started(rank(100).with_preempt_mode(false));
    for _ in 0..100 {
        bench.wait(1000);
        assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 3.609375s L=1s");
        assert_eq!(bench.timeout(), " | backup 3.609375s L=1s");
    }
    assert_eq!(bench.router.active_address(), Some(address(LOWER)));
}

#[test]
fn the_owner_preempts_whatever_preempt_mode_says() {
    let owner = rank(255).with_preempt_mode(false);
    let mut bench = Bench::active(owner);
    bench.give(advertisement(255, HIGHER));
    assert_eq!(bench.router.status(), Status::Backup);
    bench.give(advertisement(254, HIGHER));
    assert_eq!(bench.fire(), "adv 255, install, announce, backup>active preempt | active 1s");
}

#[test]
fn after_a_contest_the_winner_announces_once_more_with_its_next_timed_advertisement() {
    let mut bench = Bench::active(rank(100)).after(600);
    bench.give(advertisement(50, LOWER));
    assert_eq!(bench.fire(), "adv 100, announce | active 1s");
    assert_eq!(bench.fire(), "adv 100 | active 1s");
}

#[test]
fn who_gives_way_advertises_once_more_so_that_the_winner_announces_again() {
    let mut bench = Bench::active(rank(100)).after(100);
    assert_eq!(
        bench.give(advertisement(200, LOWER)),
        "adv 100, remove, active>backup higher_priority | backup 3.609375s L=1s"
    );
    bench.give(slower(200, LOWER, 400));
    let repr = bench.router.advertisement(Priority::new(100));
    assert_eq!(repr.interval(), interval(400), "other Backups learn the winner's interval from it");
    // The winner, which was promoted at this moment, does so, and does not call it news.
    let mut bench = Bench::promoted(rank(200));
    assert_eq!(bench.give(advertisement(100, LOWER)), " | active 500ms");
    assert_eq!(bench.fire(), "adv 200, announce | active 1s");
    assert_eq!(bench.fire(), "adv 200, announce | active 1s");
    assert_eq!(bench.fire(), "adv 200 | active 1s");
    assert_eq!(bench.router.counters().lower_priority_heard, 0);
}

#[test]
fn i9_a_storm_is_answered_twice_an_interval_and_no_more() {
    let mut bench = Bench::active(rank(100));
    let mut sent = 0;
    let mut reports = 0;
    for _ in 0..10_000 {
        bench.now += Duration::from_millis(1);
        bench.router.handle(bench.now, advertisement(50, LOWER));
        bench.router.handle_timeout(bench.now);
        while let Some(action) = bench.router.poll_action() {
            sent += usize::from(matches!(action, Action::SendAdvertisement { .. }));
            reports += usize::from(matches!(action, Action::Observe(_)));
        }
    }
    // Ten seconds at one second: half an interval between any two.
    assert!((19..=20).contains(&sent), "{sent}");
    assert!(reports <= 20, "{reports}");
}

#[test]
fn within_half_an_interval_the_answer_waits_and_then_comes_with_an_announcement() {
    let mut bench = Bench::active(rank(100)).after(100);
    assert_eq!(bench.give(advertisement(50, LOWER)), "lower 192.0.2.4 50 | active 400ms");
    bench.wait(100);
    assert_eq!(bench.give(advertisement(50, LOWER)), " | active 300ms", "the same answer does");
    assert_eq!(bench.fire(), "adv 100, announce | active 1s");
    assert_eq!(bench.fire(), "adv 100, announce | active 1s");
    assert_eq!(bench.fire(), "adv 100 | active 1s");
}

#[test]
fn i15_nothing_in_the_queue_makes_a_late_active_advertise_before_the_queue_is_drained() {
    let mut bench = Bench::active(rank(100)).after(5000);
    assert!(!bench.give(advertisement(50, LOWER)).contains("adv"));
    assert!(!bench.give(advertisement(0, LOWER)).contains("adv"));
    assert!(!bench.give(Event::Reconfigure(rank(90))).contains("adv"));
    assert_eq!(
        bench.give(advertisement(200, LOWER)),
        "remove, active>backup higher_priority | backup 3.6484375s L=1s"
    );
    assert_eq!(bench.router.counters().advertisements_sent, 2, "both before");
}

#[test]
fn a_late_active_answers_lower_ranks_when_the_queue_held_nothing_better() {
    let mut bench = Bench::active(rank(100)).after(2000);
    assert_eq!(bench.give(advertisement(50, LOWER)), "lower 192.0.2.4 50 | active 0ns");
    assert_eq!(bench.timeout(), "adv 100, announce | active 1s");
}

#[test]
fn a_shorter_interval_is_not_mistaken_for_a_stall() {
    let mut bench = Bench::active(rank(100).with_advertisement_interval(interval(4000)).unwrap());
    bench.wait(20_000);
    let faster = rank(100).with_preempt_mode(false).with_advertisement_interval(interval(10));
    assert_eq!(bench.give(Event::Reconfigure(faster.unwrap())), " | active 100ms");
    assert_eq!(bench.fire(), "adv 100 | active 100ms");
}

#[test]
fn i14_the_same_configuration_again_does_nothing() {
    for (mut bench, wait) in [
        (Bench::started(rank(100)), 300),
        (Bench::active(rank(100)), 300),
        // Overdue, since the machine stood still.
        (Bench::started(rank(100)), 30_000),
        (Bench::active(rank(100)), 30_000),
    ] {
        bench.wait(wait);
        let before = *bench.router.state();
        assert!(bench.give(Event::Reconfigure(rank(100))).starts_with(" | "));
        assert_eq!(*bench.router.state(), before);
    }
}

#[test]
fn a_failed_down_adverts_count_is_the_configured_one() {
    let params = rank(100).with_down_adverts(std::num::NonZeroU8::new(5).unwrap());
    assert_eq!(
        Bench::initialize(params).give(Event::Startup),
        "initialize>backup startup | backup 5.609375s L=1s"
    );
}

#[test]
fn shutdown_while_the_interface_is_gone_and_back_is_no_start() {
    let mut bench = Bench::active(rank(100));
    assert_eq!(bench.give(Event::Shutdown), "adv 0, active>releasing shutdown | releasing 4s");
    assert_eq!(
        bench.give(Event::InterfaceDown),
        "remove, releasing>initialize interface_down | initialize"
    );
    assert_eq!(bench.give(up()), " | initialize");
}

#[test]
fn a_driver_that_never_polls_loses_the_oldest_actions_and_is_told() {
    let mut bench = Bench::started(rank(100));
    for _ in 0..100 {
        bench.wait(60_000);
        bench.router.handle_timeout(bench.now);
        bench.router.handle(bench.now, advertisement(200, HIGHER));
    }
    let mut actions = Vec::new();
    while let Some(action) = bench.router.poll_action() {
        actions.push(action);
    }
    assert_eq!(actions.len(), VirtualRouter::ACTION_LIMIT);
    // Of each round: advertise, install, announce, report; advertise, remove, report.
    let dropped = u64::try_from(100 * 7 - VirtualRouter::ACTION_LIMIT).unwrap();
    assert_eq!(bench.router.counters().actions_dropped, dropped);
    assert_eq!(actions[actions.len() - 2], Action::RemoveAddresses, "the newest word on them");
}

#[test]
fn what_is_sent_is_encoded_from_the_parameters_of_that_moment() {
    let mut bench = Bench::active(rank(100)).after(600);
    let (source, group) = (address(MINE), AddressFamily::Ipv4.multicast_group());
    let before = bench.router.encode(Priority::RELEASE, source, group);
    assert_eq!(before[..4], [0x31, 10, 0, 1]);
    bench.give(Event::Reconfigure(params(Version::V3, 10, &["192.0.2.1", "192.0.2.2"])));
    let after = bench.router.encode(bench.router.priority(), source, group);
    assert_eq!(after[..4], [0x31, 10, 100, 2]);
    assert_eq!(after.len(), 16);
}

#[test]
fn counters_follow_what_happens() {
    let mut bench = Bench::active(rank(100)).after(600);
    bench.give(advertisement(50, LOWER));
    bench.give(advertisement(100, MINE));
    bench.give(advertisement(0, LOWER));
    bench.give(Event::Shutdown);
    let counters = bench.router.counters();
    assert_eq!(counters.became_active, 1);
    assert_eq!(counters.advertisements_received, 3);
    assert_eq!(counters.priority_zero_received, 1);
    assert_eq!(counters.priority_zero_sent, 1);
    assert_eq!(counters.advertisements_sent, 4);
    assert_eq!(counters.lower_priority_heard, 1);
    assert_eq!(counters.duplicate_source, 1);
}

#[test]
fn labels_are_what_is_serialized_and_no_two_are_the_same() {
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.label());
    }
    let labels: std::collections::BTreeSet<_> = Reason::ALL.map(Reason::label).into();
    assert_eq!(labels.len(), Reason::ALL.len());
    for status in [Status::Initialize, Status::Backup, Status::Active, Status::Releasing] {
        assert_eq!(serde_json::to_value(status).unwrap(), status.label());
    }
    for timer in [Timer::ActiveDown, Timer::Adver, Timer::Release] {
        assert_eq!(serde_json::to_value(timer).unwrap(), timer.label());
    }
}
