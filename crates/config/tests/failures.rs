//! What becomes of services when servers fail: what the file says is what the domain types say.

#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::time::Duration;

use holdfast_config::{
    AllDown, Config, Environment, HookEvent, InitialHealth, Name, OnFailure, PoolPolicy, Service,
    TrackerKind, parse,
};
use holdfast_health::{Combine, Damping};

fn config(text: &str) -> Config {
    let outcome = parse("f", text, &Environment::new("lb1"));
    assert_eq!(outcome.render(false), "");
    outcome.config.expect("a configuration")
}

/// The service `web` with these keys besides.
fn service(keys: &str) -> Service {
    let text =
        format!("services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n{keys}\n");
    config(&text).services.into_values().next().expect("a service")
}

fn name(text: &str) -> Name {
    text.to_owned().try_into().expect("a name")
}

#[test]
fn the_defaults_are_those_of_one_server_that_suffices() {
    let PoolPolicy { combine, initial, damping, on_failure, quorum, all_down, hooks, .. } =
        service("").policy;
    assert_eq!((combine, initial, damping), (Combine::All, InitialHealth::Kernel, None));
    assert_eq!((on_failure, all_down, hooks), (OnFailure::Inhibit, AllDown::Drop, vec![]));
    assert_eq!((quorum.gain(), quorum.keep()), (1, 1));
}

#[test]
fn every_key_is_read() {
    let web = service(
        "    checks: {any: [{tcp: {}, interval: 2s, fast_interval: 500ms, down_interval: 10s, spread: 30s}, {icmp: {}}]}
    initial: up
    on_failure: remove
    flap_damping: {falls: 5, within: 1m, hold: 10m}
    quorum: 3
    hysteresis: 1
    sorry_servers: {s1: 10.0.0.98:80, s2: {address: 10.0.0.99:80, weight: 2}}
    hooks: [{command: [/bin/true]}, {command: [/bin/false], on: down, timeout: 2s}]
    real_servers:
      a: {address: 10.0.0.1:80, weight: 2}
      b: {address: 10.0.0.2:80, weight: 2, checks: {all: [{tcp: {}}]}}
      c: {address: 10.0.0.3:80, checks: {any: [{tcp: {}}]}}",
    );
    let policy = &web.policy;
    assert_eq!((policy.combine, policy.initial), (Combine::Any, InitialHealth::Up));
    let damping =
        Damping { falls: 5, within: Duration::from_secs(60), hold: Duration::from_secs(600) };
    assert_eq!(policy.damping, Some(damping));
    assert_eq!((policy.on_failure, policy.all_down), (OnFailure::Remove, AllDown::Sorry));
    assert_eq!((policy.quorum.gain(), policy.quorum.keep()), (4, 2));
    let paces = &web.checks.first().expect("a check").policy;
    assert_eq!(paces.fast_interval, Some(Duration::from_millis(500)));
    assert_eq!(paces.down_interval, Some(Duration::from_secs(10)));
    assert_eq!(paces.spread, Some(Duration::from_secs(30)));
    let sorry: Vec<_> =
        web.sorry_servers.values().map(|one| (one.address.to_string(), one.weight)).collect();
    assert_eq!(sorry, [("10.0.0.98:80".to_owned(), 1), ("10.0.0.99:80".to_owned(), 2)]);
    let combine: Vec<_> = web.real_servers.values().map(|server| web.checks_of(server).1).collect();
    assert_eq!(combine, [Combine::Any, Combine::All, Combine::Any]);
    let on: Vec<Vec<HookEvent>> =
        policy.hooks.iter().map(|hook| hook.on.iter().copied().collect()).collect();
    assert_eq!(on, [vec![HookEvent::Up, HookEvent::Down], vec![HookEvent::Down]]);
}

#[test]
fn what_the_kernel_would_go_on_sending_clients_to_is_removed_by_default() {
    for (keys, expected) in [
        ("    persistence: {}", OnFailure::Remove),
        ("    persistence: {}\n    on_failure: inhibit", OnFailure::Inhibit),
        ("    scheduler: dh", OnFailure::Remove),
        ("    scheduler: rr", OnFailure::Inhibit),
    ] {
        assert_eq!(service(keys).policy.on_failure, expected, "{keys}");
    }
}

#[test]
fn connections_of_removed_servers_are_reset_and_of_inhibited_ones_kept() {
    let wants = |keys: &str, sysctl: &str| {
        let text = format!(
            "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    check: {{tcp: {{}}}}\n{keys}\n"
        );
        config(&text).sysctls().iter().any(|one| one.path.ends_with(sysctl))
    };
    for (keys, reset, forget) in [
        ("", false, false),
        ("    on_failure: remove", true, false),
        ("    persistence: {}", true, true),
        ("    persistence: {}\n    on_failure: inhibit", false, true),
    ] {
        assert_eq!(wants(keys, "expire_nodest_conn"), reset, "{keys}");
        assert_eq!(wants(keys, "expire_quiescent_template"), forget, "{keys}");
    }
}

const PAIR: &str = "vrrp:
  instances:
    edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}
    other: {interface: eth0, vrid: 52, addresses: [192.0.2.20/24]}
services:
  web: {listen: tcp 192.0.2.10:80, forward: nat, all_down: withdraw_vip}
";

#[test]
fn withdrawing_the_address_is_a_fault_of_the_instance_that_holds_it() {
    let config = config(PAIR);
    let tracker = config.vrrp.trackers.get(&name("web")).expect("it is made");
    assert_eq!(tracker.kind, TrackerKind::Service(name("web")));
    let tracked = |instance: &str| -> Vec<_> {
        let instance = config.instances.get(&name(instance)).expect("an instance");
        instance.track.iter().map(|one| (one.tracker.to_string(), one.weight)).collect()
    };
    assert_eq!(tracked("edge"), [("web".to_owned(), None)]);
    assert_eq!(tracked("other"), []);
}

#[test]
fn a_tracker_of_the_service_that_is_named_already_keeps_its_weight() {
    let text = PAIR.replace(
        "vrrp:\n  instances:\n    edge: {",
        "vrrp:\n  trackers: {pool: {service: web}}\n  instances:\n    edge: {track: [{tracker: pool, weight: -20}], ",
    );
    let config = config(&text);
    assert_eq!(config.vrrp.trackers.len(), 1);
    let edge = config.instances.get(&name("edge")).expect("an instance");
    let weights: Vec<_> = edge.track.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [Some(-20)]);
}

#[test]
fn another_tracker_may_have_the_service_s_name() {
    let text = PAIR.replace(
        "vrrp:\n  instances:\n    edge: {",
        "vrrp:\n  trackers: {web: {interface: eth1}}\n  instances:\n    edge: {track: web, ",
    );
    let config = config(&text);
    let names: Vec<_> = config.vrrp.trackers.keys().map(Name::as_str).collect();
    assert_eq!(names, ["web", "web-2"]);
    let edge = config.instances.get(&name("edge")).expect("an instance");
    assert_eq!(edge.track.len(), 2);
}

#[test]
fn a_marked_range_is_withdrawn_with_the_instance_that_holds_one_of_its_addresses() {
    let text = PAIR.replace(
        "listen: tcp 192.0.2.10:80",
        "listen: {fwmark: 7, match: \"tcp 192.0.2.10-192.0.2.12:80\"}",
    );
    let outcome = parse("f", &text, &Environment::new("lb1"));
    let config = outcome.config.expect("a configuration");
    assert_eq!(config.instances.get(&name("edge")).expect("an instance").track.len(), 1);
}
