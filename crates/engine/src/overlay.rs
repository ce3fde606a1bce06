//! What operators have changed at run time beside the file: the value that is journalled, shown and exported.
//!
//! It is made by comparison, not by counting commands: after a command, what the pool has of the server is held against its *base*,
//! what the file or discovery say of it, and what differs is written down. So it can't drift from what the pool has, and a
//! command that takes another one back leaves nothing behind.
//!
//! A server is its service and its address, as it is for the kernel: names change hands in a file. That of an entry is the one that its
//! address had last, in the pool or, when it was removed, in the base.
//!
//! There are two layers. What is *kept* goes into the journal and comes back after a restart; what is *passing* (`--ephemeral`) lies over
//! it and ends with the daemon. Each layer has three facets of a server, and a command touches only those that it is about:
//!
//! | facet    | says                                      | is none when                          |
//! |----------|-------------------------------------------|---------------------------------------|
//! | presence | added, for a time or for good; or removed | the server is there because of its base |
//! | admin    | drained, or in maintenance                | it is ready                           |
//! | weight   | another weight, a share of it             | it has the base's, whole              |

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Name, RealServer};
use serde::{Deserialize, Serialize};

use crate::order::Order;
use crate::server::{Admin, Origin, Server};
use crate::weight::WHOLE;

/// What was changed of one server. A facet that is none is as the base has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What the server at the address is called.
    pub server: Name,
    /// Whether a command has added or removed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Said<Presence>>,
    /// What a command wants of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin: Option<Said<Wish>>,
    /// The weight that a command has given it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<Said<Weighed>>,
}

/// Something that somebody has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said<T> {
    /// What.
    pub what: T,
    /// Who; none when nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why, in that one's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When, in seconds since 1970 (UTC).
    pub at: u64,
}

/// Whether a server is in its pool against its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Presence {
    /// It was added.
    Added {
        /// The weight that it was added with.
        weight: u32,
        /// It is there for so many milliseconds, unless that is said again; none = for good.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lease_ms: Option<u64>,
    },
    /// It was removed, or drains to be.
    Removed,
}

/// What is wanted of a server that is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wish {
    /// No new connections.
    Drain,
    /// No new connections and no checks.
    Maint,
}

/// Another weight than the base's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Weighed {
    /// The configured weight as it is now.
    pub to: u32,
    /// The share of it, in percent.
    pub share: u32,
    /// The base's weight when that was said. Where the base has another one now, that one counts.
    pub of: u32,
}

/// Facets of a server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facets {
    /// [`Entry::presence`].
    pub presence: bool,
    /// [`Entry::admin`].
    pub admin: bool,
    /// [`Entry::weight`].
    pub weight: bool,
}

impl Facets {
    /// What `add` without a weight is about.
    pub const PRESENCE: Self = Self { presence: true, admin: false, weight: false };
    /// What `weight` is about.
    pub const WEIGHT: Self = Self { presence: false, admin: false, weight: true };
    /// What `drain`, `ready` and `maint` are about.
    pub const ADMIN: Self = Self { presence: false, admin: true, weight: false };
    /// What a removal is about, and a command that takes one back.
    pub const ALL: Self = Self { presence: true, admin: true, weight: true };
}

/// All run-time changes, by service and address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    kept: BTreeMap<Key, Entry>,
    passing: BTreeMap<Key, (Entry, Facets)>,
}

/// A service, and the address and port of a server of it.
pub type Key = (Name, SocketAddr);

/// A change as it holds, of either layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What holds.
    pub entry: Entry,
    /// The facets of it that end with the daemon.
    pub passing: Facets,
}

/// What became of an entry that a configuration makes pointless, or calls otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The server.
    pub key: Key,
    /// What it is called.
    pub server: Name,
    /// What of it is kept now; none = nothing.
    pub entry: Option<Entry>,
    /// Why something of it is kept no longer; none when it is only called otherwise.
    pub why: Option<&'static str>,
}

/// What is in a pool of a server, and what its base has.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What the file or discovery say of it.
    pub base: Option<&'a RealServer>,
    /// What the pool has; none when it is gone.
    pub server: Option<&'a Server>,
    /// For how long it was added, where that has an end.
    pub lease: Option<Duration>,
}

impl Seen<'_> {
    /// What of the server is other than its base has it, without who said so.
    fn facets(&self) -> (Option<Presence>, Option<Wish>, Option<Weighed>) {
        let Some(server) = self.server.filter(|server| !removes(&server.admin)) else {
            return (self.base.map(|_| Presence::Removed), None, None);
        };
        let definition = &server.definition;
        let added = matches!(server.origin, Origin::Runtime | Origin::Lease) && self.base.is_none();
        let of = self.base.map_or(definition.weight, |base| base.weight);
        let lease_ms = self.lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX));
        let presence = added.then_some(Presence::Added { weight: definition.weight, lease_ms });
        let wish = match server.admin {
            Admin::Ready => None,
            Admin::Drain(_) => Some(Wish::Drain),
            Admin::Maint => Some(Wish::Maint),
        };
        let other = definition.weight != of || server.share != WHOLE;
        let weighed = Weighed { to: definition.weight, share: server.share, of };
        (presence, wish, other.then_some(weighed))
    }
}

fn removes(admin: &Admin) -> bool {
    matches!(admin, Admin::Drain(drain) if drain.then_remove)
}

impl Overlay {
    /// What an earlier daemon has kept.
    pub fn restored(kept: BTreeMap<Key, Entry>) -> Self {
        Self { kept, passing: BTreeMap::new() }
    }

    /// What goes into the journal.
    pub const fn kept(&self) -> &BTreeMap<Key, Entry> {
        &self.kept
    }

    /// Every change as it holds, in the order of services and addresses.
    pub fn held(&self) -> impl Iterator<Item = (&Key, Held)> {
        let both = self.kept.keys().chain(self.passing.keys());
        let keys: BTreeSet<&Key> = both.collect();
        keys.into_iter().filter_map(|key| Some((key, self.get(key)?)))
    }

    /// What holds of one server; none when nothing was changed of it.
    pub fn get(&self, key: &Key) -> Option<Held> {
        let kept = self.kept.get(key);
        let Some((over, facets)) = self.passing.get(key) else {
            let entry = kept?.clone();
            return Some(Held { entry, passing: Facets::default() });
        };
        let of = |covered: bool| if covered { Some(over) } else { kept };
        let entry = Entry {
            server: over.server.clone(),
            presence: of(facets.presence).and_then(|entry| entry.presence.clone()),
            admin: of(facets.admin).and_then(|entry| entry.admin.clone()),
            weight: of(facets.weight).and_then(|entry| entry.weight.clone()),
        };
        let passing = Facets {
            presence: facets.presence && entry.presence.is_some(),
            admin: facets.admin && entry.admin.is_some(),
            weight: facets.weight && entry.weight.is_some(),
        };
        (!entry.is_empty() || *facets != Facets::default()).then_some(Held { entry, passing })
    }

    /// The servers of `service` of which something is held under this name: several, where it was given to another address.
    pub fn called(&self, service: &Name, server: &Name) -> BTreeSet<Key> {
        let passing = self.passing.iter().map(|(key, (entry, _))| (key, entry));
        let all = self.kept.iter().chain(passing);
        let called = all.filter(|(key, entry)| key.0 == *service && entry.server == *server);
        called.map(|(key, _)| key.clone()).collect()
    }

    /// Takes note of a command about `facets` of the server at `key` that is called `server` and `seen` so after it; whether what is kept is other than before. `at` is in
    /// seconds since 1970.
    ///
    /// What a command for good says ends what a passing one has said of the same facets.
    pub fn note(
        &mut self,
        key: &Key,
        server: &Name,
        seen: Seen<'_>,
        facets: Facets,
        (order, at): (&Order, u64),
    ) -> bool {
        let before = self.kept.get(key).cloned();
        let entry = self.kept.entry(key.clone()).or_insert_with(|| Entry::of(server.clone()));
        entry.server = server.clone();
        entry.take(seen, facets, order, at);
        if entry.is_empty() {
            self.kept.remove(key);
        }
        if let Some((over, covered)) = self.passing.get_mut(key) {
            covered.presence &= !facets.presence;
            covered.admin &= !facets.admin;
            covered.weight &= !facets.weight;
            over.server = server.clone();
            if *covered == Facets::default() {
                self.passing.remove(key);
            }
        }
        self.kept.get(key) != before.as_ref()
    }

    /// The same of a command that ends with the daemon: what is kept stays as it is.
    pub fn note_passing(
        &mut self,
        key: &Key,
        server: &Name,
        seen: Seen<'_>,
        facets: Facets,
        (order, at): (&Order, u64),
    ) {
        let fresh = || (Entry::of(server.clone()), Facets::default());
        let (entry, covered) = self.passing.entry(key.clone()).or_insert_with(fresh);
        entry.server = server.clone();
        entry.take(seen, facets, order, at);
        covered.presence |= facets.presence;
        covered.admin |= facets.admin;
        covered.weight |= facets.weight;
        // What would be so anyway needs no second layer.
        if entry.is_empty() && !self.kept.contains_key(key) {
            self.passing.remove(key);
        }
    }

    /// Forgets all of a server; whether something was kept of it.
    pub fn forget(&mut self, key: &Key) -> bool {
        self.passing.remove(key);
        self.kept.remove(key).is_some()
    }

    /// The server at `key` is called `server`; whether something is kept of it that had another name.
    pub fn call(&mut self, key: &Key, server: &Name) -> bool {
        if let Some((over, _)) = self.passing.get_mut(key) {
            over.server = server.clone();
        }
        let kept = self.kept.get_mut(key).filter(|entry| entry.server != *server);
        kept.map(|entry| entry.server = server.clone()).is_some()
    }

    /// Drops what has become pointless, and calls what was removed as it is called now: `base` tells what the configuration or discovery say of a server
    /// by its service and address, and whether there is the service at all ([`Base::NoService`]). What is of a service that is not there is left:
    /// it counts again when the service comes back.
    pub fn settle<'a>(&mut self, base: impl Fn(&Key) -> Base<'a>) -> Vec<Settled> {
        let mut settled = Vec::new();
        for (key, entry) in &mut self.kept {
            let found = base(key);
            let (renamed, why) = (entry.rename(found), entry.settle(found));
            if renamed || why.is_some() {
                let left = (!entry.is_empty()).then(|| entry.clone());
                let server = entry.server.clone();
                settled.push(Settled { key: key.clone(), server, entry: left, why });
            }
        }
        self.kept.retain(|_, entry| !entry.is_empty());
        for (key, (entry, facets)) in &mut self.passing {
            let found = base(key);
            entry.rename(found);
            if entry.settle(found).is_some() && entry.is_empty() {
                *facets = Facets::default();
            }
        }
        self.passing.retain(|_, (_, facets)| *facets != Facets::default());
        settled
    }
}

/// What the configuration or discovery say of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base<'a> {
    /// There is no such service.
    NoService,
    /// The service has no server of this address.
    NoServer,
    /// It has.
    Server {
        /// What it is called there; none if another server is called so, too.
        name: Option<&'a Name>,
        /// The weight of the file.
        weight: u32,
    },
}

impl Entry {
    /// Nothing of the server that is called so.
    const fn of(server: Name) -> Self {
        Self { server, presence: None, admin: None, weight: None }
    }

    /// Whether the server was removed.
    pub fn is_removal(&self) -> bool {
        self.presence.as_ref().is_some_and(|said| said.what == Presence::Removed)
    }

    const fn is_empty(&self) -> bool {
        self.presence.is_none() && self.admin.is_none() && self.weight.is_none()
    }

    fn take(&mut self, seen: Seen<'_>, facets: Facets, order: &Order, at: u64) {
        let (presence, admin, weight) = seen.facets();
        if facets.presence {
            // The weight of one that is there already is the weight's facet.
            let presence = match (presence, &self.presence) {
                (
                    Some(Presence::Added { lease_ms, .. }),
                    Some(Said { what: Presence::Added { weight, .. }, .. }),
                ) => Some(Presence::Added { weight: *weight, lease_ms }),
                (presence, _) => presence,
            };
            say(&mut self.presence, presence, order, at);
        }
        if facets.admin {
            say(&mut self.admin, admin, order, at);
        }
        if facets.weight {
            // One that a command has added has the weight that it was added with for a base.
            let weight = match (weight, &self.presence) {
                (_, Some(Said { what: Presence::Added { weight: of, .. }, .. })) => {
                    let now = seen.server.map(|server| (server.definition.weight, server.share));
                    now.filter(|now| *now != (*of, WHOLE)).map(|(to, share)| Weighed {
                        to,
                        share,
                        of: *of,
                    })
                }
                (weight, _) => weight,
            };
            say(&mut self.weight, weight, order, at);
        }
    }

    /// Takes the name that the base has for a server that was removed; whether that is another one. What is in a pool has that one's.
    fn rename(&mut self, base: Base<'_>) -> bool {
        let Base::Server { name: Some(name), .. } = base else { return false };
        let other = self.is_removal() && self.server != *name;
        if other {
            self.server = name.clone();
        }
        other
    }

    /// Takes out what has become pointless; why, when something was.
    fn settle(&mut self, base: Base<'_>) -> Option<&'static str> {
        let added = matches!(&self.presence, Some(Said { what: Presence::Added { .. }, .. }));
        match base {
            Base::NoService => None,
            Base::Server { .. } if added => {
                (self.presence, self.weight) = (None, None);
                Some("the configuration has the server now: it is the configuration's")
            }
            Base::NoServer if added => None,
            Base::NoServer => {
                (self.admin, self.presence, self.weight) = (None, None, None);
                Some("the configuration has the server no longer")
            }
            Base::Server { weight, .. } => {
                let other = self.weight.as_ref().is_some_and(|said| said.what.of != weight);
                if other {
                    self.weight = None;
                }
                other.then_some("the configuration has another weight: that one counts")
            }
        }
    }
}

/// Writes down that something is so; who said it first keeps it, unless there is a new reason.
fn say<T: PartialEq>(facet: &mut Option<Said<T>>, what: Option<T>, order: &Order, at: u64) {
    let Some(what) = what else {
        *facet = None;
        return;
    };
    if let Some(said) = facet
        && said.what == what
        && (order.reason.is_none() || order.reason == said.reason)
    {
        return;
    }
    *facet = Some(Said { what, who: order.who.clone(), reason: order.reason.clone(), at });
}
