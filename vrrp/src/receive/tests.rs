//! The ladder: every rung alone, and every pair of rungs for their order. Then what passes.

use proptest::prelude::*;

use super::*;
use crate::testing::{address, hex, interval, params};

const GROUP: &str = "224.0.0.18";

/// A packet, the router that it meets, and what is done to them before they meet.
#[derive(Clone)]
struct Meeting {
    source: IpAddr,
    destination: IpAddr,
    hop_limit: Option<u8>,
    bytes: Vec<u8>,
    checksum: Form,
    ours: Params,
    configured: bool,
    primary: IpAddr,
    peers: Vec<Peer>,
}

/// What the checksum is made of when all else is done.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    MessageOnly,
    Pseudo,
    Wrong,
}

impl Meeting {
    fn v2() -> Self {
        Self {
            source: address("192.0.2.251"),
            destination: address(GROUP),
            hop_limit: Some(255),
            bytes: hex("210a64010001b8f1c00002010000000000000000"),
            checksum: Form::MessageOnly,
            ours: params(Version::V2, 10, &["192.0.2.1"]),
            configured: true,
            primary: address("192.0.2.252"),
            peers: Vec::new(),
        }
    }

    /// Version 2 with the password `secret`.
    fn v2_with_password() -> Self {
        let ours = params(Version::V2, 10, &["192.0.2.1"]).with_password(Some(*b"secret\0\0"));
        let bytes = hex("210a64010101b8f1c00002017365637265740000");
        Self { bytes, ours, ..Self::v2() }
    }

    /// From a unicast peer.
    fn unicast(mut self) -> Self {
        (self.destination, self.peers) = (self.primary, vec![Peer::neighbour(self.source)]);
        self
    }

    fn v3_ipv4() -> Self {
        let bytes = hex("310a64010064a88ec0000201");
        Self { bytes, ours: params(Version::V3, 10, &["192.0.2.1"]), ..Self::v2() }
    }

    fn v3_ipv6() -> Self {
        Self {
            source: address("fe80::c8"),
            destination: address("ff02::12"),
            bytes: hex("310a6401006400") // The checksum is made at the end.
                .into_iter()
                .chain([0])
                .chain(hex("fe800000000000000000000000000001"))
                .collect(),
            checksum: Form::Pseudo,
            ours: params(Version::V3, 10, &["fe80::1"]),
            primary: address("fe80::c9"),
            ..Self::v2()
        }
    }

    fn check(mut self) -> Result<Received, DiscardReason> {
        if self.bytes.len() >= 8 {
            self.bytes[6..8].fill(0);
            let sum = self.sum();
            self.bytes[6..8].copy_from_slice(&sum.to_be_bytes());
        }
        let Self { source, destination, hop_limit, ours, .. } = &self;
        let datagram = Datagram {
            source: *source,
            destination: *destination,
            hop_limit: *hop_limit,
            payload: &self.bytes,
        };
        let identified = identify(datagram)?;
        let expectation =
            Expectation { params: ours, primary: Some(self.primary), peers: &self.peers };
        check(&identified, self.configured.then_some(expectation))
    }

    /// The checksum, written once more: by 16-bit steps, with the carry brought round at each.
    fn sum(&self) -> u16 {
        let mut covered = self.bytes.clone();
        if self.checksum == Form::Pseudo {
            for address in [self.source, self.destination] {
                match address {
                    IpAddr::V4(address) => covered.extend(address.octets()),
                    IpAddr::V6(address) => covered.extend(address.octets()),
                }
            }
            covered.extend([0, 112]);
            covered.extend(u16::try_from(self.bytes.len()).unwrap().to_be_bytes());
        }
        if covered.len() % 2 == 1 {
            covered.push(0);
        }
        let sum = covered.chunks(2).fold(0_u16, |sum, word| {
            let (sum, carry) = sum.overflowing_add(u16::from_be_bytes([word[0], word[1]]));
            sum + u16::from(carry)
        });
        if self.checksum == Form::Wrong { !sum ^ 0x0100 } else { !sum }
    }
}

type Rung = (DiscardReason, fn(&mut Meeting));

const TOO_SHORT: Rung = (DiscardReason::TooShort, |m| m.bytes.truncate(7));
const HOP_LIMIT_254: Rung = (DiscardReason::HopLimit, |m| m.hop_limit = Some(254));
const HOP_LIMIT_UNKNOWN: Rung = (DiscardReason::HopLimit, |m| m.hop_limit = None);
const VERSION: Rung = (DiscardReason::Version, |m| m.bytes[0] = 0x40 | m.bytes[0] & 0x0f);
const TYPE: Rung = (DiscardReason::Type, |m| m.bytes[0] = m.bytes[0] & 0xf0 | 2);
const TRUNCATED: Rung = (DiscardReason::Truncated, |m| m.bytes[3] += 1);
const TRAILING: Rung = (DiscardReason::TrailingBytes, |m| m.bytes.extend([0; 4]));
const UNKNOWN_VRID: Rung = (DiscardReason::UnknownVrid, |m| m.configured = false);
const ZERO_VRID: Rung = (DiscardReason::UnknownVrid, |m| m.bytes[1] = 0);
const CHECKSUM: Rung = (DiscardReason::Checksum, |m| m.checksum = Form::Wrong);
const NO_ADDRESSES: Rung = (DiscardReason::NoAddresses, |m| {
    m.bytes.truncate(8);
    m.bytes[3] = 0;
});
const ZERO_INTERVAL: Rung = (DiscardReason::ZeroInterval, |m| {
    // Version 3's reserved bits, set, don't count.
    m.bytes[4] = if m.bytes[0] == 0x31 { 0xf0 } else { m.bytes[4] };
    m.bytes[5] = 0;
});
const NOT_LINK_LOCAL: Rung = (DiscardReason::FirstNotLinkLocal, |m| m.bytes[8] = 0x20);
const AUTH_TYPE: Rung = (DiscardReason::AuthType, |m| m.bytes[4] ^= 1);
const PASSWORD: Rung = (DiscardReason::Password, |m| m.bytes[13] ^= 0x20);
const NOT_A_PEER: Rung =
    (DiscardReason::NotAPeer, |m| m.peers = vec![Peer::neighbour(m.destination)]);
const INTERVAL: Rung = (DiscardReason::IntervalMismatch, |m| m.bytes[5] = 2);
const LOCAL_OWNER: Rung = (DiscardReason::LocalOwner, |m| {
    m.ours = m.ours.clone().with_priority(Priority::OWNER).unwrap();
});
const ADDRESS_LIST: Rung = (DiscardReason::AddressList, |m| m.bytes[11] ^= 0x04);
const OWN_SOURCE: Rung = (DiscardReason::OwnSource, |m| m.primary = m.source);

/// Breaks each rule alone, and each pair of rules: the first in order must be the reason.
fn climb(meeting: &Meeting, ladder: &[Rung]) {
    assert!(meeting.clone().check().is_ok(), "unbroken, it passes");
    for (number, &(reason, break_it)) in ladder.iter().enumerate() {
        let mut broken = meeting.clone();
        break_it(&mut broken);
        assert_eq!(broken.check(), Err(reason), "alone");
        for &(later, break_later) in &ladder[number + 1..] {
            let mut broken = meeting.clone();
            break_later(&mut broken);
            break_it(&mut broken);
            assert_eq!(broken.check(), Err(reason), "before {later}");
        }
    }
}

#[test]
fn ladder_of_v2() {
    let ladder = [
        HOP_LIMIT_254,
        VERSION,
        TYPE,
        TRUNCATED,
        UNKNOWN_VRID,
        CHECKSUM,
        ZERO_INTERVAL,
        AUTH_TYPE,
        INTERVAL,
        LOCAL_OWNER,
        ADDRESS_LIST,
        OWN_SOURCE,
    ];
    climb(&Meeting::v2(), &ladder);
}

#[test]
fn ladder_of_v2_with_a_password_and_of_unicast() {
    let ladder = [
        NOT_A_PEER,
        HOP_LIMIT_254,
        VERSION,
        TYPE,
        TRUNCATED,
        UNKNOWN_VRID,
        CHECKSUM,
        ZERO_INTERVAL,
        AUTH_TYPE,
        PASSWORD,
        INTERVAL,
        LOCAL_OWNER,
        ADDRESS_LIST,
        OWN_SOURCE,
    ];
    // Without a router there are no peers: that rung is then not one.
    for meeting in [Meeting::v2_with_password(), Meeting::v2_with_password().unicast()] {
        let climbs = |rung: &Rung| rung.0 != DiscardReason::UnknownVrid;
        let ladder: Vec<Rung> = ladder.into_iter().filter(climbs).collect();
        climb(&meeting, &ladder);
    }
    for meeting in [Meeting::v3_ipv4().unicast(), Meeting::v3_ipv6().unicast()] {
        climb(&meeting, &[NOT_A_PEER, HOP_LIMIT_UNKNOWN, VERSION, TYPE, TRUNCATED, CHECKSUM]);
    }
}

#[test]
fn a_peer_is_heard_within_its_range_of_hop_limits_and_multicast_at_255_only() {
    for multicast in [Meeting::v2(), Meeting::v3_ipv4(), Meeting::v3_ipv6()] {
        let mut meeting = multicast.clone().unicast();
        let other = Peer { address: meeting.destination, ttl: (1, 255) };
        meeting.peers = vec![other, Peer { address: meeting.source, ttl: (62, 64) }];
        let with = |meeting: &Meeting, hop_limit| {
            Meeting { hop_limit: Some(hop_limit), ..meeting.clone() }.check().map(|_| ())
        };
        for heard in [62, 63, 64] {
            assert_eq!(with(&meeting, heard), Ok(()));
            assert_eq!(with(&multicast, heard), Err(DiscardReason::HopLimit));
        }
        for discarded in [0, 61, 65, 255] {
            assert_eq!(with(&meeting, discarded), Err(DiscardReason::HopLimit));
        }
        // The list is a list: the other one's range is not this one's.
        meeting.peers.truncate(1);
        assert_eq!(with(&meeting, 255), Err(DiscardReason::NotAPeer));
    }
}

/// RFC 2338 §7.1: a password that is not asked for is as wrong as one that is missing.
#[test]
fn v2_takes_a_password_only_where_one_is_configured_and_that_one_only() {
    let plain = Meeting::v2();
    let secret = Meeting::v2_with_password();
    assert!(secret.clone().check().is_ok());
    let crossed = Meeting { ours: plain.ours.clone(), ..secret.clone() };
    assert_eq!(crossed.check(), Err(DiscardReason::AuthType));
    let crossed = Meeting { ours: secret.ours.clone(), ..plain };
    assert_eq!(crossed.check(), Err(DiscardReason::AuthType));
    // IP Authentication Header.
    let mut header = secret.clone();
    header.bytes[4] = 2;
    assert_eq!(header.check(), Err(DiscardReason::AuthType));
    for index in 12..20 {
        let mut wrong = secret.clone();
        wrong.bytes[index] ^= 1;
        assert_eq!(wrong.check(), Err(DiscardReason::Password), "byte {index}");
    }
    // Version 3 has none, whatever is configured.
    let v3 = Meeting::v3_ipv4();
    let ours = v3.ours.clone().with_password(Some(*b"secret\0\0"));
    assert!(Meeting { ours, ..v3 }.check().is_ok());
}

#[test]
fn no_debug_output_has_the_password() {
    let Meeting { bytes, ours, source, destination, .. } = Meeting::v2_with_password();
    let datagram = Datagram { source, destination, hop_limit: Some(255), payload: &bytes };
    let identified = identify(datagram).unwrap();
    let packet = Packet::new_checked(&bytes).unwrap();
    let repr = wire::Repr::parse(&packet, AddressFamily::Ipv4).unwrap();
    let event = crate::Event::Reconfigure(ours.clone());
    let router = crate::VirtualRouter::new(holdfast_time::Instant::ZERO, ours.clone());
    let shown = format!(
        "{ours:?} {datagram:?} {identified:?} {packet:?} {repr:?} {repr} {event:?} {router:?}"
    );
    assert!(shown.contains("Password(…)"));
    for spelling in ["secret", "115, 101, 99", "[115", "736563"] {
        assert!(!shown.contains(spelling), "{spelling} in {shown}");
    }
}

#[test]
fn ladder_of_v3_ipv4() {
    let ladder = [
        HOP_LIMIT_UNKNOWN,
        VERSION,
        TYPE,
        TRUNCATED,
        ZERO_VRID,
        CHECKSUM,
        NO_ADDRESSES,
        ZERO_INTERVAL,
        OWN_SOURCE,
    ];
    climb(&Meeting::v3_ipv4(), &ladder);
}

#[test]
fn ladder_of_v3_ipv6() {
    let ladder = [
        HOP_LIMIT_254,
        VERSION,
        TYPE,
        TRUNCATED,
        UNKNOWN_VRID,
        CHECKSUM,
        NO_ADDRESSES,
        ZERO_INTERVAL,
        NOT_LINK_LOCAL,
        OWN_SOURCE,
    ];
    climb(&Meeting::v3_ipv6(), &ladder);
}

#[test]
fn seven_bytes_are_no_packet_and_bytes_behind_the_message_no_padding() {
    for meeting in [Meeting::v2(), Meeting::v3_ipv4(), Meeting::v3_ipv6()] {
        for (reason, break_it) in [TOO_SHORT, TRAILING] {
            let mut broken = meeting.clone();
            break_it(&mut broken);
            assert_eq!(broken.check(), Err(reason));
        }
    }
    // A version 3 message with version 2's authentication trailer.
    let mut meeting = Meeting::v3_ipv4();
    meeting.bytes.extend([0; 8]);
    assert_eq!(meeting.check(), Err(DiscardReason::TrailingBytes));
    // And a version 2 message without it.
    let mut meeting = Meeting::v2();
    meeting.bytes.truncate(12);
    assert_eq!(meeting.check(), Err(DiscardReason::Truncated));
}

#[test]
fn carp_is_named_and_never_priority_0() {
    let carp = hex("210a0007000140c80123456789abcdef0000000000000000000000000000000000000000");
    let meeting = Meeting { bytes: carp, ..Meeting::v2() };
    assert_eq!(meeting.clone().check(), Err(DiscardReason::Carp));
    assert_eq!(
        Meeting { configured: false, ..meeting.clone() }.check(),
        Err(DiscardReason::Carp),
        "whether or not its VHID is a VRID of ours"
    );
    // A router of version 3 sees a packet of another version.
    let meeting = Meeting { ours: Meeting::v3_ipv4().ours, ..meeting };
    assert_eq!(meeting.check(), Err(DiscardReason::Version));
}

#[test]
fn a_router_of_one_version_discards_the_other() {
    let meeting = Meeting { ours: Meeting::v3_ipv4().ours, ..Meeting::v2() };
    assert_eq!(meeting.check(), Err(DiscardReason::Version));
    let meeting = Meeting { ours: Meeting::v2().ours, ..Meeting::v3_ipv4() };
    assert_eq!(meeting.check(), Err(DiscardReason::Version));
    // Version 2 over IPv6 does not exist, whatever is configured.
    let mut meeting = Meeting::v3_ipv6();
    meeting.bytes[0] = 0x21;
    meeting.configured = false;
    assert_eq!(meeting.check(), Err(DiscardReason::Version));
}

#[test]
fn v3_ipv4_is_accepted_with_either_checksum_and_says_which() {
    let form = |checksum| {
        Meeting { checksum, ..Meeting::v3_ipv4() }
            .check()
            .map(|received| received.advertisement.checksum_form)
    };
    assert_eq!(form(Form::MessageOnly), Ok(ChecksumForm::MessageOnly));
    assert_eq!(form(Form::Pseudo), Ok(ChecksumForm::PseudoHeader));
}

#[test]
fn v2_and_ipv6_have_one_form_of_checksum_each() {
    let meeting = Meeting { checksum: Form::Pseudo, ..Meeting::v2() };
    assert_eq!(meeting.check(), Err(DiscardReason::Checksum));
    let meeting = Meeting { checksum: Form::MessageOnly, ..Meeting::v3_ipv6() };
    assert_eq!(meeting.check(), Err(DiscardReason::Checksum));
}

#[test]
fn what_passes_is_what_the_packet_says() {
    let received = Meeting::v3_ipv4().check().unwrap();
    let source = address("192.0.2.251");
    let advertisement = Advertisement {
        source,
        priority: Priority::DEFAULT,
        interval: interval(100),
        checksum_form: ChecksumForm::MessageOnly,
    };
    assert_eq!(received.advertisement, advertisement);
    assert!(!received.observations.any());
}

/// RFC 9568 §5.2.6.
#[test]
fn the_reserved_bits_of_v3_are_ignored() {
    for mut meeting in [Meeting::v3_ipv4(), Meeting::v3_ipv6()] {
        meeting.bytes[4] |= 0xf0;
        assert_eq!(meeting.check().unwrap().advertisement.interval, interval(100));
    }
}

#[test]
fn v3_observes_what_v2_discards() {
    let mut meeting = Meeting::v3_ipv4();
    INTERVAL.1(&mut meeting);
    ADDRESS_LIST.1(&mut meeting);
    LOCAL_OWNER.1(&mut meeting);
    meeting.bytes[2] = 255;
    let received = meeting.check().unwrap();
    assert_eq!(received.advertisement.interval, interval(2));
    let Observations { address_list_differs, interval_differs, owner_conflict } =
        received.observations;
    assert!(address_list_differs && interval_differs && owner_conflict);
}

#[test]
fn v2_takes_another_address_list_from_the_owner() {
    let mut meeting = Meeting::v2();
    ADDRESS_LIST.1(&mut meeting);
    meeting.bytes[2] = 255;
    assert!(meeting.check().unwrap().observations.address_list_differs);
}

#[test]
fn v2_ignores_the_bytes_of_authentication_type_0() {
    let mut meeting = Meeting::v2();
    meeting.bytes[12..20].copy_from_slice(b"whatever");
    assert!(meeting.check().is_ok());
}

#[test]
fn ipv4_options_are_skipped_and_ethernet_padding_is_cut_off() {
    let message = hex("310a640100640504c0000201");
    let mut packet = hex("46c0002400004000ff700000c00002fbe0000012");
    packet.extend(hex("94040000")); // Router alert.
    packet.extend(&message);
    packet.extend([0; 10]); // Up to Ethernet's minimum.
    let datagram = Datagram::from_ipv4(&packet).unwrap();
    assert_eq!(datagram.payload, message);
    assert_eq!(datagram.source, address("192.0.2.251"));
    assert_eq!(datagram.destination, address(GROUP));
    assert_eq!(datagram.hop_limit, Some(255));

    let broken = |index: usize, byte: u8| {
        let mut packet = packet.clone();
        packet[index] = byte;
        Datagram::from_ipv4(&packet).map(|datagram| datagram.payload.len())
    };
    assert_eq!(broken(0, 0x66), Err(DiscardReason::IpHeader), "IPv6's version");
    assert_eq!(broken(0, 0x44), Err(DiscardReason::IpHeader), "a header of 16 bytes");
    assert_eq!(broken(2, 1), Err(DiscardReason::IpHeader), "more bytes than there are");
    assert_eq!(broken(3, 20), Err(DiscardReason::IpHeader), "fewer than its own header");
    assert_eq!(broken(9, 17), Err(DiscardReason::IpHeader), "UDP");
    assert_eq!(broken(6, 0x20), Err(DiscardReason::Fragment), "more fragments");
    assert_eq!(broken(7, 1), Err(DiscardReason::Fragment), "an offset");
    assert_eq!(broken(6, 0x40), Ok(12), "don't fragment");
    assert_eq!(Datagram::from_ipv4(&packet[..19]).map(|_| ()), Err(DiscardReason::IpHeader));
}

proptest! {
    #[test]
    fn no_bytes_make_the_receiver_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        head in prop_oneof![Just(0x21_u8), Just(0x31_u8), any::<u8>()],
        vrid in prop_oneof![Just(10_u8), any::<u8>()],
        configured: bool,
    ) {
        let _ = Datagram::from_ipv4(&bytes).map(|datagram| datagram.payload.len());
        for mut meeting in [Meeting::v2(), Meeting::v3_ipv4(), Meeting::v3_ipv6()] {
            meeting.configured = configured;
            meeting.bytes.clone_from(&bytes);
            if let [first, second, ..] = &mut meeting.bytes[..] {
                (*first, *second) = (head, vrid);
            }
            let result = meeting.check();
            prop_assert!(configured || result.is_err());
        }
    }
}
