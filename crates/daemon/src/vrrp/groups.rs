//! The sync groups of the thread: what their members are goes in, and their orders are carried out at once.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use holdfast_config::{Group, Name};
use holdfast_control as control;
use holdfast_engine::vrrp::{Order, SyncGroup};
use holdfast_time::Instant;
use vrrp::Status;

use super::instance::Means;
use super::roster::Roster;

/// Every group, and which instance is in which.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<SyncGroup>,
    of: BTreeMap<Name, usize>,
}

impl Groups {
    /// The groups of a configuration on `node`, whose name has to differ from the other nodes'.
    pub(super) fn new<'a>(node: &str, groups: impl Iterator<Item = &'a Group>) -> Self {
        let mut hasher = DefaultHasher::new();
        node.hash(&mut hasher);
        let salt = hasher.finish();
        let mut found = Self::default();
        for (at, group) in groups.enumerate() {
            found.of.extend(group.instances.iter().map(|member| (member.clone(), at)));
            let members = group.instances.iter().cloned();
            found.groups.push(SyncGroup::new(group.name.clone(), members, salt));
        }
        found
    }

    /// The group that `instance` is in.
    pub(super) fn name_of(&self, instance: &Name) -> Option<&Name> {
        self.groups.get(*self.of.get(instance)?).map(SyncGroup::name)
    }

    /// When a group has something to do without news of its members.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.groups.iter().filter_map(SyncGroup::poll_timeout).min()
    }

    /// Tells each group of its members that have something new, and does what it orders. Its members are those of one node: what one
    /// of them does makes no news of another, so that this ends.
    pub(super) fn settle(&mut self, now: Instant, roster: &mut Roster, means: Means<'_>) {
        while let Some(name) = roster.pop_news() {
            let Some(group) = self.of.get(&name).and_then(|at| self.groups.get_mut(*at)) else {
                continue;
            };
            observe(group, now, &name, roster);
            carry_out(group, now, roster, means);
        }
        for group in &mut self.groups {
            if group.poll_timeout().is_some_and(|at| at <= now) {
                group.handle_timeout(now);
                carry_out(group, now, roster, means);
            }
        }
    }

    /// The groups as the API shows them.
    pub(super) fn view(&self) -> Vec<control::Group> {
        self.groups.iter().map(view).collect()
    }
}

fn observe(group: &mut SyncGroup, now: Instant, name: &Name, roster: &Roster) {
    if let Some(instance) = roster.get(name) {
        group.observe(now, name, instance.member());
    }
}

fn carry_out(group: &mut SyncGroup, now: Instant, roster: &mut Roster, means: Means<'_>) {
    while let Some(order) = group.poll_order() {
        let (Order::TakeOver(name)
        | Order::StepDown(name)
        | Order::LetGo(name)
        | Order::Exclude(name, _)
        | Order::Readmit(name)) = &order;
        let name = name.clone();
        roster.with(&name, |instance| match order {
            Order::TakeOver(_) => instance.take_over(now, means),
            Order::StepDown(_) => instance.step_down(now, means),
            Order::LetGo(_) => instance.let_go(now, means),
            Order::Exclude(_, why) => instance.exclude(now, Some(why), means),
            Order::Readmit(_) => instance.exclude(now, None, means),
        });
        roster.take_news(&name);
        observe(group, now, &name, roster);
    }
}

fn view(group: &SyncGroup) -> control::Group {
    let state = match group.status() {
        Status::Active => "active",
        Status::Initialize => "fault",
        Status::Backup | Status::Releasing => "backup",
    };
    control::Group {
        name: group.name().to_string(),
        state: state.to_owned(),
        instances: group.members().map(ToString::to_string).collect(),
    }
}
