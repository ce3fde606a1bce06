//! What a router knows of the others: the preempt delay, an Active that another protocol has lost (B1), the sync group (G1), who was
//! heard, a second Active, takeovers that nearly were.

use super::*;
use crate::wire::ChecksumChoice;

fn with_delay(seconds: u64) -> Params {
    rank(100).with_preempt_delay(Duration::from_secs(seconds))
}

fn lost(source: &str) -> Event {
    Event::ActiveLost { address: address(source) }
}

#[test]
fn r6_r7_a_lower_active_is_left_alone_for_the_preempt_delay_and_then_preempted() {
    let mut bench = Bench::started(with_delay(10));
    for second in 0..=10 {
        bench.wait(1000);
        let said = bench.give(advertisement(50, LOWER));
        let accepted = second < 10;
        let timer = if accepted { "3.609375s" } else { "2.609375s" };
        assert_eq!(said, format!(" | backup {timer} L=1s"), "{second}");
    }
    assert_eq!(bench.fire(), "adv 100, install, announce, backup>active preempt | active 1s");
}

#[test]
fn r6_one_of_our_rank_or_a_higher_one_stops_the_clock_of_the_preempt_delay() {
    for better in [advertisement(100, LOWER), advertisement(200, LOWER)] {
        let mut bench = Bench::started(with_delay(10)).after(1000);
        bench.give(advertisement(50, LOWER));
        bench.wait(9_000);
        bench.give(better);
        bench.wait(2_000);
        bench.give(advertisement(50, LOWER));
        bench.wait(9_999);
        assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 3.609375s L=1s");
        bench.wait(1);
        assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 3.608375s L=1s");
    }
}

#[test]
fn r1_s5_the_preempt_delay_slows_no_takeover_from_one_that_gave_up_or_is_silent() {
    let mut bench = Bench::started(with_delay(1000)).after(1000);
    bench.give(advertisement(50, LOWER));
    assert_eq!(bench.give(advertisement(0, LOWER)), " | backup 609.375ms L=1s");
    let released = "adv 100, install, announce, backup>active active_released | active 1s";
    assert_eq!(bench.fire(), released);
    let mut bench = Bench::started(with_delay(1000)).after(1000);
    assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 3.609375s L=1s");
    assert_eq!(bench.fire(), "adv 100, install, announce, backup>active active_silent | active 1s");
}

#[test]
fn r8_the_owner_has_no_preempt_delay() {
    let owner = with_delay(1000).with_priority(Priority::OWNER).unwrap();
    let mut bench = Bench::active(owner);
    bench.give(advertisement(255, HIGHER));
    bench.wait(600);
    assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 2.40390625s L=1s");
}

#[test]
fn c1_another_preempt_delay_counts_from_the_same_beginning() {
    let mut bench = Bench::started(with_delay(1000)).after(1000);
    bench.give(advertisement(50, LOWER));
    bench.wait(1000);
    bench.give(Event::Reconfigure(with_delay(1)));
    assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 2.609375s L=1s");
}

#[test]
fn b1_the_known_active_that_is_lost_counts_as_priority_0() {
    let mut bench = Bench::started(rank(100));
    assert_eq!(bench.give(lost(LOWER)), " | backup 3.609375s L=1s", "nobody has been heard");
    bench.give(advertisement(200, LOWER));
    bench.wait(600);
    assert_eq!(bench.give(lost(HIGHER)), " | backup 3.009375s L=1s", "another one");
    assert_eq!(bench.give(lost(LOWER)), " | backup 609.375ms L=1s");
    bench.wait(600);
    assert_eq!(bench.give(lost(LOWER)), " | backup 9.375ms L=1s", "never later than it was");
    assert_eq!(bench.fire(), "adv 100, install, announce, backup>active active_lost | active 1s");
}

#[test]
fn b1_one_that_is_lost_and_heard_again_is_active_again() {
    let mut bench = Bench::started(rank(100));
    bench.give(advertisement(200, LOWER));
    bench.give(lost(LOWER));
    assert_eq!(bench.give(advertisement(200, LOWER)), " | backup 3.609375s L=1s");
    bench.give(lost(LOWER));
    assert_eq!(bench.give(Event::Reconfigure(rank(200))), " | backup 218.75ms L=1s", "C1");
}

#[test]
fn b2_the_known_active_that_died_is_followed_within_1_ms() {
    let died = |source| Event::ActiveDied { address: address(source) };
    let mut bench = Bench::started(rank(100));
    assert_eq!(bench.give(died(LOWER)), " | backup 3.609375s L=1s", "nobody has been heard");
    bench.give(advertisement(200, LOWER));
    assert_eq!(bench.give(died(HIGHER)), " | backup 3.609375s L=1s", "another one");
    assert_eq!(bench.give(died(LOWER)), " | backup 609.375µs L=1s");
    assert_eq!(bench.give(advertisement(200, LOWER)), " | backup 3.609375s L=1s", "it lives");
    bench.give(died(LOWER));
    assert_eq!(bench.give(Event::Reconfigure(rank(200))), " | backup 218.75µs L=1s", "C1");
    assert_eq!(bench.fire(), "adv 200, install, announce, backup>active active_died | active 1s");
}

/// Whatever Preempt_Mode and the preempt delay say: who is not preempted is one that reigns.
fn patient_ones() -> [Params; 2] {
    [rank(100).with_preempt_mode(false), with_delay(1000)]
}

#[test]
fn b2_a_worse_one_that_was_told_of_the_death_sooner_ends_no_better_ones_wait() {
    let died = Event::ActiveDied { address: address(HIGHER) };
    for params in patient_ones() {
        let mut bench = Bench::started(params);
        bench.give(advertisement(200, HIGHER));
        assert_eq!(bench.give(died.clone()), " | backup 609.375µs L=1s");
        bench.wait_for(Duration::from_micros(100));
        assert_eq!(bench.give(slower(50, LOWER, 200)), " | backup 509.375µs L=1s");
        assert_eq!(bench.give(advertisement(0, LOWER)), " | backup 509.375µs L=1s", "R1");
        assert_eq!(bench.give(died.clone()), " | backup 509.375µs L=1s", "told once more");
        let said = bench.fire();
        assert_eq!(said, "adv 100, install, announce, backup>active active_died | active 1s");
    }
}

/// Its timer waits for its sync group, or it stood still meanwhile.
#[test]
fn b2_an_election_is_over_an_interval_after_it_should_have_taken_over() {
    for (millis, accepted) in [(1000, false), (1001, true)] {
        let mut bench = Bench::started(rank(100).with_preempt_mode(false));
        bench.give(advertisement(200, HIGHER));
        bench.give(Event::ActiveDied { address: address(HIGHER) });
        bench.wait(millis);
        let timer = if accepted { "3.609375s" } else { "0ns" };
        let said = bench.give(advertisement(50, LOWER));
        assert_eq!(said, format!(" | backup {timer} L=1s"), "{millis}");
    }
}

/// BFD tells each Backup at a time of its own, too.
#[test]
fn b1_b3_a_worse_one_that_was_told_of_the_loss_sooner_keeps_nobody_from_taking_over() {
    for params in patient_ones() {
        let mut bench = Bench::started(params.clone());
        bench.give(advertisement(200, HIGHER));
        bench.give(lost(HIGHER));
        bench.wait(400);
        assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 209.375ms L=1s", "B1");
        let said = bench.fire();
        assert_eq!(said, "adv 100, install, announce, backup>active active_lost | active 1s");

        let mut bench = Bench::started(params);
        bench.give(advertisement(200, HIGHER));
        bench.give(advertisement(50, LOWER));
        bench.wait(50);
        assert_eq!(bench.give(lost(HIGHER)), " | backup 609.375ms L=1s", "B3");
        bench.wait(10);
        // What is known for certain is not taken back by what is supposed.
        assert_eq!(
            bench.give(Event::ActiveDied { address: address(HIGHER) }),
            " | backup 609.375µs L=1s"
        );
        bench.give(lost(HIGHER));
        let said = bench.fire();
        assert_eq!(said, "adv 100, install, announce, backup>active active_died | active 1s");
    }
}

#[test]
fn b2_a_better_or_equal_one_has_won_the_election() {
    for better in [advertisement(150, LOWER), advertisement(100, LOWER)] {
        let mut bench = Bench::started(rank(100).with_preempt_mode(false));
        bench.give(advertisement(200, HIGHER));
        bench.give(Event::ActiveDied { address: address(HIGHER) });
        assert_eq!(bench.give(better), " | backup 3.609375s L=1s");
    }
}

#[test]
fn b2_the_dead_one_that_is_heard_lives_whatever_its_rank() {
    for params in patient_ones() {
        let mut bench = Bench::started(params);
        bench.give(advertisement(50, LOWER));
        bench.give(Event::ActiveDied { address: address(LOWER) });
        assert_eq!(bench.give(advertisement(50, LOWER)), " | backup 3.609375s L=1s");
    }
}

#[test]
fn b3_who_is_told_of_the_death_after_a_worse_one_was_believed_still_takes_over() {
    let died = Event::ActiveDied { address: address(HIGHER) };
    for params in patient_ones() {
        let mut bench = Bench::started(params);
        bench.give(advertisement(200, HIGHER));
        bench.wait(500);
        assert_eq!(bench.give(slower(50, LOWER, 200)), " | backup 7.21875s L=2s", "R7");
        bench.wait(1999);
        assert_eq!(bench.give(died.clone()), " | backup 609.375µs L=2s");
        // It goes on advertising, which is no news.
        assert_eq!(bench.give(slower(50, LOWER, 200)), " | backup 609.375µs L=2s");
        let said = bench.fire();
        assert_eq!(said, "adv 100, install, announce, backup>active active_died | active 1s");
    }
}

#[test]
fn b3_what_is_told_an_interval_later_or_of_anyone_else_is_no_news() {
    let told = |who, millis, priority| {
        let mut bench = Bench::started(rank(100).with_preempt_mode(false));
        bench.give(advertisement(200, HIGHER));
        bench.give(advertisement(priority, LOWER));
        bench.wait(millis);
        bench.give(Event::ActiveDied { address: address(who) })
    };
    assert_eq!(told(HIGHER, 999, 50), " | backup 609.375µs L=1s");
    assert_eq!(told(HIGHER, 1000, 50), " | backup 2.609375s L=1s", "it reigns");
    assert_eq!(told(HIGHER, 999, 150), " | backup 2.610375s L=1s", "a better one");
    assert_eq!(told(MINE, 999, 50), " | backup 2.610375s L=1s", "nobody's");
    // Of several that come one after the other, all are worse, or none is.
    for (last, timer) in [(99, "609.375µs"), (101, "3.609375s")] {
        let mut bench = Bench::started(rank(100).with_preempt_mode(false));
        for (priority, who) in [(200, HIGHER), (50, LOWER), (90, "192.0.2.7"), (last, LOWER)] {
            bench.give(advertisement(priority, who));
        }
        let late = Event::ActiveDied { address: address(HIGHER) };
        assert_eq!(bench.give(late), format!(" | backup {timer} L=1s"));
    }
    // The worse one has given way to a better one, and its last word is no reign.
    for preempt in [true, false] {
        let mut bench = Bench::started(rank(100).with_preempt_mode(preempt));
        bench.give(advertisement(200, HIGHER));
        bench.give(advertisement(150, LOWER));
        bench.give(advertisement(50, "192.0.2.7"));
        let late = Event::ActiveDied { address: address(HIGHER) };
        assert_eq!(bench.give(late), " | backup 3.609375s L=1s", "preempt {preempt}");
    }
    // Who came back meanwhile, and went again, is the known one.
    let mut bench = Bench::started(rank(100).with_preempt_mode(false));
    for (priority, who) in [(200, HIGHER), (50, LOWER), (200, HIGHER)] {
        bench.give(advertisement(priority, who));
    }
    let lower = Event::ActiveDied { address: address(LOWER) };
    assert_eq!(bench.give(lower), " | backup 3.609375s L=1s", "a better one is there");
}

#[test]
fn b1_g1_concern_a_backup_only() {
    let others = || [Bench::initialize(rank(100)).after(600), Bench::active(rank(100)).after(600)];
    let died = Event::ActiveDied { address: address(LOWER) };
    for event in [lost(MINE), lost(LOWER), died, Event::TakeOver, Event::ActiveFallen] {
        let said = others().map(|mut bench| bench.give(event.clone()));
        assert_eq!(said, [" | initialize", " | active 400ms"]);
    }
}

#[test]
fn g1_a_backup_takes_over_with_its_group() {
    assert_eq!(
        Bench::started(rank(100)).after(600).give(Event::TakeOver),
        "adv 100, install, announce, backup>active group | active 1s"
    );
    assert_eq!(
        Bench::started(rank(100)).after(600).give(Event::ActiveFallen),
        "adv 100, install, announce, backup>active active_fallen | active 1s"
    );
}

#[test]
fn who_was_heard_is_remembered_with_what_it_said_last() {
    let mut bench = Bench::started(rank(100));
    bench.give(slower(200, HIGHER, 200));
    bench.wait(1000);
    bench.give(advertisement(50, LOWER));
    bench.give(advertisement(0, HIGHER));
    let seen = |source, priority, centiseconds: u16, count| SeenPeer {
        address: address(source),
        priority: Priority::new(priority),
        interval: interval(centiseconds),
        checksum_form: ChecksumForm::PseudoHeader,
        last: bench.now,
        count,
    };
    assert_eq!(bench.router.peers(), [seen(HIGHER, 0, 100, 2), seen(LOWER, 50, 100, 1)]);
    // In Initialize nobody is heard.
    let mut idle = Bench::initialize(rank(100));
    idle.give(advertisement(200, HIGHER));
    assert_eq!(idle.router.peers(), []);
}

#[test]
fn of_more_than_sixteen_the_one_that_is_silent_for_longest_is_forgotten() {
    let mut bench = Bench::started(rank(100));
    for host in 100..117 {
        bench.wait(1);
        bench.give(advertisement(200, &format!("192.0.2.{host}")));
        bench.give(advertisement(200, "192.0.2.100"));
    }
    let hosts: Vec<IpAddr> = bench.router.peers().iter().map(|peer| peer.address).collect();
    assert_eq!(hosts.len(), 16);
    assert!(hosts.contains(&address("192.0.2.100")) && !hosts.contains(&address("192.0.2.101")));
}

/// Hears one of priority 50 at LOWER with this form of checksum.
fn hear_form(bench: &mut Bench, checksum_form: ChecksumForm) {
    bench.give(Event::Advertisement(Advertisement {
        source: address(LOWER),
        priority: Priority::new(50),
        interval: interval(100),
        checksum_form,
    }));
}

#[test]
fn the_checksum_follows_the_peer_that_was_heard_last_unless_it_is_chosen() {
    let (with, without) = (ChecksumForm::PseudoHeader, ChecksumForm::MessageOnly);
    let rows = [
        (ChecksumChoice::Auto, [with, without, with]),
        (ChecksumChoice::Rfc9568, [without, without, without]),
        (ChecksumChoice::PseudoHeader, [with, with, with]),
    ];
    for (choice, [nobody, after_without, after_with]) in rows {
        let mut bench = Bench::started(rank(100).with_checksum(choice));
        assert_eq!(bench.router.checksum_form(), nobody);
        hear_form(&mut bench, without);
        assert_eq!(bench.router.checksum_form(), after_without);
        let (source, group) = (address(MINE), AddressFamily::Ipv4.multicast_group());
        let bytes = bench.router.encode(Priority::DEFAULT, source, group);
        let packet = crate::wire::Packet::new_checked(bytes).unwrap();
        let form = packet.checksum_form(crate::wire::Format::V3Ipv4, source, group);
        assert_eq!(form, Some(after_without), "what is sent");
        hear_form(&mut bench, with);
        assert_eq!(bench.router.checksum_form(), after_with);
    }
    // Where there is one form only, nothing is chosen.
    let v2 = params(Version::V2, 10, &["192.0.2.1"]).with_checksum(ChecksumChoice::PseudoHeader);
    assert_eq!(Bench::started(v2).router.checksum_form(), without);
    let v6 = params(Version::V3, 10, &["fe80::1"]).with_checksum(ChecksumChoice::Rfc9568);
    assert_eq!(VirtualRouter::new(Instant::ZERO, v6).checksum_form(), with);
}

#[test]
fn r6_a_lower_one_that_yields_when_it_is_answered_is_no_second_active() {
    let mut bench = Bench::active(rank(100)).after(600);
    assert!(bench.give(advertisement(50, LOWER)).contains("lower 192.0.2.4 50"));
    bench.wait(1);
    assert_eq!(bench.give(advertisement(50, LOWER)), " | active 499ms", "its farewell");
    assert_eq!(bench.router.dual_active(), None);
    assert_eq!(bench.router.counters().dual_actives, 0);
}

#[test]
fn r6_a_lower_one_that_goes_on_is_a_second_active_once_and_until_it_is_silent() {
    let mut bench = Bench::active(rank(100)).after(600);
    let since = bench.now;
    bench.give(advertisement(50, LOWER));
    for _ in 0..5 {
        bench.wait(1000);
        bench.timeout();
        bench.give(advertisement(50, LOWER));
    }
    let last = bench.now;
    let dual = DualActive { source: address(LOWER), priority: Priority::new(50), since, last };
    assert_eq!(bench.router.dual_active(), Some(dual));
    assert_eq!(bench.router.counters().dual_actives, 1);
    let mut ends = Vec::new();
    for _ in 0..8 {
        if bench.fire().contains("ended 192.0.2.4") {
            ends.push(bench.now.saturating_since(last));
        }
    }
    let silent = Duration::from_secs(3);
    assert_eq!(ends.len(), 1);
    assert!(silent <= ends[0] && ends[0] < silent + Duration::from_secs(1), "{ends:?}");
    assert_eq!(bench.router.dual_active(), None);
}

/// Active, and 192.0.2.4 with priority 50 does not hear it.
fn beside_a_deaf_one() -> Bench {
    let mut bench = Bench::active(rank(100)).after(600);
    bench.give(advertisement(50, LOWER));
    bench.wait(990);
    assert_eq!(
        bench.give(advertisement(50, LOWER)),
        "adv 100, announce, dual 192.0.2.4 50 | active 1s"
    );
    bench
}

#[test]
fn s3_s4_r1_r2_the_end_of_two_actives_is_said_once() {
    let ended = "ended 192.0.2.4 990ms";
    assert_eq!(
        beside_a_deaf_one().give(Event::StepDown),
        format!("adv 0, {ended}, active>releasing step_down | releasing 4s")
    );
    assert_eq!(
        beside_a_deaf_one().give(Event::InterfaceDown),
        format!("remove, {ended}, active>initialize interface_down | initialize")
    );
    let said = beside_a_deaf_one().give(advertisement(200, HIGHER));
    assert!(said.contains(ended), "{said}");
    let mut bench = beside_a_deaf_one();
    assert!(!bench.give(advertisement(0, HIGHER)).contains(ended), "another one's goodbye");
    assert!(bench.give(advertisement(0, LOWER)).contains(ended));
    assert_eq!(bench.router.dual_active(), None);
}

#[test]
fn r2_an_active_that_is_heard_again_just_before_the_takeover_is_counted() {
    let mut bench = Bench::started(rank(100));
    bench.give(advertisement(200, LOWER));
    let mut hear_after = |millis, source| {
        bench.wait(millis);
        bench.give(advertisement(200, source));
        bench.router.counters().near_takeovers
    };
    assert_eq!(hear_after(1900, LOWER), 0);
    assert_eq!(hear_after(2001, LOWER), 1);
    assert_eq!(hear_after(3600, LOWER), 2);
    assert_eq!(hear_after(2500, HIGHER), 2, "another one took over");
    bench.give(advertisement(0, HIGHER));
    bench.give(advertisement(200, HIGHER));
    assert_eq!(bench.router.counters().near_takeovers, 2, "the timer was short on purpose");
}

#[test]
fn with_few_down_adverts_what_comes_in_time_is_no_near_takeover() {
    for down_adverts in [1, 2] {
        let down_adverts = std::num::NonZeroU8::new(down_adverts).unwrap();
        let mut bench = Bench::started(rank(100).with_down_adverts(down_adverts));
        for _ in 0..10 {
            bench.give(advertisement(200, LOWER));
            bench.wait(1010);
        }
        assert_eq!(bench.router.counters().near_takeovers, 0);
    }
}
