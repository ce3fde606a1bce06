//! Addresses that end unless they are renewed.

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
        // The worker sets the moment by its own clock.
        bench.after(Duration::from_secs(1));
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
