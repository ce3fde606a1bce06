//! What the configurations of other nodes seem to say otherwise than this one's, by what they advertise.
//!
//! It is shown for as long as it is heard. Only an Active advertises: what a Backup's configuration has otherwise is seen by the Backup.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_config::Instance as InstanceConfig;
use holdfast_control as control;
use holdfast_time::Instant;
use vrrp::receive::{Identified, Observations};
use vrrp::{DiscardReason, Interval, Version, Vrid};

use super::status::millis;

/// So many are remembered. Of more the one that was heard longest ago is forgotten: who may send advertisements may make up as many
/// sources as he likes.
const MAX: usize = 8;

/// So many addresses are named, of each side.
const NAMED_MAX: usize = 5;

/// What is silent for so long, or for four of its intervals, is shown no more.
const SHOWN_FOR: Duration = Duration::from_secs(3);

/// What other nodes say otherwise.
#[derive(Debug, Default)]
pub(super) struct Disagreements {
    heard: Vec<Disagreement>,
}

/// One node's word about one thing.
#[derive(Debug)]
struct Disagreement {
    source: IpAddr,
    about: About,
    since: Instant,
    last: Instant,
    /// For how long it is shown after that.
    lasts: Duration,
}

/// What it is about, and what the other node says.
#[derive(Debug)]
enum About {
    /// The addresses: what the other one has besides, and what it has not.
    Addresses { besides: Vec<IpAddr>, without: Vec<IpAddr> },
    /// The interval.
    Interval(Interval),
    /// The VRID, where `address` is one of ours.
    Vrid { vrid: Vrid, address: IpAddr },
}

impl About {
    const fn label(&self) -> &'static str {
        match self {
            Self::Addresses { .. } => "addresses",
            Self::Interval(_) => "interval",
            Self::Vrid { .. } => "vrid",
        }
    }
}

impl Disagreements {
    /// Takes note of what a valid advertisement for this virtual router says otherwise, or says no more.
    pub(super) fn hear(
        &mut self,
        now: Instant,
        packet: &Identified<'_>,
        observations: Observations,
        config: &InstanceConfig,
    ) {
        if observations.address_list_differs {
            self.note(now, packet, addresses(packet, config));
        } else {
            self.settle(packet.source(), "addresses");
        }
        match packet.interval().filter(|_| observations.interval_differs) {
            Some(interval) => self.note(now, packet, About::Interval(interval)),
            None => self.settle(packet.source(), "interval"),
        }
    }

    /// Takes note of one that version 2 had discarded, if it was for such a thing.
    pub(super) fn hear_discarded(
        &mut self,
        now: Instant,
        packet: &Identified<'_>,
        reason: DiscardReason,
        config: &InstanceConfig,
    ) {
        match (reason, packet.interval()) {
            (DiscardReason::IntervalMismatch, Some(interval)) => {
                self.note(now, packet, About::Interval(interval));
            }
            (DiscardReason::AddressList, _) => self.note(now, packet, addresses(packet, config)),
            _ => {}
        }
    }

    /// Takes note that another virtual router has one of our addresses.
    pub(super) fn hear_other_vrid(
        &mut self,
        now: Instant,
        packet: &Identified<'_>,
        vrid: Vrid,
        address: IpAddr,
    ) {
        self.note(now, packet, About::Vrid { vrid, address });
    }

    fn note(&mut self, now: Instant, packet: &Identified<'_>, about: About) {
        let source = packet.source();
        let interval = packet.interval().map_or(Duration::ZERO, Interval::duration);
        let lasts = SHOWN_FOR.max(interval * 4);
        let same =
            |one: &&mut Disagreement| one.source == source && one.about.label() == about.label();
        if let Some(known) = self.heard.iter_mut().find(same) {
            if now.saturating_since(known.last) > known.lasts {
                known.since = now;
            }
            (known.about, known.last, known.lasts) = (about, now, lasts);
            return;
        }
        if self.heard.len() >= MAX {
            let oldest = self.heard.iter().enumerate().min_by_key(|(_, one)| one.last);
            if let Some((place, _)) = oldest {
                self.heard.remove(place);
            }
        }
        self.heard.push(Disagreement { source, about, since: now, last: now, lasts });
    }

    fn settle(&mut self, source: IpAddr, label: &str) {
        self.heard.retain(|one| one.source != source || one.about.label() != label);
    }

    /// Forgets all: this node says something else now.
    pub(super) fn clear(&mut self) {
        self.heard.clear();
    }

    /// What is still heard, as the API shows it.
    pub(super) fn view(&self, now: Instant, config: &InstanceConfig) -> Vec<control::Disagreement> {
        let lasts = |one: &&Disagreement| now.saturating_since(one.last) <= one.lasts;
        self.heard.iter().filter(lasts).map(|one| one.view(now, config)).collect()
    }
}

impl Disagreement {
    fn view(&self, now: Instant, config: &InstanceConfig) -> control::Disagreement {
        let peer = self.source;
        let discarded = config.version == Version::V2;
        let (theirs, ours, text, advice) = match &self.about {
            About::Addresses { besides, without } => {
                let (theirs, ours) = (list(besides), list(without));
                let text = match (besides.is_empty(), without.is_empty()) {
                    (false, true) => {
                        format!("{peer} advertises {theirs}, too, which is not in `addresses` here")
                    }
                    (true, false) => {
                        format!("{peer} does not advertise {ours}, which is in `addresses` here")
                    }
                    (true, true) => format!("{peer} advertises an address twice"),
                    (false, false) => format!(
                        "{peer} advertises {theirs}, which is not in `addresses` here, and not {ours}, which is"
                    ),
                };
                (
                    theirs,
                    ours,
                    text,
                    "both nodes need the same addresses; if it is another virtual router, give it another `vrid`",
                )
            }
            About::Interval(theirs) => {
                let (theirs, ours) = (theirs.to_string(), config.interval.to_string());
                let text =
                    format!("{peer} advertises every {theirs}, and `interval` here is {ours}");
                let advice = if discarded {
                    "its advertisements are discarded; both nodes need the same interval"
                } else {
                    "this node goes by the active one's; both nodes should have the same interval"
                };
                (theirs, ours, text, advice)
            }
            About::Vrid { vrid, address } => {
                let (theirs, ours) = (vrid.to_string(), config.vrid.to_string());
                let text = format!(
                    "{peer} advertises {address} with VRID {theirs}, and `vrid` here is {ours}"
                );
                (
                    theirs,
                    ours,
                    text,
                    "neither hears the other, and both may have the address: both nodes need the same `vrid`",
                )
            }
        };
        control::Disagreement {
            peer,
            about: self.about.label().to_owned(),
            theirs,
            ours,
            text,
            advice: advice.to_owned(),
            since_s: now.saturating_since(self.since).as_secs(),
            heard_ms_ago: millis(now.saturating_since(self.last)),
        }
    }
}

/// What the lists of addresses have not in common.
fn addresses(packet: &Identified<'_>, config: &InstanceConfig) -> About {
    let theirs: BTreeSet<IpAddr> = packet.addresses().into_iter().flatten().collect();
    let ours: BTreeSet<IpAddr> = config.advertised().collect();
    About::Addresses {
        besides: theirs.difference(&ours).copied().collect(),
        without: ours.difference(&theirs).copied().collect(),
    }
}

fn list(addresses: &[IpAddr]) -> String {
    let named: Vec<String> = addresses.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    match addresses.len().saturating_sub(NAMED_MAX) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use holdfast_config::{Environment, parse};
    use vrrp::receive::{Datagram, identify};

    use super::*;

    fn config() -> InstanceConfig {
        let text = "vrrp: {instances: {edge: {interface: eth0, vrid: 51, interval: 1s, addresses: [192.0.2.10/24, 192.0.2.11/24]}}}\n";
        let config = parse("f", text, &Environment::new("lb1")).config.unwrap();
        config.instances.into_values().next().unwrap()
    }

    fn at(seconds: u64) -> Instant {
        Instant::from_start(Duration::from_secs(seconds))
    }

    /// What `source` says of version 3, with this interval in centiseconds; lets `hear` hear it.
    fn said(source: u8, interval: u8, addresses: &[[u8; 4]], hear: impl FnOnce(&Identified<'_>)) {
        let count = u8::try_from(addresses.len()).unwrap();
        let mut payload = vec![0x31, 51, 100, count, 0, interval, 0, 0];
        payload.extend(addresses.iter().flatten());
        let datagram = Datagram {
            source: [192, 0, 2, source].into(),
            destination: [224, 0, 0, 18].into(),
            hop_limit: Some(255),
            payload: &payload,
        };
        hear(&identify(datagram).unwrap());
    }

    fn differ(address_list_differs: bool, interval_differs: bool) -> Observations {
        let mut observations = Observations::default();
        (observations.address_list_differs, observations.interval_differs) =
            (address_list_differs, interval_differs);
        observations
    }

    #[test]
    fn what_is_said_otherwise_is_shown_until_it_is_said_no_more_or_nothing_is_heard() {
        let (config, mut all) = (config(), Disagreements::default());
        let ours = [[192, 0, 2, 10], [192, 0, 2, 11]];
        let other = [[192, 0, 2, 10], [192, 0, 2, 12]];
        said(2, 200, &other, |packet| all.hear(at(0), packet, differ(true, true), &config));
        said(2, 200, &other, |packet| all.hear(at(2), packet, differ(true, true), &config));
        let seen = all.view(at(3), &config);
        let texts: Vec<&str> = seen.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "192.0.2.2 advertises 192.0.2.12, which is not in `addresses` here, and not 192.0.2.11, which is",
                "192.0.2.2 advertises every 2s, and `interval` here is 1s",
            ]
        );
        assert!(seen.iter().all(|one| one.since_s == 3 && one.heard_ms_ago == 1000), "{seen:?}");
        // Four of its intervals.
        assert_eq!(all.view(at(10), &config).len(), 2);
        assert_eq!(all.view(at(11), &config), []);
        said(2, 200, &ours, |packet| all.hear(at(12), packet, differ(false, true), &config));
        let again = all.view(at(12), &config);
        assert_eq!((again.len(), &*again[0].about, again[0].since_s), (1, "interval", 0));
        all.clear();
        assert_eq!(all.view(at(12), &config), []);
    }

    #[test]
    fn of_more_sources_than_are_remembered_the_oldest_is_forgotten_and_long_lists_are_cut() {
        let (config, mut all) = (config(), Disagreements::default());
        let many: Vec<[u8; 4]> = (1..=20).map(|last| [198, 51, 100, last]).collect();
        for source in 1..=20 {
            let hear = |packet: &Identified<'_>| {
                all.hear(at(source.into()), packet, differ(true, false), &config);
            };
            said(source, 255, &many, hear);
        }
        let seen = all.view(at(20), &config);
        assert_eq!(seen.len(), MAX);
        assert_eq!(seen[0].peer, IpAddr::from([192, 0, 2, 13]));
        let named = (1..=5).map(|last| format!("198.51.100.{last}")).collect::<Vec<_>>();
        assert_eq!(seen[0].theirs, format!("{} and 15 more", named.join(", ")));
        assert_eq!(seen[0].ours, "192.0.2.10, 192.0.2.11");
    }
}
