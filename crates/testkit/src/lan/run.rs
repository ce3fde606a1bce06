//! How time passes on the LAN: frames travel and arrive, timers fire, and what a machine asks for is done.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use vrrp::receive::{self, Datagram};
use vrrp::wire::{HOP_LIMIT, Packet, Repr};
use vrrp::{Action, Event, Priority, Status, Transition, VirtualRouter};

use super::node::{Frame, Node, Power};
use super::witness::Witness;
use super::{Arranged, Lan, NodeId};

impl Lan {
    /// Lets so much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.next().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until `done`, and says how much; none when it took longer than `limit`.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&Self) -> bool,
    ) -> Option<Duration> {
        let begin = self.now;
        while !done(self) {
            if self.next().is_none_or(|next| begin + limit < next) {
                return None;
            }
            self.step();
        }
        Some(self.now.saturating_since(begin))
    }

    /// When something happens next.
    fn next(&self) -> Option<Instant> {
        let agenda = self.agenda.first_key_value().map(|(&(at, _), _)| at);
        let timers = self.nodes.iter().filter_map(Node::deadline).min();
        // A timer that was due while its node stood still is due now.
        [agenda, timers].into_iter().flatten().min().map(|next| next.max(self.now))
    }

    /// Goes to the next moment: first everything arrives, then timers fire.
    fn step(&mut self) {
        let Some(next) = self.next() else { return };
        self.now = next;
        self.steps += 1;
        while let Some(entry) = self.agenda.first_entry().filter(|entry| entry.key().0 <= next) {
            match entry.remove() {
                Arranged::Arrive { to, frame } => self.arrive(to, frame),
                Arranged::Wake(id) => self.wake(id),
                Arranged::Flap { id, up: true } => self.plug(id),
                Arranged::Flap { id, up: false } => self.unplug(id),
            }
        }
        for id in self.nodes() {
            if self.node(id).deadline().is_some_and(|deadline| deadline <= self.now) {
                let node = self.node_mut(id);
                let own = node.clock.reads(next);
                node.router.handle_timeout(own);
                self.perform(id);
            }
        }
        self.check();
    }

    fn check(&mut self) {
        for node in &self.nodes {
            if node.runs() {
                node.check(self.now);
            }
        }
        let active = |id: NodeId| {
            let node = self.node(id);
            node.runs() && node.router.status() == Status::Active
        };
        let actives: Vec<NodeId> = self.nodes().filter(|&id| active(id)).collect();
        let mut overlaps = BTreeMap::new();
        for (number, &one) in actives.iter().enumerate() {
            for &other in actives.iter().skip(number + 1) {
                if self.hears(one, other) && self.hears(other, one) {
                    let since = self.both_active.get(&(one, other)).copied();
                    overlaps.insert((one, other), since.unwrap_or(self.now));
                }
            }
        }
        self.longest_overlap = self.longest_overlap();
        self.both_active = overlaps;
        self.check_calm();
    }

    /// Who is connected and who runs has changed: overlaps are counted anew.
    pub(super) fn nodes_changed(&mut self) {
        self.both_active.clear();
    }

    fn wake(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let slept = match node.power {
            Power::Paused => false,
            Power::Suspended => true,
            Power::Killed => {
                self.nodes_changed();
                self.disturb([id], format_args!("{id:?} has another process"));
                return self.respawn(id);
            }
            // It crashed meanwhile.
            Power::On | Power::Off => return,
        };
        node.power = Power::On;
        node.halts += 1;
        node.witness.halted();
        let inbox = std::mem::take(&mut node.inbox);
        self.nodes_changed();
        self.disturb([id], format_args!("{id:?} goes on, {} frames in its queue", inbox.len()));
        if slept {
            self.give(id, Event::Resumed);
        }
        for frame in inbox {
            self.arrive(id, frame);
        }
    }

    fn arrive(&mut self, to: NodeId, frame: Frame) {
        let node = self.node_mut(to);
        match node.power {
            Power::On => {}
            Power::Paused => return node.keep(frame),
            Power::Suspended | Power::Killed | Power::Off => return node.miss(&frame),
        }
        if !node.link_up {
            return node.miss(&frame);
        }
        match frame {
            Frame::Announcement { by, sent } => {
                node.learned = Some(by);
                node.learned_at = Some(sent);
            }
            Frame::Vrrp { source, destination, hop_limit, payload, hostile } => {
                let datagram =
                    Datagram { source, destination, hop_limit: Some(hop_limit), payload: &payload };
                let believed = self.receive(to, datagram);
                assert!(!(hostile && believed), "I8: a hostile packet was believed");
            }
            Frame::Gone { of: address, died } => {
                self.disturb([to], format_args!("{to:?} is told: {address} gone, died: {died}"));
                let died = died.then_some(Event::ActiveDied { address });
                self.give(to, died.unwrap_or(Event::ActiveLost { address }));
            }
        }
    }

    /// The way of a packet, as the daemon has it; whether it was believed.
    fn receive(&mut self, to: NodeId, datagram: Datagram<'_>) -> bool {
        let Node { router, peers, .. } = self.node_mut(to);
        let expectation = router.expectation().with_peers(peers);
        let received = receive::identify(datagram)
            .and_then(|identified| receive::check(&identified, Some(expectation)));
        match received {
            Ok(received) => {
                self.give(to, Event::Advertisement(received.advertisement));
                true
            }
            Err(reason) => {
                let before = (*router.state(), router.peers().len(), router.dual_active());
                router.count_discard(reason);
                let after = (*router.state(), router.peers().len(), router.dual_active());
                assert_eq!(after, before, "I8: an invalid packet changes counters only");
                false
            }
        }
    }

    pub(super) fn give(&mut self, id: NodeId, event: Event) {
        let now = self.now;
        let node = self.node_mut(id);
        let learned = |router: &VirtualRouter| {
            router.active_adver_interval().filter(|_| router.status() == Status::Backup)
        };
        let before = learned(&node.router);
        let teaches = matches!(event, Event::Advertisement(_) | Event::Reconfigure(_));
        let (own, status, sent) = (node.clock.reads(now), node.router.status(), node.sent);
        let due = node.router.poll_timeout().is_some_and(|(deadline, _)| deadline <= own);
        node.router.handle(own, event.clone());
        node.witness.note(own, &event, status, &node.router);
        let after = learned(&node.router);
        assert!(
            teaches || before.is_none() || after.is_none() || before == after,
            "I10: {before:?} became {after:?} without an advertisement"
        );
        self.perform(id);
        let late = due && status == Status::Active && matches!(event, Event::Advertisement(_));
        assert!(!late || self.node(id).sent == sent, "I15: sent before its queue was read");
    }

    /// Does what a node's machine asks for.
    fn perform(&mut self, id: NodeId) {
        while let Some(action) = self.node_mut(id).router.poll_action() {
            self.note(format_args!("{id:?} {action:?}"));
            match action {
                Action::SendAdvertisement { priority } => self.send(id, priority),
                Action::InstallAddresses => {
                    assert_eq!(
                        self.node(id).sent_at,
                        Some(self.now),
                        "I7: the advertisement comes before the addresses"
                    );
                    self.node_mut(id).installed = true;
                }
                Action::RemoveAddresses => {
                    self.node_mut(id).installed = false;
                    self.leaves(id);
                    self.check_handover(id);
                }
                Action::Announce => {
                    assert!(
                        self.node(id).installed,
                        "I7: the addresses come before the announcement"
                    );
                    let sent = self.now;
                    let node = self.node_mut(id);
                    (node.learned, node.learned_at) = (Some(id), Some(sent));
                    for to in self.nodes().filter(|&to| to != id) {
                        self.transmit(Some(id), to, Frame::Announcement { by: id, sent });
                    }
                }
                Action::Report(transition) => self.report(id, transition),
                Action::UpdateAddresses { .. } | Action::Observe(_) => {}
                other => panic!("the virtual LAN does not know {other:?}"),
            }
        }
    }

    fn report(&mut self, id: NodeId, transition: Transition) {
        self.check_transition(id, transition.reason);
        let node = self.node_mut(id);
        node.transitions.push(transition);
        if (transition.from, transition.to) == (Status::Backup, Status::Active) {
            let Node { witness, router, .. } = node;
            witness.promoted(transition.at, transition.reason, router.params());
            *witness = Witness::default();
        }
        if transition.from == Status::Releasing {
            node.release = None;
        }
    }

    fn send(&mut self, id: NodeId, priority: Priority) {
        let now = self.now;
        let node = self.node_mut(id);
        assert!(
            priority == Priority::RELEASE || node.router.primary().is_some(),
            "nothing is sent without an interface"
        );
        node.sent += 1;
        node.sent_at = Some(now);
        let source = node.address;
        let group = node.router.params().family().multicast_group();
        let unicast = !node.peers.is_empty();
        for to in self.nodes().filter(|&to| to != id) {
            let (node, receiver) = (self.node(id), self.node(to).address);
            if !node.speaks_to(receiver) {
                continue;
            }
            let destination = if unicast { receiver } else { group };
            let payload = node.router.encode(priority, source, destination);
            check_bytes(node, priority, destination, &payload);
            let (hop_limit, hostile) = (HOP_LIMIT, false);
            let frame = Frame::Vrrp { source, destination, hop_limit, payload, hostile };
            self.transmit(Some(id), to, frame);
        }
    }

    /// Puts a frame on its way to one receiver.
    pub(super) fn transmit(&mut self, from: Option<NodeId>, to: NodeId, frame: Frame) {
        let weak = from.and_then(|from| self.weak.get(&(from, to)).copied());
        if from.is_some_and(|from| self.cut.contains(&(from, to)) || !self.node(from).link_up)
            || self.random.per_mille(self.link.loss_per_mille)
            || weak.is_some_and(|loss| self.random.per_mille(loss))
        {
            self.node_mut(to).miss(&frame);
            return;
        }
        // Only where frames are doubled: the other runs keep the numbers that they had.
        if self.link.double_per_mille > 0 && self.random.per_mille(self.link.double_per_mille) {
            let at = self.now + self.link.delay + self.random.duration(self.link.jitter);
            self.arrange(at, Arranged::Arrive { to, frame: frame.clone() });
        }
        let jitter = self.random.duration(self.link.jitter);
        let at = self.now + self.link.delay + jitter;
        self.arrange(at, Arranged::Arrive { to, frame });
    }

    pub(super) fn arrange(&mut self, at: Instant, arranged: Arranged) {
        self.agenda.insert((at, self.next_entry), arranged);
        self.next_entry += 1;
    }
}

/// I12: what is sent is read as what was meant, in the form of checksum that was meant.
fn check_bytes(node: &Node, priority: Priority, destination: IpAddr, payload: &[u8]) {
    let params = node.router.params();
    let Some(packet) = Packet::new_checked(payload) else { panic!("I12: no header") };
    let meant = node.router.advertisement(priority);
    assert_eq!(Repr::parse(&packet, params.family()).as_ref(), Ok(&meant), "I12");
    let form = packet.checksum_form(params.format(), node.address, destination);
    assert_eq!(form, Some(node.router.checksum_form()), "I12: the checksum");
}
