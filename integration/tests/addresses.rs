//! What becomes of addresses: an owner's own, many at once, another Ethernet address, and a start that fails.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use holdfast_integration::pair::{
    LIMIT, Pair, Roles, VIPS, believed_mac, lab, wait_backup, wait_believed, wait_served_by,
};
use holdfast_integration::{Director, config};
use holdfast_testkit::lab::{Node, wait_until};

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

/// A leftover is no longer there once the instance listens, whatever the prefix was that it was left with.
#[test]
fn a_leftover_of_another_prefix_is_removed() {
    let lab = lab().unwrap();
    let lb1 = Director::start(lab.lb1(), &Roles::LB1_FIRST.config()).unwrap();
    lab.lb2().sh("ip address add 10.77.0.10/32 dev eth0").unwrap();
    let lb2 = Director::start(lab.lb2(), &Roles::LB1_FIRST.config()).unwrap();
    wait_backup(&lb2).unwrap();
    drop(lb1);
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
