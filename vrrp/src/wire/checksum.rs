//! The checksum (RFC 9568 §5.2.8): the Internet's ones' complement sum, over two different things.

use std::net::IpAddr;

use serde::Serialize;

use super::{Format, PROTOCOL};

/// What the checksum of a version 3 advertisement over IPv4 covers. Version 2 always covers the message alone, and IPv6 always
/// the pseudo-header too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumForm {
    /// The message alone: RFC 9568 §5.2.8; Cisco, Juniper, Arista.
    MessageOnly,
    /// The message and an IPv4 pseudo-header: RFC 5798 §5.2.8 as keepalived and FRR read it. The default for sending, since
    /// their receivers accept nothing else unless told to.
    #[default]
    PseudoHeader,
    /// The message and an IPv4 pseudo-header with the group 224.0.0.18 as its destination, though it goes to one peer: unicast of
    /// keepalived up to 1.3.6, and since with `old_unicast_checksum`. By multicast it is [`Self::PseudoHeader`].
    OldUnicast,
}

impl ChecksumForm {
    /// The name in logs, metrics and status.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MessageOnly => "message_only",
            Self::PseudoHeader => "pseudo_header",
            Self::OldUnicast => "old_unicast",
        }
    }

    /// The form that `format` is sent with when version 3 over IPv4 uses `self`.
    pub const fn for_format(self, format: Format) -> Self {
        match format {
            Format::V2 => Self::MessageOnly,
            Format::V3Ipv4 => self,
            Format::V3Ipv6 => Self::PseudoHeader,
        }
    }
}

/// Which form an advertisement of version 3 over IPv4 is sent with. Received ones may have any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChecksumChoice {
    /// With the pseudo-header until a peer has sent a valid advertisement in another form, then as the last one that was heard did.
    #[default]
    Auto,
    /// [`ChecksumForm::MessageOnly`], as RFC 9568 §5.2.8 has it.
    Rfc9568,
    /// [`ChecksumForm::PseudoHeader`].
    PseudoHeader,
}

impl ChecksumChoice {
    /// The form to send with when the last valid advertisement of a peer, if there was one, had the form `heard`.
    pub fn form(self, heard: Option<ChecksumForm>) -> ChecksumForm {
        match self {
            Self::Auto => heard.unwrap_or_default(),
            Self::Rfc9568 => ChecksumForm::MessageOnly,
            Self::PseudoHeader => ChecksumForm::PseudoHeader,
        }
    }
}

/// A running ones' complement sum of 16-bit words.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum(u64);

impl Sum {
    /// Adds `bytes`, an odd last one padded with zero. A message has 4088 bytes at most, so 64 bits don't overflow.
    pub(super) fn add(self, bytes: &[u8]) -> Self {
        let (words, last) = bytes.as_chunks::<2>();
        let words: u64 = words.iter().map(|&word| u64::from(u16::from_be_bytes(word))).sum();
        let last = last.first().map_or(0, |&last| u64::from(last) << 8);
        Self(self.0 + words + last)
    }

    /// Adds the pseudo-header of a message of `len` bytes: the upper-layer length is 16 bits of IPv4 (RFC 793) and 32 of IPv6
    /// (RFC 8200 §8.1), which is the same to the sum. None when the addresses are of two families.
    pub(super) fn add_pseudo_header(
        self,
        source: IpAddr,
        destination: IpAddr,
        len: usize,
    ) -> Option<Self> {
        let addresses = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                self.add(&source.octets()).add(&destination.octets())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                self.add(&source.octets()).add(&destination.octets())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        let len = u32::try_from(len).ok()?;
        Some(addresses.add(&len.to_be_bytes()).add(&[0, PROTOCOL]))
    }

    /// The sum folded to 16 bits.
    pub(super) fn fold(self) -> u16 {
        let mut sum = self.0;
        loop {
            match u16::try_from(sum) {
                Ok(sum) => return sum,
                Err(_) => sum = (sum & 0xffff) + (sum >> 16),
            }
        }
    }
}
