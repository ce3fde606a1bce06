//! What is ours in the kernel and what of it drains, kept for the next daemon: without it a service or a sync daemon that its configuration has no
//! longer looks like somebody else's.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use holdfast_config::{Config, Name, Remains};
use holdfast_engine::{Draining, DrainingListen, DrainingServer, FormerMethod, Order};
use holdfast_net::{Origin, now};
use holdfast_time::Instant;
use ipvs_ctl::model::{Forwarding, ServiceKey, SyncDaemon, SyncRole};
use serde::{Deserialize, Serialize};

use super::file::StateFile;
use super::kept::Kept;

/// The version of the file's form.
const VERSION: u32 = 1;

/// More servers are not kept: those beyond drain anew, as long as their service says.
const SERVERS_MAX: usize = 100_000;

/// What is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ours {
    /// The services, and what of them drains.
    pub(crate) draining: Draining,
    /// The sync daemons of the configuration, of which one or the other runs, and of one before it, as long as they may.
    pub(crate) sync: Vec<SyncDaemon>,
}

impl Ours {
    /// What there is with this `config`.
    pub(crate) fn of(draining: Draining, config: &Config) -> Self {
        Self { draining, sync: daemons(config) }
    }
}

/// The sync daemons of `config`, of either role.
pub(crate) fn daemons(config: &Config) -> Vec<SyncDaemon> {
    let roles = [SyncRole::Master, SyncRole::Backup];
    let sync = config.ipvs.sync.iter();
    sync.flat_map(|sync| roles.map(|role| sync.daemon(role))).collect()
}

/// The file's content. How long anything has is told from the moment of writing on.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Lines {
    /// The boot and the network namespace whose table it is.
    boot: String,
    namespace: u64,
    /// When it was written, in milliseconds since the boot: nobody sets that clock.
    at_ms: u64,
    running: Vec<ServiceLine>,
    leaving: Vec<ServiceLine>,
    listens: Vec<ListenLine>,
    servers: Vec<ServerLine>,
    methods: Vec<MethodLine>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    ended: BTreeSet<ServiceKey>,
    sync: Vec<SyncDaemon>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceLine {
    name: Name,
    listen: Vec<ServiceKey>,
    timeout_ms: u64,
    idle_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ListenLine {
    service: Name,
    listen: ServiceKey,
    left_ms: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerLine {
    service: Name,
    server: Name,
    address: SocketAddr,
    left_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MethodLine {
    service: Name,
    forwarding: Forwarding,
    left_ms: u64,
}

/// Reads what an earlier daemon has kept in `folder` of this boot and network namespace, and begins to keep. What can't be read is set aside, logged,
/// and counts as nothing. Needs a tokio runtime.
pub(crate) fn open(folder: &Path) -> (Kept<Ours>, Ours) {
    let file = StateFile::new(folder, "services", VERSION);
    let here = Origin::here().unwrap_or_default();
    let lines: Lines = match file.read() {
        Ok(lines) => lines.unwrap_or_default(),
        Err(error) => {
            tracing::error!(%error, "which services an earlier daemon had, and what drained, is not known: those that the configuration has no longer stay in the kernel's table as somebody else's");
            Lines::default()
        }
    };
    // Of a kernel that could not say which it is nothing is believed.
    let is_here =
        !here.boot.is_empty() && (&lines.boot, lines.namespace) == (&here.boot, here.namespace);
    let ours = if is_here { read(lines, now()) } else { Ours::default() };
    let lost = "a daemon that starts next takes services that are no longer in its file for somebody else's, and drains begin anew";
    let write = move |ours: &Ours| written(ours, &here, now());
    (Kept::begin(file, ours.clone(), write, lost), ours)
}

fn read(lines: Lines, now: Instant) -> Ours {
    let Lines { at_ms, running, leaving, listens, servers, methods, ended, sync, .. } = lines;
    let since = ms(now).saturating_sub(at_ms);
    let deadline = |left_ms: u64| now + Duration::from_millis(left_ms.saturating_sub(since));
    let listen = |ListenLine { service, listen, left_ms }| DrainingListen {
        service,
        listen,
        deadline: deadline(left_ms),
    };
    let server = |line: ServerLine| {
        let ServerLine { service, server, address, left_ms, timeout_ms, who, reason } = line;
        let (deadline, order) = (deadline(left_ms), Order { who, reason });
        let timeout = timeout_ms.map(Duration::from_millis);
        DrainingServer { service, server, address, deadline, timeout, order }
    };
    let method = |MethodLine { service, forwarding, left_ms }| FormerMethod {
        service,
        forwarding,
        deadline: deadline(left_ms),
    };
    let service = |ServiceLine { name, listen, timeout_ms, idle_ms }| Remains {
        name,
        listen,
        timeout_ms,
        idle_ms,
    };
    let draining = Draining {
        running: running.into_iter().map(service).collect(),
        leaving: leaving.into_iter().map(service).collect(),
        listens: listens.into_iter().map(listen).collect(),
        servers: servers.into_iter().map(server).collect(),
        methods: methods.into_iter().map(method).collect(),
        ended,
    };
    Ours { draining, sync }
}

fn written(ours: &Ours, here: &Origin, now: Instant) -> Lines {
    let left_ms = |deadline: Instant| {
        u64::try_from(deadline.saturating_since(now).as_millis()).unwrap_or(u64::MAX)
    };
    let Ours { draining: Draining { running, leaving, listens, servers, methods, ended }, sync } =
        ours;
    let service = |one: &Remains| ServiceLine {
        name: one.name.clone(),
        listen: one.listen.clone(),
        timeout_ms: one.timeout_ms,
        idle_ms: one.idle_ms,
    };
    let listen = |one: &DrainingListen| ListenLine {
        service: one.service.clone(),
        listen: one.listen,
        left_ms: left_ms(one.deadline),
    };
    let server = |one: &DrainingServer| ServerLine {
        service: one.service.clone(),
        server: one.server.clone(),
        address: one.address,
        left_ms: left_ms(one.deadline),
        timeout_ms: one.timeout.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)),
        who: one.order.who.clone(),
        reason: one.order.reason.clone(),
    };
    let method = |one: &FormerMethod| MethodLine {
        service: one.service.clone(),
        forwarding: one.forwarding,
        left_ms: left_ms(one.deadline),
    };
    Lines {
        boot: here.boot.clone(),
        namespace: here.namespace,
        at_ms: ms(now),
        running: running.iter().map(service).collect(),
        leaving: leaving.iter().map(service).collect(),
        listens: listens.iter().map(listen).collect(),
        servers: servers.iter().take(SERVERS_MAX).map(server).collect(),
        methods: methods.iter().map(method).collect(),
        ended: ended.clone(),
        sync: sync.clone(),
    }
}

/// Milliseconds since the boot.
fn ms(at: Instant) -> u64 {
    u64::try_from(at.saturating_since(Instant::ZERO).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use holdfast_config::{Environment, parse};

    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_start(Duration::from_millis(1_000_000 + ms))
    }

    fn name(name: &str) -> Name {
        name.to_owned().try_into().expect("a name")
    }

    /// One of each, in both families and of every form of an address.
    fn all() -> Ours {
        let text = "services:\n  web: {listen: [tcp 192.0.2.10:80, udp 192.0.2.10:53], forward: nat, persistence: {timeout: 5m, prefix: 24}, \
                    upper_threshold: 9, real_servers: {a: 10.0.0.1:80}}\n  \
                    six: {listen: 'sctp [2001:db8::1]:3868', scheduler: {name: mh, flags: [fallback]}, forward: {tunnel: {type: gue, port: 6080}}, \
                    real_servers: {a: '[2001:db8::2]:3868'}}\n  \
                    mark: {listen: {fwmark: 7, family: ipv6}, forward: direct, real_servers: {a: '[2001:db8::3]'}}\n\
                    ipvs: {sync: {interface: eth0, group: 'ff02::81', role: both}}\n";
        let outcome = parse("f", text, &Environment::new("n"));
        let config = outcome.config.clone().unwrap_or_else(|| panic!("{}", outcome.render(false)));
        let leaving: Vec<Remains> = config.services.values().map(|one| one.remains()).collect();
        let listen = leaving
            .iter()
            .flat_map(|one| one.listen.clone())
            .map(|listen| DrainingListen { service: name("web"), listen, deadline: at(5000) });
        let order = Order { who: Some("alice".to_owned()), reason: None };
        let server = |address: &str| DrainingServer {
            service: name("web"),
            server: name("a"),
            address: address.parse().expect("an address"),
            deadline: at(7000),
            timeout: Some(Duration::from_secs(10)),
            order: order.clone(),
        };
        let method = |service: &holdfast_config::Service| FormerMethod {
            service: service.name.clone(),
            forwarding: service.forwarding,
            deadline: at(9000),
        };
        let draining = Draining {
            listens: listen.collect(),
            servers: vec![server("10.0.0.1:80"), server("[2001:db8::2]:80")],
            methods: config.services.values().map(method).collect(),
            running: leaving.iter().rev().cloned().collect(),
            ended: leaving.iter().flat_map(|one| one.listen.clone()).collect(),
            leaving,
        };
        Ours::of(draining, &config)
    }

    #[test]
    fn what_is_written_comes_back_by_what_is_left_of_its_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path(), "services", VERSION);
        let here = Origin::here().expect("a boot and a namespace");
        file.write(&written(&all(), &here, at(0))).expect("written");
        let lines = || file.read::<Lines>().expect("whole").expect("there");
        assert_eq!(read(lines(), at(0)), all(), "at once");
        let later = read(lines(), at(6000)).draining;
        assert_eq!(later.listens[0].deadline, at(6000), "it is over");
        assert_eq!(later.servers[0].deadline, at(7000), "the time that nobody was there counts");
        assert_eq!(later.methods[0].deadline, at(9000));
    }

    #[tokio::test]
    async fn what_another_boot_or_namespace_had_is_nobodys() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = StateFile::new(folder.path(), "services", VERSION);
        let here = Origin::here().expect("a boot and a namespace");
        file.write(&written(&all(), &here, now())).expect("written");
        assert_eq!(open(folder.path()).1.draining.leaving, all().draining.leaving);
        let others = [
            Origin { boot: "another".to_owned(), ..here.clone() },
            Origin { namespace: 1, ..here },
        ];
        for other in others {
            file.write(&written(&all(), &other, now())).expect("written");
            assert_eq!(open(folder.path()).1, Ours::default(), "{other:?}");
        }
    }
}
