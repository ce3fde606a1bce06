//! What the fuzz targets do with any bytes. Each target is a function that panics when something that must hold does not:
//!
//! * [`wire`]: bytes are a UDP payload. Reading it never panics, and what has a meaning is written back as it was.
//! * [`session`]: bytes are a history of a session: packets, time, an administrator. The invariants of the machine hold after each.
//!
//! `crates/bfd/tests/corpus.rs` includes this file and replays the committed corpora with the stable toolchain.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use holdfast_bfd::receive::{self, Datagram, Expectation};
use holdfast_bfd::session::SLOW;
use holdfast_bfd::wire::LEN;
use holdfast_bfd::{
    Action, ControlPacket, DiscardReason, Discriminator, Event, Params, Session, State,
};
use holdfast_time::Instant;

/// A UDP payload: read, checked for a session, and written back.
pub fn wire(data: &[u8]) {
    let source = IpAddr::from([192, 0, 2, 2]);
    let datagram = Datagram { source, interface: 3, hop_limit: Some(255), payload: data };
    let packet = match receive::read(&datagram) {
        Ok(packet) => packet,
        Err(reason) => {
            assert_eq!(data.len() < LEN, reason == DiscardReason::TooShort, "{reason}");
            return;
        }
    };
    let written = packet.to_bytes();
    let again = ControlPacket::parse(&written).map(|again| {
        // The authentication section is not written, and with it goes the A bit.
        ControlPacket { authenticated: packet.authenticated, ..again }
    });
    assert_eq!(again, Ok(packet), "decode ∘ encode");
    assert_eq!(written.get(4..), data.get(4..LEN), "every number is where it was");
    let discriminator = packet.your_discriminator.unwrap_or(Discriminator::MIN);
    let expectation = Expectation { peer: source, interface: Some(3), discriminator };
    assert!(expectation.is_selected(&datagram, &packet));
    let accepted = receive::check(&datagram, &packet, Some(expectation)).is_ok();
    let speaks_first = packet.your_discriminator.is_none();
    let claims = matches!(packet.state, State::Init | State::Up);
    assert_ne!(accepted, packet.authenticated || (speaks_first && claims), "§6.8.6");
    assert!(receive::check(&datagram, &packet, None).is_err(), "nobody is there for it");
}

/// A history. The first four bytes are the session's parameters; then each byte says what happens, and takes what it needs.
pub fn session(data: &[u8]) {
    let mut bytes = data.iter().copied();
    let mut next = || bytes.next();
    let (Some(tx), Some(rx), Some(multiplier), Some(role)) = (next(), next(), next(), next())
    else {
        return;
    };
    let mut now = Instant::from_start(Duration::from_secs(100));
    let params = params(tx, rx, multiplier).with_passive(role & 1 != 0);
    let mut session = Session::new(now, params, u64::from(role));
    for _ in 0..2000 {
        let Some(what) = next() else { return };
        let sent = session.counters().sent;
        let mut inputs = 1;
        match what % 8 {
            0..=2 => {
                let Some(packet) = packet(&mut next) else { return };
                let age = Duration::from_millis(u64::from(what >> 3));
                session.handle(now, Event::Received { packet, at: now - age });
            }
            3 => session.handle(now, Event::AdminDown),
            4 => session.handle(now, Event::AdminUp),
            5 => {
                let (Some(tx), Some(rx)) = (next(), next()) else { return };
                session.handle(now, Event::Reconfigure(self::params(tx, rx, what)));
            }
            6 => now += Duration::from_millis(u64::from(what)),
            _ => {
                // As the driver does: to the deadline, and not beyond.
                if let Some((due, _)) = session.poll_timeout() {
                    now = now.max(due);
                }
                session.handle_timeout(now, now);
                inputs = 2;
            }
        }
        check(&mut session, now, sent, inputs);
    }
}

/// What holds after every input.
fn check(session: &mut Session, now: Instant, sent: u64, inputs: usize) {
    let mut packets = 0;
    while let Some(action) = session.poll_action() {
        match action {
            Action::Changed(transition) => assert_ne!(transition.from, transition.to),
            Action::Send(packet) => {
                packets += 1;
                assert!(!(packet.poll && packet.is_final), "§6.5: never both");
                assert!(!packet.demand && !packet.authenticated);
                assert!(packet.state == State::Up || packet.desired_min_tx >= SLOW, "§6.8.3");
                assert_eq!(packet.my_discriminator, session.params().discriminator());
            }
        }
    }
    assert!(packets <= inputs, "an input makes at most one packet");
    assert_eq!(session.counters().sent - sent, packets as u64);
    assert_eq!(session.counters().actions_dropped, 0);
    if matches!(session.state(), State::Init | State::Up) {
        assert!(session.detection_deadline().is_some(), "silence would never be noticed");
    }
    // What is due is done: a driver that fires at the deadline gets on.
    session.handle_timeout(now, now);
    while session.poll_action().is_some() {}
    assert!(session.poll_timeout().is_none_or(|(due, _)| due > now), "a busy loop");
}

fn params(tx: u8, rx: u8, multiplier: u8) -> Params {
    let interval = |byte: u8| Duration::from_millis(u64::from(byte) * 10 + 1);
    let multiplier = NonZeroU8::new(multiplier).unwrap_or(NonZeroU8::MIN);
    Params::new(Discriminator::MIN, interval(tx), interval(rx), multiplier)
        .unwrap_or_else(|_| Params::slow(Discriminator::MIN, multiplier))
}

/// A packet of six bytes: two for the flags, the multiplier, and the intervals in units of 5 ms.
fn packet(next: &mut impl FnMut() -> Option<u8>) -> Option<ControlPacket> {
    let mut bytes = [0; LEN];
    let (diagnostic, flags, multiplier) = (next()?, next()?, next()?);
    let (number, tx, rx) = (next()?, next()?, next()?);
    let micros = |byte: u8| (u32::from(byte) * 5000).to_be_bytes();
    let header = [0x20 | diagnostic & 0x1f, flags & 0xfa, multiplier.max(1), 24];
    bytes.get_mut(..4)?.copy_from_slice(&header);
    bytes.get_mut(4..8)?.copy_from_slice(&u32::from(number).saturating_add(1).to_be_bytes());
    bytes.get_mut(8..12)?.copy_from_slice(&1_u32.to_be_bytes());
    bytes.get_mut(12..16)?.copy_from_slice(&micros(tx));
    bytes.get_mut(16..20)?.copy_from_slice(&micros(rx));
    ControlPacket::parse(&bytes).ok()
}
