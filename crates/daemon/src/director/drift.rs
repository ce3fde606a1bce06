//! What in the kernel's table is not as it was made.

use holdfast_control::reload::Drift;
use ipvs_ctl::model::{Destination, Table};
use ipvs_ctl::plan::Operation;

/// So much is named; the rest is counted.
const NAMED_MAX: usize = 1000;

/// What `operations` would put right in `kernel`, in words.
pub(super) fn drift(operations: &[Operation], kernel: &Table) -> Vec<Drift> {
    let mut found: Vec<Drift> =
        operations.iter().take(NAMED_MAX).map(|operation| describe(operation, kernel)).collect();
    let rest = operations.len().saturating_sub(NAMED_MAX);
    if rest > 0 {
        let text = format!("and {rest} more differences");
        found.push(Drift { text, ..Drift::default() });
    }
    found
}

fn describe(operation: &Operation, kernel: &Table) -> Drift {
    let text = match operation {
        Operation::NewService(_) | Operation::NewDestination { .. } => "is missing".to_owned(),
        Operation::DelService(_) | Operation::DelDestination { .. } => {
            "is there and should not be".to_owned()
        }
        Operation::SetService(wanted) => {
            let entry = kernel.get(&wanted.key);
            let other = entry.map(|entry| &entry.service.scheduler);
            match other.filter(|scheduler| **scheduler != wanted.scheduler) {
                Some(scheduler) => {
                    format!("scheduler {scheduler}, should be {}", wanted.scheduler)
                }
                None => "has other settings".to_owned(),
            }
        }
        Operation::SetDestination { service, destination } => {
            let entry = kernel.get(service);
            let there = entry.and_then(|entry| entry.destinations.get(&destination.address));
            there.map_or_else(String::new, |there| unlike(there, destination))
        }
    };
    let service = operation.service().to_string();
    Drift { service, destination: operation.destination().map(|to| to.to_string()), text }
}

fn unlike(there: &Destination, wanted: &Destination) -> String {
    if there.weight == wanted.weight {
        "has other settings".to_owned()
    } else {
        format!("weight {}, should be {}", there.weight, wanted.weight)
    }
}
