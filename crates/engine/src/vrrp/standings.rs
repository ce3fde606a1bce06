//! Where every instance stands by its trackers, its group's among them.
//!
//! An instance alone has its own entries of `track`. The members of a sync group have one handicap together: the group's entries,
//! and the weighted entries of every member, go for each of them, so that all members of a node rank alike against the other
//! node's; were one member lowered alone, its peer could not take it over without the rest, and the weight would do nothing. The
//! same entry on several members counts once. A member's weight-less entry is a fault of that member, which
//! [`super::SyncGroup`] carries to the others by name. In a group with an owner, whose rank never changes, no weight counts.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_config::{Instance, Name, Vrrp};
use holdfast_time::Instant;
use vrrp::Priority;

use super::effect::{Effect, Standing, standing};
use super::reading::Reading;
use super::trackers::Trackers;

/// An instance as far as tracking goes.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its configured priority.
    pub priority: Priority,
    /// Its entries of `track`.
    pub track: Vec<Effect>,
}

impl From<&Instance> for Subject {
    fn from(instance: &Instance) -> Self {
        let track = instance.track.iter().map(Effect::from).collect();
        Self { priority: instance.priority, track }
    }
}

#[derive(Clone, Debug)]
struct Tracked {
    priority: Priority,
    effects: Vec<Effect>,
    standing: Standing,
}

/// The trackers, and the standing of every instance.
#[derive(Clone, Debug, Default)]
pub struct Standings {
    trackers: Trackers,
    instances: BTreeMap<Name, Tracked>,
    changed: BTreeSet<Name>,
}

impl Standings {
    /// The standings of a configuration's instances. Every instance counts as changed.
    pub fn new<'a>(
        now: Instant,
        config: &Vrrp,
        instances: impl IntoIterator<Item = &'a Instance>,
    ) -> Self {
        let subjects = instances.into_iter().map(|one| (one.name.clone(), one.into())).collect();
        let groups = config
            .groups
            .values()
            .map(|group| (group.instances.clone(), group.track.iter().map(Effect::from).collect()));
        Self::of(Trackers::new(now, config), subjects, groups)
    }

    /// The standings of these instances and these groups (members and their common entries of `track`).
    pub fn of(
        trackers: Trackers,
        subjects: BTreeMap<Name, Subject>,
        groups: impl IntoIterator<Item = (BTreeSet<Name>, Vec<Effect>)>,
    ) -> Self {
        let mut effects: BTreeMap<Name, Vec<Effect>> =
            subjects.iter().map(|(name, one)| (name.clone(), one.track.clone())).collect();
        for (members, track) in groups {
            let shared = shared(&members, track, &subjects);
            for member in &members {
                let Some(own) = effects.get_mut(member) else { continue };
                own.retain(|effect| effect.weight.is_none());
                own.extend(
                    shared
                        .iter()
                        .filter(|effect| !own.contains(effect))
                        .cloned()
                        .collect::<Vec<_>>(),
                );
            }
        }
        let tracked = |(name, subject): (Name, Subject)| {
            let effects = effects.remove(&name).unwrap_or_default();
            let standing = standing(subject.priority, &effects, &trackers);
            (name, Tracked { priority: subject.priority, effects, standing })
        };
        let instances: BTreeMap<Name, Tracked> = subjects.into_iter().map(tracked).collect();
        let changed = instances.keys().cloned().collect();
        Self { trackers, instances, changed }
    }

    /// Takes over what `before` knows of trackers that are still the same. Call it after a reload, before anything else.
    pub fn inherit(&mut self, before: &Self) {
        self.trackers.inherit(&before.trackers);
        self.weigh(|_| true);
    }

    /// Takes what the watcher of the tracker `name` has read.
    pub fn handle(&mut self, now: Instant, name: &Name, reading: Reading) {
        self.trackers.handle(now, name, reading);
        self.follow();
    }

    /// Takes what has become of an interface. Tell it of every one of [`Trackers::interfaces`], also at the start and also if it is
    /// not there, which is down.
    pub fn link(&mut self, now: Instant, interface: &str, reading: &Reading) {
        self.trackers.link(now, interface, reading);
        self.follow();
    }

    /// Lets readings count that have lasted.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.trackers.handle_timeout(now);
        self.follow();
    }

    /// When [`Standings::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.trackers.poll_timeout()
    }

    /// The next instance whose priority, faults or contributions are others than when it was last polled.
    pub fn poll_changed(&mut self) -> Option<Name> {
        self.changed.pop_first()
    }

    /// Where an instance stands; none for one that is not configured.
    pub fn standing(&self, instance: &Name) -> Option<&Standing> {
        self.instances.get(instance).map(|tracked| &tracked.standing)
    }

    /// What counts for an instance, its group's entries among them.
    pub fn effects(&self, instance: &Name) -> &[Effect] {
        self.instances.get(instance).map_or(&[], |tracked| &tracked.effects)
    }

    /// The trackers.
    pub const fn trackers(&self) -> &Trackers {
        &self.trackers
    }

    /// Weighs anew who tracks what has changed.
    fn follow(&mut self) {
        let mut changed = BTreeSet::new();
        while let Some(name) = self.trackers.poll_changed() {
            changed.insert(name);
        }
        if !changed.is_empty() {
            self.weigh(|tracker| changed.contains(tracker));
        }
    }

    fn weigh(&mut self, concerns: impl Fn(&Name) -> bool) {
        for (name, tracked) in &mut self.instances {
            if !tracked.effects.iter().any(|effect| concerns(&effect.tracker)) {
                continue;
            }
            let standing = standing(tracked.priority, &tracked.effects, &self.trackers);
            if tracked.standing != standing {
                tracked.standing = standing;
                self.changed.insert(name.clone());
            }
        }
    }
}

/// What goes for every member of a group: its own entries and the members' weighted ones, each once.
fn shared(
    members: &BTreeSet<Name>,
    track: Vec<Effect>,
    subjects: &BTreeMap<Name, Subject>,
) -> Vec<Effect> {
    let of_members = || members.iter().filter_map(|member| subjects.get(member));
    let owner = of_members().any(|member| member.priority == Priority::OWNER);
    let weighted = of_members().flat_map(|member| &member.track).filter(|one| one.weight.is_some());
    let mut shared: Vec<Effect> = Vec::new();
    for effect in track.iter().chain(weighted) {
        let idle = owner && effect.weight.is_some();
        if !idle && !shared.contains(effect) {
            shared.push(effect.clone());
        }
    }
    shared
}
