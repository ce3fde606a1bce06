//! Changes of who is Active: from the name that the operator says to the VRRP thread and back.

use std::sync::{Arc, Mutex, PoisonError};

use holdfast_config::{Config, Name};
use holdfast_control::{Problem, RoleChange};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::released::Released;
use super::{Director, VRRP_PATIENCE};
use crate::api::{RoleVerb, conflict, not_found, unavailable};
use crate::vrrp::{Roles, VrrpRemote};

impl Director {
    /// Changes the role of the instance or group `name`. The VRRP thread and the disk are waited for in a task of their own.
    pub(super) fn change_role(
        &self,
        name: &str,
        verb: RoleVerb,
        answer: oneshot::Sender<Result<RoleChange, Problem>>,
    ) {
        let instances = match members(&self.config, name) {
            Ok(instances) => instances,
            Err(problem) => return drop(answer.send(Err(problem))),
        };
        let (vrrp, released) = (self.vrrp.clone(), Arc::clone(&self.released));
        self.elsewhere.spawn(async move {
            drop(answer.send(change(&vrrp, instances, verb, released).await));
        });
    }
}

/// The instances that `name` stands for. An instance of a sync group stands for all of its group.
fn members(config: &Config, name: &str) -> Result<Vec<Name>, Problem> {
    let known = Name::try_from(name.to_owned()).ok();
    let group = config.vrrp.groups.values().find(|group| {
        known.as_ref().is_some_and(|name| group.name == *name || group.instances.contains(name))
    });
    if let Some(group) = group {
        return Ok(group.instances.iter().cloned().collect());
    }
    let instance = known.filter(|name| config.instances.contains_key(name));
    let none = || {
        let all: Vec<&str> = config.instances.keys().map(Name::as_str).collect();
        let detail = format!("no VRRP instance or group `{name}`; there are: {}", all.join(", "));
        not_found("no_such_instance", detail)
    };
    instance.map(|name| vec![name]).ok_or_else(none)
}

async fn change(
    vrrp: &VrrpRemote,
    names: Vec<Name>,
    verb: RoleVerb,
    released: Arc<Mutex<Released>>,
) -> Result<RoleChange, Problem> {
    let hangs = || {
        unavailable(
            "the VRRP thread does not answer, and the command was taken back: see the daemon's log"
                .to_owned(),
        )
    };
    let roles = vrrp.role(names.clone(), verb, sleep(VRRP_PATIENCE)).await.ok_or_else(hangs)?;
    let Roles { changed, instances } =
        roles.map_err(|refused| conflict("refused", refused.to_string()))?;
    let kept = tokio::task::spawn_blocking(move || keep(&released, &names, verb));
    let (kept, note) = kept.await.unwrap_or_else(|fault| (false, Some(fault.to_string())));
    Ok(RoleChange { changed: changed || kept, instances, note })
}

/// Keeps what shall outlive the daemon. Whether something else is kept now, and what the operator should know of that.
fn keep(released: &Mutex<Released>, names: &[Name], verb: RoleVerb) -> (bool, Option<String>) {
    // Nothing is changed in parts.
    let mut released = released.lock().unwrap_or_else(PoisonError::into_inner);
    let (is_released, kept) = match verb {
        // Said again without `--keep`, a release that is kept stays so.
        RoleVerb::Release { keep: false } => {
            let all_kept = names.iter().all(|name| released.names().contains(name));
            let note = "a restart of the daemon ends the release; `--keep` would keep it";
            return (false, (!all_kept).then(|| note.to_owned()));
        }
        RoleVerb::Release { keep: true } => (true, "the release does not outlive the daemon"),
        RoleVerb::Resume => (false, "the release comes back at the next start of the daemon"),
        RoleVerb::Failover => return (false, None),
    };
    match released.set(names, is_released) {
        Ok(new) => (new, None),
        Err(error) => (false, Some(format!("{error}: {kept}"))),
    }
}
