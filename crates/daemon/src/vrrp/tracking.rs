//! Tracking in the VRRP thread: readings and links go in, and instances stand otherwise.

use std::collections::BTreeMap;
use std::net::IpAddr;

use holdfast_config::{Instance as InstanceConfig, Name, TrackerKind, Vrrp};
use holdfast_control as control;
use holdfast_engine::vrrp::{Level, Reading, Standings, TrackerState};
use holdfast_net::Interfaces;
use holdfast_time::Instant;

use super::instance::Means;
use super::readings::Readings;
use super::roster::Roster;

/// The trackers and what they make of the instances.
#[derive(Debug)]
pub(super) struct Tracking {
    standings: Standings,
    readings: Readings,
    kinds: BTreeMap<Name, &'static str>,
    /// The other side of each BFD session, and whether it was up.
    sessions: BTreeMap<Name, (IpAddr, bool)>,
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
        let kinds = trackers.clone().map(|(name, one)| (name.clone(), kind(&one.kind))).collect();
        let sessions = trackers.filter_map(|(name, one)| match &one.kind {
            TrackerKind::Bfd(session) => Some((name.clone(), (session.peer, false))),
            _ => None,
        });
        let sessions = sessions.collect();
        Self { standings: Standings::new(now, config, instances), readings, kinds, sessions }
    }

    /// Takes what has become of the interfaces that are watched.
    pub(super) fn follow_links(&mut self, now: Instant, interfaces: &Interfaces) {
        let watched = self.standings.trackers().interfaces();
        let watched: Vec<String> = watched.into_iter().map(str::to_owned).collect();
        for name in watched {
            let reading = match interfaces.by_name(&name) {
                None => Reading::down(format!("there is no interface {name}")),
                Some(state) if state.link.up => Reading::up(format!("{name} is up")),
                Some(_) => Reading::down(format!("{name} is down")),
            };
            self.standings.link(now, &name, &reading);
        }
    }

    /// Takes what watchers have read, and lets the instances stand as that makes them. A BFD session that goes down says that its other
    /// side is gone: whoever has it for its Active takes that for its goodbye.
    pub(super) fn settle(&mut self, now: Instant, roster: &mut Roster, means: Means<'_>) {
        for (tracker, reading) in self.readings.take() {
            if let Some((peer, was_up)) = self.sessions.get_mut(&tracker) {
                let up = reading.level() == Level::Up;
                if std::mem::replace(was_up, up) && !up {
                    let peer = *peer;
                    roster.each(|instance| instance.lose_active(now, peer, means));
                }
            }
            self.standings.handle(now, &tracker, reading);
        }
        self.standings.handle_timeout(now);
        while let Some(name) = self.standings.poll_changed() {
            let Some(standing) = self.standings.standing(&name).cloned() else { continue };
            roster.with(&name, |instance| instance.stand(now, standing, means));
        }
    }

    /// When a delay is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.standings.poll_timeout()
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

const fn kind(kind: &TrackerKind) -> &'static str {
    match kind {
        TrackerKind::Interface(_) => "interface",
        TrackerKind::Script { .. } => "script",
        TrackerKind::File { .. } => "file",
        TrackerKind::Process { .. } => "process",
        TrackerKind::Reach { .. } => "reach",
        TrackerKind::Route { .. } => "route",
        TrackerKind::Bfd(_) => "bfd",
        _ => "other",
    }
}
