//! Commands of which a run is stuck: what is tried again and again must not take another place each time, or one dead path would have all
//! places of everybody in the end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::SemaphorePermit;

use super::Exec;

/// A place among the commands that run at once. It is free when the last who is in it lets go: the run, a thread that starts the command, or who waits
/// for the kernel to let go of it.
pub(super) type Place = Arc<Option<SemaphorePermit<'static>>>;

/// What a run is stuck in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// A thread waits for the program's path, or the kernel for the program.
    Start,
    /// It was killed, and the kernel does not let go of it.
    Death,
}

/// A run that was given up, and its place.
type Given = (Exec, At, Weak<Option<SemaphorePermit<'static>>>);

/// Runs that were given up while something of them keeps their place.
pub(super) struct Stuck(Mutex<Vec<Given>>);

impl Stuck {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// Takes note of a run of `exec` that was given up. Of those that hold nothing any more nothing is kept, so there are never more than places.
    pub(super) fn note(&self, exec: &Exec, at: At, place: &Place) {
        let mut all = self.lock();
        all.retain(|(.., place)| place.strong_count() > 0);
        all.push((exec.clone(), at, Arc::downgrade(place)));
    }

    /// In what an earlier run of `exec` is stuck still.
    pub(super) fn of(&self, exec: &Exec) -> Option<At> {
        let all = self.lock();
        let mut own = all.iter().filter(|(known, ..)| known == exec);
        own.find(|(.., place)| place.strong_count() > 0).map(|(_, at, _)| *at)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Given>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
