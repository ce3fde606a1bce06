//! The daemon's BFD thread against FRR's bfdd 8.4.4 and BIRD 2: who starts first, who is passive, both families; a peer that stands
//! still, comes back, is shut down by its administrator; our own end.
//!
//! ```text
//!  ┌────────────────────┐        ┌────────────────────┐
//!  │ lb1: the BFD thread│        │ lb2: bfdd, or BIRD │     50 ms × 20 here, 100 ms × 20 there
//!  └─────────┬──────────┘        └─────────┬──────────┘
//!  ══════════╧═════════════════════════════╧═══════════ br0
//! ```
//! The thread is taken from the daemon's source, as the daemon runs it, with a closure that collects what it tells.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

#[path = "../../crates/daemon/src/vrrp/bfd/mod.rs"]
#[expect(dead_code, reason = "the test asks for less than the daemon")]
mod bfd;
#[path = "../../crates/daemon/src/rate.rs"]
mod rate;

use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use bfd::{Bfd, Change, SessionStatus};
use holdfast_bfd::State;
use holdfast_config::Environment;
use holdfast_engine::vrrp::Level;
use holdfast_integration::family::Family;
use holdfast_integration::pair::{LIMIT, lab};
use holdfast_testkit::lab::{BfdPeer, BfdSpeech, Bfdd, Bird, Lab, Node, wait_until};
use nix::sys::signal::Signal;

/// Our end of the session.
struct Ours {
    bfd: Bfd,
    changes: Receiver<Change>,
}

impl Ours {
    fn start(node: &Node, keys: &str) -> Self {
        let text = format!("vrrp: {{trackers: {{peer: {{bfd: {{{keys}}}}}}}}}\n");
        let outcome = holdfast_config::parse("test", &text, &Environment::new("lb1"));
        let (config, _) = outcome.into_result().unwrap();
        let (told, changes) = sync_channel(64);
        let tell = move |change| drop(told.try_send(change));
        let bfd = Bfd::new(tell);
        node.enter(|| bfd.start(&config.vrrp).unwrap()).unwrap();
        Self { bfd, changes }
    }

    fn status(&self) -> SessionStatus {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let status = runtime.block_on(self.bfd.status()).unwrap();
        status.sessions.into_iter().next().unwrap()
    }

    /// The next thing that is told, which must be this.
    fn expect(&self, level: Level) -> Change {
        let change =
            self.changes.recv_timeout(LIMIT).map_err(|_none| format!("{:?}", self.status()));
        let change = change.unwrap();
        assert_eq!(change.reading.level(), level, "{change:?} {:?}", self.status());
        change
    }

    /// The first thing that is told may be that the session has not come up, when the peer took long to start.
    fn expect_up(&self) {
        let change =
            self.changes.recv_timeout(LIMIT).map_err(|_none| format!("{:?}", self.status()));
        if change.unwrap().reading.level() != Level::Up {
            self.expect(Level::Up);
        }
    }

    fn wait(&self, what: &str, is_so: impl Fn(&SessionStatus) -> bool) -> SessionStatus {
        let mut last = None;
        let found = wait_until(LIMIT, what, || {
            let status = self.status();
            let so = is_so(&status);
            last = Some(status.clone());
            so.then_some(status)
        });
        found.map_err(|error| format!("{error:#} {last:?}")).unwrap()
    }
}

fn speech(lab: &Lab, family: Family) -> BfdSpeech {
    BfdSpeech {
        local: family.of(lab.lb2()),
        remote: family.of(lab.lb1()),
        interval_ms: 100,
        multiplier: 20,
        passive: false,
    }
}

fn keys(lab: &Lab, family: Family) -> String {
    let (peer, source) = (family.of(lab.lb2()), family.of(lab.lb1()));
    format!("peer: '{peer}', source: '{source}', interface: eth0, multiplier: 20")
}

fn wait_peer<P: BfdPeer>(peer: &P, state: &str) {
    let found = wait_until(LIMIT, &format!("the peer to be {state}"), || {
        (peer.state().ok()? == state).then_some(())
    });
    found.map_err(|error| format!("{error:#}\n{}", peer.told())).unwrap();
}

/// Up on both ends, with the intervals that both agreed to, after the Poll Sequences.
fn wait_up<P: BfdPeer>(ours: &Ours, peer: &P) {
    ours.expect_up();
    wait_peer(peer, "up");
    let agreed = |status: &SessionStatus| {
        // RFC 5880 §6.8.2 and §6.8.4: the larger of 50 and 100 ms; the peer's multiplier is 20, so that a busy machine is no dead peer.
        status.transmit_interval == Some(Duration::from_millis(100))
            && status.detection_time == Some(Duration::from_secs(2))
    };
    let status = ours.wait("the intervals to be agreed", agreed);
    assert_eq!((status.state, status.remote_state), (State::Up, State::Up));
    assert_eq!(status.discarded.total(), 0, "{status:?}");
}

fn lives_and_dies<P: BfdPeer>(family: Family) {
    let lab = lab().unwrap();
    let ours = Ours::start(lab.lb1(), &keys(&lab, family));
    let peer = P::start(lab.lb2(), &speech(&lab, family)).unwrap();
    wait_up(&ours, &peer);

    // It stands still: that is silence, and counts as the Active's loss.
    peer.process().kill_group(Signal::SIGSTOP).unwrap();
    let change = ours.expect(Level::Down);
    assert_eq!(change.lost, Some(family.of(lab.lb2())));
    assert_eq!(change.reading.sentence(), "nothing was heard for 2s");
    assert_eq!(ours.status().diagnostic.label(), "control_detection_time_expired");
    peer.process().kill_group(Signal::SIGCONT).unwrap();
    ours.expect_up();
    wait_peer(&peer, "up");

    // Its administrator ends the session: that says nothing about it, if the peer says it.
    peer.shut_down().unwrap();
    if P::SAYS_ADMIN_DOWN {
        assert_eq!(ours.expect(Level::Unknown).lost, None);
        let status = ours.status();
        assert_eq!((status.state, status.remote_state), (State::Down, State::AdminDown));
    } else {
        ours.expect(Level::Down);
    }
    peer.bring_up().unwrap();
    ours.expect_up();
    wait_peer(&peer, "up");

    // We end it: the peer is told, and does not wait for our silence.
    ours.bfd.stop();
    wait_peer(&peer, "down");
    let said = peer.told();
    assert!(!said.contains("Diagnostics: control detection time expired"), "{said}");
}

fn roles<P: BfdPeer>(family: Family) {
    for (we_are_passive, they_are_passive) in [(false, false), (true, false), (false, true)] {
        for we_start_first in [false, true] {
            let lab = lab().unwrap();
            let keys = format!("{}, passive: {we_are_passive}", keys(&lab, family));
            let speech = BfdSpeech { passive: they_are_passive, ..speech(&lab, family) };
            let ours = we_start_first.then(|| Ours::start(lab.lb1(), &keys));
            let peer = P::start(lab.lb2(), &speech).unwrap();
            let ours = ours.unwrap_or_else(|| Ours::start(lab.lb1(), &keys));
            wait_up(&ours, &peer);
        }
    }
}

#[test]
fn frr_lives_stands_still_and_is_shut_down() {
    Family::ALL.into_iter().for_each(lives_and_dies::<Bfdd>);
}

#[test]
fn bird_lives_stands_still_and_is_shut_down() {
    Family::ALL.into_iter().for_each(lives_and_dies::<Bird>);
}

#[test]
fn frr_comes_up_in_either_order_and_role() {
    Family::ALL.into_iter().for_each(roles::<Bfdd>);
}

#[test]
fn bird_comes_up_in_either_order_and_role() {
    Family::ALL.into_iter().for_each(roles::<Bird>);
}

/// A peer that was killed and started again is a new one, with another discriminator.
fn killed_and_started_again<P: BfdPeer>(family: Family) {
    let lab = lab().unwrap();
    let ours = Ours::start(lab.lb1(), &keys(&lab, family));
    let peer = P::start(lab.lb2(), &speech(&lab, family)).unwrap();
    wait_up(&ours, &peer);
    peer.process().kill_group(Signal::SIGKILL).unwrap();
    let change = ours.expect(Level::Down);
    assert_eq!(change.lost, Some(family.of(lab.lb2())));
    drop(peer);
    let peer = P::start(lab.lb2(), &speech(&lab, family)).unwrap();
    wait_up(&ours, &peer);
}

#[test]
fn a_peer_that_was_killed_is_lost_and_found() {
    killed_and_started_again::<Bird>(Family::V4);
    killed_and_started_again::<Bfdd>(Family::V6);
}

/// Over link-local addresses, between two of ours; the second one is stopped in order.
#[test]
fn two_of_ours_over_link_local_addresses() {
    let lab = lab().unwrap();
    for (node, host) in [(lab.lb1(), 1), (lab.lb2(), 2)] {
        node.run(["ip", "address", "add", &format!("fe80::b{host}/64"), "dev", "eth0", "nodad"])
            .unwrap();
    }
    let keys = |own: u8, peer: u8| {
        format!("peer: 'fe80::b{peer}', source: 'fe80::b{own}', interface: eth0, multiplier: 40")
    };
    let one = Ours::start(lab.lb1(), &keys(1, 2));
    let other = Ours::start(lab.lb2(), &keys(2, 1));
    one.expect_up();
    other.expect_up();
    one.wait("50 ms × 40", |status| status.detection_time == Some(Duration::from_secs(2)));
    other.bfd.stop();
    let change = one.expect(Level::Unknown);
    assert_eq!(change.lost, None, "an end by intent is no loss: {change:?}");
}

/// The interface is deleted and made again under its name.
#[test]
fn an_interface_that_is_made_anew_is_found() {
    let lab = lab().unwrap();
    let ours = Ours::start(lab.lb1(), &keys(&lab, Family::V4).replace("eth0", "eth9"));
    let first = ours.expect(Level::Down);
    assert_eq!(first.reading.sentence(), "the session has not come up");
    let status = ours.status();
    assert!(status.fault.unwrap().contains("there is no interface eth9"));
    lab.lb1().run(["ip", "link", "set", "eth0", "down"]).unwrap();
    lab.lb1().run(["ip", "link", "set", "eth0", "name", "eth9"]).unwrap();
    lab.lb1().run(["ip", "link", "set", "eth9", "up"]).unwrap();
    let bird = Bird::start(lab.lb2(), &speech(&lab, Family::V4)).unwrap();
    wait_up(&ours, &bird);
    assert_eq!(ours.status().fault, None);
}

/// Port 3784 has one owner: the second one is refused by name.
#[test]
fn another_program_that_speaks_bfd_is_named() {
    let lab = lab().unwrap();
    let speech = speech(&lab, Family::V4);
    let theirs = BfdSpeech { local: speech.remote, remote: speech.local, ..speech };
    let _bird = Bird::start(lab.lb1(), &theirs).unwrap();
    let text = format!("vrrp: {{trackers: {{peer: {{bfd: {{{}}}}}}}}}\n", keys(&lab, Family::V4));
    let (config, _) =
        holdfast_config::parse("test", &text, &Environment::new("lb1")).into_result().unwrap();
    let refused = lab.lb1().enter(|| Bfd::new(|_| {}).start(&config.vrrp)).unwrap();
    let error = format!("{:?}", anyhow::Error::from(refused.unwrap_err()));
    assert!(error.contains("another program of this host speaks BFD"), "{error}");
}
