//! The machine's tests: the transition table row by row, behaviours that take more than one step, and an independently written
//! model on random histories.

use std::time::Duration;

use super::*;
use crate::testing::{address, interval, params};

mod behaviour;
mod model;
mod others;
mod release;
mod table;

/// The interface's address; the sources of peers are below and above it.
const MINE: &str = "192.0.2.5";
const LOWER: &str = "192.0.2.4";
const HIGHER: &str = "192.0.2.6";

/// A router with 192.0.2.1, one second, version 3.
fn rank(priority: u8) -> Params {
    params(Version::V3, 10, &["192.0.2.1"]).with_priority(Priority::new(priority)).unwrap()
}

fn advertisement(priority: u8, source: &str) -> Event {
    slower(priority, source, 100)
}

fn slower(priority: u8, source: &str, centiseconds: u16) -> Event {
    Event::Advertisement(Advertisement {
        source: address(source),
        priority: Priority::new(priority),
        interval: interval(centiseconds),
        checksum_form: ChecksumForm::PseudoHeader,
    })
}

fn up() -> Event {
    Event::InterfaceUp { primary: address(MINE) }
}

/// A machine and the time.
struct Bench {
    now: Instant,
    router: VirtualRouter,
}

impl Bench {
    /// Initialize, the interface up, not told to start.
    fn initialize(params: Params) -> Self {
        let now = Instant::from_start(Duration::from_secs(1000));
        let mut bench = Self { now, router: VirtualRouter::new(now, params) };
        bench.give(up());
        bench
    }

    /// Backup (the owner: Active), just now.
    fn started(params: Params) -> Self {
        let mut bench = Self::initialize(params);
        bench.give(Event::Startup);
        bench
    }

    /// Active, just now.
    fn promoted(params: Params) -> Self {
        let mut bench = Self::started(params);
        if bench.router.status() == Status::Backup {
            bench.fire();
        }
        assert_eq!(bench.router.status(), Status::Active);
        bench
    }

    /// Active for one interval, the second advertisement having been sent just now.
    fn active(params: Params) -> Self {
        let mut bench = Self::promoted(params);
        bench.fire();
        bench
    }

    /// So much later.
    fn after(mut self, millis: u64) -> Self {
        self.wait(millis);
        self
    }

    fn wait(&mut self, millis: u64) {
        self.wait_for(Duration::from_millis(millis));
    }

    fn wait_for(&mut self, time: Duration) {
        self.now += time;
    }

    /// Gives an event and says what came of it.
    fn give(&mut self, event: Event) -> String {
        self.router.handle(self.now, event);
        self.said()
    }

    /// Lets time pass until the timer's deadline and fires it.
    fn fire(&mut self) -> String {
        let (deadline, _) = self.router.poll_timeout().expect("a timer");
        self.now = self.now.max(deadline);
        self.timeout()
    }

    /// Fires what is due now.
    fn timeout(&mut self) -> String {
        self.router.handle_timeout(self.now);
        self.said()
    }

    /// The actions in short, then the state with its timer counted from now.
    fn said(&mut self) -> String {
        let mut words = Vec::new();
        while let Some(action) = self.router.poll_action() {
            words.push(word(&action));
        }
        let left = |deadline: Instant| deadline.saturating_since(self.now);
        let state = match *self.router.state() {
            State::Initialize => "initialize".to_owned(),
            State::Backup { active_down, active_adver_interval, .. } => {
                format!("backup {:?} L={active_adver_interval}", left(active_down))
            }
            State::Active { adver, .. } => format!("active {:?}", left(adver)),
            State::Releasing { give_up } => format!("releasing {:?}", left(give_up)),
        };
        format!("{} | {state}", words.join(", "))
    }
}

fn word(action: &Action) -> String {
    match action {
        Action::SendAdvertisement { priority } => format!("adv {priority}"),
        Action::InstallAddresses => "install".to_owned(),
        Action::RemoveAddresses => "remove".to_owned(),
        Action::UpdateAddresses { removed, added } => format!("update -{removed:?} +{added:?}"),
        Action::Announce => "announce".to_owned(),
        Action::Report(Transition { from, to, reason, .. }) => {
            format!("{from}>{to} {}", reason.label())
        }
        Action::Observe(observation) => match observation {
            Observation::LowerRankHeard { source, priority } => {
                format!("lower {source} {priority}")
            }
            Observation::DualActiveBegan { source, priority } => {
                format!("dual {source} {priority}")
            }
            Observation::DualActiveEnded { source, lasted } => format!("ended {source} {lasted:?}"),
            Observation::ReleaseUnanswered { waited } => format!("unanswered {waited:?}"),
            Observation::DuplicateSource { .. } => "duplicate".to_owned(),
            Observation::OwnerConflict { .. } => "owners".to_owned(),
            Observation::Stalled { silent } => format!("stalled {silent:?}"),
            Observation::ReconfigureRefused => "refused".to_owned(),
        },
    }
}
