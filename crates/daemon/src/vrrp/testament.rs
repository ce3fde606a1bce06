//! What the VRRP thread writes into the supervisor's estate, and what it finds there of the worker before it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Instance as InstanceConfig, Name, Tracker};
use holdfast_engine::vrrp::Reading;
use holdfast_time::Instant;
use vrrp::{State, Status};

use crate::supervisor::{Bequest, Estate, Left, LeftReading, SLOTS_MAX, Stood, Will};

/// A thread that sleeps is woken after this at the latest, so that its supervisor can tell it from one that hangs.
const LONGEST_SLEEP: Duration = Duration::from_millis(500);

/// Wills are so far apart: a thousand instances that change one by one don't have a thousand written.
const BETWEEN_WILLS: Duration = Duration::from_millis(100);

/// Where the thread writes; nowhere without a supervisor.
#[derive(Debug, Default)]
pub(super) struct Testament {
    estate: Option<Arc<Estate>>,
    /// In a cell, because instances write while others are borrowed.
    written: RefCell<Written>,
}

#[derive(Debug, Default)]
struct Written {
    /// The will's number; 0 before the first one.
    number: u64,
    slots: BTreeMap<Name, usize>,
    stood: Vec<Stood>,
    /// The will does not say any more how things are.
    outdated: bool,
    /// When the next will may be written.
    next_at: Instant,
    /// Something could not be written, which was said.
    failed: bool,
}

impl Testament {
    /// A testament in `estate`, where there is one. What is there already stays until the first will.
    pub(super) fn new(estate: Option<Arc<Estate>>) -> Self {
        let number = estate.as_ref().map_or(0, |estate| estate.number());
        let written = Written { number, outdated: true, ..Written::default() };
        Self { estate, written: RefCell::new(written) }
    }

    /// Says that the thread works, and that it sleeps until `deadline` at most; the answer is when it has to wake up.
    pub(super) fn beat(&self, now: Instant, deadline: Option<Instant>) -> Option<Instant> {
        let Some(estate) = &self.estate else { return deadline };
        let longest = now + LONGEST_SLEEP;
        let will = self.written.borrow();
        let longest = if will.outdated { longest.min(will.next_at) } else { longest };
        drop(will);
        let deadline = deadline.map_or(longest, |deadline| deadline.min(longest)).max(now);
        self.note(estate.beat(deadline));
        Some(deadline)
    }

    /// The will has to be written anew.
    pub(super) fn outdate(&self) {
        self.written.borrow_mut().outdated = true;
    }

    /// Whether it is to be written now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let written = self.written.borrow();
        self.estate.is_some() && written.outdated && written.next_at <= now
    }

    /// Writes how an instance stands, if that has changed. Call it after what it tells of has been done.
    pub(super) fn write(&self, instance: &Name, state: &State, since: Instant) {
        let Some(estate) = &self.estate else { return };
        let stood = Stood::of(state, since);
        let mut written = self.written.borrow_mut();
        let (number, slot) = (written.number, written.slots.get(instance).copied());
        let Some(slot) = slot else { return };
        let Some(known) = written.stood.get_mut(slot).filter(|known| **known != stood) else {
            return;
        };
        // A goodbye is of the router as it is while it is Active.
        let rises = state.status() == Status::Active && !matches!(known, Stood::Active(_));
        *known = stood;
        written.outdated |= rises;
        drop(written);
        self.note(estate.write_slot(number, slot, stood));
    }

    /// Writes the will: `bequests` of all instances, each with how it stands, in any order.
    pub(super) fn write_will(
        &self,
        now: Instant,
        bequests: Vec<(Name, Bequest, Stood)>,
        readings: Vec<LeftReading>,
    ) {
        let Some(estate) = &self.estate else { return };
        let mut written = self.written.borrow_mut();
        (written.outdated, written.next_at) = (false, now + BETWEEN_WILLS);
        let (mut slots, mut instances, mut stood) = (BTreeMap::new(), Vec::new(), Vec::new());
        for (slot, (name, bequest, stands)) in bequests.into_iter().take(SLOTS_MAX).enumerate() {
            slots.insert(name, slot);
            instances.push(bequest);
            stood.push(stands);
        }
        // The same slots stay as they are: they are never behind.
        let anew = written.slots != slots;
        if anew {
            written.number += 1;
        }
        let number = written.number;
        let mut result = estate.write_will(number, &Will { instances, readings });
        if anew {
            for (slot, stands) in stood.iter().enumerate() {
                result = result.and_then(|()| estate.write_slot(number, slot, *stands));
            }
            (written.slots, written.stood) = (slots, stood);
        }
        drop(written);
        self.note(result);
    }

    fn note(&self, result: io::Result<()>) {
        let mut written = self.written.borrow_mut();
        if let Err(error) = &result
            && !written.failed
        {
            tracing::error!(%error, "what a next worker would go on from can't be written: it would begin as a Backup");
        }
        written.failed = result.is_err();
    }
}

/// What the worker before has left.
#[derive(Debug, Default)]
pub(super) struct Inheritance {
    instances: BTreeMap<String, (Bequest, Stood)>,
    readings: Vec<LeftReading>,
}

/// What an instance inherits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Inherited {
    /// It was Active, and this is when it advertised last.
    pub(super) advertised: Option<Instant>,
    pub(super) released: bool,
    pub(super) yields: bool,
}

impl Inheritance {
    /// What is in `estate`.
    pub(super) fn of(estate: Option<&Estate>) -> Self {
        let Some(Left { instances, readings, .. }) = estate.and_then(Estate::read) else {
            return Self::default();
        };
        let by_router =
            instances.into_iter().map(|(one, stood)| (one.router.clone(), (one, stood)));
        Self { instances: by_router.collect(), readings }
    }

    /// What the instance of `config` inherits at `now`: its reign only as long as nobody else can have it.
    pub(super) fn for_instance(&self, now: Instant, config: &InstanceConfig) -> Inherited {
        let Some((bequest, stood)) = self.instances.get(&router(config)) else {
            return Inherited::default();
        };
        let advertised = match stood {
            Stood::Active(at) => Some(*at),
            Stood::Aside | Stood::Releasing(_) => None,
        };
        let lasts = bequest.lasts();
        let advertised = advertised.filter(|at| *at <= now && now < *at + lasts);
        Inherited { advertised, released: bequest.released, yields: bequest.yields }
    }

    /// What trackers had read that are still the same.
    pub(super) fn readings(
        &self,
        trackers: &BTreeMap<Name, Tracker>,
    ) -> impl Iterator<Item = (Name, Reading)> {
        let known = self.readings.iter().filter_map(|left| {
            let (name, tracker) =
                trackers.iter().find(|(name, _)| name.to_string() == left.tracker)?;
            let same = watched(tracker) == left.watched;
            same.then(|| (name.clone(), Reading::new(left.level, &left.sentence)))
        });
        known.collect::<Vec<_>>().into_iter()
    }
}

/// Which virtual router an instance is: what [`InstanceConfig::is_same_router`] compares.
pub(super) fn router(config: &InstanceConfig) -> String {
    let InstanceConfig { interface, vrid, family, version, multicast_group, .. } = config;
    let (virtual_mac, unicast) = (&config.virtual_mac, config.unicast.is_some());
    format!(
        "{interface} {vrid} {family:?} {version:?} {multicast_group:?} {virtual_mac:?} {unicast}"
    )
}

/// What a tracker watches.
pub(super) fn watched(tracker: &Tracker) -> String {
    format!("{:?}", tracker.kind)
}
