//! Run-time changes of the director: what commands leave, and its way into the journal, over a restart and over a reload.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::fingerprint::{Digest, Digests};
use holdfast_config::{Config, Name, RealServer};
use holdfast_control::{Change, Problem, RuntimeChange, RuntimeChanges};
use holdfast_engine::overlay::{
    Base, Entry, Facets, Held, Key, Overlay, Presence, Said, Seen, Settled, Weighed, Wish,
};
use holdfast_engine::{Draining, Engine, Findings, Order, Remembered};
use holdfast_net::now;
use ipvs_ctl::model::Table;
use tokio::sync::oneshot;

use super::KeptDrains;
use crate::state::discovered;
use crate::state::journal::{self, Journal};
use crate::state::kept::Kept;
use crate::state::unix_now;

/// So many changes that are dropped or can't be are named in the log.
const NAMED_MAX: usize = 20;

/// What commands have changed, and where it is kept.
#[derive(Debug)]
pub(crate) struct Runtime {
    overlay: Overlay,
    journal: Journal,
    /// Changes that can't be as the configuration is now, and why.
    dormant: BTreeMap<Key, String>,
    /// What is made of all changes for the fingerprint; none after another one.
    digests: Option<Arc<Digests>>,
}

/// What the daemon knows besides its file when it starts.
#[derive(Debug)]
pub(crate) struct Beside {
    /// What commands have changed.
    pub(crate) runtime: Runtime,
    /// The servers that files named.
    pub(crate) discovered: BTreeMap<Name, Findings>,
    /// Where those are kept.
    pub(crate) keeper: Kept<discovered::All>,
    /// What was draining.
    pub(crate) draining: Draining,
    /// Where that is kept.
    pub(crate) drains: KeptDrains,
}

/// A command that was carried out, for the record.
#[derive(Debug)]
pub(super) struct Done<'a> {
    pub(super) key: Key,
    pub(super) address: SocketAddr,
    /// What it was about.
    pub(super) facets: Facets,
    pub(super) order: &'a Order,
    /// Whether it ends with the daemon.
    pub(super) ephemeral: bool,
    /// Whether it has changed anything of the pool.
    pub(super) changed: bool,
}

/// The answer to a command, and who waits for it.
pub(super) type Answer = oneshot::Sender<Result<Change, Problem>>;

impl Runtime {
    /// What an earlier daemon has kept, as far as `config` and what was discovered leave it a meaning.
    pub(crate) fn new(
        journal: Journal,
        kept: BTreeMap<Key, Entry>,
        config: &Config,
        discovered: &BTreeMap<Name, Findings>,
    ) -> Self {
        let overlay = Overlay::restored(kept);
        let mut runtime = Self { overlay, journal, dormant: BTreeMap::new(), digests: None };
        runtime.settle(config, |service| discovered.get(service));
        runtime
    }

    /// The servers that commands have added, with what else is known besides the file.
    pub(crate) fn remembered(
        &self,
        config: &Config,
        discovered: BTreeMap<Name, Findings>,
        draining: Draining,
    ) -> Remembered {
        let added = Remembered::added(self.overlay.kept().iter(), config);
        Remembered { added, discovered, draining }
    }

    /// Makes everything that was changed so, as far as it is not: after the daemon's start, with the kernel's table as it was, and after
    /// another configuration.
    pub(super) fn replay(&mut self, engine: &mut Engine, config: &Config, kernel: Option<&Table>) {
        let mut dormant = BTreeMap::new();
        let held: Vec<(Key, Held)> =
            self.overlay.held().map(|(key, held)| (key.clone(), held)).collect();
        for (key, held) in held {
            if let Err(why) = engine.replay(now(), &key, &held.entry, config, kernel) {
                dormant.insert(key, why);
            }
        }
        let news = dormant.iter().filter(|(key, why)| self.dormant.get(*key) != Some(*why));
        for ((service, server), why) in news.take(NAMED_MAX) {
            tracing::warn!(%service, %server, why, "a run-time change can't be as the configuration is: it is kept, and counts again when it can");
        }
        self.dormant = dormant;
    }

    /// Drops what the configuration, or discovery, makes pointless.
    pub(super) fn settle<'a>(
        &mut self,
        config: &Config,
        discovered: impl Fn(&Name) -> Option<&'a Findings>,
    ) {
        let concerned: BTreeSet<&Name> =
            self.overlay.held().map(|((service, _), _)| service).collect();
        let mut index: BTreeMap<Name, BTreeMap<SocketAddr, u32>> = BTreeMap::new();
        for service in concerned {
            let Some(found) = config.services.get(service) else { continue };
            let of = |server: &RealServer| (server.address, server.weight);
            let found_by = discovered(service).into_iter().flat_map(BTreeMap::values);
            let mut servers: BTreeMap<_, _> = found_by.map(|found| of(&found.server)).collect();
            // The file's word counts more.
            servers.extend(found.real_servers.values().map(|server| of(server)));
            index.insert(service.clone(), servers);
        }
        self.digests = None;
        let settled = self.overlay.settle(|service, address| match index.get(service) {
            None => Base::NoService,
            Some(servers) => match servers.get(&address) {
                None => Base::NoServer,
                Some(weight) => Base::Server { weight: *weight },
            },
        });
        for Settled { key: (service, server), why, .. } in settled.iter().take(NAMED_MAX) {
            tracing::info!(%service, %server, why, "a run-time change has no meaning any more");
        }
        let changes: Vec<_> = settled.into_iter().map(|one| (one.key, one.entry)).collect();
        if !changes.is_empty() {
            self.journal.write(changes, None);
        }
    }

    /// The changes for the fingerprint, by server: what was changed, and not by whom, why and when.
    pub(super) fn digests(&mut self) -> Arc<Digests> {
        let overlay = &self.overlay;
        Arc::clone(self.digests.get_or_insert_with(|| {
            let each = overlay.held().map(|((service, server), Held { entry, .. })| {
                let Entry { address, presence, admin, weight } = &entry;
                let (presence, admin, weight) = (
                    presence.as_ref().map(|said| said.what),
                    admin.as_ref().map(|said| said.what),
                    weight.as_ref().map(|said| said.what),
                );
                let digest = Digest::of(&(address, presence, admin, weight));
                (format!("{service}/{server}"), digest)
            });
            Arc::new(each.collect())
        }))
    }

    /// Takes note of a command that was carried out; whether it has changed what is kept.
    ///
    /// A server that was removed under another name, which the file or discovery have changed since, is this one: what was said of it goes along,
    /// or its removal would strike again at each reload.
    pub(super) fn note(&mut self, done: &Done<'_>, engine: &Engine, config: &Config) -> bool {
        let (service, server) = &done.key;
        let pool = engine.pools().get(service);
        let seen = Seen {
            base: base(engine, config, service, done.address),
            server: pool.and_then(|pool| pool.servers().get(server)),
            lease: engine.lease(service, server).map(|(lease, _)| lease),
        };
        let said = (done.order, unix_now());
        if done.changed
            && let Some(before) = self.overlay.removed_at(&done.key, done.address).cloned()
        {
            self.rename(service, &before, server);
        }
        self.digests = None;
        self.dormant.remove(&done.key);
        if done.ephemeral {
            if done.changed {
                self.overlay.note_passing(&done.key, done.address, seen, done.facets, said);
            }
            return false;
        }
        self.overlay.note(&done.key, done.address, seen, done.facets, said)
    }

    /// Answers a command when what it has changed is on the disk. A requester that has gone away needs no answer.
    pub(super) fn answer(&self, key: &Key, change: Change, answer: Answer) {
        let entry = self.overlay.kept().get(key).cloned();
        let unkept = "it ends with the daemon, because it can't be kept";
        self.journal.write([(key.clone(), entry)], Some(when_written(change, unkept, answer)));
    }

    /// Answers a command that has changed nothing when everything that was changed before is on the disk: what it asks for may be among that.
    pub(super) fn answer_settled(&self, change: Change, answer: Answer) {
        if self.journal.is_settled() {
            drop(answer.send(Ok(change)));
            return;
        }
        let unkept = "run-time changes, which this may be one of, end with the daemon, because they can't be kept";
        self.journal.write([], Some(when_written(change, unkept, answer)));
    }

    /// Whether a command has removed a server that the file, or discovery, names.
    pub(super) fn has_removed(&self, key: &Key) -> bool {
        let presence = self.overlay.get(key).and_then(|held| held.entry.presence);
        presence.is_some_and(|said| said.what == Presence::Removed)
    }

    /// Forgets a change that can't be; whether there was one. The journal is told with the answer.
    pub(super) fn forget_dormant(&mut self, key: &Key) -> bool {
        self.digests = None;
        let there = self.dormant.remove(key).is_some();
        if there {
            self.overlay.forget(key);
        }
        there
    }

    /// A server is called otherwise.
    pub(super) fn rename(&mut self, service: &Name, from: &Name, to: &Name) {
        self.digests = None;
        if self.overlay.rename(service, from, to) {
            let (from, to) = ((service.clone(), from.clone()), (service.clone(), to.clone()));
            let entry = self.overlay.kept().get(&to).cloned();
            self.journal.write([(from, None), (to, entry)], None);
        }
    }

    /// The lease of a server has ended: it does not come back by itself.
    pub(super) fn end_lease(&mut self, service: &Name, server: &Name) {
        self.digests = None;
        let key = (service.clone(), server.clone());
        if self.overlay.forget(&key) {
            self.journal.write([(key, None)], None);
        }
    }

    /// What commands have changed of a server.
    pub(super) fn of(&self, key: &Key, engine: &Engine) -> Vec<RuntimeChange> {
        let held = self.overlay.get(key);
        held.map_or_else(Vec::new, |held| self.told(key, &held, engine))
    }

    /// Every change.
    pub(super) fn all(&self, engine: &Engine) -> RuntimeChanges {
        let changes = self.overlay.held().flat_map(|(key, held)| self.told(key, &held, engine));
        RuntimeChanges { changes: changes.collect(), journal_problem: self.journal.problem() }
    }

    /// What is wrong with the journal.
    pub(super) fn problem(&self) -> Option<String> {
        self.journal.problem()
    }

    fn told(&self, key: &Key, held: &Held, engine: &Engine) -> Vec<RuntimeChange> {
        let Held { entry, passing } = held;
        let blank = RuntimeChange {
            service: key.0.to_string(),
            server: key.1.to_string(),
            address: entry.address.to_string(),
            dormant: self.dormant.get(key).cloned(),
            ..RuntimeChange::default()
        };
        let mut told = Vec::new();
        if let Some(said) = &entry.presence {
            let one = by(&blank, said, passing.presence);
            told.push(match said.what {
                Presence::Added { weight, lease_ms } => {
                    let (kind, to) = ("added".to_owned(), Some(format!("weight {weight}")));
                    let ends = engine.lease(&key.0, &key.1).map(|(_, end)| end);
                    let ends = ends.map(|end| end.saturating_since(now()).as_secs());
                    RuntimeChange { kind, to, lease_ms, lease_ends_in_s: ends, ..one }
                }
                Presence::Removed => RuntimeChange { kind: "removed".to_owned(), ..one },
            });
        }
        if let Some(said) = &entry.weight {
            let Weighed { to, share, of } = said.what;
            let one = by(&blank, said, passing.weight);
            let shown = match share {
                100 => to.to_string(),
                share => format!("{share}% of {to}"),
            };
            let (kind, from) = ("weight".to_owned(), Some(of.to_string()));
            told.push(RuntimeChange { kind, from, to: Some(shown), ..one });
        }
        if let Some(said) = &entry.admin {
            let kind = match said.what {
                Wish::Drain => "drain",
                Wish::Maint => "maint",
            };
            let one = by(&blank, said, passing.admin);
            told.push(RuntimeChange { kind: kind.to_owned(), ..one });
        }
        told
    }
}

/// Gives the answer to a command, with what is `unkept` when that could not be written. A requester that has gone away needs no answer.
fn when_written(mut change: Change, unkept: &'static str, answer: Answer) -> journal::Done {
    Box::new(move |written| {
        if let Err(why) = written {
            let mut note = format!("{unkept}: {why}");
            if let Some(more) = change.note.take() {
                note = format!("{note}; {more}");
            }
            change.note = Some(note);
        }
        drop(answer.send(Ok(change)));
    })
}

fn by<T>(blank: &RuntimeChange, said: &Said<T>, ephemeral: bool) -> RuntimeChange {
    RuntimeChange {
        who: said.who.clone(),
        reason: said.reason.clone(),
        at: said.at,
        ephemeral,
        ..blank.clone()
    }
}

/// What the file, or else discovery, say of the server at `address`.
pub(super) fn base<'a>(
    engine: &'a Engine,
    config: &'a Config,
    service: &Name,
    address: SocketAddr,
) -> Option<&'a RealServer> {
    let found = engine.discovered(service).and_then(|found| found.get(&address));
    let of_file = config
        .services
        .get(service)
        .and_then(|service| service.real_servers.values().find(|server| server.address == address));
    of_file.map(AsRef::as_ref).or_else(|| found.map(|found| &found.server))
}

/// The range of a lease: shorter would be a race against the registration itself, longer is for good.
pub(super) const LEASE_RANGE: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(7 * 24 * 3600));
