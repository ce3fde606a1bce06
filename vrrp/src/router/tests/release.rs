//! Make before break: the state Releasing and the ways into it and out of it (D1 to D3, S3), and what may happen there.
//! Releasing is entered at 0 s and the event comes at 0.6 s, so that 3.4 s remain of four intervals.

use super::*;

const STILL: &str = " | releasing 3.4s";

/// Told to step down 0.6 s ago.
fn stepping_down() -> Bench {
    let mut bench = Bench::active(rank(100));
    bench.give(Event::StepDown);
    bench.after(600)
}

/// Told to stop 0.6 s ago.
fn stopping() -> Bench {
    let mut bench = Bench::active(rank(100));
    bench.give(Event::Shutdown);
    bench.after(600)
}

#[test]
fn d1_step_down_concerns_an_active_only() {
    assert_eq!(
        Bench::active(rank(100)).after(600).give(Event::StepDown),
        "adv 0, active>releasing step_down | releasing 4s"
    );
    assert_eq!(Bench::initialize(rank(100)).give(Event::StepDown), " | initialize");
    assert_eq!(Bench::started(rank(100)).give(Event::StepDown), " | backup 3.609375s L=1s");
    assert_eq!(stepping_down().give(Event::StepDown), STILL);
    assert_eq!(stopping().give(Event::StepDown), STILL);
}

#[test]
fn d1_it_waits_four_intervals_and_never_more_than_30_seconds() {
    for (centiseconds, waits) in [(1, "40ms"), (100, "4s"), (750, "30s"), (4095, "30s")] {
        let params = rank(100).with_advertisement_interval(interval(centiseconds)).unwrap();
        let said = Bench::active(params).give(Event::StepDown);
        assert_eq!(said, format!("adv 0, active>releasing step_down | releasing {waits}"));
    }
}

#[test]
fn d2_whoever_advertises_has_the_addresses_whatever_its_rank() {
    for (priority, source) in [(1, LOWER), (100, LOWER), (100, HIGHER), (255, LOWER)] {
        assert_eq!(
            stepping_down().give(slower(priority, source, 200)),
            "remove, releasing>backup taken_over | backup 7.21875s L=2s",
        );
        assert_eq!(
            stopping().give(slower(priority, source, 200)),
            "remove, releasing>initialize taken_over | initialize"
        );
    }
    let mut bench = stepping_down();
    bench.give(advertisement(50, LOWER));
    assert_eq!(bench.router.active_address(), Some(address(LOWER)));
}

#[test]
fn d2_a_goodbye_and_our_own_packet_are_no_claim_to_the_addresses() {
    for mut bench in [stepping_down(), stopping()] {
        assert_eq!(bench.give(advertisement(0, HIGHER)), STILL);
        assert_eq!(bench.give(advertisement(100, MINE)), format!("duplicate{STILL}"));
        assert_eq!(bench.give(advertisement(101, MINE)), STILL);
        bench.router.count_discard(DiscardReason::Checksum);
        assert_eq!(bench.said(), STILL);
    }
}

#[test]
fn d3_nobody_was_heard_and_who_only_stepped_down_is_active_again() {
    let mut bench = stepping_down();
    assert_eq!(bench.timeout(), STILL, "too early");
    assert_eq!(
        bench.fire(),
        "adv 100, announce, releasing>active nobody_took_over, unanswered 4s | active 1s"
    );
    assert_eq!(bench.router.counters().became_active, 2);
    let mut bench = stopping();
    assert_eq!(bench.fire(), "remove, releasing>initialize nobody_took_over | initialize");
}

#[test]
fn s3_a_second_shutdown_ends_the_wait_at_once() {
    assert_eq!(
        stopping().give(Event::Shutdown),
        "remove, releasing>initialize shutdown | initialize"
    );
    // Who is stepping down is told to stop for the first time: it goes on waiting, and then does not come back.
    let mut bench = stepping_down();
    assert_eq!(bench.give(Event::Shutdown), STILL);
    assert_eq!(bench.fire(), "remove, releasing>initialize nobody_took_over | initialize");
}

#[test]
fn s2_a_startup_while_it_gives_up_makes_it_stay() {
    let mut bench = stopping();
    assert_eq!(bench.give(Event::Startup), STILL);
    assert_eq!(
        bench.give(advertisement(50, LOWER)),
        "remove, releasing>backup taken_over | backup 3.609375s L=1s"
    );
    assert_eq!(stepping_down().give(Event::Startup), STILL);
}

#[test]
fn s4_without_its_interface_it_waits_for_nothing() {
    for mut bench in [stepping_down(), stopping()] {
        assert_eq!(
            bench.give(Event::InterfaceDown),
            "remove, releasing>initialize interface_down | initialize"
        );
    }
    let mut bench = stepping_down();
    bench.give(Event::InterfaceDown);
    assert_eq!(bench.give(up()), "initialize>backup startup | backup 3.609375s L=1s");
    assert_eq!(stepping_down().give(up()), STILL);
}

#[test]
fn c1_c2_c3_while_it_gives_up() {
    let faster = rank(200).with_advertisement_interval(interval(10)).unwrap();
    let mut bench = stepping_down();
    assert_eq!(bench.give(Event::Reconfigure(faster)), " | releasing 400ms", "not a word is sent");
    let more = params(Version::V3, 10, &["192.0.2.1", "192.0.2.2"]);
    assert_eq!(
        stepping_down().give(Event::Reconfigure(more)),
        "update -[] +[192.0.2.2], announce | releasing 3.4s",
        "what it still has is what is configured"
    );
}

#[test]
fn c4_the_primary_address_while_it_gives_up() {
    let mut bench = stepping_down();
    let primary = address("192.0.2.7");
    assert_eq!(bench.give(Event::PrimaryChanged { primary }), STILL);
    assert_eq!(bench.router.active_address(), Some(primary), "it has the addresses still");
}

#[test]
fn c5_who_slept_while_it_gave_up_no_longer_has_the_addresses() {
    assert_eq!(
        stepping_down().give(Event::Resumed),
        "remove, releasing>backup stalled | backup 3.609375s L=1s"
    );
    assert_eq!(
        stopping().give(Event::Resumed),
        "remove, releasing>initialize shutdown | initialize"
    );
    // Who stood still finds in its queue who took over.
    let mut bench = stepping_down().after(60_000);
    assert_eq!(
        bench.give(advertisement(50, LOWER)),
        "remove, releasing>backup taken_over | backup 3.609375s L=1s"
    );
    assert_eq!(bench.timeout(), " | backup 3.609375s L=1s");
}

#[test]
fn b1_g1_nobody_who_gives_up_is_told_to_take_over() {
    let lost = Event::ActiveLost { address: address(MINE) };
    for mut bench in [stepping_down(), stopping()] {
        assert_eq!(bench.give(Event::TakeOver), STILL);
        assert_eq!(bench.give(lost.clone()), STILL);
    }
}

#[test]
fn what_is_sent_when_giving_up_has_the_routers_own_interval() {
    let mut bench = Bench::started(rank(100));
    bench.give(slower(200, LOWER, 300));
    bench.fire();
    bench.give(Event::StepDown);
    let goodbye = bench.router.advertisement(Priority::RELEASE);
    assert_eq!((goodbye.priority(), goodbye.interval()), (Priority::RELEASE, interval(100)));
}
