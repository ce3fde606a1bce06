//! The targets that take bytes for a message.

use std::net::IpAddr;

use vrrp::receive::{self as ladder, Datagram, Expectation};
use vrrp::wire::{ADVERTISEMENT, Format, HEADER_LEN, HOP_LIMIT, MAX_LEN, Packet, Repr};
use vrrp::{
    AddressFamily, AddressList, ChecksumForm, DiscardReason, Params, Peer, Priority, Version, Vrid,
};

const FORMATS: [Format; 3] = [Format::V2, Format::V3Ipv4, Format::V3Ipv6];
const FORMS: [ChecksumForm; 3] =
    [ChecksumForm::MessageOnly, ChecksumForm::PseudoHeader, ChecksumForm::OldUnicast];

/// A message: read in every way, and written back.
pub fn wire(data: &[u8]) {
    // As a raw IPv4 socket delivers it.
    if let Ok(datagram) = Datagram::from_ipv4(data) {
        assert!(datagram.payload.len() + 20 <= data.len(), "the payload lies within the packet");
    }
    let Some(packet) = Packet::new_checked(data) else {
        assert!(data.len() < HEADER_LEN, "only what has no header is no packet");
        return;
    };
    for format in FORMATS {
        read(&packet, format);
        if let Ok(repr) = Repr::parse(&packet, format.family())
            && repr.format() == format
        {
            write_back(&packet, &repr);
        }
    }
}

/// Every accessor, whatever the bytes say.
fn read(packet: &Packet<&[u8]>, format: Format) {
    let (source, group) = addresses(format);
    assert!(packet.addresses(format).count() <= usize::from(packet.count()));
    assert!(packet.message_len(format) <= MAX_LEN + 8);
    let interval = packet.interval(format).map(vrrp::Interval::centiseconds);
    assert!(interval.is_none_or(|interval| (1..=25_500).contains(&interval)), "{interval:?}");
    let _ = (packet.vrid(), packet.priority(), packet.checksum(), packet.auth_type());
    let _ = packet.authentication_data(format);
    let _ = packet.checksum_form(format, source, group);
    let unicast = packet.checksum_form(format, source, other(format));
    assert!(format == Format::V3Ipv4 || unicast != Some(ChecksumForm::OldUnicast));
}

/// I12: what was parsed is emitted as the same bytes, but for the checksum and what receivers ignore.
fn write_back(packet: &Packet<&[u8]>, repr: &Repr<'_>) {
    let format = repr.format();
    let (source, group) = addresses(format);
    for form in FORMS {
        let bytes = repr.to_vec(source, group, form);
        let written = Packet::new_checked(bytes.as_slice());
        let Some(written) = written else { panic!("what was emitted has no header") };
        assert_eq!(Repr::parse(&written, format.family()).as_ref(), Ok(repr), "decode ∘ encode");
        assert_eq!(bytes.len(), packet.bytes().len());
        assert_eq!(bytes.get(..4), packet.bytes().get(..4));
        assert!(written.checksum_form(format, source, group).is_some(), "the checksum is right");
        assert!(written.addresses(format).eq(packet.addresses(format)));
    }
}

/// The password of the routers that have one.
const PASSWORD: [u8; 8] = *b"password";

/// A packet that meets a router. The first byte says how they meet, the others are the IP payload.
pub fn receive(data: &[u8]) {
    let Some((&how, payload)) = data.split_first() else { return };
    for format in FORMATS {
        meet(format, how, payload);
        for form in FORMS {
            let mut mended = payload.to_vec();
            if mend(&mut mended, format, form) {
                let reason = meet(format, how, &mended);
                let allowed = form == form_of(format, form);
                assert!(!(allowed && reason == Some(DiscardReason::Checksum)), "{format:?}");
            }
        }
    }
}

/// The form that `format` really uses when it is told `form`.
fn form_of(format: Format, form: ChecksumForm) -> ChecksumForm {
    match format {
        Format::V2 => ChecksumForm::MessageOnly,
        Format::V3Ipv4 => form,
        Format::V3Ipv6 => ChecksumForm::PseudoHeader,
    }
}

/// Lets them meet. The reason for the discard, if there is one.
fn meet(format: Format, how: u8, payload: &[u8]) -> Option<DiscardReason> {
    let (source, destination) = addresses(format);
    let hop_limit = match how & 0x03 {
        0 | 1 => Some(HOP_LIMIT),
        2 => Some(254),
        _ => None,
    };
    let datagram = Datagram { source, destination, hop_limit, payload };
    let Ok(identified) = ladder::identify(datagram) else {
        assert!(payload.len() < HEADER_LEN);
        return Some(DiscardReason::TooShort);
    };
    // A router with this very VRID, so that the later rules are reached.
    let ours = identified.vrid().map(|vrid| params(format, vrid, how & 0x04 != 0));
    let ours = ours.map(|params| {
        params.with_password((format == Format::V2 && how & 0x20 != 0).then_some(PASSWORD))
    });
    let primary = if how & 0x08 == 0 { other(format) } else { source };
    // By multicast, from a peer that may be a router away, or from one that is none.
    let peers = match how & 0xc0 {
        0x40 => vec![Peer::neighbour(other(format)), Peer { address: source, ttl: (254, 254) }],
        0x80 => vec![Peer::neighbour(other(format))],
        _ => Vec::new(),
    };
    let expectation = ours.as_ref().filter(|_| how & 0x10 == 0).map(|params| Expectation {
        params,
        primary: Some(primary),
        peers: &peers,
    });
    match ladder::check(&identified, expectation) {
        Err(reason) => Some(reason),
        Ok(received) => {
            let heard = received.advertisement;
            let due = if peers.is_empty() { HOP_LIMIT } else { HOP_LIMIT - 1 };
            assert_eq!(hop_limit, Some(due));
            assert_ne!(how & 0xc0, 0x80, "from nobody's peer");
            let password = ours.as_ref().is_some_and(|ours| {
                ours.authentication() == vrrp::wire::Authentication::Password(PASSWORD)
            });
            assert_ne!(Some(heard.source), Some(primary), "our own packet");
            assert!(expectation.is_some(), "nobody is there for it");
            accepted(format, payload, heard.priority, heard.interval.centiseconds());
            if format == Format::V2 {
                assert_eq!(payload.get(4), Some(&u8::from(password)), "another authentication");
                assert!(!password || payload.ends_with(&PASSWORD), "another password");
            }
            None
        }
    }
}

/// What was accepted keeps every rule, as read from the bytes once more.
fn accepted(format: Format, payload: &[u8], priority: Priority, centiseconds: u32) {
    let byte = |index: usize| payload.get(index).copied().unwrap_or_default();
    let (version, address_len, trailer) = match format {
        Format::V2 => (2, 4, 8),
        Format::V3Ipv4 => (3, 4, 0),
        Format::V3Ipv6 => (3, 16, 0),
    };
    assert_eq!(byte(0), version << 4 | ADVERTISEMENT);
    assert_ne!(byte(1), 0, "VRID 0");
    assert_eq!(byte(2), priority.value());
    assert_eq!(payload.len(), 8 + usize::from(byte(3)) * address_len + trailer);
    assert_ne!(centiseconds, 0, "a timer of 0");
    if version == 3 {
        assert_ne!(byte(3), 0, "no address");
        assert_eq!(centiseconds, u32::from(byte(4) & 0x0f) << 8 | u32::from(byte(5)));
    } else {
        assert_eq!(centiseconds, u32::from(byte(5)) * 100);
    }
    if format == Format::V3Ipv6 {
        assert_eq!((byte(8), byte(9) & 0xc0), (0xfe, 0x80), "the first address is not link-local");
    }
}

/// Puts the checksum right in `form`, by an arithmetic of its own; false when there is no room for one.
fn mend(payload: &mut [u8], format: Format, form: ChecksumForm) -> bool {
    let mut covered = Vec::new();
    // Here all goes to the group, where these two are the same.
    if matches!(form, ChecksumForm::PseudoHeader | ChecksumForm::OldUnicast) {
        let (source, destination) = addresses(format);
        for address in [source, destination] {
            match address {
                IpAddr::V4(address) => covered.extend(address.octets()),
                IpAddr::V6(address) => covered.extend(address.octets()),
            }
        }
        let Ok(len) = u16::try_from(payload.len()) else { return false };
        covered.extend([0, vrrp::wire::PROTOCOL]);
        covered.extend(len.to_be_bytes());
    }
    let Some(field) = payload.get_mut(6..8) else { return false };
    field.fill(0);
    covered.extend_from_slice(payload);
    let mut sum = 0_u64;
    for (index, &byte) in covered.iter().enumerate() {
        sum += u64::from(byte) << if index % 2 == 0 { 8 } else { 0 };
    }
    // Modulo 65535, 2^16 is 1: that brings every carry round. A sum that is not 0 never becomes 0.
    let folded = if sum == 0 { 0 } else { (sum - 1) % 0xffff + 1 };
    let checksum = u16::try_from(folded).map_or(0, |folded| !folded);
    if let Some(field) = payload.get_mut(6..8) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    true
}

fn addresses(format: Format) -> (IpAddr, IpAddr) {
    let source = match format.family() {
        AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, 251]),
        AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0xc8]),
    };
    (source, format.family().multicast_group())
}

/// A primary address that no packet comes from.
fn other(format: Format) -> IpAddr {
    match format.family() {
        AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, 252]),
        AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0xc9]),
    }
}

fn params(format: Format, vrid: Vrid, owner: bool) -> Params {
    let address = match format.family() {
        AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, 1]),
        AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 1]),
    };
    let version = match format {
        Format::V2 => Version::V2,
        Format::V3Ipv4 | Format::V3Ipv6 => Version::V3,
    };
    let priority = if owner { Priority::OWNER } else { Priority::DEFAULT };
    let params = AddressList::new(vec![address])
        .ok()
        .and_then(|list| Params::new(version, vrid, list).ok())
        .and_then(|params| params.with_priority(priority).ok());
    let Some(params) = params else { panic!("parameters that are valid") };
    params
}
