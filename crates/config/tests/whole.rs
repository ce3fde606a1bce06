//! A whole configuration: what the file says is what the domain types say.

use std::time::Duration;

use holdfast_config::{CheckKind, Code, Environment, RealServer, parse};
use ipvs_ctl::model::{Forwarding, ServiceFlags};

/// Every part of the language once.
const WHOLE: &str = r#"
node: lb1

daemon:
  control: {socket: /run/holdfast/control.sock, group: holdfast}
  http: {listen: "127.0.0.1:9650"}
  scripts: {user: holdfast-script, timeout: 5s}

vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      priority: 150
      interval: 1s
      addresses: [192.0.2.10/24]
      per_node: {lb2: {priority: 100}}

services:
  web:
    listen: tcp 192.0.2.10:80
    scheduler: {name: mh, flags: [fallback, port]}
    forward: direct
    check: {http: {path: /health, expect: "200-299"}, interval: 2s, timeout: 1s, rise: 2, fall: 3}
    real_servers:
      web1: 10.0.0.11:80
      web2: {address: 10.0.0.12, weight: 2}
  dns:
    listen: [udp 192.0.2.10:53, tcp 192.0.2.10:53]
    scheduler: rr
    forward: nat
    persistence: {}
    check: {exec: {command: [/usr/lib/holdfast/checks/dns, example.org]}, interval: 2s}
    real_servers: {ns1: 10.0.0.21:53, ns2: 10.0.0.22:53}
"#;

#[test]
fn the_file_is_what_the_types_say() {
    let outcome = parse("whole.yaml", WHOLE, &Environment::new("elsewhere"));
    assert_eq!(outcome.render(false), "");
    let config = outcome.config.unwrap();
    assert_eq!(config.node, "lb1");
    let edge = config.instances.values().next().unwrap();
    assert_eq!((edge.vrid.value(), edge.priority.value()), (51, 150));
    let web = config.services.values().find(|service| service.name.as_str() == "web").unwrap();
    assert!(web.flags.contains(ServiceFlags::SCHEDULER_1.with(ServiceFlags::SCHEDULER_2)));
    assert_eq!(web.forwarding, Forwarding::Direct);
    let servers: Vec<_> = web.real_servers.values().collect();
    assert_eq!(servers[1].address.to_string(), "10.0.0.12:80", "the service's port");
    assert_eq!((servers[0].weight, servers[1].weight), (1, 2));
    let dns = config.services.values().next().unwrap();
    assert_eq!(dns.listen.len(), 2);
    assert_eq!(dns.persistence.map(|p| (p.timeout_s, p.prefix)), Some((300, 32)));
    let check = &dns.checks[0];
    assert!(matches!(&check.kind, CheckKind::Exec { command, .. } if command.len() == 2));
    assert_eq!(check.policy.timeout, Duration::from_secs(1), "half of the interval, not 5s");
}

#[test]
fn per_node_overrides_hold_on_their_node_only() {
    let text = WHOLE.replace("node: lb1", "");
    for (node, priority) in [("lb1", 150), ("lb2", 100)] {
        let config = parse("whole.yaml", &text, &Environment::new(node)).config.unwrap();
        assert_eq!(config.instances.values().next().unwrap().priority.value(), priority);
    }
}

#[test]
fn defaults_are_those_of_the_reference() {
    let text = "vrrp: {instances: {a: {interface: eth0, vrid: 1, addresses: [192.0.2.1]}}}\n\
                services: {w: {listen: 'tcp 192.0.2.1:80', forward: nat, check: {tcp: }}}\n";
    let config = parse("f", text, &Environment::new("n")).config.unwrap();
    let instance = config.instances.values().next().unwrap();
    assert_eq!((instance.priority.value(), instance.interval.centiseconds()), (100, 100));
    assert!(instance.preempt);
    assert_eq!(instance.addresses[0].to_string(), "192.0.2.1/32");
    assert_eq!(config.daemon.control_socket.to_str(), Some("/run/holdfast/control.sock"));
    assert_eq!(config.daemon.control_group, None);
    assert_eq!(config.daemon.http, None);
    assert_eq!(config.ipvs.poll, Duration::from_secs(5));
    let service = config.services.values().next().unwrap();
    assert_eq!(service.scheduler.name(), "wlc");
    let policy = &service.checks[0].policy;
    assert_eq!((policy.interval, policy.timeout), (Duration::from_secs(2), Duration::from_secs(1)));
    assert_eq!((policy.rise, policy.fall), (2, 3));
}

#[test]
fn servers_added_at_run_time_obey_the_rules_of_the_file() {
    let config = parse("f", WHOLE, &Environment::new("n")).config.unwrap();
    let web = config.services.values().find(|service| service.name.as_str() == "web").unwrap();
    let server = RealServer::new(None, "10.0.0.13:80", Some(2), web, &config).unwrap();
    assert_eq!((server.name.as_str(), server.weight), ("10.0.0.13-80", 2));
    assert_eq!(
        RealServer::new(Some("web4"), "10.0.0.14", None, web, &config).unwrap().address.port(),
        80
    );
    let codes = |name, address, weight| -> Vec<_> {
        let problems = RealServer::new(name, address, weight, web, &config).unwrap_err();
        problems.iter().map(|problem| problem.code).collect()
    };
    assert_eq!(codes(None, "10.0.0.13:8080", None), [Code::DirectPort]);
    assert_eq!(codes(None, "[2001:db8::13]:80", None), [Code::FamilyMismatch]);
    assert_eq!(codes(None, "10.0.0.11:80", None), [Code::DuplicateServer]);
    assert_eq!(codes(Some("web1"), "10.0.0.13:80", None), [Code::DuplicateServerName]);
    assert_eq!(codes(None, "192.0.2.10:80", None), [Code::ServerIsVip]);
    assert_eq!(codes(None, "0.0.0.0:80", None), [Code::UnusableAddress]);
    assert_eq!(codes(None, "web5:80", None), [Code::BadAddress]);
    assert_eq!(
        codes(Some("a b"), "10.0.0.11:81", Some(u32::MAX)),
        [Code::OutOfRange, Code::BadName],
        "all at once"
    );
}

#[test]
fn a_default_name_is_a_name_for_every_address() {
    let text = "services: {w: {listen: 'tcp [2001:db8::1]:80', forward: nat}}";
    let config = parse("f", text, &Environment::new("n")).config.unwrap();
    let service = config.services.values().next().unwrap();
    for (address, name) in [("[2001:db8::13]:80", "2001-db8--13-80"), ("[::1]:8080", "0--1-8080")] {
        assert_eq!(
            RealServer::new(None, address, None, service, &config).unwrap().name.as_str(),
            name
        );
    }
}

#[test]
fn no_server_has_the_address_of_an_instance_or_of_another_service() {
    let text = "\
node: n
vrrp: {instances: {edge: {interface: eth0, vrid: 1, addresses: [192.0.2.10/24, 192.0.2.11/24]}}}
services:
  web: {listen: 'tcp 192.0.2.10:80', forward: nat}
  dns: {listen: 'udp 192.0.2.53:53', forward: nat}
";
    let config = parse("f", text, &Environment::new("n")).config.unwrap();
    let web = config.services.values().find(|service| service.name.as_str() == "web").unwrap();
    for address in ["192.0.2.10:8080", "192.0.2.11:8080", "192.0.2.53:8080"] {
        let problems = RealServer::new(None, address, None, web, &config).unwrap_err();
        let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(codes, [Code::ServerIsVip], "{address}");
    }
    RealServer::new(None, "192.0.2.12:8080", None, web, &config).unwrap();
}

#[test]
fn a_server_that_the_kernel_has_gets_the_first_free_name() {
    let address = "10.0.0.13:80".parse().unwrap();
    let named = |taken: &[&str], weight| {
        RealServer::found(address, weight, |name| taken.contains(&name.as_str())).unwrap()
    };
    let server = named(&[], 3);
    assert_eq!((server.name.as_str(), server.address, server.weight), ("10.0.0.13-80", address, 3));
    assert_eq!(named(&[], 0).weight, 1, "taken back, it would serve");
    assert_eq!(named(&["10.0.0.13-80", "10.0.0.13-80-2"], 1).name.as_str(), "10.0.0.13-80-3");
}

#[test]
fn a_look_from_a_third_machine_gives_no_warning() {
    let text = include_str!("../../../examples/minimal.yaml");
    let outcome = parse("f", text, &Environment::new("laptop"));
    assert_eq!(outcome.render(false), "");
    assert!(outcome.config.is_some());
}

#[test]
fn who_is_told_of_events_may_name_each_family_and_is_told_without_naming_any_of_all_but_ipvs() {
    const FAMILIES: [&str; 7] =
        ["vrrp", "group", "server", "service", "discovery", "ipvs", "config"];
    let told = |on: &str| {
        let text = format!("daemon: {{notifications: {{ops: {{{on}command: [/bin/true]}}}}}}");
        let outcome = parse("f", &text, &Environment::new("n"));
        let config = outcome.config.unwrap_or_else(|| panic!("{on}"));
        config.daemon.notifications.into_values().next().unwrap()
    };
    let unsaid = told("");
    for family in FAMILIES {
        let kind = format!("{family}.some_kind");
        assert!(told(&format!("on: {family}, ")).wants(&kind), "{family}");
        assert_eq!(unsaid.wants(&kind), family != "ipvs", "{family}");
    }
    assert!(told("on: discovery.refused, ").wants("discovery.refused"));
}
