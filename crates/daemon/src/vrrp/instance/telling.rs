//! What an instance tells of itself: changes of state, and what its machine notices of others.

use std::time::SystemTime;

use holdfast_config::HookEvent;
use holdfast_net::now;
use vrrp::{Observation, Reason, Status, Transition};

use super::{Instance, Means};
use crate::chatter::Topic;
use crate::hooks::{Notice, NoticeState, Subject};

impl Instance {
    /// Takes note of a change of state and tells of it: the log, the hooks, and whoever synchronises connections.
    pub(super) fn report(&mut self, transition: Transition, means: Means<'_>) {
        self.transitions.count(transition.to);
        self.last = Some(transition);
        self.succession.forget();
        means.board.tell(&self.config.name, transition.to);
        if transition.to == Status::Active {
            self.role.became_active();
        }
        if means.chatter.allows(now(), Topic::State) {
            tracing::info!(
                instance = %self.config.name,
                interface = self.config.interface,
                vrid = %self.config.vrid,
                from = transition.from.label(),
                to = transition.to.label(),
                reason = self.reason(transition.reason),
                "the VRRP state changed"
            );
        }
        let event = match transition.to {
            Status::Active => HookEvent::Active,
            Status::Backup => HookEvent::Backup,
            Status::Initialize if self.role.stops() => HookEvent::Stop,
            Status::Initialize => HookEvent::Fault,
            // It has the addresses still, and soon it is something else.
            Status::Releasing => return,
        };
        self.notify(event, self.reason(transition.reason), means);
    }

    /// The reason for a change of state in a word. The machine is shut down for a fault as it is for the daemon's stop.
    pub(super) fn reason(&self, reason: Reason) -> &'static str {
        if reason == Reason::Shutdown && !self.role.stops() { "fault" } else { reason.label() }
    }

    /// Tells the hooks.
    pub(super) fn notify(&self, event: HookEvent, reason: &str, means: Means<'_>) {
        let fault = || self.fault.clone().or_else(|| self.role.fault());
        let reason = Some(event == HookEvent::Fault)
            .filter(|fault| *fault)
            .and_then(|_| fault())
            .unwrap_or_else(|| reason.to_owned());
        means.hooks.tell(Notice {
            subject: Subject::Instance(self.config.name.clone()),
            event,
            state: match self.router.status() {
                Status::Active | Status::Releasing => NoticeState::Active,
                Status::Backup => NoticeState::Backup,
                Status::Initialize if self.role.stops() => NoticeState::Stop,
                Status::Initialize => NoticeState::Fault,
            },
            priority: self.router.priority().value(),
            reason,
            at: SystemTime::now(),
        });
    }

    /// Tells of what the machine has noticed.
    pub(super) fn observe(&mut self, observation: Observation, means: Means<'_>) {
        let instance = &self.config.name;
        if matches!(
            observation,
            Observation::LowerRankHeard { .. } | Observation::DualActiveBegan { .. }
        ) {
            self.notify(HookEvent::LowerPriority, "a router of lower priority advertises", means);
        }
        if !means.chatter.allows(now(), Topic::Packet) {
            return;
        }
        match observation {
            // Each comes once for what it tells of.
            Observation::DualActiveBegan { source, priority } => {
                tracing::error!(%instance, other = %source, other_priority = %priority, "two nodes are active: the other one does not hear this one; look at firewalls, switches and links between them");
            }
            Observation::DualActiveEnded { source, lasted } => {
                tracing::warn!(%instance, other = %source, ?lasted, "there is one active node again");
            }
            Observation::ReleaseUnanswered { waited } => {
                tracing::warn!(%instance, ?waited, "nobody took over: this node is active again");
            }
            Observation::Stalled { silent } => {
                tracing::warn!(%instance, ?silent, "nothing was advertised for longer than a backup waits: this host was busy or stood still");
            }
            Observation::LowerRankHeard { source, priority } => {
                tracing::warn!(%instance, other = %source, other_priority = %priority, "another node of lower priority advertised: a split has healed, or it has just been told");
            }
            Observation::DuplicateSource { source } if self.chatter.allows(now()) => {
                tracing::warn!(%instance, %source, "somebody advertises with this node's own address and priority: a clone, or a loop");
            }
            Observation::OwnerConflict { source } if self.chatter.allows(now()) => {
                tracing::warn!(%instance, other = %source, "two nodes have priority 255 and claim to own the addresses: one of them is configured wrong");
            }
            Observation::DuplicateSource { .. } | Observation::OwnerConflict { .. } => {}
            other @ (Observation::ReconfigureRefused | _) => {
                tracing::error!(%instance, observation = ?other, "an observation that this daemon does not know");
            }
        }
    }
}
