//! The view of an advertisement's bytes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::Sum;
use super::{ChecksumForm, Format, HEADER_LEN};
use crate::types::{Interval, Priority, Vrid};

/// Where the fields are (RFC 9568 §5.2, RFC 3768 §5.1).
mod field {
    pub(super) const VERSION_TYPE: usize = 0;
    pub(super) const VRID: usize = 1;
    pub(super) const PRIORITY: usize = 2;
    pub(super) const COUNT: usize = 3;
    /// Version 2: Auth Type. Version 3: four reserved bits and the interval's upper four.
    pub(super) const AUTH_TYPE_OR_INTERVAL_HIGH: usize = 4;
    pub(super) const INTERVAL: usize = 5;
    pub(super) const CHECKSUM: usize = 6;
}

/// The bytes of an IP payload, read as an advertisement. At least [`HEADER_LEN`] bytes long; nothing else has been checked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<T: AsRef<[u8]>> {
    buffer: T,
}

/// The fixed header only: version 2's password is among the bytes behind it.
impl<T: AsRef<[u8]>> fmt::Debug for Packet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = self.bytes().get(..HEADER_LEN).unwrap_or_default();
        f.debug_struct("Packet").field("header", &header).field("len", &self.bytes().len()).finish()
    }
}

impl<T: AsRef<[u8]>> Packet<T> {
    /// The view of `buffer`; none when it is shorter than [`HEADER_LEN`].
    pub fn new_checked(buffer: T) -> Option<Self> {
        (buffer.as_ref().len() >= HEADER_LEN).then_some(Self { buffer })
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_ref()
    }

    /// Version, the upper half of the first byte: 0 to 15.
    pub fn version(&self) -> u8 {
        self.byte(field::VERSION_TYPE) >> 4
    }

    /// Type, the lower half of the first byte: 0 to 15.
    pub fn kind(&self) -> u8 {
        self.byte(field::VERSION_TYPE) & 0x0f
    }

    /// Virtual Rtr ID; none for 0.
    pub fn vrid(&self) -> Option<Vrid> {
        Vrid::new(self.byte(field::VRID))
    }

    /// Priority.
    pub fn priority(&self) -> Priority {
        Priority::new(self.byte(field::PRIORITY))
    }

    /// IPvX Addr Count: how many addresses the message claims to have.
    pub fn count(&self) -> u8 {
        self.byte(field::COUNT)
    }

    /// Auth Type of version 2 (RFC 3768 §5.3.6): 0 is none, 1 a password in clear text, 2 the IP Authentication Header.
    pub fn auth_type(&self) -> u8 {
        self.byte(field::AUTH_TYPE_OR_INTERVAL_HIGH)
    }

    /// The interval in `format`'s units and width; none for 0. The four reserved bits of version 3 are ignored.
    pub fn interval(&self, format: Format) -> Option<Interval> {
        let low = self.byte(field::INTERVAL);
        match format {
            Format::V2 => Interval::from_seconds(low),
            Format::V3Ipv4 | Format::V3Ipv6 => {
                let high = self.byte(field::AUTH_TYPE_OR_INTERVAL_HIGH) & 0x0f;
                Interval::from_centiseconds(u16::from_be_bytes([high, low]))
            }
        }
    }

    /// Checksum as it stands there.
    pub fn checksum(&self) -> u16 {
        u16::from_be_bytes([self.byte(field::CHECKSUM), self.byte(field::CHECKSUM + 1)])
    }

    /// The length in bytes that the message should have, by `format` and its own count.
    pub fn message_len(&self, format: Format) -> usize {
        format.message_len(self.count())
    }

    /// The addresses: as many as are counted and as the bytes hold.
    pub fn addresses(&self, format: Format) -> Addresses<'_> {
        let end = HEADER_LEN + usize::from(self.count()) * format.address_len();
        let bytes = self.bytes();
        let bytes = bytes.get(HEADER_LEN..end.min(bytes.len())).unwrap_or_default();
        match format {
            Format::V2 | Format::V3Ipv4 => Addresses::of_ipv4(bytes),
            Format::V3Ipv6 => Addresses(Source::Ipv6(bytes)),
        }
    }

    /// The eight bytes of authentication data that follow the addresses of version 2 (RFC 3768 §5.3.10); none where the format
    /// or the bytes have none.
    pub fn authentication_data(&self, format: Format) -> Option<[u8; 8]> {
        let end = self.message_len(format);
        let start = end - format.trailer_len();
        self.bytes().get(start..end)?.try_into().ok()
    }

    /// The form in which the checksum is right; none when it is right in no form that `format` allows. Only version 3 over
    /// IPv4 allows two, which costs one bit of sixteen, and by unicast a third one.
    pub fn checksum_form(
        &self,
        format: Format,
        source: IpAddr,
        destination: IpAddr,
    ) -> Option<ChecksumForm> {
        let message = Sum::default().add(self.bytes());
        let message_only = || (message.fold() == u16::MAX).then_some(ChecksumForm::MessageOnly);
        let with = |destination| {
            let sum = message.add_pseudo_header(source, destination, self.bytes().len())?;
            (sum.fold() == u16::MAX).then_some(())
        };
        let pseudo_header = || with(destination).map(|()| ChecksumForm::PseudoHeader);
        let old_unicast = || {
            let group = Some(format.family().multicast_group());
            let sum = group.filter(|_| !destination.is_multicast()).and_then(with);
            sum.map(|()| ChecksumForm::OldUnicast)
        };
        match format {
            Format::V2 => message_only(),
            Format::V3Ipv4 => message_only().or_else(pseudo_header).or_else(old_unicast),
            Format::V3Ipv6 => pseudo_header(),
        }
    }

    /// The byte at `index`. All fixed fields lie within [`HEADER_LEN`], which the constructor has checked.
    fn byte(&self, index: usize) -> u8 {
        self.bytes().get(index).copied().unwrap_or_default()
    }
}

/// Addresses where they are, in a packet or in a list, without a copy. Iterate to read them.
#[derive(Clone, Debug)]
pub struct Addresses<'a>(Source<'a>);

#[derive(Clone, Debug)]
enum Source<'a> {
    Ipv4(&'a [u8]),
    Ipv6(&'a [u8]),
    List(&'a [IpAddr]),
}

impl<'a> Addresses<'a> {
    /// The IPv4 addresses in `bytes`; a rest of less than four is left over.
    pub(crate) const fn of_ipv4(bytes: &'a [u8]) -> Self {
        Self(Source::Ipv4(bytes))
    }

    /// The addresses of a list.
    pub(crate) const fn of_list(list: &'a [IpAddr]) -> Self {
        Self(Source::List(list))
    }
}

impl Iterator for Addresses<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        match &mut self.0 {
            Source::Ipv4(bytes) => {
                let (address, rest) = bytes.split_first_chunk::<4>()?;
                *bytes = rest;
                Some(IpAddr::V4(Ipv4Addr::from(*address)))
            }
            Source::Ipv6(bytes) => {
                let (address, rest) = bytes.split_first_chunk::<16>()?;
                *bytes = rest;
                Some(IpAddr::V6(Ipv6Addr::from(*address)))
            }
            Source::List(list) => {
                let (address, rest) = list.split_first()?;
                *list = rest;
                Some(*address)
            }
        }
    }
}
