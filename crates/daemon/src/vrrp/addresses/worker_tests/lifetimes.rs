//! Addresses that end unless they are renewed.

use super::super::super::few::Few;
use super::super::super::renewing::{Renewal, Way};
use super::*;

const ADDRESSES: &str = "addresses: [10.0.0.1/24, 10.0.0.2/24]";
const MORTAL: &str = "lifetime: 4s, addresses: [10.0.0.1/24, 10.0.0.2/24]";

fn lifetimes(bench: &Bench) -> Vec<Option<u32>> {
    bench.placed(1).iter().map(|placed| placed.lifetime).collect()
}

#[test]
fn what_is_held_is_renewed_and_what_is_not_held_is_not() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    assert_eq!(lifetimes(&bench), [Some(4), Some(4)]);
    drop(bench.changes());
    for _ in 0..3 {
        bench.after(Duration::from_secs(1));
        assert_eq!(bench.changes(), ["renew 10.0.0.1/24 on eth1", "renew 10.0.0.2/24 on eth1"]);
    }
    bench.after(Duration::from_millis(500));
    assert!(bench.changes().is_empty());
    assert_eq!(bench.outcome().put_back, 0);
    bench.want(|wanted| wanted.held = false);
    assert!(bench.present(1).is_empty());
    drop(bench.changes());
    bench.after(Duration::from_secs(5));
    assert!(bench.changes().is_empty());
}

#[test]
fn an_owners_addresses_and_those_without_a_lifetime_never_end() {
    for (keys, left) in [(OWNER, &["10.0.0.1/24"][..]), (PLAIN, &[]), (ADDRESSES, &[])] {
        let mut bench = Bench::new(keys, left);
        bench.want(|wanted| wanted.held = true);
        assert_eq!(lifetimes(&bench), [None, None], "{keys}");
        drop(bench.changes());
        bench.after(Duration::from_secs(5));
        assert!(bench.changes().is_empty(), "{keys}");
    }
}

#[test]
fn a_reload_gives_and_takes_the_end_of_what_is_there() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    for (keys, lifetime) in [("lifetime: 0s", None), ("lifetime: 30s", Some(30))] {
        let claim = claim(&format!("{keys}, {ADDRESSES}"));
        bench.desk.claim(vec![claim], Paces::new(), Vec::new());
        bench.turn();
        assert_eq!(lifetimes(&bench), [lifetime, lifetime], "{keys}");
    }
    assert_eq!(bench.outcome().put_back, 0);
}

/// As long as the kernel tells nothing, what is known to be there is renewed all the same, and nothing is done twice.
#[test]
fn what_is_held_is_renewed_while_nothing_can_be_heard() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    bench.state.borrow_mut().is_mute = true;
    for _ in 0..3 {
        bench.after(Duration::from_secs(1));
        assert_eq!(bench.changes(), ["renew 10.0.0.1/24 on eth1", "renew 10.0.0.2/24 on eth1"]);
        assert!(bench.worker.deadline() > bench.now, "a thread that goes round and round");
    }
}

/// The address thread waits for something, or hangs: what was there is renewed.
#[test]
fn what_is_held_is_renewed_while_the_address_thread_does_nothing() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    for _ in 0..10 {
        bench.now += Duration::from_secs(1);
        bench.desk.vouch(bench.now, bench.now);
        bench.renew();
        assert_eq!(bench.changes(), ["renew 10.0.0.1/24 on eth1", "renew 10.0.0.2/24 on eth1"]);
    }
    // The role has gone, and the thread does not know yet.
    bench.desk.want(&name(), Wanted { held: false, ..bench.wanted.clone() });
    for _ in 0..5 {
        bench.now += Duration::from_secs(1);
        bench.desk.vouch(bench.now, bench.now);
        bench.renew();
    }
    assert!(bench.changes().is_empty());
}

/// A VRRP thread that hangs: nothing is renewed, and what has ended is not put back, until it goes on and still wants that.
#[test]
fn without_the_vrrp_threads_word_nothing_is_renewed_and_nothing_is_put_back() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    bench.announcements();
    bench.is_silent = true;
    for _ in 0..4 {
        bench.after(Duration::from_secs(1));
    }
    let renewed = ["renew 10.0.0.1/24 on eth1", "renew 10.0.0.2/24 on eth1"];
    assert_eq!(bench.changes(), renewed, "the last word was good for a second");
    bench.take_away(BOTH[0]);
    bench.take_away(BOTH[1]);
    bench.after(Duration::from_secs(2));
    assert!(bench.changes().is_empty() && bench.announcements() == 0);
    assert!(bench.desk.is_asked());
    assert!(bench.worker.deadline() > bench.now, "a thread that goes round and round");
    assert_eq!(bench.renew(), None, "and another one");

    bench.is_silent = false;
    bench.turn();
    assert_eq!(bench.changes(), ["add 10.0.0.1/24 to eth1", "add 10.0.0.2/24 to eth1"]);
    assert_eq!((bench.outcome().put_back, bench.announcements()), (2, 10));
    bench.after(Duration::from_secs(1));
    assert_eq!(bench.changes(), renewed);
}

/// The process stood still until its addresses had ended, and another node is Active: the address thread wakes up first.
#[test]
fn who_stood_still_puts_nothing_back_before_the_vrrp_thread_has_read_its_queues() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    bench.announcements();
    bench.is_silent = true;
    bench.now += Duration::from_secs(6);
    bench.take_away(BOTH[0]);
    bench.take_away(BOTH[1]);
    bench.renew();
    bench.work();
    assert!(bench.changes().is_empty() && bench.announcements() == 0);
    bench.want(|wanted| wanted.held = false);
    bench.is_silent = false;
    bench.turn();
    assert!(
        bench.changes().is_empty() && bench.announcements() == 0 && bench.present(1).is_empty()
    );
}

/// Somebody takes one of the addresses off all the time: the others are renewed in time.
#[test]
fn what_is_put_back_again_and_again_keeps_nothing_from_being_renewed() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    for _ in 0..5 {
        bench.take_away(BOTH[0]);
        bench.after(Duration::from_millis(300));
    }
    let renewed = bench.changes().iter().filter(|one| *one == "renew 10.0.0.2/24 on eth1").count();
    assert_eq!(renewed, 1);
}

/// What the daemon can't renew is compared with the kernel, and tried again.
#[test]
fn what_can_not_be_renewed_is_doubted() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    bench.state.borrow_mut().refuses.insert(net(BOTH[0]).addr());
    bench.take_away_unheard(BOTH[0]);
    bench.after(Duration::from_secs(1));
    bench.state.borrow_mut().refuses.clear();
    drop(bench.changes());
    bench.turn();
    assert_eq!(bench.changes(), ["add 10.0.0.1/24 to eth1"], "it is found to be missing");
}

/// A reload calls the instance otherwise while the address thread waits for something.
#[test]
fn a_new_name_is_renewed_under_the_old_one_until_the_address_thread_knows() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    let other = Name::try_from("b".to_owned()).unwrap();
    let mut claim = claim(MORTAL);
    claim.instance = other.clone();
    bench.desk.claim(vec![claim], Paces::new(), vec![(name(), other)]);
    bench.now += Duration::from_secs(1);
    bench.desk.vouch(bench.now, bench.now);
    bench.renew();
    assert_eq!(bench.changes(), ["renew 10.0.0.1/24 on eth1", "renew 10.0.0.2/24 on eth1"]);
    bench.turn();
    assert_eq!(bench.present(1).len(), 2);
    assert!(bench.changes().iter().all(|one| one.starts_with("renew")));
}

/// An address that comes from another instance has what that one has left it.
#[test]
fn what_is_added_to_an_instance_is_renewed_at_once() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    let renewal = |nets: &[&str]| {
        let mut items = Few::default();
        for one in nets {
            let item = Item::Address(interface(1), Placed::virtual_address(net(one)));
            items.insert(Key::of(&item), item);
        }
        Renewal {
            items: Arc::new(items),
            ways: vec![Some(Way::Plain); nets.len()],
            seconds: Some(40),
        }
    };
    bench.renewals.put(&name(), renewal(&BOTH[..1]), bench.now, false);
    bench.renew();
    assert_eq!(bench.changes(), ["renew 10.0.0.1/24 on eth1"], "it lives for another time");
    bench.renewals.put(&name(), renewal(&BOTH[..1]), bench.now, false);
    bench.renew();
    assert!(bench.changes().is_empty(), "what is known is in time");
    bench.renewals.put(&name(), renewal(&BOTH), bench.now, false);
    bench.renew();
    assert_eq!(bench.changes(), ["renew 10.0.0.1/24 on eth1", "renew 10.0.0.2/24 on eth1"]);
}

/// An earlier daemon has put it there, and the kernel tells of it later than it answers.
#[test]
fn what_was_there_already_when_it_was_added_is_renewed_and_goes_with_the_claim() {
    for forgets_marks in [false, true] {
        let mut bench = Bench::new(MORTAL, &[]);
        bench.turn();
        bench.state.borrow_mut().is_late = true;
        let mut placed = Placed::virtual_address(net(BOTH[0]));
        (placed.lifetime, placed.marked) = (Some(4), !forgets_marks);
        bench.state.borrow_mut().present.add(&Item::Address(interface(1), placed));
        bench.want(|wanted| wanted.held = true);
        assert_eq!(bench.changes(), ["add 10.0.0.1/24 to eth1", "add 10.0.0.2/24 to eth1"]);
        bench.state.borrow_mut().is_late = false;
        let renewed = ["renew 10.0.0.1/24 on eth1", "renew 10.0.0.2/24 on eth1"];
        for _ in 0..3 {
            bench.after(Duration::from_secs(1));
            assert_eq!(bench.changes(), renewed);
        }
        assert_eq!(bench.outcome().put_back, 0);
        let claim = claim("lifetime: 4s, addresses: [10.0.0.2/24]");
        bench.desk.claim(vec![claim], Paces::new(), Vec::new());
        bench.turn();
        assert_eq!(bench.present(1), [BOTH[1]]);
    }
}

/// An owner's own address is none of the daemon's, whoever was first.
#[test]
fn what_was_there_already_and_is_an_owners_own_stays() {
    let mut bench = Bench::new(OWNER, &[]);
    bench.turn();
    bench.state.borrow_mut().is_late = true;
    let mut placed = Placed::virtual_address(net(BOTH[0]));
    placed.marked = false;
    bench.state.borrow_mut().present.add(&Item::Address(interface(1), placed));
    bench.want(|wanted| wanted.held = true);
    bench.state.borrow_mut().is_late = false;
    bench.after(RETRY_DELAY);
    assert!(bench.outcome().holds);
    bench.want(|wanted| wanted.held = false);
    assert_eq!(bench.present(1), [BOTH[0]]);
}

/// A reload takes an address out while the kernel tells nothing, so that it can't be taken off: it ends.
#[test]
fn what_is_claimed_no_longer_is_not_renewed() {
    let mut bench = Bench::new(MORTAL, &[]);
    bench.want(|wanted| wanted.held = true);
    drop(bench.changes());
    bench.state.borrow_mut().is_mute = true;
    let claim = claim("lifetime: 4s, addresses: [10.0.0.2/24]");
    bench.desk.claim(vec![claim], Paces::new(), Vec::new());
    for _ in 0..3 {
        bench.after(Duration::from_secs(1));
        assert_eq!(bench.changes(), ["renew 10.0.0.2/24 on eth1"]);
    }
    bench.state.borrow_mut().is_mute = false;
    bench.after(RETRY_DELAY);
    assert_eq!(bench.present(1), [BOTH[1]]);
}
