//! Another configuration for the director: what it would mean to what runs, and its application.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_config::diff::{Change, Impact, Sign, Subject};
use holdfast_config::{Config, Name};
use holdfast_control::reload as control;
use holdfast_engine::{Admin, Connections, Origin, Pool, Server};
use holdfast_net::now;
use ipvs_ctl::model::Table;

use super::besides::Wanted;
use super::{Director, Kernel};

/// A configuration that was checked, with what had to be got for it. Its application does not fail.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) config: Arc<Config>,
    /// What differs from the one that runs.
    pub(crate) differences: Vec<Change>,
    /// The kernel's IPVS and its table, where the configuration is the first with a service.
    pub(crate) kernel: Option<(Kernel, Table)>,
    /// The kernel's table, where a service listens anew and it could be read.
    pub(crate) table: Option<Table>,
}

impl Director {
    /// Goes on with another configuration; what has changed, with what it meant at that moment.
    pub(super) fn reconfigure(&mut self, next: Next) -> Vec<control::Change> {
        let Next { config, differences, kernel, table } = next;
        let changes = self.foresee(&differences);
        let (kernel, found) = kernel.unzip();
        let first = kernel.is_some();
        if first {
            self.kernel = kernel;
        }
        if let Some(kernel) = &mut self.kernel {
            kernel.ask_again();
        }
        let table = found.or(table);
        self.engine.reconfigure(&self.config, &config, table.as_ref(), now());
        let left = first.then_some(table).flatten().map(|table| self.see(&config, &table));
        self.runner.set_user(&config.daemon.script_user);
        // What has not changed costs the thread a look.
        self.besides.want(Wanted::of(&config));
        let old = std::mem::replace(&mut self.config, config);
        self.tell_upkeep();
        // Trackers that are new have read nothing yet; names that have changed are told by reports.
        self.perform();
        self.tell_trackers();
        self.settle_runtime();
        self.runtime.replay(&mut self.engine, &self.config, None);
        if let Some(left) = left {
            self.engine.resume(&left);
        }
        self.rediscover();
        self.perform();
        self.keep_reconfigured(&old);
        changes
    }

    /// Drops run-time changes that have no meaning any more.
    pub(super) fn settle_runtime(&mut self) {
        let Self { runtime, engine, config, .. } = self;
        runtime.settle(config, |service| engine.discovered(service));
    }

    /// What `differences` mean to what runs now: how many connections they are about, and what commands have to do with them.
    pub(super) fn foresee(&self, differences: &[Change]) -> Vec<control::Change> {
        let mut index = Index::default();
        differences.iter().map(|change| self.foresee_one(change, &mut index)).collect()
    }

    fn foresee_one<'a>(&'a self, change: &Change, index: &mut Index<'a>) -> control::Change {
        let Change { sign, subject, key, text, impact, .. } = change;
        let (connections, note) = match subject {
            Subject::Service(name) => (self.connections_of(name, *impact), None),
            Subject::Server { service, server, address } => {
                let pool = self.engine.pools().get(service);
                let known = pool.and_then(|pool| Some((pool, index.find(pool, server, *address)?)));
                let connections = known
                    .filter(|_| *impact == Impact::Connections)
                    .and_then(|(pool, server)| self.connections(pool, server));
                (connections, note(*sign, *key, known.map(|(_, server)| server)))
            }
            Subject::Node
            | Subject::Daemon
            | Subject::Ipvs
            | Subject::Vrrp
            | Subject::Instance(_)
            | Subject::Group(_)
            | Subject::Tracker(_)
            | Subject::Interface(_) => (None, None),
        };
        control::Change {
            sign: match sign {
                Sign::Add => "add",
                Sign::Remove => "remove",
                Sign::Change => "change",
            }
            .to_owned(),
            kind: subject.kind().to_owned(),
            name: subject.name(),
            key: key.map(str::to_owned),
            text: text.clone(),
            impact: word(*impact).to_owned(),
            connections,
            note: note.map(str::to_owned),
        }
    }

    /// How many connections a service has, where a change is about them.
    fn connections_of(&self, service: &Name, impact: Impact) -> Option<u64> {
        let pool = self.engine.pools().get(service).filter(|_| impact == Impact::Connections)?;
        let all = pool.servers().values().map(|server| self.connections(pool, server));
        all.flatten().reduce(u64::saturating_add)
    }

    fn connections(&self, pool: &Pool, server: &Server) -> Option<u64> {
        let kernel = self.kernel.as_ref()?;
        let address = server.definition().address;
        let counted = pool.keys().map(|key| kernel.connections(key, address));
        let Connections { active, inactive, .. } =
            counted.fold(Connections::default(), Connections::plus);
        Some(active.saturating_add(inactive))
    }
}

/// The servers of pools by address, as far as they were asked for by addresses that their names don't lead to.
#[derive(Debug, Default)]
struct Index<'a>(BTreeMap<&'a Name, BTreeMap<SocketAddr, &'a Server>>);

impl<'a> Index<'a> {
    /// The server of `pool` that has `address`; it is likely to be called `name`.
    fn find(&mut self, pool: &'a Pool, name: &Name, address: SocketAddr) -> Option<&'a Server> {
        let named = pool.servers().get(name);
        if let Some(server) = named.filter(|server| server.definition().address == address) {
            return Some(server);
        }
        let all = || {
            let servers = pool.servers().values();
            servers.map(|server| (server.definition().address, server)).collect()
        };
        self.0.entry(&pool.service().name).or_insert_with(all).get(&address).copied()
    }
}

/// What commands have to do with a change of a server.
fn note(sign: Sign, key: Option<&'static str>, known: Option<&Server>) -> Option<&'static str> {
    match (sign, known) {
        (Sign::Add, Some(server)) => match (server.admin(), server.origin()) {
            (Admin::Drain(drain), _) if drain.then_remove => {
                Some("it drains to be removed, and is taken back")
            }
            (_, Origin::Runtime | Origin::Lease) => {
                Some("a command has added it: it is the file's from then on")
            }
            _ => None,
        },
        (Sign::Remove, Some(server))
            if matches!(server.origin(), Origin::Runtime | Origin::Lease) =>
        {
            Some("a command has added it: it stays")
        }
        (Sign::Change, None) => Some("a command has removed it: it stays removed"),
        (Sign::Remove, None) => Some("a command has removed it already"),
        (Sign::Change, Some(server)) if key == Some("weight") && server.is_out_of_service() => {
            Some("it drains: the weight counts when it is ready again")
        }
        _ => None,
    }
}

const fn word(impact: Impact) -> &'static str {
    match impact {
        Impact::None => "none",
        Impact::NewConnections => "new_connections",
        Impact::Connections => "connections",
        Impact::PeerMustMatch => "peer_must_match",
        Impact::Transition => "transition",
        Impact::Restart => "restart",
    }
}
