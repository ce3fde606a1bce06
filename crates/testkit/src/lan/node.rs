//! One machine on the virtual LAN: a virtual router and the little of a host that surrounds it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use vrrp::{Interval, Params, Peer, Reason, State, Status, Timer, Transition, VirtualRouter};

use super::NodeId;
use super::calm::Release;
use super::clock::Clock;
use super::witness::Witness;

/// What travels on the LAN.
#[derive(Clone, Debug)]
pub(super) enum Frame {
    /// An IP packet of protocol 112; nobody may believe a hostile one.
    Vrrp { source: IpAddr, destination: IpAddr, hop_limit: u8, payload: Vec<u8>, hostile: bool },
    /// A gratuitous ARP or unsolicited Neighbor Advertisement for the virtual addresses.
    Announcement { by: NodeId, sent: Instant },
    /// Not a frame, but what the host learns otherwise, be it true or not: the daemon at this address has died (the fate channel), or
    /// nothing more is heard from there (BFD).
    Gone { of: IpAddr, died: bool },
}

/// Whether a node runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    /// It runs.
    On,
    /// It stands still; what arrives waits in its queue.
    Paused,
    /// It sleeps; what arrives is lost.
    Suspended,
    /// Its process was killed and another one is on its way: its addresses stay, what arrives is lost.
    Killed,
    /// It is gone.
    Off,
}

#[derive(Debug)]
pub(super) struct Node {
    pub(super) params: Params,
    pub(super) address: IpAddr,
    pub(super) router: VirtualRouter,
    /// What the machine takes for the time.
    pub(super) clock: Clock,
    /// When this life began, by its own clock.
    pub(super) born: Instant,
    /// The shortest interval that it had in this life.
    pub(super) shortest: Duration,
    /// How many of its transitions were in earlier lives.
    pub(super) earlier: usize,
    /// How often it stood still or slept in this life.
    pub(super) halts: u64,
    pub(super) power: Power,
    pub(super) link_up: bool,
    pub(super) installed: bool,
    /// Whose announcement this host has seen last: where it would send a packet for the virtual address.
    pub(super) learned: Option<NodeId>,
    /// When something last happened to it, to one that it is connected with, or to the link between them.
    pub(super) disturbed: Instant,
    /// At how many steps its circle was settled.
    pub(super) settled: u64,
    /// When the announcement was sent that this host has seen last, and the last one that it has missed.
    pub(super) learned_at: Option<Instant>,
    pub(super) missed_at: Option<Instant>,
    /// Whom it speaks to by unicast; nobody: multicast.
    pub(super) peers: Vec<Peer>,
    /// What others saw of it: the checks at its promotions.
    pub(super) witness: Witness,
    /// What is known of it while it gives up.
    pub(super) release: Option<Release>,
    pub(super) sent: u64,
    pub(super) sent_at: Option<Instant>,
    pub(super) transitions: Vec<Transition>,
    /// At most [`INBOX_LIMIT`].
    pub(super) inbox: VecDeque<Frame>,
}

/// How many frames wait for a paused node. What comes after is lost, as with a full socket buffer.
const INBOX_LIMIT: usize = 1024;

impl Node {
    pub(super) fn new(now: Instant, params: Params, address: IpAddr) -> Self {
        Self {
            router: VirtualRouter::new(now, params.clone()),
            clock: Clock::RIGHT,
            born: now,
            shortest: params.advertisement_interval().duration(),
            earlier: 0,
            halts: 0,
            params,
            address,
            power: Power::Off,
            link_up: true,
            installed: false,
            learned: None,
            disturbed: Instant::ZERO,
            settled: 0,
            learned_at: None,
            missed_at: None,
            peers: Vec::new(),
            witness: Witness::default(),
            release: None,
            sent: 0,
            sent_at: None,
            transitions: Vec::new(),
            inbox: VecDeque::new(),
        }
    }

    pub(super) fn keep(&mut self, frame: Frame) {
        if self.inbox.len() < INBOX_LIMIT {
            self.inbox.push_back(frame);
        } else {
            self.miss(&frame);
        }
    }

    /// A frame does not arrive.
    pub(super) fn miss(&mut self, frame: &Frame) {
        if let Frame::Announcement { sent, .. } = frame {
            self.missed_at = self.missed_at.max(Some(*sent));
        }
    }

    /// Whether it sends to this address and hears what comes from there.
    pub(super) fn speaks_to(&self, address: IpAddr) -> bool {
        self.peers.is_empty() || self.peers.iter().any(|peer| peer.address == address)
    }

    pub(super) fn runs(&self) -> bool {
        self.power == Power::On
    }

    /// Whether it has the addresses and is there to answer for them: a paused node's kernel still does.
    pub(super) fn holds_the_addresses(&self) -> bool {
        self.installed && self.power != Power::Off
    }

    /// When its timer is due, by the LAN's time.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timer = self.router.poll_timeout().filter(|_| self.runs());
        timer.map(|(deadline, _)| self.clock.lan_time(deadline))
    }

    /// The invariants that hold at every moment, whatever the LAN does.
    ///
    /// # Panics
    /// When one does not.
    pub(super) fn check(&self, now: Instant) {
        let now = self.clock.reads(now);
        let router = &self.router;
        let status = router.status();
        assert_eq!(
            self.installed,
            status.holds_addresses(),
            "I7: the addresses are installed exactly while Active or giving up"
        );
        let left = router.poll_timeout().map(|(at, timer)| (at.saturating_since(now), timer));
        let allowed = match (status, left) {
            (Status::Initialize, None) => true,
            (Status::Backup, Some((left, Timer::ActiveDown))) => {
                let learned = router.active_adver_interval();
                learned.is_some_and(|learned| left <= longest_wait(router, learned))
            }
            (Status::Active, Some((left, Timer::Adver))) => left <= self.interval(),
            (Status::Releasing, Some((left, Timer::Release))) => {
                left <= router.params().release_interval()
            }
            (Status::Initialize | Status::Backup | Status::Active | Status::Releasing, _) => false,
        };
        assert!(allowed, "I6: {status} with the timer {left:?}");
        let allowed = self.advertisements_allowed(now);
        assert!(u128::from(self.sent) <= allowed, "I9: {} sent, {allowed} allowed", self.sent);
    }

    /// I9: two in each interval; one more for each change of state, for the one that begins a time as Active and the one that ends
    /// it; and one more for each time that it stood still, after which a timed one is late.
    fn advertisements_allowed(&self, now: Instant) -> u128 {
        let lived = now.saturating_since(self.born).as_nanos();
        let intervals = lived / self.shortest.as_nanos().max(1) + 1;
        let transitions = self.transitions.len().saturating_sub(self.earlier);
        2 * intervals + 2 * transitions as u128 + u128::from(self.halts)
    }

    pub(super) fn interval(&self) -> Duration {
        self.router.params().advertisement_interval().duration()
    }
}

/// How long a Backup waits at most: for the silence of an Active that it has learned `interval` from, or after a death.
fn longest_wait(router: &VirtualRouter, interval: Interval) -> Duration {
    if let State::Backup { takeover: Reason::ActiveDied, .. } = router.state() {
        router.params().death_skew()
    } else {
        router.params().active_down_interval(interval)
    }
}
