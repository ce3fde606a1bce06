//! Make before break with keepalived as the other node: ours stops or gives its role away, and the client loses nothing that this node
//! could have answered.

use std::time::Duration;

use holdfast_integration::Director;
use holdfast_integration::pair::{LIMIT, lab};
use holdfast_integration::probes::{Echo, Keepers, Questions};
use holdfast_testkit::lab::{Lab, wait_until};

use super::speech::{Ear, Speech, VERSION_3, released, wait_advertised};

/// One second, and a Backup whose Skew_Time is the longest that one would configure.
const SECOND: Speech = Speech { interval: Duration::from_secs(1), ..VERSION_3 };

/// The time between two questions.
const PACE: Duration = Duration::from_millis(5);

/// Ours is Active on lb1 with 150 and keepalived its Backup with 100, `give_up` is called, and the client asks all the while. The
/// largest gap of each address is told.
fn gives_up(speech: &Speech, lab: &Lab, ears: &[Ear], give_up: impl FnOnce()) {
    let questions: Vec<Questions> =
        speech.vips.iter().map(|vip| Questions::start(lab.client(), *vip, PACE).unwrap()).collect();
    let keepers = Keepers::start([lab.lb1(), lab.lb2()], speech.vips);
    give_up();
    speech.wait_moved(lab, lab.lb2(), true);
    wait_until(LIMIT, "the goodbye", || released(ears, lab.lb1()).then_some(())).unwrap();
    wait_advertised(ears, lab.lb2());
    let seen = wait_until(LIMIT, "a hundred looks", || {
        Some(keepers.seen()).filter(|seen| seen.looks > 100)
    })
    .unwrap();
    assert_eq!(seen.nobody, 0, "the addresses were nowhere: {seen:?}");
    for (vip, questions) in speech.vips.iter().zip(questions) {
        let answers = questions.end();
        let (lost, gap) = (answers.lost().len(), answers.longest_gap());
        eprintln!("{vip}: {lost} of {} lost, the largest gap {gap:?}; {seen:?}", answers.asked());
        assert!(answers.by(lab.lb1()) > 0 && answers.by(lab.lb2()) > 0);
        // Skew_Time alone is 0.6 s. What may be lost is what is on its way while keepalived changes its side.
        assert!(gap < speech.interval / 2, "{vip}: {gap:?}, lost {:?}", answers.lost());
    }
}

/// Starts the pair, and waits until keepalived is the Backup of an Active that it hears.
fn start(
    speech: &Speech,
    lab: &Lab,
    ears: &[Ear],
) -> (Director, holdfast_testkit::lab::Keepalived) {
    let ours = speech.holdfast(lab, lab.lb1(), 150);
    speech.wait_state(&ours, "active");
    let peer = speech.keepalived(lab, lab.lb2(), 100);
    speech.wait_moved(lab, lab.lb1(), true);
    wait_advertised(ears, lab.lb1());
    (ours, peer)
}

#[test]
fn d1_d2_a_stop_keeps_answering_until_keepalived_does() {
    let lab = lab().unwrap();
    let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
    let ears = SECOND.listen(&lab);
    let (mut ours, _peer) = start(&SECOND, &lab, &ears);
    gives_up(&SECOND, &lab, &ears, || ours.stop().unwrap());
    SECOND.never_both(&ears);
}

#[test]
fn d1_d2_a_release_keeps_answering_until_keepalived_does_and_resume_takes_the_role_back() {
    let lab = lab().unwrap();
    let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
    let ears = SECOND.listen(&lab);
    let (ours, peer) = start(&SECOND, &lab, &ears);
    gives_up(&SECOND, &lab, &ears, || {
        for name in ["v4", "v6"] {
            ours.cli(&["vrrp", "release", name, "--wait", "20s"]).unwrap();
        }
    });
    for (_, instance) in SECOND.ours(&ours) {
        assert_eq!((instance.state.as_str(), instance.released), ("backup", true));
        assert_eq!((instance.priority, instance.base_priority), (1, 150), "{}", instance.name);
        assert_eq!(instance.reason, "taken_over");
    }

    // A released one is the last choice, and one all the same.
    peer.stop().unwrap();
    SECOND.wait_moved(&lab, lab.lb1(), true);
    let _peer = SECOND.keepalived(&lab, lab.lb2(), 100);
    SECOND.wait_moved(&lab, lab.lb2(), true);
    wait_advertised(&ears, lab.lb2());

    for name in ["v4", "v6"] {
        ours.cli(&["vrrp", "resume", name, "--wait", "20s"]).unwrap();
    }
    SECOND.wait_state(&ours, "active");
    SECOND.wait_moved(&lab, lab.lb1(), true);
    SECOND.never_both(&ears);
}

#[test]
fn d1_d2_a_failover_gives_the_role_to_keepalived_which_may_keep_it() {
    let lab = lab().unwrap();
    let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
    let ears = SECOND.listen(&lab);
    let (ours, peer) = start(&SECOND, &lab, &ears);
    gives_up(&SECOND, &lab, &ears, || {
        for name in ["v4", "v6"] {
            ours.cli(&["vrrp", "failover", name, "--wait", "20s"]).unwrap();
        }
    });
    for (_, instance) in SECOND.ours(&ours) {
        assert_eq!((instance.state.as_str(), instance.released), ("backup", false));
        // Twice is once.
        let said = ours.cli(&["vrrp", "failover", &instance.name]).unwrap();
        assert!(said.contains("nothing changed"), "{said}");
    }
    // When the other one goes, this one is there again, and as good as before.
    peer.stop().unwrap();
    SECOND.wait_moved(&lab, lab.lb1(), true);
    let _peer = SECOND.keepalived(&lab, lab.lb2(), 100);
    wait_advertised(&ears, lab.lb1());
    SECOND.wait_moved(&lab, lab.lb1(), true);
    SECOND.never_both(&ears);
}

/// keepalived gives up: without the addresses until our Skew_Time is over. `holdfast` can only be quick then.
#[test]
fn r1_a_stop_of_keepalived_is_answered_after_skew_time() {
    let lab = lab().unwrap();
    let ears = SECOND.listen(&lab);
    let peer = SECOND.keepalived(&lab, lab.lb2(), 150);
    SECOND.wait_moved(&lab, lab.lb2(), true);
    let ours = SECOND.holdfast(&lab, lab.lb1(), 100);
    wait_advertised(&ears, lab.lb2());
    peer.stop().unwrap();
    SECOND.wait_state(&ours, "active");
    SECOND.wait_moved(&lab, lab.lb1(), true);
    for (_, instance) in SECOND.ours(&ours) {
        assert_eq!(instance.reason, "active_released");
    }
    SECOND.never_both(&ears);
}
