//! What the status says of the configuration that runs and of the last reload.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_control::reload::{Configuration, LastGoodInUse, LastReload};

use crate::state::unix_now;

/// What is known of the configuration that runs; shared between the reloader, which writes it, and the director, which shows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded(Arc<Mutex<Configuration>>);

impl Loaded {
    /// The first configuration; `instead` says why it is not the file's, where it is not.
    pub(crate) fn first(fingerprint: &str, instead: Option<LastGoodInUse>) -> Self {
        let loaded = Self::default();
        loaded.set(fingerprint);
        loaded.lock().last_good = instead;
        loaded
    }

    /// What is known now.
    pub(crate) fn view(&self) -> Configuration {
        self.lock().clone()
    }

    /// Takes note that another configuration runs, and says which generation it is.
    pub(super) fn applied(&self, fingerprint: &str) -> u64 {
        self.set(fingerprint)
    }

    /// Takes note of what became of a reload.
    pub(super) fn note(&self, result: Result<(), String>) {
        let mut known = self.lock();
        match &result {
            Ok(()) => known.reloads_applied += 1,
            Err(_) => known.reloads_refused += 1,
        }
        let applied = result.is_ok();
        known.last_reload = Some(LastReload { applied, at: unix_now(), error: result.err() });
    }

    fn set(&self, fingerprint: &str) -> u64 {
        let mut known = self.lock();
        known.last_good = None;
        known.generation += 1;
        known.fingerprint = fingerprint.to_owned();
        known.loaded_at = unix_now();
        known.generation
    }

    /// No change is made in parts, so what a task that panicked has left is whole.
    fn lock(&self) -> MutexGuard<'_, Configuration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
