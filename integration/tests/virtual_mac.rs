//! Virtual MAC addresses and Accept_Mode on a real kernel; with keepalived as the other node see `keepalived/`. The network is [`holdfast_integration::pair`]'s; each instance has an
//! interface of its own on eth0, `vrrp4.51` and `vrrp6.51`, that is up while the node is the Active.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "in a test a panic is the failure, and says where"
)]

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use holdfast_integration::duo::wait_fault;
use holdfast_integration::pair::{
    INSTANCES, LIMIT, Pair, Roles, VIPS, believed_mac, ensure_settled, faultless, holds_all,
    holds_none, lab, wait_active, wait_backup, wait_roles, wait_served_by,
};
use holdfast_integration::tap::Tap;
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Lab, Node, VIP4, VIP6, wait_until};

const VIRTUAL: Roles<'_> = Roles {
    interval: "200ms",
    lb1: "priority: 150, virtual_mac: true",
    lb2: "priority: 100, virtual_mac: true",
};

/// As [`VIRTUAL`], without.
const PLAIN: Roles<'_> = Roles::LB1_FIRST;

/// The virtual MAC addresses of VRID 51 (RFC 9568 §7.3), in the order of the virtual addresses.
const MACS: [&str; 2] = ["00:00:5e:00:01:33", "00:00:5e:00:02:33"];
const INTERFACES: [&str; 2] = ["vrrp4.51", "vrrp6.51"];

/// Whether an interface of the node is there, and whether it is up.
fn is_up(node: &Node, interface: &str) -> Option<bool> {
    let shown = node.try_run(["ip", "-oneline", "link", "show", interface]).unwrap();
    let flags = shown.stdout.split(['<', '>']).nth(1)?.to_owned();
    Some(flags.split(',').any(|flag| flag == "UP"))
}

fn wait_interfaces(node: &Node, up: Option<bool>) {
    for interface in INTERFACES {
        wait_until(LIMIT, &format!("{interface} on {} to be {up:?}", node.name()), || {
            (is_up(node, interface) == up).then_some(())
        })
        .unwrap();
    }
}

fn arp_sysctls(node: &Node) -> [String; 2] {
    ["arp_ignore", "arp_announce"].map(|name| {
        let path = format!("/proc/sys/net/ipv4/conf/eth0/{name}");
        node.enter(|| std::fs::read_to_string(path)).unwrap().unwrap().trim().to_owned()
    })
}

/// Whom the client believes the addresses to be at.
fn believed(client: &Node) -> Vec<Option<String>> {
    VIPS.iter().map(|vip| believed_mac(client, *vip).unwrap()).collect()
}

fn virtual_macs() -> Vec<Option<String>> {
    MACS.iter().map(|mac| Some((*mac).to_owned())).collect()
}

/// Ethernet sources, and the Ethernet addresses that ARP and Neighbor Discovery tell for virtual addresses.
#[derive(Clone, Debug, Default)]
struct Sources {
    advertisements: BTreeSet<String>,
    told: BTreeSet<String>,
    /// Whether Neighbor Advertisements say that they come from a router.
    routers: BTreeSet<bool>,
}

impl Sources {
    fn take(&mut self, frame: &[u8]) {
        let source = mac(&frame[6..12]);
        match frame[12..14] {
            [0x08, 0x00] if frame[23] == 112 => drop(self.advertisements.insert(source)),
            [0x86, 0xdd] if frame[20] == 112 => drop(self.advertisements.insert(source)),
            // ARP: the sender's hardware and protocol addresses.
            [0x08, 0x06] if frame[28..32] == VIP4.octets() => {
                self.told.extend([source, mac(&frame[22..28])]);
            }
            [0x86, 0xdd] if frame[20] == 58 && frame.len() >= 86 => self.take_discovery(frame),
            _ => {}
        }
    }

    /// A Neighbor Advertisement for a virtual address, or a Neighbor Solicitation from one: its option is the address's.
    fn take_discovery(&mut self, frame: &[u8]) {
        let advertised = frame[54] == 136 && frame[62..78] == VIP6.octets();
        let asked = frame[54] == 135 && frame[22..38] == VIP6.octets();
        if advertised {
            self.routers.insert(frame[58] & 0x80 != 0);
        }
        if advertised || asked {
            self.told.extend([mac(&frame[6..12]), mac(&frame[80..86])]);
        }
    }
}

fn mac(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect::<Vec<_>>().join(":")
}

/// RFC 9568 §7.2, §8.1.2, §8.2.2: advertisements, ARP and Neighbor Discovery have the virtual MAC address, whoever is the Active, and
/// no client has to learn anything when the role moves; the switch does.
#[test]
fn only_the_virtual_mac_address_is_seen_and_a_failover_changes_nothing_for_clients() {
    let mut pair = Pair::start(&VIRTUAL).unwrap();
    pair.wait_lb1().unwrap();
    let tap = Tap::start(pair.lab.client()).unwrap();
    pair.lab.client().run(["ip", "neighbour", "flush", "dev", "eth0"]).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    assert_eq!(believed(pair.lab.client()), virtual_macs(), "asked for by ARP and ND");
    wait_interfaces(pair.lab.lb1(), Some(true));
    wait_interfaces(pair.lab.lb2(), Some(false));
    faultless(&pair.lb1).unwrap();
    faultless(&pair.lb2).unwrap();
    ensure_settled(&pair.lb1, &pair.lb2).unwrap();

    pair.lb1.kill().unwrap();
    wait_active(&pair.lb2).unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb2()).unwrap();
    assert_eq!(believed(pair.lab.client()), virtual_macs());
    wait_interfaces(pair.lab.lb2(), Some(true));

    // With preemption back to lb1, which finds what it has left.
    pair.lb1.restart().unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), pair.lab.lb1()).unwrap();
    wait_interfaces(pair.lab.lb2(), Some(false));
    assert_eq!(believed(pair.lab.client()), virtual_macs());

    pair.lb1.stop().unwrap();
    wait_active(&pair.lb2).unwrap();
    wait_interfaces(pair.lab.lb1(), None);
    wait_served_by(pair.lab.client(), pair.lab.lb2()).unwrap();

    let mut sources = Sources::default();
    tap.frames().iter().for_each(|frame| sources.take(frame.bytes()));
    let expected: BTreeSet<String> = MACS.map(str::to_owned).into();
    assert_eq!(sources.advertisements, expected);
    assert_eq!(sources.told, expected);
    assert_eq!(sources.routers, BTreeSet::from([true]), "R is set (RFC 9568 §6.4.3)");
}

/// Two Actives send from the same MAC address, and hear each other nevertheless.
#[test]
fn a_healed_split_ends_with_one_active() {
    let lab = lab().unwrap();
    lab.isolate(&[lab.lb1(), lab.lb2()]).unwrap();
    let lb1 = Director::start(lab.lb1(), &VIRTUAL.config()).unwrap();
    let lb2 = Director::start(lab.lb2(), &VIRTUAL.config()).unwrap();
    wait_active(&lb1).unwrap();
    wait_active(&lb2).unwrap();
    wait_interfaces(lab.lb1(), Some(true));
    wait_interfaces(lab.lb2(), Some(true));
    lab.join(&[lab.lb1(), lab.lb2()]).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    wait_interfaces(lab.lb2(), Some(false));
    ensure_settled(&lb1, &lb2).unwrap();
}

#[test]
fn interfaces_and_sysctls_go_at_the_stop_and_after_a_kill_at_the_next_start() {
    let lab = lab().unwrap();
    let before = arp_sysctls(lab.lb1());
    let needed = ["1", "2"].map(str::to_owned);
    let mut lb1 = Director::start(lab.lb1(), &VIRTUAL.config()).unwrap();
    wait_active(&lb1).unwrap();
    assert_eq!(arp_sysctls(lab.lb1()), needed);
    lb1.stop().unwrap();
    assert_eq!(arp_sysctls(lab.lb1()), before);
    wait_interfaces(lab.lb1(), None);

    lb1.restart().unwrap();
    wait_active(&lb1).unwrap();
    lb1.kill().unwrap();
    assert_eq!(arp_sysctls(lab.lb1()), needed, "kill -9 leaves them");
    wait_interfaces(lab.lb1(), Some(true));

    // The next one has no virtual MAC address in its configuration.
    let mut plain = Director::start(lab.lb1(), &PLAIN.config()).unwrap();
    wait_active(&plain).unwrap();
    wait_interfaces(lab.lb1(), None);
    assert_eq!(arp_sysctls(lab.lb1()), before);
    plain.stop().unwrap();

    // And one that still needs them restores what was there before the first.
    let mut lb1 = Director::start(lab.lb1(), &VIRTUAL.config()).unwrap();
    wait_active(&lb1).unwrap();
    lb1.kill().unwrap();
    lb1.restart().unwrap();
    wait_active(&lb1).unwrap();
    lb1.stop().unwrap();
    assert_eq!(arp_sysctls(lab.lb1()), before);
}

/// What somebody does to the interfaces is undone; without the interface below there is none.
#[test]
fn an_interface_that_somebody_deletes_or_sets_down_comes_back_with_its_addresses() {
    let pair = Pair::start(&VIRTUAL).unwrap();
    pair.wait_lb1().unwrap();
    let lb1 = pair.lab.lb1();
    let before: Vec<u64> =
        INSTANCES.iter().map(|name| pair.lb1.instance(name).unwrap().transitions).collect();
    for action in [["set", "down"], ["delete", ""]] {
        for interface in INTERFACES {
            let [verb, further] = action;
            let argv = ["ip", "link", verb, "dev", interface, further];
            lb1.run(argv.iter().filter(|word| !word.is_empty())).unwrap();
        }
        wait_interfaces(lb1, Some(true));
        wait_until(LIMIT, "the addresses to be back", || holds_all(lb1).unwrap().then_some(()))
            .unwrap();
        wait_served_by(pair.lab.client(), lb1).unwrap();
    }
    for (name, before) in INSTANCES.iter().zip(before) {
        assert_eq!(pair.lb1.instance(name).unwrap().transitions, before, "{name}");
    }
    lb1.run(["ip", "link", "set", "dev", "eth0", "down"]).unwrap();
    wait_active(&pair.lb2).unwrap();
    wait_interfaces(lb1, Some(false));
    wait_until(LIMIT, "the addresses to go", || holds_none(lb1).unwrap().then_some(())).unwrap();
    lb1.run(["ip", "link", "set", "dev", "eth0", "up"]).unwrap();
    pair.wait_lb1().unwrap();
    wait_served_by(pair.lab.client(), lb1).unwrap();
}

/// A node that starts before its interface: the macvlan, its sysctls and those of the interface below come when that comes.
#[test]
fn the_interface_below_may_come_after_the_start() {
    let lab = lab().unwrap();
    let node = lab.lb1();
    node.run(["ip", "link", "set", "eth0", "down"]).unwrap();
    node.run(["ip", "link", "set", "eth0", "name", "later0"]).unwrap();
    let lb1 = Director::start(node, &VIRTUAL.config()).unwrap();
    let lb2 = Director::start(lab.lb2(), &VIRTUAL.config()).unwrap();
    wait_fault(&lb1, "there is no interface eth0").unwrap();
    wait_active(&lb2).unwrap();
    assert_eq!(INTERFACES.map(|interface| is_up(node, interface)), [None; 2]);
    node.run(["ip", "link", "set", "later0", "name", "eth0"]).unwrap();
    node.run(["ip", "link", "set", "eth0", "up"]).unwrap();
    node.run(["ip", "address", "replace", &format!("{}/64", node.ip6()), "dev", "eth0", "nodad"])
        .unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    wait_interfaces(node, Some(true));
    assert_eq!(arp_sysctls(node), ["1", "2"]);
    wait_moved(&lab, node);
}

/// Addresses belong on no interface of somebody else's, and who can't have them leaves them to the other node.
#[test]
fn an_interface_of_somebody_else_with_the_name_is_a_fault_until_it_is_gone() {
    let lab = lab().unwrap();
    for (interface, other) in INTERFACES.iter().zip(["other4", "other6"]) {
        let veth = ["ip", "link", "add", interface, "type", "veth", "peer", "name", other];
        lab.lb1().run(veth).unwrap();
    }
    let lb1 = Director::start(lab.lb1(), &VIRTUAL.config()).unwrap();
    let lb2 = Director::start(lab.lb2(), &VIRTUAL.config()).unwrap();
    wait_active(&lb2).unwrap();
    wait_fault(&lb1, "EEXIST").unwrap();
    for interface in INTERFACES {
        lab.lb1().run(["ip", "link", "delete", interface]).unwrap();
    }
    wait_active(&lb1).unwrap();
    wait_backup(&lb2).unwrap();
}

fn wait_moved(lab: &Lab, to: &Node) {
    wait_until(LIMIT, &format!("the addresses to be on {}", to.name()), || {
        let other = if to.name() == "lb1" { lab.lb2() } else { lab.lb1() };
        (holds_all(to).unwrap() && holds_none(other).unwrap()).then_some(())
    })
    .unwrap();
    lab.client().run(["ip", "neighbour", "flush", "dev", "eth0"]).unwrap();
    for (vip, mac) in VIPS.into_iter().zip(MACS) {
        wait_until(LIMIT, &format!("{vip} to be found at {mac}"), || {
            let at = SocketAddr::new(vip, 9);
            let _refused =
                lab.client().enter(|| TcpStream::connect_timeout(&at, Duration::from_millis(300)));
            (believed_mac(lab.client(), vip).unwrap().as_deref() == Some(mac)).then_some(())
        })
        .unwrap();
    }
}

/// Whether a connection to the web server at the address is answered, and how.
fn is_open(client: &Node, vip: IpAddr) -> bool {
    let at = SocketAddr::new(vip, 80);
    client.enter(|| TcpStream::connect_timeout(&at, Duration::from_millis(400)).is_ok()).unwrap()
}

/// RFC 9568 §6.4.3: who is neither the owner nor in Accept_Mode drops what comes to the addresses, but answers its neighbours.
#[test]
fn without_accept_mode_neighbours_are_answered_and_nobody_else() {
    for virtual_mac in [false, true] {
        let keys = |priority: u8, accept: bool| {
            format!("priority: {priority}, accept: {accept}, virtual_mac: {virtual_mac}")
        };
        let (lb1, lb2) = (keys(150, false), keys(100, true));
        let roles = Roles { interval: "200ms", lb1: &lb1, lb2: &lb2 };
        let mut pair = Pair::start(&roles).unwrap();
        pair.wait_lb1().unwrap();
        faultless(&pair.lb1).unwrap();
        let client = pair.lab.client();
        client.run(["ip", "neighbour", "flush", "dev", "eth0"]).unwrap();
        for vip in VIPS {
            assert!(!is_open(client, vip), "{vip}");
            wait_until(LIMIT, "the neighbour to be found", || {
                is_open(client, vip)
                    .then(|| panic!("{vip} is open"))
                    .or_else(|| believed_mac(client, vip).unwrap().map(drop))
            })
            .unwrap();
        }
        let own = IpAddr::V4(pair.lab.lb1().ip4());
        wait_until(LIMIT, "the node's own address", || is_open(client, own).then_some(())).unwrap();
        // The other one accepts, and the table goes with the daemon that made it.
        pair.lb1.stop().unwrap();
        wait_active(&pair.lb2).unwrap();
        wait_served_by(client, pair.lab.lb2()).unwrap();
        assert!(!has_table(pair.lab.lb1()));
    }
}

fn has_table(node: &Node) -> bool {
    node.run(["nft", "list", "tables"]).unwrap().stdout.contains("table inet holdfast")
}

#[test]
fn the_table_that_a_killed_daemon_has_left_is_removed_at_the_next_start() {
    let lab = lab().unwrap();
    let closed = Roles { lb1: "priority: 150, accept: false", ..PLAIN };
    let mut lb1 = Director::start(lab.lb1(), &closed.config()).unwrap();
    wait_active(&lb1).unwrap();
    lb1.kill().unwrap();
    assert!(has_table(lab.lb1()));
    let lb1 = Director::start(lab.lb1(), &PLAIN.config()).unwrap();
    wait_active(&lb1).unwrap();
    assert!(!has_table(lab.lb1()));
}

/// A firewall that is loaded anew takes the table away, and nobody tells the daemon.
#[test]
fn the_table_that_somebody_flushes_is_made_again() {
    let lab = lab().unwrap();
    let closed = Roles { lb1: "priority: 150, accept: false", ..PLAIN };
    let lb1 = Director::start(lab.lb1(), &closed.config()).unwrap();
    wait_active(&lb1).unwrap();
    wait_until(LIMIT, "the table", || has_table(lab.lb1()).then_some(())).unwrap();
    lab.lb1().run(["nft", "flush", "ruleset"]).unwrap();
    wait_until(LIMIT, "the table to be back", || has_table(lab.lb1()).then_some(())).unwrap();
    faultless(&lb1).unwrap();
}

/// The owner is always in Accept_Mode (RFC 9568 §6.1), and its addresses are at the virtual MAC address, too.
#[test]
fn an_owner_has_the_virtual_mac_address_and_accepts() {
    let lab = lab().unwrap();
    let vrrp = format!(
        "    v4: {{interface: eth0, vrid: 51, priority: 255, virtual_mac: true, addresses: [{VIP4}/24]}}\n"
    );
    let lb1 = Director::start(lab.lb1(), &config(&vrrp, "")).unwrap();
    lb1.wait_instance("v4", "active", LIMIT).unwrap();
    wait_until(LIMIT, "the owner to answer", || {
        let at = SocketAddr::new(IpAddr::V4(VIP4), 9);
        let patience = Duration::from_millis(400);
        let answer = lab.client().enter(|| TcpStream::connect_timeout(&at, patience)).unwrap();
        (answer.unwrap_err().kind() == ErrorKind::ConnectionRefused).then_some(())
    })
    .unwrap();
    assert_eq!(believed_mac(lab.client(), IpAddr::V4(VIP4)).unwrap().as_deref(), Some(MACS[0]));
}
