//! Run-time changes of the director: what commands leave, and its way into the journal, over a restart and over a reload.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::fingerprint::{Digest, Digests};
use holdfast_config::{Config, Name, RealServer};
use holdfast_control::{Change, Problem, RuntimeChange, RuntimeChanges};
use holdfast_engine::overlay::{
    Base, Entry, Facets, Held, Key, Overlay, Presence, Said, Seen, Weighed, Wish,
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
    /// Changes that can't be as the configuration is now: of which server, and why.
    dormant: BTreeMap<Key, (Name, String)>,
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
    pub(super) key: &'a Key,
    /// What the server is called.
    pub(super) server: &'a Name,
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
    /// another configuration. Removals come first: another server may have the name that one had.
    pub(super) fn replay(&mut self, engine: &mut Engine, config: &Config, kernel: Option<&Table>) {
        let mut dormant = BTreeMap::new();
        let mut held: Vec<(Key, Entry)> =
            self.overlay.held().map(|(key, held)| (key.clone(), held.entry)).collect();
        held.sort_by_key(|(_, entry)| !entry.is_removal());
        for (key, entry) in held {
            if let Err(why) = engine.replay(now(), &key, &entry, config, kernel) {
                dormant.insert(key, (entry.server, why));
                continue;
            }
            let pool = engine.pools().get(&key.0);
            let known = pool.filter(|_| !entry.is_removal());
            let known = known.and_then(|pool| pool.find(&entry.server, key.1));
            if let Some(known) = known {
                self.call(&key, &known.definition().name);
            }
        }
        let news = dormant.iter().filter(|(key, why)| self.dormant.get(*key) != Some(*why));
        for ((service, _), (server, why)) in news.take(NAMED_MAX) {
            tracing::warn!(%service, %server, why, "a run-time change can't be as the configuration is: it is kept, and counts again when it can");
        }
        self.dormant = dormant;
    }

    /// Drops what the configuration, or discovery, makes pointless, and calls what was removed as they call it.
    pub(super) fn settle<'a>(
        &mut self,
        config: &Config,
        discovered: impl Fn(&Name) -> Option<&'a Findings>,
    ) {
        let concerned: BTreeSet<&Name> =
            self.overlay.held().map(|((service, _), _)| service).collect();
        let mut index: BTreeMap<Name, BTreeMap<SocketAddr, &RealServer>> = BTreeMap::new();
        for service in concerned {
            let Some(found) = config.services.get(service) else { continue };
            let found_by = discovered(service).into_iter().flat_map(BTreeMap::values);
            let found_by = found_by.map(|found| (found.server.address, &found.server));
            let mut servers: BTreeMap<_, _> = found_by.collect();
            // The file's word counts more.
            let of_file = found.real_servers.values();
            servers.extend(of_file.map(|server| (server.address, server.as_ref())));
            index.insert(service.clone(), servers);
        }
        self.digests = None;
        let settled = self.overlay.settle(|(service, address)| match index.get(service) {
            None => Base::NoService,
            Some(servers) => match servers.get(address) {
                None => Base::NoServer,
                Some(server) => {
                    let name = (!is_others(config, service, server)).then_some(&server.name);
                    Base::Server { name, weight: server.weight }
                }
            },
        });
        let pointless = settled.iter().filter_map(|one| Some((&one.key.0, &one.server, one.why?)));
        for (service, server, why) in pointless.take(NAMED_MAX) {
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
            let mut each = Digests::new();
            for ((service, address), Held { entry, .. }) in overlay.held() {
                let Entry { server, presence, admin, weight } = &entry;
                let (presence, admin, weight) = (
                    presence.as_ref().map(|said| said.what),
                    admin.as_ref().map(|said| said.what),
                    weight.as_ref().map(|said| said.what),
                );
                let digest = Digest::of(&(address, presence, admin, weight));
                // One that was removed may have the name of another one.
                each.entry(format!("{service}/{server}"))
                    .and_modify(|other| *other = Digest::of(&(*other, digest)))
                    .or_insert(digest);
            }
            Arc::new(each)
        }))
    }

    /// Takes note of a command that was carried out; whether it has changed what is kept.
    pub(super) fn note(&mut self, done: &Done<'_>, engine: &Engine, config: &Config) -> bool {
        let ((service, address), server) = (done.key, done.server);
        let pool = engine.pools().get(service);
        let seen = Seen {
            base: base(engine, config, service, *address),
            server: pool.and_then(|pool| pool.find(server, *address)),
            lease: engine.lease(service, server).map(|(lease, _)| lease),
        };
        let said = (done.order, unix_now());
        self.digests = None;
        self.dormant.remove(done.key);
        if done.ephemeral {
            if done.changed {
                self.overlay.note_passing(done.key, server, seen, done.facets, said);
            }
            return false;
        }
        self.overlay.note(done.key, server, seen, done.facets, said)
    }

    /// Answers a command when what it has changed is on the disk. A requester that has gone away needs no answer.
    pub(super) fn answer(&self, keys: &[Key], change: Change, answer: Answer) {
        let changes = keys.iter().map(|key| (key.clone(), self.overlay.kept().get(key).cloned()));
        let unkept = "it ends with the daemon, because it can't be kept";
        self.journal.write(changes, Some(when_written(change, unkept, answer)));
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
    pub(super) fn has_removed(&self, service: &Name, server: &Name) -> bool {
        let called = self.overlay.called(service, server);
        let mut held = called.iter().filter_map(|key| self.overlay.get(key));
        held.any(|held| held.entry.is_removal())
    }

    /// Forgets changes of a server that can't be; of which there were any. The journal is told with the answer.
    pub(super) fn forget_dormant(&mut self, service: &Name, server: &Name) -> Vec<Key> {
        self.digests = None;
        let called = self.overlay.called(service, server).into_iter();
        let dormant: Vec<Key> = called.filter(|key| self.dormant.remove(key).is_some()).collect();
        for key in &dormant {
            self.overlay.forget(key);
        }
        dormant
    }

    /// A server of the engine's is called `server` now.
    pub(super) fn rename(&mut self, service: &Name, server: &Name, engine: &Engine) {
        let pool = engine.pools().get(service);
        // It may be called otherwise again by now: of that comes another report.
        let Some(known) = pool.and_then(|pool| pool.servers().get(server)) else { return };
        let key = (service.clone(), known.definition().address);
        // One that was removed is called as the file, or discovery, calls it, and not as what of it drains.
        if !self.overlay.get(&key).is_some_and(|held| held.entry.is_removal()) {
            self.call(&key, server);
        }
    }

    fn call(&mut self, key: &Key, server: &Name) {
        if self.overlay.call(key, server) {
            let entry = self.overlay.kept().get(key).cloned();
            self.journal.write([(key.clone(), entry)], None);
        }
        self.digests = None;
    }

    /// The lease of a server has ended: it does not come back by itself.
    pub(super) fn end_lease(&mut self, key: Key) {
        self.digests = None;
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
            server: entry.server.to_string(),
            address: key.1.to_string(),
            dormant: self.dormant.get(key).map(|(_, why)| why.clone()),
            ..RuntimeChange::default()
        };
        let mut told = Vec::new();
        if let Some(said) = &entry.presence {
            let one = by(&blank, said, passing.presence);
            told.push(match said.what {
                Presence::Added { weight, lease_ms } => {
                    let (kind, to) = ("added".to_owned(), Some(format!("weight {weight}")));
                    let ends = engine.lease(&key.0, &entry.server).map(|(_, end)| end);
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

/// Whether the file gives the name of `server`, which discovery may have named, to another one.
fn is_others(config: &Config, service: &Name, server: &RealServer) -> bool {
    let service = config.services.get(service);
    let named = service.and_then(|service| service.real_servers.get(&server.name));
    named.is_some_and(|named| named.address != server.address)
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
