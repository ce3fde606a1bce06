//! The address thread's loop: takes what is wanted, compares it with the kernel, announces, in this order, then sleeps until
//! something of that is due.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::now;
use holdfast_time::Instant;

use super::desk::Desk;
use super::kernel::Kernel;
use super::tenant::{Claim, Tenant};

/// How often everything is compared though nothing was heard of: a change whose message was lost does not stay for ever.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// The pause after one instance's announcements: a thousand instances have announced themselves within some seconds.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(1);

/// How often a removal is tried at the end, when there will be no other chance.
const LAST_ATTEMPTS: usize = 3;

/// What the address thread owns.
#[derive(Debug)]
pub(super) struct Worker<K> {
    desk: Arc<Desk>,
    kernel: K,
    tenants: BTreeMap<Name, Tenant>,
    compare_at: Instant,
    closed: bool,
}

impl<K: Kernel> Worker<K> {
    /// A worker that goes on from the outcomes on the desk.
    pub(super) fn new(desk: Arc<Desk>, kernel: K, claims: &[Claim]) -> Self {
        let tenant = |claim: &Claim| {
            let outcome = desk.outcome(&claim.instance);
            (claim.instance.clone(), Tenant::new(claim.clone(), outcome))
        };
        let tenants = claims.iter().map(tenant).collect();
        Self { desk, kernel, tenants, compare_at: now() + COMPARE_EVERY, closed: false }
    }

    /// Works until the desk is closed and what is not wanted any more has been removed.
    pub(super) fn run(mut self) {
        loop {
            self.turn(now());
            if self.closed {
                return self.end();
            }
            // One at a time: a takeover that comes meanwhile does not wait for a thousand announcements.
            // And with pauses: the queues of the interface have to empty, by work that this thread's priority would hold up.
            if self.announce_one(now()) {
                self.desk.wait(ANNOUNCE_PAUSE);
            } else {
                self.sleep();
            }
        }
    }

    /// Takes the news and compares what is to be compared.
    pub(super) fn turn(&mut self, now: Instant) {
        let news = self.desk.news();
        self.closed |= news.closed;
        for (name, wanted) in news.wanted {
            if let Some(tenant) = self.tenants.get_mut(&name) {
                tenant.want(wanted);
            }
        }
        if self.compare_at <= now {
            self.compare_at = now + COMPARE_EVERY;
            self.tenants.values_mut().for_each(Tenant::doubt);
        }
        self.compare(now);
    }

    /// One listing serves all that are to be compared.
    fn compare(&mut self, now: Instant) {
        let Self { desk, kernel, tenants, .. } = self;
        if !tenants.values().any(|tenant| tenant.is_stale(now)) {
            return;
        }
        let present = kernel.list().map_err(|error| error.to_string());
        for tenant in tenants.values_mut().filter(|tenant| tenant.is_stale(now)) {
            match &present {
                Ok(present) => tenant.compare(now, present, kernel),
                Err(problem) => tenant.fail(now, problem.clone()),
            }
            desk.report(tenant.name(), tenant.outcome().clone());
        }
    }

    /// Announces what is due for longest; false when nothing is.
    pub(super) fn announce_one(&mut self, now: Instant) -> bool {
        let due =
            self.tenants.values_mut().filter_map(|tenant| Some((tenant.announce_at()?, tenant)));
        let next = due.filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at);
        match next {
            Some((_, tenant)) => {
                tenant.announce(now, &mut self.kernel);
                true
            }
            None => false,
        }
    }

    fn sleep(&self) {
        let due = self.tenants.values().filter_map(Tenant::deadline).min();
        let until = due.map_or(self.compare_at, |due| due.min(self.compare_at));
        self.desk.wait(until.saturating_since(now()));
    }

    fn end(&mut self) {
        for _ in 1..LAST_ATTEMPTS {
            let refused = |tenant: &&mut Tenant| !tenant.outcome().problems.is_empty();
            self.tenants.values_mut().filter(refused).for_each(Tenant::doubt);
            self.compare(now());
        }
    }
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
