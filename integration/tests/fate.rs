//! The fate channel: a daemon that dies as a whole is followed at once, and nothing that lives on is. Every test has steady questions to the
//! virtual addresses and says how many were lost.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the failure, and says where")]
#![expect(clippy::print_stderr, reason = "what a client lost is a figure worth reading")]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use holdfast_control::FateChannel;
use holdfast_integration::Director;
use holdfast_integration::pair::{
    INSTANCES, LIMIT, Roles, VIPS, ensure_settled, holds_none, lab, wait_active, wait_counted,
    wait_roles,
};
use holdfast_integration::probes::{Answers, Echo, Questions};
use holdfast_testkit::lab::{Lab, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use socket2::SockRef;

/// Down after 6.6 s of silence at least: a takeover within five seconds has another reason.
const SLOW: Roles<'_> =
    Roles { interval: "2s", lb1: "priority: 150, lifetime: 8s", lb2: "priority: 100" };
const SECOND: Roles<'_> = Roles { interval: "1s", ..SLOW };
const FAST: Roles<'_> = Roles { interval: "200ms", ..SLOW };

/// The time between two questions.
const PACE: Duration = Duration::from_millis(2);

/// What the log says once for each family.
const STANDS: &str = "the fate channel to the active node stands";

/// A pair whose nodes answer questions; lb1 is Active, and lb2 has its channels.
struct Stage {
    lb1: Director,
    lb2: Director,
    _echoes: [Echo; 2],
    lab: Lab,
}

impl Stage {
    fn set(config: &str, supervisor: &str) -> Self {
        let lab = lab().unwrap();
        let lb1 = Director::start_with(lab.lb1(), config, &["--supervisor", supervisor]).unwrap();
        wait_active(&lb1).unwrap();
        let lb2 = Director::start(lab.lb2(), config).unwrap();
        wait_roles(&lb1, &lb2).unwrap();
        wait_counted(&lb2, "advertisements_received", 1).unwrap();
        let _echoes = [lab.lb1(), lab.lb2()].map(|node| Echo::start(node).unwrap());
        Self { lb1, lb2, _echoes, lab }
    }

    fn with_channels(roles: &Roles<'_>, supervisor: &str) -> Self {
        let stage = Self::set(&roles.config(), supervisor);
        stage.wait_channels(2);
        stage
    }

    /// lb2 has come to so many channels since its start.
    fn wait_channels(&self, count: usize) {
        let stood = wait_until(LIMIT, "the channels to stand", || {
            (self.lb2.process().log().matches(STANDS).count() >= count).then_some(())
        });
        stood.unwrap_or_else(|error| panic!("{error}: {}", self.lb2.process().log_tail()));
    }

    /// lb2 has its channels: new ones, or those that have outlived what was between.
    fn wait_stands(&self) {
        let stands = wait_until(LIMIT, "lb2's channels to stand", || {
            let seen = self.lb2.status().ok()?.fate?;
            let stands = seen.watched.iter().filter(|one| one.state == "stands").count();
            (stands == VIPS.len()).then_some(())
        });
        stands.unwrap_or_else(|error| panic!("{error}: {:?}", self.lb2.status().unwrap().fate));
    }

    /// Both nodes tell of the channels of both families.
    fn wait_shown(&self) {
        let shown = wait_until(LIMIT, "the channels to be shown", || {
            let there = self.lb2.status().ok()?.fate?;
            let here = self.lb1.status().ok()?.fate?;
            let stands = there.watched.iter().filter(|one| one.state == "stands").count();
            (stands == VIPS.len() && here.watchers.len() == VIPS.len()).then_some((here, there))
        });
        let (here, there) = shown.unwrap();
        assert!(there.watched.iter().all(|one| one.last_end.is_none()), "{there:?}");
        assert!(here.watched.is_empty() && here.problems.is_empty(), "{here:?}");
        assert_eq!((here.port, there.port), (112, 112));
        for (node, value) in [(&self.lb1, " 0"), (&self.lb2, " 1")] {
            let socket = node.socket().display();
            let ask = format!("curl -sS --unix-socket {socket} http://holdfast/metrics");
            let metrics = node.node().sh(&ask).unwrap().stdout;
            for instance in INSTANCES {
                let up = format!("holdfast_vrrp_fate_up{{instance=\"{instance}\",");
                let up = metrics.lines().find(|line| line.starts_with(&up)).unwrap();
                assert!(up.ends_with(value), "{}: {up}", node.node().name());
            }
        }
    }

    /// lb2 tells of each family's channel that it ended so, and in what state that is now.
    fn wait_ended(&self, reason: &str, state: &str) -> Vec<FateChannel> {
        let ended = wait_until(LIMIT, &format!("the channels to have ended: {reason}"), || {
            let seen = self.lb2.status().ok()?.fate?;
            let so = seen.watched.iter().all(|one| {
                one.state == state && one.last_end.as_ref().is_some_and(|end| end.reason == reason)
            });
            let all = seen.watched.len() == VIPS.len() && seen.ends.get(reason) == Some(&2);
            (so && all).then_some(seen.watched)
        });
        ended.unwrap_or_else(|error| panic!("{error}: {:?}", self.lb2.status().unwrap().fate))
    }

    /// What a client is answered at both addresses all the while that `happens`.
    fn asked(&mut self, happens: impl FnOnce(&mut Self)) -> [Answers; 2] {
        self.asked_until(happens, |_, _| {})
    }

    /// The same, until lb2 has answered at both addresses.
    fn asked_until_followed(&mut self, happens: impl FnOnce(&mut Self)) -> [Answers; 2] {
        self.asked_until(happens, |stage, questions| {
            questions.wait_answered_by(stage.lab.lb2(), 1).unwrap();
        })
    }

    fn asked_until(
        &mut self,
        happens: impl FnOnce(&mut Self),
        until: impl Fn(&Self, &Questions),
    ) -> [Answers; 2] {
        let questions = VIPS.map(|vip| Questions::start(self.lab.client(), vip, PACE).unwrap());
        happens(self);
        for questions in &questions {
            until(self, questions);
        }
        let answers = questions.map(Questions::end);
        for (vip, answers) in VIPS.iter().zip(&answers) {
            let (lost, gap) = (answers.lost().len(), answers.longest_gap());
            eprintln!("{vip}: {lost} of {} lost, the largest gap {gap:?}", answers.asked());
        }
        answers
    }

    fn transitions_of_the_peer(&self) -> Vec<u64> {
        self.lb2.status().unwrap().vrrp.iter().map(|instance| instance.transitions).collect()
    }

    fn ensure_reason(&self, reason: &str) {
        for name in INSTANCES {
            let log = self.lb2.process().log();
            assert_eq!(self.lb2.instance(name).unwrap().reason, reason, "{name}: {log}");
        }
    }

    /// lb2 has taken over long before its timers would have had it do so.
    fn ensure_followed(&self, killed: Instant, answers: &[Answers; 2]) {
        self.ensure_reason("active_died");
        for (vip, answers) in VIPS.iter().zip(answers) {
            let first = answers.first_by(self.lab.lb2()).unwrap();
            let after = first.saturating_duration_since(killed);
            eprintln!("{vip}: the peer answers what was asked {after:?} after the death");
            assert!(after < Duration::from_secs(5), "{vip}");
            assert!(answers.longest_gap() < Duration::from_secs(5), "{vip}");
        }
    }

    /// Kills everything of lb1's daemon, and waits for lb2 to follow.
    fn kill_all(&mut self) {
        self.lb1.process().kill_group(Signal::SIGKILL).unwrap();
        wait_active(&self.lb2).unwrap();
    }

    /// Waits until lb1 has another worker than `before`, which answers.
    fn wait_successor(&self, before: Pid) {
        let next = wait_until(LIMIT, "another worker", || {
            self.worker().filter(|now| *now != before && self.lb1.status().is_ok())
        });
        next.unwrap_or_else(|error| panic!("{error}: {}", self.lb1.process().log_tail()));
    }

    /// The child of lb1's process.
    fn worker(&self) -> Option<Pid> {
        let pid = self.lb1.process().pid();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
        children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
    }
}

/// The peer is Active while the dead one's advertisement is still good for four seconds at least; the dead one's addresses end by themselves.
#[test]
fn b2_a_process_tree_that_is_killed_is_followed_at_once() {
    let mut stage = Stage::with_channels(&SLOW, "on");
    stage.wait_shown();
    let mut killed = Instant::now();
    let answers = stage.asked_until_followed(|stage| {
        killed = Instant::now();
        stage.kill_all();
    });
    stage.ensure_followed(killed, &answers);
    // It is Active itself now, watches nobody, and knows how that came.
    stage.wait_ended("died", "over");
    let events = stage.lb2.cli(&["events"]).unwrap();
    assert_eq!(events.matches("vrrp.fate_stands").count(), 2, "{events}");
    assert_eq!(events.matches("vrrp.fate_died").count(), 2, "{events}");
    let status = stage.lb2.cli(&["status"]).unwrap();
    assert!(status.contains("OVER") && status.contains("died "), "{status}");
    wait_until(LIMIT, "the dead one's addresses to end", || {
        holds_none(stage.lab.lb1()).unwrap().then_some(())
    })
    .unwrap();
    stage.lb1.restart().unwrap();
    wait_roles(&stage.lb1, &stage.lb2).unwrap();
}

/// Without a supervisor the daemon is one process.
#[test]
fn b2_a_daemon_without_a_supervisor_is_followed_at_once() {
    let mut stage = Stage::with_channels(&SLOW, "off");
    let mut killed = Instant::now();
    let answers = stage.asked_until_followed(|stage| {
        killed = Instant::now();
        stage.lb1.kill().unwrap();
        wait_active(&stage.lb2).unwrap();
    });
    stage.ensure_followed(killed, &answers);
}

/// Three nodes of which none preempts. lb1 is Active, lb2 and the third one have channels to it, and the third one is the better of the two.
struct Three {
    lb1: Director,
    lb2: Director,
    third: Director,
    _lab: Lab,
}

impl Three {
    fn set() -> Self {
        let roles = Roles {
            interval: "1s",
            lb1: "priority: 200, preempt: false",
            lb2: "priority: 100, preempt: false}, client: {priority: 110, preempt: false",
        };
        let lab = lab().unwrap();
        let lb1 = Director::start(lab.lb1(), &roles.config()).unwrap();
        wait_active(&lb1).unwrap();
        let [lb2, third] = [lab.lb2(), lab.client()].map(|node| {
            let director = Director::start(node, &roles.config()).unwrap();
            wait_roles(&lb1, &director).unwrap();
            wait_until(LIMIT, "the channels to stand", || {
                (director.process().log().matches(STANDS).count() == 2).then_some(())
            })
            .unwrap();
            director
        });
        Self { lb1, lb2, third, _lab: lab }
    }

    /// The best one is Active, whoever was first, and so it stays.
    fn ensure_the_best(&self) {
        wait_roles(&self.third, &self.lb2).unwrap();
        for name in INSTANCES {
            assert_eq!(self.third.instance(name).unwrap().reason, "active_died", "{name}");
        }
        let transitions = |director: &Director| -> Vec<u64> {
            director.status().unwrap().vrrp.iter().map(|instance| instance.transitions).collect()
        };
        let before = [&self.third, &self.lb2].map(transitions);
        wait_counted(&self.third, "advertisements_sent", 3).unwrap();
        assert_eq!([&self.third, &self.lb2].map(transitions), before);
    }
}

#[test]
fn b2_of_three_nodes_that_do_not_preempt_the_best_one_follows() {
    let mut three = Three::set();
    three.lb1.kill().unwrap();
    three.ensure_the_best();
}

/// The worse one has the addresses by then, in both families, and is no longer told from one that reigns but by the death.
#[test]
fn b3_the_best_one_follows_though_it_is_told_of_the_death_last() {
    let mut three = Three::set();
    three.third.process().kill(Signal::SIGSTOP).unwrap();
    three.lb1.kill().unwrap();
    wait_active(&three.lb2).unwrap();
    three.third.process().kill(Signal::SIGCONT).unwrap();
    three.ensure_the_best();
}

/// Workers come and go, programs are replaced, configurations too; and when all is killed then, that is still heard.
#[test]
fn a_daemon_that_lives_on_is_not_followed_whatever_becomes_of_its_parts() {
    let mut stage = Stage::with_channels(&SECOND, "on");
    let transitions = stage.transitions_of_the_peer();
    let answers = stage.asked(|stage| {
        let worker = stage.worker().unwrap();
        kill(worker, Signal::SIGKILL).unwrap();
        stage.wait_successor(worker);
        wait_counted(&stage.lb2, "advertisements_received", 2).unwrap();
        // The next worker knows who watches.
        stage.wait_shown();
        let worker = stage.worker().unwrap();
        stage.lb1.process().kill(Signal::SIGUSR2).unwrap();
        stage.wait_successor(worker);
        wait_counted(&stage.lb2, "advertisements_received", 2).unwrap();
        stage.wait_shown();
        stage.lb1.cli(&["reload"]).unwrap();
        wait_counted(&stage.lb2, "advertisements_received", 2).unwrap();
    });
    assert_eq!(answers.iter().map(|one| one.lost().len()).sum::<usize>(), 0);
    assert_eq!(stage.transitions_of_the_peer(), transitions);
    let log = stage.lb2.process().log();
    assert!(!log.contains("has died") && log.matches(STANDS).count() == 2, "{log}");
    stage.kill_all();
    stage.ensure_reason("active_died");
}

/// A channel that is taken out by a reload says so; the daemon is no dead one for it, and the timers are what is left.
#[test]
fn off_is_off_and_a_reload_to_it_is_no_death() {
    let mut stage = Stage::with_channels(&FAST, "on");
    let transitions = stage.transitions_of_the_peer();
    let off = FAST.config().replacen("vrrp:\n", "vrrp:\n  fate: false\n", 1);
    stage.lab.lb1().write("holdfast.yaml", &off).unwrap();
    stage.lb1.cli(&["reload"]).unwrap();
    wait_until(LIMIT, "the port to be closed", || {
        let ports = stage.lab.lb1().run(["ss", "-Htnl", "sport = :112"]).unwrap();
        ports.stdout.trim().is_empty().then_some(())
    })
    .unwrap();
    wait_counted(&stage.lb2, "advertisements_received", 10).unwrap();
    assert_eq!(stage.transitions_of_the_peer(), transitions);
    assert!(!stage.lb2.process().log().contains("has died"));
    assert_eq!(stage.lb1.status().unwrap().fate, None);
    let tried = |channels: &[FateChannel]| {
        let refused =
            |one: &FateChannel| one.fault.as_ref()?.contains("nobody listens").then_some(());
        channels.iter().all(|one| refused(one).is_some())
    };
    wait_until(LIMIT, "the reason for which there is none", || {
        tried(&stage.wait_ended("goodbye", "missing")).then_some(())
    })
    .unwrap();
    stage.asked(Stage::kill_all);
    stage.ensure_reason("active_silent");
}

/// Nothing is heard of the other one: that is no death.
#[test]
fn a_partition_is_left_to_the_timers() {
    let mut stage = Stage::with_channels(&FAST, "on");
    stage.asked(|stage| {
        stage.lab.isolate(&[stage.lab.lb1(), stage.lab.lb2()]).unwrap();
        wait_active(&stage.lb2).unwrap();
        stage.ensure_reason("active_silent");
        stage.lab.join(&[stage.lab.lb1(), stage.lab.lb2()]).unwrap();
        wait_roles(&stage.lb1, &stage.lb2).unwrap();
    });
    assert!(!stage.lb2.process().log().contains("has died"));
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
    stage.wait_stands();
    stage.kill_all();
    stage.ensure_reason("active_died");
}

/// Who is further away than the link is not answered; a neighbour that talks, or comes too often, costs its own connections.
#[test]
fn strangers_cost_their_own_connections_and_nothing_else() {
    let mut stage = Stage::with_channels(&FAST, "on");
    let transitions = stage.transitions_of_the_peer();
    let ports = [IpAddr::V4(stage.lab.lb1().ip4()), IpAddr::V6(stage.lab.lb1().ip6())];
    let ports = ports.map(|address| SocketAddr::new(address, 112));
    for to in ports {
        let far = stage
            .lab
            .client()
            .enter(|| TcpStream::connect_timeout(&to, Duration::from_millis(300)).map(drop));
        assert_eq!(far.unwrap().unwrap_err().kind(), ErrorKind::TimedOut, "{to}");
    }
    let near = |to: SocketAddr| {
        let socket =
            socket2::Socket::new(socket2::Domain::for_address(to), socket2::Type::STREAM, None)
                .unwrap();
        match to {
            SocketAddr::V4(_) => socket.set_ttl_v4(255).unwrap(),
            SocketAddr::V6(_) => socket.set_unicast_hops_v6(255).unwrap(),
        }
        socket.connect(&to.into()).unwrap();
        TcpStream::from(socket)
    };
    let ended = stage.lab.client().enter(|| {
        for to in ports {
            // Who says something is cut off.
            let mut talks = near(to);
            talks.read_exact(&mut [0]).unwrap();
            talks.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            let cut = talks.read(&mut [0; 16]);
            assert!(matches!(cut, Ok(0) | Err(_)), "{cut:?}");
            // Of one address so many are held, and the oldest give way.
            let held: Vec<TcpStream> = (0..6).map(|_| near(to)).collect();
            for stream in &held {
                SockRef::from(stream).set_read_timeout(Some(LIMIT)).unwrap();
            }
            for mut oldest in held.iter().take(2) {
                let mut words = Vec::new();
                oldest.read_to_end(&mut words).unwrap();
                assert_eq!(words, b"+-", "it is told that nobody has died");
            }
        }
    });
    ended.unwrap();
    assert_eq!(stage.transitions_of_the_peer(), transitions);
    ensure_settled(&stage.lb1, &stage.lb2).unwrap();
    stage.kill_all();
    stage.ensure_reason("active_died");
}

/// What the doctor finds of the fate channel on a node: the grade and the words.
fn found_by_doctor(director: &Director) -> Option<Vec<(String, String)>> {
    let file = director.node().folder().join("holdfast.yaml");
    let node = director.node().name();
    let words = ["doctor", "--node", node, file.to_str()?, "-o", "json"];
    // Whatever else it finds on this host.
    let (_, report, _) = director.try_cli(&words).ok()?;
    let report: serde_json::Value = serde_json::from_str(&report).ok()?;
    let text = |one: &serde_json::Value, key: &str| one.get(key)?.as_str().map(str::to_owned);
    let of_fate = |one: &&serde_json::Value| text(one, "area").as_deref() == Some("fate");
    let findings = report.get("findings")?.as_array()?.iter().filter(of_fate);
    findings
        .map(|one| {
            Some((
                text(one, "grade")?,
                text(one, "found")? + &text(one, "help").unwrap_or_default(),
            ))
        })
        .collect()
}

/// Both ends tell an operator that asks, over both families: the one that can't connect, and the one that nobody watches.
#[test]
fn a_firewall_between_the_nodes_is_found_by_the_doctor_of_either() {
    let lab = lab().unwrap();
    lab.lb1()
        .sh("nft 'add table inet wall; add chain inet wall in { type filter hook input priority 0; }; add rule inet wall in tcp dport 112 drop'")
        .unwrap();
    let lb1 = Director::start(lab.lb1(), &FAST.config()).unwrap();
    wait_active(&lb1).unwrap();
    let lb2 = Director::start(lab.lb2(), &FAST.config()).unwrap();
    wait_roles(&lb1, &lb2).unwrap();
    let wait = |director: &Director, count: usize, grade: &str, words: &str| {
        let found = wait_until(LIMIT, &format!("the doctor to find {words:?}"), || {
            let found = found_by_doctor(director)?;
            let so = |(one, text): &&(String, String)| one == grade && text.contains(words);
            (found.len() == count && found.iter().filter(so).count() == count).then_some(())
        });
        found.unwrap_or_else(|error| panic!("{error}: {:?}", found_by_doctor(director)));
    };
    wait(&lb2, VIPS.len(), "warn", "does a firewall let the port through");
    wait(&lb1, VIPS.len(), "warn", "Let TCP port 112 in from the other nodes on eth0");
    lab.lb1().sh("nft delete table inet wall").unwrap();
    // All that stands is in a line.
    wait(&lb2, 1, "ok", "at each of 2 addresses would be heard at once");
    let watched = wait_until(LIMIT, "nothing to be found any more", || {
        found_by_doctor(&lb1).filter(Vec::is_empty)
    });
    watched.unwrap_or_else(|error| panic!("{error}: {:?}", found_by_doctor(&lb1)));
}
