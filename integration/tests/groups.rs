//! Sync groups: a gateway between two LANs, whose outside and inside addresses of both families are on one node or on the other.
//!
//! ```text
//!  ════════╤══════════════════════╤═══════ br0    outside4: 10.77.0.10   outside6: fe80::33, fd00:77::10
//!  ┌───────┴───────┐      ┌───────┴───────┐
//!  │ lb1: 150      │      │ lb2: 100      │       group gateway: all four
//!  └───────┬───────┘      └───────┬───────┘
//!  ════════╧══════════════════════╧═══════ br1    inside4: 10.78.0.10    inside6: fe80::44, fd00:78::10
//! ```

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::fs;
use std::path::Path;
use std::process::Command;

use holdfast_integration::Director;
use holdfast_integration::duo::{Duo, wait_all, wait_fault, wait_priority, wait_status};
use holdfast_testkit::lab::{INNER_VIP4, INNER_VIP6, Lab, Node, Topology, VIP4, VIP6};

const MEMBERS: [&str; 4] = ["inside4", "inside6", "outside4", "outside6"];

/// The gateway. `group` has further keys of the group, `inside4` of that instance, `vrrp` of all.
fn config(vrrp: &str, group: &str, inside4: &str) -> String {
    let nodes = "per_node: {lb1: {priority: 150}, lb2: {priority: 100}}";
    let instance = |name: &str, keys: &str, addresses: &str| {
        format!("    {name}: {{interval: 200ms, {keys}, addresses: [{addresses}], {nodes}}}\n")
    };
    let instances = [
        instance("outside4", "interface: eth0, vrid: 51", &format!("{VIP4}/24")),
        instance("outside6", "interface: eth0, vrid: 51", &format!("'fe80::33/64', '{VIP6}/64'")),
        instance(
            "inside4",
            &format!("interface: eth1, vrid: 52{inside4}"),
            &format!("{INNER_VIP4}/24"),
        ),
        instance(
            "inside6",
            "interface: eth1, vrid: 52",
            &format!("'fe80::44/64', '{INNER_VIP6}/64'"),
        ),
    ]
    .concat();
    let members = MEMBERS.join(", ");
    format!(
        "vrrp:\n{vrrp}  groups:\n    gateway: {{instances: [{members}]{group}}}\n  instances:\n{instances}"
    )
}

fn lab() -> Lab {
    Lab::with(Topology::nat().webs(0)).unwrap()
}

fn gateway() -> Duo {
    Duo::start(lab(), &config("", "", "")).unwrap()
}

/// Pulls the cable out of a node's link, or puts it back.
fn cable(lab: &Lab, node: &Node, inner: bool, state: &str) {
    let port = if inner { format!("{}-in", node.name()) } else { node.name().to_owned() };
    let bridges = format!("{}-lan", lab.id());
    let mut command = Command::new("ip");
    command.args(["-n", &bridges, "link", "set", &port, state]);
    assert!(command.status().unwrap().success());
}

fn group_state(director: &Director) -> String {
    let groups = director.status().unwrap().groups;
    let [group] = groups.as_slice() else { panic!("{groups:?}") };
    assert_eq!(group.name, "gateway");
    assert_eq!(group.instances, MEMBERS);
    group.state.clone()
}

fn wait_group(director: &Director, state: &str) {
    wait_status(director, &format!("the group is {state}"), |status| {
        status.groups.iter().all(|group| group.state == state)
    })
    .unwrap();
}

#[test]
fn members_move_together_when_one_link_fails_and_when_it_is_back() {
    let duo = gateway();
    duo.wait_lb1().unwrap();
    assert_eq!((group_state(&duo.lb1), group_state(&duo.lb2)), ("active".into(), "backup".into()));
    duo.ensure_at_rest(&duo.lb1).unwrap();
    for inner in [true, false] {
        let (link, broken) = if inner { ("eth1", "inside") } else { ("eth0", "outside") };
        cable(&duo.lab, duo.lab.lb1(), inner, "down");
        wait_all(&duo.lb2, "active").unwrap();
        wait_fault(&duo.lb1, &format!("{link} is down")).unwrap();
        for name in MEMBERS.into_iter().filter(|name| !name.starts_with(broken)) {
            let fault = duo.lb1.instance(name).unwrap().fault.unwrap();
            let by = format!("sync group `gateway`: instance `{broken}");
            assert!(fault.starts_with(&by), "{name}: {fault}");
        }
        wait_group(&duo.lb1, "fault");
        wait_group(&duo.lb2, "active");
        duo.ensure_at_rest(&duo.lb2).unwrap();
        cable(&duo.lab, duo.lab.lb1(), inner, "up");
        duo.wait_lb1().unwrap();
        wait_group(&duo.lb1, "active");
        wait_group(&duo.lb2, "backup");
        duo.ensure_at_rest(&duo.lb1).unwrap();
    }
}

/// An entry without a weight is one member's fault, which keeps all out; the group's own weight counts for each.
#[test]
fn what_one_member_tracks_and_what_the_group_tracks_moves_all() {
    let lab = lab();
    let paths: Vec<_> = [lab.lb1(), lab.lb2()]
        .map(|node| [node.write("broken", "0").unwrap(), node.write("worse", "0").unwrap()])
        .into();
    let trackers = |paths: &[std::path::PathBuf; 2]| {
        let [broken, worse] = paths;
        let vrrp = format!(
            "  trackers:\n    broken: {{file: {{path: {}}}}}\n    worse: {{file: {{path: {}}}}}\n",
            broken.display(),
            worse.display()
        );
        config(&vrrp, ", track: [{tracker: worse, weight: -1}]", ", track: [broken]")
    };
    let lb1 = Director::start(lab.lb1(), &trackers(&paths[0])).unwrap();
    let lb2 = Director::start(lab.lb2(), &trackers(&paths[1])).unwrap();
    let duo = Duo { lb1, lb2, lab };
    duo.wait_lb1().unwrap();
    let write = |path: &Path, number: &str| fs::write(path, number).unwrap();

    write(&paths[0][0], "1");
    wait_all(&duo.lb2, "active").unwrap();
    wait_fault(&duo.lb1, "broken").unwrap();
    duo.ensure_at_rest(&duo.lb2).unwrap();
    write(&paths[0][0], "0");
    duo.wait_lb1().unwrap();

    write(&paths[0][1], "60");
    duo.wait_lb2().unwrap();
    wait_priority(&duo.lb1, 90, &[("worse", -60)]).unwrap();
    duo.ensure_at_rest(&duo.lb2).unwrap();
    write(&paths[1][1], "60");
    duo.wait_lb1().unwrap();
    wait_priority(&duo.lb2, 40, &[("worse", -60)]).unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
}

#[test]
fn a_group_is_released_resumed_and_failed_over_by_its_name_and_by_a_members() {
    let duo = gateway();
    duo.wait_lb1().unwrap();
    for name in ["gateway", "inside6"] {
        let said = duo.lb1.cli(&["vrrp", "release", name, "--wait", "20s"]).unwrap();
        assert!(MEMBERS.iter().all(|member| said.contains(member)), "{said}");
        duo.wait_lb2().unwrap();
        assert!(duo.lb1.status().unwrap().vrrp.iter().all(|one| one.released));
        duo.ensure_at_rest(&duo.lb2).unwrap();
        duo.lb1.cli(&["vrrp", "resume", name]).unwrap();
        duo.wait_lb1().unwrap();
        assert!(duo.lb1.status().unwrap().vrrp.iter().all(|one| !one.released));
    }
    duo.lb1.cli(&["vrrp", "failover", "outside4", "--wait", "20s"]).unwrap();
    duo.wait_lb2().unwrap();
    // It has given its role away, and leaves it to lb2 for as long as that has it.
    duo.ensure_at_rest(&duo.lb2).unwrap();
    duo.lb2.cli(&["vrrp", "failover", "gateway", "--wait", "20s"]).unwrap();
    duo.wait_lb1().unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
}

/// The released node is the last choice, and one all the same.
#[test]
fn a_released_group_takes_over_when_the_other_node_dies() {
    let mut duo = gateway();
    duo.wait_lb1().unwrap();
    duo.lb1.cli(&["vrrp", "release", "gateway", "--wait", "20s"]).unwrap();
    duo.wait_lb2().unwrap();
    duo.lb2.kill().unwrap();
    wait_all(&duo.lb1, "active").unwrap();
    duo.lb2.restart().unwrap();
    duo.wait_lb2().unwrap();
    duo.ensure_at_rest(&duo.lb2).unwrap();
}

#[test]
fn a_crash_and_a_stop_move_all_and_all_come_back() {
    let mut duo = gateway();
    duo.wait_lb1().unwrap();
    duo.lb1.kill().unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    duo.lb1.restart().unwrap();
    duo.wait_lb1().unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
    duo.lb1.stop().unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    duo.lb1.restart().unwrap();
    duo.wait_lb1().unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
}

/// As long as they hear each other on the other LAN, an Active's silence on one moves nothing.
#[test]
fn a_lan_that_is_cut_between_the_nodes_moves_nothing() {
    let duo = gateway();
    duo.wait_lb1().unwrap();
    duo.lab.isolate(&[duo.lab.lb1(), duo.lab.lb2()]).unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
    duo.lab.join(&[duo.lab.lb1(), duo.lab.lb2()]).unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
    duo.wait_lb1().unwrap();
}
