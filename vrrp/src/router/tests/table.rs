//! The transition table: every row in every state. The state is entered at 0 s and the event comes at 0.6 s, so that 3.009375 s
//! remain of the active-down interval of priority 100 (3 × 1 s + 156/256 s) and 0.4 s of the adver timer.

use super::*;

const START: &str = "3.609375s L=1s";
const UNTOUCHED: &str = " | backup 3.009375s L=1s";
const STILL: &str = " | active 400ms";

/// What `event` does in Initialize, Backup and Active to a router of priority 100.
fn row(event: &Event) -> [String; 3] {
    row_of(&rank(100), event)
}

fn row_of(params: &Params, event: &Event) -> [String; 3] {
    [
        Bench::initialize(params.clone()).after(600).give(event.clone()),
        Bench::started(params.clone()).after(600).give(event.clone()),
        Bench::active(params.clone()).after(600).give(event.clone()),
    ]
}

#[test]
fn s1_startup_of_the_owner_is_active_at_once() {
    let mut bench = Bench::initialize(rank(255));
    assert_eq!(
        bench.give(Event::Startup),
        "adv 255, install, announce, initialize>active owner | active 1s"
    );
    bench.wait(600);
    assert_eq!(bench.give(Event::Startup), STILL);
}

#[test]
fn s2_startup_of_the_others_is_backup() {
    assert_eq!(
        row(&Event::Startup),
        [format!("initialize>backup startup | backup {START}"), UNTOUCHED.into(), STILL.into()]
    );
}

/// A machine that begins so long after the last advertisement of a process that died: what it does, and what its timer says next.
fn heir(params: Params, millis: u64) -> Bench {
    let mut bench = Bench::initialize(params);
    let advertised = bench.now;
    bench.wait(millis);
    assert_eq!(bench.give(Event::Inherit { advertised }), " | initialize");
    bench
}

#[test]
fn k1_who_inherits_in_time_goes_on_as_the_active() {
    let mut bench = heir(rank(100), 2_999);
    let begins = bench.give(Event::Startup);
    assert_eq!(begins, "adv 100, install, initialize>active inherited | active 1s");
    // Somebody may have taken over and given way unheard: the next advertisement announces.
    assert_eq!(bench.fire(), "adv 100, announce | active 1s");
    assert_eq!(bench.fire(), "adv 100 | active 1s");
    assert_eq!(bench.router.counters().became_active, 0, "its reign goes on");
    // Whatever Preempt_Mode says, and the owner as any other.
    for params in [rank(100).with_preempt_mode(false), rank(255)] {
        let said = heir(params, 10).give(Event::Startup);
        assert!(said.ends_with("install, initialize>active inherited | active 1s"), "{said}");
    }
}

#[test]
fn k1_who_inherits_too_late_begins_as_any_other() {
    let late = format!("initialize>backup startup | backup {START}");
    assert_eq!(heir(rank(100), 3_000).give(Event::Startup), late);
    // By the number of advertisements that may be lost.
    let one = rank(100).with_down_adverts(std::num::NonZeroU8::MIN);
    assert!(heir(one.clone(), 999).give(Event::Startup).contains("active inherited"));
    assert!(heir(one, 1_000).give(Event::Startup).contains("backup startup"));
    // From a time that is still to come nobody can inherit.
    let mut bench = Bench::initialize(rank(100));
    let advertised = bench.now + Duration::from_secs(1);
    bench.give(Event::Inherit { advertised });
    assert_eq!(bench.give(Event::Startup), late);
}

#[test]
fn k1_an_inheritance_counts_once_and_lapses() {
    let late = format!("initialize>backup startup | backup {START}");
    for lapse in [Event::Shutdown, Event::InterfaceDown] {
        let mut bench = heir(rank(100), 10);
        bench.give(lapse);
        bench.give(up());
        assert_eq!(bench.give(Event::Startup), late);
    }
    let mut bench = heir(rank(100), 10);
    bench.give(Event::Startup);
    bench.give(Event::InterfaceDown);
    assert_eq!(bench.give(up()), late);
    // The interface may come after the order to begin, as it does at a boot.
    let mut bench = heir(rank(100), 10);
    let advertised = bench.now;
    bench.give(Event::InterfaceDown);
    bench.give(Event::Inherit { advertised });
    assert_eq!(bench.give(Event::Startup), " | initialize");
    assert!(bench.give(up()).contains("active inherited"));
}

#[test]
fn k1_in_any_other_state_it_is_ignored() {
    let inherit = |bench: &Bench| Event::Inherit { advertised: bench.now };
    let mut bench = Bench::started(rank(100)).after(600);
    let event = inherit(&bench);
    assert_eq!(bench.give(event), UNTOUCHED);
    let mut bench = Bench::active(rank(100)).after(600);
    let event = inherit(&bench);
    assert_eq!(bench.give(event), STILL);
    bench.give(Event::StepDown);
    let event = inherit(&bench);
    assert_eq!(bench.give(event), " | releasing 4s");
}

#[test]
fn k1_an_heir_gives_way_to_a_better_one_and_defends_itself_against_a_worse_one() {
    let mut bench = heir(rank(100), 500);
    bench.give(Event::Startup);
    bench.wait(600);
    let said = bench.give(advertisement(200, LOWER));
    assert!(said.starts_with("adv 100, remove, active>backup higher_priority"), "{said}");
    let mut bench = heir(rank(100), 500);
    bench.give(Event::Startup);
    bench.wait(600);
    let said = bench.give(advertisement(50, HIGHER));
    assert_eq!(said, "adv 100, announce | active 1s");
}

#[test]
fn s3_shutdown() {
    assert_eq!(
        row(&Event::Shutdown),
        [
            " | initialize",
            "backup>initialize shutdown | initialize",
            "adv 0, active>releasing shutdown | releasing 4s",
        ]
    );
}

#[test]
fn s4_interface_down() {
    assert_eq!(
        row(&Event::InterfaceDown),
        [
            " | initialize",
            "backup>initialize interface_down | initialize",
            "remove, active>initialize interface_down | initialize",
        ]
    );
}

#[test]
fn s4_a_primary_address_of_the_other_family_is_none() {
    let foreign = Event::PrimaryChanged { primary: address("fe80::1") };
    assert_eq!(row(&foreign), row(&Event::InterfaceDown));
    let foreign = Event::InterfaceUp { primary: address("fe80::1") };
    assert_eq!(row(&foreign), row(&Event::InterfaceDown));
}

#[test]
fn s4_interface_up_starts_what_shall_run() {
    assert_eq!(row(&up()), [" | initialize", UNTOUCHED, STILL]);
    let mut bench = Bench::active(rank(100));
    bench.give(Event::InterfaceDown);
    assert_eq!(bench.give(up()), format!("initialize>backup startup | backup {START}"));
    bench.give(Event::InterfaceDown);
    bench.give(Event::Shutdown);
    assert_eq!(bench.give(up()), " | initialize", "the wish is gone");
}

#[test]
fn s5_active_down_timer_fires() {
    let mut bench = Bench::started(rank(100));
    bench.wait(3609);
    assert_eq!(bench.timeout(), " | backup 375µs L=1s", "too early");
    assert_eq!(bench.fire(), "adv 100, install, announce, backup>active active_silent | active 1s");
    let mut bench = Bench::initialize(rank(100)).after(60_000);
    assert_eq!(bench.timeout(), " | initialize");
}

#[test]
fn s6_adver_timer_fires() {
    let mut bench = Bench::active(rank(100)).after(999);
    assert_eq!(bench.timeout(), " | active 1ms", "too early");
    assert_eq!(bench.fire(), "adv 100 | active 1s");
    bench.wait(1300);
    assert_eq!(bench.timeout(), "adv 100 | active 700ms", "counted from when it was due");
    bench.wait(2800);
    assert_eq!(bench.timeout(), "adv 100 | active 1s", "one, not the two that were missed");
}

#[test]
fn r1_priority_0() {
    assert_eq!(
        row(&slower(0, LOWER, 200)),
        [" | initialize", " | backup 609.375ms L=1s", "adv 100, announce | active 1s",]
    );
}

#[test]
fn r2_higher_priority() {
    assert_eq!(
        row(&slower(101, LOWER, 200)),
        [
            " | initialize",
            " | backup 7.21875s L=2s",
            "adv 100, remove, active>backup higher_priority | backup 7.21875s L=2s",
        ]
    );
}

#[test]
fn r2_v2_learns_no_interval() {
    let ours = params(Version::V2, 10, &["192.0.2.1"]);
    let [_, backup, active] = row_of(&ours, &advertisement(101, LOWER));
    assert_eq!(backup, format!(" | backup {START}"));
    assert_eq!(active, format!("adv 100, remove, active>backup higher_priority | backup {START}"));
}

#[test]
fn r3_equal_priority_of_a_higher_address() {
    assert_eq!(
        row(&slower(100, HIGHER, 200)),
        [
            " | initialize",
            " | backup 7.21875s L=2s",
            "adv 100, remove, active>backup higher_address | backup 7.21875s L=2s",
        ]
    );
}

#[test]
fn r4_equal_priority_of_a_lower_address() {
    assert_eq!(
        row(&slower(100, LOWER, 200)),
        [
            " | initialize",
            " | backup 7.21875s L=2s",
            "adv 100, announce, lower 192.0.2.4 100 | active 1s",
        ]
    );
}

#[test]
fn r5_equal_priority_of_our_own_address() {
    assert_eq!(
        row(&advertisement(100, MINE)),
        [
            " | initialize".to_owned(),
            format!("duplicate | backup {START}"),
            "duplicate | active 400ms".to_owned(),
        ]
    );
}

#[test]
fn r6_lower_priority_with_preempt() {
    assert_eq!(
        row(&slower(99, HIGHER, 200)),
        [" | initialize", UNTOUCHED, "adv 100, announce, lower 192.0.2.6 99 | active 1s",]
    );
}

#[test]
fn r7_lower_priority_without_preempt() {
    assert_eq!(
        row_of(&rank(100).with_preempt_mode(false), &slower(99, HIGHER, 200)),
        [
            " | initialize",
            " | backup 7.21875s L=2s",
            "adv 100, announce, lower 192.0.2.6 99 | active 1s",
        ]
    );
}

#[test]
fn r8_two_owners() {
    let mut bench = Bench::active(rank(255)).after(600);
    assert_eq!(
        bench.give(advertisement(255, LOWER)),
        "owners, adv 255, announce, lower 192.0.2.4 255 | active 1s",
        "R4"
    );
    assert_eq!(
        bench.give(advertisement(255, HIGHER)),
        "owners, adv 255, remove, active>backup higher_address | backup 3.00390625s L=1s",
        "R3"
    );
    bench.wait(600);
    assert_eq!(bench.give(advertisement(255, LOWER)), "owners | backup 3.00390625s L=1s", "as R2");
}

#[test]
fn r9_an_invalid_packet_is_counted_and_changes_nothing_else() {
    for mut bench in [
        Bench::initialize(rank(100)).after(600),
        Bench::started(rank(100)).after(600),
        Bench::active(rank(100)).after(600),
    ] {
        let before = *bench.router.state();
        bench.router.count_discard(DiscardReason::Checksum);
        assert!(bench.said().starts_with(" | "));
        assert_eq!(*bench.router.state(), before);
        assert_eq!(bench.router.counters().discarded.of(DiscardReason::Checksum), 1);
    }
    // What would be from another family never gets here; if it does, it is nobody's.
    assert_eq!(row(&advertisement(255, "fe80::1")), [" | initialize", UNTOUCHED, STILL]);
}

#[test]
fn c1_priority_changed() {
    assert_eq!(
        row(&Event::Reconfigure(rank(200))),
        // The skew is 56/256 s instead of 156/256 s.
        [" | initialize", " | backup 2.61875s L=1s", "adv 200 | active 1s"]
    );
    let mut bench = Bench::started(rank(1)).after(3990);
    assert_eq!(bench.give(Event::Reconfigure(rank(254))), " | backup 0ns L=1s", "never below zero");
    let mut bench = Bench::started(rank(100)).after(600);
    bench.give(advertisement(0, HIGHER));
    assert_eq!(
        bench.give(Event::Reconfigure(rank(200))),
        " | backup 218.75ms L=1s",
        "what remains of the skew alone changes as the skew does"
    );
}

#[test]
fn c2_interval_changed() {
    let faster = |version| {
        let params = params(version, 10, &["192.0.2.1"]);
        Event::Reconfigure(params.with_advertisement_interval(interval(200)).unwrap())
    };
    assert_eq!(
        row(&faster(Version::V3)),
        [" | initialize", UNTOUCHED, STILL],
        "a Backup of version 3 goes by what it learned; an Active is not made later"
    );
    let v2 = params(Version::V2, 10, &["192.0.2.1"]);
    assert_eq!(
        row_of(&v2, &faster(Version::V2)),
        [" | initialize", " | backup 6.009375s L=2s", STILL]
    );
    let shorter = rank(100).with_advertisement_interval(interval(10)).unwrap();
    assert_eq!(row(&Event::Reconfigure(shorter)), [" | initialize", UNTOUCHED, " | active 100ms"]);
}

#[test]
fn c3_addresses_changed() {
    let other = params(Version::V3, 10, &["192.0.2.2"]);
    assert_eq!(
        row(&Event::Reconfigure(other)),
        [
            " | initialize",
            UNTOUCHED,
            "adv 100, update -[192.0.2.1] +[192.0.2.2], announce | active 1s",
        ]
    );
    let more = params(Version::V3, 10, &["192.0.2.1", "192.0.2.2"]);
    let mut bench = Bench::active(more).after(600);
    assert_eq!(
        bench.give(Event::Reconfigure(rank(100))),
        "adv 100, update -[192.0.2.2] +[] | active 1s",
        "what goes is not announced"
    );
}

#[test]
fn c3_another_virtual_router_is_refused() {
    let others = [
        params(Version::V3, 11, &["192.0.2.1"]),
        params(Version::V2, 10, &["192.0.2.1"]),
        params(Version::V3, 10, &["fe80::1"]),
    ];
    for other in others {
        assert_eq!(
            row(&Event::Reconfigure(other)),
            ["refused | initialize", "refused | backup 3.009375s L=1s", "refused | active 400ms"]
        );
    }
}

#[test]
fn c4_primary_address_changed() {
    let changed = Event::PrimaryChanged { primary: address("192.0.2.7") };
    assert_eq!(row(&changed), [" | initialize", UNTOUCHED, STILL]);
    let mut bench = Bench::active(rank(100)).after(600);
    bench.give(changed);
    assert_eq!(
        bench.give(advertisement(100, HIGHER)),
        "adv 100, announce, lower 192.0.2.6 100 | active 1s",
        "the tie-break uses it at once"
    );
    assert_eq!(bench.router.active_address(), Some(address("192.0.2.7")));
    // While the interface is down there is none, and a change is not one.
    bench.give(Event::InterfaceDown);
    assert_eq!(bench.give(Event::PrimaryChanged { primary: address(MINE) }), " | initialize");
    assert_eq!(bench.router.primary(), None);
}

#[test]
fn c5_woken_late() {
    // A Backup's timer is judged after the queue: what was in there moved it.
    let mut bench = Bench::started(rank(100)).after(10_000);
    assert_eq!(bench.give(advertisement(200, LOWER)), format!(" | backup {START}"));
    assert_eq!(bench.timeout(), format!(" | backup {START}"));
    // An Active that finds a better one in the queue sends nothing.
    let mut bench = Bench::active(rank(100)).after(10_000);
    assert_eq!(
        bench.give(advertisement(200, LOWER)),
        format!("remove, active>backup higher_priority | backup {START}")
    );
    // One that finds nothing stays if it would preempt anyway, and says twice where the addresses are.
    let mut bench = Bench::active(rank(100)).after(10_000);
    assert_eq!(bench.timeout(), "stalled 10s, adv 100, announce | active 1s");
    assert_eq!(bench.fire(), "adv 100, announce | active 1s");
    assert_eq!(bench.fire(), "adv 100 | active 1s");
    // Without Preempt_Mode it does not displace who may have taken over.
    let mut bench = Bench::active(rank(100).with_preempt_mode(false)).after(10_000);
    assert_eq!(
        bench.timeout(),
        format!("stalled 10s, remove, active>backup stalled | backup {START}")
    );
}

#[test]
fn c5_resumed() {
    assert_eq!(
        row(&Event::Resumed),
        [" | initialize".to_owned(), format!(" | backup {START}"), STILL.to_owned()]
    );
}
