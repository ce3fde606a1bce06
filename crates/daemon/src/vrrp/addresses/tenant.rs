//! One instance's addresses, routes and rules: what is wanted of the kernel against what the kernel has.
//!
//! - Addresses of an instance that is not the owner belong nowhere but on an Active: whatever is found elsewhere is a leftover, and is
//!   removed. One that is there in another form (prefix length, label, scope) is replaced.
//! - An owner's addresses (priority 255) are the node's own where they have not the daemon's mark: they count as they are, and are never
//!   removed. What others take away of them is put back as it was, without the mark.
//! - Of routes and rules, what this process has added is removed, and no other.

mod comparison;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::{Inventory, Item, Placed};
use holdfast_time::Instant;

use super::announcing::{Announcing, Pacing};
use super::claim::{Claim, Key};
use super::desk::{Outcome, Wanted};
use super::few::Few;
use super::kernel::Kernel;
use super::lifetime::Lease;
use super::renewing::Renewal;
use super::restraint::Restraint;
use super::word::{self, FRESH};

pub(super) use self::comparison::{Plan, describe};

/// How long after a refusal of the kernel the next attempt comes.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A missing interface of a virtual MAC address is a fault after this: the second attempt to make it has failed, too.
const UNSEATED_AFTER: Duration = Duration::from_millis(900);

/// An instance as the address thread knows it.
#[derive(Debug)]
pub(super) struct Tenant {
    claim: Claim,
    wanted: Wanted,
    /// When the VRRP thread said so.
    wanted_at: Instant,
    outcome: Outcome,
    /// To be compared with the kernel at the next turn.
    stale: bool,
    retry_at: Option<Instant>,
    /// What the last comparison found or put there. What is missing of it, somebody has taken away.
    in_place: Few<Key, ()>,
    /// What an owner's own addresses look like.
    own: Few<Key, Placed>,
    restraint: Restraint,
    /// Since when the interface of its virtual MAC address has been missing.
    unseated_at: Option<Instant>,
    announcing: Announcing,
    lease: Lease,
    /// The instance is in the configuration no longer: what it has put somewhere goes, and then itself.
    dismissed: bool,
    /// What has the daemon's mark and is wanted was put there by a worker that died: it counts as this one's.
    inherits: bool,
}

impl Tenant {
    /// An instance of which `outcome` is known.
    pub(super) fn new(claim: Claim, outcome: Outcome) -> Self {
        Self {
            announcing: Announcing::new(claim.announce),
            claim,
            wanted: Wanted::default(),
            wanted_at: Instant::ZERO,
            outcome,
            stale: false,
            retry_at: None,
            in_place: Few::default(),
            own: Few::default(),
            restraint: Restraint::default(),
            unseated_at: None,
            lease: Lease::default(),
            dismissed: false,
            inherits: false,
        }
    }

    /// Goes on with what a worker that died has put somewhere, at its first comparison.
    pub(super) fn inherit(&mut self) {
        self.inherits = true;
    }

    /// Claims something else from now on. What it has put somewhere in another form than it is wanted in now is put there anew.
    pub(super) fn reclaim(&mut self, claim: Claim, host: &Inventory) {
        self.dismissed = false;
        if self.claim == claim {
            return;
        }
        let on = self.wanted.interface.as_ref();
        let (before, after) = (self.claim.wishes(on, host), claim.wishes(on, host));
        let same = |key: &Key| before.items.get(key) == after.items.get(key);
        self.change_ours(|ours| {
            ours.retain(|key, _| same(key) || !after.items.contains_key(key));
        });
        self.in_place.retain(|key, ()| same(key) && after.items.contains_key(key));
        self.own.retain(|key, _| after.items.contains_key(key));
        self.announcing.set(claim.announce);
        self.claim = claim;
        self.stale = true;
    }

    /// Wants nothing any more, for good.
    pub(super) fn dismiss(&mut self) {
        self.dismissed = true;
        self.want(Wanted { held: false, ..self.wanted.clone() }, self.wanted_at);
    }

    /// Whether it was dismissed and has left nothing behind.
    pub(super) fn is_over(&self) -> bool {
        self.dismissed && !self.stale && self.outcome.ours.is_empty() && self.retry_at.is_none()
    }

    /// Takes out what it has put somewhere and claims no longer, for others who claim it now.
    pub(super) fn hand_out(&mut self, host: &Inventory) -> Vec<(Key, Item)> {
        let claimed = self.claim.wishes(self.wanted.interface.as_ref(), host);
        let stays = |key: &Key| !self.dismissed && claimed.items.contains_key(key);
        let out: Vec<(Key, Item)> = self
            .outcome
            .ours
            .iter()
            .filter(|(key, _)| !stays(key))
            .map(|(key, item)| (key.clone(), item.clone()))
            .collect();
        self.change_ours(|ours| out.iter().for_each(|(key, _)| ours.remove(key)));
        out
    }

    /// Takes over what another one has put somewhere, if it wants it there; gives it back otherwise.
    pub(super) fn take_over(
        &mut self,
        key: Key,
        item: Item,
        host: &Inventory,
    ) -> Option<(Key, Item)> {
        let claimed = self.claim.wishes(self.wanted.interface.as_ref(), host);
        if self.dismissed || !self.wanted.held || claimed.items.get(&key) != Some(&item) {
            return Some((key, item));
        }
        self.in_place.insert(key.clone(), ());
        self.change_ours(|ours| ours.insert(key, item));
        self.announcing.renew();
        None
    }

    /// Has something back that nobody took over.
    pub(super) fn take_back(&mut self, key: Key, item: Item) {
        self.change_ours(|ours| ours.insert(key, item));
    }

    pub(super) const fn name(&self) -> &Name {
        &self.claim.instance
    }

    pub(super) const fn claim(&self) -> &Claim {
        &self.claim
    }

    pub(super) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub(super) const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Whether the VRRP thread has said only just now what is wanted.
    pub(super) fn is_fresh(&self, now: Instant) -> bool {
        word::is_good(self.wanted_at, now, FRESH)
    }

    /// Wants something else from now on, as the VRRP thread has said at this moment.
    pub(super) fn want(&mut self, wanted: Wanted, at: Instant) {
        if wanted.losses != self.wanted.losses {
            // What was on the interface went with it. The next may have its number and others' addresses.
            self.change_ours(|ours| ours.retain(|key, _| !matches!(key, Key::Address(..))));
            self.in_place.clear();
            self.announcing.stop();
        }
        if !wanted.held {
            self.announcing.stop();
        }
        (self.wanted, self.wanted_at) = (wanted, at);
        self.stale = true;
    }

    /// To be compared at the next turn, because nobody knows what others have done.
    pub(super) fn doubt(&mut self) {
        self.stale |= self.wanted.interface.is_some() || !self.outcome.ours.is_empty();
    }

    /// Whether it is to be compared with the kernel now.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.stale || self.retry_at.is_some_and(|at| at <= now)
    }

    /// When there is something to do for it without news.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at.into_iter().chain(self.announcing.at()).min()
    }

    /// Lets its addresses live as long as they are claimed to, where the node has `crowd` addresses in all.
    pub(super) fn set_lifetime(&mut self, crowd: usize) {
        if self.lease.set(self.claim.lifetime, crowd) {
            self.doubt();
        }
    }

    /// What renews its addresses as they are now; nothing where they are not wanted.
    pub(super) fn renewal(&self, host: &Inventory) -> Option<Renewal> {
        let on = self.wanted.interface.as_ref();
        // What is claimed no longer is to end, whatever keeps it from being taken off.
        let is_claimed = |key: &Key| self.claim.has(key, on, host);
        self.wanted.held.then(|| self.lease.renewal(&self.outcome.ours, is_claimed, host))
    }

    pub(super) const fn announce_at(&self) -> Option<Instant> {
        self.announcing.at()
    }

    /// What is there for its sake.
    pub(super) fn kept(&self) -> impl Iterator<Item = &Key> {
        self.in_place.keys().chain(self.outcome.ours.keys())
    }

    /// Takes note that the kernel did not say what is there.
    pub(super) fn fail(&mut self, now: Instant, problem: String) {
        self.finish(now, vec![problem]);
    }

    fn change_ours(&mut self, change: impl FnOnce(&mut Few<Key, Item>)) {
        change(Arc::make_mut(&mut self.outcome.ours));
    }

    /// A refusal is logged when it is new, not each time that the same is tried again.
    fn finish(&mut self, now: Instant, problems: Vec<String>) {
        self.stale = false;
        self.retry_at = (!problems.is_empty()).then(|| now + RETRY_DELAY);
        if problems == self.outcome.problems {
            return;
        }
        for problem in &problems {
            tracing::error!(instance = %self.name(), problem, "an address, route or rule is not as it should be; it is tried again every second");
        }
        if problems.is_empty() {
            tracing::info!(instance = %self.name(), "addresses, routes and rules are as they should be again");
        }
        self.outcome.problems = problems;
    }

    /// Sends what is due of its announcements.
    pub(super) fn announce<K: Kernel>(
        &mut self,
        now: Instant,
        kernel: &mut K,
        pacing: &mut Pacing,
    ) {
        self.announcing.step(now, &self.claim.instance, kernel, pacing);
    }
}

/// Which addresses an instance claims, for whoever hears that one is gone.
pub(super) fn claimed_addresses(claim: &Claim) -> impl Iterator<Item = IpAddr> + '_ {
    claim.addresses.iter().map(|address| address.net.addr())
}
