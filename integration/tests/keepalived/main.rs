//! keepalived 2.2.7 as the other half of the pair, in both roles: whoever of the two is better has the addresses, whoever is
//! left takes over, and never do both claim them for longer than one interval.
//!
//! ```text
//!  ┌────────┐   ┌────────────┐   ┌────────────┐
//!  │ client │   │    lb1     │   │    lb2     │     one of the directors runs holdfastd, the other one keepalived;
//!  │ listens│   │ better one │   │ other one  │     VRID 51 in each family, without authentication
//!  └───┬────┘   └─────┬──────┘   └─────┬──────┘
//!  ════╧══════════════╧════════════════╧══════ br0
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]
#![expect(clippy::print_stderr, reason = "what a client lost is a figure worth reading")]

mod converted;
mod dialects;
mod hand_over;
mod speech;

use std::net::Ipv4Addr;

use holdfast_integration::Director;
use holdfast_integration::pair::{LIMIT, lab};
use holdfast_testkit::lab::wait_until;
use nix::sys::signal::Signal;

use self::speech::{
    Dialect, PASSWORD, Speech, VERSION_2, VERSION_3, never_claimed, released, wait_advertised,
};

fn ours_is_better(speech: &Speech) {
    let lab = lab().unwrap();
    let ears = speech.listen(&lab);
    let mut ours = speech.holdfast(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "active");
    let peer = speech.keepalived(&lab, lab.lb2(), 100);

    speech.wait_moved(&lab, lab.lb1(), true);
    wait_advertised(&ears, lab.lb1());
    assert!(speech.holds_none(lab.lb2()), "keepalived is backup");
    never_claimed(&ears, lab.lb2());

    // Without a word, and back with preemption.
    ours.kill().unwrap();
    speech.wait_moved(&lab, lab.lb2(), false);
    ours.restart().unwrap();
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb1(), true);

    // With a goodbye, and back.
    ours.stop().unwrap();
    speech.wait_moved(&lab, lab.lb2(), true);
    wait_until(LIMIT, "the goodbye", || released(&ears, lab.lb1()).then_some(())).unwrap();
    ours.restart().unwrap();
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb1(), true);

    // The backup goes and comes: nothing changes.
    let transitions = |ours: &Director| -> u64 {
        ours.status().unwrap().vrrp.iter().map(|instance| instance.transitions).sum()
    };
    let before = transitions(&ours);
    peer.stop().unwrap();
    let _peer = speech.keepalived(&lab, lab.lb2(), 100);
    wait_advertised(&ears, lab.lb1());
    assert_eq!(transitions(&ours), before);
    speech.never_both(&ears);
}

fn keepalived_is_better(speech: &Speech) {
    let lab = lab().unwrap();
    let ears = speech.listen(&lab);
    let peer = speech.keepalived(&lab, lab.lb1(), 150);
    speech.wait_moved(&lab, lab.lb1(), true);
    let mut ours = speech.holdfast(&lab, lab.lb2(), 100);

    wait_advertised(&ears, lab.lb1());
    for (family, instance) in speech.ours(&ours) {
        assert_eq!((instance.state.as_str(), &instance.fault), ("backup", &None));
        let active = speech.source(lab.lb1(), family);
        assert_eq!(instance.active, Some(active), "it knows who is active");
        let discarded = instance.counters.iter().find(|(name, _)| name.starts_with("discarded"));
        assert_eq!(discarded, None);
    }
    never_claimed(&ears, lab.lb2());

    // Without a word, and back with preemption.
    peer.process().kill_group(Signal::SIGKILL).unwrap();
    drop(peer);
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb2(), false);
    let peer = speech.keepalived(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "backup");
    speech.wait_moved(&lab, lab.lb1(), true);

    // With a goodbye, and back.
    peer.stop().unwrap();
    speech.wait_moved(&lab, lab.lb2(), true);
    for (_, instance) in speech.ours(&ours) {
        assert_eq!(instance.reason, "active_released", "{}", instance.name);
    }
    let _peer = speech.keepalived(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "backup");
    speech.wait_moved(&lab, lab.lb1(), true);

    // The backup goes and comes: nothing changes.
    ours.stop().unwrap();
    ours.restart().unwrap();
    wait_advertised(&ears, lab.lb1());
    speech.wait_state(&ours, "backup");
    assert!(speech.holds_all(lab.lb1()) && speech.holds_none(lab.lb2()));
    speech.never_both(&ears);
}

/// Who comes back is Backup of whoever has the addresses, though it is the better one: in both roles.
fn nobody_takes_over_from_the_living(speech: &Speech) {
    let lab = lab().unwrap();
    let ears = speech.listen(&lab);
    let mut ours = speech.holdfast(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "active");
    let peer = speech.keepalived(&lab, lab.lb2(), 100);
    wait_advertised(&ears, lab.lb1());
    never_claimed(&ears, lab.lb2());
    ours.kill().unwrap();
    speech.wait_moved(&lab, lab.lb2(), false);
    ours.restart().unwrap();
    wait_advertised(&ears, lab.lb2());
    speech.wait_state(&ours, "backup");
    speech.wait_moved(&lab, lab.lb2(), true);

    // Now keepalived is the better one that comes back.
    drop(peer);
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb1(), false);
    let _peer = speech.keepalived(&lab, lab.lb2(), 200);
    wait_advertised(&ears, lab.lb1());
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb1(), true);
    speech.never_both(&ears);
}

type Scene = fn(&Speech);

/// The three scenes in one dialect, at once: each has a network of its own, and most of it is waiting.
fn all_scenes(speech: &Speech) {
    let patient = Speech { preempt: false, ..*speech };
    let scenes: [(&str, Scene, &Speech); 3] = [
        ("ours is better", ours_is_better, speech),
        ("keepalived is better", keepalived_is_better, speech),
        ("without preemption", nobody_takes_over_from_the_living, &patient),
    ];
    let failed: Vec<&str> = std::thread::scope(|scope| {
        let running =
            scenes.map(|(name, scene, speech)| (name, scope.spawn(move || scene(speech))));
        let ended = running.map(|(name, thread)| thread.join().err().map(|_panic| name));
        ended.into_iter().flatten().collect()
    });
    assert!(failed.is_empty(), "see above: {failed:?}");
}

#[test]
fn version_3_in_both_families() {
    all_scenes(&VERSION_3);
}

#[test]
fn version_2() {
    all_scenes(&VERSION_2);
}

#[test]
fn version_2_with_a_password() {
    all_scenes(&VERSION_2.with(Dialect::Passwords(PASSWORD, PASSWORD)));
}

/// What most files for networks without multicast have.
#[test]
fn version_2_unicast_with_a_password() {
    all_scenes(&VERSION_2.with(Dialect::UnicastPassword));
}

#[test]
fn unicast_in_both_families() {
    all_scenes(&VERSION_3.with(Dialect::Unicast));
}

#[test]
fn unicast_between_global_ipv6_addresses() {
    all_scenes(&VERSION_3.with(Dialect::UnicastGlobal));
}

#[test]
fn another_group_in_both_families() {
    all_scenes(&VERSION_3.with(Dialect::Groups));
}

#[test]
fn virtual_mac_addresses_in_both_families() {
    all_scenes(&VERSION_3.with(Dialect::VirtualMac));
}

/// At equal priority and a healed split the higher address wins, whoever has it.
#[test]
fn of_two_actives_of_equal_priority_the_higher_address_wins() {
    for ours_on_lb1 in [true, false] {
        let lab = lab().unwrap();
        let (ours_on, peer_on) =
            if ours_on_lb1 { (lab.lb1(), lab.lb2()) } else { (lab.lb2(), lab.lb1()) };
        lab.isolate(&[lab.lb1(), lab.lb2()]).unwrap();
        let ours = VERSION_3.holdfast(&lab, ours_on, 100);
        let _peer = VERSION_3.keepalived(&lab, peer_on, 100);
        for node in [ours_on, peer_on] {
            wait_until(LIMIT, "both to be active", || VERSION_3.holds_all(node).then_some(()))
                .unwrap();
        }
        lab.join(&[lab.lb1(), lab.lb2()]).unwrap();
        VERSION_3.wait_moved(&lab, lab.lb2(), true);
        VERSION_3.wait_state(&ours, if ours_on_lb1 { "backup" } else { "active" });
        assert_eq!(lab.lb2().ip4(), Ipv4Addr::new(10, 77, 0, 12));
    }
}
