//! What travels over the control socket of run-time changes and of discovery.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What commands have changed against the configuration's file: `GET /v1/changes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeChanges {
    /// The changes, by service and server.
    pub changes: Vec<RuntimeChange>,
    /// Why changes can't be kept, or what became of those of an earlier daemon; none when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_problem: Option<String>,
}

/// One thing that a command has changed of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeChange {
    /// The service.
    pub service: String,
    /// The server's name.
    pub server: String,
    /// Its address and port.
    pub address: String,
    /// `added`, `removed`, `weight`, `drain` or `maint`.
    pub kind: String,
    /// What the file has: the weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is in its place: `5`, `50% of 4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// Who did it; none when it could not be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why, in that one's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, in seconds since 1970 (UTC).
    pub at: u64,
    /// Whether it ends with the daemon.
    #[serde(default)]
    pub ephemeral: bool,
    /// How long its lease is, in milliseconds; none when it is there for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Seconds until its lease ends, unless it registers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ends_in_s: Option<u64>,
    /// Why it does not hold: the configuration has no such service, say. It holds again when it can; `holdfast server rm` forgets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dormant: Option<String>,
}

/// A configuration that includes run-time changes: `GET /v1/export`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exported {
    /// It, as YAML. Secrets are covered.
    pub text: String,
    /// What is not in it, in sentences: states that no file can have, servers that come from elsewhere.
    pub left_out: Vec<String>,
}

/// The files of a directory that name servers of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discovery {
    /// The directory.
    pub directory: String,
    /// How many servers the last reading that was believed named.
    pub servers: usize,
    /// When that was, in seconds since 1970 (UTC); none when there was none since the daemon's start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<u64>,
    /// What is wrong with the files or the directory, or why a reading was not believed; what was known stays meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}
