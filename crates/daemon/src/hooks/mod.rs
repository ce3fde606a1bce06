//! Hooks: commands that run when an instance or a sync group changes, or a service gains or loses its quorum.
//!
//! ```text
//!  VRRP thread ─┐
//!  director ────┴try_send──► [bounded] ──► Runner ──► a lane for each instance, group and service, one notice at a time, in order
//!                                             └──► a task for each notice: its commands one after the other
//! ```
//! Neither ever waits for any of this. Lanes are independent: a hook that hangs holds up its own instance's hooks only,
//! for as long as its timeout says.

mod lane;
mod notice;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use holdfast_config::{Config, Convention, Hook};
use holdfast_health::{Code, Outcome, Verdict};
use holdfast_probe::Exec;
use holdfast_telemetry::tally;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use self::lane::{Command, Lane, Orders};
use self::notice::Facts;
pub(crate) use self::notice::{Notice, NoticeState, Subject};
use crate::events::Events;

/// So many notices are on their way from the VRRP thread. The runner takes them at once.
const NOTICES_MAX: usize = 8192;

/// So many notices have their hooks run at once; the others wait in the order in which they came.
const RUNS_MAX: usize = 64;

/// At the daemon's stop, hooks that run or wait have this long.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A hook that runs at the stop and keeps another one waiting has this long, so that the last word is said.
const STOP_PATIENCE_BEFORE_OTHERS: Duration = Duration::from_secs(2);

/// What hooks have done since the daemon started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HookCounts {
    /// Exit status 0.
    pub(crate) passed: u64,
    /// Another exit status, a signal, or a program that was refused.
    pub(crate) failed: u64,
    /// Killed at the timeout.
    pub(crate) timed_out: u64,
    /// Not run, for a reason of this host's own: no such user, out of descriptors.
    pub(crate) not_started: u64,
    /// Notices that were dropped because too many waited.
    pub(crate) dropped: u64,
}

#[derive(Debug, Default)]
struct Counters {
    passed: AtomicU64,
    failed: AtomicU64,
    timed_out: AtomicU64,
    not_started: AtomicU64,
    dropped: AtomicU64,
}

/// The way to the hooks, for the VRRP thread.
#[derive(Clone, Debug)]
pub(crate) struct HookSender {
    notices: mpsc::Sender<Notice>,
    counters: Arc<Counters>,
    events: Events,
}

/// The running hooks, to be stopped.
#[derive(Debug)]
pub(crate) struct Hooks {
    runner: JoinHandle<()>,
    orders: mpsc::Sender<NewOrders>,
    stop: oneshot::Sender<()>,
}

/// What another configuration has of hooks.
#[derive(Debug)]
struct NewOrders {
    lanes: HashMap<Subject, Lane>,
    user: Arc<str>,
}

impl HookSender {
    /// Tells the hooks; never waits. At the limit the notice is lost, counted and logged.
    pub(crate) fn tell(&self, notice: Notice) {
        if let Err(refused) = self.notices.try_send(notice) {
            self.counters.dropped.fetch_add(1, Ordering::Relaxed);
            let lost = refused.into_inner();
            tracing::warn!(kind = lost.subject.kind(), name = %lost.subject.name(), event = ?lost.event, "hooks were not told: too many notices wait");
        }
    }

    /// What is told here and elsewhere, for whoever asks.
    pub(crate) const fn events(&self) -> &Events {
        &self.events
    }

    /// What hooks have done.
    pub(crate) fn counts(&self) -> HookCounts {
        let Counters { passed, failed, timed_out, not_started, dropped } = &*self.counters;
        let [passed, failed, timed_out, not_started, dropped] =
            [passed, failed, timed_out, not_started, dropped]
                .map(|counter| counter.load(Ordering::Relaxed));
        HookCounts { passed, failed, timed_out, not_started, dropped }
    }
}

impl Hooks {
    /// Starts the runner of `config`'s hooks. Needs a tokio runtime.
    pub(crate) fn start(config: &Config) -> (Self, HookSender) {
        Self::run(lanes(config), &config.daemon.script_user)
    }

    fn run(lanes: HashMap<Subject, Lane>, user: &str) -> (Self, HookSender) {
        let (notices, receiver) = mpsc::channel(NOTICES_MAX);
        let (orders, changes) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        let events = Events::new();
        let runner = Runner {
            lanes,
            ready: VecDeque::new(),
            runs: JoinSet::new(),
            subjects: HashMap::new(),
            user: user.into(),
            counters: Arc::clone(&counters),
            events: events.clone(),
        };
        let runner = tokio::spawn(runner.work(receiver, changes, stopped));
        (Self { runner, orders, stop }, HookSender { notices, counters, events })
    }

    /// Runs the hooks of `config` for what is told from now on. What waits stays in its place; runs that are under way go on.
    pub(crate) async fn reconfigure(&self, config: &Config) {
        let user = config.daemon.script_user.as_str().into();
        if self.orders.send(NewOrders { lanes: lanes(config), user }).await.is_err() {
            tracing::error!("the hooks ended by a fault of the daemon: none runs any more");
        }
    }

    /// Ends the hooks: of what waits for each instance only the last word is still told, and what runs or waits after
    /// [`STOP_PATIENCE`] is killed or left out. Call it when the VRRP thread has said its last.
    pub(crate) async fn stop(self) {
        // A runner that has gone needs no word.
        let _gone = self.stop.send(());
        if timeout(STOP_PATIENCE * 2, self.runner).await.is_err() {
            tracing::error!("the hooks do not stop: they are left");
        }
    }
}

/// A lane for everything that has a hook.
fn lanes(config: &Config) -> HashMap<Subject, Lane> {
    let commands = |hooks: &[&[Hook]]| -> Vec<Command> {
        hooks.iter().copied().flatten().map(Command::from).collect()
    };
    let instances = config.instances.values().map(|instance| {
        let commands = commands(&[&config.vrrp.hooks, &instance.hooks]);
        let lane = Lane::new(commands, Facts::of_instance(config, instance));
        (Subject::Instance(instance.name.clone()), lane)
    });
    let groups = config.vrrp.groups.values().map(|group| {
        let lane = Lane::new(commands(&[&group.hooks]), Facts::of_group(config, group));
        (Subject::Group(group.name.clone()), lane)
    });
    let services = config.services.values().map(|service| {
        let lane =
            Lane::new(commands(&[&service.policy.hooks]), Facts::of_service(config, service));
        (Subject::Service(service.name.clone()), lane)
    });
    instances
        .chain(groups)
        .chain(services)
        .filter(|(_, lane)| !lane.orders.commands.is_empty())
        .collect()
}

/// Runs the hooks.
#[derive(Debug)]
struct Runner {
    lanes: HashMap<Subject, Lane>,
    /// Lanes that have something to run, in the order of their turn.
    ready: VecDeque<Subject>,
    runs: JoinSet<()>,
    subjects: HashMap<task::Id, (Subject, AbortHandle)>,
    user: Arc<str>,
    counters: Arc<Counters>,
    events: Events,
}

impl Runner {
    async fn work(
        mut self,
        mut notices: mpsc::Receiver<Notice>,
        mut orders: mpsc::Receiver<NewOrders>,
        mut stop: oneshot::Receiver<()>,
    ) {
        loop {
            self.start_runs();
            tokio::select! {
                Some(orders) = orders.recv() => self.adopt(orders),
                Some(notice) = notices.recv() => self.take(notice),
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended.map(|(id, ())| id)),
                // Nobody is left to stop it either: the daemon ends by a fault.
                _ = &mut stop => break,
            }
        }
        while let Ok(notice) = notices.try_recv() {
            self.take(notice);
        }
        self.finish().await;
    }

    /// Has other hooks from now on. Lanes that are gone stay for what is still told of their instances, until the next time.
    fn adopt(&mut self, orders: NewOrders) {
        let NewOrders { mut lanes, user } = orders;
        self.user = user;
        self.lanes.retain(|subject, lane| match lanes.remove(subject) {
            Some(new) => {
                lane.orders = new.orders;
                lane.orphan = false;
                true
            }
            None => !std::mem::replace(&mut lane.orphan, true) || lane.busy || lane.waiting() > 0,
        });
        self.lanes.extend(lanes);
    }

    /// Runs what is the last word for each lane, and nothing after [`STOP_PATIENCE`].
    async fn finish(mut self) {
        let deadline = Instant::now() + STOP_PATIENCE;
        let mut give_way = Some(Instant::now() + STOP_PATIENCE_BEFORE_OTHERS);
        let superseded: usize = self.lanes.values_mut().map(Lane::keep_the_last).sum();
        self.count_dropped(superseded);
        loop {
            self.start_runs();
            if self.runs.is_empty() {
                return;
            }
            tokio::select! {
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended.map(|(id, ())| id)),
                () = sleep_until(give_way.unwrap_or(deadline)), if give_way.is_some() => {
                    give_way = None;
                    self.end_those_before_others();
                }
                () = sleep_until(deadline) => break,
            }
        }
        let waiting: usize = self.lanes.values().map(Lane::waiting).sum();
        tracing::warn!(killed = self.runs.len(), left_out = waiting, patience = ?STOP_PATIENCE, "hooks did not end in time: the daemon stops without them");
        // Waits until each is gone with its process group.
        self.runs.shutdown().await;
    }

    /// Kills the runs that keep others of their lane waiting.
    fn end_those_before_others(&self) {
        for (subject, run) in self.subjects.values() {
            if self.lanes.get(subject).is_some_and(|lane| lane.waiting() > 0) {
                tracing::warn!(kind = subject.kind(), name = %subject.name(), patience = ?STOP_PATIENCE_BEFORE_OTHERS, "a hook is killed so that the next can run before the daemon stops");
                run.abort();
            }
        }
    }

    fn take(&mut self, notice: Notice) {
        if let Some(news) = notice.news() {
            self.events.tell(news);
        }
        let Some(lane) = self.lanes.get_mut(&notice.subject) else { return };
        if !lane.wants(notice.event) {
            return;
        }
        let subject = notice.subject.clone();
        let dropped = lane.push(notice);
        if !lane.busy {
            lane.busy = true;
            self.ready.push_back(subject.clone());
        }
        if let Some(dropped) = dropped {
            self.count_dropped(1);
            tracing::warn!(kind = subject.kind(), name = %subject.name(), event = ?dropped.event, "hooks are not told of what a later change has superseded: too many notices wait for them");
        }
    }

    /// Starts as many runs as may be.
    fn start_runs(&mut self) {
        while self.runs.len() < RUNS_MAX {
            let Some(subject) = self.ready.pop_front() else { return };
            let Some(lane) = self.lanes.get_mut(&subject) else { continue };
            let Some(notice) = lane.pop() else {
                lane.busy = false;
                continue;
            };
            let orders = Arc::clone(&lane.orders);
            let (user, counters) = (Arc::clone(&self.user), Arc::clone(&self.counters));
            let run = self.runs.spawn(async move {
                run(&notice, &orders, &user, &counters).await;
            });
            self.subjects.insert(run.id(), (subject, run));
        }
    }

    /// A run is over: what waits behind it has its turn.
    fn ended(&mut self, run: Result<task::Id, task::JoinError>) {
        let id = run.unwrap_or_else(|error| {
            if !error.is_cancelled() {
                tally::count(tally::Count::HookPanic);
                tracing::error!(%error, "a hook ended by a fault of the daemon");
            }
            error.id()
        });
        let Some((subject, _)) = self.subjects.remove(&id) else { return };
        let Some(lane) = self.lanes.get_mut(&subject) else { return };
        lane.busy = lane.waiting() > 0;
        if lane.busy {
            self.ready.push_back(subject);
        }
    }

    fn count_dropped(&self, number: usize) {
        let number = u64::try_from(number).unwrap_or(u64::MAX);
        self.counters.dropped.fetch_add(number, Ordering::Relaxed);
    }
}

/// Runs every command that wants to know of `notice`, one after the other.
async fn run(notice: &Notice, orders: &Orders, user: &str, counters: &Counters) {
    let wanted = orders.commands.iter().filter(|command| command.on.contains(&notice.event));
    for Command { command, timeout, .. } in wanted {
        let exec = Exec {
            command: command.iter().cloned().chain(notice.arguments()).collect(),
            user: user.to_owned(),
            environment: Vec::new(),
            input: notice.json(&orders.facts),
            convention: Convention::Plain,
            gains: true,
        };
        let outcome = exec.run_apart(*timeout).await;
        counters.count(&outcome);
        let (kind, name, event) = (notice.subject.kind(), notice.subject.name(), notice.event);
        let (took, said) = (outcome.took, outcome.reason.sentence.to_string());
        if outcome.verdict == Verdict::Pass {
            tracing::debug!(kind, %name, ?event, ?took, said, "a hook has run");
        } else {
            tracing::warn!(kind, %name, ?event, ?took, said, "a hook failed");
        }
    }
}

impl Counters {
    fn count(&self, outcome: &Outcome) {
        let counter = match (outcome.verdict, outcome.reason.code) {
            (Verdict::Pass, _) => &self.passed,
            (Verdict::Fail, Code::PROCTOUT) => &self.timed_out,
            (Verdict::Fail, _) => &self.failed,
            (Verdict::Inconclusive, _) => &self.not_started,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
