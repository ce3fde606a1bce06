//! The thread's side: it reads the kernel's table, plans, and sends the operations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::Receiver;

use holdfast_config::ForeignServices;
use holdfast_engine::Connections;
use ipvs_ctl::client::{Client, ClientError, Report, Status};
use ipvs_ctl::model::{Counters, Entry, ServiceKey, Table, VirtualService};
use ipvs_ctl::plan::{Foreign, Operation, Orders, in_order, plan};
use tokio::sync::mpsc;

use super::super::attention::Attention;
use super::super::refusals::{Refused, in_two, not_kept, to_be_verified, without_held};
use super::super::spared::Spared;
use super::found::{self, Differing, Found};
use super::{Counted, Counts, Done, Job, Order, Reconciliation, Scope, Shares, Traffic};

/// How many services of others are named in the status.
const FOREIGN_MAX: usize = 100;

/// The thread: does one job after the other until the director lets go of it.
pub(super) fn work(mut client: Client, queue: &Receiver<Job>, sender: &mpsc::Sender<Done>) {
    let mut attention = Attention::default();
    for job in queue {
        let done = match job {
            Job::Reconcile(order) => {
                let result = reconcile(&mut client, &mut attention, &order);
                // What was not made is read again at the next look.
                let made = |made: &Reconciliation| {
                    !made.report.answers_lost && made.refused.is_by_service()
                };
                match &order.scope {
                    _ if result.as_ref().is_ok_and(made) => {}
                    Scope::Table { .. } => attention.forget(),
                    Scope::Services => attention.doubt(&order.desired),
                }
                Done::Reconciled { order: Box::new(order), result }
            }
            Job::Count(services) => Done::Counted(count(&mut client, services)),
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
    let Order { desired, scope, held, refused } = order;
    let Scope::Table { owned, changed, foreign } = scope else {
        return reconcile_services(client, order);
    };
    let focus = attention.focus(changed);
    let reads = |service: &VirtualService, counters: &Counters| focus.reads(&service.key, counters);
    let status = client.look(reads, |found, read| Found::of(&found, read, desired))?;
    let Status { mut services, unreadable, unread } = status;
    attention.looked(services.iter().map(|found| (found.key, &found.counters)), &unread);
    // All other services are left to others, unless they were ours.
    let others = services.iter().map(|found| found.key);
    let ours = |key: &ServiceKey| desired.contains_key(key) || owned.contains(key);
    let others = others.filter(|key| !ours(key)).map(|key| key.to_string());
    let (foreign, others) = match foreign {
        ForeignServices::Keep => (Foreign::Keep { owned }, others.collect()),
        ForeignServices::Remove => (Foreign::Remove, vec![]),
    };
    let (operations, mut before) = compare(desired, &mut services, &unread, foreign);
    let operations = without_held(operations, held);
    // One by one: a set that is collected at once first holds the key of each operation.
    let mut touched = BTreeSet::new();
    touched.extend(operations.iter().map(Operation::service));
    before.retain(|key, _| touched.contains(key));
    let foreign = others.into_iter().chain(unreadable).take(FOREIGN_MAX).collect();
    let (report, refused) = apply(client, &operations, refused)?;
    let traffic = services.iter().map(|found| (found.key, found.counters)).collect();
    let (mut counts, mut shares) = (Counts::new(), Shares::new());
    for found in services {
        counts.extend(found.counts);
        shares.extend(found.shares);
    }
    Ok(Reconciliation {
        operations,
        before,
        report,
        counts,
        traffic,
        shares,
        unread,
        refused,
        foreign,
    })
}

/// The operations that turn the table found by a look into `desired`, and that table, as far as the two may differ.
///
/// Destinations that the look did not read are taken to be as they were made; their service's turn comes ([`Attention`]). Of such a service only the
/// settings can differ.
fn compare(
    desired: &Table,
    services: &mut [Found],
    unread: &BTreeSet<ServiceKey>,
    foreign: Foreign<'_>,
) -> (Vec<Operation>, Table) {
    let mut compared: BTreeMap<ServiceKey, &Entry> =
        desired.iter().map(|(key, entry)| (*key, entry)).collect();
    let (mut before, mut orders) = (Table::new(), Orders::new());
    for found in services {
        let key = found.key;
        let Some(Differing { mut entry, order }) = found.differing.take() else {
            compared.remove(&key);
            continue;
        };
        if let (true, Some(wanted)) = (unread.contains(&key), desired.get(&key)) {
            entry.destinations.clone_from(&wanted.destinations);
        }
        before.insert(key, entry);
        orders.extend(order.map(|order| (key, order)));
    }
    (in_order(&compared, &before, &orders, foreign), before)
}

/// Reads only the services of `order`, and makes them what they are to be.
fn reconcile_services(client: &mut Client, order: &Order) -> Result<Reconciliation, ClientError> {
    let Order { desired, held, refused, .. } = order;
    let mut status = Status::default();
    for key in desired.keys() {
        status.services.extend(client.service(key)?);
    }
    let before = status.table();
    let foreign = Foreign::Keep { owned: &BTreeSet::new() };
    let operations = in_order(desired, &before, &status.orders(desired), foreign);
    let operations = without_held(operations, held);
    let (report, refused) = apply(client, &operations, refused)?;
    // The rest is for a look at the whole table to tell.
    Ok(Reconciliation { operations, before, report, refused, ..Reconciliation::default() })
}

/// Sends `operations`. Servers of services that were `refused` before are sent only if the service is accepted now.
fn apply(
    client: &mut Client,
    operations: &[Operation],
    refused: &BTreeSet<ServiceKey>,
) -> Result<(Report, Refused), ClientError> {
    let _spared = Spared::during(operations);
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
    // A kernel that does not know a tunnel's type silently takes another one: the service is read back, and removed in that case.
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

/// Counts the connections of `services`. One that the model can't read, because others have changed it, is not among those counted.
fn count(client: &mut Client, mut services: BTreeSet<ServiceKey>) -> Result<Counted, ClientError> {
    let mut counts = Counts::new();
    let mut unread = Vec::new();
    for key in &services {
        match client.service(key) {
            Ok(found) => counts.extend(found.iter().flat_map(found::counts)),
            Err(ClientError::Answer { .. }) => unread.push(*key),
            Err(error) => return Err(error),
        }
    }
    for key in unread {
        services.remove(&key);
    }
    Ok(Counted { services, counts })
}

/// The connections of the destinations that were read. Those without any are left out, since most of a large table is quiet.
pub(super) fn counts(status: &Status) -> Counts {
    let all = status.services.iter().flat_map(found::counts);
    all.filter(|(_, count)| *count != Connections::default()).collect()
}

/// The counters of the services themselves, which every look reads.
pub(super) fn traffic(status: &Status) -> Traffic {
    status.services.iter().map(|found| (found.service.key, found.counters)).collect()
}
