//! The packet's bytes, and the checks of §6.8.6 that need no session.

use proptest::prelude::*;

use super::*;

/// As FRR 8.4.4 sends it while Down: detect multiplier 3, 1 s, no echo.
const DOWN: [u8; LEN] = [
    0x20, 0x40, 3, 24, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0x0f, 0x42,
    0x40, 0, 0, 0, 0,
];

fn with(index: usize, byte: u8) -> [u8; LEN] {
    let mut bytes = DOWN;
    bytes[index] = byte;
    bytes
}

fn reason(payload: &[u8]) -> DiscardReason {
    ControlPacket::parse(payload).unwrap_err()
}

#[test]
fn s4_1_every_field_is_where_the_rfc_has_it() {
    let packet = ControlPacket::parse(&DOWN).unwrap();
    assert_eq!(packet.state, State::Down);
    assert_eq!(packet.diagnostic, Diagnostic::NONE);
    assert_eq!(packet.detect_mult.get(), 3);
    assert_eq!(packet.my_discriminator.get(), 0x1122_3344);
    assert_eq!(packet.your_discriminator, None);
    assert_eq!(packet.desired_min_tx.duration(), Duration::from_secs(1));
    assert_eq!(packet.required_min_rx.duration(), Duration::from_secs(1));
    assert_eq!(packet.required_min_echo_rx, Micros::new(0));
    assert_eq!(packet.selector(), Selector::Addresses);
    assert_eq!(packet.to_bytes(), DOWN);
}

#[test]
fn s4_1_each_flag_has_its_bit() {
    let of = |flags: u8| ControlPacket::parse(&with(1, 0xc0 | flags)).unwrap();
    assert_eq!(of(0).state, State::Up);
    assert!(of(0x20).poll && !of(0x10).poll);
    assert!(of(0x10).is_final && !of(0x20).is_final);
    assert!(of(0x08).control_plane_independent && !of(0x10).control_plane_independent);
    assert!(of(0x02).demand && !of(0x08).demand);
    let states = [0x00, 0x40, 0x80, 0xc0].map(|bits| ControlPacket::parse(&with(1, bits)));
    assert_eq!(states.map(|packet| packet.unwrap().state), State::ALL);
}

#[test]
fn s6_8_6_a_broken_rule_is_named() {
    for (payload, expected) in [
        (&DOWN[..23], DiscardReason::TooShort),
        (&[], DiscardReason::TooShort),
        (&with(0, 0x00), DiscardReason::Version),
        (&with(0, 0x40), DiscardReason::Version),
        (&with(3, 23), DiscardReason::Length),
        (&with(3, 25), DiscardReason::Truncated),
        (&with(2, 0), DiscardReason::ZeroDetectMult),
        (&with(1, 0x41), DiscardReason::Multipoint),
    ] {
        assert_eq!(reason(payload), expected, "{payload:02x?}");
    }
    let mut zero = DOWN;
    zero[4..8].fill(0);
    assert_eq!(reason(&zero), DiscardReason::ZeroMyDiscriminator);
}

/// "If the Length field is less than the minimum correct value (24 if the A bit is clear, or 26 if the A bit is set)".
#[test]
fn s6_8_6_authentication_needs_26_bytes() {
    let mut bytes = [0; 28];
    bytes[..LEN].copy_from_slice(&with(1, 0x44));
    assert_eq!(reason(&bytes), DiscardReason::Length);
    bytes[3] = 26;
    assert!(ControlPacket::parse(&bytes).unwrap().authenticated);
    assert_eq!(reason(&bytes[..25]), DiscardReason::Truncated);
}

/// Several rules broken: the first one counts.
#[test]
fn s6_8_6_the_order_of_the_checks_is_kept() {
    let mut bytes = [0; LEN];
    let mut seen = vec![reason(&bytes)];
    for (index, byte) in [(0, 0x20), (1, 0x41), (3, 25)] {
        bytes[index] = byte;
        seen.push(reason(&bytes));
    }
    for (index, byte) in [(3, 24), (2, 1), (1, 0x40)] {
        bytes[index] = byte;
        seen.push(reason(&bytes));
    }
    use DiscardReason::{
        Length, Multipoint, Truncated, Version, ZeroDetectMult, ZeroMyDiscriminator,
    };
    assert_eq!(
        seen,
        [Version, Length, Length, Truncated, ZeroDetectMult, Multipoint, ZeroMyDiscriminator]
    );
    assert!(seen.is_sorted());
}

#[test]
fn what_follows_the_counted_length_is_ignored() {
    let mut bytes = DOWN.to_vec();
    bytes.extend([0xff; 40]);
    assert_eq!(ControlPacket::parse(&bytes), ControlPacket::parse(&DOWN));
}

#[test]
fn an_interval_is_rounded_down_and_never_wraps() {
    assert_eq!(Micros::from_duration(Duration::from_nanos(1999)), Micros::new(1));
    assert_eq!(Micros::from_duration(Duration::MAX), Micros::new(u32::MAX));
    assert_eq!(Micros::new(u32::MAX).duration(), Duration::from_micros(4_294_967_295));
}

#[test]
fn every_diagnostic_has_a_name() {
    assert_eq!(Diagnostic::from_bits(0xe1).label(), "control_detection_time_expired");
    assert_eq!(Diagnostic::from_bits(31).label(), "reserved");
}

pub(crate) fn packets() -> impl Strategy<Value = ControlPacket> {
    let flags = any::<(bool, bool, bool, bool)>();
    let numbers = any::<(u32, u32, u32, u32, u32)>();
    (any::<(u8, u8, u8)>(), flags, numbers).prop_map(|((diag, state, mult), flags, numbers)| {
        ControlPacket {
            diagnostic: Diagnostic::from_bits(diag),
            state: State::from_bits(state),
            poll: flags.0,
            is_final: flags.1,
            control_plane_independent: flags.2,
            authenticated: false,
            demand: flags.3,
            detect_mult: NonZeroU8::new(mult).unwrap_or(NonZeroU8::MIN),
            my_discriminator: Discriminator::new(numbers.0).unwrap_or(Discriminator::MIN),
            your_discriminator: Discriminator::new(numbers.1),
            desired_min_tx: Micros::new(numbers.2),
            required_min_rx: Micros::new(numbers.3),
            required_min_echo_rx: Micros::new(numbers.4),
        }
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(packet in packets()) {
        prop_assert_eq!(ControlPacket::parse(&packet.to_bytes()), Ok(packet));
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = ControlPacket::parse(&bytes) {
            let written = packet.to_bytes();
            // The A bit and the length go with the authentication section, which is not written.
            prop_assert_eq!(written[0], bytes[0]);
            prop_assert_eq!(written[1], bytes[1] & !bit::AUTHENTICATED);
            prop_assert_eq!(&written[4..], &bytes[4..LEN]);
        }
    }
}
