//! Servers' certificates that end soon, as checks find them: it is told when that begins, and not at each run.

use std::collections::BTreeSet;

use holdfast_engine::{CheckId, Engine};
use holdfast_health::{Outcome, Verdict};
use holdfast_probe::certificate_warning;

use crate::events::News;

/// So many checks are no reason to look for those that are gone.
const TENDED: usize = 1024;

/// The checks that have found a certificate that ends soon, or has ended.
#[derive(Debug, Default)]
pub(super) struct Certificates {
    warning: BTreeSet<CheckId>,
    /// How many there were when those that were gone were forgotten last.
    tended: usize,
}

impl Certificates {
    /// What `outcome` says of the certificate, where the run of `check` before it has said nothing. A run that does not pass says nothing of it.
    fn begins<'a>(&mut self, check: CheckId, outcome: &'a Outcome) -> Option<&'a str> {
        if outcome.verdict != Verdict::Pass {
            return None;
        }
        let warning = certificate_warning(&outcome.reason.sentence);
        if warning.is_none() && !self.warning.is_empty() {
            self.warning.remove(&check);
        }
        warning.filter(|_| self.warning.insert(check))
    }

    /// Takes in the outcome of a check of `engine`'s; what there is to tell.
    pub(super) fn take_in(
        &mut self,
        check: CheckId,
        outcome: &Outcome,
        engine: &Engine,
    ) -> Option<News> {
        let text = self.begins(check, outcome)?.to_owned();
        if self.warning.len() > (2 * self.tended).max(TENDED) {
            self.warning.retain(|check| engine.has_check(*check));
            self.tended = self.warning.len();
        }
        let run = engine.run(check)?;
        let (service, server) = (run.service, &run.server.name);
        tracing::warn!(%service, %server, what = text, "a server's certificate is to be renewed");
        let (kind, subject) = ("server.certificate".to_owned(), format!("{service}/{server}"));
        Some(News { kind, subject, text, ..News::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use holdfast_health::{Code, Reason};

    use super::*;

    #[test]
    fn a_certificate_that_ends_soon_is_told_once_and_again_when_another_one_does() {
        let outcome = |verdict, sentence: &str| Outcome {
            verdict,
            reason: Reason::new(Code::L6OK, sentence.to_owned()),
            took: Duration::ZERO,
        };
        let well = outcome(Verdict::Pass, "TLS 1.3");
        let soon = outcome(Verdict::Pass, "TLS 1.3; its certificate ends in 9 days, on 2026-12-05");
        let sooner =
            outcome(Verdict::Pass, "TLS 1.3; its certificate ends in 8 days, on 2026-12-05");
        let down = outcome(Verdict::Fail, "connection refused");
        let (mut certificates, check) = (Certificates::default(), CheckId::default());
        let said = Some("its certificate ends in 9 days, on 2026-12-05");
        assert_eq!(certificates.begins(check, &well), None);
        assert_eq!(certificates.begins(check, &soon), said);
        for outcome in [&soon, &sooner, &down, &sooner] {
            assert_eq!(certificates.begins(check, outcome), None);
        }
        assert_eq!(certificates.begins(check, &well), None, "it was renewed");
        assert_eq!(certificates.begins(check, &soon), said);
    }
}
