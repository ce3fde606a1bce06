//! Another configuration for the VRRP thread: what differs is applied between two turns, what does not notices nothing.
//!
//! - An instance of the same virtual router ([`holdfast_config::Instance::is_same_router`]) goes on, also under another name: its machine
//!   takes the new parameters (C1 to C3).
//! - Another virtual router under the same name gives up its role and begins anew.
//! - One that is gone leaves as at a stop of the daemon: make before break. It is in the status until it is out.
//! - One that is new begins as at a start, without the startup delay.
//!
//! Everything that may be refused comes first: sockets. A refusal changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use holdfast_config::{Instance as InstanceConfig, InterfaceSettings, Name, Vrrp};
use holdfast_net::now;
use holdfast_time::Instant;
use vrrp::Priority;

use super::instance::{Instance, Role};
use super::roster::Roster;
use super::thread::VrrpThread;
use super::{Stop, VrrpError};

/// What the thread goes on with.
#[derive(Debug)]
pub(crate) struct Next {
    pub(crate) instances: BTreeMap<Name, InstanceConfig>,
    pub(crate) settings: Vrrp,
    pub(crate) node: String,
    /// Which of the instances are to be the last choice when they begin.
    pub(crate) released: BTreeSet<Name>,
}

/// Leave to carry out a command, which one of two has: the thread, which begins with it, or whoever gave it, who takes it back.
#[derive(Clone, Debug, Default)]
pub(super) struct Permit(Arc<AtomicBool>);

impl Permit {
    /// Takes it; false when the other one has it already.
    pub(super) fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// Instances that the configuration has no longer and that are not out yet, and what address work needs to know until then.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    names: BTreeSet<Name>,
    interfaces: BTreeMap<String, InterfaceSettings>,
}

impl Leaving {
    /// Nobody leaves; interfaces have these settings.
    pub(super) fn none(interfaces: &BTreeMap<String, InterfaceSettings>) -> Self {
        Self { names: BTreeSet::new(), interfaces: interfaces.clone() }
    }
}

impl VrrpThread {
    /// Goes on with another configuration.
    ///
    /// # Errors
    /// A socket can't be had, or the thread stops. Nothing is changed then.
    pub(super) fn reconfigure(&mut self, next: Next) -> Result<(), VrrpError> {
        if self.stop != Stop::No {
            return Err(VrrpError::Stops);
        }
        let at = now();
        let groups = members(&next.settings);
        let renamed = self.renamed(&next.instances);
        let opened = self.open_fresh(at, &next, &groups, &renamed);
        // Those that were opened before the one that can't be had.
        let fresh = opened.inspect_err(|_| self.close_unused())?;
        let Next { instances, settings, node, .. } = next;
        self.groups = std::mem::take(&mut self.groups).renewed(&node, settings.groups.values());
        let configs: Vec<InstanceConfig> = instances.values().cloned().collect();
        self.tracking.renew(at, &settings, &configs);
        self.trackers.clone_from(&settings.trackers);
        self.outside.testament.outdate();
        self.outside.fate.set_port(settings.fate.map(|fate| fate.port));
        self.leaving.interfaces.clone_from(&settings.interfaces);
        self.outside.virtual_addresses = brought(&configs);
        let concerned = self.place(at, instances, fresh, &groups, renamed);
        self.tracking.follow_links(at, self.links.interfaces());
        self.see_interfaces(concerned);
        self.settle();
        self.enter();
        self.close_unused();
        self.be_on_time();
        Ok(())
    }

    /// Closes the sockets that no instance speaks on.
    fn close_unused(&mut self) {
        let used = self.roster.iter().filter_map(Instance::socket).collect();
        self.outside.sockets.keep_only(&used);
        self.strays.retain(|key, _| used.contains(key));
    }

    /// The virtual routers that are called otherwise from now on: the name before, by the name now.
    fn renamed(&self, instances: &BTreeMap<Name, InstanceConfig>) -> BTreeMap<Name, Name> {
        let mut gone: Vec<&Instance> = self
            .roster
            .iter()
            .filter(|one| !one.is_leaving() && !instances.contains_key(one.name()))
            .collect();
        let mut renamed = BTreeMap::new();
        let new = instances.iter().filter(|(name, _)| self.roster.get(name).is_none());
        for (name, config) in new {
            if let Some(at) = gone.iter().position(|one| one.config().is_same_router(config)) {
                renamed.insert(name.clone(), gone.swap_remove(at).name().clone());
            }
        }
        renamed
    }

    /// The instances that are new, or other virtual routers than those of their names, with their sockets open.
    fn open_fresh(
        &mut self,
        at: Instant,
        next: &Next,
        groups: &BTreeMap<Name, Name>,
        renamed: &BTreeMap<Name, Name>,
    ) -> Result<BTreeMap<Name, Instance>, VrrpError> {
        let mut fresh = BTreeMap::new();
        for (name, config) in &next.instances {
            let goes_on = self
                .roster
                .get(name)
                .is_some_and(|known| !known.is_leaving() && known.config().is_same_router(config));
            if goes_on || renamed.contains_key(name) {
                continue;
            }
            let role = Role::new(config.priority, None, next.released.contains(name));
            let failed = |source| VrrpError::Instance { instance: name.clone(), source };
            let group = groups.get(name).cloned();
            let instance = Instance::new(config.clone(), at, role, group).map_err(failed)?;
            let opened = instance.open_socket(&self.links, &mut self.outside.sockets);
            opened.map_err(|error| failed(error.into()))?;
            fresh.insert(name.clone(), instance);
        }
        Ok(fresh)
    }

    /// Puts the instances of the new configuration in the place of the old ones. The answer is the interfaces that have to be looked at.
    fn place(
        &mut self,
        at: Instant,
        mut configs: BTreeMap<Name, InstanceConfig>,
        mut fresh: BTreeMap<Name, Instance>,
        groups: &BTreeMap<Name, Name>,
        renamed: BTreeMap<Name, Name>,
    ) -> BTreeSet<String> {
        self.leaving.names.clear();
        let mut known = std::mem::take(&mut self.roster).into_instances();
        let called: BTreeMap<Name, Name> =
            renamed.into_iter().map(|(now, before)| (before, now)).collect();
        for instance in &mut known {
            if let Some(name) = called.get(instance.name()) {
                instance.rename(name, &self.outside);
            }
        }
        let gone = known.iter().filter(|one| !configs.contains_key(one.name()));
        self.leaving.names.extend(gone.map(|one| one.name().clone()));
        // The address thread hears of it first: what an instance announces below is there then.
        let all = known.iter().map(Instance::config).chain(configs.values());
        self.claim(all, called.into_iter().collect());
        let mut concerned = BTreeSet::new();
        let (outside, tracking) = (&self.outside, &self.tracking);
        let mut placed = Vec::with_capacity(known.len() + fresh.len());
        for mut instance in known {
            let Some(config) = configs.remove(instance.name()) else {
                instance.leave(at, outside);
                placed.push(instance);
                continue;
            };
            let group = groups.get(instance.name());
            if let Some(next) = fresh.remove(instance.name()) {
                concerned.insert(config.interface.clone());
                instance = instance.replace(at, next, outside);
            } else if *instance.config() != config || instance.group_name() != group {
                concerned.insert(config.interface.clone());
                let standing = tracking.standing(instance.name());
                instance.reconfigure(at, config, group.cloned(), standing, outside);
            }
            placed.push(instance);
        }
        concerned.extend(fresh.values().map(|one| one.interface_name().to_owned()));
        placed.extend(fresh.into_values());
        self.roster = Roster::new(placed);
        concerned
    }

    /// Tells the address thread what the instances of `configs` claim. Of those that leave it is what nobody else has now.
    fn claim<'a>(
        &mut self,
        configs: impl Iterator<Item = &'a InstanceConfig>,
        renamed: Vec<(Name, Name)>,
    ) {
        let mut claims = BTreeMap::new();
        // The last one of a name is the newest.
        for config in configs {
            claims.insert(config.name.clone(), config);
        }
        let stays = |name: &Name| !self.leaving.names.contains(name);
        let staying = claims.iter().filter(|(name, _)| stays(name));
        let taken: BTreeSet<IpAddr> = staying
            .flat_map(|(_, config)| config.held().map(|address| address.net.addr()))
            .collect();
        let claim = |(name, config): (&Name, &&InstanceConfig)| {
            let claim = Instance::claim(config);
            if stays(name) { claim } else { claim.without(&taken) }
        };
        let claims = claims.iter().map(claim).collect();
        self.outside.addresses.claim(claims, &self.leaving.interfaces, renamed);
    }

    /// Forgets the instances that were leaving and are out.
    pub(super) fn drop_leaving(&mut self) {
        let Self { roster, leaving, .. } = self;
        let out = |name: &&Name| roster.get(name).is_none_or(Instance::is_out);
        let out: BTreeSet<Name> = leaving.names.iter().filter(out).cloned().collect();
        if out.is_empty() {
            return;
        }
        let mut instances = std::mem::take(&mut self.roster).into_instances();
        instances.retain(|one| !out.contains(one.name()));
        let configs: Vec<InstanceConfig> =
            instances.iter().map(|one| one.config().clone()).collect();
        self.roster = Roster::new(instances);
        self.leaving.names.retain(|name| !out.contains(name));
        self.claim(configs.iter(), Vec::new());
        self.outside.testament.outdate();
        self.outside.fate.outdate();
        self.close_unused();
        tracing::info!(instances = ?out, "instances that the configuration has no longer are out");
    }
}

/// Which group each instance is in.
fn members(settings: &Vrrp) -> BTreeMap<Name, Name> {
    let groups = settings.groups.values();
    let members = groups.flat_map(|group| {
        group.instances.iter().map(|member| (member.clone(), group.name.clone()))
    });
    members.collect()
}

/// The addresses that instances bring along: none of them is an interface's own. Those of an owner are.
pub(super) fn brought(instances: &[InstanceConfig]) -> BTreeSet<IpAddr> {
    let brought = instances.iter().filter(|one| one.priority != Priority::OWNER);
    brought.flat_map(|one| one.held().map(|address| address.net.addr())).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, sync_channel};

    use holdfast_config::{Environment, parse};
    use holdfast_net::Waker;
    use tokio::sync::oneshot;

    use super::super::bfd::Bfd;
    use super::super::readings::Readings;
    use super::super::{Command, FateBoard, Sessions, StopSign, VrrpRemote};
    use super::*;
    use crate::api::RoleVerb;

    /// The way to a thread whose part a test plays.
    fn remote() -> (VrrpRemote, Receiver<Command>) {
        let (commands, taken) = sync_channel(1);
        let (readings, stop) = (Readings::default(), StopSign::default());
        let (waker, bfd) = (Waker::new().unwrap(), Bfd::new(|_| {}));
        let sessions = Sessions::default();
        let fate = FateBoard::default();
        (VrrpRemote { commands, readings, stop, waker, bfd, sessions, fate }, taken)
    }

    fn next() -> Next {
        let config = parse("f", "services: {}\n", &Environment::new("lb1")).config.unwrap();
        let (instances, released) = (config.instances, BTreeSet::new());
        Next { instances, settings: config.vrrp, node: config.node, released }
    }

    #[tokio::test]
    async fn what_was_said_to_be_refused_is_not_applied_by_a_thread_that_comes_to_it_later() {
        let (remote, commands) = remote();
        assert!(remote.reconfigure(next(), std::future::ready(())).await.is_none());
        let Ok(Command::Reconfigure { permit, .. }) = commands.recv() else { panic!() };
        assert!(!permit.take(), "it was taken back");
        let verb = RoleVerb::Release { keep: false };
        assert!(remote.role(Vec::new(), verb, std::future::ready(())).await.is_none());
        let Ok(Command::Role { permit, .. }) = commands.recv() else { panic!() };
        assert!(!permit.take(), "so was the change of roles");
    }

    #[tokio::test]
    async fn what_was_begun_is_waited_for() {
        let (remote, commands) = remote();
        let (late, is_late) = oneshot::channel();
        let asked =
            tokio::spawn(
                async move { remote.reconfigure(next(), async { drop(is_late.await) }).await },
            );
        tokio::task::yield_now().await;
        let Ok(Command::Reconfigure { permit, answer, .. }) = commands.recv() else { panic!() };
        assert!(permit.take());
        late.send(()).unwrap();
        tokio::task::yield_now().await;
        assert!(!asked.is_finished());
        answer.send(Ok(())).unwrap();
        assert!(matches!(asked.await.unwrap(), Some(Ok(()))));
    }

    #[tokio::test]
    async fn a_thread_that_has_gone_has_applied_nothing() {
        let (remote, commands) = remote();
        drop(commands);
        assert!(remote.reconfigure(next(), std::future::pending()).await.is_none());
    }
}
