//! Services that the kernel refuses: each by name, with what is missing. The others go on.
//!
//! What a kernel can do is found out by trying. A service that was refused is tried again with one operation, at most every five seconds;
//! its servers follow when it is accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdfast_time::Instant;
use ipvs_ctl::client::OperationError;
use ipvs_ctl::model::{Forwarding, ServiceKey, ServiceStatus, Tunnel, VirtualService};
use ipvs_ctl::plan::Operation;
use nix::errno::Errno;

/// Each attempt at an unknown scheduler has the kernel start a modprobe.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// How many sentences are kept of one service: a pool of ten thousand servers can cause as many.
const SENTENCES_MAX: usize = 5;

/// What becomes of a service that is in the kernel's table already.
const GOES_ON: &str = "; until then it goes on as the kernel has it";

/// What the kernel refused, by service.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    services: BTreeMap<ServiceKey, Refusal>,
    total: u64,
}

/// What the kernel refused of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Whether the service itself was refused, and not only some of its servers.
    whole: bool,
    sentences: Vec<String>,
    /// It is not tried again before this.
    again_at: Instant,
}

impl Refusals {
    /// The services that are not to be tried again yet at `now`.
    pub(super) fn held(&self, now: Instant) -> BTreeSet<ServiceKey> {
        let waiting = self.services.iter().filter(|(_, one)| one.whole && one.again_at > now);
        waiting.map(|(key, _)| *key).collect()
    }

    /// The services that were themselves refused: they are tried without their servers first.
    pub(super) fn whole(&self) -> BTreeSet<ServiceKey> {
        self.services.iter().filter(|(_, one)| one.whole).map(|(key, _)| *key).collect()
    }

    /// What was refused of the service at `key`, in sentences.
    pub(super) fn of(&self, key: &ServiceKey) -> &[String] {
        self.services.get(key).map_or(&[], |one| &one.sentences)
    }

    /// Whether nothing is refused.
    pub(super) fn is_empty(&self) -> bool {
        self.services.is_empty()
    }

    /// How many operations were refused since the start.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Takes in what was `found` refused in a comparison. An older refusal stays if the service was not tried this time (`stands`).
    pub(super) fn note(
        &mut self,
        found: Refused,
        stands: impl Fn(&ServiceKey) -> bool,
        now: Instant,
    ) {
        self.services.retain(|key, _| stands(key));
        self.total = self.total.saturating_add(found.count);
        for (key, (whole, sentences)) in found.services {
            let again_at = now + RETRY_AFTER;
            self.services.insert(key, Refusal { whole, sentences, again_at });
        }
    }
}

/// What the kernel has refused in one comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    /// By service: whether it was itself refused, and why, in sentences.
    services: BTreeMap<ServiceKey, (bool, Vec<String>)>,
    count: u64,
}

impl Refused {
    /// What the kernel has refused with `errors`.
    pub(super) fn of(errors: &[OperationError]) -> Self {
        let mut found = Self::default();
        for error in errors {
            if let Operation::NewService(service) | Operation::SetService(service) =
                &error.operation
            {
                let mut sentence = missing(service, error);
                if matches!(error.operation, Operation::SetService(_)) {
                    sentence.push_str(GOES_ON);
                }
                found.add(service.key, true, sentence);
            }
        }
        for error in errors {
            let key = match &error.operation {
                Operation::NewService(_) | Operation::SetService(_) => continue,
                Operation::DelService(key) => *key,
                Operation::NewDestination { service, .. }
                | Operation::SetDestination { service, .. }
                | Operation::DelDestination { service, .. } => *service,
            };
            // A server is refused because its service was: that says nothing new.
            let follows = error.errno == Errno::ESRCH && found.is_whole(&key);
            if !follows {
                found.add(key, false, sentence(error));
            }
        }
        found
    }

    /// Adds that the kernel did not keep what it was asked for.
    pub(super) fn unkept(&mut self, key: ServiceKey, sentence: String) {
        self.add(key, true, sentence);
    }

    /// The services of which something was refused.
    pub(super) fn services(&self) -> impl Iterator<Item = &ServiceKey> {
        self.services.keys()
    }

    /// Whether the service at `key` was refused itself.
    pub(super) fn is_whole(&self, key: &ServiceKey) -> bool {
        self.services.get(key).is_some_and(|(whole, _)| *whole)
    }

    /// Whether nothing was refused but whole services, which nothing else depends on.
    pub(super) fn is_by_service(&self) -> bool {
        self.services.values().all(|(whole, _)| *whole)
    }

    fn add(&mut self, key: ServiceKey, whole: bool, sentence: String) {
        self.count = self.count.saturating_add(1);
        let (all, sentences) = self.services.entry(key).or_default();
        *all |= whole;
        if sentences.len() < SENTENCES_MAX {
            sentences.push(sentence);
        }
    }
}

/// What the kernel lacks for `service`.
fn missing(service: &VirtualService, error: &OperationError) -> String {
    let scheduler = &service.scheduler;
    match (error.errno, &service.persistence_engine) {
        (Errno::ENOENT, None) => format!(
            "the kernel has no scheduler `{scheduler}`: `modprobe ip_vs_{scheduler}` says why; choose another one, or a kernel that has it"
        ),
        (Errno::ENOENT, Some(engine)) => format!(
            "the kernel has no scheduler `{scheduler}` or no persistence engine `{engine}`: `modprobe ip_vs_{scheduler}` and `modprobe ip_vs_pe_{engine}` say why"
        ),
        (Errno::EAFNOSUPPORT, _) => {
            "the kernel has no IPv6: boot without ipv6.disable=1, or use IPv4".to_owned()
        }
        _other => sentence(error),
    }
}

/// What was attempted, what the kernel answered, what to do now.
pub(super) fn sentence(error: &OperationError) -> String {
    match error.help() {
        Some(help) => format!("{error}: {help}"),
        None => error.to_string(),
    }
}

/// Leaves out of `operations` what is asked of services that are held.
pub(super) fn without_held(
    operations: Vec<Operation>,
    held: &BTreeSet<ServiceKey>,
) -> Vec<Operation> {
    if held.is_empty() {
        return operations;
    }
    let asks = |operation: &Operation| match operation {
        Operation::NewService(service) | Operation::SetService(service) => Some(service.key),
        Operation::NewDestination { service, .. } => Some(*service),
        // The service is there: its servers go on.
        Operation::SetDestination { .. }
        | Operation::DelDestination { .. }
        | Operation::DelService(_) => None,
    };
    // A service that is there and can't be changed takes new servers all the same.
    let made = |operation: &Operation| {
        if let Operation::NewService(service) = operation { Some(service.key) } else { None }
    };
    let absent: BTreeSet<ServiceKey> = operations.iter().filter_map(made).collect();
    let holds = |operation: &Operation| {
        asks(operation).is_some_and(|key| {
            let server = matches!(operation, Operation::NewDestination { .. });
            held.contains(&key) && (!server || absent.contains(&key))
        })
    };
    operations.into_iter().filter(|operation| !holds(operation)).collect()
}

/// `operations` in two parts: the servers of services that were refused before come when those have been taken.
pub(super) fn in_two(
    operations: Vec<Operation>,
    refused: &BTreeSet<ServiceKey>,
) -> (Vec<Operation>, Vec<Operation>) {
    let later = |operation: &Operation| matches!(operation, Operation::NewDestination { service, .. } if refused.contains(service));
    operations.into_iter().partition(|operation| !later(operation))
}

/// The services whose `operations` ask for a tunnel that older kernels take for IP in IP without a word (GUE since Linux 5.2, GRE and
/// checksums since 5.3): they have to be read again.
pub(super) fn to_be_verified(operations: &[Operation]) -> BTreeSet<ServiceKey> {
    let tunnels = operations.iter().filter_map(|operation| {
        if let Operation::NewDestination { service, destination }
        | Operation::SetDestination { service, destination } = operation
        {
            Some((service, destination))
        } else {
            None
        }
    });
    tunnels
        .filter(|(_, destination)| {
            matches!(
                destination.forwarding,
                Forwarding::Tunnel(Tunnel::Gue { .. } | Tunnel::Gre { .. })
            )
        })
        .map(|(key, _)| *key)
        .collect()
}

/// What the kernel has made of the tunnels that `operations` ask for in the service `found`, where that is something else.
pub(super) fn not_kept(operations: &[Operation], found: &ServiceStatus) -> Option<String> {
    operations.iter().find_map(|operation| {
        let (Operation::NewDestination { service, destination }
        | Operation::SetDestination { service, destination }) = operation
        else {
            return None;
        };
        let kept = found.destinations.iter().find(|kept| kept.destination.address == destination.address)?;
        let Forwarding::Tunnel(tunnel) = destination.forwarding else { return None };
        if *service != found.service.key || kept.destination.forwarding == destination.forwarding {
            return None;
        }
        let (name, since) = match tunnel {
            Tunnel::Ipip => return None,
            Tunnel::Gue { .. } => ("gue", "5.2"),
            Tunnel::Gre { .. } => ("gre", "5.3"),
        };
        Some(format!(
            "the kernel has no tunnels of type `{name}` or not with this checksum (Linux {since} has them): use `type: ipip`, or a newer kernel"
        ))
    })
}

#[cfg(test)]
#[path = "refusals_tests.rs"]
mod tests;
