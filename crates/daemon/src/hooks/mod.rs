//! Hooks: commands that run when an instance or a sync group changes, or a service gains or loses its quorum.
//!
//! ```text
//!  VRRP thread ─┐
//!  director ────┴try_send──► [bounded] ──► Runner ──► a lane for each instance, group and service, one notice at a time, in order
//!                                             └──► a task for each notice: its commands one after the other
//! ```
//! Neither ever waits for any of this. Lanes are independent: a hook that hangs holds up its own instance's hooks only,
//! for as long as its timeout says.

mod counts;
mod lane;
mod notice;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Config, Convention, Hook};
use holdfast_control::HookRuns;
use holdfast_health::Verdict;
use holdfast_probe::Exec;
use holdfast_telemetry::tally;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{self, AbortHandle, JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};

use self::counts::Counters;
pub(crate) use self::counts::HookCounts;
use self::lane::{Command, Lane, Orders};
use self::notice::Facts;
pub(crate) use self::notice::{Notice, NoticeState, Subject};
use crate::events::{Events, News};

/// So many notices are on their way from the VRRP thread. The runner takes them at once.
const NOTICES_MAX: usize = 8192;

/// So many notices have their hooks run at once; the others wait in the order in which they came.
const RUNS_MAX: usize = 64;

/// At the daemon's stop, hooks that run or wait have this long.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// A hook that runs at the stop and keeps another one waiting has this long, so that the last word is said.
const STOP_PATIENCE_BEFORE_OTHERS: Duration = Duration::from_secs(2);

/// What is on its way to the runner.
#[derive(Debug)]
enum Told {
    /// For hooks and the stream of events.
    Notice(Notice),
    /// For the stream of events alone.
    News(News),
}

/// The way to the hooks, for threads that wait for nobody: VRRP's and the fate channel's.
#[derive(Clone, Debug)]
pub(crate) struct HookSender {
    told: mpsc::Sender<Told>,
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
        if let Err(refused) = self.told.try_send(Told::Notice(notice))
            && let Told::Notice(lost) = refused.into_inner()
        {
            self.counters.lose(1);
            tracing::warn!(kind = lost.subject.kind(), name = %lost.subject.name(), event = ?lost.event, "hooks were not told: too many notices wait");
        }
    }

    /// Tells the stream of events of what no hook is for; never waits. At the limit it is lost, and logged.
    pub(crate) fn tell_news(&self, news: News) {
        if let Err(refused) = self.told.try_send(Told::News(news))
            && let Told::News(News { kind, subject, .. }) = refused.into_inner()
        {
            tracing::warn!(
                kind,
                subject,
                "the stream of events was not told: too many notices wait"
            );
        }
    }

    /// What is told here and elsewhere, for whoever asks.
    pub(crate) const fn events(&self) -> &Events {
        &self.events
    }

    /// What hooks have done.
    pub(crate) fn counts(&self) -> HookCounts {
        self.counters.counts()
    }

    /// What the hooks of each program have done.
    pub(crate) fn runs(&self) -> Vec<HookRuns> {
        self.counters.runs()
    }
}

impl Hooks {
    /// Starts the runner of `config`'s hooks. Needs a tokio runtime.
    pub(crate) fn start(config: &Config) -> (Self, HookSender) {
        Self::run(lanes(config), &config.daemon.script_user)
    }

    fn run(lanes: HashMap<Subject, Lane>, user: &str) -> (Self, HookSender) {
        let (told, receiver) = mpsc::channel(NOTICES_MAX);
        let (orders, changes) = mpsc::channel(1);
        let (stop, stopped) = oneshot::channel();
        let counters = Arc::new(Counters::default());
        counters.keep(&programs(&lanes));
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
        (Self { runner, orders, stop }, HookSender { told, counters, events })
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
    let hooked = config.services.values().filter(|service| !service.policy.hooks.is_empty());
    let services = hooked.map(|service| {
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

/// The programs of all hooks.
fn programs(lanes: &HashMap<Subject, Lane>) -> BTreeSet<String> {
    let commands = lanes.values().flat_map(|lane| &lane.orders.commands);
    commands.filter_map(|command| command.command.first()).cloned().collect()
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
        mut told: mpsc::Receiver<Told>,
        mut orders: mpsc::Receiver<NewOrders>,
        mut stop: oneshot::Receiver<()>,
    ) {
        loop {
            self.start_runs();
            tokio::select! {
                Some(orders) = orders.recv() => self.adopt(orders),
                Some(told) = told.recv() => self.hear(told),
                Some(ended) = self.runs.join_next_with_id() => self.ended(ended.map(|(id, ())| id)),
                // Nobody is left to stop it either: the daemon ends by a fault.
                _ = &mut stop => break,
            }
        }
        while let Ok(told) = told.try_recv() {
            self.hear(told);
        }
        self.finish().await;
    }

    /// Has other hooks from now on. Lanes that are gone stay for what is still told of their instances, until the next time.
    fn adopt(&mut self, orders: NewOrders) {
        let NewOrders { mut lanes, user } = orders;
        self.user = user;
        self.counters.keep(&programs(&lanes));
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

    fn hear(&mut self, told: Told) {
        match told {
            Told::Notice(notice) => self.take(notice),
            Told::News(news) => self.events.tell(news),
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
        self.counters.lose(number);
    }
}

/// Runs every command that wants to know of `notice`, one after the other.
async fn run(notice: &Notice, orders: &Orders, user: &str, counters: &Counters) {
    let wanted = orders.commands.iter().filter(|command| command.on.contains(&notice.event));
    let arguments = notice.arguments();
    for Command { command, timeout, .. } in wanted {
        let program = command.first().map_or("", String::as_str);
        let exec = Exec {
            command: command.iter().chain(&arguments).cloned().collect(),
            user: user.to_owned(),
            environment: Vec::new(),
            input: notice.json(&orders.facts),
            convention: Convention::Plain,
            gains: true,
        };
        let outcome = exec.run_apart(*timeout).await;
        counters.count(program, &arguments, &outcome);
        let (kind, name, event) = (notice.subject.kind(), notice.subject.name(), notice.event);
        let (took, said) = (outcome.took, outcome.reason.sentence.to_string());
        if outcome.verdict == Verdict::Pass {
            tracing::debug!(kind, %name, ?event, ?took, said, "a hook has run");
        } else {
            tracing::warn!(kind, %name, ?event, ?took, said, "a hook failed");
        }
    }
}
