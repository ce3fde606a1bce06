//! The address thread's loop: takes what is wanted, hears what has gone, makes the kernel as it is wanted, announces, in this order, then
//! sleeps until something of that is due or heard.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::{Change, Effect, Item, Losses, Verb, now};
use holdfast_time::Instant;

use super::announcing::{Paces, Pacing};
use super::claim::{Claim, Key};
use super::desk::{Claims, Desk};
use super::kernel::{Hindrances, Kernel};
use super::lifetime;
use super::renewing::Renewals;
use super::tenant::{self, Plan, RETRY_DELAY, Tenant, describe};
use super::word::{Asker, FRESH};

/// How often everything is listed and compared though nothing was heard of: a change whose message was lost does not stay for ever.
const COMPARE_EVERY: Duration = Duration::from_secs(10);

/// The pause after one instance's announcements: a thousand instances have announced themselves within some seconds.
const ANNOUNCE_PAUSE: Duration = Duration::from_millis(1);

/// How long what an earlier run has left stays where some of it is inherited: by then the VRRP thread has said who is Active.
const SWEEP_DELAY: Duration = Duration::from_secs(1);

/// How often a removal is tried at the end, when there will be no other chance.
const LAST_ATTEMPTS: usize = 3;

/// What the address thread owns.
#[derive(Debug)]
pub(super) struct Worker<K> {
    desk: Arc<Desk>,
    kernel: K,
    tenants: BTreeMap<Name, Tenant>,
    /// Who claims an address.
    claimants: BTreeMap<IpAddr, Vec<Name>>,
    renewals: Arc<Renewals>,
    /// The VRRP thread was asked for its word, without which nothing is put anywhere or announced; it will wake this one.
    waits: bool,
    pacing: Pacing,
    compare_at: Instant,
    /// When to remove what an earlier run has left; none when that is done.
    sweep_at: Option<Instant>,
    closed: bool,
}

impl<K: Kernel> Worker<K> {
    /// A worker that goes on from the outcomes on the desk.
    pub(super) fn new(
        desk: Arc<Desk>,
        kernel: K,
        claims: &[Claim],
        paces: Paces,
        renewals: Arc<Renewals>,
    ) -> Self {
        let tenant = |claim: &Claim| {
            let outcome = desk.outcome(&claim.instance);
            (claim.instance.clone(), Tenant::new(claim.clone(), outcome))
        };
        let tenants: BTreeMap<Name, Tenant> = claims.iter().map(tenant).collect();
        let claimants = claimants(&tenants);
        let at = now();
        let mut worker = Self {
            desk,
            kernel,
            tenants,
            claimants,
            renewals,
            waits: false,
            pacing: Pacing::new(paces),
            compare_at: at + COMPARE_EVERY,
            sweep_at: Some(at),
            closed: false,
        };
        worker.settle_lifetimes();
        worker
    }

    /// The same with `heirs`, who go on with what a worker that died has put somewhere.
    pub(super) fn inheriting(mut self, heirs: &BTreeSet<Name>) -> Self {
        if !heirs.is_empty() {
            self.sweep_at = Some(now() + SWEEP_DELAY);
        }
        for (_, tenant) in self.tenants.iter_mut().filter(|(name, _)| heirs.contains(*name)) {
            tenant.inherit();
        }
        self
    }

    /// Works until the desk is closed and what is not wanted any more has been removed.
    pub(super) fn run(mut self) {
        self.kernel.begin(now());
        loop {
            self.turn(now());
            if self.closed {
                return self.end();
            }
            // One at a time: a takeover that comes meanwhile does not wait for a thousand announcements.
            // And with pauses: the queues of the interface have to empty, by work that this thread's priority would hold up.
            let until =
                if self.announce_one(now()) { now() + ANNOUNCE_PAUSE } else { self.deadline() };
            self.kernel.wait(self.desk.waker(), until);
        }
    }

    /// Takes the news, hears what has gone, and compares what is to be compared.
    pub(super) fn turn(&mut self, now: Instant) {
        self.desk.waker().drain();
        self.waits = false;
        let news = self.desk.news();
        self.closed |= news.closed;
        if let Some(claims) = news.claims {
            self.reclaim(claims);
        }
        for (name, wanted, at) in news.wanted {
            if let Some(tenant) = self.tenants.get_mut(&name) {
                tenant.want(wanted, at);
            }
        }
        for name in &news.doubts {
            if let Some(tenant) = self.tenants.get_mut(name) {
                tenant.doubt();
            }
        }
        // What was heard of comes first: to look for what went without a word takes longer.
        let heard = self.hear(now).and_then(|()| {
            self.compare(now);
            self.recheck()
        });
        match heard {
            Ok(()) => {
                self.compare(now);
                self.drop_dismissed();
            }
            Err(problem) => {
                for tenant in self.tenants.values_mut().filter(|tenant| tenant.is_stale(now)) {
                    tenant.fail(now, problem.clone());
                    self.desk.report(tenant.name(), tenant.outcome().clone());
                }
            }
        }
    }

    /// Has the instances of `claims` from now on. What moves from one to another stays where it is.
    fn reclaim(&mut self, claims: Claims) {
        let Claims { claims, paces, renamed } = claims;
        self.pacing.set(paces);
        for (from, to) in renamed {
            // It is renewed under its new name when it was compared.
            self.renewals.forget(&from);
            if let Some(tenant) = self.tenants.remove(&from) {
                self.tenants.insert(to, tenant);
            }
        }
        let mut claims: BTreeMap<Name, Claim> =
            claims.into_iter().map(|claim| (claim.instance.clone(), claim)).collect();
        for (name, tenant) in &mut self.tenants {
            match claims.remove(name) {
                Some(claim) => tenant.reclaim(claim, self.kernel.inventory()),
                None => tenant.dismiss(),
            }
        }
        for (name, claim) in claims {
            let outcome = self.desk.outcome(&name);
            self.tenants.insert(name, Tenant::new(claim, outcome));
        }
        self.hand_over();
        self.settle_claims();
    }

    /// Lets instances that want it take over what others have put somewhere and claim no longer.
    fn hand_over(&mut self) {
        let Self { tenants, kernel, renewals, .. } = self;
        let host = kernel.inventory();
        let mut loose = Vec::new();
        for (name, tenant) in tenants.iter_mut() {
            let out = tenant.hand_out(host).into_iter();
            loose.extend(out.map(|(key, item)| (name.clone(), key, item)));
        }
        for (from, key, item) in loose {
            let mut rest = Some((key, item));
            for (_, tenant) in tenants.iter_mut().filter(|(name, _)| **name != from) {
                rest = rest.and_then(|(key, item)| tenant.take_over(key, item, host));
            }
            if let (Some((key, item)), Some(tenant)) = (rest, tenants.get_mut(&from)) {
                tenant.take_back(key, item);
            }
        }
        // Whatever else has to be waited for: who has it now renews it.
        for (name, tenant) in tenants.iter() {
            match tenant.renewal(host) {
                Some(renewal) => renewals.put(name, renewal, now(), false),
                None => renewals.forget(name),
            }
        }
        renewals.settle();
    }

    /// Makes what all instances share fit to what they claim now.
    fn settle_claims(&mut self) {
        self.claimants = claimants(&self.tenants);
        let claims: Vec<&Claim> = self.tenants.values().map(Tenant::claim).collect();
        if self.kernel.reclaim(&claims) {
            self.tenants.values_mut().for_each(Tenant::doubt);
        }
        self.settle_lifetimes();
    }

    /// How long addresses live depends on how many there are.
    fn settle_lifetimes(&mut self) {
        let crowd = lifetime::count(self.tenants.values().map(Tenant::claim));
        self.tenants.values_mut().for_each(|tenant| tenant.set_lifetime(crowd));
    }

    /// Forgets instances that are in the configuration no longer and have left nothing behind.
    fn drop_dismissed(&mut self) {
        let over = self.tenants.iter().filter(|(_, tenant)| tenant.is_over());
        let over: Vec<Name> = over.map(|(name, _)| name.clone()).collect();
        for name in &over {
            self.tenants.remove(name);
            self.renewals.forget(name);
            self.desk.forget(name);
        }
        if !over.is_empty() {
            self.settle_claims();
        }
    }

    /// Brings what is known of the kernel up to date, and doubts whom that concerns.
    fn hear(&mut self, now: Instant) -> Result<(), String> {
        if self.compare_at <= now {
            self.compare_at = now + COMPARE_EVERY;
            self.tenants.values_mut().for_each(Tenant::doubt);
            self.kernel.refresh().map_err(|error| error.to_string())?;
        }
        let Losses { addresses, others, everything } =
            self.kernel.follow().map_err(|error| error.to_string())?;
        if everything {
            self.tenants.values_mut().for_each(Tenant::doubt);
        } else if others {
            let concerned = self.tenants.values_mut().filter(|one| one.claim().looks_beyond());
            concerned.for_each(Tenant::doubt);
        }
        for name in addresses.iter().filter_map(|one| self.claimants.get(one)).flatten() {
            if let Some(tenant) = self.tenants.get_mut(name) {
                tenant.doubt();
            }
        }
        Ok(())
    }

    /// Looks for routes that went with an address or an interface, and doubts whom that concerns.
    fn recheck(&mut self) -> Result<(), String> {
        if self.kernel.recheck().map_err(|error| error.to_string())? {
            let concerned = self.tenants.values_mut().filter(|one| !one.claim().routes.is_empty());
            concerned.for_each(Tenant::doubt);
        }
        Ok(())
    }

    /// Makes the kernel as it is wanted: all instances' changes go in one row, so that they share its messages.
    fn compare(&mut self, now: Instant) {
        let plans = self.plan(now);
        for (name, plan) in &plans {
            // What is taken off may not be brought back by being renewed.
            if plan.takes_off_addresses() {
                self.renewals.withhold(name);
            }
        }
        let Self { desk, kernel, tenants, renewals, .. } = self;
        let changes = plans.iter().map(|(_, plan)| plan.changes.as_slice());
        let mut results = carry_out(kernel, changes.collect());
        // The last first: each takes its results from the end.
        for (name, mut plan) in plans.into_iter().rev() {
            let results = results.split_off(results.len().saturating_sub(plan.changes.len()));
            if let Some(tenant) = tenants.get_mut(&name) {
                if !tenant.wanted().held {
                    plan.hinder(kernel.rest(tenant.claim()));
                }
                let is_new = plan.is_new();
                tenant.settle(now, plan, results, kernel.inventory());
                match tenant.renewal(kernel.inventory()) {
                    Some(renewal) => renewals.put(&name, renewal, now, is_new),
                    None => renewals.forget(&name),
                }
                desk.report(&name, tenant.outcome().clone());
            }
        }
        renewals.settle();
        // An heir that waits for a word has not yet said what is its own.
        if !self.waits && self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep(now);
        }
    }

    /// What makes the kernel as it is wanted, of all that may not be so. Where addresses are wanted, that waits for the VRRP thread's word.
    fn plan(&mut self, now: Instant) -> Vec<(Name, Plan)> {
        let began = holdfast_net::now();
        let Self { desk, kernel, tenants, waits, .. } = self;
        let mut ready = Vec::new();
        for tenant in tenants.values_mut().filter(|tenant| tenant.is_stale(now)) {
            if !may_bring(desk, tenant, now) {
                *waits = true;
                continue;
            }
            let (below, held) = (tenant.wanted().interface.as_ref(), tenant.wanted().held);
            ready.push((tenant.name().clone(), kernel.prepare(now, tenant.claim(), below, held)));
        }
        // That may have waited for others: what was wanted before counts only if it still is.
        let now = now + holdfast_net::now().saturating_since(began);
        let mut plans = Vec::new();
        for (name, Hindrances { problems, unseated }) in ready {
            let Some(tenant) = tenants.get_mut(&name) else { continue };
            if desk.has_news(&name) {
                continue;
            }
            if !may_bring(desk, tenant, now) {
                *waits = true;
                continue;
            }
            let mut plan = tenant.plan(now, kernel.inventory(), unseated);
            plan.hinder(problems);
            plans.push((name, plan));
        }
        plans
    }

    /// Removes what has the daemon's mark and nobody's wish: an earlier run, which was killed, has left it, whatever its configuration.
    fn sweep(&mut self, now: Instant) {
        let host = self.kernel.inventory();
        let addresses = host.addresses().filter(|(_, placed)| placed.marked);
        let on = |index| host.device_by_index(index).map(|device| device.interface.clone());
        let addresses =
            addresses.filter_map(|(index, placed)| Some(Item::Address(on(index)?, placed.clone())));
        let routes = host.routes().cloned().map(Item::Route);
        let rules = host.rules().cloned().map(Item::Rule);
        let kept: BTreeSet<&Key> = self.tenants.values().flat_map(Tenant::kept).collect();
        let all = rules.chain(routes).chain(addresses);
        let left = all.filter(|item| !kept.contains(&Key::of(item)));
        let left: Vec<Change> = left.map(Change::remove).collect();
        if !left.is_empty() {
            let items: Vec<String> = left.iter().map(|change| describe(&change.item)).collect();
            tracing::info!(?items, "what an earlier run has left is removed");
        }
        let refused = self.kernel.change(&left).into_iter().filter_map(Result::err);
        let refused: Vec<String> = refused.map(|error| error.to_string()).collect();
        if let Some(problem) = refused.first() {
            tracing::warn!(
                problem,
                "what an earlier run has left could not be removed; it is tried again every second"
            );
        }
        self.sweep_at = (!refused.is_empty()).then(|| now + RETRY_DELAY);
    }

    /// Announces what is due for longest; false when nothing is.
    pub(super) fn announce_one(&mut self, now: Instant) -> bool {
        let due =
            self.tenants.values_mut().filter_map(|tenant| Some((tenant.announce_at()?, tenant)));
        let next = due.filter(|(at, _)| *at <= now).min_by_key(|(at, _)| *at);
        let Some((_, tenant)) = next else { return false };
        if !may_bring(&self.desk, tenant, now) {
            self.waits = true;
            return false;
        }
        // What the VRRP thread has said before its word comes first: it may have given the role away.
        if self.desk.has_news(tenant.name()) {
            return false;
        }
        tenant.announce(now, &mut self.kernel, &mut self.pacing);
        true
    }

    /// When there is something to do without news. What waits for the VRRP thread's word waits for no time.
    fn deadline(&self) -> Instant {
        let waits = |tenant: &&Tenant| self.waits && tenant.wanted().held;
        let tenants = self.tenants.values().filter(|tenant| !waits(tenant));
        let due = tenants.filter_map(Tenant::deadline);
        due.chain(self.sweep_at.filter(|_| !self.waits)).fold(self.compare_at, Instant::min)
    }

    fn end(&mut self) {
        for _ in 1..LAST_ATTEMPTS {
            let refused = |tenant: &&mut Tenant| !tenant.outcome().problems.is_empty();
            self.tenants.values_mut().filter(refused).for_each(Tenant::doubt);
            self.compare(now());
        }
    }
}

/// Whether something may be put there or announced for `tenant`: nothing is wanted, or its wish is of this moment, or the VRRP thread has
/// given its word. It is asked for that otherwise.
fn may_bring(desk: &Desk, tenant: &Tenant, now: Instant) -> bool {
    !tenant.wanted().held || tenant.is_fresh(now) || desk.has_word(now, FRESH, Asker::Addresses)
}

/// Who claims each address.
fn claimants(tenants: &BTreeMap<Name, Tenant>) -> BTreeMap<IpAddr, Vec<Name>> {
    let mut claimants: BTreeMap<IpAddr, Vec<Name>> = BTreeMap::new();
    for (name, tenant) in tenants {
        for address in tenant::claimed_addresses(tenant.claim()) {
            claimants.entry(address).or_default().push(name.clone());
        }
    }
    claimants
}

/// The order in which changes are made: rules and routes go before the addresses that they need, and come after them.
const fn rank(change: &Change) -> u8 {
    match (change.verb, &change.item) {
        (Verb::Remove, Item::Rule(_)) => 0,
        (Verb::Remove, Item::Route(_)) => 1,
        (Verb::Remove, Item::Address(..)) => 2,
        (Verb::Add | Verb::Renew, Item::Address(..)) => 3,
        (Verb::Add | Verb::Renew, Item::Route(_)) => 4,
        (Verb::Add | Verb::Renew, Item::Rule(_)) => 5,
    }
}

/// Carries out the changes of all `plans` by [`rank`], and gives the results in the plans' order.
fn carry_out<K: Kernel>(kernel: &mut K, plans: Vec<&[Change]>) -> Vec<Result<Effect, K::Error>> {
    let mut order: Vec<(usize, &Change)> = plans.into_iter().flatten().enumerate().collect();
    if order.is_empty() {
        return Vec::new();
    }
    order.sort_by_key(|(_, change)| rank(change));
    let (places, changes): (Vec<usize>, Vec<Change>) =
        order.into_iter().map(|(place, change)| (place, change.clone())).unzip();
    let mut results: Vec<_> = places.into_iter().zip(kernel.change(&changes)).collect();
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
#[path = "worker_tests.rs"]
mod tests;
