//! What travels over the control socket of configurations: what the daemon runs with, what a reload would change, what it has changed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The configuration that the daemon runs with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Configuration {
    /// How many configurations the daemon has run with, this one among them: 1 at its start, one more with each reload that was
    /// applied.
    pub generation: u64,
    /// A number made of the file's bytes, as 16 hexadecimal digits: files that differ have, for all practical purposes, others.
    pub fingerprint: String,
    /// When it was loaded, in seconds since 1970 (UTC).
    pub loaded_at: u64,
    /// How many reloads were applied, those that changed nothing among them.
    pub reloads_applied: u64,
    /// How many reloads were refused.
    pub reloads_refused: u64,
    /// That it is not the file's: the file was not usable when the daemon started, and the last good one is used (`daemon.on_bad_config`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<LastGoodInUse>,
    /// What became of the last reload; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<LastReload>,
}

/// The last good configuration, in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastGoodInUse {
    /// When it was taken, in seconds since 1970 (UTC).
    pub of: u64,
    /// What is wrong with the file, in one line.
    pub error: String,
}

/// What became of the last reload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastReload {
    /// Whether it was applied. When it was not, the daemon runs with what it had before.
    pub applied: bool,
    /// When it was asked for, in seconds since 1970 (UTC).
    pub at: u64,
    /// Why it was refused, in one line; none when it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a reload would change, and what others have changed in the kernel: `GET /v1/plan` of the daemon's file, `POST /v1/plan` of the
/// file in the body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// What would change, in the order of a configuration's keys.
    pub changes: Vec<Change>,
    /// What in the kernel's table is not as it should be now, and will be put right whether or not there is a reload.
    pub drift: Vec<Drift>,
    /// What keeps the kernel's table from being as the running configuration wants it: services that the kernel refuses, and errors.
    /// Another configuration may mend it.
    #[serde(default)]
    pub problems: Vec<String>,
    /// Whether a reload would be refused though the file is valid: some change needs a restart of the daemon.
    pub needs_restart: bool,
    /// The fingerprint of the file.
    pub fingerprint: String,
    /// The file's warnings, rendered for people; empty without any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warnings: String,
}

/// What a reload has done: `POST /v1/reload`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// What has changed; nothing when the file says what it said.
    pub changes: Vec<Change>,
    /// The generation of the configuration that runs now.
    pub generation: u64,
    /// Its fingerprint.
    pub fingerprint: String,
    /// How long it took, in milliseconds: reading, checking and applying.
    pub took_ms: u64,
    /// The file's warnings, rendered for people; empty without any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub warnings: String,
}

/// One difference between the configuration that runs and another one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Difference")]
pub struct Change {
    /// `add`, `remove` or `change`.
    pub sign: String,
    /// What kind of thing: `service`, `server`, `vrrp`, `group`, `tracker`, `interface`, `daemon`, `ipvs`, `node`.
    pub kind: String,
    /// Its name: `web`, `web/web1`; empty where there is one of the kind only.
    pub name: String,
    /// The key that differs: `scheduler`; none when the whole thing comes or goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What it was and what it will be: `wlc → mh`.
    pub text: String,
    /// What users notice: `none`, `new_connections`, `connections`, `peer_must_match`, `transition`; or `restart`: it can't be reloaded.
    pub impact: String,
    /// How many connections, active and inactive, are given time to end, where the kernel was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
    /// What commands have to do with it: that the server was removed by one, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Something in the kernel's table that is not as it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drift {
    /// The service in the kernel's words: `tcp 192.0.2.10:80`.
    pub service: String,
    /// The destination, where it is one: `10.0.0.11:80`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// What is wrong with it: `weight 50, should be 100`.
    pub text: String,
    /// What kind of difference, in the words of [`crate::Ipvs::drift_total`]; empty where there are too many to be named.
    #[serde(default)]
    pub kind: String,
}
