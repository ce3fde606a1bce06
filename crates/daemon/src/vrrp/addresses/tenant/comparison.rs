//! A comparison of what one instance wants with what the kernel has, and what became of the changes that it came to.

use std::fmt::Display;
use std::sync::Arc;

use holdfast_net::{Change, Effect, IfIndex, Interface, Inventory, Item, MacAddress, Placed, Verb};
use holdfast_time::Instant;

use super::super::announcing::Target;
use super::super::claim::{Key, Wishes};
use super::super::few::Few;
use super::super::lifetime::endless;
use super::{RETRY_DELAY, Tenant, UNSEATED_AFTER};

const NO_MAC: MacAddress = MacAddress::new([0; 6]);

/// What a comparison came to: to be carried out, and then to be settled.
#[derive(Debug)]
pub(in super::super) struct Plan {
    pub(in super::super) changes: Vec<Change>,
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
    pub(in super::super) fn hinder(&mut self, problems: Vec<String>) {
        self.problems.extend(problems);
    }

    /// Whether it takes addresses off.
    pub(in super::super) fn takes_off_addresses(&self) -> bool {
        self.concerns_addresses(Verb::Remove)
    }

    /// Whether it puts addresses there, and goes on with none of a worker that died.
    pub(in super::super) fn is_new(&self) -> bool {
        !self.inherits && self.concerns_addresses(Verb::Add)
    }

    fn concerns_addresses(&self, verb: Verb) -> bool {
        let is_one = |item: &Item| matches!(item, Item::Address(..));
        self.changes.iter().any(|change| change.verb == verb && is_one(&change.item))
    }
}

impl Tenant {
    /// What makes the kernel, which has `host`, as it is wanted.
    ///
    /// Where the interface of its virtual MAC address is missing, `unseated` says why: nothing is put anywhere else then.
    pub(in super::super) fn plan(
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
        let is_heir = std::mem::take(&mut self.inherits) && held;
        let inherits = held && self.take_up(&claimed, is_heir, host) || is_heir;
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

    /// Takes what is there and wanted and has the daemon's mark for what this process has put there; whether there was any. It has come from an
    /// earlier process, or another one, in the moment in which this one did the same. Of routes and rules only an heir's are known.
    fn take_up(&mut self, claimed: &Wishes, is_heir: bool, host: &Inventory) -> bool {
        let owner = self.claim.owner;
        let marked = |item: &Item| match item {
            Item::Address(on, wish) => {
                let mut here = host.placed(wish.net.addr(), on.index).iter();
                // Before Linux 5.18 there is no mark; what has an end is no owner's own.
                let mortal = |placed: &Placed| placed.lifetime.is_some() && !owner;
                here.any(|placed| (placed.marked || mortal(placed)) && fits(wish, placed, on))
            }
            Item::Route(wish) => {
                is_heir && host.route(&wish.key).is_some_and(|there| wish.is_met_by(there))
            }
            Item::Rule(rule) => is_heir && host.has_rule(rule),
        };
        let new = claimed.items.iter().filter(|(key, _)| !self.outcome.ours.contains_key(key));
        let found = new.filter(|(_, item)| marked(item));
        let found: Vec<(Key, Item)> =
            found.map(|(key, item)| (key.clone(), item.clone())).collect();
        let is_any = !found.is_empty();
        if is_any {
            self.change_ours(|ours| {
                found.into_iter().for_each(|(key, item)| ours.insert(key, item))
            });
        }
        is_any
    }

    /// Takes note of what became of a plan's changes, in their order.
    pub(in super::super) fn settle<E: Display>(
        &mut self,
        now: Instant,
        plan: Plan,
        results: Vec<Result<Effect, E>>,
        host: &Inventory,
    ) {
        let Plan { changes, wishes, mut problems, mut absent, back, .. } = plan;
        let mut remain = false;
        let mut is_anothers = false;
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
                    match effect {
                        Effect::Done => self.take(key.clone(), change.item),
                        Effect::AlreadySo => is_anothers |= is_address,
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
        if is_anothers {
            // By then the kernel has told of it, and it is taken up if it is the daemon's.
            self.retry_at = Some(now + RETRY_DELAY);
        }
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
pub(in super::super) fn describe(item: &Item) -> String {
    match item {
        Item::Address(on, placed) => format!("{placed} on {on}"),
        Item::Route(route) => format!("route {}", route.key),
        Item::Rule(rule) => format!("rule {rule}"),
    }
}
