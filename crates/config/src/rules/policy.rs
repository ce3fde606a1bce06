//! The rules of quorum, sorry servers and what happens when all servers are down.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use ::vrrp::Priority;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{AllDown, Name, Service, TrackerKind};
use crate::path::Path;
use crate::read::{Document, Draft, InstanceDraft};
use crate::suggest;

use super::pool;

/// Applies all of them.
pub(super) fn check(document: &Document, problems: &mut Problems) {
    for draft in document.services.values() {
        quorum(&draft.service, problems);
        sorry_servers(&draft.service, problems);
        contradiction(&draft.service, problems);
        withdrawal(document, draft, problems);
    }
    trackers(document, problems);
}

/// A quorum that the servers of the file can't reach.
fn quorum(service: &Service, problems: &mut Problems) {
    let sum: u64 = service.real_servers.values().map(|server| u64::from(server.weight)).sum();
    let quorum = service.policy.quorum;
    // A pool that commands fill is not known here.
    if service.real_servers.is_empty() || sum >= quorum.gain() {
        return;
    }
    let path = pool::service_path(&service.name);
    let (name, weight) = (&service.name, quorum.weight);
    let (message, label) = if sum < u64::from(weight) {
        (
            format!(
                "service `{name}` never has its quorum: the weights of its servers add up to {sum}"
            ),
            format!("more than {sum}"),
        )
    } else {
        (
            format!(
                "service `{name}` never gets its quorum back: the weights of its servers add up to {sum}"
            ),
            format!("with `hysteresis` it is gained at {}", quorum.gain()),
        )
    };
    let problem =
        Problem::new(Code::QuorumTooHigh, message).at(Spot::Value(path.key("quorum")), label).help(
            "the quorum counts weights, not servers: `quorum` + `hysteresis` is at most their sum",
        );
    problems.push(problem);
}

fn sorry_servers(service: &Service, problems: &mut Problems) {
    let real: BTreeMap<SocketAddr, &Name> =
        service.real_servers.values().map(|server| (server.address, &server.name)).collect();
    let mut seen: BTreeMap<SocketAddr, &Name> = BTreeMap::new();
    for sorry in service.sorry_servers.values() {
        let at = || {
            let path = pool::service_path(&service.name).key("sorry_servers");
            Spot::Value(path.key(sorry.name.as_str()))
        };
        if let Some(name) = real.get(&sorry.address)
            && let Some(server) = service.real_servers.get(*name)
        {
            problems.push(pool::is_sorry(&service.name, server, &sorry.name));
        }
        if let Some(first) = seen.insert(sorry.address, &sorry.name) {
            let message = format!(
                "sorry servers `{first}` and `{}` of service `{}` are both {}",
                sorry.name, service.name, sorry.address
            );
            let problem = Problem::new(Code::DuplicateServer, message)
                .at(at(), "")
                .help("remove or correct one; a double share is `weight: 2`");
            problems.push(problem);
        }
        // Those of real servers were told by their own rules.
        if !real.contains_key(&sorry.address) {
            for problem in pool::check(service, sorry) {
                problems.push(problem);
            }
        }
    }
}

/// Sorry servers that nobody would ever see, or none where they are asked for.
fn contradiction(service: &Service, problems: &mut Problems) {
    let (name, all_down) = (&service.name, service.policy.all_down);
    let path = pool::service_path(name);
    let problem = match (all_down, service.sorry_servers.is_empty()) {
        (AllDown::Sorry, false)
        | (AllDown::Drop | AllDown::FailOpen | AllDown::WithdrawVip, true) => {
            return;
        }
        (AllDown::Sorry, true) => {
            let message = format!("service `{name}` has `all_down: sorry` and no sorry server");
            Problem::new(Code::AllDownConflict, message)
                .at(Spot::Value(path.key("all_down")), "")
                .help("add one: `sorry_servers: {sorry1: 10.0.0.99:80}`")
        }
        (AllDown::Drop | AllDown::FailOpen | AllDown::WithdrawVip, false) => {
            let word = all_down.word();
            let message = format!(
                "service `{name}` has sorry servers, and with `all_down: {word}` none of them is used"
            );
            Problem::new(Code::AllDownConflict, message)
                .at(Spot::Value(path.key("all_down")), "")
                .also(Spot::Key(path.key("sorry_servers")), "")
                .help("remove one of the two keys")
        }
    };
    problems.push(problem);
}

/// `withdraw_vip` where there is nothing to withdraw.
fn withdrawal(document: &Document, draft: &Draft, problems: &mut Problems) {
    let service = &draft.service;
    if service.policy.all_down != AllDown::WithdrawVip {
        return;
    }
    let holds = |instance: &InstanceDraft| {
        instance.held().any(|(_, _, address)| service.listens_on(address.net.addr()))
    };
    let instances = document.views.first().map(|view| view.instances.as_slice());
    let holders: Vec<&InstanceDraft> =
        instances.unwrap_or_default().iter().filter(|one| holds(one)).collect();
    let name = &service.name;
    let (message, help) = match holders.as_slice() {
        [] => (
            format!(
                "service `{name}` has `all_down: withdraw_vip`, and no instance holds its addresses"
            ),
            "add its addresses to an instance, or choose `drop`, `fail_open` or `sorry`",
        ),
        [one] if one.priority == Priority::OWNER => (
            format!(
                "service `{name}` has `all_down: withdraw_vip`, and instance `{}` has priority 255, which nothing withdraws",
                one.name
            ),
            "use a priority of at most 254",
        ),
        _ => return,
    };
    let problem = Problem::new(Code::WithdrawsNothing, message)
        .at(Spot::Value(pool::service_path(name).key("all_down")), "")
        .also(Spot::Value(pool::service_path(name).key("listen")), "")
        .help(help);
    problems.push(problem);
}

/// Trackers of services that there are not.
fn trackers(document: &Document, problems: &mut Problems) {
    for tracker in document.vrrp.trackers.values() {
        let TrackerKind::Service(name) = &tracker.kind else { continue };
        if document.services.contains_key(name) {
            continue;
        }
        let names = || document.services.keys().map(Name::as_str);
        let label = suggest::nearest(name.as_str(), names())
            .map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"));
        let path = Path::of(&["vrrp", "trackers", tracker.name.as_str(), "service"]);
        let problem = Problem::new(Code::UnknownService, format!("there is no service `{name}`"))
            .at(Spot::Value(path), label)
            .help(format!("known: {}", suggest::list(names().take(12))));
        problems.push(problem);
    }
}
