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
//! It is not a network: one segment, one virtual router, no switch that ages its table. Of the fate channel there is what comes of it: who is
//! told of a death, when, and whether that is true (`faults.rs`).
//!
//! **What is checked where, and under which condition.** After each step or action, whatever the faults: I6 (no state has a timer but
//! its own, none too long), I7 (the addresses are there exactly while Active or giving up, the advertisement before them, the
//! announcement after them), I8 (hostile packets are not believed, discarded ones change counters only), I9 (two advertisements an
//! interval at most), I10 (what teaches a Backup an interval), I12 (what is sent is read as what was meant), I15 (an Active that was late
//! sends nothing when it finds a better one in its queue): `node.rs`, `run.rs`. I3, I4 at each promotion, whatever the faults: not before
//! Active_Down_Interval or Skew_Time has passed since what was heard, nor later, and nobody preempts who may not: `witness.rs`. I14 at
//! each reconfiguration that changes nothing: `faults.rs`. The same at a promotion after a death (B2, B3): not unless it was told of one, and of
//! one that it has not heard since; no later than its wait for it. I13 is the crate `vrrp`'s own (its model). The tests ask the end-to-end times
//! of I4 and I5, and I14, I15 against a run without the fault.
//!
//! I1, I2, I5 and I11 say something about routers that agree, which takes time and packets: by their own definition they hold "after
//! T_conv since the last change", "per connected partition", "while every run of lost advertisements is < 3". They are checked at each
//! step of each *circle* of nodes that run, take part and hear each other, whatever goes on among other nodes of the LAN (`calm.rs`):
//!
//! | | holds in a circle | because |
//! |---|---|---|
//! | I1 | in which nothing has happened for T_conv (ten intervals, twice `down_adverts` of them and the preempt delay), and nothing is lost | before, an election is under way; with loss it has no bound |
//! | I2 | as I1, where all preempt | without, who came first stays |
//! | I5 | as I1. With loss and stalls its lower bound is I4, which is checked at every promotion: nobody takes over before its time has passed since it heard the Active | what three lost advertisements are, only a time can say |
//! | I11 | as I1, of a host that has missed no announcement, and unless an Active went without a word while another one was there | who is not told can't know: vrrp.md, *Stalls and sleep* |
//!
//! With one-way links between them there is no circle: two may be Active then, which is reported as such (`dual_actives`). What happens
//! to a node concerns all who are connected with it, directly or not. There too: a hand-over nobody disturbs leaves no moment without the
//! addresses (make before break).

mod calm;
mod clock;
mod faults;
mod hostile;
mod node;
mod random;
mod run;
mod witness;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use vrrp::{Params, Transition, VirtualRouter};

use node::{Frame, Node};
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
    orderly_handovers: u64,
    /// When somebody who had the addresses went without a word to another one who has them.
    blurred: Option<Instant>,
}

#[derive(Debug)]
enum Arranged {
    Arrive {
        to: NodeId,
        frame: Frame,
    },
    Wake(NodeId),
    /// A flapping interface goes up or down.
    Flap {
        id: NodeId,
        up: bool,
    },
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
            orderly_handovers: 0,
            blurred: None,
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
