//! The trackers: what each stands at, since when and why.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_config::{InterfaceSettings, Name, TrackerKind, Vrrp};
use holdfast_time::Instant;

use super::debounce::Debounce;
use super::reading::{Level, Reading};

/// What is special to the way in which a tracker's readings are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Watch {
    /// The interface that it watches, if it does: its readings come by [`Trackers::link`].
    pub interface: Option<String>,
    /// Whether it is the number in a file: a weight is multiplied by it.
    pub file: bool,
    /// How long it must be up before it counts as up.
    pub up_delay: Duration,
    /// How long it must be down before it counts as down.
    pub down_delay: Duration,
}

impl Watch {
    /// How a tracker of `kind` is taken where interfaces have these `settings`.
    pub fn new(kind: &TrackerKind, settings: &BTreeMap<String, InterfaceSettings>) -> Self {
        match kind {
            TrackerKind::Interface(interface) => {
                let delays = settings.get(interface).copied().unwrap_or_default();
                let InterfaceSettings { up_delay, down_delay, .. } = delays;
                Self { interface: Some(interface.clone()), file: false, up_delay, down_delay }
            }
            TrackerKind::Process { up_delay, down_delay, .. } => {
                Self { up_delay: *up_delay, down_delay: *down_delay, ..Self::default() }
            }
            TrackerKind::File { .. } => Self { file: true, ..Self::default() },
            // Scripts and addresses count rise and fall themselves; routes and BFD sessions are what they are.
            TrackerKind::Script { .. }
            | TrackerKind::Reach { .. }
            | TrackerKind::Route { .. }
            | TrackerKind::Bfd(_)
            | _ => Self::default(),
        }
    }
}

/// A tracker as `status` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackerState<'a> {
    /// Its name.
    pub name: &'a Name,
    /// What counts.
    pub level: Level,
    /// Since when.
    pub since: Instant,
    /// Why.
    pub sentence: &'a str,
    /// What will count, and when, if it lasts.
    pub pending: Option<(Instant, Level)>,
    /// Why the last reading could not say anything.
    pub doubt: Option<&'a str>,
    /// Whether it came with a reload and was not read yet.
    pub is_new: bool,
}

/// All trackers. Their number is fixed by the configuration; a reading of another name is ignored.
#[derive(Clone, Debug, Default)]
pub struct Trackers {
    trackers: BTreeMap<Name, (Watch, Debounce)>,
    changed: BTreeSet<Name>,
}

impl Trackers {
    /// The trackers of a configuration; nothing is known of them yet.
    pub fn new(now: Instant, config: &Vrrp) -> Self {
        let mut trackers = Self::default();
        for (name, tracker) in &config.trackers {
            trackers.add(now, name.clone(), Watch::new(&tracker.kind, &config.interfaces));
        }
        trackers
    }

    /// Adds a tracker that nothing is known of yet.
    pub fn add(&mut self, now: Instant, name: Name, watch: Watch) {
        let debounce = Debounce::new(now, watch.up_delay, watch.down_delay);
        self.trackers.insert(name, (watch, debounce));
    }

    /// Takes over what `before` knows of the trackers that are still the same: after a reload nothing is asked anew. One that is new keeps
    /// nobody out until it was read: whoever is Active has no reason to step back before somebody has looked.
    pub fn inherit(&mut self, before: &Self) {
        for (name, (watch, debounce)) in &mut self.trackers {
            let same = |old: &&(Watch, Debounce)| {
                (&old.0.interface, old.0.file) == (&watch.interface, watch.file)
            };
            match before.trackers.get(name).filter(same) {
                Some((_, known)) => {
                    *debounce = known.clone();
                    debounce.set_delays(watch.up_delay, watch.down_delay);
                }
                None => debounce.set_new(),
            }
        }
    }

    /// Takes what the watcher of the tracker `name` has read.
    pub fn handle(&mut self, now: Instant, name: &Name, reading: Reading) {
        if let Some((_, debounce)) = self.trackers.get_mut(name)
            && counts_otherwise(debounce, now, reading)
        {
            self.changed.insert(name.clone());
        }
    }

    /// Takes what has become of an interface: for all trackers that watch it. Tell it of every interface that is watched, also at the
    /// start and also if it is not there, which is down.
    pub fn link(&mut self, now: Instant, interface: &str, reading: &Reading) {
        for (name, (watch, debounce)) in &mut self.trackers {
            if watch.interface.as_deref() == Some(interface)
                && counts_otherwise(debounce, now, reading.clone())
            {
                self.changed.insert(name.clone());
            }
        }
    }

    /// Lets readings count that have lasted.
    pub fn handle_timeout(&mut self, now: Instant) {
        for (name, (_, debounce)) in &mut self.trackers {
            if debounce.handle_timeout(now) {
                self.changed.insert(name.clone());
            }
        }
    }

    /// When [`Trackers::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.trackers.values().filter_map(|(_, debounce)| debounce.poll_timeout()).min()
    }

    /// The next tracker that counts otherwise than when it was last polled, or for another reason. At most all of them wait.
    pub fn poll_changed(&mut self) -> Option<Name> {
        self.changed.pop_first()
    }

    /// The interfaces that are watched.
    pub fn interfaces(&self) -> BTreeSet<&str> {
        self.trackers.values().filter_map(|(watch, _)| watch.interface.as_deref()).collect()
    }

    /// All trackers, by name.
    pub fn iter(&self) -> impl Iterator<Item = TrackerState<'_>> {
        self.trackers.keys().filter_map(|name| self.get(name))
    }

    /// The tracker `name`.
    pub fn get(&self, name: &Name) -> Option<TrackerState<'_>> {
        let (name, (_, debounce)) = self.trackers.get_key_value(name)?;
        Some(TrackerState {
            name,
            level: debounce.counts().level(),
            since: debounce.since(),
            sentence: debounce.counts().sentence(),
            pending: debounce.pending().map(|(at, reading)| (at, reading.level())),
            doubt: debounce.doubt(),
            is_new: debounce.is_new(),
        })
    }

    /// Whether the tracker `name` is a file's number.
    pub(super) fn is_file(&self, name: &Name) -> bool {
        self.trackers.get(name).is_some_and(|(watch, _)| watch.file)
    }
}

/// Gives a reading to `debounce`; true when what counts has another level or another sentence now.
fn counts_otherwise(debounce: &mut Debounce, now: Instant, reading: Reading) -> bool {
    let before = debounce.counts().sentence().to_owned();
    debounce.handle(now, reading) || debounce.counts().sentence() != before
}
