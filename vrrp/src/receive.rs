//! The way of a received packet: every rule of RFC 9568 §7.1 (errata 8298 to 8301) and RFC 3768 §7.1, in one order, as a pure
//! function. [`identify`] reads the VRID so that the socket's owner can look up the virtual router; [`check`] does the rest.
//! What fails is a [`DiscardReason`] and must change counters only.

mod datagram;

use std::net::IpAddr;

use serde::Serialize;

pub use datagram::Datagram;

use crate::address::is_link_local_where_needed;
use crate::discard::DiscardReason;
use crate::router::{Advertisement, Params};
use crate::types::{AddressFamily, Interval, Priority, Version, Vrid};
use crate::wire::{
    self, ADVERTISEMENT, Addresses, Authentication, ChecksumForm, Format, HOP_LIMIT, Packet,
};

/// A datagram that is long enough to say which virtual router it is for. Nothing else about it has been checked.
#[derive(Clone, Copy, Debug)]
pub struct Identified<'a> {
    datagram: Datagram<'a>,
    packet: Packet<&'a [u8]>,
}

impl Identified<'_> {
    /// The virtual router's number; none for 0, which no router has.
    pub fn vrid(&self) -> Option<Vrid> {
        self.packet.vrid()
    }

    /// The family of the packet that carried it. With the interface and [`Identified::vrid`] it says which router is meant.
    pub fn family(&self) -> AddressFamily {
        AddressFamily::of(self.datagram.source)
    }

    /// Who sent it.
    pub const fn source(&self) -> IpAddr {
        self.datagram.source
    }

    /// The addresses that it has; none of a version that its family does not have. Whether it is sound is another question.
    pub fn addresses(&self) -> Option<Addresses<'_>> {
        Some(self.packet.addresses(self.format()?))
    }

    /// The interval that it says; none of 0, and none of a version that its family does not have. Whether it is sound is another
    /// question.
    pub fn interval(&self) -> Option<Interval> {
        self.packet.interval(self.format()?)
    }

    fn format(&self) -> Option<Format> {
        wire::known_format(self.packet.version(), self.family())
    }
}

/// What the receiving virtual router is configured with.
#[derive(Clone, Copy, Debug)]
pub struct Expectation<'a> {
    /// Its parameters.
    pub params: &'a Params,
    /// The primary address of its interface, when it has one.
    pub primary: Option<IpAddr>,
    /// Its unicast peers: nobody else is heard. Without any it speaks by multicast and hears every router of the link.
    pub peers: &'a [Peer],
}

impl<'a> Expectation<'a> {
    /// The same of a router that speaks to these unicast peers.
    pub const fn with_peers(self, peers: &'a [Peer]) -> Self {
        Self { peers, ..self }
    }
}

/// A unicast peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// Its address, which its packets come from.
    pub address: IpAddr,
    /// The least and the greatest TTL or Hop Limit with which it is heard. 255 and 255 is a neighbour on the link, as with
    /// multicast; each router on the way takes one off.
    pub ttl: (u8, u8),
}

impl Peer {
    /// A neighbour: what a router has forwarded is not heard.
    pub const fn neighbour(address: IpAddr) -> Self {
        Self { address, ttl: (HOP_LIMIT, HOP_LIMIT) }
    }
}

/// An advertisement that passed every check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// What the machine wants to know: give it to [`crate::Event::Advertisement`].
    pub advertisement: Advertisement,
    /// What is odd about it though valid.
    pub observations: Observations,
}

/// What is odd about a valid advertisement. RFC 9568 wants it logged (rate limited) and the packet processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Observations {
    /// The addresses differ from ours (RFC 9568 §7.1, MAY): somebody's configuration is wrong, or the VRID is used twice.
    pub address_list_differs: bool,
    /// Version 3 and the interval differs from ours: the Backup learns it, but the configurations should agree.
    pub interval_differs: bool,
    /// Both we and the sender claim to own the addresses (erratum 8298): one priority of 255 is wrong.
    pub owner_conflict: bool,
}

impl Observations {
    /// Whether there is anything to report.
    pub const fn any(self) -> bool {
        self.address_list_differs || self.interval_differs || self.owner_conflict
    }
}

/// Reads which virtual router `datagram` is for.
///
/// # Errors
/// [`DiscardReason::TooShort`] when it has no complete header.
pub fn identify(datagram: Datagram<'_>) -> Result<Identified<'_>, DiscardReason> {
    let packet = Packet::new_checked(datagram.payload).ok_or(DiscardReason::TooShort)?;
    Ok(Identified { datagram, packet })
}

/// Checks a packet against the router that it is for. Call it without one when there is none: the packet then fails for the
/// reason that comes first, [`DiscardReason::UnknownVrid`] at the latest.
///
/// # Errors
/// The first rule that the packet breaks.
pub fn check(
    identified: &Identified<'_>,
    expectation: Option<Expectation<'_>>,
) -> Result<Received, DiscardReason> {
    let format = check_form(identified, expectation)?;
    let expectation = expectation
        .filter(|expectation| identified.vrid() == Some(expectation.params.vrid()))
        .ok_or(DiscardReason::UnknownVrid)?;
    let (interval, checksum_form) = check_content(identified, format)?;
    let observations = check_agreement(identified, format, interval, expectation)?;
    let source = identified.source();
    if expectation.primary == Some(source) {
        return Err(DiscardReason::OwnSource);
    }
    let priority = identified.packet.priority();
    let advertisement = Advertisement { source, priority, interval, checksum_form };
    Ok(Received { advertisement, observations })
}

/// Whether a packet that may be for no router here is a neighbour's advertisement which keeps all rules that need no router to be
/// known: what it says can be believed as far as anything on the link.
pub fn is_sound(identified: &Identified<'_>) -> bool {
    check_form(identified, None).is_ok_and(|format| check_content(identified, format).is_ok())
}

/// Who sent it and from how far. What is for no router has to be a neighbour's.
fn check_source(
    datagram: &Datagram<'_>,
    expectation: Option<Expectation<'_>>,
) -> Result<(), DiscardReason> {
    let peers = expectation.map_or(&[][..], |expectation| expectation.peers);
    let (least, greatest) = match peers {
        [] => (HOP_LIMIT, HOP_LIMIT),
        peers => {
            let peer = peers.iter().find(|peer| peer.address == datagram.source);
            peer.ok_or(DiscardReason::NotAPeer)?.ttl
        }
    };
    match datagram.hop_limit {
        Some(hop_limit) if (least..=greatest).contains(&hop_limit) => Ok(()),
        Some(_) | None => Err(DiscardReason::HopLimit),
    }
}

/// What can be read from the form: version, type, length; source and hop limit before them.
fn check_form(
    identified: &Identified<'_>,
    expectation: Option<Expectation<'_>>,
) -> Result<Format, DiscardReason> {
    let Identified { datagram, packet } = identified;
    check_source(datagram, expectation)?;
    let format = identified
        .format()
        .filter(|&format| expectation.is_none_or(|ours| ours.params.format() == format))
        .ok_or(DiscardReason::Version)?;
    if packet.kind() != ADVERTISEMENT {
        return Err(DiscardReason::Type);
    }
    let len = packet.bytes().len();
    let expected = packet.message_len(format);
    if is_carp(packet, format) {
        Err(DiscardReason::Carp)
    } else if len < expected {
        Err(DiscardReason::Truncated)
    } else if len > expected {
        Err(DiscardReason::TrailingBytes)
    } else {
        Ok(format)
    }
}

/// Whether it is an advertisement of CARP: version 2, type 1, authentication length 7 where VRRP counts addresses, and 36 bytes
/// in all. A complete VRRP packet with seven addresses has 44.
fn is_carp(packet: &Packet<&[u8]>, format: Format) -> bool {
    format == Format::V2 && packet.count() == 7 && packet.bytes().len() == 36
}

/// What the message must hold whoever receives it: checksum, count, interval, first address.
fn check_content(
    identified: &Identified<'_>,
    format: Format,
) -> Result<(Interval, ChecksumForm), DiscardReason> {
    let Identified { datagram, packet } = identified;
    let checksum_form = packet
        .checksum_form(format, datagram.source, datagram.destination)
        .ok_or(DiscardReason::Checksum)?;
    let first = packet.addresses(format).next();
    if first.is_none() && format.version() == Version::V3 {
        return Err(DiscardReason::NoAddresses);
    }
    let interval = packet.interval(format).ok_or(DiscardReason::ZeroInterval)?;
    if !first.is_none_or(is_link_local_where_needed) {
        return Err(DiscardReason::FirstNotLinkLocal);
    }
    Ok((interval, checksum_form))
}

/// Whether the sender and we agree on what the virtual router is. Version 2 discards where version 3 only observes.
fn check_agreement(
    identified: &Identified<'_>,
    format: Format,
    interval: Interval,
    Expectation { params, .. }: Expectation<'_>,
) -> Result<Observations, DiscardReason> {
    let packet = &identified.packet;
    if format == Format::V2 {
        check_authentication(packet, params.authentication())?;
    }
    let theirs_own = packet.priority() == Priority::OWNER;
    let observations = Observations {
        address_list_differs: !params.addresses().matches(packet.addresses(format)),
        interval_differs: interval != params.advertisement_interval(),
        owner_conflict: params.priority() == Priority::OWNER && theirs_own,
    };
    match format.version() {
        Version::V3 => Ok(observations),
        Version::V2 if observations.interval_differs => Err(DiscardReason::IntervalMismatch),
        Version::V2 if params.priority() == Priority::OWNER => Err(DiscardReason::LocalOwner),
        Version::V2 if observations.address_list_differs && !theirs_own => {
            Err(DiscardReason::AddressList)
        }
        Version::V2 => Ok(observations),
    }
}

/// RFC 2338 §7.1 and RFC 3768 §7.1: the types are the same, and so are the passwords. The bytes of type 0 are ignored.
fn check_authentication(packet: &Packet<&[u8]>, ours: Authentication) -> Result<(), DiscardReason> {
    if packet.auth_type() != ours.auth_type() {
        return Err(DiscardReason::AuthType);
    }
    match ours {
        Authentication::Password(ours) if packet.authentication_data(Format::V2) != Some(ours) => {
            Err(DiscardReason::Password)
        }
        Authentication::None | Authentication::Password(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
