//! A worker that is killed, hangs or dies again and again, and its supervisor: what a client and the peer notice of it (nothing, where
//! the next worker is there in time). Every test has steady questions to the virtual addresses and says how many were lost.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]
#![expect(clippy::print_stderr, reason = "what a client lost is a figure worth reading")]

use std::time::Duration;

use holdfast_integration::Director;
use holdfast_integration::pair::{
    INSTANCES, LIMIT, Roles, VIPS, counter, ensure_settled, holds_all, holds_none, lab,
    wait_active, wait_counted, wait_roles,
};
use holdfast_integration::probes::{Answers, Echo, Questions};
use holdfast_testkit::lab::{Lab, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const SECOND: Roles<'_> = Roles { interval: "1s", lb1: "priority: 150", lb2: "priority: 100" };
const TENTH: Roles<'_> = Roles { interval: "100ms", lb1: "priority: 150", lb2: "priority: 100" };

/// The time between two questions.
const PACE: Duration = Duration::from_millis(2);

/// A pair, lb1 with a supervisor and Active, whose nodes answer questions.
struct Stage {
    lb1: Director,
    lb2: Director,
    _echoes: [Echo; 2],
    lab: Lab,
}

impl Stage {
    fn set(roles: &Roles<'_>) -> Self {
        let lab = lab().unwrap();
        let lb1 =
            Director::start_with(lab.lb1(), &roles.config(), &["--supervisor", "on"]).unwrap();
        wait_active(&lb1).unwrap();
        let lb2 = Director::start(lab.lb2(), &roles.config()).unwrap();
        wait_roles(&lb1, &lb2).unwrap();
        wait_counted(&lb2, "advertisements_received", 1).unwrap();
        let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
        Self { lb1, lb2, _echoes, lab }
    }

    /// What a client is answered at both addresses all the while that `happens`.
    fn asked(&mut self, happens: impl FnOnce(&mut Self)) -> [Answers; 2] {
        let questions = VIPS.map(|vip| Questions::start(self.lab.client(), vip, PACE).unwrap());
        happens(self);
        let answers = questions.map(Questions::end);
        for (vip, answers) in VIPS.iter().zip(&answers) {
            let (lost, gap) = (answers.lost().len(), answers.longest_gap());
            eprintln!("{vip}: {lost} of {} lost, the largest gap {gap:?}", answers.asked());
        }
        answers
    }

    /// The worker of lb1.
    fn worker(&self) -> Pid {
        worker_of(&self.lb1).unwrap()
    }

    /// Waits until lb1 has another worker than `before`, which answers.
    fn wait_successor(&self, before: Pid) -> Pid {
        let next = wait_until(LIMIT, "another worker", || {
            worker_of(&self.lb1).filter(|now| *now != before && self.lb1.status().is_ok())
        });
        next.unwrap_or_else(|error| panic!("{error}: {}", self.lb1.process().log_tail()))
    }

    fn transitions_of_the_peer(&self) -> Vec<u64> {
        self.lb2.status().unwrap().vrrp.iter().map(|instance| instance.transitions).collect()
    }

    /// lb1 is Active in the place of a worker that died, and the peer has noticed nothing.
    fn ensure_unnoticed(&self, transitions: &[u64]) {
        wait_roles(&self.lb1, &self.lb2).unwrap();
        for name in INSTANCES {
            assert_eq!(
                self.lb1.instance(name).unwrap().reason,
                "inherited",
                "{}",
                self.lb1.process().log()
            );
        }
        assert_eq!(self.transitions_of_the_peer(), transitions, "the peer has noticed");
    }
}

/// The child of the director's process.
fn worker_of(director: &Director) -> Option<Pid> {
    let pid = director.process().pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

fn lost(answers: &[Answers; 2]) -> usize {
    answers.iter().map(|answers| answers.lost().len()).sum()
}

fn a_killed_worker_is_missed_by_nobody(roles: &Roles<'_>) {
    let mut stage = Stage::set(roles);
    let transitions = stage.transitions_of_the_peer();
    let answers = stage.asked(|stage| {
        for _ in 0..3 {
            let worker = stage.worker();
            kill(worker, Signal::SIGKILL).unwrap();
            stage.wait_successor(worker);
            stage.ensure_unnoticed(&transitions);
            wait_counted(&stage.lb2, "advertisements_received", 2).unwrap();
        }
    });
    assert_eq!(lost(&answers), 0);
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
    stage.ensure_unnoticed(&transitions);
    for (vip, answers) in VIPS.iter().zip(&answers) {
        assert_eq!(answers.by(stage.lab.lb2()), 0, "{vip}");
    }
    stage.lb1.stop().unwrap();
    assert!(holds_none(stage.lab.lb1()).unwrap(), "what was inherited is removed at the stop");
}

#[test]
fn k1_a_worker_killed_at_1_s_is_missed_by_nobody() {
    a_killed_worker_is_missed_by_nobody(&SECOND);
}

#[test]
fn k1_a_worker_killed_at_100_ms_is_missed_by_nobody() {
    a_killed_worker_is_missed_by_nobody(&TENTH);
}

/// It stands still for longer than a VRRP thread may, and is replaced before the peer's patience is over.
#[test]
fn k1_a_worker_that_hangs_is_replaced_before_the_peer_takes_over() {
    let slow = Roles { interval: "3s", ..SECOND };
    let mut stage = Stage::set(&slow);
    let transitions = stage.transitions_of_the_peer();
    let answers = stage.asked(|stage| {
        let worker = stage.worker();
        kill(worker, Signal::SIGSTOP).unwrap();
        stage.wait_successor(worker);
        stage.ensure_unnoticed(&transitions);
    });
    assert_eq!(lost(&answers), 0);
    assert!(stage.lb1.process().log().contains("its VRRP thread hung"));
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
}

/// Both stand still, as on a host that does: nobody is killed for it.
#[test]
fn a_supervisor_that_stood_still_itself_calls_nobody_late() {
    let stage = Stage::set(&SECOND);
    let worker = stage.worker();
    stage.lb1.process().kill_group(Signal::SIGSTOP).unwrap();
    wait_active(&stage.lb2).unwrap();
    stage.lb1.process().kill_group(Signal::SIGCONT).unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    assert_eq!(stage.worker(), worker);
}

/// A worker that can't start any more: the supervisor says goodbye for it, and the peer comes at once instead of in 3.6 s.
#[test]
fn a_crash_loop_gives_the_addresses_up_and_comes_back() {
    let mut stage = Stage::set(&SECOND);
    let answers = stage.asked(|stage| {
        // Every worker is killed as soon as it is there.
        wait_until(LIMIT, "the peer to take over", || {
            if let Some(worker) = worker_of(&stage.lb1) {
                let _ended_before = kill(worker, Signal::SIGKILL);
            }
            wait_holds(&stage.lb2).then_some(())
        })
        .unwrap();
        assert!(holds_none(stage.lab.lb1()).unwrap() || !holds_all(stage.lab.lb1()).unwrap());
    });
    let log = stage.lb1.process().log();
    assert!(log.contains("workers in a row died, the last one: killed by SIGKILL"), "{log}");
    assert!(log.contains("no worker is there in time: gives up v4, v6"), "{log}");
    for (vip, answers) in VIPS.iter().zip(&answers) {
        assert!(answers.by(stage.lab.lb2()) > 0, "{vip}");
        // The goodbye: the peer's Skew_Time, not its Active_Down_Interval.
        assert!(answers.longest_gap() < Duration::from_secs(3), "{vip}");
    }
    for name in INSTANCES {
        assert_eq!(stage.lb2.instance(name).unwrap().reason, "active_released");
    }
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    assert!(counter(&stage.lb1, "v4", "became_active").unwrap() > 0, "it took over anew");
}

fn wait_holds(director: &Director) -> bool {
    holds_all(director.node()).unwrap_or(false)
}

#[test]
fn a_supervisor_that_is_killed_takes_its_worker_along_in_order() {
    let mut stage = Stage::set(&SECOND);
    let worker = stage.worker();
    let answers = stage.asked(|stage| {
        stage.lb1.process().kill(Signal::SIGKILL).unwrap();
        wait_active(&stage.lb2).unwrap();
        wait_until(LIMIT, "the worker to end", || kill(worker, None).is_err().then_some(()))
            .unwrap();
    });
    assert!(holds_none(stage.lab.lb1()).unwrap());
    for name in INSTANCES {
        assert_eq!(stage.lb2.instance(name).unwrap().reason, "active_released");
    }
    for (vip, answers) in VIPS.iter().zip(&answers) {
        assert!(answers.longest_gap() < Duration::from_millis(500), "{vip}");
    }
    stage.lb1.restart().unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
}

/// As long as the daemon lives its addresses do not end. What becomes of them when it is killed as a whole, `fate.rs` tries.
#[test]
fn addresses_that_have_an_end_do_not_end_while_the_daemon_lives() {
    let stage = Stage::set(&Roles { lb1: "priority: 150, lifetime: 4s", ..SECOND });
    // Longer than the lifetime.
    wait_counted(&stage.lb1, "advertisements_sent", 6).unwrap();
    assert!(holds_all(stage.lab.lb1()).unwrap());
    assert!(!stage.lb1.process().log().contains("was put back"), "{}", stage.lb1.process().log());
}

#[test]
fn an_upgrade_in_place_is_noticed_by_nobody() {
    let mut stage = Stage::set(&TENTH);
    let transitions = stage.transitions_of_the_peer();
    let answers = stage.asked(|stage| {
        for _ in 0..2 {
            let worker = stage.worker();
            stage.lb1.process().kill(Signal::SIGUSR2).unwrap();
            stage.wait_successor(worker);
            stage.ensure_unnoticed(&transitions);
            wait_counted(&stage.lb2, "advertisements_received", 2).unwrap();
        }
    });
    assert_eq!(lost(&answers), 0);
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
    // A configuration that the next one would refuse keeps the one that is there.
    let worker = stage.worker();
    stage.lab.lb1().write("holdfast.yaml", "no: configuration\n").unwrap();
    stage.lb1.process().kill(Signal::SIGUSR2).unwrap();
    wait_until(LIMIT, "the refusal", || {
        stage.lb1.process().log().contains("is not started in this one's place").then_some(())
    })
    .unwrap();
    assert_eq!(stage.worker(), worker);
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
    // And a worker that dies with such a file is the end: the supervisor gives up for it.
    kill(worker, Signal::SIGKILL).unwrap();
    let status = stage.lb1.wait_end(LIMIT).unwrap();
    assert_eq!(status.code(), Some(78), "{}", stage.lb1.process().log());
    wait_active(&stage.lb2).unwrap();
    assert!(holds_none(stage.lab.lb1()).unwrap());
}

/// What the operator has ordered, and what a tracker without a weight has read, outlive a worker.
#[test]
fn k1_a_released_node_stays_released_and_trackers_are_not_asked_anew() {
    let lab = lab().unwrap();
    let watched = lab.lb1().write("watched", "0").unwrap();
    let trackers = format!(
        "daemon: {{scripts: {{user: nobody}}}}\nvrrp:\n  trackers:\n    slow: {{script: {{command: [/bin/sleep, '3']}}, interval: 20s, timeout: 10s}}\n    file: {{file: {{path: {}}}}}\n",
        watched.display()
    );
    let tracked = SECOND.config().replacen("vrrp:\n", &trackers, 1);
    let tracked = tracked.replace("interface: eth0,", "interface: eth0, track: [slow, file],");
    let lb1 = Director::start_with(lab.lb1(), &tracked, &["--supervisor", "on"]).unwrap();
    wait_active(&lb1).unwrap();
    let kill_it = |state: &str| {
        let worker = worker_of(&lb1).unwrap();
        kill(worker, Signal::SIGKILL).unwrap();
        wait_until(LIMIT, "another worker", || {
            worker_of(&lb1).filter(|now| *now != worker && lb1.status().is_ok())
        })
        .unwrap();
        lb1.wait_instance("v4", state, LIMIT).unwrap()
    };
    assert_eq!(kill_it("active").reason, "inherited", "{}", lb1.process().log());
    let lb2 = Director::start(lab.lb2(), &SECOND.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    lb1.cli(&["vrrp", "release", "v4", "--wait", "20s"]).unwrap();
    let released = kill_it("backup");
    assert!(released.released);
    lb2.wait_instance("v4", "active", LIMIT).unwrap();
}

/// The interface of a virtual MAC address, and a group that moves together, are inherited as they are.
#[test]
fn k1_virtual_macs_and_groups_go_on() {
    let roles = Roles {
        lb1: "priority: 150, virtual_mac: true",
        lb2: "priority: 100, virtual_mac: true",
        ..SECOND
    };
    let lab = lab().unwrap();
    let group = "vrrp:\n  groups: {pair: {instances: [v4, v6]}}\n";
    let config = roles.config().replacen("vrrp:\n", group, 1);
    let lb1 = Director::start_with(lab.lb1(), &config, &["--supervisor", "on"]).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &config).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
    let mut stage = Stage { lb1, lb2, _echoes, lab };
    let index = |stage: &Stage| {
        let links = ["vrrp4.51", "vrrp6.51"].map(|name| format!("/sys/class/net/{name}/ifindex"));
        links.map(|path| stage.lab.lb1().run(["cat", &path]).unwrap().stdout)
    };
    let before = index(&stage);
    let transitions = stage.transitions_of_the_peer();
    let answers = stage.asked(|stage| {
        let worker = stage.worker();
        kill(worker, Signal::SIGKILL).unwrap();
        stage.wait_successor(worker);
        stage.ensure_unnoticed(&transitions);
    });
    assert_eq!(lost(&answers), 0);
    assert_eq!(index(&stage), before, "the interfaces are other ones now");
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
    stage.lb1.stop().unwrap();
    wait_active(&stage.lb2).unwrap();
    assert!(holds_none(stage.lab.lb1()).unwrap());
}
