//! How fast servers come and go: slow start, shares of a weight, maintenance, and who said so.

use super::*;

/// Every 100 ms for so long, the weights that the kernel should have, without repetitions.
fn history(bench: &mut Bench, duration: Duration) -> Vec<Vec<u32>> {
    let mut seen = Vec::new();
    let end = bench.now + duration;
    while bench.now < end {
        bench.pass(Duration::from_millis(100), |_| Verdict::Pass);
        seen.push(bench.weights().into_iter().map(|(_, weight)| weight).collect());
    }
    seen.dedup();
    seen
}

#[test]
fn a_slow_start_rises_by_tenths_and_ends_on_time() {
    let mut bench = Bench::new(&config("    slow_start: 9s\n"), &Table::new());
    bench.pass(seconds(2), |server| match server.as_str() {
        "web1" => Verdict::Pass,
        _ => Verdict::Fail,
    });
    bench.pass(seconds(9), |server| match server.as_str() {
        "web1" => Verdict::Pass,
        _ => Verdict::Fail,
    });
    let weights: Vec<u32> = bench.weights().into_iter().map(|(_, weight)| weight).collect();
    assert_eq!(weights, [500, 0], "a hundred times what is configured, and the start is over");
    let (before, reconciled) = (bench.now, bench.reconciled);
    let seen = history(&mut bench, seconds(12));
    let web2: Vec<u32> = seen.iter().map(|weights| weights[1]).collect();
    assert_eq!(web2, [0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100]);
    assert!(seen.iter().all(|weights| weights[0] == 500), "the other's weight stays: {seen:?}");
    assert!(bench.reconciled >= reconciled + 10, "each step is asked for");
    assert_eq!(bench.server("web2").ramp_percent(), None);
    assert!(bench.now.saturating_since(before) >= seconds(12));
}

#[test]
fn a_server_that_is_adopted_has_no_slow_start_and_one_that_came_back_from_a_failure_has() {
    let config = config("    slow_start: 9s\n");
    let mut earlier = Bench::new(&config, &Table::new());
    earlier.pass(seconds(20), |_| Verdict::Pass);
    let kernel = earlier.engine.desired();
    let mut bench = Bench::new(&config, &kernel);
    assert_eq!(bench.engine.desired(), kernel, "a restart writes nothing");
    bench.pass(seconds(3), |_| Verdict::Fail);
    assert_eq!(bench.weights().iter().map(|one| one.1).sum::<u32>(), 0);
    bench.pass(seconds(2), |_| Verdict::Pass);
    assert_eq!(bench.server("web1").ramp_percent(), Some(10));
    assert_eq!(bench.weights()[0].1, 50);
    // A failure during the start ends it; the next one begins at its beginning.
    bench.pass(seconds(5), |_| Verdict::Pass);
    bench.pass(seconds(2), |_| Verdict::Fail);
    assert_eq!((bench.server("web1").ramp_percent(), bench.weights()[0].1), (None, 0));
    bench.pass(seconds(2), |_| Verdict::Pass);
    assert_eq!(bench.server("web1").ramp_percent(), Some(10));
}

#[test]
fn returning_during_a_drain_restores_the_weight_and_returning_after_it_starts_slowly() {
    let mut bench = Bench::new(&config("    slow_start: 9s\n"), &Table::new());
    bench.pass(seconds(20), |_| Verdict::Pass);
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.drain_server(bench.now, &web, &web1, None, by()).unwrap();
    bench.count(&[("10.0.0.11:80", 1)]);
    assert_eq!(bench.weights()[0], ("10.0.0.11:80".into(), 0));
    bench.engine.ready_server(bench.now, &web, &web1, by()).unwrap();
    assert_eq!(bench.weights()[0], ("10.0.0.11:80".into(), 500));
    bench.engine.drain_server(bench.now, &web, &web1, None, by()).unwrap();
    bench.count(&[]);
    bench.count(&[]);
    assert_eq!(bench.weights().len(), 1, "drained and deleted");
    bench.engine.ready_server(bench.now, &web, &web1, by()).unwrap();
    assert_eq!(bench.weights()[0], ("10.0.0.11:80".into(), 50));
}

#[test]
fn a_share_is_of_the_configured_weight_and_a_number_replaces_it() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let (web, web1, web2) = (name("web"), name("web1"), name("web2"));
    let mut weigh = |server: &Name, change| {
        let changed = bench.engine.weigh_server(&web, server, change, by()).unwrap().changed;
        let weights: Vec<u32> = bench.weights().into_iter().map(|(_, weight)| weight).collect();
        (changed, weights)
    };
    assert_eq!(weigh(&web1, WeightChange::Share(40)), (true, vec![2, 1]));
    assert_eq!(weigh(&web1, WeightChange::Share(40)), (false, vec![2, 1]));
    assert_eq!(weigh(&web1, WeightChange::Share(200)), (true, vec![10, 1]));
    assert_eq!(weigh(&web2, WeightChange::Share(1)), (true, vec![10, 1]), "never 0 by rounding");
    assert_eq!(weigh(&web2, WeightChange::Share(0)), (true, vec![10, 0]));
    assert_eq!(weigh(&web1, WeightChange::To(7)), (true, vec![7, 0]), "its share is whole again");
    assert_eq!(bench.server("web1").share(), 100);
    let refused = bench.engine.weigh_server(&web, &web1, WeightChange::Share(1001), by());
    assert_eq!(refused, Err(CommandError::Share(1001)));
    let refused = bench.engine.weigh_server(&web, &web1, WeightChange::To(u32::MAX), by());
    assert!(matches!(refused, Err(CommandError::Weight { max: 2_147_483_647, .. })), "{refused:?}");
}

#[test]
fn with_slow_start_a_weight_is_refused_that_a_hundred_times_of_it_is_too_much() {
    let mut bench = Bench::new(&config("    slow_start: 9s\n"), &Table::new());
    let mut weigh =
        |to| bench.engine.weigh_server(&name("web"), &name("web1"), WeightChange::To(to), by());
    assert_eq!(weigh(21_474_836), Ok(Change { changed: true }));
    assert!(matches!(weigh(21_474_837), Err(CommandError::Weight { max: 21_474_836, .. })));
}

#[test]
fn in_maintenance_nothing_is_checked_and_what_was_under_way_counts_for_nothing() {
    let mut bench = Bench::new(&config(""), &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let (web, web1) = (name("web"), name("web1"));
    bench.now += Duration::from_millis(999);
    bench.engine.handle_timeout(bench.now);
    bench.collect();
    let under_way = std::mem::take(&mut bench.runs);
    assert!(!under_way.is_empty());
    let kernel_upgrade = Order { reason: Some("kernel upgrade".to_owned()), ..by() };
    let change = bench.engine.maintain_server(bench.now, &web, &web1, kernel_upgrade.clone());
    assert_eq!(change, Ok(Change { changed: true }));
    bench.collect();
    for (id, _) in under_way {
        bench.engine.check_finished(bench.now, id, outcome(Verdict::Pass));
    }
    bench.collect();
    let server = bench.server("web1");
    assert_eq!((server.state(), server.admin()), ("maint", &Admin::Maint));
    assert_eq!(server.standing().unwrap().order, kernel_upgrade);
    assert_eq!(bench.weights()[0], ("10.0.0.11:80".into(), 0));
    assert!(bench.engine.checks(bench.server("web1")).next().is_none());
    let ran = std::cell::RefCell::new(Vec::new());
    bench.pass(seconds(10), |server| {
        ran.borrow_mut().push(server.clone());
        Verdict::Pass
    });
    assert!(ran.borrow().iter().all(|server| *server != web1));
    // Said again it changes nothing, but for another reason.
    let again = bench.engine.maintain_server(bench.now, &web, &web1, by());
    assert_eq!(again, Ok(Change { changed: false }));
    assert_eq!(bench.server("web1").standing().unwrap().order, kernel_upgrade);
    // Back, it waits for its checks as a new server does.
    bench.engine.ready_server(bench.now, &web, &web1, by()).unwrap();
    assert_eq!((bench.server("web1").state(), bench.weights()[0].1), ("starting", 0));
    bench.pass(seconds(2), |_| Verdict::Pass);
    assert_eq!((bench.server("web1").state(), bench.weights()[0].1), ("up", 5));
    assert_eq!(bench.server("web1").standing(), None);
}

#[test]
fn a_server_in_maintenance_can_be_drained_and_removed_and_with_persistence_it_is_not_in_the_table()
{
    let persistent = config("    persistence: {timeout: 60s}\n");
    let mut bench = Bench::new(&persistent, &Table::new());
    bench.pass(seconds(1), |_| Verdict::Pass);
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.maintain_server(bench.now, &web, &web1, by()).unwrap();
    assert_eq!(bench.weights().len(), 1);
    bench.engine.remove_server(bench.now, &web, &web1, None, by()).unwrap();
    assert_eq!(bench.server("web1").state(), "draining");
    bench.count(&[]);
    bench.count(&[]);
    assert!(!bench.engine.pools()[&web].servers().contains_key(&web1));
    // Whoever ordered the removal is named by what it came to.
    let gone = Report::Removed { service: web, server: web1, order: by() };
    assert!(bench.reports.contains(&gone), "{:?}", bench.reports);
}

#[test]
fn who_and_why_are_kept_with_a_drain_and_a_new_reason_is_taken() {
    let mut bench = Bench::new(&config(""), &Table::new());
    let (web, web1) = (name("web"), name("web1"));
    let because = |reason: &str| Order { reason: Some(reason.to_owned()), ..by() };
    let mut drain = |order| bench.engine.drain_server(at(0), &web, &web1, None, order).unwrap();
    assert!(drain(because("disk")).changed);
    assert!(!drain(by()).changed, "no reason is no other reason");
    assert!(!drain(because("disk")).changed);
    assert!(drain(because("disk and fan")).changed);
    let standing = bench.server("web1").standing().unwrap();
    assert_eq!(standing.order, because("disk and fan"));
    assert_eq!(standing.since, at(0));
    let told =
        Report::Draining { service: web, server: web1, then_remove: false, order: because("disk") };
    bench.collect();
    assert!(bench.reports.contains(&told), "{:?}", bench.reports);
    assert_eq!(told.to_string(), "drains by alice: disk");
}

#[test]
fn a_service_says_how_long_its_drains_last_and_when_a_client_is_silent() {
    let mut bench = Bench::new(&config("    drain: {timeout: 4s, idle: 3s}\n"), &Table::new());
    let (web, web1) = (name("web"), name("web1"));
    bench.engine.drain_server(bench.now, &web, &web1, None, by()).unwrap();
    let silent = Connections { inactive: 1, packets: 9, ..Connections::default() };
    let counts = BTreeMap::from([((key(), address("10.0.0.11:80")), silent)]);
    let mut halves = 0;
    while bench.server("web1").state() == "draining" {
        bench.pass(Duration::from_millis(500), |_| Verdict::Pass);
        bench.engine.connections_counted(bench.now, &BTreeSet::from([key()]), &counts);
        halves += 1;
    }
    assert_eq!(halves, 7, "seen first after half a second, then silent for 3 s");
    bench.engine.drain_server(bench.now, &web, &name("web2"), None, by()).unwrap();
    bench.pass(Duration::from_millis(4500), |_| Verdict::Pass);
    assert_eq!(bench.server("web2").state(), "drained");
}
