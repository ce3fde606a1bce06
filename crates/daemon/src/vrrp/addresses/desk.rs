//! What the VRRP thread and the address thread share: for each instance what is wanted, and what has become of it.
//!
//! It is a state and no queue: what is wanted replaces what was wanted before, so nothing can be dropped and nothing grows beyond one
//! slot an instance. Its lock is held for moments, never over a call of the kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_config::Name;
use holdfast_net::{Interface, Item, MacAddress, WakeError, Waker, now};
use holdfast_time::Instant;

use super::announcing::Paces;
use super::claim::{Claim, Key};
use super::few::Few;
use super::word::{Asker, Word};

/// What one instance wants. A counter that differs from the last one that was seen is a request; how many were made meanwhile does
/// not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Wanted {
    /// The interface that it is on; none while there is no such interface.
    pub(in super::super) interface: Option<Interface>,
    /// The interface's Ethernet address, which announcements tell.
    pub(in super::super) mac: Option<MacAddress>,
    /// Whether the addresses shall be there.
    pub(in super::super) held: bool,
    /// Counts requests to announce the addresses.
    pub(in super::super) announcements: u64,
    /// Counts the interfaces that have gone: what was put on one went with it, even if the next has the same number.
    pub(in super::super) losses: u64,
}

/// What has become of an instance's addresses, routes and rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Outcome {
    /// Whether all of its addresses are where they are wanted, or some still where they are not.
    pub(in super::super) holds: bool,
    /// What is missing or was refused, empty when all went well.
    pub(in super::super) problems: Vec<String>,
    /// How many addresses, routes and rules were put back that somebody had taken away.
    pub(in super::super) put_back: u64,
    /// Why the interface of its virtual MAC address is missing: no address can be there.
    pub(super) unseated: Option<String>,
    /// What this process has put there and may take away; the desk and the tenant have it in common.
    pub(super) ours: Arc<Few<Key, Item>>,
}

impl Outcome {
    /// What is wrong, in one sentence; none when all went well.
    pub(in super::super) fn fault(&self) -> Option<String> {
        let first = self.problems.first()?;
        Some(match self.problems.len() {
            1 => first.clone(),
            all => format!("{first} (and {} more)", all - 1),
        })
    }
}

/// The shared state.
#[derive(Debug)]
pub(super) struct Desk {
    state: Mutex<State>,
    word: Word,
    waker: Waker,
    /// Wakes the thread that renews.
    renewing: Waker,
    /// Wakes the VRRP thread.
    listener: Waker,
}

#[derive(Debug, Default)]
struct State {
    /// And when it was said.
    wanted: BTreeMap<Name, (Wanted, Instant)>,
    /// Whose wishes the address thread has not taken yet.
    fresh: BTreeSet<Name>,
    outcomes: BTreeMap<Name, Outcome>,
    /// What the instances claim from now on, which the address thread has not taken yet.
    claims: Option<Claims>,
    /// Whose [`Outcome::unseated`] the VRRP thread has not taken yet.
    seats: BTreeSet<Name>,
    /// Whose addresses may not be there any more, which the address thread has not taken yet.
    doubts: BTreeSet<Name>,
    /// No more wishes will come.
    closed: bool,
    /// Nothing is to be renewed any more.
    lapsed: bool,
    /// The address thread works no more.
    gone: bool,
}

/// What all instances claim.
#[derive(Debug, Default)]
pub(super) struct Claims {
    pub(super) claims: Vec<Claim>,
    pub(super) paces: Paces,
    /// Instances that are called otherwise: the name before, and the name now.
    pub(super) renamed: Vec<(Name, Name)>,
}

/// What the address thread takes from the desk.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Comes before what is wanted.
    pub(super) claims: Option<Claims>,
    /// And when it was said.
    pub(super) wanted: Vec<(Name, Wanted, Instant)>,
    /// Who is to be compared with the kernel.
    pub(super) doubts: BTreeSet<Name>,
    pub(super) closed: bool,
}

impl Desk {
    /// An empty desk. `listener` wakes the VRRP thread.
    ///
    /// # Errors
    /// The process has no file descriptor left.
    pub(super) fn new(listener: Waker) -> Result<Self, WakeError> {
        let (waker, renewing) = (Waker::new()?, Waker::new()?);
        Ok(Self { state: Mutex::default(), word: Word::default(), waker, renewing, listener })
    }

    /// The VRRP thread's word: it has read all that had arrived until then, and has said what follows.
    pub(super) fn vouch(&self, read_until: Instant, now: Instant) {
        for who in self.word.give(read_until, now) {
            match who {
                Asker::Addresses => self.wake(),
                Asker::Renewing => self.wake_renewing(),
            }
        }
    }

    /// Whether somebody waits for that word.
    pub(super) fn is_asked(&self) -> bool {
        self.word.is_asked()
    }

    /// Whether there is a word of at most this `age`. If not, the VRRP thread is asked for one, and `who` woken when it comes.
    pub(super) fn has_word(&self, now: Instant, age: Duration, who: Asker) -> bool {
        if self.word.is_good(now, age) {
            return true;
        }
        if self.word.ask(who) {
            self.wake_listener();
        }
        false
    }

    /// What wakes the address thread when there is news. It has to be drained before the news is taken.
    pub(super) const fn waker(&self) -> &Waker {
        &self.waker
    }

    /// Replaces what `instance` wants.
    pub(super) fn want(&self, instance: &Name, wanted: Wanted) {
        let mut state = self.lock();
        state.wanted.insert(instance.clone(), (wanted, now()));
        let was_idle = state.fresh.is_empty();
        state.fresh.insert(instance.clone());
        drop(state);
        // Who has not taken the older news yet finds this one with it.
        if was_idle {
            self.wake();
        }
    }

    /// Has the instances of `claims`, and no others, from now on. An instance that is not among them any more wants nothing; one of
    /// `renamed` (the name before, the name now) is what it was under its other name.
    pub(super) fn claim(&self, claims: Vec<Claim>, paces: Paces, renamed: Vec<(Name, Name)>) {
        let mut state = self.lock();
        for (from, to) in &renamed {
            if let Some(wanted) = state.wanted.remove(from) {
                state.wanted.insert(to.clone(), wanted);
            }
            if let Some(outcome) = state.outcomes.remove(from) {
                state.outcomes.insert(to.clone(), outcome);
            }
            if state.fresh.remove(from) {
                state.fresh.insert(to.clone());
            }
        }
        // Names that have not been taken yet lead from the first to the last.
        let mut all = state.claims.take().map(|claims| claims.renamed).unwrap_or_default();
        all.extend(renamed);
        state.claims = Some(Claims { claims, paces, renamed: all });
        drop(state);
        self.wake();
    }

    /// Forgets an instance that is gone, unless it is wanted again.
    pub(super) fn forget(&self, instance: &Name) {
        let mut state = self.lock();
        if !state.fresh.contains(instance) {
            state.wanted.remove(instance);
            state.outcomes.remove(instance);
        }
    }

    /// Wants no address anywhere any more, for good.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        let State { wanted, fresh, closed, .. } = &mut *state;
        for (instance, (wanted, _)) in wanted {
            wanted.held = false;
            fresh.insert(instance.clone());
        }
        *closed = true;
        drop(state);
        self.wake();
    }

    /// Whether the addresses of `instance`, as the address thread calls it, shall be there.
    pub(super) fn is_held(&self, instance: &Name) -> bool {
        let state = self.lock();
        let renamed = state.claims.iter().flat_map(|claims| &claims.renamed);
        let called = |name, (from, to)| if name == from { to } else { name };
        let name = renamed.map(|(from, to)| (from, to)).fold(instance, called);
        state.wanted.get(name).is_some_and(|(wanted, _)| wanted.held)
    }

    /// Whether something is wanted of `instance` that the address thread has not taken yet.
    pub(super) fn has_news(&self, instance: &Name) -> bool {
        self.lock().fresh.contains(instance)
    }

    /// Has the address thread compare `instance` with the kernel.
    pub(super) fn doubt(&self, instance: &Name) {
        self.lock().doubts.insert(instance.clone());
        self.wake();
    }

    /// What the thread that renews waits for.
    pub(super) fn renewing(&self) -> BorrowedFd<'_> {
        self.renewing.as_fd()
    }

    /// Takes what has woken the thread that renews; whether it goes on.
    pub(super) fn drain_renewing(&self) -> bool {
        self.renewing.drain();
        !self.lock().lapsed
    }

    /// Has the thread that renews look for what is due.
    pub(super) fn wake_renewing(&self) {
        if let Err(error) = self.renewing.wake() {
            tracing::error!(%error, "the thread that renews addresses could not be woken");
        }
    }

    /// Ends that thread.
    pub(super) fn end_renewing(&self) {
        self.lock().lapsed = true;
        self.wake_renewing();
    }

    fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "the address thread could not be woken");
        }
    }

    /// What is new since the last call.
    pub(super) fn news(&self) -> News {
        let mut state = self.lock();
        let State { wanted, fresh, claims, closed, doubts, .. } = &mut *state;
        let claims = claims.take();
        let taken = std::mem::take(fresh).into_iter();
        let wish = |name: Name| {
            let (wanted, at) = wanted.get(&name).cloned()?;
            Some((name, wanted, at))
        };
        let wanted = taken.filter_map(wish).collect();
        News { claims, wanted, doubts: std::mem::take(doubts), closed: *closed }
    }

    pub(super) fn report(&self, instance: &Name, outcome: Outcome) {
        let mut state = self.lock();
        let unseated = outcome.unseated.clone();
        let before = state.outcomes.insert(instance.clone(), outcome);
        if before.and_then(|before| before.unseated) == unseated {
            return;
        }
        state.seats.insert(instance.clone());
        drop(state);
        self.wake_listener();
    }

    fn wake_listener(&self) {
        if let Err(error) = self.listener.wake() {
            tracing::error!(%error, "the VRRP thread could not be woken");
        }
    }

    /// The instances for which the interface of a virtual MAC address has gone, and why, or has come back, since the last call.
    pub(super) fn seats(&self) -> Vec<(Name, Option<String>)> {
        let mut state = self.lock();
        let State { seats, outcomes, .. } = &mut *state;
        let unseated = |name: Name| {
            let why = outcomes.get(&name).and_then(|outcome| outcome.unseated.clone());
            (name, why)
        };
        std::mem::take(seats).into_iter().map(unseated).collect()
    }

    pub(super) fn outcome(&self, instance: &Name) -> Outcome {
        self.lock().outcomes.get(instance).cloned().unwrap_or_default()
    }

    /// Notes that the address thread works no more.
    pub(super) fn set_gone(&self) {
        self.lock().gone = true;
    }

    pub(super) fn is_gone(&self) -> bool {
        self.lock().gone
    }

    /// No change is made in parts, so what a thread that panicked has left is whole.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn the_newest_wish_counts_and_none_is_lost() {
        let desk = Desk::new(Waker::new().unwrap()).unwrap();
        for round in 1..=5 {
            for instance in 0..1000 {
                let wanted = Wanted { held: round == 5, announcements: round, ..Wanted::default() };
                desk.want(&name(&format!("i{instance}")), wanted);
            }
        }
        let news = desk.news();
        assert_eq!(news.wanted.len(), 1000, "one slot an instance, and every instance has its");
        assert!(news.wanted.iter().all(|(_, wanted, _)| wanted.held && wanted.announcements == 5));
        assert!(desk.news().wanted.is_empty(), "taken once");
    }

    #[test]
    fn a_closed_desk_wants_no_address() {
        let desk = Desk::new(Waker::new().unwrap()).unwrap();
        desk.want(&name("a"), Wanted { held: true, ..Wanted::default() });
        desk.news();
        desk.close();
        let news = desk.news();
        assert!(news.closed);
        let wanted: Vec<_> = news.wanted.into_iter().map(|(name, one, _)| (name, one)).collect();
        assert_eq!(wanted, [(name("a"), Wanted::default())]);
    }
}
