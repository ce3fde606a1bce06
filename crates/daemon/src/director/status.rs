//! The state of everything, for the control API.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_config::{ForeignServices, RealServer};
use holdfast_control::{
    Advice, Check, CheckReason, DaemonInfo, IdleTimeouts, Ipvs, Order, Quorum, Runs, Server,
    Service, SorryServer, Status, Sysctls, Timing, Traffic,
};
use holdfast_engine::{Admin, CheckView, Connections, Pool, Presence, Standing};
use holdfast_health::Reason;
use holdfast_probe::certificate_warning;
use holdfast_time::Instant;
use ipvs_ctl::model::{Counters, Scheduler, ServiceFlags, Timeouts};

use super::{Director, Kernel};
use crate::hooks::HookCounts;

impl Director {
    /// What is wrong with the memory of releases. It is not waited for while it is being written.
    fn released_problem(&self) -> Option<String> {
        self.released.try_lock().ok()?.problem().map(str::to_owned)
    }

    /// Everything at a glance but VRRP, which its own thread tells.
    pub(super) fn status_without_vrrp(&self) -> Status {
        let now = holdfast_net::now();
        Status {
            daemon: DaemonInfo {
                node: self.config.node.clone(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
                config: self.config_path.clone(),
                configuration: self.loaded.view(),
                runtime_changes: self.runtime.all(&self.engine).changes.len(),
                journal_problem: self.runtime.problem().or_else(|| self.released_problem()),
                uptime_s: now.saturating_since(self.started).as_secs(),
                faults: crate::supervisor::faults(),
            },
            vrrp: Vec::new(),
            groups: Vec::new(),
            trackers: Vec::new(),
            bfd: Vec::new(),
            bfd_strays: BTreeMap::new(),
            fate: None,
            hooks: self.hook_counts(),
            hook_runs: self.hooks.runs(),
            timing: Timing::default(),
            services: self.engine.pools().values().map(|pool| self.service(pool)).collect(),
            ipvs: self.kernel.as_ref().map(|kernel| self.table(kernel)),
            sync: None,
            sysctls: Sysctls::default(),
            runs: self.runs(),
            nodes: self.nodes.view(),
        }
    }

    fn runs(&self) -> Runs {
        let (running, waiting) = self.runner.load();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Runs { running: count(running), waiting: count(waiting) }
    }

    /// The kernel's table and what else services need of the kernel.
    pub(super) fn table(&self, kernel: &Kernel) -> Ipvs {
        let mut ipvs = kernel.status(holdfast_net::now());
        let view = self.besides.view();
        for (name, sentences) in &self.refused {
            ipvs.errors
                .extend(sentences.iter().map(|sentence| format!("service {name}: {sentence}")));
        }
        ipvs.errors.extend(view.marks_problem.iter().map(|problem| {
            format!("packets are not marked for {}: {problem}", self.marked_services().join(", "))
        }));
        ipvs.errors.extend(view.timeouts_problem);
        ipvs.foreign_policy = match self.config.ipvs.foreign {
            ForeignServices::Keep => "keep".to_owned(),
            ForeignServices::Remove => "remove".to_owned(),
        };
        ipvs.marked_ranges = view.marked;
        ipvs.timeouts = view.timeouts.map(|Timeouts { tcp_s, tcp_fin_s, udp_s }| IdleTimeouts {
            tcp_s,
            tcp_fin_s,
            udp_s,
        });
        ipvs.settings_repairs_total = view.repairs;
        ipvs
    }

    /// The names of services that packets are marked for.
    fn marked_services(&self) -> Vec<&str> {
        let pools = self.engine.pools().values();
        let marked = pools.filter(|pool| is_marked(pool.service()));
        marked.map(|pool| pool.service().name.as_str()).collect()
    }

    fn hook_counts(&self) -> BTreeMap<String, u64> {
        let HookCounts { passed, failed, timed_out, not_started, dropped } = self.hooks.counts();
        [
            ("passed", passed),
            ("failed", failed),
            ("timed_out", timed_out),
            ("not_started", not_started),
            ("dropped", dropped),
        ]
        .map(|(result, count)| (result.to_owned(), count))
        .into()
    }

    fn service(&self, pool: &Pool) -> Service {
        let service = pool.service();
        let serving = |presence| matches!(presence, Presence::Weight(1..));
        Service {
            name: service.name.to_string(),
            listen: service.listen.iter().map(ToString::to_string).collect(),
            scheduler: format!("{}{}", service.scheduler, flags(&service.scheduler, service.flags)),
            forward: service.forwarding.word().to_owned(),
            weight_scale: service.weight_scale(),
            quorum: quorum(pool),
            sorry_servers: service
                .sorry_servers
                .values()
                .map(|sorry| self.sorry_server(pool, sorry))
                .collect(),
            up: pool.servers().values().filter(|server| serving(pool.presence(server))).count(),
            refused: self.refused_of(service),
            traffic: self.traffic(pool),
            discovery: self.discovery(service),
            servers: pool
                .servers()
                .values()
                .map(|server| self.server_status(pool, server))
                .collect(),
        }
    }

    fn sorry_server(&self, pool: &Pool, sorry: &RealServer) -> SorryServer {
        let connections = self.connections_at(pool, sorry.address);
        SorryServer {
            name: sorry.name.to_string(),
            address: sorry.address.to_string(),
            weight: sorry.weight,
            effective_weight: match pool.sorry_presence(sorry) {
                Presence::Weight(weight) => Some(weight),
                Presence::Absent => None,
            },
            active_connections: connections.map(|c| c.active),
            inactive_connections: connections.map(|c| c.inactive),
            traffic: self.traffic_at(pool, sorry.address),
        }
    }

    /// What the kernel has counted of a service over all addresses that it listens on; none where it has none of them.
    fn traffic(&self, pool: &Pool) -> Option<Traffic> {
        let kernel = self.kernel.as_ref()?;
        let counted = pool.keys().filter_map(|key| kernel.traffic(&key));
        counted.map(traffic).reduce(|sum, one| sum.plus(&one))
    }

    /// What went to a server over all addresses that the service listens on; none where there is no kernel to ask.
    fn traffic_at(&self, pool: &Pool, address: SocketAddr) -> Option<Traffic> {
        let kernel = self.kernel.as_ref()?;
        let each = pool.keys().map(|key| traffic(&kernel.share(key, address)));
        Some(each.fold(Traffic::default(), |sum, one| sum.plus(&one)))
    }

    /// The connections of a server over all addresses that the service listens on; none where there is no kernel to ask.
    fn connections_at(&self, pool: &Pool, address: SocketAddr) -> Option<Connections> {
        let kernel = self.kernel.as_ref()?;
        let each = pool.keys().map(|key| kernel.connections(key, address));
        Some(each.fold(Connections::default(), Connections::plus))
    }

    /// What the kernel refuses of `service`, its marks among it.
    fn refused_of(&self, service: &holdfast_config::Service) -> Vec<String> {
        let mut refused = self.refused.get(&service.name).cloned().unwrap_or_default();
        if is_marked(service) {
            let problem = self.besides.view().marks_problem;
            refused.extend(problem.map(|problem| format!("its packets are not marked: {problem}")));
        }
        refused
    }

    /// A server as the API shows it.
    pub(super) fn server_status(&self, pool: &Pool, server: &holdfast_engine::Server) -> Server {
        let now = holdfast_net::now();
        let definition = server.definition();
        let key = (pool.service().name.clone(), definition.name.clone());
        let lease = self.engine.lease(&key.0, &key.1);
        let connections = self.connections_at(pool, definition.address);
        Server {
            name: definition.name.to_string(),
            address: definition.address.to_string(),
            state: server.state().to_owned(),
            admin: admin(server.admin()).to_owned(),
            order: server.standing().map(|standing| order(standing, now)),
            drain_ends_in_s: match server.admin() {
                Admin::Drain(drain) if !drain.drained => {
                    Some(drain.deadline.saturating_since(now).as_secs())
                }
                Admin::Ready | Admin::Drain(_) | Admin::Maint => None,
            },
            health: server.health().to_string(),
            health_since_s: server.health_age(now).as_secs(),
            weight: definition.weight,
            share_percent: server.share(),
            ramp_percent: server.ramp_percent(),
            advice: advice(server),
            effective_weight: match pool.presence(server) {
                Presence::Weight(weight) => Some(weight),
                Presence::Absent => None,
            },
            active_connections: connections.map(|c| c.active),
            inactive_connections: connections.map(|c| c.inactive),
            persistent_connections: connections.map(|c| c.persistent),
            traffic: self.traffic_at(pool, definition.address),
            since_s: server.age(now).as_secs(),
            reason: reason(server.reason()),
            checks: self.engine.checks(server).map(|view| check(&view)).collect(),
            origin: server.origin().to_string(),
            changes: self.runtime.of(&(key.0, definition.address), &self.engine),
            lease_ms: lease.map(|(lease, _)| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)),
            lease_ends_in_s: lease.map(|(_, end)| end.saturating_since(now).as_secs()),
        }
    }
}

/// The kernel's counters as the API shows them.
const fn traffic(counters: &Counters) -> Traffic {
    Traffic {
        connections: counters.connections,
        packets_in: counters.packets_in,
        packets_out: counters.packets_out,
        bytes_in: counters.bytes_in,
        bytes_out: counters.bytes_out,
        connections_per_s: counters.connections_per_s,
        packets_in_per_s: counters.packets_in_per_s,
        packets_out_per_s: counters.packets_out_per_s,
        bytes_in_per_s: counters.bytes_in_per_s,
        bytes_out_per_s: counters.bytes_out_per_s,
    }
}

fn advice(server: &holdfast_engine::Server) -> Option<Advice> {
    let advice = server.advice();
    (!advice.is_silent()).then(|| Advice {
        weight: advice.weight(server.definition().weight),
        percent: advice.percent(),
        wish: advice.wish().label().to_owned(),
    })
}

/// Whether the service has its quorum.
fn quorum(pool: &Pool) -> Quorum {
    let policy = &pool.service().policy;
    Quorum {
        state: pool.quorum().to_string(),
        since_s: pool.quorum_age(holdfast_net::now()).as_secs(),
        weight: pool.weight(),
        needed: policy.quorum.weight,
        hysteresis: policy.quorum.hysteresis,
        all_down: policy.all_down.word().to_owned(),
        regime: pool.regime().label().to_owned(),
    }
}

fn admin(admin: &Admin) -> &'static str {
    match admin {
        Admin::Ready => "ready",
        Admin::Maint => "maint",
        Admin::Drain(drain) if drain.then_remove => "remove",
        Admin::Drain(_) => "drain",
    }
}

fn order(standing: &Standing, now: Instant) -> Order {
    let holdfast_engine::Order { who, reason } = standing.order.clone();
    Order { who, reason, since_s: now.saturating_since(standing.since).as_secs() }
}

fn check(view: &CheckView<'_>) -> Check {
    Check {
        kind: view.kind.name().to_owned(),
        state: view.health.to_string(),
        reason: reason(view.reason),
        warning: certificate_warning(&view.reason.sentence).map(str::to_owned),
        took_ms: view.took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
    }
}

fn reason(reason: &Reason) -> CheckReason {
    CheckReason { code: reason.code.to_string(), sentence: reason.sentence.to_string() }
}

/// Whether packets are marked for `service` by us.
fn is_marked(service: &holdfast_config::Service) -> bool {
    service.listen.iter().any(|listen| !listen.matches().is_empty())
}

/// The flags of a scheduler in brackets, by the words that the configuration has for them.
fn flags(scheduler: &Scheduler, flags: ServiceFlags) -> String {
    let (first, second) =
        if scheduler.hashes_flows() { ("fallback", "port") } else { ("flag-1", "flag-2") };
    let all = [
        (ServiceFlags::SCHEDULER_1, first),
        (ServiceFlags::SCHEDULER_2, second),
        (ServiceFlags::SCHEDULER_3, "flag-3"),
    ];
    let set = all.into_iter().filter(|(flag, _)| flags.contains(*flag));
    let words: Vec<&str> = set.map(|(_, word)| word).collect();
    if words.is_empty() { String::new() } else { format!(" ({})", words.join(",")) }
}
