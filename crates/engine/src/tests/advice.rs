//! What checks say of weights, and what the kernel's table has then.

use holdfast_health::{Asked, Feedback, Wish};

use super::*;

/// Both servers are up, and web1's check has told this.
fn told(bench: &mut Bench, feedback: Feedback) {
    let id = bench.server("web1").checks[0];
    bench.engine.check_advises(bench.now, id, feedback);
    bench.collect();
}

fn weight(asked: Asked) -> Feedback {
    Feedback { weight: Some(asked), wish: None }
}

fn wish(wish: Wish) -> Feedback {
    Feedback { weight: None, wish: Some(wish) }
}

fn up(persistence: &str) -> Bench {
    let mut config = config("");
    if !persistence.is_empty() {
        let text = format!(
            "services: {{web: {{listen: tcp 192.0.2.10:80, forward: nat, {persistence}, check: {{tcp: {{}}, interval: 1s}}, real_servers: {{web1: {{address: 10.0.0.11:80, weight: 5}}, web2: 10.0.0.12:80}}}}}}"
        );
        config = parse("test.yaml", &text, &Environment::new("lb1")).config.unwrap();
    }
    let mut bench = Bench::new(&config, &Table::new());
    bench.pass(seconds(5), |_| Verdict::Pass);
    bench.reports.clear();
    bench
}

fn web1(bench: &Bench) -> Option<u32> {
    let weights = bench.weights();
    weights.into_iter().find(|(to, _)| to == "10.0.0.11:80").map(|(_, weight)| weight)
}

#[test]
fn a_weight_that_a_check_reports_stands_in_place_of_the_configured_one_at_once() {
    let mut bench = up("");
    let before = bench.reconciled;
    told(&mut bench, weight(Asked::Weight(253)));
    assert_eq!((web1(&bench), bench.reconciled), (Some(253), before + 1));
    told(&mut bench, Feedback::NONE);
    assert_eq!((web1(&bench), bench.reconciled), (Some(253), before + 1), "unchanged");
    told(&mut bench, weight(Asked::Weight(0)));
    assert_eq!((web1(&bench), bench.server("web1").state()), (Some(0), "up"));
    assert!(bench.reports.is_empty(), "a load that goes up and down is no news");
}

#[test]
fn an_agents_percentage_is_one_factor_among_the_others() {
    let mut bench = up("");
    told(&mut bench, weight(Asked::Percent(40)));
    assert_eq!(web1(&bench), Some(2));
    let share = WeightChange::Share(50);
    bench.engine.weigh_server(&name("web"), &name("web1"), share, by()).unwrap();
    assert_eq!(web1(&bench), Some(1));
    told(&mut bench, weight(Asked::Percent(100)));
    assert_eq!(web1(&bench), Some(3));
}

/// keepalived #2720: a check whose command was killed left its weight behind, again and again.
#[test]
fn no_sequence_of_failures_and_weights_leaves_a_rest_behind() {
    let mut bench = up("");
    for round in 0..20 {
        told(&mut bench, weight(Asked::Weight(10 + round)));
        bench.pass(seconds(3), |_| Verdict::Fail);
        assert_eq!(web1(&bench), Some(0));
        bench.pass(seconds(3), |_| Verdict::Pass);
        assert_eq!(web1(&bench), Some(10 + round));
    }
    bench.engine.maintain_server(bench.now, &name("web"), &name("web1"), by()).unwrap();
    bench.engine.ready_server(bench.now, &name("web"), &name("web1"), by()).unwrap();
    bench.pass(seconds(5), |_| Verdict::Pass);
    assert_eq!(web1(&bench), Some(5), "what was said before the maintenance is forgotten");
}

#[test]
fn an_agent_that_wants_no_connections_gets_none_until_it_is_ready() {
    let mut bench = up("");
    told(&mut bench, wish(Wish::Drain));
    assert_eq!((web1(&bench), bench.server("web1").state()), (Some(0), "up"));
    told(&mut bench, weight(Asked::Percent(80)));
    assert_eq!(web1(&bench), Some(0), "`drain` holds until the agent says `ready`");
    told(&mut bench, wish(Wish::Ready));
    assert_eq!(web1(&bench), Some(4));
    let kinds: Vec<_> = bench.reports.iter().map(Report::kind).collect();
    assert_eq!(kinds, ["server.wishes", "server.wishes"]);
    assert_eq!(bench.reports[0].to_string(), "its agent says drain after ready");
}

#[test]
fn with_persistence_a_drain_keeps_the_destination_and_a_maintenance_removes_it() {
    let mut bench = up("persistence: {}");
    told(&mut bench, wish(Wish::Drain));
    assert_eq!(web1(&bench), Some(0), "remembered clients come back");
    told(&mut bench, wish(Wish::Maint));
    assert_eq!(web1(&bench), None);
    told(&mut bench, wish(Wish::Ready));
    assert_eq!(web1(&bench), Some(5));
}

#[test]
fn a_prompt_runs_a_check_now_and_one_that_is_gone_is_none() {
    let mut bench = up("");
    let id = bench.server("web1").checks[0];
    bench.engine.prompt(bench.now, id);
    assert_eq!(bench.engine.poll_timeout(), Some((bench.now, Timer::Check)));
    bench.engine.maintain_server(bench.now, &name("web"), &name("web1"), by()).unwrap();
    assert!(!bench.engine.has_check(id));
    bench.engine.prompt(bench.now, id);
    bench.engine.check_advises(bench.now, id, wish(Wish::Drain));
    assert!(bench.server("web1").advice().is_silent());
}
