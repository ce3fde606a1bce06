//! A VRRP instance.

use std::time::Duration;

use super::shown::Shown;
use super::{Found, Impact, Pair, Sign, Subject};
use crate::model::Instance;

/// The same pairs, but that an instance which goes and one which comes are one, if they are the same virtual router.
pub(super) fn matched<'a>(pairs: Vec<Pair<'a, Instance>>) -> Vec<Pair<'a, Instance>> {
    let mut gone = Vec::new();
    let mut rest = Vec::new();
    for pair in pairs {
        match pair {
            Pair::Removed(instance) => gone.push(instance),
            Pair::Added(_) | Pair::Changed(..) => rest.push(pair),
        }
    }
    for pair in &mut rest {
        if let Pair::Added(new) = *pair
            && let Some(at) = gone.iter().position(|old| old.is_same_router(new))
        {
            *pair = Pair::Changed(gone.swap_remove(at), new);
        }
    }
    gone.into_iter().map(Pair::Removed).chain(rest).collect()
}

pub(super) fn compare(pair: Pair<'_, Instance>, found: &mut Found) {
    match pair {
        Pair::Added(instance) => {
            found.whole(Sign::Add, subject(instance), summary(instance), Impact::PeerMustMatch);
        }
        Pair::Removed(instance) => {
            found.whole(Sign::Remove, subject(instance), summary(instance), Impact::Transition);
        }
        Pair::Changed(old, new) => settings(old, new, found),
    }
}

fn settings(old: &Instance, new: &Instance, found: &mut Found) {
    let Instance {
        name,
        interface,
        vrid,
        priority,
        interval,
        down_adverts,
        version,
        checksum,
        password,
        password_from,
        preempt,
        preempt_delay,
        wait_for_sync,
        accept,
        family,
        multicast_group,
        unicast,
        virtual_mac,
        addresses,
        excluded,
        routes,
        rules,
        announce,
        lifetime,
        lifetime_unsaid,
        track,
        hooks,
    } = old;
    let lifetime = Lifetime(*lifetime, *lifetime_unsaid);
    let new_lifetime = Lifetime(new.lifetime, new.lifetime_unsaid);
    let spoken = match (unicast, &new.unicast) {
        (Some(_), Some(_)) | (None, None) => Impact::PeerMustMatch,
        (None, Some(_)) | (Some(_), None) => Impact::Transition,
    };
    found
        .of(subject(new))
        .put("name", name, &new.name, Impact::None)
        .put("interface", interface, &new.interface, Impact::Transition)
        .put("vrid", vrid, &new.vrid, Impact::Transition)
        .put("priority", priority, &new.priority, Impact::Transition)
        .put("interval", interval, &new.interval, Impact::PeerMustMatch)
        .put("down_adverts", down_adverts, &new.down_adverts, Impact::None)
        .put("version", version, &new.version, Impact::Transition)
        .put("checksum", checksum, &new.checksum, Impact::PeerMustMatch)
        .put("authentication.password", password, &new.password, Impact::PeerMustMatch)
        .put("authentication", password_from, &new.password_from, Impact::None)
        .put("preempt", preempt, &new.preempt, Impact::Transition)
        .put("preempt_delay", preempt_delay, &new.preempt_delay, Impact::None)
        .put("preempt.wait_for_sync", wait_for_sync, &new.wait_for_sync, Impact::None)
        .put("accept", accept, &new.accept, Impact::NewConnections)
        .put("family", family, &new.family, Impact::Transition)
        .put("multicast_group", multicast_group, &new.multicast_group, Impact::Transition)
        .put("unicast", unicast, &new.unicast, spoken)
        .put("virtual_mac", virtual_mac, &new.virtual_mac, Impact::Transition)
        .list("addresses", addresses, &new.addresses, Impact::PeerMustMatch)
        .list("excluded", excluded, &new.excluded, Impact::PeerMustMatch)
        .list("routes", routes, &new.routes, Impact::None)
        .list("rules", rules, &new.rules, Impact::None)
        .put("announce", announce, &new.announce, Impact::None)
        .put("lifetime", &lifetime, &new_lifetime, Impact::None)
        .list("track", track, &new.track, Impact::Transition)
        .list("hooks", hooks, &new.hooks, Impact::None);
}

/// How long its addresses live, and whether nobody has said so.
#[derive(PartialEq)]
struct Lifetime(Option<Duration>, bool);

impl Shown for Lifetime {
    fn shown(&self) -> String {
        match self {
            Self(lifetime @ Some(_), _) | Self(lifetime @ None, false) => lifetime.shown(),
            Self(None, true) => "unsaid".to_owned(),
        }
    }
}

fn subject(instance: &Instance) -> Subject {
    Subject::Instance(instance.name.clone())
}

fn summary(instance: &Instance) -> String {
    let addresses: Vec<String> = instance.addresses.iter().map(ToString::to_string).collect();
    let Instance { interface, vrid, priority, .. } = instance;
    format!("{interface} vrid {vrid} priority {priority} {}", addresses.join(", "))
}
