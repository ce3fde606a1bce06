//! When and how often one instance's addresses are announced.
//!
//! A burst is sent when they come, when a wish or another Ethernet address calls for it, once more after `repeat_after`, and a smaller
//! one every `refresh`. What was not sent is tried again every second. A burst is sent in steps, so that nothing waits for a thousand
//! addresses, and on an interface with a pace one announcement at a time.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_config::{Announce, Name};
use holdfast_net::{Interface, MacAddress};
use holdfast_time::Instant;

use super::kernel::Kernel;
use super::tenant::RETRY_DELAY;

/// So many announcements are sent before others have their turn.
const STEP: usize = 64;

/// The least time between two announcements, of each interface that has one, by its name.
pub(super) type Paces = BTreeMap<String, Duration>;

/// When the next announcement may leave, on each interface that has a pace.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    paces: Paces,
    free_at: BTreeMap<String, Instant>,
}

impl Pacing {
    pub(super) fn new(paces: Paces) -> Self {
        Self { paces, free_at: BTreeMap::new() }
    }

    /// Keeps to other paces from now on.
    pub(super) fn set(&mut self, paces: Paces) {
        self.paces = paces;
    }

    /// Takes the next free moment on `interface`.
    fn reserve(&mut self, now: Instant, interface: &str) -> Instant {
        let Some(pace) = self.paces.get(interface).filter(|pace| !pace.is_zero()) else {
            return now;
        };
        let free = self.free_at.entry(interface.to_owned()).or_insert(now);
        let slot = (*free).max(now);
        *free = slot + *pace;
        slot
    }
}

/// An address, and what is told of it where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) on: Interface,
    /// The interface whose pace it keeps to: below that of a virtual MAC address is the link.
    pub(super) link: String,
    pub(super) mac: MacAddress,
    pub(super) address: IpAddr,
}

/// One instance's announcements.
#[derive(Debug)]
pub(super) struct Announcing {
    settings: Announce,
    targets: Vec<Target>,
    /// Which request the last burst answers; none while nothing is announced.
    answered: Option<u64>,
    /// When there is something to send.
    at: Option<Instant>,
    /// How many announcements of the burst have been sent, and how often it has each address.
    sent: usize,
    rounds: u8,
    /// A moment that was taken on an interface with a pace.
    slot: Option<Instant>,
    repeat: bool,
    /// The last attempt failed.
    unheard: bool,
}

impl Announcing {
    pub(super) const fn new(settings: Announce) -> Self {
        Self {
            settings,
            targets: Vec::new(),
            answered: None,
            at: None,
            sent: 0,
            rounds: settings.count,
            slot: None,
            repeat: false,
            unheard: false,
        }
    }

    /// Follows other settings from the next burst on.
    pub(super) const fn set(&mut self, settings: Announce) {
        self.settings = settings;
    }

    /// When there is something to send.
    pub(super) const fn at(&self) -> Option<Instant> {
        self.at
    }

    /// Announces nothing until it is asked to.
    pub(super) fn stop(&mut self) {
        self.at = None;
        self.answered = None;
        self.targets.clear();
    }

    /// Forgets what was announced: something has come anew.
    pub(super) const fn renew(&mut self) {
        self.answered = None;
    }

    /// Announces `targets` if they or the `request` are new.
    pub(super) fn ask(&mut self, now: Instant, request: u64, targets: Vec<Target>) {
        if targets.is_empty() {
            return self.stop();
        }
        if self.answered == Some(request) && self.targets == targets {
            return;
        }
        self.targets = targets;
        self.answered = Some(request);
        self.repeat = !self.settings.repeat_after.is_zero();
        self.begin(now, self.settings.count);
    }

    const fn begin(&mut self, at: Instant, rounds: u8) {
        self.at = Some(at);
        self.sent = 0;
        self.rounds = rounds;
        self.slot = None;
    }

    /// Sends what is due, up to [`STEP`], and says when next. A queue that is full ends it: more would only fill it longer.
    pub(super) fn step<K: Kernel>(
        &mut self,
        now: Instant,
        instance: &Name,
        kernel: &mut K,
        pacing: &mut Pacing,
    ) {
        for _ in 0..STEP {
            let all = self.targets.len();
            let round = self.sent.checked_div(all).unwrap_or(usize::MAX);
            let next = self.sent.checked_rem(all).and_then(|next| self.targets.get(next));
            let Some(target) = next.filter(|_| round < usize::from(self.rounds)) else {
                return self.finish(now);
            };
            let slot = self.slot.take().unwrap_or_else(|| pacing.reserve(now, &target.link));
            if slot > now {
                self.slot = Some(slot);
                self.at = Some(slot);
                return;
            }
            if let Err(problem) = kernel.announce(&target.on, target.mac, target.address) {
                self.begin(now + RETRY_DELAY, self.rounds);
                if !std::mem::replace(&mut self.unheard, true) {
                    tracing::warn!(%instance, problem, "the virtual addresses could not be announced; it is tried again every second");
                }
                return;
            }
            self.sent += 1;
        }
        self.at = Some(now);
    }

    fn finish(&mut self, now: Instant) {
        self.unheard = false;
        let Announce { count, repeat_after, refresh, refresh_count, .. } = self.settings;
        if std::mem::take(&mut self.repeat) {
            self.begin(now + repeat_after, count);
        } else if refresh.is_zero() {
            self.at = None;
        } else {
            self.begin(now + refresh, refresh_count);
        }
    }
}
