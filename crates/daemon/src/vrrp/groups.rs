//! The sync groups of the thread: what their members are goes in, and their orders are carried out at once.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use holdfast_config::{Group, HookEvent, Name};
use holdfast_control as control;
use holdfast_engine::vrrp::{Order, SyncGroup};
use holdfast_time::Instant;
use vrrp::Status;

use super::instance::Means;
use super::roster::Roster;
use crate::hooks::{Notice, NoticeState, Subject};

/// Every group, and which instance is in which.
#[derive(Debug, Default)]
pub(super) struct Groups {
    groups: Vec<SyncGroup>,
    of: BTreeMap<Name, usize>,
    /// What hooks were told of each group last.
    told: BTreeMap<Name, Status>,
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

    /// The same as another configuration has them. A group that has the members that it had goes on as it is, one with others from the
    /// role that it had.
    pub(super) fn renewed<'a>(self, node: &str, groups: impl Iterator<Item = &'a Group>) -> Self {
        let mut renewed = Self::new(node, groups);
        for known in self.groups {
            let same = |group: &&mut SyncGroup| group.name() == known.name();
            let Some(place) = renewed.groups.iter_mut().find(same) else { continue };
            if place.members().eq(known.members()) {
                *place = known;
            } else {
                place.inherit(&known);
            }
        }
        renewed.told = self.told;
        renewed.told.retain(|name, _| renewed.groups.iter().any(|group| group.name() == name));
        renewed
    }

    /// The group that `instance` is in.
    pub(super) fn name_of(&self, instance: &Name) -> Option<&Name> {
        self.groups.get(*self.of.get(instance)?).map(SyncGroup::name)
    }

    /// When a group has something to do without news of its members.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.groups.iter().filter_map(SyncGroup::poll_timeout).min()
    }

    /// Tells the groups of their members that have something new, of all before any is asked, and does what they order. What one
    /// member does makes no news of another, so that this ends.
    pub(super) fn settle(
        &mut self,
        now: Instant,
        stops: bool,
        roster: &mut Roster,
        means: Means<'_>,
    ) {
        let mut touched = BTreeSet::new();
        while let Some(name) = roster.pop_news() {
            let Some(at) = self.of.get(&name) else { continue };
            if let Some(group) = self.groups.get_mut(*at) {
                observe(group, now, &name, roster);
                touched.insert(*at);
            }
        }
        for (at, group) in self.groups.iter_mut().enumerate() {
            let due = group.poll_timeout().is_some_and(|due| due <= now);
            if due {
                group.handle_timeout(now);
            }
            if due || touched.contains(&at) {
                carry_out(group, now, roster, means);
                let status = group.status();
                if self.told.insert(group.name().clone(), status) != Some(status) {
                    notify(group.name(), status, stops, means);
                }
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

/// Tells the hooks of a group's state, and the log.
fn notify(group: &Name, status: Status, stops: bool, means: Means<'_>) {
    let (event, state) = match status {
        Status::Active => (HookEvent::Active, NoticeState::Active),
        Status::Initialize if stops => (HookEvent::Stop, NoticeState::Stop),
        Status::Initialize => (HookEvent::Fault, NoticeState::Fault),
        Status::Backup | Status::Releasing => (HookEvent::Backup, NoticeState::Backup),
    };
    tracing::info!(%group, state = status.label(), "the sync group's state changed");
    means.hooks.tell(Notice {
        subject: Subject::Group(group.clone()),
        event,
        state,
        priority: 0,
        reason: "its instances have changed their states".to_owned(),
        at: SystemTime::now(),
    });
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
