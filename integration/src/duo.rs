//! Two daemons with any configuration of VRRP, and waiting for what their status says.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use holdfast_control::{Instance, Status};
use holdfast_testkit::lab::{Lab, wait_until};

use crate::Director;
use crate::pair::{LIMIT, Roles};

/// Two daemons. Its parts end in this order: the daemons before their network.
#[derive(Debug)]
pub struct Duo {
    /// The first director's daemon.
    pub lb1: Director,
    /// The second director's daemon.
    pub lb2: Director,
    /// The network.
    pub lab: Lab,
}

impl Duo {
    /// Starts the two with the same configuration, lb1 first.
    ///
    /// # Errors
    /// A daemon doesn't start.
    pub fn start(lab: Lab, config: &str) -> Result<Self> {
        let lb1 = Director::start(lab.lb1(), config)?;
        let lb2 = Director::start(lab.lb2(), config)?;
        Ok(Self { lb1, lb2, lab })
    }

    /// Waits until every instance is Active on lb1 and Backup on lb2, the addresses being where they belong.
    ///
    /// # Errors
    /// It doesn't come to that: says how things stand.
    pub fn wait_lb1(&self) -> Result<()> {
        wait_all(&self.lb1, "active")?;
        wait_all(&self.lb2, "backup")
    }

    /// The other way round.
    ///
    /// # Errors
    /// It doesn't come to that.
    pub fn wait_lb2(&self) -> Result<()> {
        wait_all(&self.lb2, "active")?;
        wait_all(&self.lb1, "backup")
    }

    /// Makes sure that nothing changes on either node while `active` advertises ten times with each of its instances.
    ///
    /// # Errors
    /// Something does.
    pub fn ensure_at_rest(&self, active: &Director) -> Result<()> {
        let both = || -> Result<_> { Ok((standing(&self.lb1)?, standing(&self.lb2)?)) };
        let before = both()?;
        for instance in active.status()?.vrrp {
            crate::pair::wait_count(active, &instance.name, "advertisements_sent", 10)?;
        }
        let after = both()?;
        ensure!(before == after, "it went from {before:#?} to {after:#?}");
        Ok(())
    }
}

/// Every instance with its state and how often that has changed.
fn standing(director: &Director) -> Result<Vec<(String, String, u64)>> {
    let instances = director.status()?.vrrp;
    Ok(instances.into_iter().map(|one| (one.name, one.state, one.transitions)).collect())
}

/// Waits until the status of `director` is so; that status.
///
/// # Errors
/// It isn't: says how it is, with the end of the log.
pub fn wait_status(
    director: &Director,
    what: &str,
    is_so: impl Fn(&Status) -> bool,
) -> Result<Status> {
    let mut last = None;
    let waits = format!("{}: {what}", director.node().name());
    wait_until(LIMIT, &waits, || {
        last = Some(director.status().ok()?);
        last.clone().filter(|status| is_so(status))
    })
    .with_context(|| {
        let last = last.map(|status| (status.vrrp, status.groups, status.trackers));
        format!("{last:#?}\n{}", director.process().log_tail())
    })
}

/// Waits until every instance of `director` is in `state`, and the addresses are on its interfaces only while it is Active.
///
/// # Errors
/// It doesn't come to that: says how things stand.
pub fn wait_all(director: &Director, state: &str) -> Result<()> {
    wait_status(director, &format!("every instance is {state}"), |status| {
        let is_so = |one: &Instance| {
            let active = state == "active";
            one.state == state && one.holds_addresses == active && has_all(director, one, active)
        };
        !status.vrrp.is_empty() && status.vrrp.iter().all(is_so)
    })
    .map(drop)
}

/// Whether all addresses of an instance are on the node's interfaces, or none is.
fn has_all(director: &Director, instance: &Instance, wanted: bool) -> bool {
    instance.addresses.iter().chain(&instance.excluded).all(|address| {
        let address = address.split('/').next().and_then(|address| address.parse().ok());
        let has = address.and_then(|address| director.node().has_address(address).ok());
        has == Some(wanted)
    })
}

/// Waits until every instance of `director` has a fault whose sentence contains `says`.
///
/// # Errors
/// It doesn't come to that: says how things stand.
pub fn wait_fault(director: &Director, says: &str) -> Result<()> {
    wait_status(director, &format!("every instance has the fault {says:?}"), |status| {
        let is_so = |one: &Instance| {
            let fault = one.fault.as_ref().is_some_and(|fault| fault.contains(says));
            one.state == "initialize" && fault && has_all(director, one, false)
        };
        !status.vrrp.is_empty() && status.vrrp.iter().all(is_so)
    })
    .map(drop)
}

/// Waits until a tracker is in `state`; its sentence.
///
/// # Errors
/// It doesn't come to that: says how things stand.
pub fn wait_tracker(director: &Director, name: &str, state: &str) -> Result<String> {
    let is_so = |status: &Status| {
        let found = status.trackers.iter().find(|tracker| tracker.name == name);
        found.filter(|tracker| tracker.state == state).map(|tracker| tracker.reason.clone())
    };
    let what = format!("the tracker {name} is {state}");
    let status = wait_status(director, &what, |status| is_so(status).is_some())?;
    is_so(&status).context("it was so")
}

/// Waits until every instance of `director` counts with `priority`, by exactly these contributions of trackers; those of 0 are left out.
///
/// # Errors
/// It doesn't come to that: says how things stand.
pub fn wait_priority(director: &Director, priority: u8, weights: &[(&str, i16)]) -> Result<()> {
    let wanted: BTreeSet<_> = weights.iter().copied().collect();
    let what = format!("every instance has the priority {priority} by {weights:?}");
    wait_status(director, &what, |status| {
        status.vrrp.iter().all(|one| {
            let weights = one.weights.iter().map(|one| (one.tracker.as_str(), one.weight));
            let weights = weights.filter(|(_, weight)| *weight != 0);
            one.priority == priority && weights.collect::<BTreeSet<_>>() == wanted
        })
    })
    .map(drop)
}

/// The configuration of `roles` with these trackers, indented as mappings of YAML, and further keys of `vrrp`.
pub fn tracking(roles: &Roles<'_>, trackers: &str) -> String {
    let head = format!("vrrp:\n  trackers:\n{trackers}\n");
    roles.config().replacen("vrrp:\n", &head, 1)
}
