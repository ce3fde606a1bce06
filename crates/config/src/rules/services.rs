//! The rules of services: of each one, between two, and between services and virtual routers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipvs_ctl::model::{
    Family, {ServiceFlags, ServiceKey},
};

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{CheckKind, Listen, Name, RealServer, Service};
use crate::path::Path;
use crate::read::{Document, Draft};

use super::{marks, pool, transports};

/// The rules of all services.
pub(super) fn check(document: &Document, problems: &mut Problems) {
    let held = held(document);
    let mut listens: BTreeMap<ServiceKey, (&Name, usize)> = BTreeMap::new();
    let mut addresses: BTreeSet<IpAddr> = BTreeSet::new();
    for (name, draft) in &document.services {
        fallback(draft, problems);
        slow_start(draft, problems);
        one_family(draft, problems);
        one_port(draft, problems);
        transports::check(draft, problems);
        for (index, listen) in draft.items.iter().zip(&draft.service.listen) {
            let path = |name, index| pool::service_path(name).key("listen").item(index);
            if let Some((first, at)) = listens.insert(listen.key(), (name, *index)) {
                let (here, there) = (path(name, *index), path(first, at));
                problems.push(duplicate_listen(listen, name, here, first, there));
            }
            let Some(address) = listen.ip() else { continue };
            addresses.insert(address);
            if held.as_ref().is_some_and(|held| !held.contains(&address)) {
                problems.push(not_held(name, address, path(name, *index)));
            }
        }
    }
    marks::check(document, held.as_ref(), problems);
    let marked: Vec<&Listen> = document
        .services
        .values()
        .flat_map(|draft| &draft.service.listen)
        .filter(|listen| !listen.matches().is_empty())
        .collect();
    for draft in document.services.values() {
        servers(draft, held.as_ref(), &addresses, &marked, problems);
    }
}

/// The addresses of all instances on all nodes; none when there are no instances.
fn held(document: &Document) -> Option<BTreeSet<IpAddr>> {
    let drafts: Vec<_> = document.views.iter().flat_map(|view| &view.instances).collect();
    let nets =
        drafts.iter().flat_map(|draft| draft.held()).map(|(_, _, address)| address.net.addr());
    (!drafts.is_empty()).then(|| nets.collect())
}

/// `sh` and `mh` give a drained server's share to nobody without the flag.
fn fallback(draft: &Draft, problems: &mut Problems) {
    let service = &draft.service;
    if !service.scheduler.hashes_flows() || service.flags.contains(ServiceFlags::SCHEDULER_1) {
        return;
    }
    let scheduler = &service.scheduler;
    let message = format!(
        "service `{}`: `{scheduler}` without `fallback` refuses the clients of a server that is down or drained",
        service.name
    );
    let flags = if service.flags.contains(ServiceFlags::SCHEDULER_2) {
        "fallback, port"
    } else {
        "fallback"
    };
    let share = match service.real_servers.len() {
        0 | 1 => "each server owns a fixed share of the clients".to_owned(),
        servers => format!("each of {servers} servers owns a fixed share of the clients"),
    };
    let problem = Problem::new(Code::NoFallback, message)
        .at(Spot::Value(pool::service_path(&service.name).key("scheduler").key("name")), share)
        .help(format!("write `scheduler: {{name: {scheduler}, flags: [{flags}]}}`"));
    problems.push(problem);
}

/// A slow start where weights don't say how many clients a server gets.
fn slow_start(draft: &Draft, problems: &mut Problems) {
    let service = &draft.service;
    let scheduler = &service.scheduler;
    let why = match scheduler.name() {
        _ if service.slow_start.is_none() => return,
        "rr" | "lc" => "gives every server the same share, whatever its weight",
        "sh" | "dh" | "mh" => {
            "maps clients to servers by a table that every change of a weight makes anew: each step would move other servers' clients"
        }
        "fo" | "ovf" => "reads weights as an order of preference or as limits, not as shares",
        _ => return,
    };
    let path = pool::service_path(&service.name);
    let problem = Problem::new(
        Code::SlowStart,
        format!("service `{}`: `{scheduler}` has no slow start", service.name),
    )
    .at(Spot::Key(path.key("slow_start")), format!("`{scheduler}` {why}"))
    .help("use `wrr` or `wlc`, or remove `slow_start`");
    problems.push(problem);
}

fn listen_spot(draft: &Draft, position: usize) -> Spot {
    let index = draft.items.get(position).copied().unwrap_or_default();
    Spot::Value(pool::service_path(&draft.service.name).key("listen").item(index))
}

fn one_family(draft: &Draft, problems: &mut Problems) {
    let listen = &draft.service.listen;
    let Some(first) = listen.first() else { return };
    let other = listen.iter().position(|other| other.family() != first.family());
    let Some((position, other)) =
        other.and_then(|position| Some((position, listen.get(position)?)))
    else {
        return;
    };
    let message = format!("service `{}` listens on IPv4 and on IPv6", draft.service.name);
    let problem = Problem::new(Code::FamilyMismatch, message)
        .at(listen_spot(draft, position), format!("{} here", pool::family(other.family())))
        .also(listen_spot(draft, 0), format!("{} here", pool::family(first.family())))
        .help("make a second service for the other family");
    problems.push(problem);
}

/// Under `direct` and `tunnel` a server has one port and cannot serve two.
fn one_port(draft: &Draft, problems: &mut Problems) {
    let listen = &draft.service.listen;
    let Some(first) = listen.first().filter(|_| pool::keeps_port(draft.service.forwarding)) else {
        return;
    };
    let other = listen.iter().position(|other| other.port() != first.port());
    let Some((position, other)) =
        other.and_then(|position| Some((position, listen.get(position)?)))
    else {
        return;
    };
    let words = |port| if port == 0 { "every port".to_owned() } else { format!("port {port}") };
    let (here, there) = (words(other.port()), words(first.port()));
    let message = format!(
        "service `{}` has {there} and {here}, and its `forward` can't change a port",
        draft.service.name
    );
    let path = pool::service_path(&draft.service.name);
    let problem = Problem::new(Code::DirectPort, message)
        .at(listen_spot(draft, position), format!("{here} here"))
        .also(listen_spot(draft, 0), format!("{there} here"))
        .also(Spot::Value(path.key("forward")), "packets keep their destination port")
        .help("make a service of its own for each port");
    problems.push(problem);
}

fn duplicate_listen(listen: &Listen, name: &Name, path: Path, first: &Name, at: Path) -> Problem {
    let message = if name == first {
        format!("service `{name}` listens on `{listen}` twice")
    } else {
        format!("services `{first}` and `{name}` both listen on `{listen}`")
    };
    Problem::new(Code::DuplicateListen, message)
        .at(Spot::Value(path), "")
        .also(Spot::Value(at), format!("`{first}` has it already"))
        .help("the kernel has one service for a transport, address and port, and one for a mark and family")
}

pub(super) fn not_held(name: &Name, address: IpAddr, path: Path) -> Problem {
    Problem::new(
        Code::NoInstanceHolds,
        format!("service `{name}` listens on {address}, which no instance holds"),
    )
    .at(Spot::Value(path), "")
    .help(format!(
        "add {address} to the `addresses` of an instance, or see to it that this address reaches the active node"
    ))
}

fn servers(
    draft: &Draft,
    held: Option<&BTreeSet<IpAddr>>,
    listens: &BTreeSet<IpAddr>,
    marked: &[&Listen],
    problems: &mut Problems,
) {
    let service = &draft.service;
    let mut seen = BTreeMap::new();
    // A service with two ports or families has had its report: a second one at each server would say nothing new.
    let one = |differs: fn(&Listen, &Listen) -> bool| {
        service
            .listen
            .first()
            .is_none_or(|first| !service.listen.iter().any(|other| differs(first, other)))
    };
    let sound = one(|a, b| a.family() != b.family())
        && (service.implied_port().is_some() || !pool::keeps_port(service.forwarding));
    for server in service.sorry_servers.values() {
        problems.extend(other_s_address(service, server, held, listens, marked));
    }
    for server in service.real_servers.values() {
        if let Some(first) = seen.insert(server.address, &server.name) {
            problems.push(pool::duplicate(&service.name, server, first));
        }
        if sound {
            for problem in pool::check(service, server) {
                problems.push(problem);
            }
        }
        problems.extend(foreign_source(service, server));
        problems.extend(other_s_address(service, server, held, listens, marked));
    }
}

/// A server with a virtual address that is not its own service's.
fn other_s_address(
    service: &Service,
    server: &RealServer,
    held: Option<&BTreeSet<IpAddr>>,
    listens: &BTreeSet<IpAddr>,
    marked: &[&Listen],
) -> Option<Problem> {
    let address = server.address.ip();
    let virtual_address = listens.contains(&address)
        || held.is_some_and(|held| held.contains(&address))
        || marked.iter().any(|listen| listen.covers(address));
    let found = virtual_address && !service.listens_on(address);
    found.then(|| pool::virtual_address(&service.name, server))
}

/// A check that goes to the server from an address of the other family.
fn foreign_source(service: &Service, server: &RealServer) -> Option<Problem> {
    let (checks, _) = service.checks_of(server);
    let (kind, source) = checks.iter().find_map(|check| {
        let CheckKind::Network(network) = &check.kind else { return None };
        let source = network.way.source.filter(|source| {
            network.way.address.is_none() && source.is_ipv4() != server.address.is_ipv4()
        })?;
        Some((check.kind.name(), source))
    })?;
    let address = server.address.ip();
    let message = format!(
        "the check `{kind}` of `{}` comes from {source}: no packet goes from there to {address}",
        server.name
    );
    let path = pool::service_path(&service.name).key("real_servers").key(server.name.as_str());
    let problem = Problem::new(Code::CheckFamily, message).at(Spot::Key(path), "").help(format!(
        "give it a `source` of {}, or remove the key",
        pool::family(Family::of(server.address.ip()))
    ));
    Some(problem)
}
