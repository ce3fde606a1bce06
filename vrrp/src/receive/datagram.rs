//! What a socket tells about a received packet.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use crate::discard::DiscardReason;
use crate::wire::PROTOCOL;

/// A received IP packet of protocol 112. Source and destination are of one family.
#[derive(Clone, Copy)]
pub struct Datagram<'a> {
    /// The IP header's source.
    pub source: IpAddr,
    /// The IP header's destination.
    pub destination: IpAddr,
    /// The TTL or Hop Limit; none when the kernel did not say, which discards the packet.
    pub hop_limit: Option<u8>,
    /// What follows the IP header, up to the length that the header says.
    pub payload: &'a [u8],
}

/// Without the payload's bytes: version 2's password is among them.
impl fmt::Debug for Datagram<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, hop_limit, payload } = self;
        f.debug_struct("Datagram")
            .field("source", source)
            .field("destination", destination)
            .field("hop_limit", hop_limit)
            .field("len", &payload.len())
            .finish()
    }
}

impl<'a> Datagram<'a> {
    /// Takes apart a whole IPv4 packet, as a raw IPv4 socket delivers it: options are skipped, bytes beyond the total length
    /// (Ethernet's padding) are cut off. The header's checksum is the kernel's business.
    ///
    /// # Errors
    /// [`DiscardReason::IpHeader`] when it is not a complete IPv4 packet of protocol 112, [`DiscardReason::Fragment`] when it
    /// is a part of one.
    pub fn from_ipv4(packet: &'a [u8]) -> Result<Self, DiscardReason> {
        let (header, _) = packet.split_first_chunk::<20>().ok_or(DiscardReason::IpHeader)?;
        let [
            version_ihl,
            _,
            len_high,
            len_low,
            _,
            _,
            fragment_high,
            fragment_low,
            ttl,
            protocol,
            _,
            _,
            addresses @ ..,
        ] = *header;
        let header_len = usize::from(version_ihl & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([len_high, len_low]));
        if version_ihl >> 4 != 4 || header_len < 20 || protocol != PROTOCOL {
            return Err(DiscardReason::IpHeader);
        }
        // More-fragments or an offset; don't-fragment and the reserved bit may be anything.
        if u16::from_be_bytes([fragment_high, fragment_low]) & 0x3fff != 0 {
            return Err(DiscardReason::Fragment);
        }
        let payload = packet.get(header_len..total_len).ok_or(DiscardReason::IpHeader)?;
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        Ok(Self {
            source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
            destination: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
            hop_limit: Some(ttl),
            payload,
        })
    }
}
