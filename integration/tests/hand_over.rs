//! Giving the role away on purpose: make before break (docs/vrrp.md, D1 to D3), and `holdfast vrrp release`, `resume` and `failover`.
//! The network is [`holdfast_integration::pair`]'s; with keepalived as the other node the same is in `keepalived/hand_over.rs`.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]
#![expect(clippy::print_stderr, reason = "what a client lost is a figure worth reading")]

use std::time::Duration;

use holdfast_integration::Director;
use holdfast_integration::pair::{
    INSTANCES, LIMIT, Roles, VIPS, counter, ensure_settled, holds_none, lab, wait_active,
    wait_backup, wait_counted, wait_roles,
};
use holdfast_integration::probes::{Echo, Keepers, Questions};
use holdfast_integration::watch::{Watch, longest_overlap};
use holdfast_testkit::lab::{Lab, wait_until};
use nix::sys::signal::Signal;
use vrrp::AddressFamily;

/// One second, and a Backup that waits 0.6 of it after a goodbye.
const SECOND: Roles<'_> = Roles { interval: "1s", lb1: "priority: 150", lb2: "priority: 100" };
const INTERVAL: Duration = Duration::from_secs(1);

/// The time between two questions.
const PACE: Duration = Duration::from_millis(5);

/// A pair whose nodes answer questions, and a listener for each family.
struct Stage {
    lb1: Director,
    lb2: Director,
    _echoes: [Echo; 2],
    watches: [Watch; 2],
    lab: Lab,
}

impl Stage {
    fn set(roles: &Roles<'_>) -> Self {
        let lab = lab().unwrap();
        let watch = |family| Watch::start(lab.client(), family).unwrap();
        let watches = [watch(AddressFamily::Ipv4), watch(AddressFamily::Ipv6)];
        let lb1 = Director::start(lab.lb1(), &roles.config()).unwrap();
        wait_active(&lb1).unwrap();
        let lb2 = Director::start(lab.lb2(), &roles.config()).unwrap();
        wait_roles(&lb1, &lb2).unwrap();
        wait_counted(&lb2, "advertisements_received", 1).unwrap();
        let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
        Self { lb1, lb2, _echoes, watches, lab }
    }

    /// The client asks all the while that `give_up` makes lb1 give the role to lb2. Nothing is lost.
    fn gives_up(&mut self, give_up: impl FnOnce(&mut Director)) {
        let Self { lb1, lb2, lab, .. } = self;
        let ask = |vip| Questions::start(lab.client(), vip, PACE).unwrap();
        let questions = VIPS.map(ask);
        let keepers = Keepers::start([lab.lb1(), lab.lb2()], &VIPS);
        give_up(lb1);
        wait_active(lb2).unwrap();
        wait_counted(lb2, "advertisements_sent", 3).unwrap();
        let seen = wait_until(LIMIT, "a hundred looks", || {
            Some(keepers.seen()).filter(|seen| seen.looks > 100)
        })
        .unwrap();
        assert_eq!(seen.nobody, 0, "the addresses were nowhere: {seen:?}");
        for (vip, questions) in VIPS.into_iter().zip(questions) {
            let answers = questions.end();
            let (lost, gap) = (answers.lost(), answers.longest_gap());
            eprintln!("{vip}: {} of {} lost, the largest gap {gap:?}", lost.len(), answers.asked());
            assert!(answers.by(lab.lb1()) > 0 && answers.by(lab.lb2()) > 0);
            // Skew_Time is 0.6 s. What may be lost is what is on its way while the addresses change sides.
            assert!(gap < INTERVAL / 2, "{vip}: {gap:?}, lost {lost:?}");
        }
        for (watch, source) in self.watches.iter().zip(sources(&self.lab)) {
            watch.wait_released(source).unwrap();
        }
    }

    fn never_both(&self) {
        for watch in &self.watches {
            let heard = watch.heard();
            let overlap = longest_overlap(&heard, INTERVAL);
            assert!(overlap <= INTERVAL, "both were active for {overlap:?}: {heard:#?}");
        }
    }
}

/// What lb1 advertises from.
fn sources(lab: &Lab) -> [std::net::IpAddr; 2] {
    // Of the MAC address 02:00:00:77:00:11 (RFC 4291, appendix A).
    [lab.lb1().ip4().into(), "fe80::ff:fe77:11".parse().unwrap()]
}

#[test]
fn d1_d2_a_stop_keeps_answering_until_the_backup_does() {
    let mut stage = Stage::set(&SECOND);
    stage.gives_up(|lb1| lb1.stop().unwrap());
    assert!(holds_none(stage.lab.lb1()).unwrap());
    for name in INSTANCES {
        assert_eq!(stage.lb2.instance(name).unwrap().reason, "active_released");
    }
    stage.lb1.restart().unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    stage.never_both();
}

#[test]
fn d1_d2_a_release_gives_the_role_away_until_resume() {
    let mut stage = Stage::set(&SECOND);
    stage.gives_up(|lb1| {
        for name in INSTANCES {
            lb1.cli(&["vrrp", "release", name, "--wait", "20s"]).unwrap();
        }
    });
    for name in INSTANCES {
        let instance = stage.lb1.instance(name).unwrap();
        assert_eq!((instance.released, instance.priority), (true, 1), "{name}");
        assert_eq!(instance.reason, "taken_over");
    }
    ensure_settled(&stage.lb2, &stage.lb1).unwrap();

    // Twice is once.
    let said = stage.lb1.cli(&["vrrp", "release", "v4"]).unwrap();
    assert!(said.contains("nothing changed"), "{said}");

    // The last choice, and a choice: when the other one has gone, and only then.
    stage.lb2.kill().unwrap();
    wait_active(&stage.lb1).unwrap();
    assert!(stage.lb1.instance("v4").unwrap().released);
    stage.lb2.restart().unwrap();
    wait_roles(&stage.lb2, &stage.lb1).unwrap();

    for name in INSTANCES {
        stage.lb1.cli(&["vrrp", "resume", name, "--wait", "20s"]).unwrap();
    }
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    assert!(!stage.lb1.instance("v4").unwrap().released);
    stage.never_both();
}

#[test]
fn d1_d2_a_failover_gives_the_role_away_once() {
    let mut stage = Stage::set(&SECOND);
    stage.gives_up(|lb1| {
        for name in INSTANCES {
            lb1.cli(&["vrrp", "failover", name, "--wait", "20s"]).unwrap();
        }
    });
    ensure_settled(&stage.lb2, &stage.lb1).unwrap();
    // Twice is once.
    for name in INSTANCES {
        let said = stage.lb1.cli(&["vrrp", "failover", name]).unwrap();
        assert!(said.contains("nothing changed"), "{said}");
    }
    // When the other one dies this node is there, and as good as before.
    stage.lb2.kill().unwrap();
    wait_active(&stage.lb1).unwrap();
    stage.lb2.restart().unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    stage.never_both();
}

#[test]
fn a_release_survives_a_restart_if_asked() {
    let mut stage = Stage::set(&SECOND);
    let state = format!("daemon: {{state: {}}}\n", stage.lab.lb1().folder().display());
    stage.lb1.stop().unwrap();
    stage.lb1 = Director::start(stage.lab.lb1(), &(state + &SECOND.config())).unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    stage.lb1.cli(&["vrrp", "release", "v4", "--keep", "--wait", "20s"]).unwrap();
    stage.lb1.cli(&["vrrp", "release", "v6", "--wait", "20s"]).unwrap();
    wait_roles(&stage.lb2, &stage.lb1).unwrap();
    stage.lb1.kill().unwrap();
    stage.lb1.restart().unwrap();
    stage.lb1.wait_instance("v6", "active", LIMIT).unwrap();
    let kept = stage.lb1.instance("v4").unwrap();
    assert_eq!((kept.state.as_str(), kept.released), ("backup", true));
    stage.lb1.cli(&["vrrp", "resume", "v4", "--wait", "20s"]).unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    stage.lb1.kill().unwrap();
    stage.lb1.restart().unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
    assert!(!stage.lb1.instance("v4").unwrap().released, "what was resumed stays so");
}

/// Alone, with both listeners.
fn alone(roles: &Roles<'_>) -> (Lab, Director, [Watch; 2]) {
    let lab = lab().unwrap();
    let watch = |family| Watch::start(lab.client(), family).unwrap();
    let watches = [watch(AddressFamily::Ipv4), watch(AddressFamily::Ipv6)];
    let lb1 = Director::start(lab.lb1(), &roles.config()).unwrap();
    wait_active(&lb1).unwrap();
    (lab, lb1, watches)
}

/// D3: nobody is there to take over, and a daemon must end all the same.
#[test]
fn d3_a_stop_without_a_peer_ends() {
    let (lab, mut lb1, watches) = alone(&SECOND);
    lb1.stop().unwrap();
    let log = lb1.process().log();
    let ends = "from=\"releasing\" to=\"initialize\" reason=\"nobody_took_over\"";
    assert_eq!(log.matches(ends).count(), 2, "{log}");
    assert!(holds_none(lab.lb1()).unwrap());
    for (watch, source) in watches.iter().zip(sources(&lab)) {
        watch.wait_released(source).unwrap();
        assert_eq!(watch.heard().last().unwrap().priority, 0, "the goodbye is the last word");
    }
}

#[test]
fn d3_a_release_without_a_peer_stays_active_and_says_so() {
    // Four intervals, after which nobody has taken over, are a small part of the wait.
    let (_lab, lb1, _watches) = alone(&Roles { interval: "200ms", ..SECOND });
    for name in INSTANCES {
        let (code, _, said) = lb1.try_cli(&["vrrp", "release", name, "--wait", "6s"]).unwrap();
        assert_eq!(code, 3, "{said}");
        assert!(said.contains("another node is not active"), "{said}");
        assert!(said.contains("is active here (nobody_took_over)"), "{said}");
        let instance = lb1.instance(name).unwrap();
        assert_eq!((instance.state.as_str(), instance.released), ("active", true));
        assert!(instance.holds_addresses);
    }
    let log = lb1.process().log();
    assert_eq!(log.matches("nobody took over: this node is active again").count(), 2, "{log}");
}

/// A second SIGTERM does not wait for anybody. The interval is so long that no busy machine lets four of them pass before it.
#[test]
fn a_second_sigterm_ends_at_once() {
    let lab = lab().unwrap();
    let slow = Roles { interval: "3s", ..SECOND };
    let config = slow.config().replace("interval: 3s", "interval: 3s, down_adverts: 1");
    let mut lb1 = Director::start(lab.lb1(), &config).unwrap();
    wait_active(&lb1).unwrap();
    let watches = [AddressFamily::Ipv4, AddressFamily::Ipv6]
        .map(|family| Watch::start(lab.client(), family).unwrap());
    lb1.process().kill(Signal::SIGTERM).unwrap();
    for (watch, source) in watches.iter().zip(sources(&lab)) {
        watch.wait_released(source).unwrap();
    }
    lb1.stop().unwrap();
    let log = lb1.process().log();
    assert_eq!(log.matches("from=\"active\" to=\"releasing\"").count(), 2, "{log}");
    assert!(!log.contains("nobody_took_over"), "it waited for all of four intervals: {log}");
    assert!(holds_none(lab.lb1()).unwrap());
}

/// A Backup gives nothing up, so that its stop waits for nobody and says nothing.
#[test]
fn a_release_on_the_backup_moves_nothing_and_a_failover_is_refused() {
    let stage = Stage::set(&SECOND);
    let received = || counter(&stage.lb1, "v4", "advertisements_received").unwrap();
    let before = received();
    stage.lb2.cli(&["vrrp", "release", "v4"]).unwrap();
    let (code, _, said) = stage.lb2.try_cli(&["vrrp", "failover", "v4"]).unwrap();
    assert_eq!((code, said.contains("is not active here")), (1, true), "{said}");
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
    assert_eq!(received(), before, "the Backup advertised");
    assert!(stage.lb2.instance("v4").unwrap().released);
    wait_backup(&stage.lb2).unwrap();
}
