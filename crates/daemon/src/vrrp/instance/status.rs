//! An instance as the API shows it.

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_control as control;
use holdfast_engine::vrrp::Contribution;
use holdfast_time::Instant;
use vrrp::{AddressFamily, ChecksumForm, SeenPeer, Status};

use super::super::addresses::Outcome;
use super::Instance;

impl Instance {
    /// The instance as the API shows it. `strays` were discarded on its socket because they were for no instance; `outcome` is
    /// what the address thread has done.
    pub(in super::super) fn status(
        &self,
        now: Instant,
        strays: Option<&vrrp::Discards>,
        outcome: &Outcome,
    ) -> control::Instance {
        let config = &self.config;
        control::Instance {
            name: config.name.to_string(),
            state: self.router.status().label().to_owned(),
            since_s: now.saturating_since(self.router.since()).as_secs(),
            reason: self
                .last
                .map_or_else(|| "start".to_owned(), |last| self.reason(last.reason).to_owned()),
            interface: config.interface.clone(),
            vrid: config.vrid.value(),
            version: match config.version {
                vrrp::Version::V2 => 2,
                vrrp::Version::V3 => 3,
            },
            family: match config.family {
                AddressFamily::Ipv4 => "ipv4".to_owned(),
                AddressFamily::Ipv6 => "ipv6".to_owned(),
            },
            priority: self.router.priority().value(),
            base_priority: config.priority.value(),
            weights: self.weights(),
            group: self.group.as_ref().map(ToString::to_string),
            released: self.role.is_released(),
            yields: self.role.yields(),
            waits_for_sync: self.waits_for_sync(),
            discarded: self.discarded.map(|last| control::Discarded {
                reason: last.reason.label().to_owned(),
                source: last.source,
                ms_ago: millis(now.saturating_since(last.at)),
            }),
            interval_ms: u64::try_from(config.interval.duration().as_millis()).unwrap_or(u64::MAX),
            preempt: config.preempt,
            addresses: config.addresses.iter().map(ToString::to_string).collect(),
            excluded: config.excluded.iter().map(ToString::to_string).collect(),
            holds_addresses: outcome.holds,
            active: match self.router.status() {
                Status::Backup => self.router.active_address(),
                Status::Initialize | Status::Active | Status::Releasing => None,
            },
            peers: self.router.peers().iter().map(|peer| view_peer(now, peer)).collect(),
            dual_active: self.router.dual_active().map(|dual| control::DualActive {
                other: dual.source,
                other_priority: dual.priority.value(),
                own: self.router.primary(),
                since_s: now.saturating_since(dual.since).as_secs(),
            }),
            disagreements: self.disagreements.view(now, config),
            problems: outcome
                .problems
                .iter()
                .cloned()
                .chain(self.other_owner(now))
                .chain(self.unsaid())
                .collect(),
            fault: self.fault.clone().or_else(|| self.role.fault()).or_else(|| outcome.fault()),
            transitions: self.transitions.total(),
            transitions_to: self.transitions.by_state(),
            last_transition_at: self.transitions.last_at(),
            counters: counters(self.router.counters(), strays, outcome.put_back),
        }
    }

    /// Another node that claims to own the addresses, for as long as it is heard.
    fn other_owner(&self, now: Instant) -> Option<String> {
        let (other, at) = self.other_owner?;
        let interval = self.router.active_adver_interval()?.duration();
        let is_heard = now.saturating_since(at) < interval * 4;
        is_heard.then(|| {
            format!(
                "{other} has priority 255, too: one of the two nodes does not own the addresses"
            )
        })
    }

    /// What the configuration should say, because there is another node.
    fn unsaid(&self) -> Option<String> {
        let other = self.router.peers().first().filter(|_| self.config.lifetime_unsaid)?;
        Some(format!(
            "{} takes part, too, and the configuration names no other node: should this daemon die as a whole, the addresses stay here beside the other's; say `lifetime: 4s`, or `0s` where that is meant (`holdfast explain vrrp.instances.NAME.lifetime`)",
            other.address
        ))
    }

    fn weights(&self) -> Vec<control::Weight> {
        let weights = self.role.standing().weights.iter();
        let view = |one: &Contribution| control::Weight {
            tracker: one.tracker.to_string(),
            weight: one.weight,
        };
        weights.map(view).collect()
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn view_peer(now: Instant, peer: &SeenPeer) -> control::Peer {
    control::Peer {
        address: peer.address,
        priority: peer.priority.value(),
        interval_ms: millis(peer.interval.duration()),
        checksum: match peer.checksum_form {
            ChecksumForm::PseudoHeader => "pseudo-header",
            ChecksumForm::MessageOnly => "rfc9568",
            ChecksumForm::OldUnicast => "old-unicast",
        }
        .to_owned(),
        heard_ms_ago: millis(now.saturating_since(peer.last)),
        advertisements: peer.count,
    }
}

/// `discarded_…` were for this instance; `stray_…` were for none, so that every instance of the socket has the same.
fn counters(
    counters: &vrrp::Counters,
    strays: Option<&vrrp::Discards>,
    put_back: u64,
) -> BTreeMap<String, u64> {
    let discarded = counters.discarded.iter().map(|(reason, count)| ("discarded", reason, count));
    let strays = strays.into_iter().flat_map(vrrp::Discards::iter);
    let strays = strays.map(|(reason, count)| ("stray", reason, count));
    let discarded = discarded.chain(strays).filter(|(_, _, count)| *count > 0);
    [
        ("became_active", counters.became_active),
        ("advertisements_received", counters.advertisements_received),
        ("advertisements_sent", counters.advertisements_sent),
        ("priority_zero_received", counters.priority_zero_received),
        ("priority_zero_sent", counters.priority_zero_sent),
        ("lower_priority_heard", counters.lower_priority_heard),
        ("duplicate_source", counters.duplicate_source),
        ("stalls", counters.stalls),
        ("dual_actives", counters.dual_actives),
        ("near_takeovers", counters.near_takeovers),
        ("put_back", put_back),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into_iter()
    .chain(discarded.map(|(kind, reason, count)| (format!("{kind}_{}", reason.label()), count)))
    .collect()
}
