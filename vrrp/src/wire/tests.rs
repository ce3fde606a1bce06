//! Golden bytes, then properties. The vectors marked real were captured from the named implementation; the others were computed
//! by hand from the RFCs.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::testing::{address, addresses, hex, interval, params};
use crate::types::{Priority, Version, Vrid};

struct Vector {
    name: &'static str,
    format: Format,
    source: &'static str,
    destination: &'static str,
    form: ChecksumForm,
    vrid: u8,
    priority: u8,
    centiseconds: u16,
    addresses: &'static [&'static str],
    bytes: &'static str,
}

const GROUP: &str = "224.0.0.18";

const VECTORS: [Vector; 13] = [
    Vector {
        name: "v3 IPv4, message only",
        format: Format::V3Ipv4,
        source: "192.0.2.251",
        destination: GROUP,
        form: ChecksumForm::MessageOnly,
        vrid: 10,
        priority: 100,
        centiseconds: 100,
        addresses: &["192.0.2.1"],
        bytes: "310a64010064a88ec0000201",
    },
    Vector {
        name: "v3 IPv4, pseudo-header",
        format: Format::V3Ipv4,
        source: "192.0.2.251",
        destination: GROUP,
        form: ChecksumForm::PseudoHeader,
        vrid: 10,
        priority: 100,
        centiseconds: 100,
        addresses: &["192.0.2.1"],
        bytes: "310a640100640504c0000201",
    },
    Vector {
        name: "priority 0, message only",
        format: Format::V3Ipv4,
        source: "192.0.2.251",
        destination: GROUP,
        form: ChecksumForm::MessageOnly,
        vrid: 10,
        priority: 0,
        centiseconds: 100,
        addresses: &["192.0.2.1"],
        bytes: "310a000100640c8fc0000201",
    },
    Vector {
        name: "priority 0, pseudo-header",
        format: Format::V3Ipv4,
        source: "192.0.2.251",
        destination: GROUP,
        form: ChecksumForm::PseudoHeader,
        vrid: 10,
        priority: 0,
        centiseconds: 100,
        addresses: &["192.0.2.1"],
        bytes: "310a000100646904c0000201",
    },
    Vector {
        name: "v2",
        format: Format::V2,
        source: "192.0.2.251",
        destination: GROUP,
        form: ChecksumForm::MessageOnly,
        vrid: 10,
        priority: 100,
        centiseconds: 100,
        addresses: &["192.0.2.1"],
        bytes: "210a64010001b8f1c00002010000000000000000",
    },
    Vector {
        name: "v3 IPv6",
        format: Format::V3Ipv6,
        source: "fe80::c8",
        destination: "ff02::12",
        form: ChecksumForm::PseudoHeader,
        vrid: 10,
        priority: 100,
        centiseconds: 100,
        addresses: &["fe80::1", "2001:db8::1"],
        bytes: "310a640200643f5dfe80000000000000000000000000000120010db8000000000000000000000001",
    },
    Vector {
        name: "real FRR",
        format: Format::V3Ipv4,
        source: "192.168.202.101",
        destination: GROUP,
        form: ChecksumForm::PseudoHeader,
        vrid: 1,
        priority: 200,
        centiseconds: 10,
        addresses: &["192.168.202.100"],
        bytes: "3101c801000a1048c0a8ca64",
    },
    Vector {
        name: "real keepalived, unicast",
        format: Format::V3Ipv4,
        source: "10.1.0.3",
        destination: "10.1.0.1",
        form: ChecksumForm::PseudoHeader,
        vrid: 88,
        priority: 198,
        centiseconds: 100,
        addresses: &["10.195.76.227"],
        bytes: "3158c60100649c190ac34ce3",
    },
    Vector {
        name: "real Cisco IOS, v3 IPv4",
        format: Format::V3Ipv4,
        source: "192.168.30.2",
        destination: GROUP,
        form: ChecksumForm::MessageOnly,
        vrid: 30,
        priority: 100,
        centiseconds: 1000,
        addresses: &["192.168.30.254"],
        bytes: "311e640103e88751c0a81efe",
    },
    Vector {
        name: "real Cisco IOS, v3 IPv6",
        format: Format::V3Ipv6,
        source: "fe80::1",
        destination: "ff02::12",
        form: ChecksumForm::PseudoHeader,
        vrid: 36,
        priority: 105,
        centiseconds: 1000,
        addresses: &["fe80::3636"],
        bytes: "3124690103e82f1cfe800000000000000000000000003636",
    },
    Vector {
        name: "real MikroTik, two addresses",
        format: Format::V3Ipv4,
        source: "10.0.0.91",
        destination: GROUP,
        form: ChecksumForm::PseudoHeader,
        vrid: 44,
        priority: 191,
        centiseconds: 1000,
        addresses: &["10.4.44.100", "10.4.44.200"],
        bytes: "312cbf0203e8b3c60a042c640a042cc8",
    },
    Vector {
        name: "v2 of another implementation",
        format: Format::V2,
        source: "10.0.1.1",
        destination: GROUP,
        form: ChecksumForm::MessageOnly,
        vrid: 51,
        priority: 30,
        centiseconds: 100,
        addresses: &["10.0.1.5"],
        bytes: "21331e010001b5c50a0001050000000000000000",
    },
    // The pseudo-header's destination is the group all the same.
    Vector {
        name: "v3 IPv4, old unicast",
        format: Format::V3Ipv4,
        source: "192.0.2.251",
        destination: "192.0.2.252",
        form: ChecksumForm::OldUnicast,
        vrid: 10,
        priority: 100,
        centiseconds: 100,
        addresses: &["192.0.2.1"],
        bytes: "310a640100640504c0000201",
    },
];

/// CARP with VHID 10 and advskew 0, which stands where VRRP has the priority.
const CARP: &str = "210a0007000140c80123456789abcdef0000000000000000000000000000000000000000";

#[test]
fn deconstruct_every_field_can_be_read() {
    for vector in &VECTORS {
        let Vector { name, format, .. } = *vector;
        let packet = Packet::new_checked(hex(vector.bytes)).expect(name);
        let version = if format == Format::V2 { 2 } else { 3 };
        assert_eq!(packet.version(), version, "{name}");
        assert_eq!(packet.kind(), ADVERTISEMENT, "{name}");
        assert_eq!(packet.vrid(), Vrid::new(vector.vrid), "{name}");
        assert_eq!(packet.priority(), Priority::new(vector.priority), "{name}");
        assert_eq!(usize::from(packet.count()), vector.addresses.len(), "{name}");
        assert_eq!(packet.interval(format), Some(interval(vector.centiseconds)), "{name}");
        assert_eq!(packet.message_len(format), packet.bytes().len(), "{name}");
        assert!(packet.addresses(format).eq(addresses(vector.addresses)), "{name}");
        let trailer = (format == Format::V2).then_some([0; 8]);
        assert_eq!(packet.authentication_data(format), trailer, "{name}");
    }
}

#[test]
fn deconstruct_the_checksum_is_right_in_the_form_of_its_sender_and_no_other() {
    for vector in &VECTORS {
        let packet = Packet::new_checked(hex(vector.bytes)).unwrap();
        let (source, destination) = (address(vector.source), address(vector.destination));
        let form = |source, destination| packet.checksum_form(vector.format, source, destination);
        assert_eq!(form(source, destination), Some(vector.form), "{}", vector.name);
        // Another source: the pseudo-header's sum no longer fits, the message's alone still does.
        let elsewhere = match destination {
            IpAddr::V4(_) => address("198.51.100.7"),
            IpAddr::V6(_) => address("fe80::bad"),
        };
        let expected = Some(vector.form).filter(|&form| form == ChecksumForm::MessageOnly);
        assert_eq!(form(elsewhere, destination), expected, "{}", vector.name);
    }
}

#[test]
fn construct_every_byte_is_written_and_none_beyond() {
    for vector in &VECTORS {
        let params = vector.params();
        let (source, destination) = (address(vector.source), address(vector.destination));
        let repr = params.advertisement(Priority::new(vector.priority));
        let mut buffer = [0xa5; MAX_LEN];
        let len = repr.emit(&mut buffer, source, destination, vector.form).unwrap();
        assert_eq!(buffer[..len], hex(vector.bytes), "{}", vector.name);
        assert!(buffer[len..].iter().all(|&byte| byte == 0xa5), "{}", vector.name);
    }
}

#[test]
fn parse_and_emit_give_back_the_golden_bytes() {
    for vector in &VECTORS {
        let params = vector.params();
        let packet = Packet::new_checked(hex(vector.bytes)).unwrap();
        let repr = Repr::parse(&packet, vector.format.family()).expect(vector.name);
        assert_eq!(repr, params.advertisement(Priority::new(vector.priority)), "{}", vector.name);
        assert_eq!(repr.authentication(), Authentication::None);
        let again = repr.to_vec(address(vector.source), address(vector.destination), vector.form);
        assert_eq!(again, hex(vector.bytes), "{}", vector.name);
    }
}

#[test]
fn an_advertisement_prints_as_one_line() {
    let packet = Packet::new_checked(hex(VECTORS[10].bytes)).unwrap();
    assert_eq!(
        Repr::parse(&packet, AddressFamily::Ipv4).unwrap().to_string(),
        "VRRPv3 vrid 44, prio 191, intvl 10s, addrs 10.4.44.100,10.4.44.200"
    );
}

#[test]
fn carp_fails_by_its_length_and_is_never_taken_for_priority_0() {
    let packet = Packet::new_checked(hex(CARP)).unwrap();
    assert_eq!(packet.priority(), Priority::RELEASE, "the bytes do say so");
    let group = address(GROUP);
    let form = packet.checksum_form(Format::V2, address("192.0.2.9"), group);
    assert_eq!(form, Some(ChecksumForm::MessageOnly), "and its checksum is valid");
    assert_eq!(
        Repr::parse(&packet, AddressFamily::Ipv4),
        Err(Malformed::Length { len: 36, expected: 44 })
    );
}

/// RFC 2338 §5.3.6 and §5.3.10: Auth Type 1, and the password behind the addresses, which the checksum covers.
#[test]
fn a_password_is_the_trailer_of_version_2_and_nothing_of_version_3() {
    let v2 = params(Version::V2, 10, &["192.0.2.1"]).with_password(Some(*b"secret\0\0"));
    let (source, group) = (address("192.0.2.251"), address(GROUP));
    let bytes = v2.advertisement(Priority::DEFAULT).to_vec(source, group, ChecksumForm::default());
    assert_eq!(bytes, hex("210a640101017ba5c00002017365637265740000"));
    let packet = Packet::new_checked(bytes).unwrap();
    assert!(packet.checksum_form(Format::V2, source, group).is_some());
    let read = Repr::parse(&packet, AddressFamily::Ipv4).unwrap();
    assert_eq!(read.authentication(), Authentication::Password(*b"secret\0\0"));
    let v3 = params(Version::V3, 10, &["192.0.2.1"]).with_password(Some(*b"secret\0\0"));
    let bytes =
        v3.advertisement(Priority::DEFAULT).to_vec(source, group, ChecksumForm::MessageOnly);
    assert_eq!(bytes, hex("310a64010064a88ec0000201"));
    let unread = v3.advertisement(Priority::DEFAULT);
    assert_eq!(unread.authentication(), Authentication::None);
}

#[test]
fn a_message_with_one_fault_is_refused_for_that_fault() {
    let v3 = "310a64010064a88ec0000201";
    let v2 = "210a64010001b8f1c00002010000000000000000";
    let parse = |base: &str, changes: &[(usize, u8)]| {
        let mut bytes = hex(base);
        for &(index, byte) in changes {
            bytes[index] = byte;
        }
        let packet = Packet::new_checked(bytes).unwrap();
        Repr::parse(&packet, AddressFamily::Ipv4).map(|repr| repr.vrid())
    };
    assert_eq!(parse(v3, &[(0, 0x41)]), Err(Malformed::Version { version: 4 }));
    assert_eq!(parse(v3, &[(0, 0x32)]), Err(Malformed::Type { kind: 2 }));
    assert_eq!(parse(v3, &[(1, 0)]), Err(Malformed::Vrid));
    assert_eq!(parse(v3, &[(3, 2)]), Err(Malformed::Length { len: 12, expected: 16 }));
    assert_eq!(parse(v3, &[(3, 0)]), Err(Malformed::Length { len: 12, expected: 8 }));
    assert_eq!(parse(v3, &[(5, 0)]), Err(Malformed::Interval));
    assert_eq!(parse(v2, &[(4, 2)]), Err(Malformed::AuthType { auth_type: 2 }));
    assert_eq!(parse(v2, &[(5, 0)]), Err(Malformed::Interval));
    // The four reserved bits of version 3 are ignored on receipt.
    assert_eq!(parse(v3, &[(4, 0xf0)]), Ok(Vrid::new(10).unwrap()));
    let empty = Packet::new_checked(hex("310a640000640000")).unwrap();
    assert_eq!(Repr::parse(&empty, AddressFamily::Ipv4), Err(Malformed::NoAddresses));
    // Version 2 exists over IPv4 only.
    let packet = Packet::new_checked(hex(v2)).unwrap();
    assert_eq!(Repr::parse(&packet, AddressFamily::Ipv6), Err(Malformed::Version { version: 2 }));
}

#[test]
fn a_buffer_that_is_too_short_is_left_untouched() {
    let params = VECTORS[0].params();
    let mut buffer = [0xa5; 11];
    let group = address(GROUP);
    let result = params.advertisement(Priority::DEFAULT).emit(
        &mut buffer,
        group,
        group,
        ChecksumForm::MessageOnly,
    );
    assert_eq!(result, Err(BufferTooShort { len: 11, needed: 12 }));
    assert_eq!(buffer, [0xa5; 11]);
}

#[test]
fn the_form_counts_in_version_3_over_ipv4_only() {
    for vector in VECTORS.iter().filter(|vector| vector.format != Format::V3Ipv4) {
        let params = vector.params();
        let repr = params.advertisement(Priority::new(vector.priority));
        let (source, destination) = (address(vector.source), address(vector.destination));
        for form in [ChecksumForm::MessageOnly, ChecksumForm::PseudoHeader] {
            assert_eq!(repr.to_vec(source, destination, form), hex(vector.bytes));
        }
    }
}

impl Vector {
    fn params(&self) -> crate::Params {
        params(self.format.version(), self.vrid, self.addresses)
            .with_advertisement_interval(interval(self.centiseconds))
            .unwrap()
    }
}

prop_compose! {
    /// Bytes that often look like an advertisement.
    fn likely_bytes()(
        head in prop_oneof![Just(0x21_u8), Just(0x31_u8), any::<u8>()],
        count in prop_oneof![0_u8..4, any::<u8>()],
        mut bytes in proptest::collection::vec(any::<u8>(), 0..80),
    ) -> Vec<u8> {
        if let Some(byte) = bytes.get_mut(0) { *byte = head; }
        if let Some(byte) = bytes.get_mut(3) { *byte = count; }
        bytes
    }
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in likely_bytes(), ipv6: bool) {
        let Some(packet) = Packet::new_checked(&bytes[..]) else {
            prop_assert!(bytes.len() < HEADER_LEN);
            return Ok(());
        };
        for format in [Format::V2, Format::V3Ipv4, Format::V3Ipv6] {
            prop_assert!(packet.addresses(format).count() <= usize::from(packet.count()));
            let _ = packet.authentication_data(format);
            let _ = packet.interval(format);
            let _ = packet.checksum_form(format, address("192.0.2.1"), address("ff02::12"));
        }
        let family = if ipv6 { AddressFamily::Ipv6 } else { AddressFamily::Ipv4 };
        if let Ok(repr) = Repr::parse(&packet, family) {
            prop_assert_eq!(repr.buffer_len(), bytes.len());
            drop(repr.to_string());
        }
    }

    #[test]
    fn what_is_emitted_parses_as_itself(
        format in prop_oneof![Just(Format::V2), Just(Format::V3Ipv4), Just(Format::V3Ipv6)],
        vrid in 1_u8..,
        priority: u8,
        units in 1_u16..=255,
        count in 1_u8..,
        seed: u32,
        pseudo: bool,
    ) {
        let list = (0..count).map(|n| match format.family() {
            AddressFamily::Ipv4 => IpAddr::from([10, seed.to_be_bytes()[0], 1, n]),
            AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 7, u16::from(n)]),
        });
        let list = crate::AddressList::new(list.collect()).unwrap();
        let centiseconds = if format == Format::V2 { units * 100 } else { units * 16 };
        let interval = match format {
            Format::V2 => crate::Interval::from_seconds(u8::try_from(units).unwrap()).unwrap(),
            Format::V3Ipv4 | Format::V3Ipv6 => interval(centiseconds),
        };
        let params = crate::Params::new(format.version(), Vrid::new(vrid).unwrap(), list)
            .unwrap()
            .with_advertisement_interval(interval)
            .unwrap();
        let repr = params.advertisement(Priority::new(priority));
        let (source, destination) = match format.family() {
            AddressFamily::Ipv4 => (IpAddr::from(seed.to_be_bytes()), address(GROUP)),
            AddressFamily::Ipv6 => (address("fe80::42"), address("ff02::12")),
        };
        let form = if pseudo { ChecksumForm::PseudoHeader } else { ChecksumForm::MessageOnly };
        let bytes = repr.to_vec(source, destination, form);
        let packet = Packet::new_checked(&bytes[..]).unwrap();
        prop_assert_eq!(Repr::parse(&packet, format.family()), Ok(repr));
        let seen = packet.checksum_form(format, source, destination);
        prop_assert_eq!(seen, Some(form.for_format(format)));
        // One flipped bit is always noticed.
        let mut flipped = bytes.clone();
        let index = usize::from(vrid) % flipped.len();
        flipped[index] ^= 1 << (priority % 8);
        let packet = Packet::new_checked(&flipped[..]).unwrap();
        let seen = packet.checksum_form(format, source, destination);
        prop_assert_ne!(seen, Some(form.for_format(format)));
    }
}
