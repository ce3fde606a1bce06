//! The rise and fall of a real server, as a machine that is told the time and the outcomes of checks.
//!
//! [`Checker`] is the machine of one check of one server: it says when a run is due and what its outcomes make of the server.
//! It makes no run itself, reads no clock, and knows nothing of the server's other checks. [`Combine`] puts what several checks say
//! together, and [`Damper`] keeps a server down that comes and goes.

mod checker;
mod combine;
mod damper;
mod feedback;
mod sentence;
mod spread;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use checker::{Action, Checker, Event, Initial, LATE_MARGIN, State, Timer};
pub use combine::Combine;
pub use damper::{Damper, Damping, FALLS_MAX};
pub use feedback::{Asked, Feedback, Wish};
pub use sentence::Sentence;
pub use spread::{SPREAD_LIMIT, first_run};

/// When a check runs and how many outcomes in a row change the verdict (HAProxy's `inter`, `fastinter`, `downinter`, `rise`, `fall`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// From the start of one run to the start of the next.
    pub interval: Duration,
    /// A run that takes longer has failed. Shorter than `interval`.
    pub timeout: Duration,
    /// So many passes in a row bring a server up; at least 1.
    pub rise: u32,
    /// So many failures in a row take a server down; at least 1.
    pub fall: u32,
    /// The same as `interval` while outcomes speak against the state and have not changed it yet; none = `interval`.
    pub fast_interval: Option<Duration>,
    /// The same as `interval` while the server is down and nothing speaks against that; none = `interval`.
    pub down_interval: Option<Duration>,
    /// Over how long the first runs of many servers are spread; none = the interval, and at most [`SPREAD_LIMIT`].
    pub spread: Option<Duration>,
}

impl Policy {
    /// One that runs at the same pace whatever it finds.
    pub const fn steady(interval: Duration, timeout: Duration, rise: u32, fall: u32) -> Self {
        let (fast_interval, down_interval, spread) = (None, None, None);
        Self { interval, timeout, rise, fall, fast_interval, down_interval, spread }
    }

    /// How long after the start the check number `nth` of `server` in `service` runs first ([`first_run`]).
    pub fn first_run(&self, service: &str, server: &str, nth: usize) -> Duration {
        let span = self.spread.unwrap_or_else(|| self.interval.min(SPREAD_LIMIT));
        first_run(service, server, nth, span)
    }
}

/// Why a check passed or failed: a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What happened, in HAProxy's words where it has one.
    pub code: Code,
    /// The same as a sentence, naming what was tried: `connect to 10.0.0.11:80: connection refused`.
    pub sentence: Sentence,
}

/// What happened in a run of a check. The names are HAProxy's (`check_status` of its statistics).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Code {
    /// The connection was made.
    L4OK,
    /// No connection within the timeout.
    L4TOUT,
    /// The connection failed: refused, unreachable.
    L4CON,
    /// The TLS handshake was made.
    L6OK,
    /// No TLS handshake within the timeout.
    L6TOUT,
    /// The TLS handshake failed: the certificate is not valid, the server refuses, or what it speaks is no TLS.
    L6RSP,
    /// The application answered as it should.
    L7OK,
    /// The application did not answer within the timeout.
    L7TOUT,
    /// The application's answer was not of its protocol.
    L7RSP,
    /// The application answered in its protocol, and not what was expected.
    L7STS,
    /// The command exited with 0.
    PROCOK,
    /// The command exited with another code or by a signal.
    PROCERR,
    /// The command ran past its timeout and was killed.
    PROCTOUT,
    /// Not checked yet.
    INI,
    /// Taken over from the kernel's table at start, not checked yet.
    ADOPTED,
    /// It came and went too often, and is kept down for a while ([`Damper`]).
    FLAPPING,
    /// The run was not possible for a reason of our own (out of descriptors, say): it counts neither way.
    SOCKERR,
}

/// What one run of a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// What it says of the server.
    pub verdict: Verdict,
    /// Why.
    pub reason: Reason,
    /// How long the run took.
    pub took: Duration,
}

/// What an outcome says of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It can serve.
    Pass,
    /// It cannot.
    Fail,
    /// The run could not be made, by no fault of the server: it counts neither way.
    Inconclusive,
}

impl Code {
    /// Every code, in the order of the declaration.
    pub const ALL: [Self; 17] = [
        Self::L4OK,
        Self::L4TOUT,
        Self::L4CON,
        Self::L6OK,
        Self::L6TOUT,
        Self::L6RSP,
        Self::L7OK,
        Self::L7TOUT,
        Self::L7RSP,
        Self::L7STS,
        Self::PROCOK,
        Self::PROCERR,
        Self::PROCTOUT,
        Self::INI,
        Self::ADOPTED,
        Self::FLAPPING,
        Self::SOCKERR,
    ];

    /// The code as text, the same in logs, metrics and answers: `L4CON`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::L4OK => "L4OK",
            Self::L4TOUT => "L4TOUT",
            Self::L4CON => "L4CON",
            Self::L6OK => "L6OK",
            Self::L6TOUT => "L6TOUT",
            Self::L6RSP => "L6RSP",
            Self::L7OK => "L7OK",
            Self::L7TOUT => "L7TOUT",
            Self::L7RSP => "L7RSP",
            Self::L7STS => "L7STS",
            Self::PROCOK => "PROCOK",
            Self::PROCERR => "PROCERR",
            Self::PROCTOUT => "PROCTOUT",
            Self::INI => "INI",
            Self::ADOPTED => "ADOPTED",
            Self::FLAPPING => "FLAPPING",
            Self::SOCKERR => "SOCKERR",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

impl Reason {
    /// A reason of `code` that says `sentence`.
    pub fn new(code: Code, sentence: impl Into<Sentence>) -> Self {
        Self { code, sentence: sentence.into() }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.sentence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_label_of_its_own_and_it_is_the_serialised_name() {
        for code in Code::ALL {
            assert_eq!(code.label(), format!("{code:?}"));
            assert_eq!(Code::ALL.iter().filter(|other| other.label() == code.label()).count(), 1);
        }
    }
}
