//! Checks that are the same, of servers of one address in several services: they run once.
//!
//! Same are checks over the network with one target, one way to it, one conversation and one policy. Each begins by itself, so that a
//! server that the kernel has in one service is not taken for one that it has in another. As soon as two have found the same and stand
//! at the same count, the one that began first goes on for the servers of both. When a reload changes the check of one of them, that
//! one begins anew, and the rest go on.
//!
//! Commands are told for which service they run, and files may be a service's: they are nobody else's.

use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_config::{Check, CheckKind, Name, RealServer, Talk};
use holdfast_health::Verdict;
use holdfast_time::Instant;

use crate::checking::{CheckId, RunningCheck};
use crate::engine::Engine;

impl RunningCheck {
    /// The servers that it is run for, each with its service.
    pub(crate) fn owners(&self) -> impl Iterator<Item = (&Name, &Name)> {
        let others = self.others.iter().map(|(service, server)| (service, server));
        std::iter::once((&self.service, &self.server)).chain(others)
    }

    fn is_of(&self, service: &Name, server: &Name) -> bool {
        self.owners().any(|owner| owner == (service, server))
    }

    /// Whether this check and `other`, which has the same target, may be one from now on.
    fn goes_with(&self, other: &Self) -> bool {
        let known = |one: &Self| one.last.is_some_and(|last| last.verdict != Verdict::Inconclusive);
        let at = |one: &Self| (one.checker.state(), one.checker.against());
        known(self)
            && known(other)
            && at(self) == at(other)
            && is_same(&self.check, &other.check)
            && !self.owners().any(|(service, server)| other.is_of(service, server))
    }
}

/// Where a check of `server` goes, if another may go with it.
pub(crate) fn target(kind: &CheckKind, server: &RealServer) -> Option<SocketAddr> {
    let CheckKind::Network(check) = kind else { return None };
    let mut target = server.address;
    if let Some(other) = check.way.address.filter(|other| *other != target.ip()) {
        target = SocketAddr::new(other, target.port());
    }
    if let Some(port) = check.way.port {
        target.set_port(port);
    }
    if check.talk == Talk::Icmp {
        target.set_port(0);
    }
    Some(target)
}

/// Whether two checks that go to one target are the same.
fn is_same(one: &Check, other: &Check) -> bool {
    let (CheckKind::Network(a), CheckKind::Network(b)) = (&one.kind, &other.kind) else {
        return false;
    };
    let way = |way: &holdfast_config::Way| (way.source, way.device.clone(), way.mark);
    one.policy == other.policy
        && (Arc::ptr_eq(a, b) || (way(&a.way) == way(&b.way) && a.talk == b.talk))
}

impl Engine {
    /// Lets a check whose run has ended and another one that is the same be one.
    pub(crate) fn merge_twin(&mut self, id: CheckId, now: Instant) {
        let Some(running) = self.checks.get(&id) else { return };
        let Some(target) = running.target else { return };
        let others = self.targets.range((target, CheckId::FIRST)..=(target, CheckId::LAST));
        let twin = others.map(|(_, other)| *other).find(|other| {
            *other != id && self.checks.get(other).is_some_and(|other| running.goes_with(other))
        });
        let Some(twin) = twin else { return };
        let (stays, goes) = (id.min(twin), id.max(twin));
        let Some(gone) = self.checks.get(&goes) else { return };
        let owners: Vec<(Name, Name)> =
            gone.owners().map(|(service, server)| (service.clone(), server.clone())).collect();
        self.end_check(goes);
        for (service, server) in &owners {
            let pool = self.pools.get_mut(service);
            let known = pool.and_then(|pool| pool.servers.get_mut(server));
            for check in known.into_iter().flat_map(|known| &mut known.checks) {
                if *check == goes {
                    *check = stays;
                }
            }
        }
        if let Some(running) = self.checks.get_mut(&stays) {
            running.others.extend(owners.iter().cloned());
        }
        for (service, server) in &owners {
            self.take_advice(service, server, now);
        }
    }

    /// Runs a check no longer for `server`; it ends with the last one.
    pub(crate) fn leave_check(&mut self, id: CheckId, service: &Name, server: &Name) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        if (&running.service, &running.server) != (service, server) {
            running.others.retain(|(its, name)| (its, name) != (service, server));
            return;
        }
        match running.others.pop() {
            Some((service, server)) => (running.service, running.server) = (service, server),
            None => self.end_check(id),
        }
    }

    /// Notes that a server of a check is called otherwise.
    pub(crate) fn rename_owner(&mut self, id: CheckId, service: &Name, from: &Name, to: &Name) {
        let Some(running) = self.checks.get_mut(&id) else { return };
        let first = (&mut running.service, &mut running.server);
        let others = running.others.iter_mut().map(|(service, server)| (service, server));
        let mut owners = std::iter::once(first).chain(others);
        if let Some((_, name)) = owners.find(|(its, name)| **its == *service && **name == *from) {
            name.clone_from(to);
        }
    }

    /// Whether a check runs for more than one server.
    pub(crate) fn is_shared(&self, id: CheckId) -> bool {
        self.checks.get(&id).is_some_and(|running| !running.others.is_empty())
    }
}
