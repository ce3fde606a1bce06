//! The kernel's sync daemons, made what VRRP's states want at each look.

use std::collections::BTreeMap;

use holdfast_config::{Config, ConnectionSync, Name, SyncMode};
use holdfast_control as control;
use holdfast_engine::sync::{self, CatchUp};
use holdfast_net::{LinkEvent, LinkMonitor, now};
use holdfast_time::Instant;
use ipvs_ctl::client::{Client, ClientError};
use ipvs_ctl::model::{SyncDaemon, SyncRole};
use ipvs_ctl::plan::{DaemonOperation, is_as, plan_daemons};
use std::time::Duration;
use vrrp::Status;

use super::UpkeepError;
use crate::director::words;
use crate::events::News;

/// The daemons and what they need.
#[derive(Debug)]
pub(super) struct Daemons {
    client: Client,
    links: LinkMonitor,
    config: ConnectionSync,
    /// How long a node listens until it has caught up; none = it can't be known.
    needed: Option<Duration>,
    /// The instances that wait for that.
    waiting: BTreeMap<Name, Waiting>,
    /// Those that ran at the last look.
    running: Vec<SyncDaemon>,
    /// Those that shall run.
    wanted: Vec<SyncDaemon>,
    /// The interface went and another has its name: what was joined on the old one is deaf.
    deaf: bool,
    fault: Option<String>,
    /// What others had changed, until it is told.
    drift: Vec<News>,
    /// How often others have changed one, by kind.
    changes: BTreeMap<&'static str, u64>,
    starts: u64,
    stops: u64,
}

/// An instance that waits until this node has caught up.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    catch_up: CatchUp,
    /// What VRRP was told last.
    told: bool,
}

impl Daemons {
    /// The daemons of `config`, none where it has no `ipvs.sync` or no services to tell of; nothing is looked at yet.
    ///
    /// # Errors
    /// The kernel has no IPVS, or interfaces can't be followed.
    pub(super) fn open(config: &Config) -> Result<Option<Self>, UpkeepError> {
        let Some(sync) = wanted(config) else { return Ok(None) };
        let client = Client::open().map_err(UpkeepError::Client)?;
        let daemons = Self {
            client,
            links: LinkMonitor::open()?,
            needed: config.catch_up(),
            waiting: waiting(config),
            config: sync.clone(),
            running: Vec::new(),
            wanted: Vec::new(),
            deaf: false,
            fault: None,
            drift: Vec::new(),
            changes: BTreeMap::new(),
            starts: 0,
            stops: 0,
        };
        Ok(Some(daemons))
    }

    /// Goes on with another configuration; ends where that has none. The next look sees what it changes.
    pub(super) fn reconfigure(mut self, config: &Config) -> Option<Self> {
        let Some(sync) = wanted(config) else {
            self.end();
            return None;
        };
        self.deaf &= sync.interface == self.config.interface;
        self.config = sync.clone();
        self.needed = config.catch_up();
        for (name, fresh) in waiting(config) {
            self.waiting.entry(name).or_insert(fresh);
        }
        self.waiting.retain(|name, _| waits(config, name));
        Some(self)
    }

    /// Makes the daemons what the `states` of the instances want.
    pub(super) fn look(&mut self, states: &BTreeMap<Name, Status>) {
        let heard = self.follow_link();
        let active = |name: &Name| states.get(name).is_some_and(|state| state.holds_addresses());
        self.wanted = sync::daemons(&self.config, active);
        let fault = match self.reconcile() {
            Err(error) => Some(words(&error)),
            Ok(()) => self.deafness(),
        };
        // The same fault comes with every look: it is said once.
        if let Some(fault) = fault.as_ref().filter(|fault| self.fault.as_ref() != Some(fault)) {
            tracing::error!(fault, "connections are not synchronised as they should be");
        }
        if fault.is_none() && self.fault.is_some() {
            tracing::info!("connections are synchronised again");
        }
        self.fault = fault;
        self.listen(states, heard);
    }

    /// Whether the interface is up and was so since the last look.
    fn follow_link(&mut self) -> bool {
        let mut unbroken = true;
        loop {
            match self.links.recv() {
                Ok(Some(LinkEvent::LinkRemoved(gone))) if gone.name == self.config.interface => {
                    (self.deaf, unbroken) = (true, false);
                }
                Ok(Some(LinkEvent::Link(link)))
                    if link.interface.name == self.config.interface && !link.up =>
                {
                    unbroken = false;
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "the interface of `ipvs.sync` could not be followed");
                    break;
                }
            }
        }
        let found = self.links.interfaces().by_name(&self.config.interface);
        unbroken && found.is_some_and(|found| found.link.up)
    }

    fn reconcile(&mut self) -> Result<(), ClientError> {
        let ours = std::mem::replace(&mut self.running, self.client.daemons()?);
        self.note_changes(&ours);
        if self.deaf && self.links.interfaces().by_name(&self.config.interface).is_some() {
            for role in self.running.iter().map(|daemon| daemon.role).collect::<Vec<_>>() {
                tracing::warn!(%role, interface = self.config.interface, "the interface was made anew: the sync daemon is started anew");
                self.carry_out(&DaemonOperation::Stop(role))?;
            }
            self.deaf = false;
        }
        // What fails keeps what comes after it from being done: nobody ends before another has begun.
        for operation in plan_daemons(&self.wanted, &self.running) {
            self.carry_out(&operation)?;
        }
        Ok(())
    }

    /// Takes note of what others have done to those that ran as `ours` at the last look and are wanted as they were.
    fn note_changes(&mut self, ours: &[SyncDaemon]) {
        for wanted in &self.wanted {
            let is = |daemon: &SyncDaemon| is_as(daemon, wanted);
            if !ours.iter().any(is) || self.running.iter().any(is) {
                continue;
            }
            let found = self.running.iter().find(|daemon| daemon.role == wanted.role);
            let (kind, what) = match found {
                None => ("sync_daemon_missing", "it does not run"),
                Some(_) => ("sync_daemon_changed", "it runs otherwise than `ipvs.sync` says"),
            };
            let count = self.changes.entry(kind).or_default();
            *count = count.saturating_add(1);
            tracing::warn!(role = %wanted.role, what, "others changed a sync daemon: it is started anew");
            self.drift.push(News {
                kind: "ipvs.drift".to_owned(),
                subject: format!("{} sync daemon", wanted.role),
                text: format!("{what}: started anew"),
                ..News::default()
            });
        }
    }

    /// What others had changed since this was asked last.
    pub(super) fn take_drift(&mut self) -> Vec<News> {
        std::mem::take(&mut self.drift)
    }

    /// That daemons run whose interface has gone: the kernel lets them run on, and they neither send nor hear.
    fn deafness(&self) -> Option<String> {
        let gone = self.links.interfaces().by_name(&self.config.interface).is_none();
        (gone && !self.running.is_empty()).then(|| {
            format!(
                "the interface {} is gone: the sync daemons neither send nor hear until it is back",
                self.config.interface
            )
        })
    }

    fn carry_out(&mut self, operation: &DaemonOperation) -> Result<(), ClientError> {
        match operation {
            DaemonOperation::Start(daemon) => {
                self.client.start_daemon(daemon)?;
                self.starts = self.starts.saturating_add(1);
                self.running.push(daemon.clone());
            }
            DaemonOperation::Stop(role) => {
                self.client.stop_daemon(*role)?;
                self.stops = self.stops.saturating_add(1);
                self.running.retain(|daemon| daemon.role != *role);
            }
        }
        tracing::info!(%operation, "the kernel's sync daemons were changed");
        Ok(())
    }

    /// Takes note of who listens. An instance that takes no part is not one that waits, and hears nothing where its links are down.
    fn listen(&mut self, states: &BTreeMap<Name, Status>, up: bool) {
        let wanted = self.config.daemon(SyncRole::Backup);
        let listens = up && self.running.iter().any(|daemon| is_as(daemon, &wanted));
        for (name, waiting) in &mut self.waiting {
            let takes_part = states.get(name).is_some_and(|state| *state != Status::Initialize);
            waiting.catch_up.observe(now(), listens && takes_part);
        }
    }

    /// The instances of which VRRP does not know yet that they have caught up, or have not.
    pub(super) fn news(&mut self) -> Vec<(Name, bool)> {
        let (at, needed) = (now(), self.needed);
        let changed = |(name, waiting): (&Name, &mut Waiting)| {
            let is = needed.is_some_and(|needed| waiting.catch_up.is_over(at, needed));
            (std::mem::replace(&mut waiting.told, is) != is).then(|| (name.clone(), is))
        };
        self.waiting.iter_mut().filter_map(changed).collect()
    }

    /// When the next instance will have caught up.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let waiting = self.waiting.values().filter(|waiting| !waiting.told);
        waiting.filter_map(|waiting| waiting.catch_up.at(self.needed?)).min()
    }

    /// Ends those that run.
    pub(super) fn end(mut self) {
        for role in self.running.iter().map(|daemon| daemon.role).collect::<Vec<_>>() {
            if let Err(error) = self.carry_out(&DaemonOperation::Stop(role)) {
                tracing::error!(error = words(&error), "a sync daemon stays");
            }
        }
    }

    /// The daemons for the API.
    pub(super) fn view(&self) -> control::ConnectionSync {
        let roles = |daemons: &[SyncDaemon]| -> Vec<String> {
            daemons.iter().map(|daemon| daemon.role.to_string()).collect()
        };
        let (role, follows) = match &self.config.mode {
            SyncMode::Follow { name, .. } => ("follow", Some(name.to_string())),
            SyncMode::Both => ("both", None),
        };
        control::ConnectionSync {
            role: role.to_owned(),
            follows,
            wanted: roles(&self.wanted),
            daemons: self.running.iter().map(view).collect(),
            fault: self.fault.clone(),
            starts_total: self.starts,
            stops_total: self.stops,
            drift_total: self
                .changes
                .iter()
                .map(|(kind, count)| ((*kind).to_owned(), *count))
                .collect(),
            caught_up_in_s: self.deadline().map(|at| at.saturating_since(now()).as_secs()),
            connections: None,
        }
    }
}

/// Ends those of the kernel's sync daemons that are as those that an earlier daemon had.
pub(super) fn end_those(left: &[SyncDaemon]) {
    let ended = Client::open().and_then(|mut client| {
        for found in client.daemons()? {
            if left.iter().any(|one| is_as(&found, one)) {
                client.stop_daemon(found.role)?;
                tracing::info!(daemon = %found, "a sync daemon that the configuration has no longer was ended");
            }
        }
        Ok(())
    });
    if let Err(error) = ended {
        tracing::error!(
            error = words(&error),
            "a sync daemon that the configuration has no longer may stay"
        );
    }
}

/// What is synchronised; without services there is nothing to tell of.
fn wanted(config: &Config) -> Option<&ConnectionSync> {
    config.ipvs.sync.as_ref().filter(|_| !config.services.is_empty())
}

fn waits(config: &Config, name: &Name) -> bool {
    config.instances.get(name).is_some_and(|instance| instance.wait_for_sync.is_some())
}

fn waiting(config: &Config) -> BTreeMap<Name, Waiting> {
    let names = config.instances.keys().filter(|name| waits(config, name));
    names.map(|name| (name.clone(), Waiting::default())).collect()
}

fn view(daemon: &SyncDaemon) -> control::SyncDaemon {
    control::SyncDaemon {
        role: daemon.role.to_string(),
        interface: daemon.interface.clone(),
        id: daemon.sync_id,
        group: daemon.group,
        port: daemon.port,
        ttl: daemon.ttl,
        maxlen: daemon.max_length,
    }
}
