//! What the operator does to the roles of two healthy nodes: a later start, release, resume and failover, also over a restart. And two
//! nodes that are active at once because one does not hear the other.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]

use std::net::IpAddr;
use std::time::{Duration, Instant};

use holdfast_control::{Instance, RoleChange};
use holdfast_integration::Director;
use holdfast_integration::duo::{Duo, wait_all, wait_fault, wait_status};
use holdfast_integration::pair::{INSTANCES, LIMIT, Roles, counter, lab};
use holdfast_testkit::lab::{Lab, Node, wait_until};
use nix::sys::signal::Signal;

/// The configuration of a node with a state directory of its own, and further keys of `vrrp`.
fn config(node: &Node, roles: &Roles<'_>, vrrp: &str) -> String {
    let state = node.folder().join("state");
    let vrrp = roles.config().replacen("vrrp:\n", &format!("vrrp:\n{vrrp}"), 1);
    format!("daemon: {{state: {}}}\n{vrrp}", state.display())
}

fn start(lab: Lab, roles: &Roles<'_>) -> Duo {
    let lb1 = Director::start(lab.lb1(), &config(lab.lb1(), roles, "")).unwrap();
    let lb2 = Director::start(lab.lb2(), &config(lab.lb2(), roles, "")).unwrap();
    Duo { lb1, lb2, lab }
}

fn all_released(director: &Director) -> bool {
    director.status().unwrap().vrrp.iter().all(|instance| instance.released)
}

/// Whether a verb of `holdfast vrrp` changes anything, as its answer says.
fn changes(director: &Director, words: &[&str]) -> bool {
    let answer = director.cli(&[&["vrrp"], words, &["-o", "json"]].concat()).unwrap();
    let change: RoleChange = serde_json::from_str(&answer).unwrap();
    change.changed
}

/// Waits until a Backup has heard whom it has as its Active.
fn wait_known(director: &Director, name: &str) -> IpAddr {
    let known = || director.instance(name).ok()?.active;
    wait_until(LIMIT, &format!("the Active of {name} to be heard"), known).unwrap()
}

/// Waits until the log has said `what` so often: it may be written a moment after the status says so.
fn wait_said(director: &Director, what: &str, times: usize) {
    let said = || director.process().log().matches(what).count();
    wait_until(LIMIT, &format!("{what:?} to be logged"), || (said() >= times).then_some(()))
        .unwrap();
    assert_eq!(said(), times, "{what:?} in {}", director.process().log());
}

#[test]
fn a_startup_delay_leaves_the_role_to_who_has_it_until_it_is_over() {
    let lab = lab().unwrap();
    let roles = Roles::LB1_FIRST;
    let lb2 = Director::start(lab.lb2(), &config(lab.lb2(), &roles, "")).unwrap();
    wait_all(&lb2, "active").unwrap();
    let late = config(lab.lb1(), &roles, "  startup_delay: 8s\n");
    let begun = Instant::now();
    let lb1 = Director::start(lab.lb1(), &late).unwrap();
    wait_fault(&lb1, "startup_delay").unwrap();
    let duo = Duo { lb1, lb2, lab };
    duo.wait_lb1().unwrap();
    // A busy machine makes it later, never earlier: without the delay it takes less than a second.
    assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
}

#[test]
fn a_preempt_delay_leaves_a_lower_ranking_active_alone_for_so_long() {
    let lab = lab().unwrap();
    let roles = Roles { lb1: "priority: 150, preempt_delay: 8s", ..Roles::LB1_FIRST };
    let lb2 = Director::start(lab.lb2(), &config(lab.lb2(), &roles, "")).unwrap();
    wait_all(&lb2, "active").unwrap();
    let begun = Instant::now();
    let lb1 = Director::start(lab.lb1(), &config(lab.lb1(), &roles, "")).unwrap();
    let duo = Duo { lb1, lb2, lab };
    duo.wait_lb1().unwrap();
    // A busy machine makes it later, never earlier: without the delay it takes less than a second.
    assert!(begun.elapsed() >= Duration::from_secs(8), "{:?}", begun.elapsed());
    for name in INSTANCES {
        assert_eq!(duo.lb1.instance(name).unwrap().reason, "preempt", "{name}");
        assert_eq!(counter(&duo.lb1, name, "became_active").unwrap(), 1, "{name}");
    }
}

#[test]
fn a_release_that_is_kept_outlives_the_daemon_until_it_is_resumed() {
    let mut duo = start(lab().unwrap(), &Roles::LB1_FIRST);
    duo.wait_lb1().unwrap();
    for name in INSTANCES {
        duo.lb1.cli(&["vrrp", "release", name, "--keep", "--wait", "20s"]).unwrap();
    }
    duo.wait_lb2().unwrap();
    assert!(all_released(&duo.lb1));
    duo.ensure_at_rest(&duo.lb2).unwrap();
    // Said again without the word, it is kept all the same.
    for name in INSTANCES {
        assert!(!changes(&duo.lb1, &["release", name]));
        assert!(!changes(&duo.lb1, &["release", name, "--keep"]));
    }
    for killed in [false, true] {
        if killed {
            duo.lb1.kill().unwrap()
        } else {
            duo.lb1.stop().unwrap()
        }
        duo.lb1.restart().unwrap();
        duo.wait_lb2().unwrap();
        assert!(all_released(&duo.lb1));
        duo.ensure_at_rest(&duo.lb2).unwrap();
    }
    // It takes no role from anybody who lives, and is there when nobody does.
    duo.lb2.stop().unwrap();
    wait_all(&duo.lb1, "active").unwrap();
    duo.lb2.restart().unwrap();
    duo.wait_lb2().unwrap();
    for name in INSTANCES {
        duo.lb1.cli(&["vrrp", "resume", name]).unwrap();
    }
    duo.wait_lb1().unwrap();
    duo.lb1.stop().unwrap();
    duo.lb1.restart().unwrap();
    duo.wait_lb1().unwrap();
    assert!(!all_released(&duo.lb1), "resumed for good");
}

#[test]
fn a_release_that_is_not_kept_ends_with_the_daemon_and_says_so() {
    let mut duo = start(lab().unwrap(), &Roles::LB1_FIRST);
    duo.wait_lb1().unwrap();
    for name in INSTANCES {
        let said = duo.lb1.cli(&["vrrp", "release", name]).unwrap();
        assert!(said.contains("--keep"), "{said}");
    }
    duo.wait_lb2().unwrap();
    // That it is to be kept is news, and that it is kept is none.
    for (words, news) in [
        (&["release", "v4", "--keep"][..], [true, false]),
        (&["resume", "v4"], [true, false]),
        (&["release", "v4"], [true, false]),
    ] {
        assert_eq!([changes(&duo.lb1, words), changes(&duo.lb1, words)], news, "{words:?}");
    }
    duo.wait_lb2().unwrap();
    duo.lb1.stop().unwrap();
    duo.lb1.restart().unwrap();
    duo.wait_lb1().unwrap();
}

/// Whoever has been given the role keeps it, though the other node has the higher priority.
#[test]
fn a_failover_gives_the_role_to_the_other_node_for_as_long_as_that_lives() {
    let mut duo = start(lab().unwrap(), &Roles::LB1_FIRST);
    duo.wait_lb1().unwrap();
    for name in INSTANCES {
        duo.lb1.cli(&["vrrp", "failover", name, "--wait", "20s"]).unwrap();
    }
    duo.wait_lb2().unwrap();
    duo.ensure_at_rest(&duo.lb2).unwrap();
    assert!(!all_released(&duo.lb1));
    // Said again it is so already: the role does not come and go.
    for name in INSTANCES {
        assert!(!changes(&duo.lb1, &["failover", name]));
    }
    duo.ensure_at_rest(&duo.lb2).unwrap();
    duo.lb2.stop().unwrap();
    wait_all(&duo.lb1, "active").unwrap();
    // Everything is as configured again, and whoever loses the role takes it back.
    duo.lb2.restart().unwrap();
    duo.wait_lb1().unwrap();
    duo.ensure_at_rest(&duo.lb1).unwrap();
    duo.lb1.process().kill(Signal::SIGSTOP).unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    duo.lb1.process().kill(Signal::SIGCONT).unwrap();
    duo.wait_lb1().unwrap();
}

#[test]
fn a_failover_on_a_backup_is_refused_and_names_the_active() {
    let duo = start(lab().unwrap(), &Roles::LB1_FIRST);
    duo.wait_lb1().unwrap();
    for name in INSTANCES {
        let active = wait_known(&duo.lb2, name);
        let (code, _, said) = duo.lb2.try_cli(&["vrrp", "failover", name]).unwrap();
        assert_eq!(code, 1, "{said}");
        let sentence =
            format!("instance `{name}` is not active here: say that on the node of {active}");
        assert!(said.contains(&sentence), "{said}");
    }
    let (code, _, said) = duo.lb2.try_cli(&["vrrp", "release", "edge"]).unwrap();
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("no VRRP instance or group `edge`; there are: v4, v6"), "{said}");
    duo.ensure_at_rest(&duo.lb1).unwrap();
}

/// lb2 does not hear lb1 any more, and lb1 hears lb2: both are active, and lb1 knows.
#[test]
fn two_actives_are_seen_counted_logged_and_heal() {
    let lab = lab().unwrap();
    let http = format!("daemon: {{http: {{listen: '{}:9100'}}}}\n", lab.lb1().ip4());
    let text = Roles::LB1_FIRST.config();
    let lb1 = Director::start(lab.lb1(), &format!("{http}{text}")).unwrap();
    let lb2 = Director::start(lab.lb2(), &text).unwrap();
    let duo = Duo { lb1, lb2, lab };
    duo.wait_lb1().unwrap();
    let own: Vec<IpAddr> = INSTANCES.iter().map(|name| wait_known(&duo.lb2, name)).collect();
    duo.lab
        .lb2()
        .sh("nft 'add table inet deaf; add chain inet deaf in { type filter hook input priority 0; }; add rule inet deaf in meta l4proto 112 drop'")
        .unwrap();
    wait_all(&duo.lb2, "active").unwrap();
    let status = wait_status(&duo.lb1, "another one is active", |status| {
        status.vrrp.iter().all(|one| one.dual_active.is_some())
    })
    .unwrap();
    for (instance, own) in status.vrrp.iter().zip(&own) {
        let dual = instance.dual_active.clone().unwrap();
        assert_eq!((dual.own, dual.other_priority), (Some(*own), 100), "{instance:?}");
        let peers: Vec<IpAddr> = instance.peers.iter().map(|peer| peer.address).collect();
        assert_eq!(peers, [dual.other], "nobody else is there");
        assert!(dual.other.is_ipv6() || dual.other == duo.lab.lb2().ip4(), "{dual:?}");
        assert_eq!(instance.counters.get("dual_actives"), Some(&1));
        assert!(counter(&duo.lb1, &instance.name, "lower_priority_heard").unwrap() > 0);
    }
    // Once an instance.
    wait_said(&duo.lb1, "two nodes are active", 2);
    let metrics = |line: &str| {
        let url = format!("http://{}:9100/metrics", duo.lab.lb1().ip4());
        let text = duo.lab.client().run(["curl", "-sS", &url]).unwrap().stdout;
        let found = text.lines().filter(|found| found.starts_with("holdfast_vrrp_dual_active{"));
        assert_eq!(found.filter(|found| found.ends_with(line)).count(), 2, "{text}");
        assert!(text.contains("counter=\"dual_actives\""), "{text}");
    };
    metrics(" 1");
    assert!(duo.lb1.cli(&["vrrp", "status"]).unwrap().contains("100"));

    duo.lab.lb2().sh("nft delete table inet deaf").unwrap();
    duo.wait_lb1().unwrap();
    wait_status(&duo.lb1, "nobody else is active", |status| {
        let none = |one: &Instance| one.dual_active.is_none();
        status.vrrp.iter().all(none)
    })
    .unwrap();
    metrics(" 0");
    wait_said(&duo.lb1, "there is one active node again", 2);
    duo.ensure_at_rest(&duo.lb1).unwrap();
}
