//! The rise and fall of a real server, as a machine that is told the time and the outcomes of checks.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When a check runs and how many outcomes in a row change the verdict (HAProxy's `inter`, `rise`, `fall`).
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
}

/// Why a check passed or failed: a code for programs and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What happened, in HAProxy's words where it has one.
    pub code: Code,
    /// The same as a sentence, naming what was tried: `connect to 10.0.0.11:80: connection refused`.
    pub sentence: String,
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
    /// The application answered as it should.
    L7OK,
    /// The application did not answer within the timeout.
    L7TOUT,
    /// The application's answer was not of its protocol.
    L7RSP,
    /// The application answered with a status that was not expected.
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
