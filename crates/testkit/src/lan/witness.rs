//! What is known of a Backup from outside: what it has heard and when, by its own clock. It is asked at each promotion (I3, I4), with an
//! arithmetic of its own.

use std::time::Duration;

use holdfast_time::Instant;
use vrrp::{
    Advertisement, Event, Interval, Params, Priority, Reason, Status, Version, VirtualRouter,
};

/// What a timer may be late by: a step of the clock that counts the LAN's time.
const TICK: Duration = Duration::from_micros(1);

/// A Backup's past, since it last had reason to wait anew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Witness {
    /// Since when it has waited, and for which interval; none unless it is a Backup.
    waits: Option<(Instant, Interval)>,
    /// When the Active gave up.
    released: Option<Instant>,
    /// Since when it has heard lower priorities only.
    lower_since: Option<Instant>,
    /// Its parameters have changed, or another protocol has spoken: no time can be foretold.
    unsure: bool,
    /// It stood still: its timer may fire late.
    late: bool,
}

impl Witness {
    /// Its parameters are others now.
    pub(super) const fn reconfigured(&mut self) {
        self.unsure = true;
    }

    /// It stood still or slept.
    pub(super) const fn halted(&mut self) {
        self.late = true;
    }

    /// Takes note of an event that `router`, which was in the state `before`, has handled.
    pub(super) fn note(
        &mut self,
        now: Instant,
        event: &Event,
        before: Status,
        router: &VirtualRouter,
    ) {
        let params = router.params();
        let own = params.advertisement_interval();
        let heard = if let Event::Advertisement(heard) = event { Some(*heard) } else { None };
        let interval = match (heard, params.version()) {
            (Some(heard), Version::V3) => heard.interval,
            (Some(_), Version::V2) | (None, _) => own,
        };
        if router.status() != Status::Backup {
            *self = Self::default();
        } else if before != Status::Backup {
            *self = Self { waits: Some((now, interval)), ..Self::default() };
        } else if let Some(heard) = heard {
            self.hear(now, heard, interval, params);
        } else if matches!(event, Event::Resumed) {
            let learned = self.waits.map_or(own, |(_, learned)| learned);
            *self = Self { waits: Some((now, learned)), unsure: self.unsure, ..Self::default() };
        } else if matches!(event, Event::ActiveLost { .. } | Event::ActiveDied { .. }) {
            self.unsure = true;
        }
    }

    fn hear(&mut self, now: Instant, heard: Advertisement, interval: Interval, params: &Params) {
        if heard.priority == Priority::RELEASE {
            self.released = Some(now);
            return;
        }
        let lower = heard.priority < params.priority();
        let lower_since = lower.then(|| self.lower_since.unwrap_or(now));
        let patient = lower_since.is_some_and(|since| now < since + params.preempt_delay());
        if !lower || !params.preempts() || patient {
            *self = Self { waits: Some((now, interval)), lower_since, ..Self::default() };
        } else {
            self.lower_since = lower_since;
        }
    }

    /// It has become Active.
    ///
    /// # Panics
    /// It may not, or not yet, or it should have before.
    pub(super) fn promoted(&self, now: Instant, reason: Reason, params: &Params) {
        let (Some((since, interval)), false) = (self.waits, self.unsure) else { return };
        let unit = match params.version() {
            Version::V2 => Duration::from_secs(1),
            Version::V3 => interval.duration(),
        };
        let nanos = u64::try_from(unit.as_nanos()).unwrap_or(u64::MAX);
        let skew = Duration::from_nanos((256 - u64::from(params.priority().value())) * nanos / 256);
        let down = interval.duration() * u32::from(params.down_adverts().get()) + skew;
        let (began, due) = if matches!(reason, Reason::ActiveSilent | Reason::Preempt) {
            (Some(since), down)
        } else if reason == Reason::ActiveReleased {
            (self.released, skew)
        } else {
            return;
        };
        if reason == Reason::Preempt {
            assert!(params.preempts(), "I3: a living Active was displaced without Preempt_Mode");
            let lower = self.lower_since.map(|since| now.saturating_since(since));
            assert!(lower >= Some(params.preempt_delay()), "I3: preempted after {lower:?}");
        }
        let waited = began.map(|began| now.saturating_since(began));
        assert!(waited >= Some(due), "I4: {reason:?} after {waited:?}, due after {due:?}");
        assert!(self.late || waited <= Some(due + TICK), "I4: {reason:?} only after {waited:?}");
    }
}
