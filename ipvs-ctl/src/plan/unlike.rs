//! Which settings an operation changes, in words for people.

use std::fmt;

use super::Operation;
use crate::model::{
    Destination, Forwarding, Persistence, ServiceFlags, Table, Tunnel, TunnelChecksum,
    VirtualService,
};

/// A setting that differs. It displays as `weight 5, should be 1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlike {
    /// Its name: `scheduler`, `weight`.
    pub setting: &'static str,
    /// What it is.
    pub there: String,
    /// What it should be.
    pub wanted: String,
}

impl Unlike {
    /// What the operation makes of it: `weight 5 → 1`.
    pub fn change(&self) -> String {
        format!("{} {} → {}", self.setting, self.there, self.wanted)
    }
}

impl fmt::Display for Unlike {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}, should be {}", self.setting, self.there, self.wanted)
    }
}

impl Operation {
    /// What `kernel` has otherwise than this operation makes it; nothing where it adds or removes.
    pub fn unlike(&self, kernel: &Table) -> Vec<Unlike> {
        let there = kernel.get(&self.service());
        match self {
            Self::SetService(wanted) => {
                there.map(|entry| service_unlike(&entry.service, wanted)).unwrap_or_default()
            }
            Self::SetDestination { destination: wanted, .. } => there
                .and_then(|entry| entry.destinations.get(&wanted.address))
                .map(|there| destination_unlike(there, wanted))
                .unwrap_or_default(),
            Self::NewService(_)
            | Self::DelService(_)
            | Self::NewDestination { .. }
            | Self::DelDestination { .. } => Vec::new(),
        }
    }
}

/// What `there` has otherwise than `wanted`, keys aside.
fn service_unlike(there: &VirtualService, wanted: &VirtualService) -> Vec<Unlike> {
    let one_packet = |service: &VirtualService| {
        let set = service.flags.contains(ServiceFlags::ONE_PACKET);
        if set { "on" } else { "off" }.to_owned()
    };
    let engine = |service: &VirtualService| {
        service.persistence_engine.clone().unwrap_or_else(|| "none".to_owned())
    };
    let mut unlike = differing(
        [
            ("scheduler", |service: &VirtualService| service.scheduler.to_string()),
            ("scheduler flags", scheduler_flags),
            ("persistence", persistence),
            (NETMASK, netmask),
            ("persistence engine", engine),
            ("one-packet", one_packet),
        ],
        there,
        wanted,
    );
    // It goes with the persistence.
    unlike.retain(|one| one.setting != NETMASK || wanted.persistence.is_some());
    unlike
}

/// What `there` has otherwise than `wanted`, addresses aside.
fn destination_unlike(there: &Destination, wanted: &Destination) -> Vec<Unlike> {
    let mut unlike = differing(
        [
            ("weight", |to: &Destination| to.weight.to_string()),
            ("forwarding", |to| forwarding(to.forwarding).to_owned()),
            (TUNNEL, |to| tunnel(to.forwarding)),
            (CHECKSUM, |to| checksum(to.forwarding).to_owned()),
            ("upper threshold", |to| threshold(to.upper_threshold)),
            ("lower threshold", |to| threshold(to.lower_threshold)),
        ],
        there,
        wanted,
    );
    // These go with the tunnel.
    let is_tunnel = matches!(wanted.forwarding, Forwarding::Tunnel(_));
    unlike.retain(|one| is_tunnel || !matches!(one.setting, TUNNEL | CHECKSUM));
    unlike
}

/// The settings that another one may take away.
const NETMASK: &str = "persistence netmask";
const TUNNEL: &str = "tunnel";
const CHECKSUM: &str = "tunnel checksum";

/// Names a setting and says how it is read.
type Setting<T> = (&'static str, fn(&T) -> String);

fn differing<T, const N: usize>(settings: [Setting<T>; N], there: &T, wanted: &T) -> Vec<Unlike> {
    let both = settings.map(|(setting, read)| Unlike {
        setting,
        there: read(there),
        wanted: read(wanted),
    });
    both.into_iter().filter(|one| one.there != one.wanted).collect()
}

fn scheduler_flags(service: &VirtualService) -> String {
    const NAMES: [(ServiceFlags, &str, &str); 3] = [
        (ServiceFlags::SCHEDULER_1, "flag-1", "fallback"),
        (ServiceFlags::SCHEDULER_2, "flag-2", "port"),
        (ServiceFlags::SCHEDULER_3, "flag-3", "flag-3"),
    ];
    let hashes = matches!(service.scheduler.name(), "sh" | "mh");
    let mut names = Vec::new();
    let mut rest = service.flags.bits() & !ServiceFlags::ONE_PACKET.bits();
    for (flag, name, of_hashes) in NAMES {
        if service.flags.contains(flag) {
            names.push(if hashes { of_hashes } else { name }.to_owned());
            rest &= !flag.bits();
        }
    }
    if rest != 0 {
        names.push(format!("{rest:#x}"));
    }
    if names.is_empty() { "none".to_owned() } else { names.join("+") }
}

fn persistence(service: &VirtualService) -> String {
    match service.persistence {
        None => "none".to_owned(),
        Some(Persistence { timeout_s, .. }) => format!("{timeout_s} s"),
    }
}

fn netmask(service: &VirtualService) -> String {
    match service.persistence {
        None => "none".to_owned(),
        Some(Persistence { prefix, .. }) => format!("/{prefix}"),
    }
}

fn threshold(connections: u32) -> String {
    if connections == 0 { "none".to_owned() } else { connections.to_string() }
}

const fn forwarding(method: Forwarding) -> &'static str {
    match method {
        Forwarding::Nat => "nat",
        Forwarding::Local => "local",
        Forwarding::Direct => "direct",
        Forwarding::Bypass => "bypass",
        Forwarding::Tunnel(_) => "tunnel",
    }
}

/// The type, and where to.
fn tunnel(method: Forwarding) -> String {
    match method {
        Forwarding::Tunnel(Tunnel::Ipip) => "ipip".to_owned(),
        Forwarding::Tunnel(Tunnel::Gue { port, .. }) => format!("gue to port {port}"),
        Forwarding::Tunnel(Tunnel::Gre { .. }) => "gre".to_owned(),
        Forwarding::Nat | Forwarding::Local | Forwarding::Direct | Forwarding::Bypass => {
            "none".to_owned()
        }
    }
}

const fn checksum(method: Forwarding) -> &'static str {
    match method {
        Forwarding::Tunnel(Tunnel::Gue { checksum, .. } | Tunnel::Gre { checksum }) => {
            match checksum {
                TunnelChecksum::None => "none",
                TunnelChecksum::Full => "full",
                TunnelChecksum::Remote => "remote",
            }
        }
        Forwarding::Tunnel(Tunnel::Ipip)
        | Forwarding::Nat
        | Forwarding::Local
        | Forwarding::Direct
        | Forwarding::Bypass => "none",
    }
}
