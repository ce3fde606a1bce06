//! The sysctls of the kernel's IPVS and of forwarding: which there are, what values they take, and which ones the services of a
//! configuration need (Documentation/networking/ipvs-sysctl.rst, ip-sysctl.rst).
//!
//! Pure: it names files under /proc/sys and reads none. What is written in `ipvs.sysctls` comes before what a service needs; where
//! the two contradict each other the rules say so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use ipvs_ctl::model::{Family, Forwarding, Protocol};

use crate::model::{Config, OnFailure, RealServer, Service};

/// A sysctl that a configuration may declare (`ipvs.sysctls`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sysctl {
    /// The key in the configuration, which is the kernel's name but for the two of forwarding: `expire_nodest_conn`.
    pub name: &'static str,
    /// The file under /proc/sys; `send_redirects` has one for each interface and one for all.
    path: &'static str,
    /// What it takes.
    pub(crate) values: Values,
}

/// The values that a sysctl takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Values {
    /// A whole number from the first to the second.
    Range(i32, i32),
    /// 1, 2, 4 and so on up to 64.
    PowerOfTwo,
    /// `THRESHOLD PERIOD`: two whole numbers of which the first is below the second, or the second is 0.
    Threshold,
    /// A list of processors: `0-3,6`.
    Processors,
}

const MAX: i32 = i32::MAX;

macro_rules! vs {
    ($name:literal, $values:expr) => {
        Sysctl { name: $name, path: concat!("net/ipv4/vs/", $name), values: $values }
    };
}

/// Every sysctl that may be declared, in the order of the documentation. All are of one network namespace.
pub(crate) const SYSCTLS: &[Sysctl] = &[
    Sysctl { name: "ip_forward", path: "net/ipv4/ip_forward", values: Values::Range(0, 1) },
    Sysctl {
        name: "ipv6_forwarding",
        path: "net/ipv6/conf/all/forwarding",
        values: Values::Range(0, 1),
    },
    Sysctl {
        name: "send_redirects",
        path: "net/ipv4/conf/all/send_redirects",
        values: Values::Range(0, 1),
    },
    vs!("expire_nodest_conn", Values::Range(0, 1)),
    vs!("expire_quiescent_template", Values::Range(0, 1)),
    vs!("conn_reuse_mode", Values::Range(0, 3)),
    vs!("conntrack", Values::Range(0, 1)),
    vs!("sloppy_tcp", Values::Range(0, 1)),
    vs!("sloppy_sctp", Values::Range(0, 1)),
    vs!("schedule_icmp", Values::Range(0, 1)),
    vs!("ignore_tunneled", Values::Range(0, 1)),
    vs!("backup_only", Values::Range(0, 1)),
    vs!("pmtu_disc", Values::Range(0, 1)),
    vs!("nat_icmp_send", Values::Range(0, 1)),
    vs!("snat_reroute", Values::Range(0, 1)),
    vs!("cache_bypass", Values::Range(0, 1)),
    vs!("sync_threshold", Values::Threshold),
    vs!("sync_refresh_period", Values::Range(0, MAX / 1000)),
    vs!("sync_retries", Values::Range(0, 3)),
    vs!("sync_persist_mode", Values::Range(0, 1)),
    vs!("sync_ports", Values::PowerOfTwo),
    vs!("sync_version", Values::Range(0, 1)),
    vs!("sync_qlen_max", Values::Range(0, MAX)),
    vs!("sync_sock_size", Values::Range(0, MAX)),
    vs!("drop_entry", Values::Range(0, 3)),
    vs!("drop_packet", Values::Range(0, 3)),
    vs!("secure_tcp", Values::Range(0, 3)),
    vs!("amemthresh", Values::Range(0, MAX)),
    vs!("am_droprate", Values::Range(0, MAX)),
    vs!("run_estimation", Values::Range(0, 1)),
    vs!("est_cpulist", Values::Processors),
    vs!("est_nice", Values::Range(-20, 19)),
    vs!("conn_lfactor", Values::Range(-8, 8)),
    vs!("svc_lfactor", Values::Range(-8, 8)),
];

impl Sysctl {
    /// The sysctl that the configuration calls `name`.
    pub fn find(name: &str) -> Option<Self> {
        SYSCTLS.iter().copied().find(|known| known.name == name)
    }

    /// Its name as `sysctl` has it: `net.ipv4.vs.expire_nodest_conn`.
    pub fn dotted(&self) -> String {
        self.path.replace('/', ".")
    }
}

/// What a sysctl shall be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Aim {
    /// This value, as the kernel writes it: numbers that are apart by one space.
    Is(String),
    /// A number that has these bits. A 0 is taken for somebody's choice to do without, and stays.
    HasBits(u32),
}

impl Aim {
    fn number(value: i64) -> Self {
        Self::Is(value.to_string())
    }

    /// What to write where the sysctl reads `now`; none where it is as it shall be.
    pub fn step(&self, now: &str) -> Option<String> {
        let now = words(now);
        match self {
            Self::Is(value) => (*value != now).then(|| value.clone()),
            Self::HasBits(bits) => {
                let value: u32 = now.parse().ok()?;
                let wants = value != 0 && value & bits != *bits;
                wants.then(|| (value | bits).to_string())
            }
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(value) => f.write_str(value),
            Self::HasBits(bits) => write!(f, "a value with bit {bits}"),
        }
    }
}

/// The kernel's form of a value: its words with a space between each two.
pub(crate) fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A sysctl that this node's kernel shall have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct WantedSysctl {
    /// The file under /proc/sys: `net/ipv4/vs/expire_nodest_conn`.
    pub path: String,
    /// What it shall be.
    pub aim: Aim,
    /// Why: the feature that needs it, or `ipvs.sysctls`.
    pub why: String,
}

/// A sysctl that a feature needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Need {
    pub(crate) sysctl: Sysctl,
    pub(crate) aim: Aim,
    /// The feature, for messages: ``service `web` has persistence``.
    pub(crate) because: String,
    /// What goes wrong otherwise.
    pub(crate) else_what: &'static str,
    /// Nothing works otherwise.
    pub(crate) vital: bool,
}

impl Need {
    /// Whether a value that is written in the configuration does what is needed.
    pub(crate) fn is_met_by(&self, value: &str) -> bool {
        match (self.sysctl.name, &self.aim) {
            // How often is the operator's to say, but not "never".
            ("sync_refresh_period", _) => value != "0",
            // A period counts packets, and holds back what the refresh would tell.
            ("sync_threshold", _) => value.ends_with(" 0"),
            (_, Aim::Is(wanted)) => wanted == value,
            (_, Aim::HasBits(bits)) => {
                value.parse::<u32>().is_ok_and(|value| value & bits == *bits)
            }
        }
    }
}

/// What the needs depend on besides the services.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around<'a> {
    /// Connections are synchronised.
    pub(crate) sync: bool,
    /// The virtual addresses with the interfaces that they are on.
    pub(crate) held: Vec<(IpNet, &'a str)>,
}

impl Config {
    /// The sysctls that this node's kernel shall have: those of `ipvs.sysctls`, and those that services and connection
    /// synchronisation need. Each path is there once. Without services there are none.
    pub fn sysctls(&self) -> Vec<WantedSysctl> {
        if self.services.is_empty() {
            return Vec::new();
        }
        let around = self.around();
        let mut wanted: BTreeMap<Sysctl, (Aim, String)> = BTreeMap::new();
        for need in needs(self.services.values(), &around) {
            let why = || format!("{}: otherwise {}", need.because, need.else_what);
            wanted.entry(need.sysctl).or_insert_with(|| (need.aim, why()));
        }
        if self.catch_up().is_none() {
            // Without a refresh a period of packets is all there is.
            wanted.retain(|sysctl, _| sysctl.name != "sync_threshold");
        }
        for (sysctl, value) in &self.ipvs.sysctls {
            wanted.insert(*sysctl, (Aim::Is(value.clone()), "`ipvs.sysctls`".to_owned()));
        }
        let arms: BTreeSet<&str> = around.held.iter().map(|(_, interface)| *interface).collect();
        let paths = |(sysctl, (aim, why)): (Sysctl, (Aim, String))| {
            let each = arms.iter().filter(move |_| sysctl.name == "send_redirects");
            let each = each.map(|arm| format!("net/ipv4/conf/{arm}/send_redirects"));
            let all = std::iter::once(sysctl.path.to_owned()).chain(each).collect::<Vec<_>>();
            all.into_iter().map(move |path| WantedSysctl {
                path,
                aim: aim.clone(),
                why: why.clone(),
            })
        };
        wanted.into_iter().flat_map(paths).collect()
    }

    /// How long a returned director's backup daemon has to listen until it has been told of every connection that has traffic; none
    /// where connections are not told of again by time.
    pub fn catch_up(&self) -> Option<Duration> {
        self.ipvs.sync.as_ref()?;
        let period = Sysctl::find("sync_refresh_period");
        let written = period.and_then(|period| self.ipvs.sysctls.get(&period));
        catch_up(written.and_then(|seconds| seconds.parse().ok()).unwrap_or(REFRESH_S))
    }

    /// Whether the kernel goes on sending clients that it remembers to a server that drains, because `ipvs.sysctls` says so.
    pub fn remembers_clients_of_drained_servers(&self) -> bool {
        let sysctl = Sysctl::find("expire_quiescent_template");
        sysctl.and_then(|sysctl| self.ipvs.sysctls.get(&sysctl)).is_some_and(|value| value == "0")
    }

    fn around(&self) -> Around<'_> {
        let held = self.instances.values().flat_map(|instance| {
            let own = instance.held().filter(|address| address.device.is_none());
            own.map(|address| (address.net, instance.interface.as_str()))
        });
        Around { sync: self.ipvs.sync.is_some(), held: held.collect() }
    }
}

/// How long all connections with traffic take to be told of, once in so many seconds.
///
/// One that was told of just before is told of again at its first packet after a period, and with a packet in each period that is less
/// than two periods. The kernel's sender keeps what it gathers for two seconds at most (IPVS_SYNC_FLUSH_TIME), and a second is for the way.
pub(crate) fn catch_up(refresh_s: u64) -> Option<Duration> {
    (refresh_s > 0).then(|| Duration::from_secs(refresh_s.saturating_mul(2).saturating_add(3)))
}

/// What `services` and connection synchronisation need, the same sysctl perhaps more than once.
pub(crate) fn needs<'a>(
    services: impl Iterator<Item = &'a Service>,
    around: &Around<'_>,
) -> impl Iterator<Item = Need> {
    let sync = around.sync.then(of_sync);
    services.flat_map(|service| of_service(service, around)).chain(sync.into_iter().flatten())
}

fn need(name: &str, aim: Aim, because: String, else_what: &'static str) -> Option<Need> {
    Some(Need { sysctl: Sysctl::find(name)?, aim, because, else_what, vital: false })
}

fn of_service(service: &Service, around: &Around<'_>) -> Vec<Need> {
    let one = || Aim::number(1);
    let name = &service.name;
    let mut found = Vec::new();
    if service.persistence.is_some() {
        let because = || format!("service `{name}` has persistence");
        found.push(need(
            "expire_quiescent_template",
            one(),
            because(),
            "clients that the kernel remembers are sent to a server that drains",
        ));
    }
    if service.policy.on_failure == OnFailure::Remove && is_checked(service) {
        let because = match service.persistence {
            Some(_) => format!("service `{name}` has persistence"),
            None => format!("service `{name}` removes servers that fail"),
        };
        found.push(need(
            "expire_nodest_conn",
            one(),
            because,
            "clients of a server that has failed, and is removed for it, wait for nothing instead of being reset",
        ));
    }
    if service.scheduler.name() == "mh" {
        let because = || format!("service `{name}` is scheduled by `mh`");
        found.push(need(
            "sloppy_tcp",
            one(),
            because(),
            "a director that takes over drops connections that it has not seen begin",
        ));
        found.push(need(
            "schedule_icmp",
            one(),
            because(),
            "what routers say of a packet's size does not reach the server of a connection that this director has not seen begin",
        ));
        if service.listen.iter().any(|listen| listen.takes(Protocol::Sctp)) {
            found.push(need(
                "sloppy_sctp",
                one(),
                because(),
                "a director that takes over drops associations that it has not seen begin",
            ));
        }
    }
    match service.forwarding {
        Forwarding::Direct | Forwarding::Tunnel(_) => found.push(need(
            "conn_reuse_mode",
            Aim::HasBits(2),
            format!("service `{name}` has `forward: direct` or `tunnel`"),
            "a client that uses a port again within two minutes gets no answer when the server that it had was removed",
        )),
        Forwarding::Nat => found.extend(of_nat(service, around)),
        Forwarding::Local | Forwarding::Bypass => {}
    }
    found.into_iter().flatten().collect()
}

/// Answers of NAT's servers are forwarded, and on one network they must be.
fn of_nat(service: &Service, around: &Around<'_>) -> Vec<Option<Need>> {
    let name = &service.name;
    let ipv4 = service.listen.first().is_none_or(|listen| listen.family() == Family::Ipv4);
    let forwarding = if ipv4 { "ip_forward" } else { "ipv6_forwarding" };
    let because = format!("service `{name}` has `forward: nat`");
    let vital = need(
        forwarding,
        Aim::number(1),
        because,
        "the servers' answers are not forwarded, and no client gets one",
    );
    let mut found = vec![vital.map(|need| Need { vital: true, ..need })];
    if ipv4 && on_one_network(service, around) {
        found.push(need(
            "send_redirects",
            Aim::number(0),
            format!("service `{name}` has `forward: nat` and servers in the subnet of its own address"),
            "the kernel tells the servers a shorter way to the clients, and answers pass the director by",
        ));
    }
    found
}

/// Whether a server is in the subnet of an address that the service listens on.
fn on_one_network(service: &Service, around: &Around<'_>) -> bool {
    around.held.iter().filter(|(net, _)| net.prefix_len() < net.max_prefix_len()).any(|(net, _)| {
        service.listen.iter().any(|listen| {
            listen.covers(net.addr()) || listen.ip().is_some_and(|ip| net.contains(&ip))
        }) && service
            .real_servers
            .values()
            .chain(service.sorry_servers.values())
            .any(|server| net.contains(&server.address.ip()))
    })
}

fn of_sync() -> Vec<Need> {
    let because = || "`ipvs.sync` is configured".to_owned();
    let refresh = need(
        "sync_refresh_period",
        Aim::Is(REFRESH_S.to_string()),
        because(),
        "a director that comes back learns of a connection only after fifty packets of it",
    );
    let threshold = need(
        "sync_threshold",
        Aim::Is("3 0".to_owned()),
        because(),
        "a connection that has just begun is told of only after some packets",
    );
    [refresh, threshold].into_iter().flatten().collect()
}

/// How often the Active tells of a connection that has traffic, where the configuration does not say: the kernel's sender does it in
/// batches, so that a hundred thousand connections are some two megabytes in ten seconds.
pub(crate) const REFRESH_S: u64 = 10;

fn is_checked(service: &Service) -> bool {
    let own = |server: &RealServer| server.checks.as_deref().is_some_and(|own| !own.is_empty());
    !service.checks.is_empty() || service.real_servers.values().any(|server| own(server.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sysctl_has_a_name_of_its_own_and_is_found_by_it() {
        for sysctl in SYSCTLS {
            assert_eq!(Sysctl::find(sysctl.name), Some(*sysctl));
            assert!(!sysctl.dotted().contains('/'), "{sysctl:?}");
        }
    }

    #[test]
    fn a_value_is_written_where_it_differs_and_bits_are_added_to_what_is_no_refusal() {
        let is = Aim::Is("3 0".to_owned());
        assert_eq!(is.step("3\t0\n"), None);
        assert_eq!(is.step("3 0"), None);
        assert_eq!(is.step("3\t50\n"), Some("3 0".to_owned()));
        let bits = Aim::HasBits(2);
        assert_eq!(bits.step("1\n"), Some("3".to_owned()));
        for left in ["0\n", "2\n", "3\n", "yes\n"] {
            assert_eq!(bits.step(left), None, "{left}");
        }
    }
}
