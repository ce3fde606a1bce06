//! The fate channel: how a Backup hears within milliseconds that the Active's daemon has died as a whole.
//!
//! ```text
//!   Backup                                                    Active
//!   fate thread ── TCP, port 112 ────────────────────────►  fate thread: accepts, and has the supervisor keep a copy
//!               ◄── "+" ─────────────────────────────────
//!               ◄── FIN or RST: worker and supervisor are dead ──
//!               ── a connection more ─────────────────────►  its kernel: RST, nobody listens
//!   VRRP thread ◄── died
//! ```
//!
//! Who watches connects; who is watched does nothing but hold the connection. Because the supervisor has a copy, a worker that dies
//! and is followed by another, or an upgrade in place, ends no connection. What an end means is `holdfast_engine::vrrp::fate`'s to say, and
//! what follows `vrrp`'s (`Event::ActiveDied`). The VRRP thread says who is watched and where connections are taken; it never waits. An Active that another one was
//! heard in the stead of is watched for a second more: a worse Backup may have been told of its death first.

mod board;
mod thread;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use holdfast_net::{IfIndex, Interface, Waker, now, wait_until};
use vrrp::AddressFamily;

pub(super) use self::board::FateBoard;
use self::thread::FateThread;
use crate::hooks::HookSender;
use crate::supervisor::Custody;

/// How long after a panic the thread begins anew.
const AGAIN: Duration = Duration::from_secs(1);

/// Tells that the process which was Active at this address, on this interface, has died.
pub(super) type Tell = Arc<dyn Fn(IfIndex, IpAddr) + Send + Sync>;

/// Where the thread tells what has become of it.
#[derive(Clone)]
pub(super) struct Told {
    /// Deaths, for the VRRP thread.
    pub(super) tell: Tell,
    /// Everything, for who asks.
    pub(super) board: FateBoard,
    /// What happens, for the stream of events.
    pub(super) hooks: HookSender,
}

/// Where connections are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Door {
    pub(super) interface: Interface,
    /// Who may connect; none = everybody who is a neighbour.
    pub(super) peers: Option<BTreeSet<IpAddr>>,
    /// From how far: the least TTL or hop limit, 255 for neighbours.
    pub(super) least_ttl: u8,
}

impl Door {
    /// A door that is open to whom both are for.
    fn widen(&mut self, other: Self) {
        self.peers = match (self.peers.take(), other.peers) {
            (Some(mut these), Some(those)) => {
                these.extend(those);
                Some(these)
            }
            (None, _) | (_, None) => None,
        };
        // Not to everybody everywhere.
        let least = self.least_ttl.min(other.least_ttl);
        self.least_ttl = if self.peers.is_none() { u8::MAX } else { least };
    }
}

/// What the thread shall do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The port; none = nothing at all.
    port: Option<u16>,
    doors: BTreeMap<(IfIndex, AddressFamily), Door>,
    /// The Actives, each with the interface that it is heard on.
    watched: BTreeMap<(IfIndex, IpAddr), Target>,
}

/// How an Active is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    interface: Interface,
    /// Where it knows this node by one address only.
    source: Option<IpAddr>,
}

impl Wanted {
    /// What an instance of `family` wants, whose door is `door` and whose Active is at `active`; this node's address is `primary`.
    pub(super) fn add(
        &mut self,
        family: AddressFamily,
        door: Door,
        active: Option<IpAddr>,
        primary: Option<IpAddr>,
    ) {
        let index = door.interface.index;
        if let Some(active) = active {
            let source = primary.filter(|_| door.peers.is_some());
            self.watched
                .insert((index, active), Target { interface: door.interface.clone(), source });
        }
        match self.doors.get_mut(&(index, family)) {
            Some(known) => known.widen(door),
            None => drop(self.doors.insert((index, family), door)),
        }
    }
}

/// What is on its way to the thread: one slot, in which a newer wish replaces an older one.
#[derive(Debug, Default)]
struct News {
    /// What was wanted last, for a thread that begins anew.
    wanted: Wanted,
    /// It was not taken yet.
    is_new: bool,
    stops: bool,
}

impl News {
    /// What is wanted, if that is new, and whether the thread is to stop.
    fn take(&mut self) -> (Option<Wanted>, bool) {
        (std::mem::take(&mut self.is_new).then(|| self.wanted.clone()), self.stops)
    }
}

type Slot = Arc<Mutex<News>>;

/// No change is made in parts, so what a thread that panicked has left is whole.
fn lock(slot: &Slot) -> MutexGuard<'_, News> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The way to the thread, which is started when there is first something to do. Dropping it ends the channels with a goodbye.
pub(super) struct Fate {
    told: Told,
    custody: Option<Custody>,
    port: Cell<Option<u16>>,
    outdated: Cell<bool>,
    thread: RefCell<Option<(Slot, Waker, JoinHandle<()>)>>,
}

impl Fate {
    pub(super) fn new(port: Option<u16>, custody: Option<Custody>, told: Told) -> Self {
        let (port, outdated) = (Cell::new(port), Cell::new(true));
        Self { told, custody, port, outdated, thread: RefCell::new(None) }
    }

    /// Uses another port from now on, or none.
    pub(super) fn set_port(&self, port: Option<u16>) {
        self.port.set(port);
        self.outdate();
    }

    /// What is wanted has to be said anew.
    pub(super) fn outdate(&self) {
        self.outdated.set(true);
    }

    /// What is wanted is said now, if it has to be; `all` adds what each instance wants.
    pub(super) fn settle(&self, all: impl FnOnce(&mut Wanted)) {
        if !self.outdated.replace(false) {
            return;
        }
        let mut wanted = Wanted { port: self.port.get(), ..Wanted::default() };
        if wanted.port.is_some() {
            all(&mut wanted);
        }
        let mut thread = self.thread.borrow_mut();
        if thread.is_none() && !wanted.doors.is_empty() {
            *thread = self.spawn();
        }
        if let Some((slot, waker, _)) = &*thread {
            let mut news = lock(slot);
            (news.wanted, news.is_new) = (wanted, true);
            drop(news);
            wake(waker);
        }
    }

    /// Without the thread VRRP works as it does without a channel.
    fn spawn(&self) -> Option<(Slot, Waker, JoinHandle<()>)> {
        let failed = |why: &dyn std::fmt::Display| {
            tracing::error!(%why, "the fate channel's thread could not be started");
        };
        let waker = Waker::new().inspect_err(|error| failed(error)).ok()?;
        let slot = Slot::default();
        let work = {
            let (slot, waker) = (Arc::clone(&slot), waker.clone());
            let (custody, told) = (self.custody.clone(), self.told.clone());
            move || {
                work(&slot, &waker, || {
                    let (slot, waker) = (Arc::clone(&slot), waker.clone());
                    FateThread::new(slot, waker, custody.clone(), told.clone()).run();
                });
            }
        };
        let spawned = std::thread::Builder::new().name("fate".to_owned());
        let spawned = spawned.spawn(work).inspect_err(|error| failed(error));
        Some((slot, waker, spawned.ok()?))
    }
}

/// Does `run` until that ends in order. A panic has said goodbye on all channels, so that no peer takes this node for dead; what was wanted
/// last is begun anew after a second.
fn work(slot: &Slot, waker: &Waker, run: impl Fn()) {
    while catch_unwind(AssertUnwindSafe(&run)).is_err() {
        tracing::error!("the fate channel's thread has panicked: it begins anew in a second");
        let again_at = now() + AGAIN;
        while now() < again_at && !lock(slot).stops {
            waker.drain();
            // One that can't wait begins sooner.
            drop(wait_until(&[waker.as_fd()], Some(again_at)));
        }
        lock(slot).is_new = true;
    }
}

impl Drop for Fate {
    fn drop(&mut self) {
        let Some((slot, waker, thread)) = self.thread.take() else { return };
        // A VRRP thread that panics says goodbye to nobody: its death is what the channel is for.
        if std::thread::panicking() {
            return;
        }
        lock(&slot).stops = true;
        wake(&waker);
        if thread.join().is_err() {
            tracing::error!("the fate channel's thread had panicked");
        }
    }
}

impl std::fmt::Debug for Fate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fate").field("port", &self.port).finish_non_exhaustive()
    }
}

fn wake(waker: &Waker) {
    if let Err(error) = waker.wake() {
        tracing::error!(%error, "the fate channel's thread could not be woken");
    }
}

#[cfg(test)]
#[path = "panic_test.rs"]
mod panic_test;

#[cfg(test)]
mod tests {
    use super::*;

    fn door(peers: Option<&str>, least_ttl: u8) -> Door {
        let interface = Interface { index: IfIndex::new(1).unwrap(), name: "eth0".to_owned() };
        let peers = peers.map(|peer| BTreeSet::from([peer.parse().unwrap()]));
        Door { interface, peers, least_ttl }
    }

    #[test]
    fn a_door_is_open_to_whom_any_instance_needs_and_never_to_the_world() {
        let mut one = door(Some("192.0.2.2"), 64);
        one.widen(door(Some("192.0.2.3"), 255));
        assert_eq!(one.peers.as_ref().map(BTreeSet::len), Some(2));
        assert_eq!(one.least_ttl, 64, "a named peer may be behind a router");
        one.widen(door(None, 255));
        assert!(one.peers.is_none() && one.least_ttl == 255);
        one.widen(door(Some("192.0.2.3"), 64));
        assert!(one.peers.is_none() && one.least_ttl == 255);
    }
}
