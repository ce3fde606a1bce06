//! A service and its real servers.

use std::sync::Arc;

use super::shown::Shown;
use super::{Found, Impact, Pair, Sign, Subject, servers};
use crate::model::{Listen, PoolPolicy, RealServer, Service};

pub(super) fn compare(pair: Pair<'_, Service>, found: &mut Found) {
    match pair {
        Pair::Added(service) => {
            found.whole(Sign::Add, subject(service), summary(service), Impact::None);
        }
        Pair::Removed(service) => {
            found.whole(Sign::Remove, subject(service), summary(service), Impact::Connections);
        }
        Pair::Changed(old, new) => {
            settings(old, new, found);
            for pair in servers(old, new) {
                compare_servers(new, pair, found);
            }
        }
    }
}

fn settings(old: &Service, new: &Service, found: &mut Found) {
    let Service {
        name: _,
        listen,
        scheduler,
        flags,
        one_packet,
        persistence,
        persistence_engine,
        forwarding,
        thresholds,
        checks,
        policy,
        drain,
        slow_start,
        discover,
        real_servers: _,
        sorry_servers,
    } = old;
    // What is marked for a service decides of new connections alone.
    let stays = |one: &Listen| new.listen.iter().any(|other| other.key() == one.key());
    let same = |one: &Listen| new.listen.contains(one);
    let listens = match (listen.iter().all(stays), listen.iter().all(same)) {
        (false, _) => Impact::Connections,
        (true, false) => Impact::NewConnections,
        (true, true) => Impact::None,
    };
    // Servers of a directory that is asked no longer drain.
    let directory = |service: &Service| service.discover.as_ref().map(|one| one.directory.clone());
    let moved = match directory(old) == directory(new) {
        true => Impact::None,
        false => Impact::Connections,
    };
    found
        .of(subject(new))
        .list("listen", listen, &new.listen, listens)
        .put("scheduler", scheduler, &new.scheduler, Impact::NewConnections)
        .put("scheduler.flags", flags, &new.flags, Impact::NewConnections)
        .put("one_packet", one_packet, &new.one_packet, Impact::NewConnections)
        .put("persistence", persistence, &new.persistence, Impact::NewConnections)
        .put(
            "persistence.engine",
            persistence_engine,
            &new.persistence_engine,
            Impact::NewConnections,
        )
        .put("forward", forwarding, &new.forwarding, Impact::NewConnections)
        .put("thresholds", thresholds, &new.thresholds, Impact::NewConnections)
        .put("drain.timeout", &drain.timeout, &new.drain.timeout, Impact::None)
        .put("drain.idle", &drain.idle, &new.drain.idle, Impact::None)
        .put("slow_start", slow_start, &new.slow_start, Impact::NewConnections)
        .put("discover", discover, &new.discover, moved)
        .list("checks", checks, &new.checks, Impact::None)
        .put("sorry_servers", sorry_servers, &new.sorry_servers, Impact::NewConnections);
    compare_policies(old, policy, new, found);
}

fn compare_policies(service: &Service, old: &PoolPolicy, new: &Service, found: &mut Found) {
    let PoolPolicy { combine, initial, damping, on_failure, quorum, all_down, hooks } = old;
    let policy = &new.policy;
    found
        .of(subject(service))
        .put("checks", combine, &policy.combine, Impact::NewConnections)
        .put("initial", initial, &policy.initial, Impact::None)
        .put("flap_damping", damping, &policy.damping, Impact::None)
        .put("on_failure", on_failure, &policy.on_failure, Impact::NewConnections)
        .put("quorum", &quorum.weight, &policy.quorum.weight, Impact::NewConnections)
        .put("hysteresis", &quorum.hysteresis, &policy.quorum.hysteresis, Impact::NewConnections)
        .put("all_down", all_down, &policy.all_down, Impact::NewConnections)
        .list("hooks", hooks, &policy.hooks, Impact::None);
}

fn compare_servers(service: &Service, pair: Pair<'_, Arc<RealServer>>, found: &mut Found) {
    match pair {
        Pair::Added(server) => {
            let text = server_summary(server);
            found.whole(Sign::Add, server_subject(service, server), text, Impact::None);
        }
        Pair::Removed(server) => {
            let text = server_summary(server);
            let impact = Impact::Connections;
            found.whole(Sign::Remove, server_subject(service, server), text, impact);
        }
        Pair::Changed(old, new) => {
            // The address is the same: it is what the two were paired by.
            let RealServer { name, address: _, weight, thresholds, checks, combine } = &**old;
            let mut settings = found.of(server_subject(service, new));
            settings
                .put("name", name, &new.name, Impact::None)
                .put("weight", weight, &new.weight, Impact::NewConnections)
                .put("thresholds", thresholds, &new.thresholds, Impact::NewConnections);
            match (checks, &new.checks) {
                (Some(old), Some(own)) => {
                    settings.list("checks", old, own, Impact::None).put(
                        "checks",
                        combine,
                        &new.combine,
                        Impact::NewConnections,
                    );
                }
                (None, None) => {}
                (Some(_), None) => settings.changed("checks", "the service's".into(), Impact::None),
                (None, Some(new)) => {
                    let own: Vec<String> = new.iter().map(Shown::shown).collect();
                    settings.changed("checks", format!("its own: {}", own.join(" ")), Impact::None);
                }
            }
        }
    }
}

fn subject(service: &Service) -> Subject {
    Subject::Service(service.name.clone())
}

fn server_subject(service: &Service, server: &RealServer) -> Subject {
    Subject::Server {
        service: service.name.clone(),
        server: server.name.clone(),
        address: server.address,
    }
}

fn summary(service: &Service) -> String {
    let listen: Vec<String> = service.listen.iter().map(ToString::to_string).collect();
    let (scheduler, servers) = (&service.scheduler, service.real_servers.len());
    let forward = service.forwarding.shown();
    format!("{} {scheduler} {forward}, {servers} servers", listen.join(", "))
}

fn server_summary(server: &RealServer) -> String {
    format!("{} weight {}", server.address, server.weight)
}
