//! FRR's vrrpd 8.4.4 as the other half of the pair over IPv4, in both roles: whoever of the two is better has the address, and
//! whoever is left takes over.
//!
//! ```text
//!  ┌────────┐   ┌────────────┐   ┌────────────┐
//!  │ client │   │    lb1     │   │    lb2     │     one of the directors runs holdfastd, the other one zebra and vrrpd
//!  │ listens│   │ better one │   │ other one  │     with the virtual MAC on a macvlan device; VRID 51
//!  └───┬────┘   └─────┬──────┘   └─────┬──────┘
//!  ════╧══════════════╧════════════════╧══════ br0
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::net::IpAddr;
use std::time::Duration;

use holdfast_integration::pair::{LIMIT, believed_mac, lab, wait_count};
use holdfast_integration::probes::look_for;
use holdfast_integration::watch::{Watch, longest_overlap};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Frr, Node, VIP4, wait_until};
use vrrp::AddressFamily;

/// The virtual MAC addresses of VRID 51, which FRR announces.
const VIRTUAL_MAC4: &str = "00:00:5e:00:01:33";

/// FRR's version and interval, and ours.
#[derive(Clone, Copy, Debug)]
struct Speech {
    version: u8,
    interval: Duration,
}

const VERSION_3: Speech = Speech { version: 3, interval: Duration::from_millis(500) };
const VERSION_2: Speech = Speech { version: 2, interval: Duration::from_secs(1) };

impl Speech {
    fn holdfast(&self, node: &Node, priority: u8) -> Director {
        let Self { version, interval } = self;
        let instance = format!(
            "    v4: {{interface: eth0, vrid: 51, version: {version}, interval: {}ms, \
             priority: {priority}, addresses: ['{VIP4}/24']}}\n",
            interval.as_millis()
        );
        Director::start(node, &config(&instance, "")).unwrap()
    }

    fn frr(&self, node: &Node, priority: u8) -> Frr {
        start_frr(*self, node, priority, &[VIP4.into()])
    }
}

fn start_frr(speech: Speech, node: &Node, priority: u8, addresses: &[IpAddr]) -> Frr {
    let version = format!("version {}", speech.version);
    let priority = format!("priority {priority}");
    let interval = format!("advertisement-interval {}", speech.interval.as_millis());
    Frr::start(node, 51, &[&version, &priority, &interval], addresses).unwrap()
}

fn wait_frr(frr: &Frr, family: u8, state: &str) {
    wait_until(LIMIT, &format!("FRR to be {state}"), || {
        (frr.state(family).ok()? == state).then_some(())
    })
    .map_err(|error| format!("{error:#}\n{}", frr.log_tail()))
    .unwrap();
}

/// Waits until the client believes the address to be at `mac`. It has an entry, which announcements change.
fn wait_believed(client: &Node, mac: &str) {
    wait_until(LIMIT, &format!("the client to believe in {mac}"), || {
        (believed_mac(client, VIP4.into()).ok().flatten().as_deref() == Some(mac)).then_some(())
    })
    .unwrap();
}

/// Has the client ask for the address, so that it has an entry.
fn ask(client: &Node) {
    look_for(client, VIP4.into()).unwrap();
}

fn claimed(watch: &Watch, node: &Node) -> bool {
    watch.heard().iter().any(|one| one.source == node.ip4())
}

/// Nobody claimed the address beside the other one for longer than one interval, and both did at times.
fn never_both(watch: &Watch, speech: Speech, nodes: [&Node; 2]) {
    assert!(nodes.into_iter().all(|node| claimed(watch, node)));
    let heard = watch.heard();
    let overlap = longest_overlap(&heard, speech.interval);
    assert!(overlap <= speech.interval, "both were active for {overlap:?}: {heard:#?}");
}

fn ours_is_better(speech: Speech) {
    let lab = lab().unwrap();
    let watch = Watch::start(lab.client(), AddressFamily::Ipv4).unwrap();
    let mut ours = speech.holdfast(lab.lb1(), 150);
    ours.wait_instance("v4", "active", LIMIT).unwrap();
    let frr = speech.frr(lab.lb2(), 100);
    wait_frr(&frr, 4, "Backup");
    // Ten intervals are three times what a takeover would have needed.
    wait_count(&ours, "v4", "advertisements_sent", 10).unwrap();
    wait_frr(&frr, 4, "Backup");
    assert!(!claimed(&watch, lab.lb2()), "FRR is backup and advertises");
    ask(lab.client());
    wait_believed(lab.client(), lab.lb1().mac());

    // Without a word, and back with preemption.
    ours.kill().unwrap();
    wait_frr(&frr, 4, "Master");
    wait_believed(lab.client(), VIRTUAL_MAC4);
    ours.restart().unwrap();
    ours.wait_instance("v4", "active", LIMIT).unwrap();
    wait_frr(&frr, 4, "Backup");
    wait_believed(lab.client(), lab.lb1().mac());

    // With a goodbye, and back.
    ours.stop().unwrap();
    assert!(watch.has_released(lab.lb1().ip4().into()));
    wait_frr(&frr, 4, "Master");
    wait_believed(lab.client(), VIRTUAL_MAC4);
    ours.restart().unwrap();
    ours.wait_instance("v4", "active", LIMIT).unwrap();
    wait_frr(&frr, 4, "Backup");
    wait_believed(lab.client(), lab.lb1().mac());
    never_both(&watch, speech, [lab.lb1(), lab.lb2()]);
}

fn frr_is_better(speech: Speech) {
    let lab = lab().unwrap();
    let watch = Watch::start(lab.client(), AddressFamily::Ipv4).unwrap();
    let mut frr = speech.frr(lab.lb1(), 150);
    wait_frr(&frr, 4, "Master");
    let ours = speech.holdfast(lab.lb2(), 100);
    wait_count(&ours, "v4", "advertisements_received", 10).unwrap();
    let instance = ours.instance("v4").unwrap();
    assert_eq!((instance.state.as_str(), instance.fault), ("backup", None));
    assert_eq!(instance.active, Some(lab.lb1().ip4().into()));
    let discarded = instance.counters.iter().find(|(name, _)| name.starts_with("discarded"));
    assert_eq!(discarded, None);
    assert!(!claimed(&watch, lab.lb2()), "ours is backup and advertises");
    ask(lab.client());
    wait_believed(lab.client(), VIRTUAL_MAC4);

    // Without a word, and back with preemption.
    frr.kill().unwrap();
    ours.wait_instance("v4", "active", LIMIT).unwrap();
    wait_believed(lab.client(), lab.lb2().mac());
    frr.restart().unwrap();
    ours.wait_instance("v4", "backup", LIMIT).unwrap();
    wait_frr(&frr, 4, "Master");
    wait_believed(lab.client(), VIRTUAL_MAC4);

    // With a goodbye.
    frr.stop().unwrap();
    let instance = ours.wait_instance("v4", "active", LIMIT).unwrap();
    assert_eq!(instance.reason, "active_released");
    wait_believed(lab.client(), lab.lb2().mac());
    never_both(&watch, speech, [lab.lb1(), lab.lb2()]);
}

#[test]
fn version_3_ours_is_better() {
    ours_is_better(VERSION_3);
}

#[test]
fn version_3_frr_is_better() {
    frr_is_better(VERSION_3);
}

#[test]
fn version_2_ours_is_better() {
    ours_is_better(VERSION_2);
}

#[test]
fn version_2_frr_is_better() {
    frr_is_better(VERSION_2);
}
