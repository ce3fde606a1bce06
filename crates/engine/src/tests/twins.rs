//! Checks that several services have in common.

use std::cell::RefCell;

use super::*;

const SHOP: &str = "  shop:
    listen: tcp 192.0.2.11:80
    forward: nat
    check: {tcp: {}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}
    real_servers: {x: 10.0.0.11:80}
";

/// Lets `duration` pass and counts the runs for each server.
fn runs(bench: &mut Bench, duration: Duration, verdict: Verdict) -> BTreeMap<String, u32> {
    let counts = RefCell::new(BTreeMap::new());
    bench.pass(duration, |server| {
        *counts.borrow_mut().entry(server.to_string()).or_default() += 1;
        verdict
    });
    counts.into_inner()
}

fn state(bench: &Bench, service: &str, server: &str) -> &'static str {
    bench.engine.pools()[&name(service)].servers()[&name(server)].state()
}

/// Both services' checks have become one.
fn merged() -> Bench {
    let mut bench = Bench::new(&config(SHOP), &Table::new());
    bench.pass(seconds(3), |_| Verdict::Pass);
    bench
}

fn total(counts: &BTreeMap<String, u32>) -> u32 {
    counts.values().sum()
}

#[test]
fn a_check_that_two_services_have_runs_once_and_counts_for_both() {
    let mut bench = merged();
    assert_eq!((state(&bench, "web", "web1"), state(&bench, "shop", "x")), ("up", "up"));
    let counts = runs(&mut bench, seconds(10), Verdict::Pass);
    assert_eq!(total(&counts), 20, "two targets: {counts:?}");
    runs(&mut bench, seconds(2), Verdict::Fail);
    assert_eq!((state(&bench, "web", "web1"), state(&bench, "shop", "x")), ("down", "down"));
    runs(&mut bench, seconds(2), Verdict::Pass);
    assert_eq!((state(&bench, "web", "web1"), state(&bench, "shop", "x")), ("up", "up"));
}

#[test]
fn other_options_another_pace_or_another_port_are_another_check() {
    for other in [
        "check: {tcp: {send: x}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}",
        "check: {tcp: {mark: 1}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}",
        "check: {tcp: {}, interval: 1s, timeout: 500ms, rise: 2, fall: 3}",
        "check: {tcp: {port: 81}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}",
    ] {
        let old = "check: {tcp: {}, interval: 1s, timeout: 500ms, rise: 2, fall: 2}";
        let mut bench = Bench::new(&config(&SHOP.replace(old, other)), &Table::new());
        bench.pass(seconds(3), |_| Verdict::Pass);
        assert_eq!(total(&runs(&mut bench, seconds(10), Verdict::Pass)), 30, "{other}");
    }
}

#[test]
fn the_same_target_in_other_words_is_the_same() {
    let shop = SHOP.replace("tcp: {}", "tcp: {address: 10.0.0.11, port: 80}");
    let mut bench =
        Bench::new(&config(&shop.replace("10.0.0.11:80", "10.0.0.99:8080")), &Table::new());
    bench.pass(seconds(3), |_| Verdict::Pass);
    assert_eq!(total(&runs(&mut bench, seconds(10), Verdict::Pass)), 20);
}

#[test]
fn a_server_that_leaves_takes_nothing_from_the_other() {
    let mut bench = merged();
    bench.engine.remove_server_now(&name("web"), &name("web1"), by()).unwrap();
    assert_eq!(total(&runs(&mut bench, seconds(10), Verdict::Pass)), 20);
    assert_eq!(state(&bench, "shop", "x"), "up");
    runs(&mut bench, seconds(2), Verdict::Fail);
    assert_eq!(state(&bench, "shop", "x"), "down");
    bench.engine.remove_server_now(&name("shop"), &name("x"), by()).unwrap();
    assert_eq!(total(&runs(&mut bench, seconds(10), Verdict::Pass)), 10);
    assert_eq!(bench.engine.targets.len(), 1);
}

#[test]
fn a_server_in_maintenance_is_checked_for_the_other_service_alone() {
    let mut bench = merged();
    bench.engine.maintain_server(bench.now, &name("shop"), &name("x"), by()).unwrap();
    runs(&mut bench, seconds(2), Verdict::Fail);
    assert_eq!((state(&bench, "web", "web1"), state(&bench, "shop", "x")), ("down", "maint"));
    runs(&mut bench, seconds(2), Verdict::Pass);
    bench.engine.ready_server(bench.now, &name("shop"), &name("x"), by()).unwrap();
    runs(&mut bench, seconds(2), Verdict::Pass);
    assert_eq!((state(&bench, "web", "web1"), state(&bench, "shop", "x")), ("up", "up"));
    assert_eq!(total(&runs(&mut bench, seconds(10), Verdict::Pass)), 20, "one again");
}

#[test]
fn a_reload_that_gives_one_of_them_another_pace_leaves_the_other_alone() {
    let mut bench = merged();
    let slower = SHOP.replace("interval: 1s", "interval: 2s");
    bench.engine.reconfigure(&config(SHOP), &config(&slower), None, bench.now);
    assert_eq!((state(&bench, "web", "web1"), state(&bench, "shop", "x")), ("up", "up"));
    assert_eq!(total(&runs(&mut bench, seconds(10), Verdict::Pass)), 25);
    bench.engine.reconfigure(&config(&slower), &config(SHOP), None, bench.now);
    bench.pass(seconds(3), |_| Verdict::Pass);
    assert_eq!(total(&runs(&mut bench, seconds(10), Verdict::Pass)), 20, "one again");
    bench.engine.reconfigure(&config(SHOP), &config(""), None, bench.now);
    bench.pass(seconds(3), |_| Verdict::Pass);
    assert_eq!(state(&bench, "web", "web1"), "up");
}

#[test]
fn one_that_the_kernel_has_and_one_that_it_has_not_begin_apart() {
    let mut kernel = Bench::new(&config(SHOP), &Table::new());
    kernel.pass(seconds(3), |_| Verdict::Pass);
    let mut table = kernel.engine.desired();
    let shop = ServiceKey::Address { protocol: Protocol::Tcp, address: address("192.0.2.11:80") };
    table.remove(&shop);
    let bench = Bench::new(&config(SHOP), &table);
    assert_eq!((state(&bench, "web", "web1"), state(&bench, "shop", "x")), ("up", "starting"));
}
