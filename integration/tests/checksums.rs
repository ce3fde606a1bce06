//! The two forms of version 3's checksum over IPv4 between daemons. keepalived 2.2.7 and FRR 8.4.4 know one of them alone, so that it
//! is this daemon that sends the other one. The network is [`holdfast_integration::pair`]'s.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use holdfast_integration::Director;
use holdfast_integration::pair::{LIMIT, Roles, ensure_settled, lab, wait_active, wait_roles};
use holdfast_testkit::lab::wait_until;

/// The first one sends its form whatever the other one does.
const FORMS: Roles<'_> = Roles {
    interval: "300ms",
    lb1: "priority: 150, checksum: rfc9568",
    lb2: "priority: 100, checksum: auto",
};

/// Waits until `director` has heard its one peer of the instance `v4` with this form.
fn wait_form(director: &Director, form: &str) {
    wait_until(LIMIT, &format!("a peer with {form}"), || {
        let peers = director.instance("v4").ok()?.peers;
        matches!(&peers[..], [peer] if peer.checksum == form).then_some(())
    })
    .unwrap();
}

/// `checksum` is an instance's of both families here, and over IPv6 there is one form.
fn config(roles: &Roles<'_>) -> String {
    let text = roles.config();
    let only_v4 = |line: &str| match line.contains(" v6:") {
        true => line
            .replace(", checksum: rfc9568", "")
            .replace(", checksum: auto", "")
            .replace(", checksum: pseudo-header", ""),
        false => line.to_owned(),
    };
    text.lines().map(|line| only_v4(line) + "\n").collect()
}

#[test]
fn auto_settles_on_the_form_of_the_peer_and_status_shows_it() {
    let lab = lab().unwrap();
    let mut lb1 = Director::start(lab.lb1(), &config(&FORMS)).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &config(&FORMS)).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    wait_form(&lb2, "rfc9568");
    ensure_settled(&lb1, &lb2).unwrap();
    let shown = lb2.cli(&["vrrp", "status", "-o", "json"]).unwrap();
    assert!(shown.contains("rfc9568"), "{shown}");

    // As Active it speaks as the one before it did.
    lb1.kill().unwrap();
    wait_active(&lb2).unwrap();
    lb1.restart().unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    wait_form(&lb1, "rfc9568");
}

#[test]
fn auto_speaks_with_the_pseudo_header_until_it_hears_otherwise_and_a_choice_stays() {
    let lab = lab().unwrap();
    let first = Director::start(lab.lb2(), &config(&FORMS)).unwrap();
    wait_active(&first).unwrap();
    let chosen = Roles { lb1: "priority: 150, checksum: pseudo-header", ..FORMS };
    let mut lb1 = Director::start(lab.lb1(), &config(&chosen)).unwrap();
    wait_roles(&lb1, &first).unwrap();
    wait_form(&lb1, "pseudo-header");
    wait_form(&first, "pseudo-header");
    lb1.stop().unwrap();
    wait_active(&first).unwrap();

    let mut lb1 = Director::start(lab.lb1(), &config(&FORMS)).unwrap();
    wait_roles(&lb1, &first).unwrap();
    wait_form(&first, "rfc9568");
    lb1.stop().unwrap();
    wait_active(&first).unwrap();

    // Whoever has made a choice does not follow the other one, and is followed, down to that one's last word.
    let lb1 = Director::start(lab.lb1(), &config(&chosen)).unwrap();
    wait_roles(&lb1, &first).unwrap();
    wait_form(&first, "pseudo-header");
    wait_form(&lb1, "pseudo-header");
    ensure_settled(&lb1, &first).unwrap();
}
