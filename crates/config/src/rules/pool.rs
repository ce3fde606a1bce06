//! The rules between a service and each of its real servers: what the configuration file and `holdfast server add` share.

use std::net::SocketAddr;

use ipvs_ctl::model::{Family, Forwarding};

use crate::code::Code;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Listen, Name, RealServer, Service};
use crate::path::Path;
use crate::text;

impl Service {
    /// The port that a server has whose address names none, provided that the service has one port. Under `direct` and `tunnel`
    /// packets keep the service's port, so it can only be that. Behind a mark and behind every port of an address it is 0:
    /// packets keep the port that the client chose.
    pub fn implied_port(&self) -> Option<u16> {
        let first = self.listen.first()?.port();
        let one = self.listen.iter().all(|listen| listen.port() == first);
        (one && (keeps_port(self.forwarding) || first == 0)).then_some(first)
    }
}

/// Whether packets arrive at the port to which the client sent them.
pub(super) const fn keeps_port(forwarding: Forwarding) -> bool {
    match forwarding {
        Forwarding::Direct | Forwarding::Tunnel(_) => true,
        Forwarding::Nat | Forwarding::Local | Forwarding::Bypass => false,
    }
}

/// Whether a server may be of another family than its service.
pub(super) const fn crosses_families(forwarding: Forwarding) -> bool {
    matches!(forwarding, Forwarding::Tunnel(_))
}

/// Where a service stands in the file.
pub(crate) fn service_path(name: &Name) -> Path {
    Path::of(&["services", name.as_str()])
}

/// Where a real server, or one of the sorry servers, stands in the file.
fn path_of(service: &Service, server: &RealServer) -> Path {
    match service.sorry_servers.get(&server.name) {
        Some(sorry) if **sorry == *server => {
            service_path(&service.name).key("sorry_servers").key(server.name.as_str())
        }
        Some(_) | None => server_path(&service.name, &server.name),
    }
}

/// Where a real server stands in the file.
pub(super) fn server_path(service: &Name, server: &Name) -> Path {
    service_path(service).key("real_servers").key(server.as_str())
}

/// What is wrong with `server` in `service`, its neighbours left aside.
pub(crate) fn check(service: &Service, server: &RealServer) -> Vec<Problem> {
    let at = || Spot::Value(path_of(service, server).key("address"));
    let of_service = |key: &str| Spot::Value(service_path(&service.name).key(key));
    let mut problems = vec![];
    if let Some(fault) = text::unusable_server(server.address.ip()) {
        problems.push(fault.problem(at()));
    }
    if let Some(listen) = service.listen.iter().find(|listen| other_port(service, server, listen)) {
        problems.push(direct_port(service, server, listen));
    }
    problems.extend(kept_port(service, server));
    problems.extend(check_without_port(service, server));
    if let Some(listen) = service.listen.iter().find(|listen| other_family(service, server, listen))
    {
        let (theirs, ours) = (family(Family::of(server.address.ip())), family(listen.family()));
        let method = service.forwarding.word();
        let message = format!(
            "real server `{}` is {theirs}, service `{}` is {ours}, and `forward: {method}` can't cross families",
            server.name, service.name
        );
        let problem = Problem::new(Code::FamilyMismatch, message)
            .at(at(), format!("{theirs} here"))
            .also(of_service("listen"), format!("{ours} here"))
            .help(format!("use the server's {ours} address, or `forward: tunnel`"));
        problems.push(problem);
    }
    let (weight, max) = (server.weight, service.weight_max());
    if weight > max {
        let message = format!(
            "real server `{}` of service `{}` has the weight {weight}: with `slow_start` it is at most {max}",
            server.name, service.name
        );
        let problem = Problem::new(Code::OutOfRange, message)
            .at(Spot::Value(path_of(service, server).key("weight")), "")
            .also(
                Spot::Key(service_path(&service.name).key("slow_start")),
                "the kernel gets a hundred times the weight, so that it can rise in steps",
            )
            .help("only the ratio of weights matters: divide all by the same number");
        problems.push(problem);
    }
    if service.listens_on(server.address.ip()) {
        let message = format!(
            "real server `{}` has the virtual address {} of its own service",
            server.name,
            server.address.ip()
        );
        let problem = Problem::new(Code::ServerIsVip, message)
            .at(at(), "")
            .also(of_service("listen"), "the service listens here")
            .help("use the server's own address");
        problems.push(problem);
    }
    problems
}

fn other_port(service: &Service, server: &RealServer, listen: &Listen) -> bool {
    keeps_port(service.forwarding) && listen.port() != server.address.port()
}

fn direct_port(service: &Service, server: &RealServer, listen: &Listen) -> Problem {
    let (theirs, ours) = (server.address.port(), listen.port());
    let method = service.forwarding.word();
    let (has, help) = match ours {
        0 => ("every port".to_owned(), "leave the server's port out".to_owned()),
        _ => {
            let right = SocketAddr::new(server.address.ip(), ours);
            let help = format!(
                "use `{right}`, or `forward: nat` if the server really listens on {theirs}"
            );
            (format!("port {ours}"), help)
        }
    };
    let message = format!(
        "real server `{}` has port {theirs}, service `{}` has {has}, and `forward: {method}` can't change it",
        server.name, service.name
    );
    let path = service_path(&service.name);
    Problem::new(Code::DirectPort, message)
        .at(Spot::Value(path_of(service, server).key("address")), format!("port {theirs} here"))
        .also(Spot::Value(path.key("listen")), format!("{has} here"))
        .also(Spot::Value(path.key("forward")), "packets keep their destination port")
        .help(help)
}

/// Under persistence packets of a mark or of every port keep their port, whatever the server's is.
fn kept_port(service: &Service, server: &RealServer) -> Option<Problem> {
    let keeps = service.persistence.is_some() && service.listen.iter().any(|one| one.port() == 0);
    // Under the other methods it is another service's port.
    if !keeps || server.address.port() == 0 || keeps_port(service.forwarding) {
        return None;
    }
    let port = server.address.port();
    let message = format!(
        "no packet gets to port {port} of real server `{}`: with `persistence` service `{}` keeps the client's port",
        server.name, service.name
    );
    let path = service_path(&service.name);
    let problem = Problem::new(Code::KeptPort, message)
        .at(Spot::Value(path_of(service, server).key("address")), "")
        .also(Spot::Value(path.key("listen")), "it has no port of its own")
        .also(Spot::Value(path.key("persistence")), "")
        .help(format!("write `{}`, without a port", server.address.ip()));
    Some(problem)
}

/// A check goes to a port.
fn check_without_port(service: &Service, server: &RealServer) -> Option<Problem> {
    if server.address.port() != 0 {
        return None;
    }
    let (checks, _) = service.checks_of(server);
    let check = checks.iter().find(|check| check.kind.needs_port())?;
    let path = match &server.checks {
        Some(_) => server_path(&service.name, &server.name),
        None => service_path(&service.name),
    };
    let kind = check.kind.name();
    let message = format!(
        "real server `{}` of service `{}` has no port that its {kind} check could go to",
        server.name, service.name
    );
    let key = if checks.len() > 1 { "checks" } else { "check" };
    let problem = Problem::new(Code::CheckNeedsPort, message)
        .at(Spot::Value(path.key(key)), "")
        .also(Spot::Value(service_path(&service.name).key("listen")), "packets keep their port")
        .help(format!("name one: `check: {{{kind}: {{port: 8000}}}}`"));
    Some(problem)
}

fn other_family(service: &Service, server: &RealServer, listen: &Listen) -> bool {
    let tunnelled = matches!(service.forwarding, Forwarding::Tunnel(_));
    !tunnelled && listen.family() != Family::of(server.address.ip())
}

pub(super) const fn family(family: Family) -> &'static str {
    match family {
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

/// The report of a server that is a sorry server of its service as well.
pub(crate) fn is_sorry(service: &Name, server: &RealServer, sorry: &Name) -> Problem {
    let message = format!(
        "real server `{}` and sorry server `{sorry}` of service `{service}` are both {}",
        server.name, server.address
    );
    Problem::new(Code::SorryIsReal, message)
        .at(Spot::Value(server_path(service, &server.name).key("address")), "")
        .also(Spot::Key(service_path(service).key("sorry_servers").key(sorry.as_str())), "")
        .help("give the sorry server an address or port of its own")
}
