//! What a service may want of one transport only: every port, one-packet scheduling, the persistence engine.

use ipvs_ctl::model::Protocol;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::Listen;
use crate::read::Draft;

use super::pool::service_path;

/// The rules of one service.
pub(super) fn check(draft: &Draft, problems: &mut Problems) {
    every_port(draft, problems);
    one_packet(draft, problems);
    engine(draft, problems);
}

fn every_port(draft: &Draft, problems: &mut Problems) {
    let service = &draft.service;
    if service.persistence.is_some() {
        return;
    }
    for (index, listen) in draft.items.iter().zip(&service.listen) {
        let (Listen::Address { .. }, 0) = (listen, listen.port()) else { continue };
        let message = format!(
            "service `{}` listens on every port (`{listen}`) without `persistence`",
            service.name
        );
        let at = service_path(&service.name).key("listen").item(*index);
        let problem = Problem::new(Code::PortZero, message)
            .at(Spot::Value(at), "the kernel would drop what comes")
            .help("add `persistence: {}`, or name a port")
            .help("a range of ports is `listen: {fwmark: 7, match: tcp 192.0.2.10:8000-8999}`");
        problems.push(problem);
    }
}

fn one_packet(draft: &Draft, problems: &mut Problems) {
    let service = &draft.service;
    let udp = service.listen.iter().any(|listen| listen.takes(Protocol::Udp));
    if !service.one_packet || udp || service.listen.is_empty() {
        return;
    }
    let path = service_path(&service.name);
    let message = format!("service `{}` has `one_packet` and no UDP", service.name);
    let problem = Problem::new(Code::OnePacketTransport, message)
        .at(Spot::Value(path.key("one_packet")), "")
        .also(Spot::Value(path.key("listen")), "no UDP here")
        .help("only datagrams of UDP are scheduled one by one");
    problems.push(problem);
}

fn engine(draft: &Draft, problems: &mut Problems) {
    let service = &draft.service;
    let Some(engine) = service.persistence_engine else { return };
    let path = service_path(&service.name);
    let at = Spot::Value(path.key("persistence").key("engine"));
    let others = [Protocol::Tcp, Protocol::Sctp];
    let other = |listen: &Listen| {
        // Who sets the marks knows what of.
        let somebody_elses = matches!(listen, Listen::Fwmark { matches, .. } if matches.is_empty());
        !somebody_elses && others.into_iter().any(|protocol| listen.takes(protocol))
    };
    let found = draft.items.iter().zip(&service.listen).find(|(_, listen)| other(listen));
    if let Some((index, listen)) = found {
        let message = format!(
            "service `{}` has the persistence engine `{}`, which would drop the packets of `{listen}` that are not UDP",
            service.name,
            engine.name()
        );
        let problem = Problem::new(Code::EngineTransport, message)
            .at(at, "")
            .also(Spot::Value(path.key("listen").item(*index)), "not UDP alone")
            .help("make a second service without `engine` for the other transport");
        problems.push(problem);
    } else if !service.one_packet {
        let message = format!(
            "service `{}`: without `one_packet` all calls from one address and port go to one server",
            service.name
        );
        let problem = Problem::new(Code::EngineWithoutOnePacket, message)
            .at(at, "calls are told apart where the client's port is new")
            .help("add `one_packet: true` to the service");
        problems.push(problem);
    }
}
