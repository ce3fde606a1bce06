//! Make before break: an Active that gives up says so with priority 0, and keeps the addresses until another router advertises.
//! Not in the RFC, which takes them off at once, so that clients are without them for the best Backup's Skew_Time.

use holdfast_time::Instant;

use super::{Action, Advertisement, Event, Observation, Reason, State, VirtualRouter};
use crate::types::Priority;

impl VirtualRouter {
    /// S3, D1: from Active to Releasing.
    pub(super) fn release(&mut self, now: Instant, reason: Reason) {
        self.send(Priority::RELEASE);
        let give_up = now + self.params.release_interval();
        self.enter(now, State::Releasing { give_up }, reason);
    }

    /// Every event in Releasing. Whether it goes on as a Backup or leaves is `wanted`: the last of Startup and Shutdown.
    pub(super) fn while_releasing(&mut self, now: Instant, event: Event) {
        match event {
            Event::Startup => self.wanted = true,
            Event::Shutdown if self.wanted => self.wanted = false,
            Event::Shutdown => self.stop(now, Reason::Shutdown),
            Event::StepDown
            | Event::Inherit { .. }
            | Event::TakeOver
            | Event::ActiveFallen
            | Event::ActiveLost { .. }
            | Event::ActiveDied { .. } => {}
            Event::Advertisement(heard) => self.hear_as_releasing(now, heard),
            Event::InterfaceUp { primary } | Event::PrimaryChanged { primary } => {
                self.primary = Some(primary);
            }
            Event::InterfaceDown => self.lose_interface(now),
            Event::Reconfigure(params) => self.reconfigure(now, params),
            // Somebody may have taken over long ago, and said so to nobody who was awake.
            Event::Resumed if self.wanted => {
                self.listen(now, self.params.advertisement_interval(), None, Reason::Stalled);
            }
            Event::Resumed => self.stop(now, Reason::Shutdown),
        }
    }

    /// D2: whoever advertises has the addresses, whatever its rank. Priority 0 is no claim to them.
    fn hear_as_releasing(&mut self, now: Instant, heard: Advertisement) {
        self.take_note(now, heard);
        let Advertisement { source, priority, interval, .. } = heard;
        if priority == Priority::RELEASE || Some(source) == self.primary {
            return;
        }
        if self.wanted {
            self.listen(now, interval, Some(source), Reason::TakenOver);
        } else {
            self.stop(now, Reason::TakenOver);
        }
    }

    /// D3: nobody was heard in time.
    pub(super) fn release_unanswered(&mut self, now: Instant) {
        if !self.wanted {
            self.stop(now, Reason::NobodyTookOver);
            return;
        }
        let waited = now.saturating_since(self.since);
        self.send(self.params.priority());
        self.push(Action::Announce);
        self.counters.became_active += 1;
        let adver = now + self.params.advertisement_interval().duration();
        self.enter(now, self.active(now, adver, 0), Reason::NobodyTookOver);
        self.push(Action::Observe(Observation::ReleaseUnanswered { waited }));
    }
}
