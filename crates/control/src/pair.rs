//! The other nodes: whether they have the same, and what became of a change on each.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must be equal on all nodes, as a number for each part of it: `GET /v1/fingerprint`.
///
/// The numbers are made of what the program holds, so they mean something between nodes of one version only. They are proof against
/// accidents, not against malice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fingerprint {
    /// The node's name.
    pub node: String,
    /// The program's version.
    pub version: String,
    /// The generation of its configuration.
    pub generation: u64,
    /// The parts by name: `services`, `vrrp`, `runtime_changes`; each 16 hexadecimal digits.
    pub parts: BTreeMap<String, String>,
    /// What each part is made of, by name, with a number of its own; where it was asked for (`names=true`).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub objects: BTreeMap<String, BTreeMap<String, String>>,
}

/// This node and the others: `GET /v1/nodes`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Nodes {
    /// This node's name.
    pub node: String,
    /// The others that `daemon.pair` names, by name.
    pub peers: Vec<PeerNode>,
}

/// Another node, as this one saw it last.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PeerNode {
    /// Its name.
    pub name: String,
    /// Where its API is.
    pub address: String,
    /// `starting` (not asked yet), `equal`, `differs`, `other_version` (the numbers of two versions can't be compared), or `unreachable`.
    pub state: String,
    /// Seconds in this state.
    pub since_s: u64,
    /// Seconds since it answered; none before it has.
    pub seen_s_ago: Option<u64>,
    /// The version of its program, when it answered last.
    pub version: Option<String>,
    /// Where it is unreachable: what was attempted and what came of it.
    pub error: Option<String>,
    /// Where it differs: what, part by part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<Difference>,
}

/// A part of the configuration, or the run-time changes, in which two nodes differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// `services`, `vrrp` or `runtime_changes`.
    pub part: String,
    /// What of it differs, by name: the first ten.
    pub names: Vec<String>,
    /// How many there are.
    pub count: usize,
}

/// What became of a change on all nodes: what `holdfast server … --all-nodes -o json` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodesReport {
    /// Whether it holds on every node.
    pub complete: bool,
    /// Node by node, the one that was asked first.
    pub nodes: Vec<NodeReport>,
}

/// What became of a change on one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeReport {
    /// The node.
    pub node: String,
    /// Whether the change is known to hold there.
    pub applied: bool,
    /// Whether it is not known if it holds there: the node was asked, and its answer was lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unknown: bool,
    /// Whether it changed anything there; false where it held already.
    pub changed: bool,
    /// Why it does not hold, in a word that doesn't change: the code of the node's problem, `node_unreachable` where it was not asked, or,
    /// where its answer was lost, `node_silent`, or `answer_lost` when the daemon on it ended before it could tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why it does not hold or is not known to, or has not come to what was waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The answer of the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<crate::Change>,
}
