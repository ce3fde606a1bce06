//! What other parameters do while the router runs: the rows C1 to C3 of the transition table.

use std::net::IpAddr;

use holdfast_time::Instant;

use super::{Action, Observation, Params, Reason, State, VirtualRouter};
use crate::address::AddressList;
use crate::types::Version;

impl VirtualRouter {
    /// C1, C2, C3.
    pub(super) fn reconfigure(&mut self, now: Instant, params: Params) {
        if !self.params.same_router(&params) {
            self.push(Action::Observe(Observation::ReconfigureRefused));
            return;
        }
        let old = std::mem::replace(&mut self.params, params);
        match self.state {
            State::Initialize => {}
            State::Backup { .. } => self.reconfigure_backup(now, &old),
            State::Active { .. } => self.reconfigure_active(now, &old),
            State::Releasing { .. } => self.reconfigure_releasing(now, &old),
        }
    }

    /// C2, C3: it waits no longer than the new interval says. What is put on while it still has the addresses is announced.
    fn reconfigure_releasing(&mut self, now: Instant, old: &Params) {
        if let State::Releasing { give_up } = &mut self.state {
            *give_up = (*give_up).min(now + self.params.release_interval());
        }
        self.readdress(old);
    }

    /// C1, C2: what remains of the timer changes by as much as the whole interval did, and never below zero.
    fn reconfigure_backup(&mut self, now: Instant, old: &Params) {
        let State::Backup { active_down, active_adver_interval, takeover, .. } = &mut self.state
        else {
            return;
        };
        let learned = match self.params.version() {
            Version::V2 => self.params.advertisement_interval(),
            Version::V3 => *active_adver_interval,
        };
        let whole = |params: &Params, interval| {
            if matches!(*takeover, Reason::ActiveReleased | Reason::ActiveLost) {
                params.skew_time(interval)
            } else if *takeover == Reason::ActiveDied {
                params.death_skew()
            } else {
                params.active_down_interval(interval)
            }
        };
        let (was, is) = (whole(old, *active_adver_interval), whole(&self.params, learned));
        *active_adver_interval = learned;
        // I14: what is overdue stays so.
        if was != is {
            *active_down = now + (active_down.saturating_since(now) + is).saturating_sub(was);
        }
    }

    /// C1 to C3: a new priority or address list is advertised at once, a shorter interval takes effect at once.
    fn reconfigure_active(&mut self, now: Instant, old: &Params) {
        let State::Active { adver, .. } = &mut self.state else { return };
        *adver = (*adver).min(now + self.params.advertisement_interval().duration());
        let readdressed = old.addresses().as_slice() != self.params.addresses().as_slice();
        if readdressed || old.priority() != self.params.priority() {
            self.advertise_soon(now);
        }
        self.readdress(old);
    }

    /// C3: what differs between the lists is taken off and put on, and what is new is announced.
    fn readdress(&mut self, old: &Params) {
        let (before, after) = (old.addresses(), self.params.addresses());
        let without = |list: &[IpAddr], other: &AddressList| -> Vec<IpAddr> {
            list.iter().copied().filter(|&address| !other.contains(address)).collect()
        };
        let removed = without(before.as_slice(), after);
        let added = without(after.as_slice(), before);
        let announce = !added.is_empty();
        if announce || !removed.is_empty() {
            self.push(Action::UpdateAddresses { removed, added });
        }
        if announce {
            self.push(Action::Announce);
        }
    }
}
