//! When and how often addresses are announced.

use super::*;

#[test]
fn an_announcement_is_repeated_once_and_made_again_for_a_wish_or_another_mac() {
    let mut bench = Bench::new("addresses: [10.0.0.1/24]", &[]);
    bench.want(|wanted| (wanted.held, wanted.announcements) = (true, 1));
    assert_eq!(bench.announcements(), 5);
    bench.after(REPEAT_DELAY);
    assert_eq!(bench.announcements(), 5);
    bench.after(REPEAT_DELAY);
    assert_eq!(bench.announcements(), 0);
    bench.want(|wanted| wanted.announcements = 7);
    assert_eq!(bench.announcements(), 5);
    bench.want(|wanted| wanted.mac = Some(OTHER_MAC));
    assert_eq!(bench.announced(), [OTHER_MAC; 5]);
    bench.announcements();
    bench.want(|wanted| wanted.held = false);
    bench.after(REPEAT_DELAY);
    assert_eq!(bench.announcements(), 0, "nothing is announced that is not held");
}

#[test]
fn announcements_are_as_the_configuration_has_them() {
    let keys = "addresses: [10.0.0.1/24], announce: {count: 2, repeat_after: 1s, refresh: 30s, refresh_count: 3}";
    let mut bench = Bench::new(keys, &[]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.announcements(), 2);
    bench.after(Duration::from_secs(1));
    assert_eq!(bench.announcements(), 2);
    for _ in 0..3 {
        bench.after(Duration::from_secs(30));
        assert_eq!(bench.announcements(), 3);
    }
    let mut once =
        Bench::new("addresses: [10.0.0.1/24], announce: {count: 1, repeat_after: 0s}", &[]);
    once.want(|wanted| wanted.held = true);
    once.after(REPEAT_DELAY);
    assert_eq!(once.announcements(), 1);
}

/// `vrrp.interfaces.NAME.announce_interval`: one at a time, and no other interface waits for it.
#[test]
fn announcements_keep_their_interfaces_pace() {
    let keys = "addresses: [10.0.0.1/24, {address: 10.2.0.1/24, device: eth2}], announce: {count: 2, repeat_after: 0s}";
    let pace = Duration::from_millis(100);
    let paces = Paces::from([("eth1".to_owned(), pace)]);
    let mut bench = Bench::with(keys, Vec::new(), paces);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.announced(), [MAC, MAC_2], "the next one of eth1 has to wait");
    bench.after(pace - Duration::from_millis(1));
    assert_eq!(bench.announcements(), 2);
    bench.after(Duration::from_millis(1));
    assert_eq!(bench.announced(), [MAC, MAC_2]);
}

/// The interface of a virtual MAC address has a name of its own and the same link.
#[test]
fn announcements_of_a_virtual_mac_address_keep_the_pace_of_the_interface_below() {
    let keys = "addresses: [10.0.0.1/24], virtual_mac: {name: eth2}, announce: {count: 2, repeat_after: 0s}";
    let pace = Duration::from_millis(100);
    let mut bench = Bench::with(keys, Vec::new(), Paces::from([("eth1".to_owned(), pace)]));
    bench.want(|wanted| wanted.held = true);
    assert_eq!(bench.announced(), [MAC_2]);
    bench.after(pace);
    assert_eq!(bench.announcements(), 2);
}

#[test]
fn a_burst_of_thousands_lets_others_have_their_turn() {
    let many: Vec<String> = (1..200).map(|last| format!("10.0.0.{last}/24")).collect();
    let keys = format!("addresses: [{}]", many.join(", "));
    let mut bench = Bench::new(&keys, &[]);
    bench.wanted.held = true;
    bench.desk.want(&name(), bench.wanted.clone());
    bench.worker.turn(bench.now);
    assert!(bench.worker.announce_one(bench.now));
    assert!(bench.announcements() < 100);
    while bench.worker.announce_one(bench.now) {}
    assert!(bench.announcements() > 900);
}

#[test]
fn an_announcement_that_was_not_sent_is_tried_again_and_then_repeated() {
    let mut bench = Bench::new("addresses: [10.0.0.1/24]", &[]);
    bench.state.borrow_mut().is_full = true;
    bench.want(|wanted| wanted.held = true);
    bench.state.borrow_mut().is_full = false;
    bench.after(RETRY_DELAY);
    assert_eq!(bench.announcements(), 5);
    bench.after(REPEAT_DELAY);
    assert_eq!(bench.announcements(), 5);
}

/// After a standstill the VRRP thread gives the role away and then its word, between the address thread's look for news and an
/// announcement that is due.
#[test]
fn what_was_given_away_along_with_the_word_is_not_announced() {
    let mut bench = Bench::new("addresses: [10.0.0.1/24]", &[]);
    bench.want(|wanted| (wanted.held, wanted.announcements) = (true, 1));
    assert_eq!(bench.announcements(), 5);
    bench.now += REPEAT_DELAY;
    bench.worker.turn(bench.now);
    bench.desk.want(&name(), Wanted { held: false, ..bench.wanted.clone() });
    bench.desk.vouch(bench.now, bench.now);
    assert!(!bench.worker.announce_one(bench.now));
    assert_eq!(bench.announcements(), 0);
}
