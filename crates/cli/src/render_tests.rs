use holdfast_control::{
    Change, Check, CheckReason, DaemonInfo, Difference, Disagreement, Discarded, DriftCount,
    DualActive, Fate, FateChannel, FateEnd, FateWatcher, Faults, HookRun, IdleTimeouts, Instance,
    Ipvs, Order, Peer, PeerNode, Quorum, Server, Service, SyncDaemon, SyncedConnections, Sysctl,
    Timing, Traffic, Weight,
};

use super::*;

fn server(name: &str, state: &str, effective_weight: Option<u32>, code: &str, why: &str) -> Server {
    Server {
        name: name.into(),
        address: "10.0.0.11:80".into(),
        state: state.into(),
        admin: if state.starts_with("drain") { "drain" } else { "ready" }.into(),
        health: if state == "down" { "down" } else { "up" }.into(),
        health_since_s: 130,
        order: None,
        drain_ends_in_s: None,
        weight: 10,
        share_percent: 100,
        ramp_percent: None,
        advice: None,
        effective_weight,
        active_connections: Some(37),
        inactive_connections: Some(12),
        persistent_connections: Some(0),
        traffic: Some(Traffic { connections_per_s: 401, ..Traffic::default() }),
        since_s: 130,
        reason: CheckReason { code: code.into(), sentence: why.into() },
        checks: vec![],
        origin: "config".into(),
        changes: vec![],
        lease_ms: None,
        lease_ends_in_s: None,
    }
}

fn sync_of_a_master() -> ConnectionSync {
    ConnectionSync {
        role: "follow".into(),
        follows: Some("edge".into()),
        wanted: vec!["master".into()],
        daemons: vec![SyncDaemon {
            role: "master".into(),
            interface: "eth1".into(),
            id: 51,
            group: Some("224.0.0.81".parse().unwrap()),
            port: Some(8848),
            ttl: Some(1),
            maxlen: Some(1472),
        }],
        fault: Some("stop backup sync daemon: EPERM".into()),
        starts_total: 1,
        stops_total: 0,
        drift_total: std::collections::BTreeMap::new(),
        caught_up_in_s: None,
        connections: Some(SyncedConnections {
            looked_at: 20_000,
            of_sync: 19_400,
            complete: false,
            s_ago: 3,
        }),
    }
}

fn a_sysctl_that_cannot_be_set() -> Sysctls {
    Sysctls {
        repairs_total: 1,
        each: vec![Sysctl {
            name: "net.ipv4.ip_forward".into(),
            wanted: "1".into(),
            why: "service `web` has `forward: nat`".into(),
            problem: Some("set the sysctl: EACCES".into()),
        }],
        unkept: Some("write /var/lib/holdfast/ipvs-sysctls-1: ENOSPC".into()),
        lost: None,
    }
}

fn a_service_with_a_server_of_each_state() -> Service {
    Service {
        name: "web".into(),
        listen: vec!["tcp 192.0.2.10:80".into()],
        scheduler: "wlc".into(),
        forward: "direct".into(),
        up: 1,
        quorum: Quorum { state: "up".into(), weight: 10, needed: 1, ..Quorum::default() },
        sorry_servers: vec![],
        weight_scale: 1,
        refused: vec![],
        traffic: Some(Traffic {
            connections_per_s: 812,
            bytes_in_per_s: 5_125_000,
            ..Traffic::default()
        }),
        discovery: None,
        servers: vec![
            server("web1", "up", Some(10), "L4OK", "connect to 10.0.0.11:80: connected"),
            server("web2", "draining", Some(0), "L4OK", "connect to 10.0.0.12:80: connected"),
            server("web3", "down", None, "L4CON", "connect to 10.0.0.13:80: connection refused"),
        ],
    }
}

fn a_node_that_differs() -> PeerNode {
    PeerNode {
        name: "lb2".into(),
        address: "192.0.2.3:9651".into(),
        state: "differs".into(),
        since_s: 130,
        seen_s_ago: Some(4),
        version: Some("0.1.0".into()),
        error: None,
        differs: vec![
            Difference {
                part: "services".into(),
                names: vec!["dns".into(), "web".into()],
                count: 2,
            },
            Difference {
                part: "runtime_changes".into(),
                names: vec!["web/web1".into()],
                count: 12,
            },
        ],
    }
}

fn a_channel_that_stands_and_one_that_does_not() -> Fate {
    let channel = |peer: [u8; 4], state: &str, fault: Option<&str>, last_end| FateChannel {
        peer: peer.into(),
        interface: "eth0".into(),
        state: state.into(),
        since_s: 41,
        fault: fault.map(str::to_owned),
        last_end,
    };
    let died =
        FateEnd { reason: "died".into(), text: "the daemon there has died".into(), s_ago: 41 };
    let refused = "connect to 192.0.2.4 on eth0: nobody listens there";
    Fate {
        port: 112,
        watched: vec![
            channel([192, 0, 2, 3], "over", None, Some(died)),
            channel([192, 0, 2, 4], "missing", Some(refused), None),
        ],
        watchers: vec![FateWatcher {
            peer: [192, 0, 2, 5].into(),
            interface: "eth0".into(),
            since_s: 7,
        }],
        problems: vec!["listen on port 112 on eth1: Address already in use".into()],
        ends: [("died".to_owned(), 1)].into(),
    }
}

fn a_hook_that_failed() -> HookRuns {
    HookRuns {
        hook: "/usr/local/bin/tell".into(),
        failed: 2,
        last: Some(HookRun {
            told: "INSTANCE edge MASTER 150".into(),
            result: "failed".into(),
            text: "exit status 1: no route".into(),
            took_ms: 12,
            s_ago: 41,
        }),
        ..HookRuns::default()
    }
}

fn example() -> Status {
    Status {
        daemon: DaemonInfo {
            runtime_changes: 0,
            journal_problem: None,
            node: "lb1".into(),
            version: "0.1.0".into(),
            config: "/etc/holdfast/holdfast.yaml".into(),
            uptime_s: 266_400,
            faults: Faults::default(),
            configuration: holdfast_control::reload::Configuration::default(),
        },
        vrrp: vec![Instance {
            name: "edge".into(),
            state: "active".into(),
            since_s: 41,
            reason: "active_silent".into(),
            interface: "eth0".into(),
            vrid: 51,
            version: 3,
            family: "ipv4".into(),
            priority: 150,
            base_priority: 150,
            addresses: vec!["192.0.2.10/24".into()],
            ..Instance::default()
        }],
        groups: vec![],
        trackers: vec![],
        bfd: vec![],
        bfd_strays: [].into(),
        fate: Some(a_channel_that_stands_and_one_that_does_not()),
        hooks: [("failed".to_owned(), 2)].into(),
        hook_runs: vec![a_hook_that_failed()],
        timing: Timing::default(),
        services: vec![a_service_with_a_server_of_each_state()],
        ipvs: Some(Ipvs {
            reconciliations_total: 9,
            operations_total: 4,
            drift_repairs_total: 1,
            drift_total: [("weight".to_owned(), 1)].into(),
            drift: vec![DriftCount {
                service: "tcp 192.0.2.10:80".into(),
                kind: "weight".into(),
                count: 1,
                last_s_ago: 70,
                last: "10.0.0.11:80 weight 50, should be 10".into(),
            }],
            in_sync_s_ago: Some(2),
            errors: vec!["add service tcp 192.0.2.10:80: ENOENT".into()],
            refusals_total: 3,
            foreign_policy: "keep".into(),
            foreign: vec!["tcp 192.0.2.99:22".into()],
            timeouts: Some(IdleTimeouts { tcp_s: 900, tcp_fin_s: 120, udp_s: 300 }),
            marked_ranges: 2,
            ..Ipvs::default()
        }),
        sync: Some(sync_of_a_master()),
        sysctls: a_sysctl_that_cannot_be_set(),
        runs: Default::default(),
        nodes: vec![a_node_that_differs()],
    }
}

#[test]
fn one_screen_says_who_is_active_what_is_down_and_why() {
    insta::assert_snapshot!(status(&example()));
}

#[test]
fn checks_that_wait_for_descriptors_are_told_of() {
    let runs = Runs { running: 20, waiting: 3 };
    let shown = status(&Status { runs, ..example() });
    assert!(shown.contains("\n! 3 checks are due and wait for descriptors: "), "{shown}");
    assert!(!status(&example()).contains("descriptors"));
}

#[test]
fn who_keeps_a_server_out_and_why_stands_beside_it_and_fractions_of_weights_have_decimals() {
    let order = |reason: Option<&str>| {
        let (who, reason) = (Some("alice as root".to_owned()), reason.map(str::to_owned));
        Some(Order { who, reason, since_s: 41 })
    };
    let mut service = example().services.remove(0);
    service.weight_scale = 100;
    let server = |name: &str, state: &str, weight| server(name, state, weight, "L4OK", "connected");
    service.servers = vec![
        Server { ramp_percent: Some(25), ..server("web1", "up", Some(255)) },
        Server { share_percent: 50, ..server("web2", "up", Some(500)) },
        Server {
            order: order(Some("kernel upgrade")),
            drain_ends_in_s: Some(250),
            ..server("web3", "draining", Some(0))
        },
        Server {
            admin: "maint".into(),
            health: "starting".into(),
            order: order(None),
            ..server("web4", "maint", Some(0))
        },
        server("web5", "up", Some(1000)),
    ];
    insta::assert_snapshot!(super::service(&service));
}

#[test]
fn a_check_that_says_nothing_and_a_certificate_that_ends_are_told_of_servers_that_are_up() {
    let check = |kind: &str, code: &str, why: &str, warning: Option<&str>| Check {
        kind: kind.into(),
        state: "up".into(),
        reason: CheckReason { code: code.into(), sentence: why.into() },
        warning: warning.map(str::to_owned),
        took_ms: Some(3),
    };
    let lacks = "start /usr/lib/x as nobody: permission denied (EACCES)";
    let ends = "its certificate ends in 9 days, on 2026-12-05";
    let checks = vec![
        check("exec", "SOCKERR", lacks, None),
        check("https", "L7OK", &format!("200 OK; {ends}"), Some(ends)),
        check("tcp", "L4OK", "connected", None),
    ];
    let told = |server: Server| {
        let mut service = example().services.remove(0);
        service.servers = vec![server];
        let shown = super::service(&service);
        let lines = shown.lines().filter(|line| line.starts_with('!'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let up = Server { checks, ..server("web1", "up", Some(10), "L4OK", "connected") };
    let nothing = format!("! web1: its check exec says nothing: {lacks}");
    assert_eq!(told(up.clone()), [nothing, format!("! web1: {ends}")]);
    assert_eq!(told(Server { admin: "maint".into(), ..up.clone() }), [""; 0]);
    // Said once where it is the reason of the server's state.
    let reason = up.checks[0].reason.clone();
    let starting = Server { health: "starting".into(), reason, ..up };
    assert_eq!(told(starting), [format!("! web1: {lacks}"), format!("! web1: {ends}")]);
}

#[test]
fn json_has_the_fields_of_the_api() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&example()).unwrap());
}

#[test]
fn a_change_says_what_the_server_is_now_and_what_to_know() {
    let now = Some(server("web4", "starting", Some(0), "INI", "no check has finished yet"));
    let note = Some("it is not in the configuration's file".to_owned());
    let added = Change { changed: true, service: "web".into(), server: "web4".into(), now, note };
    assert_eq!(change(&added), "web/web4 starting\nnote: it is not in the configuration's file\n");
    let gone = Change { changed: false, now: None, note: None, ..added };
    assert_eq!(change(&gone), "web/web4 is not there (already so)\n");
}

#[test]
fn an_age_has_its_two_largest_units() {
    let ages = [0, 59, 60, 130, 3599, 3600, 86_399, 86_400, 266_400].map(age);
    let wanted = ["0s", "59s", "1m00s", "2m10s", "59m59s", "1h00m", "23h59m", "1d00h", "3d02h"];
    assert_eq!(ages, wanted);
}

fn backup() -> Instance {
    Instance {
        name: "edge".into(),
        state: "backup".into(),
        priority: 130,
        base_priority: 150,
        weights: vec![
            Weight { tracker: "haproxy".into(), weight: -20 },
            Weight { tracker: "uplink".into(), weight: 0 },
        ],
        released: true,
        yields: true,
        discarded: Some(Discarded {
            reason: "password".into(),
            source: "192.0.2.3".parse().unwrap(),
            ms_ago: 200,
        }),
        disagreements: vec![Disagreement {
            peer: "192.0.2.2".parse().unwrap(),
            about: "interval".into(),
            theirs: "200ms".into(),
            ours: "1s".into(),
            text: "192.0.2.2 advertises every 200ms, and `interval` here is 1s".into(),
            advice: "both nodes should have the same interval".into(),
            since_s: 12,
            heard_ms_ago: 100,
        }],
        peers: vec![Peer {
            address: "192.0.2.2".parse().unwrap(),
            priority: 100,
            interval_ms: 1000,
            checksum: "rfc9568".into(),
            heard_ms_ago: 2400,
            advertisements: 7,
        }],
        dual_active: Some(DualActive {
            other: "192.0.2.2".parse().unwrap(),
            other_priority: 100,
            own: Some("192.0.2.1".parse().unwrap()),
            since_s: 12,
        }),
        ..Instance::default()
    }
}

#[test]
fn what_is_not_as_usual_is_said_below_the_instances() {
    let text = instances(&[backup()]);
    for part in [
        "130 (150)",
        "two nodes are active for 12s: 192.0.2.2 with priority 100 does not hear 192.0.2.1",
        "! edge: advertisements of 192.0.2.3 are discarded: password",
        "! edge: 192.0.2.2 advertises every 200ms, and `interval` here is 1s: both nodes should have the same interval\n",
        "! edge: gave its role away: it preempts nobody",
        "! edge: released: `holdfast vrrp resume` takes it back",
        "! edge: priority 150 by haproxy -20\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
}

#[test]
fn who_was_heard_is_listed_with_the_form_of_its_checksum() {
    let text = instances_and_peers(&[backup()]);
    assert!(text.contains("192.0.2.2  100   1000ms    rfc9568"), "{text}");
    assert!(!instances_and_peers(&[Instance::default()]).contains("PEER OF"));
}
