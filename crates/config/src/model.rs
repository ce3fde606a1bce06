//! What a valid configuration says. These types are valid by construction: only this crate can make one.

mod vrrp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use holdfast_health::Policy;
use ipvs_ctl::model::{
    Destination, Forwarding, Persistence, Protocol, Scheduler, ServiceFlags, ServiceKey,
};
use serde::{Deserialize, Serialize};

pub use self::vrrp::*;

/// A whole configuration as it applies to this node (`per_node` is resolved).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The node's name, by default the short host name.
    pub node: String,
    /// The daemon itself.
    pub daemon: Daemon,
    /// What else there is of VRRP.
    pub vrrp: Vrrp,
    /// VRRP instances by name.
    pub instances: BTreeMap<Name, Instance>,
    /// Services by name.
    pub services: BTreeMap<Name, Service>,
    /// How the kernel's IPVS table is treated.
    pub ipvs: Ipvs,
}

impl Config {
    /// The addresses that no real server may have: those of this node's instances and those that services listen on.
    pub fn virtual_addresses(&self) -> BTreeSet<IpAddr> {
        let held = self.instances.values().flat_map(Instance::held);
        let listens = self.services.values().flat_map(|service| &service.listen);
        held.map(|address| address.net.addr())
            .chain(listens.map(|listen| listen.address.ip()))
            .collect()
    }
}

/// The name of an instance, a service or a real server: 1 to 63 of letters, digits, `-`, `_` and `.`, the first a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name(String);

/// A name that is empty, too long, or has a character that names don't have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit; got {0:?}"
)]
pub struct NameError(String);

impl Name {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        match name.chars().next() {
            Some(first)
                if first.is_ascii_alphanumeric()
                    && name.len() <= 63
                    && name.chars().all(allowed) =>
            {
                Ok(Self(name))
            }
            _ => Err(NameError(name)),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The key `daemon`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Daemon {
    /// The control socket's path (`daemon.control.socket`).
    pub control_socket: PathBuf,
    /// The group that may use the control socket besides root (`daemon.control.group`); none = root alone.
    pub control_group: Option<String>,
    /// Where metrics, health and the read-only status are served (`daemon.http.listen`); none = nowhere.
    pub http: Option<SocketAddr>,
    /// The user that scripts run as (`daemon.scripts.user`).
    pub script_user: String,
    /// Where what outlives the daemon is kept (`daemon.state`).
    pub state: PathBuf,
    /// The timeout of a script that has none of its own (`daemon.scripts.timeout`).
    pub script_timeout: Duration,
}

/// The key `ipvs`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ipvs {
    /// What happens to our services when the daemon stops (`ipvs.on_stop`).
    pub on_stop: OnStop,
    /// How often the kernel's table is compared with what it should be (`ipvs.poll`).
    pub poll: Duration,
}

/// What happens to our services when the daemon stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// They stay and forward: the data plane outlives the daemon.
    #[default]
    Keep,
    /// They are deleted.
    Remove,
}

/// A service: one pool of real servers behind one or more listening addresses (`services.NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Where it listens; at least one.
    pub listen: Vec<Listen>,
    /// How destinations are chosen.
    pub scheduler: Scheduler,
    /// The scheduler's flags.
    pub flags: ServiceFlags,
    /// Whether clients stay with their server.
    pub persistence: Option<Persistence>,
    /// How packets reach the servers.
    pub forwarding: Forwarding,
    /// The checks of every server that has none of its own; all must pass. Empty = servers are always up.
    pub checks: Vec<Check>,
    /// Its servers by name.
    pub real_servers: BTreeMap<Name, RealServer>,
}

/// One listening address of a service: `tcp 192.0.2.10:80`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listen {
    /// The transport.
    pub protocol: Protocol,
    /// The virtual address and port.
    pub address: SocketAddr,
}

impl Listen {
    /// The kernel's key of the service at this address.
    pub const fn key(&self) -> ServiceKey {
        ServiceKey::Address { protocol: self.protocol, address: self.address }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.address)
    }
}

/// A real server (`services.NAME.real_servers.NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RealServer {
    /// Its name, unique in its service.
    pub name: Name,
    /// Its address and port.
    pub address: SocketAddr,
    /// Its configured weight, 0..=[`Destination::WEIGHT_MAX`].
    pub weight: u32,
    /// Its own checks; none = the service's.
    pub checks: Option<Vec<Check>>,
}

/// A health check and when it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Check {
    /// What is tried.
    pub kind: CheckKind,
    /// When, and how many outcomes decide.
    pub policy: Policy,
}

/// What a check tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A TCP connection.
    Tcp {
        /// Another port than the server's.
        port: Option<u16>,
    },
    /// An HTTP/1.1 request.
    Http(HttpCheck),
    /// A command, run without a shell: exit 0 passes.
    Exec {
        /// The program's absolute path and its arguments.
        command: Vec<String>,
    },
}

/// An HTTP/1.1 request and the answer that passes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpCheck {
    /// The request's path and query, `/` by default.
    pub path: String,
    /// The Host header; by default the server's address and port.
    pub host: Option<String>,
    /// Another port than the server's.
    pub port: Option<u16>,
    /// The statuses that pass, as inclusive ranges; by default 200-299.
    pub expect: Vec<(u16, u16)>,
}

impl RealServer {
    /// The kernel's destination of this server with `weight` in place of the configured one.
    pub fn destination(&self, forwarding: Forwarding, weight: u32) -> Destination {
        Destination {
            address: self.address,
            forwarding,
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
        }
    }
}

impl CheckKind {
    /// The key that the configuration has for it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Tcp { .. } => "tcp",
            Self::Http(_) => "http",
            Self::Exec { .. } => "exec",
        }
    }
}
