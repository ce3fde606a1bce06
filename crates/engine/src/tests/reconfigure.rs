//! Another configuration for an engine that runs.

use super::*;

impl Bench {
    pub(super) fn reload(&mut self, old: &Config, new: &Config) {
        self.reports.clear();
        self.reconciled = 0;
        self.engine.reconfigure(old, new, None, self.now);
        self.collect();
    }

    /// Lets every drain end: the kernel counts no connection any more.
    pub(super) fn let_drains_end(&mut self) {
        for _ in 0..3 {
            self.now += Duration::from_secs(1);
            self.count(&[]);
        }
    }

    fn reports(&self) -> Vec<String> {
        let told = self.reports.iter().map(|report| {
            let (service, server) = report.subject();
            let server = server.map_or_else(String::new, |server| format!("/{server}"));
            format!("{service}{server} {report}")
        });
        told.collect()
    }
}

/// The configuration of the tests beside with `from` replaced by `to`.
pub(super) fn edited(from: &str, to: &str) -> Config {
    let text = "services:
  web:
    listen: tcp 192.0.2.10:80
    forward: nat
    check: {tcp: {}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}
    real_servers: {web1: {address: 10.0.0.11:80, weight: 5}, web2: 10.0.0.12:80}
";
    let edited = text.replace(from, to);
    assert!(from.is_empty() || edited != text, "{from} is not there");
    parsed(&edited)
}

pub(super) fn parsed(text: &str) -> Config {
    let outcome = parse("test.yaml", text, &Environment::new("lb1"));
    outcome.config.clone().unwrap_or_else(|| panic!("{}", outcome.render(false)))
}

pub(super) fn all_up(config: &Config) -> Bench {
    let mut bench = Bench::new(config, &Table::new());
    bench.pass(Duration::from_secs(9), |_| Verdict::Pass);
    bench
}

#[test]
fn the_same_configuration_brings_no_action_at_all() {
    let mut bench = all_up(&edited("", ""));
    let (next, desired) = (bench.engine.poll_timeout(), bench.engine.desired());
    bench.engine.reconfigure(&edited("", ""), &edited("", ""), None, bench.now);
    assert!(bench.engine.poll_action().is_none());
    assert_eq!((bench.engine.poll_timeout(), bench.engine.desired()), (next, desired));
}

#[test]
fn another_weight_is_one_change_and_no_check_notices() {
    let mut bench = all_up(&edited("", ""));
    let next = bench.engine.poll_timeout();
    let new = edited("weight: 5", "weight: 7");
    bench.reload(&edited("", ""), &new);
    assert_eq!(bench.reports(), ["web/web1 weight 5 → 7 by holdfastd: in the configuration"]);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 7), ("10.0.0.12:80".into(), 1)]);
    assert_eq!((bench.reconciled, bench.engine.poll_timeout()), (1, next));
}

#[test]
fn a_weight_and_a_drain_by_command_stand_where_the_file_says_the_same_as_before() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    let web1 = bench.server("web1").definition().clone();
    bench.engine.add_server(bench.now, &name("web"), web1, Some(9), Order::default()).unwrap();
    bench
        .engine
        .drain_server(bench.now, &name("web"), &name("web2"), None, Order::default())
        .unwrap();
    bench.collect();
    let new = edited("fall: 2", "fall: 3");
    bench.reload(&old, &new);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 9), ("10.0.0.12:80".into(), 0)]);
    bench.reload(&new, &edited("weight: 5", "weight: 6"));
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 6), ("10.0.0.12:80".into(), 0)]);
}

#[test]
fn a_server_that_goes_drains_and_one_that_comes_back_meanwhile_serves_at_once() {
    let (with, without) = (edited("", ""), edited(", web2: 10.0.0.12:80", ""));
    let mut bench = all_up(&with);
    bench.reload(&with, &without);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 0)]);
    bench.reload(&without, &with);
    assert_eq!(bench.reports(), ["web/web2 taken back by holdfastd: in the configuration"]);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 1)]);
    bench.reload(&with, &without);
    bench.let_drains_end();
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5)]);
}

#[test]
fn another_check_begins_from_what_the_old_one_said() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    bench.pass(Duration::from_secs(3), |server| match server.as_str() {
        "web1" => Verdict::Pass,
        _ => Verdict::Fail,
    });
    let new = edited("tcp: {}", "tcp: {port: 8080}");
    bench.reload(&old, &new);
    assert_eq!(bench.reports, [], "nobody's health has changed");
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 0)]);
    // Up to one second until the first run: `rise` is 2, `fall` is 2.
    bench.pass(Duration::from_millis(1001), |_| Verdict::Pass);
    assert_eq!(bench.server("web2").state(), "down", "one pass is not enough");
    bench.pass(Duration::from_secs(1), |_| Verdict::Pass);
    assert_eq!(bench.server("web2").state(), "up");
}

#[test]
fn another_interval_keeps_the_state_and_the_counts() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    bench.pass(Duration::from_millis(1000), |_| Verdict::Fail);
    bench.reload(&old, &edited("interval: 1s", "interval: 2s"));
    assert_eq!(bench.server("web1").state(), "up");
    bench.pass(Duration::from_millis(1000), |_| Verdict::Fail);
    assert_eq!(bench.server("web1").state(), "down", "the failure before the reload counts");
}

#[test]
fn a_server_that_is_called_otherwise_is_the_same_server() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    let next = bench.engine.poll_timeout();
    bench.reload(
        &old,
        &edited(
            "{web1: {address: 10.0.0.11:80, weight: 5}, web2: 10.0.0.12:80}",
            "{web2: {address: 10.0.0.11:80, weight: 5}, web1: 10.0.0.12:80}",
        ),
    );
    assert_eq!(
        bench.reports(),
        ["web/web1 was called web2 before", "web/web2 was called web1 before"]
    );
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 1)]);
    assert_eq!(bench.engine.poll_timeout(), next);
    bench.pass(Duration::from_secs(3), |server| match server.as_str() {
        "web2" => Verdict::Fail,
        _ => Verdict::Pass,
    });
    assert_eq!(bench.server("web2").definition().address, address("10.0.0.11:80"));
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 0), ("10.0.0.12:80".into(), 1)]);
}

#[test]
fn a_server_that_moves_to_another_address_drains_at_the_old_one() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    bench.reload(&old, &edited("10.0.0.12:80", "10.0.0.13:80"));
    assert_eq!(bench.server("web2").definition().address, address("10.0.0.13:80"));
    assert_eq!(bench.server("10.0.0.12-80").state(), "draining");
    bench.pass(Duration::from_secs(3), |_| Verdict::Pass);
    bench.let_drains_end();
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.13:80".into(), 1)]);
}

#[test]
fn servers_that_commands_have_added_stay_and_become_the_files_when_it_names_them() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    let service = bench.engine.pools()[&name("web")].service().clone();
    let server = RealServer::new(Some("extra"), "10.0.0.13:80", Some(3), &service, &old).unwrap();
    bench.engine.add_server(bench.now, &name("web"), server, None, Order::default()).unwrap();
    bench.pass(Duration::from_secs(3), |_| Verdict::Pass);
    let reweighted = edited("weight: 5", "weight: 6");
    bench.reload(&old, &reweighted);
    assert_eq!(bench.server("extra").origin(), Origin::Runtime);
    let named = edited("web2: 10.0.0.12:80", "web2: 10.0.0.12:80, web3: 10.0.0.13:80");
    bench.reload(&reweighted, &named);
    let renamed = "web/web3 was called extra before".to_owned();
    assert!(bench.reports().contains(&renamed), "{:?}", bench.reports());
    assert_eq!(
        (bench.server("web3").origin(), bench.server("web3").state()),
        (Origin::Config, "up")
    );
    // A name of the file is the file's: whoever has it otherwise gets another one.
    let server = RealServer::new(Some("web4"), "10.0.0.14:80", None, &service, &old).unwrap();
    bench.engine.add_server(bench.now, &name("web"), server, None, Order::default()).unwrap();
    bench.collect();
    let clash =
        edited("web2: 10.0.0.12:80", "web2: 10.0.0.12:80, web3: 10.0.0.13:80, web4: 10.0.0.15:80");
    bench.reload(&named, &clash);
    assert_eq!(bench.server("web4").definition().address, address("10.0.0.15:80"));
    assert_eq!(bench.server("10.0.0.14-80").origin(), Origin::Runtime);
}

#[test]
fn a_server_of_a_command_that_breaks_a_rule_now_drains() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    let service = bench.engine.pools()[&name("web")].service().clone();
    let server = RealServer::new(Some("extra"), "10.0.0.13:8080", None, &service, &old).unwrap();
    bench.engine.add_server(bench.now, &name("web"), server, None, Order::default()).unwrap();
    bench.collect();
    bench.reload(&old, &edited("forward: nat", "forward: direct"));
    assert_eq!(bench.server("extra").state(), "draining");
    assert!(bench.reports().iter().any(|report| report.contains("8080")), "{:?}", bench.reports());
}

#[test]
fn maintenance_outlives_a_reload_and_its_checks_are_those_of_the_file_then() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.maintain_server(bench.now, &web, &web1, Order::default()).unwrap();
    bench.collect();
    let new = edited("tcp: {}", "tcp: {port: 8080}");
    bench.reload(&old, &new);
    assert_eq!((bench.server("web1").state(), bench.server("web1").checks.len()), ("maint", 0));
    bench.engine.ready_server(bench.now, &web, &web1, Order::default()).unwrap();
    bench.collect();
    let server = bench.server("web1");
    let kind = bench.engine.checks(server).next().map(|check| check.kind.clone());
    let Some(holdfast_config::CheckKind::Network(check)) = kind else { panic!("{kind:?}") };
    assert_eq!(check.way.port, Some(8080));
}

#[test]
fn a_slow_start_that_the_file_ends_is_over_at_once_and_goes_with_a_server_of_another_name() {
    let slow = edited("forward: nat", "forward: nat\n    slow_start: 90s");
    let mut bench = Bench::new(&slow, &Table::new());
    bench.pass(Duration::from_millis(1001), |_| Verdict::Pass);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 50), ("10.0.0.12:80".into(), 10)]);
    let renamed = edited(
        "forward: nat\n    check: {tcp: {}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}\n    real_servers: {web1:",
        "forward: nat\n    slow_start: 90s\n    check: {tcp: {}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}\n    real_servers: {www:",
    );
    bench.reload(&slow, &renamed);
    bench.pass(Duration::from_secs(10), |_| Verdict::Pass);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 100), ("10.0.0.12:80".into(), 20)]);
    bench.reload(&renamed, &edited("web1:", "www:"));
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 1)]);
}

/// One without a check serves at once, by a command or by the file.
#[test]
fn a_server_that_comes_without_a_check_has_the_slow_start_of_its_service() {
    let slow = |more: &str| {
        parsed(&format!(
            "services: {{web: {{listen: tcp 192.0.2.10:80, forward: nat, slow_start: 90s, real_servers: {{web1: 10.0.0.11:80{more}}}}}}}"
        ))
    };
    let (old, new) = (slow(""), slow(", web2: 10.0.0.12:80"));
    let mut bench = Bench::new(&old, &Table::new());
    bench.collect();
    bench.reload(&old, &new);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 100), ("10.0.0.12:80".into(), 10)]);
}

#[test]
fn a_service_that_comes_back_without_slow_start_has_none() {
    let (with, without) = (edited("", ""), parsed("services: {}"));
    let slow = edited("forward: nat", "forward: nat\n    slow_start: 90s");
    let mut bench = Bench::new(&slow, &Table::new());
    bench.pass(Duration::from_millis(1001), |_| Verdict::Pass);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 50), ("10.0.0.12:80".into(), 10)]);
    bench.reload(&slow, &without);
    bench.reload(&without, &with);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 1)]);
}

#[test]
fn a_server_that_a_command_has_removed_stays_removed() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    bench.engine.remove_server_now(&name("web"), &name("web2"), Order::default()).unwrap();
    bench.collect();
    bench.reload(&old, &edited("web2: 10.0.0.12:80", "web2: {address: 10.0.0.12:80, weight: 8}"));
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5)]);
}

#[test]
fn an_address_that_a_service_leaves_keeps_its_connections_and_takes_no_new_ones() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    bench.reload(&old, &edited("tcp 192.0.2.10:80", "tcp 192.0.2.11:80"));
    let weights = |bench: &Bench, at: &str| -> Vec<u32> {
        let key = ServiceKey::Address { protocol: Protocol::Tcp, address: address(at) };
        let desired = bench.engine.desired();
        let entry = desired.get(&key);
        entry.map_or_else(Vec::new, |entry| entry.destinations.values().map(|d| d.weight).collect())
    };
    assert_eq!(weights(&bench, "192.0.2.10:80"), [0, 0]);
    assert_eq!(weights(&bench, "192.0.2.11:80"), [5, 1]);
    for _ in 0..3 {
        bench.now += Duration::from_secs(1);
        bench.count(&[("10.0.0.11:80", 1)]);
    }
    assert_eq!(weights(&bench, "192.0.2.10:80"), [0, 0], "a connection is left");
    bench.let_drains_end();
    assert_eq!(weights(&bench, "192.0.2.10:80"), [0; 0]);
    assert_eq!(bench.engine.desired().len(), 1);
}

#[test]
fn a_service_that_goes_drains_and_one_that_comes_back_meanwhile_serves_at_once() {
    let (with, without) = (edited("", ""), parsed("services: {}"));
    let mut bench = all_up(&with);
    bench.reload(&with, &without);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 0), ("10.0.0.12:80".into(), 0)]);
    let (now, web1) = (bench.now, name("web1"));
    let refused = bench.engine.ready_server(now, &name("web"), &web1, Order::default());
    assert_eq!(refused, Err(CommandError::Leaving(name("web"))));
    bench.reload(&without, &with);
    assert_eq!(bench.weights(), [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 1)]);
    bench.reload(&with, &without);
    bench.let_drains_end();
    assert!(bench.engine.pools().is_empty() && bench.engine.desired().is_empty());
    assert!(bench.reconciled > 0, "the kernel is to lose it");
    assert_eq!(bench.engine.poll_timeout(), None, "no check is left");
}

#[test]
fn a_service_that_is_called_otherwise_goes_on_with_its_servers() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    let before = bench.engine.desired();
    bench.reload(&old, &edited("web:\n", "www:\n"));
    assert_eq!(bench.engine.desired(), before);
}

#[test]
fn an_address_that_another_service_has_now_is_that_ones_at_once_and_its_connections_drain() {
    let old = edited("", "");
    let mut bench = all_up(&old);
    bench.reload(
        &old,
        &edited(
            "  web:\n    listen: tcp 192.0.2.10:80",
            "  other: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {o1: 10.0.0.31:80}}
  web:\n    listen: tcp 192.0.2.11:80",
        ),
    );
    assert_eq!(
        bench.weights(),
        [("10.0.0.11:80".into(), 0), ("10.0.0.12:80".into(), 0), ("10.0.0.31:80".into(), 1)]
    );
    bench.let_drains_end();
    assert_eq!(bench.weights(), [("10.0.0.31:80".into(), 1)]);
}

#[test]
fn what_the_kernel_has_for_a_service_that_is_new_is_adopted_as_at_a_start() {
    let (without, with) = (parsed("services: {}"), edited("", ""));
    let mut table = all_up(&edited("web2: 10.0.0.12:80", "web3: 10.0.0.13:80")).engine.desired();
    table.retain(|at, _| *at == key());
    let mut bench = Bench::new(&without, &Table::new());
    bench.engine.reconfigure(&without, &with, Some(&table), bench.now);
    bench.collect();
    assert_eq!(
        bench.weights(),
        [("10.0.0.11:80".into(), 5), ("10.0.0.12:80".into(), 0), ("10.0.0.13:80".into(), 0)]
    );
    assert_eq!(bench.server("10.0.0.13-80").origin(), Origin::Kernel);
}
