//! What watchers say, on its way to the VRRP thread: one slot a tracker, so that nothing can be dropped and nothing grows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use holdfast_config::Name;
use holdfast_engine::vrrp::Reading;

/// The newest reading of each tracker that the thread has not taken yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Readings(Arc<Mutex<BTreeMap<Name, Reading>>>);

impl Readings {
    /// Puts a reading in the place of an older one.
    pub(super) fn put(&self, tracker: Name, reading: Reading) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(tracker, reading);
    }

    /// Takes what is new.
    pub(super) fn take(&self) -> BTreeMap<Name, Reading> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
