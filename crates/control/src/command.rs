//! What is done to servers: the bodies of commands, and their answer.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::Server;

/// Adds a real server: `POST /v1/services/SERVICE/servers`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AddServer {
    /// Its address, with a port unless the service forwards to its own.
    pub address: String,
    /// Its name; by default that of the server that the file has at this address, or else made from it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its weight; without one a new server has 1, one of the file's has the file's, and one that is there already keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// A lease of so many milliseconds, 1,000 to 604,800,000: without another such request it drains and is removed then. Without a lease
    /// it is there for good, also where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
    /// As [`Why::reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// As [`Why::ephemeral`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub ephemeral: bool,
}

/// Why a command is given: the body of `ready` and `maint`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Why {
    /// In the operator's words: at most 200 characters, none of them a control character.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Whether it ends with the daemon. Otherwise it is kept over restarts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ephemeral: bool,
}

/// Another weight: the body of `weight`. Exactly one of `weight` and `percent`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetWeight {
    /// This configured weight, whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
    /// This share of the configured weight, 0 to 1000 percent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u32>,
    /// As [`Why::reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// As [`Why::ephemeral`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub ephemeral: bool,
}

/// How to drain: the body of `drain` and of `DELETE`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// After so many milliseconds the server is drained even with connections left; by default the service's `drain.timeout`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// As [`Why::reason`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// As [`Why::ephemeral`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub ephemeral: bool,
}

/// The answer of every verb that changes something. Said again, a verb changes nothing and `changed` is false: so does a removal of a
/// server that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Whether anything changed.
    pub changed: bool,
    /// The service.
    pub service: String,
    /// The server's name.
    pub server: String,
    /// The server as it is now; none when it is gone.
    pub now: Option<Server>,
    /// What the operator should know: that the change does not outlive the daemon, say.
    pub note: Option<String>,
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}
