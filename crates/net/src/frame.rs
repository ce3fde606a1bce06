//! Frames byte for byte: the two that tell a link where a virtual address lives now, and an advertisement from the virtual MAC
//! address. Nothing here sends them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::interface::MacAddress;
use crate::received::NETWORK_CONTROL;
use crate::vrrp_socket::{PROTOCOL, Packet};

/// EtherType of ARP (RFC 826).
pub(crate) const ETHERTYPE_ARP: u16 = 0x0806;
/// EtherType of IPv4 (RFC 894).
const ETHERTYPE_IPV4: u16 = 0x0800;
/// EtherType of IPv6 (RFC 2464 §3).
pub(crate) const ETHERTYPE_IPV6: u16 = 0x86dd;

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// [`ALL_NODES`] as an Ethernet address (RFC 2464 §7).
const ALL_NODES_MAC: MacAddress = MacAddress::new([0x33, 0x33, 0, 0, 0, 1]);
/// Next header ICMPv6 (RFC 4443 §1).
const ICMPV6: u8 = 58;
/// Length of a neighbour advertisement with one target link-layer address option: 24 + 8 bytes.
const ADVERTISEMENT_LEN: u16 = 32;
/// Router = 1, Solicited = 0, Override = 1 (RFC 9568 §6.4.1 for an unsolicited advertisement of a virtual address).
const ROUTER_AND_OVERRIDE: u8 = 0xa0;

/// A gratuitous ARP: a request (operation 1) whose sender and target are both `address`, from `mac`, to everybody
/// (RFC 9568 §6.4.1 with errata 7947 and 7949; a request, as RFC 5227 §3 advises). 42 bytes, unpadded: the driver pads.
pub fn gratuitous_arp(mac: MacAddress, address: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    ethernet(&mut frame, MacAddress::BROADCAST, mac, ETHERTYPE_ARP);
    // Hardware type Ethernet, protocol type IPv4, their address lengths 6 and 4, operation request.
    frame.extend_from_slice(&[0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend_from_slice(&mac.octets());
    frame.extend_from_slice(&address.octets());
    // The target's hardware address is what a request asks for: zero (RFC 5227 §2.3 with §2.1.1).
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&address.octets());
    frame
}

/// An unsolicited neighbour advertisement of `address` at `mac` to all nodes: R = 1, S = 0, O = 1, with the target link-layer
/// address option (RFC 9568 §6.4.1, RFC 4861 §4.4 and §7.2.6), hop limit 255. 86 bytes.
///
/// Its source is the virtual address itself, link-local or not: RFC 4861 §4.4 wants an address of the interface, this one is
/// certainly there when it is announced, and filters against spoofed advertisements compare source and target.
pub fn unsolicited_neighbour_advertisement(mac: MacAddress, address: Ipv6Addr) -> Vec<u8> {
    let mut message = Vec::with_capacity(usize::from(ADVERTISEMENT_LEN));
    // Type 136, code 0, checksum still zero; flags and reserved bits.
    message.extend_from_slice(&[136, 0, 0, 0, ROUTER_AND_OVERRIDE, 0, 0, 0]);
    message.extend_from_slice(&address.octets());
    // Option 2, target link-layer address, of one unit of 8 bytes.
    message.extend_from_slice(&[2, 1]);
    message.extend_from_slice(&mac.octets());
    let checksum = icmpv6_checksum(address, ALL_NODES, &message);

    let mut frame = Vec::with_capacity(86);
    ethernet(&mut frame, ALL_NODES_MAC, mac, ETHERTYPE_IPV6);
    frame.extend_from_slice(&[0x60, 0, 0, 0]);
    frame.extend_from_slice(&ADVERTISEMENT_LEN.to_be_bytes());
    frame.extend_from_slice(&[ICMPV6, 255]);
    frame.extend_from_slice(&address.octets());
    frame.extend_from_slice(&ALL_NODES.octets());
    let checksum_field = 2..4;
    message.splice(checksum_field, checksum.to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

/// An advertisement to a group in a frame from `mac`, with its EtherType; none when the addresses are of two families, the
/// destination is no group, or the payload is longer than an IP packet can be.
pub(crate) fn vrrp_frame(mac: MacAddress, packet: &Packet<'_>) -> Option<(Vec<u8>, u16)> {
    let length = u16::try_from(packet.payload.len()).ok()?;
    let to = group_mac(packet.destination)?;
    let mut frame = Vec::with_capacity(14 + 40 + packet.payload.len());
    let ethertype = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet(&mut frame, to, mac, ETHERTYPE_IPV4);
            let header = ipv4_header(source, destination, packet.hop_limit, length)?;
            frame.extend_from_slice(&header);
            ETHERTYPE_IPV4
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet(&mut frame, to, mac, ETHERTYPE_IPV6);
            // Version 6, the traffic class across the first two bytes, no flow label.
            frame.extend_from_slice(&[0x60 | NETWORK_CONTROL >> 4, NETWORK_CONTROL << 4, 0, 0]);
            frame.extend_from_slice(&length.to_be_bytes());
            frame.extend_from_slice(&[PROTOCOL, packet.hop_limit]);
            frame.extend_from_slice(&source.octets());
            frame.extend_from_slice(&destination.octets());
            ETHERTYPE_IPV6
        }
        _ => return None,
    };
    frame.extend_from_slice(packet.payload);
    Some((frame, ethertype))
}

/// An IPv4 header without options for `payload` bytes. It may not be fragmented, for a fragment of an advertisement is discarded,
/// and therefore needs no identification (RFC 6864 §4.1).
fn ipv4_header(from: Ipv4Addr, to: Ipv4Addr, ttl: u8, payload: u16) -> Option<[u8; 20]> {
    let [l1, l2] = payload.checked_add(20)?.to_be_bytes();
    let ([s1, s2, s3, s4], [d1, d2, d3, d4]) = (from.octets(), to.octets());
    let header = |[c1, c2]: [u8; 2]| {
        [
            0x45,
            NETWORK_CONTROL,
            l1,
            l2,
            0,
            0,
            0x40,
            0,
            ttl,
            PROTOCOL,
            c1,
            c2, //
            s1,
            s2,
            s3,
            s4,
            d1,
            d2,
            d3,
            d4,
        ]
    };
    let checksum = !fold(sum_of_words(header([0, 0]).into_iter()));
    Some(header(checksum.to_be_bytes()))
}

/// The Ethernet address of a multicast group (RFC 1112 §6.4, RFC 2464 §7); none for what is no group.
fn group_mac(group: IpAddr) -> Option<MacAddress> {
    if !group.is_multicast() {
        return None;
    }
    Some(MacAddress::new(match group {
        IpAddr::V4(group) => {
            let [_, b, c, d] = group.octets();
            [0x01, 0, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(group) => {
            let [.., a, b, c, d] = group.octets();
            [0x33, 0x33, a, b, c, d]
        }
    }))
}

fn ethernet(frame: &mut Vec<u8>, to: MacAddress, from: MacAddress, ethertype: u16) {
    frame.extend_from_slice(&to.octets());
    frame.extend_from_slice(&from.octets());
    frame.extend_from_slice(&ethertype.to_be_bytes());
}

/// The checksum of an ICMPv6 message whose checksum field is zero, over the pseudo-header of RFC 8200 §8.1.
fn icmpv6_checksum(source: Ipv6Addr, destination: Ipv6Addr, message: &[u8]) -> u16 {
    let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
    let addresses = source.octets().into_iter().chain(destination.octets());
    let sum = sum_of_words(addresses)
        + length
        + u64::from(ICMPV6)
        + sum_of_words(message.iter().copied());
    !fold(sum)
}

/// The sum of the big-endian 16-bit words; an odd last byte is padded with zero.
fn sum_of_words(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.zip([8, 0].into_iter().cycle()).map(|(byte, shift)| u64::from(byte) << shift).sum()
}

/// Folds a sum into 16 bits by adding the carries back in (RFC 1071 §1).
fn fold(mut sum: u64) -> u16 {
    loop {
        match u16::try_from(sum) {
            Ok(folded) => return folded,
            Err(_) => sum = (sum & 0xffff) + (sum >> 16),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: MacAddress = MacAddress::new([0x02, 0, 0, 0, 0, 0x0a]);

    #[test]
    fn a_gratuitous_arp_has_the_bytes_of_rfc_826() {
        #[rustfmt::skip]
        let golden = [
            // Ethernet: broadcast, from the interface, ARP
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x06,
            // Ethernet, IPv4, lengths, request
            0, 1, 0x08, 0, 6, 4, 0, 1,
            // sender
            0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 10,
            // target
            0, 0, 0, 0, 0, 0, 192, 0, 2, 10,
        ];
        assert_eq!(gratuitous_arp(MAC, Ipv4Addr::new(192, 0, 2, 10)), golden);
    }

    #[test]
    fn an_unsolicited_neighbour_advertisement_has_the_bytes_of_rfc_4861() {
        #[rustfmt::skip]
        let golden = [
            // Ethernet: all nodes, from the interface, IPv6
            0x33, 0x33, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 0x0a, 0x86, 0xdd,
            // IPv6: version, length 32, ICMPv6, hop limit 255
            0x60, 0, 0, 0, 0, 32, 58, 255,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,
            // Type 136, code 0, checksum, R and O
            136, 0, 0x79, 0x03, 0xa0, 0, 0, 0,
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
            // Target link-layer address
            2, 1, 0x02, 0, 0, 0, 0, 0x0a,
        ];
        let address = "2001:db8::10".parse().unwrap();
        assert_eq!(unsolicited_neighbour_advertisement(MAC, address), golden);
    }

    /// The payload is `vrrp`'s vector; the IP header's checksum was computed apart.
    #[test]
    fn an_advertisement_has_the_bytes_of_rfc_9568_in_both_families() {
        let mac = MacAddress::new([0, 0, 0x5e, 0, 1, 10]);
        let payload = [0x31, 0x0a, 0x64, 0x01, 0x00, 0x64, 0xa8, 0x8e, 192, 0, 2, 1];
        let packet = Packet {
            source: "192.0.2.251".parse().unwrap(),
            destination: "224.0.0.18".parse().unwrap(),
            hop_limit: 255,
            payload: &payload,
        };
        #[rustfmt::skip]
        let golden = [
            // Ethernet: the group, from the virtual MAC address, IPv4
            0x01, 0, 0x5e, 0, 0, 0x12, 0, 0, 0x5e, 0, 1, 10, 0x08, 0x00,
            // IPv4: header of 20 bytes, network control, length 32, not to be fragmented, TTL 255, VRRP, checksum
            0x45, 0xc0, 0, 32, 0, 0, 0x40, 0, 255, 112, 0xd7, 0x9f,
            192, 0, 2, 251, 224, 0, 0, 18,
        ];
        let (frame, ethertype) = vrrp_frame(mac, &packet).unwrap();
        assert_eq!(ethertype, 0x0800);
        assert_eq!(frame, [&golden[..], &payload].concat());

        let packet = Packet {
            source: "fe80::c8".parse().unwrap(),
            destination: "ff02::12".parse().unwrap(),
            ..packet
        };
        let mac = MacAddress::new([0, 0, 0x5e, 0, 2, 10]);
        #[rustfmt::skip]
        let golden = [
            0x33, 0x33, 0, 0, 0, 0x12, 0, 0, 0x5e, 0, 2, 10, 0x86, 0xdd,
            // IPv6: version and traffic class, length 12, VRRP, hop limit 255
            0x6c, 0, 0, 0, 0, 12, 112, 255,
            0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xc8,
            0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12,
        ];
        let (frame, ethertype) = vrrp_frame(mac, &packet).unwrap();
        assert_eq!(ethertype, 0x86dd);
        assert_eq!(frame, [&golden[..], &payload].concat());
    }

    #[test]
    fn only_a_packet_of_one_family_to_a_group_is_framed() {
        let framed = |source: &str, destination: &str| {
            let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
            vrrp_frame(MAC, &Packet { source, destination, hop_limit: 255, payload: &[0x31] })
        };
        assert!(framed("192.0.2.1", "239.1.2.3").is_some());
        assert!(framed("192.0.2.1", "192.0.2.2").is_none(), "a peer's address is not known here");
        assert!(framed("192.0.2.1", "ff02::12").is_none());
        assert!(framed("fe80::1", "224.0.0.18").is_none());
        assert_eq!(group_mac("239.255.2.3".parse().unwrap()).unwrap().octets()[3], 0x7f);
    }

    proptest! {
        /// RFC 1071 §1: a message with its checksum in place sums to all ones.
        #[test]
        fn the_checksum_verifies(address: u128, mac: [u8; 6]) {
            let address = Ipv6Addr::from(address);
            let frame = unsolicited_neighbour_advertisement(MacAddress::new(mac), address);
            prop_assert_eq!(frame.len(), 86);
            prop_assert_eq!(icmpv6_checksum(address, ALL_NODES, &frame[54..]), 0);
        }
    }
}
