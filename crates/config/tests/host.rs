//! The host's stage over given facts, and its diagnostics as the user reads them.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;

use holdfast_config::host::{
    Address, CheckFile, Claimed, Facts, Interface, PairFault, PlacedBy, Port, Program, Secret,
    check, claimed, questions, untrusted,
};
use holdfast_config::{Code, Diagnostic, Environment, Outcome, SecretFrom, parse, render};

const TEXT: &str = "\
node: lb1
daemon:
  control: {group: holdfast}
vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      addresses: [192.0.2.10/24, 198.51.100.10/32]
      per_node: {lb1: {interface: ens192}}
    edge6: {interface: eth0, vrid: 51, addresses: ['fe80::33/64', '2001:db8::10/64']}
services:
  web:
    listen: tcp 192.0.2.10:80
    forward: nat
    check: {exec: {command: [/usr/lib/holdfast/checks/web]}}
    real_servers:
      web1: 10.0.0.11:80
      web2:
        address: 10.0.0.12:80
        checks: [{tcp: {}}, {exec: {command: [/opt/check, -v]}}]
";

fn outcome() -> Outcome {
    let outcome = parse("holdfast.yaml", TEXT, &Environment::new("lb1"));
    assert_eq!(outcome.render(false), "");
    outcome
}

fn interface(name: &str, up: bool, addresses: &[&str]) -> Interface {
    interface_by(PlacedBy::Other, name, up, addresses)
}

fn interface_by(by: PlacedBy, name: &str, up: bool, addresses: &[&str]) -> Interface {
    let addresses = addresses.iter().map(|net| Address { net: net.parse().unwrap(), by });
    let (name, addresses) = (name.to_owned(), addresses.collect());
    Interface { name, up, addresses, ..Interface::default() }
}

/// A host on which nothing is wrong.
fn sound() -> Facts {
    Facts {
        interfaces: vec![
            interface("ens192", true, &["192.0.2.2/24", "198.51.100.2/24"]),
            interface("eth0", true, &["2001:db8::2/64", "fe80::1/64"]),
        ],
        users: [("holdfast-script".to_owned(), Some(900))].into(),
        groups: [("holdfast".to_owned(), Some(901))].into(),
        programs: [
            ("/usr/lib/holdfast/checks/web".to_owned(), Program::Executable),
            ("/opt/check".to_owned(), Program::Executable),
        ]
        .into(),
        firewall: None,
        ..Facts::default()
    }
}

#[test]
fn the_questions_are_what_the_configuration_needs_and_no_more() {
    let config = outcome().config.unwrap();
    let asked = questions(&config);
    assert_eq!(asked.users, BTreeSet::from(["holdfast-script".to_owned()]));
    assert_eq!(asked.groups, BTreeSet::from(["holdfast".to_owned()]));
    let programs = ["/opt/check", "/usr/lib/holdfast/checks/web"].map(str::to_owned);
    assert_eq!(asked.programs, BTreeSet::from(programs));
    let without = parse("f", "ipvs: {on_stop: keep}\n", &Environment::new("lb1")).config.unwrap();
    assert_eq!(questions(&without), Default::default());
}

#[test]
fn a_host_that_has_everything_gives_no_diagnostic() {
    let outcome = outcome();
    let config = outcome.config.unwrap();
    assert_eq!(render(&outcome.source, &check(&config, &outcome.source, &sound()), false), "");
    // What was not looked up is not judged.
    let blind = Facts { interfaces: sound().interfaces, ..Facts::default() };
    assert_eq!(check(&config, &outcome.source, &blind), []);
}

#[test]
fn the_addresses_of_an_active_node_prove_no_subnet() {
    let outcome = outcome();
    let config = outcome.config.unwrap();
    let mut facts = sound();
    facts.interfaces[0] = interface("ens192", true, &["198.51.100.2/24"]);
    let held = "192.0.2.10/24".parse().unwrap();
    facts.interfaces[0].addresses.push(Address { net: held, by: PlacedBy::Vrrp });
    let found = check(&config, &outcome.source, &facts);
    let codes: Vec<_> = found.iter().map(|found| found.code).collect();
    assert_eq!(codes, [Code::NoSubnet]);
    assert!(found[0].message.starts_with("192.0.2.10 "), "{}", found[0].message);
}

/// What the daemon would take off the interface of a Backup though it is the node's own.
const OWN: &str = "\
node: lb1
vrrp:
  instances:
    four:
      interface: eth0
      vrid: 1
      addresses: [192.0.2.2/24, {address: 198.51.100.2/24, device: eth1}, 192.0.2.3/24]
      excluded: ['2001:db8::2/64']
    six: {interface: eth0, vrid: 1, addresses: ['fe80::2/64', '2001:db8::3/64']}
    mac: {interface: eth0, vrid: 2, virtual_mac: true, addresses: [192.0.2.4/24]}
    owner: {interface: eth0, vrid: 3, priority: 255, addresses: [192.0.2.5/24]}
";

/// A host that has all of these addresses, put there by whom.
fn with_own(by: PlacedBy) -> Facts {
    let on_eth0 = ["192.0.2.1/24", "192.0.2.2/24", "192.0.2.5/24", "2001:db8::2/64", "fe80::2/64"];
    let placed = |name: &str, addresses: &[&str]| interface_by(by, name, true, addresses);
    let mut eth0 = placed("eth0", &on_eth0);
    let unmarked = ["192.0.2.4/24", "2001:db8::1/64"].map(|net| net.parse().unwrap());
    eth0.addresses.extend(unmarked.map(|net| Address { net, by: PlacedBy::Other }));
    let interfaces = vec![eth0, placed("eth1", &["198.51.100.2/32"])];
    Facts { interfaces, ..Facts::default() }
}

fn checked(text: &str, facts: &Facts) -> Vec<Diagnostic> {
    let outcome = parse("holdfast.yaml", text.as_bytes(), &Environment::new("lb1"));
    assert_eq!(outcome.render(false), "");
    check(&outcome.config.unwrap(), &outcome.source, facts)
}

/// Neither VRRP's own leftovers nor an owner's addresses are found, nor what lies on the interface below a virtual MAC address.
#[test]
fn a_virtual_address_that_the_node_has_of_itself_is_refused() {
    let found = checked(OWN, &with_own(PlacedBy::Other));
    let outcome = parse("holdfast.yaml", OWN, &Environment::new("lb1"));
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    insta::assert_snapshot!("HF0715_own_address", render(&outcome.source, &found, false));
    let codes =
        |by| -> Vec<_> { checked(OWN, &with_own(by)).iter().map(|found| found.code).collect() };
    assert_eq!(codes(PlacedBy::Vrrp), []);
    assert_eq!(codes(PlacedBy::Unknown), [Code::PerhapsOwnAddress; 4]);
}

/// A daemon that runs has seen to its own instances' addresses; a new instance's, and those of who owned them until now, it has not.
#[test]
fn a_running_daemon_is_told_of_new_instances_alone() {
    let (running, facts) =
        (with_own(PlacedBy::Other), |claimed| Facts { claimed, ..with_own(PlacedBy::Other) });
    let claims = |text: &str| claimed(&parse("f", text, &Environment::new("lb1")).config.unwrap());
    let codes = |text: &str, facts: &Facts| -> Vec<_> {
        checked(text, facts).iter().map(|found| found.code).collect()
    };
    assert_eq!(codes(OWN, &running).len(), 4);
    assert_eq!(codes(OWN, &facts(claims(OWN))), []);
    assert_eq!(codes(OWN, &facts(Claimed::Everything)), []);
    let no_owner = OWN.replace("priority: 255", "priority: 200");
    assert_eq!(codes(&no_owner, &facts(claims(OWN))), [Code::OwnAddress]);
}

#[test]
fn a_port_and_a_loopback_of_another_name_are_no_interfaces_for_an_instance() {
    let text = "\
node: lb1
vrrp:
  instances:
    edge: {interface: eth0, vrid: 1, addresses: [192.0.2.10/24, {address: 192.0.2.11/24, device: eth2}]}
    local: {interface: loop, vrid: 1, addresses: [192.0.2.20/24]}
    switched: {interface: eth1, vrid: 1, addresses: [192.0.2.30/24]}
";
    let mut facts = Facts::default();
    let names = ["eth0", "eth1", "eth2", "loop"];
    facts.interfaces.extend(names.map(|name| interface(name, true, &["192.0.2.1/24"])));
    let port = |kind, instead: Option<&str>| Some(Port { kind, instead: instead.map(Into::into) });
    facts.interfaces[0].port = port("bridge", Some("br0"));
    facts.interfaces[1].port = port("Open vSwitch bridge", None);
    facts.interfaces[2].port = port("bond", Some("bond0"));
    facts.interfaces[3].loopback = true;
    let outcome = parse("holdfast.yaml", text, &Environment::new("lb1"));
    let found = checked(text, &facts);
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    insta::assert_snapshot!("HF0717_port", render(&outcome.source, &found, false));
}

#[test]
fn everything_missing_is_reported_at_once() {
    let outcome = outcome();
    let config = outcome.config.unwrap();
    let facts = Facts {
        interfaces: vec![
            interface("ens19", false, &[]),
            interface("eth0", false, &["192.0.2.2/24"]),
        ],
        users: [("holdfast-script".to_owned(), None)].into(),
        groups: [("holdfast".to_owned(), None)].into(),
        programs: [
            ("/usr/lib/holdfast/checks/web".to_owned(), Program::Missing),
            ("/opt/check".to_owned(), Program::NotExecutable),
        ]
        .into(),
        firewall: None,
        ..Facts::default()
    };
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    let found = check(&config, &outcome.source, &facts);
    insta::assert_snapshot!("HF07_host", render(&outcome.source, &found, false));
    let mut codes: BTreeSet<_> = found.iter().map(|found| found.code).collect();
    let why = "/opt belongs to user 1000: it must belong to root (chown root)".to_owned();
    let programs = [("/opt/check".to_owned(), Program::Untrusted { why })].into();
    let replaceable = Facts { programs, ..sound() };
    let found = check(&config, &outcome.source, &replaceable);
    insta::assert_snapshot!("HF0709_untrusted", render(&outcome.source, &found, false));
    codes.extend(found.iter().map(|found| found.code));
    let facts = Facts { users: [("holdfast-script".to_owned(), Some(0))].into(), ..facts };
    codes.extend(check(&config, &outcome.source, &facts).iter().map(|found| found.code));
    // These have a test of their own, below.
    codes.extend([Code::NoFirewall, Code::NoTrackedInterface, Code::OwnerWithoutAddress]);
    codes.extend([Code::BadCheckFile, Code::NoCheckFolder]);
    codes.extend([Code::NoSecret, Code::CredentialElsewhere]);
    codes.extend([Code::BadPairFile, Code::NoPair, Code::PairCertificateTime, Code::PairFileLater]);
    codes.extend([Code::OwnAddress, Code::PerhapsOwnAddress, Code::PortInterface]);
    let open =
        untrusted(&outcome.source, "/etc/holdfast is writable by group or others (mode 0777)");
    insta::assert_snapshot!(
        "HF0720_untrusted",
        render(&outcome.source, std::slice::from_ref(&open), false)
    );
    codes.insert(open.code);
    let host = Code::ALL.iter().filter(|code| code.as_str().starts_with("HF07"));
    assert_eq!(codes, host.copied().collect(), "every code of the stage");
}

/// Commands, devices and `accept: false` of an instance, on the node of the overrides.
const VRRP: &str = "\
node: lb1
vrrp:
  instances:
    edge:
      interface: eth0
      vrid: 51
      addresses: [192.0.2.10/24]
      excluded: [{address: 192.0.2.11/24, device: eth7}, {address: 192.0.2.12/24, device: vrrp4.51}]
      routes: [{to: default, via: 192.0.2.1, device: eth8}]
      virtual_mac: true
      track: [script, uplink, {tracker: gateway, weight: -20}]
      hooks: [{command: [/opt/hook]}]
      per_node:
        lb1: {accept: false, hooks: [{command: [/opt/other], on: active}, {command: [/opt/hook]}]}
    inside: {interface: eth0, vrid: 52, addresses: [192.0.2.20/24]}
  trackers:
    script: {script: {command: [/opt/script, argument]}}
    uplink: {interface: eth9}
    gateway: {reach: {address: 192.0.2.1, by: neighbour, interface: eth0}}
  groups:
    pair: {instances: [edge, inside], hooks: [{command: [/opt/group]}]}
  hooks: [{command: [/opt/all]}]
";

#[test]
fn hooks_and_trackers_are_looked_at_as_checks_are() {
    let outcome = parse("holdfast.yaml", VRRP, &Environment::new("lb1"));
    assert_eq!(outcome.render(false), "");
    let config = outcome.config.unwrap();
    let asked = questions(&config);
    let programs = ["all", "group", "hook", "other", "script"].map(|name| format!("/opt/{name}"));
    assert_eq!(asked.programs, BTreeSet::from(programs.clone()));
    assert_eq!(asked.users, BTreeSet::from(["holdfast-script".to_owned()]));
    assert!(asked.firewall);
    let facts = Facts {
        interfaces: vec![interface("eth0", true, &["192.0.2.2/24"])],
        programs: programs.map(|program| (program, Program::Missing)).into(),
        firewall: Some(false),
        ..Facts::default()
    };
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _guard = settings.bind_to_scope();
    let found = check(&config, &outcome.source, &facts);
    insta::assert_snapshot!("HF07_vrrp", render(&outcome.source, &found, false));
}

/// What addresses this host has says whether it is its own peer, and whether it is the owner that it says it is.
const ADDRESSES: &str = "\
node: lb1
vrrp:
  instances:
    own:
      interface: eth0
      vrid: 51
      priority: 255
      addresses: [192.0.2.2/24, 192.0.2.10/24]
    six:
      interface: eth0
      vrid: 52
      addresses: ['fe80::33/64']
      unicast: {peers: ['fe80::2', 'fe80::7']}
    four:
      interface: eth0
      vrid: 53
      addresses: [192.0.2.11/24]
      unicast: {peers: [192.0.2.3]}
      per_node:
        lb1: {unicast: {peers: [192.0.2.3, 198.51.100.2]}}
";

#[test]
fn a_peer_that_is_this_host_and_an_owner_without_its_address_are_found() {
    let outcome = parse("holdfast.yaml", ADDRESSES, &Environment::new("lb1"));
    assert_eq!(outcome.render(false), "");
    let config = outcome.config.unwrap();
    let eth0 = interface("eth0", true, &["192.0.2.2/24", "192.0.2.200/24", "fe80::2/64"]);
    // The same link-local address on another link is another node's.
    let eth1 = interface("eth1", true, &["198.51.100.2/24", "fe80::7/64"]);
    let facts = Facts { interfaces: vec![eth0, eth1], ..Facts::default() };
    let found = check(&config, &outcome.source, &facts);
    let said = render(&outcome.source, &found, false);
    for (code, message, line) in [
        (Code::OwnerWithoutAddress, "this host does not have 192.0.2.10", 8),
        (Code::PeerIsSelf, "fe80::2 is this node itself", 13),
        (Code::PeerIsSelf, "198.51.100.2 is this node itself", 20),
    ] {
        let there = found.iter().any(|one| one.code == code && one.message.contains(message));
        assert!(there, "{message}: {said}");
        assert!(said.contains(&format!("holdfast.yaml:{line}:")), "line {line}: {said}");
    }
    assert_eq!(found.len(), 3, "{said}");
}

/// Everything that a check reads.
const FILES: &str = "\
node: lb1
services:
  web:
    listen: tcp 192.0.2.10:443
    forward: nat
    checks:
      - https: {tls: {ca: /tls/ca.pem, certificate: /tls/lb.pem, key: /tls/lb.key}}
      - file: {path: /run/servers/web}
    real_servers:
      web1: 10.0.0.11:443
      web2:
        address: 10.0.0.12:443
        check: {smtp: {starttls: {ca: /tls/ca.pem}}}
      db1:
        address: 10.0.0.13:443
        check: {mysql: {user: monitor, password_file: /etc/holdfast/mysql}}
      db2:
        address: 10.0.0.14:443
        check: {file: {path: \"/run/{service}/{server}\", missing: down}}
";

#[test]
fn files_of_checks_are_asked_for_and_what_is_wrong_with_them_is_said_where_they_are_named() {
    let outcome = parse("holdfast.yaml", FILES, &Environment::new("lb1"));
    assert_eq!(outcome.render(false), "");
    let config = outcome.config.unwrap();
    let authorities = CheckFile::Authorities("/tls/ca.pem".into());
    let identity = CheckFile::Identity("/tls/lb.pem".into(), "/tls/lb.key".into());
    let password = CheckFile::Password(SecretFrom::File("/etc/holdfast/mysql".into()));
    let folder = CheckFile::Folder("/run/servers".into());
    let all = [authorities, identity, password, folder];
    assert_eq!(questions(&config).check_files, BTreeSet::from(all.clone()));
    let facts = Facts {
        check_files: all.map(|file| (file, "it is not as it should be".to_owned())).into(),
        ..Facts::default()
    };
    let found = check(&config, &outcome.source, &facts);
    let said: Vec<_> = found.iter().map(ToString::to_string).collect();
    let places = [(7, "error[HF0751]"), (7, "error[HF0751]"), (8, "warning[HF0752]")];
    let places = places.into_iter().chain([(13, "error[HF0751]"), (16, "error[HF0751]")]);
    for (said, (line, code)) in said.iter().zip(places) {
        assert!(
            said.starts_with(&format!("holdfast.yaml:{line}:")) && said.contains(code),
            "{said}"
        );
    }
    assert_eq!(said.len(), 5, "{said:?}");
}

#[test]
fn secrets_outside_of_the_text_are_put_in_and_what_is_wrong_with_them_never_shows_them() {
    let text = "vrrp:
  instances:
    a: {interface: eth0, vrid: 1, version: 2, authentication: {password_file: /etc/a}, addresses: [192.0.2.10/24]}
    b: {interface: eth0, vrid: 2, version: 2, authentication: {password_credential: b}, addresses: [192.0.2.11/24]}
";
    let secrets = |a: Secret, b: Secret| {
        let (file, credential) =
            (SecretFrom::File("/etc/a".into()), SecretFrom::Credential("b".into()));
        Facts { secrets: [(file, a), (credential, b)].into(), ..sound() }
    };
    let read = |text: &str| Secret::Read(text.to_owned());
    let outcome = parse("holdfast.yaml", text, &Environment::new("lb1"));
    let mut config = outcome.config.clone().unwrap();
    assert_eq!(questions(&config).secrets.len(), 2);
    assert!(config.missing_secret().unwrap().contains("instance `a`"));
    let facts = secrets(read("hunter2"), read("hunter3"));
    assert_eq!(codes(&check(&config, &outcome.source, &facts)), Vec::<&str>::new());
    config.fill_secrets(&facts);
    let password = |name: &str| {
        let instance = config.instances.values().find(|instance| instance.name.as_str() == name);
        instance.unwrap().password.as_ref().unwrap().bytes()
    };
    assert_eq!((password("a"), password("b")), (*b"hunter2\0", *b"hunter3\0"));
    assert_eq!(config.missing_secret(), None);
    let config = outcome.config.unwrap();
    let facts = secrets(read("hunter2hunter2"), Secret::Unreadable("no such file".to_owned()));
    let found = check(&config, &outcome.source, &facts);
    assert_eq!(codes(&found), ["HF0713", "HF0713"]);
    let report = render(&outcome.source, &found, false);
    assert!(report.contains("14 bytes") && report.contains("no such file"), "{report}");
    assert!(!report.contains("hunter2"), "{report}");
    let found = check(&config, &outcome.source, &secrets(read("hunter2"), Secret::Elsewhere));
    assert_eq!(codes(&found), ["HF0714"]);
}

fn codes(found: &[Diagnostic]) -> Vec<&'static str> {
    found.iter().map(|one| one.code.as_str()).filter(|code| *code >= "HF0713").collect()
}

#[test]
fn certificates_of_the_pair_are_looked_at_on_a_node_of_it() {
    const PAIR: &str = "\
daemon:
  pair:
    nodes: {lb1: 192.0.2.2, lb2: 192.0.2.3}
    certificate: /etc/holdfast/pair/node.pem
    key_credential: pair
    ca: /etc/holdfast/pair/ca.pem
services: {}
";
    let said_to = |claimed: Claimed, node: &str, faults: &[PairFault]| {
        let outcome = parse("holdfast.yaml", PAIR, &Environment::new(node));
        let config = outcome.config.unwrap();
        let (pair, name) = questions(&config).pair.unzip();
        assert_eq!(pair.is_some(), node != "lb3", "its files are asked about");
        assert_eq!(name, pair.map(|_| node.to_owned()));
        let facts = Facts { pair: faults.to_vec(), claimed, ..Facts::default() };
        render(&outcome.source, &check(&config, &outcome.source, &facts), false)
    };
    let said = |node: &str, faults: &[PairFault]| said_to(Claimed::Nothing, node, faults);
    assert_eq!(said("lb1", &[]), "");
    let told = said("lb3", &[]);
    assert!(told.contains("warning[HF0732]") && told.contains("`lb3`"), "{told}");
    let faults = [
        PairFault::Certificate("the certificate in x is not of node `lb1`".to_owned()),
        PairFault::Authorities("read y: no such file".to_owned()),
        PairFault::NotNow("the certificate in x has expired".to_owned()),
        PairFault::Elsewhere,
    ];
    let told = said("lb1", &faults);
    assert_eq!(told.matches("error[HF0731]").count(), 2, "{told}");
    let successor = said_to(Claimed::Everything, "lb1", &faults);
    assert_eq!(successor.matches("warning[HF0734]").count(), 2, "{successor}");
    assert!(!successor.contains("error"), "a worker in a dead one's place goes on: {successor}");
    for part in ["warning[HF0733]", "warning[HF0714]", "no such file", "holdfast.yaml:5:"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}
