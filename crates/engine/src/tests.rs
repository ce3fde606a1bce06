//! The engine against a kernel that is a map: what it wants programmed, when it runs checks, how drains end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::{Config, Environment, Name, RealServer, parse};
use holdfast_health::{Code, Outcome, Reason, State, Verdict};
use holdfast_time::Instant;
use ipvs_ctl::model::{Protocol, ServiceKey, Table};
use proptest::prelude::*;

use super::*;

mod addresses;
mod advice;
mod any_reload;
mod discovery;
mod operations;
mod overlay;
mod pace;
mod policy;
mod presence;
mod reconfigure;
mod remains;
mod schedule;
mod storms;
mod twins;

/// A service `web` with two servers and a TCP check a second, and `service` keys besides.
fn config(service: &str) -> Config {
    let text = format!(
        "services:
  web:
    listen: tcp 192.0.2.10:80
    forward: nat
    check: {{tcp: {{}}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}}
    real_servers: {{web1: {{address: 10.0.0.11:80, weight: 5}}, web2: 10.0.0.12:80}}
{service}"
    );
    let outcome = parse("test.yaml", &text, &Environment::new("lb1"));
    outcome.config.clone().unwrap_or_else(|| panic!("{}", outcome.render(false)))
}

fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn key() -> ServiceKey {
    ServiceKey::Address { protocol: Protocol::Tcp, address: address("192.0.2.10:80") }
}

fn at(ms: u64) -> Instant {
    Instant::from_start(Duration::from_secs(100) + Duration::from_millis(ms))
}

/// Somebody, for no reason.
fn by() -> Order {
    Order { who: Some("alice".to_owned()), reason: None }
}

fn outcome(verdict: Verdict) -> Outcome {
    let code = match verdict {
        Verdict::Pass => Code::L4OK,
        Verdict::Fail => Code::L4CON,
        Verdict::Inconclusive => Code::SOCKERR,
    };
    let reason = Reason { code, sentence: format!("{verdict:?}").into() };
    Outcome { verdict, reason, took: Duration::from_millis(1) }
}

/// The engine, the time, and what it has asked for.
struct Bench {
    engine: Engine,
    now: Instant,
    reports: Vec<Report>,
    reconciled: usize,
    counted: usize,
    runs: Vec<(CheckId, Name)>,
}

impl Bench {
    fn new(config: &Config, kernel: &Table) -> Self {
        let engine = Engine::new(config, kernel, at(0));
        let mut bench =
            Self { engine, now: at(0), reports: vec![], reconciled: 0, counted: 0, runs: vec![] };
        bench.collect();
        bench
    }

    fn collect(&mut self) {
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::RunCheck(id) => {
                    // One that is gone by now is run no more.
                    let run = self.engine.run(id).map(|run| (id, run.server.name.clone()));
                    self.runs.extend(run);
                }
                Action::Reconcile(_) => self.reconciled += 1,
                Action::CountConnections => self.counted += 1,
                Action::Report(report) => self.reports.push(report),
            }
        }
    }

    /// Lets `duration` pass, timer by timer; every check that runs finds `verdict`.
    fn pass(&mut self, duration: Duration, verdict: impl Fn(&Name) -> Verdict) {
        let end = self.now + duration;
        while let Some((due, _)) = self.engine.poll_timeout().filter(|(due, _)| *due <= end) {
            self.now = self.now.max(due);
            self.engine.handle_timeout(self.now);
            self.collect();
            for (id, server) in std::mem::take(&mut self.runs) {
                self.engine.check_finished(self.now, id, outcome(verdict(&server)));
                self.collect();
            }
        }
        self.now = end;
    }

    fn count(&mut self, counts: &[(&str, u64)]) {
        let counts: BTreeMap<_, _> = counts
            .iter()
            .map(|(to, active)| {
                let count = Connections { active: *active, ..Connections::default() };
                ((key(), address(to)), count)
            })
            .collect();
        let counted = self.engine.counted();
        self.engine.connections_counted(self.now, &counted, &counts);
        self.collect();
    }

    fn server(&self, server: &str) -> &Server {
        &self.engine.pools()[&name("web")].servers()[&name(server)]
    }

    /// The weights in the table that the kernel should have.
    fn weights(&self) -> Vec<(String, u32)> {
        let table = self.engine.desired();
        let weights = table[&key()].destinations.values();
        weights.map(|one| (one.address.to_string(), one.weight)).collect()
    }
}

fn seconds(s: u64) -> Duration {
    Duration::from_secs(s)
}

#[test]
fn a_server_starts_with_weight_0_and_gets_its_weight_with_its_first_pass() {
    let mut bench = Bench::new(&config(""), &Table::new());
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 0), ("10.0.0.12:80".into(), 0)]);
    assert_eq!((bench.server("web1").state(), bench.reconciled), ("starting", 1));
    bench.pass(seconds(1), |_| Verdict::Pass);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 1)]);
    assert_eq!(bench.server("web1").state(), "up");
}

#[test]
fn fall_failures_take_a_server_out_and_rise_passes_bring_it_back() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(2), |_| Verdict::Pass);
    let web1_fails = |server: &Name| match server.as_str() {
        "web1" => Verdict::Fail,
        _ => Verdict::Pass,
    };
    bench.pass(seconds(1), web1_fails);
    assert_eq!(bench.server("web1").health(), State::Up, "one failure of two");
    bench.pass(seconds(1), web1_fails);
    assert_eq!(bench.server("web1").health(), State::Down);
    assert_eq!(bench.server("web1").reason().code, Code::L4CON);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 0), ("10.0.0.12:80".into(), 1)]);
    bench.pass(seconds(1), |_| Verdict::Pass);
    assert_eq!(bench.server("web1").health(), State::Down, "one pass of two");
    bench.pass(seconds(1), |_| Verdict::Pass);
    assert_eq!(bench.server("web1").health(), State::Up);
    let changes = bench.reports.iter().filter(
        |report| matches!(report, Report::Health { server, .. } if server.as_str() == "web1"),
    );
    assert_eq!(changes.count(), 3, "{:?}", bench.reports);
}

#[test]
fn a_failure_at_the_start_says_why_the_server_is_down() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(1), |_| Verdict::Fail);
    assert_eq!(bench.server("web1").state(), "down");
    assert_eq!(bench.server("web1").reason().sentence, "Fail");
}

#[test]
fn a_run_that_could_not_be_made_says_nothing_about_the_server() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(3), |_| Verdict::Inconclusive);
    assert_eq!(bench.server("web1").state(), "starting");
    bench.pass(seconds(1), |_| Verdict::Pass);
    bench.pass(seconds(5), |_| Verdict::Inconclusive);
    assert_eq!(bench.server("web1").state(), "up");
}

#[test]
fn what_the_kernel_serves_at_start_is_adopted_as_up() {
    let mut first = Bench::new(&config(""), &Table::new());
    first.pass(seconds(2), |server| match server.as_str() {
        "web1" => Verdict::Pass,
        _ => Verdict::Fail,
    });
    let kernel = first.engine.desired();
    let mut second = Bench::new(&config(""), &kernel);
    assert_eq!(second.engine.desired(), kernel, "a restart wants nothing changed");
    assert_eq!(second.server("web1").reason().code, Code::ADOPTED);
    assert_eq!(second.server("web2").state(), "starting");
    second.pass(seconds(1), |_| Verdict::Pass);
    assert_eq!(second.server("web1").reason().code, Code::L4OK, "now its check says so");
    second.pass(seconds(1), |_| Verdict::Fail);
    assert_eq!(second.server("web1").state(), "up", "one failure of two");
    second.pass(seconds(1), |_| Verdict::Fail);
    assert_eq!(second.server("web1").state(), "down");
}

#[test]
fn a_drain_ends_when_two_counts_in_a_row_find_no_connection() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let drained = bench.engine.drain_server(bench.now, &name("web"), &name("web1"), None, by());
    assert_eq!(drained, Ok(Change { changed: true }));
    bench.collect();
    assert_eq!(bench.weights()[0], ("10.0.0.11:80".into(), 0));
    let again = bench.engine.drain_server(bench.now, &name("web"), &name("web1"), None, by());
    assert_eq!(again, Ok(Change { changed: false }));
    assert_eq!(bench.engine.counted(), BTreeSet::from([key()]));
    bench.pass(seconds(2), |_| Verdict::Pass);
    assert_eq!(bench.counted, 1, "an answer is waited for");
    bench.engine.connections_counted(bench.now, &BTreeSet::new(), &BTreeMap::new());
    bench.engine.connections_counted(bench.now, &BTreeSet::new(), &BTreeMap::new());
    assert_eq!(bench.server("web1").state(), "draining", "that was counted of other services");
    for counts in [&[("10.0.0.11:80", 2)][..], &[], &[("10.0.0.11:80", 1)], &[]] {
        bench.count(counts);
        assert_eq!(bench.server("web1").state(), "draining");
    }
    bench.count(&[]);
    assert_eq!(bench.server("web1").state(), "drained");
    assert_eq!(bench.weights(), [("10.0.0.12:80".into(), 1)]);
    let counted = bench.counted;
    assert!(bench.engine.counted().is_empty());
    bench.pass(seconds(2), |_| Verdict::Pass);
    assert_eq!(bench.counted, counted, "nothing drains, nothing is counted");
}

#[test]
fn a_drain_ends_at_its_deadline_with_connections_left() {
    let mut bench = Bench::new(&config(""), &Table::new());
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.drain_server(bench.now, &web, &web1, Some(seconds(3)), by()).unwrap();
    bench.pass(seconds(2), |_| Verdict::Pass);
    bench.count(&[("10.0.0.11:80", 7)]);
    assert_eq!(bench.server("web1").state(), "draining");
    // No count comes any more, and the deadline comes all the same.
    bench.pass(seconds(1), |_| Verdict::Pass);
    assert_eq!(bench.server("web1").state(), "drained");
    let left = Report::Drained { service: web, server: web1, left: 7 };
    assert!(bench.reports.contains(&left), "{:?}", bench.reports);
}

/// A command that is repeated until it succeeds must not put the end off each time.
#[test]
fn a_timeout_that_is_said_again_moves_no_deadline_and_another_one_does() {
    for removes in [false, true] {
        let mut bench = Bench::new(&config(""), &Table::new());
        let (web, web1) = (name("web"), name("web1"));
        let say = |bench: &mut Bench, timeout: Option<Duration>| {
            let (engine, now) = (&mut bench.engine, bench.now);
            let change = match removes {
                true => engine.remove_server(now, &web, &web1, timeout, by()),
                false => engine.drain_server(now, &web, &web1, timeout, by()),
            };
            change.unwrap().changed
        };
        let deadline = |bench: &Bench| match &bench.server("web1").admin {
            Admin::Drain(drain) => drain.deadline,
            other @ (Admin::Ready | Admin::Maint) => panic!("{other:?}"),
        };
        assert!(say(&mut bench, Some(seconds(30))));
        let begun = bench.now;
        bench.pass(seconds(2), |_| Verdict::Pass);
        assert!(!say(&mut bench, Some(seconds(30))) && !say(&mut bench, None));
        assert_eq!(deadline(&bench), begun + seconds(30));
        // In the middle of a drain another one counts from when it is said: nobody is cut off by a word about the future.
        assert!(say(&mut bench, Some(seconds(10))));
        assert_eq!(deadline(&bench), bench.now + seconds(10));
        assert!(!say(&mut bench, Some(seconds(10))));
    }
}

#[test]
fn a_server_that_is_taken_back_keeps_what_its_checks_said_meanwhile() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.drain_server(bench.now, &web, &web1, None, by()).unwrap();
    bench.pass(seconds(3), |_| Verdict::Fail);
    assert_eq!(bench.server("web1").state(), "draining");
    bench.engine.ready_server(bench.now, &web, &web1, by()).unwrap();
    assert_eq!(bench.server("web1").state(), "down");
    bench.pass(seconds(2), |_| Verdict::Pass);
    assert_eq!(bench.weights()[0], ("10.0.0.11:80".into(), 5));
}

#[test]
fn hash_schedulers_keep_a_drained_server_at_weight_0() {
    let mut bench =
        Bench::new(&config("    scheduler: {name: mh, flags: [fallback]}\n"), &Table::new());
    bench.engine.drain_server(bench.now, &name("web"), &name("web1"), None, by()).unwrap();
    bench.count(&[]);
    bench.count(&[]);
    assert_eq!(bench.server("web1").state(), "drained");
    assert_eq!(bench.weights()[0], ("10.0.0.11:80".into(), 0));
}

#[test]
fn with_persistence_a_server_that_is_down_is_not_in_the_table() {
    let bench = Bench::new(&config("    persistence: {timeout: 60s}\n"), &Table::new());
    assert_eq!(bench.weights(), []);
}

#[test]
fn a_removal_drains_first_and_can_be_taken_back_until_then() {
    let mut bench = Bench::new(&config(""), &Table::new());
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.remove_server(bench.now, &web, &web1, None, by()).unwrap();
    bench.engine.ready_server(bench.now, &web, &web1, by()).unwrap();
    bench.count(&[]);
    bench.count(&[]);
    assert_eq!(bench.server("web1").state(), "starting");
    bench.engine.remove_server(bench.now, &web, &web1, None, by()).unwrap();
    bench.count(&[]);
    bench.count(&[]);
    assert!(!bench.engine.pools()[&web].servers().contains_key(&web1));
    let gone = bench.engine.drain_server(bench.now, &web, &web1, None, by());
    assert_eq!(gone, Err(CommandError::NoServer { service: web, server: web1 }));
}

#[test]
fn an_outcome_for_a_server_that_is_gone_is_ignored() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.now = at(999);
    bench.engine.handle_timeout(bench.now);
    bench.collect();
    assert_eq!(bench.runs.len(), 2);
    bench.engine.remove_server_now(&name("web"), &name("web1"), by()).unwrap();
    bench.collect();
    for (id, _) in std::mem::take(&mut bench.runs) {
        bench.engine.check_finished(bench.now, id, outcome(Verdict::Pass));
    }
    bench.collect();
    assert_eq!(bench.weights(), [("10.0.0.12:80".into(), 1)]);
}

fn added(config: &Config, called: &str, to: &str, weight: u32) -> RealServer {
    let mut service = config.services[&name("web")].clone();
    service.real_servers.clear();
    RealServer::new(Some(called), to, Some(weight), &service, config).unwrap()
}

#[test]
fn an_added_server_is_checked_first_and_adding_it_again_is_no_change() {
    let config = config("");
    let mut bench = Bench::new(&config, &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let web = name("web");
    let web3 = || added(&config, "web3", "10.0.0.13:80", 2);
    let add = |bench: &mut Bench, server: RealServer| {
        let weight = Some(server.weight);
        let change = bench.engine.add_server(bench.now, &web, server, weight, by());
        bench.collect();
        change
    };
    assert_eq!(add(&mut bench, web3()), Ok(Change { changed: true }));
    assert_eq!(bench.weights()[2], ("10.0.0.13:80".into(), 0));
    assert_eq!(bench.server("web3").origin(), Origin::Runtime);
    bench.pass(seconds(1), |_| Verdict::Pass);
    assert_eq!(bench.weights()[2], ("10.0.0.13:80".into(), 2));
    assert_eq!(add(&mut bench, web3()), Ok(Change { changed: false }));
    let heavier = added(&config, "web3", "10.0.0.13:80", 9);
    assert_eq!(add(&mut bench, heavier), Ok(Change { changed: true }));
    assert_eq!(bench.weights()[2], ("10.0.0.13:80".into(), 9));
    let taken = add(&mut bench, added(&config, "web3", "10.0.0.14:80", 1));
    assert!(matches!(taken, Err(CommandError::NameTaken { .. })), "{taken:?}");
    let taken = add(&mut bench, added(&config, "web4", "10.0.0.13:80", 1));
    assert!(matches!(taken, Err(CommandError::AddressTaken { .. })), "{taken:?}");
    let nowhere = bench.engine.add_server(bench.now, &name("mail"), web3(), None, by());
    assert_eq!(nowhere, Err(CommandError::NoService(name("mail"))));
}

#[test]
fn a_service_on_several_addresses_has_one_pool_and_one_set_of_checks() {
    let config = config(
        "  dns:
    listen: [udp 192.0.2.10:53, tcp 192.0.2.10:53]
    forward: nat
    check: {tcp: {}, interval: 1s, timeout: 500ms}
    real_servers: {ns1: 10.0.0.21:53}
",
    );
    let mut bench = Bench::new(&config, &Table::new());
    let mut runs = 0;
    bench.now = at(1000);
    bench.engine.handle_timeout(bench.now);
    bench.collect();
    for (id, server) in std::mem::take(&mut bench.runs) {
        runs += usize::from(server.as_str() == "ns1");
        bench.engine.check_finished(bench.now, id, outcome(Verdict::Pass));
    }
    assert_eq!(runs, 1);
    let desired = bench.engine.desired();
    let weights =
        desired.values().filter_map(|entry| entry.destinations.get(&address("10.0.0.21:53")));
    assert_eq!(weights.map(|one| one.weight).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn the_table_is_compared_every_poll_interval() {
    let mut bench = Bench::new(&config("ipvs: {poll: 2s}\n"), &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let before = bench.reconciled;
    bench.pass(seconds(10), |_| Verdict::Pass);
    assert_eq!(bench.reconciled - before, 5);
}

proptest! {
    /// Whatever checks find and operators do, the kernel is asked for a server's weight exactly when it is ready and up.
    #[test]
    fn a_server_has_weight_exactly_while_it_is_ready_and_up(
        steps in prop::collection::vec((0..6_u8, any::<bool>(), 0..4_u64), 0..60),
    ) {
        let config = config("");
        let mut bench = Bench::new(&config, &Table::new());
        let (web, web1) = (name("web"), name("web1"));
        for (step, good, connections) in steps {
            let verdict = if good { Verdict::Pass } else { Verdict::Fail };
            match step {
                0 | 1 => bench.pass(seconds(1), |_| verdict),
                2 => drop(bench.engine.drain_server(bench.now, &web, &web1, None, by())),
                3 => drop(bench.engine.ready_server(bench.now, &web, &web1, by())),
                4 => bench.count(&[("10.0.0.11:80", connections)]),
                _ => drop(bench.engine.add_server(
                    bench.now,
                    &web,
                    added(&config, "web1", "10.0.0.11:80", 5),
                    None,
                    by(),
                )),
            }
            bench.collect();
            let server = bench.server("web1");
            let serves = *server.admin() == Admin::Ready && server.health() == State::Up;
            let table = bench.engine.desired();
            let weight = table[&key()].destinations.get(&address("10.0.0.11:80")).map(|d| d.weight);
            prop_assert_eq!(weight.unwrap_or(0) > 0, serves);
            prop_assert_eq!(weight.is_none(), server.state() == "drained");
        }
    }
}

#[test]
fn verdicts_and_commands_name_their_services_and_the_poll_wants_the_whole_table() {
    let service = "  other:
    listen: tcp 192.0.2.11:80
    forward: nat
    real_servers: {web1: 10.0.0.11:80}
";
    let mut engine = Engine::new(&config(service), &Table::new(), at(0));
    let extents = |engine: &mut Engine| {
        let actions: Vec<Action> = std::iter::from_fn(|| engine.poll_action()).collect();
        let extents = actions.into_iter().filter_map(|action| match action {
            Action::Reconcile(extent) => Some(extent),
            Action::RunCheck(_) | Action::CountConnections | Action::Report(_) => None,
        });
        extents.collect::<Vec<_>>()
    };
    assert_eq!(extents(&mut engine), [Extent::Table], "what is there is not known");
    let (web, web1) = (name("web"), name("web1"));
    for weight in [7, 8] {
        engine.weigh_server(&web, &web1, WeightChange::To(weight), by()).unwrap();
    }
    assert_eq!(extents(&mut engine), [Extent::Services([web.clone()].into())]);
    engine.weigh_server(&web, &web1, WeightChange::To(9), by()).unwrap();
    engine.weigh_server(&name("other"), &web1, WeightChange::To(9), by()).unwrap();
    let both = Extent::Services([web.clone(), name("other")].into());
    assert_eq!(extents(&mut engine), [both]);
    engine.weigh_server(&web, &web1, WeightChange::To(1), by()).unwrap();
    engine.handle_timeout(at(60_000));
    assert_eq!(extents(&mut engine), [Extent::Table]);
}
