//! The daemon's state for Prometheus, made anew from a [`Status`] at each scrape: what is gone leaves no series behind.
//!
//! How many series there are is bounded by the configuration: labels are names of services, servers, instances and trackers, programs and
//! addresses that it has, and words of fixed sets. No label has an address, a sentence or a code that comes from outside. What has happened
//! by itself (checks, requests) is counted by [`crate::tally`] and [`crate::checks`].

mod daemon;
mod kernel;
mod labels;
mod services;
mod text;
mod traffic;
mod vrrp;

use std::fmt;
use std::sync::atomic::AtomicU64;

use holdfast_control::Status;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

/// In which form metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' text format, 0.0.4.
    Text,
    /// OpenMetrics 1.0.0, for who asks for it.
    OpenMetrics,
}

impl Form {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

type Numbers<L> = Family<L, Gauge<i64>>;
type Totals<L> = Family<L, Counter<u64, AtomicU64>>;

/// `status` and what was counted, in the form of choice.
///
/// # Errors
/// Never in practice: the text is written to memory.
pub fn render(status: &Status, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("holdfast");
    registry.register(
        "build",
        "The program's version",
        Info::new(vec![("version", status.daemon.version.clone())]),
    );
    let uptime: Gauge = Gauge::default();
    uptime.set(signed(status.daemon.uptime_s));
    registry.register_with_unit("uptime", "Time since the daemon started", Unit::Seconds, uptime);
    daemon::configuration(&mut registry, &status.daemon.configuration);
    vrrp::instances(&mut registry, &status.vrrp);
    vrrp::transitions(&mut registry, &status.vrrp);
    vrrp::takeovers(&mut registry, &status.vrrp);
    vrrp::trackers(&mut registry, &status.trackers);
    vrrp::bfd(&mut registry, &status.bfd);
    vrrp::fate(&mut registry, &status.vrrp, status.fate.as_ref());
    daemon::hooks(&mut registry, &status.hooks, &status.hook_runs);
    registry.register_with_unit(
        "vrrp_timer_lateness",
        "How late the VRRP thread's timers fired",
        Unit::Seconds,
        vrrp::Late(status.timing.clone()),
    );
    services::pools(&mut registry, &status.services);
    services::certificates(&mut registry, &status.services);
    traffic::traffic(&mut registry, &status.services);
    traffic::discovery(&mut registry, &status.services);
    if let Some(ipvs) = &status.ipvs {
        kernel::table(&mut registry, ipvs, status.sync.as_ref());
    }
    if let Some(sync) = &status.sync {
        kernel::synchronisation(&mut registry, sync);
    }
    kernel::sysctls(&mut registry, &status.sysctls);
    daemon::nodes(&mut registry, &status.nodes);
    let faults = &status.daemon.faults;
    for (name, help, value) in [
        ("panics", "Faults of the daemon that ended one task each", faults.panics),
        ("worker_restarts", "Workers that died and were replaced", faults.restarts),
        ("vrrp_lost_packets", "Packets that were not read in time", status.timing.lost_packets),
        (
            "vrrp_link_resynchronisations",
            "Listings of links after messages were lost",
            status.timing.link_resynchronisations,
        ),
    ] {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    daemon::checks(&mut registry, status.runs);
    daemon::tallies(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match form {
        Form::OpenMetrics => text,
        Form::Text => text::from_open_metrics(&text),
    })
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use holdfast_control::reload::{Configuration, LastReload};
    use holdfast_control::{
        Check, CheckReason, ConnectionSync, DaemonInfo, Difference, Fate, FateChannel, HookRuns,
        Instance, Ipvs, PeerNode, Quorum, Server, Service, SyncedConnections, Sysctls, Timing,
        Tracker,
    };

    use super::*;

    fn daemon() -> DaemonInfo {
        DaemonInfo {
            node: "lb1".into(),
            version: "0.1.0".into(),
            config: "c".into(),
            uptime_s: 5,
            faults: holdfast_control::Faults { panics: 2, restarts: 1, last_end: None },
            runtime_changes: 0,
            journal_problem: None,
            configuration: Configuration {
                last_good: None,
                generation: 3,
                fingerprint: "00000000000000ff".into(),
                loaded_at: 1_800_000_000,
                reloads_applied: 2,
                reloads_refused: 1,
                last_reload: Some(LastReload { applied: false, at: 1_800_000_001, error: None }),
            },
        }
    }

    fn told_and_in_fault() -> ConnectionSync {
        ConnectionSync {
            wanted: vec!["master".to_owned()],
            fault: Some("no such interface".to_owned()),
            drift_total: [("sync_daemon_missing".to_owned(), 2)].into(),
            connections: Some(SyncedConnections {
                looked_at: 10,
                of_sync: 7,
                complete: true,
                s_ago: 0,
            }),
            ..ConnectionSync::default()
        }
    }

    fn a_backup_and_its_channel() -> (Instance, Fate) {
        let waits = Instance {
            name: "inner".into(),
            state: "backup".into(),
            interface: "eth1".into(),
            vrid: 52,
            family: "ipv4".into(),
            active: Some([192, 0, 2, 2].into()),
            ..Instance::default()
        };
        let channel = FateChannel {
            peer: [192, 0, 2, 2].into(),
            interface: "eth1".into(),
            state: "stands".into(),
            since_s: 9,
            fault: None,
            last_end: None,
        };
        let fate = Fate {
            port: 112,
            watched: vec![channel],
            ends: [("died".to_owned(), 1)].into(),
            ..Fate::default()
        };
        (waits, fate)
    }

    fn two_servers_of_which_one_has_a_certificate_that_ends() -> Service {
        let server = |name: &str, warning: Option<&str>| Server {
            name: name.into(),
            checks: vec![Check {
                kind: "https".into(),
                state: "up".into(),
                reason: CheckReason { code: "L7OK".into(), sentence: String::new() },
                warning: warning.map(str::to_owned),
                took_ms: None,
            }],
            address: "192.0.2.21:443".into(),
            state: "up".into(),
            admin: "ready".into(),
            order: None,
            drain_ends_in_s: None,
            health: "up".into(),
            health_since_s: 1,
            weight: 1,
            share_percent: 100,
            ramp_percent: None,
            advice: None,
            effective_weight: Some(1),
            active_connections: None,
            inactive_connections: None,
            persistent_connections: None,
            traffic: None,
            since_s: 1,
            reason: CheckReason { code: "L7OK".into(), sentence: String::new() },
            origin: "config".into(),
            changes: vec![],
            lease_ms: None,
            lease_ends_in_s: None,
        };
        Service {
            name: "web".into(),
            listen: vec!["tcp 192.0.2.10:443".into()],
            scheduler: "rr".into(),
            forward: "nat".into(),
            up: 2,
            quorum: Quorum::default(),
            sorry_servers: vec![],
            weight_scale: 1,
            refused: vec![],
            traffic: None,
            discovery: None,
            servers: vec![
                server("web1", Some("its certificate ends in 9 days, on 2026-12-05")),
                server("web2", None),
            ],
        }
    }

    fn of_everything() -> Status {
        let instance = Instance {
            name: "edge".into(),
            state: "active".into(),
            since_s: 1,
            reason: String::new(),
            interface: "eth0".into(),
            vrid: 51,
            version: 3,
            family: "ipv4".into(),
            priority: 150,
            transitions: 2,
            transitions_to: [("active".to_owned(), 2)].into(),
            last_transition_at: Some(1_800_000_002),
            addresses: vec!["192.0.2.10/24".into(), "192.0.2.11/24".into()],
            excluded: vec!["2001:db8::10/64".into()],
            holds_addresses: true,
            counters: [("hop_limit".to_owned(), 7), ("stalls".to_owned(), 1)].into(),
            ..Instance::default()
        };
        let timing = Timing {
            late: vec![(Some(1000), 3), (Some(5000), 1), (None, 1)],
            late_sum_us: 1_500_000,
            ..Timing::default()
        };
        let tracker = Tracker {
            name: "haproxy".into(),
            kind: "process".into(),
            state: "up".into(),
            reason: String::new(),
            since_s: 1,
        };
        let (waits, fate) = a_backup_and_its_channel();
        Status {
            daemon: daemon(),
            vrrp: vec![instance, waits],
            groups: vec![],
            trackers: vec![tracker],
            bfd: vec![],
            bfd_strays: [].into(),
            fate: Some(fate),
            hooks: [("failed".to_owned(), 2), ("dropped".to_owned(), 4)].into(),
            hook_runs: vec![HookRuns {
                hook: "/bin/tell".into(),
                failed: 2,
                ..HookRuns::default()
            }],
            timing,
            services: vec![two_servers_of_which_one_has_a_certificate_that_ends()],
            ipvs: Some(Ipvs::default()),
            sync: Some(told_and_in_fault()),
            sysctls: Sysctls { repairs_total: 3, ..Sysctls::default() },
            runs: Default::default(),
            nodes: vec![PeerNode {
                name: "lb2".into(),
                state: "differs".into(),
                differs: vec![Difference { part: "vrrp".into(), ..Difference::default() }],
                ..PeerNode::default()
            }],
        }
    }

    #[test]
    fn states_are_a_set_of_which_one_is_true() {
        let text = render(&of_everything(), Form::OpenMetrics).expect("text");
        for line in [
            r#"holdfast_vrrp_state{instance="edge",interface="eth0",vrid="51",family="ipv4",state="active"} 1"#,
            r#"holdfast_vrrp_state{instance="edge",interface="eth0",vrid="51",family="ipv4",state="backup"} 0"#,
            r#"holdfast_vrrp_priority{instance="edge",kind="effective"} 150"#,
            r#"holdfast_vrrp_packets_total{instance="edge",counter="hop_limit"} 7"#,
            r#"holdfast_vrrp_events_total{instance="edge",counter="stalls"} 1"#,
            "holdfast_uptime_seconds 5",
            "holdfast_panics_total 2",
            "holdfast_worker_restarts_total 1",
            "holdfast_config_generation 3",
            r#"holdfast_config_info{fingerprint="00000000000000ff"} 1"#,
            "holdfast_config_last_reload_success_timestamp_seconds 1800000000",
            "holdfast_config_last_reload_successful 0",
            r#"holdfast_reloads_total{result="applied"} 2"#,
            r#"holdfast_reloads_total{result="refused"} 1"#,
            r#"holdfast_hook_runs_total{hook="/bin/tell",result="failed"} 2"#,
            r#"holdfast_hook_runs_total{hook="/bin/tell",result="passed"} 0"#,
            r#"holdfast_hook_notices_dropped_total 4"#,
            r#"holdfast_vrrp_transitions_total{instance="edge",interface="eth0",vrid="51",family="ipv4",to="active"} 2"#,
            r#"holdfast_vrrp_last_transition_timestamp_seconds{instance="edge",interface="eth0",vrid="51",family="ipv4"} 1800000002"#,
            r#"holdfast_vip_announced{instance="edge",vip="192.0.2.11"} 1"#,
            r#"holdfast_vip_announced{instance="edge",vip="2001:db8::10"} 1"#,
            r#"holdfast_vrrp_fate_up{instance="edge",interface="eth0",vrid="51",family="ipv4"} 0"#,
            r#"holdfast_vrrp_fate_up{instance="inner",interface="eth1",vrid="52",family="ipv4"} 1"#,
            r#"holdfast_vrrp_fate_ends_total{reason="died"} 1"#,
            "holdfast_vrrp_fate_watchers 0",
            r#"holdfast_peer_config_in_sync{node="lb2"} 0"#,
            r#"holdfast_tracker_up{tracker="haproxy"} 1"#,
            r#"holdfast_vrrp_timer_lateness_seconds_bucket{le="0.001"} 3"#,
            r#"holdfast_vrrp_timer_lateness_seconds_bucket{le="0.005"} 4"#,
            r#"holdfast_vrrp_timer_lateness_seconds_bucket{le="+Inf"} 5"#,
            "holdfast_vrrp_timer_lateness_seconds_count 5",
            r#"holdfast_ipvs_sync_wanted{role="master"} 1"#,
            r#"holdfast_ipvs_sync_running{role="master"} 0"#,
            "holdfast_ipvs_sync_fault 1",
            r#"holdfast_ipvs_drift_total{kind="sync_daemon_missing"} 2"#,
            r#"holdfast_ipvs_connections_sampled{origin="sync"} 7"#,
            r#"holdfast_ipvs_connections_sampled{origin="local"} 3"#,
            "holdfast_sysctl_repairs_total 3",
            r#"holdfast_node_up{node="lb2"} 1"#,
            r#"holdfast_node_differs{node="lb2",part="vrrp"} 1"#,
            r#"holdfast_node_differs{node="lb2",part="services"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
        let warned: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("holdfast_server_certificate_ends_soon{"))
            .collect();
        let web1 = r#"holdfast_server_certificate_ends_soon{service="web",server="web1"} 1"#;
        assert_eq!(warned, [web1], "no series for a server without");
    }
}
