//! A virtual LAN with a virtual clock: virtual routers exchange real bytes, which take the way through `vrrp::receive`, over a
//! link that loses, doubles, delays and reorders them, splits and heals, between machines that stand still, sleep, die and come
//! back, whose clocks differ, and beside somebody who sends what nobody may believe.
//!
//! Nothing here reads a clock or a socket: the same seed gives the same run, to the nanosecond. A run that panics prints its
//! seed and its last steps; `HOLDFAST_LAN_SEED=<seed>` then repeats it, alone ([`seeds`]).
//!
//! ```text
//!     node 0            node 1            node 2        a node: VirtualRouter, queue, addresses installed or not,
//!   ┌─────────┐       ┌─────────┐       ┌─────────┐             and where it believes the virtual address to be
//!   └────┬────┘       └────┬────┘       └────┬────┘
//!   ═════╧═════════════════╧═════════════════╧═════     loss, delay and jitter for each receiver on its own;
//!                                                        any direction between two nodes can be cut
//! ```
//!
//! It is not a network: one segment, one virtual router, no switch that ages its table. After each step it checks what must hold
//! at every moment (I6 to I10); what must hold in the end is asked by the tests.

mod clock;
mod hostile;
mod node;
mod random;
mod run;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use vrrp::{Event, Params, Transition, VirtualRouter};

use node::{Frame, Node, Power};
pub use random::Random;

/// The seeds to run with: `count` of them from 0; with `HOLDFAST_LAN_SEEDS=<count>` that many, and with
/// `HOLDFAST_LAN_SEED=<seed>` that one alone.
///
/// # Panics
/// When a variable is not a number.
pub fn seeds(count: u64) -> std::ops::Range<u64> {
    let number = |name| {
        let text = std::env::var(name).ok()?;
        match text.parse::<u64>() {
            Ok(number) => Some(number),
            Err(error) => panic!("{name} is {text:?}: {error}"),
        }
    };
    match number("HOLDFAST_LAN_SEED") {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..number("HOLDFAST_LAN_SEEDS").unwrap_or(count),
    }
}

/// A node's number, in the order of [`Lan::add`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeId(usize);

/// What the link does to what is sent. Each receiver fares on its own.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// How many of a thousand frames are lost.
    pub loss_per_mille: u16,
    /// How many of a thousand frames arrive twice, each with a jitter of its own.
    pub double_per_mille: u16,
    /// How long a frame takes at least.
    pub delay: Duration,
    /// How much longer it may take; frames overtake each other when it is not zero.
    pub jitter: Duration,
}

impl Link {
    /// A quiet segment: no loss, 50 µs.
    pub const QUIET: Self = Self {
        loss_per_mille: 0,
        double_per_mille: 0,
        delay: Duration::from_micros(50),
        jitter: Duration::ZERO,
    };
}

/// How many lines of a run are kept for the message of a failure. The oldest go first.
const TRACE_LIMIT: usize = 60;

/// The LAN.
#[derive(Debug)]
pub struct Lan {
    seed: u64,
    random: Random,
    now: Instant,
    link: Link,
    nodes: Vec<Node>,
    /// What will happen, by time and then by the order in which it was arranged.
    agenda: BTreeMap<(Instant, u64), Arranged>,
    next_entry: u64,
    /// Directions that carry nothing: from, to.
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Directions that lose more than the link does, in a thousand frames: from, to.
    weak: BTreeMap<(NodeId, NodeId), u16>,
    steps: u64,
    /// Since when two connected running nodes both are Active.
    both_active: BTreeMap<(NodeId, NodeId), Instant>,
    longest_overlap: Duration,
    trace: VecDeque<String>,
}

#[derive(Debug)]
enum Arranged {
    Arrive { to: NodeId, frame: Frame },
    Wake(NodeId),
}

impl Lan {
    /// An empty quiet LAN at time zero.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            random: Random::new(seed),
            now: Instant::ZERO,
            link: Link::QUIET,
            nodes: Vec::new(),
            agenda: BTreeMap::new(),
            next_entry: 0,
            cut: BTreeSet::new(),
            weak: BTreeMap::new(),
            steps: 0,
            both_active: BTreeMap::new(),
            longest_overlap: Duration::ZERO,
            trace: VecDeque::new(),
        }
    }

    /// Adds a machine with this primary address. It is off until [`Lan::start`].
    pub fn add(&mut self, params: Params, address: IpAddr) -> NodeId {
        self.nodes.push(Node::new(self.now, params, address));
        NodeId(self.nodes.len() - 1)
    }

    /// All nodes.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + use<> {
        (0..self.nodes.len()).map(NodeId)
    }

    /// The run's generator, for a test that makes up its own faults.
    pub const fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// What time it is.
    pub const fn now(&self) -> Instant {
        self.now
    }

    // What happens to nodes.

    /// Switches a node on, with a machine of its own that knows nothing of an earlier life.
    pub fn start(&mut self, id: NodeId) {
        self.note(format_args!("{id:?} starts"));
        let now = self.now;
        let node = self.node_mut(id);
        let (address, clock) = (node.address, node.clock);
        let transitions = std::mem::take(&mut node.transitions);
        let earlier = transitions.len();
        let fresh = Node::new(clock.reads(now), node.params.clone(), address);
        *node = Node { transitions, earlier, clock, ..fresh };
        node.power = Power::On;
        self.give(id, Event::InterfaceUp { primary: address });
        self.give(id, Event::Startup);
    }

    /// Stops it as an operator does: it gives up with priority 0.
    pub fn stop(&mut self, id: NodeId) {
        self.note(format_args!("{id:?} stops"));
        self.give(id, Event::Shutdown);
    }

    /// It dies at once and takes its addresses along.
    pub fn crash(&mut self, id: NodeId) {
        self.note(format_args!("{id:?} crashes"));
        self.nodes_changed();
        let node = self.node_mut(id);
        node.power = Power::Off;
        node.inbox.clear();
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

    fn halt(&mut self, id: NodeId, duration: Duration, power: Power) {
        if self.node(id).runs() {
            self.note(format_args!("{id:?} {power:?} for {duration:?}"));
            self.nodes_changed();
            self.node_mut(id).power = power;
            self.arrange(self.now + duration, Arranged::Wake(id));
        }
    }

    /// Its interface goes down.
    pub fn unplug(&mut self, id: NodeId) {
        self.note(format_args!("{id:?} is unplugged"));
        self.node_mut(id).link_up = false;
        self.give(id, Event::InterfaceDown);
    }

    /// Its interface comes up.
    pub fn plug(&mut self, id: NodeId) {
        self.note(format_args!("{id:?} is plugged in"));
        self.nodes_changed();
        let node = self.node_mut(id);
        node.link_up = true;
        let primary = node.address;
        self.give(id, Event::InterfaceUp { primary });
    }

    /// Its clock runs too fast by so many millionths from now on, or too slow. It goes on at that rate in its next life.
    pub fn set_clock(&mut self, id: NodeId, ppm: i32) {
        self.note(format_args!("{id:?} has a clock that is off by {ppm} ppm"));
        let now = self.now;
        self.node_mut(id).clock.set_rate(now, ppm);
    }

    /// It gets other parameters, now and for its next life.
    pub fn reconfigure(&mut self, id: NodeId, params: Params) {
        self.note(format_args!("{id:?} is reconfigured"));
        let node = self.node_mut(id);
        node.params = params.clone();
        node.shortest = node.shortest.min(params.advertisement_interval().duration());
        self.give(id, Event::Reconfigure(params));
    }

    // What happens to the link.

    /// Changes what the link does to frames that are sent from now on.
    pub fn set_link(&mut self, link: Link) {
        self.note(format_args!("{link:?}"));
        self.link = link;
    }

    /// Nothing goes from `from` to `to` any more.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.note(format_args!("cut {from:?} to {to:?}"));
        self.nodes_changed();
        self.cut.insert((from, to));
    }

    /// From `from` to `to` so many of a thousand frames are lost, beside those that the link loses; not on the way back.
    pub fn weaken(&mut self, from: NodeId, to: NodeId, loss_per_mille: u16) {
        self.note(format_args!("{from:?} to {to:?} loses {loss_per_mille} of 1000"));
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
        self.note(format_args!("healed"));
        self.nodes_changed();
        self.cut.clear();
        self.weak.clear();
    }

    /// Somebody who is no node sends this to all.
    pub fn inject(&mut self, source: IpAddr, hop_limit: u8, payload: &[u8]) {
        for to in self.nodes() {
            let payload = payload.to_vec();
            let frame = Frame::Vrrp { source, hop_limit, payload, hostile: false };
            self.transmit(None, to, frame);
        }
    }

    // What can be asked.

    /// Whether it is on and does not stand still.
    pub fn runs(&self, id: NodeId) -> bool {
        self.node(id).runs()
    }

    /// A node's machine.
    pub fn router(&self, id: NodeId) -> &VirtualRouter {
        &self.node(id).router
    }

    /// How many moments there were at which something happened.
    pub const fn steps(&self) -> u64 {
        self.steps
    }

    /// How many advertisements it has sent in this life.
    pub fn sent(&self, id: NodeId) -> u64 {
        self.node(id).sent
    }

    /// Its transitions, in all its lives.
    pub fn transitions(&self, id: NodeId) -> &[Transition] {
        &self.node(id).transitions
    }

    /// Whose announcement it has seen last: where it would send a packet for the virtual address.
    pub fn learned(&self, id: NodeId) -> Option<NodeId> {
        self.node(id).learned
    }

    /// Who is Active, the paused among them.
    pub fn actives(&self) -> Vec<NodeId> {
        self.nodes().filter(|&id| self.node(id).holds_the_addresses()).collect()
    }

    /// The longest time for which two running nodes, connected both ways, were both Active.
    pub fn longest_overlap(&self) -> Duration {
        let open = self.both_active.values().map(|&since| self.now.saturating_since(since));
        open.fold(self.longest_overlap, Duration::max)
    }

    fn note(&mut self, what: std::fmt::Arguments<'_>) {
        if self.trace.len() == TRACE_LIMIT {
            self.trace.pop_front();
        }
        self.trace.push_back(format!("{} {what}", self.now));
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a NodeId is the index that `add` gave, and no node is ever taken away"
    )]
    fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a NodeId is the index that `add` gave, and no node is ever taken away"
    )]
    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id.0]
    }
}

/// A run that failed says how to repeat it.
impl Drop for Lan {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in &self.trace {
                eprintln!("{line}");
            }
            eprintln!(
                "the virtual LAN had seed {0}: HOLDFAST_LAN_SEED={0} repeats the run",
                self.seed
            );
        }
    }
}
