//! What has been counted since a router's machine (or a socket) began. Counters only grow; the names of RFC 6527 are in the
//! doc comments.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::discard::DiscardReason;

/// One virtual router's counters. The machine counts what it decides; the driver adds what it discarded on the machine's behalf
/// with [`crate::VirtualRouter::count_discard`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Transitions to Active: `vrrpv3StatisticsMasterTransitions`.
    pub became_active: u64,
    /// Valid advertisements received, priority 0 among them: `vrrpv3StatisticsRcvdAdvertisements`.
    pub advertisements_received: u64,
    /// Advertisements that the machine asked to be sent, priority 0 among them.
    pub advertisements_sent: u64,
    /// Priority 0 received: `vrrpv3StatisticsRcvdPriZeroPackets`.
    pub priority_zero_received: u64,
    /// Priority 0 sent: `vrrpv3StatisticsSentPriZeroPackets`.
    pub priority_zero_sent: u64,
    /// Advertisements of a router that should have yielded, heard while Active for an interval or longer. They keep coming when
    /// that router can't hear us.
    pub lower_priority_heard: u64,
    /// Advertisements with our own priority and primary address: a clone of this machine.
    pub duplicate_source: u64,
    /// Times that another Active of lower rank went on though it was answered ([`crate::Observation::DualActiveBegan`]).
    pub dual_actives: u64,
    /// Times that a Backup heard the Active again when less than Skew_Time and one interval was left of its timer: one or two
    /// more lost or late advertisements, and it had taken over from a living Active.
    pub near_takeovers: u64,
    /// Times that the adver timer fired so late that another router may have taken over.
    pub stalls: u64,
    /// Actions that were dropped because the driver did not poll them ([`crate::VirtualRouter::ACTION_LIMIT`]).
    pub actions_dropped: u64,
    /// Packets discarded, by reason.
    pub discarded: Discards,
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

    /// All reasons with their numbers, zeros too, in the order of the checks.
    pub fn iter(&self) -> impl Iterator<Item = (DiscardReason, u64)> {
        DiscardReason::ALL.into_iter().map(|reason| (reason, self.of(reason)))
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
    use super::*;

    #[test]
    fn counters_serialize_with_the_labels_of_the_reasons() {
        let mut counters = Counters::default();
        counters.discarded.count(DiscardReason::HopLimit);
        counters.discarded.count(DiscardReason::HopLimit);
        counters.discarded.count(DiscardReason::Carp);
        let json = serde_json::to_value(&counters).unwrap();
        assert_eq!(json["discarded"], serde_json::json!({"hop_limit": 2, "carp": 1}));
        assert_eq!(counters.discarded.total(), 3);
        assert_eq!(counters.discarded.iter().count(), DiscardReason::ALL.len());
    }
}
