//! The board on which the upkeep thread is told the states of instances: one slot for each, so that the VRRP thread never waits and nothing can be
//! dropped. Configurations and questions come by it, too.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_config::{Config, Name};
use holdfast_net::now;
use holdfast_time::Instant;
use tokio::sync::oneshot;
use vrrp::Status;

use super::View;

/// How many questions may wait; further ones get no answer.
const QUESTIONS_MAX: usize = 64;

/// A handle to the board; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    notes: Mutex<Notes>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct Notes {
    states: BTreeMap<Name, Status>,
    /// Something was told since the last look.
    news: bool,
    questions: Vec<oneshot::Sender<View>>,
    config: Option<Arc<Config>>,
    is_over: bool,
}

/// What there is to do.
#[derive(Debug, Default)]
pub(super) struct News {
    /// An instance has another state.
    pub(super) states: bool,
    /// Who wants to know how things stand.
    pub(super) questions: Vec<oneshot::Sender<View>>,
    /// Another configuration holds; the newest of several.
    pub(super) config: Option<Arc<Config>>,
    /// It is over.
    pub(super) is_over: bool,
}

impl Board {
    /// Tells the new state of an instance.
    pub(crate) fn tell(&self, instance: &Name, state: Status) {
        let mut notes = self.lock();
        if notes.states.insert(instance.clone(), state) != Some(state) {
            notes.news = true;
            self.0.bell.notify_one();
        }
    }

    /// How things stand; none if the thread has ended or too many ask.
    pub(crate) async fn view(&self) -> Option<View> {
        self.ask()?.await.ok()
    }

    /// Asks how things stand after everything that was told before is done; none if the thread has ended or too many ask.
    pub(crate) fn ask(&self) -> Option<oneshot::Receiver<View>> {
        let (answer, view) = oneshot::channel();
        {
            let mut notes = self.lock();
            if notes.is_over || notes.questions.len() >= QUESTIONS_MAX {
                return None;
            }
            notes.questions.push(answer);
        }
        self.0.bell.notify_one();
        Some(view)
    }

    /// Tells the configuration that holds from now on. What it does not change is not touched.
    pub(crate) fn reconfigure(&self, config: Arc<Config>) {
        self.lock().config = Some(config);
        self.0.bell.notify_one();
    }

    /// Forgets the states of instances that are not in `config`, the configuration that holds now.
    pub(super) fn forget_others(&self, config: &Config) {
        self.lock().states.retain(|name, _| config.instances.contains_key(name));
    }

    /// It is over.
    pub(super) fn end(&self) {
        self.lock().is_over = true;
        self.0.bell.notify_one();
    }

    /// The states of the instances that were told of.
    pub(super) fn states(&self) -> BTreeMap<Name, Status> {
        self.lock().states.clone()
    }

    /// Waits for something to do, until `deadline` at most.
    pub(super) fn wait(&self, deadline: Instant) -> News {
        let mut notes = self.lock();
        loop {
            let left = deadline.saturating_since(now());
            let idle = !notes.news
                && notes.questions.is_empty()
                && notes.config.is_none()
                && !notes.is_over;
            if !idle || left == Duration::ZERO {
                return News {
                    states: std::mem::take(&mut notes.news),
                    questions: std::mem::take(&mut notes.questions),
                    config: notes.config.take(),
                    is_over: notes.is_over,
                };
            }
            let waited = self.0.bell.wait_timeout(notes, left);
            notes = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// No change is made in parts, so what a thread that panicked has left is whole.
    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::try_from(name.to_owned()).unwrap()
    }

    #[test]
    fn the_same_state_again_is_no_news_and_the_last_one_holds() {
        let board = Board::default();
        board.tell(&name("a"), Status::Backup);
        board.tell(&name("a"), Status::Active);
        assert!(board.wait(now()).states);
        board.tell(&name("a"), Status::Active);
        assert!(!board.wait(now()).states);
        assert_eq!(board.states(), [(name("a"), Status::Active)].into());
    }

    /// Until the new configuration is taken, whoever follows the old name finds it.
    #[test]
    fn an_instance_that_is_called_otherwise_has_its_state_under_both_names_until_the_old_one_is_forgotten()
     {
        let board = Board::default();
        board.tell(&name("a"), Status::Active);
        board.tell(&name("b"), Status::Active);
        let text =
            "vrrp: {instances: {b: {interface: eth0, vrid: 1, addresses: [192.0.2.1/24]}}}\n";
        let config = holdfast_config::parse("f", text, &holdfast_config::Environment::new("lb1"));
        assert_eq!(board.states().len(), 2);
        board.forget_others(&config.config.unwrap());
        assert_eq!(board.states(), [(name("b"), Status::Active)].into());
    }

    #[test]
    fn what_is_told_while_it_waits_wakes_it() {
        let board = Board::default();
        let told = board.clone();
        let teller = std::thread::spawn(move || told.tell(&name("a"), Status::Active));
        assert!(board.wait(now() + Duration::from_secs(60)).states);
        teller.join().unwrap();
    }

    #[tokio::test]
    async fn nobody_waits_for_an_answer_after_the_end() {
        let board = Board::default();
        board.end();
        assert!(board.view().await.is_none());
    }
}
