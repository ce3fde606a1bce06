//! One virtual router's machine (RFC 9568 §6.4 with errata 8298 to 8301; RFC 3768 §6.4 for version 2).
//!
//! ```text
//!                     Startup, not the owner                    active-down timer, TakeOver
//!   ┌────────────┐ ─────────────────────────► ┌────────────┐ ─────────────────────► ┌────────────┐
//!   │ Initialize │                            │   Backup   │                        │   Active   │
//!   └────────────┘ ◄───────────────────────── └────────────┘ ◄───────────────────── └────────────┘
//!       ▲  ▲  │         Shutdown, interface down                 better advertisement     ▲  │  ▲  │
//!       │  │  └────────────────────── Startup of the owner, or after Inherit ────────────────┘  │  │  │
//!       │  └────────────────────────────────── interface down ───────────────────────────────┘  │  │ Shutdown, StepDown
//!       │                                                               nobody after StepDown   │  ▼
//!       │    another router, or nobody in time, after Shutdown                           ┌─────────────┐
//!       └─────────────────────────────────────────────────────────────────────────────── │  Releasing  │ ──► Backup: another
//!                                                                                        └─────────────┘     after StepDown
//! ```
//!
//! It does no IO and reads no clock. After every input drain [`VirtualRouter::poll_action`] and look at
//! [`VirtualRouter::poll_timeout`] again. Instants must not go back; they count while the host sleeps. Its invariants: Initialize
//! has no timer, Backup has the active-down timer, Active the adver timer and Releasing its own; the addresses are installed exactly
//! while it is Active or Releasing; an advertisement that is not accepted moves no timer.
//!
//! The driver drains every receive queue before it calls [`VirtualRouter::handle_timeout`], so that being woken late is not
//! mistaken for an advertisement that was not sent. Where the RFC is silent, or this machine deviates, it does as follows:
//!
//! * **Storm guard.** What calls for an immediate advertisement (an advertisement of lower rank, a changed priority) gets it at
//!   once when the last one was sent half an interval ago or longer; else the adver timer is brought forward to that moment.
//!   However many packets come in, at most two advertisements an interval go out.
//! * **A due advertisement waits for its timer.** When the adver timer is due, nothing that is read from the queue makes the
//!   machine advertise: the timer does it after the queue has been drained, unless something better was in there.
//! * **Announcing again.** Every answer to an advertisement of lower rank, priority 0 included, announces the addresses, and the
//!   timed advertisement after it does so once more: the other router's announcement may still have been on its way.
//! * **Giving way.** An Active that hears of a better one advertises once more before it goes to Backup, unless its timer is due:
//!   with its own priority, and with the better one's interval, since that is what the other Backups shall go on with. When a
//!   split link heals and the better router is heard first, that one would otherwise never learn that there were two Actives,
//!   and would not announce the addresses to those who know them from the other.
//! * **Stall.** When the adver timer fires and the last advertisement is older than Active_Down_Interval, another router may
//!   have taken over. The machine then does what it would do as a Backup that hears of a lower-ranking Active: with Preempt_Mode
//!   it stays, advertises and announces (a better router answers at once); without, it goes to Backup and listens.
//! * **Inheritance.** A process that takes the place of one that was killed while Active goes on as the Active, if no Backup can have
//!   given up waiting meanwhile (`inheritance`).
//! * **Make before break.** Who stops or steps down sends priority 0 and keeps the addresses until another router advertises, four
//!   of its own intervals at most (`release`).
//! * **Preempt delay.** A lower-ranking Active is accepted until the delay has passed since the first one was heard.
//! * **A second Active** is another one of lower rank that advertises half an interval after it was answered (`rival`).
//! * **Priority 0 in Backup** sets the timer to Skew_Time by the letter (§6.4.2), whoever sent it. Believing only the known
//!   Active would cost a full Active_Down_Interval when that one has just changed its address, and never waiting longer than
//!   before would gain less than one Skew_Time.
//! * **An election after a loss** ([`Event::ActiveLost`], [`Event::ActiveDied`]) is no preemption. Each Backup is told at a time of its own,
//!   and these differ by more than their waits, so that a worse one may be first. Who is better and hears it goes on with its own wait, whatever Preempt_Mode and
//!   the preempt delay say; also when it is told only after it has believed the worse one, within one interval of that. Then both are
//!   Active for as long as the better one's advertisement travels.
//! * **Equal priority and equal address** (a clone, or a loop) is reported and never answered.

mod advertising;
mod election;
mod event;
mod inheritance;
mod params;
mod peers;
mod reconfigure;
mod release;
mod rival;
mod state;
mod timing;

use std::collections::VecDeque;
use std::net::IpAddr;

use holdfast_time::Instant;

pub use event::{Action, Advertisement, Event, Observation, Reason, Timer, Transition};
pub use params::{InvalidParams, Params};
pub use peers::SeenPeer;
pub use rival::DualActive;
pub use state::{State, Status};

use crate::counters::Counters;
use crate::discard::DiscardReason;
use crate::receive::Expectation;
use crate::types::{AddressFamily, Interval, Priority, Version};
use crate::wire::{ChecksumForm, Repr};
use election::Forebear;
use peers::Peers;
use rival::Rival;

/// One virtual router: told the time and what happened, it answers with actions.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    params: Params,
    /// The interface's primary address; none while the interface can't be used. Backup and Active always have one.
    primary: Option<IpAddr>,
    /// Whether it shall take part. Backup and Active imply it; in Initialize it waits for the interface.
    wanted: bool,
    state: State,
    /// When a process before this one, which was Active, advertised last; none unless in Initialize.
    inherited: Option<Instant>,
    since: Instant,
    peers: Peers,
    /// None unless Active.
    rival: Option<Rival>,
    /// None unless in Backup, and there only after the Active has changed.
    forebear: Option<Forebear>,
    /// At most [`VirtualRouter::ACTION_LIMIT`]; see there.
    actions: VecDeque<Action>,
    counters: Counters,
}

impl VirtualRouter {
    /// How many actions wait at most. No input makes more than six, so a driver that polls after every input never comes near.
    /// At the limit the oldest action is dropped and counted ([`Counters::actions_dropped`]): what says whether the addresses
    /// belong on the interface is then still the newest.
    pub const ACTION_LIMIT: usize = 64;

    /// A virtual router in Initialize. It takes part after [`Event::Startup`] and [`Event::InterfaceUp`], in any order.
    pub fn new(now: Instant, params: Params) -> Self {
        Self {
            params,
            primary: None,
            wanted: false,
            state: State::Initialize,
            inherited: None,
            since: now,
            peers: Peers::default(),
            rival: None,
            forebear: None,
            actions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes note of an event.
    pub fn handle(&mut self, now: Instant, event: Event) {
        let Some(event) = self.normalize(event) else { return };
        match self.state {
            State::Initialize => self.while_initialize(now, event),
            State::Backup { .. } => self.while_backup(now, event),
            State::Active { .. } => self.while_active(now, event),
            State::Releasing { .. } => self.while_releasing(now, event),
        }
    }

    /// Fires the timer if its time has come. Call it only after every receive queue has been drained.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Backup { active_down, takeover, .. } if active_down <= now => {
                self.promote(now, takeover);
            }
            State::Active { adver, .. } if adver <= now => self.advertise_on_time(now),
            State::Releasing { give_up } if give_up <= now => self.release_unanswered(now),
            State::Initialize
            | State::Backup { .. }
            | State::Active { .. }
            | State::Releasing { .. } => {}
        }
    }

    /// When [`VirtualRouter::handle_timeout`] has something to do, and which timer that is. Changes with every input.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        self.state.deadline()
    }

    /// The next thing to do. Poll after every input until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The message to send for [`Action::SendAdvertisement`], checksum included, of the parameters as they are now. In Backup, that
    /// is when giving way, it has the interval of the new Active, so that no other Backup learns a wrong one from it.
    pub fn encode(&self, priority: Priority, source: IpAddr, destination: IpAddr) -> Vec<u8> {
        self.advertisement(priority).to_vec(source, destination, self.checksum_form())
    }

    /// The same as a value that can be written into a buffer.
    pub fn advertisement(&self, priority: Priority) -> Repr<'_> {
        let own = self.params.advertisement_interval();
        self.params.advertisement_with(priority, self.active_adver_interval().unwrap_or(own))
    }

    /// The form of checksum that version 3 over IPv4 is sent with now: the configured one, or the one heard last.
    pub fn checksum_form(&self) -> ChecksumForm {
        let form = self.params.checksum().form(self.peers.last_form());
        form.for_format(self.params.format())
    }

    /// What [`crate::receive::check`] wants to know of this router. It speaks by multicast; one with unicast peers adds them
    /// ([`Expectation::with_peers`]).
    pub const fn expectation(&self) -> Expectation<'_> {
        Expectation { params: &self.params, primary: self.primary, peers: &[] }
    }

    /// Who has been heard with valid advertisements while this router took part, those heard first in front: 16 at most, of more
    /// the one that has been silent for longest is forgotten.
    pub fn peers(&self) -> &[SeenPeer] {
        self.peers.seen()
    }

    /// Counts a packet for this router that [`crate::receive::check`] discarded. Nothing else changes.
    pub fn count_discard(&mut self, reason: DiscardReason) {
        self.counters.discarded.count(reason);
    }

    /// The parameters in force.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// The state with its timer.
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// The state's name.
    pub const fn status(&self) -> Status {
        self.state.status()
    }

    /// When the state was entered.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// The priority that counts now: the configured one, changed by tracking.
    pub const fn priority(&self) -> Priority {
        self.params.priority()
    }

    /// The interface's primary address; none while the interface can't be used.
    pub const fn primary(&self) -> Option<IpAddr> {
        self.primary
    }

    /// Active_Adver_Interval: in Backup the learned one, in Active and Releasing our own; none in Initialize.
    pub const fn active_adver_interval(&self) -> Option<Interval> {
        match self.state {
            State::Initialize => None,
            State::Backup { active_adver_interval, .. } => Some(active_adver_interval),
            State::Active { .. } | State::Releasing { .. } => {
                Some(self.params.advertisement_interval())
            }
        }
    }

    /// Who is Active as far as is known: in Backup who was last accepted as such, in Active and Releasing, which have the
    /// addresses, our own primary address.
    pub const fn active_address(&self) -> Option<IpAddr> {
        match self.state {
            State::Initialize => None,
            State::Backup { active, .. } => active,
            State::Active { .. } | State::Releasing { .. } => self.primary,
        }
    }

    /// What has been counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Every event in Initialize.
    fn while_initialize(&mut self, now: Instant, event: Event) {
        match event {
            Event::Startup => {
                self.wanted = true;
                self.start(now);
            }
            Event::Shutdown => (self.wanted, self.inherited) = (false, None),
            Event::InterfaceUp { primary } => {
                self.primary = Some(primary);
                self.start(now);
            }
            Event::InterfaceDown => (self.primary, self.inherited) = (None, None),
            Event::Inherit { advertised } => self.inherited = Some(advertised),
            Event::PrimaryChanged { primary } => self.primary = self.primary.and(Some(primary)),
            Event::Reconfigure(params) => self.reconfigure(now, params),
            Event::Advertisement(_)
            | Event::StepDown
            | Event::TakeOver
            | Event::ActiveFallen
            | Event::ActiveLost { .. }
            | Event::ActiveDied { .. }
            | Event::Resumed => {}
        }
    }

    /// Every event in Backup.
    fn while_backup(&mut self, now: Instant, event: Event) {
        match event {
            Event::Startup | Event::StepDown | Event::Inherit { .. } => {}
            Event::Shutdown => {
                self.wanted = false;
                self.stop(now, Reason::Shutdown);
            }
            Event::Advertisement(heard) => self.hear_as_backup(now, heard),
            Event::ActiveLost { address } => self.lose_active(now, address),
            Event::ActiveDied { address } => self.bury_active(now, address),
            Event::TakeOver => self.promote(now, Reason::Group),
            Event::ActiveFallen => self.promote(now, Reason::ActiveFallen),
            Event::InterfaceUp { primary } | Event::PrimaryChanged { primary } => {
                self.primary = Some(primary);
            }
            Event::InterfaceDown => self.lose_interface(now),
            Event::Reconfigure(params) => self.reconfigure(now, params),
            // C5 after a sleep in which the queues lost what was sent: it listens anew.
            Event::Resumed => {
                if let State::Backup { active_adver_interval, active, .. } = self.state {
                    self.state = self.backup(now, active_adver_interval, active);
                }
            }
        }
    }

    /// Every event in Active.
    fn while_active(&mut self, now: Instant, event: Event) {
        match event {
            Event::Shutdown => {
                self.wanted = false;
                self.release(now, Reason::Shutdown);
            }
            Event::StepDown => self.release(now, Reason::StepDown),
            Event::Advertisement(heard) => self.hear_as_active(now, heard),
            Event::InterfaceUp { primary } | Event::PrimaryChanged { primary } => {
                self.primary = Some(primary);
            }
            Event::InterfaceDown => self.lose_interface(now),
            Event::Reconfigure(params) => self.reconfigure(now, params),
            // C5 after a sleep: the timer is due, or will be, and decides after the queue has been drained.
            Event::Resumed
            | Event::Startup
            | Event::Inherit { .. }
            | Event::TakeOver
            | Event::ActiveFallen
            | Event::ActiveLost { .. }
            | Event::ActiveDied { .. } => {}
        }
    }

    /// An address of the other family is no primary address, and what comes from one is not for this router.
    fn normalize(&self, event: Event) -> Option<Event> {
        let foreign = |address| AddressFamily::of(address) != self.params.family();
        match event {
            Event::InterfaceUp { primary } | Event::PrimaryChanged { primary }
                if foreign(primary) =>
            {
                Some(Event::InterfaceDown)
            }
            Event::Advertisement(heard) if foreign(heard.source) => None,
            Event::Startup
            | Event::Shutdown
            | Event::StepDown
            | Event::TakeOver
            | Event::ActiveFallen
            | Event::ActiveLost { .. }
            | Event::ActiveDied { .. }
            | Event::Advertisement(_)
            | Event::InterfaceUp { .. }
            | Event::InterfaceDown
            | Event::PrimaryChanged { .. }
            | Event::Reconfigure(_)
            | Event::Inherit { .. }
            | Event::Resumed => Some(event),
        }
    }

    /// S1, S2, K1: takes part if it shall and can.
    fn start(&mut self, now: Instant) {
        if !self.wanted || self.primary.is_none() {
            return;
        }
        if self.takes_inheritance(now) {
            self.go_on(now);
        } else if self.params.priority() == Priority::OWNER {
            self.promote(now, Reason::Owner);
        } else {
            self.listen(now, self.params.advertisement_interval(), None, Reason::Startup);
        }
    }

    /// S4: without an interface nothing can be said.
    fn lose_interface(&mut self, now: Instant) {
        self.primary = None;
        self.stop(now, Reason::InterfaceDown);
    }

    /// S3, S4, D2, D3: to Initialize.
    fn stop(&mut self, now: Instant, reason: Reason) {
        if self.status().holds_addresses() {
            self.push(Action::RemoveAddresses);
        }
        self.enter(now, State::Initialize, reason);
    }

    /// S1, S5: to Active. The advertisement goes first, so that the others yield while the addresses are still being installed.
    fn promote(&mut self, now: Instant, reason: Reason) {
        self.send(self.params.priority());
        self.push(Action::InstallAddresses);
        self.push(Action::Announce);
        self.counters.became_active += 1;
        let adver = now + self.params.advertisement_interval().duration();
        self.enter(now, self.active(now, adver, 0), reason);
    }

    /// S2, R2, R3, C5, D2: to Backup with the full Active_Down_Interval.
    fn listen(&mut self, now: Instant, interval: Interval, active: Option<IpAddr>, reason: Reason) {
        if self.status().holds_addresses() {
            self.push(Action::RemoveAddresses);
        }
        self.enter(now, self.backup(now, interval, active), reason);
    }

    /// Backup, the Active having been heard just now to advertise at `interval`.
    fn backup(&self, now: Instant, interval: Interval, active: Option<IpAddr>) -> State {
        // Version 2 learns nothing: both intervals are the same, or the advertisement was discarded.
        let active_adver_interval = match self.params.version() {
            Version::V2 => self.params.advertisement_interval(),
            Version::V3 => interval,
        };
        State::Backup {
            active_down: now + self.params.active_down_interval(active_adver_interval),
            active_adver_interval,
            active,
            takeover: Reason::ActiveSilent,
            lower_since: None,
        }
    }

    fn enter(&mut self, now: Instant, state: State, reason: Reason) {
        let from = self.status();
        self.forget_rival(now);
        self.forebear = None;
        self.state = state;
        self.since = now;
        self.push(Action::Report(Transition { at: now, from, to: self.status(), reason }));
    }

    /// Queues an action; see [`VirtualRouter::ACTION_LIMIT`].
    fn push(&mut self, action: Action) {
        if self.actions.len() >= Self::ACTION_LIMIT {
            self.actions.pop_front();
            self.counters.actions_dropped += 1;
        }
        self.actions.push_back(action);
    }
}

#[cfg(test)]
mod tests;
