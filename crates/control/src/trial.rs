//! `holdfast check-run`: one run of each check of a server, with what was sent and what came.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::CheckReason;

/// One run of each check of a server. It counts for nothing: neither the server's state nor its weight changes by it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckRun {
    /// The service.
    pub service: String,
    /// The server.
    pub server: String,
    /// Its address and port.
    pub address: String,
    /// Who made the runs: `daemon`, or `holdfast` where no daemon answers.
    pub by: String,
    /// The runs, in the order of the checks. None of a server without a check.
    pub trials: Vec<Trial>,
}

/// One run of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Trial {
    /// The check's kind: `tcp`, `http`, `exec` and so on.
    pub kind: String,
    /// What was tried: `http http://10.0.0.11:80/health`.
    pub target: String,
    /// `pass`, `fail` or `inconclusive`.
    pub verdict: String,
    /// Why.
    pub reason: CheckReason,
    /// How long it took, in microseconds.
    pub took_us: u64,
    /// How long it might have taken, in milliseconds.
    pub timeout_ms: u64,
    /// The weight that it reports in place of the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// How much of the weight it asks for, in percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// What an agent wants for the server: `ready`, `drain` or `maint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<String>,
    /// What happened, at most 64 steps.
    pub steps: Vec<TrialStep>,
}

/// One thing that happened in a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrialStep {
    /// From the start of the run on, in microseconds.
    pub at_us: u64,
    /// `sent`, `received` or `note`.
    pub kind: String,
    /// How many bytes there were.
    pub length: u64,
    /// The first 2 KiB of them, with escapes such as `\r\n` and `\x00` for what is not printable ASCII.
    pub text: String,
}

impl CheckRun {
    /// Whether no check has failed or could not be made.
    pub fn passes(&self) -> bool {
        self.trials.iter().all(|trial| trial.verdict == "pass")
    }
}
