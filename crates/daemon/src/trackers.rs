//! Trackers: starts the watchers of `vrrp.trackers` and tells what they see. Interfaces and BFD sessions are not among them; the
//! VRRP thread has those. Nor are services, of which the director tells.
//!
//! A watcher that can't begin when the daemon starts is an error of the start. One that fails later is logged and read as unknown,
//! which changes nothing of what was known, and it is tried again every second.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use holdfast_config::{Config, Convention, Name, ReachBy, Tracker, TrackerKind};
use holdfast_engine::vrrp::{Level, Reading};
use holdfast_probe::Exec;
use holdfast_watch::{
    FileError, FileWatcher, ProcessError, ProcessWatcher, Reach, Report, RouteError, RouteWatcher,
    Source, Trial, TrialWatcher, Way,
};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// A watcher that failed is tried again after this.
const AGAIN: Duration = Duration::from_secs(1);

/// Where readings go. It must not wait.
type Tell = Arc<dyn Fn(Name, Reading) + Send + Sync>;

/// The running watchers, which end when this is stopped.
pub(crate) struct Trackers {
    tell: Tell,
    each: BTreeMap<Name, Running<Plan>>,
    processes: Option<Running<BTreeMap<Name, Counted>>>,
}

/// A watcher at work, and what it watches.
struct Running<T> {
    plan: T,
    task: JoinHandle<()>,
}

/// Why a tracker can't be watched.
#[derive(Debug, thiserror::Error)]
#[error("watch the tracker `{tracker}`")]
pub(crate) struct TrackerError {
    tracker: Name,
    #[source]
    source: WatchError,
}

/// What a watcher lacks.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchError {
    /// A file's directory.
    #[error(transparent)]
    File(#[from] FileError),
    /// The list of processes.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The list of routes.
    #[error(transparent)]
    Route(#[from] RouteError),
}

/// The watchers of a configuration, which listen already and tell nobody yet. Those that run already are not among them.
#[derive(Debug)]
pub(crate) struct Watchers {
    plans: BTreeMap<Name, Plan>,
    each: BTreeMap<Name, Watcher>,
    counted: BTreeMap<Name, Counted>,
    processes: Option<ProcessWatcher>,
}

impl Watchers {
    /// Opens the watchers of `config`. Needs a tokio runtime.
    ///
    /// # Errors
    /// A watcher can't begin.
    pub(crate) async fn open(config: &Config) -> Result<Self, TrackerError> {
        Self::open_beside(config, None).await
    }

    /// Opens those watchers of `config` that do not run already in the same way.
    async fn open_beside(config: &Config, run: Option<&Trackers>) -> Result<Self, TrackerError> {
        let trackers = config.vrrp.trackers.values();
        let plans = trackers.filter_map(|one| Some((one.name.clone(), Plan::of(config, one)?)));
        let plans: BTreeMap<Name, Plan> = plans.collect();
        let mut each = BTreeMap::new();
        for (tracker, plan) in &plans {
            if run.and_then(|run| run.each.get(tracker)).is_some_and(|one| one.plan == *plan) {
                continue;
            }
            let opened = Watcher::open(plan);
            let tracker = tracker.clone();
            let watcher =
                opened.map_err(|source| TrackerError { tracker: tracker.clone(), source })?;
            each.insert(tracker, watcher);
        }
        let counted = Counted::of(config);
        let same = run.and_then(|run| run.processes.as_ref()).map(|one| &one.plan);
        let processes = match counted.keys().next().cloned() {
            Some(tracker) if same != Some(&counted) => {
                let opened = open_processes(&counted).await;
                Some(opened.map_err(|error| TrackerError { tracker, source: error.into() })?)
            }
            Some(_) | None => None,
        };
        Ok(Self { plans, each, counted, processes })
    }

    /// Begins to tell: `tell` is called with every reading, from tokio's threads.
    pub(crate) fn start(self, tell: impl Fn(Name, Reading) + Send + Sync + 'static) -> Trackers {
        let tell: Tell = Arc::new(tell);
        let mut trackers = Trackers { tell, each: BTreeMap::new(), processes: None };
        trackers.adopt(self);
        trackers
    }
}

impl Trackers {
    /// Opens the watchers of `config` that do not run already. They tell nobody before [`Self::adopt`].
    ///
    /// # Errors
    /// A watcher can't begin. All that run go on.
    pub(crate) async fn prepare(&self, config: &Config) -> Result<Watchers, TrackerError> {
        Watchers::open_beside(config, Some(self)).await
    }

    /// Goes on with what was prepared: what is watched in the same way goes on, what is not any more ends.
    pub(crate) fn adopt(&mut self, next: Watchers) {
        let Watchers { mut plans, each, counted, processes } = next;
        self.each.retain(|name, running| {
            let stays = plans.contains_key(name) && !each.contains_key(name);
            if !stays {
                running.task.abort();
            }
            stays
        });
        for (tracker, watcher) in each {
            let Some(plan) = plans.remove(&tracker) else { continue };
            let follow = follow(tracker.clone(), plan.clone(), watcher, Arc::clone(&self.tell));
            let task = supervised(tracker.to_string(), follow);
            self.each.insert(tracker, Running { plan, task });
        }
        if (processes.is_some() || counted.is_empty())
            && let Some(before) = self.processes.take()
        {
            before.task.abort();
        }
        if let Some(watcher) = processes {
            let count = count(counted.clone(), watcher, Arc::clone(&self.tell));
            let task = supervised("processes".to_owned(), count);
            self.processes = Some(Running { plan: counted, task });
        }
    }

    /// Ends the watchers and what they have started.
    pub(crate) async fn stop(self) {
        let Self { each, processes, .. } = self;
        let each = each.into_values().map(|running| running.task);
        for task in each.chain(processes.map(|running| running.task)) {
            task.abort();
            // That it was cancelled is what was asked for.
            drop(task.await);
        }
    }
}

impl std::fmt::Debug for Trackers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trackers").field("each", &self.each.keys()).finish_non_exhaustive()
    }
}

/// A task that says so when its work ends, which only a fault of the daemon can cause. To end it ends the work.
fn supervised(tracker: String, work: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
    let mut tasks = JoinSet::new();
    tasks.spawn(work);
    tokio::spawn(async move {
        let error = tasks.join_next().await.and_then(Result::err);
        tracing::error!(
            tracker,
            error = error.map(|error| error.to_string()),
            "a watcher ended by a fault of the daemon: what it read last stays"
        );
    })
}

/// What to watch: a tracker's kind, with what it needs of the rest of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Plan {
    File(std::path::PathBuf),
    Route(ipnet::IpNet, Option<String>),
    Trial(Trial, holdfast_health::Policy),
}

impl Plan {
    /// None for what is not watched here, or not alone.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "interfaces and BFD are the VRRP thread's, and one watcher counts all processes"
    )]
    fn of(config: &Config, tracker: &Tracker) -> Option<Self> {
        match &tracker.kind {
            TrackerKind::File { path } => Some(Self::File(path.clone())),
            TrackerKind::Route { to, interface } => Some(Self::Route(*to, interface.clone())),
            TrackerKind::Script { command, policy } => {
                let exec = Exec {
                    command: command.clone(),
                    user: config.daemon.script_user.clone(),
                    environment: vec![("HOLDFAST_TRACKER".to_owned(), tracker.name.to_string())],
                    input: Vec::new(),
                    convention: Convention::Plain,
                    gains: false,
                };
                Some(Self::Trial(Trial::Script(exec), *policy))
            }
            TrackerKind::Reach { address, by, interface, policy } => {
                let way = match by {
                    ReachBy::Icmp => Way::Echo,
                    ReachBy::Neighbour => {
                        Way::Neighbour { virtual_addresses: virtual_addresses(config) }
                    }
                };
                let reach = Reach { address: *address, interface: interface.clone(), way };
                Some(Self::Trial(Trial::Reach(reach), *policy))
            }
            _ => None,
        }
    }
}

/// Every address that moves.
fn virtual_addresses(config: &Config) -> Arc<[IpAddr]> {
    let held = config.instances.values().flat_map(holdfast_config::Instance::held);
    held.map(|address| address.net.addr()).collect()
}

#[derive(Debug)]
enum Watcher {
    File(FileWatcher),
    Route(RouteWatcher),
    Trial(TrialWatcher),
}

impl Watcher {
    fn open(plan: &Plan) -> Result<Self, WatchError> {
        Ok(match plan {
            Plan::File(path) => Self::File(FileWatcher::open(path)?),
            Plan::Route(to, interface) => {
                Self::Route(RouteWatcher::open(*to, interface.as_deref())?)
            }
            Plan::Trial(trial, policy) => Self::Trial(TrialWatcher::new(trial.clone(), *policy)),
        })
    }

    async fn next(&mut self) -> Result<Report, WatchError> {
        Ok(match self {
            Self::File(watcher) => watcher.next().await?,
            Self::Route(watcher) => watcher.next().await?,
            Self::Trial(watcher) => watcher.next().await,
        })
    }
}

/// Follows one watcher, and opens it again when it fails.
async fn follow(tracker: Name, plan: Plan, mut watcher: Watcher, tell: Tell) {
    loop {
        let error = loop {
            match watcher.next().await {
                Ok(report) => tell(tracker.clone(), reading(&report)),
                Err(error) => break error,
            }
        };
        tracing::warn!(%tracker, %error, "a tracker can't be watched: it is tried again every second");
        tell(tracker.clone(), Reading::unknown(error.to_string()));
        watcher = loop {
            sleep(AGAIN).await;
            if let Ok(watcher) = Watcher::open(&plan) {
                break watcher;
            }
        };
        tracing::info!(%tracker, "a tracker is watched again");
    }
}

fn reading(report: &Report) -> Reading {
    let level = match report.reading {
        holdfast_watch::Reading::Up => Level::Up,
        holdfast_watch::Reading::Down => Level::Down,
        holdfast_watch::Reading::Value(value) => Level::Value(value),
        holdfast_watch::Reading::Unknown => Level::Unknown,
    };
    Reading::new(level, &report.sentence)
}

/// A tracker of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    name: String,
    quorum: u32,
    quorum_max: Option<u32>,
}

impl Counted {
    fn of(config: &Config) -> BTreeMap<Name, Self> {
        let counted = config.vrrp.trackers.values().filter_map(|tracker| {
            let TrackerKind::Process { name, quorum, quorum_max, .. } = &tracker.kind else {
                return None;
            };
            let (quorum, quorum_max) = (*quorum, *quorum_max);
            Some((tracker.name.clone(), Self { name: name.clone(), quorum, quorum_max }))
        });
        counted.collect()
    }

    fn reading(&self, count: u32) -> Reading {
        let Self { name, quorum, quorum_max } = self;
        let counted = match count {
            0 => format!("no process is named {name}"),
            1 => format!("1 process is named {name}"),
            _ => format!("{count} processes are named {name}"),
        };
        if count < *quorum {
            let wanted = if count == 0 && *quorum == 1 {
                String::new()
            } else {
                format!(", fewer than {quorum}")
            };
            return Reading::down(counted + &wanted);
        }
        match quorum_max {
            Some(most) if count > *most => Reading::down(format!("{counted}, more than {most}")),
            _ => Reading::up(counted),
        }
    }
}

async fn open_processes(counted: &BTreeMap<Name, Counted>) -> Result<ProcessWatcher, ProcessError> {
    let names: BTreeSet<String> = counted.values().map(|one| one.name.clone()).collect();
    ProcessWatcher::open(names).await
}

/// Counts processes for all trackers of them, and opens the watcher again when it fails.
async fn count(counted: BTreeMap<Name, Counted>, mut watcher: ProcessWatcher, tell: Tell) {
    if let Source::Scan { why } = watcher.source() {
        tracing::info!(
            why,
            "the kernel does not tell of processes: /proc is read every second instead"
        );
    }
    loop {
        let error = loop {
            match watcher.next().await {
                Ok(counts) => {
                    for (tracker, one) in &counted {
                        if let Some(count) = counts.get(&one.name) {
                            tell(tracker.clone(), one.reading(*count));
                        }
                    }
                }
                Err(error) => break error,
            }
        };
        tracing::warn!(%error, "processes can't be counted: it is tried again every second");
        for tracker in counted.keys() {
            tell(tracker.clone(), Reading::unknown(error.to_string()));
        }
        watcher = loop {
            sleep(AGAIN).await;
            if let Ok(watcher) = open_processes(&counted).await {
                break watcher;
            }
        };
        tracing::info!("processes are counted again");
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn config(trackers: &str) -> Config {
        let text = format!(
            "node: lb1\ndaemon: {{scripts: {{user: nobody}}}}\nvrrp:\n  trackers:\n{trackers}\n  instances:\n    edge:\n      interface: eth0\n      vrid: 1\n      priority: 100\n      addresses: [192.0.2.10/24]\n"
        );
        let environment = holdfast_config::Environment::new("lb1");
        let outcome = holdfast_config::parse("test.yaml", &text, &environment);
        let said = outcome.render(false);
        outcome.config.unwrap_or_else(|| panic!("{said}"))
    }

    async fn start(config: &Config) -> (Trackers, mpsc::Receiver<(Name, Reading)>) {
        let (sender, receiver) = mpsc::channel(64);
        let watchers = Watchers::open(config).await.expect("everything can be watched");
        let trackers = watchers.start(move |name, reading| {
            drop(sender.try_send((name, reading)));
        });
        (trackers, receiver)
    }

    /// The next reading of a tracker, those of others being passed over.
    async fn read(readings: &mut mpsc::Receiver<(Name, Reading)>, tracker: &str) -> Reading {
        let wait = async {
            loop {
                let (name, reading) = readings.recv().await.expect("the watchers work");
                if name.as_str() == tracker {
                    return reading;
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_elapsed| panic!("{tracker} says nothing"))
    }

    fn file(path: &Path) -> String {
        format!("    weight: {{file: {{path: {}}}}}", path.display())
    }

    #[tokio::test]
    async fn each_kind_of_tracker_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weight");
        fs::write(&path, "7").unwrap();
        let config = config(&format!(
            "{}\n    up: {{script: {{command: [/bin/true]}}}}\n    down: {{script: {{command: [/bin/false]}}}}\n    us: {{process: {{name: no-such-process}}}}\n    self: {{reach: {{address: \"::1\"}}}}\n    way: {{route: {{to: 198.51.100.0/24, interface: hf-none}}}}",
            file(&path)
        ));
        let (trackers, mut readings) = start(&config).await;
        let mut levels = BTreeMap::new();
        while levels.len() < 6 {
            let (name, reading) = timeout(PATIENCE, readings.recv()).await.unwrap().unwrap();
            levels.insert(name.to_string(), (reading.level(), reading.sentence().to_owned()));
        }
        let level = |name: &str| levels[name].0;
        assert_eq!(level("weight"), Level::Value(7), "{levels:?}");
        assert_eq!((level("up"), level("down")), (Level::Up, Level::Down), "{levels:?}");
        assert_eq!((level("us"), level("way")), (Level::Down, Level::Down), "{levels:?}");
        assert_eq!(level("self"), Level::Up, "{levels:?}");
        trackers.stop().await;
        assert_eq!(readings.recv().await, None, "nothing is read after the stop");
    }

    #[tokio::test]
    async fn a_tracker_that_can_t_begin_is_an_error_that_names_it_and_what_to_do() {
        let config = config(&file(Path::new("/no-such-folder/weight")));
        let error = Watchers::open(&config).await.unwrap_err();
        let said = holdfast_control::chain(&error);
        assert!(
            said.starts_with(
                "watch the tracker `weight`: watch the directory /no-such-folder: no such file"
            ),
            "{said}"
        );
        assert!(said.contains("it must be there"), "{said}");
    }

    #[tokio::test]
    async fn a_watcher_that_fails_is_unknown_and_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("run");
        fs::create_dir(&directory).unwrap();
        let path = directory.join("weight");
        fs::write(&path, "3").unwrap();
        let (_trackers, mut readings) = start(&config(&file(&path))).await;
        assert_eq!(read(&mut readings, "weight").await.level(), Level::Value(3));
        fs::rename(&directory, folder.path().join("away")).unwrap();
        let unknown = read(&mut readings, "weight").await;
        assert_eq!(unknown.level(), Level::Unknown);
        assert!(unknown.sentence().ends_with("was removed, renamed or unmounted"), "{unknown:?}");
        fs::rename(folder.path().join("away"), &directory).unwrap();
        assert_eq!(read(&mut readings, "weight").await.level(), Level::Value(3));
    }

    #[test]
    fn a_quorum_has_a_least_and_may_have_a_most() {
        let counted = Counted { name: "haproxy".to_owned(), quorum: 2, quorum_max: Some(3) };
        let says = |count| {
            let reading = counted.reading(count);
            (reading.level(), reading.sentence().to_owned())
        };
        assert_eq!(says(0), (Level::Down, "no process is named haproxy, fewer than 2".to_owned()));
        assert_eq!(says(1), (Level::Down, "1 process is named haproxy, fewer than 2".to_owned()));
        assert_eq!(says(2), (Level::Up, "2 processes are named haproxy".to_owned()));
        assert_eq!(says(3).0, Level::Up);
        assert_eq!(says(4).0, Level::Down);
    }
}
