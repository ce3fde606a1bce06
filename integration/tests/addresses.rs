//! What becomes of addresses: an owner's own, many at once, another Ethernet address, and a start that fails.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use holdfast_integration::pair::{
    LIMIT, Pair, Roles, VIPS, believed_mac, lab, wait_backup, wait_believed, wait_count,
    wait_served_by,
};
use holdfast_integration::{Director, Programs, config};
use holdfast_testkit::lab::{Node, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The owner of an address (priority 255) has it whether the daemon runs or not; what the daemon added leaves with it.
#[test]
fn an_owner_keeps_its_own_address_when_the_daemon_stops() {
    let lab = lab().unwrap();
    let own = lab.lb1().ip4();
    let vrrp = format!(
        "    own: {{interface: eth0, vrid: 7, priority: 255, interval: 200ms, addresses: [{own}/24, 10.77.0.10/24]}}\n"
    );
    let mut lb1 = Director::start(lab.lb1(), &config(&vrrp, "")).unwrap();
    wait_held(&lb1);
    assert!(has(lab.lb1(), [10, 77, 0, 10]));
    lb1.stop().unwrap();
    assert!(lab.lb1().has_address(own.into()).unwrap(), "its own");
    assert!(!has(lab.lb1(), [10, 77, 0, 10]), "what was added");
}

/// The neighbours know the old Ethernet address until they are told.
#[test]
fn another_mac_address_of_an_actives_interface_is_announced() {
    let pair = Pair::start(&Roles::LB1_FIRST).unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    wait_believed(pair.lab.client(), pair.lab.lb1()).unwrap();
    pair.lab.lb1().sh("ip link set eth0 address 02:00:5e:00:53:01").unwrap();
    for vip in VIPS {
        wait_until(LIMIT, "the client to have learned the new address", || {
            let believed = believed_mac(pair.lab.client(), vip).ok()?;
            (believed.as_deref() == Some("02:00:5e:00:53:01")).then_some(())
        })
        .unwrap();
    }
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
}

/// Many instances on four interfaces become Active and stop at once, and each has its addresses and gives them back.
#[test]
fn hundreds_of_instances_have_their_addresses_and_give_them_back() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    let (interfaces, each) = (4, instances() / 4);
    let mut vrrp = String::new();
    for interface in 0..interfaces {
        node.sh(&format!(
            "ip link add many{interface} type veth peer name far{interface} && ip link set many{interface} up && ip link set far{interface} up && ip address add 10.{}.0.1/16 dev many{interface}",
            100 + interface
        ))
        .unwrap();
        for vrid in 1..=each {
            writeln!(
                vrrp,
                "    i{interface}-{vrid}: {{interface: many{interface}, vrid: {vrid}, interval: 1s, addresses: [10.{}.1.{vrid}/32]}}",
                100 + interface
            )
            .unwrap();
        }
    }
    let mut lb1 = Director::start(node, &config(&vrrp, "")).unwrap();
    wait_until(LIMIT, "all instances to be Active and hold their addresses", || {
        let vrrp = lb1.status().ok()?.vrrp;
        let all = vrrp.iter().all(|one| one.state == "active" && one.holds_addresses);
        (all && vrrp.len() == interfaces * each).then_some(())
    })
    .unwrap();
    assert_eq!(virtual_addresses(node), interfaces * each);
    assert!(
        lb1.status().unwrap().vrrp.iter().all(|one| one.fault.is_none() && one.transitions == 2)
    );
    lb1.stop().unwrap();
    assert_eq!(virtual_addresses(node), 0);
}

/// 255 of IPv4 in both versions, 90 of IPv6: the other node reads every one of them, and has them when its time comes.
#[test]
fn as_many_addresses_as_an_advertisement_holds_are_advertised_and_move() {
    const ALL: usize = 255 + 255 + 90;
    let lab = lab().unwrap();
    let v4 = |net: u8| (1..=255).map(|host| format!("10.{net}.0.{host}/32")).collect::<Vec<_>>();
    let v6 = (1..90).map(|host| format!("fd00:79::{host:x}/128"));
    let v6 = std::iter::once("fe80::33/64".to_owned()).chain(v6).collect::<Vec<_>>();
    let instance = |(name, version, addresses): (&str, u8, Vec<String>)| {
        let addresses = addresses.join("', '");
        format!(
            "    {name}: {{interface: eth0, vrid: 5{version}, version: {version}, interval: 1s, addresses: ['{addresses}'], \
             per_node: {{lb1: {{priority: 150}}, lb2: {{priority: 100}}}}}}\n"
        )
    };
    let all = [("v4", 3, v4(79)), ("old", 2, v4(80)), ("v6", 3, v6)];
    let config = config(&all.into_iter().map(instance).collect::<String>(), "");
    let count = |node: &Node| -> usize {
        let shown = node.run(["ip", "-oneline", "address", "show", "dev", "eth0"]).unwrap().stdout;
        let ours = [" 10.79.0.", " 10.80.0.", " fd00:79::", " fe80::33/"];
        shown.lines().filter(|line| ours.iter().any(|part| line.contains(part))).count()
    };
    let mut lb1 = Director::start(lab.lb1(), &config).unwrap();
    wait_until(LIMIT, "all addresses on lb1", || (count(lab.lb1()) == ALL).then_some(())).unwrap();
    let lb2 = Director::start(lab.lb2(), &config).unwrap();
    for name in ["v4", "old", "v6"] {
        wait_count(&lb2, name, "advertisements_received", 3).unwrap();
        let instance = lb2.instance(name).unwrap();
        assert_eq!((instance.state.as_str(), &instance.fault), ("backup", &None), "{name}");
        assert!(instance.disagreements.is_empty(), "{instance:?}");
        let discarded = instance.counters.iter().find(|(name, _)| name.starts_with("discarded"));
        assert_eq!(discarded, None, "{name}");
    }
    assert_eq!(count(lab.lb2()), 0);
    lb1.stop().unwrap();
    wait_until(LIMIT, "all addresses on lb2", || {
        (count(lab.lb2()) == ALL && count(lab.lb1()) == 0).then_some(())
    })
    .unwrap();
}

/// A killed daemon's leftover is no longer there once the instance listens, whatever the prefix was that it was left with.
#[test]
fn a_leftover_of_another_prefix_is_removed() {
    let lab = lab().unwrap();
    let left = "    v4: {interface: eth0, vrid: 51, interval: 200ms, addresses: [10.77.0.10/32]}
    v6: {interface: eth0, vrid: 51, interval: 200ms, addresses: ['fe80::33/64', 'fd00:77::10/128']}\n";
    let mut killed = Director::start(lab.lb2(), &config(left, "")).unwrap();
    wait_held(&killed);
    killed.kill().unwrap();
    assert!(has(lab.lb2(), [10, 77, 0, 10]), "a killed daemon removes nothing");
    let lb1 = Director::start(lab.lb1(), &Roles::LB1_FIRST.config()).unwrap();
    let lb2 = Director::start(lab.lb2(), &Roles::LB1_FIRST.config()).unwrap();
    wait_backup(&lb2).unwrap();
    drop(lb1);
}

/// What an Active of `instance` has on lb1 beside its address: other attributes, the other family, another interface, routes, rules.
const FULL: &str = "    full: {interface: eth0, vrid: 9, interval: 200ms, priority: 200,
      addresses: [{address: 10.77.0.10/24, label: 'eth0:vip'}, {address: 10.77.0.41/32, scope: link}],
      excluded: ['fd00:77::10/64', {address: 10.99.0.1/24, device: side0}],
      routes: [{to: 10.5.0.0/16, via: 10.77.0.4, table: 100, source: 10.77.0.10}, {to: 10.6.0.0/16, type: blackhole},
               {to: 'fd00:5::/48', via: 'fd00:77::4', mtu: 1400, advmss: 1220}, {to: 10.7.0.0/16, device: side0, metric: 7}],
      rules: [{from: 10.77.0.10/32, table: 100, priority: 50}, {from: 'fd00:77::10/128', table: 101, priority: 51},
              {not: true, ipproto: tcp, sport: 1024-65534, dport: 443, uidrange: 33, table: main, suppress_prefixlength: 0, priority: 52},
              {family: inet6, ipproto: udp, dport: 53, iif: side0, table: 102, priority: 53},
              {type: unreachable, from: 10.77.0.10/32, to: 10.8.0.0/16, priority: 54},
              {type: prohibit, from: 'fd00:77::10/128', mark: '0x10/0xff', priority: 55}]}
";

/// What FULL comes to, by the command that shows it and a part of what it then says.
const SHOWN: [(&str, &str); 14] = [
    ("ip -4 address show dev eth0", "inet 10.77.0.10/24 scope global secondary eth0:vip"),
    ("ip -4 address show dev eth0", "inet 10.77.0.41/32 scope link eth0"),
    ("ip -6 address show dev eth0", "inet6 fd00:77::10/64 scope global nodad deprecated"),
    ("ip -4 address show dev side0", "inet 10.99.0.1/24"),
    ("ip route show table 100 proto 233", "10.5.0.0/16 via 10.77.0.4 dev eth0 src 10.77.0.10"),
    ("ip route show proto 233", "blackhole 10.6.0.0/16"),
    (
        "ip -6 route show proto 233",
        "fd00:5::/48 via fd00:77::4 dev eth0 metric 1024 mtu 1400 advmss 1220",
    ),
    ("ip route show proto 233", "10.7.0.0/16 dev side0 scope link metric 7"),
    ("ip rule show priority 50", "from 10.77.0.10 lookup 100 proto 233"),
    ("ip -6 rule show priority 51", "from fd00:77::10 lookup 101 proto 233"),
    (
        "ip rule show priority 52",
        "not from all uidrange 33-33 ipproto tcp sport 1024-65534 dport 443 lookup main suppress_prefixlength 0 proto 233",
    ),
    ("ip -6 rule show priority 53", "from all iif side0 ipproto udp dport 53 lookup 102 proto 233"),
    ("ip rule show priority 54", "from 10.77.0.10 to 10.8.0.0/16 unreachable proto 233"),
    ("ip -6 rule show priority 55", "from fd00:77::10 fwmark 0x10/0xff prohibit proto 233"),
];

/// A second interface, `side0`.
fn add_side(node: &Node) {
    node.sh(
        "ip link add side0 type veth peer name far0 && ip link set side0 up && ip link set far0 up",
    )
    .unwrap();
}

fn shows(node: &Node, (command, part): (&str, &str)) -> bool {
    node.sh(command).is_ok_and(|shown| shown.stdout.contains(part))
}

fn wait_shown(node: &Node) {
    for shown in SHOWN {
        wait_until(LIMIT, shown.1, || shows(node, shown).then_some(())).unwrap();
    }
}

fn wait_not_shown(node: &Node) {
    for shown in SHOWN {
        wait_until(LIMIT, &format!("no {}", shown.1), || (!shows(node, shown)).then_some(()))
            .unwrap();
    }
}

/// Everything comes with the Active, with its attributes, and goes with it.
#[test]
fn addresses_of_all_kinds_routes_and_rules_come_and_go_with_the_active() {
    let lab = lab().unwrap();
    add_side(lab.lb1());
    let mut lb1 = Director::start(lab.lb1(), &config(FULL, "")).unwrap();
    wait_shown(lab.lb1());
    wait_held(&lb1);
    assert_eq!(lb1.instance("full").unwrap().fault, None);
    lb1.stop().unwrap();
    assert!(SHOWN.iter().all(|shown| !shows(lab.lb1(), *shown)));
}

/// Whatever somebody takes away is put back, and the instance stays Active.
#[test]
fn addresses_routes_and_rules_that_somebody_deletes_are_put_back() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    add_side(node);
    let lb1 = Director::start(node, &config(FULL, "")).unwrap();
    wait_shown(node);
    wait_held(&lb1);
    let transitions = lb1.instance("full").unwrap().transitions;
    for delete in [
        "ip address del 10.77.0.10/24 dev eth0",
        "ip address del fd00:77::10/64 dev eth0",
        "ip address flush dev side0 || true",
        "ip route del 10.5.0.0/16 table 100 proto 233",
        "ip route flush proto 233",
        "ip -6 route del fd00:5::/48 proto 233",
        "ip rule del priority 50",
        "ip -6 rule del priority 51",
        "ip rule del priority 52 && ip rule del priority 54",
        "ip -6 rule del priority 53 && ip -6 rule del priority 55",
        "ip link set side0 down && ip link set side0 up",
        "ip link del side0 && ip link add side0 type veth peer name far0 && ip link set side0 up && ip link set far0 up",
    ] {
        node.sh(delete).unwrap();
        wait_shown(node);
    }
    wait_held(&lb1);
    assert_eq!(lb1.instance("full").unwrap().transitions, transitions);
}

/// A killed daemon leaves everything; the next one may have quite another configuration.
#[test]
fn leftovers_of_another_configuration_are_removed_after_a_kill() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    add_side(node);
    node.sh("ip address add 10.98.0.1/24 dev side0").unwrap();
    node.sh("ip route add 10.8.0.0/16 dev side0 && ip rule add priority 60 table 100").unwrap();
    let mut lb1 = Director::start(node, &config(FULL, "")).unwrap();
    wait_shown(node);
    lb1.kill().unwrap();
    assert!(shows(node, SHOWN[0]), "a killed daemon removes nothing");
    let other =
        "    other: {interface: eth0, vrid: 10, interval: 200ms, addresses: [10.77.0.77/24]}\n";
    let lb1 = Director::start(node, &config(other, "")).unwrap();
    wait_not_shown(node);
    wait_held(&lb1);
    assert!(shows(node, ("ip address show dev side0", "10.98.0.1/24")), "what others have stays");
    assert!(shows(node, ("ip route show", "10.8.0.0/16")));
    assert!(shows(node, ("ip rule show", "60:")));
}

/// A route in the way that is somebody else's is left alone and told of, until it is gone.
#[test]
fn a_route_of_somebody_else_is_left_alone_and_is_a_fault() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    node.sh("ip route add 10.5.0.0/16 via 10.77.0.3").unwrap();
    let vrrp = "    edge: {interface: eth0, vrid: 9, interval: 200ms, addresses: [10.77.0.10/24], routes: [{to: 10.5.0.0/16, via: 10.77.0.4}]}\n";
    let lb1 = Director::start(node, &config(vrrp, "")).unwrap();
    let fault = wait_until(LIMIT, "the fault", || lb1.instance("edge").ok()?.fault).unwrap();
    assert!(fault.contains("10.5.0.0/16") && fault.contains("left alone"), "{fault}");
    assert!(shows(node, ("ip route show", "10.5.0.0/16 via 10.77.0.3")));
    node.sh("ip route del 10.5.0.0/16 via 10.77.0.3").unwrap();
    wait_until(LIMIT, "our route", || {
        shows(node, ("ip route show proto 233", "10.5.0.0/16 via 10.77.0.4")).then_some(())
    })
    .unwrap();
    wait_until(LIMIT, "no fault", || lb1.instance("edge").ok()?.fault.is_none().then_some(()))
        .unwrap();
}

/// What an owner has by itself is put back as it was, and is not the daemon's for that.
#[test]
fn an_owners_own_address_that_somebody_deletes_is_put_back_and_stays() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    node.sh("ip address add 10.77.0.66/28 dev eth0").unwrap();
    let vrrp = "    own: {interface: eth0, vrid: 7, priority: 255, interval: 200ms, addresses: [10.77.0.66/24]}\n";
    let mut lb1 = Director::start(node, &config(vrrp, "")).unwrap();
    wait_held(&lb1);
    node.sh("ip address del 10.77.0.66/28 dev eth0").unwrap();
    let there = ("ip address show dev eth0", "10.77.0.66/28");
    wait_until(LIMIT, "the owner's address", || shows(node, there).then_some(())).unwrap();
    lb1.stop().unwrap();
    assert!(shows(node, there), "its own");
}

/// Who gives an instance an address that the node has of itself is told so before anything is done to it, at a start and at a reload, and
/// by the command line in the same words.
#[test]
fn an_address_of_the_nodes_own_is_refused_and_left_alone() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    let (own4, own6) = (node.ip4(), node.ip6());
    let bad = config(
        &format!(
            "    v4: {{interface: eth0, vrid: 9, interval: 200ms, addresses: [{own4}/24]}}\n    v6: {{interface: eth0, vrid: 9, interval: 200ms, addresses: ['fe80::33/64', '{own6}/64']}}\n"
        ),
        "",
    );
    let refused = Director::refusal(node, &bad, &[]).unwrap();
    assert_eq!(refused.code, 78, "{refused:?}");
    let problems = refused.stderr.matches("error[HF0715").count();
    assert_eq!(problems, 2, "{}", refused.stderr);
    for part in [
        format!("{own4} of instance `v4` is this node's own"),
        format!("{own6} of instance `v6` is this node's own"),
        format!("`ip address del {own4}/24 dev eth0`"),
    ] {
        assert!(refused.stderr.contains(&part), "{part:?} in {}", refused.stderr);
    }
    let there = |address| node.has_address(address).unwrap();
    assert!(there(own4.into()) && there(own6.into()), "left alone");

    let good =
        "    other: {interface: eth0, vrid: 10, interval: 200ms, addresses: [10.77.0.77/24]}\n";
    let lb1 = Director::start(node, &config(good, "")).unwrap();
    wait_held(&lb1);
    node.write("holdfast.yaml", &bad).unwrap();
    for verb in ["reload", "plan"] {
        let (code, _, stderr) = lb1.try_cli(&[verb]).unwrap();
        assert_eq!(code, 78, "{verb}: {stderr}");
        assert!(stderr.contains("HF0715"), "{verb}: {stderr}");
    }
    let program = Programs::find().unwrap().holdfast;
    let file = node.folder().join("holdfast.yaml");
    let argv = [program.as_os_str(), "check".as_ref(), file.as_os_str()];
    let checked =
        node.try_run(argv.into_iter().chain(["--node", "lb1"].map(AsRef::as_ref))).unwrap();
    assert_eq!((checked.code, &checked.stderr), (78, &refused.stderr), "the same words");
    wait_held(&lb1);
    assert!(there(own4.into()) && there(own6.into()), "left alone");
}

/// What others make of a virtual address while the daemon runs keeps it neither from a reload nor from going on after a worker's death.
#[test]
fn an_address_that_lost_its_mark_is_no_reason_to_stop() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    let both = |more: &str| {
        config(
            &format!(
                "    v4: {{interface: eth0, vrid: 9, interval: 200ms, addresses: [10.77.0.10/24]{more}}}\n    v6: {{interface: eth0, vrid: 9, interval: 200ms, addresses: ['fe80::33/64', 'fd00:77::10/64']}}\n"
            ),
            "",
        )
    };
    let lb1 = Director::start_with(node, &both(""), &["--supervisor", "on"]).unwrap();
    wait_held(&lb1);
    node.sh("ip address replace 10.77.0.10/24 dev eth0; ip address replace fd00:77::10/64 dev eth0 nodad")
        .unwrap();
    assert!(!shows(
        node,
        ("ip address show dev eth0", "inet 10.77.0.10/24 scope global secondary proto 233")
    ));
    node.write("holdfast.yaml", &both(", priority: 120")).unwrap();
    lb1.cli(&["reload"]).unwrap();
    wait_held(&lb1);
    let worker = lb1.status().unwrap();
    let before = worker.daemon.faults.restarts;
    kill_worker(&lb1);
    wait_until(LIMIT, "another worker", || {
        (lb1.status().ok()?.daemon.faults.restarts > before).then_some(())
    })
    .unwrap_or_else(|error| panic!("{error}: {}", lb1.process().log_tail()));
    wait_held(&lb1);
}

/// Ends the worker under a director's supervisor.
fn kill_worker(director: &Director) {
    let pid = director.process().pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let worker = children.split_whitespace().next().unwrap().parse().unwrap();
    kill(Pid::from_raw(worker), Signal::SIGKILL).unwrap();
}

/// How many instances: as many as an allowed configuration may have, 1000; in the guest, which is ten times slower, 300.
fn instances() -> usize {
    let is_guest = std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("User Mode Linux");
    if is_guest { 300 } else { 1000 }
}

/// How many addresses of `10.x.1.0/24` the node has.
fn virtual_addresses(node: &Node) -> usize {
    let listed = node.run(["ip", "-4", "-oneline", "address"]).unwrap().stdout;
    listed.lines().filter(|line| line.contains("/32 ") && line.contains("many")).count()
}

fn has(node: &Node, address: [u8; 4]) -> bool {
    node.has_address(Ipv4Addr::from(address).into()).unwrap()
}

fn wait_held(director: &Director) {
    wait_until(LIMIT, "every instance to be Active and hold its addresses", || {
        let vrrp = director.status().ok()?.vrrp;
        vrrp.iter().all(|one| one.state == "active" && one.holds_addresses).then_some(())
    })
    .unwrap();
}
