//! What must hold among those who hear each other, once nothing has happened to any of them for long enough, whatever goes on
//! elsewhere: I1, I2, I5, I11. And a hand-over that nobody disturbs:
//! somebody has the addresses at every moment of it.

use std::collections::BTreeSet;
use std::fmt::Arguments;
use std::time::Duration;

use holdfast_time::Instant;
use vrrp::{Reason, Status};

use super::{Lan, NodeId};

impl Lan {
    /// Something happens to these nodes, or to the link between them. It concerns all who are connected with one of them, be it in one
    /// direction or by way of others; no one else.
    pub(super) fn disturb(&mut self, nodes: impl IntoIterator<Item = NodeId>, what: Arguments<'_>) {
        self.note(what);
        let all: Vec<NodeId> = self.nodes().collect();
        let mut concerned: BTreeSet<NodeId> = nodes.into_iter().collect();
        loop {
            let reaches = |&&new: &&NodeId| {
                let linked = |&old: &NodeId| self.carries(old, new) || self.carries(new, old);
                !concerned.contains(&new) && concerned.iter().any(linked)
            };
            let grown: Vec<NodeId> = all.iter().filter(reaches).copied().collect();
            if grown.is_empty() {
                break;
            }
            concerned.extend(grown);
        }
        let now = self.now;
        for id in concerned {
            self.node_mut(id).disturbed = now;
        }
    }

    /// Whether what `from` sends would get to `to`, were both plugged in.
    fn carries(&self, from: NodeId, to: NodeId) -> bool {
        let (sender, receiver) = (self.node(from), self.node(to));
        !self.cut.contains(&(from, to))
            && sender.speaks_to(receiver.address)
            && receiver.speaks_to(sender.address)
    }

    /// Whether what `from` sends gets to `to` and is heard there.
    pub(super) fn hears(&self, from: NodeId, to: NodeId) -> bool {
        self.carries(from, to) && self.node(from).link_up && self.node(to).link_up
    }

    /// After so much calm all is settled among these: one that gives up has waited its four intervals, a Backup the four of its timer, a better
    /// one has left a lower one alone for its preempt delay and four intervals more, and answers have been given.
    fn convergence(&self, circle: &BTreeSet<NodeId>) -> Duration {
        let nodes = || circle.iter().map(|&id| self.node(id));
        // Also the intervals of those outside: one of them may have been learned before they were.
        let longest = self.nodes.iter().map(|node| {
            let learned = node.router.active_adver_interval();
            learned.map_or(Duration::ZERO, vrrp::Interval::duration).max(node.interval())
        });
        let delays = nodes().map(|node| node.router.params().preempt_delay());
        let down_adverts = nodes().map(|node| node.params.down_adverts().get());
        let adverts = down_adverts.max().unwrap_or_default();
        let intervals = 10 + 2 * u32::from(adverts);
        longest.max().unwrap_or_default() * intervals + delays.max().unwrap_or_default()
    }

    /// Whether nothing has happened to any of these for so long, and nothing is lost between them.
    fn is_calm(&self, circle: &BTreeSet<NodeId>) -> bool {
        let disturbed = circle.iter().map(|&id| self.node(id).disturbed).max();
        let weak = |(from, to): &(NodeId, NodeId)| circle.contains(from) && circle.contains(to);
        self.link.loss_per_mille == 0
            && !self.weak.keys().any(weak)
            && self.now.saturating_since(disturbed.unwrap_or_default()) >= self.convergence(circle)
    }

    /// Those that run and take part, and of which everyone hears everyone: `id`'s, or none when somebody hears in one way only.
    fn circle(&self, id: NodeId) -> Option<BTreeSet<NodeId>> {
        let takes_part = |&id: &NodeId| {
            let node = self.node(id);
            node.runs() && node.router.status() != Status::Initialize
        };
        let all: Vec<NodeId> = self.nodes().filter(takes_part).collect();
        let mut circle = BTreeSet::from([id]);
        loop {
            let linked = |&&new: &&NodeId| {
                circle.iter().any(|&old| self.hears(old, new) || self.hears(new, old))
            };
            let grown: BTreeSet<NodeId> = all.iter().filter(linked).copied().collect();
            if grown.is_subset(&circle) {
                break;
            }
            circle.extend(grown);
        }
        let mutual = circle
            .iter()
            .all(|&one| circle.iter().all(|&other| one == other || self.hears(one, other)));
        (mutual && all.contains(&id)).then_some(circle)
    }

    /// The circle of `id`, when all is calm.
    pub(super) fn settled_circle(&self, id: NodeId) -> Option<BTreeSet<NodeId>> {
        // Most are not, and to know who hears whom takes its time.
        let quiet = self.now.saturating_since(self.node(id).disturbed) >= self.node(id).interval();
        let circle = (quiet && self.link.loss_per_mille == 0).then(|| self.circle(id)).flatten();
        circle.filter(|circle| self.is_calm(circle))
    }

    /// I1, I2, I11.
    ///
    /// # Panics
    /// When one of them does not hold in a circle in which all is calm, whatever goes on elsewhere.
    pub(super) fn check_calm(&mut self) {
        for id in self.nodes() {
            let Some(circle) = self.settled_circle(id) else { continue };
            self.node_mut(id).settled += 1;
            let holders: Vec<NodeId> =
                circle.iter().copied().filter(|&one| self.node(one).installed).collect();
            let [active] = holders[..] else {
                panic!("I1: {holders:?} have the addresses among {circle:?}")
            };
            let rank = |one: NodeId| self.router(one).priority();
            let best = circle.iter().map(|&one| rank(one)).max();
            let all_preempt = circle.iter().all(|&one| self.router(one).params().preempts());
            assert!(!all_preempt || Some(rank(active)) == best, "I2: {active:?} is not the best");
            let node = self.node(id);
            let one_of_us = node.learned.is_some_and(|learned| circle.contains(&learned));
            if one_of_us && node.learned_at > node.missed_at && node.learned_at > self.blurred {
                assert_eq!(node.learned, Some(active), "I11: where {id:?} believes the address");
            }
        }
    }

    /// I5: nobody changes its state when nothing happens.
    pub(super) fn check_transition(&self, id: NodeId, reason: Reason) {
        let circle = self.settled_circle(id);
        assert!(circle.is_none(), "I5: {id:?} changes its state by {reason:?} for no reason");
    }

    /// One that had the addresses has them no longer. If another one has them, and does not get to know that there were two, it
    /// has no reason to announce them again: whoever learned them from the first one goes wrong (vrrp.md, *Stalls and sleep*).
    pub(super) fn leaves(&mut self, id: NodeId) {
        let node = self.node(id);
        let orderly = node.release.is_some_and(|release| release.orderly);
        let farewell = node.sent_at == Some(self.now) || orderly;
        let lossless = self.link.loss_per_mille == 0 && self.weak.is_empty();
        let others = |&other: &NodeId| other != id && self.node(other).holds_the_addresses();
        let mut others = self.nodes().filter(others);
        if !others.all(|other| farewell && lossless && self.hears(id, other)) {
            self.blurred = Some(self.now);
        }
    }

    /// Make before break: who has given up takes the addresses off just now.
    ///
    /// # Panics
    /// When nobody has them then, though somebody could have taken over and nothing disturbed it.
    pub(super) fn check_handover(&mut self, id: NodeId) {
        let Some(release) = self.node_mut(id).release.take() else { return };
        if !release.orderly || self.node(id).disturbed > release.since {
            return;
        }
        let mut deputies = 0;
        let mut held = false;
        for other in self.nodes().filter(|&other| other != id) {
            let node = self.node(other);
            let takes_part = node.runs() && node.router.status() != Status::Initialize;
            if takes_part && self.hears(id, other) && self.hears(other, id) {
                deputies += 1;
                held |= node.installed;
            }
        }
        assert!(held || deputies == 0, "a hand-over by {id:?} left nobody with the addresses");
        self.orderly_handovers += u64::from(held);
    }

    /// At how many steps I1 and I2 were asked of the circle of `id`.
    pub fn settled(&self, id: NodeId) -> u64 {
        self.node(id).settled
    }

    /// How many hand-overs nobody disturbed.
    pub const fn orderly_handovers(&self) -> u64 {
        self.orderly_handovers
    }
}

/// What is known of one that gives up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Release {
    /// Since when.
    pub(super) since: Instant,
    /// All was calm when it began, and everyone heard everyone.
    pub(super) orderly: bool,
}
