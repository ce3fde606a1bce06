//! What operators see and do: weights, drains, reasons and ages, and what an earlier daemon left in the kernel's table.

use super::*;

#[test]
fn adding_a_known_server_keeps_its_weight_and_its_drain_and_cancels_its_removal() {
    let config = config("");
    let mut bench = Bench::new(&config, &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let (web, web1) = (name("web"), name("web1"));
    let add = |bench: &mut Bench, weight: Option<u32>| {
        let server = added(&config, "web1", "10.0.0.11:80", weight.unwrap_or(1));
        let change = bench.engine.add_server(bench.now, &web, server, weight, by());
        bench.collect();
        change.unwrap().changed
    };
    assert!(!add(&mut bench, None));
    assert_eq!(bench.weights()[0].1, 5, "the file's");
    assert!(add(&mut bench, Some(7)));
    assert_eq!(bench.weights()[0].1, 7);
    let report = Report::Weight {
        service: web.clone(),
        server: web1.clone(),
        from: (5, 100),
        to: (7, 100),
        order: by(),
    };
    assert!(bench.reports.contains(&report), "{:?}", bench.reports);
    bench.engine.drain_server(bench.now, &web, &web1, None, by()).unwrap();
    assert!(!add(&mut bench, None));
    assert_eq!(bench.server("web1").state(), "draining");
    bench.engine.remove_server(bench.now, &web, &web1, None, by()).unwrap();
    assert!(add(&mut bench, None));
    assert_eq!((bench.server("web1").state(), bench.weights()[0].1), ("up", 7));
}

#[test]
fn a_pool_has_no_more_servers_than_a_file_may_have() {
    let config = config("");
    let mut bench = Bench::new(&config, &Table::new());
    let add = |bench: &mut Bench, number: usize| {
        let to = format!("10.1.{}.{}:80", number / 250, number % 250 + 1);
        let server = added(&config, &format!("s{number}"), &to, 1);
        let change = bench.engine.add_server(bench.now, &name("web"), server, None, by());
        while bench.engine.poll_action().is_some() {}
        change
    };
    for number in 2..holdfast_config::SERVERS_MAX {
        assert_eq!(add(&mut bench, number), Ok(Change { changed: true }));
    }
    assert_eq!(add(&mut bench, 0), Err(CommandError::TooMany(name("web"))));
}

/// A service whose servers have two checks, tcp on port 80 (A) and on port 81 (B).
fn two_checks() -> Config {
    let text = "services:
  web:
    listen: tcp 192.0.2.10:80
    forward: nat
    checks:
      - {tcp: {}, interval: 1s, timeout: 500ms, rise: 1, fall: 1}
      - {tcp: {port: 81}, interval: 1s, timeout: 500ms, rise: 1, fall: 1}
    real_servers: {web1: 10.0.0.11:80}
";
    parse("test.yaml", text, &Environment::new("lb1")).config.unwrap()
}

/// Runs both checks once; A and B find these.
fn both(bench: &mut Bench, a: Verdict, b: Verdict) {
    bench.now += seconds(1);
    bench.engine.handle_timeout(bench.now);
    bench.collect();
    let mut runs = std::mem::take(&mut bench.runs);
    runs.sort_by_key(|(id, _)| *id);
    assert_eq!(runs.len(), 2);
    for ((id, _), (check, verdict)) in runs.into_iter().zip([("A", a), ("B", b)]) {
        let mut found = outcome(verdict);
        found.reason.sentence = format!("{check} {verdict:?}").into();
        bench.engine.check_finished(bench.now, id, found);
        bench.collect();
    }
}

#[test]
fn the_reason_is_that_of_a_check_that_says_so_now() {
    use Verdict::{Fail, Inconclusive, Pass};
    let mut bench = Bench::new(&two_checks(), &Table::new());
    for (a, b, state, reason) in [
        (Pass, Pass, "up", "A Pass"),
        (Fail, Pass, "down", "A Fail"),
        (Fail, Fail, "down", "A Fail"),
        (Pass, Fail, "down", "B Fail"),
        (Inconclusive, Inconclusive, "down", "B Fail"),
        (Pass, Pass, "up", "A Pass"),
        (Pass, Fail, "down", "B Fail"),
    ] {
        both(&mut bench, a, b);
        let server = bench.server("web1");
        assert_eq!((server.state(), server.reason().sentence.as_str()), (state, reason));
    }
}

#[test]
fn a_failure_that_was_void_is_shown_as_such_and_is_no_reason() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(1), |_| Verdict::Fail);
    bench.now += Duration::from_millis(999);
    bench.engine.handle_timeout(bench.now);
    bench.collect();
    bench.now += seconds(3);
    for (id, _) in std::mem::take(&mut bench.runs) {
        let mut late = outcome(Verdict::Fail);
        late.reason.sentence = "late".into();
        bench.engine.check_finished(bench.now, id, late);
    }
    let server = bench.server("web1");
    assert_eq!(server.reason().sentence, "Fail");
    let shown = bench.engine.checks(server).next().unwrap().reason;
    assert_eq!(shown.code, Code::SOCKERR);
    assert!(shown.sentence.starts_with("not counted"), "{shown}");
}

#[test]
fn what_checks_say_during_a_drain_does_not_restart_its_age() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(2), |_| Verdict::Pass);
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.drain_server(bench.now, &web, &web1, None, by()).unwrap();
    bench.pass(seconds(4), |_| Verdict::Fail);
    assert_eq!(
        (bench.server("web1").health(), bench.server("web1").state()),
        (State::Down, "draining")
    );
    assert_eq!(bench.server("web1").age(bench.now), seconds(4));
    bench.engine.ready_server(bench.now, &web, &web1, by()).unwrap();
    assert_eq!(bench.server("web1").age(bench.now), seconds(0));
}

#[test]
fn connections_that_only_receive_are_waited_for_as_long_as_their_clients_send_packets() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.engine.drain_server(bench.now, &name("web"), &name("web1"), None, by()).unwrap();
    let mut count = |packets| {
        let counted = Connections { inactive: 1, packets, ..Connections::default() };
        let counts = BTreeMap::from([((key(), address("10.0.0.11:80")), counted)]);
        bench.pass(Duration::from_millis(500), |_| Verdict::Pass);
        bench.engine.connections_counted(bench.now, &BTreeSet::from([key()]), &counts);
        bench.server("web1").state()
    };
    assert!((0..60).all(|packets| count(packets) == "draining"));
    assert_eq!((0..20).take_while(|_| count(59) == "draining").count(), 9, "5 s are 10 counts");
}

#[test]
fn what_the_kernel_has_and_the_file_has_not_drains_and_is_removed() {
    let config = config("");
    let mut earlier = Bench::new(&config, &Table::new());
    let web = name("web");
    for (called, to) in [("extra", "10.0.0.13:80"), ("web1-old", "10.0.0.14:80")] {
        let server = added(&config, called, to, 3);
        earlier.engine.add_server(earlier.now, &web, server, None, by()).unwrap();
    }
    earlier.pass(seconds(2), |_| Verdict::Pass);
    let kernel = earlier.engine.desired();
    let mut bench = Bench::new(&config, &kernel);
    let found = bench.server("10.0.0.13-80");
    assert_eq!((found.origin(), found.state()), (Origin::Kernel, "draining"));
    assert_eq!(bench.weights()[2..], [("10.0.0.13:80".into(), 0), ("10.0.0.14:80".into(), 0)]);
    let report = Report::Found { service: web.clone(), server: name("10.0.0.13-80") };
    assert!(bench.reports.contains(&report), "{:?}", bench.reports);
    // One is wanted after all, and is a server like any that a command adds.
    let wanted = added(&config, "10.0.0.14-80", "10.0.0.14:80", 1);
    let change = bench.engine.add_server(bench.now, &web, wanted, None, by());
    assert_eq!(change, Ok(Change { changed: true }));
    assert_eq!(bench.server("10.0.0.14-80").origin(), Origin::Runtime);
    assert_eq!(bench.weights()[3], ("10.0.0.14:80".into(), 3), "it was up and is adopted");
    bench.count(&[("10.0.0.13:80", 1)]);
    bench.count(&[]);
    assert_eq!(bench.server("10.0.0.13-80").state(), "draining");
    bench.count(&[]);
    assert!(!bench.engine.pools()[&web].servers().contains_key(&name("10.0.0.13-80")));
    assert!(!bench.engine.desired()[&key()].destinations.contains_key(&address("10.0.0.13:80")));
}
