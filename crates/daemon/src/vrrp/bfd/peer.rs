//! One session with what surrounds its machine: the socket that it sends by, and what its trackers are told.

use std::time::Duration;

use holdfast_bfd::receive::Expectation;
use holdfast_bfd::{
    Action, ControlPacket, Diagnostic, DiscardReason, Discards, Discriminator, Event, Params,
    Reason, Session, State, Transition,
};
use holdfast_config::{BfdSession, Name};
use holdfast_engine::vrrp::Reading;
use holdfast_net::{BfdSender, Interface, now};
use holdfast_time::Instant;
use vrrp::AddressFamily;

use super::{Change, SessionStatus};
use crate::rate::RateLimit;

/// A session that has not come up this long after the start is down: a handshake takes three packets, a second apart.
const FIRST_VERDICT: Duration = Duration::from_secs(3);

/// Who notices a silence later than this stood still itself, and can't say who of the two was silent.
const PUNCTUAL: Duration = Duration::from_millis(500);

/// How often the interface's number is looked up, which changes when the interface is made anew.
const LOOK: Duration = Duration::from_secs(1);

/// A session and its surroundings.
#[derive(Debug)]
pub(super) struct Peer {
    trackers: Vec<Name>,
    config: BfdSession,
    session: Session,
    /// Where the search for a source port begins.
    random: u16,
    interface: Option<Interface>,
    /// When the interface is looked up again; none when the session has none.
    looks_at: Option<Instant>,
    sender: Option<BfdSender>,
    /// What the trackers were told last; none at the start.
    told: Option<Reading>,
    verdict_due: Option<Instant>,
    /// The configuration has it no longer: until then the peer may learn of the end.
    leaves_by: Option<Instant>,
    last_down: Option<String>,
    discarded: Discards,
    fault: Option<String>,
    /// How often it is said that it is up, and that it is down.
    said_up: RateLimit,
    said_down: RateLimit,
}

impl Peer {
    pub(super) fn new(
        now: Instant,
        trackers: Vec<Name>,
        config: BfdSession,
        number: Discriminator,
        seed: u64,
    ) -> Self {
        let [low, high, ..] = seed.to_le_bytes();
        let session = Session::new(now, params(number, &config), seed);
        Self {
            looks_at: config.interface.is_some().then_some(now),
            trackers,
            config,
            session,
            random: u16::from_le_bytes([low, high]),
            interface: None,
            sender: None,
            told: None,
            verdict_due: Some(now + FIRST_VERDICT),
            leaves_by: None,
            last_down: None,
            discarded: Discards::default(),
            fault: None,
            said_up: RateLimit::default(),
            said_down: RateLimit::default(),
        }
    }

    pub(super) const fn family(&self) -> AddressFamily {
        AddressFamily::of(self.config.peer)
    }

    /// What the session wants of its packets. One whose interface is missing wants none: the number 0 is no interface's.
    pub(super) fn expectation(&self) -> Expectation {
        let index = self.interface.as_ref().map_or(0, |interface| interface.index.value());
        Expectation {
            peer: self.config.peer,
            interface: self.config.interface.is_some().then_some(index),
            discriminator: self.number(),
        }
    }

    pub(super) fn discard(&mut self, reason: DiscardReason) {
        self.discarded.count(reason);
    }

    pub(super) fn receive(
        &mut self,
        now: Instant,
        packet: ControlPacket,
        at: Instant,
        tell: &dyn Fn(Change),
    ) {
        self.session.handle(now, Event::Received { packet, at });
        self.act(now, None, tell);
    }

    /// When [`Self::fire`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let session = self.session.poll_timeout().map(|(at, _)| at);
        let others = self.verdict_due.into_iter().chain(self.looks_at).chain(self.leaves_by);
        session.into_iter().chain(others).min()
    }

    /// Fires what is due. A detection time runs out only for what has been read.
    pub(super) fn fire(&mut self, now: Instant, read_until: Instant, tell: &dyn Fn(Change)) {
        self.look(now);
        let silence_ended = self.session.detection_deadline();
        let silence = self.session.detection_time();
        self.session.handle_timeout(now, read_until);
        let punctual = silence_ended.is_some_and(|due| now.saturating_since(due) < PUNCTUAL);
        self.act(now, silence.filter(|_| punctual), tell);
        if self.verdict_due.is_some_and(|due| due <= now) {
            self.verdict_due = None;
            if self.told.is_none() {
                let why = "the session has not come up";
                tracing::info!(peer = %self.config.peer, "a BFD session has not come up");
                self.tell(Reading::down(why), false, tell);
            }
        }
    }

    /// Whether this is the session between these two ends.
    pub(super) fn is_of(&self, config: &BfdSession) -> bool {
        self.config.has_ends_of(config)
    }

    /// Goes on for these trackers and with these intervals. What is not changed notices nothing; a tracker that is new hears what the
    /// others were told last. One that was leaving begins anew.
    pub(super) fn go_on(
        &mut self,
        now: Instant,
        trackers: Vec<Name>,
        config: BfdSession,
        tell: &dyn Fn(Change),
    ) {
        let before = std::mem::replace(&mut self.trackers, trackers);
        if self.leaves_by.take().is_some() {
            self.told = None;
            self.verdict_due = Some(now + FIRST_VERDICT);
            self.session.handle(now, Event::AdminUp);
        } else if let Some(reading) = &self.told {
            for tracker in self.trackers.iter().filter(|one| !before.contains(one)) {
                let (tracker, reading) = (tracker.clone(), reading.clone());
                tell(Change { tracker, reading, lost: None });
            }
        }
        if self.config != config {
            let params = params(self.number(), &config);
            self.session.handle(now, Event::Reconfigure(params));
            self.config = config;
        }
        self.act(now, None, tell);
    }

    /// Ends the session by intent: its trackers hear nothing more, the peer has until `leaves_by` to learn of it.
    pub(super) fn leave(&mut self, now: Instant, leaves_by: Instant) {
        if self.leaves_by.is_some() {
            return;
        }
        self.leaves_by = Some(leaves_by);
        self.verdict_due = None;
        self.trackers.clear();
        self.session.handle(now, Event::AdminDown);
        self.act(now, None, &|_| {});
    }

    /// Whether nothing more is to be done for a session that leaves.
    pub(super) fn is_out(&self, now: Instant) -> bool {
        self.leaves_by.is_some_and(|by| by <= now || self.knows_of_the_end())
    }

    /// Whether the peer has said that it knows of the end, or there is none to know it.
    const fn knows_of_the_end(&self) -> bool {
        matches!(self.session.remote_state(), State::AdminDown | State::Down)
    }

    /// The number of ours that its packets name.
    pub(super) const fn number(&self) -> Discriminator {
        self.session.params().discriminator()
    }

    /// How it is; none when the configuration has it no longer.
    pub(super) fn status(&self, now: Instant) -> Option<SessionStatus> {
        if self.leaves_by.is_some() {
            return None;
        }
        let session = &self.session;
        Some(SessionStatus {
            trackers: self.trackers.clone(),
            peer: self.config.peer,
            state: session.state(),
            since: now.saturating_since(session.since()),
            diagnostic: session.diagnostic(),
            remote_state: session.remote_state(),
            remote_diagnostic: session.remote_diagnostic(),
            transmit_interval: session.transmit_interval(),
            detection_time: session.detection_time(),
            last_down: self.last_down.clone(),
            counters: *session.counters(),
            discarded: self.discarded.clone(),
            fault: self.fault.clone(),
        })
    }

    /// Looks up the interface's number once a second. Another one needs another socket.
    fn look(&mut self, now: Instant) {
        if self.looks_at.is_none_or(|due| due > now) {
            return;
        }
        self.looks_at = Some(now + LOOK);
        let found = self.config.interface.as_deref().map(Interface::by_name);
        match found {
            Some(Ok(interface)) if self.interface.as_ref() != Some(&interface) => {
                self.interface = Some(interface);
                self.sender = None;
            }
            Some(Err(error)) => {
                self.interface = None;
                self.sender = None;
                self.fault = Some(error.to_string());
            }
            Some(Ok(_)) | None => {}
        }
    }

    /// Does what the machine asks for. `silence` is how long nothing was heard, where that is known for sure.
    fn act(&mut self, now: Instant, silence: Option<Duration>, tell: &dyn Fn(Change)) {
        while let Some(action) = self.session.poll_action() {
            match action {
                Action::Send(packet) => self.send(&packet),
                Action::Changed(transition) => self.report(now, transition, silence, tell),
            }
        }
    }

    fn report(
        &mut self,
        now: Instant,
        transition: Transition,
        silence: Option<Duration>,
        tell: &dyn Fn(Change),
    ) {
        let peer = self.config.peer;
        let remote = self.session.remote_diagnostic();
        let (was_up, is_up) = (transition.from == State::Up, transition.to == State::Up);
        if is_up {
            if self.said_up.allows(now) {
                tracing::info!(%peer, trackers = ?self.trackers, "a BFD session is up");
            }
            self.tell(Reading::up("the session is up"), false, tell);
            return;
        }
        let Some(why) = why(transition.reason, remote, silence) else { return };
        if was_up {
            if self.said_down.allows(now) {
                tracing::warn!(%peer, trackers = ?self.trackers, reason = %why, "a BFD session is down");
            }
            self.last_down = Some(why.clone());
        }
        match transition.reason {
            Reason::PeerAdminDown => self.tell(Reading::unknown(why), false, tell),
            Reason::DetectionTimeExpired | Reason::PeerDown if was_up => {
                let lost = transition.reason == Reason::DetectionTimeExpired && silence.is_some();
                self.tell(Reading::down(why), lost, tell);
            }
            Reason::DetectionTimeExpired
            | Reason::PeerDown
            | Reason::Heard
            | Reason::AdminDown
            | Reason::AdminUp => {}
        }
    }

    fn tell(&mut self, reading: Reading, lost: bool, tell: &dyn Fn(Change)) {
        self.told = Some(reading.clone());
        for tracker in &self.trackers {
            let lost = lost.then_some(self.config.peer);
            tell(Change { tracker: tracker.clone(), reading: reading.clone(), lost });
        }
    }

    /// Sends a packet. What can't be sent is lost as if on the way, and shown; the next one tries again.
    fn send(&mut self, packet: &ControlPacket) {
        self.look(now());
        if self.config.interface.is_some() && self.interface.is_none() {
            return;
        }
        let BfdSession { peer, source, .. } = self.config;
        let sender = match self.sender.take() {
            Some(sender) => Ok(sender),
            None => BfdSender::open(peer, source, self.interface.as_ref(), self.random),
        };
        let sent = sender.and_then(|sender| {
            let sent = sender.send(&packet.to_bytes());
            // The session keeps its port for its whole life, also over a socket that is opened anew (RFC 5881 §4).
            self.random = sender.port();
            self.sender = Some(sender);
            sent
        });
        self.fault = sent.as_ref().err().map(ToString::to_string);
        if sent.is_err_and(|error| error.answer().is_interface_gone()) {
            self.sender = None;
        }
    }
}

/// The reason of a transition in words; none when nothing has gone wrong.
fn why(reason: Reason, remote: Diagnostic, silence: Option<Duration>) -> Option<String> {
    match reason {
        Reason::DetectionTimeExpired => Some(silence.map_or_else(
            || "nothing was heard while this host stood still".to_owned(),
            |silence| format!("nothing was heard for {silence:?}"),
        )),
        Reason::PeerDown => Some(format!("the peer says that the session is down: {remote}")),
        Reason::PeerAdminDown => Some("the peer's administrator ended the session".to_owned()),
        Reason::Heard | Reason::AdminDown | Reason::AdminUp => None,
    }
}

/// The machine's parameters; the configuration's ranges are narrower than BFD's.
fn params(number: Discriminator, config: &BfdSession) -> Params {
    let BfdSession { min_tx, min_rx, multiplier, passive, .. } = config;
    Params::new(number, *min_tx, *min_rx, *multiplier)
        .unwrap_or_else(|_| Params::slow(number, *multiplier))
        .with_passive(*passive)
}
