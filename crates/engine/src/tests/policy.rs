//! Quorum, sorry servers, what happens when all are down, damping, initial states, and checks of which one suffices.

use holdfast_health::State;

use super::*;
use crate::vrrp::Level;

const SORRY: &str = "10.0.0.99:80";

fn fails<'a>(names: &'a [&'a str]) -> impl Fn(&Name) -> Verdict + 'a {
    move |server| if names.contains(&server.as_str()) { Verdict::Fail } else { Verdict::Pass }
}

fn pool(bench: &Bench) -> &Pool {
    &bench.engine.pools()[&name("web")]
}

fn weights(pairs: &[(&str, u32)]) -> Vec<(String, u32)> {
    pairs.iter().map(|(address, weight)| ((*address).to_owned(), *weight)).collect()
}

/// The changes of the quorum that were told, and the regimes.
fn told(bench: &Bench) -> Vec<(&'static str, &'static str)> {
    bench
        .reports
        .iter()
        .filter_map(|report| {
            let Report::Quorum { to, regime, .. } = report else { return None };
            Some((to.label(), regime.label()))
        })
        .collect()
}

#[test]
fn the_sorry_server_stands_in_while_the_quorum_is_lost_and_keeps_what_it_has_after() {
    let config = config("    sorry_servers: {sorry: 10.0.0.99:80}\n");
    let mut bench = Bench::new(&config, &Table::new());
    let idle = weights(&[("10.0.0.11:80", 0), ("10.0.0.12:80", 0), (SORRY, 0)]);
    assert_eq!(bench.weights(), idle, "nobody knows yet: no sorry page at the start");
    bench.pass(seconds(1), fails(&[]));
    let up = weights(&[("10.0.0.11:80", 5), ("10.0.0.12:80", 1), (SORRY, 0)]);
    assert_eq!(bench.weights(), up);
    bench.pass(seconds(3), fails(&["web1", "web2"]));
    let sorry = weights(&[("10.0.0.11:80", 0), ("10.0.0.12:80", 0), (SORRY, 1)]);
    assert_eq!(bench.weights(), sorry);
    bench.pass(seconds(3), fails(&["web2"]));
    let back = weights(&[("10.0.0.11:80", 5), ("10.0.0.12:80", 0), (SORRY, 0)]);
    assert_eq!(bench.weights(), back);
    assert_eq!(told(&bench), [("up", "normal"), ("down", "sorry"), ("up", "normal")]);
}

#[test]
fn with_on_failure_remove_the_table_has_those_alone_that_take_clients() {
    let config = config("    sorry_servers: {sorry: 10.0.0.99:80}\n    on_failure: remove\n");
    let mut bench = Bench::new(&config, &Table::new());
    bench.pass(seconds(1), fails(&["web2"]));
    assert_eq!(bench.weights(), weights(&[("10.0.0.11:80", 5)]));
    bench.pass(seconds(3), fails(&["web1", "web2"]));
    assert_eq!(bench.weights(), weights(&[(SORRY, 1)]));
    bench.pass(seconds(3), fails(&[]));
    assert_eq!(bench.weights(), weights(&[("10.0.0.11:80", 5), ("10.0.0.12:80", 1)]));
}

/// keepalived's: below the quorum the servers that are alive are taken out as well.
#[test]
fn the_quorum_is_weight_and_takes_the_living_out_for_the_sorry_server() {
    let config = config(
        "    quorum: 3\n    hysteresis: 2\n    sorry_servers: {sorry: {address: 10.0.0.99:80, weight: 7}}\n",
    );
    let mut bench = Bench::new(&config, &Table::new());
    bench.pass(seconds(1), fails(&[]));
    assert_eq!(pool(&bench).weight(), 6);
    bench.pass(seconds(3), fails(&["web1"]));
    assert_eq!((pool(&bench).weight(), pool(&bench).quorum()), (1, QuorumState::Up), "Q7");
    bench.pass(seconds(3), fails(&["web1", "web2"]));
    bench.pass(seconds(3), fails(&["web1"]));
    assert_eq!((pool(&bench).weight(), pool(&bench).quorum()), (1, QuorumState::Down), "Q10");
    let sorry = weights(&[("10.0.0.11:80", 0), ("10.0.0.12:80", 0), (SORRY, 7)]);
    assert_eq!(bench.weights(), sorry);
    bench.pass(seconds(3), fails(&["web2"]));
    assert_eq!((pool(&bench).weight(), pool(&bench).quorum()), (5, QuorumState::Up), "Q9");
}

#[test]
fn fail_open_sends_clients_to_all_but_those_that_the_operator_took_out() {
    let mut bench = Bench::new(&config("    all_down: fail_open\n"), &Table::new());
    bench.pass(seconds(3), fails(&["web1", "web2"]));
    assert_eq!(bench.weights(), weights(&[("10.0.0.11:80", 5), ("10.0.0.12:80", 1)]));
    let drained = bench.engine.drain_server(bench.now, &name("web"), &name("web2"), None, by());
    assert!(drained.unwrap().changed);
    bench.collect();
    assert_eq!(bench.weights(), weights(&[("10.0.0.11:80", 5), ("10.0.0.12:80", 0)]));
    assert_eq!(bench.server("web1").state(), "down", "what is measured stays what it is");
    bench.pass(seconds(3), fails(&["web2"]));
    assert_eq!(pool(&bench).regime(), Regime::Normal);
}

#[test]
fn a_service_whose_servers_are_all_drained_has_no_quorum() {
    let mut bench =
        Bench::new(&config("    sorry_servers: {sorry: 10.0.0.99:80}\n"), &Table::new());
    bench.pass(seconds(1), fails(&[]));
    for server in ["web1", "web2"] {
        let order = bench.engine.maintain_server(bench.now, &name("web"), &name(server), by());
        assert!(order.unwrap().changed);
    }
    bench.collect();
    assert_eq!(told(&bench).last(), Some(&("down", "sorry")));
    let back = bench.engine.ready_server(bench.now, &name("web"), &name("web1"), by());
    assert!(back.unwrap().changed);
    bench.collect();
    assert_eq!(pool(&bench).quorum(), QuorumState::Down, "it waits for its first pass");
    bench.pass(seconds(1), fails(&[]));
    assert_eq!(pool(&bench).quorum(), QuorumState::Up);
}

#[test]
fn a_restart_finds_the_sorry_server_in_use_and_leaves_it_there() {
    let config = config("    sorry_servers: {sorry: 10.0.0.99:80}\n");
    let mut first = Bench::new(&config, &Table::new());
    first.pass(seconds(3), fails(&["web1", "web2"]));
    let kernel = first.engine.desired();
    let mut second = Bench::new(&config, &kernel);
    assert_eq!(second.engine.desired(), kernel, "a restart wants nothing changed");
    assert_eq!(second.engine.pools()[&name("web")].servers().len(), 2, "it is no server found");
    second.pass(seconds(3), fails(&[]));
    assert_eq!(told(&second), [("up", "normal")]);
}

#[test]
fn adopted_servers_make_the_quorum_without_a_word() {
    let config = config("");
    let mut first = Bench::new(&config, &Table::new());
    first.pass(seconds(1), fails(&[]));
    let second = Bench::new(&config, &first.engine.desired());
    assert_eq!((pool(&second).quorum(), told(&second).len()), (QuorumState::Up, 0));
}

#[test]
fn trackers_read_the_quorum() {
    let mut bench = Bench::new(&config("    quorum: 2\n"), &Table::new());
    assert_eq!(pool(&bench).reading().level(), Level::Unknown);
    bench.pass(seconds(1), fails(&[]));
    assert_eq!(pool(&bench).reading().level(), Level::Up);
    bench.pass(seconds(3), fails(&["web1"]));
    let reading = pool(&bench).reading();
    assert_eq!(reading.level(), Level::Down);
    assert_eq!(reading.sentence(), "service web went down with weight 1, quorum 2");
}

#[test]
fn a_pool_without_servers_is_down_and_says_so() {
    let text = "services: {web: {listen: tcp 192.0.2.10:80, forward: nat, all_down: fail_open}}\n";
    let config = parse("f", text, &Environment::new("lb1")).config.unwrap();
    let bench = Bench::new(&config, &Table::new());
    assert_eq!(told(&bench), [("down", "fail_open")]);
}

#[test]
fn one_of_several_checks_suffices_under_any() {
    let text = |checks: &str| {
        let text = format!(
            "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    checks: {checks}\n    real_servers: {{web1: 10.0.0.11:80}}\n"
        );
        parse("f", text, &Environment::new("lb1")).config.unwrap()
    };
    let tries =
        "[{tcp: {}, interval: 1s, rise: 1, fall: 1}, {icmp: {}, interval: 1s, rise: 1, fall: 1}]";
    let any = text(&format!("{{any: {tries}}}"));
    let mut bench = Bench::new(&any, &Table::new());
    // What the second check says, the first one always failing.
    let run = |bench: &mut Bench, second: Verdict| {
        let end = bench.now + seconds(1);
        while let Some((due, _)) = bench.engine.poll_timeout().filter(|(due, _)| *due <= end) {
            bench.engine.handle_timeout(due);
            while let Some(action) = bench.engine.poll_action() {
                if let Action::RunCheck(id) = action {
                    let kind = bench.engine.run(id).unwrap().check.kind.name();
                    let verdict = if kind == "icmp" { second } else { Verdict::Fail };
                    bench.engine.check_finished(due, id, outcome(verdict));
                }
            }
        }
        bench.now = end;
    };
    run(&mut bench, Verdict::Inconclusive);
    assert_eq!(bench.server("web1").health(), State::Starting, "down, and not known yet");
    run(&mut bench, Verdict::Pass);
    assert_eq!(bench.server("web1").health(), State::Up);
    assert_eq!(bench.server("web1").reason().code, Code::L4OK, "the reason is the passing one's");
    let all = text(tries);
    bench.engine.reconfigure(&any, &all, None, bench.now);
    assert_eq!(bench.server("web1").health(), State::Down, "a reload puts them together anew");
    bench.engine.reconfigure(&all, &any, None, bench.now);
    run(&mut bench, Verdict::Fail);
    assert_eq!(bench.server("web1").health(), State::Down);
}

#[test]
fn a_server_that_comes_and_goes_is_kept_down_and_says_why() {
    let config = config("    flap_damping: {falls: 2, within: 1m, hold: 2m}\n");
    let mut bench = Bench::new(&config, &Table::new());
    for _ in 0..2 {
        bench.pass(seconds(3), fails(&[]));
        bench.pass(seconds(3), fails(&["web1"]));
    }
    bench.pass(seconds(5), fails(&[]));
    let web1 = bench.server("web1");
    assert_eq!((web1.state(), web1.reason().code), ("down", Code::FLAPPING));
    let sentence = web1.reason().sentence.to_string();
    assert!(sentence.starts_with("it went down 2 times within 60s"), "{sentence}");
    assert!(sentence.ends_with("its checks say up: L4OK Pass"), "{sentence}");
    assert_eq!(bench.server("web2").state(), "up");
    bench.pass(seconds(119), fails(&[]));
    let web1 = bench.server("web1");
    assert_eq!((web1.state(), web1.reason().code), ("up", Code::L4OK));
}

#[test]
fn maintenance_ends_the_hold_and_so_does_a_reload_without_damping() {
    let damped = config("    flap_damping: {falls: 1, within: 1m, hold: 1h}\n");
    for reload in [false, true] {
        let mut bench = Bench::new(&damped, &Table::new());
        bench.pass(seconds(3), fails(&[]));
        bench.pass(seconds(3), fails(&["web1"]));
        bench.pass(seconds(3), fails(&[]));
        assert_eq!(bench.server("web1").reason().code, Code::FLAPPING);
        if reload {
            bench.engine.reconfigure(&damped, &config(""), None, bench.now);
        } else {
            let (service, server, now) = (name("web"), name("web1"), bench.now);
            bench.engine.maintain_server(now, &service, &server, by()).unwrap();
            bench.engine.ready_server(now, &service, &server, by()).unwrap();
            bench.pass(seconds(1), fails(&[]));
        }
        assert_eq!(bench.server("web1").state(), "up", "reload: {reload}");
    }
}

#[test]
fn initial_says_what_counts_before_the_first_check() {
    let mut served = Bench::new(&config(""), &Table::new());
    served.pass(seconds(1), fails(&[]));
    let kernel = served.engine.desired();
    for (initial, table, state, code) in [
        ("kernel", &Table::new(), "starting", Code::INI),
        ("kernel", &kernel, "up", Code::ADOPTED),
        ("down", &kernel, "starting", Code::INI),
        ("up", &Table::new(), "up", Code::INI),
        ("up", &kernel, "up", Code::ADOPTED),
    ] {
        let mut bench = Bench::new(&config(&format!("    initial: {initial}\n")), table);
        let web1 = bench.server("web1");
        assert_eq!((web1.state(), web1.reason().code), (state, code), "{initial}");
        bench.pass(seconds(1), fails(&["web1"]));
        let after_one_failure = if state == "up" { "up" } else { "down" };
        assert_eq!(bench.server("web1").state(), after_one_failure, "{initial}");
    }
}

#[test]
fn a_reload_weighs_anew_and_a_service_that_leaves_says_nothing_of_its_quorum() {
    let before = config("");
    let mut bench = Bench::new(&before, &Table::new());
    bench.pass(seconds(1), fails(&["web1"]));
    let after = config("    quorum: 2\n    sorry_servers: {sorry: 10.0.0.99:80}\n");
    bench.engine.reconfigure(&before, &after, None, bench.now);
    bench.collect();
    assert_eq!(told(&bench), [("up", "normal"), ("down", "sorry")]);
    let none = parse("f", "{}", &Environment::new("lb1")).config.unwrap();
    bench.engine.reconfigure(&after, &none, None, bench.now);
    bench.collect();
    assert_eq!(told(&bench).len(), 2);
    let left = bench.weights();
    assert!(left.iter().all(|(_, weight)| *weight == 0), "no sorry server either: {left:?}");
}

#[test]
fn the_daemon_s_stop_brings_no_sorry_server() {
    let mut bench =
        Bench::new(&config("    sorry_servers: {sorry: 10.0.0.99:80}\n"), &Table::new());
    bench.pass(seconds(1), fails(&[]));
    bench.engine.drain_all(bench.now, seconds(30), |_| true);
    bench.collect();
    assert!(bench.weights().iter().all(|(_, weight)| *weight == 0), "{:?}", bench.weights());
}

/// A script that can't be started, a user that is not there: what is missing is said of the server, which waits for it.
#[test]
fn a_server_that_starts_says_why_its_check_could_not_be_made() {
    let mut bench = Bench::new(&config(""), &Table::new());
    assert_eq!(bench.server("web1").reason().sentence, "no check has finished yet");
    bench.pass(seconds(2), |_| Verdict::Inconclusive);
    let web1 = bench.server("web1");
    assert_eq!((web1.state(), web1.reason().code), ("starting", Code::SOCKERR));
    assert_eq!(web1.reason().sentence, "Inconclusive");
    bench.pass(seconds(1), |_| Verdict::Pass);
    bench.pass(seconds(2), |_| Verdict::Inconclusive);
    let web1 = bench.server("web1");
    assert_eq!((web1.state(), web1.reason().code), ("up", Code::L4OK), "it stays what it is");
}

/// A script that is missing is heard of at once, the server's other check later: until then nobody knows whether it can serve.
#[test]
fn a_check_that_can_not_be_made_does_not_speak_for_one_that_is_still_to_be_heard() {
    for (tries, last) in [
        ("{any: [{icmp: {}, interval: 10s}, {tcp: {}, interval: 10s}]}", QuorumState::Up),
        ("{any: [{tcp: {}, interval: 10s}, {icmp: {}, interval: 10s}]}", QuorumState::Up),
        ("[{icmp: {}, interval: 10s}, {tcp: {}, interval: 10s}]", QuorumState::Down),
    ] {
        let text = format!(
            "services:\n  web:\n    listen: tcp 192.0.2.10:80\n    forward: nat\n    sorry_servers: {{sorry: {SORRY}}}\n    checks: {tries}\n    real_servers: {{web1: 10.0.0.11:80}}\n"
        );
        let config = parse("f", &text, &Environment::new("lb1")).config.unwrap();
        let mut bench = Bench::new(&config, &Table::new());
        let mut runs = vec![];
        while runs.len() < 2 {
            let (due, _) = bench.engine.poll_timeout().unwrap();
            bench.now = due;
            bench.engine.handle_timeout(due);
            bench.collect();
            runs.extend(std::mem::take(&mut bench.runs).into_iter().map(|(id, _)| id));
        }
        // That of the ping ends first, whichever began first.
        runs.sort_by_key(|id| bench.engine.run(*id).unwrap().check.kind.name() != "icmp");
        bench.engine.check_finished(bench.now, runs[0], outcome(Verdict::Inconclusive));
        bench.collect();
        let web1 = bench.server("web1");
        assert_eq!((web1.state(), web1.reason().code), ("starting", Code::INI), "{tries}");
        assert_eq!(pool(&bench).quorum(), QuorumState::Starting, "{tries}");
        assert_eq!((told(&bench), pool(&bench).regime()), (vec![], Regime::Normal), "{tries}");
        bench.engine.check_finished(bench.now, runs[1], outcome(Verdict::Pass));
        bench.collect();
        assert_eq!(pool(&bench).quorum(), last, "{tries}");
    }
}

/// After a boot without the scripts' folder, say: who has nothing to judge by does what he does when all are down, and not nothing.
#[test]
fn a_service_whose_checks_can_not_be_made_is_as_one_whose_servers_are_down() {
    for (keys, regime, expected) in [
        (
            "    all_down: fail_open\n",
            Regime::FailOpen,
            weights(&[("10.0.0.11:80", 5), ("10.0.0.12:80", 1)]),
        ),
        (
            "    sorry_servers: {sorry: 10.0.0.99:80}\n",
            Regime::Sorry,
            weights(&[("10.0.0.11:80", 0), ("10.0.0.12:80", 0), (SORRY, 1)]),
        ),
        ("", Regime::Normal, weights(&[("10.0.0.11:80", 0), ("10.0.0.12:80", 0)])),
    ] {
        let mut bench = Bench::new(&config(keys), &Table::new());
        assert_eq!(pool(&bench).quorum(), QuorumState::Starting);
        bench.pass(seconds(1), |_| Verdict::Inconclusive);
        assert_eq!((pool(&bench).quorum(), pool(&bench).regime()), (QuorumState::Down, regime));
        assert_eq!((bench.server("web1").state(), bench.weights()), ("starting", expected));
        assert_eq!(told(&bench).len(), 1);
        bench.pass(seconds(1), |_| Verdict::Pass);
        let up = vec![("10.0.0.11:80".to_owned(), 5), ("10.0.0.12:80".to_owned(), 1)];
        let serving: Vec<_> = bench.weights().into_iter().filter(|(_, w)| *w > 0).collect();
        assert_eq!((pool(&bench).quorum(), serving), (QuorumState::Up, up), "{keys}");
    }
}

/// What an operator and the checks can do to a pool.
#[derive(Clone, Copy, Debug)]
enum Step {
    Verdict(usize, bool),
    Drain(usize),
    Maint(usize),
    Ready(usize),
    Share(usize, u32),
}

fn step() -> impl Strategy<Value = Step> {
    let which = 0..2_usize;
    prop_oneof![
        4 => (which.clone(), any::<bool>()).prop_map(|(at, up)| Step::Verdict(at, up)),
        1 => which.clone().prop_map(Step::Drain),
        1 => which.clone().prop_map(Step::Maint),
        2 => which.clone().prop_map(Step::Ready),
        1 => (which, 0..200_u32).prop_map(|(at, share)| Step::Share(at, share)),
    ]
}

proptest! {
    /// Whatever happens, the table follows from the quorum as the documentation has it, and the quorum from the weights.
    #[test]
    fn the_table_is_what_the_quorum_says(
        all_down in prop::sample::select(vec!["drop", "sorry", "fail_open"]),
        quorum in 1..6_u32,
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let sorry =
            if all_down == "sorry" { "    sorry_servers: {sorry: 10.0.0.99:80}\n" } else { "" };
        let keys = format!("    quorum: {quorum}\n    all_down: {all_down}\n{sorry}");
        let mut bench = Bench::new(&config(&keys), &Table::new());
        let names = [name("web1"), name("web2")];
        let mut up = [true, true];
        bench.pass(seconds(3), fails(&[]));
        for step in steps {
            let (web, now) = (name("web"), bench.now);
            match step {
                Step::Verdict(at, verdict) => up[at] = verdict,
                Step::Drain(at) => {
                    drop(bench.engine.drain_server(now, &web, &names[at], None, by()));
                }
                Step::Maint(at) => drop(bench.engine.maintain_server(now, &web, &names[at], by())),
                Step::Ready(at) => drop(bench.engine.ready_server(now, &web, &names[at], by())),
                Step::Share(at, share) => {
                    let change = WeightChange::Share(share);
                    drop(bench.engine.weigh_server(&web, &names[at], change, by()));
                }
            }
            bench.collect();
            let (one, two) = (up[0], up[1]);
            bench.pass(seconds(4), move |server| {
                let passes = if server.as_str() == "web1" { one } else { two };
                if passes { Verdict::Pass } else { Verdict::Fail }
            });
            let pool = pool(&bench);
            let serving = |server: &&Server| {
                matches!(server.admin(), Admin::Ready) && server.health() == State::Up
            };
            let worth: u64 = pool
                .servers()
                .values()
                .filter(serving)
                .map(|server| {
                    let exact = server.definition().weight * server.share();
                    if exact == 0 { 0 } else { u64::from(((exact + 50) / 100).max(1)) }
                })
                .sum();
            prop_assert_eq!(pool.weight(), worth);
            let expected =
                if worth >= quorum.into() { QuorumState::Up } else { QuorumState::Down };
            prop_assert_eq!(pool.quorum(), expected);
            let takes: Vec<String> = bench
                .weights()
                .into_iter()
                .filter(|(_, weight)| *weight > 0)
                .map(|(address, _)| address)
                .collect();
            let weighted = |server: &&Server| server.definition().weight * server.share() > 0;
            let of = |wanted: &dyn Fn(&&Server) -> bool| -> Vec<String> {
                let servers = pool.servers().values().filter(weighted).filter(wanted);
                servers.map(|server| server.definition().address.to_string()).collect()
            };
            let expected = match (expected, all_down) {
                (QuorumState::Down, "sorry") => vec![SORRY.to_owned()],
                (QuorumState::Down, "fail_open") => {
                    of(&|server: &&Server| matches!(server.admin(), Admin::Ready))
                }
                _ => of(&|server: &&Server| serving(server)),
            };
            prop_assert_eq!(takes, expected);
        }
    }
}
