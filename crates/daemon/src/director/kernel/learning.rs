//! What the director learns from a finished comparison: what was made, what was refused, and what others had changed.

use std::collections::BTreeSet;

use holdfast_control::reload::Drift;
use holdfast_time::Instant;
use ipvs_ctl::client::{ClientError, Report};
use ipvs_ctl::model::{ServiceKey, Table};
use ipvs_ctl::plan::Operation;

use super::super::drift::drift;
use super::super::refusals::sentence;
use super::{Extent, Kernel, Order, Reconciliation, Scope, words};
use crate::events::News;

/// How many differences of one look are named in the log and among the events.
const NAMED_MAX: usize = 5;

const ANSWERS_LOST: &str =
    "answers of the kernel were lost: the table is read again at the next look";

impl Kernel {
    pub(super) fn reconciled(
        &mut self,
        order: Order,
        result: Result<Reconciliation, ClientError>,
        now: Instant,
    ) {
        self.reconciliations = self.reconciliations.saturating_add(1);
        let before = self.errors.clone();
        match (result, &order.scope) {
            (Ok(done), Scope::Table { .. }) => self.learn(order, done, now),
            (Ok(done), Scope::Services) => self.learn_services(order, done, now),
            (Err(error), scope) => {
                self.errors = vec![words(&error)];
                if matches!(scope, Scope::Services) {
                    self.doubt(&order.desired);
                }
            }
        }
        // It was asked for before it was to be asked for again.
        if self.asks && self.refuses_any() {
            self.reconcile(Extent::Table);
        }
        // The same errors come with every comparison: they are said once.
        if self.errors != before {
            self.news.extend(self.errors.iter().take(NAMED_MAX).map(|error| News {
                kind: "ipvs.error".to_owned(),
                subject: "ipvs".to_owned(),
                text: error.clone(),
                ..News::default()
            }));
            for error in &self.errors {
                tracing::error!(error, "the kernel's table is not as it should be");
            }
        }
    }

    /// Counts and reports what others had changed in services whose wanted entry is the one that was made last.
    fn put_right(
        &mut self,
        operations: &[Operation],
        before: &Table,
        report: &Report,
        desired: &Table,
        now: Instant,
    ) {
        let Some(made) = &self.made else { return };
        let unchanged = |operation: &&Operation| {
            let key = operation.service();
            made.contains_key(&key) && made.get(&key) == desired.get(&key)
        };
        let refused = |operation: &&Operation| {
            report.errors.iter().any(|error| error.operation == **operation)
        };
        let undone: Vec<Operation> =
            operations.iter().filter(unchanged).filter(|one| !refused(one)).cloned().collect();
        if undone.is_empty() {
            return;
        }
        self.repairs = self.repairs.saturating_add(undone.len() as u64);
        let found = drift(&undone, before);
        self.drift.add(&found, now);
        let sentence = |one: &Drift| {
            let of = one.destination.as_ref().map(|to| format!("{to} ")).unwrap_or_default();
            format!("{of}{}: put right", one.text)
        };
        let rest = found.len().saturating_sub(NAMED_MAX);
        let named = found.iter().take(NAMED_MAX);
        self.news.extend(named.clone().map(|one| News {
            kind: "ipvs.drift".to_owned(),
            subject: one.service.clone(),
            text: sentence(one),
            ..News::default()
        }));
        if rest > 0 {
            let (kind, subject) = ("ipvs.drift".to_owned(), "ipvs".to_owned());
            let text = format!("and {rest} more differences: put right");
            self.news.push(News { kind, subject, text, ..News::default() });
        }
        let named: Vec<String> =
            named.map(|one| format!("{} {}", one.service, sentence(one))).collect();
        tracing::warn!(
            found = found.len(),
            undone = undone.len(),
            "others changed the kernel's table: {}",
            named.join("; ")
        );
    }

    /// Takes in a finished comparison of the whole table.
    fn learn(&mut self, order: Order, done: Reconciliation, now: Instant) {
        let Reconciliation {
            operations,
            before,
            report,
            counts,
            traffic,
            shares,
            unread,
            refused,
            foreign,
        } = done;
        let Order { desired, scope, held, .. } = order;
        self.traffic = traffic;
        let owned = if let Scope::Table { owned, .. } = scope { owned } else { BTreeSet::new() };
        self.counts.retain(|(service, _), _| unread.contains(service));
        self.counts.extend(counts);
        self.shares.retain(|(service, _), _| unread.contains(service));
        self.shares.extend(shares);
        self.foreign = foreign;
        self.operations = self.operations.saturating_add(report.applied as u64);
        self.put_right(&operations, &before, &report, &desired, now);
        // Refusals are shown with their service; what is left is shown with the table.
        let others = report.errors.iter().filter(|error| {
            matches!(&error.operation, Operation::DelService(key) if !desired.contains_key(key))
        });
        self.errors = others.map(sentence).collect();
        if report.answers_lost {
            self.errors.push(ANSWERS_LOST.to_owned());
        }
        let settles = !report.answers_lost && self.errors.is_empty() && refused.is_by_service();
        self.refusals.note(refused, |key| held.contains(key), now);
        if settles {
            self.owned = desired.keys().copied().collect();
        }
        let absent = self.refusals.whole();
        let settled: Table = match absent.is_empty() {
            true => desired,
            false => desired.into_iter().filter(|(key, _)| !absent.contains(key)).collect(),
        };
        let removed = operations.iter().filter(
            |operation| matches!(operation, Operation::DelService(key) if !owned.contains(key)),
        );
        self.foreign_removed = self.foreign_removed.saturating_add(removed.count() as u64);
        if settles {
            self.made = Some(settled);
            self.in_sync_at = Some(now);
        }
    }

    /// Takes in a finished comparison of changed services, which tells nothing of the others.
    fn learn_services(&mut self, order: Order, done: Reconciliation, now: Instant) {
        let Reconciliation { operations, before, report, refused, .. } = done;
        let Order { desired, held, .. } = order;
        self.operations = self.operations.saturating_add(report.applied as u64);
        self.put_right(&operations, &before, &report, &desired, now);
        let refuses: BTreeSet<ServiceKey> = refused.services().copied().collect();
        let stands = |key: &ServiceKey| held.contains(key) || !desired.contains_key(key);
        self.refusals.note(refused, stands, now);
        if report.answers_lost {
            if !self.errors.iter().any(|error| error == ANSWERS_LOST) {
                self.errors.push(ANSWERS_LOST.to_owned());
            }
            self.doubt(&desired);
            return;
        }
        let whole = self.refusals.whole();
        let Some(made) = &mut self.made else { return };
        for (key, entry) in desired {
            if refuses.contains(&key) || whole.contains(&key) {
                made.remove(&key);
            } else {
                made.insert(key, entry);
            }
        }
    }

    /// No longer assumes anything of the services of `desired`: the next look at the whole table reads them.
    fn doubt(&mut self, desired: &Table) {
        if let Some(made) = &mut self.made {
            made.retain(|key, _| !desired.contains_key(key));
        }
    }
}
