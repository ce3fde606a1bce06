//! One instance's addresses, routes and rules: what is wanted of the kernel against what the kernel has.
//!
//! - Addresses of an instance that is not the owner belong nowhere but on an Active: whatever is found elsewhere is a leftover, and is
//!   removed. One that is there in another form (prefix length, label, scope) is replaced.
//! - An owner's addresses (priority 255) are the node's own where they have not the daemon's mark: they count as they are, and are never
//!   removed. What others take away of them is put back as it was, without the mark.
//! - Of routes and rules, what this process has added is removed, and no other.

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::{Change, Effect, IfIndex, Interface, Inventory, Item, MacAddress, Placed, Verb};
use holdfast_time::Instant;

use super::announcing::{Announcing, Pacing, Target};
use super::claim::{Claim, Key, Wishes};
use super::desk::{Outcome, Wanted};
use super::few::Few;
use super::kernel::Kernel;
use super::lifetime::{Lease, endless};
use super::renewing::Renewal;
use super::restraint::Restraint;
use super::word::{self, FRESH};

/// How long after a refusal of the kernel the next attempt comes.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A missing interface of a virtual MAC address is a fault after this: the second attempt to make it has failed, too.
const UNSEATED_AFTER: Duration = Duration::from_millis(900);

const NO_MAC: MacAddress = MacAddress::new([0; 6]);

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

/// What a comparison came to: to be carried out, and then to be settled.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    wishes: Wishes,
    problems: Vec<String>,
    /// What is wanted and not there.
    absent: Few<Key, ()>,
    /// What of `changes` puts something back.
    back: Few<Key, ()>,
    /// Something that is there was put there by a worker that died.
    inherits: bool,
}

impl Plan {
    /// Adds what keeps it from being all that is wanted.
    pub(super) fn hinder(&mut self, problems: Vec<String>) {
        self.problems.extend(problems);
    }

    /// Whether it takes addresses off.
    pub(super) fn takes_off_addresses(&self) -> bool {
        self.concerns_addresses(Verb::Remove)
    }

    /// Whether it puts addresses there, and goes on with none of a worker that died.
    pub(super) fn is_new(&self) -> bool {
        !self.inherits && self.concerns_addresses(Verb::Add)
    }

    fn concerns_addresses(&self, verb: Verb) -> bool {
        let is_one = |item: &Item| matches!(item, Item::Address(..));
        self.changes.iter().any(|change| change.verb == verb && is_one(&change.item))
    }
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
        self.wanted.held.then(|| self.lease.renewal(&self.outcome.ours, host))
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

    /// What makes the kernel, which has `host`, as it is wanted.
    ///
    /// Where the interface of its virtual MAC address is missing, `unseated` says why: nothing is put anywhere else then.
    pub(super) fn plan(
        &mut self,
        now: Instant,
        host: &Inventory,
        unseated: Option<String>,
    ) -> Plan {
        let held = self.wanted.held && unseated.is_none();
        self.unseated_at = unseated.as_ref().map(|_| self.unseated_at.unwrap_or(now));
        let on = self.wanted.interface.as_ref();
        let claimed = self.claim.wishes(on, host);
        if !self.outcome.ours.values().all(|item| is_there(host, item)) {
            self.change_ours(|ours| ours.retain(|_, item| is_there(host, item)));
        }
        self.note_own(&claimed, host);
        let inherits = std::mem::take(&mut self.inherits) && held;
        if inherits {
            self.take_up(&claimed, host);
        }
        let mut changes = self.surplus(&claimed, host);
        if !held {
            self.in_place.clear();
            let wishes = Wishes { lacks_address: true, ..Wishes::default() };
            let problems = unseated.iter().cloned().collect();
            // One that was deleted is made anew at once; only one that can't be made again is a fault.
            let lasts = |at| now.saturating_since(at) >= UNSEATED_AFTER;
            self.outcome.unseated = unseated.filter(|_| self.unseated_at.is_some_and(lasts));
            let (absent, back) = (Few::default(), Few::default());
            return Plan { changes, wishes, problems, absent, back, inherits };
        }
        self.outcome.unseated = None;
        let own = self.wanted.interface.as_ref().map(|on| on.index);
        self.in_place.retain(|key, ()| match key {
            Key::Address(on, _) => host.device_by_index(*on).is_some() || own == Some(*on),
            Key::Route(_) | Key::Rule(_) => true,
        });
        let missing: Few<Key, Item> = claimed
            .items
            .iter()
            .filter(|(key, item)| !self.is_met(key, item, host))
            .map(|(key, item)| (key.clone(), self.as_own(key, item)))
            .collect();
        let absent: Few<Key, ()> = missing.keys().map(|key| (key.clone(), ())).collect();
        let mut problems = claimed.problems.clone();
        let back = missing.keys().filter(|key| self.in_place.contains_key(key));
        let back: Few<Key, ()> = back.map(|key| (key.clone(), ())).collect();
        if !back.is_empty() && !self.restraint.allows(now) {
            problems.push(
                "others take away as often what is put back: it is now tried once a second"
                    .to_owned(),
            );
        } else {
            let missing = missing.values().cloned();
            changes.extend(missing.map(|item| Change::add(self.lease.limit(item, host))));
        }
        for key in claimed.items.keys().filter(|key| !absent.contains_key(key)) {
            self.in_place.insert(key.clone(), ());
        }
        Plan { changes, wishes: claimed, problems, absent, back, inherits }
    }

    /// Takes what is there and wanted and has the daemon's mark for what this process has put there.
    fn take_up(&mut self, claimed: &Wishes, host: &Inventory) {
        let owner = self.claim.owner;
        let marked = |item: &Item| match item {
            Item::Address(on, wish) => {
                let mut here = host.placed(wish.net.addr(), on.index).iter();
                // Before Linux 5.18 there is no mark; what has an end is no owner's own.
                let mortal = |placed: &Placed| placed.lifetime.is_some() && !owner;
                here.any(|placed| (placed.marked || mortal(placed)) && fits(wish, placed, on))
            }
            // Of routes and rules none other is known.
            Item::Route(wish) => host.route(&wish.key).is_some_and(|there| wish.is_met_by(there)),
            Item::Rule(rule) => host.has_rule(rule),
        };
        for (key, item) in claimed.items.iter().filter(|(_, item)| marked(item)) {
            self.change_ours(|ours| ours.insert(key.clone(), item.clone()));
        }
    }

    /// Takes note of what became of a plan's changes, in their order.
    pub(super) fn settle<E: Display>(
        &mut self,
        now: Instant,
        plan: Plan,
        results: Vec<Result<Effect, E>>,
        host: &Inventory,
    ) {
        let Plan { changes, wishes, mut problems, mut absent, back, .. } = plan;
        let mut remain = false;
        let mut restored = Vec::new();
        for (change, result) in changes.into_iter().zip(results) {
            let key = Key::of(&change.item);
            let is_address = matches!(key, Key::Address(..));
            match (change.verb, result) {
                (Verb::Add | Verb::Renew, Ok(effect)) => {
                    if back.contains_key(&key) {
                        restored.push(describe(&change.item));
                        self.outcome.put_back = self.outcome.put_back.saturating_add(1);
                    }
                    if effect == Effect::Done {
                        self.take(key.clone(), change.item);
                    }
                    absent.remove(&key);
                    self.in_place.insert(key, ());
                }
                (Verb::Remove, Ok(_)) => {
                    self.change_ours(|ours| ours.remove(&key));
                }
                (verb, Err(error)) => {
                    remain |= is_address && verb == Verb::Remove;
                    problems.push(error.to_string());
                }
            }
        }
        if !restored.is_empty() {
            tracing::warn!(instance = %self.name(), items = ?restored, "what was taken away was put back");
        }
        self.outcome.holds = if self.wanted.held {
            let lacks = absent.keys().any(|key| matches!(key, Key::Address(..)));
            self.wanted.interface.is_some() && !lacks && !wishes.lacks_address
        } else {
            remain
        };
        self.in_place.shrink();
        // Once, and not for each of the changes; it is the desk's, too, when the outcome is reported.
        if let Some(ours) = Arc::get_mut(&mut self.outcome.ours) {
            ours.shrink();
        }
        if self.wanted.held {
            let targets = self.targets(&wishes, &absent, host);
            self.announcing.ask(now, self.wanted.announcements, targets);
        }
        self.finish(now, problems);
    }

    /// What is there and may not be. An address in a form that is not wanted is nothing that is met, so that it is added after.
    fn surplus(&self, claimed: &Wishes, host: &Inventory) -> Vec<Change> {
        let wanted = |key: &Key| self.wanted.held && claimed.items.contains_key(key);
        let ours = self.outcome.ours.iter().filter(|(key, _)| !wanted(key));
        let mut surplus: Vec<Change> = ours.map(|(_, item)| Change::remove(item.clone())).collect();
        let mut left = Vec::new();
        for (key, item) in claimed.items.iter() {
            match item {
                Item::Address(on, wish) => {
                    let here = host.placed(wish.net.addr(), on.index).iter();
                    let stay = |placed: &&Placed| {
                        let fits = wanted(key) && fits(wish, placed, on);
                        let own = self.claim.owner && !placed.marked;
                        !fits && !own && !self.has_put(key, placed)
                    };
                    left.extend(
                        here.filter(stay).map(|one| Item::Address(on.clone(), one.clone())),
                    );
                }
                Item::Route(wish) if wanted(key) && !self.outcome.ours.contains_key(key) => {
                    let other = host.route(&wish.key).filter(|present| !wish.is_met_by(present));
                    left.extend(other.cloned().map(Item::Route));
                }
                Item::Route(_) | Item::Rule(_) => {}
            }
        }
        self.say_left(&left);
        surplus.extend(left.into_iter().map(Change::remove));
        surplus
    }

    /// Says what is taken away that this process has not put there: what a killed daemon left, which is as it should be, or what somebody
    /// else has given the interface meanwhile.
    fn say_left(&self, left: &[Item]) {
        let foreign = |item: &Item| matches!(item, Item::Address(_, placed) if !placed.marked);
        let items: Vec<String> = left.iter().map(describe).collect();
        if left.iter().any(foreign) {
            tracing::warn!(instance = %self.name(), ?items, "the interface has virtual addresses that somebody else has put there: they are removed, since VRRP brings them and takes them");
        } else if !left.is_empty() {
            tracing::info!(instance = %self.name(), ?items, "what somebody left on the interface is removed");
        }
    }

    /// Whether the wish is there, in whatever form counts.
    fn is_met(&self, key: &Key, item: &Item, host: &Inventory) -> bool {
        match item {
            Item::Address(on, wish) => {
                host.placed(wish.net.addr(), on.index).iter().any(|placed| {
                    fits(wish, placed, on)
                        || self.has_put(key, placed)
                        || (self.claim.owner && !placed.marked)
                })
            }
            Item::Route(wish) => host.route(&wish.key).is_some_and(|present| {
                self.outcome.ours.contains_key(key) || wish.is_met_by(present)
            }),
            Item::Rule(rule) => host.has_rule(rule),
        }
    }

    /// Whether this process has put `placed` there, in the form that it has: what the kernel makes of it is no reason to do it again.
    fn has_put(&self, key: &Key, placed: &Placed) -> bool {
        matches!(self.outcome.ours.get(key), Some(Item::Address(_, ours)) if ours.net == placed.net)
    }

    /// Remembers what an owner's own addresses look like, for as long as it is Active.
    fn note_own(&mut self, claimed: &Wishes, host: &Inventory) {
        if !self.wanted.held {
            self.own.clear();
            return;
        }
        if !self.claim.owner {
            return;
        }
        for (key, item) in claimed.items.iter() {
            let Item::Address(on, wish) = item else { continue };
            let here = host.placed(wish.net.addr(), on.index).iter();
            let mut own = here.filter(|placed| !placed.marked && !self.has_put(key, placed));
            if let Some(placed) = own.next() {
                self.own.insert(key.clone(), placed.clone());
            }
        }
    }

    /// What is to be added for a wish: an owner's own address as it was, anything else as it is wished for.
    fn as_own(&self, key: &Key, item: &Item) -> Item {
        match (item, self.own.get(key)) {
            (Item::Address(on, _), Some(own)) => Item::Address(on.clone(), own.clone()),
            _ => item.clone(),
        }
    }

    /// Takes note that this process has added `item`. An owner's own address does not become the daemon's by being put back.
    fn take(&mut self, key: Key, item: Item) {
        if let Item::Address(..) = item {
            self.announcing.renew();
        }
        if !self.own.contains_key(&key) {
            self.change_ours(|ours| ours.insert(key, endless(item)));
        }
    }

    fn change_ours(&mut self, change: impl FnOnce(&mut Few<Key, Item>)) {
        change(Arc::make_mut(&mut self.outcome.ours));
    }

    /// What is to be announced: each address that is there, at the Ethernet address of its interface.
    fn targets(&self, wishes: &Wishes, absent: &Few<Key, ()>, host: &Inventory) -> Vec<Target> {
        let there = wishes.items.iter().filter(|(key, _)| !absent.contains_key(key));
        let target = |item: &Item| {
            let Item::Address(on, placed) = item else { return None };
            let mac = if self.is_on(on.index) {
                self.wanted.mac
            } else {
                // A macvlan that was just set up says so later.
                let is_seat = self.claim.device.as_ref() == Some(&on.name);
                host.device_by_index(on.index).filter(|device| device.up || is_seat)?.mac
            };
            let seat = self.claim.seat.as_ref().filter(|seat| seat.name == on.name);
            let link = seat.map_or(&on.name, |seat| &seat.below).clone();
            let (on, address) = (on.clone(), placed.net.addr());
            Some(Target { on, link, mac: mac.filter(|mac| *mac != NO_MAC)?, address })
        };
        let mut targets: Vec<Target> = there.filter_map(|(_, item)| target(item)).collect();
        // They are kept, to be compared with the next ones.
        targets.shrink_to_fit();
        targets
    }

    fn is_on(&self, index: IfIndex) -> bool {
        self.wanted.interface.as_ref().is_some_and(|on| on.index == index)
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

/// Whether `placed` is what is wished for. IPv6 addresses have no label, and the scope that the kernel finds.
fn fits(wish: &Placed, placed: &Placed, on: &Interface) -> bool {
    let label = |one: &Placed| one.label.clone().unwrap_or_else(|| on.name.clone());
    wish.net == placed.net
        && (wish.net.addr().is_ipv6()
            || (wish.scope == placed.scope && label(wish) == label(placed)))
}

fn is_there(host: &Inventory, item: &Item) -> bool {
    match item {
        Item::Address(on, ours) => {
            host.placed(ours.net.addr(), on.index).iter().any(|placed| placed.net == ours.net)
        }
        Item::Route(route) => host.route(&route.key).is_some(),
        Item::Rule(rule) => host.has_rule(rule),
    }
}

/// What to call an item in the log.
pub(super) fn describe(item: &Item) -> String {
    match item {
        Item::Address(on, placed) => format!("{placed} on {on}"),
        Item::Route(route) => format!("route {}", route.key),
        Item::Rule(rule) => format!("rule {rule}"),
    }
}

/// Which addresses an instance claims, for whoever hears that one is gone.
pub(super) fn claimed_addresses(claim: &Claim) -> impl Iterator<Item = IpAddr> + '_ {
    claim.addresses.iter().map(|address| address.net.addr())
}
