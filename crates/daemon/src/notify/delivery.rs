//! How one event is delivered: by a command, or by a POST that is tried again, later each time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::Bytes;
use holdfast_config::{Convention, Via, Webhook};
use holdfast_control::Event;
use holdfast_health::Verdict;
use holdfast_probe::{Exec, Post, Posted};
use holdfast_telemetry::tally::{Count, count};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::sleep;

use super::Settings;
use crate::rate::RateLimit;

/// The pause before the second attempt; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(1);

/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(60);

/// What all deliveries of one notification share.
#[derive(Debug)]
pub(super) struct Delivery {
    settings: Settings,
    /// Of this process: no two daemons number their deliveries alike.
    since_ms: u128,
    /// Whether the last delivery failed: that is said once, and once that it works again.
    failing: AtomicBool,
    drops: Mutex<RateLimit>,
}

/// What is told.
#[derive(Debug, Serialize)]
struct Message<'a> {
    version: u8,
    node: &'a str,
    #[serde(flatten)]
    event: &'a Event,
}

impl Delivery {
    pub(super) fn new(settings: Settings) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (failing, drops) = (AtomicBool::new(false), Mutex::default());
        Self { settings, since_ms: since.as_millis(), failing, drops }
    }

    pub(super) fn name(&self) -> &str {
        self.settings.notification.name.as_str()
    }

    pub(super) fn wants(&self, kind: &str) -> bool {
        self.settings.notification.wants(kind)
    }

    /// Says in the log that something was dropped, once a second at most.
    pub(super) fn say_dropped(&self, number: u64, why: &str) {
        let mut drops = self.drops.lock().unwrap_or_else(PoisonError::into_inner);
        if drops.allows(holdfast_net::now()) {
            tracing::warn!(notification = self.name(), number, why, "notifications were dropped");
        }
    }

    /// Delivers `event`. When `hurry` comes, nothing is tried again.
    pub(super) async fn deliver(&self, event: &Event, hurry: watch::Receiver<bool>) {
        let message = Message { version: 1, node: &self.settings.node, event };
        // Maps with text as their keys and numbers are all that is in there: it can't fail.
        let json = serde_json::to_vec(&message).unwrap_or_default();
        let done = match &self.settings.notification.via {
            Via::Command(command) => self.run(command, event, json).await,
            Via::Webhook(webhook) => self.post(webhook, event, json.into(), hurry).await,
        };
        count(match done {
            Ok(()) => Count::NotificationDelivered,
            Err(_) => Count::NotificationFailed,
        });
        self.say(event, done);
    }

    async fn run(
        &self,
        command: &[String],
        event: &Event,
        mut json: Vec<u8>,
    ) -> Result<(), String> {
        json.push(b'\n');
        let words = [event.kind.clone(), event.subject.clone()];
        let exec = Exec {
            command: command.iter().cloned().chain(words).collect(),
            user: self.settings.user.to_string(),
            environment: Vec::new(),
            input: json,
            convention: Convention::Plain,
            gains: true,
        };
        let outcome = exec.run_apart(self.settings.notification.timeout).await;
        match outcome.verdict {
            Verdict::Pass => Ok(()),
            Verdict::Fail | Verdict::Inconclusive => Err(outcome.reason.sentence.to_string()),
        }
    }

    async fn post(
        &self,
        webhook: &Webhook,
        event: &Event,
        body: Bytes,
        mut hurry: watch::Receiver<bool>,
    ) -> Result<(), String> {
        let delivery = format!("{}-{}-{}", self.settings.node, self.since_ms, event.number);
        let post = Post { webhook, event: &event.kind, delivery: &delivery, body };
        let mut pause = PAUSE;
        for attempt in 1.. {
            let why = match post.send(self.settings.notification.timeout).await {
                Posted::Taken => return Ok(()),
                Posted::Refused(why) => return Err(why),
                Posted::Failed(why) => why,
            };
            if attempt >= webhook.attempts || *hurry.borrow() {
                return Err(format!("{why} ({attempt} attempts)"));
            }
            count(Count::NotificationRetried);
            tracing::debug!(
                notification = self.name(),
                attempt,
                ?pause,
                why,
                "a notification is tried again"
            );
            tokio::select! {
                () = sleep(pause) => {}
                _ = hurry.wait_for(|hurry| *hurry) => {}
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Says what became of it where that is another thing than the last time.
    fn say(&self, event: &Event, done: Result<(), String>) {
        let (notification, kind, subject) = (self.name(), &event.kind, &event.subject);
        let failed = done.is_err();
        match (done, self.failing.swap(failed, Ordering::Relaxed)) {
            (Err(why), false) => {
                tracing::warn!(
                    notification,
                    kind,
                    subject,
                    why,
                    "a notification could not be delivered; more that can't are only counted"
                );
            }
            (Err(why), true) => {
                tracing::debug!(
                    notification,
                    kind,
                    subject,
                    why,
                    "a notification could not be delivered"
                );
            }
            (Ok(()), true) => {
                tracing::info!(notification, kind, subject, "notifications are delivered again");
            }
            (Ok(()), false) => {
                tracing::debug!(notification, kind, subject, "a notification was delivered");
            }
        }
    }
}
