//! Runs of checks: each ends by its own timeout or with the daemon. What files and BFD sessions say is prompted for when it changes.
//!
//! Those over the network that compute little are made together, by the director's own thread; every other is a task of its own elsewhere,
//! which another processor may have.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use holdfast_config::CheckKind;
use holdfast_engine::{CheckId, Engine, Run};
use holdfast_health::{Code, Feedback, Outcome, Reason, Verdict};
use holdfast_net::now;
use holdfast_probe::{Ended, Found, Network, Probe, Together};
use holdfast_telemetry::tally;
use tokio::runtime::Handle;
use tokio::task::{self, JoinError, JoinSet};

use super::places::Places;
use super::prompts::Prompts;
use crate::vrrp::Sessions;

/// The runs of checks that are under way: one at most for each check.
#[derive(Debug)]
pub(crate) struct Runner {
    script_user: String,
    /// Runs that are made together; none before [`Self::gather`], and where the kernel gives no descriptor for it: each is a task then.
    together: Option<Together<CheckId>>,
    runs: JoinSet<Found>,
    /// The runtime of those that are not made together.
    elsewhere: Handle,
    checks: HashMap<task::Id, Task>,
    places: Places,
    /// Runs that wait for a place: one at most for each check.
    waiting: VecDeque<(CheckId, Network, Duration)>,
    prompts: Prompts,
    sessions: Sessions,
}

/// A run that is a task of its own.
#[derive(Clone, Copy, Debug)]
struct Task {
    check: CheckId,
    /// Whether it has a place of those with descriptors.
    placed: bool,
}

/// What a runner tells.
#[derive(Debug)]
pub(crate) enum Told {
    /// A run is over.
    Finished(CheckId, Found),
    /// What these checks look at has changed.
    Prompted(Vec<CheckId>),
}

impl Runner {
    /// A runner whose scripts run as `script_user`, and which hears of BFD by `sessions`. Runs that are tasks of their own are tasks of the
    /// runtime in which it is made.
    pub(crate) fn new(script_user: &str, sessions: Sessions) -> Self {
        Self {
            script_user: script_user.to_owned(),
            together: None,
            runs: JoinSet::new(),
            elsewhere: Handle::current(),
            checks: HashMap::new(),
            places: Places::of_this_process(),
            waiting: VecDeque::new(),
            prompts: Prompts::default(),
            sessions,
        }
    }

    /// Makes light runs together from now on, in the runtime in which this is said.
    pub(crate) fn gather(&mut self) {
        let together = Together::new(self.places.kept()).inspect_err(|error| {
            tracing::warn!(%error, "every run of a check is a task of its own: no descriptor to wait for them together");
        });
        self.together = together.ok();
    }

    /// Lets scripts run as `script_user` from now on.
    pub(crate) fn set_user(&mut self, script_user: &str) {
        script_user.clone_into(&mut self.script_user);
    }

    /// Makes one run of a check.
    pub(crate) fn start(&mut self, id: CheckId, Run { service, server, check }: Run<'_>) {
        let timeout = check.policy.timeout;
        let probe = Probe::of(&check.kind, service.as_str(), server, &self.script_user);
        if let Some(Probe::File(file)) = &probe {
            self.prompts.of_file(id, &file.path);
        }
        let run = match (probe, &check.kind) {
            (Some(Probe::Network(network)), _) => {
                self.waiting.push_back((id, network, timeout));
                self.start_waiting();
                return;
            }
            (Some(probe), _) => {
                self.runs.spawn_on(async move { probe.find(timeout).await }, &self.elsewhere)
            }
            (None, kind) => {
                if let CheckKind::Bfd { session } = kind {
                    self.prompts.of_session(id, session.clone());
                }
                self.runs.spawn_on(std::future::ready(self.sessions.found(kind)), &self.elsewhere)
            }
        };
        self.checks.insert(run.id(), Task { check: id, placed: false });
    }

    /// Starts those that wait, in order, as far as there are places. A run's time begins when it starts, so a server is not blamed for
    /// the wait.
    fn start_waiting(&mut self) {
        while let Some((id, network, timeout)) = self.waiting.pop_front() {
            if !self.places.take() {
                self.waiting.push_front((id, network, timeout));
                break;
            }
            match &mut self.together {
                Some(together) if network.is_light() => together.start(id, network, timeout),
                _ => {
                    let probe = Probe::Network(network);
                    let run = async move { probe.find(timeout).await };
                    let run = self.runs.spawn_on(run, &self.elsewhere);
                    self.checks.insert(run.id(), Task { check: id, placed: true });
                }
            }
        }
        if !self.waiting.is_empty() {
            self.places.tell(now(), self.waiting.len());
        }
    }

    /// How many runs are under way, and how many wait for descriptors.
    pub(crate) fn load(&self) -> (usize, usize) {
        let together = self.together.as_ref().map_or(0, Together::len);
        (self.runs.len() + together, self.waiting.len())
    }

    /// Forgets checks that are gone, when there may be many.
    pub(crate) fn tend(&mut self, engine: &Engine) {
        self.prompts.tend(engine);
    }

    /// What happens next: a run ends, or a file or BFD session changes. Waits for ever while nothing does. A run that panics is over,
    /// and counts neither way.
    pub(crate) async fn next(&mut self) -> Told {
        loop {
            tokio::select! {
                ended = next_together(&mut self.together) => {
                    let (check, found) = self.found_together(ended);
                    return Told::Finished(check, found);
                }
                Some(run) = self.runs.join_next_with_id() => {
                    if let Some((check, found)) = self.found(run) {
                        return Told::Finished(check, found);
                    }
                }
                paths = self.prompts.files.changed() => {
                    return Told::Prompted(self.prompts.checks_of_files(&paths));
                }
                names = self.sessions.changed() => {
                    return Told::Prompted(self.prompts.checks_of_sessions(&names));
                }
            }
        }
    }

    /// What a run has found that has ended already; none when there is no such run.
    pub(crate) fn finished_already(&mut self) -> Option<(CheckId, Found)> {
        if let Some(ended) = self.together.as_mut().and_then(Together::ended_already) {
            return Some(self.found_together(ended));
        }
        loop {
            let run = self.runs.try_join_next_with_id()?;
            if let Some(found) = self.found(run) {
                return Some(found);
            }
        }
    }

    fn found_together(&mut self, Ended { key, found }: Ended<CheckId>) -> (CheckId, Found) {
        self.places.give_back();
        self.start_waiting();
        match found {
            Some(found) => {
                count(&found.outcome);
                (key, found)
            }
            None => {
                tally::count(tally::Count::CheckPanic);
                (key, void(&"a panic"))
            }
        }
    }

    fn found(&mut self, run: Result<(task::Id, Found), JoinError>) -> Option<(CheckId, Found)> {
        let (run, found) = match run {
            Ok((run, found)) => {
                count(&found.outcome);
                (run, found)
            }
            Err(error) => (error.id(), broken(&error)),
        };
        let Task { check, placed } = self.checks.remove(&run)?;
        if placed {
            self.places.give_back();
            self.start_waiting();
        }
        Some((check, found))
    }

    /// Ends every run that is under way, and what it has started.
    pub(crate) async fn stop(&mut self) {
        self.waiting.clear();
        if let Some(together) = &mut self.together {
            together.clear();
        }
        self.runs.shutdown().await;
    }
}

/// For metrics.
fn count(outcome: &Outcome) {
    let result = match outcome.verdict {
        Verdict::Pass => "passed",
        Verdict::Fail => "failed",
        Verdict::Inconclusive => "inconclusive",
    };
    holdfast_telemetry::checks::ended(result, outcome.reason.code.label(), outcome.took);
}

/// The next run that ends of those that are made together.
async fn next_together(together: &mut Option<Together<CheckId>>) -> Ended<CheckId> {
    match together {
        Some(together) => together.next().await,
        None => std::future::pending().await,
    }
}

fn broken(error: &JoinError) -> Found {
    if error.is_panic() {
        tally::count(tally::Count::CheckPanic);
    }
    void(error)
}

/// What a run counts as that ended by a fault of this daemon.
fn void(error: &dyn std::fmt::Display) -> Found {
    tracing::error!(%error, "a run of a check ended by a fault of the daemon");
    let sentence = format!("the run ended by a fault of the daemon: {error}");
    let reason = Reason::new(Code::SOCKERR, sentence);
    let outcome = Outcome { verdict: Verdict::Inconclusive, reason, took: Duration::ZERO };
    Found { outcome, feedback: Feedback::NONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_run_that_panics_is_over_and_counts_neither_way() {
        let mut runner = Runner::new("nobody", Sessions::default());
        let run = runner.runs.spawn(async { panic!("a fault of the check's code") });
        runner.checks.insert(run.id(), Task { check: CheckId::default(), placed: false });
        let Told::Finished(check, found) = runner.next().await else { panic!("nothing changes") };
        assert_eq!((check, found.outcome.verdict), (CheckId::default(), Verdict::Inconclusive));
    }
    /// Without descriptors for all at once, checks take turns: none is blamed and none is left out.
    #[tokio::test]
    async fn runs_that_find_no_place_wait_for_one() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let text = format!(
            "services: {{web: {{listen: tcp 192.0.2.1:80, forward: nat, check: {{tcp: {{}}}}, real_servers: {{web1: 127.0.0.1:{port}}}}}}}"
        );
        let environment = holdfast_config::Environment::new("lb1");
        let config = holdfast_config::parse("test", &text, &environment).config.unwrap();
        let service = config.services.values().next().unwrap();
        let server = service.real_servers.values().next().unwrap();
        let mut runner = Runner::new("nobody", Sessions::default());
        runner.places = Places::new(2);
        runner.gather();
        for _ in 0..5 {
            let (service, check) = (&service.name, &*service.checks[0]);
            runner.start(CheckId::default(), Run { service, server, check });
        }
        assert_eq!(runner.load(), (2, 3));
        for left in [2, 1, 0, 0, 0] {
            let Told::Finished(_, found) = runner.next().await else { panic!("nothing changes") };
            assert_eq!(found.outcome.verdict, Verdict::Pass, "{}", found.outcome.reason);
            assert_eq!(runner.waiting.len(), left);
        }
        assert_eq!(runner.load(), (0, 0));
    }
}
