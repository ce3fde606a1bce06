//! What is said of a kernel that lacks something, and what is asked of it again.

use std::net::SocketAddr;

use ipvs_ctl::model::{
    Counters, Destination, DestinationStatus, Protocol, TunnelChecksum, VirtualService,
};

use super::*;

fn key(port: u16) -> ServiceKey {
    let address = SocketAddr::from(([192, 0, 2, 10], port));
    ServiceKey::Address { protocol: Protocol::Tcp, address }
}

fn service(port: u16, scheduler: &str) -> VirtualService {
    VirtualService::new(key(port), scheduler.parse().expect("a scheduler"))
}

fn new_server(port: u16, forwarding: Forwarding) -> Operation {
    let destination = Destination::new(SocketAddr::from(([10, 0, 0, 1], port)), forwarding, 1);
    Operation::NewDestination { service: key(port), destination }
}

fn error(operation: &Operation, errno: Errno) -> OperationError {
    OperationError { operation: operation.clone(), errno }
}

fn at(s: u64) -> Instant {
    Instant::from_start(Duration::from_secs(s))
}

#[test]
fn a_service_is_refused_with_what_is_missing_and_its_servers_add_nothing() {
    let errors = [
        error(&Operation::NewService(service(80, "twos")), Errno::ENOENT),
        error(&new_server(80, Forwarding::Nat), Errno::ESRCH),
        error(&new_server(81, Forwarding::Nat), Errno::EINVAL),
    ];
    let found = Refused::of(&errors);
    assert!(found.is_whole(&key(80)) && !found.is_whole(&key(81)));
    assert!(!found.is_by_service());
    let mut refusals = Refusals::default();
    refusals.note(found, |_| false, at(0));
    assert_eq!(refusals.of(&key(80)).len(), 1);
    assert!(refusals.of(&key(80)).iter().all(|one| one.contains("no scheduler `twos`")));
    assert!(refusals.of(&key(81)).iter().all(|one| one.contains("EINVAL")));
    assert_eq!(refusals.total(), 2);
    let with_engine =
        VirtualService { persistence_engine: Some("sip".to_owned()), ..service(80, "rr") };
    let found = Refused::of(&[error(&Operation::NewService(with_engine), Errno::ENOENT)]);
    assert!(format!("{found:?}").contains("ip_vs_pe_sip"));
}

#[test]
fn a_refused_service_is_held_back_and_then_asked_for_alone() {
    let mut refusals = Refusals::default();
    let new = Operation::NewService(service(80, "twos"));
    refusals.note(Refused::of(&[error(&new, Errno::ENOENT)]), |_| false, at(0));
    let operations =
        || vec![new.clone(), new_server(80, Forwarding::Nat), new_server(81, Forwarding::Nat)];
    let held = refusals.held(at(4));
    assert_eq!(without_held(operations(), &held), [new_server(81, Forwarding::Nat)]);
    refusals.note(Refused::default(), |key| held.contains(key), at(4));
    assert_eq!(refusals.of(&key(80)).len(), 1, "what was held back stands as it was");
    let held = refusals.held(at(5));
    let asked = without_held(operations(), &held);
    let (first, later) = in_two(asked, &refusals.whole());
    assert_eq!(first, [new.clone(), new_server(81, Forwarding::Nat)]);
    assert_eq!(later, [new_server(80, Forwarding::Nat)]);
    refusals.note(Refused::default(), |key| held.contains(key), at(5));
    assert!(refusals.of(&key(80)).is_empty(), "it was taken");
}

#[test]
fn a_service_that_can_not_be_changed_keeps_its_servers_up_to_date() {
    let change = Operation::SetService(service(80, "twos"));
    let held = BTreeSet::from([key(80)]);
    let kept = without_held(vec![change, new_server(80, Forwarding::Nat)], &held);
    assert_eq!(kept, [new_server(80, Forwarding::Nat)]);
}

#[test]
fn a_tunnel_that_became_another_is_noticed() {
    let gue = Forwarding::Tunnel(Tunnel::Gue { port: 6080, checksum: TunnelChecksum::Full });
    let operations = [new_server(80, gue), new_server(81, Forwarding::Tunnel(Tunnel::Ipip))];
    assert_eq!(to_be_verified(&operations), BTreeSet::from([key(80)]));
    let found = |forwarding| ServiceStatus {
        service: service(80, "rr"),
        counters: Counters::default(),
        destinations: vec![DestinationStatus {
            destination: Destination::new(SocketAddr::from(([10, 0, 0, 1], 80)), forwarding, 1),
            active_connections: 0,
            inactive_connections: 0,
            persistent_connections: 0,
            counters: Counters::default(),
        }],
    };
    assert_eq!(not_kept(&operations, &found(gue)), None);
    let said = not_kept(&operations, &found(Forwarding::Tunnel(Tunnel::Ipip)));
    assert!(said.is_some_and(|said| said.contains("`gue`")));
}
