//! What drains, over a restart; and how services forwarded before.

use ipvs_ctl::model::Forwarding;

use super::reconfigure::{all_up, edited, parsed};
use super::*;

/// An engine that comes after `bench`, over the kernel's table as that one wanted it, half a second later.
fn successor(bench: &Bench, config: &Config) -> Bench {
    after(&bench.engine.draining(), &bench.engine.desired(), config, bench.now)
}

fn after(draining: &Draining, kernel: &Table, config: &Config, now: Instant) -> Bench {
    let now = now + Duration::from_millis(500);
    let remembered = Remembered { draining: draining.clone(), ..Remembered::default() };
    let mut engine = Engine::remembering(config, &remembered, kernel, now);
    engine.resume(draining);
    let mut bench = Bench { engine, now, reports: vec![], reconciled: 0, counted: 0, runs: vec![] };
    bench.collect();
    bench
}

/// One of each family, the other of which is over a tunnel.
fn pair() -> Config {
    parsed(
        "services:
  web: {listen: tcp 192.0.2.10:80, forward: nat, drain: {timeout: 60s}, real_servers: {web1: 10.0.0.11:80, web2: 10.0.0.12:80}}
  six: {listen: ['tcp [2001:db8::10]:80', 'udp [2001:db8::10]:80'], forward: tunnel, persistence: {}, upper_threshold: 5, drain: {timeout: 60s}, real_servers: {six1: {address: '[2001:db8::11]:80', upper_threshold: 9}}}
",
    )
}

fn deadlines(bench: &Bench) -> Vec<(String, Instant)> {
    let servers = bench.engine.pools().values().flat_map(|pool| pool.servers().values());
    servers
        .filter_map(|server| match server.admin() {
            Admin::Drain(drain) => Some((server.definition().name.to_string(), drain.deadline)),
            Admin::Ready | Admin::Maint => None,
        })
        .collect()
}

#[test]
fn services_that_are_leaving_go_on_to_leave_after_a_restart_and_then_are_gone() {
    let (with, without) = (pair(), parsed("services: {}"));
    let mut bench = Bench::new(&with, &Table::new());
    bench.reload(&with, &without);
    let (table, before) = (bench.engine.desired(), deadlines(&bench));
    let mut next = successor(&bench, &without);
    assert_eq!(next.engine.desired(), table, "nothing is written");
    assert_eq!(deadlines(&next), before);
    assert_eq!(next.engine.draining(), bench.engine.draining());
    assert!(next.engine.pools().values().all(Pool::is_leaving));
    assert!(!next.reports.iter().any(|one| matches!(one, Report::Found { .. })), "it is known");
    let web1 = next.server("web1");
    assert_eq!(web1.standing().and_then(|one| one.order.who.as_deref()), Some("holdfastd"));
    // And once more.
    next = successor(&next, &without);
    assert_eq!(deadlines(&next), before);
    next.let_drains_end();
    assert_eq!(next.engine.desired(), Table::new());
    assert!(next.engine.draining().is_empty());
    let mut next = successor(&bench, &without);
    next.pass(Duration::from_secs(61), |_| Verdict::Pass);
    assert_eq!(next.engine.pools().len(), 0, "at the deadline, without any count");
}

#[test]
fn what_needs_something_of_the_kernel_is_known_before_there_is_an_engine() {
    let (with, without) = (pair(), parsed("services: {}"));
    let mut bench = Bench::new(&with, &Table::new());
    bench.reload(&with, &without);
    let (draining, table) = (bench.engine.draining(), bench.engine.desired());
    let needy = |config: &Config, table: &Table| -> Vec<String> {
        let all = draining.needy(config, table);
        all.iter().map(|one| format!("{} {}", one.name, one.forwarding.word())).collect()
    };
    assert_eq!(needy(&without, &table), ["six tunnel", "web nat"]);
    assert_eq!(needy(&without, &Table::new()), Vec::<String>::new(), "the kernel has nothing");
    assert_eq!(needy(&with, &table), Vec::<String>::new(), "the file has both again");
    assert_eq!(draining.owned(&table).len(), 3);
    assert_eq!(draining.owned(&Table::new()).len(), 0);
    // A file that was changed while no daemon was there.
    let direct = edited("forward: nat", "forward: direct");
    let old = Bench::new(&edited("", ""), &Table::new()).engine.desired();
    let needy = Draining::default().needy(&direct, &old);
    assert_eq!(needy.iter().map(|one| one.forwarding).collect::<Vec<_>>(), [Forwarding::Nat]);
}

#[test]
fn a_service_that_the_file_has_again_serves_and_leaves_its_former_address() {
    let (with, without) = (pair(), parsed("services: {}"));
    let mut bench = Bench::new(&with, &Table::new());
    bench.reload(&with, &without);
    let next = successor(&bench, &with);
    let kept = next.engine.draining();
    assert!(kept.leaving.is_empty() && kept.servers.is_empty(), "{kept:?}");
    assert!(!next.engine.pools().values().any(Pool::is_leaving));
    let moved = edited("tcp 192.0.2.10:80", "tcp 192.0.2.11:80");
    let mut next = successor(&bench, &moved);
    let keys: Vec<String> =
        next.engine.pools()[&name("web")].keys().map(|key| key.to_string()).collect();
    assert_eq!(keys, ["tcp 192.0.2.11:80", "tcp 192.0.2.10:80"]);
    assert_eq!(next.weights(), [("10.0.0.11:80".into(), 0), ("10.0.0.12:80".into(), 0)]);
    next = successor(&next, &moved);
    assert_eq!(next.weights().len(), 2, "an address that is being left, too");
    next.let_drains_end();
    assert!(!next.engine.desired().contains_key(&key()));
}

#[test]
fn where_another_service_is_now_what_was_there_drains_as_its_own() {
    let (with, without) = (pair(), parsed("services: {}"));
    let mut bench = Bench::new(&with, &Table::new());
    bench.reload(&with, &without);
    let other = parsed(
        "services: {new: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {n: 10.0.0.31:80}}}",
    );
    let next = successor(&bench, &other);
    let owners = next.engine.pools().values().filter(|pool| pool.keys().any(|at| at == key()));
    assert_eq!(owners.count(), 1);
    assert!(!next.engine.pools().contains_key(&name("web")), "it is nowhere");
    assert!(next.engine.pools()[&name("six")].is_leaving());
    let weights = next.weights();
    assert_eq!(weights.iter().filter(|(_, weight)| *weight == 0).count(), 2, "{weights:?}");
}

/// A service has left an address for another one, and that one is somebody else's now: what is left of it is the address that it was leaving.
#[test]
fn an_address_that_is_being_left_goes_on_to_be_left_without_its_service() {
    for [first, second, to] in [
        ["tcp 192.0.2.10:80", "tcp 192.0.2.11:80", "10.0.0.11:80"],
        ["'tcp [2001:db8::10]:80'", "'tcp [2001:db8::11]:80'", "'[2001:db8::21]:80'"],
    ] {
        let file = |name: &str, listen: &str| {
            parsed(&format!(
                "services: {{{name}: {{listen: {listen}, forward: nat, drain: {{timeout: 60s}}, real_servers: {{a: {to}}}}}}}"
            ))
        };
        let (old, moved, other) = (file("web", first), file("web", second), file("other", second));
        let mut bench = Bench::new(&old, &Table::new());
        let left = *bench.engine.desired().keys().next().unwrap();
        bench.reload(&old, &moved);
        let listens = bench.engine.draining().listens;
        assert_eq!(listens.iter().map(|one| one.listen).collect::<Vec<_>>(), [left]);
        // The file is changed between two daemons, or by a reload and then there is another daemon.
        let between = successor(&bench, &other);
        bench.reload(&moved, &other);
        for mut next in [between, successor(&bench, &other)] {
            let table = next.engine.desired();
            assert_eq!(table.len(), 2, "{table:?}");
            assert!(table[&left].destinations.values().all(|one| one.weight == 0));
            assert_eq!(next.engine.draining().listens, listens, "by the same deadline");
            let pool = &next.engine.pools()[&name("web")];
            assert!(pool.is_leaving() && pool.service().listen.is_empty());
            let needy = next.engine.draining().needy(&other, &table);
            assert_eq!(needy.len(), 1, "what its connections need");
            assert_eq!(needy[0].real_servers.len(), 1);
            next = successor(&next, &other);
            assert_eq!(next.engine.desired(), table, "and once more");
            next.let_drains_end();
            assert!(!next.engine.desired().contains_key(&left));
            assert!(!next.engine.pools().contains_key(&name("web")));
        }
    }
}

/// The file was changed while no daemon was there: it is as if it had been reloaded.
#[test]
fn a_service_that_was_taken_out_between_two_daemons_drains_and_is_removed() {
    let (with, without) = (pair(), parsed("services: {}"));
    let bench = Bench::new(&with, &Table::new());
    assert_eq!(bench.engine.draining().running.len(), 2);
    let mut next = successor(&bench, &without);
    assert!(next.engine.pools().values().all(Pool::is_leaving));
    assert_eq!(next.engine.desired().len(), 3);
    let leaving = next.reports.iter().filter(|one| matches!(one, Report::ServiceLeaving { .. }));
    assert_eq!(leaving.count(), 2, "{:?}", next.reports);
    let ends: Vec<Instant> = deadlines(&next).into_iter().map(|(_, at)| at).collect();
    assert_eq!(ends, [next.now + Duration::from_secs(60); 3]);
    next.let_drains_end();
    assert_eq!(next.engine.desired(), Table::new());
    // One address of two is in the file no longer.
    let one = parsed(
        "services: {six: {listen: ['tcp [2001:db8::10]:80'], forward: tunnel, real_servers: {six1: '[2001:db8::11]:80'}}}",
    );
    let mut next = successor(&bench, &one);
    assert_eq!(next.engine.draining().listens.len(), 1);
    next.let_drains_end();
    let keys: Vec<String> = next.engine.desired().keys().map(|key| key.to_string()).collect();
    assert_eq!(keys, ["tcp [2001:db8::10]:80"]);
}

/// Somebody has taken the service, or its servers, out of the kernel meanwhile.
#[test]
fn what_the_kernel_has_no_longer_is_not_waited_for() {
    let (with, without) = (pair(), parsed("services: {}"));
    let mut bench = Bench::new(&with, &Table::new());
    bench.reload(&with, &without);
    let draining = bench.engine.draining();
    let none = after(&draining, &Table::new(), &without, bench.now);
    assert_eq!(none.engine.pools().len(), 0);
    let mut empty = bench.engine.desired();
    empty.values_mut().for_each(|entry| entry.destinations.clear());
    let none = after(&draining, &empty, &without, bench.now);
    assert_eq!((none.engine.pools().len(), none.engine.desired()), (0, Table::new()));
    assert_eq!(draining.owned(&empty).len(), 3, "so they are removed");
}

#[test]
fn a_drain_by_command_has_its_own_deadline_and_reason_after_a_restart() {
    let config = edited("", "");
    let mut bench = all_up(&config);
    let order = Order { who: Some("alice".to_owned()), reason: Some("a new kernel".to_owned()) };
    let hour = Some(Duration::from_secs(3600));
    bench.engine.remove_server(bench.now, &name("web"), &name("web2"), hour, order).unwrap();
    bench.collect();
    let table = bench.engine.desired();
    // The file has lost it, so nothing but the kernel's table tells of it.
    let next =
        after(&bench.engine.draining(), &table, &edited(", web2: 10.0.0.12:80", ""), bench.now);
    let web2 = next.server("web2");
    let standing = web2.standing().expect("whose order it is");
    assert_eq!(standing.order.who.as_deref(), Some("alice"));
    assert_eq!(deadlines(&next), deadlines(&bench));
    // Serving again by the file, it drains no longer: no command of an earlier daemon is remembered here.
    let next = after(&bench.engine.draining(), &table, &config, bench.now);
    assert_eq!(deadlines(&next), []);
}

#[test]
fn the_timeout_of_a_command_said_again_moves_no_deadline_after_a_restart_and_a_removal_has_its_own()
{
    let config = edited("", "");
    let mut bench = all_up(&config);
    let (web, web2) = (name("web"), name("web2"));
    let hour = Some(Duration::from_secs(3600));
    bench.engine.drain_server(bench.now, &web, &web2, hour, Order::default()).unwrap();
    bench.collect();
    let (before, draining, table) =
        (deadlines(&bench), bench.engine.draining(), bench.engine.desired());
    assert_eq!(draining.servers[0].timeout, hour);
    let mut next = after(&draining, &table, &config, bench.now);
    // As the daemon has it from its journal, and then from what drained.
    next.engine.drain_server(next.now, &web, &web2, None, Order::default()).unwrap();
    next.engine.resume(&draining);
    next.now += Duration::from_secs(60);
    let again = next.engine.drain_server(next.now, &web, &web2, hour, Order::default()).unwrap();
    assert!(!again.changed);
    assert_eq!(deadlines(&next), before);
    // A removal is another order: what it says counts from now, and said again moves nothing either.
    let until = vec![("web2".to_owned(), next.now + Duration::from_secs(3600))];
    next.engine.remove_server(next.now, &web, &web2, hour, Order::default()).unwrap();
    assert_eq!(deadlines(&next), until);
    next.now += Duration::from_secs(60);
    next.engine.remove_server(next.now, &web, &web2, hour, Order::default()).unwrap();
    assert_eq!(deadlines(&next), until);
}

/// The kernel could not be looked at: what an earlier daemon has left is kept for the next one, and what this one has is its own.
#[test]
fn what_could_not_be_looked_at_is_kept_for_the_next_one() {
    let (with, without) = (pair(), parsed("services: {}"));
    let mut bench = Bench::new(&with, &Table::new());
    bench.reload(&with, &without);
    let left = bench.engine.draining();
    let mut kept = Draining::default();
    kept.add_unseen(&left);
    assert_eq!(kept, left);
    let next = after(&kept, &bench.engine.desired(), &without, bench.now);
    assert!(next.engine.pools().values().all(Pool::is_leaving));
    assert_eq!(next.engine.desired(), bench.engine.desired(), "it goes on");
    // One is there again under its name, without a kernel that was looked at before.
    let one = parsed(
        "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, real_servers: {web1: 10.0.0.11:80}}}",
    );
    let mut kept = Bench::new(&one, &Table::new()).engine.draining();
    kept.add_unseen(&left);
    let names = |all: &[holdfast_config::Remains]| -> Vec<String> {
        all.iter().map(|one| one.name.to_string()).collect()
    };
    assert_eq!(
        (names(&kept.running), names(&kept.leaving)),
        (vec!["web".into()], vec!["six".into()])
    );
    assert!(kept.servers.iter().all(|one| one.service == name("six")));
}

/// The kernel can be looked at when a configuration comes that has services: what was left until then goes on as after a restart with that one.
#[test]
fn what_could_not_be_looked_at_goes_on_when_it_can_be() {
    let (with, without) = (pair(), parsed("services: {}"));
    let mut bench = Bench::new(&with, &Table::new());
    bench.reload(&with, &without);
    let (left, table) = (bench.engine.draining(), bench.engine.desired());
    let elsewhere = "services: {web: {listen: tcp 192.0.2.11:80, forward: nat, real_servers: {web1: 10.0.0.11:80}}}";
    let there = elsewhere.replace("2.11:80", "2.10:80");
    let another = there.replace("{web:", "{other:");
    for text in [elsewhere, &there, &another] {
        let config = parsed(text);
        let mut late = Bench::new(&without, &Table::new());
        late.now = bench.now + Duration::from_millis(500);
        late.engine.reconfigure(&without, &config, Some(&table), late.now);
        late.engine.go_on(&left, (&config, &table), late.now);
        late.engine.resume(&left);
        late.collect();
        let restarted = after(&left, &table, &config, bench.now);
        // But for the names of servers that the service takes in when it comes.
        let nameless = |bench: &Bench| {
            let mut draining = bench.engine.draining();
            draining.servers.iter_mut().for_each(|one| one.server = name("any"));
            draining.servers.sort_by_key(|one| (one.service.clone(), one.address));
            draining
        };
        assert_eq!(nameless(&late), nameless(&restarted), "{text}");
        assert_eq!(late.engine.desired(), restarted.engine.desired(), "{text}");
        assert!(late.engine.draining().leaving.iter().any(|one| one.name == name("six")), "{text}");
        assert!(late.reconciled > 0);
        late.let_drains_end();
        assert_eq!(late.engine.draining().leaving, [], "{text}");
    }
}

#[test]
fn connections_of_a_former_method_are_waited_for_over_all_servers() {
    let nat = edited("", "");
    let direct = edited("forward: nat", "forward: direct");
    let former = |bench: &Bench| -> Vec<Forwarding> {
        bench.engine.pools()[&name("web")].former().map(|one| one.forwarding).collect()
    };
    let mut bench = all_up(&nat);
    bench.reload(&nat, &direct);
    assert_eq!(former(&bench), [Forwarding::Nat]);
    bench.count(&[("10.0.0.11:80", 1)]);
    bench.now += Duration::from_secs(1);
    bench.count(&[("10.0.0.12:80", 1)]);
    assert_eq!(former(&bench), [Forwarding::Nat]);
    let next = successor(&bench, &direct);
    assert_eq!(next.engine.draining(), bench.engine.draining(), "over a restart as well");
    bench.reports.clear();
    bench.let_drains_end();
    assert_eq!(former(&bench), []);
    assert_eq!(bench.reports.iter().map(Report::kind).collect::<Vec<_>>(), ["service.left_method"]);
    // As long as a drain lasts, and no longer.
    let mut bench = all_up(&nat);
    bench.reload(&nat, &direct);
    bench.count(&[("10.0.0.11:80", 7)]);
    let timeout = bench.engine.pools()[&name("web")].service().drain.timeout;
    bench.pass(timeout + Duration::from_secs(1), |_| Verdict::Pass);
    let left = bench.reports.iter().find_map(|report| {
        if let Report::MethodEnded { left, .. } = report { Some(*left) } else { None }
    });
    assert_eq!((former(&bench), left), (vec![], Some(7)));
}

#[test]
fn a_method_that_comes_back_is_no_former_one() {
    let nat = edited("", "");
    let direct = edited("forward: nat", "forward: direct");
    let tunnel = edited("forward: nat", "forward: tunnel");
    let former = |bench: &Bench| bench.engine.pools()[&name("web")].former().count();
    let mut bench = all_up(&nat);
    bench.reload(&nat, &direct);
    bench.reload(&direct, &tunnel);
    assert_eq!(former(&bench), 2);
    bench.reload(&tunnel, &nat);
    assert_eq!(former(&bench), 2, "direct and the tunnel");
    bench.reload(&nat, &direct);
    assert_eq!(former(&bench), 2, "the tunnel and NAT");
}

/// A command had added a server, its service was reloaded away, and a daemon that finds it in the kernel alone gets the service back.
#[test]
fn what_was_added_and_is_found_draining_is_again_as_it_was_added() {
    for [listen, file, to] in [
        ["tcp 192.0.2.10:80", "10.0.0.11:80", "10.0.0.14:80"],
        ["'tcp [2001:db8::10]:80'", "'[2001:db8::21]:80'", "[2001:db8::24]:80"],
    ] {
        let with = parsed(&format!(
            "services: {{web: {{listen: {listen}, forward: nat, real_servers: {{web1: {file}}}}}}}"
        ));
        let without = parsed("services: {}");
        let (web, web4) = (name("web"), name("web4"));
        let mut bench = Bench::new(&with, &Table::new());
        let server = added(&with, "web4", to, 5);
        bench.engine.add_server(bench.now, &web, server, None, by()).unwrap();
        bench.reload(&with, &without);
        let mut next = successor(&bench, &without);
        let now = |bench: &Bench| {
            let web4 = bench.server("web4");
            (web4.origin(), web4.definition().weight, web4.is_draining())
        };
        assert_eq!(now(&next), (Origin::Kernel, 1, true), "the kernel has weight 0");
        next.reload(&without, &with);
        let what = crate::overlay::Presence::Added { weight: 5, lease_ms: None };
        let presence = Some(crate::overlay::Said { what, who: None, reason: None, at: 7 });
        let entry =
            crate::overlay::Entry { server: web4.clone(), presence, admin: None, weight: None };
        let key = (web.clone(), address(to));
        next.engine.replay(next.now, &key, &entry, &with, None).unwrap();
        assert_eq!(now(&next), (Origin::Runtime, 5, false));
    }
}
