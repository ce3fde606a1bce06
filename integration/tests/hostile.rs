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

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use holdfast_control::Instance;
use holdfast_integration::pair::{LIMIT, VIPS, holds_none, lab, wait_counted};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Node, VIP4, VIP6, wait_until};
use socket2::{Domain, Protocol, Socket, Type};
use vrrp::AddressFamily;

const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
const LINK_LOCAL_VIP: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x33);

/// The client's link-local address, by its MAC address 02:00:00:77:00:01.
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe77, 1);
/// lb1's.
const LB1_6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe77, 0x11);

/// VRRP's protocol number, in IP headers and for raw sockets.
const PROTOCOL: u8 = 112;

/// So many packets are thrown before their counters are waited for: the daemons' sockets hold them, whatever their sizes.
const AT_ONCE: usize = 20;

/// So many packets without a plan.
const RANDOM: u64 = 3000;

/// Seen on real networks or published with the protocol; all of VRIDs that the pair does not have, but for one: version 2 with
/// the VRID of our version 3.
const CAPTURED: [(AddressFamily, &str); 12] = [
    (AddressFamily::Ipv4, "310a64010064a88ec0000201"),
    (AddressFamily::Ipv4, "310a640100640504c0000201"),
    (AddressFamily::Ipv4, "310a000100640c8fc0000201"),
    (AddressFamily::Ipv4, "310a000100646904c0000201"),
    (AddressFamily::Ipv4, "210a64010001b8f1c00002010000000000000000"),
    (AddressFamily::Ipv4, "3101c801000a1048c0a8ca64"),
    (AddressFamily::Ipv4, "3158c60100649c190ac34ce3"),
    (AddressFamily::Ipv4, "311e640103e88751c0a81efe"),
    (AddressFamily::Ipv4, "312cbf0203e8b3c60a042c640a042cc8"),
    (AddressFamily::Ipv4, "21331e010001b5c50a0001050000000000000000"),
    (
        AddressFamily::Ipv6,
        "310a640200643f5dfe80000000000000000000000000000120010db8000000000000000000000001",
    ),
    (AddressFamily::Ipv6, "3124690103e82f1cfe800000000000000000000000003636"),
];

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

/// A packet in the making: an advertisement of priority 200 that the pair would believe, until something is done to it.
#[derive(Clone, Debug)]
struct Packet {
    family: AddressFamily,
    hop_limit: u32,
    bytes: Vec<u8>,
}

impl Packet {
    fn v3(family: AddressFamily) -> Self {
        let mut bytes = vec![0x31, 51, 200, 1, 0, 50, 0, 0];
        match family {
            AddressFamily::Ipv4 => bytes.extend(VIP4.octets()),
            AddressFamily::Ipv6 => {
                bytes[3] = 2;
                bytes.extend(LINK_LOCAL_VIP.octets());
                bytes.extend(VIP6.octets());
            }
        }
        Self { family, hop_limit: 255, bytes }.summed()
    }

    fn v2() -> Self {
        let mut bytes = vec![0x21, 61, 200, 1, 0, 1, 0, 0, 10, 77, 0, 13];
        bytes.extend([0; 8]);
        Self { family: AddressFamily::Ipv4, hop_limit: 255, bytes }.summed()
    }

    /// The same with other bytes from `at` on, and the checksum right again.
    fn with(&self, at: usize, bytes: &[u8]) -> Self {
        let mut changed = self.clone();
        changed.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        changed.summed()
    }

    /// The same with another length, filled up with zeros, and the checksum right again.
    fn long(&self, length: usize) -> Self {
        let mut changed = self.clone();
        changed.bytes.resize(length, 0);
        if length < 8 { changed } else { changed.summed() }
    }

    fn hop_limit(&self, hop_limit: u32) -> Self {
        Self { hop_limit, ..self.clone() }
    }

    /// With the right checksum: of the message alone over IPv4, with the pseudo-header over IPv6.
    fn summed(mut self) -> Self {
        self.bytes[6..8].fill(0);
        let mut covered = self.bytes.clone();
        if self.family == AddressFamily::Ipv6 {
            covered.resize(covered.len().next_multiple_of(2), 0);
            covered.extend(CLIENT6.octets());
            covered.extend(GROUP6.octets());
            covered.extend(u32::try_from(self.bytes.len()).unwrap().to_be_bytes());
            covered.extend([0, 0, 0, PROTOCOL]);
        }
        covered.resize(covered.len().next_multiple_of(2), 0);
        let sum: u64 =
            covered.chunks(2).map(|two| u64::from(u16::from_be_bytes([two[0], two[1]]))).sum();
        let folded = (sum & 0xffff) + (sum >> 16);
        let folded = (folded & 0xffff) + (folded >> 16);
        let checksum = !u16::try_from(folded).unwrap();
        self.bytes[6..8].copy_from_slice(&checksum.to_be_bytes());
        self
    }
}

/// The thrower's sockets: raw ones, with nothing of ours.
#[derive(Debug)]
struct Thrower {
    v4: Socket,
    v6: Socket,
    /// Whose packets bring their own IPv6 header.
    v6_header: Socket,
    to4: SocketAddr,
    to6: SocketAddr,
}

impl Thrower {
    fn on(node: &Node) -> Self {
        node.enter(|| {
            let index = nix::net::if_::if_nametoindex("eth0").unwrap();
            let raw = |domain, protocol: u8| {
                Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(protocol)))).unwrap()
            };
            let v4 = raw(Domain::IPV4, PROTOCOL);
            v4.bind_device(Some(b"eth0")).unwrap();
            v4.set_multicast_if_v4(&Ipv4Addr::new(10, 77, 0, 1)).unwrap();
            let v6 = raw(Domain::IPV6, PROTOCOL);
            v6.bind(&SocketAddr::from(SocketAddrV6::new(CLIENT6, 0, 0, index)).into()).unwrap();
            let v6_header = raw(Domain::IPV6, 255);
            for socket in [&v6, &v6_header] {
                socket.set_multicast_if_v6(index).unwrap();
            }
            let to6 = SocketAddrV6::new(GROUP6, 0, 0, index).into();
            Self { v4, v6, v6_header, to4: (GROUP4, 0).into(), to6 }
        })
        .unwrap()
    }

    fn throw(&self, packet: &Packet) {
        let Packet { family, hop_limit, bytes } = packet;
        let sent = match family {
            AddressFamily::Ipv4 => {
                self.v4.set_multicast_ttl_v4(*hop_limit).unwrap();
                self.v4.send_to(bytes, &self.to4.into())
            }
            AddressFamily::Ipv6 => {
                self.v6.set_multicast_hops_v6(*hop_limit).unwrap();
                self.v6.send_to(bytes, &self.to6.into())
            }
        };
        sent.unwrap();
    }

    /// As if it came from `source`.
    fn throw_from(&self, source: Ipv6Addr, message: &[u8]) {
        let mut bytes = vec![0x60, 0, 0, 0];
        bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
        bytes.extend([PROTOCOL, 255]);
        bytes.extend(source.octets());
        bytes.extend(GROUP6.octets());
        bytes.extend(message);
        self.v6_header.send_to(&bytes, &self.to6.into()).unwrap();
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
#[derive(Debug)]
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// What breaks a rule, and the counter that it adds to, by instance; a stray adds to every instance of its family.
fn rule_breakers() -> Vec<(Packet, &'static str, &'static str)> {
    let mut all = Vec::new();
    for (family, name) in [(AddressFamily::Ipv4, "v4"), (AddressFamily::Ipv6, "v6")] {
        let good = Packet::v3(family);
        let full = good.bytes.len();
        let mut wrong_sum = good.clone();
        wrong_sum.bytes[7] ^= 1;
        let mut inverted = good.clone();
        inverted.bytes[6..8].iter_mut().for_each(|byte| *byte = !*byte);
        let flips = (8..full).map(|at| {
            let mut packet = good.clone();
            packet.bytes[at] ^= 0x10;
            (packet, name, "discarded_checksum")
        });
        all.extend(flips);
        all.extend([1, 64, 254].map(|limit| (good.hop_limit(limit), name, "discarded_hop_limit")));
        all.extend(
            [0x01, 0x11, 0x21, 0x41, 0xf1]
                .map(|first| (good.with(0, &[first]), name, "discarded_version")),
        );
        all.extend(
            [0x30, 0x32, 0x3f].map(|first| (good.with(0, &[first]), name, "discarded_type")),
        );
        all.extend([8, 9, full - 1].map(|length| (good.long(length), name, "discarded_truncated")));
        all.extend(
            [full + 1, full + 20, 1400, 4000]
                .map(|length| (good.long(length), name, "discarded_trailing_bytes")),
        );
        all.extend([3, 255].map(|count| (good.with(3, &[count]), name, "discarded_truncated")));
        all.extend([0, 1, 7].map(|length| (good.long(length), name, "stray_too_short")));
        // More than the buffer holds.
        all.extend([5000, 9000].map(|length| (good.long(length), name, "stray_too_short")));
        all.extend(
            [0, 1, 50, 52, 255].map(|vrid| (good.with(1, &[vrid]), name, "stray_unknown_vrid")),
        );
        all.extend([
            (wrong_sum, name, "discarded_checksum"),
            (inverted, name, "discarded_checksum"),
            (good.with(3, &[0]).long(8), name, "discarded_no_addresses"),
            (good.with(3, &[0]), name, "discarded_trailing_bytes"),
            (good.with(4, &[0, 0]), name, "discarded_zero_interval"),
            // The four bits above the interval are reserved: they make it no longer.
            (good.with(4, &[0xf0, 0]), name, "discarded_zero_interval"),
        ]);
    }
    let global = Packet::v3(AddressFamily::Ipv6).with(8, &VIP6.octets());
    all.push((global, "v6", "discarded_first_not_link_local"));
    all.extend(version_2_rule_breakers());
    all
}

fn version_2_rule_breakers() -> Vec<(Packet, &'static str, &'static str)> {
    let good = Packet::v2();
    let mut carp = hex("213d0007000140c80123456789abcdef");
    carp.extend([0; 20]);
    let carp = Packet { family: AddressFamily::Ipv4, hop_limit: 255, bytes: carp }.summed();
    vec![
        (carp.hop_limit(1), "v2", "discarded_hop_limit"),
        (carp, "v2", "discarded_carp"),
        (good.with(0, &[0x31]), "v2", "discarded_version"),
        (good.with(4, &[1]), "v2", "discarded_auth_type"),
        (good.with(5, &[2]), "v2", "discarded_interval_mismatch"),
        (good.with(5, &[0]), "v2", "discarded_zero_interval"),
        (good.with(8, &[10, 77, 0, 14]), "v2", "discarded_address_list"),
        (good.long(12), "v2", "discarded_truncated"),
        // The authentication data is covered by the checksum.
        (good.long(24), "v2", "discarded_trailing_bytes"),
        (good.with(1, &[62]), "v2", "stray_unknown_vrid"),
    ]
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
