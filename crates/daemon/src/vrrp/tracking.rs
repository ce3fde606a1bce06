//! Tracking in the VRRP thread: readings and links go in, and instances stand otherwise.

use std::collections::BTreeMap;

use holdfast_config::{BfdSession, Instance as InstanceConfig, Name, Tracker, TrackerKind, Vrrp};
use holdfast_control as control;
use holdfast_engine::vrrp::{Debounce, Level, Reading, Standing, Standings, TrackerState};
use holdfast_net::Interfaces;
use holdfast_time::Instant;

use super::instance::Means;
use super::readings::{News, Readings};
use super::roster::Roster;
use super::testament::watched;
use crate::supervisor::LeftReading;

/// The trackers and what they make of the instances.
#[derive(Debug)]
pub(super) struct Tracking {
    standings: Standings,
    readings: Readings,
    kinds: BTreeMap<Name, &'static str>,
    sessions: BTreeMap<Name, BfdSession>,
    /// The interfaces of instances that have delays: what counts of each.
    links: BTreeMap<String, Debounce>,
}

impl Tracking {
    /// The tracking of a configuration; `readings` is where watchers put theirs.
    pub(super) fn new(
        now: Instant,
        config: &Vrrp,
        instances: &[InstanceConfig],
        readings: Readings,
    ) -> Self {
        let trackers = config.trackers.iter();
        let sessions = trackers.clone().filter_map(|(name, one)| {
            let TrackerKind::Bfd(session) = &one.kind else { return None };
            Some((name.clone(), session.clone()))
        });
        let sessions = sessions.collect();
        let kinds = trackers.map(|(name, one)| (name.clone(), kind(&one.kind))).collect();
        let delayed = config.interfaces.iter().filter(|(name, settings)| {
            let delays = settings.up_delay.max(settings.down_delay);
            !delays.is_zero() && instances.iter().any(|one| one.interface == **name)
        });
        let links = delayed.map(|(name, settings)| {
            (name.clone(), Debounce::new(now, settings.up_delay, settings.down_delay))
        });
        let links = links.collect();
        Self { standings: Standings::new(now, config, instances), readings, kinds, sessions, links }
    }

    /// Takes what trackers had read for the process before this one: it counts until something else is read.
    pub(super) fn inherit(
        &mut self,
        now: Instant,
        readings: impl Iterator<Item = (Name, Reading)>,
    ) {
        for (tracker, reading) in readings {
            self.standings.handle(now, &tracker, reading);
        }
    }

    /// What of `config` has been read, for a process that may have to go on in this one's place.
    pub(super) fn bequest(&self, config: &BTreeMap<Name, Tracker>) -> Vec<LeftReading> {
        let known = self.standings.trackers().iter().filter(|one| one.level != Level::Unknown);
        let left = known.filter_map(|one| {
            let tracker = config.get(one.name)?;
            Some(LeftReading {
                tracker: one.name.to_string(),
                watched: watched(tracker),
                level: one.level,
                sentence: one.sentence.to_owned(),
            })
        });
        left.collect()
    }

    /// The same for another configuration: what is known of trackers and interfaces that are still the same is not asked anew.
    pub(super) fn renew(&mut self, now: Instant, config: &Vrrp, instances: &[InstanceConfig]) {
        let mut renewed = Self::new(now, config, instances, self.readings.clone());
        renewed.standings.inherit(&self.standings);
        for (name, link) in &mut renewed.links {
            let (Some(mut known), Some(settings)) =
                (self.links.remove(name), config.interfaces.get(name))
            else {
                continue;
            };
            known.set_delays(settings.up_delay, settings.down_delay);
            *link = known;
        }
        *self = renewed;
    }

    /// Where an instance stands; none for one that is not configured.
    pub(super) fn standing(&self, instance: &Name) -> Option<Standing> {
        self.standings.standing(instance).cloned()
    }

    /// Takes what has become of the interfaces that are watched.
    pub(super) fn follow_links(&mut self, now: Instant, interfaces: &Interfaces) {
        let watched = self.standings.trackers().interfaces();
        let watched: Vec<String> = watched.into_iter().map(str::to_owned).collect();
        for name in watched {
            self.standings.link(now, &name, &read(&name, interfaces));
        }
        for (name, link) in &mut self.links {
            link.handle(now, read(name, interfaces));
        }
    }

    /// Whether an instance's interface counts as up; none where it has no delay.
    pub(super) fn is_up(&self, interface: &str) -> Option<bool> {
        self.links.get(interface)?.counts().level().is_up()
    }

    /// Lets interfaces count that have been up or down for long enough; true when one has.
    pub(super) fn links_timeout(&mut self, now: Instant) -> bool {
        let mut changed = false;
        for link in self.links.values_mut() {
            changed |= link.handle_timeout(now);
        }
        changed
    }

    /// Takes what watchers have read, and lets the instances stand as that makes them. Whoever has a peer that BFD lost for its Active
    /// takes that for its goodbye.
    pub(super) fn settle(&mut self, now: Instant, roster: &mut Roster, means: Means<'_>) {
        let News { readings, lost, died, caught_up } = self.readings.take();
        for (instance, caught_up) in caught_up {
            roster.with(&instance, |one| one.catch_up(now, caught_up, means));
        }
        for (on, address) in died {
            roster.each(|instance| {
                if instance.socket().is_some_and(|(index, _)| index == on) {
                    instance.bury_active(now, address, means);
                }
            });
        }
        for session in lost.iter().filter_map(|tracker| self.sessions.get(tracker)) {
            let BfdSession { peer, interface, .. } = session;
            roster.each(|instance| {
                // A link-local address is somebody else on another link.
                if interface.as_deref().is_none_or(|on| on == instance.interface_name()) {
                    instance.lose_active(now, *peer, means);
                }
            });
        }
        for (tracker, reading) in readings {
            self.doubt(&tracker, &reading);
            self.standings.handle(now, &tracker, reading);
        }
        self.standings.handle_timeout(now);
        while let Some(name) = self.standings.poll_changed() {
            means.testament.outdate();
            let Some(standing) = self.standings.standing(&name).cloned() else { continue };
            roster.with(&name, |instance| instance.stand(now, standing, means));
        }
    }

    /// Says that a tracker can't be read, once until it can: the reasons may be others each time, as what is in a file.
    fn doubt(&self, tracker: &Name, reading: &Reading) {
        let known = self.standings.trackers().get(tracker);
        let old = known.is_some_and(|known| known.doubt.is_some());
        if reading.level() == Level::Unknown && !old {
            let why = reading.sentence();
            tracing::warn!(%tracker, why, "a tracker can't be read: what was known of it holds");
        }
    }

    /// When a delay is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let links = self.links.values().filter_map(Debounce::poll_timeout);
        self.standings.poll_timeout().into_iter().chain(links).min()
    }

    /// The trackers as the API shows them.
    pub(super) fn view(&self, now: Instant) -> Vec<control::Tracker> {
        self.standings.trackers().iter().map(|tracker| self.view_one(now, &tracker)).collect()
    }

    fn view_one(&self, now: Instant, tracker: &TrackerState<'_>) -> control::Tracker {
        let state = match tracker.level {
            Level::Unknown => "unknown".to_owned(),
            Level::Up => "up".to_owned(),
            Level::Down => "down".to_owned(),
            Level::Value(value) => value.to_string(),
        };
        let doubt = tracker.doubt.map(|doubt| format!(" (the last look failed: {doubt})"));
        control::Tracker {
            name: tracker.name.to_string(),
            kind: self.kinds.get(tracker.name).copied().unwrap_or_default().to_owned(),
            state,
            reason: format!("{}{}", tracker.sentence, doubt.unwrap_or_default()),
            since_s: now.saturating_since(tracker.since).as_secs(),
        }
    }
}

/// What an interface is now.
fn read(name: &str, interfaces: &Interfaces) -> Reading {
    match interfaces.by_name(name) {
        None => Reading::down(format!("there is no interface {name}")),
        Some(state) if state.link.up => Reading::up(format!("{name} is up")),
        Some(_) => Reading::down(format!("{name} is down")),
    }
}

const fn kind(kind: &TrackerKind) -> &'static str {
    match kind {
        TrackerKind::Interface(_) => "interface",
        TrackerKind::Script { .. } => "script",
        TrackerKind::File { .. } => "file",
        TrackerKind::Process { .. } => "process",
        TrackerKind::Reach { .. } => "reach",
        TrackerKind::Route { .. } => "route",
        TrackerKind::Bfd(_) => "bfd",
        TrackerKind::Service(_) => "service",
        _ => "other",
    }
}
