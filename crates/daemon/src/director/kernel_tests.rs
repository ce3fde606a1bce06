//! The bookkeeping around the ipvs thread, with a thread that only takes jobs.

use std::sync::mpsc::Receiver;

use ipvs_ctl::client::OperationError;
use ipvs_ctl::model::{Entry, Protocol, VirtualService};
use nix::errno::Errno;

use super::*;

/// A kernel whose jobs end up in the hand of the test.
fn bench() -> (Kernel, Receiver<Job>) {
    let (jobs, queue) = sync_channel(JOBS_MAX);
    let (_, done) = mpsc::channel(JOBS_MAX);
    (Kernel::new(jobs, done), queue)
}

fn table(port: u16) -> Table {
    let address = SocketAddr::from(([192, 0, 2, 10], port));
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address };
    let service = VirtualService::new(key, "rr".parse().expect("a scheduler"));
    Table::from([(key, Entry { service, destinations: BTreeMap::new() })])
}

/// What the thread answers when it did all of `applied` and the kernel refused all of `refused`.
fn done(desired: &Table, applied: Vec<Operation>, refused: Vec<Operation>) -> Done {
    let report = Report {
        applied: applied.len(),
        errors: refused
            .iter()
            .map(|operation| OperationError { operation: operation.clone(), errno: Errno::EINVAL })
            .collect(),
        answers_lost: false,
    };
    let operations = applied.into_iter().chain(refused).collect();
    let (counts, foreign, refused) = (Counts::new(), Vec::new(), Refused::of(&report.errors));
    let (before, unread) = (Table::new(), BTreeSet::new());
    let result =
        Ok(Reconciliation { operations, before, report, counts, unread, refused, foreign });
    Done::Reconciled { order: Box::new(order(desired)), result }
}

fn order(desired: &Table) -> Order {
    Order { desired: desired.clone(), ..Order::default() }
}

fn additions(table: &Table) -> Vec<Operation> {
    table.values().map(|entry| Operation::NewService(entry.service.clone())).collect()
}

fn at(s: u64) -> Instant {
    Instant::from_start(std::time::Duration::from_secs(s))
}

#[test]
fn the_newest_wish_waits_for_the_job_that_is_under_way() {
    let (mut kernel, queue) = bench();
    for port in [80, 81, 82] {
        kernel.reconcile(table(port), ForeignServices::Keep, at(0));
    }
    kernel.count(at(0));
    let job = queue.try_recv();
    assert!(matches!(&job, Ok(Job::Reconcile(first)) if first.desired == table(80)), "{job:?}");
    assert!(queue.try_recv().is_err(), "one job at a time");
    kernel.finished(done(&table(80), vec![], vec![]), at(1));
    let job = queue.try_recv();
    assert!(matches!(&job, Ok(Job::Reconcile(last)) if last.desired == table(82)), "{job:?}");
    kernel.finished(done(&table(82), vec![], vec![]), at(2));
    assert!(matches!(queue.try_recv(), Ok(Job::Count)));
}

#[test]
fn what_differs_from_what_was_made_is_drift_and_what_is_newly_wanted_is_not() {
    let (mut kernel, _queue) = bench();
    let wanted = table(80);
    kernel.finished(done(&wanted, additions(&wanted), vec![]), at(1));
    assert_eq!((kernel.operations, kernel.repairs), (1, 0), "the first time it is made");
    kernel.finished(done(&wanted, vec![], vec![]), at(2));
    kernel.finished(done(&wanted, additions(&wanted), vec![]), at(3));
    assert_eq!((kernel.operations, kernel.repairs), (2, 1), "somebody removed it");
    let other = table(81);
    kernel.finished(done(&other, additions(&other), vec![]), at(4));
    assert_eq!(kernel.repairs, 1, "somebody wants another table");
}

#[test]
fn what_the_kernel_refuses_is_no_repair_and_shows_until_it_is_made() {
    let (mut kernel, _queue) = bench();
    let wanted = table(80);
    let key = *wanted.keys().next().expect("a service");
    kernel.finished(done(&wanted, vec![], vec![]), at(1));
    kernel.finished(done(&wanted, vec![], additions(&wanted)), at(2));
    let status = kernel.status(at(5));
    assert_eq!((status.drift_repairs_total, status.refusals_total), (0, 1));
    let refused = kernel.refused(&key);
    assert!(refused[0].starts_with("add service tcp 192.0.2.10:80: EINVAL"), "{refused:?}");
    kernel.finished(done(&wanted, additions(&wanted), vec![]), at(6));
    assert_eq!(kernel.refused(&key), [""; 0]);
    assert_eq!(kernel.repairs, 0, "it was not made before");
}

#[test]
fn a_service_that_is_refused_hides_no_drift_of_the_others() {
    let (mut kernel, _queue) = bench();
    let mut wanted = table(80);
    wanted.extend(table(81));
    let (good, bad) = (additions(&table(80)), additions(&table(81)));
    kernel.finished(done(&wanted, good.clone(), bad.clone()), at(1));
    assert_eq!(kernel.status(at(2)).in_sync_s_ago, Some(1), "the others are as they should be");
    kernel.finished(done(&wanted, good, bad), at(9));
    assert_eq!(kernel.repairs, 1, "somebody removed the other one");
}

#[test]
fn others_services_that_were_removed_are_counted() {
    let (mut kernel, _queue) = bench();
    let theirs = *table(81).keys().next().expect("a service");
    let wanted = table(80);
    kernel.finished(done(&wanted, vec![Operation::DelService(theirs)], vec![]), at(1));
    assert_eq!(kernel.status(at(1)).foreign_removed_total, 1);
}

#[test]
fn a_kernel_that_does_not_answer_is_an_error_of_the_status() {
    let (mut kernel, _queue) = bench();
    let failed =
        Done::Reconciled { order: Box::new(order(&table(80))), result: Err(ClientError::NoIpvs) };
    kernel.finished(failed, at(1));
    let status = kernel.status(at(1));
    assert_eq!(status.in_sync_s_ago, None);
    assert!(status.errors[0].contains("modprobe ip_vs"), "{status:?}");
}
