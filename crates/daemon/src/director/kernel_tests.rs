//! The bookkeeping around the ipvs thread, with a thread that only takes jobs.

use std::collections::BTreeMap;
use std::sync::mpsc::Receiver;

use ipvs_ctl::client::{OperationError, Report};
use ipvs_ctl::model::{Destination, Entry, Forwarding, Protocol, VirtualService};
use ipvs_ctl::plan::Operation;
use nix::errno::Errno;

use super::*;
use crate::director::refusals::Refused;

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
    answered(order(desired), applied.into_iter().chain(refused).collect(), report)
}

/// What the thread answers to `order`.
fn answered(order: Order, operations: Vec<Operation>, report: Report) -> Done {
    let refused = Refused::of(&report.errors);
    let result = Ok(Reconciliation { operations, report, refused, ..Reconciliation::default() });
    Done::Reconciled { order: Box::new(order), result }
}

fn order(desired: &Table) -> Order {
    Order { desired: desired.clone(), ..Order::default() }
}

/// What is wanted: of each service the entry of its name, a port.
struct Wish(Table);

impl Wanted for Wish {
    fn table(&self) -> Table {
        self.0.clone()
    }

    fn counted(&self) -> BTreeSet<ServiceKey> {
        self.0.keys().copied().collect()
    }

    fn entries(&self, service: &Name) -> Vec<(ServiceKey, Entry)> {
        let key = *table(service.as_str().trim_start_matches('s').parse().expect("a port"))
            .keys()
            .next()
            .expect("a service");
        self.0.get(&key).map(|entry| (key, entry.clone())).into_iter().collect()
    }
}

/// That the services at these ports are wanted other than before.
fn changed(ports: &[u16]) -> Extent {
    let name = |port: &u16| Name::try_from(format!("s{port}")).expect("a name");
    Extent::Services(ports.iter().map(name).collect())
}

/// The table of all `ports`, of which each has one server of a weight.
fn weighted(ports: std::ops::RangeInclusive<u16>, weight: u32) -> Table {
    let mut all: Table = ports.flat_map(table).collect();
    for entry in all.values_mut() {
        let to = SocketAddr::from(([10, 0, 0, 1], 80));
        entry.destinations.insert(to, Destination::new(to, Forwarding::Nat, weight));
    }
    all
}

/// The order of the job that the thread has got; none when it has got no comparison.
fn ordered(queue: &Receiver<Job>) -> Option<Order> {
    if let Ok(Job::Reconcile(order)) = queue.try_recv() { Some(order) } else { None }
}

/// What the thread answers when it did all of `order`, and the kernel lost answers or did not.
fn did(order: Order, answers_lost: bool) -> Done {
    let report = Report { applied: order.desired.len(), errors: vec![], answers_lost };
    answered(order, vec![], report)
}

/// A kernel that has made `wanted`.
fn made(wanted: &Wish) -> (Kernel, Receiver<Job>) {
    let (mut kernel, queue) = bench();
    kernel.reconcile(Extent::Table);
    kernel.go_on(wanted, ForeignServices::Keep, at(0));
    let first = ordered(&queue).expect("the whole table");
    kernel.finished(did(first, false), at(0));
    (kernel, queue)
}

fn additions(table: &Table) -> Vec<Operation> {
    table.values().map(|entry| Operation::NewService(entry.service.clone())).collect()
}

fn at(s: u64) -> Instant {
    Instant::from_start(Duration::from_secs(s))
}

#[test]
fn the_newest_wish_waits_for_the_job_that_is_under_way() {
    let (mut kernel, queue) = bench();
    for port in [80, 81, 82] {
        kernel.reconcile(Extent::Table);
        kernel.count();
        kernel.go_on(&Wish(table(port)), ForeignServices::Keep, at(0));
    }
    let job = queue.try_recv();
    assert!(matches!(&job, Ok(Job::Reconcile(first)) if first.desired == table(80)), "{job:?}");
    assert!(queue.try_recv().is_err(), "one job at a time");
    kernel.finished(done(&table(80), vec![], vec![]), at(1));
    kernel.go_on(&Wish(table(82)), ForeignServices::Keep, at(1));
    let job = queue.try_recv();
    assert!(matches!(&job, Ok(Job::Reconcile(last)) if last.desired == table(82)), "{job:?}");
    kernel.finished(done(&table(82), vec![], vec![]), at(2));
    kernel.go_on(&Wish(table(82)), ForeignServices::Keep, at(2));
    let job = queue.try_recv();
    assert!(
        matches!(&job, Ok(Job::Count(services)) if services.iter().eq(table(82).keys())),
        "{job:?}"
    );
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

#[test]
fn a_lone_change_goes_to_the_kernel_at_once_and_nothing_else_is_read_for_it() {
    let mut wanted = Wish(weighted(1..=1000, 1));
    let (mut kernel, queue) = made(&wanted);
    wanted.0.extend(weighted(700..=700, 5));
    kernel.reconcile(changed(&[700]));
    kernel.go_on(&wanted, ForeignServices::Keep, at(9));
    let order = ordered(&queue).expect("a comparison");
    assert!(matches!(order.scope, Scope::Services));
    assert_eq!(order.desired, weighted(700..=700, 5));
    kernel.finished(did(order, false), at(9));
    assert_eq!(kernel.made.as_ref(), Some(&wanted.0), "that is what is made now");
}

#[test]
fn a_storm_of_changes_is_few_comparisons_of_what_has_changed() {
    let mut wanted = Wish(weighted(1..=1000, 0));
    let (mut kernel, queue) = made(&wanted);
    let (mut under_way, mut orders, mut asked) = (None, 0, 0);
    // A thousand verdicts in a second. The thread takes five milliseconds for a comparison.
    for ms in 0..1100_u64 {
        let now = at(10) + Duration::from_millis(ms);
        if let Ok(port) = u16::try_from(ms + 1)
            && port <= 1000
        {
            wanted.0.extend(weighted(port..=port, 1));
            kernel.reconcile(changed(&[port]));
        }
        if ms % 5 == 0
            && let Some(order) = under_way.take()
        {
            kernel.finished(did(order, false), now);
        }
        kernel.go_on(&wanted, ForeignServices::Keep, now);
        if let Some(order) = ordered(&queue) {
            assert!(matches!(order.scope, Scope::Services));
            (orders, asked) = (orders + 1, asked + order.desired.len());
            under_way = Some(order);
        }
    }
    assert!((2..=51).contains(&orders), "{orders} comparisons");
    assert_eq!(asked, 1000, "each service is read once");
    assert_eq!(kernel.made, Some(wanted.0));
}

#[test]
fn changes_that_follow_a_comparison_closely_wait_for_the_pace_and_no_longer() {
    let mut wanted = Wish(weighted(1..=9, 0));
    let (mut kernel, queue) = made(&wanted);
    let begun = at(5);
    for port in [1, 2] {
        wanted.0.extend(weighted(port..=port, 1));
        kernel.reconcile(changed(&[port]));
        kernel.go_on(&wanted, ForeignServices::Keep, begun);
        if port == 1 {
            let order = ordered(&queue).expect("the first is asked for at once");
            kernel.finished(did(order, false), begun);
        }
    }
    assert!(ordered(&queue).is_none());
    assert_eq!(kernel.poll_timeout(), Some(begun + PACE));
    let (answer, _looker) = oneshot::channel();
    kernel.look(answer);
    kernel.go_on(&wanted, ForeignServices::Keep, begun);
    assert!(queue.try_recv().is_err(), "who looks sees what was wanted before");
    kernel.go_on(&wanted, ForeignServices::Keep, begun + PACE);
    assert_eq!(ordered(&queue).map(|order| order.desired), Some(weighted(2..=2, 1)));
    assert_eq!(kernel.poll_timeout(), None);
}

#[test]
fn a_change_that_changes_nothing_asks_the_kernel_nothing() {
    let wanted = Wish(weighted(1..=9, 0));
    let (mut kernel, queue) = made(&wanted);
    kernel.reconcile(changed(&[1, 2, 3]));
    kernel.go_on(&wanted, ForeignServices::Keep, at(5));
    assert!(queue.try_recv().is_err());
    assert_eq!(kernel.poll_timeout(), None);
}

#[test]
fn of_a_comparison_that_failed_nothing_is_taken_for_made_and_the_next_look_reads_it() {
    let mut wanted = Wish(weighted(1..=9, 0));
    for answers_lost in [true, false] {
        let (mut kernel, queue) = made(&wanted);
        wanted.0.extend(weighted(3..=3, 1));
        kernel.reconcile(changed(&[3]));
        kernel.go_on(&wanted, ForeignServices::Keep, at(5));
        let order = ordered(&queue).expect("a comparison");
        let answer = match answers_lost {
            true => did(order, true),
            false => {
                let result = Err(ClientError::NoIpvs);
                Done::Reconciled { order: Box::new(order), result }
            }
        };
        kernel.finished(answer, at(5));
        assert_eq!(kernel.status(at(5)).errors.len(), 1);
        // It is wanted again as it was: nobody knows whether it still is so.
        wanted.0.extend(weighted(3..=3, 0));
        kernel.reconcile(Extent::Table);
        kernel.go_on(&wanted, ForeignServices::Keep, at(6));
        let order = ordered(&queue).expect("the whole table");
        let Scope::Table { changed, .. } = &order.scope else { panic!("{order:?}") };
        assert_eq!(*changed, weighted(3..=3, 0).into_keys().collect());
        kernel.finished(did(order, false), at(6));
        assert_eq!(kernel.status(at(6)).errors, [""; 0]);
    }
}

#[test]
fn a_count_of_some_services_leaves_what_is_known_of_the_others() {
    let (mut kernel, _queue) = bench();
    let to = SocketAddr::from(([10, 0, 0, 1], 80));
    let [first, second] = [80, 81].map(|port| *table(port).keys().next().expect("a service"));
    let counted = |services: &[ServiceKey], of: &[(ServiceKey, u64)]| {
        let count = |active| Connections { active, ..Connections::default() };
        let counts = of.iter().map(|(key, active)| ((*key, to), count(*active))).collect();
        Done::Counted(Ok(Counted { services: services.iter().copied().collect(), counts }))
    };
    kernel.finished(counted(&[first, second], &[(first, 3), (second, 4)]), at(0));
    kernel.finished(counted(&[first], &[]), at(1));
    let active = [first, second].map(|key| kernel.connections(key, to).active);
    assert_eq!(active, [0, 4], "the first service has lost its server");
}

#[test]
fn a_comparison_of_some_services_leaves_what_is_known_of_the_others() {
    let mut wanted = Wish(weighted(80..=81, 1));
    let (mut kernel, queue) = made(&wanted);
    kernel.foreign = vec!["tcp 192.0.2.99:22".to_owned()];
    let to = SocketAddr::from(([10, 0, 0, 1], 80));
    let keys: Vec<ServiceKey> = wanted.0.keys().copied().collect();
    let three = Connections { active: 3, ..Connections::default() };
    let counts = keys.iter().map(|key| ((*key, to), three)).collect();
    let services = keys.iter().copied().collect();
    kernel.finished(Done::Counted(Ok(Counted { services, counts })), at(1));
    wanted.0.extend(weighted(81..=81, 5));
    kernel.reconcile(changed(&[81]));
    kernel.go_on(&wanted, ForeignServices::Keep, at(2));
    let order = ordered(&queue).expect("the changed service");
    assert!(matches!(order.scope, Scope::Services), "{order:?}");
    kernel.finished(did(order, false), at(2));
    let active: Vec<u64> = keys.iter().map(|key| kernel.connections(*key, to).active).collect();
    assert_eq!(active, [3, 3]);
    assert_eq!(kernel.status(at(2)).foreign, ["tcp 192.0.2.99:22"]);
}

/// A scheduler that the kernel lacks comes, by the file or by a modprobe, and then there is a reload.
#[test]
fn a_reload_asks_at_once_for_what_was_refused_also_by_a_comparison_that_was_under_way() {
    let wanted = Wish(table(80));
    let refuses = |order: Order| {
        let all = additions(&table(80)).into_iter();
        let errors = all.map(|operation| OperationError { operation, errno: Errno::ENOENT });
        let report = Report { applied: 0, errors: errors.collect(), answers_lost: false };
        answered(order, additions(&table(80)), report)
    };
    let go_on = |kernel: &mut Kernel, queue: &Receiver<Job>| {
        kernel.go_on(&wanted, ForeignServices::Keep, at(3));
        ordered(queue)
    };
    for (known, under_way) in [(true, false), (true, true), (false, true)] {
        let (mut kernel, queue) = bench();
        if known {
            kernel.finished(refuses(order(&table(80))), at(2));
        }
        kernel.reconcile(Extent::Table);
        let before = under_way.then(|| go_on(&mut kernel, &queue).expect("a comparison"));
        kernel.ask_again();
        if let Some(before) = before {
            assert_eq!(before.held.is_empty(), !known);
            kernel.finished(refuses(before), at(3));
        }
        let asked = go_on(&mut kernel, &queue).expect("it is asked for at once");
        assert!(matches!(asked.scope, Scope::Table { .. }) && asked.held.is_empty(), "{asked:?}");
        assert_eq!(asked.refused, table(80).into_keys().collect(), "without its servers first");
        kernel.finished(refuses(asked), at(3));
        assert!(go_on(&mut kernel, &queue).is_none(), "once");
        kernel.reconcile(Extent::Table);
        let later = go_on(&mut kernel, &queue).expect("a look");
        assert_eq!(later.held, table(80).into_keys().collect(), "and then as always");
    }
    let (mut kernel, queue) = made(&wanted);
    kernel.ask_again();
    assert!(go_on(&mut kernel, &queue).is_none(), "nothing was refused");
}
