//! Why a received packet was discarded. A discarded packet changes counters and nothing else.

use std::fmt;

use serde::{Serialize, Serializer};

/// The rule that a packet broke, in the order in which the rules are checked; the first one broken is the reason. Each names
/// the counter of RFC 6527 that it adds to; a deployment watches [`DiscardReason::label`], which is finer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DiscardReason {
    /// The IP header is not whole, or not of this protocol: its length, version or protocol number contradicts the bytes. The
    /// kernel lets no such packet through. `vrrpv3StatisticsPacketLengthErrors`.
    IpHeader,
    /// A fragment: an advertisement is never fragmented (the kernel puts fragments together before it delivers them).
    /// `vrrpv3StatisticsPacketLengthErrors`.
    Fragment,
    /// The payload is shorter than the fixed header of 8 bytes (RFC 9568 §7.1: the complete VRRP packet MUST be there).
    /// `vrrpv3StatisticsPacketLengthErrors`.
    TooShort,
    /// The router speaks to unicast peers only, and the source is none of them. Not in the RFC, where there is no unicast. No
    /// counter of RFC 6527.
    NotAPeer,
    /// TTL or Hop Limit is not 255 (RFC 9568 §7.1, MUST) or, of a unicast peer, not in its range, or the kernel did not say what
    /// it is.
    /// `vrrpv3StatisticsIpTtlErrors`.
    HopLimit,
    /// The version does not exist over this family, or is not the one that the router speaks (RFC 9568 §7.1, MUST).
    /// `vrrpv3RouterVersionErrors`.
    Version,
    /// The message type is not ADVERTISEMENT (RFC 9568 §5.2.2, MUST). `vrrpv3StatisticsRcvdInvalidTypePackets`.
    Type,
    /// BSD's CARP, which shares VRRP's protocol number and group: 36 bytes that begin like a version 2 advertisement with
    /// seven addresses, which would need 44. Where CARP's VHID is our VRID, both use the same virtual MAC address: renumber one.
    /// `vrrpv3StatisticsPacketLengthErrors`.
    Carp,
    /// Shorter than the address count calls for (RFC 9568 §7.1, MUST). `vrrpv3StatisticsPacketLengthErrors`.
    Truncated,
    /// Longer than the address count calls for. What the IP header does not count (Ethernet's padding) never gets here.
    /// `vrrpv3StatisticsPacketLengthErrors`.
    TrailingBytes,
    /// VRID 0, or no virtual router of this VRID and family on this interface (RFC 9568 §7.1, MUST).
    /// `vrrpv3RouterVrIdErrors`.
    UnknownVrid,
    /// The checksum is right in no form that the version and family allow (RFC 9568 §7.1, MUST).
    /// `vrrpv3RouterChecksumErrors`.
    Checksum,
    /// Version 3 with an address count of 0 (erratum 8299, MUST). `vrrpv3StatisticsAddressListErrors`.
    NoAddresses,
    /// An interval of 0, a timer that would never rest (erratum 8301, MUST; version 2 by the same reasoning).
    /// `vrrpv3StatisticsAdvIntervalErrors`.
    ZeroInterval,
    /// The first IPv6 address is not link-local (erratum 8300, MUST). `vrrpv3StatisticsAddressListErrors`.
    FirstNotLinkLocal,
    /// Version 2 with an authentication type other than ours (RFC 3768 §7.1, MUST). RFC 2787 `vrrpStatsAuthTypeMismatch`; RFC
    /// 6527 has none.
    AuthType,
    /// Version 2 with another password than ours (RFC 2338 §5.3.6, §7.1). RFC 2787 `vrrpStatsAuthFailures`; RFC 6527 has none.
    Password,
    /// Version 2 with another interval than ours (RFC 3768 §7.1, MUST). `vrrpv3StatisticsAdvIntervalErrors`.
    IntervalMismatch,
    /// Version 2 and the local router is the address owner (RFC 3768 §7.1, MUST). Version 3 lets the election decide (erratum
    /// 8298). No counter of RFC 6527.
    LocalOwner,
    /// Version 2 with other addresses than ours, from a router that does not own them (RFC 3768 §7.1, MUST once checked).
    /// `vrrpv3StatisticsAddressListErrors`.
    AddressList,
    /// It comes from our own primary address: our own packet looped back, or a cloned machine. Not in the RFC; without the
    /// rule, two clones of equal priority would answer each other for ever. No counter of RFC 6527.
    OwnSource,
}

impl DiscardReason {
    /// All reasons in the order of the checks.
    pub const ALL: [Self; 21] = [
        Self::IpHeader,
        Self::Fragment,
        Self::TooShort,
        Self::NotAPeer,
        Self::HopLimit,
        Self::Version,
        Self::Type,
        Self::Carp,
        Self::Truncated,
        Self::TrailingBytes,
        Self::UnknownVrid,
        Self::Checksum,
        Self::NoAddresses,
        Self::ZeroInterval,
        Self::FirstNotLinkLocal,
        Self::AuthType,
        Self::Password,
        Self::IntervalMismatch,
        Self::LocalOwner,
        Self::AddressList,
        Self::OwnSource,
    ];

    /// The name in logs, metrics and status: never changed, never shared by two reasons.
    pub const fn label(self) -> &'static str {
        match self {
            Self::IpHeader => "ip_header",
            Self::Fragment => "fragment",
            Self::TooShort => "too_short",
            Self::NotAPeer => "not_a_peer",
            Self::HopLimit => "hop_limit",
            Self::Version => "version",
            Self::Type => "type",
            Self::Carp => "carp",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::UnknownVrid => "unknown_vrid",
            Self::Checksum => "checksum",
            Self::NoAddresses => "no_addresses",
            Self::ZeroInterval => "zero_interval",
            Self::FirstNotLinkLocal => "first_not_link_local",
            Self::AuthType => "auth_type",
            Self::Password => "password",
            Self::IntervalMismatch => "interval_mismatch",
            Self::LocalOwner => "local_owner",
            Self::AddressList => "address_list",
            Self::OwnSource => "own_source",
        }
    }
}

impl fmt::Display for DiscardReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for DiscardReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_snake_case_and_no_two_reasons_share_one() {
        let labels = DiscardReason::ALL.map(DiscardReason::label);
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len());
        for label in labels {
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
        }
    }

    #[test]
    fn all_has_every_reason_in_the_order_of_the_checks() {
        // The last variant's number says how many there are; `label` is total because its match is.
        assert_eq!(DiscardReason::OwnSource as usize + 1, DiscardReason::ALL.len());
        assert!(DiscardReason::ALL.is_sorted());
        for (number, reason) in DiscardReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, number);
        }
    }
}
