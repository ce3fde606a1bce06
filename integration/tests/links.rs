//! Interfaces that are no plain network card: a VLAN, a bond whose active port fails, a bridge. Each pair shares addresses of both
//! families.
//!
//! ```text
//!      ┌────── lb1 ──────┐        ┌────── lb2 ──────┐
//!      │ vrrp0           │        │           vrrp0 │     vrrp0 has the node's own addresses and the virtual ones;
//!      │  on eth0, eth1  │        │  on eth0, eth1  │     VRID 51 in each family
//!      └────────┬────────┘        └────────┬────────┘
//!      ═════════╧══════════════════════════╧════════ br0, and br1 for eth1
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use holdfast_integration::pair::{
    INSTANCES, LIMIT, VIPS, believed_mac, counter, ensure_settled, holds_none, wait_active,
    wait_count, wait_roles,
};
use holdfast_integration::{Director, Programs, config};
use holdfast_testkit::lab::{Lab, Node, Topology, VIP4, VIP6, wait_until};

/// lb1 is the better one. `more` are keys of both instances.
fn configuration(more: &str) -> String {
    let instance = |name: &str, addresses: &str| {
        format!(
            "    {name}: {{interface: vrrp0, vrid: 51, interval: 200ms, {more} addresses: [{addresses}], \
             per_node: {{lb1: {{priority: 150}}, lb2: {{priority: 100}}}}}}\n"
        )
    };
    let v4 = instance(INSTANCES[0], &format!("'{VIP4}/24'"));
    let v6 = instance(INSTANCES[1], &format!("'fe80::33/64', '{VIP6}/64'"));
    config(&(v4 + &v6), "")
}

/// Gives a node the interface `vrrp0`, made by `script`, with the addresses that `eth0` had.
fn make(node: &Node, script: &str) {
    let (v4, v6) = (node.ip4(), node.ip6());
    node.sh(&format!(
        "ip address flush dev eth0 scope global\n{script}\n\
         ip link set vrrp0 up\n\
         ip address add {v4}/24 dev vrrp0\nip address add {v6}/64 dev vrrp0 nodad"
    ))
    .unwrap();
    // A link-local address comes with the carrier.
    wait_until(LIMIT, "vrrp0 to have a link-local address", || {
        let shown = node.run(["ip", "-6", "address", "show", "dev", "vrrp0", "scope", "link"]);
        shown.ok()?.stdout.contains("fe80::").then_some(())
    })
    .unwrap();
}

/// Two directors on such an interface, lb1 Active. The daemons end before their network.
struct Links {
    lb1: Director,
    lb2: Director,
    lab: Lab,
}

fn start(topology: Topology, script: &str) -> Links {
    start_with(topology, script, "")
}

fn start_with(topology: Topology, script: &str, more: &str) -> Links {
    let lab = Lab::with(topology.webs(0)).unwrap();
    make(lab.lb1(), script);
    make(lab.lb2(), script);
    let lb1 = Director::start(lab.lb1(), &configuration(more)).unwrap();
    let lb2 = Director::start(lab.lb2(), &configuration(more)).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    Links { lb1, lb2, lab }
}

/// The Active is killed and comes back.
fn moves_there_and_back(links: &mut Links) {
    ensure_settled(&links.lb1, &links.lb2).unwrap();
    links.lb1.kill().unwrap();
    wait_active(&links.lb2).unwrap();
    links.lb1.restart().unwrap();
    wait_roles(&links.lb1, &links.lb2).unwrap();
    ensure_settled(&links.lb1, &links.lb2).unwrap();
}

const VLAN: &str = "ip link add link eth0 name vrrp0 type vlan id 7";
const BRIDGE: &str =
    "ip link add vrrp0 type bridge stp_state 0 mcast_snooping 0\nip link set eth0 master vrrp0";
const BOND: &str = "ip link add vrrp0 type bond mode active-backup miimon 20\n\
     ip link set eth0 down\nip link set eth0 master vrrp0\n\
     ip address flush dev eth1\nip link set eth1 down\nip link set eth1 master vrrp0";

/// S4 by way of what the VLAN stands on, and S4 by its own end.
#[test]
fn a_vlan_goes_down_with_the_cable_and_may_be_made_again() {
    let links = start(Topology::one_arm(), VLAN);
    links.lab.link_down(links.lab.lb1()).unwrap();
    wait_active(&links.lb2).unwrap();
    wait_fault(&links.lb1, "is down");
    links.lab.link_up(links.lab.lb1()).unwrap();
    wait_roles(&links.lb1, &links.lb2).unwrap();

    links.lab.lb1().run(["ip", "link", "delete", "vrrp0"]).unwrap();
    wait_active(&links.lb2).unwrap();
    wait_fault(&links.lb1, "there is no interface vrrp0");
    make(links.lab.lb1(), VLAN);
    wait_roles(&links.lb1, &links.lb2).unwrap();
    ensure_settled(&links.lb1, &links.lb2).unwrap();
}

#[test]
fn a_bridge_with_a_port_is_an_interface_like_others() {
    let mut links = start(Topology::one_arm(), BRIDGE);
    moves_there_and_back(&mut links);
}

/// A bridge whose only port has lost its carrier has none itself.
#[test]
fn a_bridge_goes_down_with_its_only_port() {
    let links = start(Topology::one_arm(), BRIDGE);
    links.lab.link_down(links.lab.lb1()).unwrap();
    wait_active(&links.lb2).unwrap();
    wait_fault(&links.lb1, "is down");
    wait_until(LIMIT, "the addresses to go", || holds_none(links.lab.lb1()).unwrap().then_some(()))
        .unwrap();
    links.lab.link_up(links.lab.lb1()).unwrap();
    wait_roles(&links.lb1, &links.lb2).unwrap();
}

/// The other director hears the Active by its other port. Nothing changes, on either side.
#[test]
fn a_bond_whose_active_port_fails_goes_on() {
    let links = start(Topology::nat(), BOND);
    // Both networks are one, as two switches with a link between them are.
    links.lab.join_networks().unwrap();
    ensure_settled(&links.lb1, &links.lb2).unwrap();
    let node = links.lab.lb1();
    for port in ["eth1", "eth0"] {
        let lost = if port == "eth1" { "eth0" } else { "eth1" };
        let before = counter(&links.lb2, "v4", "advertisements_received").unwrap();
        node.run(["ip", "link", "set", lost, "down"]).unwrap();
        wait_until(LIMIT, &format!("{port} to carry the bond"), || {
            let active = node.run(["cat", "/sys/class/net/vrrp0/bonding/active_slave"]).ok()?;
            (active.stdout.trim() == port).then_some(())
        })
        .unwrap();
        wait_count(&links.lb2, "v4", "advertisements_received", 10).unwrap();
        assert!(counter(&links.lb2, "v4", "advertisements_received").unwrap() > before);
        ensure_settled(&links.lb1, &links.lb2).unwrap();
        node.run(["ip", "link", "set", lost, "up"]).unwrap();
        // The bond looks at its ports now and then: before it has seen this one it must not lose the other.
        wait_until(LIMIT, &format!("{lost} to be up for the bond"), || {
            let status = format!("/sys/class/net/{lost}/bonding_slave/mii_status");
            (node.run(["cat", &status]).ok()?.stdout.trim() == "up").then_some(())
        })
        .unwrap();
    }
    for name in INSTANCES {
        assert_eq!(counter(&links.lb1, name, "became_active").unwrap(), 1, "{name}");
        assert_eq!(counter(&links.lb2, name, "became_active").unwrap(), 0, "{name}");
    }
}

/// What a port receives is its master's: the instances there are in fault, as long as it is one, and the other director takes over. The
/// same at a start, with a word for who wrote it.
#[test]
fn an_interface_that_becomes_a_port_is_a_fault_and_recovers() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let on_eth0 = configuration("").replace("vrrp0", "eth0");
    let lb1 = Director::start(lab.lb1(), &on_eth0).unwrap();
    let lb2 = Director::start(lab.lb2(), &on_eth0).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    let node = lab.lb1();
    let program = Programs::find().unwrap().holdfast;
    for (kind, make) in [
        (
            "bridge",
            "ip link add name upper type bridge; ip link set upper up; ip link set eth0 master upper",
        ),
        // A bond takes an interface that is down.
        (
            "bond",
            "ip link add upper type bond mode active-backup; ip link set eth0 down; ip link set eth0 master upper; ip link set upper up; ip link set eth0 up",
        ),
    ] {
        node.sh(make).unwrap();
        wait_fault(&lb1, &format!("interface eth0 is a port of the {kind} upper"));
        wait_active(&lb2).unwrap();
        wait_until(LIMIT, "the addresses to go", || holds_none(node).unwrap().then_some(()))
            .unwrap();
        let file = node.folder().join("holdfast.yaml");
        let argv = [program.as_os_str(), "check".as_ref(), file.as_os_str()];
        let checked =
            node.try_run(argv.into_iter().chain(["--node", "lb1"].map(AsRef::as_ref))).unwrap();
        assert_eq!(checked.code, 0, "{checked:?}");
        let said = checked.stderr + &checked.stdout;
        for part in [
            format!("warning[HF0717]: the interface `eth0` is a port of the {kind} `upper`"),
            "use `upper`".to_owned(),
        ] {
            assert!(said.contains(&part), "{part:?} in {said}");
        }
        node.sh("ip link set eth0 nomaster; ip link set eth0 up; ip link delete upper").unwrap();
        let (v4, v6) = (node.ip4(), node.ip6());
        node.sh(&format!(
            "ip address replace {v4}/24 dev eth0; ip address replace {v6}/64 dev eth0 nodad"
        ))
        .unwrap();
        wait_roles(&lb1, &lb2).unwrap();
        ensure_settled(&lb1, &lb2).unwrap();
    }
}

/// An interface in a VRF receives as before, and is no port.
#[test]
fn an_interface_in_a_vrf_is_no_port() {
    let lab = Lab::with(Topology::one_arm().webs(0)).unwrap();
    let node = lab.lb1();
    node.sh(
        "ip link add blue type vrf table 77; ip link set blue up; ip link set eth0 master blue",
    )
    .unwrap();
    let (v4, v6) = (node.ip4(), node.ip6());
    node.sh(&format!(
        "ip address replace {v4}/24 dev eth0; ip address replace {v6}/64 dev eth0 nodad"
    ))
    .unwrap();
    let on_eth0 = configuration("").replace("vrrp0", "eth0");
    let lb1 = Director::start(node, &on_eth0).unwrap();
    wait_active(&lb1).unwrap();
}

/// How long somebody who asks for an address waits for it.
const TURN: Duration = Duration::from_millis(300);

const VIRTUAL_MAC: &str = "virtual_mac: true,";

/// Where lb2, on the same link, finds the virtual addresses.
fn wait_found_at_virtual_macs(links: &Links) {
    let asks = links.lab.lb2();
    for (vip, mac) in VIPS.into_iter().zip(["00:00:5e:00:01:33", "00:00:5e:00:02:33"]) {
        wait_until(LIMIT, &format!("{vip} to be found at {mac}"), || {
            let at = SocketAddr::new(vip, 9);
            let _refused = asks.enter(|| TcpStream::connect_timeout(&at, TURN)).ok()?;
            (believed_mac(asks, vip).ok()?.as_deref() == Some(mac)).then_some(())
        })
        .unwrap();
    }
}

/// RFC 9568 §7.3 on a VLAN: the macvlan stands on it, and comes and goes with it.
#[test]
fn a_virtual_mac_address_on_a_vlan_is_found_moves_and_fails_with_its_parent() {
    let mut links = start_with(Topology::one_arm(), VLAN, VIRTUAL_MAC);
    wait_found_at_virtual_macs(&links);
    moves_there_and_back(&mut links);
    wait_found_at_virtual_macs(&links);
    links.lab.lb1().run(["ip", "link", "delete", "vrrp0"]).unwrap();
    wait_active(&links.lb2).unwrap();
    wait_fault(&links.lb1, "there is no interface vrrp0");
    make(links.lab.lb1(), VLAN);
    wait_roles(&links.lb1, &links.lb2).unwrap();
    wait_found_at_virtual_macs(&links);
}

/// And on a bond: a failing port changes nothing, and the addresses stay at their MAC address.
#[test]
fn a_virtual_mac_address_on_a_bond_is_found_by_either_port() {
    let mut links = start_with(Topology::nat(), BOND, VIRTUAL_MAC);
    links.lab.join_networks().unwrap();
    wait_found_at_virtual_macs(&links);
    moves_there_and_back(&mut links);
    links.lab.lb1().run(["ip", "link", "set", "eth0", "down"]).unwrap();
    ensure_settled(&links.lb1, &links.lb2).unwrap();
    links.lab.lb2().run(["ip", "neighbour", "flush", "dev", "vrrp0"]).unwrap();
    wait_found_at_virtual_macs(&links);
    assert_eq!(counter(&links.lb2, "v4", "became_active").unwrap(), 1, "the kill, and no other");
}

fn wait_fault(director: &Director, fault: &str) {
    wait_until(LIMIT, &format!("the fault {fault:?}"), || {
        let faults = director.status().ok()?.vrrp.into_iter().map(|instance| instance.fault);
        let mut faults = faults.map(Option::unwrap_or_default);
        faults.all(|found| found.contains(fault)).then_some(())
    })
    .unwrap();
}
