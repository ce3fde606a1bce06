//! Which of the host's processors a guest is kept on.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use nix::{
    sched::{CpuSet, sched_getaffinity},
    unistd::Pid,
};

/// How many guests of this process are on each processor.
static GUESTS: Mutex<BTreeMap<usize, usize>> = Mutex::new(BTreeMap::new());

/// A guest's place on a processor, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Processor(usize);

impl Processor {
    /// A place on that processor of those that this process may use which has the fewest of its guests. Where several have, another process begins with
    /// another one.
    pub(super) fn take() -> Self {
        let allowed = allowed();
        let first = usize::try_from(Pid::this().as_raw()).unwrap_or(0) % allowed.len().max(1);
        let (before, from) = allowed.split_at(first);
        let mut guests = GUESTS.lock().unwrap_or_else(PoisonError::into_inner);
        let on = |processor: &&usize| guests.get(*processor).copied().unwrap_or(0);
        // Where nobody says which there are, the first one is there.
        let processor = from.iter().chain(before).min_by_key(on).copied().unwrap_or(0);
        *guests.entry(processor).or_default() += 1;
        Self(processor)
    }

    /// Its number, as the kernel counts them.
    pub(super) const fn number(&self) -> usize {
        self.0
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        let mut guests = GUESTS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = guests.get_mut(&self.0) {
            *count = count.saturating_sub(1);
        }
    }
}

/// The processors that this process may use.
fn allowed() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::this()).unwrap_or_else(|_| CpuSet::new());
    (0..CpuSet::count()).filter(|one| allowed.is_set(*one).unwrap_or(false)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_spread_over_the_processors_that_there_are() {
        let allowed = allowed();
        let mut taken: Vec<_> = allowed.iter().map(|_| Processor::take()).collect();
        let mut numbers: Vec<_> = taken.iter().map(Processor::number).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, allowed);
        // One that is given back is the next one's.
        let back = taken.swap_remove(0);
        let number = back.number();
        drop(back);
        assert_eq!(Processor::take().number(), number);
    }
}
