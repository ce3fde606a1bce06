//! What the engine wants done, and what its reports mean to the log, the events, the hooks and what is kept.

use holdfast_engine::{Action, QuorumState, Report};

use super::Director;
use crate::events::News;

impl Director {
    /// Does what the engine wants by now.
    pub(super) fn perform(&mut self) {
        let mut needs_less = false;
        while let Some(action) = self.engine.poll_action() {
            match action {
                Action::RunCheck(id) => {
                    if let Some(run) = self.engine.run(id) {
                        self.runner.start(id, run);
                    }
                }
                Action::Reconcile(extent) => {
                    if let Some(kernel) = &mut self.kernel {
                        kernel.reconcile(extent);
                    }
                }
                Action::CountConnections => {
                    if let Some(kernel) = &mut self.kernel {
                        kernel.count();
                    }
                }
                Action::Report(report) => {
                    log(&report);
                    self.remember(&report);
                    self.hooks.events().tell(news(&report));
                    needs_less |= matches!(
                        report,
                        Report::ServiceRemoved { .. } | Report::MethodEnded { .. }
                    );
                    self.draining.touched |= concerns_drains(&report);
                    if let Report::Quorum { service, to, .. } = &report {
                        self.tell_quorum(service, *to, report.to_string());
                    }
                }
            }
        }
        if needs_less {
            self.tell_upkeep();
        }
    }

    /// Keeps what a report means to run-time changes.
    fn remember(&mut self, report: &Report) {
        if let Report::Renamed { service, server, .. } = report {
            self.runtime.rename(service, server, &self.engine);
        }
        if let Report::LeaseEnded { service, address, .. } = report {
            self.runtime.end_lease((service.clone(), *address));
        }
    }
}

/// Whether something begins or ceases to drain, or is called otherwise meanwhile.
const fn concerns_drains(report: &Report) -> bool {
    match report {
        Report::Draining { .. }
        | Report::Drained { .. }
        | Report::Maintained { .. }
        | Report::Ready { .. }
        | Report::Renamed { .. }
        | Report::ServiceAdded { .. }
        | Report::ServiceLeaving { .. }
        | Report::ListenRemoved { .. }
        | Report::MethodEnded { .. }
        | Report::ServiceRemoved { .. }
        | Report::Removed { .. } => true,
        // Where these make a server drain they say so by another report.
        Report::Health { .. }
        | Report::Wishes { .. }
        | Report::Quorum { .. }
        | Report::Added { .. }
        | Report::Found { .. }
        | Report::Weight { .. }
        | Report::Misfit { .. }
        | Report::LeaseEnded { .. } => false,
    }
}

/// A report for the stream of events.
fn news(report: &Report) -> News {
    let (service, server) = report.subject();
    let order = report.order().cloned().unwrap_or_default();
    News {
        kind: report.kind().to_owned(),
        subject: server.map_or_else(|| service.to_string(), |server| format!("{service}/{server}")),
        text: report.to_string(),
        who: order.who,
        reason: order.reason,
    }
}

fn log(report: &Report) {
    let (service, server) = report.subject();
    let server = server.map(tracing::field::display);
    let order = report.order();
    let who = order.and_then(|order| order.who.as_deref());
    let why = order.and_then(|order| order.reason.as_deref());
    match report {
        Report::Health { from, to, reason, .. } => {
            tracing::info!(%service, server, %from, %to, code = ?reason.code, reason = %reason.sentence, "a real server's health changed");
        }
        Report::Wishes { from, to, .. } => {
            let (from, to) = (from.label(), to.label());
            tracing::info!(%service, server, from, to, "a real server's agent wants something else for it");
        }
        Report::Quorum { to: QuorumState::Down, weight, .. } => {
            tracing::warn!(%service, weight, what = %report, "a service has lost its quorum");
        }
        Report::Quorum { weight, .. } => {
            tracing::info!(%service, weight, what = %report, "a service has its quorum");
        }
        Report::Added { .. } => {
            tracing::info!(%service, server, who, "a real server was added");
        }
        Report::Found { .. } => {
            tracing::warn!(%service, server, "a real server of the kernel's table is not in the configuration: it drains and is removed");
        }
        Report::Weight { from, to, .. } => {
            let ((from, from_percent), (to, to_percent)) = (*from, *to);
            tracing::info!(%service, server, from, from_percent, to, to_percent, who, why, "a real server's weight was changed");
        }
        Report::Draining { .. } => {
            tracing::info!(%service, server, who, why, "a real server drains");
        }
        Report::Drained { left, .. } => {
            tracing::info!(%service, server, left, "a real server has drained");
        }
        Report::Maintained { .. } => {
            tracing::info!(%service, server, who, why, "a real server is in maintenance");
        }
        Report::Ready { .. } => {
            tracing::info!(%service, server, who, why, "a real server was taken back");
        }
        Report::Removed { .. } => {
            tracing::info!(%service, server, who, why, "a real server was removed");
        }
        Report::Renamed { from, .. } => {
            tracing::info!(%service, server, %from, "a real server is called otherwise");
        }
        Report::Misfit { reason, .. } => {
            tracing::warn!(%service, server, reason, "a real server that a command has added does not fit any more: it drains and is removed");
        }
        Report::LeaseEnded { .. } => {
            tracing::info!(%service, server, "the lease of a real server has ended: it drains and is removed");
        }
        Report::ServiceAdded { .. } => tracing::info!(%service, "a service was added"),
        Report::ServiceLeaving { .. } => {
            tracing::info!(%service, "a service drains and is removed")
        }
        Report::ListenRemoved { listen, left, .. } => {
            tracing::info!(%service, %listen, left, "a service has left an address");
        }
        Report::MethodEnded { forwarding, left, .. } => {
            let before = forwarding.word();
            tracing::info!(%service, before, left, "what connections needed that began when a service forwarded otherwise is needed no longer");
        }
        Report::ServiceRemoved { .. } => tracing::info!(%service, "a service was removed"),
    }
}
