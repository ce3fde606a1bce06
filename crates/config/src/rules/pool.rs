//! The rules between a service and each of its real servers: what the configuration file and `holdfast server add` share.

use std::net::SocketAddr;

use ipvs_ctl::model::{Family, Forwarding};

use crate::code::Code;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Listen, Name, RealServer, Service};
use crate::path::Path;
use crate::text;

impl Service {
    /// The port that a server has whose address names none: under `direct` and `tunnel` packets keep the service's port, so it
    /// can only be that, provided that the service has one port.
    pub fn implied_port(&self) -> Option<u16> {
        let first = self.listen.first()?.address.port();
        let one = self.listen.iter().all(|listen| listen.address.port() == first);
        (one && keeps_port(self.forwarding)).then_some(first)
    }
}

/// Whether packets arrive at the port to which the client sent them.
pub(super) const fn keeps_port(forwarding: Forwarding) -> bool {
    match forwarding {
        Forwarding::Direct | Forwarding::Tunnel(_) => true,
        Forwarding::Nat | Forwarding::Local | Forwarding::Bypass => false,
    }
}

const fn word(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Direct => "direct",
        Forwarding::Tunnel(_) => "tunnel",
        Forwarding::Nat => "nat",
        Forwarding::Local => "local",
        Forwarding::Bypass => "bypass",
    }
}

/// Where a service stands in the file.
pub(crate) fn service_path(name: &Name) -> Path {
    Path::of(&["services", name.as_str()])
}

/// Where a real server stands in the file.
pub(super) fn server_path(service: &Name, server: &Name) -> Path {
    service_path(service).key("real_servers").key(server.as_str())
}

/// What is wrong with `server` in `service`, its neighbours left aside.
pub(crate) fn check(service: &Service, server: &RealServer) -> Vec<Problem> {
    let path = service_path(&service.name);
    let at = Spot::Value(server_path(&service.name, &server.name).key("address"));
    let mut problems = vec![];
    if let Some(fault) = text::unusable_server(server.address.ip()) {
        problems.push(fault.problem(at.clone()));
    }
    let listens = |path: &Path| Spot::Value(path.key("listen"));
    if let Some(listen) = service.listen.iter().find(|listen| other_port(service, server, listen)) {
        let (theirs, ours) = (server.address.port(), listen.address.port());
        let method = word(service.forwarding);
        let message = format!(
            "real server `{}` has port {theirs}, service `{}` has port {ours}, and `forward: {method}` can't change it",
            server.name, service.name
        );
        let right = SocketAddr::new(server.address.ip(), ours);
        let problem = Problem::new(Code::DirectPort, message)
            .at(at.clone(), format!("port {theirs} here"))
            .also(listens(&path), format!("port {ours} here"))
            .also(Spot::Value(path.key("forward")), "packets keep their destination port")
            .help(format!(
                "use `{right}`, or `forward: nat` if the server really listens on {theirs}"
            ));
        problems.push(problem);
    }
    if let Some(listen) = service.listen.iter().find(|listen| other_family(service, server, listen))
    {
        let (theirs, ours) = (family(server.address), family(listen.address));
        let method = word(service.forwarding);
        let message = format!(
            "real server `{}` is {theirs}, service `{}` is {ours}, and `forward: {method}` can't cross families",
            server.name, service.name
        );
        let problem = Problem::new(Code::FamilyMismatch, message)
            .at(at.clone(), format!("{theirs} here"))
            .also(listens(&path), format!("{ours} here"))
            .help(format!("use the server's {ours} address, or `forward: tunnel`"));
        problems.push(problem);
    }
    if service.listen.iter().any(|listen| listen.address.ip() == server.address.ip()) {
        let message = format!(
            "real server `{}` has the virtual address {} of its own service",
            server.name,
            server.address.ip()
        );
        let problem = Problem::new(Code::ServerIsVip, message)
            .at(at, "")
            .also(listens(&path), "the service listens here")
            .help("use the server's own address");
        problems.push(problem);
    }
    problems
}

fn other_port(service: &Service, server: &RealServer, listen: &Listen) -> bool {
    keeps_port(service.forwarding) && listen.address.port() != server.address.port()
}

fn other_family(service: &Service, server: &RealServer, listen: &Listen) -> bool {
    let tunnelled = matches!(service.forwarding, Forwarding::Tunnel(_));
    !tunnelled && listen.address.is_ipv4() != server.address.is_ipv4()
}

pub(super) const fn family(address: SocketAddr) -> &'static str {
    match Family::of(address.ip()) {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// The report of a server with a virtual address that is not its own service's (that one is [`check`]'s).
pub(crate) fn virtual_address(service: &Name, server: &RealServer) -> Problem {
    let message = format!(
        "real server `{}` of service `{service}` has the virtual address {}",
        server.name,
        server.address.ip()
    );
    Problem::new(Code::ServerIsVip, message)
        .at(Spot::Value(server_path(service, &server.name).key("address")), "")
        .help("use the server's own address")
}

/// The report of a server that the service has already under another name.
pub(crate) fn duplicate(service: &Name, server: &RealServer, first: &Name) -> Problem {
    let message = format!(
        "real servers `{first}` and `{}` of service `{service}` are both {}",
        server.name, server.address
    );
    Problem::new(Code::DuplicateServer, message)
        .at(Spot::Value(server_path(service, &server.name).key("address")), "")
        .also(
            Spot::Value(server_path(service, first).key("address")),
            format!("`{first}` has it already"),
        )
        .help("remove or correct one; a double share is `weight: 2`")
}
