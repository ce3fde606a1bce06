//! What happened, for whoever asks: the last thousand events, in order, and a way to wait for the next.
//!
//! A writer holds the lock for one push, a reader for one copy. The VRRP thread is neither: what it tells comes by way of the hooks'
//! channel.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use holdfast_control::{Event, EventPage};
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

/// So many events are kept; the oldest give way, and who had not read them is told how many they were.
const EVENTS_MAX: usize = 1000;

/// So many readers wait for the next event at once; a further one is answered without waiting.
const WAITING_MAX: usize = 16;

/// Nobody waits longer: a connection has half a minute in all.
const WAIT_MAX: Duration = Duration::from_secs(20);

/// The events of this daemon. Copies share them.
#[derive(Clone, Debug)]
pub(crate) struct Events(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ring: Mutex<Ring>,
    news: Notify,
    waiting: Semaphore,
}

#[derive(Debug, Default)]
struct Ring {
    events: VecDeque<Event>,
    /// The number of the last one; the first is 1.
    last: u64,
}

/// An event before it has its number and its time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct News {
    /// What happened, in a word that doesn't change: `server.down`.
    pub(crate) kind: String,
    /// To what: `web/web1`, `edge`.
    pub(crate) subject: String,
    /// The same as a sentence, without the subject.
    pub(crate) text: String,
    /// Who did it, where somebody did and it is known.
    pub(crate) who: Option<String>,
    /// Why, in that one's words.
    pub(crate) reason: Option<String>,
}

impl Events {
    /// None yet.
    pub(crate) fn new() -> Self {
        let waiting = Semaphore::new(WAITING_MAX);
        Self(Arc::new(Shared { ring: Mutex::default(), news: Notify::new(), waiting }))
    }

    /// Keeps an event and wakes who waits.
    pub(crate) fn tell(&self, news: News) {
        let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let at_ms = u64::try_from(at.as_millis()).unwrap_or(u64::MAX);
        let News { kind, subject, text, who, reason } = news;
        let mut ring = self.ring();
        ring.last = ring.last.saturating_add(1);
        let number = ring.last;
        if ring.events.len() >= EVENTS_MAX {
            ring.events.pop_front();
        }
        ring.events.push_back(Event { number, at_ms, kind, subject, text, who, reason });
        drop(ring);
        self.0.news.notify_waiters();
    }

    /// The number of the last event; 0 before the first.
    pub(crate) fn last(&self) -> u64 {
        self.ring().last
    }

    /// The events after number `since`; waits for one so long at most where there is none yet.
    pub(crate) async fn after(&self, since: u64, wait: Duration) -> EventPage {
        let place = match wait.is_zero() {
            true => None,
            false => self.0.waiting.try_acquire().ok(),
        };
        let wait = if place.is_some() { wait.min(WAIT_MAX) } else { Duration::ZERO };
        self.wait_after(since, wait).await
    }

    /// The same for whoever sees to it that not too many wait.
    pub(crate) async fn wait_after(&self, since: u64, wait: Duration) -> EventPage {
        let news = self.0.news.notified();
        tokio::pin!(news);
        // From here on nothing is missed.
        news.as_mut().enable();
        let page = self.page(since);
        if !page.events.is_empty() || wait.is_zero() {
            return page;
        }
        match timeout(wait, news).await {
            Ok(()) => self.page(since),
            Err(_) => page,
        }
    }

    fn page(&self, since: u64) -> EventPage {
        let ring = self.ring();
        // A number from the future is an earlier daemon's: all of this one's are news.
        let since = if since > ring.last { 0 } else { since };
        let events: Vec<Event> =
            ring.events.iter().filter(|event| event.number > since).cloned().collect();
        let first =
            events.first().map_or_else(|| ring.last.saturating_add(1), |event| event.number);
        EventPage { lost: first.saturating_sub(since).saturating_sub(1), last: ring.last, events }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(text: impl ToString) -> News {
        News { text: text.to_string(), ..News::default() }
    }

    #[tokio::test]
    async fn events_are_numbered_and_the_oldest_give_way_and_are_counted() {
        let events = Events::new();
        for number in 1..=EVENTS_MAX + 5 {
            events.tell(news(number));
        }
        let page = events.after(0, Duration::ZERO).await;
        assert_eq!((page.events.len(), page.lost, page.last), (EVENTS_MAX, 5, 1005));
        assert_eq!((page.events[0].number, page.events[0].text.as_str()), (6, "6"));
        let page = events.after(1003, Duration::ZERO).await;
        assert_eq!((page.events.len(), page.lost), (2, 0));
        let page = events.after(1005, Duration::ZERO).await;
        assert_eq!((page.events.len(), page.lost, page.last), (0, 0, 1005));
        // Of a daemon before this one.
        let page = events.after(5000, Duration::ZERO).await;
        assert_eq!((page.events.len(), page.lost), (EVENTS_MAX, 5));
    }

    #[tokio::test]
    async fn who_waits_is_woken_and_one_too_many_is_answered_at_once() {
        let events = Events::new();
        let wait = |events: Events| async move { events.after(0, WAIT_MAX).await };
        let waiting: Vec<_> =
            (0..WAITING_MAX).map(|_| tokio::spawn(wait(events.clone()))).collect();
        while events.0.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(events.after(0, WAIT_MAX).await.events, []);
        events.tell(news("now"));
        for page in waiting {
            assert_eq!(page.await.unwrap().events.len(), 1);
        }
    }
}
