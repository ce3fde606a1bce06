//! What is known of a Backup from outside: what it has heard and when, by its own clock. It is asked at each promotion (I3, I4), with an
//! arithmetic of its own.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use vrrp::{
    Advertisement, Event, Interval, Params, Priority, Reason, State, Status, Version, VirtualRouter,
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
    /// Who it was told is gone, of whom it knew as the Active.
    bereft_of: Option<IpAddr>,
    /// When it was told by that one's host, and when by BFD.
    died: Option<Instant>,
    lost: Option<Instant>,
    /// Since when it has heard lower priorities only.
    lower_since: Option<Instant>,
    /// Its parameters have changed: no time can be foretold.
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
        } else if let Event::ActiveLost { address } | Event::ActiveDied { address } = event
            && let State::Backup { takeover, active, .. } = router.state()
            && matches!(takeover, Reason::ActiveLost | Reason::ActiveDied)
            && *active == Some(*address)
        {
            self.bereft_of = Some(*address);
            let died = matches!(event, Event::ActiveDied { .. });
            let told = if died { &mut self.died } else { &mut self.lost };
            *told = told.or(Some(now));
        }
    }

    fn hear(&mut self, now: Instant, heard: Advertisement, interval: Interval, params: &Params) {
        if heard.priority == Priority::RELEASE {
            if self.died.is_none() {
                (self.released, self.lost, self.bereft_of) = (Some(now), None, None);
            }
            return;
        }
        let lower = heard.priority < params.priority();
        let lower_since = lower.then(|| self.lower_since.unwrap_or(now));
        let patient = lower_since.is_some_and(|since| now < since + params.preempt_delay());
        // Another one of those who were told, and a worse one; until it should have taken over for an interval.
        let over = self.bereaved(params).map(|told| told.first + told.interval);
        let rival = self.bereft_of.is_some_and(|gone| heard.source != gone) && Some(now) < over;
        if !lower || ((!params.preempts() || patient) && !rival) {
            // How long the election goes on is no more certain than when this one would have won it.
            let unsure = self.unsure && self.bereft_of.is_some();
            let waits = Some((now, interval));
            *self = Self { waits, lower_since, unsure, ..Self::default() };
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
        let (skew, down) = times(params, interval);
        if matches!(reason, Reason::ActiveLost | Reason::ActiveDied) {
            let Some(Bereaved { first, last, .. }) = self.bereaved(params) else {
                panic!("I3: nobody said that the Active was gone, or it was heard since")
            };
            assert!(now >= first, "I4: {reason:?} at {now}, due at {first}");
            assert!(self.late || now <= last + TICK, "I4: {reason:?} only at {now}, due at {last}");
            return;
        }
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

    /// When it takes over because it was told that the Active is gone; none when it was not, or has heard that one since.
    fn bereaved(&self, params: &Params) -> Option<Bereaved> {
        let (since, interval) = self.waits?;
        let (skew, down) = times(params, interval);
        let death_skew = share(params, Duration::from_millis(1));
        let died = self.died.map(|told| told + death_skew);
        let lost = self.lost.map(|told| told + skew);
        let last = [died, lost].into_iter().flatten().min()?;
        let released = self.released.map(|released| released + skew);
        let first = [Some(since + down), released].into_iter().flatten().fold(last, Instant::min);
        Some(Bereaved { first, last, interval: interval.duration() })
    }
}

/// When one takes over that was told that its Active is gone: not before, if it was about to anyway, and not after.
struct Bereaved {
    first: Instant,
    last: Instant,
    interval: Duration,
}

/// Skew_Time and Active_Down_Interval.
fn times(params: &Params, interval: Interval) -> (Duration, Duration) {
    let skew = match params.version() {
        Version::V2 => share(params, Duration::from_secs(1)),
        Version::V3 => share(params, interval.duration()),
    };
    (skew, interval.duration() * u32::from(params.down_adverts().get()) + skew)
}

/// (256 - Priority) / 256 of `unit`.
fn share(params: &Params, unit: Duration) -> Duration {
    let nanos = u64::try_from(unit.as_nanos()).unwrap_or(u64::MAX);
    Duration::from_nanos((256 - u64::from(params.priority().value())) * nanos / 256)
}
