//! The IPv4 header that a raw IPv4 socket delivers in front of the payload (a raw IPv6 socket strips its own).

use std::ops::Range;

/// Where the payload of an IPv4 packet lies in its bytes. Empty for what has no complete payload: bytes that are no IPv4 header
/// (RFC 791 §3.1), a fragment, or a total length that the bytes do not hold. Bytes behind the total length are link padding and left out.
pub(crate) fn ipv4_payload(packet: &[u8]) -> Range<usize> {
    payload(packet).unwrap_or(0..0)
}

fn payload(packet: &[u8]) -> Option<Range<usize>> {
    let &[version_and_length, _, total_high, total_low, _, _, fragment_high, fragment_low, ..] =
        packet
    else {
        return None;
    };
    let header = usize::from(version_and_length & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([total_high, total_low]));
    // More Fragments, or an offset in units of 8 bytes; Don't Fragment (0x4000) does not matter.
    let is_fragment = u16::from_be_bytes([fragment_high, fragment_low]) & 0x3fff != 0;
    let is_whole = version_and_length >> 4 == 4
        && (20..=total).contains(&header)
        && total <= packet.len()
        && !is_fragment;
    is_whole.then_some(header..total)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A header of `words` 32-bit words, followed by a payload of 8 bytes.
    fn packet(words: u8) -> Vec<u8> {
        let mut packet = vec![0; usize::from(words) * 4 + 8];
        packet[0] = 0x40 | words;
        packet[3] = words * 4 + 8;
        packet
    }

    #[test]
    fn the_header_length_is_honoured() {
        assert_eq!(ipv4_payload(&packet(5)), 20..28);
        assert_eq!(ipv4_payload(&packet(15)), 60..68);
    }

    #[test]
    fn link_padding_is_no_payload() {
        let mut padded = packet(5);
        padded.extend_from_slice(&[0; 18]);
        assert_eq!(ipv4_payload(&padded), 20..28);
    }

    #[test]
    fn a_fragment_has_no_payload() {
        let mut first = packet(5);
        first[6] = 0x20;
        assert_eq!(ipv4_payload(&first), 0..0);
        let mut last = packet(5);
        last[7] = 1;
        assert_eq!(ipv4_payload(&last), 0..0);
        let mut unfragmented = packet(5);
        unfragmented[6] = 0x40;
        assert_eq!(ipv4_payload(&unfragmented), 20..28);
    }

    #[test]
    fn a_header_that_contradicts_itself_has_no_payload() {
        let mut short = packet(5);
        short[0] = 0x44;
        assert_eq!(ipv4_payload(&short), 0..0, "header of 16 bytes");
        let mut other = packet(5);
        other[0] = 0x65;
        assert_eq!(ipv4_payload(&other), 0..0, "version 6");
        let mut cut = packet(5);
        cut.pop();
        assert_eq!(ipv4_payload(&cut), 0..0, "shorter than its total length");
        let mut header_only = packet(15);
        header_only[3] = 59;
        assert_eq!(ipv4_payload(&header_only), 0..0, "header beyond the total length");
    }

    proptest! {
        #[test]
        fn the_payload_lies_within_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let payload = ipv4_payload(&bytes);
            prop_assert!(bytes.get(payload).is_some());
        }
    }
}
