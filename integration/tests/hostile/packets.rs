//! Packets in the making, and what breaks a rule.

use std::net::{Ipv4Addr, Ipv6Addr};

use holdfast_testkit::lab::{VIP4, VIP6};
use vrrp::AddressFamily;

pub(super) const GROUP4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
pub(super) const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
pub(super) const LINK_LOCAL_VIP: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x33);

/// The client's link-local address, by its MAC address 02:00:00:77:00:01.
pub(super) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe77, 1);
/// lb1's.
pub(super) const LB1_6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0xff, 0xfe77, 0x11);

/// VRRP's protocol number, in IP headers and for raw sockets.
pub(super) const PROTOCOL: u8 = 112;

/// Seen on real networks or published with the protocol; all of VRIDs that the pair does not have, but for one: version 2 with
/// the VRID of our version 3.
pub(super) const CAPTURED: [(AddressFamily, &str); 12] = [
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

/// A packet in the making: an advertisement of priority 200 that the pair would believe, until something is done to it.
#[derive(Clone, Debug)]
pub(super) struct Packet {
    pub(super) family: AddressFamily,
    pub(super) hop_limit: u32,
    pub(super) bytes: Vec<u8>,
}

impl Packet {
    pub(super) fn v3(family: AddressFamily) -> Self {
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

    pub(super) fn v2() -> Self {
        let mut bytes = vec![0x21, 61, 200, 1, 0, 1, 0, 0, 10, 77, 0, 13];
        bytes.extend([0; 8]);
        Self { family: AddressFamily::Ipv4, hop_limit: 255, bytes }.summed()
    }

    /// The same with other bytes from `at` on, and the checksum right again.
    pub(super) fn with(&self, at: usize, bytes: &[u8]) -> Self {
        let mut changed = self.clone();
        changed.bytes[at..at + bytes.len()].copy_from_slice(bytes);
        changed.summed()
    }

    /// The same with another length, filled up with zeros, and the checksum right again.
    pub(super) fn long(&self, length: usize) -> Self {
        let mut changed = self.clone();
        changed.bytes.resize(length, 0);
        if length < 8 { changed } else { changed.summed() }
    }

    pub(super) fn hop_limit(&self, hop_limit: u32) -> Self {
        Self { hop_limit, ..self.clone() }
    }

    /// With the right checksum: of the message alone over IPv4, with the pseudo-header over IPv6.
    pub(super) fn summed(mut self) -> Self {
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

pub(super) fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}

/// Numbers that look random and are the same in every run (xorshift, Marsaglia 2003).
#[derive(Debug)]
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }

    pub(super) fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }
}

/// What breaks a rule, and the counter that it adds to, by instance; a stray adds to every instance of its family.
pub(super) fn rule_breakers() -> Vec<(Packet, &'static str, &'static str)> {
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

pub(super) fn version_2_rule_breakers() -> Vec<(Packet, &'static str, &'static str)> {
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
