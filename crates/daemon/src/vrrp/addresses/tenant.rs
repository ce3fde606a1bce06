//! One instance's addresses: what is wanted of the kernel against what the kernel has.
//!
//! Addresses of an instance that is not the owner belong nowhere but on an Active: whatever is found elsewhere is a leftover, and is
//! removed. An owner's (priority 255) are the node's own: of these only what this process has added is ever removed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::{Addition, IfIndex, Interface, MacAddress};
use holdfast_time::Instant;
use ipnet::IpNet;

use super::desk::{Outcome, Wanted};
use super::kernel::Kernel;

/// How long after a refusal of the kernel the next attempt comes.
pub(super) const RETRY_DELAY: Duration = Duration::from_secs(1);

/// When a burst of announcements is repeated, as keepalived's `garp_master_delay` by default: switches that missed the first one
/// learn then.
pub(super) const REPEAT_DELAY: Duration = Duration::from_secs(5);

/// The addresses of every interface.
pub(super) type Present = BTreeMap<IfIndex, Vec<IpNet>>;

/// What an instance claims as long as it exists.
#[derive(Clone, Debug)]
pub(in super::super) struct Claim {
    pub(in super::super) instance: Name,
    /// Whether this node owns the addresses (RFC 9568 §1.7).
    pub(in super::super) owner: bool,
    pub(in super::super) addresses: Vec<IpNet>,
}

/// The changes that make the kernel as it is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) remove: Vec<IpNet>,
    pub(super) add: Vec<IpNet>,
}

/// What has to be done about `claim` on an interface that has the addresses `here`, `ours` of which this process has added. The
/// prefix length is not compared: an address is the same whatever its network is taken to be, and it is removed as it is.
pub(super) fn plan(claim: &Claim, held: bool, ours: &BTreeSet<IpNet>, here: &[IpNet]) -> Changes {
    if held {
        let missing = |wanted: &&IpNet| here.iter().all(|present| present.addr() != wanted.addr());
        return Changes {
            remove: Vec::new(),
            add: claim.addresses.iter().filter(missing).copied().collect(),
        };
    }
    let claimed: BTreeSet<IpAddr> = claim.addresses.iter().map(IpNet::addr).collect();
    let surplus = |present: &&IpNet| {
        claimed.contains(&present.addr()) && (!claim.owner || ours.contains(present))
    };
    Changes { remove: here.iter().filter(surplus).copied().collect(), add: Vec::new() }
}

/// An instance as the address thread knows it.
#[derive(Debug)]
pub(super) struct Tenant {
    claim: Claim,
    wanted: Wanted,
    outcome: Outcome,
    /// To be compared with the kernel at the next turn.
    stale: bool,
    retry_at: Option<Instant>,
    /// Which of the addresses can be announced.
    there: Vec<IpAddr>,
    /// What the last announcement was made for; none while nothing is held.
    announced: Option<(u64, MacAddress)>,
    announce_at: Option<Instant>,
    repeat: bool,
    /// The last attempt to announce failed.
    unheard: bool,
}

impl Tenant {
    /// An instance of which `outcome` is known.
    pub(super) fn new(claim: Claim, outcome: Outcome) -> Self {
        Self {
            claim,
            wanted: Wanted::default(),
            outcome,
            stale: false,
            retry_at: None,
            there: Vec::new(),
            announced: None,
            announce_at: None,
            repeat: false,
            unheard: false,
        }
    }

    pub(super) const fn name(&self) -> &Name {
        &self.claim.instance
    }

    pub(super) const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// Wants something else from now on.
    pub(super) fn want(&mut self, wanted: Wanted) {
        if wanted.losses != self.wanted.losses {
            self.outcome = Outcome::default();
            self.announced = None;
        }
        if !wanted.held {
            self.announce_at = None;
            self.announced = None;
        }
        self.wanted = wanted;
        self.stale = true;
    }

    /// To be compared at the next turn, because nobody knows what others have done.
    pub(super) fn doubt(&mut self) {
        self.stale |= self.wanted.interface.is_some() || self.outcome.on.is_some();
    }

    /// Whether it is to be compared with the kernel now.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        self.stale || self.retry_at.is_some_and(|at| at <= now)
    }

    /// When there is something to do for it without news.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.retry_at.into_iter().chain(self.announce_at).min()
    }

    pub(super) const fn announce_at(&self) -> Option<Instant> {
        self.announce_at
    }

    /// Takes note that the kernel did not say what is there.
    pub(super) fn fail(&mut self, now: Instant, problem: String) {
        self.finish(now, vec![problem]);
    }

    /// Makes the kernel, which has the addresses `present`, as it is wanted.
    pub(super) fn compare<K: Kernel>(&mut self, now: Instant, present: &Present, kernel: &mut K) {
        let mut problems = Vec::new();
        if self.outcome.on != self.wanted.interface {
            if let Some(left) = self.outcome.on.take() {
                problems.extend(self.clear(&left, present, kernel).0);
            }
            self.outcome = Outcome { on: self.wanted.interface.clone(), ..Outcome::default() };
            self.announced = None;
        }
        self.there.clear();
        self.outcome.holds = match self.outcome.on.clone() {
            None => false,
            Some(on) if self.wanted.held => {
                let refused = self.fill(now, &on, present, kernel);
                let holds = refused.is_empty();
                problems.extend(refused);
                holds
            }
            Some(on) => {
                let (refused, remain) = self.clear(&on, present, kernel);
                problems.extend(refused);
                remain
            }
        };
        self.finish(now, problems);
    }

    /// Adds what is missing on `on`. What is new there has to be announced.
    fn fill<K: Kernel>(
        &mut self,
        now: Instant,
        on: &Interface,
        present: &Present,
        kernel: &mut K,
    ) -> Vec<String> {
        let here = present.get(&on.index).map_or(&[][..], Vec::as_slice);
        self.outcome.ours.retain(|address| here.contains(address));
        let add = plan(&self.claim, true, &self.outcome.ours, here).add;
        if self.outcome.holds && !add.is_empty() {
            tracing::warn!(instance = %self.name(), addresses = ?add, "addresses that were taken from the interface are put back");
        }
        self.there.extend(self.claim.addresses.iter().map(IpNet::addr));
        let mut problems = Vec::new();
        for (address, result) in add.iter().zip(kernel.add(on, &add)) {
            match result {
                Ok(Addition::Added) => {
                    self.outcome.ours.insert(*address);
                    self.announced = None;
                }
                Ok(Addition::AlreadyPresent) => {}
                Err(error) => {
                    self.there.retain(|there| *there != address.addr());
                    problems.push(error.to_string());
                }
            }
        }
        let due = self.wanted.mac.map(|mac| (self.wanted.announcements, mac));
        if due.is_some() && due != self.announced && !self.there.is_empty() {
            self.announced = due;
            self.announce_at = Some(now);
            self.repeat = true;
        }
        problems
    }

    /// Removes from `on` what does not belong there: what the kernel refused, and whether something remains.
    fn clear<K: Kernel>(
        &mut self,
        on: &Interface,
        present: &Present,
        kernel: &mut K,
    ) -> (Vec<String>, bool) {
        let here = present.get(&on.index).map_or(&[][..], Vec::as_slice);
        let remove = plan(&self.claim, false, &self.outcome.ours, here).remove;
        if !remove.is_empty() && !self.outcome.holds {
            tracing::info!(instance = %self.name(), addresses = ?remove, "addresses that somebody left on the interface are removed");
        }
        self.outcome.ours.retain(|address| here.contains(address));
        let mut problems = Vec::new();
        for (address, result) in remove.iter().zip(kernel.remove(on, &remove)) {
            match result {
                Ok(_) => drop(self.outcome.ours.remove(address)),
                Err(error) => problems.push(error.to_string()),
            }
        }
        let remain = !problems.is_empty();
        (problems, remain)
    }

    /// A refusal is logged when it is new, not each time that the same is tried again.
    fn finish(&mut self, now: Instant, problems: Vec<String>) {
        self.stale = false;
        self.retry_at = (!problems.is_empty()).then(|| now + RETRY_DELAY);
        if problems == self.outcome.problems {
            return;
        }
        for problem in &problems {
            tracing::error!(instance = %self.name(), problem, "a virtual address could not be changed; it is tried again every second");
        }
        if problems.is_empty() {
            tracing::info!(instance = %self.name(), "the virtual addresses are as they should be again");
        }
        self.outcome.problems = problems;
    }

    /// Announces what is there, and says when next: what was not sent is tried again sooner.
    pub(super) fn announce<K: Kernel>(&mut self, now: Instant, kernel: &mut K) {
        let (Some(on), Some(mac)) = (&self.outcome.on, self.wanted.mac) else {
            self.announce_at = None;
            return;
        };
        match kernel.announce(on, mac, &self.there) {
            Ok(()) => {
                self.announce_at = std::mem::take(&mut self.repeat).then(|| now + REPEAT_DELAY);
                self.unheard = false;
            }
            Err(problem) => {
                self.announce_at = Some(now + RETRY_DELAY);
                if !std::mem::replace(&mut self.unheard, true) {
                    tracing::warn!(instance = %self.name(), problem, "the virtual addresses could not be announced; it is tried again every second");
                }
            }
        }
    }
}
