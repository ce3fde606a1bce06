//! One session's machine (RFC 5880 §6), asynchronous mode.
//!
//! ```text
//!                          hears Down: we are heard no more        ┌──────┐
//!   ┌──────────────────────────────────────────────────────────────│  Up  │◄─────────────┐
//!   ▼         hears Init                                           └──────┘              │
//! ┌──────┐ ───────────────────────────────────────────────────────────▲                  │
//! │ Down │      hears Down           ┌──────┐   hears Init, Up        │                  │
//! └──────┘ ─────────────────────────►│ Init │─────────────────────────┘                  │
//!   ▲ ▲                              └──────┘                                            │
//!   │ └── detection time, AdminDown heard ──┴────────────────────────────────────────────┘
//!   └── AdminUp ── AdminDown ◄── AdminDown, from every state
//! ```
//!
//! It does no IO, reads no clock and draws no random numbers but from the seed that it was given. After every input drain
//! [`Session::poll_action`] and look at [`Session::poll_timeout`] again. Instants must not go back. Its invariants: both deadlines follow
//! from the state, so that no stale timer can exist; Init and Up have a detection deadline; while it is not Up it says an interval of
//! a second or more; what it sends never has both P and F.
//!
//! A packet counts from when the kernel had it ([`Event::Received`]), and the detection time runs out only for what has been read
//! ([`Session::handle_timeout`]): to be woken late is not to miss a packet.
//!
//! Where the RFC is silent it does as follows:
//!
//! * **Immediate packets.** What makes the next packet differ (§6.8.7, SHOULD) sends one at once. An input makes at most one packet, so
//!   a flood is answered by no more than came in. Final packets are not rated either: one for a Poll.
//! * **Poll sequences that overlap.** When the intervals change again during a Poll Sequence, another one follows after a packet
//!   without F, the third of the choices of §6.8.3. Until it ends, the older interval stays where that rule wants it.
//! * **Forgetting.** When the peer was silent for the detection time, everything that it said is forgotten (§6.8.1 demands that of its
//!   discriminator), so that a peer that wanted no packets is spoken to again.
//! * **Diag** is cleared on the way to Up.

mod event;
mod params;
mod poll;
#[cfg(test)]
mod tests;
mod timing;

use std::collections::VecDeque;
use std::num::NonZeroU8;

use holdfast_time::Instant;
use serde::Serialize;

pub use event::{Action, Event, Reason, Timer, Transition};
pub use params::{InvalidParams, Params, SLOW};

use self::poll::Poll;
use self::timing::Jitter;
use crate::wire::{ControlPacket, Diagnostic, Discriminator, Micros, State};

/// What the peer said last; as of §6.8.1 before it has said anything.
#[derive(Clone, Copy, Debug)]
struct Remote {
    /// bfd.RemoteDiscr.
    discriminator: Option<Discriminator>,
    /// bfd.RemoteSessionState.
    state: State,
    diagnostic: Diagnostic,
    /// bfd.RemoteMinRxInterval.
    min_rx: Micros,
    /// The Desired Min TX Interval.
    min_tx: Micros,
    detect_mult: NonZeroU8,
    /// bfd.RemoteDemandMode.
    demand: bool,
}

impl Remote {
    const UNKNOWN: Self = Self {
        discriminator: None,
        state: State::Down,
        diagnostic: Diagnostic::NONE,
        min_rx: Micros::new(1),
        min_tx: Micros::new(0),
        detect_mult: NonZeroU8::MIN,
        demand: false,
    };
}

/// What has been counted since the session was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counters {
    /// Packets that were taken.
    pub received: u64,
    /// Packets that the machine asked to be sent.
    pub sent: u64,
    /// Transitions to Up.
    pub became_up: u64,
    /// Transitions from Up.
    pub left_up: u64,
    /// Actions that were dropped because the driver did not poll them ([`Session::ACTION_LIMIT`]).
    pub actions_dropped: u64,
}

/// One session: told the time and what happened, it answers with actions.
#[derive(Clone, Debug)]
pub struct Session {
    params: Params,
    /// bfd.SessionState.
    state: State,
    /// bfd.LocalDiag.
    diagnostic: Diagnostic,
    since: Instant,
    remote: Remote,
    /// When the last packet that was taken arrived; none when the peer is not known.
    heard: Option<Instant>,
    /// The intervals that count now, where a running Poll Sequence keeps the older ones (§6.8.3).
    effective_tx: Micros,
    effective_rx: Micros,
    /// bfd.DesiredMinTxInterval and bfd.RequiredMinRxInterval as the last Poll Sequence is about.
    announced: (Micros, Micros),
    poll: Poll,
    /// When it was made: the first packet is due.
    started: Instant,
    /// What was sent last, without P and F, and when.
    sent: Option<(Instant, ControlPacket)>,
    jitter: Jitter,
    actions: VecDeque<Action>,
    counters: Counters,
}

impl Session {
    /// How many actions wait at most. No input makes more than three, so a driver that polls after every input never comes near. At
    /// the limit the oldest is dropped and counted ([`Counters::actions_dropped`]).
    pub const ACTION_LIMIT: usize = 16;

    /// A session that is Down. `seed` gives the jitter; any will do that differs between the sessions of a host.
    pub fn new(now: Instant, params: Params, seed: u64) -> Self {
        Self {
            params,
            state: State::Down,
            diagnostic: Diagnostic::NONE,
            since: now,
            remote: Remote::UNKNOWN,
            heard: None,
            effective_tx: params.desired_min_tx().max(SLOW),
            effective_rx: params.required_min_rx(),
            announced: (params.desired_min_tx().max(SLOW), params.required_min_rx()),
            poll: Poll::default(),
            started: now,
            sent: None,
            jitter: Jitter::new(seed, params.detect_mult()),
            actions: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// Takes note of an event.
    pub fn handle(&mut self, now: Instant, event: Event) {
        match event {
            Event::Received { packet, at } => {
                self.receive(now, &packet, at.min(now));
                if packet.poll && self.state != State::AdminDown {
                    self.answer_poll(now);
                }
            }
            Event::AdminDown if self.state != State::AdminDown => {
                self.diagnostic = Diagnostic::ADMINISTRATIVELY_DOWN;
                self.enter(now, State::AdminDown, Reason::AdminDown);
            }
            // §6.8.16 names no diagnostic for the way back: the last one stays.
            Event::AdminUp if self.state == State::AdminDown => {
                self.enter(now, State::Down, Reason::AdminUp);
            }
            Event::AdminDown | Event::AdminUp => {}
            Event::Reconfigure(params) => self.reconfigure(params),
        }
        self.send_difference(now);
    }

    /// Fires the timers whose time has come. `read_until` says up to when everything that had arrived has been read: `now`, unless a
    /// receive queue could not be emptied. The detection time runs out only when that lies after its end; what is to be sent goes
    /// out in any case.
    pub fn handle_timeout(&mut self, now: Instant, read_until: Instant) {
        if self.detection_deadline().is_some_and(|due| due <= now && due <= read_until) {
            self.detection_time_expired(now);
            self.send_difference(now);
        }
        if self.transmit_deadline().is_some_and(|due| due <= now) {
            self.transmit(now);
        }
    }

    /// When [`Session::handle_timeout`] has something to do, and which timer that is. Changes with every input.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let detect = self.detection_deadline().map(|due| (due, Timer::Detection));
        let transmit = self.transmit_deadline().map(|due| (due, Timer::Transmit));
        detect.into_iter().chain(transmit).min()
    }

    /// The next thing to do. Poll after every input until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The parameters in force.
    pub const fn params(&self) -> &Params {
        &self.params
    }

    /// bfd.SessionState.
    pub const fn state(&self) -> State {
        self.state
    }

    /// When the state was entered.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// bfd.LocalDiag.
    pub const fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// bfd.RemoteSessionState: Down while the peer has not been heard, or for the detection time not.
    pub const fn remote_state(&self) -> State {
        self.remote.state
    }

    /// The peer's Diag.
    pub const fn remote_diagnostic(&self) -> Diagnostic {
        self.remote.diagnostic
    }

    /// bfd.RemoteDiscr.
    pub const fn remote_discriminator(&self) -> Option<Discriminator> {
        self.remote.discriminator
    }

    /// What has been counted.
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// §6.8.6 from where the packet has passed all checks.
    fn receive(&mut self, now: Instant, packet: &ControlPacket, at: Instant) {
        self.counters.received += 1;
        self.remote = Remote {
            discriminator: Some(packet.my_discriminator),
            state: packet.state,
            diagnostic: packet.diagnostic,
            min_rx: packet.required_min_rx,
            min_tx: packet.desired_min_tx,
            detect_mult: packet.detect_mult,
            demand: packet.demand,
        };
        // Packets of two queues may come out of order.
        self.heard = self.heard.max(Some(at));
        self.follow_poll(packet.is_final);
        let signaled_down = Diagnostic::NEIGHBOR_SIGNALED_DOWN;
        match (self.state, packet.state) {
            (State::Down, State::Down) => self.enter(now, State::Init, Reason::Heard),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => {
                self.diagnostic = Diagnostic::NONE;
                self.enter(now, State::Up, Reason::Heard);
            }
            (State::Up, State::Down) => {
                self.diagnostic = signaled_down;
                self.enter(now, State::Down, Reason::PeerDown);
            }
            (State::Init | State::Up, State::AdminDown) => {
                self.diagnostic = signaled_down;
                self.enter(now, State::Down, Reason::PeerAdminDown);
            }
            (State::AdminDown, State::AdminDown | State::Down | State::Init | State::Up)
            | (State::Down, State::AdminDown | State::Up)
            | (State::Init, State::Down)
            | (State::Up, State::Init | State::Up) => {}
        }
    }

    /// §6.8.4, and §6.8.1 on bfd.RemoteDiscr.
    fn detection_time_expired(&mut self, now: Instant) {
        self.remote = Remote::UNKNOWN;
        self.heard = None;
        self.poll = Poll::Idle;
        match self.state {
            State::Init | State::Up => {
                self.diagnostic = Diagnostic::DETECTION_TIME_EXPIRED;
                self.enter(now, State::Down, Reason::DetectionTimeExpired);
            }
            State::AdminDown | State::Down => {}
        }
    }

    fn enter(&mut self, now: Instant, state: State, reason: Reason) {
        let from = self.state;
        match (from, state) {
            (State::Up, _) => self.counters.left_up += 1,
            (_, State::Up) => self.counters.became_up += 1,
            (State::AdminDown | State::Down | State::Init, _) => {}
        }
        (self.state, self.since) = (state, now);
        // §6.8.3: the interval that is said depends on being Up.
        self.negotiate();
        self.push(Action::Changed(Transition { from, to: state, reason }));
    }

    /// The packet as it would be sent now, without P and F.
    fn packet(&self) -> ControlPacket {
        ControlPacket {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: false,
            is_final: false,
            control_plane_independent: false,
            authenticated: false,
            demand: false,
            detect_mult: self.params.detect_mult(),
            my_discriminator: self.params.discriminator(),
            your_discriminator: self.remote.discriminator,
            desired_min_tx: self.desired_min_tx(),
            required_min_rx: self.params.required_min_rx(),
            required_min_echo_rx: Micros::new(0),
        }
    }

    /// A packet at its time, or because it says something new.
    fn transmit(&mut self, now: Instant) {
        let contents = self.packet();
        self.sent = Some((now, contents));
        self.jitter.draw();
        self.send(ControlPacket { poll: self.poll.is_running(), ..contents });
    }

    /// §6.8.7: F as soon as practicable, without respect to the timer. It says all that is new, but starts no Poll Sequence.
    fn answer_poll(&mut self, now: Instant) {
        let contents = self.packet();
        if self.differs(&contents) {
            self.sent = Some((now, contents));
            self.jitter.draw();
        }
        self.send(ControlPacket { is_final: true, ..contents });
    }

    /// §6.8.7: what differs from the last packet is not kept until the next one's time.
    fn send_difference(&mut self, now: Instant) {
        if self.differs(&self.packet()) && !self.must_be_silent() {
            self.transmit(now);
        }
    }

    /// Whether something was sent, and it was something else.
    fn differs(&self, contents: &ControlPacket) -> bool {
        self.sent.as_ref().is_some_and(|(_, last)| last != contents)
    }

    /// §6.8.7: the passive role speaks only to a peer that it knows.
    fn must_be_silent(&self) -> bool {
        self.params.is_passive() && self.remote.discriminator.is_none()
    }

    fn send(&mut self, packet: ControlPacket) {
        self.counters.sent += 1;
        self.push(Action::Send(packet));
    }

    fn push(&mut self, action: Action) {
        if self.actions.len() >= Self::ACTION_LIMIT {
            self.actions.pop_front();
            self.counters.actions_dropped += 1;
        }
        self.actions.push_back(action);
    }
}
