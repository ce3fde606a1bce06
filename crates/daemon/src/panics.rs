//! Panics: each is a fault of the daemon. It ends the task that it comes from, and no other; here it is counted and logged.
//!
//! A run of a check, a request of the API and a run of a hook are tasks of their own. What depends on them hears how they ended: a check's
//! run counts neither way, a client's connection is closed, the next hook has its turn. A thread that everything depends on ends the
//! daemon with it, or the worker, which has a successor (`crate::supervisor`).

use std::any::Any;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts and logs every panic of this process from now on. What the standard library says of one goes to standard error besides, for
/// the log may have no more chance to be written.
pub(crate) fn watch() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        usual(info);
        COUNT.fetch_add(1, Ordering::Relaxed);
        let here = thread::current();
        let at = info.location().map(ToString::to_string);
        tracing::error!(
            thread = here.name(),
            at,
            what = said(info.payload()),
            "a fault of the daemon: a panic ends what it comes from; please report it"
        );
    }));
}

/// What it says of itself; nothing where it says it in a form of its own.
fn said(payload: &(dyn Any + Send)) -> Option<&str> {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// How many there were.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_counted_and_ends_its_thread_alone() {
        watch();
        let before = count();
        assert!(thread::spawn(|| panic!("a fault")).join().is_err());
        assert!(count() > before);
    }
}
