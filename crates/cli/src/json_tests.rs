//! What `-o json` prints of each command, by example: programs read it. A field that is renamed or removed changes a snapshot, and that
//! breaks somebody's program; one that is added is no harm (docs/api.md). The status has its own in `render_tests.rs`, listings of IPVS in
//! `integration/tests/ipvsadm`, an import in `import.rs`, `top` in `top/screen.rs`.

use holdfast_control::reload::{self, Drift, Plan, Reloaded};
use holdfast_control::{
    Change, Check, CheckReason, CheckRun, Event, EventPage, Exported, Instance, Log, NodeReport,
    NodesReport, Order, RoleChange, RuntimeChange, RuntimeChanges, Server, Traffic, Trial,
    TrialStep,
};
use serde::Serialize;

use crate::output::to_answer;

/// What is printed of it.
fn printed<T: Serialize>(value: &T) -> String {
    let answer = to_answer(value, |_| String::new()).expect("JSON");
    format!("{:#}\n", answer.json)
}

fn reason() -> CheckReason {
    CheckReason { code: "L4OK".into(), sentence: "connect to 10.0.0.11:80: connected".into() }
}

fn runtime_change() -> RuntimeChange {
    RuntimeChange {
        service: "web".into(),
        server: "web1".into(),
        address: "10.0.0.11:80".into(),
        kind: "weight".into(),
        from: Some("10".into()),
        to: Some("50%".into()),
        who: Some("alice as root".into()),
        reason: Some("a new disk".into()),
        at: 1_800_000_000,
        ephemeral: true,
        lease_ms: Some(30_000),
        lease_ends_in_s: Some(12),
        dormant: Some("the file has no such server".into()),
    }
}

fn server() -> Server {
    Server {
        name: "web1".into(),
        address: "10.0.0.11:80".into(),
        state: "draining".into(),
        admin: "drain".into(),
        order: Some(Order {
            who: Some("alice as root".into()),
            reason: Some("a new disk".into()),
            since_s: 41,
        }),
        drain_ends_in_s: Some(250),
        health: "up".into(),
        health_since_s: 130,
        weight: 10,
        share_percent: 50,
        ramp_percent: Some(25),
        advice: Some(holdfast_control::Advice { weight: 7, percent: 75, wish: "ready".into() }),
        effective_weight: Some(0),
        active_connections: Some(37),
        inactive_connections: Some(12),
        persistent_connections: Some(2),
        traffic: Some(Traffic { connections: 9, bytes_in_per_s: 7, ..Traffic::default() }),
        since_s: 41,
        reason: reason(),
        checks: vec![Check {
            kind: "tcp".into(),
            state: "up".into(),
            reason: reason(),
            warning: None,
            took_ms: Some(3),
        }],
        origin: "config".into(),
        changes: vec![runtime_change()],
        lease_ms: Some(30_000),
        lease_ends_in_s: Some(12),
    }
}

fn change_of_a_file() -> reload::Change {
    reload::Change {
        sign: "~".into(),
        kind: "server".into(),
        name: "web/web1".into(),
        key: Some("weight".into()),
        text: "1 → 7".into(),
        impact: "new_connections".into(),
        connections: Some(3),
        note: Some("it drains".into()),
    }
}

#[test]
fn server_add_drain_ready_maint_weight_rm() {
    let change = Change {
        changed: true,
        service: "web".into(),
        server: "web1".into(),
        now: Some(server()),
        note: Some("it is not in the configuration's file".into()),
    };
    insta::assert_snapshot!(printed(&change));
}

#[test]
fn what_all_nodes_have_done() {
    let report = |node: &str| NodeReport { node: node.into(), ..NodeReport::default() };
    let change = Change {
        changed: true,
        service: "web".into(),
        server: "web1".into(),
        now: None,
        note: None,
    };
    let nodes = vec![
        NodeReport { applied: true, changed: true, change: Some(change), ..report("lb1") },
        NodeReport { applied: true, error: Some("3 connections are left".into()), ..report("lb2") },
        NodeReport {
            code: Some("node_unreachable".into()),
            error: Some("connect to lb3 (10.0.0.3:9651): refused".into()),
            ..report("lb3")
        },
        NodeReport {
            unknown: true,
            code: Some("node_silent".into()),
            error: Some("no answer of lb4 (10.0.0.4:9651)".into()),
            ..report("lb4")
        },
    ];
    insta::assert_snapshot!(printed(&NodesReport { complete: false, nodes }));
}

#[test]
fn vrrp_release_resume_failover_and_status() {
    let instance = Instance { name: "edge".into(), state: "backup".into(), ..Instance::default() };
    let change =
        RoleChange { changed: true, instances: vec![instance], note: Some("nobody else".into()) };
    insta::assert_snapshot!(printed(&change));
}

#[test]
fn plan() {
    let plan = Plan {
        changes: vec![change_of_a_file()],
        drift: vec![Drift {
            service: "tcp 192.0.2.10:80".into(),
            destination: Some("10.0.0.11:80".into()),
            text: "weight 50, should be 1".into(),
            kind: "weight".into(),
        }],
        problems: vec!["service odd: the kernel has no scheduler `twos`".into()],
        needs_restart: true,
        fingerprint: "00000000000000ff".into(),
        warnings: "warning[HF0701]: …".into(),
    };
    insta::assert_snapshot!(printed(&plan));
}

#[test]
fn reload() {
    let reloaded = Reloaded {
        changes: vec![change_of_a_file()],
        generation: 2,
        fingerprint: "00000000000000ff".into(),
        took_ms: 9,
        warnings: "warning[HF0701]: …".into(),
    };
    insta::assert_snapshot!(printed(&reloaded));
}

#[test]
fn events() {
    let event = Event {
        number: 7,
        at_ms: 1_800_000_000_000,
        kind: "server.down".into(),
        subject: "web/web1".into(),
        text: "L4CON: connection refused".into(),
        who: Some("alice as root".into()),
        reason: Some("a new disk".into()),
    };
    insta::assert_snapshot!(printed(&EventPage { events: vec![event], lost: 1, last: 7 }));
}

#[test]
fn log_level() {
    let (filter, format) = ("info".into(), "logfmt".into());
    insta::assert_snapshot!(printed(&Log { filter, format, lost_lines: 3, changed: true }));
}

#[test]
fn diff() {
    let changes = vec![runtime_change()];
    let journal_problem = Some("the journal can't be written: ENOSPC".into());
    insta::assert_snapshot!(printed(&RuntimeChanges { changes, journal_problem }));
}

#[test]
fn export() {
    let (text, left_out) = ("node: lb1\n".into(), vec!["web/web4 has a lease".into()]);
    insta::assert_snapshot!(printed(&Exported { text, left_out }));
}

#[test]
fn check_run() {
    let trial = Trial {
        kind: "tcp".into(),
        target: "10.0.0.11:80".into(),
        verdict: "pass".into(),
        reason: reason(),
        took_us: 812,
        timeout_ms: 1000,
        weight: Some(7),
        percent: Some(75),
        wish: Some("ready".into()),
        steps: vec![TrialStep { at_us: 5, kind: "sent".into(), length: 4, text: "PING".into() }],
    };
    let run = CheckRun {
        service: "web".into(),
        server: "web1".into(),
        address: "10.0.0.11:80".into(),
        by: "daemon".into(),
        trials: vec![trial],
    };
    insta::assert_snapshot!(printed(&run));
}

#[test]
fn explain() {
    let answer = crate::check::explain("HF0101").expect("there is such a code");
    let keys: Vec<&String> = answer.json.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["subject", "text"]);
}

#[test]
fn doctor() {
    insta::assert_snapshot!(printed(&crate::doctor::example()));
}

#[test]
fn check() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("holdfast.yaml");
    std::fs::write(&file, "node: lb1\n").expect("a file");
    let check = crate::args::Check { file, node: None, offline: true };
    let answer = crate::check::check(&check, crate::args::Output::Json).expect("valid");
    assert_eq!(answer.json, serde_json::json!({"valid": true, "diagnostics": []}));
}
