//! One notification: what waits for it, object by object, and what is being delivered.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use holdfast_control::Event;
use holdfast_telemetry::tally::{Count, add, count};
use tokio::sync::{oneshot, watch};
use tokio::task::{self, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::delivery::Delivery;
use super::{STOP_PATIENCE, Settings};
use crate::events::Events;

/// So many events wait for one object.
const OBJECT_MAX: usize = 64;

/// So many wait for all of them.
const WAITING_MAX: usize = 4096;

/// So many are delivered at once.
const RUNS_MAX: usize = 8;

/// The ring is asked again after so long without an event.
const PATIENCE: Duration = Duration::from_secs(3600);

/// A notification at work.
#[derive(Debug)]
pub(super) struct Channel {
    delivery: Arc<Delivery>,
    events: Events,
    since: u64,
    lanes: HashMap<String, Lane>,
    /// Objects that have something to deliver, in the order of their turn.
    ready: VecDeque<String>,
    waiting: usize,
    runs: JoinSet<()>,
    objects: HashMap<task::Id, String>,
    /// Says that nothing is tried a second time any more.
    hurry: watch::Sender<bool>,
}

/// What waits for one object.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Event>,
    /// Whether one is being delivered or has its turn soon.
    busy: bool,
}

impl Channel {
    pub(super) fn new(settings: Settings, events: Events, since: u64) -> Self {
        let (hurry, _) = watch::channel(false);
        Self {
            delivery: Arc::new(Delivery::new(settings)),
            events,
            since,
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            waiting: 0,
            runs: JoinSet::new(),
            objects: HashMap::new(),
            hurry,
        }
    }

    /// Works until `stop` comes, and then delivers what there is, within a limit.
    pub(super) async fn work(mut self, mut stop: oneshot::Receiver<()>) {
        loop {
            self.start_runs();
            let events = self.events.clone();
            tokio::select! {
                page = events.wait_after(self.since, PATIENCE) => self.take(page),
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended),
                _ = &mut stop => break,
            }
        }
        self.hurry.send_replace(true);
        let last = self.events.wait_after(self.since, Duration::ZERO).await;
        self.take(last);
        let deadline = Instant::now() + STOP_PATIENCE;
        loop {
            self.start_runs();
            if self.runs.is_empty() {
                return;
            }
            tokio::select! {
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended),
                () = sleep_until(deadline) => break,
            }
        }
        let left = self.waiting + self.runs.len();
        add(Count::NotificationDropped, u64::try_from(left).unwrap_or(u64::MAX));
        tracing::warn!(notification = self.delivery.name(), left, patience = ?STOP_PATIENCE, "notifications were not delivered in time: the daemon stops without them");
        self.runs.shutdown().await;
    }

    fn take(&mut self, page: holdfast_control::EventPage) {
        self.since = page.last;
        if page.lost > 0 {
            self.dropped(page.lost, "events came faster than they are read");
        }
        for event in page.events {
            if self.delivery.wants(&event.kind) {
                self.push(event);
            }
        }
    }

    /// Puts an event behind what waits for its object. At a limit the object's oldest gives way.
    fn push(&mut self, event: Event) {
        let object = event.subject.clone();
        let lane = self.lanes.entry(object.clone()).or_default();
        let full = self.waiting >= WAITING_MAX || lane.waiting.len() >= OBJECT_MAX;
        if full && lane.waiting.pop_front().is_some() {
            self.waiting -= 1;
        }
        // Where an object has nothing waiting and there is no room, this one is lost itself.
        let fits = self.waiting < WAITING_MAX;
        if fits {
            lane.waiting.push_back(event);
            self.waiting += 1;
            if !lane.busy {
                lane.busy = true;
                self.ready.push_back(object);
            }
        } else if !lane.busy {
            self.lanes.remove(&object);
        }
        if full {
            self.dropped(1, "too many wait for this object");
        }
    }

    fn dropped(&self, number: u64, why: &'static str) {
        add(Count::NotificationDropped, number);
        self.delivery.say_dropped(number, why);
    }

    fn start_runs(&mut self) {
        while self.runs.len() < RUNS_MAX {
            let Some(object) = self.ready.pop_front() else { return };
            let Some(lane) = self.lanes.get_mut(&object) else { continue };
            let Some(event) = lane.waiting.pop_front() else {
                self.lanes.remove(&object);
                continue;
            };
            self.waiting -= 1;
            let (delivery, hurry) = (Arc::clone(&self.delivery), self.hurry.subscribe());
            let run = self.runs.spawn(async move { delivery.deliver(&event, hurry).await });
            self.objects.insert(run.id(), object);
        }
    }

    /// A delivery is over: what waits behind it has its turn.
    fn ended(&mut self, run: Result<(task::Id, ()), JoinError>) {
        let id = match run {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    count(Count::NotificationPanic);
                    tracing::error!(%error, "a notification ended by a fault of the daemon");
                }
                error.id()
            }
        };
        let Some(object) = self.objects.remove(&id) else { return };
        match self.lanes.get_mut(&object) {
            Some(lane) if !lane.waiting.is_empty() => self.ready.push_back(object),
            Some(_) | None => {
                self.lanes.remove(&object);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use holdfast_config::{Config, Environment, parse};

    use super::*;
    use crate::events::News;

    fn config() -> Config {
        let text =
            "daemon: {notifications: {ops: {on: server, command: [/bin/true]}}}\nservices: {}\n";
        let outcome = parse("test", text, &Environment::new("lb1"));
        outcome.config.unwrap_or_else(|| panic!("{:?}", outcome.diagnostics))
    }

    fn channel() -> Channel {
        let settings = super::super::settings(&config()).into_values().next().unwrap();
        Channel::new(settings, Events::new(), 0)
    }

    fn event(number: u64, subject: &str) -> Event {
        let (kind, subject) = ("server.down".to_owned(), subject.to_owned());
        Event { number, kind, subject, ..Event::default() }
    }

    #[tokio::test]
    async fn of_one_object_the_oldest_gives_way_and_of_others_nothing() {
        let mut channel = channel();
        channel.push(event(1, "web/web2"));
        for number in 2..=70 {
            channel.push(event(number, "web/web1"));
        }
        let lane = channel.lanes.get("web/web1").unwrap();
        assert_eq!((lane.waiting.len(), lane.waiting[0].number), (OBJECT_MAX, 7));
        assert_eq!(channel.lanes.get("web/web2").unwrap().waiting.len(), 1);
        assert_eq!(channel.waiting, OBJECT_MAX + 1);
    }

    #[tokio::test]
    async fn all_objects_together_have_a_limit_and_leave_nothing_behind() {
        let mut channel = channel();
        for number in 0..WAITING_MAX + 10 {
            channel.push(event(1, &number.to_string()));
        }
        assert_eq!((channel.waiting, channel.lanes.len()), (WAITING_MAX, WAITING_MAX));
    }

    #[tokio::test]
    async fn only_what_is_wanted_is_taken_and_an_object_is_forgotten_when_all_is_told() {
        let mut channel = channel();
        for kind in ["server.down", "vrrp.active", "servers"] {
            let (kind, subject) = (kind.to_owned(), "web/web1".to_owned());
            channel.events.tell(News { kind, subject, ..News::default() });
        }
        let page = channel.events.wait_after(0, Duration::ZERO).await;
        channel.take(page);
        assert_eq!((channel.waiting, channel.since), (1, 3));
        channel.start_runs();
        assert_eq!((channel.waiting, channel.runs.len()), (0, 1));
        let ended = channel.runs.join_next_with_id().await.unwrap();
        channel.ended(ended);
        assert!(channel.lanes.is_empty() && channel.objects.is_empty());
    }
}
