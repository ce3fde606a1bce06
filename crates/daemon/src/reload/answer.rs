//! What became of a reload: refusals for whoever asked for it, and the event.

use axum::http::StatusCode;
use holdfast_config::diff::Change;
use holdfast_config::{Diagnostic, Severity, summary};
use holdfast_control::reload::Reloaded;
use holdfast_control::{Diagnosis, Problem};

use crate::api::{ANSWER_LOST, conflict, refused};
use crate::events::News;

/// So many changes are named in a refusal.
const NAMED_MAX: usize = 20;

/// 422: the configuration is invalid; with every problem, and the lines of the file.
pub(super) fn invalid(diagnostics: &[Diagnostic], report: String) -> Problem {
    let found = summary(diagnostics).unwrap_or_else(|| "nothing was found".to_owned());
    let error = |one: &&Diagnostic| one.severity == Severity::Error;
    let first = diagnostics.iter().find(error);
    let first = first.map_or_else(String::new, |first| format!("; first: {first}"));
    let detail = format!("the configuration is invalid ({found}){first}");
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let values = diagnostics.iter().filter_map(|found| serde_json::to_value(found).ok());
    let diagnosis = Some(Box::new(Diagnosis { diagnostics: values.collect(), report }));
    Problem { diagnosis, ..refused(status, "invalid_configuration", detail) }
}

/// 422: the configuration can't be read.
pub(super) fn unreadable(why: String) -> Problem {
    refused(StatusCode::UNPROCESSABLE_ENTITY, "unreadable_configuration", why)
}

/// 409: something differs that a daemon which runs can't change, or it needs `rights` that the daemon has given up.
pub(super) fn needs_restart(changes: &[&Change], rights: Option<String>) -> Problem {
    let named = changes.iter().take(NAMED_MAX).map(|change| {
        let key = change.key.map_or_else(String::new, |key| format!(" {key}"));
        format!("{}{key}: {}", change.subject, change.text)
    });
    let mut sentences: Vec<String> = named.collect();
    if let Some(more) = changes.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        sentences.push(format!("and {more} more"));
    }
    sentences.extend(rights);
    let detail = format!(
        "restart needed, nothing was changed: {}; restart the daemon (the kernel forwards meanwhile), or take that back",
        sentences.join("; ")
    );
    conflict("restart_needed", detail)
}

/// The event of a reload; none of one that has found nothing to change, so that a storm of them leaves the other events in their place.
pub(super) fn news(result: &Result<Reloaded, Problem>) -> Option<News> {
    let (kind, text) = match result {
        Ok(Reloaded { changes, .. }) if changes.is_empty() => return None,
        Ok(Reloaded { changes, generation, .. }) => {
            let number = changes.len();
            let noun = if number == 1 { "change" } else { "changes" };
            ("config.reloaded", format!("{number} {noun}, generation {generation}"))
        }
        // It may have been applied: that is no refusal, and what became of it nobody can tell.
        Err(problem) if is_unknown(problem) => return None,
        Err(problem) => ("config.refused", problem.detail.clone()),
    };
    let (kind, subject) = (kind.to_owned(), "config".to_owned());
    Some(News { kind, subject, text, ..News::default() })
}

/// Whether nobody knows what became of a reload that failed so.
pub(super) fn is_unknown(problem: &Problem) -> bool {
    problem.code == ANSWER_LOST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reload_changes_and_what_is_refused_is_an_event_and_nothing_is_none() {
        let reloaded = |changes: serde_json::Value| -> Result<Reloaded, Problem> {
            let value = serde_json::json!({
                "changes": changes, "generation": 2, "fingerprint": "f", "took_ms": 1, "warnings": ""
            });
            Ok(serde_json::from_value(value).unwrap())
        };
        assert_eq!(news(&reloaded(serde_json::json!([]))), None);
        let change = serde_json::json!({
            "sign": "change", "kind": "service", "name": "web", "text": "wlc → rr", "impact": "none"
        });
        let told = news(&reloaded(serde_json::json!([change]))).unwrap();
        assert_eq!(
            (told.kind.as_str(), told.text.as_str()),
            ("config.reloaded", "1 change, generation 2")
        );
        let told = news(&Err(unreadable("it is not there".to_owned()))).unwrap();
        assert_eq!((told.kind.as_str(), told.text.as_str()), ("config.refused", "it is not there"));
        let lost = crate::api::answer_lost();
        assert!(is_unknown(&lost) && news(&Err(lost)).is_none(), "it was not refused");
    }
}
