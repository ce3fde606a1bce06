//! What of a service outlives the configuration that it came from.

use std::collections::BTreeMap;
use std::time::Duration;

use ipvs_ctl::model::{Forwarding, ServiceFlags, ServiceKey, Table};

use super::{DrainPolicy, Listen, Name, PersistenceEngine, PoolPolicy, Service, Thresholds};

/// A service that the kernel has while its configuration is gone: under this name, at these addresses, and how its connections are waited for. All
/// else the kernel tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Its name.
    pub name: Name,
    /// Where it listened.
    pub listen: Vec<ServiceKey>,
    /// How long its drains last, in milliseconds.
    pub timeout_ms: u64,
    /// How long its clients are silent before they count as gone, in milliseconds.
    pub idle_ms: u64,
}

impl Service {
    /// What is left of it without its configuration.
    pub fn remains(&self) -> Remains {
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Remains {
            name: self.name.clone(),
            listen: self.listen.iter().map(Listen::key).collect(),
            timeout_ms: ms(self.drain.timeout),
            idle_ms: ms(self.drain.idle),
        }
    }
}

impl Remains {
    /// How its connections are waited for.
    pub const fn drain(&self) -> DrainPolicy {
        DrainPolicy {
            timeout: Duration::from_millis(self.timeout_ms),
            idle: Duration::from_millis(self.idle_ms),
        }
    }

    /// The service as `kernel` has it, without servers, where it has any of it: it listens at the addresses that are there, nobody checks its
    /// servers, and marks are somebody else's.
    pub fn service(&self, kernel: &Table) -> Option<Service> {
        let there = || self.listen.iter().filter_map(|key| kernel.get(key));
        let first = &there().next()?.service;
        let forwarding = there().flat_map(|entry| entry.destinations.values()).next();
        let listen = |key: ServiceKey| match key {
            ServiceKey::Address { protocol, address } => Listen::Address { protocol, address },
            ServiceKey::Fwmark { family, mark } => Listen::Fwmark { family, mark, matches: vec![] },
        };
        let one_packet = ServiceFlags::ONE_PACKET;
        let sip = first.persistence_engine.as_deref() == Some(PersistenceEngine::Sip.name());
        Some(Service {
            name: self.name.clone(),
            listen: there().map(|entry| listen(entry.service.key)).collect(),
            scheduler: first.scheduler.clone(),
            flags: ServiceFlags::from_kernel(first.flags.bits() & !one_packet.bits()),
            one_packet: there().any(|entry| entry.service.flags.contains(one_packet)),
            persistence: first.persistence,
            persistence_engine: sip.then_some(PersistenceEngine::Sip),
            forwarding: forwarding.map_or(Forwarding::Nat, |one| one.forwarding),
            thresholds: Thresholds::default(),
            checks: vec![],
            policy: PoolPolicy::default(),
            drain: self.drain(),
            slow_start: None,
            discover: None,
            real_servers: BTreeMap::new(),
            sorry_servers: BTreeMap::new(),
        })
    }
}
