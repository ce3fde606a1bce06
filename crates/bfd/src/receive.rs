//! The checks on receipt (RFC 5881 §5, RFC 5880 §6.8.6), in their order; the first that fails is the reason for the discard.
//!
//! [`read`] makes those that need no session, [`check`] the others. What passes both is given to the session's machine.

use std::net::IpAddr;

use crate::discard::DiscardReason;
use crate::wire::{ControlPacket, Discriminator, HOP_LIMIT, Selector, State};

/// A received UDP datagram to BFD's port.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// Who sent it.
    pub source: IpAddr,
    /// The interface that it came in on, by the kernel's number.
    pub interface: u32,
    /// TTL or hop limit as it arrived; none when the kernel did not say.
    pub hop_limit: Option<u8>,
    /// The UDP payload.
    pub payload: &'a [u8],
}

/// What a session wants of the packets that are for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The peer's address.
    pub peer: IpAddr,
    /// The session's interface, by the kernel's number; none = any.
    pub interface: Option<u32>,
    /// Our number of the session: bfd.LocalDiscr.
    pub discriminator: Discriminator,
}

impl Expectation {
    /// Whether a packet that comes from there is from this session's peer.
    pub fn is_from_peer(&self, source: IpAddr, interface: u32) -> bool {
        self.peer == source && self.interface.is_none_or(|own| own == interface)
    }

    /// Whether `packet` selects this session.
    pub fn is_selected(&self, datagram: &Datagram<'_>, packet: &ControlPacket) -> bool {
        match packet.selector() {
            Selector::Discriminator(discriminator) => self.discriminator == discriminator,
            Selector::Addresses => self.is_from_peer(datagram.source, datagram.interface),
        }
    }
}

/// Reads a datagram as a control packet, by the checks that need no session.
///
/// # Errors
/// The first check that fails.
pub fn read(datagram: &Datagram<'_>) -> Result<ControlPacket, DiscardReason> {
    if datagram.hop_limit != Some(HOP_LIMIT) {
        return Err(DiscardReason::HopLimit);
    }
    ControlPacket::parse(datagram.payload)
}

/// Checks a packet that [`read`] let through for the session that it selects; none when there is no such.
///
/// # Errors
/// The first check that fails.
pub fn check(
    datagram: &Datagram<'_>,
    packet: &ControlPacket,
    session: Option<Expectation>,
) -> Result<(), DiscardReason> {
    let expectation = match (packet.selector(), session) {
        (Selector::Discriminator(_), None) => return Err(DiscardReason::UnknownDiscriminator),
        (Selector::Addresses, _) if matches!(packet.state, State::Init | State::Up) => {
            return Err(DiscardReason::ZeroYourDiscriminator);
        }
        (Selector::Addresses, None) => return Err(DiscardReason::UnknownPeer),
        (Selector::Discriminator(_) | Selector::Addresses, Some(expectation)) => expectation,
    };
    if !expectation.is_from_peer(datagram.source, datagram.interface) {
        return Err(DiscardReason::WrongPeer);
    }
    if packet.authenticated {
        return Err(DiscardReason::Authenticated);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
