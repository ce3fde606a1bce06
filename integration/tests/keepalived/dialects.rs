//! What must agree on both sides: passwords, the form of the checksum, how many lost advertisements are a death.

use std::io::{Read, Write};
use std::net::TcpStream;

use holdfast_integration::Director;
use holdfast_integration::pair::{lab, wait_count};
use nix::sys::signal::Signal;

use super::keepalived_is_better;
use super::speech::{Dialect, PASSWORD, Speech, VERSION_2, VERSION_3, wait_advertised};

/// A password that is not the other side's.
const WRONG: &str = "0ther-pw";

/// What the daemon's metrics say.
fn metrics(ours: &Director) -> String {
    let asked = ours.node().enter(|| -> std::io::Result<String> {
        let mut stream = TcpStream::connect("127.0.0.1:9112")?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    });
    asked.unwrap().unwrap()
}

/// What the daemon and its command line tell of passwords: nothing, as text, in bytes or in hexadecimal digits.
fn keeps_secret(ours: &Director, passwords: &[&str]) {
    let told = [
        ("log", ours.process().log()),
        ("metrics", metrics(ours)),
        ("status as JSON", ours.cli(&["status", "-o", "json"]).unwrap()),
        ("status", ours.cli(&["status"]).unwrap()),
        ("VRRP status", ours.cli(&["vrrp", "status"]).unwrap()),
    ];
    for (what, text) in told {
        assert!(text.contains("v4"), "the {what} tells of the instance: {text}");
        for password in passwords {
            let bytes = format!("{:?}", password.as_bytes());
            let digits: String = password.bytes().map(|byte| format!("{byte:02x}")).collect();
            for spelled in [*password, bytes.trim_matches(['[', ']']), &digits] {
                assert!(!text.contains(spelled), "the {what} shows a password: {text}");
            }
        }
    }
}

/// Two that don't believe each other are both Active. No protocol can help it; the counters and the log tell why.
fn wrong_password_is_reported(ours: &'static str, discard: &str) {
    let speech = VERSION_2.with(Dialect::Passwords(ours, PASSWORD));
    let lab = lab().unwrap();
    let peer = speech.keepalived(&lab, lab.lb2(), 200);
    speech.wait_moved(&lab, lab.lb2(), true);
    let director = speech.holdfast(&lab, lab.lb1(), 100);
    wait_count(&director, "v4", discard, 2).unwrap();
    speech.wait_state(&director, "active");
    assert!(speech.holds_all(lab.lb2()), "and so is keepalived");
    let instance = director.instance("v4").unwrap();
    assert_eq!(instance.reason, "active_silent");
    assert_eq!(instance.peers, [], "who can't prove itself is no peer");
    let reason = format!("reason=\"{}\"", discard.trim_start_matches("discarded_"));
    let log = director.process().log();
    assert!(log.contains(&reason) && log.contains(&lab.lb2().ip4().to_string()), "{log}");
    assert!(metrics(&director).contains(discard));
    keeps_secret(&director, &[ours, PASSWORD]);
    drop(peer);
}

#[test]
fn another_password_makes_two_actives_and_is_reported() {
    wrong_password_is_reported(WRONG, "discarded_password");
}

#[test]
fn a_right_password_is_told_nowhere() {
    let speech = VERSION_2.with(Dialect::Passwords(PASSWORD, PASSWORD));
    let lab = lab().unwrap();
    let ours = speech.holdfast(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "active");
    let peer = speech.keepalived(&lab, lab.lb2(), 200);
    speech.wait_state(&ours, "backup");
    speech.wait_moved(&lab, lab.lb2(), true);
    keeps_secret(&ours, &[PASSWORD]);
    peer.process().kill_group(Signal::SIGKILL).unwrap();
    speech.wait_state(&ours, "active");
    keeps_secret(&ours, &[PASSWORD]);
}

/// One has a password and the other has none: neither believes the other.
#[test]
fn a_password_on_one_side_only_is_reported() {
    let lab = lab().unwrap();
    let plain = VERSION_2;
    let secret = VERSION_2.with(Dialect::Passwords(PASSWORD, PASSWORD));
    for (ours, theirs) in [(plain, secret), (secret, plain)] {
        let peer = theirs.keepalived(&lab, lab.lb2(), 200);
        theirs.wait_moved(&lab, lab.lb2(), true);
        let mut director = ours.holdfast(&lab, lab.lb1(), 100);
        wait_count(&director, "v4", "discarded_auth_type", 2).unwrap();
        ours.wait_state(&director, "active");
        keeps_secret(&director, &[PASSWORD]);
        director.stop().unwrap();
        peer.stop().unwrap();
    }
}

/// keepalived 2.2.7 takes no checksum but the one with the pseudo-header: who sends the other form to it gets a second Active, and
/// says so. With `auto` there is one.
///
/// That second Active says nothing more: in keepalived each packet that an Active receives, a wrong one too, puts its next
/// advertisement off by an interval. So a lasting contest can't be seen on the wire, its beginning is.
#[test]
fn a_checksum_that_keepalived_does_not_take_makes_two_actives_and_is_reported() {
    let speech = Speech { vips: &VERSION_3.vips[..1], ..VERSION_3 };
    let lab = lab().unwrap();
    let message_only = speech.with(Dialect::Checksum("rfc9568"));
    let mut ours = message_only.holdfast(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "active");
    let _peer = speech.keepalived(&lab, lab.lb2(), 100);
    wait_count(&ours, "v4", "lower_priority_heard", 1).unwrap();
    wait_count(&ours, "v4", "advertisements_sent", 5).unwrap();
    assert!(speech.holds_all(lab.lb1()) && speech.holds_all(lab.lb2()), "neither gives in");
    let instance = ours.instance("v4").unwrap();
    let [peer] = &instance.peers[..] else { panic!("{instance:?}") };
    assert_eq!((peer.address, peer.priority), (lab.lb2().ip4().into(), 100));
    assert_eq!(peer.checksum, "pseudo-header");
    let log = ours.process().log();
    let said = "another node of lower priority advertised";
    assert!(log.contains(said) && log.contains("other=10.77.0.12 other_priority=100"), "{log}");

    ours.stop().unwrap();
    let ours = speech.with(Dialect::Checksum("auto")).holdfast(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb1(), true);
    assert_eq!(ours.instance("v4").unwrap().peers[0].checksum, "pseudo-header");
}

/// What 2.2.7 has of other forms: `old_unicast_checksum`, with the group in the pseudo-header of what goes to a peer. It takes no other one then.
#[test]
fn the_old_checksum_of_unicast_is_taken_and_answered_in_kind() {
    let speech = Speech { vips: &VERSION_3.vips[..1], ..VERSION_3 };
    let speech = speech.with(Dialect::OldUnicast);
    keepalived_is_better(&speech);

    // Who has heard nobody speaks as keepalived does today, which this one does not believe, until it has said its first word.
    let lab = lab().unwrap();
    let ears = speech.listen(&lab);
    let ours = speech.holdfast(&lab, lab.lb1(), 150);
    speech.wait_state(&ours, "active");
    let _peer = speech.keepalived(&lab, lab.lb2(), 100);
    wait_count(&ours, "v4", "advertisements_received", 1).unwrap();
    speech.wait_moved(&lab, lab.lb1(), true);
    let instance = ours.instance("v4").unwrap();
    assert_eq!((instance.state.as_str(), instance.transitions), ("active", 2), "{instance:?}");
    assert_eq!(instance.peers[0].checksum, "old-unicast");
    wait_advertised(&ears, lab.lb1());
    assert!(speech.holds_none(lab.lb2()));
    speech.never_both(&ears);
}

/// Over IPv6 keepalived sends to a peer with the host's usual hop limit, unless `unicast_ttl` says otherwise: not a neighbour's, and
/// discarded until the peer's `ttl` says that it is right.
#[test]
fn a_hop_limit_that_is_no_neighbours_is_taken_where_it_is_configured() {
    let lab = lab().unwrap();
    let speech = Speech { vips: &VERSION_3.vips[1..], ..VERSION_3 };
    let usual = speech.with(Dialect::UsualHopLimit("255"));
    let peer = usual.keepalived(&lab, lab.lb2(), 200);
    speech.wait_moved(&lab, lab.lb2(), true);
    let mut strict = usual.holdfast(&lab, lab.lb1(), 100);
    wait_count(&strict, "v6", "discarded_hop_limit", 2).unwrap();
    speech.wait_state(&strict, "active");
    strict.stop().unwrap();
    let lenient = speech.with(Dialect::UsualHopLimit("64")).holdfast(&lab, lab.lb1(), 100);
    wait_count(&lenient, "v6", "advertisements_received", 10).unwrap();
    let instance = lenient.instance("v6").unwrap();
    assert_eq!((instance.state.as_str(), instance.transitions), ("backup", 1));
    speech.wait_moved(&lab, lab.lb2(), true);
    drop(peer);
}

/// `down_adverts` and keepalived's `down_timer_adverts` count alike: with ten of them nobody takes over after three.
#[test]
fn as_many_lost_advertisements_as_configured_are_a_death() {
    let speech = Speech { vips: &VERSION_3.vips[..1], ..VERSION_3 };
    let speech = speech.with(Dialect::DownAdverts(10));
    let lab = lab().unwrap();
    let ears = speech.listen(&lab);
    let peer = speech.keepalived(&lab, lab.lb1(), 150);
    speech.wait_moved(&lab, lab.lb1(), true);
    let mut ours = speech.holdfast(&lab, lab.lb2(), 100);
    wait_advertised(&ears, lab.lb1());
    // The kernel's times of arrival: a busy machine makes a takeover later, never earlier.
    let silence = |from, to| {
        let last = ears[0].heard_of(from).last().unwrap().at;
        let first = ears[0].heard_of(to).into_iter().find(|one| one.at > last).unwrap();
        first.at.saturating_since(last)
    };
    peer.process().kill_group(Signal::SIGKILL).unwrap();
    drop(peer);
    speech.wait_moved(&lab, lab.lb2(), false);
    assert!(silence(lab.lb1(), lab.lb2()) > speech.interval * 10);

    let _peer = speech.keepalived(&lab, lab.lb1(), 50);
    wait_advertised(&ears, lab.lb2());
    ours.kill().unwrap();
    speech.wait_moved(&lab, lab.lb1(), false);
    assert!(silence(lab.lb2(), lab.lb1()) > speech.interval * 9);
}
