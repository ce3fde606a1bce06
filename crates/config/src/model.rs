//! What a valid configuration says. These types are valid by construction: only this crate can make one.

mod check;
mod notification;
mod pair;
mod policy;
mod remains;
mod service;
mod sync;
mod tracker;
mod vrrp;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipvs_ctl::model::Timeouts;
use serde::{Deserialize, Serialize};

pub use self::check::*;
pub use self::notification::{Notification, Via, Webhook, WebhookUrl};
pub use self::pair::Pair;
pub(crate) use self::policy::tracker_name;
pub use self::policy::{AllDown, InitialHealth, OnFailure, PoolPolicy, Quorum};
pub use self::remains::Remains;
pub use self::service::*;
pub use self::sync::{ConnectionSync, SyncMode};
pub use self::tracker::*;
pub use self::vrrp::*;
use crate::sysctls::Sysctl;

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
    /// The addresses that no real server may have: those of this node's instances and those that services listen on. Ranges of
    /// packets that are marked are not told: [`Service::listens_on`] knows them.
    pub fn virtual_addresses(&self) -> BTreeSet<IpAddr> {
        let held = self.instances.values().flat_map(Instance::held);
        let listens = self.services.values().flat_map(|service| &service.listen);
        held.map(|address| address.net.addr()).chain(listens.filter_map(Listen::ip)).collect()
    }
}

impl Config {
    /// Whether the daemon has to do with the kernel's IPVS at all.
    pub fn uses_ipvs(&self) -> bool {
        !self.services.is_empty()
            || self.ipvs.foreign == ForeignServices::Remove
            || !self.ipvs.timeouts.is_empty()
    }

    /// The packets that are marked for services, with the mark of each, in the order of services.
    pub fn marks(&self) -> impl Iterator<Item = (&Match, NonZeroU32)> {
        self.services.values().flat_map(|service| &service.listen).flat_map(|listen| {
            let mark = match listen {
                Listen::Fwmark { mark, .. } => Some(*mark),
                Listen::Address { .. } => None,
            };
            mark.into_iter().flat_map(|mark| listen.matches().iter().map(move |one| (one, mark)))
        })
    }
}

/// The name of an instance, a service or a real server: 1 to 63 of letters, digits, `-`, `_` and `.`, the first a letter or digit.
/// Its copies share the text: a server's name stands in a dozen places, and there may be a hundred thousand servers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name(Arc<str>);

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
                Ok(Self(name.into()))
            }
            _ => Err(NameError(name)),
        }
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.as_str().to_owned()
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
    /// Whether everybody else on this host may read the state by the control socket (`daemon.control.others`).
    pub control_others: bool,
    /// Where metrics, health and the read-only status are served (`daemon.http.listen`); none = nowhere.
    pub http: Option<SocketAddr>,
    /// The API between nodes (`daemon.pair`); none = there is none.
    pub pair: Option<Pair>,
    /// Whether there is a key `daemon.scripts`: what commands need is kept then, also while there is none.
    pub scripts_given: bool,
    /// The user that scripts run as (`daemon.scripts.user`).
    pub script_user: String,
    /// Where what outlives the daemon is kept (`daemon.state`).
    pub state: PathBuf,
    /// What a start with an invalid configuration does when there is a last good one (`daemon.on_bad_config`).
    pub on_bad_config: OnBadConfig,
    /// The timeout of a script that has none of its own (`daemon.scripts.timeout`).
    pub script_timeout: Duration,
    /// Who is told of events (`daemon.notifications`).
    pub notifications: BTreeMap<Name, Notification>,
}

/// What a start with an invalid configuration does when there is a last good one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadConfig {
    /// It is refused, as it is without a last good one.
    #[default]
    Refuse,
    /// The daemon works with the last good one, and says so wherever it can.
    LastGood,
}

/// The key `ipvs`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ipvs {
    /// What happens to our services when the daemon stops (`ipvs.on_stop`).
    pub on_stop: OnStop,
    /// How long a stop with [`OnStop::Drain`] waits for connections (`ipvs.drain_timeout`).
    pub drain_timeout: Duration,
    /// How often the kernel's table is compared with what it should be (`ipvs.poll`).
    pub poll: Duration,
    /// What becomes of services in the kernel that the configuration has not (`ipvs.foreign`).
    pub foreign: ForeignServices,
    /// How long the kernel keeps idle connections (`ipvs.timeouts`); 0 = as it is.
    pub timeouts: Timeouts,
    /// The directors tell each other of their connections (`ipvs.sync`).
    pub sync: Option<ConnectionSync>,
    /// Sysctls that are written down (`ipvs.sysctls`), each in the kernel's form. [`Config::sysctls`] has those that services need
    /// as well.
    pub sysctls: BTreeMap<Sysctl, String>,
}

/// What becomes of services in the kernel that the configuration has not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ForeignServices {
    /// They stay as they are, and are named.
    #[default]
    Keep,
    /// They are deleted, at the start and whenever they turn up.
    Remove,
}

/// What happens to our services when the daemon stops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStop {
    /// They stay and forward: the data plane outlives the daemon.
    #[default]
    Keep,
    /// They take no new connections, and are deleted when those that they have are over.
    Drain,
    /// They are deleted.
    Remove,
}
