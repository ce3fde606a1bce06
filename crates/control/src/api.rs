//! What travels over the control socket. Durations are milliseconds or seconds, as the name's end says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pair::PeerNode;
use crate::reload::Configuration;
use crate::runtime::{Discovery, RuntimeChange};
use crate::sync::{ConnectionSync, Sysctls};
use crate::vrrp::{BfdSession, Fate, Group, Instance, Timing, Tracker};

/// Everything at a glance: `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The daemon that answers.
    pub daemon: DaemonInfo,
    /// Its VRRP instances by name.
    pub vrrp: Vec<Instance>,
    /// Its sync groups by name.
    pub groups: Vec<Group>,
    /// What VRRP watches, by name.
    pub trackers: Vec<Tracker>,
    /// Its BFD sessions by peer.
    pub bfd: Vec<BfdSession>,
    /// BFD packets that were for no session, by the rule that they broke.
    pub bfd_strays: BTreeMap<String, u64>,
    /// The fate channel, where there is one (`vrrp.fate`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fate: Option<Fate>,
    /// Runs of hooks by result: `passed`, `failed`, `timed_out`, `not_started`; `dropped` are notices that found no place.
    pub hooks: BTreeMap<String, u64>,
    /// The same by the hooks' programs, with what each has done last, in the order of their paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hook_runs: Vec<HookRuns>,
    /// How punctual the VRRP thread is.
    pub timing: Timing,
    /// Its services by name.
    pub services: Vec<Service>,
    /// The kernel's table, where there are services.
    pub ipvs: Option<Ipvs>,
    /// How connections are synchronised, where they are.
    pub sync: Option<ConnectionSync>,
    /// The sysctls that services need.
    pub sysctls: Sysctls,
    /// How many runs of checks are under way.
    #[serde(default)]
    pub runs: Runs,
    /// The other nodes, and whether they have the same, where `daemon.pair` names some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<PeerNode>,
}

/// What the hooks of one program have done since the configuration names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookRuns {
    /// The program.
    pub hook: String,
    /// Runs that ended with exit status 0.
    pub passed: u64,
    /// Runs that ended with another exit status, by a signal, or of a program that was refused.
    pub failed: u64,
    /// Runs that were killed at their timeout.
    pub timed_out: u64,
    /// Runs that did not begin, for a reason of this host's own: no such user, out of descriptors.
    pub not_started: u64,
    /// How the last run ended; none before the first.
    pub last: Option<HookRun>,
}

/// How a run of a hook has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HookRun {
    /// What it was told: `INSTANCE edge MASTER 150`.
    pub told: String,
    /// `passed`, `failed`, `timed_out` or `not_started`.
    pub result: String,
    /// What it said or what went wrong, in a sentence.
    pub text: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Seconds since it ended.
    pub s_ago: u64,
}

/// Runs of checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Runs {
    /// Those that are under way.
    pub running: u64,
    /// Those over the network that are due and wait for a descriptor. Above 0 checks come later than configured.
    pub waiting: u64,
}

/// The daemon that answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DaemonInfo {
    /// The node's name.
    pub node: String,
    /// The program's version.
    pub version: String,
    /// The configuration's path.
    pub config: String,
    /// The configuration that it runs with.
    #[serde(default)]
    pub configuration: Configuration,
    /// How many things commands have changed against the file (`holdfast diff`).
    #[serde(default)]
    pub runtime_changes: usize,
    /// Why run-time changes can't be kept, or what became of those of an earlier daemon; none when all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal_problem: Option<String>,
    /// Seconds since the daemon started.
    pub uptime_s: u64,
    /// What went wrong in the daemon itself.
    #[serde(default)]
    pub faults: Faults,
}

/// Faults of the daemon itself, none of which should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Faults {
    /// Panics since the daemon started. Each ended one task: a run of a check, a request, a hook.
    pub panics: u64,
    /// Workers that died before this one, under the same supervisor; 0 without one.
    pub restarts: u64,
    /// How the last of them ended.
    pub last_end: Option<String>,
}

/// A service and its pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Where it listens: `tcp 192.0.2.10:80`.
    pub listen: Vec<String>,
    /// The scheduler and its flags: `wlc`, `mh (fallback,port)`.
    pub scheduler: String,
    /// `direct`, `nat` or `tunnel`.
    pub forward: String,
    /// How many servers take new connections.
    pub up: usize,
    /// Whether it has its quorum, and what follows.
    #[serde(default)]
    pub quorum: Quorum,
    /// Its sorry servers by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sorry_servers: Vec<SorryServer>,
    /// What the weights of its servers are multiplied by in the kernel: 100 with `slow_start`, otherwise 1.
    #[serde(default = "one")]
    pub weight_scale: u32,
    /// What the kernel refuses of it, in sentences: what is missing and what to do. Empty as a rule; a service of which the whole is
    /// refused is not in the kernel's table, and the other services go on.
    #[serde(default)]
    pub refused: Vec<String>,
    /// What the kernel has counted of it, over all addresses that it listens on; none while it is not in the kernel's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<crate::Traffic>,
    /// The files that name servers, where the service has `discover`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovery: Option<Discovery>,
    /// Its servers by name.
    pub servers: Vec<Server>,
}

/// Whether a service has its quorum: enough weight of servers that can serve.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Quorum {
    /// `up`, `down`, or `starting` (the first checks have not finished).
    pub state: String,
    /// Seconds in this state.
    pub since_s: u64,
    /// The weight of its servers that can serve, in units of the configured ones.
    pub weight: u64,
    /// The weight that it takes.
    pub needed: u32,
    /// It is gained at so much more, and lost below so much less.
    pub hysteresis: u32,
    /// What happens without it: `drop`, `sorry`, `fail_open` or `withdraw_vip`.
    pub all_down: String,
    /// Who takes new connections now: `normal` (the servers that can serve), `sorry` (the sorry servers) or `fail_open` (all servers).
    pub regime: String,
}

/// A server that stands in while its service has no quorum. Nobody checks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SorryServer {
    /// Its name, unique among those of its service.
    pub name: String,
    /// Its address and port.
    pub address: String,
    /// Its configured weight.
    pub weight: u32,
    /// Its weight in the kernel now, in units of the service's `weight_scale`; none when it is not in the table.
    pub effective_weight: Option<u32>,
    /// Opening and established connections, where the kernel was asked.
    pub active_connections: Option<u64>,
    /// Connections in other states, where the kernel was asked.
    pub inactive_connections: Option<u64>,
    /// What went to it, where the kernel was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<crate::Traffic>,
}

/// A real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Server {
    /// Its name, unique in its service.
    pub name: String,
    /// Its address and port.
    pub address: String,
    /// What it is at now: `up`, `down`, `starting` (no check has finished), `draining`, `drained`, `maint`.
    pub state: String,
    /// What the operator wants: `ready`, `drain`, `maint`, or `remove` (draining, then gone).
    pub admin: String,
    /// Who wants that and why; none of a server that is `ready`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<Order>,
    /// Seconds until its drain is over whatever connections are left; none where nothing drains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_ends_in_s: Option<u64>,
    /// What its checks say: `up`, `down` or `starting`.
    pub health: String,
    /// Seconds that its checks have said so, whatever the operator wants.
    #[serde(default)]
    pub health_since_s: u64,
    /// Its configured weight.
    pub weight: u32,
    /// The operator's share of the configured weight, in percent (`holdfast server weight … 50%`).
    #[serde(default = "whole")]
    pub share_percent: u32,
    /// How far its slow start has come, in percent; none when it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ramp_percent: Option<u32>,
    /// What its checks say of its weight; none when they say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<Advice>,
    /// Its weight in the kernel now, in units of the service's `weight_scale`; none when it is not in the table.
    pub effective_weight: Option<u32>,
    /// Opening and established connections, where the kernel was asked.
    pub active_connections: Option<u64>,
    /// Connections in other states, where the kernel was asked.
    pub inactive_connections: Option<u64>,
    /// Clients that persistence binds to it, where the kernel was asked.
    #[serde(default)]
    pub persistent_connections: Option<u64>,
    /// What went to it, where the kernel was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<crate::Traffic>,
    /// Seconds in this state.
    pub since_s: u64,
    /// Why it is in this state.
    pub reason: CheckReason,
    /// Its checks.
    pub checks: Vec<Check>,
    /// `config`, `runtime`, `lease`, `discovered` or `kernel`: where the server comes from. What is `runtime` was added by a command, what
    /// is `lease` for a time. What is `discovered` is in a file of the service's directory. What is `kernel` was in the kernel's table when the daemon started and is not in its file: it drains, and is
    /// removed when it has drained.
    pub origin: String,
    /// What commands have changed of it, against the file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<RuntimeChange>,
    /// How long its lease is, where it has one, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// Seconds until its lease ends, unless it registers again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ends_in_s: Option<u64>,
}

/// What the checks of a real server say of its weight: an agent, a command's exit status, a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    /// The weight that stands in place of the configured one.
    pub weight: u32,
    /// How much of it an agent asks for, in percent.
    pub percent: u32,
    /// Whether an agent wants new connections for the server: `ready`, or `drain` or `maint`, with which it has none.
    pub wish: String,
}

/// A check of a real server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// `tcp`, `http` or `exec`.
    pub kind: String,
    /// `up`, `down` or `starting`.
    pub state: String,
    /// What the last run found.
    pub reason: CheckReason,
    /// What there is to be done before it fails: `its certificate ends in 9 days, on 2026-12-05`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// How long the last run took, in milliseconds.
    pub took_ms: Option<u64>,
}

/// Why: a code for programs, a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CheckReason {
    /// A code in HAProxy's words: `L4OK`, `L4CON`, `L7STS`.
    pub code: String,
    /// The same in words.
    pub sentence: String,
}

/// The kernel's IPVS table against what it should be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ipvs {
    /// How often the table was compared.
    pub reconciliations_total: u64,
    /// How many operations were sent to the kernel.
    pub operations_total: u64,
    /// How many of them undid changes that somebody else had made.
    pub drift_repairs_total: u64,
    /// Seconds since the last comparison that found or made all as it should be; none before the first.
    pub in_sync_s_ago: Option<u64>,
    /// What others have changed in our services and was put right, by kind: `service_missing`, `service_changed`, `service_unwanted`,
    /// `destination_missing`, `destination_unwanted`, `destination_changed`, `weight`, `order`. Of a service that was missing its
    /// destinations are not counted.
    #[serde(default)]
    pub drift_total: BTreeMap<String, u64>,
    /// The same by service, the latest first; of the first 1,000 services and kinds.
    #[serde(default)]
    pub drift: Vec<DriftCount>,
    /// What the last comparison could not do, empty when all went well.
    pub errors: Vec<String>,
    /// How many operations for services were refused; a service that is refused is asked for again every five seconds.
    #[serde(default)]
    pub refusals_total: u64,
    /// What becomes of services that are not ours: `keep` or `remove`.
    #[serde(default)]
    pub foreign_policy: String,
    /// What else is in the kernel's table: services that are not ours where they are kept, and what can't be read.
    pub foreign: Vec<String>,
    /// How many services that are not ours were removed.
    #[serde(default)]
    pub foreign_removed_total: u64,
    /// How many ranges of packets are marked for services.
    #[serde(default)]
    pub marked_ranges: usize,
    /// How long idle connections are kept, where the configuration says so.
    #[serde(default)]
    pub timeouts: Option<IdleTimeouts>,
    /// How often marks and timeouts that others had changed were put back.
    #[serde(default)]
    pub settings_repairs_total: u64,
}

/// How long the kernel keeps connections without traffic, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IdleTimeouts {
    /// Established connections of TCP.
    pub tcp_s: u32,
    /// Connections of TCP after a FIN.
    pub tcp_fin_s: u32,
    /// Flows of UDP.
    pub udp_s: u32,
}

/// What others have changed in one of our services, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DriftCount {
    /// The service in the kernel's words: `tcp 192.0.2.10:80`.
    pub service: String,
    /// What kind of change, in the words of [`Ipvs::drift_total`].
    pub kind: String,
    /// How often it was found.
    pub count: u64,
    /// Seconds since it was found last.
    pub last_s_ago: u64,
    /// What was found last: `10.0.0.11:80 weight 50, should be 100`.
    pub last: String,
}

/// Something that happened.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number: the first of a daemon has 1, and none is left out.
    pub number: u64,
    /// When, in milliseconds since 1970 by the daemon's wall clock.
    pub at_ms: u64,
    /// What, in a word that doesn't change: `server.down`, `ipvs.drift`, `vrrp.active`.
    pub kind: String,
    /// To what: `web/web1`, `tcp 192.0.2.10:80`, `edge`.
    pub subject: String,
    /// The same as a sentence, without the subject.
    pub text: String,
    /// Who did it, where somebody did and it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why, in that one's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Events in their order: `GET /v1/events?since=NUMBER&wait_ms=MILLISECONDS`, both 0 by default.
///
/// The answer is at once where there is an event after `since`, and otherwise when there is one or the time is over (20 s at most; with
/// 16 that wait already, at once). The daemon keeps the last 1,000.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EventPage {
    /// Those after `since`.
    pub events: Vec<Event>,
    /// How many after `since` are not kept any more.
    pub lost: u64,
    /// The number of the last event that there was: the next `since`.
    pub last: u64,
}

/// What is logged: `GET /v1/log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Log {
    /// A level (`info`), or a list such as `info,holdfast_probe=debug`.
    pub filter: String,
    /// How lines look: `logfmt`, `json` or `journald`.
    pub format: String,
    /// Lines that were lost because their reader was too slow.
    pub lost_lines: u64,
    /// Whether the request has changed anything; false of one that only asks.
    #[serde(default)]
    pub changed: bool,
}

/// Has something else logged until the daemon ends: `POST /v1/log`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLog {
    /// As [`Log::filter`]; 1,024 bytes at most.
    pub filter: String,
}

/// Who gave a command that holds, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Order {
    /// The user at the other end of the control socket; none when it could not be told.
    pub who: Option<String>,
    /// Why, in the operator's words; none when nothing was said.
    pub reason: Option<String>,
    /// Seconds that it has held.
    pub since_s: u64,
}

const fn one() -> u32 {
    1
}

const fn whole() -> u32 {
    100
}

/// A refusal (RFC 9457, `application/problem+json`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind of problem, in a few words that don't change.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What was wrong with this request and what to do.
    pub detail: String,
    /// A code for programs: `no_such_service`, `HF0142`.
    pub code: String,
    /// What is wrong with a configuration, where it is about one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub diagnosis: Option<Box<Diagnosis>>,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Problem by problem, as `holdfast check -o json` has it.
    pub diagnostics: Vec<serde_json::Value>,
    /// The same for people, with the lines of the file.
    pub report: String,
}
