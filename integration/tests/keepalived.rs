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

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_integration::pair::{LIMIT, VIPS, lab, wait_believed_at};
use holdfast_integration::watch::{Watch, longest_overlap};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Keepalived, Lab, Node, VIP4, VIP6, wait_until};
use nix::sys::signal::Signal;
use vrrp::AddressFamily;

/// A protocol version and what is configured in it.
#[derive(Clone, Copy, Debug)]
struct Speech {
    version: u8,
    interval: Duration,
    vips: &'static [IpAddr],
}

const VERSION_3: Speech = Speech { version: 3, interval: Duration::from_millis(500), vips: &VIPS };
const VERSION_2: Speech =
    Speech { version: 2, interval: Duration::from_secs(1), vips: &[IpAddr::V4(VIP4)] };

impl Speech {
    /// Instances by name, family and addresses; IPv6 needs the link-local one first.
    fn instances(&self) -> impl Iterator<Item = (&'static str, AddressFamily, Vec<String>)> {
        self.vips.iter().map(|vip| match vip {
            IpAddr::V4(_) => ("v4", AddressFamily::Ipv4, vec![format!("{VIP4}/24")]),
            IpAddr::V6(_) => {
                ("v6", AddressFamily::Ipv6, vec!["fe80::33/64".to_owned(), format!("{VIP6}/64")])
            }
        })
    }

    fn holdfast(&self, priority: u8) -> String {
        let Self { version, interval, .. } = self;
        let instance = |(name, _, addresses): (&str, _, Vec<String>)| {
            let addresses = addresses.join("', '");
            format!(
                "    {name}: {{interface: eth0, vrid: 51, version: {version}, interval: {}ms, \
                 priority: {priority}, addresses: ['{addresses}']}}\n",
                interval.as_millis()
            )
        };
        config(&self.instances().map(instance).collect::<String>(), "")
    }

    fn keepalived(&self, priority: u8) -> String {
        let Self { version, interval, .. } = self;
        let instance = |(name, _, addresses): (&str, _, Vec<String>)| {
            let addresses = addresses.join("\n        ");
            format!(
                "vrrp_instance {name} {{\n    state BACKUP\n    interface eth0\n    \
                 virtual_router_id 51\n    priority {priority}\n    advert_int {}.{}\n    \
                 virtual_ipaddress {{\n        {addresses}\n    }}\n}}\n",
                interval.as_secs(),
                interval.subsec_millis() / 100
            )
        };
        let instances: String = self.instances().map(instance).collect();
        format!("global_defs {{\n    vrrp_version {version}\n}}\n{instances}")
    }

    fn holds_all(&self, node: &Node) -> bool {
        self.vips.iter().all(|vip| node.has_address(*vip).unwrap())
    }

    fn holds_none(&self, node: &Node) -> bool {
        !self.vips.iter().any(|vip| node.has_address(*vip).unwrap())
    }

    /// Waits until `to` has the addresses and the client knows it. With `alone` nobody else has them then.
    fn wait_moved(&self, lab: &Lab, to: &Node, alone: bool) {
        let other = if to.name() == "lb1" { lab.lb2() } else { lab.lb1() };
        wait_until(LIMIT, &format!("the addresses to be on {}", to.name()), || {
            (self.holds_all(to) && (!alone || self.holds_none(other))).then_some(())
        })
        .unwrap();
        // The client asks for each address once, so that it has an entry that announcements change.
        for vip in self.vips {
            drop(lab.client().try_run(["ping", "-c1", "-W1", &vip.to_string()]));
        }
        wait_believed_at(lab.client(), to, self.vips).unwrap();
    }

    fn wait_state(&self, ours: &Director, state: &str) {
        for (name, _, _) in self.instances() {
            ours.wait_instance(name, state, LIMIT).unwrap();
        }
    }

    /// Waits until `source` has advertised ten times more: longer than any takeover would have taken.
    fn wait_advertised(&self, watches: &[Watch], node: &Node) {
        for watch in watches {
            let count = || watch.heard().iter().filter(|one| is_of(one.source, node)).count();
            let goal = count() + 10;
            wait_until(LIMIT, &format!("advertisements of {}", node.name()), || {
                (count() >= goal).then_some(())
            })
            .unwrap();
        }
    }
}

/// Whether an advertisement's source is an address of this node: its IPv4 one, or the link-local one that its MAC makes.
fn is_of(source: IpAddr, node: &Node) -> bool {
    match source {
        IpAddr::V4(v4) => v4 == node.ip4(),
        IpAddr::V6(v6) => {
            let last = u16::from_str_radix(node.mac().rsplit(':').next().unwrap(), 16).unwrap();
            v6.segments()[7] & 0xff == last
        }
    }
}

fn watches(lab: &Lab, speech: &Speech) -> Vec<Watch> {
    speech.instances().map(|(_, family, _)| Watch::start(lab.client(), family).unwrap()).collect()
}

/// Nobody claimed the addresses beside somebody else for longer than one interval, and both did at times.
fn never_both(watches: &[Watch], speech: &Speech) {
    for watch in watches {
        let heard = watch.heard();
        let mut sources: Vec<IpAddr> = heard.iter().map(|one| one.source).collect();
        sources.sort();
        sources.dedup();
        assert_eq!(sources.len(), 2, "{sources:?}");
        let overlap = longest_overlap(&heard, speech.interval);
        assert!(overlap <= speech.interval, "both were active for {overlap:?}: {heard:#?}");
    }
}

fn ours_is_better(speech: &Speech) {
    let lab = lab().unwrap();
    let watches = watches(&lab, speech);
    let mut ours = Director::start(lab.lb1(), &speech.holdfast(150)).unwrap();
    speech.wait_state(&ours, "active");
    let peer = Keepalived::start(lab.lb2(), &speech.keepalived(100)).unwrap();

    speech.wait_moved(&lab, lab.lb1(), true);
    speech.wait_advertised(&watches, lab.lb1());
    assert!(speech.holds_none(lab.lb2()), "keepalived is backup");
    never_claimed(&watches, lab.lb2());

    // Without a word, and back with preemption.
    ours.kill().unwrap();
    speech.wait_moved(&lab, lab.lb2(), false);
    ours.restart().unwrap();
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb1(), true);

    // With a goodbye, and back.
    ours.stop().unwrap();
    speech.wait_moved(&lab, lab.lb2(), true);
    for watch in &watches {
        let released =
            watch.heard().iter().any(|one| one.priority == 0 && is_of(one.source, lab.lb1()));
        assert!(released, "no goodbye");
    }
    ours.restart().unwrap();
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb1(), true);

    // The backup goes and comes: nothing changes.
    let transitions = |ours: &Director| -> u64 {
        ours.status().unwrap().vrrp.iter().map(|instance| instance.transitions).sum()
    };
    let before = transitions(&ours);
    peer.stop().unwrap();
    let _peer = Keepalived::start(lab.lb2(), &speech.keepalived(100)).unwrap();
    speech.wait_advertised(&watches, lab.lb1());
    assert_eq!(transitions(&ours), before);
    never_both(&watches, speech);
}

fn keepalived_is_better(speech: &Speech) {
    let lab = lab().unwrap();
    let watches = watches(&lab, speech);
    let peer = Keepalived::start(lab.lb1(), &speech.keepalived(150)).unwrap();
    speech.wait_moved(&lab, lab.lb1(), true);
    let mut ours = Director::start(lab.lb2(), &speech.holdfast(100)).unwrap();

    speech.wait_advertised(&watches, lab.lb1());
    for (name, _, _) in speech.instances() {
        let instance = ours.instance(name).unwrap();
        assert_eq!((instance.state.as_str(), instance.fault), ("backup", None), "{name}");
        assert!(is_of(instance.active.unwrap(), lab.lb1()), "{name} knows who is active");
        let discarded = instance.counters.iter().find(|(name, _)| name.starts_with("discarded"));
        assert_eq!(discarded, None, "{name}");
    }
    never_claimed(&watches, lab.lb2());

    // Without a word, and back with preemption.
    peer.process().kill_group(Signal::SIGKILL).unwrap();
    drop(peer);
    speech.wait_state(&ours, "active");
    speech.wait_moved(&lab, lab.lb2(), false);
    let peer = Keepalived::start(lab.lb1(), &speech.keepalived(150)).unwrap();
    speech.wait_state(&ours, "backup");
    speech.wait_moved(&lab, lab.lb1(), true);

    // With a goodbye, and back.
    peer.stop().unwrap();
    speech.wait_moved(&lab, lab.lb2(), true);
    for (name, _, _) in speech.instances() {
        assert_eq!(ours.instance(name).unwrap().reason, "active_released", "{name}");
    }
    let _peer = Keepalived::start(lab.lb1(), &speech.keepalived(150)).unwrap();
    speech.wait_state(&ours, "backup");
    speech.wait_moved(&lab, lab.lb1(), true);

    // The backup goes and comes: nothing changes.
    ours.stop().unwrap();
    ours.restart().unwrap();
    speech.wait_advertised(&watches, lab.lb1());
    speech.wait_state(&ours, "backup");
    assert!(speech.holds_all(lab.lb1()) && speech.holds_none(lab.lb2()));
    never_both(&watches, speech);
}

/// Nothing was heard of this node.
fn never_claimed(watches: &[Watch], node: &Node) {
    for watch in watches {
        let claim = watch.heard().into_iter().find(|one| is_of(one.source, node));
        assert_eq!(claim, None, "{} is backup and advertises", node.name());
    }
}

#[test]
fn version_3_ours_is_better_in_both_families() {
    ours_is_better(&VERSION_3);
}

#[test]
fn version_3_keepalived_is_better_in_both_families() {
    keepalived_is_better(&VERSION_3);
}

#[test]
fn version_2_ours_is_better() {
    ours_is_better(&VERSION_2);
}

#[test]
fn version_2_keepalived_is_better() {
    keepalived_is_better(&VERSION_2);
}

/// At equal priority and a healed split the higher address wins, whoever has it.
#[test]
fn of_two_actives_of_equal_priority_the_higher_address_wins() {
    for ours_on_lb1 in [true, false] {
        let lab = lab().unwrap();
        let (ours_on, peer_on) =
            if ours_on_lb1 { (lab.lb1(), lab.lb2()) } else { (lab.lb2(), lab.lb1()) };
        lab.isolate(&[lab.lb1(), lab.lb2()]).unwrap();
        let ours = Director::start(ours_on, &VERSION_3.holdfast(100)).unwrap();
        let _peer = Keepalived::start(peer_on, &VERSION_3.keepalived(100)).unwrap();
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
