//! Why a received packet was discarded. A discarded packet changes counters and nothing else.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

/// The rule that a packet broke, in the order in which the rules are checked (RFC 5880 §6.8.6); the first one broken is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DiscardReason {
    /// TTL or hop limit is not 255, or the kernel did not say what it is: it may come from another network (RFC 5881 §5, MUST).
    HopLimit,
    /// Shorter than the mandatory section of 24 bytes.
    TooShort,
    /// The version is not 1.
    Version,
    /// The Length field is less than 24, or than 26 with the A bit.
    Length,
    /// The Length field is more than the payload has.
    Truncated,
    /// Detect Mult is 0.
    ZeroDetectMult,
    /// The M bit is set.
    Multipoint,
    /// My Discriminator is 0.
    ZeroMyDiscriminator,
    /// Your Discriminator is none of ours. A peer whose old session is still open sends such after our restart, until its detection
    /// time is over.
    UnknownDiscriminator,
    /// Your Discriminator is 0 and the peer says Init or Up.
    ZeroYourDiscriminator,
    /// No session is configured with the sender.
    UnknownPeer,
    /// Your Discriminator is that of a session with another peer, or on another interface. Not in the list of §6.8.6; a session over
    /// one hop has one peer and one link (RFC 5881 §3).
    WrongPeer,
    /// The A bit is set, and no authentication is in use.
    Authenticated,
}

impl DiscardReason {
    /// All reasons in the order of the checks.
    pub const ALL: [Self; 13] = [
        Self::HopLimit,
        Self::TooShort,
        Self::Version,
        Self::Length,
        Self::Truncated,
        Self::ZeroDetectMult,
        Self::Multipoint,
        Self::ZeroMyDiscriminator,
        Self::UnknownDiscriminator,
        Self::ZeroYourDiscriminator,
        Self::UnknownPeer,
        Self::WrongPeer,
        Self::Authenticated,
    ];

    /// The name in logs, metrics and status: never changed, never shared by two reasons.
    pub const fn label(self) -> &'static str {
        match self {
            Self::HopLimit => "hop_limit",
            Self::TooShort => "too_short",
            Self::Version => "version",
            Self::Length => "length",
            Self::Truncated => "truncated",
            Self::ZeroDetectMult => "zero_detect_mult",
            Self::Multipoint => "multipoint",
            Self::ZeroMyDiscriminator => "zero_my_discriminator",
            Self::UnknownDiscriminator => "unknown_discriminator",
            Self::ZeroYourDiscriminator => "zero_your_discriminator",
            Self::UnknownPeer => "unknown_peer",
            Self::WrongPeer => "wrong_peer",
            Self::Authenticated => "authenticated",
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

/// Discarded packets by reason. There are as many entries as reasons at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discards(BTreeMap<DiscardReason, u64>);

impl Discards {
    /// Counts one packet discarded for `reason`.
    pub fn count(&mut self, reason: DiscardReason) {
        *self.0.entry(reason).or_default() += 1;
    }

    /// How many were discarded for `reason`.
    pub fn of(&self, reason: DiscardReason) -> u64 {
        self.0.get(&reason).copied().unwrap_or_default()
    }

    /// How many were discarded in all.
    pub fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The reasons that there were, with their numbers, in the order of the checks.
    pub fn iter(&self) -> impl Iterator<Item = (DiscardReason, u64)> + '_ {
        self.0.iter().map(|(reason, number)| (*reason, *number))
    }
}

/// A map from label to number, without the zeros.
impl Serialize for Discards {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn labels_are_snake_case_and_all_has_every_reason_in_the_order_of_the_checks() {
        let labels = DiscardReason::ALL.map(DiscardReason::label);
        assert_eq!(labels.iter().collect::<BTreeSet<_>>().len(), labels.len());
        for label in labels {
            assert!(label.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{label}");
        }
        assert_eq!(DiscardReason::Authenticated as usize + 1, DiscardReason::ALL.len());
        assert!(DiscardReason::ALL.is_sorted());
    }

    #[test]
    fn discards_serialize_with_their_labels() {
        let mut discards = Discards::default();
        discards.count(DiscardReason::HopLimit);
        discards.count(DiscardReason::HopLimit);
        discards.count(DiscardReason::Authenticated);
        let json = serde_json::to_value(&discards).unwrap();
        assert_eq!(json, serde_json::json!({"hop_limit": 2, "authenticated": 1}));
        assert_eq!(discards.total(), 3);
    }
}
