//! What the supervisor says in the place of a worker that is gone: it gives up what that one has held.

use holdfast_net::now;
use holdfast_time::Instant;

use super::super::estate::{Bequest, Stood};
use super::super::relinquish::relinquish;
use super::{Keeper, say};

impl Keeper {
    /// When the first of those that are left behind has to be spoken for.
    pub(super) fn next_to_speak_for(&self) -> Option<Instant> {
        let left = self.estate.read()?;
        left.instances.iter().filter_map(|(one, stood)| deadline(one, *stood)).min()
    }

    /// Speaks for instances that no worker has spoken for in time.
    pub(super) fn speak_if_due(&mut self) {
        let at = now();
        if self.speak_at.is_none_or(|due| at < due) {
            return;
        }
        // A worker whose VRRP thread turns speaks for itself.
        if self.worker.is_some() && self.estate.last_beat().is_some() {
            self.speak_at = None;
            return;
        }
        self.speak_for(false);
        self.speak_at = self.next_to_speak_for();
    }

    /// Gives up, in the worker's stead, all that is still held, or what is due.
    pub(super) fn speak_for(&self, all: bool) {
        let at = now();
        let Some(left) = self.estate.read() else { return };
        let holds = |(_, (one, stood)): &(usize, &(Bequest, Stood))| {
            deadline(one, *stood).is_some_and(|due| all || due <= at)
        };
        let due: Vec<_> = left.instances.iter().enumerate().filter(holds).collect();
        if due.is_empty() {
            return;
        }
        let bequests: Vec<&Bequest> = due.iter().map(|(_, (one, _))| one).collect();
        let names: Vec<&str> = bequests.iter().map(|one| one.name.as_str()).collect();
        say(&format!("no worker is there in time: gives up {}", names.join(", ")));
        let held = left.instances.iter().filter(|(one, stood)| deadline(one, *stood).is_some());
        let is_all = held.count() == due.len();
        for problem in relinquish(&bequests, is_all) {
            say(&format!("something was left behind: {problem}"));
        }
        for (slot, _) in due {
            if let Err(error) = self.estate.write_slot(left.number, slot, Stood::Aside) {
                say(&format!("what was given up may be taken up again: {error}"));
            }
        }
    }
}

/// Until when somebody may go on in its place; none of one that has no addresses.
fn deadline(left: &Bequest, stood: Stood) -> Option<Instant> {
    match stood {
        Stood::Aside => None,
        Stood::Active(at) | Stood::Releasing(at) => Some(at + left.lasts()),
    }
}
