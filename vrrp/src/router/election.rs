//! What an advertisement does: the rows R1 to R8 of the transition table.

use std::cmp::Ordering;
use std::net::IpAddr;

use holdfast_time::Instant;

use super::{Action, Advertisement, Observation, Reason, State, VirtualRouter};
use crate::types::Priority;

/// The Active before the one that a Backup knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forebear {
    address: IpAddr,
    /// When another one was believed in its stead.
    until: Instant,
    /// The highest priority that has been believed since.
    successor: Priority,
}

impl VirtualRouter {
    /// R1 to R8 in Backup. No tie-break here: an equal priority is accepted as the Active's.
    pub(super) fn hear_as_backup(&mut self, now: Instant, heard: Advertisement) {
        self.take_note(now, heard);
        let mut learned = self.backup(now, heard.interval, Some(heard.source));
        let lower = heard.priority < self.params.priority();
        let (preempts, delay) = (self.params.preempts(), self.params.preempt_delay());
        let near = self.is_near_takeover(now, heard);
        let State::Backup { active_down, active_adver_interval, active, takeover, lower_since } =
            &mut self.state
        else {
            return;
        };
        if heard.priority == Priority::RELEASE {
            // After a death nobody's goodbye makes it wait longer.
            if *takeover != Reason::ActiveDied {
                *active_down = now + self.params.skew_time(*active_adver_interval);
                *takeover = Reason::ActiveReleased;
            }
            return;
        }
        let since = lower.then(|| lower_since.unwrap_or(now));
        *lower_since = since;
        let waits = since.is_some_and(|since| now < since + delay);
        let lives = *active == Some(heard.source);
        // B1, B2: a worse Backup was told of the loss a moment earlier. That is no reign to be preempted: the election goes on. It does not
        // for ever where the timer has to wait, be it for a sync group.
        let over = *active_down + active_adver_interval.duration();
        let contends = is_bereft(*takeover) && !lives && now < over;
        if !lower || ((!preempts || waits) && !contends) {
            if let State::Backup { lower_since, .. } = &mut learned {
                *lower_since = since;
            }
            let known = active.filter(|_| !lives);
            self.counters.near_takeovers += u64::from(near);
            self.state = learned;
            self.succeed(now, known, heard);
        } else if *takeover == Reason::ActiveSilent {
            // R6: the timer keeps running, and then this router takes over from a living Active.
            *takeover = Reason::Preempt;
        }
    }

    /// Remembers who the Active was before the one that is believed now, if that was `known`. Of several who come one after the other within
    /// an interval it is the one before all of them: they are of one election, in which those who lose have the last word.
    fn succeed(&mut self, now: Instant, known: Option<IpAddr>, heard: Advertisement) {
        let successor = heard.priority;
        let open = self.forebear.filter(|forebear| {
            let until = forebear.until + heard.interval.duration();
            known.is_none() || (forebear.address != heard.source && now < until)
        });
        let first = known.map(|address| Forebear { address, until: now, successor });
        let open =
            open.map(|known| Forebear { successor: successor.max(known.successor), ..known });
        self.forebear = open.or(first);
    }

    /// B1: the known Active counts as if it had given up. The timer is never moved back: another protocol may say so often.
    pub(super) fn lose_active(&mut self, now: Instant, address: IpAddr) {
        self.bereave(now, address, Reason::ActiveLost);
    }

    /// B2: the known Active's process is dead.
    pub(super) fn bury_active(&mut self, now: Instant, address: IpAddr) {
        self.bereave(now, address, Reason::ActiveDied);
    }

    /// B1, B2: the known Active is gone. If it is heard all the same, the timer is its again. B3: the same of the one before it, when a worse
    /// Backup was told of that sooner than this one and was believed: the election of a moment ago is still open.
    fn bereave(&mut self, now: Instant, address: IpAddr, reason: Reason) {
        let State::Backup { active_down, active_adver_interval, active, takeover, .. } =
            &mut self.state
        else {
            return;
        };
        let open = self.forebear.is_some_and(|forebear| {
            let until = forebear.until + active_adver_interval.duration();
            let worse = forebear.successor < self.params.priority();
            forebear.address == address && worse && !is_bereft(*takeover) && now < until
        });
        if *active != Some(address) && !open {
            return;
        }
        let wait = if reason == Reason::ActiveDied {
            self.params.death_skew()
        } else {
            self.params.skew_time(*active_adver_interval)
        };
        *active_down = (*active_down).min(now + wait);
        *active = Some(address);
        if *takeover != Reason::ActiveDied {
            *takeover = reason;
        }
    }

    /// Whether the known Active is heard again when less than Skew_Time and one interval was left. With fewer than three
    /// `down_adverts` every advertisement would be that: it must be late by half an interval, too.
    fn is_near_takeover(&self, now: Instant, heard: Advertisement) -> bool {
        let State::Backup { active_down, active_adver_interval, active, takeover, .. } = self.state
        else {
            return false;
        };
        let interval = active_adver_interval.duration();
        let near = self.params.skew_time(active_adver_interval) + interval;
        let whole = self.params.active_down_interval(active_adver_interval);
        let late = whole.saturating_sub(interval * 3 / 2);
        takeover == Reason::ActiveSilent
            && active == Some(heard.source)
            && active_down.saturating_since(now) < near.min(late)
    }

    /// R1 to R8 in Active. Preempt_Mode is not asked: who is Active defends itself.
    pub(super) fn hear_as_active(&mut self, now: Instant, heard: Advertisement) {
        self.take_note(now, heard);
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

    /// Counts an advertisement and remembers its sender, and reports what is wrong with it whatever the state.
    pub(super) fn take_note(&mut self, now: Instant, heard: Advertisement) {
        let Advertisement { source, priority, .. } = heard;
        self.peers.hear(now, heard);
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
        let released = heard.priority == Priority::RELEASE;
        let news = if released {
            self.rival_gives_up(now, heard.source);
            None
        } else {
            self.hear_rival(now, heard)
        };
        let answered = self.advertise_soon(now);
        if answered {
            self.push(Action::Announce);
        }
        if let State::Active { announcements, .. } = &mut self.state {
            // Once with the answer, and once more with the timed advertisement after it.
            *announcements = if answered { 1 } else { 2 };
        }
        if !released && self.is_settled(now) {
            self.counters.lower_priority_heard += 1;
        }
        if let Some(news) = news {
            self.push(Action::Observe(news));
        }
    }
}

/// Whether a Backup that would take over for this reason has been told that its Active is gone, by somebody else than that one.
const fn is_bereft(takeover: Reason) -> bool {
    matches!(takeover, Reason::ActiveLost | Reason::ActiveDied)
}
