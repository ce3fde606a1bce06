//! The errno matrix: each answer that the kernel was seen to give is told by its name, with the object, and with what to do.

use nix::errno::Errno;

use crate::client::{ClientError, OperationError, Request};
use crate::model::{
    Destination, Family, Forwarding, Protocol, ServiceKey, SyncDaemon, SyncRole, VirtualService,
};
use crate::plan::Operation;

fn key() -> ServiceKey {
    let address = "[2001:db8::10]:80".parse().unwrap();
    ServiceKey::Address { protocol: Protocol::Tcp, address }
}

/// Each operation with the errnos that it can be answered with.
fn operations() -> Vec<(Operation, Vec<Errno>)> {
    let always = [
        Errno::EPERM,
        Errno::ENOMEM,
        Errno::ENOBUFS,
        Errno::EBUSY,
        Errno::EOPNOTSUPP,
        Errno::ENOENT,
    ];
    let mark = ServiceKey::Fwmark { family: Family::Ipv6, mark: 7.try_into().unwrap() };
    let service = VirtualService::new(key(), "mh".parse().unwrap());
    let destination = Destination::new("[2001:db8::21]:80".parse().unwrap(), Forwarding::Nat, 1);
    let address = destination.address;
    let of = |operation, more: &[Errno]| (operation, always.iter().chain(more).copied().collect());
    vec![
        of(
            Operation::NewService(service.clone()),
            &[Errno::EEXIST, Errno::EINVAL, Errno::EAFNOSUPPORT],
        ),
        of(Operation::SetService(service), &[Errno::ESRCH, Errno::EINVAL, Errno::EAFNOSUPPORT]),
        of(Operation::DelService(mark), &[Errno::ESRCH, Errno::EINVAL, Errno::EAFNOSUPPORT]),
        of(
            Operation::NewDestination { service: key(), destination },
            &[Errno::EEXIST, Errno::ESRCH, Errno::EINVAL, Errno::ERANGE, Errno::EAFNOSUPPORT],
        ),
        of(
            Operation::SetDestination { service: mark, destination },
            &[Errno::ESRCH, Errno::EINVAL, Errno::ERANGE, Errno::EAFNOSUPPORT],
        ),
        of(
            Operation::DelDestination { service: key(), address },
            &[Errno::ESRCH, Errno::EINVAL, Errno::EAFNOSUPPORT],
        ),
    ]
}

#[test]
fn every_answer_to_an_operation_has_its_name_its_object_and_a_way_out() {
    for (operation, errnos) in operations() {
        for errno in errnos {
            let error = OperationError { operation: operation.clone(), errno };
            let sentence = error.to_string();
            assert!(sentence.ends_with(&format!(": {errno:?}")), "{sentence}");
            assert!(sentence.contains(&operation.service().to_string()), "{sentence}");
            if let Some(address) = operation.destination() {
                assert!(sentence.contains(&address.to_string()), "{sentence}");
            }
            assert!(error.help().is_some(), "{sentence}: nothing to do about it");
        }
    }
}

#[test]
fn every_answer_to_a_request_has_its_name_its_object_and_a_way_out() {
    let daemon = SyncDaemon {
        role: SyncRole::Master,
        interface: "eth7".to_owned(),
        sync_id: 5,
        max_length: None,
        group: None,
        port: None,
        ttl: None,
    };
    let always = [Errno::EPERM, Errno::ENOMEM, Errno::EBUSY, Errno::EOPNOTSUPP, Errno::ENOENT];
    for (request, object, more) in [
        (Request::Resolve, "IPVS", &[][..]),
        (Request::Services, "services", &[]),
        (Request::Service(key()), "tcp [2001:db8::10]:80", &[Errno::ESRCH]),
        (Request::Destinations(key()), "tcp [2001:db8::10]:80", &[]),
        (Request::Info, "version", &[]),
        (Request::Timeouts, "timeouts", &[]),
        (Request::SetTimeouts, "timeouts", &[Errno::EINVAL]),
        (Request::Daemons, "sync daemons", &[]),
        (
            Request::StartDaemon(daemon),
            "eth7",
            &[Errno::EEXIST, Errno::ENODEV, Errno::ENETUNREACH, Errno::EINVAL],
        ),
        (Request::StopDaemon(SyncRole::Backup), "backup", &[Errno::ESRCH, Errno::EINVAL]),
        (Request::Zero(Some(key())), "tcp [2001:db8::10]:80", &[Errno::ESRCH]),
        (Request::Flush, "every service", &[]),
    ] {
        for errno in always.iter().chain(more).copied() {
            let error = ClientError::Refused { request: request.clone(), errno };
            let sentence = error.to_string();
            assert!(
                sentence.contains(object) && sentence.ends_with(&format!("{errno:?}")),
                "{sentence}"
            );
            assert!(error.help().is_some(), "{sentence}: nothing to do about it");
        }
    }
}
