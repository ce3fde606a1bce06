//! The kernel's IPVS table: a thread reads it and makes it what it should be, one job at a time.
//!
//! [`Kernel`] is the director's side. It never waits: it collects what is wanted ([`Kernel::reconcile`], [`Kernel::count`],
//! [`Kernel::look`]), hands the thread a job when that is free ([`Kernel::go_on`]), and takes the result in ([`Kernel::finished`]).

mod found;
mod job;
mod learning;
mod thread;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use holdfast_config::{Config, ForeignServices, Name, Service};
use holdfast_control::reload::Drift;
use holdfast_control::{Ipvs, chain};
use holdfast_engine::{Connections, Engine, Extent};
use holdfast_time::Instant;
use ipvs_ctl::client::{Client, ClientError, Glimpse, Status};
use ipvs_ctl::model::{Counters, Entry, Forwarding, ServiceKey, Table};
use ipvs_ctl::plan::{Foreign, in_order};
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::job::Done;
use self::job::{Counted, Counts, Job, Order, Reconciliation, Scope, Shares, Traffic};
use self::thread::{counts, traffic, work};
use super::drift::{Tally, drift};
use super::refusals::Refusals;
use crate::events::News;

/// The thread has one job at a time, so its queue needs no more room.
const JOBS_MAX: usize = 1;

/// The least time between the beginnings of two comparisons of changed services. The first one after a pause does not wait.
const PACE: Duration = Duration::from_millis(20);

/// The kernel's IPVS table, from the director's side.
#[derive(Debug)]
pub(crate) struct Kernel {
    jobs: SyncSender<Job>,
    done: mpsc::Receiver<Done>,
    busy: bool,
    /// What to do after the job that is with the thread.
    next: Next,
    /// No comparison of changed services begins before this.
    paced_until: Option<Instant>,
    /// The table that was last made without an error: what the kernel has otherwise next time, others have changed.
    made: Option<Table>,
    /// The services that were made or adopted and may still be in the kernel: those that are no longer wanted are removed.
    owned: BTreeSet<ServiceKey>,
    /// Who wants to know the table as it is.
    lookers: Vec<oneshot::Sender<Look>>,
    counts: Counts,
    /// The counters of all services at the last look.
    traffic: Traffic,
    /// The counters of the servers that have had any traffic, when their service was last read.
    shares: Shares,
    in_sync_at: Option<Instant>,
    reconciliations: u64,
    operations: u64,
    repairs: u64,
    /// What others have changed, by kind.
    drift: Tally,
    /// What the director has not taken yet.
    news: Vec<News>,
    errors: Vec<String>,
    refusals: Refusals,
    /// Whether the next comparison of the whole table asks for what was refused, however short a time ago.
    asks: bool,
    foreign: Vec<String>,
    foreign_removed: u64,
}

/// The kernel's table as it was found.
#[derive(Debug)]
pub(crate) struct Look {
    pub(crate) table: Table,
    /// What of it others have changed.
    pub(crate) drift: Vec<Drift>,
}

/// What is to be done next. Which entries a comparison is to make is asked when its turn comes, so that everything that happens until
/// then is one comparison.
#[derive(Debug, Default)]
struct Next {
    /// It holds each service at most once.
    reconcile: Option<Extent>,
    count: bool,
    look: bool,
}

/// Tells what the kernel should have: the [`Engine`], and tests.
pub(super) trait Wanted {
    /// The whole table.
    fn table(&self) -> Table;
    /// The entries of one service; none when there is no such service any more.
    fn entries(&self, service: &Name) -> Vec<(ServiceKey, Entry)>;
    /// The services of which connections are to be counted.
    fn counted(&self) -> BTreeSet<ServiceKey>;
}

impl Wanted for Engine {
    fn table(&self) -> Table {
        self.desired()
    }

    fn entries(&self, service: &Name) -> Vec<(ServiceKey, Entry)> {
        self.pools().get(service).into_iter().flat_map(|pool| pool.entries()).collect()
    }

    fn counted(&self) -> BTreeSet<ServiceKey> {
        Self::counted(self)
    }
}

/// Why there is no way to the kernel's IPVS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum KernelError {
    /// The kernel does not answer, or has no IPVS.
    #[error("{}", words(.0))]
    Client(ClientError),
    /// The operating system has no thread left.
    #[error("start the IPVS thread")]
    Thread(#[source] io::Error),
}

impl Kernel {
    /// Opens the way to the kernel's IPVS and reads its table.
    ///
    /// Of a service whose destinations are all in `config` and forward as `config` says, only the weights are read: the engine
    /// has to know no more than which servers get connections, and the first comparison reads the rest.
    ///
    /// # Errors
    /// The kernel has no IPVS, CAP_NET_ADMIN is missing, or no thread can be had.
    pub(crate) fn open(config: &Config) -> Result<(Self, Table), KernelError> {
        let suffices = known_to(config);
        let opened = Client::open()
            .and_then(|mut client| client.glance(suffices).map(|found| (client, found)));
        let (client, table) = opened.map_err(KernelError::Client)?;
        let (jobs, queue) = sync_channel(JOBS_MAX);
        let (sender, done) = mpsc::channel(JOBS_MAX);
        std::thread::Builder::new()
            .name("ipvs".to_owned())
            .spawn(move || work(client, &queue, &sender))
            .map_err(KernelError::Thread)?;
        Ok((Self::new(jobs, done), table))
    }

    /// A kernel of which nothing is known yet, with the thread at the other ends of `jobs` and `done`.
    fn new(jobs: SyncSender<Job>, done: mpsc::Receiver<Done>) -> Self {
        Self {
            jobs,
            done,
            busy: false,
            next: Next::default(),
            paced_until: None,
            made: None,
            owned: BTreeSet::new(),
            lookers: Vec::new(),
            counts: Counts::new(),
            traffic: Traffic::new(),
            shares: Shares::new(),
            in_sync_at: None,
            reconciliations: 0,
            operations: 0,
            repairs: 0,
            drift: Tally::default(),
            news: Vec::new(),
            errors: Vec::new(),
            refusals: Refusals::default(),
            asks: false,
            foreign: Vec::new(),
            foreign_removed: 0,
        }
    }

    /// Counts services of the kernel as ours that an earlier daemon has made: those that are not wanted are removed.
    pub(super) fn own(&mut self, keys: BTreeSet<ServiceKey>) {
        self.owned.extend(keys);
    }

    /// The services that were made or adopted and may be in the kernel still.
    pub(super) const fn owned(&self) -> &BTreeSet<ServiceKey> {
        &self.owned
    }

    /// Orders a comparison of that much of the table. [`Self::go_on`] begins it.
    pub(super) fn reconcile(&mut self, extent: Extent) {
        self.next.reconcile = Some(match self.next.reconcile.take() {
            Some(before) => before.with(extent),
            None => extent,
        });
    }

    /// Orders a count of connections. [`Self::go_on`] begins it.
    pub(super) const fn count(&mut self) {
        self.next.count = true;
    }

    /// Orders a look at the table as it is after everything that was ordered before. `answer` is dropped if the kernel can't be asked.
    /// [`Self::go_on`] begins it.
    pub(super) fn look(&mut self, answer: oneshot::Sender<Look>) {
        self.lookers.push(answer);
        self.next.look = true;
    }

    /// When [`Self::go_on`] may begin what now waits for the pace alone; none if nothing does.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waits = !self.busy && matches!(self.next.reconcile, Some(Extent::Services(_)));
        self.paced_until.filter(|_| waits)
    }

    /// What the thread has done; none when it has gone.
    pub(super) async fn done(&mut self) -> Option<Done> {
        self.done.recv().await
    }

    /// Takes in what the thread has done, and returns the count of connections if it was one.
    pub(super) fn finished(&mut self, done: Done, now: Instant) -> Option<Counted> {
        self.busy = false;
        match done {
            Done::Reconciled { order, result } => {
                self.reconciled(*order, result, now);
                None
            }
            Done::Counted(Ok(counted)) => {
                self.counts.retain(|(service, _), _| !counted.services.contains(service));
                self.counts.extend(&counted.counts);
                Some(counted)
            }
            Done::Counted(Err(error)) => {
                tracing::debug!(error = words(&error), "connections could not be counted");
                None
            }
            Done::Looked(status) => {
                self.looked(status);
                None
            }
        }
    }

    /// Gives the thread the next job if it is free: a comparison with what is `wanted` by now, which treats others' services as `foreign`
    /// says; or else a count, or a look.
    pub(super) fn go_on(&mut self, wanted: &impl Wanted, foreign: ForeignServices, now: Instant) {
        if self.busy {
            return;
        }
        let Some(job) = self.next_job(wanted, foreign, now) else { return };
        self.busy = self.jobs.try_send(job).is_ok();
        if !self.busy {
            tracing::error!("the IPVS thread has gone: the kernel's table stays as it is");
        }
    }

    fn next_job(
        &mut self,
        wanted: &impl Wanted,
        foreign: ForeignServices,
        now: Instant,
    ) -> Option<Job> {
        match self.next.reconcile.take() {
            Some(Extent::Table) => return Some(self.whole_table(wanted.table(), foreign, now)),
            Some(paced) if self.paced_until.is_some_and(|until| now < until) => {
                self.next.reconcile = Some(paced);
            }
            Some(Extent::Services(services)) => {
                let entries = services.iter().flat_map(|service| wanted.entries(service));
                if let Some(job) = self.changed_services(entries.collect(), now) {
                    return Some(job);
                }
            }
            None => {}
        }
        if std::mem::take(&mut self.next.count) {
            return Some(Job::Count(wanted.counted()));
        }
        // A look comes after the comparisons that were ordered before it.
        let looks = self.next.look && self.next.reconcile.is_none();
        self.next.look &= !looks;
        looks.then_some(Job::Look)
    }

    fn whole_table(&mut self, desired: Table, foreign: ForeignServices, now: Instant) -> Job {
        self.owned.extend(desired.keys());
        let changed = desired.iter().filter(|(key, entry)| self.differs(key, entry));
        let changed = changed.map(|(key, _)| *key).collect();
        let asks = std::mem::take(&mut self.asks);
        let held = if asks { BTreeSet::new() } else { self.refusals.held(now) };
        let refused = self.refusals.whole();
        let scope = Scope::Table { owned: self.owned.clone(), changed, foreign };
        Job::Reconcile(Order { desired, scope, held, refused })
    }

    /// A job for what of `desired` differs from what was made last; none if nothing does.
    fn changed_services(&mut self, mut desired: Table, now: Instant) -> Option<Job> {
        desired.retain(|key, entry| self.differs(key, entry));
        if desired.is_empty() {
            return None;
        }
        self.paced_until = Some(now + PACE);
        self.owned.extend(desired.keys());
        let (held, refused) = (self.refusals.held(now), self.refusals.whole());
        Some(Job::Reconcile(Order { desired, scope: Scope::Services, held, refused }))
    }

    /// Whether the wanted entry of a service is another one than was made last.
    fn differs(&self, key: &ServiceKey, entry: &Entry) -> bool {
        self.made.as_ref().and_then(|made| made.get(key)) != Some(entry)
    }

    fn looked(&mut self, status: Result<Status, ClientError>) {
        let lookers = std::mem::take(&mut self.lookers);
        let (table, orders) = match status {
            Ok(status) => {
                self.counts = counts(&status);
                self.traffic = traffic(&status);
                let orders = self.made.as_ref().map(|made| status.orders(made));
                (status.table(), orders.unwrap_or_default())
            }
            Err(error) => {
                tracing::debug!(error = words(&error), "the table could not be read");
                return;
            }
        };
        // What has not been made yet is no drift.
        let owned = Foreign::Keep { owned: &BTreeSet::new() };
        let undo = self.made.as_ref().map(|made| in_order(made, &table, &orders, owned));
        let undo = undo.unwrap_or_default();
        let drift = drift(&undo, &table);
        for looker in lookers {
            // Whoever has gone away needs no answer.
            drop(looker.send(Look { table: table.clone(), drift: drift.clone() }));
        }
    }

    /// What happened since this was asked last.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Orders that what was refused is asked for at once, and what a comparison that is under way may find refused after that.
    pub(super) fn ask_again(&mut self) {
        self.asks = self.busy || self.refuses_any();
        if self.refuses_any() {
            self.reconcile(Extent::Table);
        }
    }

    /// Whether the kernel refuses anything of any service.
    pub(super) fn refuses_any(&self) -> bool {
        !self.refusals.is_empty()
    }

    /// What the kernel refuses of the service at `key`, in sentences.
    pub(super) fn refused(&self, key: &ServiceKey) -> &[String] {
        self.refusals.of(key)
    }

    /// The connections of a destination when they were last counted.
    pub(super) fn connections(&self, service: ServiceKey, address: SocketAddr) -> Connections {
        self.counts.get(&(service, address)).copied().unwrap_or_default()
    }

    /// A service's counters at the last look; none if the kernel did not have it.
    pub(super) fn traffic(&self, service: &ServiceKey) -> Option<&Counters> {
        self.traffic.get(service)
    }

    /// A destination's counters and rates when its service was last read.
    pub(super) fn share(&self, service: ServiceKey, address: SocketAddr) -> Counters {
        self.shares.get(&(service, address)).copied().unwrap_or_default()
    }

    /// The table's state for the API.
    pub(super) fn status(&self, now: Instant) -> Ipvs {
        Ipvs {
            reconciliations_total: self.reconciliations,
            operations_total: self.operations,
            drift_repairs_total: self.repairs,
            drift_total: self.drift.totals().clone(),
            drift: self.drift.each(now),
            in_sync_s_ago: self.in_sync_at.map(|at| now.saturating_since(at).as_secs()),
            errors: self.errors.clone(),
            refusals_total: self.refusals.total(),
            foreign: self.foreign.clone(),
            foreign_removed_total: self.foreign_removed,
            ..Ipvs::default()
        }
    }

    /// Removes the services `owned`, and those of [`Self::owned`]. It is the last job. Returns whether none of them is left.
    pub(super) async fn remove(mut self, mut owned: BTreeSet<ServiceKey>) -> bool {
        owned.extend(&self.owned);
        if self.busy {
            self.done.recv().await;
        }
        let (answer, removed) = oneshot::channel();
        if self.jobs.try_send(Job::Remove(owned, answer)).is_err() {
            tracing::error!("the IPVS thread has gone: the services stay");
            return false;
        }
        match removed.await {
            Ok(Ok(report)) if report.is_clean() => {
                tracing::info!("the services were removed");
                return true;
            }
            Ok(Ok(report)) => {
                for error in &report.errors {
                    tracing::error!(%error, "a service stays");
                }
            }
            Ok(Err(error)) => tracing::error!(error = words(&error), "the services stay"),
            Err(_) => tracing::error!("the IPVS thread has gone: the services may stay"),
        }
        false
    }
}

/// Whether a service has no destinations but those that `config` names, which forward as it says. A tunnel's kind is not to be seen.
fn known_to(config: &Config) -> impl Fn(&ServiceKey, &Glimpse) -> bool {
    let services = config.services.values().flat_map(|service| {
        let listens = service.listen.iter();
        listens.map(move |listen| (listen.key(), service))
    });
    let services: BTreeMap<ServiceKey, &Service> = services.collect();
    move |key, found| {
        let Some(service) = services.get(key) else { return false };
        let servers = service.real_servers.values().chain(service.sorry_servers.values());
        let named: BTreeSet<SocketAddr> = servers.map(|server| server.address).collect();
        !matches!(service.forwarding, Forwarding::Tunnel(_))
            && found
                .values()
                .all(|one| one.forwarding == service.forwarding && named.contains(&one.address))
    }
}

/// What failed, why, and what to do now.
pub(crate) fn words(error: &ClientError) -> String {
    match error.help() {
        Some(help) => format!("{}: {help}", chain(error)),
        None => chain(error),
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
