//! Everything that a neighbour can throw at a running pair: it changes counters, each by its own name, and nothing else.
//!
//! ```text
//!  ┌────────┐   ┌─────────────────────┐   ┌─────────────────────┐
//!  │ client │   │ lb1  active         │   │ lb2  backup         │     v4, v6: VRID 51, version 3
//!  │ throws │   │      priority 150   │   │      priority 100   │     v2:     VRID 61, version 2
//!  └───┬────┘   └──────────┬──────────┘   └──────────┬──────────┘     what is thrown claims priority 200: it would win
//!  ════╧═══════════════════╧═════════════════════════╧════ br0
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]
#![expect(clippy::indexing_slicing, reason = "packets of known length are made here")]

mod packets;
mod thrower;

use std::collections::BTreeMap;

use holdfast_control::Instance;
use holdfast_integration::pair::{LIMIT, VIPS, holds_none, lab, wait_counted};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, VIP4, VIP6, wait_until};
use packets::{CAPTURED, LB1_6, LINK_LOCAL_VIP, Numbers, Packet, hex, rule_breakers};
use thrower::Thrower;
use vrrp::AddressFamily;

/// So many packets are thrown before their counters are waited for: the daemons' sockets hold them, whatever their sizes.
const AT_ONCE: usize = 20;

/// So many packets without a plan.
const RANDOM: u64 = 3000;

/// The pair, with an instance of version 2 besides.
#[derive(Debug)]
struct Target {
    lb1: Director,
    lb2: Director,
    lab: Lab,
}

impl Target {
    fn start() -> Self {
        let lab = lab().unwrap();
        let per_node = "per_node: {lb1: {priority: 150}, lb2: {priority: 100}}";
        let instances = format!(
            "    v4: {{interface: eth0, vrid: 51, interval: 500ms, addresses: [{VIP4}/24], {per_node}}}\n    \
             v6: {{interface: eth0, vrid: 51, interval: 500ms, addresses: ['{LINK_LOCAL_VIP}/64', '{VIP6}/64'], {per_node}}}\n    \
             v2: {{interface: eth0, vrid: 61, version: 2, addresses: [10.77.0.13/24], {per_node}}}\n"
        );
        let lb1 = Director::start(lab.lb1(), &config(&instances, "")).unwrap();
        for name in ["v4", "v6", "v2"] {
            lb1.wait_instance(name, "active", LIMIT).unwrap();
        }
        let lb2 = Director::start(lab.lb2(), &config(&instances, "")).unwrap();
        let target = Self { lb1, lb2, lab };
        wait_counted(&target.lb2, "advertisements_received", 1).unwrap();
        target.is_unmoved();
        target
    }

    /// States, addresses and processes are as at the start: nobody has changed its state even for a moment.
    fn is_unmoved(&self) {
        for (director, state, transitions) in [(&self.lb1, "active", 2), (&self.lb2, "backup", 1)] {
            let instances = shown(director);
            assert_eq!(instances.len(), 3);
            for Instance { name, state: is, transitions: made, fault, .. } in instances {
                let on = director.node().name();
                assert_eq!(
                    (is.as_str(), made, fault),
                    (state, transitions, None),
                    "{name} on {on}"
                );
            }
            let log = director.process().log();
            assert!(!log.contains("panic"), "{}", director.process().log_tail());
        }
        for vip in VIPS {
            assert!(self.lab.lb1().has_address(vip).unwrap(), "lb1 has lost {vip}");
        }
        assert!(holds_none(self.lab.lb2()).unwrap(), "lb2 has a virtual address");
    }

    /// Waits until both daemons have counted so many packets in all.
    fn wait_all_counted(&self, expected: u64) {
        for director in [&self.lb1, &self.lb2] {
            let mut found = 0;
            let counted = wait_until(LIMIT, "every packet to be counted", || {
                // v2 shares v4's socket and shows its strays again.
                let counts = discarded(director.status().ok()?.vrrp).into_iter();
                let own = counts.filter(|((name, counter), _)| {
                    name != "v2" || counter.starts_with("discarded_")
                });
                found = own.map(|(_, count)| count).sum::<u64>();
                (found == expected).then_some(())
            });
            let on = director.node().name();
            counted.unwrap_or_else(|error| panic!("{error} on {on}: {found} of {expected}"));
        }
    }

    /// Waits until both daemons have counted exactly this.
    fn wait_counted(&self, expected: &BTreeMap<(String, String), u64>) {
        for director in [&self.lb1, &self.lb2] {
            let mut found = BTreeMap::new();
            let counted = wait_until(LIMIT, "every packet to be counted", || {
                found = discards(director);
                (found == *expected).then_some(())
            });
            if counted.is_err() {
                assert_eq!(&found, expected, "on {}", director.node().name());
            }
        }
    }
}

/// What `holdfast vrrp status -o json` shows.
fn shown(director: &Director) -> Vec<Instance> {
    let json = director.cli(&["vrrp", "status", "-o", "json"]).unwrap();
    serde_json::from_str(&json).unwrap()
}

/// The counters of discarded packets, by instance and name.
fn discards(director: &Director) -> BTreeMap<(String, String), u64> {
    discarded(shown(director))
}

fn discarded(instances: Vec<Instance>) -> BTreeMap<(String, String), u64> {
    let of = |instance: Instance| {
        let counters = instance.counters.into_iter();
        let discards = counters
            .filter(|(name, _)| name.starts_with("discarded_") || name.starts_with("stray_"));
        discards.map(move |(name, count)| ((instance.name.clone(), name), count))
    };
    instances.into_iter().flat_map(of).collect()
}

/// Adds one packet to what is expected: a stray is counted at every instance that shares the socket.
fn expect(
    expected: &mut BTreeMap<(String, String), u64>,
    family: AddressFamily,
    name: &str,
    counter: &str,
) {
    let names = match (counter.starts_with("stray_"), family) {
        (true, AddressFamily::Ipv4) => vec!["v4", "v2"],
        (true, AddressFamily::Ipv6) => vec!["v6"],
        (false, _) => vec![name],
    };
    for name in names {
        *expected.entry((name.to_owned(), counter.to_owned())).or_default() += 1;
    }
}

/// R9, and every rule of the receive ladder that a packet from the wire can break.
#[test]
fn what_breaks_a_rule_is_counted_by_its_name_and_changes_nothing_else() {
    let target = Target::start();
    let thrower = Thrower::on(target.lab.client());
    let mut expected = BTreeMap::new();
    for packets in rule_breakers().chunks(AT_ONCE) {
        for (packet, name, counter) in packets {
            thrower.throw(packet);
            expect(&mut expected, packet.family, name, counter);
        }
        target.wait_counted(&expected);
    }
    for (family, bytes) in CAPTURED {
        let packet = Packet { family, hop_limit: 255, bytes: hex(bytes) };
        thrower.throw(&packet);
        let is_ours = packet.bytes[1] == 51;
        let counter = if is_ours { "discarded_version" } else { "stray_unknown_vrid" };
        expect(&mut expected, family, "v4", counter);
    }
    target.wait_counted(&expected);
    target.is_unmoved();
}

/// A clone of the active node, or its own packet come back: lb1 must not answer itself.
#[test]
fn a_packet_from_our_own_address_is_counted_and_not_answered() {
    let target = Target::start();
    let thrower = Thrower::on(target.lab.client());
    let mut packet = Packet::v3(AddressFamily::Ipv6);
    packet.bytes[2] = 150;
    // The sum with the other source: both addresses differ in the last word only.
    let sum = u16::from_be_bytes([packet.bytes[6], packet.bytes[7]]);
    let sum = i32::from(sum) + (200 - 150) * 256 - (0x11 - 0x01);
    let sum = u16::try_from(sum.rem_euclid(0xffff)).unwrap();
    packet.bytes[6..8].copy_from_slice(&sum.to_be_bytes());
    thrower.throw_from(LB1_6, &packet.bytes);
    let expected = BTreeMap::from([(("v6".to_owned(), "discarded_own_source".to_owned()), 1)]);
    wait_until(LIMIT, "lb1 to count its own packet", || {
        (discards(&target.lb1) == expected).then_some(())
    })
    .unwrap();
    assert_eq!(discards(&target.lb2), BTreeMap::new(), "to lb2 it is like any other of lb1's");
    target.is_unmoved();
}

/// Bytes without a plan, and advertisements with a few bits changed.
#[test]
fn random_bytes_change_nothing() {
    let target = Target::start();
    let thrower = Thrower::on(target.lab.client());
    let mut numbers = Numbers(0x5eed_0051_2026_1121);
    let good = [Packet::v3(AddressFamily::Ipv4), Packet::v3(AddressFamily::Ipv6), Packet::v2()];
    for round in 0..RANDOM {
        let mut packet = good[usize::try_from(round).unwrap() % 3].clone();
        if numbers.below(2) == 0 {
            let length = numbers.below(300);
            packet.bytes = (0..length).map(|_| numbers.byte()).collect();
        } else {
            // One byte: two could undo each other's effect on the checksum.
            let at = numbers.below(packet.bytes.len());
            packet.bytes[at] ^= 1 << numbers.below(8);
        }
        thrower.throw(&packet);
        // Not more than a daemon that has no processor for a moment finds in its sockets' queues.
        if (round + 1).is_multiple_of(100) {
            target.wait_all_counted(round + 1);
        }
    }
    target.wait_all_counted(RANDOM);
    target.is_unmoved();
}

/// Many at once: what the daemon can't read in time the kernel drops, and the pair keeps its roles.
#[test]
fn a_flood_changes_nothing() {
    let target = Target::start();
    let thrower = Thrower::on(target.lab.client());
    let mut flood = Vec::new();
    for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
        let good = Packet::v3(family);
        let mut wrong_sum = good.clone();
        wrong_sum.bytes[7] ^= 1;
        flood.extend([wrong_sum, good.with(1, &[99]), good.with(0, &[0x32]), good.long(1400)]);
    }
    let throw = |rounds: usize| {
        for _ in 0..rounds {
            flood.iter().for_each(|packet| thrower.throw(packet));
        }
    };
    throw(5000);
    // A daemon that had no processor has seen little of it: it goes on until each has seen enough.
    for director in [&target.lb1, &target.lb2] {
        wait_until(LIMIT, "a thousand of each", || {
            let counts = discards(director);
            // Four of each family, and v4's strays again in v2.
            let enough = counts.len() >= 9 && counts.values().all(|count| *count > 1000);
            if !enough {
                throw(100);
            }
            enough.then_some(())
        })
        .unwrap();
    }
    // Afterwards as before: lb2 hears lb1.
    wait_counted(&target.lb2, "advertisements_received", 3).unwrap();
    target.is_unmoved();
}
