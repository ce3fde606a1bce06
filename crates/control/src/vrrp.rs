//! What travels over the control socket of VRRP.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A VRRP instance: one virtual router on one interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// Its name.
    pub name: String,
    /// `initialize`, `backup`, `active` (RFC 9568 §6.4) or `releasing`: it has said goodbye and answers for the addresses until
    /// another router does.
    pub state: String,
    /// Seconds in this state.
    pub since_s: u64,
    /// Why it is in this state, in words.
    pub reason: String,
    /// The interface that speaks VRRP.
    pub interface: String,
    /// VRID.
    pub vrid: u8,
    /// 2 or 3.
    pub version: u8,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// This node's priority as it counts now.
    pub priority: u8,
    /// The priority of the configuration.
    pub base_priority: u8,
    /// What trackers add to it and take from it, by tracker.
    pub weights: Vec<Weight>,
    /// The sync group that it is in.
    pub group: Option<String>,
    /// Whether it was told to step back until `resume`.
    pub released: bool,
    /// Whether it gave its role away (`failover`) and preempts nobody until it has been Active again, or `resume`.
    pub yields: bool,
    /// Whether it would preempt a working Active and waits until it has that one's connections.
    pub waits_for_sync: bool,
    /// Advertisement_Interval in milliseconds.
    pub interval_ms: u64,
    /// Whether a higher priority takes over from a working Active.
    pub preempt: bool,
    /// The virtual addresses with their prefix lengths.
    pub addresses: Vec<String>,
    /// Addresses that move along without being advertised.
    pub excluded: Vec<String>,
    /// Whether this node holds the addresses now.
    pub holds_addresses: bool,
    /// The Active Router that was last heard, where it is another one.
    pub active: Option<IpAddr>,
    /// Who was heard, the latest last.
    pub peers: Vec<Peer>,
    /// Another router that is Active beside this one, and does not hear it.
    pub dual_active: Option<DualActive>,
    /// What other nodes seem to be configured with otherwise, for as long as they are heard: eight at most.
    pub disagreements: Vec<Disagreement>,
    /// What keeps the instance from taking part: interface down, no address, a tracker. None when nothing does.
    pub fault: Option<String>,
    /// What of the addresses, routes and rules is missing, and why, and what should be said of them, sentence by sentence.
    pub problems: Vec<String>,
    /// The last packet for this instance that broke a rule.
    pub discarded: Option<Discarded>,
    /// Changes of state since the daemon started.
    pub transitions: u64,
    /// The same by the state that they led to: `initialize`, `backup`, `active`, `releasing`.
    #[serde(default)]
    pub transitions_to: BTreeMap<String, u64>,
    /// When the last of them was, in seconds since 1970; none before the first.
    #[serde(default)]
    pub last_transition_at: Option<u64>,
    /// Counters of packets, by name.
    pub counters: BTreeMap<String, u64>,
}

/// What another node advertises otherwise than this one is configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Disagreement {
    /// Who advertises it.
    pub peer: IpAddr,
    /// `addresses`, `interval`, or `vrid`: one of this instance's addresses with another VRID.
    pub about: String,
    /// What it says; of addresses, those that this node has not.
    pub theirs: String,
    /// What this node has instead; of addresses, those that the other one does not advertise.
    pub ours: String,
    /// Both in a sentence.
    pub text: String,
    /// What comes of it, and what to do.
    pub advice: String,
    /// Seconds since it was heard first.
    pub since_s: u64,
    /// Milliseconds since it was heard last.
    pub heard_ms_ago: u64,
}

/// A packet that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discarded {
    /// Which rule, as in the counters: `password`, `hop_limit`.
    pub reason: String,
    /// Who sent it.
    pub source: IpAddr,
    /// Milliseconds since then.
    pub ms_ago: u64,
}

/// What a tracker does to a priority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Weight {
    /// The tracker.
    pub tracker: String,
    /// What it adds, or takes where it is negative.
    pub weight: i16,
}

/// Another router, by its valid advertisements.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// Where they come from.
    pub address: IpAddr,
    /// Its priority; 0 when it has given up.
    pub priority: u8,
    /// Its interval in milliseconds.
    pub interval_ms: u64,
    /// `pseudo-header`, `rfc9568` or `old-unicast`: what its checksum covers.
    pub checksum: String,
    /// Milliseconds since the last one.
    pub heard_ms_ago: u64,
    /// How many came.
    pub advertisements: u64,
}

/// Two Actives on one LAN: this one, and a router of lower rank that goes on advertising.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DualActive {
    /// The other one's address.
    pub other: IpAddr,
    /// Its priority.
    pub other_priority: u8,
    /// This one's address.
    pub own: Option<IpAddr>,
    /// Seconds since that began.
    pub since_s: u64,
}

/// A sync group: instances that are Active together or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// `active`, `backup`, `fault`, or `changing` while its instances differ.
    pub state: String,
    /// Its instances.
    pub instances: Vec<String>,
}

/// Something that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tracker {
    /// Its name.
    pub name: String,
    /// `interface`, `script`, `file`, `process`, `reach`, `route` or `bfd`.
    pub kind: String,
    /// `up`, `down`, `unknown`, or a file's number.
    pub state: String,
    /// Why, in words.
    pub reason: String,
    /// Seconds in this state.
    pub since_s: u64,
}

/// A BFD session (RFC 5880).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BfdSession {
    /// The trackers that it is for.
    pub trackers: Vec<String>,
    /// The other side.
    pub peer: IpAddr,
    /// `admin_down`, `down`, `init` or `up` (§4.1).
    pub state: String,
    /// Seconds in this state.
    pub since_s: u64,
    /// Why this side's state changed last (§4.1 Diag).
    pub diagnostic: String,
    /// What the other side says that its state is.
    pub remote_state: String,
    /// What the other side says why.
    pub remote_diagnostic: String,
    /// The negotiated interval of sending in microseconds, before the jitter; none while nothing is sent.
    pub transmit_interval_us: Option<u64>,
    /// How long the other side may be silent, in microseconds; none while that is not known.
    pub detection_time_us: Option<u64>,
    /// Why it went down last.
    pub last_down: Option<String>,
    /// Why the last packet could not be sent.
    pub fault: Option<String>,
    /// Packets that were taken.
    pub received: u64,
    /// Packets that were sent.
    pub sent: u64,
    /// Packets that broke a rule, by rule.
    pub discarded: BTreeMap<String, u64>,
}

/// The fate channel: whether the death of another node's daemon would be heard here at once, and that of this one there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fate {
    /// Its TCP port.
    pub port: u16,
    /// The nodes that this one watches, by interface and address: those that are Active for an instance of this one, and up to 64 that
    /// were and whose channel has ended.
    pub watched: Vec<FateChannel>,
    /// The nodes that watch this one, the oldest first. Those that watched an earlier worker are among them: the supervisor hands their
    /// connections down.
    pub watchers: Vec<FateWatcher>,
    /// Why connections can't be taken, in sentences; empty when all is well.
    pub problems: Vec<String>,
    /// Channels to watched nodes that stood and have ended since the daemon started, by how: `died`, `ended`, `goodbye`, `broken`.
    pub ends: BTreeMap<String, u64>,
}

/// A channel to a node that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FateChannel {
    /// The node's address.
    pub peer: IpAddr,
    /// The interface on which it is heard.
    pub interface: String,
    /// `stands`; `missing`: it is tried; `over`: the node is not Active any more for an instance of this one, and nothing is tried.
    pub state: String,
    /// Seconds in this state; of `over`, since the channel's end.
    pub since_s: u64,
    /// Of `missing`: what came of the last attempt, in a sentence; none before there was one.
    pub fault: Option<String>,
    /// How the last channel that stood has ended.
    pub last_end: Option<FateEnd>,
}

/// How a channel has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FateEnd {
    /// `died`: the node's daemon had died as a whole; `ended`: the connection was cut, and nothing followed; `goodbye`: the daemon stopped
    /// in order, or wants no channel any more; `broken`: it failed in another way.
    pub reason: String,
    /// The same in a sentence.
    pub text: String,
    /// Seconds since then.
    pub s_ago: u64,
}

/// A node that watches this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FateWatcher {
    /// Its address.
    pub peer: IpAddr,
    /// The interface on which it came.
    pub interface: String,
    /// Seconds since then, or since this worker began, where it came to an earlier one.
    pub since_s: u64,
}

/// How punctual the VRRP thread is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    /// Whether it has real-time priority; without it a busy host makes it late.
    pub realtime: bool,
    /// Whether the process's memory is locked.
    pub memory_locked: bool,
    /// For each class of timers its upper bound of lateness in microseconds (none: no bound), and how many fell into it and into no
    /// earlier one.
    pub late: Vec<(Option<u64>, u64)>,
    /// All lateness together, in microseconds.
    pub late_sum_us: u64,
    /// The worst, in microseconds.
    pub late_max_us: u64,
    /// Packets that the kernel has dropped because they were not read in time.
    pub lost_packets: u64,
    /// How often links and addresses were listed anew because the kernel had dropped messages about them (ENOBUFS).
    pub link_resynchronisations: u64,
}

/// How to step back: the body of `release`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// Whether that outlives the daemon.
    #[serde(default)]
    pub keep: bool,
}

/// The answer of `release`, `resume` and `failover`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoleChange {
    /// Whether anything changed. Said again, a verb changes nothing.
    pub changed: bool,
    /// The instances that it was about, as they are now: one, or those of a sync group.
    pub instances: Vec<Instance>,
    /// What the operator should know.
    pub note: Option<String>,
}
