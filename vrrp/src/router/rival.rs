//! Another Active of lower rank: whether it yields when it is answered, or does not hear us.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use serde::Serialize;

use super::{Action, Advertisement, Observation, VirtualRouter};
use crate::types::{Interval, Priority};

/// Another router that is Active beside this one and does not hear it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DualActive {
    /// Its primary address.
    pub source: IpAddr,
    /// Its priority.
    pub priority: Priority,
    /// When its first advertisement came.
    pub since: Instant,
    /// When its last one came.
    pub last: Instant,
}

/// A router of lower rank that has advertised while this one is Active. There is one at a time: the first, until it is silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rival {
    what: DualActive,
    interval: Interval,
    /// When we advertised first after its first advertisement.
    answered: Option<Instant>,
    /// It goes on though it had time to hear the answer.
    deaf: bool,
}

impl Rival {
    /// After so many of its intervals of silence it is gone.
    const SILENT_INTERVALS: u32 = 3;

    const fn is_silent(&self, now: Instant) -> bool {
        let silent = now.saturating_since(self.what.last).as_nanos();
        silent >= self.interval.duration().as_nanos() * Self::SILENT_INTERVALS as u128
    }

    /// Whether what it sent just now can't be its farewell, nor have crossed with our answer: that came half an interval ago.
    fn must_have_heard(&self, now: Instant) -> bool {
        let half = self.interval.duration() / 2;
        self.answered.is_some_and(|answered| now.saturating_since(answered) >= half)
    }
}

impl VirtualRouter {
    /// The other Active that does not hear this one, if there is one. That it has fallen silent is noticed when this router
    /// advertises next.
    pub fn dual_active(&self) -> Option<DualActive> {
        self.rival.filter(|rival| rival.deaf).map(|rival| rival.what)
    }

    /// Takes note of an advertisement of lower rank, and says what an operator shall be told.
    pub(super) fn hear_rival(&mut self, now: Instant, heard: Advertisement) -> Option<Observation> {
        let Advertisement { source, priority, interval, .. } = heard;
        self.forget_silent_rival(now);
        let Some(rival) = &mut self.rival else {
            let what = DualActive { source, priority, since: now, last: now };
            self.rival = Some(Rival { what, interval, answered: None, deaf: false });
            let settled = self.is_settled(now);
            return settled.then_some(Observation::LowerRankHeard { source, priority });
        };
        if rival.what.source != source {
            return None;
        }
        (rival.what.last, rival.what.priority, rival.interval) = (now, priority, interval);
        if rival.deaf || !rival.must_have_heard(now) {
            return None;
        }
        rival.deaf = true;
        self.counters.dual_actives += 1;
        Some(Observation::DualActiveBegan { source, priority })
    }

    /// An advertisement of ours has gone out: whoever is there has had its answer.
    pub(super) fn answer_rival(&mut self, now: Instant) {
        if let Some(rival) = &mut self.rival {
            rival.answered = rival.answered.or(Some(now));
        }
    }

    /// Forgets a rival that is silent.
    pub(super) fn forget_silent_rival(&mut self, now: Instant) {
        if self.rival.is_some_and(|rival| rival.is_silent(now)) {
            self.forget_rival(now);
        }
    }

    /// Forgets the rival if it is `source`, which has given up.
    pub(super) fn rival_gives_up(&mut self, now: Instant, source: IpAddr) {
        if self.rival.is_some_and(|rival| rival.what.source == source) {
            self.forget_rival(now);
        }
    }

    /// Forgets the rival.
    pub(super) fn forget_rival(&mut self, now: Instant) {
        if let Some(Rival { what, deaf: true, .. }) = self.rival.take() {
            let lasted: Duration = now.saturating_since(what.since);
            let source = what.source;
            self.push(Action::Observe(Observation::DualActiveEnded { source, lasted }));
        }
    }

    /// Whether it has been Active for an interval. Before, another one is no news: the router that was Active says goodbye.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        let interval = self.params.advertisement_interval().duration();
        now.saturating_since(self.since) >= interval
    }
}
