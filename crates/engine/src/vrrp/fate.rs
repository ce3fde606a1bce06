//! What a Backup makes of its fate channel: a TCP connection to the daemon of the node that is Active, which ends when that process and
//! its supervisor have died.
//!
//! An end (FIN or RST) is a hint and no more. The node is dead to us when a new connection is refused after it, which its kernel does when
//! nobody listens there any more: a forged RST, a worker that was replaced or a firewall that forgot the connection do not have that answer.
//! Silence says nothing: whoever gets no answer at all has a network problem, and VRRP's own timers are for that. A channel that
//! had not said its first word, or that said goodbye, says nothing by its end.
//!
//! One death is told once: the next needs a channel that stood.

use std::collections::VecDeque;
use std::time::Duration;

use holdfast_time::Instant;

/// The first word of who listens: it holds this connection as long as its daemon lives.
pub const HELLO: u8 = b'+';
/// The last word of who ends a connection and lives on, or stops in order.
pub const GOODBYE: u8 = b'-';

/// How long a connection may take until its first word.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a hint is followed up.
const SUSPICION: Duration = Duration::from_secs(1);
/// The pause before a dying process's port is tried again; it doubles.
const AGAIN: Duration = Duration::from_millis(1);
/// The pause after a connection that was not had; it doubles up to the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What has become of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateEvent {
    /// It said its first word.
    Hello,
    /// It said its last one.
    Goodbye,
    /// Its end came from the other side: FIN or RST.
    Ended,
    /// Nobody listens there: RST to the first segment.
    Refused,
    /// It failed in another way, or brought what is no word: nothing is known of the other side.
    Broken,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FateAction {
    /// Close the connection, if there is one, and open another.
    Connect,
    /// Close the connection.
    Close,
    /// The other side has died.
    Died,
}

/// How a channel came to its end, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FateEnd {
    /// The other side has died.
    Died,
    /// The other side ended it and may live on: it was cut, or is followed up yet. Of one that never stood: it hung up without a word.
    Ended,
    /// The other side said goodbye: it stops in order, or wants no channel any more.
    Goodbye,
    /// Nobody listens there.
    Refused,
    /// Nothing was said there within three seconds.
    Silent,
    /// It failed in another way, or brought what is no word.
    Broken,
}

impl FateEnd {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Died, Self::Ended, Self::Goodbye, Self::Refused, Self::Silent, Self::Broken];

    /// In a word that doesn't change.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::Ended => "ended",
            Self::Goodbye => "goodbye",
            Self::Refused => "refused",
            Self::Silent => "silent",
            Self::Broken => "broken",
        }
    }
}

/// One channel, of the side that watches.
#[derive(Debug)]
pub struct FateWatch {
    state: State,
    /// Since when it stands, or does not.
    since: Instant,
    /// When one that stood came to its end, and how.
    last_end: Option<(Instant, FateEnd)>,
    /// Why the last attempt came to nothing.
    trouble: Option<FateEnd>,
    pause: Duration,
    actions: VecDeque<FateAction>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// No connection; the next one is opened then.
    Idle { again_at: Instant, hint: Option<Hint> },
    /// A connection is opened, and has said nothing.
    Opening { until: Instant, hint: Option<Hint> },
    /// It stands.
    Standing,
}

/// A channel that stood has ended.
#[derive(Clone, Copy, Debug)]
struct Hint {
    /// How long that is followed up.
    until: Instant,
    /// The pause before the next connection.
    again: Duration,
}

impl FateWatch {
    /// A channel that is opened at once.
    pub const fn new(now: Instant) -> Self {
        let state = State::Idle { again_at: now, hint: None };
        let actions = VecDeque::new();
        Self { state, since: now, last_end: None, trouble: None, pause: PAUSE, actions }
    }

    /// Whether the channel stands.
    pub const fn stands(&self) -> bool {
        matches!(self.state, State::Standing)
    }

    /// Whether it has ended a moment ago, and it is not known yet whether that was a death.
    pub const fn is_in_doubt(&self) -> bool {
        matches!(
            self.state,
            State::Opening { hint: Some(_), .. } | State::Idle { hint: Some(_), .. }
        )
    }

    /// Since when it stands, or does not.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// When a channel that stood came to its end last, and how; a death is known a moment after the end.
    pub const fn last_end(&self) -> Option<(Instant, FateEnd)> {
        self.last_end
    }

    /// Why there is no channel: what came of the last attempt. None while it stands, and before the first attempt has come to nothing.
    pub const fn trouble(&self) -> Option<FateEnd> {
        self.trouble
    }

    /// Whether it may still tell of a death without a new connection's first word: it stands, or has ended and that is followed up.
    pub const fn may_tell(&self) -> bool {
        self.stands() || self.is_in_doubt()
    }

    /// Takes in what has become of the connection.
    pub fn handle(&mut self, now: Instant, event: FateEvent) {
        match (self.state, event) {
            (State::Opening { .. }, FateEvent::Hello) => {
                self.state = State::Standing;
                (self.since, self.trouble) = (now, None);
                self.pause = PAUSE;
            }
            (State::Standing, FateEvent::Ended) => {
                (self.since, self.last_end) = (now, Some((now, FateEnd::Ended)));
                let hint = Hint { until: now + SUSPICION, again: AGAIN };
                self.open(now, Some(hint));
            }
            (State::Opening { hint: Some(_), .. }, FateEvent::Refused) => {
                self.actions.push_back(FateAction::Died);
                self.last_end = Some((self.since, FateEnd::Died));
                self.rest(now, FateEnd::Refused);
            }
            // A process that is dying still had the port: it is asked again.
            (State::Opening { hint: Some(hint), .. }, FateEvent::Ended) if now < hint.until => {
                self.actions.push_back(FateAction::Close);
                let next = Hint { again: hint.again * 2, ..hint };
                self.state = State::Idle { again_at: now + hint.again, hint: Some(next) };
            }
            (State::Opening { .. }, FateEvent::Ended | FateEvent::Goodbye) => {
                self.rest(now, FateEnd::Ended);
            }
            (State::Opening { .. }, FateEvent::Refused) => self.rest(now, FateEnd::Refused),
            (State::Standing, FateEvent::Goodbye) => self.rest(now, FateEnd::Goodbye),
            (State::Opening { .. }, FateEvent::Broken)
            | (State::Standing, FateEvent::Broken | FateEvent::Hello | FateEvent::Refused) => {
                self.rest(now, FateEnd::Broken);
            }
            (State::Idle { .. }, _) => {}
        }
    }

    /// When [`Self::handle_timeout`] has something to do.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Idle { again_at: at, .. } | State::Opening { until: at, .. } => Some(at),
            State::Standing => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::Idle { again_at, hint } if again_at <= now => self.open(now, hint),
            State::Opening { until, .. } if until <= now => self.rest(now, FateEnd::Silent),
            State::Idle { .. } | State::Opening { .. } | State::Standing => {}
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<FateAction> {
        self.actions.pop_front()
    }

    fn open(&mut self, now: Instant, hint: Option<Hint>) {
        let until = hint.map_or(now + PATIENCE, |hint| hint.until);
        self.state = State::Opening { until, hint };
        self.actions.push_back(FateAction::Connect);
    }

    /// Has no connection for a while: why.
    fn rest(&mut self, now: Instant, why: FateEnd) {
        if self.stands() {
            (self.since, self.last_end) = (now, Some((now, why)));
        } else {
            self.trouble = Some(why);
        }
        self.actions.push_back(FateAction::Close);
        self.state = State::Idle { again_at: now + self.pause, hint: None };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}
