//! The advertisement on the wire (RFC 9568 §5.2, RFC 3768 §5.3): what comes after the IP header.
//!
//! Two layers: [`Packet`] is a view of bytes whose accessors can't fail, [`Repr`] is an advertisement that has a meaning.
//! [`Repr::parse`] leads from one to the other and [`Repr::emit`] back; neither allocates, and no input makes them panic. What
//! a receiver has to check beyond the form (hop limit, VRID, checksum, configuration) is in [`crate::receive`].

mod checksum;
mod packet;
mod repr;

pub use checksum::{ChecksumChoice, ChecksumForm};
pub use packet::{Addresses, Packet};
pub(crate) use repr::known_format;
pub use repr::{Authentication, BufferTooShort, Malformed, Repr};

use serde::Serialize;

use crate::types::{AddressFamily, Version};

/// VRRP's number among the IP protocols (RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;

/// The TTL or Hop Limit of every advertisement (RFC 9568 §5.1.1.3): no packet that was forwarded has it.
pub const HOP_LIMIT: u8 = 255;

/// The length in bytes of what all formats begin with.
pub const HEADER_LEN: usize = 8;

/// The only message type, ADVERTISEMENT (RFC 9568 §5.2.2).
pub const ADVERTISEMENT: u8 = 1;

/// The longest advertisement in bytes: version 3 with 255 IPv6 addresses.
pub const MAX_LEN: usize = HEADER_LEN + 255 * 16;

/// What an advertisement looks like: the pairs of version and family that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Version 2, which knows IPv4 only; eight bytes of authentication data follow the addresses.
    V2,
    /// Version 3 over IPv4.
    V3Ipv4,
    /// Version 3 over IPv6.
    V3Ipv6,
}

impl Format {
    /// The format of `version` over `family`; none for version 2 over IPv6.
    pub const fn new(version: Version, family: AddressFamily) -> Option<Self> {
        match (version, family) {
            (Version::V2, AddressFamily::Ipv4) => Some(Self::V2),
            (Version::V2, AddressFamily::Ipv6) => None,
            (Version::V3, AddressFamily::Ipv4) => Some(Self::V3Ipv4),
            (Version::V3, AddressFamily::Ipv6) => Some(Self::V3Ipv6),
        }
    }

    /// The version that it belongs to.
    pub const fn version(self) -> Version {
        match self {
            Self::V2 => Version::V2,
            Self::V3Ipv4 | Self::V3Ipv6 => Version::V3,
        }
    }

    /// The family of its addresses.
    pub const fn family(self) -> AddressFamily {
        match self {
            Self::V2 | Self::V3Ipv4 => AddressFamily::Ipv4,
            Self::V3Ipv6 => AddressFamily::Ipv6,
        }
    }

    /// The length in bytes of one address.
    pub const fn address_len(self) -> usize {
        match self.family() {
            AddressFamily::Ipv4 => 4,
            AddressFamily::Ipv6 => 16,
        }
    }

    /// The length in bytes of what follows the addresses.
    pub const fn trailer_len(self) -> usize {
        match self {
            Self::V2 => 8,
            Self::V3Ipv4 | Self::V3Ipv6 => 0,
        }
    }

    /// The length in bytes of the whole message with `count` addresses.
    pub const fn message_len(self, count: u8) -> usize {
        HEADER_LEN + count as usize * self.address_len() + self.trailer_len()
    }
}

#[cfg(test)]
mod tests;
