//! Advertisements of an Active: on time, or sooner when somebody is to be answered.

use holdfast_time::Instant;

use super::{Action, Observation, Reason, State, VirtualRouter};
use crate::types::Priority;

impl VirtualRouter {
    /// S6, C5: the adver timer fired. The next one is counted from when this one was due, so that lateness does not add up;
    /// whole intervals that were missed are not made up for.
    pub(super) fn advertise_on_time(&mut self, now: Instant) {
        let State::Active { adver: due, advertised, forfeit, mut announcements } = self.state
        else {
            return;
        };
        self.forget_silent_rival(now);
        if forfeit < now {
            let silent = now.saturating_since(advertised);
            self.counters.stalls += 1;
            self.push(Action::Observe(Observation::Stalled { silent }));
            if !self.params.preempts() {
                self.listen(now, self.params.advertisement_interval(), None, Reason::Stalled);
                return;
            }
            announcements = 2;
        }
        self.send(self.params.priority());
        if announcements > 0 {
            self.push(Action::Announce);
        }
        let interval = self.params.advertisement_interval().duration();
        let adver = if due + interval > now { due + interval } else { now + interval };
        self.state = self.active(now, adver, announcements.saturating_sub(1));
        self.answer_rival(now);
    }

    /// Advertises now and says true, or lets the timer do it: as soon as the storm guard allows it, or after the queue has been
    /// drained when the timer is due already.
    pub(super) fn advertise_soon(&mut self, now: Instant) -> bool {
        let State::Active { adver, advertised, announcements, .. } = &mut self.state else {
            return false;
        };
        if *adver <= now {
            return false;
        }
        let interval = self.params.advertisement_interval().duration();
        // The storm guard: nothing untimed within half an interval after the last advertisement.
        let earliest = *advertised + interval / 2;
        if now < earliest {
            *adver = (*adver).min(earliest);
            return false;
        }
        let announcements = *announcements;
        self.send(self.params.priority());
        self.state = self.active(now, now + interval, announcements);
        self.answer_rival(now);
        true
    }

    /// Active, an advertisement having been sent just now.
    pub(super) fn active(&self, now: Instant, adver: Instant, announcements: u8) -> State {
        let params = &self.params;
        let forfeit = now + params.active_down_interval(params.advertisement_interval());
        State::Active { adver, advertised: now, forfeit, announcements }
    }

    /// Sends an advertisement of this priority.
    pub(super) fn send(&mut self, priority: Priority) {
        self.counters.advertisements_sent += 1;
        if priority == Priority::RELEASE {
            self.counters.priority_zero_sent += 1;
        }
        self.push(Action::SendAdvertisement { priority });
    }
}
