//! The key `services.NAME` and the real servers in it.

mod affinity;
mod discover;
mod listen;
mod policy;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipvs_ctl::model::{Destination, Forwarding, Scheduler, ServiceFlags, Tunnel, TunnelChecksum};

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Name, RealServer, Service};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::{suggest, text};

use super::{check, pace};

/// A service as far as it could be read.
pub(crate) struct Draft {
    pub(crate) service: Service,
    /// The place of each of its listening addresses in the list: those that could not be read are left out.
    pub(crate) items: Vec<usize>,
}

/// One service; none when it is no mapping at all.
pub(super) fn service<'a>(
    reader: &mut Reader<'a>,
    name: Name,
    cursor: &Cursor<'a>,
    script_timeout: Duration,
) -> Option<Draft> {
    let fields = reader.fields(cursor, "services.NAME")?;
    let (mut items, mut listen): (Vec<_>, Vec<_>) =
        listen::listen(reader, &fields).into_iter().unzip();
    // There may be thousands of services, and mostly they listen on one address.
    items.shrink_to_fit();
    listen.shrink_to_fit();
    let (scheduler, flags) = scheduler(reader, &fields);
    let forwarding = forward(reader, &fields);
    let persistence = fields
        .get("persistence")
        .and_then(|cursor| affinity::persistence(reader, &cursor, &listen));
    let (persistence, persistence_engine) = persistence.unzip();
    let one_packet = fields.get("one_packet").and_then(|cursor| reader.boolean(&cursor));
    let thresholds = affinity::thresholds(reader, &fields).unwrap_or_default();
    let (checks, combine) = check::checks(reader, &fields, script_timeout).unwrap_or_default();
    let (drain, slow_start) = (pace::drain(reader, &fields), pace::slow_start(reader, &fields));
    // The kernel remembers clients for a persistent service, and `dh` has places for servers of weight 0 as well.
    let forgets = persistence.is_some()
        || scheduler.as_ref().is_some_and(|scheduler| scheduler.name() == "dh");
    let sorry = fields.get("sorry_servers").is_some();
    let around = policy::Around { combine, forgets, sorry, script_timeout };
    let policy = policy::policy(reader, &fields, around);
    let discover = fields.get("discover").and_then(|cursor| discover::discover(reader, &cursor));
    let mut service = Service {
        name,
        listen,
        scheduler: scheduler?,
        flags,
        one_packet: one_packet.unwrap_or(false),
        persistence,
        persistence_engine: persistence_engine.flatten(),
        forwarding: forwarding.unwrap_or(Forwarding::Nat),
        thresholds,
        checks,
        policy,
        drain,
        slow_start,
        discover,
        real_servers: BTreeMap::new(),
        sorry_servers: BTreeMap::new(),
    };
    // Under an unknown method nothing can be said of the servers' ports.
    let port = forwarding.and_then(|_| service.implied_port());
    service.sorry_servers = policy::sorry_servers(reader, &fields, port);
    if let Some(cursor) = fields.get("real_servers")
        && let Some(servers) = reader.mapping(&cursor)
    {
        let named = reader.names_of(&servers, "a real server", defaults::SERVERS_MAX);
        let read = named.into_iter().filter_map(|(name, key, node)| {
            let server = plain_server(name.clone(), node, port).or_else(|| {
                real_server(reader, name.clone(), &servers.cursor(key, node), port, script_timeout)
            });
            Some((name, Arc::new(server?)))
        });
        service.real_servers = read.collect();
    }
    Some(Draft { service, items })
}

/// The scheduler and its flags. An unknown one is reported and replaced, so that the rest of the service is looked at.
fn scheduler<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
) -> (Option<Scheduler>, ServiceFlags) {
    let default = || defaults::SCHEDULER.parse().ok();
    let Some(cursor) = fields.get("scheduler") else { return (default(), ServiceFlags::NONE) };
    let (name, flags) = match cursor.node {
        Node::Mapping(_) => {
            let Some(inner) = reader.fields(&cursor, "services.NAME.scheduler") else {
                return (default(), ServiceFlags::NONE);
            };
            let name = inner.get("name");
            if name.is_none() {
                reader.missing(&inner.path, "name", "`scheduler: {name: mh, flags: [fallback]}`");
            }
            (name, inner.get("flags"))
        }
        Node::Null
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float
        | Node::Text(_)
        | Node::List(_) => (Some(cursor), None),
    };
    let name = name.and_then(|cursor| {
        let text = reader.text(&cursor)?;
        let known = usable_schedulers();
        if known.clone().any(|known| known == text) {
            return text.parse::<Scheduler>().ok();
        }
        let foreign = SCHEDULER_SYNONYMS.iter().find(|(foreign, _)| *foreign == text);
        let meant =
            foreign.map(|(_, ours)| *ours).or_else(|| suggest::nearest(text, known.clone()));
        let label = meant.map_or_else(String::new, |meant| format!("did you mean `{meant}`?"));
        let problem = Problem::new(Code::UnknownScheduler, format!("unknown scheduler `{text}`"))
            .at(Spot::Value(cursor.path.clone()), label)
            .help(format!("known: {}", suggest::list(known)));
        reader.problems.push(problem);
        None
    });
    let scheduler = name.clone().or_else(default);
    let Some(flags) = flags else { return (scheduler, ServiceFlags::NONE) };
    let words = reader.list(&flags, 8).unwrap_or_default();
    let mut set = ServiceFlags::NONE;
    for word in words {
        let Some((flag, hashing)) = reader.word(&word, &SCHEDULER_FLAGS) else { continue };
        if let Some(name) = name.as_ref().filter(|name| hashing && !name.hashes_flows()) {
            let text = reader.text(&word).unwrap_or_default();
            let problem = Problem::new(
                Code::SchedulerFlag,
                format!("the scheduler `{name}` has no flag `{text}`"),
            )
            .at(Spot::Value(word.path.clone()), "the kernel would ignore it")
            .help("`fallback` and `port` are flags of `sh` and `mh`");
            reader.problems.push(problem);
        }
        set = set.with(flag);
    }
    (scheduler, set)
}

/// Flags by their words, and whether only the schedulers that hash flows have them. The raw ones are for schedulers of third
/// parties, as with ipvsadm; `flag-1` and `flag-2` are the same bits as `fallback` and `port`.
const SCHEDULER_FLAGS: [(&str, (ServiceFlags, bool)); 5] = [
    ("fallback", (ServiceFlags::SCHEDULER_1, true)),
    ("port", (ServiceFlags::SCHEDULER_2, true)),
    ("flag-1", (ServiceFlags::SCHEDULER_1, false)),
    ("flag-2", (ServiceFlags::SCHEDULER_2, false)),
    ("flag-3", (ServiceFlags::SCHEDULER_3, false)),
];

/// Words of other load balancers' for schedulers of the kernel's.
const SCHEDULER_SYNONYMS: &[(&str, &str)] = &[
    ("roundrobin", "rr"),
    ("round-robin", "rr"),
    ("round_robin", "rr"),
    ("static-rr", "wrr"),
    ("leastconn", "wlc"),
    ("least_conn", "wlc"),
    ("source", "sh"),
    ("ip_hash", "sh"),
    ("maglev", "mh"),
    ("first", "fo"),
    ("failover", "fo"),
];

/// The kernel's schedulers without `none`, which schedules nothing.
fn usable_schedulers() -> impl Iterator<Item = &'static str> + Clone {
    Scheduler::KNOWN.into_iter().filter(|name| *name != "none")
}

fn forward<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<Forwarding> {
    let Some(cursor) = fields.get("forward") else {
        let help = "say how packets reach the servers: `forward: direct`, `nat` or `tunnel` (docs/configuration.md)";
        reader.missing(&fields.path, "forward", help);
        return None;
    };
    if !matches!(cursor.node, Node::Mapping(_)) {
        let words = [
            ("direct", Forwarding::Direct),
            ("nat", Forwarding::Nat),
            ("tunnel", Forwarding::Tunnel(Tunnel::Ipip)),
        ];
        return reader.word(&cursor, &words);
    }
    let inner = reader.fields(&cursor, "services.NAME.forward")?;
    let Some(tunnel) = inner.get("tunnel") else {
        reader.missing(&inner.path, "tunnel", "`forward: {tunnel: {type: gue, port: 6080}}`");
        return None;
    };
    let fields = reader.fields(&tunnel, "services.NAME.forward.tunnel")?;
    tunnel_form(reader, &fields).map(Forwarding::Tunnel)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TunnelKind {
    Ipip,
    Gue,
    Gre,
}

fn tunnel_form<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<Tunnel> {
    let kinds = [("ipip", TunnelKind::Ipip), ("gue", TunnelKind::Gue), ("gre", TunnelKind::Gre)];
    let kind = match fields.get("type") {
        Some(cursor) => reader.word(&cursor, &kinds)?,
        None => TunnelKind::Ipip,
    };
    let checksums = [
        ("none", TunnelChecksum::None),
        ("full", TunnelChecksum::Full),
        ("remote", TunnelChecksum::Remote),
    ];
    let checksums = if kind == TunnelKind::Gue { &checksums[..] } else { &checksums[..2] };
    let checksum = fields.get("checksum").and_then(|cursor| reader.word(&cursor, checksums));
    let port = check::port(reader, fields);
    let mut unused = |key: &str, of: &str| {
        if fields.get(key).is_some() {
            let problem = Problem::new(Code::Conflict, format!("this tunnel has no `{key}`"))
                .at(Spot::Key(fields.path.key(key)), "")
                .help(format!("`{key}` belongs to the type {of}"));
            reader.problems.push(problem);
        }
    };
    match kind {
        TunnelKind::Ipip => {
            unused("port", "`gue`");
            unused("checksum", "`gue` or `gre`");
            Some(Tunnel::Ipip)
        }
        TunnelKind::Gre => {
            unused("port", "`gue`");
            Some(Tunnel::Gre { checksum: checksum.unwrap_or_default() })
        }
        TunnelKind::Gue => {
            if fields.get("port").is_none() {
                reader.missing(
                    &fields.path,
                    "port",
                    "the UDP port of the servers' decapsulation, for instance 6080",
                );
            }
            Some(Tunnel::Gue { port: port?, checksum: checksum.unwrap_or_default() })
        }
    }
}

/// A duration that the kernel counts in whole seconds.
pub(super) fn whole_seconds<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    range: (Duration, Duration),
) -> Option<u32> {
    let duration = reader.duration(cursor, range)?;
    if duration.subsec_nanos() > 0 {
        let key = cursor.path.last_key().unwrap_or_default();
        let message = format!("`{key}` must be whole seconds: the kernel counts them");
        reader.fault(&cursor.path, text::Fault::new(Code::BadDuration, message));
    }
    u32::try_from(duration.as_secs()).ok()
}

/// A server of which there is nothing but an address, in order: most servers of a long file.
fn plain_server(name: Name, node: &Node<'_>, port: Option<u16>) -> Option<RealServer> {
    let Node::Text(text) = node else { return None };
    let address = text::endpoint(text, port).ok()?;
    Some(RealServer::bare(name, address, defaults::WEIGHT))
}

fn real_server<'a>(
    reader: &mut Reader<'a>,
    name: Name,
    cursor: &Cursor<'a>,
    port: Option<u16>,
    script_timeout: Duration,
) -> Option<RealServer> {
    let (address, weight, thresholds, checks) = match cursor.node {
        Node::Text(_) => (Some(cursor.clone()), None, None, None),
        Node::Mapping(_) => {
            let fields = reader.fields(cursor, "services.NAME.real_servers.NAME")?;
            let address = fields.get("address");
            if address.is_none() {
                reader.missing(&fields.path, "address", "`address: 10.0.0.11:80`");
            }
            let why = "the kernel's weight is a signed 32-bit number";
            let weight = fields
                .get("weight")
                .and_then(|cursor| reader.integer(&cursor, 0..=Destination::WEIGHT_MAX, why));
            let thresholds = affinity::thresholds(reader, &fields);
            (address, weight, thresholds, check::checks(reader, &fields, script_timeout))
        }
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float | Node::List(_) => {
            reader.wrong_type(cursor, "an address or a mapping", Some("`web1: 10.0.0.11:80`"));
            return None;
        }
    };
    let address = address?;
    let text = reader.text(&address)?;
    match text::endpoint(text, port) {
        Ok(found) => {
            let (checks, combine) = checks.unzip();
            let checks = checks.map(Arc::from);
            let combine = combine.unwrap_or_default();
            let weight = weight.unwrap_or(defaults::WEIGHT);
            Some(RealServer { name, address: found, weight, thresholds, checks, combine })
        }
        Err(fault) => {
            reader.fault(&address.path, fault);
            None
        }
    }
}
