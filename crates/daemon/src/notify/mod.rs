//! Notifications: commands and webhooks that are told of events (`daemon.notifications`).
//!
//! ```text
//!  the ring of events ──► a task for each notification ──► a lane for each object, in order ──► one delivery of a lane at a time
//! ```
//! Each notification reads the ring by itself, as `holdfast events` does: nobody waits for it, and one that is dead or slow holds up no
//! other. What it can't keep up with is dropped, the oldest first, and counted.

mod channel;
mod delivery;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Config, Name, Notification};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use self::channel::Channel;
use crate::events::Events;

/// At the daemon's stop, deliveries that are under way or wait have this long; nothing is tried a second time.
const STOP_PATIENCE: Duration = Duration::from_secs(3);

/// The running notifications, to be changed and stopped.
#[derive(Debug)]
pub(crate) struct Notifier {
    events: Events,
    channels: BTreeMap<Name, Running>,
}

#[derive(Debug)]
struct Running {
    settings: Settings,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// What one notification needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    notification: Arc<Notification>,
    node: Arc<str>,
    /// Whom commands run as.
    user: Arc<str>,
}

impl Notifier {
    /// Starts the notifications of `config`, which are told of everything since the daemon's start. Needs a tokio runtime.
    pub(crate) fn start(config: &Config, events: Events) -> Self {
        let mut notifier = Self { events, channels: BTreeMap::new() };
        notifier.begin(config, 0);
        notifier
    }

    /// Has those of `config` from now on. One that says what it said goes on where it was.
    pub(crate) fn reconfigure(&mut self, config: &Config) {
        let wanted = settings(config);
        let (kept, gone): (BTreeMap<_, _>, BTreeMap<_, _>) = std::mem::take(&mut self.channels)
            .into_iter()
            .partition(|(name, running)| wanted.get(name) == Some(&running.settings));
        self.channels = kept;
        for running in gone.into_values() {
            // What it was told of before is still told, and nobody waits for that.
            let _gone = running.stop.send(());
        }
        self.begin(config, self.events.last());
    }

    fn begin(&mut self, config: &Config, since: u64) {
        for (name, settings) in settings(config) {
            if self.channels.contains_key(&name) {
                continue;
            }
            let (stop, stopped) = oneshot::channel();
            let channel = Channel::new(settings.clone(), self.events.clone(), since);
            let task = tokio::spawn(channel.work(stopped));
            self.channels.insert(name, Running { settings, stop, task });
        }
    }

    /// Tells what there is to tell, [`STOP_PATIENCE`] at most. Call it when everything else has said its last.
    pub(crate) async fn stop(self) {
        let mut tasks = Vec::new();
        for Running { stop, task, .. } in self.channels.into_values() {
            let _gone = stop.send(());
            tasks.push(task);
        }
        for task in tasks {
            if timeout(STOP_PATIENCE * 2, task).await.is_err() {
                tracing::error!("a notification does not stop: it is left");
            }
        }
    }
}

fn settings(config: &Config) -> BTreeMap<Name, Settings> {
    let each = config.daemon.notifications.iter().map(|(name, notification)| {
        let settings = Settings {
            notification: Arc::new(notification.clone()),
            node: config.node.as_str().into(),
            user: config.daemon.script_user.as_str().into(),
        };
        (name.clone(), settings)
    });
    each.collect()
}
