//! What `ipvs` says as types, and which sysctls follow from services.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeMap;
use std::time::Duration;

use holdfast_config::host::{Address, Facts, Interface, PlacedBy, check};
use holdfast_config::{Code, Config, Environment, SyncMode, parse};

fn load(node: &str, text: &str) -> Config {
    let outcome = parse("f", text, &Environment::new(node));
    assert!(outcome.config.is_some(), "{}", outcome.render(false));
    outcome.config.unwrap()
}

fn file(service: &str, ipvs: &str) -> String {
    format!(
        "vrrp:\n  instances:\n    edge: {{interface: eth0, vrid: 51, addresses: [192.0.2.10/24, 198.51.100.10/32]}}\n\
         services:\n  web: {{listen: tcp 192.0.2.10:80, {service}}}\nipvs: {{{ipvs}}}\n"
    )
}

fn sysctls(service: &str, ipvs: &str) -> BTreeMap<String, String> {
    let wanted = load("lb1", &file(service, ipvs)).sysctls();
    let short = |path: &str| path.replace("net/ipv4/vs/", "").replace("net/ipv4/", "");
    wanted.iter().map(|one| (short(&one.path), one.aim.to_string())).collect()
}

fn are(found: &BTreeMap<String, String>, wanted: &[(&str, &str)]) {
    let wanted: BTreeMap<String, String> =
        wanted.iter().map(|(name, aim)| ((*name).to_owned(), (*aim).to_owned())).collect();
    assert_eq!(*found, wanted);
}

#[test]
fn each_service_has_the_sysctls_that_it_needs() {
    let web1 = "real_servers: {web1: {address: '192.0.2.21:80'}}";
    let far = "real_servers: {web1: {address: '10.0.0.21:8080'}}";
    are(
        &sysctls(&format!("forward: direct, {web1}"), ""),
        &[("conn_reuse_mode", "a value with bit 2")],
    );
    are(&sysctls(&format!("forward: nat, {far}"), ""), &[("ip_forward", "1")]);
    are(
        &sysctls(&format!("forward: nat, {web1}"), ""),
        &[("ip_forward", "1"), ("conf/all/send_redirects", "0"), ("conf/eth0/send_redirects", "0")],
    );
    are(
        &sysctls(&format!("forward: nat, persistence: {{}}, {far}"), ""),
        &[("ip_forward", "1"), ("expire_quiescent_template", "1")],
    );
    are(
        &sysctls(&format!("forward: nat, persistence: {{}}, check: {{tcp: {{}}}}, {far}"), ""),
        &[("ip_forward", "1"), ("expire_quiescent_template", "1"), ("expire_nodest_conn", "1")],
    );
    let maglev = "forward: direct, scheduler: {name: mh, flags: [fallback]}";
    are(
        &sysctls(maglev, ""),
        &[("conn_reuse_mode", "a value with bit 2"), ("sloppy_tcp", "1"), ("schedule_icmp", "1")],
    );
}

#[test]
fn synchronisation_has_its_own_and_what_is_written_comes_first() {
    let sync = "sync: {interface: eth1}";
    let direct = "forward: direct";
    let reuse = ("conn_reuse_mode", "a value with bit 2");
    are(&sysctls(direct, sync), &[reuse, ("sync_refresh_period", "10"), ("sync_threshold", "3 0")]);
    are(
        &sysctls(direct, &format!("{sync}, sysctls: {{sync_refresh_period: 0, sync_ports: 4}}")),
        &[reuse, ("sync_refresh_period", "0"), ("sync_ports", "4")],
    );
    let written = format!("{sync}, sysctls: {{conn_reuse_mode: 0, sync_threshold: '3   50'}}");
    are(
        &sysctls(direct, &written),
        &[("conn_reuse_mode", "0"), ("sync_refresh_period", "10"), ("sync_threshold", "3 50")],
    );
}

#[test]
fn a_forwarding_of_ipv6_is_its_own_and_without_services_there_is_nothing() {
    let text = "services:\n  web: {listen: 'tcp [2001:db8::10]:80', forward: nat}\n";
    let paths: Vec<String> = load("lb1", text).sysctls().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["net/ipv6/conf/all/forwarding"]);
    let none = load("lb1", "services: {}\nipvs: {sysctls: {ip_forward: 1}}\n");
    assert!(none.sysctls().is_empty());
}

#[test]
fn sync_is_of_the_node_and_follows_the_only_one_there_is() {
    let ipvs = "sync: {interface: eth1, maxlen: 1200, per_node: {lb2: {interface: bond0, ttl: 3}}}";
    let text = file("forward: direct", ipvs);
    let lb1 = load("lb1", &text).ipvs.sync.unwrap();
    let lb2 = load("lb2", &text).ipvs.sync.unwrap();
    assert_eq!((lb1.interface.as_str(), lb1.ttl), ("eth1", 1));
    assert_eq!((lb2.interface.as_str(), lb2.ttl), ("bond0", 3));
    assert_eq!((lb1.id, lb1.port, lb1.max_length), (51, 8848, Some(1200)));
    assert_eq!(lb1.group.to_string(), "224.0.0.81");
    let SyncMode::Follow { name, instances } = lb1.mode else { panic!("{:?}", lb1.mode) };
    assert_eq!((name.as_str(), instances.len()), ("edge", 1));
    let both = load("lb1", &file("forward: direct", "sync: {interface: eth1, role: both}"));
    let both = both.ipvs.sync.unwrap();
    assert_eq!((both.mode, both.id), (SyncMode::Both, 51));
}

#[test]
fn two_refresh_periods_and_three_seconds_are_what_a_node_listens_for() {
    let catch_up = |ipvs: &str| load("lb1", &file("forward: direct", ipvs)).catch_up();
    assert_eq!(catch_up("sync: {interface: eth1}"), Some(Duration::from_secs(23)));
    let sooner = "sync: {interface: eth1}, sysctls: {sync_refresh_period: 2}";
    assert_eq!(catch_up(sooner), Some(Duration::from_secs(7)));
    assert_eq!(catch_up("sync: {interface: eth1}, sysctls: {sync_refresh_period: 0}"), None);
    assert_eq!(catch_up(""), None);
}

#[test]
fn an_interface_that_the_host_does_not_have_is_named_where_it_is_written() {
    let text =
        file("forward: direct", "sync: {interface: eth1, per_node: {lb1: {interface: eth9}}}");
    let outcome = parse("f", &text, &Environment::new("lb1"));
    let interface = |name: &str| Interface {
        name: name.to_owned(),
        up: true,
        addresses: ["192.0.2.2/24", "198.51.100.2/24"]
            .map(|net| Address { net: net.parse().unwrap(), by: PlacedBy::Other })
            .into(),
        ..Interface::default()
    };
    let facts = |names: &[&str]| Facts {
        interfaces: names.iter().map(|name| interface(name)).collect(),
        ..Facts::default()
    };
    let config = outcome.config.unwrap();
    let found = check(&config, &outcome.source, &facts(&["eth0", "eth1"]));
    let found: Vec<_> = found.iter().map(|one| (one.code, one.path.clone().unwrap())).collect();
    let path = "ipvs.sync.per_node.lb1.interface".to_owned();
    assert_eq!(found, [(Code::NoSuchInterface, path)]);
    assert!(check(&config, &outcome.source, &facts(&["eth0", "eth9"])).is_empty());
}

/// The packets would have said of which family the service is: nothing is said of its servers then.
#[test]
fn packets_that_cannot_be_read_are_the_only_problem_of_a_mark() {
    let text = "services:\n  a: {listen: {fwmark: 7, match: 'tcp [2001:db8::10-2001:db8::1]:80'}, forward: nat, real_servers: {x: '[2001:db8::1]:80'}}\n";
    let outcome = parse("f", text, &Environment::new("lb1"));
    let codes: Vec<Code> = outcome.diagnostics.iter().map(|one| one.code).collect();
    assert_eq!(codes, [Code::BadMatch], "{}", outcome.render(false));
}
