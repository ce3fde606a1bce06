//! Many operations at once, some of which fail, and a table that changes while it is read.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;

use ipvs_ctl::client::Client;
use ipvs_ctl::model::{Destination, Family, Forwarding, Protocol, ServiceKey, Table};
use ipvs_ctl::plan::{Foreign, Operation, plan};
use nix::errno::Errno;

use crate::namespace::client;
use crate::objects::{apply, entry, mark, numbered, reconcile, service};

/// More than one batch holds.
const MANY: u16 = 1500;

fn services() -> impl Iterator<Item = Operation> {
    (1..=MANY)
        .map(|number| Operation::NewService(service(mark(Family::Ipv4, u32::from(number)), "rr")))
}

#[test]
fn what_fails_in_the_middle_is_named_and_stops_nothing() {
    let mut client = client();
    let mut operations: Vec<Operation> = services().collect();
    let failing = [0, 1, 511, 512, 513, 700, 1023, 1024, 1499];
    for index in failing {
        let absent = mark(Family::Ipv6, u32::try_from(index).unwrap() + 1);
        *operations.get_mut(index).unwrap() = Operation::DelService(absent);
    }
    let report = client.apply(&operations).unwrap();
    let refused: Vec<&Operation> = report.errors.iter().map(|error| &error.operation).collect();
    let expected: Vec<&Operation> =
        failing.iter().map(|index| operations.get(*index).unwrap()).collect();
    assert_eq!(refused, expected);
    assert!(report.errors.iter().all(|error| error.errno == Errno::ESRCH));
    assert_eq!(report.applied, operations.len() - failing.len());
    assert!(!report.answers_lost);
    assert_eq!(client.table().unwrap().len(), operations.len() - failing.len());
}

#[test]
fn no_answer_is_lost_when_everything_fails() {
    let mut client = client();
    apply(&mut client, &services().collect::<Vec<_>>());
    let again: Vec<Operation> = services().collect();
    let report = client.apply(&again).unwrap();
    assert!(!report.answers_lost);
    assert_eq!(report.applied, 0);
    assert_eq!(report.errors.len(), again.len());
    assert!(report.errors.iter().all(|error| error.errno == Errno::EEXIST));
}

#[test]
fn nothing_to_do_is_done() {
    assert!(client().apply(&[]).unwrap().is_clean());
}

#[test]
fn eleven_thousand_entries_go_in_come_back_and_go_again() {
    let mut client = client();
    let desired: Table = (1..=1000)
        .map(|number| {
            let destinations = (0..10).map(|host| {
                Destination::new(numbered(Family::Ipv4, number * 10 + host), Forwarding::Nat, 1)
            });
            entry(service(mark(Family::Ipv4, u32::from(number)), "wlc"), destinations)
        })
        .collect();
    reconcile(&mut client, &desired);
    reconcile(&mut client, &Table::new());
}

/// `/proc/net/ip_vs` leaves out services of a namespace at its pages where others stand between them.
#[test]
fn a_glance_is_whole_though_another_namespace_has_services() {
    let table = |host: u16| -> Table {
        let entries = (1..=400).map(|number| {
            let address = numbered(Family::Ipv4, number);
            let key = ServiceKey::Address { protocol: Protocol::Tcp, address };
            let real = |last| Destination::new(numbered(Family::Ipv4, last), Forwarding::Nat, 1);
            entry(service(key, "wlc"), (host..host + 4).map(real))
        });
        entries.collect()
    };
    let mut own = client();
    reconcile(&mut own, &table(1000));
    // The other namespace is there until its thread ends.
    let (told, ready) = sync_channel(1);
    let (end, ended) = sync_channel::<()>(1);
    let other = std::thread::spawn(move || {
        reconcile(&mut client(), &table(2000));
        told.send(()).unwrap();
        let _hung_up = ended.recv();
    });
    ready.recv().unwrap();
    assert_eq!(own.glance(|_, _| true).unwrap(), table(1000));
    drop(end);
    other.join().unwrap();
}

/// A dump may skip what is there while others change the table; it must not fail, and what the loop then does must end well.
#[test]
fn a_table_that_changes_while_it_is_read_is_reconciled_in_the_end() {
    let mut client = client();
    let desired: Table = (1..=200)
        .map(|number| {
            let real = Destination::new(numbered(Family::Ipv4, number), Forwarding::Nat, 1);
            entry(service(mark(Family::Ipv4, u32::from(number)), "rr"), [real])
        })
        .collect();
    reconcile(&mut client, &desired);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // The thread is in the namespace of the one that spawns it.
        let disturber = scope.spawn(|| {
            let mut client = Client::open().unwrap();
            let foreign = service(mark(Family::Ipv6, 1), "rr");
            let owned = service(mark(Family::Ipv4, 100), "rr").key;
            while !stop.load(Ordering::Relaxed) {
                let operations = [
                    Operation::NewService(foreign.clone()),
                    Operation::DelService(owned),
                    Operation::DelService(foreign.key),
                ];
                let _some_fail = client.apply(&operations).unwrap();
            }
        });
        for _ in 0..20 {
            let table = client.table().unwrap();
            let _some_fail = client.apply(&plan(&desired, &table, Foreign::Remove)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
        disturber.join().unwrap();
    });
    reconcile(&mut client, &desired);
}
