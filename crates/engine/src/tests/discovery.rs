//! Servers that files name: what comes, what goes, and what is not believed.

use holdfast_config::Target;

use super::*;
use crate::discovery::{Disbelief, Findings, believe, resolve};

fn discovering(policy: &str) -> Config {
    config(&format!("    discover: {{directory: /etc/targets{policy}}}\n"))
}

fn target(to: &str) -> Target {
    Target { address: address(to), name: None, weight: None, drain: false }
}

fn findings(targets: &[Target]) -> Findings {
    let config = discovering("");
    resolve(targets, &config.services[&name("web")], &config).unwrap()
}

fn of(addresses: &[&str]) -> Findings {
    findings(&addresses.iter().map(|to| target(to)).collect::<Vec<_>>())
}

fn bench() -> Bench {
    Bench::new(&discovering(""), &Table::new())
}

impl Bench {
    fn find(&mut self, found: Findings) {
        self.engine.discover(self.now, &name("web"), found);
        self.collect();
    }

    fn states(&self) -> Vec<(String, String, &'static str)> {
        let pool = &self.engine.pools()[&name("web")];
        let all = pool.servers().values();
        all.map(|s| (s.definition().name.to_string(), s.origin().to_string(), s.state())).collect()
    }

    fn state(&self, server: &str) -> Option<(String, &'static str)> {
        let found = self.states().into_iter().find(|(name, ..)| name == server);
        found.map(|(_, origin, state)| (origin, state))
    }
}

fn discovered(state: &'static str) -> Option<(String, &'static str)> {
    Some(("discovered".to_owned(), state))
}

#[test]
fn servers_come_wait_for_their_checks_and_drain_when_no_file_names_them() {
    let mut bench = bench();
    bench.find(of(&["10.0.0.21:80", "10.0.0.22:80"]));
    assert_eq!(bench.state("10.0.0.21-80"), discovered("starting"));
    bench.pass(Duration::from_secs(5), |_| Verdict::Pass);
    assert_eq!(bench.state("10.0.0.21-80"), discovered("up"));
    bench.find(of(&["10.0.0.22:80"]));
    assert_eq!(bench.state("10.0.0.21-80"), discovered("draining"));
    // It is named again while it drains: it is taken back as it is.
    bench.find(of(&["10.0.0.21:80", "10.0.0.22:80"]));
    assert_eq!(bench.state("10.0.0.21-80"), discovered("up"));
    bench.find(of(&["10.0.0.22:80"]));
    bench.count(&[]);
    bench.count(&[]);
    assert_eq!(bench.state("10.0.0.21-80"), None);
    assert_eq!(bench.states().len(), 3, "{:?}", bench.states());
}

#[test]
fn what_the_file_or_a_command_has_stays_theirs() {
    let mut bench = bench();
    let (config, service) = (discovering(""), name("web"));
    let pool = bench.engine.pools()[&service].service().settings();
    let extra = RealServer::new(Some("extra"), "10.0.0.31:80", None, &pool, &config).unwrap();
    bench.engine.add_server(bench.now, &service, extra, None, by()).unwrap();
    bench.find(of(&["10.0.0.11:80", "10.0.0.31:80", "10.0.0.21:80"]));
    assert_eq!(bench.state("web1"), Some(("config".to_owned(), "starting")));
    assert_eq!(bench.state("extra"), Some(("runtime".to_owned(), "starting")));
    bench.find(of(&["10.0.0.21:80"]));
    assert_eq!(bench.state("web1"), Some(("config".to_owned(), "starting")));
    assert_eq!(bench.state("extra"), Some(("runtime".to_owned(), "starting")));
    // A command has removed it: it stays removed as long as the files name it.
    bench.engine.remove_server_now(&service, &name("10.0.0.21-80"), by()).unwrap();
    bench.find(of(&["10.0.0.21:80", "10.0.0.22:80"]));
    assert_eq!(bench.state("10.0.0.21-80"), None);
    bench.find(of(&["10.0.0.22:80"]));
    bench.find(of(&["10.0.0.21:80", "10.0.0.22:80"]));
    assert_eq!(bench.state("10.0.0.21-80"), discovered("starting"));
}

#[test]
fn weights_and_drains_are_those_of_the_files_until_a_command_says_otherwise() {
    let mut bench = bench();
    let one = |weight, drain| findings(&[Target { weight, drain, ..target("10.0.0.21:80") }]);
    bench.find(one(Some(3), false));
    let weight = |bench: &Bench| bench.server("10.0.0.21-80").definition().weight;
    assert_eq!(weight(&bench), 3);
    bench.find(one(Some(4), true));
    assert_eq!((weight(&bench), bench.server("10.0.0.21-80").state()), (4, "draining"));
    bench.find(one(Some(4), false));
    assert_eq!(bench.server("10.0.0.21-80").admin(), &Admin::Ready);
    let to = WeightChange::To(9);
    bench.engine.weigh_server(&name("web"), &name("10.0.0.21-80"), to, by()).unwrap();
    bench.engine.drain_server(bench.now, &name("web"), &name("10.0.0.21-80"), None, by()).unwrap();
    bench.find(one(Some(5), false));
    bench.find(one(Some(5), true));
    bench.find(one(Some(5), false));
    assert_eq!(weight(&bench), 9, "a command's");
    assert!(matches!(bench.server("10.0.0.21-80").admin(), Admin::Drain(_)), "alice's");
}

#[test]
fn a_name_that_is_taken_is_another_ones() {
    let mut bench = bench();
    bench.find(findings(&[Target { name: Some(name("web1")), ..target("10.0.0.21:80") }]));
    assert_eq!(bench.state("web1"), Some(("config".to_owned(), "starting")));
    assert_eq!(bench.state("10.0.0.21-80"), discovered("starting"));
}

#[test]
fn a_reading_is_believed_as_a_whole_or_not() {
    let config = discovering("");
    let service = &config.services[&name("web")];
    for bad in ["[2001:db8::1]:80", "192.0.2.10:80", "224.0.0.1:80"] {
        let refused = resolve(&[target("10.0.0.21:80"), target(bad)], service, &config);
        assert!(matches!(refused, Err(Disbelief::Misfit(_))), "{bad}: {refused:?}");
    }
    let ten: Vec<String> = (1..=10).map(|host| format!("10.0.0.{host}:80")).collect();
    let first = |count: usize| of(&ten[..count].iter().map(String::as_str).collect::<Vec<_>>());
    let policy = |more: &str| {
        let config = discovering(more);
        config.services[&name("web")].discover.clone().unwrap()
    };
    let usual = policy("");
    for (before, now, expected) in [
        (0, 0, true),
        (0, 10, true),
        (10, 5, true),
        (10, 4, false),
        (10, 0, false),
        (1, 0, false),
        (2, 1, true),
        (3, 1, false),
    ] {
        let believed = believe(&first(before), &first(now), &usual).is_ok();
        assert_eq!(believed, expected, "{before} to {now}");
    }
    // As many as before, and all of them others: that is a removal of all.
    let others = of(&["10.0.1.1:80", "10.0.1.2:80"]);
    assert!(believe(&first(2), &others, &usual).is_err());
    assert!(believe(&first(10), &first(1), &policy(", max_removal: 90")).is_ok());
    assert!(believe(&first(10), &first(0), &policy(", max_removal: 100")).is_err());
    assert!(believe(&first(10), &first(0), &policy(", allow_empty: true")).is_ok());
}

#[test]
fn a_reload_without_discovery_has_its_servers_drain_and_with_another_file_they_stay() {
    let (with, without) = (discovering(""), config(""));
    let mut bench = Bench::new(&with, &Table::new());
    bench.find(of(&["10.0.0.21:80"]));
    bench.pass(Duration::from_secs(5), |_| Verdict::Pass);
    // The file names it, too, and then no longer: the other file still does.
    let named = "real_servers: {web1: {address: 10.0.0.11:80, weight: 5}, web2: 10.0.0.12:80, web3: 10.0.0.21:80}";
    let text = format!(
        "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    check: {{tcp: {{}}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}}\n    {named}\n    discover: {{directory: /etc/targets}}\n"
    );
    let named = parse("f", &text, &Environment::new("lb1")).config.unwrap();
    bench.engine.reconfigure(&with, &named, None, bench.now);
    bench.collect();
    assert_eq!(bench.state("web3"), Some(("config".to_owned(), "up")));
    bench.engine.reconfigure(&named, &with, None, bench.now);
    bench.collect();
    assert_eq!(bench.state("web3"), discovered("up"));
    bench.engine.reconfigure(&with, &without, None, bench.now);
    bench.collect();
    assert_eq!(bench.state("web3"), discovered("draining"));
}
