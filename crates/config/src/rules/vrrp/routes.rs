//! The rules of routes and policy rules: what the kernel would refuse, or take and never use.

use std::collections::BTreeMap;

use ::vrrp::AddressFamily;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::{Route, RouteKind, Rule, Scope};
use crate::read::{InstanceDraft, View};
use crate::source::Source;

/// The rules of one instance.
pub(super) fn check(draft: &InstanceDraft, source: &Source, problems: &mut Problems) {
    for (index, route) in &draft.routes {
        let path = draft.at(source, "routes").item(*index);
        for (key, what, help) in route_faults(route) {
            let message = format!("the route to {} {what}", route.to);
            let problem =
                Problem::new(Code::BadRoute, message).at(Spot::Value(path.key(key)), "").help(help);
            problems.push(problem);
        }
    }
    for (index, rule) in &draft.rules {
        let path = draft.at(source, "rules").item(*index);
        if let (Some(from), Some(to)) = (rule.from, rule.to)
            && AddressFamily::of(from.addr()) != AddressFamily::of(to.addr())
        {
            let message = format!("no packet goes from {from} to {to}");
            let problem = Problem::new(Code::BadRule, message)
                .at(Spot::Value(path.key("to")), "")
                .also(Spot::Value(path.key("from")), "")
                .help("both are of one family; make a rule for each family");
            problems.push(problem);
        }
        for (key, what, help) in rule_faults(rule) {
            let message = format!("the rule of priority {} {what}", rule.priority);
            let problem =
                Problem::new(Code::BadRule, message).at(Spot::Value(path.key(key)), "").help(help);
            problems.push(problem);
        }
    }
}

/// The key at fault, what is wrong, and the way out.
fn rule_faults(rule: &Rule) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut faults = vec![];
    let everything = rule.from.is_none()
        && rule.to.is_none()
        && rule.iif.is_none()
        && rule.oif.is_none()
        && rule.mark.is_none()
        && rule.ipproto.is_none()
        && rule.sport.is_none()
        && rule.dport.is_none()
        && rule.uidrange.is_none();
    if rule.not && everything {
        let help = "say which packets it is not for, with `from` or `mark`, say, or remove it";
        faults.push(("not", "is for no packet", help));
    }
    if rule.kind != RouteKind::Unicast {
        let unused = [
            ("table", rule.table.is_some()),
            ("suppress_prefixlength", rule.suppress_prefixlength.is_some()),
        ];
        for (key, _) in unused.into_iter().filter(|(_, written)| *written) {
            faults.push((key, "looks in no table", "remove it, or the `type`"));
        }
    }
    faults
}

/// The key at fault, what is wrong, and the way out.
fn route_faults(route: &Route) -> Vec<(&'static str, String, &'static str)> {
    let mut faults = vec![];
    let family = AddressFamily::of(route.to.addr());
    for (key, address) in [("via", route.via), ("source", route.source)] {
        if let Some(address) = address.filter(|address| AddressFamily::of(*address) != family) {
            let what = format!("is of {family}, its `{key}` {address} is not");
            faults.push((key, what, "use addresses of one family"));
        }
    }
    if route.kind == RouteKind::Unicast {
        if route.via.is_none() && route.device.is_none() {
            let help =
                "add the next hop, `via: 192.0.2.1`, or `device: eth0` for hosts on that link";
            faults.push(("to", "says not where packets go".to_owned(), help));
        }
        if route.on_link && route.via.is_none() {
            let help = "remove it: a route without `via` is on the link anyway";
            faults.push(("on_link", "has `on_link` and no next hop".to_owned(), help));
        }
        let near = matches!(route.scope, Some(Scope::Link | Scope::Host));
        if near && route.via.is_some() {
            let help = "remove `scope`: what is behind a next hop is not on the link";
            faults.push(("scope", "has a next hop and the scope of the link".to_owned(), help));
        }
    } else {
        let unused = [
            ("via", route.via.is_some()),
            ("device", route.device.is_some()),
            ("source", route.source.is_some()),
            ("on_link", route.on_link),
        ];
        for (key, _) in unused.into_iter().filter(|(_, written)| *written) {
            let what = format!("goes nowhere and has `{key}`");
            faults.push((key, what, "remove it, or the `type`"));
        }
    }
    if route.scope.is_some() && family == AddressFamily::Ipv6 {
        let help = "remove it: the kernel ignores it";
        faults.push(("scope", "is of IPv6, which has no scopes of routes".to_owned(), help));
    }
    faults
}

/// What makes the kernel take two routes for one.
type RouteKey = (ipnet::IpNet, u32, Option<u32>);

/// No route and no rule twice on one node: each instance would remove the other's.
pub(super) fn duplicates(view: &View, source: &Source, problems: &mut Problems) {
    let mut routes: BTreeMap<RouteKey, (&InstanceDraft, usize)> = BTreeMap::new();
    let mut rules: BTreeMap<&Rule, (&InstanceDraft, usize)> = BTreeMap::new();
    for draft in &view.instances {
        for (index, route) in &draft.routes {
            let key = (route.to, route.table, route.metric);
            if let Some(first) = routes.insert(key, (draft, *index)) {
                let what = format!("the route to {} of table {}", route.to, route.table);
                problems.push(twice(&what, "routes", (draft, *index), first, source));
            }
        }
        for (index, rule) in &draft.rules {
            if let Some(first) = rules.insert(rule, (draft, *index)) {
                let what = format!("the rule of priority {}", rule.priority);
                problems.push(twice(&what, "rules", (draft, *index), first, source));
            }
        }
    }
}

fn twice(
    what: &str,
    key: &str,
    (draft, index): (&InstanceDraft, usize),
    (first, at): (&InstanceDraft, usize),
    source: &Source,
) -> Problem {
    let place = |draft: &InstanceDraft, index| Spot::Value(draft.at(source, key).item(index));
    Problem::new(Code::DuplicateRoute, format!("{what} is twice"))
        .at(place(draft, index), "the second")
        .also(place(first, at), format!("the first, of instance `{}`", first.name))
        .help("keep one of them, or give them different metrics or tables")
}
