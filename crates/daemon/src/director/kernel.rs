//! The kernel's IPVS table: a thread that reads it and makes it what it should be, one job at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use holdfast_config::ForeignServices;
use holdfast_control::reload::Drift;
use holdfast_control::{Ipvs, chain};
use holdfast_engine::Connections;
use holdfast_time::Instant;
use ipvs_ctl::client::{Client, ClientError, Report, Status};
use ipvs_ctl::model::{ServiceKey, Table};
use ipvs_ctl::plan::{Foreign, Operation, in_order, plan};
use tokio::sync::{mpsc, oneshot};

use super::attention::Attention;
use super::drift::{Tally, drift};
use super::refusals::{
    Refusals, Refused, in_two, not_kept, sentence, to_be_verified, without_held,
};
use super::spared::Spared;
use crate::events::News;

/// One job at a time is with the thread, so its queue needs no more room.
const JOBS_MAX: usize = 1;

/// So many differences of a look are named in the log and among the events.
const NAMED_MAX: usize = 5;

/// So many services of others are named in the status.
const FOREIGN_MAX: usize = 100;

/// What the kernel counts for each destination of each service.
pub(super) type Counts = BTreeMap<(ServiceKey, SocketAddr), Connections>;

/// The kernel's IPVS table, from the director's side.
#[derive(Debug)]
pub(crate) struct Kernel {
    jobs: SyncSender<Job>,
    done: mpsc::Receiver<Done>,
    busy: bool,
    /// What to do after the job that is with the thread; a newer wish replaces an older one.
    next: Next,
    /// The table that was last made without an error: what differs from it next time, others have changed.
    made: Option<Table>,
    /// The services that were made or adopted and may be in the kernel still: those that are wanted no longer are removed.
    owned: BTreeSet<ServiceKey>,
    /// Who wants to know the table as it is.
    lookers: Vec<oneshot::Sender<Look>>,
    counts: Counts,
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

#[derive(Debug, Default)]
struct Next {
    reconcile: Option<(Table, ForeignServices)>,
    count: bool,
    look: bool,
}

/// What the table is to be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    desired: Table,
    /// Services that were made or adopted: those that are not wanted any more are removed.
    owned: BTreeSet<ServiceKey>,
    /// The services that are wanted other than they were made last.
    changed: BTreeSet<ServiceKey>,
    foreign: ForeignServices,
    /// Services that were refused and are not to be asked for now.
    held: BTreeSet<ServiceKey>,
    /// Services that were refused, those among them.
    refused: BTreeSet<ServiceKey>,
}

/// What the thread is to do.
#[derive(Debug)]
enum Job {
    Reconcile(Order),
    Count,
    Look,
    Remove(BTreeSet<ServiceKey>, oneshot::Sender<Result<Report, ClientError>>),
}

/// What the thread has done.
#[derive(Debug)]
pub(crate) enum Done {
    Reconciled { order: Box<Order>, result: Result<Reconciliation, ClientError> },
    Counted(Result<Counts, ClientError>),
    Looked(Result<Status, ClientError>),
}

/// What a reconciliation found and did.
#[derive(Debug)]
pub(crate) struct Reconciliation {
    operations: Vec<Operation>,
    /// As it was before, of the services that the operations are about.
    before: Table,
    report: Report,
    counts: Counts,
    /// Services of which nothing was counted.
    unread: BTreeSet<ServiceKey>,
    refused: Refused,
    /// What is in the table besides: others' services, and what can't be read.
    foreign: Vec<String>,
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
    /// # Errors
    /// The kernel has no IPVS, CAP_NET_ADMIN is missing, or no thread can be had.
    pub(crate) fn open() -> Result<(Self, Table), KernelError> {
        let opened =
            Client::open().and_then(|mut client| client.table().map(|table| (client, table)));
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
            made: None,
            owned: BTreeSet::new(),
            lookers: Vec::new(),
            counts: Counts::new(),
            in_sync_at: None,
            reconciliations: 0,
            operations: 0,
            repairs: 0,
            drift: Tally::default(),
            news: Vec::new(),
            errors: Vec::new(),
            refusals: Refusals::default(),
            foreign: Vec::new(),
            foreign_removed: 0,
        }
    }

    /// Makes the table `desired` as soon as the thread is free, and does with others' services what `foreign` says.
    pub(super) fn reconcile(&mut self, desired: Table, foreign: ForeignServices, now: Instant) {
        self.next.reconcile = Some((desired, foreign));
        self.go_on(now);
    }

    /// Counts connections as soon as the thread is free.
    pub(super) fn count(&mut self, now: Instant) {
        self.next.count = true;
        self.go_on(now);
    }

    /// Tells the table as it is, as soon as the thread is free and all that was wanted before is made. The answer is dropped when the
    /// kernel can't be asked.
    pub(super) fn look(&mut self, answer: oneshot::Sender<Look>, now: Instant) {
        self.lookers.push(answer);
        self.next.look = true;
        self.go_on(now);
    }

    /// What the thread has done; none when it has gone.
    pub(super) async fn done(&mut self) -> Option<Done> {
        self.done.recv().await
    }

    /// Takes note of what was done and goes on with what waits. The answer is a count of connections that was asked for.
    pub(super) fn finished(&mut self, done: Done, now: Instant) -> Option<Counts> {
        self.busy = false;
        let counted = match done {
            Done::Reconciled { order, result } => {
                self.reconciled(*order, result, now);
                None
            }
            Done::Counted(Ok(counts)) => {
                self.counts.clone_from(&counts);
                Some(counts)
            }
            Done::Counted(Err(error)) => {
                tracing::debug!(error = words(&error), "connections could not be counted");
                None
            }
            Done::Looked(status) => {
                self.looked(status);
                None
            }
        };
        self.go_on(now);
        counted
    }

    fn go_on(&mut self, now: Instant) {
        if self.busy {
            return;
        }
        let job = match self.next.reconcile.take() {
            Some((desired, foreign)) => {
                self.owned.extend(desired.keys());
                let made = self.made.as_ref();
                let as_made = |key: &ServiceKey| made.and_then(|made| made.get(key));
                let changed = desired.iter().filter(|(key, entry)| as_made(key) != Some(entry));
                let changed = changed.map(|(key, _)| *key).collect();
                let (held, refused) = (self.refusals.held(now), self.refusals.whole());
                let owned = self.owned.clone();
                Job::Reconcile(Order { desired, owned, changed, foreign, held, refused })
            }
            None if self.next.count => {
                self.next.count = false;
                Job::Count
            }
            None if self.next.look => {
                self.next.look = false;
                Job::Look
            }
            None => return,
        };
        self.busy = self.jobs.try_send(job).is_ok();
        if !self.busy {
            tracing::error!("the IPVS thread has gone: the kernel's table stays as it is");
        }
    }

    fn looked(&mut self, status: Result<Status, ClientError>) {
        let lookers = std::mem::take(&mut self.lookers);
        let (table, orders) = match status {
            Ok(status) => {
                self.counts = counts(&status);
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

    fn reconciled(
        &mut self,
        order: Order,
        result: Result<Reconciliation, ClientError>,
        now: Instant,
    ) {
        self.reconciliations = self.reconciliations.saturating_add(1);
        let before = std::mem::take(&mut self.errors);
        match result {
            Ok(done) => self.learn(order, done, now),
            Err(error) => self.errors = vec![words(&error)],
        }
        // The same errors come with every comparison: they are said once.
        if self.errors != before {
            self.news.extend(self.errors.iter().take(NAMED_MAX).map(|error| News {
                kind: "ipvs.error".to_owned(),
                subject: "ipvs".to_owned(),
                text: error.clone(),
                ..News::default()
            }));
            for error in &self.errors {
                tracing::error!(error, "the kernel's table is not as it should be");
            }
        }
    }

    /// Counts and tells what others had changed in services that are wanted as they were made last.
    fn put_right(
        &mut self,
        operations: &[Operation],
        before: &Table,
        report: &Report,
        desired: &Table,
        now: Instant,
    ) {
        let Some(made) = &self.made else { return };
        let unchanged = |operation: &&Operation| {
            let key = operation.service();
            made.contains_key(&key) && made.get(&key) == desired.get(&key)
        };
        let refused = |operation: &&Operation| {
            report.errors.iter().any(|error| error.operation == **operation)
        };
        let undone: Vec<Operation> =
            operations.iter().filter(unchanged).filter(|one| !refused(one)).cloned().collect();
        if undone.is_empty() {
            return;
        }
        self.repairs = self.repairs.saturating_add(undone.len() as u64);
        let found = drift(&undone, before);
        self.drift.add(&found, now);
        let sentence = |one: &Drift| {
            let of = one.destination.as_ref().map(|to| format!("{to} ")).unwrap_or_default();
            format!("{of}{}: put right", one.text)
        };
        let rest = found.len().saturating_sub(NAMED_MAX);
        let named = found.iter().take(NAMED_MAX);
        self.news.extend(named.clone().map(|one| News {
            kind: "ipvs.drift".to_owned(),
            subject: one.service.clone(),
            text: sentence(one),
            ..News::default()
        }));
        if rest > 0 {
            let (kind, subject) = ("ipvs.drift".to_owned(), "ipvs".to_owned());
            let text = format!("and {rest} more differences: put right");
            self.news.push(News { kind, subject, text, ..News::default() });
        }
        let named: Vec<String> =
            named.map(|one| format!("{} {}", one.service, sentence(one))).collect();
        tracing::warn!(
            found = found.len(),
            undone = undone.len(),
            "others changed the kernel's table: {}",
            named.join("; ")
        );
    }

    /// What happened since this was asked last.
    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Takes note of a reconciliation that came to its end.
    fn learn(&mut self, order: Order, done: Reconciliation, now: Instant) {
        let Reconciliation { operations, before, report, counts, unread, refused, foreign } = done;
        let Order { desired, owned, held, .. } = order;
        self.counts.retain(|(service, _), _| unread.contains(service));
        self.counts.extend(counts);
        self.foreign = foreign;
        self.operations = self.operations.saturating_add(report.applied as u64);
        self.put_right(&operations, &before, &report, &desired, now);
        // What was refused of services is theirs; what else was is the table's.
        let others = report.errors.iter().filter(|error| {
            matches!(&error.operation, Operation::DelService(key) if !desired.contains_key(key))
        });
        self.errors = others.map(sentence).collect();
        if report.answers_lost {
            self.errors.push(
                "answers of the kernel were lost: the table is read again at the next look"
                    .to_owned(),
            );
        }
        let settles = !report.answers_lost && self.errors.is_empty() && refused.is_by_service();
        self.refusals.note(refused, &held, now);
        if settles {
            self.owned = desired.keys().copied().collect();
        }
        let absent = self.refusals.whole();
        let settled: Table = match absent.is_empty() {
            true => desired,
            false => desired.into_iter().filter(|(key, _)| !absent.contains(key)).collect(),
        };
        let removed = operations.iter().filter(
            |operation| matches!(operation, Operation::DelService(key) if !owned.contains(key)),
        );
        self.foreign_removed = self.foreign_removed.saturating_add(removed.count() as u64);
        if settles {
            self.made = Some(settled);
            self.in_sync_at = Some(now);
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

    /// Removes the services `owned`: the last job.
    pub(super) async fn remove(mut self, owned: BTreeSet<ServiceKey>) {
        if self.busy {
            self.done.recv().await;
        }
        let (answer, removed) = oneshot::channel();
        if self.jobs.try_send(Job::Remove(owned, answer)).is_err() {
            tracing::error!("the IPVS thread has gone: the services stay");
            return;
        }
        match removed.await {
            Ok(Ok(report)) if report.is_clean() => tracing::info!("the services were removed"),
            Ok(Ok(report)) => {
                for error in &report.errors {
                    tracing::error!(%error, "a service stays");
                }
            }
            Ok(Err(error)) => tracing::error!(error = words(&error), "the services stay"),
            Err(_) => tracing::error!("the IPVS thread has gone: the services may stay"),
        }
    }
}

/// What failed, why, and what to do now.
pub(crate) fn words(error: &ClientError) -> String {
    match error.help() {
        Some(help) => format!("{}: {help}", chain(error)),
        None => chain(error),
    }
}

/// The thread: does one job after the other until the director lets go of it.
fn work(mut client: Client, queue: &Receiver<Job>, sender: &mpsc::Sender<Done>) {
    let mut attention = Attention::default();
    for job in queue {
        let done = match job {
            Job::Reconcile(order) => {
                let result = reconcile(&mut client, &mut attention, &order);
                // Of what was not made nothing is taken for granted.
                let made = |made: &Reconciliation| {
                    !made.report.answers_lost && made.refused.is_by_service()
                };
                if !result.as_ref().is_ok_and(made) {
                    attention.forget();
                }
                Done::Reconciled { order: Box::new(order), result }
            }
            Job::Count => Done::Counted(client.status().map(|status| counts(&status))),
            Job::Look => Done::Looked(client.status()),
            Job::Remove(owned, answer) => {
                // The director waits for this word and for nothing after it.
                drop(answer.send(remove(&mut client, &owned)));
                return;
            }
        };
        if sender.blocking_send(done).is_err() {
            return;
        }
    }
}

fn reconcile(
    client: &mut Client,
    attention: &mut Attention,
    order: &Order,
) -> Result<Reconciliation, ClientError> {
    let Order { desired, owned, changed, foreign, held, refused } = order;
    let focus = attention.focus(changed);
    let status = client.look(|service, counters| focus.reads(&service.key, counters))?;
    attention.looked(&status);
    // What else is there is others' business, but for what was ours.
    let others = status.services.iter().map(|found| found.service.key);
    let ours = |key: &ServiceKey| desired.contains_key(key) || owned.contains(key);
    let others = others.filter(|key| !ours(key)).map(|key| key.to_string());
    let (foreign, others) = match foreign {
        ForeignServices::Keep => (Foreign::Keep { owned }, others.collect()),
        ForeignServices::Remove => (Foreign::Remove, vec![]),
    };
    let mut before = status.table();
    // What was not read is as it was made: it is wanted no other, and its turn comes.
    for key in &status.unread {
        if let (Some(there), Some(wanted)) = (before.get_mut(key), desired.get(key)) {
            there.destinations.clone_from(&wanted.destinations);
        }
    }
    let operations = in_order(desired, &before, &status.orders(desired), foreign);
    let operations = without_held(operations, held);
    let touched: BTreeSet<ServiceKey> = operations.iter().map(Operation::service).collect();
    before.retain(|key, _| touched.contains(key));
    let foreign =
        others.into_iter().chain(status.unreadable.iter().cloned()).take(FOREIGN_MAX).collect();
    let spared = Spared::during(&operations);
    let (report, refused) = apply(client, &operations, refused)?;
    drop(spared);
    let counts = counts(&status);
    let unread = status.unread;
    Ok(Reconciliation { operations, before, report, counts, unread, refused, foreign })
}

/// Sends `operations`; the servers of services that were `refused` before only when those are taken now.
fn apply(
    client: &mut Client,
    operations: &[Operation],
    refused: &BTreeSet<ServiceKey>,
) -> Result<(Report, Refused), ClientError> {
    let mut report;
    let mut found;
    if refused.is_empty() {
        report = client.apply(operations)?;
        found = Refused::of(&report.errors);
    } else {
        let (first, mut later) = in_two(operations.to_vec(), refused);
        report = client.apply(&first)?;
        found = Refused::of(&report.errors);
        later.retain(|operation| {
            !matches!(operation, Operation::NewDestination { service, .. } if found.is_whole(service))
        });
        let rest = client.apply(&later)?;
        report.applied += rest.applied;
        report.errors.extend(rest.errors);
        report.answers_lost |= rest.answers_lost;
        found = Refused::of(&report.errors);
    }
    // A kernel that does not know a tunnel's type says nothing of it: it is read again, and such a service is taken out.
    for key in to_be_verified(operations) {
        if let Some(kept) = client.service(&key)?
            && let Some(sentence) = not_kept(operations, &kept)
        {
            let gone = client.apply(&[Operation::DelService(key)])?;
            report.errors.extend(gone.errors);
            found.unkept(key, sentence);
        }
    }
    Ok((report, found))
}

fn remove(client: &mut Client, owned: &BTreeSet<ServiceKey>) -> Result<Report, ClientError> {
    let table = client.table()?;
    client.apply(&plan(&Table::new(), &table, Foreign::Keep { owned }))
}

fn counts(status: &Status) -> Counts {
    let mut counts = Counts::new();
    for service in &status.services {
        for one in &service.destinations {
            let count = Connections {
                active: one.active_connections.into(),
                inactive: one.inactive_connections.into(),
                packets: one.counters.packets_in,
            };
            counts.insert((service.service.key, one.destination.address), count);
        }
    }
    counts
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
