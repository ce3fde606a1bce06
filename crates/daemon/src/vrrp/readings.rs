//! What watchers say, on its way to the VRRP thread: one slot a tracker, so that nothing can be dropped and nothing grows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_config::Name;
use holdfast_engine::vrrp::Reading;
use holdfast_net::IfIndex;

/// What the thread has not taken yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings(Arc<Mutex<News>>);

/// The newest reading of each tracker, the BFD sessions whose peer fell silent, who has died, and who has caught up.
#[derive(Debug, Default)]
pub(super) struct News {
    pub(super) readings: BTreeMap<Name, Reading>,
    pub(super) lost: BTreeSet<Name>,
    /// Where the Active's process has died: the interface and its address.
    pub(super) died: BTreeSet<(IfIndex, IpAddr)>,
    /// The instances that have caught up with the Active's connections, or no longer have.
    pub(super) caught_up: BTreeMap<Name, bool>,
}

impl Readings {
    /// Puts a reading in the place of an older one.
    pub(super) fn put(&self, tracker: Name, reading: Reading) {
        self.lock().readings.insert(tracker, reading);
    }

    /// Notes that the peer of a BFD session fell silent.
    pub(super) fn lose(&self, tracker: Name) {
        self.lock().lost.insert(tracker);
    }

    /// Notes that the process has died that was Active at this address.
    pub(super) fn bury(&self, on: IfIndex, address: IpAddr) {
        self.lock().died.insert((on, address));
    }

    /// Notes whether an instance has the Active's connections.
    pub(super) fn catch_up(&self, instance: Name, caught_up: bool) {
        self.lock().caught_up.insert(instance, caught_up);
    }

    /// Takes what is new.
    pub(super) fn take(&self) -> News {
        std::mem::take(&mut *self.lock())
    }

    /// No change is made in parts, so what a thread that panicked has left is whole.
    fn lock(&self) -> MutexGuard<'_, News> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
