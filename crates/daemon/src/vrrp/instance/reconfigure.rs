//! Another configuration for an instance that runs.

use holdfast_config::{HookEvent, Instance as InstanceConfig, Name};
use holdfast_engine::vrrp::Standing;
use holdfast_time::Instant;
use vrrp::Event;

use super::{Instance, Means, peers};

impl Instance {
    /// What it is configured with.
    pub(in super::super) const fn config(&self) -> &InstanceConfig {
        &self.config
    }

    /// Whether it leaves, because the daemon stops or the configuration has it no longer.
    pub(in super::super) const fn is_leaving(&self) -> bool {
        self.role.stops()
    }

    /// Is called otherwise from now on. Its state is told under the new name, too: whoever follows it does not wait for a transition.
    pub(in super::super) fn rename(&mut self, name: &Name, means: Means<'_>) {
        self.config.name.clone_from(name);
        means.board.tell(name, self.router.status());
    }

    /// Goes on with another configuration of the same virtual router, in another group or none, and from another standing. The machine
    /// does of it what its table says (C1 to C3); what differs of the addresses, the address thread was told before.
    pub(in super::super) fn reconfigure(
        &mut self,
        now: Instant,
        config: InstanceConfig,
        group: Option<Name>,
        standing: Option<Standing>,
        means: Means<'_>,
    ) {
        self.peers = peers(&config);
        self.disagreements.clear();
        self.config = config;
        if self.group != group {
            self.group = group;
            self.role.readmit();
        }
        let changed = standing.is_some_and(|standing| self.role.reposition(standing));
        self.apply(now, means);
        if changed {
            self.notify(HookEvent::Priority, "the configuration has changed the priority", means);
        }
    }

    /// Gives up its role at once and makes way for `next`, another virtual router under its name. What the address thread knows of it
    /// goes on.
    pub(in super::super) fn replace(
        mut self,
        now: Instant,
        mut next: Self,
        means: Means<'_>,
    ) -> Self {
        self.router.handle(now, Event::Shutdown);
        self.router.handle(now, Event::Shutdown);
        self.act(means);
        if self.lets_go_at.take().is_some() {
            self.wanted.held = false;
            self.tell(&means.addresses);
        }
        next.role = self.role.anew(next.config.priority);
        (next.wanted, next.told) = (self.wanted, self.told);
        next.transitions = self.transitions;
        next
    }

    /// Leaves for good: priority 0 at once, and the addresses stay until another router has them, for four intervals at most.
    pub(in super::super) fn leave(&mut self, now: Instant, means: Means<'_>) {
        self.group = None;
        self.role.readmit();
        self.shut_down(now, means);
    }
}
