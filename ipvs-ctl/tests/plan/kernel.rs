//! The kernel's table as a value.

use std::collections::BTreeMap;

use ipvs_ctl::model::{
    Destination, Entry, Forwarding, Protocol, ServiceKey, Table, VirtualService,
};
use ipvs_ctl::plan::Operation;

/// The errno with which the kernel refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Such an object is there already.
    Eexist,
    /// There is no such destination.
    Enoent,
    /// There is no such service.
    Esrch,
}

/// Does to `table` what the kernel would.
pub(crate) fn apply(table: &mut Table, operation: &Operation) -> Result<(), Refusal> {
    match operation {
        Operation::NewService(service) => {
            if table.contains_key(&service.key) {
                return Err(Refusal::Eexist);
            }
            let entry = Entry { service: service.clone(), destinations: BTreeMap::new() };
            table.insert(service.key, entry);
        }
        Operation::SetService(service) => {
            table.get_mut(&service.key).ok_or(Refusal::Esrch)?.service = service.clone();
        }
        Operation::DelService(key) => {
            table.remove(key).ok_or(Refusal::Esrch)?;
        }
        Operation::NewDestination { service, destination } => {
            let entry = table.get_mut(service).ok_or(Refusal::Esrch)?;
            if entry.destinations.contains_key(&destination.address) {
                return Err(Refusal::Eexist);
            }
            entry.destinations.insert(destination.address, *destination);
        }
        Operation::SetDestination { service, destination } => {
            let entry = table.get_mut(service).ok_or(Refusal::Esrch)?;
            *entry.destinations.get_mut(&destination.address).ok_or(Refusal::Enoent)? =
                *destination;
        }
        Operation::DelDestination { service, address } => {
            let entry = table.get_mut(service).ok_or(Refusal::Esrch)?;
            entry.destinations.remove(address).ok_or(Refusal::Enoent)?;
        }
    }
    Ok(())
}

#[test]
fn the_model_refuses_as_the_kernel_does() {
    let address = "192.0.2.1:80".parse().unwrap();
    let key = ServiceKey::Address { protocol: Protocol::Tcp, address };
    let service = VirtualService::new(key, "rr".parse().unwrap());
    let destination = Destination::new("10.0.0.1:80".parse().unwrap(), Forwarding::Nat, 1);
    let address = destination.address;
    let mut table = Table::new();
    let steps = [
        (Operation::SetService(service.clone()), Err(Refusal::Esrch)),
        (Operation::DelService(key), Err(Refusal::Esrch)),
        (Operation::NewDestination { service: key, destination }, Err(Refusal::Esrch)),
        (Operation::NewService(service.clone()), Ok(())),
        (Operation::NewService(service), Err(Refusal::Eexist)),
        (Operation::SetDestination { service: key, destination }, Err(Refusal::Enoent)),
        (Operation::DelDestination { service: key, address }, Err(Refusal::Enoent)),
        (Operation::NewDestination { service: key, destination }, Ok(())),
        (Operation::NewDestination { service: key, destination }, Err(Refusal::Eexist)),
        (Operation::DelService(key), Ok(())),
    ];
    for (operation, outcome) in steps {
        assert_eq!(apply(&mut table, &operation), outcome, "{operation}");
    }
    assert!(table.is_empty());
}
