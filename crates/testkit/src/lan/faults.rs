//! What may happen to the nodes and to the link. Each disturbs those whom it concerns ([`Lan::disturb`]).

use std::net::IpAddr;
use std::time::Duration;

use vrrp::{AddressFamily, Event, Params, Peer, State, Status};

use super::calm::Release;
use super::node::{Frame, Node, Power};
use super::{Arranged, Lan, Link, NodeId};

/// When TCP sends again what was lost, and how long a connection's end is followed up (`holdfast_engine::vrrp::fate`).
const AGAIN: Duration = Duration::from_millis(200);
const BELIEVED: Duration = Duration::from_secs(1);

impl Lan {
    /// Switches a node on, with a machine of its own that knows nothing of an earlier life.
    pub fn start(&mut self, id: NodeId) {
        self.disturb([id], format_args!("{id:?} starts"));
        if self.node(id).holds_the_addresses() {
            self.leaves(id);
        }
        let now = self.now;
        let node = self.node_mut(id);
        let (address, clock, peers) = (node.address, node.clock, std::mem::take(&mut node.peers));
        let transitions = std::mem::take(&mut node.transitions);
        let earlier = transitions.len();
        let fresh = Node::new(clock.reads(now), node.params.clone(), address);
        *node = Node { transitions, earlier, clock, peers, disturbed: now, ..fresh };
        node.power = Power::On;
        self.give(id, Event::InterfaceUp { primary: address });
        self.give(id, Event::Startup);
    }

    /// Stops it as an operator does: it gives up with priority 0, and leaves when another one is heard. Like all that somebody
    /// tells it, it does not get to one that stands still.
    pub fn stop(&mut self, id: NodeId) {
        self.give_up(id, Event::Shutdown);
    }

    /// It gives up the Active's role as for a planned switchover, and stays as a Backup.
    pub fn step_down(&mut self, id: NodeId) {
        self.give_up(id, Event::StepDown);
    }

    fn give_up(&mut self, id: NodeId, event: Event) {
        if !self.node(id).runs() {
            return;
        }
        let orderly = self.settled_circle(id).is_some();
        self.disturb([id], format_args!("{id:?} gives up: {event:?}"));
        let before = self.router(id).status();
        self.give(id, event);
        if before != Status::Releasing && self.router(id).status() == Status::Releasing {
            self.node_mut(id).release = Some(Release { since: self.now, orderly });
        }
    }

    /// Another router of its sync group has become Active, and so shall this one.
    pub fn take_over(&mut self, id: NodeId) {
        if !self.node(id).runs() {
            return;
        }
        self.disturb([id], format_args!("{id:?} is told to take over"));
        self.give(id, Event::TakeOver);
    }

    /// Another protocol tells it that the Active that it knows is gone, be that true or not.
    pub fn lose_active(&mut self, id: NodeId) {
        if !self.node(id).runs() {
            return;
        }
        self.disturb([id], format_args!("{id:?} is told that its Active is gone"));
        if let Some(address) = self.node(id).router.active_address() {
            self.give(id, Event::ActiveLost { address });
        }
    }

    /// It dies at once and takes its addresses along.
    pub fn crash(&mut self, id: NodeId) {
        self.disturb([id], format_args!("{id:?} crashes"));
        self.nodes_changed();
        if self.node(id).holds_the_addresses() {
            self.leaves(id);
        }
        let node = self.node_mut(id);
        node.power = Power::Off;
        node.inbox.clear();
    }

    /// Its daemon dies as a whole, and the host lives on: as [`Lan::crash`], and whoever has a fate channel to it is told, each after a time
    /// of its own, shorter than `within` and than it takes three frames. Those have one who know it as their Active and hear it
    /// as it hears them. What is lost on the way is sent again 200 ms later; a second later nobody believes it any more.
    pub fn die(&mut self, id: NodeId, within: Duration) {
        let address = self.node(id).address;
        let told = self.nodes().filter(|&to| {
            let watches = to != id && self.node(to).router.active_address() == Some(address);
            watches && self.hears(id, to) && self.hears(to, id)
        });
        let told: Vec<NodeId> = told.collect();
        let dies = matches!(self.node(id).power, Power::On | Power::Paused);
        self.crash(id);
        for to in told.into_iter().filter(|_| dies) {
            let mut after = self.link.delay * 3 + self.random.duration(within);
            while self.random.per_mille(self.link.loss_per_mille) {
                after += AGAIN;
            }
            if after < BELIEVED {
                self.tell_of_death(to, id, after);
            }
        }
    }

    /// After so long a node is told that the daemon of another one has died, whether that is true then or not: a connection was reset and a
    /// port refused by something in between, or the one that has died is long back.
    pub fn tell_of_death(&mut self, to: NodeId, of: NodeId, after: Duration) {
        self.tell(to, of, after, true);
    }

    /// After so long another protocol (BFD) tells a node that another one is silent, whether that is true then or not.
    pub fn tell_of_silence(&mut self, to: NodeId, of: NodeId, after: Duration) {
        self.tell(to, of, after, false);
    }

    fn tell(&mut self, to: NodeId, of: NodeId, after: Duration, died: bool) {
        let of = self.node(of).address;
        self.arrange(self.now + after, Arranged::Arrive { to, frame: Frame::Gone { of, died } });
    }

    /// It stands still for so long, as a stopped process does: its addresses stay, what arrives waits. When it goes on, it reads
    /// its queue before it looks at a timer.
    pub fn pause(&mut self, id: NodeId, duration: Duration) {
        self.halt(id, duration, Power::Paused);
    }

    /// It sleeps for so long: its addresses stay, what arrives is lost. It is told when it wakes up.
    pub fn suspend(&mut self, id: NodeId, duration: Duration) {
        self.halt(id, duration, Power::Suspended);
    }

    /// Its process is killed, and after so long another one takes its place, which was left the time of the last advertisement. Its
    /// addresses stay meanwhile: they are the kernel's. What arrives is lost.
    pub fn kill(&mut self, id: NodeId, outage: Duration) {
        self.halt(id, outage, Power::Killed);
    }

    /// The next process begins: it inherits from an Active, and removes what it has no right to otherwise.
    pub(super) fn respawn(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node_mut(id);
        let advertised = match *node.router.state() {
            State::Active { advertised, .. } => Some(advertised),
            State::Initialize | State::Backup { .. } | State::Releasing { .. } => None,
        };
        let (address, clock, peers) = (node.address, node.clock, std::mem::take(&mut node.peers));
        let transitions = std::mem::take(&mut node.transitions);
        let earlier = transitions.len();
        let installed = node.installed;
        let (learned, learned_at, missed_at) = (node.learned, node.learned_at, node.missed_at);
        let link_up = node.link_up;
        let fresh = Node::new(clock.reads(now), node.params.clone(), address);
        let disturbed = node.disturbed;
        let known = Node { learned, learned_at, missed_at, disturbed, ..fresh };
        *node = Node { transitions, earlier, clock, peers, installed, link_up, ..known };
        node.power = Power::On;
        node.witness.halted();
        if link_up {
            self.give(id, Event::InterfaceUp { primary: address });
        }
        if let Some(advertised) = advertised {
            self.give(id, Event::Inherit { advertised });
        }
        self.give(id, Event::Startup);
        if installed && !self.router(id).status().holds_addresses() {
            self.node_mut(id).installed = false;
            self.leaves(id);
        }
    }

    fn halt(&mut self, id: NodeId, duration: Duration, power: Power) {
        if self.node(id).runs() {
            self.disturb([id], format_args!("{id:?} {power:?} for {duration:?}"));
            self.nodes_changed();
            self.node_mut(id).power = power;
            self.arrange(self.now + duration, Arranged::Wake(id));
        }
    }

    /// Its interface goes down.
    pub fn unplug(&mut self, id: NodeId) {
        self.disturb([id], format_args!("{id:?} is unplugged"));
        self.nodes_changed();
        self.node_mut(id).link_up = false;
        if !matches!(self.node(id).power, Power::Off | Power::Killed) {
            self.give(id, Event::InterfaceDown);
        }
    }

    /// Its interface goes down and up again so many times, each of the two lasting `each`.
    pub fn flap(&mut self, id: NodeId, times: u8, each: Duration) {
        self.disturb([id], format_args!("{id:?} flaps {times} times, {each:?} each"));
        let mut at = self.now;
        for _ in 0..times {
            self.arrange(at, Arranged::Flap { id, up: false });
            at += each;
            self.arrange(at, Arranged::Flap { id, up: true });
            at += each;
        }
    }

    /// It speaks to these nodes by unicast from now on, and hears nobody else; with none, it is back at multicast. What one side
    /// only has in its list works one way.
    pub fn set_peers(&mut self, id: NodeId, peers: &[NodeId]) {
        self.disturb(self.nodes(), format_args!("{id:?} speaks to {peers:?}"));
        self.nodes_changed();
        let peers = peers.iter().map(|&peer| Peer::neighbour(self.node(peer).address)).collect();
        self.node_mut(id).peers = peers;
    }

    /// Its interface comes up.
    pub fn plug(&mut self, id: NodeId) {
        self.disturb([id], format_args!("{id:?} is plugged in"));
        self.nodes_changed();
        let node = self.node_mut(id);
        node.link_up = true;
        let primary = node.address;
        if !matches!(node.power, Power::Off | Power::Killed) {
            self.give(id, Event::InterfaceUp { primary });
        }
    }

    /// Its clock runs too fast by so many millionths from now on, or too slow. It goes on at that rate in its next life.
    pub fn set_clock(&mut self, id: NodeId, ppm: i32) {
        self.disturb([id], format_args!("{id:?} has a clock that is off by {ppm} ppm"));
        let now = self.now;
        self.node_mut(id).clock.set_rate(now, ppm);
    }

    /// It gets other parameters, now and for its next life; not while it stands still.
    ///
    /// # Panics
    /// When the same parameters again are noticed (I14).
    pub fn reconfigure(&mut self, id: NodeId, params: Params) {
        let node = self.node_mut(id);
        match node.power {
            Power::On => {}
            Power::Paused | Power::Suspended => return,
            Power::Off | Power::Killed => {
                node.params = params;
                return;
            }
        }
        let same = node.params == params && node.router.params() == &params;
        let before = (*node.router.state(), node.sent);
        node.params = params.clone();
        node.shortest = node.shortest.min(params.advertisement_interval().duration());
        node.witness.reconfigured();
        if !same {
            self.disturb([id], format_args!("{id:?} is reconfigured"));
        }
        self.give(id, Event::Reconfigure(params));
        let node = self.node(id);
        assert!(!same || before == (*node.router.state(), node.sent), "I14: noticed");
    }

    /// Changes what the link does to frames that are sent from now on.
    pub fn set_link(&mut self, link: Link) {
        self.disturb(self.nodes(), format_args!("{link:?}"));
        self.link = link;
    }

    /// Nothing goes from `from` to `to` any more.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.disturb([from, to], format_args!("cut {from:?} to {to:?}"));
        self.nodes_changed();
        self.cut.insert((from, to));
    }

    /// From `from` to `to` so many of a thousand frames are lost, beside those that the link loses; not on the way back.
    pub fn weaken(&mut self, from: NodeId, to: NodeId, loss_per_mille: u16) {
        self.disturb([from, to], format_args!("{from:?} to {to:?} loses {loss_per_mille} of 1000"));
        self.weak.insert((from, to), loss_per_mille);
    }

    /// Nothing goes between `island` and the others any more.
    pub fn partition(&mut self, island: &[NodeId]) {
        for inside in island {
            for outside in self.nodes().filter(|outside| !island.contains(outside)) {
                self.cut(*inside, outside);
                self.cut(outside, *inside);
            }
        }
    }

    /// Everybody hears everybody again.
    pub fn heal(&mut self) {
        self.disturb(self.nodes(), format_args!("healed"));
        self.nodes_changed();
        self.cut.clear();
        for id in self.nodes() {
            self.node_mut(id).peers.clear();
        }
        self.weak.clear();
    }

    /// Somebody who is no node sends this to all.
    pub fn inject(&mut self, source: IpAddr, hop_limit: u8, payload: &[u8]) {
        self.disturb(self.nodes(), format_args!("{source} sends {payload:02x?}"));
        for to in self.nodes() {
            let payload = payload.to_vec();
            let destination = AddressFamily::of(source).multicast_group();
            let frame = Frame::Vrrp { source, destination, hop_limit, payload, hostile: false };
            self.transmit(None, to, frame);
        }
    }
}
