//! What an advertisement does: the rows R1 to R8 of the transition table.

use std::cmp::Ordering;

use holdfast_time::Instant;

use super::{Action, Advertisement, Observation, Reason, State, VirtualRouter};
use crate::types::Priority;

impl VirtualRouter {
    /// R1 to R8 in Backup. No tie-break here: an equal priority is accepted as the Active's.
    pub(super) fn hear_as_backup(&mut self, now: Instant, heard: Advertisement) {
        self.observe_claims(heard);
        let learned = self.backup(now, heard.interval, Some(heard.source));
        let State::Backup { active_down, active_adver_interval, takeover, .. } = &mut self.state
        else {
            return;
        };
        if heard.priority == Priority::RELEASE {
            *active_down = now + self.params.skew_time(*active_adver_interval);
            *takeover = Reason::ActiveReleased;
        } else if heard.priority >= self.params.priority() || !self.params.preempts() {
            self.state = learned;
        } else if *takeover == Reason::ActiveSilent {
            // R6: the timer keeps running, and then this router takes over from a living Active.
            *takeover = Reason::Preempt;
        }
    }

    /// R1 to R8 in Active. Preempt_Mode is not asked: who is Active defends itself.
    pub(super) fn hear_as_active(&mut self, now: Instant, heard: Advertisement) {
        self.observe_claims(heard);
        let Advertisement { source, priority, .. } = heard;
        let by_priority = priority.cmp(&self.params.priority());
        match by_priority.then(Some(source).cmp(&self.primary)) {
            Ordering::Greater if by_priority.is_gt() => {
                self.give_way(now, heard, Reason::HigherPriority);
            }
            Ordering::Greater => self.give_way(now, heard, Reason::HigherAddress),
            // R5: a clone would answer our answer.
            Ordering::Equal => {}
            Ordering::Less => self.defend(now, heard),
        }
    }

    /// R2, R3 in Active. Whoever is better may not know that there were two: it must hear of it to announce the addresses again.
    fn give_way(&mut self, now: Instant, heard: Advertisement, reason: Reason) {
        let Advertisement { source, interval, .. } = heard;
        if self.poll_timeout().is_some_and(|(adver, _)| now < adver) {
            self.send(self.params.priority());
        }
        self.listen(now, interval, Some(source), reason);
    }

    /// Counts an advertisement, and reports what is wrong with its sender whatever the state.
    fn observe_claims(&mut self, heard: Advertisement) {
        let Advertisement { source, priority, .. } = heard;
        self.counters.advertisements_received += 1;
        if priority == Priority::RELEASE {
            self.counters.priority_zero_received += 1;
        }
        if priority == self.params.priority() && Some(source) == self.primary {
            self.counters.duplicate_source += 1;
            self.push(Action::Observe(Observation::DuplicateSource { source }));
        } else if priority == Priority::OWNER && self.params.priority() == Priority::OWNER {
            self.push(Action::Observe(Observation::OwnerConflict { source }));
        }
    }

    /// R1, R4, R6 in Active: whoever sent this shall hear from us, and the link shall learn again where the addresses are.
    fn defend(&mut self, now: Instant, heard: Advertisement) {
        let Advertisement { source, priority, .. } = heard;
        let answered = self.advertise_soon(now);
        if answered {
            self.push(Action::Announce);
        }
        let State::Active { announcements, .. } = &mut self.state else { return };
        // Once with the answer, and once more with the timed advertisement after it.
        let waiting = std::mem::replace(announcements, if answered { 1 } else { 2 });
        // In the first interval it is no news: the router that was Active before says goodbye.
        let interval = self.params.advertisement_interval().duration();
        let settled = now.saturating_since(self.since) >= interval;
        if priority != Priority::RELEASE && settled {
            self.counters.lower_priority_heard += 1;
            // While an answer is waiting, what else comes in is answered by the same one, without another report.
            if answered || waiting < 2 {
                self.push(Action::Observe(Observation::DualActive { source, priority }));
            }
        }
    }
}
