//! What a service's quorum is told to: its hooks, and the trackers by which VRRP follows it.

use std::time::SystemTime;

use holdfast_config::{HookEvent, Name, TrackerKind};
use holdfast_engine::QuorumState;

use super::Director;
use crate::hooks::{Notice, NoticeState, Subject};

impl Director {
    /// Tells that a service has gained or lost its quorum. It never waits.
    pub(super) fn tell_quorum(&self, service: &Name, to: QuorumState, reason: String) {
        self.tell_trackers_of(|one| one == service);
        let (event, state) = match to {
            QuorumState::Up => (HookEvent::Up, NoticeState::Up),
            QuorumState::Down => (HookEvent::Down, NoticeState::Down),
            // Nothing becomes that.
            QuorumState::Starting => return,
        };
        let (subject, at) = (Subject::Service(service.clone()), SystemTime::now());
        self.hooks.tell(Notice { subject, event, state, priority: 0, reason, at });
    }

    /// Tells VRRP of every service that is tracked.
    pub(super) fn tell_trackers(&self) {
        self.tell_trackers_of(|_| true);
    }

    fn tell_trackers_of(&self, concerns: impl Fn(&Name) -> bool) {
        for tracker in self.config.vrrp.trackers.values() {
            let TrackerKind::Service(service) = &tracker.kind else { continue };
            let pool = self.engine.pools().get(service).filter(|_| concerns(service));
            if let Some(pool) = pool {
                self.vrrp.track(tracker.name.clone(), pool.reading());
            }
        }
    }
}
