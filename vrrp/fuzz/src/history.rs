//! The target that takes bytes for a history: what happens to one router, and when. After each step the invariants are checked.
//!
//! ```text
//!     byte 0        the format, Preempt_Mode, delay      byte 1   the priority      byte 2   the interval
//!     then steps    one byte for what happens, and as many as it needs
//! ```
//!
//! Bytes that run out are zeros, so that every prefix of a history is one too.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use vrrp::wire::{Format, Packet, Repr};
use vrrp::{
    Action, AddressFamily, AddressList, Advertisement, ChecksumChoice, ChecksumForm, DiscardReason,
    Event, Interval, Observation, Params, Priority, Reason, State, Status, Timer, Version,
    VirtualRouter, Vrid,
};

/// Longer histories find nothing more, and cost the fuzzer its speed.
const STEPS_MAX: usize = 400;

/// No input makes more actions than this ([`VirtualRouter::ACTION_LIMIT`]).
const ACTIONS_OF_ONE_INPUT_MAX: usize = 6;

/// A history, checked after each step: I6, I7, I8, I10, and the limit on actions that wait.
pub fn router(data: &[u8]) {
    let mut tape = Tape(data);
    let mut world = World::new(&mut tape);
    let mut steps = 0;
    while !tape.0.is_empty() && steps < STEPS_MAX {
        world.step(&mut tape);
        steps += 1;
    }
}

/// The bytes that are left.
struct Tape<'a>(&'a [u8]);

impl Tape<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((&byte, rest)) => {
                self.0 = rest;
                byte
            }
            None => 0,
        }
    }

    fn pair(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }
}

/// A router and what its driver knows of it.
struct World {
    format: Format,
    now: Instant,
    router: VirtualRouter,
    /// Whether the addresses are on the interface, as far as the driver was told.
    installed: bool,
    /// Whether the last action was an advertisement: only behind one may the addresses be installed.
    just_advertised: bool,
    status: Status,
    /// The other Active, as far as the driver was told.
    dual: Option<IpAddr>,
    /// Actions that the driver has left unpolled.
    waiting: usize,
    dropped: u64,
    /// When a process advertised last that the router was told to inherit from, until it begins.
    inherits: Option<Instant>,
}

impl World {
    fn new(tape: &mut Tape<'_>) -> Self {
        let start = tape.byte();
        let format = match start & 0x03 {
            0 | 3 => Format::V3Ipv4,
            1 => Format::V3Ipv6,
            _ => Format::V2,
        };
        let params = params(format, tape.byte(), u16::from(tape.byte()), start & 0x04 == 0);
        let params = with_options(params, start >> 3);
        let now = Instant::from_start(Duration::from_secs(1000));
        Self {
            format,
            now,
            router: VirtualRouter::new(now, params),
            installed: false,
            just_advertised: false,
            status: Status::Initialize,
            dual: None,
            waiting: 0,
            dropped: 0,
            inherits: None,
        }
    }

    /// One thing happens.
    fn step(&mut self, tape: &mut Tape<'_>) {
        let what = tape.byte();
        match what & 0x0f {
            // Time passes, and no timer is looked at.
            0 => self.now += Duration::from_millis(u64::from(tape.byte())),
            1 => self.now += Duration::from_millis(10) * u32::from(tape.pair()),
            2 => self.timeout(),
            3 | 4 => {
                if let Some((deadline, _)) = self.router.poll_timeout() {
                    self.now = self.now.max(deadline);
                }
                self.timeout();
            }
            5 => self.discard(tape.byte()),
            _ => {
                let event = self.event(what & 0x0f, tape);
                self.give(event);
            }
        }
        // A lazy driver looks at its actions later.
        if what & 0x80 == 0 {
            self.poll();
        }
        self.check();
    }

    fn event(&self, what: u8, tape: &mut Tape<'_>) -> Event {
        match what {
            6 => Event::Startup,
            7 => match tape.byte() & 0x07 {
                1 => Event::Resumed,
                2 | 6 => Event::StepDown,
                3 => Event::TakeOver,
                4 => Event::ActiveFallen,
                5 => self.ended(tape.byte()),
                7 => Event::Inherit { advertised: self.earlier(tape.pair()) },
                _ => Event::Shutdown,
            },
            8 => Event::InterfaceUp { primary: self.host(tape.byte()) },
            9 if tape.byte() & 1 == 0 => Event::InterfaceDown,
            9 => Event::PrimaryChanged { primary: self.host(tape.byte()) },
            10 => Event::Reconfigure(self.other_params(tape)),
            _ => Event::Advertisement(Advertisement {
                source: self.host(tape.byte()),
                priority: Priority::new(tape.byte()),
                interval: interval(self.format, tape.pair()),
                checksum_form: match what {
                    11 => ChecksumForm::MessageOnly,
                    12 => ChecksumForm::OldUnicast,
                    _ => ChecksumForm::PseudoHeader,
                },
            }),
        }
    }

    /// So many centiseconds ago; of the largest numbers a moment that is still to come.
    fn earlier(&self, centiseconds: u16) -> Instant {
        if centiseconds > 0xff00 {
            return self.now + Duration::from_millis(1);
        }
        let ago = Duration::from_millis(10) * u32::from(centiseconds);
        Instant::from_start(self.now.since_start().saturating_sub(ago))
    }

    /// Parameters for a reconfiguration: other values, other addresses, or another router altogether.
    fn other_params(&self, tape: &mut Tape<'_>) -> Params {
        let how = tape.byte();
        let format = match how & 0x30 {
            0x30 => Format::V3Ipv6,
            _ => self.format,
        };
        let params = params(format, tape.byte(), tape.pair(), how & 0x01 == 0);
        let count = how >> 1 & 0x03;
        let more = (0..count).map(|number| virtual_address(format, number + 1));
        let list = std::iter::once(virtual_address(format, 0)).chain(more).collect();
        let Ok(list) = AddressList::new(list) else { panic!("a list that is valid") };
        let Ok(readdressed) = Params::new(params.version(), params.vrid(), list) else {
            panic!("parameters that are valid")
        };
        let both = readdressed
            .with_priority(params.priority())
            .and_then(|both| both.with_advertisement_interval(params.advertisement_interval()));
        let Ok(both) = both else { panic!("parameters that were valid before") };
        with_options(both.with_preempt_mode(params.preempt_mode()), how >> 6)
    }

    /// What is known of the Active from elsewhere: another protocol has lost it, or its process is dead.
    fn ended(&self, number: u8) -> Event {
        let address = self.host(number);
        if number & 0x80 == 0 {
            Event::ActiveLost { address }
        } else {
            Event::ActiveDied { address }
        }
    }

    /// A host of the LAN; sometimes one of the other family, which is nobody here.
    fn host(&self, number: u8) -> IpAddr {
        let family = match (self.format.family(), number >= 0xf0) {
            (AddressFamily::Ipv4, false) | (AddressFamily::Ipv6, true) => AddressFamily::Ipv4,
            (AddressFamily::Ipv4, true) | (AddressFamily::Ipv6, false) => AddressFamily::Ipv6,
        };
        // Few of them, so that ties and clones are frequent.
        let number = number & 0x03;
        match family {
            AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, 10 + number]),
            AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 10 + u16::from(number)]),
        }
    }

    fn give(&mut self, event: Event) {
        let before = self.router.clone();
        self.router.handle(self.now, event.clone());
        self.count_new_actions(&before);
        self.check_learning(&before, &event);
        if let (Event::Inherit { advertised }, Status::Initialize) = (&event, before.status()) {
            self.inherits = Some(*advertised);
        }
        let inheritance = self.router.params().inheritance_interval();
        let heir = before.status() == Status::Initialize
            && matches!(event, Event::Startup | Event::InterfaceUp { .. })
            && self.inherits.is_some_and(|at| at <= self.now && self.now < at + inheritance);
        if self.router.status() != Status::Initialize || matches!(event, Event::Shutdown) {
            self.inherits = None;
        }
        // I4: only a timer that has run out, the owner's start, an inheritance (K1), or its sync group makes an Active.
        let promoted = before.status() != Status::Active && self.router.status() == Status::Active;
        let owner = self.router.priority() == Priority::OWNER;
        let may = (owner && before.status() == Status::Initialize)
            || heir
            || (before.status() == Status::Backup
                && matches!(event, Event::TakeOver | Event::ActiveFallen));
        assert!(!promoted || may, "{event:?}");
        // Make before break: who had the addresses and was told to leave them still has them, unless it was told twice.
        if before.status() == Status::Active && matches!(event, Event::Shutdown | Event::StepDown) {
            assert_eq!(self.router.status(), Status::Releasing);
        }
    }

    fn timeout(&mut self) {
        let before = self.router.clone();
        self.router.handle_timeout(self.now);
        self.count_new_actions(&before);
        let due = before.poll_timeout().is_some_and(|(deadline, _)| deadline <= self.now);
        assert!(due || self.router.state() == before.state(), "a timer fired too early");
    }

    /// I8: an invalid packet changes counters only.
    fn discard(&mut self, which: u8) {
        let Some(reason) =
            DiscardReason::ALL.get(usize::from(which) % DiscardReason::ALL.len()).copied()
        else {
            return;
        };
        let before = self.router.clone();
        self.router.count_discard(reason);
        assert_eq!(self.router.state(), before.state());
        assert_eq!(self.router.params(), before.params());
        assert_eq!(self.router.primary(), before.primary());
        let counted = self.router.counters().discarded.of(reason);
        assert_eq!(counted, before.counters().discarded.of(reason) + 1);
    }

    /// No input makes more than six actions, and what waits is bounded.
    fn count_new_actions(&mut self, before: &VirtualRouter) {
        let drain = |router: &VirtualRouter| {
            let mut router = router.clone();
            std::iter::from_fn(|| router.poll_action()).count()
        };
        let waiting = drain(&self.router);
        let dropped = self.router.counters().actions_dropped - before.counters().actions_dropped;
        let new = waiting + usize::try_from(dropped).unwrap_or(usize::MAX) - self.waiting;
        assert!(new <= ACTIONS_OF_ONE_INPUT_MAX, "{new} actions of one input");
        assert!(waiting <= VirtualRouter::ACTION_LIMIT, "{waiting} actions wait");
        self.waiting = waiting;
    }

    /// I10: Active_Adver_Interval is learned from what is accepted as the Active's, and from nothing else.
    fn check_learning(&self, before: &VirtualRouter, event: &Event) {
        let (State::Backup { active_adver_interval: was, .. }, Status::Backup) =
            (before.state(), self.router.status())
        else {
            return;
        };
        let is = self.router.active_adver_interval();
        let may = match event {
            Event::Advertisement(heard) => {
                let params = before.params();
                let waits = !params.preempts() || !params.preempt_delay().is_zero();
                let accepted = heard.priority != Priority::RELEASE
                    && (heard.priority >= params.priority() || waits);
                accepted && params.version() == Version::V3 && is == Some(heard.interval)
            }
            Event::Reconfigure(params) => {
                params.version() == Version::V2 && is == Some(params.advertisement_interval())
            }
            Event::Startup
            | Event::Shutdown
            | Event::StepDown
            | Event::TakeOver
            | Event::ActiveFallen
            | Event::ActiveLost { .. }
            | Event::ActiveDied { .. }
            | Event::InterfaceUp { .. }
            | Event::InterfaceDown
            | Event::PrimaryChanged { .. }
            | Event::Inherit { .. }
            | Event::Resumed => false,
        };
        assert!(may || is == Some(*was), "I10: {was} became {is:?} by {event:?}");
    }

    /// Does what the router wants.
    fn poll(&mut self) {
        let dropped = self.router.counters().actions_dropped;
        if dropped != self.dropped {
            // The oldest are lost: what came before is not known any more.
            self.dropped = dropped;
            while self.router.poll_action().is_some() {}
            self.installed = self.router.status().holds_addresses();
            self.status = self.router.status();
            self.just_advertised = false;
            self.dual = self.router.dual_active().map(|dual| dual.source);
        }
        self.waiting = 0;
        while let Some(action) = self.router.poll_action() {
            self.perform(&action);
        }
        // I7: the addresses are there exactly while Active or giving up.
        assert_eq!(self.installed, self.router.status().holds_addresses(), "I7");
        assert_eq!(self.status, self.router.status(), "a transition was not reported");
        let dual = self.router.dual_active().map(|dual| dual.source);
        assert_eq!(self.dual, dual, "two Actives were not reported, or their end was not");
        assert!(dual.is_none() || self.status == Status::Active);
    }

    fn perform(&mut self, action: &Action) {
        let advertises = matches!(action, Action::SendAdvertisement { .. });
        match action {
            Action::SendAdvertisement { priority } => self.advertise(*priority),
            Action::InstallAddresses => {
                assert!(self.just_advertised, "I7: the advertisement comes before the addresses");
                assert!(!self.installed, "installed twice");
                self.installed = true;
            }
            Action::RemoveAddresses => {
                assert!(self.installed, "removed twice");
                self.installed = false;
            }
            Action::UpdateAddresses { removed, added } => {
                assert!(self.installed, "I7: addresses are changed where there are some");
                assert!(!removed.iter().any(|address| added.contains(address)));
            }
            Action::Announce => assert!(self.installed, "I7: announced before it was there"),
            Action::Report(transition) => {
                assert_eq!(transition.from, self.status, "transitions follow each other");
                assert!(transition.at <= self.now);
                assert!(reason_fits(transition.from, transition.to, transition.reason));
                self.status = transition.to;
            }
            Action::Observe(observation) => match observation {
                Observation::Stalled { silent } => assert!(*silent > Duration::ZERO),
                Observation::DualActiveBegan { source, .. } => {
                    assert_ne!(self.dual, Some(*source), "reported twice");
                    self.dual = Some(*source);
                }
                Observation::DualActiveEnded { source, .. } => {
                    assert_eq!(self.dual, Some(*source), "what ends has begun");
                    self.dual = None;
                }
                Observation::LowerRankHeard { .. }
                | Observation::ReleaseUnanswered { .. }
                | Observation::DuplicateSource { .. }
                | Observation::OwnerConflict { .. }
                | Observation::ReconfigureRefused => {}
                other => panic!("{other:?} is new here"),
            },
            other => panic!("{other:?} is new here"),
        }
        self.just_advertised = advertises;
    }

    /// What is sent says what was asked for, and its checksum is right.
    fn advertise(&self, priority: Priority) {
        // A lazy driver encodes by the parameters of a later moment.
        let (source, group) = (self.host(0), self.format.family().multicast_group());
        let bytes = self.router.encode(priority, source, group);
        let Some(packet) = Packet::new_checked(bytes.as_slice()) else { panic!("no header") };
        let Ok(repr) = Repr::parse(&packet, self.format.family()) else {
            panic!("what is sent can't be read")
        };
        assert_eq!((repr.priority(), repr.vrid()), (priority, self.router.params().vrid()));
        assert!(repr.addresses().eq(self.router.params().addresses().as_slice().iter().copied()));
        assert!(packet.checksum_form(self.format, source, group).is_some());
        assert_eq!(repr.authentication(), self.router.params().authentication());
    }

    /// I6: Active has the adver timer, Backup the active-down timer, Releasing its own, none longer than it may be; Initialize
    /// has none.
    fn check(&self) {
        let router = &self.router;
        let left = router.poll_timeout().map(|(at, timer)| (at.saturating_since(self.now), timer));
        let allowed = match (router.status(), left) {
            (Status::Initialize, None) => true,
            (Status::Backup, Some((left, Timer::ActiveDown))) => router
                .active_adver_interval()
                .is_some_and(|learned| left <= router.params().active_down_interval(learned)),
            (Status::Active, Some((left, Timer::Adver))) => {
                left <= router.params().advertisement_interval().duration()
            }
            (Status::Releasing, Some((left, Timer::Release))) => {
                left <= router.params().release_interval()
            }
            (Status::Initialize | Status::Backup | Status::Active | Status::Releasing, _) => false,
        };
        assert!(allowed, "I6: {} with {left:?}", router.status());
        assert!(router.status() == Status::Initialize || router.primary().is_some());
        assert!(router.since() <= self.now);
        assert!(router.peers().len() <= 16, "who was heard is bounded");
    }
}

/// Whether a transition may have this reason.
fn reason_fits(from: Status, to: Status, reason: Reason) -> bool {
    match reason {
        Reason::Startup => (from, to) == (Status::Initialize, Status::Backup),
        Reason::Owner | Reason::Inherited => (from, to) == (Status::Initialize, Status::Active),
        Reason::Shutdown => match from {
            Status::Initialize => false,
            Status::Active => to == Status::Releasing,
            Status::Backup | Status::Releasing => to == Status::Initialize,
        },
        Reason::StepDown => (from, to) == (Status::Active, Status::Releasing),
        Reason::TakenOver => {
            from == Status::Releasing && matches!(to, Status::Backup | Status::Initialize)
        }
        Reason::NobodyTookOver => {
            from == Status::Releasing && matches!(to, Status::Active | Status::Initialize)
        }
        Reason::InterfaceDown => from != Status::Initialize && to == Status::Initialize,
        Reason::ActiveSilent
        | Reason::ActiveReleased
        | Reason::ActiveLost
        | Reason::ActiveDied
        | Reason::Group
        | Reason::ActiveFallen
        | Reason::Preempt => (from, to) == (Status::Backup, Status::Active),
        Reason::HigherPriority | Reason::HigherAddress => {
            (from, to) == (Status::Active, Status::Backup)
        }
        Reason::Stalled => from.holds_addresses() && to == Status::Backup,
        other => panic!("{other:?} is new here"),
    }
}

/// The interval that `units` say in `format`, brought into its range.
fn interval(format: Format, units: u16) -> Interval {
    let interval = match format {
        Format::V2 => Interval::from_seconds(u8::try_from(units % 255 + 1).unwrap_or(1)),
        Format::V3Ipv4 | Format::V3Ipv6 => Interval::from_centiseconds(units % 4095 + 1),
    };
    interval.unwrap_or(Interval::DEFAULT)
}

fn virtual_address(format: Format, number: u8) -> IpAddr {
    match format.family() {
        AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, 100 + number]),
        AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0x100 + u16::from(number)]),
    }
}

fn params(format: Format, priority: u8, units: u16, preempt: bool) -> Params {
    let version = match format {
        Format::V2 => Version::V2,
        Format::V3Ipv4 | Format::V3Ipv6 => Version::V3,
    };
    let made = AddressList::new(vec![virtual_address(format, 0)]).ok().and_then(|list| {
        let params = Params::new(version, Vrid::new(10)?, list).ok()?;
        let params = params.with_priority(Priority::new(priority.max(1))).ok()?;
        params.with_advertisement_interval(interval(format, units)).ok()
    });
    let Some(params) = made else { panic!("parameters that are valid") };
    params.with_preempt_mode(preempt)
}

/// A preempt delay, a password, and a form of the checksum, as the bits say.
fn with_options(params: Params, bits: u8) -> Params {
    let delay = if bits & 0x01 == 0 { Duration::ZERO } else { Duration::from_secs(5) };
    let checksum = match bits >> 1 & 0x03 {
        1 => ChecksumChoice::Rfc9568,
        2 => ChecksumChoice::PseudoHeader,
        _ => ChecksumChoice::Auto,
    };
    let password = (bits & 0x08 != 0).then_some(*b"password");
    params.with_preempt_delay(delay).with_checksum(checksum).with_password(password)
}
