//! What `all_down: withdraw_vip` comes to: a tracker of the service, and an entry of `track` without a weight at each instance that
//! holds one of its addresses.
//!
//! An instance that names a tracker of the service by itself keeps its own entry: there it was said what the loss does.

use ::vrrp::Priority;

use crate::model::{
    AllDown, Config, Instance, Name, Service, Track, Tracker, TrackerKind, tracker_name,
};

/// Adds them to `config`.
pub(crate) fn track_services(config: &mut Config) {
    let withdrawn: Vec<Service> = config
        .services
        .values()
        .filter(|service| service.policy.all_down == AllDown::WithdrawVip)
        .map(Service::settings)
        .collect();
    for service in withdrawn {
        let Some(tracker) = tracker_of(config, &service.name) else { continue };
        for instance in config.instances.values_mut().filter(|one| holds(one, &service)) {
            if !instance.track.iter().any(|entry| entry.tracker == tracker) {
                let tracker = tracker.clone();
                instance.track.push(Track { tracker, weight: None, reverse: false });
            }
        }
    }
}

/// Whether the instance has an address of the service to give away.
fn holds(instance: &Instance, service: &Service) -> bool {
    instance.priority != Priority::OWNER
        && instance.held().any(|address| service.listens_on(address.net.addr()))
}

/// The name of the tracker of the service, which is made where there is none.
fn tracker_of(config: &mut Config, service: &Name) -> Option<Name> {
    let trackers = &mut config.vrrp.trackers;
    let kind = TrackerKind::Service(service.clone());
    if let Some(known) = trackers.values().find(|tracker| tracker.kind == kind) {
        return Some(known.name.clone());
    }
    let name = tracker_name(service, |name| trackers.contains_key(name))?;
    trackers.insert(name.clone(), Tracker { name: name.clone(), kind });
    Some(name)
}
