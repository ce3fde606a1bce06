//! GTSM, and the checks of §6.8.6 that need a session.

use std::net::Ipv4Addr;

use super::*;
use crate::wire::Micros;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const OURS: Discriminator = Discriminator::new(7).unwrap();
const SESSION: Expectation = Expectation { peer: PEER, interface: Some(3), discriminator: OURS };

fn packet(state: State, yours: u32) -> ControlPacket {
    ControlPacket {
        diagnostic: crate::Diagnostic::NONE,
        state,
        poll: false,
        is_final: false,
        control_plane_independent: false,
        authenticated: false,
        demand: false,
        detect_mult: std::num::NonZeroU8::MIN,
        my_discriminator: Discriminator::MIN,
        your_discriminator: Discriminator::new(yours),
        desired_min_tx: Micros::new(1),
        required_min_rx: Micros::new(1),
        required_min_echo_rx: Micros::new(0),
    }
}

fn datagram(source: IpAddr, interface: u32) -> Datagram<'static> {
    Datagram { source, interface, hop_limit: Some(255), payload: &[] }
}

/// RFC 5881 §5: "MUST be discarded if the received TTL or Hop Limit is not equal to 255".
#[test]
fn rfc5881_s5_another_hop_limit_than_255_is_discarded_before_anything_is_read() {
    let bytes = packet(State::Down, 0).to_bytes();
    for (hop_limit, expected) in [
        (Some(255), Ok(packet(State::Down, 0))),
        (Some(254), Err(DiscardReason::HopLimit)),
        (Some(1), Err(DiscardReason::HopLimit)),
        (None, Err(DiscardReason::HopLimit)),
    ] {
        let datagram = Datagram { source: PEER, interface: 3, hop_limit, payload: &bytes };
        assert_eq!(read(&datagram), expected);
        let nonsense = Datagram { payload: b"?", ..datagram };
        let expected = expected.map_or(DiscardReason::HopLimit, |_| DiscardReason::TooShort);
        assert_eq!(read(&nonsense), Err(expected));
    }
}

#[test]
fn s6_8_6_the_table_of_sessions_and_discriminators() {
    use DiscardReason::{UnknownDiscriminator, UnknownPeer, WrongPeer, ZeroYourDiscriminator};
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    let here = (PEER, 3);
    for (state, yours, from, session, expected) in [
        (State::Up, 7, here, Some(SESSION), Ok(())),
        (State::Down, 0, here, Some(SESSION), Ok(())),
        (State::AdminDown, 0, here, Some(SESSION), Ok(())),
        (State::Up, 8, here, None, Err(UnknownDiscriminator)),
        (State::Init, 0, here, Some(SESSION), Err(ZeroYourDiscriminator)),
        (State::Up, 0, here, Some(SESSION), Err(ZeroYourDiscriminator)),
        (State::Up, 0, here, None, Err(ZeroYourDiscriminator)),
        (State::Down, 0, here, None, Err(UnknownPeer)),
        (State::Up, 7, (other, 3), Some(SESSION), Err(WrongPeer)),
        (State::Up, 7, (PEER, 4), Some(SESSION), Err(WrongPeer)),
    ] {
        let (packet, datagram) = (packet(state, yours), datagram(from.0, from.1));
        assert_eq!(check(&datagram, &packet, session), expected, "{state} {yours} {from:?}");
    }
}

/// "If the A bit is set and no authentication is in use (bfd.AuthType is zero), the packet MUST be discarded."
#[test]
fn s6_8_6_authentication_is_discarded_once_the_session_is_known() {
    let authenticated = ControlPacket { authenticated: true, ..packet(State::Up, 7) };
    let datagram = datagram(PEER, 3);
    let checked = check(&datagram, &authenticated, Some(SESSION));
    assert_eq!(checked, Err(DiscardReason::Authenticated));
    let checked = check(&datagram, &authenticated, None);
    assert_eq!(checked, Err(DiscardReason::UnknownDiscriminator));
}

#[test]
fn s6_8_6_a_session_is_selected_by_its_number_or_by_the_addresses() {
    let selected = |yours, source, interface| {
        SESSION.is_selected(&datagram(source, interface), &packet(State::Down, yours))
    };
    let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9));
    assert!(selected(7, PEER, 3) && selected(7, other, 9), "the number alone");
    assert!(!selected(8, PEER, 3), "another number");
    assert!(selected(0, PEER, 3));
    assert!(!selected(0, PEER, 4) && !selected(0, other, 3));
    let anywhere = Expectation { interface: None, ..SESSION };
    assert!(anywhere.is_selected(&datagram(PEER, 99), &packet(State::Down, 0)));
}
