//! The rules of `ipvs.sync` and `ipvs.sysctls`, and of what waits for synchronisation.

use std::collections::BTreeSet;

use ::vrrp::Priority;
use ipvs_ctl::model::Family;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::path::Path;
use crate::read::{Document, Draft, InstanceDraft, SyncDraft};
use crate::source::Source;
use crate::sysctls::{Around, Need, REFRESH_S, Sysctl, catch_up, needs};
use crate::text;

use super::pool;

/// All of them.
pub(super) fn check(document: &Document, source: &Source, problems: &mut Problems) {
    for view in &document.ipvs.sync {
        follows(document, &view.draft, &view.node, source, problems);
    }
    if let Some(view) = document.ipvs.sync.first() {
        let drafts = document.services.values();
        drafts.for_each(|draft| one_family(draft, view.draft.path(), problems));
        if document.services.is_empty() {
            let problem = Problem::new(
                Code::SyncWithoutServices,
                "there are no services, and no connections to tell of",
            )
            .at(Spot::Key(view.draft.path().clone()), "does nothing")
            .help("add services, or remove `sync`");
            problems.push(problem);
        }
        backup_only(document, &view.draft, source, problems);
    }
    for draft in document.views.iter().flat_map(|view| &view.instances) {
        waits(document, draft, source, problems);
    }
    conflicts(document, problems);
}

fn sysctl_path(name: &str) -> Path {
    Path::of(&["ipvs", "sysctls", name])
}

/// What `ipvs.sysctls` says of a sysctl.
fn written<'a>(document: &'a Document, name: &str) -> Option<&'a str> {
    let sysctl = Sysctl::find(name)?;
    document.ipvs.ipvs.sysctls.get(&sysctl).map(String::as_str)
}

/// Under `role: follow` there is somebody to follow.
fn follows(
    document: &Document,
    draft: &SyncDraft,
    node: &str,
    source: &Source,
    problems: &mut Problems,
) {
    let view =
        document.views.iter().find(|view| view.node == node).or_else(|| document.views.first());
    let instances = view.map(|view| view.instances.as_slice()).unwrap_or_default();
    if draft.both || draft.followed(&document.vrrp, instances).is_some() {
        return;
    }
    let problem = match &draft.follows {
        Some(name) => {
            let message = format!(
                "there is no instance and no sync group `{name}` for `ipvs.sync` to follow"
            );
            Problem::new(Code::SyncFollowsNobody, message)
                .at(Spot::Value(draft.at(source, "follows")), "")
        }
        // One that could not be read has been reported.
        None if draft.has_follows => return,
        None if instances.is_empty() => Problem::new(
            Code::SyncFollowsNobody,
            "`ipvs.sync` follows VRRP, and there is no instance",
        )
        .at(Spot::Key(draft.path().clone()), "`role: follow`"),
        None => {
            let message =
                "`ipvs.sync` does not say which of several instances or groups it follows";
            Problem::new(Code::SyncFollowsNobody, message)
                .at(Spot::Key(draft.path().clone()), "`role: follow`")
        }
    };
    let groups = document.vrrp.groups.iter().map(|group| group.name.as_str());
    let names = groups.chain(instances.iter().map(|draft| draft.name.as_str()));
    // Hundreds of names would bury the message.
    let names: Vec<String> = names.take(12).map(|name| format!("`follows: {name}`")).collect();
    let problem = if names.is_empty() {
        problem
    } else {
        problem.help(format!("write one of {}", names.join(", ")))
    };
    problems.push(problem.help("`role: both` needs no instance"));
}

/// The kernel has no sync for a server of another family.
fn one_family(draft: &Draft, sync: &Path, problems: &mut Problems) {
    let service = &draft.service;
    let Some(first) = service.listen.first() else { return };
    let other = service
        .real_servers
        .values()
        .find(|server| Family::of(server.address.ip()) != first.family());
    // Under another method it is refused for that.
    let Some(other) = other.filter(|_| pool::crosses_families(service.forwarding)) else { return };
    let message = format!(
        "the server `{}` of service `{}` is of another family than the service, of which no sync daemon can tell",
        other.name, service.name
    );
    let path = pool::service_path(&service.name).key("real_servers").key(other.name.as_str());
    let problem = Problem::new(Code::SyncMixedFamilies, message)
        .at(Spot::Value(path), "")
        .also(Spot::Key(sync.clone()), "the kernel refuses one of the two")
        .help("use servers of the service's family, or remove `ipvs.sync`");
    problems.push(problem);
}

/// A node on which the backup's daemon always runs would never schedule.
fn backup_only(document: &Document, draft: &SyncDraft, source: &Source, problems: &mut Problems) {
    if written(document, "backup_only") != Some("1") {
        return;
    }
    let at = Spot::Value(sysctl_path("backup_only"));
    problems.push(if draft.both {
        Problem::new(
            Code::SysctlDefeats,
            "with `backup_only: 1` and `role: both` no node forwards anything",
        )
        .at(at, "nothing is scheduled where the backup's daemon runs")
        .also(Spot::Value(draft.at(source, "role")), "it runs on every node")
        .help("use `role: follow`, or remove `backup_only`")
    } else {
        Problem::new(Code::SysctlConflict, "with `backup_only: 1` a takeover resets connections")
            .at(at, "until the backup's daemon has ended, this node's own TCP answers")
            .also(Spot::Key(draft.path().clone()), "")
            .help("use it only where the directors are each other's real servers")
    });
}

/// What waits for connections can have them before the wait is over.
fn waits(document: &Document, draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    let Some(wait) = draft.wait_for_sync else { return };
    let path = draft.at(source, "preempt").key("wait_for_sync");
    let name = &draft.name;
    if document.ipvs.sync.is_empty() {
        let problem = Problem::new(
            Code::WaitWithoutSync,
            format!("instance `{name}` waits for connections that nobody tells it of"),
        )
        .at(Spot::Value(path), "")
        .help("configure `ipvs.sync`, or use `preempt_delay`");
        problems.push(problem);
        return;
    }
    let refresh = written(document, "sync_refresh_period").map(str::parse);
    let needed = catch_up(refresh.and_then(Result::ok).unwrap_or(REFRESH_S));
    let message = match needed {
        _ if draft.priority == Priority::OWNER => {
            format!("instance `{name}` has priority 255, which waits for nothing")
        }
        None => {
            format!("instance `{name}` waits for connections that are told of by packets alone")
        }
        Some(needed) if needed >= wait => format!(
            "instance `{name}` waits for {}, and it has its connections after {}",
            text::short(wait),
            text::short(needed)
        ),
        Some(_) => return,
    };
    let mut problem = Problem::new(Code::WaitTooShort, message).at(Spot::Value(path), "");
    let at = sysctl_path("sync_refresh_period");
    if source.has(&at) {
        problem = problem.also(Spot::Value(at), "");
    }
    problems.push(problem.help("two `sync_refresh_period` and three seconds have to fit in"));
}

/// What is written against what the services need, each sysctl once.
fn conflicts(document: &Document, problems: &mut Problems) {
    let held = document.views.first().into_iter().flat_map(|view| &view.instances);
    let held = held.flat_map(|draft| {
        let interface = draft.interface.as_deref();
        draft.held().filter_map(move |(_, _, address)| Some((address.net, interface?)))
    });
    let around = Around { sync: !document.ipvs.sync.is_empty(), held: held.collect() };
    let mut seen = BTreeSet::new();
    for need in needs(document.services.values().map(|draft| &draft.service), &around) {
        let Some(value) = document.ipvs.ipvs.sysctls.get(&need.sysctl) else { continue };
        if !need.is_met_by(value) && seen.insert(need.sysctl) {
            problems.push(conflict(&need, value));
        }
    }
}

fn conflict(need: &Need, value: &str) -> Problem {
    let Need { sysctl, aim, because, else_what, vital } = need;
    let name = sysctl.name;
    let code = if *vital { Code::SysctlDefeats } else { Code::SysctlConflict };
    Problem::new(code, format!("`{name}: {value}`, and {because}: {else_what}"))
        .at(Spot::Value(sysctl_path(name)), format!("{aim} is needed"))
        .help(format!("remove `{name}`: it is set by itself"))
}
