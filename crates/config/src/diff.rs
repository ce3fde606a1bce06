//! What differs between two configurations, and what it means to go from one to the other.
//!
//! It is pure: two values in, a list out. `holdfast plan` prints the list; `holdfast reload` applies what it says. Every struct of
//! the model is taken apart here field by field, so that the compiler asks what a new field means for a reload.
//!
//! Invariant: the list is empty if and only if the configurations are equal.

mod checks;
mod daemon;
mod instance;
mod service;
mod shown;
mod vrrp;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Serialize;

use self::shown::Shown;
use crate::model::{Config, Name, RealServer, Service};

/// One difference between two configurations: a line of `holdfast plan`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Whether something comes, goes or becomes another.
    pub sign: Sign,
    /// What it is about.
    pub subject: Subject,
    /// The key that differs: `scheduler`; none when the whole subject comes or goes.
    pub key: Option<&'static str>,
    /// What it was and what it will be, in the configuration's words: `wlc → mh`, `+192.0.2.11/24`. Secrets are left out.
    pub text: String,
    /// What whoever uses the services notices of it.
    pub impact: Impact,
}

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sign {
    /// It comes.
    Add,
    /// It goes.
    Remove,
    /// It becomes another.
    Change,
}

/// What a change is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The node's name.
    Node,
    /// The key `daemon`.
    Daemon,
    /// The key `ipvs`.
    Ipvs,
    /// The key `vrrp`, but for what it names.
    Vrrp,
    /// A VRRP instance.
    Instance(Name),
    /// A sync group.
    Group(Name),
    /// A tracker.
    Tracker(Name),
    /// What is special to an interface (`vrrp.interfaces`).
    Interface(String),
    /// A service.
    Service(Name),
    /// A real server.
    Server {
        /// Its service.
        service: Name,
        /// Its name: the new one, where it has one.
        server: Name,
        /// Its address and port.
        address: SocketAddr,
    },
}

impl Subject {
    /// What kind of thing it is, in a word: `service`, `server`, `vrrp`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Daemon => "daemon",
            Self::Ipvs => "ipvs",
            Self::Vrrp | Self::Instance(_) => "vrrp",
            Self::Group(_) => "group",
            Self::Tracker(_) => "tracker",
            Self::Interface(_) => "interface",
            Self::Service(_) => "service",
            Self::Server { .. } => "server",
        }
    }

    /// Whether it is of VRRP.
    pub const fn is_vrrp(&self) -> bool {
        match self {
            Self::Vrrp
            | Self::Instance(_)
            | Self::Group(_)
            | Self::Tracker(_)
            | Self::Interface(_) => true,
            Self::Node | Self::Daemon | Self::Ipvs | Self::Service(_) | Self::Server { .. } => {
                false
            }
        }
    }

    /// Its name: `web`, `web/web1`; empty where there is one of the kind only.
    pub fn name(&self) -> String {
        match self {
            Self::Node | Self::Daemon | Self::Ipvs | Self::Vrrp => String::new(),
            Self::Instance(name) | Self::Group(name) | Self::Tracker(name) => name.to_string(),
            Self::Service(name) => name.to_string(),
            Self::Interface(name) => name.clone(),
            Self::Server { service, server, .. } => format!("{service}/{server}"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name();
        let blank = if name.is_empty() { "" } else { " " };
        write!(f, "{}{blank}{name}", self.kind())
    }
}

/// What whoever uses the services notices of a change, the harmless first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Impact {
    /// Nothing.
    None,
    /// New connections are treated otherwise; those that are there go on.
    NewConnections,
    /// Connections that are there are given time to end, the service's `drain.timeout` at most; what is left then is cut.
    Connections,
    /// Harmless by itself, but the other nodes have to be told the same: they discard, or count, advertisements that say otherwise.
    PeerMustMatch,
    /// Who is Active may change, or an instance begins anew.
    Transition,
    /// It can't be done to a daemon that runs: a reload that has it is refused whole.
    Restart,
}

impl Impact {
    /// The impact in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::NewConnections => "new connections only",
            Self::Connections => "connections",
            Self::PeerMustMatch => "peer must match",
            Self::Transition => "VRRP transition",
            Self::Restart => "restart needed",
        }
    }
}

/// A thing of a map that differs between two configurations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pair<'a, T> {
    /// The new one has it only.
    Added(&'a T),
    /// The old one has it only.
    Removed(&'a T),
    /// Both have it, and it differs.
    Changed(&'a T, &'a T),
}

/// Everything that differs between `old` and `new`, in the order of the keys of a configuration; nothing when they are equal.
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let Config { node, daemon, vrrp, instances, services, ipvs } = old;
    let mut found = Found::default();
    found.of(Subject::Node).put("node", node, &new.node, Impact::Restart);
    daemon::compare(daemon, &new.daemon, &mut found);
    daemon::compare_ipvs(ipvs, &new.ipvs, &mut found);
    vrrp::compare(vrrp, &new.vrrp, &mut found);
    for pair in instance::matched(pairs(instances, &new.instances)) {
        instance::compare(pair, &mut found);
    }
    for pair in pairs(services, &new.services) {
        service::compare(pair, &mut found);
    }
    found.changes
}

/// The instances that are called otherwise in `new`: the name before, and the name now. It is the same virtual router.
pub fn renamed_instances<'a>(old: &'a Config, new: &'a Config) -> Vec<(&'a Name, &'a Name)> {
    let matched = instance::matched(pairs(&old.instances, &new.instances)).into_iter();
    let renamed = matched.filter_map(|pair| match pair {
        Pair::Changed(before, now) => Some((&before.name, &now.name)),
        Pair::Added(_) | Pair::Removed(_) => None,
    });
    renamed.filter(|(before, now)| before != now).collect()
}

/// What differs between two maps, by key.
pub fn pairs<'a, K: Ord, T: PartialEq>(
    old: &'a BTreeMap<K, T>,
    new: &'a BTreeMap<K, T>,
) -> Vec<Pair<'a, T>> {
    let gone = old.iter().filter(|(key, _)| !new.contains_key(key));
    let mut found: Vec<_> = gone.map(|(_, value)| Pair::Removed(value)).collect();
    found.extend(new.iter().filter_map(|(key, value)| match old.get(key) {
        None => Some(Pair::Added(value)),
        Some(before) if before == value => None,
        Some(before) => Some(Pair::Changed(before, value)),
    }));
    found
}

/// What differs between the servers of two versions of a service. A server is known by its address and port, as it is for the
/// kernel: one with another name is the same, one with another address is another.
pub fn servers<'a>(old: &'a Service, new: &'a Service) -> Vec<Pair<'a, Arc<RealServer>>> {
    // Most of a large pool is unchanged and stands under its own name.
    let mut before: BTreeMap<SocketAddr, &Arc<RealServer>> = BTreeMap::new();
    for server in old.real_servers.values() {
        if new.real_servers.get(&server.name) != Some(server) {
            before.insert(server.address, server);
        }
    }
    let mut added = Vec::new();
    for server in new.real_servers.values() {
        if old.real_servers.get(&server.name) == Some(server) {
            continue;
        }
        added.push(match before.remove(&server.address) {
            None => Pair::Added(server),
            Some(same) => Pair::Changed(same, server),
        });
    }
    before.into_values().map(Pair::Removed).chain(added).collect()
}

/// The differences that were found so far.
#[derive(Debug, Default)]
struct Found {
    changes: Vec<Change>,
}

impl Found {
    /// The place for differences of `subject`.
    const fn of(&mut self, subject: Subject) -> Settings<'_> {
        Settings { subject, found: self }
    }

    fn whole(&mut self, sign: Sign, subject: Subject, text: String, impact: Impact) {
        self.changes.push(Change { sign, subject, key: None, text, impact });
    }
}

/// Compares the settings of one subject.
#[derive(Debug)]
struct Settings<'a> {
    subject: Subject,
    found: &'a mut Found,
}

impl Settings<'_> {
    /// A setting with one value.
    fn put<T: PartialEq + Shown>(
        &mut self,
        key: &'static str,
        old: &T,
        new: &T,
        impact: Impact,
    ) -> &mut Self {
        if old != new {
            let (before, after) = (old.shown(), new.shown());
            // What can't be seen of them differs: a secret.
            let text = if before == after { before } else { format!("{before} → {after}") };
            self.changed(key, text, impact);
        }
        self
    }

    /// A list: what of it comes and goes.
    fn list<T: PartialEq + Shown>(
        &mut self,
        key: &'static str,
        old: &[T],
        new: &[T],
        impact: Impact,
    ) -> &mut Self {
        if old != new {
            let without = |list: &[T], other: &[T], sign: char| -> Vec<String> {
                let only = list.iter().filter(|one| !other.contains(one));
                only.map(|one| format!("{sign}{}", one.shown())).collect()
            };
            let mut parts = without(old, new, '-');
            parts.extend(without(new, old, '+'));
            let text = if parts.is_empty() { "another order".to_owned() } else { parts.join(" ") };
            self.changed(key, text, impact);
        }
        self
    }

    fn changed(&mut self, key: &'static str, text: String, impact: Impact) {
        let (sign, key, subject) = (Sign::Change, Some(key), self.subject.clone());
        self.found.changes.push(Change { sign, subject, key, text, impact });
    }
}

#[cfg(test)]
mod tests;
