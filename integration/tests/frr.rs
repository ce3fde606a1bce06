//! FRR's vrrpd 8.4.4 as the other half of the pair, in both roles: whoever of the two is better has the address, and whoever is left
//! takes over.
//!
//! ```text
//!  ┌────────┐   ┌────────────┐   ┌────────────┐
//!  │ client │   │    lb1     │   │    lb2     │     one of the directors runs holdfastd, the other one zebra and vrrpd
//!  │ listens│   │ better one │   │ other one  │     with the virtual MAC on a macvlan device; VRID 51
//!  └───┬────┘   └─────┬──────┘   └─────┬──────┘
//!  ════╧══════════════╧════════════════╧══════ br0
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]
#![expect(clippy::print_stderr, reason = "what a client lost is a figure worth reading")]

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use holdfast_integration::pair::{LIMIT, believed_mac, counter, lab, wait_count};
use holdfast_integration::probes::{Echo, Questions, look_for};
use holdfast_integration::watch::{Watch, longest_overlap};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Frr, Node, VIP4, VIP6, wait_until};
use vrrp::AddressFamily;

/// The address that advertisements and IPv6 addresses of a virtual router begin with.
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x33);

/// FRR's version, interval and address, and ours.
#[derive(Clone, Copy, Debug)]
struct Speech {
    version: u8,
    interval: Duration,
    preempt: bool,
    vip: IpAddr,
}

const VERSION_3: Speech = Speech {
    version: 3,
    interval: Duration::from_millis(200),
    preempt: true,
    vip: IpAddr::V4(VIP4),
};
const VERSION_3_IPV6: Speech = Speech { vip: IpAddr::V6(VIP6), ..VERSION_3 };
const VERSION_2: Speech = Speech { version: 2, interval: Duration::from_secs(1), ..VERSION_3 };

impl Speech {
    const fn family(&self) -> u8 {
        if self.vip.is_ipv4() { 4 } else { 6 }
    }

    /// The virtual MAC address of VRID 51, which FRR announces.
    const fn virtual_mac(&self) -> &'static str {
        if self.vip.is_ipv4() { "00:00:5e:00:01:33" } else { "00:00:5e:00:02:33" }
    }

    /// What FRR advertises from: over IPv6 the link-local address that the virtual MAC address makes (RFC 4291, appendix A).
    fn frr_source(&self, node: &Node) -> IpAddr {
        match self.vip {
            IpAddr::V4(_) => node.ip4().into(),
            IpAddr::V6(_) => "fe80::200:5eff:fe00:233".parse().unwrap(),
        }
    }

    /// What ours advertises from.
    fn our_source(&self, node: &Node) -> IpAddr {
        match (self.vip, node.name()) {
            (IpAddr::V4(_), _) => node.ip4().into(),
            (IpAddr::V6(_), "lb1") => "fe80::ff:fe77:11".parse().unwrap(),
            (IpAddr::V6(_), _) => "fe80::ff:fe77:12".parse().unwrap(),
        }
    }

    fn watch(&self, node: &Node) -> Watch {
        let family = if self.vip.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
        Watch::start(node, family).unwrap()
    }

    fn holdfast(&self, node: &Node, priority: u8) -> Director {
        self.holdfast_with(node, priority, "down_adverts: 3")
    }

    /// With a further key.
    fn holdfast_with(&self, node: &Node, priority: u8, key: &str) -> Director {
        let Self { version, interval, preempt, vip } = self;
        let addresses = match vip {
            IpAddr::V4(_) => format!("'{vip}/24'"),
            IpAddr::V6(_) => format!("'{LINK_LOCAL}/64', '{vip}/64'"),
        };
        let instance = format!(
            "    edge: {{interface: eth0, vrid: 51, version: {version}, interval: {}ms, \
             priority: {priority}, preempt: {preempt}, addresses: [{addresses}], {key}}}\n",
            interval.as_millis()
        );
        Director::start(node, &config(&instance, "")).unwrap()
    }

    fn frr(&self, node: &Node, priority: u8) -> Frr {
        match self.vip {
            IpAddr::V4(_) => start_frr(*self, node, priority, &[self.vip]),
            IpAddr::V6(_) => start_frr(*self, node, priority, &[LINK_LOCAL.into(), self.vip]),
        }
    }

    /// Waits until FRR is `Master`, `Backup`.
    fn wait_frr(&self, frr: &Frr, state: &str) {
        wait_until(LIMIT, &format!("FRR to be {state}"), || {
            (frr.state(self.family()).ok()? == state).then_some(())
        })
        .map_err(|error| format!("{error:#}\n{:?}\n{}", frr.show(), frr.log_tail()))
        .unwrap();
    }

    /// Waits until the client believes the address to be at `mac`. It has an entry, which announcements change.
    fn wait_believed(&self, client: &Node, mac: &str) {
        wait_until(LIMIT, &format!("the client to believe in {mac}"), || {
            (believed_mac(client, self.vip).ok().flatten().as_deref() == Some(mac)).then_some(())
        })
        .unwrap();
    }

    /// Has the client ask for the address, so that it has an entry.
    fn ask(&self, client: &Node) {
        look_for(client, self.vip).unwrap();
    }

    /// Nobody claimed the address beside the other one for longer than one interval, and both did at times.
    fn never_both(&self, watch: &Watch, sources: [IpAddr; 2]) {
        assert!(sources.into_iter().all(|source| claimed(watch, source)));
        let heard = watch.heard();
        let overlap = longest_overlap(&heard, self.interval);
        assert!(overlap <= self.interval, "both were active for {overlap:?}: {heard:#?}");
    }
}

fn start_frr(speech: Speech, node: &Node, priority: u8, addresses: &[IpAddr]) -> Frr {
    let version = format!("version {}", speech.version);
    let priority = format!("priority {priority}");
    let interval = format!("advertisement-interval {}", speech.interval.as_millis());
    let preempt = if speech.preempt { "preempt" } else { "no preempt" };
    Frr::start(node, 51, &[&version, &priority, &interval, preempt], addresses).unwrap()
}

fn claimed(watch: &Watch, source: IpAddr) -> bool {
    watch.heard().iter().any(|one| one.source == source)
}

fn ours_is_better(speech: Speech) {
    let lab = lab().unwrap();
    let watch = speech.watch(lab.client());
    let mut ours = speech.holdfast(lab.lb1(), 150);
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    let frr = speech.frr(lab.lb2(), 100);
    speech.wait_frr(&frr, "Backup");
    // Longer than any takeover would have taken, which is four intervals.
    wait_count(&ours, "edge", "advertisements_sent", 6).unwrap();
    speech.wait_frr(&frr, "Backup");
    assert!(!claimed(&watch, speech.frr_source(lab.lb2())), "FRR is backup and advertises");
    speech.ask(lab.client());
    speech.wait_believed(lab.client(), lab.lb1().mac());

    // Without a word, and back with preemption.
    ours.kill().unwrap();
    speech.wait_frr(&frr, "Master");
    speech.wait_believed(lab.client(), speech.virtual_mac());
    ours.restart().unwrap();
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    speech.wait_frr(&frr, "Backup");
    speech.wait_believed(lab.client(), lab.lb1().mac());

    // With a goodbye, and back.
    ours.stop().unwrap();
    watch.wait_released(speech.our_source(lab.lb1())).unwrap();
    speech.wait_frr(&frr, "Master");
    speech.wait_believed(lab.client(), speech.virtual_mac());
    ours.restart().unwrap();
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    speech.wait_frr(&frr, "Backup");
    speech.wait_believed(lab.client(), lab.lb1().mac());
    let sources = [speech.our_source(lab.lb1()), speech.frr_source(lab.lb2())];
    speech.never_both(&watch, sources);
}

fn frr_is_better(speech: Speech) {
    let lab = lab().unwrap();
    let watch = speech.watch(lab.client());
    let mut frr = speech.frr(lab.lb1(), 150);
    speech.wait_frr(&frr, "Master");
    let ours = speech.holdfast(lab.lb2(), 100);
    wait_count(&ours, "edge", "advertisements_received", 6).unwrap();
    let instance = ours.instance("edge").unwrap();
    assert_eq!((instance.state.as_str(), instance.fault), ("backup", None));
    assert_eq!(instance.active, Some(speech.frr_source(lab.lb1())));
    let discarded = instance.counters.iter().find(|(name, _)| name.starts_with("discarded"));
    assert_eq!(discarded, None);
    assert!(!claimed(&watch, speech.our_source(lab.lb2())), "ours is backup and advertises");
    speech.ask(lab.client());
    speech.wait_believed(lab.client(), speech.virtual_mac());

    // Without a word, and back with preemption.
    frr.kill().unwrap();
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    speech.wait_believed(lab.client(), lab.lb2().mac());
    frr.restart().unwrap();
    ours.wait_instance("edge", "backup", LIMIT).unwrap();
    speech.wait_frr(&frr, "Master");
    speech.wait_believed(lab.client(), speech.virtual_mac());

    // With a goodbye.
    frr.stop().unwrap();
    let instance = ours.wait_instance("edge", "active", LIMIT).unwrap();
    assert_eq!(instance.reason, "active_released");
    speech.wait_believed(lab.client(), lab.lb2().mac());
    let sources = [speech.frr_source(lab.lb1()), speech.our_source(lab.lb2())];
    speech.never_both(&watch, sources);
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
fn version_3_ipv6_ours_is_better() {
    ours_is_better(VERSION_3_IPV6);
}

#[test]
fn version_3_ipv6_frr_is_better() {
    frr_is_better(VERSION_3_IPV6);
}

#[test]
fn version_2_ours_is_better() {
    ours_is_better(VERSION_2);
}

#[test]
fn version_2_frr_is_better() {
    frr_is_better(VERSION_2);
}

/// Who comes back is Backup of whoever has the address, though it is the better one: in both roles.
fn nobody_takes_over_from_the_living(speech: Speech) {
    let lab = lab().unwrap();
    let watch = speech.watch(lab.client());
    let mut ours = speech.holdfast(lab.lb1(), 150);
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    let mut frr = speech.frr(lab.lb2(), 200);
    wait_count(&ours, "edge", "advertisements_sent", 6).unwrap();
    speech.wait_frr(&frr, "Backup");
    assert!(!claimed(&watch, speech.frr_source(lab.lb2())), "FRR is backup and advertises");

    // Each dies, is taken over from, and comes back as the other one's Backup.
    speech.ask(lab.client());
    ours.kill().unwrap();
    speech.wait_frr(&frr, "Master");
    speech.wait_believed(lab.client(), speech.virtual_mac());
    ours.restart().unwrap();
    wait_count(&ours, "edge", "advertisements_received", 6).unwrap();
    assert_eq!(ours.instance("edge").unwrap().state, "backup");
    speech.wait_frr(&frr, "Master");
    frr.kill().unwrap();
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    speech.wait_believed(lab.client(), lab.lb1().mac());
    frr.restart().unwrap();
    wait_count(&ours, "edge", "advertisements_sent", 6).unwrap();
    speech.wait_frr(&frr, "Backup");
    assert_eq!(ours.instance("edge").unwrap().state, "active");
    speech.never_both(&watch, [speech.our_source(lab.lb1()), speech.frr_source(lab.lb2())]);
    ours.stop().unwrap();
    drop(frr);

    // Ours is the better one that comes.
    let lab = self::lab().unwrap();
    let frr = speech.frr(lab.lb2(), 100);
    speech.wait_frr(&frr, "Master");
    let ours = speech.holdfast(lab.lb1(), 150);
    wait_count(&ours, "edge", "advertisements_received", 6).unwrap();
    assert_eq!(ours.instance("edge").unwrap().state, "backup");
    speech.wait_frr(&frr, "Master");
}

#[test]
fn version_3_without_preemption_who_is_active_stays_so() {
    nobody_takes_over_from_the_living(Speech { preempt: false, ..VERSION_3 });
}

#[test]
fn version_3_ipv6_without_preemption_who_is_active_stays_so() {
    nobody_takes_over_from_the_living(Speech { preempt: false, ..VERSION_3_IPV6 });
}

#[test]
fn version_2_without_preemption_who_is_active_stays_so() {
    nobody_takes_over_from_the_living(Speech { preempt: false, ..VERSION_2 });
}

/// The operator gives the role to FRR and takes it back, FRR dies in between, and ours is told that it may come back of itself.
fn gives_the_role_away(speech: Speech) {
    let lab = lab().unwrap();
    let watch = speech.watch(lab.client());
    let ours = speech.holdfast(lab.lb1(), 150);
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    let mut frr = speech.frr(lab.lb2(), 100);
    speech.wait_frr(&frr, "Backup");
    speech.ask(lab.client());
    speech.wait_believed(lab.client(), lab.lb1().mac());

    ours.cli(&["vrrp", "release", "edge", "--wait", "20s"]).unwrap();
    speech.wait_frr(&frr, "Master");
    watch.wait_released(speech.our_source(lab.lb1())).unwrap();
    speech.wait_believed(lab.client(), speech.virtual_mac());
    wait_count(&ours, "edge", "advertisements_received", 6).unwrap();
    let instance = ours.instance("edge").unwrap();
    assert_eq!((instance.state.as_str(), instance.released), ("backup", true));
    assert_eq!((instance.priority, instance.base_priority), (1, 150));

    // A released one is the last choice, and one all the same.
    frr.kill().unwrap();
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    speech.wait_believed(lab.client(), lab.lb1().mac());
    frr.restart().unwrap();
    speech.wait_frr(&frr, "Master");
    ours.wait_instance("edge", "backup", LIMIT).unwrap();
    ours.cli(&["vrrp", "resume", "edge", "--wait", "20s"]).unwrap();
    speech.wait_frr(&frr, "Backup");
    speech.wait_believed(lab.client(), lab.lb1().mac());

    // For once: FRR may keep the role.
    ours.cli(&["vrrp", "failover", "edge", "--wait", "20s"]).unwrap();
    speech.wait_frr(&frr, "Master");
    speech.wait_believed(lab.client(), speech.virtual_mac());
    let instance = ours.wait_instance("edge", "backup", LIMIT).unwrap();
    assert!(!instance.released, "{instance:?}");
    frr.stop().unwrap();
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    speech.wait_believed(lab.client(), lab.lb1().mac());
    speech.never_both(&watch, [speech.our_source(lab.lb1()), speech.frr_source(lab.lb2())]);
}

#[test]
fn version_3_release_resume_and_failover() {
    gives_the_role_away(VERSION_3);
}

#[test]
fn version_3_ipv6_release_resume_and_failover() {
    gives_the_role_away(VERSION_3_IPV6);
}

#[test]
fn version_2_release_resume_and_failover() {
    gives_the_role_away(VERSION_2);
}

/// FRR 8.4.4 takes no checksum of version 3 over IPv4 but the one with the pseudo-header, and has no key for the other form. Who sends
/// that to it gets a second Active, and says so; with `auto` there is one.
#[test]
fn a_checksum_that_frr_does_not_take_makes_two_actives_and_is_reported() {
    let speech = VERSION_3;
    let lab = lab().unwrap();
    let mut ours = speech.holdfast_with(lab.lb1(), 150, "checksum: rfc9568");
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    let frr = speech.frr(lab.lb2(), 100);
    speech.wait_frr(&frr, "Master");
    wait_count(&ours, "edge", "lower_priority_heard", 6).unwrap();
    let instance = ours.instance("edge").unwrap();
    assert_eq!(instance.state, "active");
    let [peer] = &instance.peers[..] else { panic!("{instance:?}") };
    assert_eq!((peer.address, peer.priority), (lab.lb2().ip4().into(), 100));
    assert_eq!(peer.checksum, "pseudo-header");
    assert!(counter(&ours, "edge", "dual_actives").unwrap() > 0, "{instance:?}");
    let log = ours.process().log();
    assert!(log.contains("other=10.77.0.12 other_priority=100"), "{log}");
    speech.wait_frr(&frr, "Master");

    ours.stop().unwrap();
    let ours = speech.holdfast_with(lab.lb1(), 150, "checksum: auto");
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    speech.wait_frr(&frr, "Backup");
    assert_eq!(ours.instance("edge").unwrap().peers[0].checksum, "pseudo-header");
}

/// Make before break: the client asks all the while that ours stops.
fn keeps_answering(speech: Speech) {
    let speech = Speech { interval: Duration::from_secs(1), ..speech };
    let lab = lab().unwrap();
    let mut ours = speech.holdfast(lab.lb1(), 150);
    ours.wait_instance("edge", "active", LIMIT).unwrap();
    let frr = speech.frr(lab.lb2(), 100);
    speech.wait_frr(&frr, "Backup");
    wait_count(&ours, "edge", "advertisements_sent", 5).unwrap();
    let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
    let pace = Duration::from_millis(5);
    let questions = Questions::start(lab.client(), speech.vip, pace).unwrap();
    ours.stop().unwrap();
    speech.wait_frr(&frr, "Master");
    speech.wait_believed(lab.client(), speech.virtual_mac());
    questions.wait_answered_by(lab.lb2(), 100).unwrap();
    let answers = questions.end();
    let (lost, gap) = (answers.lost(), answers.longest_gap());
    eprintln!("{} of {} lost, the largest gap {gap:?}", lost.len(), answers.asked());
    assert!(answers.by(lab.lb1()) > 0 && answers.by(lab.lb2()) > 0);
    // Skew_Time alone is 0.6 s. What may be lost is what is on its way while FRR takes its device up.
    assert!(gap < speech.interval / 2, "{gap:?}, lost {lost:?}");
}

#[test]
fn d1_d2_a_stop_keeps_answering_until_frr_does() {
    keeps_answering(VERSION_3);
}

#[test]
fn d1_d2_a_stop_keeps_answering_over_ipv6_until_frr_does() {
    keeps_answering(VERSION_3_IPV6);
}
