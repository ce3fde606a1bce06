//! Values in the words of the configuration, short: enough to tell the old from the new.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use holdfast_health::{Combine, Damping, Policy};
use ipnet::IpNet;
use ipvs_ctl::model::{Forwarding, Persistence, Scheduler, ServiceFlags, Timeouts, Tunnel};
use vrrp::{AddressFamily, Interval, Priority, Version, Vrid};

use crate::model::{
    AllDown, Announce, BfdSession, Check, CheckKind, Checksum, ConnectionSync, Convention,
    Discovery, Fate, ForeignServices, Hook, InitialHealth, Listen, Missing, Name, Notification,
    OnBadConfig, OnFailure, OnStop, Pair, Password, Peer, PersistenceEngine, ReachBy, RealServer,
    Route, Rule, SecretFrom, SyncMode, Thresholds, Track, TrackerKind, Unicast, Via,
    VirtualAddress, VirtualMac,
};

use crate::sysctls::Sysctl;

/// A value as a line of a plan shows it.
pub(super) trait Shown {
    /// The value in a few words.
    fn shown(&self) -> String;
}

macro_rules! as_displayed {
    ($($kind:ty),* $(,)?) => {
        $(impl Shown for $kind {
            fn shown(&self) -> String {
                self.to_string()
            }
        })*
    };
}

as_displayed!(
    SecretFrom,
    String,
    u8,
    u32,
    bool,
    NonZeroU8,
    IpAddr,
    SocketAddr,
    IpNet,
    Name,
    Scheduler,
    VirtualAddress,
    Vrid,
    Priority,
    Interval,
    Version,
    AddressFamily,
);

impl<T: Shown> Shown for Arc<T> {
    fn shown(&self) -> String {
        self.as_ref().shown()
    }
}

impl<T: Shown> Shown for Option<T> {
    fn shown(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), Shown::shown)
    }
}

impl Shown for Duration {
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Shown for OnBadConfig {
    fn shown(&self) -> String {
        match self {
            Self::Refuse => "refuse",
            Self::LastGood => "last_good",
        }
        .to_owned()
    }
}

impl Shown for Discovery {
    fn shown(&self) -> String {
        let Self { directory, debounce, max_removal, allow_empty } = self;
        let empty = if *allow_empty { ", also to none" } else { "" };
        format!("{} debounce {debounce:?} max_removal {max_removal}%{empty}", directory.display())
    }
}

impl Shown for Pair {
    fn shown(&self) -> String {
        let Self { nodes, listen, certificate, key, ca, interval } = self;
        let nodes: Vec<String> =
            nodes.iter().map(|(name, address)| format!("{name} {address}")).collect();
        let listen = listen.map_or_else(String::new, |listen| format!(" listen {listen}"));
        let (certificate, ca) = (certificate.display(), ca.display());
        let nodes = nodes.join(", ");
        format!("{nodes}{listen} certificate {certificate} key {key} ca {ca} every {interval:?}")
    }
}

impl Shown for PathBuf {
    fn shown(&self) -> String {
        self.display().to_string()
    }
}

impl Shown for BTreeSet<Name> {
    fn shown(&self) -> String {
        let names: Vec<&str> = self.iter().map(Name::as_str).collect();
        names.join(", ")
    }
}

impl Shown for ConnectionSync {
    fn shown(&self) -> String {
        let Self { interface, id, mode, group, port, ttl, max_length } = self;
        let mode = match mode {
            SyncMode::Follow { name, .. } => format!("follows {name}"),
            SyncMode::Both => "both".to_owned(),
        };
        let length = max_length.map_or_else(String::new, |length| format!(" maxlen {length}"));
        format!("{interface} {mode} id {id} {group} port {port} ttl {ttl}{length}")
    }
}

impl Shown for BTreeMap<Sysctl, String> {
    fn shown(&self) -> String {
        if self.is_empty() {
            return "none".to_owned();
        }
        let each = self.iter().map(|(sysctl, value)| format!("{} {value}", sysctl.name));
        each.collect::<Vec<_>>().join(", ")
    }
}

macro_rules! by_word {
    ($($kind:ty),* $(,)?) => {
        $(impl Shown for $kind {
            fn shown(&self) -> String {
                self.word().to_owned()
            }
        })*
    };
}

by_word!(AllDown, Combine, InitialHealth, OnFailure);

impl Shown for Damping {
    fn shown(&self) -> String {
        let Self { falls, within, hold } = self;
        format!("{falls} within {within:?} for {hold:?}")
    }
}

/// Sorry servers.
impl Shown for BTreeMap<Name, Arc<RealServer>> {
    fn shown(&self) -> String {
        let each = self.values();
        let each = each.map(|one| format!("{} {} weight {}", one.name, one.address, one.weight));
        format!("[{}]", each.collect::<Vec<_>>().join(", "))
    }
}

/// A URL is never shown.
impl Shown for BTreeMap<Name, Notification> {
    fn shown(&self) -> String {
        if self.is_empty() {
            return "none".to_owned();
        }
        let each = self.values().map(|one| match &one.via {
            Via::Command(command) => format!("{} ({})", one.name, command.join(" ")),
            Via::Webhook(webhook) => format!("{} ({})", one.name, webhook.url.host),
        });
        each.collect::<Vec<_>>().join(", ")
    }
}

impl Shown for OnStop {
    fn shown(&self) -> String {
        match self {
            Self::Keep => "keep".to_owned(),
            Self::Drain => "drain".to_owned(),
            Self::Remove => "remove".to_owned(),
        }
    }
}

impl Shown for ForeignServices {
    fn shown(&self) -> String {
        match self {
            Self::Keep => "keep".to_owned(),
            Self::Remove => "remove".to_owned(),
        }
    }
}

/// What is left as the kernel has it is 0.
impl Shown for Timeouts {
    fn shown(&self) -> String {
        format!("({self})")
    }
}

impl Shown for Thresholds {
    fn shown(&self) -> String {
        format!("{}/{}", self.upper, self.lower)
    }
}

impl Shown for PersistenceEngine {
    fn shown(&self) -> String {
        self.name().to_owned()
    }
}

impl Shown for Listen {
    fn shown(&self) -> String {
        let matches: Vec<String> = self.matches().iter().map(ToString::to_string).collect();
        match matches.is_empty() {
            true => self.to_string(),
            false => format!("{self} ({})", matches.join(", ")),
        }
    }
}

impl Shown for ServiceFlags {
    fn shown(&self) -> String {
        let words = [
            (Self::SCHEDULER_1, "fallback"),
            (Self::SCHEDULER_2, "port"),
            (Self::SCHEDULER_3, "flag-3"),
        ];
        let set = words.iter().filter(|(flag, _)| self.contains(*flag));
        let set: Vec<&str> = set.map(|(_, word)| *word).collect();
        format!("[{}]", set.join(", "))
    }
}

impl Shown for Persistence {
    fn shown(&self) -> String {
        format!("{}s/{}", self.timeout_s, self.prefix)
    }
}

impl Shown for Forwarding {
    fn shown(&self) -> String {
        match self {
            Self::Nat => "nat".to_owned(),
            Self::Local => "local".to_owned(),
            Self::Direct => "direct".to_owned(),
            Self::Bypass => "bypass".to_owned(),
            Self::Tunnel(Tunnel::Ipip) => "tunnel".to_owned(),
            Self::Tunnel(Tunnel::Gue { port, checksum }) => {
                format!("tunnel gue port {port} checksum {checksum:?}").to_lowercase()
            }
            Self::Tunnel(Tunnel::Gre { checksum }) => {
                format!("tunnel gre checksum {checksum:?}").to_lowercase()
            }
        }
    }
}

impl Shown for Policy {
    fn shown(&self) -> String {
        let Self { interval, timeout, rise, fall, fast_interval, down_interval, spread } = self;
        let mut text = format!("every {interval:?}, timeout {timeout:?}, rise {rise}, fall {fall}");
        for (word, value) in [("fast", fast_interval), ("down", down_interval), ("spread", spread)]
        {
            if let Some(value) = value {
                text.push_str(&format!(", {word} {value:?}"));
            }
        }
        text
    }
}

impl Shown for Check {
    fn shown(&self) -> String {
        let what = match &self.kind {
            CheckKind::Network(check) => check.shown(),
            CheckKind::Exec { command, convention } => {
                let convention = match convention {
                    Convention::Plain => "",
                    Convention::Nagios => " nagios",
                    Convention::Weight => " weight",
                };
                format!("exec{convention} {}", command.join(" "))
            }
            CheckKind::File { path, missing: Missing::Up } => format!("file {path}"),
            CheckKind::File { path, missing: Missing::Down } => format!("file {path} missing down"),
            CheckKind::Bfd { session } => format!("bfd {session}"),
        };
        format!("({what} {})", self.policy.shown())
    }
}

impl Shown for Checksum {
    fn shown(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Rfc9568 => "rfc9568".to_owned(),
            Self::PseudoHeader => "pseudo-header".to_owned(),
        }
    }
}

/// Never shown: that it differs is all that a plan says.
impl Shown for Password {
    fn shown(&self) -> String {
        "another".to_owned()
    }
}

impl Shown for Peer {
    fn shown(&self) -> String {
        let (least, greatest) = self.ttl;
        format!("{} (ttl {least}-{greatest})", self.address)
    }
}

impl Shown for Unicast {
    fn shown(&self) -> String {
        let peers: Vec<String> = self.peers.iter().map(Shown::shown).collect();
        format!("from {} ttl {} to {}", self.source.shown(), self.ttl, peers.join(", "))
    }
}

impl Shown for VirtualMac {
    fn shown(&self) -> String {
        self.name.clone()
    }
}

impl Shown for Fate {
    fn shown(&self) -> String {
        let Self { port } = self;
        format!("port {port}")
    }
}

impl Shown for Announce {
    fn shown(&self) -> String {
        let Self { count, repeat_after, refresh, refresh_count } = self;
        format!("{count}×, again after {repeat_after:?}, every {refresh:?} {refresh_count}×")
    }
}

impl Shown for Route {
    fn shown(&self) -> String {
        let via = self.via.map_or_else(String::new, |via| format!(" via {via}"));
        format!("({}{via} table {})", self.to, self.table)
    }
}

impl Shown for Rule {
    fn shown(&self) -> String {
        let table = self.table.map_or_else(String::new, |table| format!(" table {table}"));
        let not = if self.not { " not" } else { "" };
        format!("({}{not} priority {}{table})", self.family, self.priority)
    }
}

impl Shown for Track {
    fn shown(&self) -> String {
        let weight = self.weight.map_or_else(String::new, |weight| format!(" {weight:+}"));
        let reverse = if self.reverse { " reverse" } else { "" };
        format!("({}{weight}{reverse})", self.tracker)
    }
}

impl Shown for Hook {
    fn shown(&self) -> String {
        format!("({})", self.command.join(" "))
    }
}

impl Shown for TrackerKind {
    fn shown(&self) -> String {
        match self {
            Self::Interface(name) => format!("interface {name}"),
            Self::Script { command, policy } => {
                format!("script {} {}", command.join(" "), policy.shown())
            }
            Self::File { path } => format!("file {}", path.display()),
            Self::Process { name, quorum, quorum_max, up_delay, down_delay } => {
                let most = quorum_max.map_or_else(String::new, |most| format!("..{most}"));
                format!("process {name} {quorum}{most}, after {up_delay:?}/{down_delay:?}")
            }
            Self::Reach { address, by, interface, policy } => {
                let by = match by {
                    ReachBy::Icmp => "icmp",
                    ReachBy::Neighbour => "neighbour",
                };
                let on = interface.as_deref().map_or_else(String::new, |on| format!(" on {on}"));
                format!("reach {address} by {by}{on} {}", policy.shown())
            }
            Self::Route { to, interface } => {
                let on = interface.as_deref().map_or_else(String::new, |on| format!(" on {on}"));
                format!("route {to}{on}")
            }
            Self::Bfd(session) => session.shown(),
            Self::Service(service) => format!("service {service}"),
        }
    }
}

impl Shown for BfdSession {
    fn shown(&self) -> String {
        let Self { peer, source, interface, min_tx, min_rx, multiplier, passive } = self;
        let source = source.map(|source| format!(" from {source}")).unwrap_or_default();
        let interface = interface.as_ref().map(|on| format!(" on {on}")).unwrap_or_default();
        let role = if *passive { " passive" } else { "" };
        format!("bfd {peer}{source}{interface} {min_tx:?}/{min_rx:?}×{multiplier}{role}")
    }
}
